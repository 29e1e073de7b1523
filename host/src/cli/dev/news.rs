//! What the bot did: the tasks that it asked for and the calls that failed, as lines.

use serde_json::Value;

use super::account::ACCOUNT;
use crate::{
    cli::{client::Client, failure::Failure},
    domain::{
        Action, Failure as BotFailure, Millis, Task, TaskNumber, handler::FailureKind, task::Origin,
    },
    edge::control::wire::List,
};

/// How many of each are looked at: more than one event may cause.
const PAGE: &str = "200";

/// What was shown already.
#[derive(Debug, Default)]
pub struct News {
    task: Option<TaskNumber>,
    failure: Option<(Millis, String)>,
}

/// What is new.
#[derive(Debug, Default)]
pub struct Seen {
    /// Lines of what the bot asks for.
    pub done: Vec<String>,
    /// Why calls failed.
    pub failed: Vec<String>,
}

impl Seen {
    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.done.is_empty() && self.failed.is_empty()
    }
}

impl News {
    /// What is new, in the order in which it happened. What is said in this conversation is
    /// shown without its name.
    pub async fn look(&mut self, client: &Client, here: &str) -> Result<Seen, Failure> {
        let query = [("limit", PAGE)];
        let tasks = client.get(&["accounts", ACCOUNT, "tasks"], &query).await?;
        let tasks: List<Task, TaskNumber> = tasks.read()?;
        let failures = client
            .get(&["accounts", ACCOUNT, "failures"], &query)
            .await?;
        let failures: List<BotFailure, Value> = failures.read()?;
        Ok(Seen {
            done: self.tasks(tasks.items, here),
            failed: self.failures(failures.items),
        })
    }

    fn tasks(&mut self, mut tasks: Vec<Task>, here: &str) -> Vec<String> {
        tasks.retain(|task| self.task.is_none_or(|seen| task.id.number > seen));
        tasks.sort_by_key(|task| task.id.number);
        self.task = tasks.last().map(|task| task.id.number).or(self.task);
        let by_bot = |task: &&Task| matches!(task.origin, Origin::Bot { .. });
        let tasks = tasks.iter().filter(by_bot);
        tasks
            .map(|task| format!("→ {}", described(&task.action, here)))
            .collect()
    }

    fn failures(&mut self, mut failures: Vec<BotFailure>) -> Vec<String> {
        failures.sort_by(|a, b| (a.at_ms, &a.event).cmp(&(b.at_ms, &b.event)));
        failures.retain(|it| {
            let seen = self.failure.as_ref();
            seen.is_none_or(|(at_ms, event)| (it.at_ms, &it.event) > (*at_ms, event))
        });
        let newest = failures.last().map(|it| (it.at_ms, it.event.clone()));
        self.failure = newest.or_else(|| self.failure.take());
        failures.iter().map(failed).collect()
    }
}

fn failed(failure: &BotFailure) -> String {
    let how = match failure.kind {
        FailureKind::Refused => "the bot failed".to_owned(),
        kind => format!("the bot failed ({})", kind.as_str()),
    };
    // What it said before is among what it logs and prints.
    format!("✗ {how}: {}", failure.message.trim_end())
}

/// An action in a line: what is said, or the action's name with its fields.
fn described(action: &Action, here: &str) -> String {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(action) else {
        return action.name().to_owned();
    };
    fields.remove("action");
    if let (Action::Send { conversation, .. }, Some(Value::Array(segments))) =
        (action, fields.get("segments"))
    {
        let said: Vec<_> = segments.iter().map(segment).collect();
        let said = said.concat();
        return match conversation == here {
            true => said,
            false => format!("(to {conversation}) {said}"),
        };
    }
    let mut text = action.name().to_owned();
    for (name, value) in fields {
        text.push_str(&format!(" {name}={}", plain(&value)));
    }
    text
}

fn segment(segment: &Value) -> String {
    let Some((kind, value)) = segment.as_object().and_then(|it| it.iter().next()) else {
        return format!("[{}]", plain(segment));
    };
    match (kind.as_str(), value) {
        ("text", Value::String(text)) => text.clone(),
        ("mention", Value::String(user)) => format!("@{user}"),
        (kind, value) => format!("[{kind} {}]", plain(value)),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_told_in_a_line() {
        let hi = Action::text("wxid_ann", "hi\nyou");
        assert_eq!(described(&hi, "wxid_ann"), "hi\nyou");
        assert_eq!(described(&hi, "wxid_bob"), "(to wxid_ann) hi\nyou");
        let invite = Action::Invite {
            group: "1@chatroom".into(),
            user: "wxid_a".into(),
            add: false,
        };
        assert_eq!(
            described(&invite, ""),
            "invite add=false group=1@chatroom user=wxid_a"
        );
        assert_eq!(described(&Action::RefreshContacts, ""), "refresh-contacts");
    }
}
