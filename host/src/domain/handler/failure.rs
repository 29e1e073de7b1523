//! How calls of guests fail, and what they used.

use serde::{Deserialize, Serialize};

use super::VersionNumber;
use crate::domain::{Digest, HandlerName, Millis};

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

impl FailureKind {
    /// The word for it.
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

/// A call of a guest that failed. Nothing that it asked for happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// For which event.
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
    /// When.
    pub at_ms: Millis,
}

/// What one call used of what it may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Used {
    /// From its beginning to its end, in µs.
    pub wall_us: u64,
    /// Of that, time that it computed, in ms; counted in ticks of 10 ms.
    pub cpu_ms: u64,
    /// Memory at the end, in bytes. It never shrinks, so this is the most it had.
    pub memory_bytes: u64,
    /// Calls of the host's functions.
    pub host_calls: u32,
}
