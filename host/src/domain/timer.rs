//! Timers: what a bot wants to be told later, for one account.

use serde::{Deserialize, Serialize};

use super::{AccountId, EventKey, HandlerName, Millis, id::BadId};

/// The longest name of a timer, in bytes. It becomes part of a key.
pub const TIMER_ID_MAX_BYTES: usize = 128;
/// The longest payload, in bytes: enough for a note. What is larger belongs in the
/// key-value store.
pub const TIMER_PAYLOAD_MAX_BYTES: usize = 16 * 1024;
/// How many bytes the payloads of one bot's timers of one account may have
/// together: they are read, and listed, as a whole.
pub const TIMERS_PAYLOAD_MAX_BYTES: usize = 1024 * 1024;
/// How far ahead a timer may be due: a year, leap years included.
pub const TIMER_AHEAD_MAX_MS: Millis = 366 * 24 * 60 * 60 * 1_000;
/// How the names begin under which schedules fire. No timer's does.
pub const SCHEDULE_PREFIX: &str = "schedule:";

/// A timer that is set. It is gone once it has fired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timer {
    /// Whose, together with the account.
    pub handler: HandlerName,
    /// Its name, chosen by the bot.
    pub id: String,
    /// When it comes due, in ms.
    pub due_ms: Millis,
    /// What the bot gets back with it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub payload: String,
}

impl Timer {
    /// Its name among all timers of its account. No handler's name has a slash.
    pub fn name(handler: &HandlerName, id: &str) -> String {
        format!("{handler}/{id}")
    }

    /// Says why a text is no name of a timer.
    pub fn check_id(id: &str) -> Result<(), BadId> {
        if id.is_empty() || id.len() > TIMER_ID_MAX_BYTES || id.chars().any(char::is_control) {
            return Err(BadId(
                "a timer has 1 to 128 bytes without control characters",
            ));
        }
        if id.starts_with(SCHEDULE_PREFIX) {
            return Err(BadId("names that begin with `schedule:` are for schedules"));
        }
        Ok(())
    }

    /// The event of its firing. Another one each time that it is set, since a timer
    /// is always due later than the one of its name that has fired.
    pub fn event_key(&self) -> EventKey {
        let Self {
            handler,
            id,
            due_ms,
            ..
        } = self;
        EventKey::new(&format!("timer-{handler}:{id}-{due_ms}"))
    }
}

/// A change of an account's timers. The alarm that wakes the host for a timer is set
/// and removed with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimerChange {
    /// This timer is so from now on.
    Put {
        /// The timer.
        timer: Timer,
        /// When the one that it replaces was due.
        instead_of_ms: Option<Millis>,
    },
    /// No timer of this name any more.
    Remove {
        /// Whose.
        handler: HandlerName,
        /// Its name.
        id: String,
        /// When it was due.
        due_ms: Millis,
    },
}

impl TimerChange {
    /// How many single changes it is: a timer and its alarms.
    pub fn changes(&self) -> usize {
        match self {
            Self::Put { instead_of_ms, .. } => 2 + usize::from(instead_of_ms.is_some()),
            Self::Remove { .. } => 2,
        }
    }
}

/// The event of a schedule that came due then for an account.
pub fn schedule_event_key(handler: &HandlerName, schedule: &str, due_ms: Millis) -> EventKey {
    EventKey::new(&format!("schedule-{handler}:{schedule}-{due_ms}"))
}

/// An account's alarm for a schedule: rings at its own time, for a run that was due
/// at another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleDue {
    /// For whom.
    pub account: AccountId,
    /// Whose.
    pub handler: HandlerName,
    /// Which.
    pub schedule: String,
    /// When it came due, in ms.
    pub due_ms: Millis,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn names_of_timers_are_short_and_harmless() {
        for id in ["a", "日报", "with spaces/and:more", &"x".repeat(128)] {
            assert_eq!(Timer::check_id(id), Ok(()), "{id}");
        }
        for id in ["", "a\nb", &"x".repeat(129), "schedule:daily"] {
            assert!(Timer::check_id(id).is_err(), "{id:?}");
        }
    }

    #[test]
    fn no_two_firings_share_an_event() {
        let timer = |handler: &str, id: &str, due_ms| Timer {
            handler: handler.try_into().unwrap(),
            id: id.to_owned(),
            due_ms,
            payload: String::new(),
        };
        let keys = [
            timer("a", "b", 1),
            timer("a", "b", 2),
            timer("a-b", "c", 1),
            timer("a", "b-c", 1),
            timer("a", "b:c", 1),
        ]
        .map(|timer| timer.event_key());
        for (i, one) in keys.iter().enumerate() {
            assert!(!keys.iter().skip(i + 1).any(|other| other == one), "{one}");
        }
    }
}
