//! Failures, as a list shows them.

use serde::{Deserialize, Serialize};

use crate::domain::{AccountId, Failure, FailureId, FailureKind, Millis, handler::VersionNumber};

/// How much of a failure's reason a list shows, in bytes.
const REASON_MAX_BYTES: usize = 300;

/// A failure in short.
#[derive(Debug, Serialize, Deserialize)]
pub struct FailureItem {
    /// Its name.
    pub id: FailureId,
    /// When.
    pub at_ms: Millis,
    /// For which account; none for a callback component.
    pub account: Option<AccountId>,
    /// For which event, or which question about the callback.
    pub event: String,
    /// Which version.
    pub version: VersionNumber,
    /// How.
    pub kind: FailureKind,
    /// What the guest or the engine said first.
    pub reason: String,
}

impl FailureItem {
    /// The failure in short, if it has a name by which the rest is found.
    pub fn of(failure: Failure) -> Option<Self> {
        let reason = failure.reason();
        let end = reason.floor_char_boundary(REASON_MAX_BYTES);
        let reason = reason.get(..end).unwrap_or_default().to_owned();
        Some(Self {
            id: failure.id?,
            at_ms: failure.at_ms,
            account: failure.account,
            event: failure.event,
            version: failure.version,
            kind: failure.kind,
            reason,
        })
    }
}
