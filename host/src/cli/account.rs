//! `wxhost account …`: who is there.

use clap::{Args, Subcommand, builder::PossibleValuesParser};

use super::{
    client::{Client, Reply},
    contacts,
    failure::Failure,
    file, labels,
    output::{Cell, Paint, Printed, Style, Table, facts, harmless, quoted, word},
    parse, pauses, timers,
};
use crate::{
    domain::{
        AccountId, ContactKind, Failure as BotFailure, Label, Pause, handler::Failing, id::BadId,
    },
    edge::control::{
        input::{LIMIT_DEFAULT, LIMIT_MAX},
        wire::{AccountView, List},
    },
};

const EXAMPLES: &str = "\
Examples:
  wxhost account list
  wxhost account show wxid_a                        with the last failures of its bot
  wxhost account label wxid_a +shop -test           what it is called
  wxhost account list --label shop
  wxhost account contacts wxid_a --kind user        its friends
  wxhost account pauses wxid_a                      where its bot is silent, since it seemed to talk
                                                    to another bot
  wxhost account resume wxid_a CONVERSATION         let it answer there again";

/// `wxhost account`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct AccountArgs {
    #[command(subcommand)]
    command: AccountCommand,
    /// Print the API's JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum AccountCommand {
    /// List the accounts that logged in at least once
    List {
        /// Only those with this label
        #[arg(long, value_parser = label)]
        label: Option<Label>,
        #[command(flatten)]
        page: Page,
    },
    /// Give an account labels, or take some away; shows those that it has
    ///
    /// What is bound to a label (`wxhost handler bind NAME --account label:shop`) serves
    /// the account's next event. An account that never logged in can have labels too.
    Label {
        /// Which
        #[arg(value_parser = parse::account)]
        id: AccountId,
        /// +LABEL to add one, -LABEL to take it away
        #[arg(value_name = "+LABEL|-LABEL", value_parser = labels::change)]
        changes: Vec<labels::Change>,
    },
    /// Show one account: its session, its bot, and how the bot failed lately
    Show {
        /// Which
        #[arg(value_parser = parse::account)]
        id: AccountId,
    },
    /// List whom an account knows: friends, groups and public accounts
    Contacts {
        /// Whose
        #[arg(value_parser = parse::account)]
        id: AccountId,
        /// Only those of this kind
        #[arg(long, value_parser = PossibleValuesParser::new(ContactKind::ALL.map(ContactKind::as_str)))]
        kind: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// List an account's groups
    Groups {
        /// Whose
        #[arg(value_parser = parse::account)]
        id: AccountId,
        #[command(flatten)]
        page: Page,
    },
    /// List the conversations in which an account's bot is silent for a while
    Pauses {
        /// Whose
        #[arg(value_parser = parse::account)]
        id: AccountId,
        #[command(flatten)]
        page: Page,
    },
    /// List the timers that bots have set for an account
    Timers {
        /// Whose
        #[arg(value_parser = parse::account)]
        id: AccountId,
        #[command(flatten)]
        page: Page,
    },
    /// Let an account's bot answer in a conversation again
    Resume {
        /// Whose
        #[arg(value_parser = parse::account)]
        id: AccountId,
        /// Where: the id of a user or a group
        conversation: String,
    },
    /// Show what became of a file that an account's client was asked for
    File {
        /// Whose client
        #[arg(value_parser = parse::account)]
        id: AccountId,
        /// What the client calls the file
        file: String,
    },
}

/// Which part of a listing.
#[derive(Debug, Args)]
struct Page {
    /// How many at most (1 to 1000)
    #[arg(long, value_name = "N", default_value_t = LIMIT_DEFAULT)]
    limit: usize,
    /// Begin after the one with this id
    #[arg(long, value_name = "ID")]
    after: Option<String>,
}

impl Page {
    async fn get(
        &self,
        client: &Client,
        path: &[&str],
        more: Option<(&str, &str)>,
    ) -> Result<Reply, Failure> {
        let limit = self.limit.to_string();
        let mut query = vec![("limit", limit.as_str())];
        query.extend(self.after.as_deref().map(|after| ("after", after)));
        query.extend(more);
        client.get(path, &query).await
    }
}

fn label(text: &str) -> Result<Label, BadId> {
    text.try_into()
}

impl AccountArgs {
    /// Asks the host.
    pub(super) async fn run(self, client: &Client, style: &Style) -> Result<Printed, Failure> {
        let reply = self.command.ask(client).await?;
        if self.json {
            return Ok(Printed::ok(reply.text));
        }
        self.command
            .show(client, &reply, style)
            .await
            .map(Printed::ok)
    }
}

impl AccountCommand {
    async fn ask(&self, client: &Client) -> Result<Reply, Failure> {
        match self {
            Self::List { page, label } => {
                let label = label.as_ref().map(|label| ("label", label.as_str()));
                page.get(client, &["accounts"], label).await
            }
            Self::Label { id, changes } => labels::ask(client, id, changes).await,
            Self::Show { id } => client.get(&["accounts", id.as_str()], &[]).await,
            Self::Contacts { id, kind, page } => {
                let kind = kind.as_deref().map(|kind| ("kind", kind));
                page.get(client, &["accounts", id.as_str(), "contacts"], kind)
                    .await
            }
            Self::Groups { id, page } => {
                page.get(client, &["accounts", id.as_str(), "groups"], None)
                    .await
            }
            Self::Pauses { id, page } => {
                page.get(client, &["accounts", id.as_str(), "pauses"], None)
                    .await
            }
            Self::Timers { id, page } => {
                page.get(client, &["accounts", id.as_str(), "timers"], None)
                    .await
            }
            Self::Resume { id, conversation } => {
                client
                    .delete(&["accounts", id.as_str(), "pauses", conversation])
                    .await
            }
            Self::File { id, file } => {
                client
                    .get(&["accounts", id.as_str(), "files", file], &[])
                    .await
            }
        }
    }

    async fn show(&self, client: &Client, reply: &Reply, style: &Style) -> Result<String, Failure> {
        Ok(match self {
            Self::List { label, .. } => table(&reply.read()?, label.as_ref(), style),
            Self::Label { .. } => labels::about(&reply.read()?),
            Self::Show { id } => about(&reply.read()?, paused(client, id).await?, style),
            Self::Contacts { .. } => contacts::contacts(&reply.read()?, style),
            Self::Groups { .. } => contacts::groups(&reply.read()?, style),
            Self::Pauses { id, .. } => pauses::table(&reply.read()?, id, style),
            Self::Timers { .. } => timers::table(&reply.read()?, style),
            Self::Resume { .. } => pauses::lifted(&reply.read()?),
            Self::File { .. } => file::about(&reply.read()?, style),
        })
    }
}

/// In how many conversations the account's bot is silent. None where that can't be
/// said now: the rest is worth showing all the same.
async fn paused(client: &Client, id: &AccountId) -> Result<Option<usize>, Failure> {
    let limit = LIMIT_MAX.to_string();
    let path = ["accounts", id.as_str(), "pauses"];
    match client.get(&path, &[("limit", &limit)]).await {
        Ok(reply) => reply.read().map(|list: List<Pause>| Some(list.items.len())),
        Err(failure) if failure.may_pass() => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn table(list: &List<AccountView>, label: Option<&Label>, style: &Style) -> String {
    if list.items.is_empty() {
        return match label {
            None => "no account has logged in yet".to_owned(),
            Some(label) => format!("no account with the label {label} has logged in yet"),
        };
    }
    let columns = [
        "ID", "NAME", "CLIENT", "SESSION", "SINCE", "HANDLER", "LABELS",
    ];
    let mut table = Table::new(columns);
    for account in &list.items {
        let (session, since) = session(account, style);
        let handler = account.handler.as_ref().map(ToString::to_string);
        table.row([
            account.id.as_str().into(),
            account.nickname.as_str().into(),
            account.client.as_str().into(),
            session,
            since.into(),
            handler.unwrap_or_else(|| "none".to_owned()).into(),
            labels::words(account.labels.iter()).into(),
        ]);
    }
    let mut text = table.show(style);
    if let Some(next) = &list.next {
        text.push_str(&format!("there are more: add --after {}\n", quoted(next)));
    }
    text
}

fn session(account: &AccountView, style: &Style) -> (Cell, String) {
    match (&account.session, &account.last_logout) {
        (Some(session), _) => (
            Cell::new("online", Paint::Green),
            style.ago(session.login_ms),
        ),
        (None, Some(logout)) => ("offline".into(), style.ago(logout.at_ms)),
        (None, None) => ("offline".into(), String::new()),
    }
}

fn about(account: &AccountView, paused: Option<usize>, style: &Style) -> String {
    let mut known = vec![
        ("id", account.id.to_string()),
        ("name", account.nickname.clone()),
        ("client", account.client.as_str().to_owned()),
        ("first login", style.when(account.first_login_ms)),
        ("handler", handler(account)),
    ];
    if !account.labels.is_empty() {
        known.push(("labels", labels::words(account.labels.iter())));
    }
    known.extend(account.appid.clone().map(|appid| ("appid", appid)));
    if !account.alias.is_empty() {
        known.push(("alias", account.alias.clone()));
    }
    known.extend(session_facts(account, style));
    known.extend(paused.filter(|count| *count > 0).map(|count| {
        let list = format!("`wxhost account pauses {}`", word(account.id.as_str()));
        ("paused", format!("in {count} conversations: {list}"))
    }));
    let failing = account.failing.iter();
    known.extend(failing.map(|it| ("failing", failing_text(it, style))));
    let failures = account.failures.as_deref().unwrap_or_default();
    known.extend(
        failures
            .iter()
            .map(|failure| ("failure", failure_text(failure, style))),
    );
    facts(&known, style)
}

fn handler(account: &AccountView) -> String {
    match &account.handler {
        Some(handler) => handler.to_string(),
        None => {
            let account = word(account.id.as_str());
            format!("none: `wxhost handler bind NAME --account {account}`")
        }
    }
}

fn session_facts(account: &AccountView, style: &Style) -> Vec<(&'static str, String)> {
    let mut known = Vec::new();
    match &account.session {
        None => known.push(("session", "offline".to_owned())),
        Some(session) => {
            known.push((
                "session",
                format!("online, {}", style.when(session.login_ms)),
            ));
            for (label, value) in [
                ("machine", session.machine_id.clone()),
                ("version", session.client_version.clone()),
                ("addresses", session.local_ips.join(", ")),
                (
                    "qr login",
                    session
                        .qr_login
                        .as_ref()
                        .map_or(String::new(), ToString::to_string),
                ),
            ] {
                known.extend((!value.is_empty()).then_some((label, value)));
            }
        }
    }
    if let Some(logout) = &account.last_logout {
        let text = format!("{}: {}", style.when(logout.at_ms), logout.reason);
        known.push(("last logout", text));
    }
    known
}

fn failing_text(failing: &Failing, style: &Style) -> String {
    let Failing {
        handler,
        account,
        failures,
        ..
    } = failing;
    let mut text = format!("{handler}: {failures} calls in a row");
    if let Some(pause) = &failing.pause {
        let (until, account) = (style.ago(pause.until_ms), word(account.as_str()));
        text.push_str(&format!(
            "; paused, tried again {until}; {} events passed by\n\
             now: `wxhost handler resume {handler} --account {account}`",
            failing.passed_by
        ));
    }
    for one in &failing.conversations {
        let Some(pause) = &one.pause else { continue };
        let whose = match one.conversation.as_deref() {
            Some(conversation) => format!("in {}", harmless(conversation)),
            None => "for what belongs to no conversation".to_owned(),
        };
        text.push_str(&format!(
            "\npaused {whose}, tried again {}; {} events passed by",
            style.ago(pause.until_ms),
            one.passed_by
        ));
    }
    if failing.waiting.events > 0 {
        text.push_str(&format!("\n{} events wait", failing.waiting.events));
    }
    text
}

fn failure_text(failure: &BotFailure, style: &Style) -> String {
    let id = failure.id.as_ref();
    let id = id.map_or_else(String::new, |id| format!("{id}, "));
    format!(
        "{id}{}, {} at event {}: {}\n{}\n{}",
        style.when(failure.at_ms),
        failure.handler,
        failure.event,
        failure.kind.as_str(),
        failure.message.trim_end(),
        failure.output.trim_end(),
    )
    .trim_end()
    .to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::{
        domain::{
            ClientKind, Digest,
            handler::{FailureKind, Used, VersionNumber},
        },
        edge::control::wire::SessionView,
    };

    fn account() -> AccountView {
        AccountView {
            id: "wxid_a".try_into().unwrap(),
            client: ClientKind::Wehub,
            appid: None,
            nickname: "小明".into(),
            alias: String::new(),
            avatar_url: String::new(),
            first_login_ms: 0,
            session: None,
            last_logout: None,
            labels: ["shop".try_into().unwrap()].into(),
            handler: None,
            failing: None,
            failures: Some(vec![BotFailure {
                id: None,
                account: None,
                limits: None,
                event: "msg-1".into(),
                handler: "echo".try_into().unwrap(),
                version: VersionNumber(3),
                digest: Digest::of(b"x"),
                used: Used::default(),
                kind: FailureKind::CpuTime,
                message: "computed for too long\n  at echo::run\n".into(),
                output: String::new(),
                at_ms: 0,
            }]),
        }
    }

    #[test]
    fn an_account_without_a_bot_says_how_to_get_one() {
        let text = about(&account(), None, &Style::plain(0));
        assert!(
            text.contains("`wxhost handler bind NAME --account wxid_a`"),
            "{text}"
        );
    }

    #[test]
    fn pauses_and_the_login_of_a_session_are_shown() {
        let mut account = account();
        account.session = Some(SessionView {
            login_ms: 0,
            machine_id: "PC_1".into(),
            client_session: String::new(),
            client_version: String::new(),
            local_ips: vec![],
            qr_login: Some("qr-1".try_into().unwrap()),
        });
        let text = about(&account, Some(2), &Style::plain(0));
        assert!(text.contains("qr login     qr-1\n"), "{text}");
        assert!(
            text.contains("paused       in 2 conversations: `wxhost account pauses wxid_a`\n"),
            "{text}"
        );
        let text = about(&account, Some(0), &Style::plain(0));
        assert!(!text.contains("paused"), "{text}");
    }

    #[test]
    fn a_failure_keeps_its_lines() {
        let text = about(&account(), None, &Style::plain(0));
        let expected = "failure      just now (1970-01-01T00:00:00Z), echo at event msg-1: cpu-time\n\
                        \x20            computed for too long\n\
                        \x20              at echo::run\n";
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn a_strangers_words_do_not_steer_the_terminal() {
        let evil = "a\u{1b}[2J\u{7}\n'; id";
        let mut account = account();
        account.nickname = evil.to_owned();
        account.alias = evil.to_owned();
        account.id = "wxid_a';id".try_into().unwrap();
        let shown = about(&account, Some(1), &Style::plain(0));
        assert!(shown.contains(r"pauses 'wxid_a'\'';id'`"), "{shown}");
        let list = List {
            items: vec![account],
            next: Some(evil.to_owned()),
        };
        let table = table(&list, None, &Style::plain(0));
        assert_eq!(table.lines().count(), 3, "{table}");
        assert!(table.ends_with("'a\u{fffd}[2J\u{fffd}\u{fffd}'\\''; id'\n"));
        for text in [shown, table] {
            assert!(!text.contains(['\u{1b}', '\u{7}']), "{text:?}");
        }
    }

    #[test]
    fn a_listing_says_how_to_see_more() {
        let list = List {
            items: vec![account()],
            next: Some("wxid_a".into()),
        };
        assert_eq!(
            table(&list, None, &Style::plain(0)),
            "ID      NAME  CLIENT  SESSION  SINCE  HANDLER  LABELS\n\
             wxid_a  小明  wehub   offline         none     shop\n\
             there are more: add --after 'wxid_a'\n"
        );
    }
}
