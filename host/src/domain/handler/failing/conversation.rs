//! Where a handler fails: whose events, and how it does in one conversation.

use serde::{Deserialize, Serialize};

use super::FailingPause;
use crate::domain::{Happening, Millis};

/// How much of an id is kept, in characters. Those of WeChat have some dozen; what is
/// longer is taken for the same as what begins like it.
const ID_MAX_CHARS: usize = 128;
/// How long a conversation's failures count, in ms after the last one and its pause. Long
/// enough that nobody is rid of a pause by keeping still, and short enough that the record
/// ends where nobody writes any more.
const FORGOTTEN_AFTER_MS: u64 = 60 * 60 * 1_000;

/// Where an event comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The group, or the other person; none for what belongs to neither, such as timers
    /// and ended tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// Who caused it, if it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
}

/// How a handler fails in one conversation, from the first failure in a row on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailingConversation {
    /// The group, or the other person; none stands for all events that belong to neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// Calls in a row that failed.
    pub failures: u32,
    /// What the last of them said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// When that was.
    pub failed_ms: Millis,
    /// The pause that came of them, in this conversation alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<FailingPause>,
    /// Events that no bot saw since the first pause in a row.
    #[serde(default)]
    pub passed_by: u64,
}

impl Source {
    /// Where this comes from.
    pub fn of(what: &Happening) -> Self {
        let person = match what {
            // A notice has no author, and what the account wrote was perhaps the bot's doing.
            Happening::Message(message) => {
                let is_somebody = !message.outgoing
                    && !message.author.is_empty()
                    && message.group.as_ref() != Some(&message.author);
                is_somebody.then_some(message.author.as_str())
            }
            Happening::FriendRequest(_)
            | Happening::FriendAdded { .. }
            | Happening::FriendRemoved(_) => what.conversation(),
            _ => None,
        };
        let kept = |id: &str| id.chars().take(ID_MAX_CHARS).collect();
        Self {
            conversation: what.conversation().map(kept),
            person: person.map(kept),
        }
    }

    /// Whether it is another conversation and another person as well. One person in two
    /// groups is not, and neither are two in one; nor is what nobody is known for.
    pub(super) fn is_another(&self, than: &Self) -> bool {
        let people = self.person.as_deref().zip(than.person.as_deref());
        self.conversation != than.conversation && people.is_some_and(|(one, two)| one != two)
    }
}

impl FailingConversation {
    pub(super) fn new(conversation: Option<String>) -> Self {
        Self {
            conversation,
            failures: 0,
            reason: String::new(),
            failed_ms: 0,
            pause: None,
            passed_by: 0,
        }
    }

    pub(super) fn is_stale(&self, now_ms: Millis) -> bool {
        let paused_ms = self.pause.map_or(0, |pause| pause.until_ms);
        let last_ms = self.failed_ms.max(paused_ms);
        last_ms.saturating_add(FORGOTTEN_AFTER_MS) <= now_ms
    }
}
