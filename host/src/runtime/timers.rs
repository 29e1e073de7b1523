//! The timers of a bot during one call: those that are set for the account, with what
//! the call changes about them. The bot sees its own changes at once.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{
    HandlerName, Millis, Timer, TimerChange,
    timer::{SCHEDULE_PREFIX, TIMERS_PAYLOAD_MAX_BYTES},
};

/// What is counted for a timer beside its name and payload: the names that the store
/// puts before, and the alarm.
const TIMER_BYTES: usize = 1024;

/// None before the bot first asks for one of them.
#[derive(Debug, Default)]
pub struct Timers(Option<Known>);

#[derive(Debug, Default)]
struct Known {
    /// When those that are stored are due.
    stored: BTreeMap<String, Millis>,
    /// Those that the bot sees.
    now: BTreeMap<String, Timer>,
    /// Those that the call has set or cancelled.
    changed: BTreeSet<String>,
}

impl Timers {
    /// Whether they have been read.
    pub fn are_known(&self) -> bool {
        self.0.is_some()
    }

    /// Takes what the store has. The timer that the bot is called for is gone with
    /// this very call.
    pub fn read(&mut self, mut stored: Vec<Timer>, fired: Option<&str>) {
        stored.retain(|timer| Some(timer.id.as_str()) != fired);
        self.0 = Some(Known {
            stored: stored
                .iter()
                .map(|timer| (timer.id.clone(), timer.due_ms))
                .collect(),
            now: stored
                .into_iter()
                .map(|timer| (timer.id.clone(), timer))
                .collect(),
            changed: BTreeSet::new(),
        });
    }

    /// Those that are set, by name.
    pub fn all(&self) -> impl Iterator<Item = &Timer> {
        self.0.iter().flat_map(|known| known.now.values())
    }

    /// The one of this name.
    pub fn get(&self, id: &str) -> Option<&Timer> {
        self.0.as_ref()?.now.get(id)
    }

    /// How many there would be with this one.
    pub fn count_with(&self, id: &str) -> usize {
        self.all().count() + usize::from(self.get(id).is_none())
    }

    /// Whether the payloads have room for this one.
    pub fn has_room_for(&self, id: &str, payload: &str) -> bool {
        let others = self.all().filter(|timer| timer.id != id);
        let bytes: usize = others.map(|timer| timer.payload.len()).sum();
        bytes + payload.len() <= TIMERS_PAYLOAD_MAX_BYTES
    }

    /// How many the call would have changed with this one.
    pub fn changed_with(&self, id: &str) -> usize {
        self.0.as_ref().map_or(0, |known| {
            known.changed.len() + usize::from(!known.changed.contains(id))
        })
    }

    /// What the change of this one comes to so far, as it is stored.
    pub fn changed_bytes(&self, id: &str) -> usize {
        let changed = |known: &&Known| known.changed.contains(id);
        match self.0.as_ref().filter(changed) {
            Some(known) => bytes_of(id, known.now.get(id)),
            None => 0,
        }
    }

    /// This one is so from now on, or gone.
    pub fn change(&mut self, id: &str, timer: Option<Timer>) {
        let known = self.0.get_or_insert_default();
        known.changed.insert(id.to_owned());
        match timer {
            Some(timer) => known.now.insert(id.to_owned(), timer),
            None => known.now.remove(id),
        };
    }

    /// What the call has changed.
    pub fn into_changes(self, handler: &HandlerName) -> Vec<TimerChange> {
        let Some(mut known) = self.0 else {
            return Vec::new();
        };
        let change = |id: String| {
            let stored = known.stored.remove(&id);
            match (known.now.remove(&id), stored) {
                (Some(timer), instead_of_ms) => Some(TimerChange::Put {
                    timer,
                    instead_of_ms,
                }),
                (None, Some(due_ms)) => Some(TimerChange::Remove {
                    handler: handler.clone(),
                    id,
                    due_ms,
                }),
                // Set and cancelled again.
                (None, None) => None,
            }
        };
        known.changed.into_iter().filter_map(change).collect()
    }
}

/// What a timer, or its end, comes to as it is stored.
pub fn bytes_of(id: &str, timer: Option<&Timer>) -> usize {
    id.len() + timer.map_or(0, |timer| timer.payload.len()) + TIMER_BYTES
}

/// The timer that a firing is of; none for a schedule.
pub fn fired(id: &str) -> Option<&str> {
    (!id.starts_with(SCHEDULE_PREFIX)).then_some(id)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn timer(id: &str, due_ms: Millis) -> Timer {
        Timer {
            handler: "bot".try_into().unwrap(),
            id: id.to_owned(),
            due_ms,
            payload: "x".to_owned(),
        }
    }

    fn ids(timers: &Timers) -> Vec<&str> {
        timers.all().map(|timer| timer.id.as_str()).collect()
    }

    #[test]
    fn changes_say_what_is_stored_before_and_after() {
        let bot: HandlerName = "bot".try_into().unwrap();
        let mut timers = Timers::default();
        timers.read(
            vec![
                timer("fired", 1),
                timer("kept", 2),
                timer("moved", 3),
                timer("off", 4),
            ],
            fired("fired"),
        );
        assert_eq!(ids(&timers), ["kept", "moved", "off"]);
        timers.change("moved", Some(timer("moved", 9)));
        timers.change("off", None);
        timers.change("new", Some(timer("new", 8)));
        timers.change("brief", Some(timer("brief", 8)));
        timers.change("brief", None);
        timers.change("fired", Some(timer("fired", 7)));
        assert_eq!(ids(&timers), ["fired", "kept", "moved", "new"]);
        assert_eq!(
            (timers.changed_with("off"), timers.changed_with("kept")),
            (5, 6)
        );
        let put = |timer, instead_of_ms| TimerChange::Put {
            timer,
            instead_of_ms,
        };
        assert_eq!(
            timers.into_changes(&bot),
            [
                put(timer("fired", 7), None),
                put(timer("moved", 9), Some(3)),
                put(timer("new", 8), None),
                TimerChange::Remove {
                    handler: bot.clone(),
                    id: "off".to_owned(),
                    due_ms: 4
                },
            ]
        );
        assert_eq!(Timers::default().into_changes(&bot), []);
    }

    #[test]
    fn payloads_have_an_end() {
        let mut timers = Timers::default();
        let large = |id: &str, bytes| Timer {
            payload: "x".repeat(bytes),
            ..timer(id, 1)
        };
        timers.read(vec![large("a", TIMERS_PAYLOAD_MAX_BYTES - 1)], None);
        assert!(timers.has_room_for("b", "x"));
        assert!(!timers.has_room_for("b", "xx"));
        assert!(timers.has_room_for("a", "xx"));
        assert_eq!(timers.changed_bytes("a"), 0);
        timers.change("a", Some(large("a", 5)));
        assert_eq!(timers.changed_bytes("a"), 6 + TIMER_BYTES);
    }
}
