//! What a version asks for its calls in place of what the host's settings give, and how
//! far that may go.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::domain::ports::COMMIT_CHANGES_MAX;

/// Changes that a timer makes at most: itself, its alarm, and the alarm of the one
/// that it replaces.
pub const TIMER_CHANGES: u64 = 3;

/// Changes of a commit that are kept free for what settles the event: its
/// record, its failure, the task and the account that it changes.
const SETTLING_CHANGES: usize = 16;

/// How many changes the effects of one call may make: one commit holds them all.
pub const EFFECT_CHANGES_MAX: u64 = (COMMIT_CHANGES_MAX - SETTLING_CHANGES) as u64;

/// A limit of one call. Its name is that of the host's setting without `call_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallLimit {
    /// Computing time, in ms.
    CpuMs,
    /// Time in all, waiting included, in ms.
    WallMs,
    /// Linear memory, in bytes.
    MemoryBytes,
    /// Elements of one table.
    TableElements,
    /// Calls of the host's functions.
    HostCalls,
    /// Resources held at a time.
    Handles,
    /// What is logged or printed, in bytes.
    LogBytes,
    /// Tasks that one event may cause.
    Tasks,
    /// Key-value writes that one event may cause.
    KeyValueWrites,
    /// Timers that one event may set or cancel.
    Timers,
    /// Tasks, writes and timers together, in bytes.
    EffectsBytes,
}

impl CallLimit {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::CpuMs,
        Self::WallMs,
        Self::MemoryBytes,
        Self::TableElements,
        Self::HostCalls,
        Self::Handles,
        Self::LogBytes,
        Self::Tasks,
        Self::KeyValueWrites,
        Self::Timers,
        Self::EffectsBytes,
    ];

    /// Its name in manifests and settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::CpuMs => "cpu_ms",
            Self::WallMs => "wall_ms",
            Self::MemoryBytes => "memory_bytes",
            Self::TableElements => "table_elements",
            Self::HostCalls => "host_calls",
            Self::Handles => "handles",
            Self::LogBytes => "log_bytes",
            Self::Tasks => "tasks",
            Self::KeyValueWrites => "key_value_writes",
            Self::Timers => "timers",
            Self::EffectsBytes => "effects_bytes",
        }
    }

    /// Whether a bot can be called at all without any of it.
    pub fn may_be_none(self) -> bool {
        !matches!(
            self,
            Self::CpuMs | Self::WallMs | Self::MemoryBytes | Self::Handles
        )
    }
}

impl fmt::Display for CallLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for CallLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|it| it.name() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("{text} is no limit of a call: these are {names}")
        })
    }
}

/// Limits of calls by name; what is not named is as the host's settings say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallLimits(BTreeMap<CallLimit, u64>);

impl CallLimits {
    /// Whether none is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// This one, if it is named.
    pub fn get(&self, limit: CallLimit) -> Option<u64> {
        self.0.get(&limit).copied()
    }

    /// Those that are named.
    pub fn iter(&self) -> impl Iterator<Item = (CallLimit, u64)> + '_ {
        self.0.iter().map(|(limit, value)| (*limit, *value))
    }
}

impl FromIterator<(CallLimit, u64)> for CallLimits {
    fn from_iter<T: IntoIterator<Item = (CallLimit, u64)>>(limits: T) -> Self {
        Self(limits.into_iter().collect())
    }
}

/// What the host's settings give calls, and the most that they let a version ask for. By
/// default nothing, so that a host which says nothing gives nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitBounds {
    /// What calls have that ask for nothing.
    pub given: CallLimits,
    /// The most that may be asked for.
    pub ceilings: CallLimits,
}

impl LimitBounds {
    /// Says what of this a version can't have, and what helps.
    pub fn check(&self, asked: &CallLimits) -> Result<(), String> {
        for (limit, value) in asked.iter() {
            let ceiling = self.ceilings.get(limit).unwrap_or_default();
            if value > ceiling {
                return Err(format!(
                    "{limit}: {value} is more than this host allows, which is {ceiling}: ask for \
                     less, or raise the host's setting limits.ceiling.{limit}"
                ));
            }
            if value == 0 && !limit.may_be_none() {
                return Err(format!("{limit}: must be more than 0"));
            }
        }
        self.check_effects(asked)
    }

    /// One commit holds all effects of a call, and what settles the event too.
    fn check_effects(&self, asked: &CallLimits) -> Result<(), String> {
        let in_force = |limit| {
            let asked = asked.get(limit).or_else(|| self.given.get(limit));
            asked.unwrap_or_default()
        };
        let [tasks, writes, timers] = [
            in_force(CallLimit::Tasks),
            in_force(CallLimit::KeyValueWrites),
            in_force(CallLimit::Timers),
        ];
        match effect_changes(tasks, writes, timers) {
            changes if changes > EFFECT_CHANGES_MAX => Err(format!(
                "tasks ({tasks}), key_value_writes ({writes}) and {TIMER_CHANGES} times timers \
                 ({timers}): together at most {EFFECT_CHANGES_MAX}, since one commit holds them \
                 all: ask for fewer of one"
            )),
            _ => Ok(()),
        }
    }
}

/// How many changes a commit has at most for so many effects.
pub fn effect_changes(tasks: u64, writes: u64, timers: u64) -> u64 {
    let timers = timers.saturating_mul(TIMER_CHANGES);
    tasks.saturating_add(writes).saturating_add(timers)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn bounds() -> LimitBounds {
        let all = |value| CallLimit::ALL.map(|limit| (limit, value)).into_iter();
        LimitBounds {
            given: all(100).collect(),
            ceilings: all(1_000).collect(),
        }
    }

    fn refusal(limit: CallLimit, value: u64) -> String {
        let asked = [(limit, value)].into_iter().collect();
        bounds().check(&asked).err().unwrap_or_default()
    }

    #[test]
    fn a_version_may_ask_for_less_and_for_more_up_to_the_ceiling() {
        assert_eq!(bounds().check(&CallLimits::default()), Ok(()));
        for value in [1, 100, 1_000] {
            assert_eq!(refusal(CallLimit::CpuMs, value), "");
        }
        let problem = refusal(CallLimit::CpuMs, 1_001);
        for part in ["cpu_ms: 1001", "which is 1000", "limits.ceiling.cpu_ms"] {
            assert!(problem.contains(part), "{problem}");
        }
    }

    #[test]
    fn what_a_call_can_not_do_without_is_more_than_none() {
        assert!(refusal(CallLimit::WallMs, 0).starts_with("wall_ms: must"));
        assert_eq!(refusal(CallLimit::Tasks, 0), "");
    }

    #[test]
    fn one_commit_holds_all_effects() {
        // 100 writes and 300 for the timers that were not asked about.
        assert_eq!(refusal(CallLimit::Tasks, 616), "");
        assert!(refusal(CallLimit::Tasks, 617).contains("at most 1008"));
        assert!(refusal(CallLimit::Timers, 273).contains("3 times timers (273)"));
    }

    #[test]
    fn a_host_that_says_nothing_gives_nothing() {
        let asked = [(CallLimit::CpuMs, 1)].into_iter().collect();
        assert!(LimitBounds::default().check(&asked).is_err());
    }

    #[test]
    fn limits_read_and_write_as_their_names() {
        let text = r#"{"cpu_ms":200,"memory_bytes":1}"#;
        let limits: CallLimits = serde_json::from_str(text).unwrap();
        assert_eq!(limits.get(CallLimit::CpuMs), Some(200));
        assert_eq!(serde_json::to_string(&limits).unwrap(), text);
        assert!(serde_json::from_str::<CallLimits>(r#"{"cpu":1}"#).is_err());
        for limit in CallLimit::ALL {
            assert_eq!(limit.name().parse(), Ok(limit));
            let json = serde_json::to_value(limit).unwrap();
            assert_eq!(json, limit.name());
        }
        assert!("cpu".parse::<CallLimit>().unwrap_err().contains("cpu_ms"));
    }
}
