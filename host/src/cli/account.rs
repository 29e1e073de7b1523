//! `wxhost account …`: who is there.

use clap::{Args, Subcommand};

use super::{
    client::Client,
    failure::Failure,
    output::{Cell, Paint, Printed, Style, Table, facts},
};
use crate::{
    domain::{AccountId, Failure as BotFailure, id::BadId},
    edge::control::{
        input::LIMIT_DEFAULT,
        wire::{AccountView, List},
    },
};

const EXAMPLES: &str = "\
Examples:
  wxhost account list
  wxhost account show wxid_a      with the last failures of its bot";

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
        /// How many at most (1 to 1000)
        #[arg(long, value_name = "N", default_value_t = LIMIT_DEFAULT)]
        limit: usize,
        /// Begin after this account
        #[arg(long, value_name = "ID")]
        after: Option<String>,
    },
    /// Show one account: its session, its bot, and how the bot failed lately
    Show {
        /// Which
        #[arg(value_parser = account_id)]
        id: AccountId,
    },
}

/// An account's id, as an argument.
pub(super) fn account_id(text: &str) -> Result<AccountId, BadId> {
    text.try_into()
}

impl AccountArgs {
    /// Asks the host.
    pub(super) async fn run(self, client: &Client, style: &Style) -> Result<Printed, Failure> {
        let reply = match &self.command {
            AccountCommand::List { limit, after } => {
                let limit = limit.to_string();
                let mut query = vec![("limit", limit.as_str())];
                query.extend(after.as_deref().map(|after| ("after", after)));
                client.get(&["accounts"], &query).await?
            }
            AccountCommand::Show { id } => client.get(&["accounts", id.as_str()], &[]).await?,
        };
        if self.json {
            return Ok(Printed::ok(reply.text));
        }
        Ok(Printed::ok(match self.command {
            AccountCommand::List { .. } => table(&reply.read()?, style),
            AccountCommand::Show { .. } => about(&reply.read()?, style),
        }))
    }
}

fn table(list: &List<AccountView>, style: &Style) -> String {
    if list.items.is_empty() {
        return "no account has logged in yet".to_owned();
    }
    let mut table = Table::new(["ID", "NAME", "CLIENT", "SESSION", "SINCE", "HANDLER"]);
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
        ]);
    }
    let mut text = table.show(style);
    if let Some(next) = &list.next {
        text.push_str(&format!("there are more: add --after '{next}'\n"));
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

fn about(account: &AccountView, style: &Style) -> String {
    let mut known = vec![
        ("id", account.id.to_string()),
        ("name", account.nickname.clone()),
        ("client", account.client.as_str().to_owned()),
        ("first login", style.when(account.first_login_ms)),
        ("handler", handler(account)),
    ];
    known.extend(account.appid.clone().map(|appid| ("appid", appid)));
    if !account.alias.is_empty() {
        known.push(("alias", account.alias.clone()));
    }
    known.extend(session_facts(account, style));
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
        None => format!("none: `wxhost handler bind NAME --account {}`", account.id),
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

fn failure_text(failure: &BotFailure, style: &Style) -> String {
    let kind = serde_json::to_value(failure.kind);
    let kind = kind.as_ref().ok().and_then(|kind| kind.as_str());
    format!(
        "{}, {} at event {}: {}\n{}\n{}",
        style.when(failure.at_ms),
        failure.handler,
        failure.event,
        kind.unwrap_or_default(),
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
    use crate::domain::{ClientKind, Digest, handler::FailureKind};

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
            handler: None,
            failures: Some(vec![BotFailure {
                event: "msg-1".into(),
                handler: "echo".try_into().unwrap(),
                digest: Digest::of(b"x"),
                kind: FailureKind::CpuTime,
                message: "computed for too long\n  at echo::run\n".into(),
                output: String::new(),
                at_ms: 0,
            }]),
        }
    }

    #[test]
    fn an_account_without_a_bot_says_how_to_get_one() {
        let text = about(&account(), &Style::plain(0));
        assert!(
            text.contains("`wxhost handler bind NAME --account wxid_a`"),
            "{text}"
        );
    }

    #[test]
    fn a_failure_keeps_its_lines() {
        let text = about(&account(), &Style::plain(0));
        let expected = "failure      just now (1970-01-01T00:00:00Z), echo at event msg-1: cpu-time\n\
                        \x20            computed for too long\n\
                        \x20              at echo::run\n";
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn a_listing_says_how_to_see_more() {
        let list = List {
            items: vec![account()],
            next: Some("wxid_a".into()),
        };
        assert_eq!(
            table(&list, &Style::plain(0)),
            "ID      NAME  CLIENT  SESSION  SINCE  HANDLER\n\
             wxid_a  小明  wehub   offline         none\n\
             there are more: add --after 'wxid_a'\n"
        );
    }
}
