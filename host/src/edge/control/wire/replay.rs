//! Replaying recorded events, as the control API has it.

use serde::{Deserialize, Serialize};

use super::FailureView;
use crate::{
    domain::{
        AccountId, EventKey, HandlerName, Millis,
        handler::VersionNumber,
        ports::EventOutcome,
        replay::{Difference, Verdict},
    },
    service::{Replay, Replayed, ReplayedEvent},
};

/// How many events are replayed unless told.
pub const REPLAY_LAST: usize = 50;

/// Which recorded events are to be run against a version.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayRequest {
    /// Whose events.
    pub account: AccountId,
    /// How many of the last, 1 to 500.
    #[serde(default = "last")]
    pub last: usize,
    /// Which version; the one that serves the account if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionNumber>,
    /// The `next` of the answer before, for the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

fn last() -> usize {
    REPLAY_LAST
}

impl ReplayRequest {
    /// The same for the service.
    pub fn of(self, handler: HandlerName) -> Replay {
        Replay {
            handler,
            version: self.version,
            account: self.account,
            last: self.last,
            after: self.after,
        }
    }
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReplayView {
    /// Which version was called.
    pub version: VersionNumber,
    /// The events, the oldest first.
    pub items: Vec<ReplayedView>,
    /// What to send as `after` for the rest; none when there is none.
    pub next: Option<u64>,
}

/// One event that was run again.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReplayedView {
    /// Which.
    pub key: EventKey,
    /// When it was settled.
    pub at_ms: Millis,
    /// Whose decision it was then, and which version's.
    pub handler: HandlerName,
    /// Which version's.
    pub version: VersionNumber,
    /// What became of it then.
    pub outcome: EventOutcome,
    /// How what it would send now compares with what was sent.
    pub verdict: Verdict,
    /// What was sent and what would be, in order; empty when it fails.
    pub actions: Vec<Difference>,
    /// Why it would fail, if it would.
    pub failure: Option<FailureView>,
    /// The client's JSON was not recorded: a bot that reads it sees none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_raw: bool,
}

impl From<Replayed> for ReplayView {
    fn from(replayed: Replayed) -> Self {
        Self {
            version: replayed.bot.version.number,
            items: replayed.events.into_iter().map(Into::into).collect(),
            next: replayed.next,
        }
    }
}

impl From<ReplayedEvent> for ReplayedView {
    fn from(event: ReplayedEvent) -> Self {
        let verdict = event.verdict();
        let (actions, failure) = match event.result {
            Ok(actions) => (actions, None),
            Err(failure) => {
                let (kind, message) = (failure.kind, failure.message);
                (Vec::new(), Some(FailureView { kind, message }))
            }
        };
        Self {
            key: event.key,
            at_ms: event.at_ms,
            handler: event.handler,
            version: event.version,
            outcome: event.outcome,
            verdict,
            actions,
            failure,
            without_raw: event.without_raw,
        }
    }
}
