//! How calls of guests fail, and what they used.

use serde::{Deserialize, Serialize};

use super::VersionNumber;
use crate::domain::{AccountId, Digest, FailureId, HandlerName, Millis};

/// How a call of a guest ended badly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The guest said so itself: it returned an error.
    Refused,
    /// The guest trapped: a panic, an unreachable, a stack overflow.
    Trap,
    /// It computed for too long.
    CpuTime,
    /// It took too long in all, waiting included.
    WallClock,
    /// It wanted more memory or table space than it may have.
    Memory,
    /// It made too many host calls or held too many handles.
    HostCalls,
    /// It asked for more tasks or writes than one event may cause.
    Effects,
    /// The host could not run it; no fault of the guest.
    Host,
}

/// A call of a guest that failed. Nothing that it asked for happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Its name; none for what failed before failures had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<FailureId>,
    /// For which account; none for a callback component, which serves none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// For which event, or which question about the callback.
    pub event: String,
    /// Which handler.
    pub handler: HandlerName,
    /// Which version of it; 0 for what failed before versions were counted.
    #[serde(default)]
    pub version: VersionNumber,
    /// Which component.
    pub digest: Digest,
    /// How.
    pub kind: FailureKind,
    /// What the guest or the engine said, with the guest's backtrace.
    pub message: String,
    /// The last lines that the guest logged or printed.
    #[serde(default)]
    pub output: String,
    /// What the call used.
    #[serde(default)]
    pub used: Used,
    /// What it was allowed to use; none where the host failed it without a call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitsInForce>,
    /// When.
    pub at_ms: Millis,
}

impl FailureKind {
    /// The kind as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Trap => "trap",
            Self::CpuTime => "cpu-time",
            Self::WallClock => "wall-clock",
            Self::Memory => "memory",
            Self::HostCalls => "host-calls",
            Self::Effects => "effects",
            Self::Host => "host",
        }
    }
}

impl Failure {
    /// What went wrong, in one line.
    pub fn reason(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }
}

/// What one call may use, for each thing that [`Used`] counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LimitsInForce {
    /// From its beginning to its end, in ms.
    pub wall_ms: u64,
    /// Of that, time that it computes, in ms.
    pub cpu_ms: u64,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Calls of the host's functions.
    pub host_calls: u32,
}

/// What one call used of what it may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Used {
    /// From its beginning to its end, in µs.
    pub wall_us: u64,
    /// Of that, time that it computed, in ms; counted in ticks of 2 ms.
    pub cpu_ms: u64,
    /// Memory at the end, in bytes. It never shrinks, so this is the most it had.
    pub memory_bytes: u64,
    /// Calls of the host's functions.
    pub host_calls: u32,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn what_was_kept_before_failures_had_ids_reads_back() {
        let digest = Digest::of(b"x");
        let kept = format!(
            r#"{{"event":"msg-1","handler":"echo","version":2,"digest":"{digest}",
                "kind":"trap","message":"boom\n  at run","output":"","used":{{}},"at_ms":7}}"#
        );
        let failure: Failure = serde_json::from_str(&kept).unwrap();
        assert_eq!((&failure.id, &failure.account), (&None, &None));
        assert_eq!((failure.reason(), &failure.limits), ("boom", &None));
        let again = serde_json::to_string(&failure).unwrap();
        assert_eq!(serde_json::from_str::<Failure>(&again).unwrap(), failure);
        let kind = serde_json::to_value(failure.kind).unwrap();
        assert_eq!(kind, failure.kind.as_str());
    }
}
