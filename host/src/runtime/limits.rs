//! What one call of a guest may use. Every bound has a setting of its name
//! under `[limits]`, and a reason.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::{
    Usage,
    bucket::BucketLimits,
    handler::CallLimits,
    ports::{COMMIT_BYTES_MAX, COMMIT_CHANGES_MAX},
};

const MIB: u64 = 1024 * 1024;

/// The most that `call_effects_bytes` can be set to. All effects of a call go
/// into one commit, and the rest of what it may hold is for the event's record
/// and its failure.
const EFFECTS_BYTES_MAX: u32 = 3 * 1024 * 1024;
const _: () = assert!((EFFECTS_BYTES_MAX as usize) < COMMIT_BYTES_MAX);

/// Changes that a timer makes at most: itself, its alarm, and the alarm of the one
/// that it replaces.
const TIMER_CHANGES: u32 = 3;
/// The most that `account_timers` can be set to. They are read, and listed, as a whole.
pub const ACCOUNT_TIMERS_MAX: u32 = 10_000;

/// Changes of a commit that are kept free for what settles the event: its
/// record, its failure, the task and the account that it changes.
const SETTLING_CHANGES: usize = 8;

/// The most that waiting for room and the call may take together. Waiting for
/// the account's turn can take another 10 s, and WeHub waits 30 s for an answer.
const ANSWER_MS_MAX: u64 = 15_000;

/// Limits of one call, and of all calls together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Linear memory of one call, in bytes. 64 MiB holds a Python runtime.
    pub call_memory_bytes: u64,
    /// Elements of one table. Python's runtime needs 5,700.
    pub call_table_elements: u32,
    /// Computing time of one call, in ms; rounded up to whole ticks of 10 ms.
    /// What the guest spends waiting does not count.
    pub call_cpu_ms: u64,
    /// Time of one call in all, waiting included, in ms. At most 15 s together
    /// with `queue_wait_ms`: WeHub gives up on an answer after 30 s.
    pub call_wall_ms: u64,
    /// Calls to the interfaces of `wxhost:bot`, `wasi:keyvalue`, `wasi:config`
    /// and `wasi:logging` during one call. The rest of WASI reaches nothing of
    /// the host but clocks and random numbers, and is bounded by time; requests of
    /// `wasi:http` have limits of their own (`[egress]`).
    pub call_host_calls: u32,
    /// Resources (buckets, streams) that one call may hold at a time.
    pub call_handles: u32,
    /// What one call may log or print, in bytes. What is above it is dropped.
    pub call_log_bytes: u32,
    /// Tasks that one event may cause.
    pub call_tasks: u32,
    /// Key-value writes that one event may cause.
    pub call_key_value_writes: u32,
    /// Timers that one event may set or cancel.
    pub call_timers: u32,
    /// Timers that a bot may have set for one account.
    pub account_timers: u32,
    /// Size of all tasks, writes and timers of one event together, in bytes as they are
    /// stored. They go into one commit, which is bounded.
    pub call_effects_bytes: u32,
    /// Size of one value in a guest's key-value store, in bytes. sled is built
    /// for small values.
    pub value_bytes: u32,
    /// Size of the keys and values of one account's bucket together, in bytes. With
    /// a thousand accounts that is 16 GiB of disk at most.
    pub bucket_bytes: u64,
    /// Keys of one account's bucket.
    pub bucket_keys: u64,
    /// Size of the keys and values of the bucket that all accounts of a handler
    /// share, in bytes.
    pub shared_bucket_bytes: u64,
    /// Keys of that bucket.
    pub shared_bucket_keys: u64,
    /// Calls that may run at the same time.
    pub concurrent_calls: u32,
    /// How long an event waits for room to run its bot, in ms.
    pub queue_wait_ms: u64,
    /// Size of a component, in bytes. Bounds what compiling it costs.
    pub component_bytes: u64,
    /// Time that compiling one component may take, in ms.
    pub compile_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let buckets = BucketLimits::default();
        Self {
            call_memory_bytes: 64 * MIB,
            call_table_elements: 20_000,
            call_cpu_ms: 500,
            call_wall_ms: 5_000,
            call_host_calls: 10_000,
            call_handles: 1_000,
            call_log_bytes: 64 * 1024,
            call_tasks: 100,
            call_key_value_writes: 256,
            call_timers: 64,
            account_timers: 1_000,
            call_effects_bytes: 2 * 1024 * 1024,
            value_bytes: buckets.value_bytes,
            bucket_bytes: buckets.own.bytes,
            bucket_keys: buckets.own.keys,
            shared_bucket_bytes: buckets.shared.bytes,
            shared_bucket_keys: buckets.shared.keys,
            concurrent_calls: 64,
            queue_wait_ms: 5_000,
            component_bytes: 64 * MIB,
            compile_ms: 60_000,
        }
    }
}

impl Limits {
    /// How long a call may take in all.
    pub fn call_wall(&self) -> Duration {
        Duration::from_millis(self.call_wall_ms)
    }

    /// What one call may use, as it is told of a call that failed.
    pub fn of_a_call(&self) -> CallLimits {
        CallLimits {
            wall_ms: self.call_wall_ms,
            cpu_ms: self.call_cpu_ms,
            memory_bytes: self.call_memory_bytes,
            host_calls: self.call_host_calls,
        }
    }

    /// How long an event waits for room.
    pub fn queue_wait(&self) -> Duration {
        Duration::from_millis(self.queue_wait_ms)
    }

    /// How much buckets may come to.
    pub fn buckets(&self) -> BucketLimits {
        BucketLimits {
            own: Usage {
                keys: self.bucket_keys,
                bytes: self.bucket_bytes,
            },
            shared: Usage {
                keys: self.shared_bucket_keys,
                bytes: self.shared_bucket_bytes,
            },
            value_bytes: self.value_bytes,
        }
    }

    /// Says which setting can't work, and why.
    pub fn check(&self) -> Result<(), String> {
        let positive = [
            ("call_memory_bytes", self.call_memory_bytes),
            ("call_cpu_ms", self.call_cpu_ms),
            ("call_wall_ms", self.call_wall_ms),
            ("call_handles", self.call_handles.into()),
            ("concurrent_calls", self.concurrent_calls.into()),
            ("queue_wait_ms", self.queue_wait_ms),
            ("component_bytes", self.component_bytes),
            ("compile_ms", self.compile_ms),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(format!("limits.{name}: must be more than 0"));
        }
        if self.call_memory_bytes > 4096 * MIB {
            return Err("limits.call_memory_bytes: at most 4 GiB can be addressed".to_owned());
        }
        if self.call_wall_ms.saturating_add(self.queue_wait_ms) > ANSWER_MS_MAX {
            return Err(format!(
                "limits.call_wall_ms and limits.queue_wait_ms: together at most \
                 {ANSWER_MS_MAX}, since waiting for the account's turn may take another \
                 10 s and WeHub waits 30 s for an answer"
            ));
        }
        self.check_effects()
    }

    /// One commit holds all effects of a call, and what settles the event too.
    fn check_effects(&self) -> Result<(), String> {
        let timers = self.call_timers.saturating_mul(TIMER_CHANGES);
        let effects = self.call_tasks.saturating_add(self.call_key_value_writes);
        let effects = effects.saturating_add(timers);
        let room = COMMIT_CHANGES_MAX - SETTLING_CHANGES;
        if effects as usize > room {
            return Err(format!(
                "limits.call_tasks, limits.call_key_value_writes and {TIMER_CHANGES} times \
                 limits.call_timers: together at most {room}, since one commit holds them all"
            ));
        }
        if self.account_timers > ACCOUNT_TIMERS_MAX {
            return Err(format!(
                "limits.account_timers: at most {ACCOUNT_TIMERS_MAX}, since a call reads them all"
            ));
        }
        if self.call_effects_bytes > EFFECTS_BYTES_MAX {
            return Err(format!(
                "limits.call_effects_bytes: at most {EFFECTS_BYTES_MAX}, since one commit \
                 holds them all"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl FnOnce(&mut Limits)) -> String {
        let mut limits = Limits::default();
        change(&mut limits);
        limits.check().err().unwrap_or_default()
    }

    #[test]
    fn the_defaults_are_sound() {
        assert_eq!(Limits::default().check(), Ok(()));
    }

    #[test]
    fn what_can_not_work_is_refused_by_name() {
        let longest = refusal(|it| it.call_wall_ms = u64::MAX);
        assert!(longest.starts_with("limits.call_wall_ms"), "{longest}");
        let long = refusal(|it| it.queue_wait_ms = 10_001);
        assert!(long.contains("limits.queue_wait_ms"), "{long}");
        let many = refusal(|it| it.call_tasks = u32::MAX);
        assert!(many.contains("at most 1016"), "{many}");
        let timers = refusal(|it| it.call_timers = 300);
        assert!(timers.contains("limits.call_timers"), "{timers}");
        let kept = refusal(|it| it.account_timers = 10_001);
        assert!(kept.starts_with("limits.account_timers"), "{kept}");
        let large = refusal(|it| it.call_effects_bytes = 3 * 1024 * 1024 + 1);
        assert!(large.starts_with("limits.call_effects_bytes"), "{large}");
        assert_eq!(refusal(|it| it.queue_wait_ms = 10_000), "");
    }
}
