//! `wxhost client …`: Openwx clients, which the host starts and looks after.

mod follow;
mod log;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Args, Subcommand, builder::PossibleValuesParser};

use super::{
    client::{Client, Reply},
    failure::Failure,
    handler::{encode, entry},
    output::{Cell, Paint, Printed, Style, Table, facts, harmless, size, word},
};
use crate::{
    domain::{
        ClientName,
        client::{ClientStatus, NativeState, Phase, ProcessUsage, StateSeen, StateSource},
        id::BadId,
    },
    edge::control::wire::{ClientStart, List},
};

/// The pause between two looks at a client that ends.
const PAUSE: Duration = Duration::from_millis(300);
/// How long a client may take to end: the host kills it before, unless its settings
/// are unusual.
const END_MAX: Duration = Duration::from_secs(60);

const EXAMPLES: &str = "\
Examples:
  wxhost client start rose --watch                  start a client, and scan its code right here
  wxhost client start rose --param log_level=debug --param post_api=http://127.0.0.1:8000/rose
  wxhost client list                                who runs, since when, and what it takes
  wxhost client show rose                           everything about one
  wxhost client log rose -f                         what it prints, as it prints it
  wxhost client clear rose                          start one again that has failed or stopped
  wxhost client stop rose --wait                    end it, and want it no more

A client whose process ends by itself is started again, and so is each one when the host is, unless
it has failed or stopped. The name of a client is the id of its account: `wxhost account show rose`,
`wxhost task send rose …`.";

/// `wxhost client`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ClientsArgs {
    #[command(subcommand)]
    command: ClientsCommand,
    /// Print JSON, as the API gives it; while watching, a line of it for each change
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum ClientsCommand {
    /// Start a client: it logs in by a QR code, unless it was logged in lately
    Start(Start),
    /// End a client, and want it no more: it is not started again
    Stop {
        /// Which
        #[arg(value_parser = client_name)]
        name: ClientName,
        /// Wait until its process has ended
        #[arg(long)]
        wait: bool,
    },
    /// List all clients
    List {
        /// Only those in this phase
        #[arg(long, value_parser = PossibleValuesParser::new(Phase::ALL.map(Phase::as_str)))]
        phase: Option<String>,
    },
    /// Show everything about one client
    Show {
        /// Which
        #[arg(value_parser = client_name)]
        name: ClientName,
    },
    /// Follow a client until it is logged in, and show each of its codes
    Watch {
        /// Which
        #[arg(value_parser = client_name)]
        name: ClientName,
    },
    /// Show what a client has printed
    Log(log::LogArgs),
    /// End a client's process and start another one; start one that has failed or stopped
    Restart {
        /// Which
        #[arg(value_parser = client_name)]
        name: ClientName,
    },
    /// Start a client again that has failed or stopped (ended by itself as it should)
    Clear {
        /// Which
        #[arg(value_parser = client_name)]
        name: ClientName,
    },
}

#[derive(Args)]
struct Start {
    /// Its name, which becomes the account's id: 1 to 64 letters, digits and - _ . @ (at most 192
    /// bytes), not beginning with a dot
    #[arg(value_parser = client_name)]
    name: ClientName,
    /// By which template of the configuration it is started [default: default]
    #[arg(long, value_name = "NAME")]
    template: Option<String>,
    /// A parameter for the client, such as log_level=debug; can be given again
    #[arg(long = "param", value_name = "KEY=VALUE", value_parser = entry)]
    parameters: Vec<(String, String)>,
    /// Follow it until it is logged in, and show each of its codes
    #[arg(long)]
    watch: bool,
}

/// A client's name, as an argument.
fn client_name(text: &str) -> Result<ClientName, BadId> {
    text.try_into()
}

impl ClientsArgs {
    /// Asks the host.
    pub(super) async fn run(self, client: &Client, style: &Style) -> Result<Printed, Failure> {
        let json = self.json;
        match self.command {
            ClientsCommand::Start(args) => start(client, style, json, args).await,
            ClientsCommand::Stop { name, wait } => stop(client, json, &name, wait).await,
            ClientsCommand::List { phase } => list(client, style, json, phase).await,
            ClientsCommand::Show { name } => {
                let reply = client.get(&["clients", name.as_str()], &[]).await?;
                told(reply, json, |status| about(status, style))
            }
            ClientsCommand::Watch { name } => follow::follow(client, style, json, &name).await,
            ClientsCommand::Log(args) => log::print(client, json, args).await,
            ClientsCommand::Restart { name } => {
                let reply = ask(client, &name, "restart").await?;
                told(reply, json, |status| begun("is started anew", status))
            }
            ClientsCommand::Clear { name } => {
                let reply = ask(client, &name, "clear").await?;
                told(reply, json, |status| begun("has been started", status))
            }
        }
    }
}

async fn ask(client: &Client, name: &ClientName, what: &str) -> Result<Reply, Failure> {
    let path = ["clients", name.as_str(), what];
    client.post(&path, &[], String::new(), None).await
}

/// A client's status, as JSON or as text.
fn told(
    reply: Reply,
    json: bool,
    text: impl FnOnce(&ClientStatus) -> String,
) -> Result<Printed, Failure> {
    Ok(Printed::ok(match json {
        true => reply.text,
        false => text(&reply.read()?),
    }))
}

async fn start(
    client: &Client,
    style: &Style,
    json: bool,
    args: Start,
) -> Result<Printed, Failure> {
    let body = encode(&ClientStart {
        name: args.name.clone(),
        template: args.template,
        parameters: args.parameters.into_iter().collect(),
    })?;
    let reply = client.post(&["clients"], &[], body, None).await?;
    match args.watch {
        true => follow::follow(client, style, json, &args.name).await,
        false => told(reply, json, |status| begun("has been started", status)),
    }
}

fn begun(what: &str, status: &ClientStatus) -> String {
    let name = word(status.name.as_str());
    format!(
        "{} {what}\nsee its code and whether it logs in: `wxhost client watch {name}`",
        status.name
    )
}

async fn stop(
    client: &Client,
    json: bool,
    name: &ClientName,
    wait: bool,
) -> Result<Printed, Failure> {
    let reply = client.delete(&["clients", name.as_str()]).await?;
    let ended = wait && await_end(client, name).await?;
    let text = match (wait, ended) {
        (_, true) => format!("{name} has ended"),
        (false, _) => format!("{name} is told to end"),
        (true, false) => format!("{name} has not ended after {} s", END_MAX.as_secs()),
    };
    let text = if json { reply.text } else { text };
    let code = match wait == ended {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    };
    Ok(Printed {
        code,
        ..Printed::ok(text)
    })
}

/// False when it takes too long.
async fn await_end(client: &Client, name: &ClientName) -> Result<bool, Failure> {
    let begun = Instant::now();
    while begun.elapsed() < END_MAX {
        match client.get(&["clients", name.as_str()], &[]).await {
            Err(failure) if failure.is_not_found() => return Ok(true),
            looked => looked?,
        };
        tokio::time::sleep(PAUSE).await;
    }
    Ok(false)
}

async fn list(
    client: &Client,
    style: &Style,
    json: bool,
    phase: Option<String>,
) -> Result<Printed, Failure> {
    let query: Vec<_> = phase.iter().map(|phase| ("phase", &**phase)).collect();
    let reply = client.get(&["clients"], &query).await?;
    Ok(Printed::ok(match json {
        true => reply.text,
        false => table(&reply.read()?, style),
    }))
}

fn table(list: &List<ClientStatus>, style: &Style) -> String {
    if list.items.is_empty() {
        return "no such clients: `wxhost client start NAME --watch`".to_owned();
    }
    let mut table = Table::new([
        "NAME", "PHASE", "STATE", "PID", "PORT", "UP", "RESTARTS", "MEMORY", "CPU",
    ]);
    for status in &list.items {
        let usage = status.usage.as_ref();
        table.row([
            status.name.as_str().into(),
            Cell::new(status.phase.as_str(), paint(status.phase)),
            status.state.map_or("", |seen| seen.state.as_str()).into(),
            number(status.pid).into(),
            number(status.port).into(),
            up(status, style).into(),
            status.restarts.to_string().into(),
            usage.map_or(String::new(), |it| size(it.rss_bytes)).into(),
            usage.map_or(String::new(), percent).into(),
        ]);
    }
    table.show(style)
}

fn number(number: Option<impl ToString>) -> String {
    number.map_or(String::new(), |number| number.to_string())
}

fn up(status: &ClientStatus, style: &Style) -> String {
    let since = status.spawned_ms.filter(|_| status.phase.is_alive());
    since.map_or(String::new(), |at_ms| style.age(at_ms))
}

/// Of one core.
fn percent(usage: &ProcessUsage) -> String {
    format!("{}.{} %", usage.cpu_permille / 10, usage.cpu_permille % 10)
}

/// How a client's phase is set off.
fn paint(phase: Phase) -> Paint {
    match phase {
        Phase::Running => Paint::Green,
        Phase::Spawned | Phase::Listening | Phase::Waiting => Paint::Yellow,
        Phase::Failed => Paint::Red,
        Phase::Stopping | Phase::Stopped => Paint::Plain,
    }
}

fn about(status: &ClientStatus, style: &Style) -> String {
    let phase = format!("{}, {}", status.phase.as_str(), style.when(status.since_ms));
    let mut known = vec![("name", status.name.to_string()), ("phase", phase)];
    known.extend(status.reason.clone().map(|reason| ("reason", reason)));
    known.extend(status.state.map(|seen| ("state", state(&seen, style))));
    known.extend(hint(status).map(|hint| ("what to do", hint)));
    known.extend(process_facts(status, style));
    known.push(("restarts", status.restarts.to_string()));
    known.extend(
        status
            .next_start_ms
            .map(|at| ("next start", style.when(at))),
    );
    known.extend(status.last_end.as_ref().map(|end| {
        let text = format!("{}: {}", style.when(end.at_ms), end.reason);
        ("last end", text)
    }));
    known.push(("template", status.template.clone()));
    let parameters = status.parameters.iter();
    known.extend(parameters.map(|(name, value)| ("parameter", format!("{name}={value}"))));
    facts(&known, style)
}

fn process_facts(status: &ClientStatus, style: &Style) -> Vec<(&'static str, String)> {
    let mut known = Vec::new();
    known.extend(status.pid.map(|pid| ("pid", pid.to_string())));
    known.extend(status.port.map(|port| ("port", port.to_string())));
    for (label, at_ms) in [
        ("started", status.spawned_ms),
        ("listening", status.listening_ms),
        ("logged in", status.running_ms),
    ] {
        known.extend(at_ms.map(|at_ms| (label, style.when(at_ms))));
    }
    if let Some(usage) = &status.usage {
        known.push(("memory", size(usage.rss_bytes)));
        known.push(("cpu", format!("{} of one core", percent(usage))));
    }
    known
}

fn state(seen: &StateSeen, style: &Style) -> String {
    let source = match seen.source {
        StateSource::File => "its state file",
        StateSource::Report => "a report",
    };
    let (state, when) = (seen.state.as_str(), style.when(seen.at_ms));
    format!("{state}, {when}, says {source}")
}

/// What somebody can do about how a client stands.
fn hint(status: &ClientStatus) -> Option<String> {
    let name = word(status.name.as_str());
    let waits = status.state.map(|seen| seen.state) == Some(NativeState::Scaning);
    match status.phase {
        Phase::Failed | Phase::Stopped => Some(format!(
            "see why with `wxhost client log {name}`, then `wxhost client clear {name}`"
        )),
        Phase::Spawned | Phase::Listening if waits || status.code.is_some() => {
            Some(format!("scan its code: `wxhost client watch {name}`"))
        }
        _ => None,
    }
}

/// Where a client stands, in a line.
fn brief(status: &ClientStatus) -> String {
    let reason = status.reason.as_deref();
    let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
    harmless(&format!("{}{reason}", status.phase.as_str()))
}

#[cfg(test)]
pub(super) mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::domain::client::ProcessEnd;

    /// A client in this phase.
    pub fn client(phase: Phase) -> ClientStatus {
        ClientStatus {
            name: "rose".try_into().unwrap(),
            revision: 1,
            template: "default".to_owned(),
            parameters: [("log_level".to_owned(), "debug".to_owned())].into(),
            phase,
            since_ms: 0,
            reason: None,
            start: None,
            pid: Some(4711),
            port: Some(3000),
            spawned_ms: Some(0),
            listening_ms: None,
            running_ms: None,
            state: None,
            code: None,
            restarts: 2,
            next_start_ms: None,
            last_end: None,
            usage: Some(ProcessUsage {
                rss_bytes: 48 * 1024 * 1024,
                cpu_permille: 15,
                at_ms: 0,
            }),
        }
    }

    fn failed(reason: &str) -> ClientStatus {
        ClientStatus {
            reason: Some(reason.to_owned()),
            pid: None,
            port: None,
            spawned_ms: None,
            usage: None,
            last_end: Some(ProcessEnd {
                at_ms: 0,
                reason: reason.to_owned(),
            }),
            ..client(Phase::Failed)
        }
    }

    #[test]
    fn clients_are_listed_with_what_they_take() {
        let waits = ClientStatus {
            state: Some(StateSeen {
                state: NativeState::Scaning,
                at_ms: 0,
                source: StateSource::File,
            }),
            ..client(Phase::Listening)
        };
        let list = List::whole([waits, failed("it ended 21 times")]);
        assert_eq!(
            table(&list, &Style::plain(60_000)),
            "NAME  PHASE      STATE    PID   PORT  UP     RESTARTS  MEMORY    CPU\n\
             rose  listening  scaning  4711  3000  1 min  2         48.0 MiB  1.5 %\n\
             rose  failed                                 2\n"
        );
    }

    #[test]
    fn a_client_that_has_failed_says_why_and_what_to_do() {
        assert_eq!(
            about(&failed("it ended 21 times"), &Style::plain(1_000)),
            "name        rose\n\
             phase       failed, 1 s ago (1970-01-01T00:00:00Z)\n\
             reason      it ended 21 times\n\
             what to do  see why with `wxhost client log rose`, then `wxhost client clear rose`\n\
             restarts    2\n\
             last end    1 s ago (1970-01-01T00:00:00Z): it ended 21 times\n\
             template    default\n\
             parameter   log_level=debug\n"
        );
    }

    #[test]
    fn a_client_that_waits_for_a_scan_says_where_its_code_is() {
        let mut status = client(Phase::Spawned);
        assert_eq!(hint(&status), None);
        status.code = Some(crate::domain::Digest::of(b"code"));
        assert!(
            hint(&status)
                .unwrap()
                .contains("`wxhost client watch rose`")
        );
        status.phase = Phase::Running;
        assert_eq!(hint(&status), None);
    }

    #[test]
    fn a_clients_words_do_not_steer_the_terminal() {
        let evil = "a\u{1b}[2J\u{7}\nb";
        let mut status = failed(evil);
        status.parameters = [("x".to_owned(), evil.to_owned())].into();
        status.template = evil.to_owned();
        let (text, line) = (about(&status, &Style::plain(0)), brief(&status));
        assert_eq!(line.lines().count(), 1);
        for text in [text, line] {
            assert!(!text.contains(['\u{1b}', '\u{7}']), "{text:?}");
        }
    }
}
