//! `wxhost task …`: having accounts do something.

use std::path::Path;

use clap::{ArgGroup, Args, Subcommand, builder::PossibleValuesParser};

use super::{
    client::{Client, Reply},
    failure::Failure,
    handler::{encode, read_text},
    output::{Cell, Paint, Printed, Style, Table, facts, harmless, word},
    parse,
    wait::{Wait, wait},
};
use crate::{
    domain::{
        AccountId, Action, Task, TaskId, TaskNumber, TaskState,
        action::Segment,
        task::{Delivery, Origin},
    },
    edge::control::{
        input::LIMIT_DEFAULT,
        wire::{List, Tasks},
    },
};

/// How much of a text tables show.
const TEXT_SHOWN_CHARS: usize = 40;

const EXAMPLES: &str = "\
Examples:
  wxhost task send wxid_a --to wxid_b --text 'Good morning' --wait
  wxhost task send wxid_a --to 123@chatroom --mention wxid_b --text 'look here'
  wxhost task send wxid_a --action '{\"action\":\"leave-group\",\"group\":\"123@chatroom\"}'
  wxhost task send wxid_a --to wxid_b --text 'Lunch?' --expires-in 10m
  wxhost task list wxid_a --state failed
  wxhost task cancel wxid_a-1795175313000123

With --wait the exit status is 0 only if every task was done.";

/// `wxhost task`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct TaskArgs {
    #[command(subcommand)]
    command: TaskCommand,
    /// Print the API's JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum TaskCommand {
    /// Have an account write to somebody, or do anything else
    Send(Send),
    /// Show one task
    Show {
        /// The task's id
        id: TaskId,
        #[command(flatten)]
        wait: Wait,
    },
    /// Call a task off that no client has yet
    Cancel {
        /// The task's id
        id: TaskId,
    },
    /// List an account's tasks, newest first
    List {
        /// Whose
        #[arg(value_parser = parse::account)]
        account: AccountId,
        /// Only those in this state
        #[arg(long, value_parser = PossibleValuesParser::new(TaskState::ALL.map(TaskState::as_str)))]
        state: Option<String>,
        /// How many at most (1 to 1000)
        #[arg(long, value_name = "N", default_value_t = LIMIT_DEFAULT)]
        limit: usize,
        /// Only those older than the task with this number
        #[arg(long, value_name = "NUMBER")]
        before: Option<u64>,
    },
}

#[derive(Args)]
#[command(group(ArgGroup::new("what").required(true).args(["to", "action"])))]
struct Send {
    /// Which account shall do it
    #[arg(value_parser = parse::account)]
    account: AccountId,
    /// Whom to write to: a user or a group
    #[arg(long, value_name = "CONVERSATION", requires = "text")]
    to: Option<String>,
    /// What to write
    #[arg(long, requires = "to")]
    text: Option<String>,
    /// A member of the group to mention; can be given several times
    #[arg(long, value_name = "USER", requires = "to")]
    mention: Vec<String>,
    /// Any action in the API's JSON, or - to read it from stdin
    #[arg(long, value_name = "JSON|-")]
    action: Option<String>,
    /// Your own name for this: asked again with the same, it is not done twice
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Hand it out again when no result comes; it may be done twice. Without this it is done once
    /// at the most
    #[arg(long)]
    at_least_once: bool,
    /// After which time it is of no use any more unless the client has it: 90s, 10m, 2h or 3d
    #[arg(long, value_name = "TIME", value_parser = millis)]
    expires_in: Option<u64>,
    #[command(flatten)]
    wait: Wait,
}

/// A time such as `10m` in ms, as an argument.
fn millis(text: &str) -> Result<u64, &'static str> {
    const BAD: &str = "a time is a number and a unit: 90s, 10m, 2h or 3d";
    let unit = text.chars().next_back().ok_or(BAD)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return Err(BAD),
    };
    let number = text.strip_suffix(unit).unwrap_or_default();
    if !number.bytes().all(|it| it.is_ascii_digit()) {
        return Err(BAD);
    }
    let number: u64 = number.parse().map_err(|_| BAD)?;
    number.checked_mul(seconds * 1000).ok_or(BAD)
}

impl TaskArgs {
    /// Asks the host.
    pub(super) async fn run(self, client: &Client, style: &Style) -> Result<Printed, Failure> {
        match self.command {
            TaskCommand::Send(args) => send(client, self.json, args).await,
            TaskCommand::Show { id, wait } => show(client, style, self.json, id, wait).await,
            TaskCommand::Cancel { id } => cancel(client, self.json, &id).await,
            TaskCommand::List {
                account,
                state,
                limit,
                before,
            } => {
                let state = state.as_deref();
                let reply = list(client, &account, state, limit, before).await?;
                if self.json {
                    return Ok(Printed::ok(reply.text));
                }
                Ok(Printed::ok(table(&reply.read()?, style)))
            }
        }
    }
}

async fn send(client: &Client, json: bool, args: Send) -> Result<Printed, Failure> {
    let path = ["accounts", args.account.as_str(), "tasks"];
    let key = args.idempotency_key.as_deref();
    let query = args.query();
    let query: Vec<_> = query
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    let reply = client.post(&path, &query, args.body()?, key).await?;
    if json && !args.wait.wait {
        return Ok(Printed::ok(reply.text));
    }
    let Tasks { mut tasks } = reply.read()?;
    let code = wait(client, &args.wait, &mut tasks).await?;
    let text = if json {
        encode(&Tasks { tasks })?
    } else {
        brief(&tasks, args.wait.wait)
    };
    Ok(Printed {
        code,
        ..Printed::ok(text)
    })
}

async fn cancel(client: &Client, json: bool, id: &TaskId) -> Result<Printed, Failure> {
    let reply = client.delete(&["tasks", &id.to_string()]).await?;
    if json {
        return Ok(Printed::ok(reply.text));
    }
    Ok(Printed::ok(brief(&[reply.read()?], true)))
}

impl Send {
    fn query(&self) -> Vec<(&'static str, String)> {
        let delivery = self.at_least_once.then_some(Delivery::AtLeastOnce);
        let delivery = delivery.map(|it| ("delivery", it.as_str().to_owned()));
        let expires = self.expires_in.map(|ms| ("expires_in_ms", ms.to_string()));
        delivery.into_iter().chain(expires).collect()
    }

    fn body(&self) -> Result<String, Failure> {
        match (&self.action, &self.to) {
            (Some(json), _) => action_text(json),
            (None, to) => encode(&Action::Send {
                conversation: to.clone().unwrap_or_default(),
                segments: self.segments(),
            }),
        }
    }

    /// Mentions go before the words, where people expect them.
    fn segments(&self) -> Vec<Segment> {
        let mentions = self.mention.iter().cloned().map(Segment::Mention);
        mentions
            .chain(self.text.iter().cloned().map(Segment::Text))
            .collect()
    }
}

/// The JSON of the argument or of stdin. That it is JSON is found out here,
/// since a shell's quotes are easily lost; what it says is the host's to judge.
fn action_text(argument: &str) -> Result<String, Failure> {
    let text = match argument {
        "-" => read_text(Path::new("-")).map_err(|error| Failure::Usage(error.to_string()))?,
        json => json.to_owned(),
    };
    match serde_json::from_str::<serde::de::IgnoredAny>(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::Usage(format!("--action is no JSON: {error}"))),
    }
}

/// A line for each task that was asked for.
fn brief(tasks: &[Task], waited: bool) -> String {
    let line = |task: &Task| {
        let reason = task.reason.as_deref();
        let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
        let told = format!("{} {}{reason}", task.id, task.state.as_str());
        harmless(&told) + "\n"
    };
    let mut text: String = tasks.iter().map(line).collect();
    if let (false, Some(task)) = (waited, tasks.first()) {
        let hint = format!(
            "see what becomes of it: `wxhost task show {} --wait`\n",
            word(&task.id.to_string())
        );
        text.push_str(&hint);
    }
    text
}

async fn show(
    client: &Client,
    style: &Style,
    json: bool,
    id: TaskId,
    args: Wait,
) -> Result<Printed, Failure> {
    let reply = client.get(&["tasks", &id.to_string()], &[]).await?;
    if json && !args.wait {
        return Ok(Printed::ok(reply.text));
    }
    let mut tasks = [reply.read()?];
    let code = wait(client, &args, &mut tasks).await?;
    let [task] = &tasks;
    let text = if json {
        encode(task)?
    } else {
        about(task, style)
    };
    Ok(Printed {
        code,
        ..Printed::ok(text)
    })
}

async fn list(
    client: &Client,
    account: &AccountId,
    state: Option<&str>,
    limit: usize,
    before: Option<u64>,
) -> Result<Reply, Failure> {
    let (limit, before) = (limit.to_string(), before.map(|number| number.to_string()));
    let mut query = vec![("limit", limit.as_str())];
    query.extend(state.map(|state| ("state", state)));
    query.extend(before.as_deref().map(|before| ("before", before)));
    client
        .get(&["accounts", account.as_str(), "tasks"], &query)
        .await
}

fn table(list: &List<Task, TaskNumber>, style: &Style) -> String {
    if list.items.is_empty() {
        return "no such tasks".to_owned();
    }
    let mut table = Table::new(["ID", "STATE", "MADE", "BY", "ACTION", "REASON"]);
    for task in &list.items {
        table.row([
            task.id.to_string().into(),
            Cell::new(task.state.as_str(), Paint::of(task.state)),
            style.ago(task.made_ms).into(),
            maker(&task.origin).into(),
            summary(&task.action).into(),
            task.reason.as_deref().unwrap_or_default().into(),
        ]);
    }
    let mut text = table.show(style);
    if let Some(TaskNumber(next)) = list.next {
        text.push_str(&format!("there may be more: add --before {next}\n"));
    }
    text
}

fn maker(origin: &Origin) -> &str {
    match origin {
        Origin::Api => "api",
        Origin::Bot { handler, .. } | Origin::Endpoint { handler } => handler.as_str(),
        Origin::Login(_) => "login",
    }
}

/// The action in a few words.
fn summary(action: &Action) -> String {
    let Action::Send {
        conversation,
        segments,
    } = action
    else {
        return action.name().to_owned();
    };
    let text = segments.iter().find_map(|segment| match segment {
        Segment::Text(text) => Some(text.as_str()),
        _ => None,
    });
    match text {
        Some(text) => format!("send {conversation} “{}”", shortened(text)),
        None => format!("send {conversation}"),
    }
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(TEXT_SHOWN_CHARS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn about(task: &Task, style: &Style) -> String {
    let made_by = match &task.origin {
        Origin::Api => "the control API".to_owned(),
        Origin::Bot { handler, event } => format!("handler {handler} at event {event}"),
        Origin::Endpoint { handler } => format!("endpoint {handler}"),
        Origin::Login(login) => format!("login {login}"),
    };
    let action = serde_json::to_string_pretty(&task.action);
    let mut known = vec![
        ("id", task.id.to_string()),
        ("state", task.state.as_str().to_owned()),
    ];
    known.extend(task.reason.clone().map(|reason| ("reason", reason)));
    known.push(("made", style.when(task.made_ms)));
    known.push(("by", made_by));
    if task.delivery != Delivery::default() {
        known.push(("delivery", task.delivery.as_str().to_owned()));
    }
    if task.tries > 1 {
        known.push(("tries", task.tries.to_string()));
    }
    let times = [
        ("expires", task.expires_ms),
        ("handed out", task.handed_out_ms),
        ("ended", task.ended_ms),
    ];
    for (label, at_ms) in times {
        known.extend(at_ms.map(|at_ms| (label, style.when(at_ms))));
    }
    known.push(("action", action.unwrap_or_default()));
    facts(&known, style)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn task(action: Action) -> Task {
        Task::queued("wxid_a-5".parse().unwrap(), action, Origin::Api, 0)
    }

    fn send() -> Send {
        Send {
            account: "wxid_a".try_into().unwrap(),
            to: Some("1@chatroom".into()),
            text: Some("hi".into()),
            mention: vec!["b".into(), "c".into()],
            action: None,
            idempotency_key: None,
            at_least_once: true,
            expires_in: Some(600_000),
            wait: Wait::default(),
        }
    }

    #[test]
    fn mentions_go_before_the_words() {
        let send = send();
        assert_eq!(
            send.body().unwrap(),
            r#"{"action":"send","conversation":"1@chatroom","segments":[{"mention":"b"},{"mention":"c"},{"text":"hi"}]}"#
        );
    }

    #[test]
    fn how_it_is_delivered_stands_beside_what_it_is() {
        let mut send = send();
        let query = send.query();
        let expected = [("delivery", "at-least-once"), ("expires_in_ms", "600000")];
        assert_eq!(query, expected.map(|(name, text)| (name, text.to_owned())));
        (send.at_least_once, send.expires_in) = (false, None);
        assert_eq!(send.query(), []);
    }

    #[test]
    fn a_strangers_words_do_not_steer_the_terminal() {
        let evil = "a\u{1b}[2J\u{7}\n'; id";
        let mut task = task(Action::text(evil, evil));
        task.id = "wxid_a';id-5".parse().unwrap();
        task.end(TaskState::Failed, Some(evil.into()), 0);
        let told = brief(std::slice::from_ref(&task), false);
        assert_eq!(told.lines().count(), 2, "{told}");
        assert!(
            told.contains(r"task show 'wxid_a'\'';id-5' --wait"),
            "{told}"
        );
        let list = List {
            items: vec![task.clone()],
            next: None,
        };
        let table = table(&list, &Style::plain(0));
        assert_eq!(table.lines().count(), 2, "{table}");
        for text in [told, table, about(&task, &Style::plain(0))] {
            assert!(!text.contains(['\u{1b}', '\u{7}']), "{text:?}");
        }
    }

    #[test]
    fn a_time_has_a_unit() {
        for (text, expected) in [
            ("90s", Ok(90_000)),
            ("10m", Ok(600_000)),
            ("2h", Ok(7_200_000)),
            ("3d", Ok(259_200_000)),
        ] {
            assert_eq!(millis(text), expected, "{text}");
        }
        for bad in [
            "",
            "10",
            "m",
            "+1m",
            "-1m",
            "1.5h",
            "1w",
            "9999999999999999999d",
            "1 m",
        ] {
            assert!(millis(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_action_that_is_no_json_is_wrong_usage() {
        assert!(matches!(
            action_text("{action:send}"),
            Err(Failure::Usage(_))
        ));
        assert_eq!(action_text(r#"{"tasks":[]}"#).unwrap(), r#"{"tasks":[]}"#);
    }

    #[test]
    fn a_table_of_tasks() {
        let list = List {
            items: vec![
                task(Action::text("wxid_b", "好".repeat(41))),
                task(Action::RefreshContacts),
            ],
            next: Some(TaskNumber(5)),
        };
        let text = table(&list, &Style::plain(60_000));
        assert!(text.contains(&format!("“{}…”", "好".repeat(40))), "{text}");
        assert!(
            text.contains("wxid_a-5  queued  1 min ago  api  refresh-contacts\n"),
            "{text}"
        );
        assert!(text.ends_with("add --before 5\n"), "{text}");
    }

    #[test]
    fn a_task_is_shown_in_full() {
        let mut task = task(Action::RefreshContacts);
        task.end(TaskState::Failed, Some("no such friend".into()), 1000);
        assert_eq!(
            about(&task, &Style::plain(1000)),
            "id      wxid_a-5\n\
             state   failed\n\
             reason  no such friend\n\
             made    1 s ago (1970-01-01T00:00:00Z)\n\
             by      the control API\n\
             ended   just now (1970-01-01T00:00:01Z)\n\
             action  {\n          \"action\": \"refresh-contacts\"\n        }\n"
        );
    }
}
