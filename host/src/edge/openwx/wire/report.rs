//! What a report is about (section 3).

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use super::{
    events,
    messages::{self, Fields},
};
use crate::{
    domain::{AccountId, Event, EventKey, Happening, client::NativeState},
    edge::loose::{At, BadRequest, Loose, read_object},
    service::{ContactReport, REPEATED_WITHIN},
};

/// Where a field is of which nothing but its value counts.
pub(super) const ANYWHERE: At<'static> = At::Root("report");

/// One report.
#[derive(Debug)]
pub(crate) enum Report {
    /// It becomes an event of the account.
    Told(Box<Told>),
    /// The client speaks of its own state, if that is one known here, and waits for
    /// the answer.
    State(Option<NativeState>),
    /// The client shows this image to be scanned; none when it holds no image.
    Code(Option<Bytes>),
}

/// Something that becomes an event.
#[derive(Debug)]
pub(crate) struct Told {
    /// The event. Its `at_ms` is 0 when the client gave no plausible time.
    pub event: Event,
    /// What it changes about known contacts.
    pub contacts: ContactReport,
    /// How long the event's key stands for it; none for good.
    pub repeats_within: Option<Duration>,
    /// What kind of thing.
    pub about: About,
}

/// What an event is about, as far as it is handled in different ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// A message: the answer can hold one.
    Message,
    /// Whom the account knows. A client tells it of everybody while it logs in.
    Contacts,
    /// Anything else.
    Other,
}

/// What kind of report it is. The fields of a message are beside these.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Envelope<'a> {
    #[serde(borrow)]
    post_type: Loose<'a>,
    event: Loose<'a>,
    params: Loose<'a>,
    #[serde(rename = "type")]
    kind: Loose<'a>,
}

/// Reads a report of this account's client.
pub(crate) fn parse(body: &Bytes, account: &AccountId) -> Result<Report, BadRequest> {
    let envelope: Envelope<'_> = read_object(body)?;
    let post_type = envelope.post_type.id(At::Root("post_type"))?;
    let event = envelope.event.id(At::Root("event"))?;
    let kind = envelope.kind.name(ANYWHERE).unwrap_or_default();
    match post_type.as_ref() {
        "event" => Ok(events::read(&event, envelope.params, account, body)),
        "" if !event.is_empty() => Ok(events::read(&event, envelope.params, account, body)),
        "receive_message" | "send_message" => message(body, account),
        "" if kind.ends_with("_message") || kind == "group_notice" => message(body, account),
        "" => Ok(Report::of(&kind, account, body)),
        other => Ok(Report::of(other, account, body)),
    }
}

fn message(body: &Bytes, account: &AccountId) -> Result<Report, BadRequest> {
    messages::read(&read_object::<Fields<'_>>(body)?, account, body)
}

impl Report {
    /// A report of which nothing is known but its name.
    pub(super) fn of(name: &str, account: &AccountId, body: &Bytes) -> Self {
        let name = if name.is_empty() { "report" } else { name };
        let what = Happening::Other(name.to_owned());
        Self::Told(Box::new(Told::of(name, what, account, body)))
    }
}

impl Told {
    /// A report that is named by its content and changes no contacts.
    pub(super) fn of(name: &str, what: Happening, account: &AccountId, body: &Bytes) -> Self {
        Self {
            event: Event {
                key: content_key(name, body),
                account: account.clone(),
                at_ms: 0,
                what,
                facts: Vec::new(),
                raw: body.clone(),
            },
            contacts: ContactReport::None,
            repeats_within: Some(REPEATED_WITHIN),
            about: About::Other,
        }
    }
}

/// The key of an event that has no id. What comes and goes is of one kind: who came,
/// left and came again has come twice.
fn content_key(name: &str, body: &[u8]) -> EventKey {
    let kind = name
        .strip_prefix("new_")
        .or_else(|| name.strip_prefix("lose_"))
        .unwrap_or(name);
    let hex = blake3::hash(body).to_hex();
    EventKey::new(&format!("{kind}-{hex:.32}"))
}
