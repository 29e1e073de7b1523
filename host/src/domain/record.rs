//! Events as they are kept: those that wait for a handler that fails, and those that
//! can be replayed.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    AccountId, ClientKind, Event, EventKey, HandlerName, Happening, Millis, TaskNumber,
    handler::VersionNumber, ports::EventOutcome,
};

/// How many names of facts there can be. They are the host's own words, a few dozen.
const FACT_NAMES_MAX: usize = 256;
/// Stands for the client's JSON where that is not kept.
const NO_RAW: &str = "{}";

/// How much of what happened is recorded, to be replayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecordPolicy {
    /// How many of an account's last events are recorded; 0 for none.
    pub events_per_account: u32,
    /// How many bytes one may have. Of a larger one the client's JSON is left out, and
    /// what is still larger is not recorded.
    pub event_bytes: u32,
}

/// The most that can be recorded for one account: what a replay runs at the most.
pub const RECORDED_MAX: u32 = 500;
/// The most that `event_bytes` can be set to: all of an account are read at once.
const EVENT_BYTES_MAX: u32 = 256 * 1024;

impl Default for RecordPolicy {
    fn default() -> Self {
        Self {
            events_per_account: 50,
            event_bytes: 16 * 1024,
        }
    }
}

impl RecordPolicy {
    /// Says which setting can't work, and why.
    pub fn check(&self) -> Result<(), String> {
        if self.events_per_account > RECORDED_MAX {
            return Err(format!(
                "record.events_per_account: at most {RECORDED_MAX}; 0 for none"
            ));
        }
        match self.event_bytes > EVENT_BYTES_MAX {
            true => Err(format!("record.event_bytes: at most {EVENT_BYTES_MAX}")),
            false => Ok(()),
        }
    }
}

/// An event as a bot sees it. Whose it is says the place where it is kept.
/// [`RecordedEvent`] writes the same form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptEvent {
    /// What makes two deliveries the same event.
    pub key: EventKey,
    /// When it happened.
    pub at_ms: Millis,
    /// What happened.
    pub what: Happening,
    /// Particulars that have no field, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<(String, String)>,
    /// The client's JSON; none where it was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
}

impl KeptEvent {
    /// The event with the client's JSON.
    pub fn of(event: &Event) -> Self {
        let fact = |(name, value): &(&'static str, String)| ((*name).to_owned(), value.clone());
        Self {
            key: event.key.clone(),
            at_ms: event.at_ms,
            what: event.what.clone(),
            facts: event.facts.iter().map(fact).collect(),
            raw: Some(String::from_utf8_lossy(&event.raw).into_owned()),
        }
    }

    /// The event as it happened to this account.
    pub fn event(&self, account: &AccountId) -> Event {
        let fact = |(name, value): &(String, String)| Some((known(name)?, value.clone()));
        let raw = self.raw.as_deref().unwrap_or(NO_RAW);
        Event {
            key: self.key.clone(),
            account: account.clone(),
            at_ms: self.at_ms,
            what: self.what.clone(),
            facts: self.facts.iter().filter_map(fact).collect(),
            raw: raw.to_owned().into(),
        }
    }

    /// How many bytes it has as it is kept.
    pub fn bytes(&self) -> u64 {
        serde_json::to_vec(self).map_or(u64::MAX, |json| json.len() as u64)
    }
}

/// A fact's name, as events have it. Kept for good, and so few: what is read was
/// written by this host, from names in its own code.
fn known(name: &str) -> Option<&'static str> {
    static NAMES: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    let names = names.get_or_insert_default();
    if let Some(known) = names.get(name) {
        return Some(known);
    }
    if names.len() >= FACT_NAMES_MAX {
        return None;
    }
    let kept: &'static str = Box::leak(name.to_owned().into_boxed_str());
    names.insert(kept);
    Some(kept)
}

/// An event that waits until its account's handler works again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitingEvent {
    /// Its place: the lowest goes first.
    pub number: u64,
    /// When this host took it, in ms.
    pub taken_ms: Millis,
    /// The kind of client that reported it.
    pub client: ClientKind,
    /// The only handler that it is for, if it is not for whichever serves the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<HandlerName>,
    /// What it counts for among what may wait, in bytes.
    pub bytes: u64,
    /// The event.
    pub event: KeptEvent,
}

/// An event that can be replayed, with what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// Its place among all that were ever recorded for its account.
    pub number: u64,
    /// When it was settled, in ms.
    pub at_ms: Millis,
    /// The kind of client that reported it.
    pub client: ClientKind,
    /// Whose decision it was.
    pub handler: HandlerName,
    /// Which version's.
    pub version: VersionNumber,
    /// What became of it.
    pub outcome: EventOutcome,
    /// The tasks that the bot asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskNumber>,
    /// The event.
    pub event: RecordedEvent,
}

/// The JSON of a [`KeptEvent`]: made once for every event that a bot is asked about,
/// measured and stored as it is, and read only for a replay.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordedEvent(Box<RawValue>);

impl RecordedEvent {
    /// The event made to fit, or none if it can't be. What a login says beside its facts
    /// stays out: there clients prove who they are.
    pub fn fitted(event: &Event, policy: &RecordPolicy) -> Option<Self> {
        let fits = |json: &Self| json.0.get().len() <= policy.event_bytes as usize;
        let is_login = matches!(event.what, Happening::Login(_));
        if !is_login && event.raw.len() <= policy.event_bytes as usize {
            let raw = String::from_utf8_lossy(&event.raw);
            if let Some(whole) = Self::of(event, Some(&raw)).filter(fits) {
                return Some(whole);
            }
        }
        Self::of(event, None).filter(fits)
    }

    fn of(event: &Event, raw: Option<&str>) -> Option<Self> {
        /// A [`KeptEvent`] that is only written.
        #[derive(Serialize)]
        struct Written<'a> {
            key: &'a EventKey,
            at_ms: Millis,
            what: &'a Happening,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            facts: &'a [(&'static str, String)],
            #[serde(skip_serializing_if = "Option::is_none")]
            raw: Option<&'a str>,
        }
        let written = Written {
            key: &event.key,
            at_ms: event.at_ms,
            what: &event.what,
            facts: &event.facts,
            raw,
        };
        serde_json::value::to_raw_value(&written).ok().map(Self)
    }

    /// The event.
    pub fn read(&self) -> Result<KeptEvent, serde_json::Error> {
        serde_json::from_str(self.0.get())
    }
}

impl PartialEq for RecordedEvent {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::domain::{Message, User, event::Content};

    fn fitted(event: &Event, policy: &RecordPolicy) -> Option<KeptEvent> {
        RecordedEvent::fitted(event, policy).map(|it| it.read().unwrap())
    }

    fn event(text: &str) -> Event {
        Event {
            key: EventKey::new("msg-1"),
            account: "wxid_a".try_into().unwrap(),
            at_ms: 7,
            what: Happening::Message(Box::new(Message {
                content: Content::Text(text.to_owned()),
                ..Message::default()
            })),
            facts: vec![("sender-uid", "5".to_owned()), ("due", "6".to_owned())],
            raw: "{\"a\": \"\u{4f60}\"}".into(),
        }
    }

    #[test]
    fn what_is_kept_comes_back_as_it_was() {
        let event = event("hello");
        let json = serde_json::to_string(&KeptEvent::of(&event)).unwrap();
        let kept: KeptEvent = serde_json::from_str(&json).unwrap();
        assert_eq!(kept.event(&event.account), event);
        assert_eq!(kept.bytes(), json.len() as u64);
        let recorded = RecordedEvent::fitted(&event, &RecordPolicy::default()).unwrap();
        assert_eq!(serde_json::to_string(&recorded).unwrap(), json);
    }

    #[test]
    fn what_is_too_large_loses_the_client_s_words_first() {
        let policy = RecordPolicy::default();
        let mut large = event("hello");
        large.raw = vec![b'x'; 20_000].into();
        let without = fitted(&large, &policy).unwrap();
        assert_eq!(without.raw, None);
        assert_eq!(without.event(&large.account).raw, NO_RAW);
        assert_eq!(fitted(&event(&"x".repeat(20_000)), &policy), None);
        let small = event("hello");
        assert_eq!(fitted(&small, &policy), Some(KeptEvent::of(&small)));
    }

    #[test]
    fn how_a_client_proved_who_it_is_is_not_recorded() {
        let mut login = event("");
        login.what = Happening::Login(User::unknown("wxid_a"));
        let fitted = fitted(&login, &RecordPolicy::default()).unwrap();
        assert_eq!(fitted.raw, None);
    }

    #[test]
    fn settings_have_bounds() {
        let policy = |events_per_account, event_bytes| RecordPolicy {
            events_per_account,
            event_bytes,
        };
        assert_eq!(RecordPolicy::default().check(), Ok(()));
        assert_eq!(policy(0, 0).check(), Ok(()));
        assert!(policy(501, 1).check().unwrap_err().contains("at most 500"));
        assert!(policy(1, u32::MAX).check().is_err());
    }
}
