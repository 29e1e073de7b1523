//! `wxhost login …`: logging accounts in by a QR code that somebody scans.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand, builder::PossibleValuesParser};
use serde::Serialize;

use super::{
    client::Client,
    failure::Failure,
    handler::encode,
    output::{Cell, Paint, Printed, Style, Table, facts, harmless, quoted, word},
    parse, qr,
    screen::{Code, Screen},
    watch::{Form, watch},
};
use crate::{
    domain::{AccountId, ClientName, Login, LoginId, LoginState, id::BadId, login::Step},
    edge::control::{
        input::LIMIT_DEFAULT,
        wire::{List, LoginStart},
    },
};

/// The largest image of a code that is taken from a host, in bytes. WeChat's have
/// less than one KiB.
const IMAGE_MAX_BYTES: usize = 8 * 1024 * 1024;

const EXAMPLES: &str = "\
Examples:
  wxhost login start --watch                     log in with the next client, code and all
  wxhost login start --agent wxid_a --note Rose  have the client of wxid_a start another
  wxhost login watch ID                          show the code of a login, and what becomes of it
  wxhost login qr ID --out code.png              the code as an image
  wxhost login list --state awaiting-scan

A WeHub client that is logged in starts another, which uploads a code every minute or two until somebody
scans it with WeChat. Openwx clients are started with `wxhost client start`; their logins are here
too. While it is watched the exit status is 0 only if an account has logged in.";

/// `wxhost login`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct LoginArgs {
    #[command(subcommand)]
    command: LoginCommand,
    /// Print the API's JSON; while watching, a line of it for each change
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum LoginCommand {
    /// Have a client start another one, to be logged in by a QR code
    Start(Start),
    /// List logins, newest first
    List {
        /// Only those in this state
        #[arg(long, value_parser = PossibleValuesParser::new(LoginState::ALL.map(LoginState::as_str)))]
        state: Option<String>,
        /// How many at most (1 to 1000)
        #[arg(long, value_name = "N", default_value_t = LIMIT_DEFAULT)]
        limit: usize,
        /// Begin after this login
        #[arg(long, value_name = "ID")]
        after: Option<String>,
    },
    /// Show one login and every step of it
    Show {
        /// Which
        #[arg(value_parser = login_id)]
        id: LoginId,
    },
    /// Show the code that is to be scanned now
    Qr {
        /// Whose
        #[arg(value_parser = login_id)]
        id: LoginId,
        /// Write the image to this file instead
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Follow a login to its end and show each of its codes
    Watch {
        /// Which
        #[arg(value_parser = login_id)]
        id: LoginId,
    },
    /// Give a login up
    Cancel {
        /// Which
        #[arg(value_parser = login_id)]
        id: LoginId,
    },
}

#[derive(Args)]
struct Start {
    /// The account whose client shall do it [default: any that is online]
    #[arg(long, value_name = "ID", value_parser = parse::account, conflicts_with = "machine")]
    agent: Option<AccountId>,
    /// The `machine` of the client that shall do it, as `account show` has it
    #[arg(long, value_name = "ID")]
    machine: Option<String>,
    /// What to remember about it, such as who shall scan
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Follow it to its end and show each of its codes
    #[arg(long)]
    watch: bool,
}

/// A login's id, as an argument.
fn login_id(text: &str) -> Result<LoginId, BadId> {
    text.try_into()
}

impl LoginArgs {
    /// Asks the host.
    pub(super) async fn run(self, client: &Client, style: &Style) -> Result<Printed, Failure> {
        let json = self.json;
        match self.command {
            LoginCommand::Start(args) => start(client, style, json, args).await,
            LoginCommand::List {
                state,
                limit,
                after,
            } => list(client, style, json, state, limit, after).await,
            LoginCommand::Show { id } => show(client, style, json, &id).await,
            LoginCommand::Qr { id, out } => code(client, style, json, &id, out.as_deref()).await,
            LoginCommand::Watch { id } => follow(client, style, json, &id).await,
            LoginCommand::Cancel { id } => cancel(client, json, &id).await,
        }
    }
}

async fn start(
    client: &Client,
    style: &Style,
    json: bool,
    args: Start,
) -> Result<Printed, Failure> {
    let body = encode(&LoginStart {
        agent: args.agent,
        machine: args.machine,
        note: args.note,
    })?;
    let reply = client.post(&["logins"], &[], body, None).await?;
    let login: Login = reply.read()?;
    match (args.watch, json) {
        (true, _) => follow(client, style, json, &login.id).await,
        (false, true) => Ok(Printed::ok(reply.text)),
        (false, false) => Ok(Printed::ok(format!(
            "login {}\nsee the code and what becomes of it: `wxhost login watch {}`",
            brief(&login),
            word(login.id.as_str())
        ))),
    }
}

/// A login and why it stands where it stands, in a line.
fn brief(login: &Login) -> String {
    let reason = login.steps.last().map_or("", |step| step.reason.as_str());
    harmless(&format!("{} {}: {reason}", login.id, login.state.as_str()))
}

async fn follow(
    client: &Client,
    style: &Style,
    json: bool,
    id: &LoginId,
) -> Result<Printed, Failure> {
    let mut screen = Screen::of_stdout(style);
    let form = match json {
        true => Form::Json,
        false => Form::Text(*style),
    };
    if !json {
        screen.say(&[format!("login {id}")])?;
    }
    let code = watch(client, id, form, &mut screen).await?;
    Ok(Printed {
        code,
        ..Printed::ok("")
    })
}

async fn list(
    client: &Client,
    style: &Style,
    json: bool,
    state: Option<String>,
    limit: usize,
    after: Option<String>,
) -> Result<Printed, Failure> {
    let limit = limit.to_string();
    let mut query = vec![("limit", limit.as_str())];
    query.extend(state.as_deref().map(|state| ("state", state)));
    query.extend(after.as_deref().map(|after| ("after", after)));
    let reply = client.get(&["logins"], &query).await?;
    Ok(Printed::ok(match json {
        true => reply.text,
        false => table(&reply.read()?, style),
    }))
}

fn table(list: &List<Login>, style: &Style) -> String {
    if list.items.is_empty() {
        return "no such logins: `wxhost login start --watch`".to_owned();
    }
    let mut table = Table::new(["ID", "STATE", "BEGUN", "CLIENT", "ACCOUNT", "CODES", "NOTE"]);
    for login in &list.items {
        table.row([
            login.id.as_str().into(),
            Cell::new(login.state.as_str(), paint(login.state)),
            style.ago(login.made_ms).into(),
            shown_by(login).into(),
            login.account.as_ref().map_or("", AccountId::as_str).into(),
            login.generation.to_string().into(),
            login.note.as_str().into(),
        ]);
    }
    let mut text = table.show(style);
    if let Some(next) = &list.next {
        text.push_str(&format!(
            "there may be more: add --after {}\n",
            quoted(next)
        ));
    }
    text
}

/// Whose client shows the codes: the agent's, or the one that was started here.
fn shown_by(login: &Login) -> &str {
    let client = login.client.as_ref().map(ClientName::as_str);
    client.unwrap_or_else(|| login.agent.as_ref().map_or("", AccountId::as_str))
}

/// How a login's state is set off.
fn paint(state: LoginState) -> Paint {
    match state {
        LoginState::Succeeded => Paint::Green,
        LoginState::Failed | LoginState::Expired => Paint::Red,
        LoginState::Requested | LoginState::Dispatched | LoginState::AwaitingScan => Paint::Yellow,
    }
}

async fn show(
    client: &Client,
    style: &Style,
    json: bool,
    id: &LoginId,
) -> Result<Printed, Failure> {
    let reply = client.get(&["logins", id.as_str()], &[]).await?;
    Ok(Printed::ok(match json {
        true => reply.text,
        false => about(&reply.read()?, style),
    }))
}

fn about(login: &Login, style: &Style) -> String {
    let mut known = vec![
        ("id", login.id.to_string()),
        ("state", login.state.as_str().to_owned()),
        ("codes", login.generation.to_string()),
    ];
    known.extend(login.agent.as_ref().map(|it| ("agent", it.to_string())));
    known.extend(login.client.as_ref().map(|it| ("client", it.to_string())));
    known.extend(login.task.as_ref().map(|it| ("task", it.to_string())));
    known.extend(login.account.as_ref().map(|it| ("account", it.to_string())));
    for (label, text) in [("machine", &login.machine_id), ("note", &login.note)] {
        known.extend((!text.is_empty()).then(|| (label, text.clone())));
    }
    known.extend(login.steps.iter().map(|it| ("step", step(it, style))));
    facts(&known, style)
}

fn step(step: &Step, style: &Style) -> String {
    let (when, state) = (style.when(step.at_ms), step.state.as_str());
    format!("{when}, {state}: {}", step.reason)
}

/// The code to be scanned now.
pub(super) async fn fetch_code(client: &Client, id: &LoginId) -> Result<Code, Failure> {
    let download = client.download(&["logins", id.as_str(), "qr"]).await?;
    let mime = download.header("content-type").unwrap_or_default();
    let tag = download.header("etag").unwrap_or_default();
    Ok(Code {
        generation: tag.trim_matches('"').parse().ok(),
        image: download.whole(IMAGE_MAX_BYTES).await?,
        mime,
    })
}

/// What is known of a code, as JSON.
#[derive(Serialize)]
struct CodeView<'a> {
    login: &'a LoginId,
    generation: Option<u32>,
    mime: &'a str,
    size_bytes: usize,
    /// What the code says; none when it can't be read.
    content: Option<String>,
    /// The file that it was written to.
    file: Option<String>,
}

async fn code(
    client: &Client,
    style: &Style,
    json: bool,
    id: &LoginId,
    out: Option<&Path>,
) -> Result<Printed, Failure> {
    let code = fetch_code(client, id).await?;
    if let Some(out) = out {
        fs::write(out, &code.image).map_err(|error| Failure::local(out.display(), error))?;
    }
    match (json, out) {
        (true, out) => view(id, &code, out).map(Printed::ok),
        (false, Some(out)) => Ok(Printed::ok(format!("the code is in {}", out.display()))),
        (false, None) => {
            let mut screen = Screen::of_stdout(style);
            screen.show(&code)?;
            screen.leave();
            Ok(Printed::ok(""))
        }
    }
}

fn view(id: &LoginId, code: &Code, out: Option<&Path>) -> Result<String, Failure> {
    let content = qr::read(&code.image).ok();
    encode(&CodeView {
        login: id,
        generation: code.generation,
        mime: &code.mime,
        size_bytes: code.image.len(),
        content: content.and_then(|bytes| String::from_utf8(bytes).ok()),
        file: out.map(|out| out.display().to_string()),
    })
}

async fn cancel(client: &Client, json: bool, id: &LoginId) -> Result<Printed, Failure> {
    let reply = client.delete(&["logins", id.as_str()]).await?;
    Ok(Printed::ok(match json {
        true => reply.text,
        false => brief(&reply.read()?),
    }))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn login() -> Login {
        let task: crate::domain::TaskId = "wxid_a-5".parse().unwrap();
        let (id, agent) = ("qr-1".try_into().unwrap(), task.account.clone());
        let mut login = Login::requested(id, agent, task, "for Rose".to_owned(), 0);
        login.failed("given up", 1000);
        login
    }

    #[test]
    fn a_login_is_shown_with_its_steps() {
        assert_eq!(
            about(&login(), &Style::plain(1000)),
            "id     qr-1\n\
             state  failed\n\
             codes  0\n\
             agent  wxid_a\n\
             task   wxid_a-5\n\
             note   for Rose\n\
             step   1 s ago (1970-01-01T00:00:00Z), requested: wxid_a is asked to start a client\n\
             step   just now (1970-01-01T00:00:01Z), failed: given up\n"
        );
    }

    #[test]
    fn a_login_of_a_client_names_the_client() {
        let (id, client) = ("qr-1".try_into().unwrap(), "rose".try_into().unwrap());
        let login = Login::of_client(id, client, 0);
        assert_eq!(
            about(&login, &Style::plain(0)),
            "id      qr-1\n\
             state   dispatched\n\
             codes   0\n\
             client  rose\n\
             step    just now (1970-01-01T00:00:00Z), dispatched: the client rose waits for a \
             scan\n"
        );
        let table = table(&List::whole([login]), &Style::plain(0));
        assert!(table.contains("just now  rose"), "{table}");
    }

    #[test]
    fn a_strangers_words_do_not_steer_the_terminal() {
        let evil = "a\u{1b}[2J\u{7}\n'; id";
        let mut login = login();
        login
            .steps
            .iter_mut()
            .for_each(|it| it.reason = evil.to_owned());
        login.note = evil.to_owned();
        login.machine_id = evil.to_owned();
        let list = List {
            items: vec![login.clone()],
            next: Some(evil.to_owned()),
        };
        let style = Style::plain(1000);
        let table = table(&list, &style);
        assert_eq!(table.lines().count(), 3, "{table}");
        assert!(table.ends_with("'a\u{fffd}[2J\u{fffd}\u{fffd}'\\''; id'\n"));
        assert_eq!(brief(&login).lines().count(), 1);
        for text in [table, brief(&login), about(&login, &style)] {
            assert!(!text.contains(['\u{1b}', '\u{7}']), "{text:?}");
        }
    }

    #[test]
    fn a_table_of_logins_says_how_to_see_more() {
        let list = List {
            items: vec![login()],
            next: Some("qr-1".to_owned()),
        };
        assert_eq!(
            table(&list, &Style::plain(60_000)),
            "ID    STATE   BEGUN      CLIENT  ACCOUNT  CODES  NOTE\n\
             qr-1  failed  1 min ago  wxid_a           0      for Rose\n\
             there may be more: add --after 'qr-1'\n"
        );
    }

    #[test]
    fn a_code_is_told_to_programs_with_what_it_says() {
        let code = Code {
            generation: Some(2),
            image: include_bytes!("testdata/qr-2.png").to_vec(),
            mime: "image/png".to_owned(),
        };
        let told = view(&login().id, &code, None).unwrap();
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        let said = String::from_utf8(qr::read(&code.image).unwrap()).unwrap();
        assert_eq!(told.get("content").unwrap().as_str(), Some(said.as_str()));
        assert_eq!(told.get("generation").unwrap(), 2);
    }
}
