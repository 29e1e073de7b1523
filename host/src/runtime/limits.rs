//! What one call of a guest may use. Every bound has a setting of its name
//! under `[limits]`, and a reason.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::domain::{
    Usage,
    bucket::BucketLimits,
    handler::{
        CallLimit, CallLimits, EFFECT_CHANGES_MAX, FailingPolicy, LimitBounds, LimitsInForce,
        TIMER_CHANGES, effect_changes,
    },
    ports::COMMIT_BYTES_MAX,
};

const MIB: u64 = 1024 * 1024;

/// The most that `call_effects_bytes` can be set to. All effects of a call go
/// into one commit, and the rest of what it may hold is for the event's record
/// and its failure.
const EFFECTS_BYTES_MAX: u32 = 3 * 1024 * 1024;
const _: () = assert!((EFFECTS_BYTES_MAX as usize) < COMMIT_BYTES_MAX);

/// The most that `account_timers` can be set to. They are read, and listed, as a whole.
pub const ACCOUNT_TIMERS_MAX: u32 = 10_000;

/// The most that `account_waiting_events` and `account_waiting_bytes` can be set to.
const WAITING_EVENTS_MAX: u32 = 10_000;
const WAITING_BYTES_MAX: u64 = 64 * MIB;

/// The most that waiting for room and the call may take together. Waiting for
/// the account's turn can take another 10 s, and WeHub waits 30 s for an answer.
const ANSWER_MS_MAX: u64 = 15_000;

/// What a memory can address.
const MEMORY_BYTES_MAX: u64 = 4096 * MIB;

/// The most that a version may ask for unless the settings say otherwise. Enough for
/// what bots have been seen to need, so little that one of them is no burden.
const CEILINGS: [(CallLimit, u64); 10] = [
    (CallLimit::CpuMs, 2_000),
    (CallLimit::MemoryBytes, 256 * MIB),
    (CallLimit::TableElements, 50_000),
    (CallLimit::HostCalls, 100_000),
    (CallLimit::Handles, 10_000),
    (CallLimit::LogBytes, MIB),
    (CallLimit::Tasks, 200),
    (CallLimit::KeyValueWrites, 512),
    (CallLimit::Timers, 256),
    (CallLimit::EffectsBytes, EFFECTS_BYTES_MAX as u64),
];

/// Limits of one call, and of all calls together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Linear memory of one call, in bytes. 64 MiB holds a Python runtime.
    pub call_memory_bytes: u64,
    /// Elements of one table. Python's runtime needs 5,700.
    pub call_table_elements: u32,
    /// Computing time of one call, in ms; rounded up to whole ticks of 2 ms.
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
    /// After so many failures in a row a handler is paused for the account; 0 for never.
    pub failures_in_a_row: u32,
    /// How long the first such pause is at the most, in ms; each further one is twice
    /// as long.
    pub failing_pause_ms: u64,
    /// No such pause is longer, in ms.
    pub failing_pause_max_ms: u64,
    /// Events of an account that may wait meanwhile, if the handler wants them.
    pub account_waiting_events: u32,
    /// What they may have together, in bytes.
    pub account_waiting_bytes: u64,
    /// Calls that may run at the same time.
    pub concurrent_calls: u32,
    /// How long an event waits for room to run its bot, in ms.
    pub queue_wait_ms: u64,
    /// Size of a component, in bytes. Bounds what compiling it costs.
    pub component_bytes: u64,
    /// Time that compiling one component may take, in ms.
    pub compile_ms: u64,
    /// Instances that are kept for the next events of their accounts, of all handlers
    /// that ask for it. They have places of the pool beside those of calls.
    pub warm_instances: u32,
    /// Memory of all of them together, in bytes.
    pub warm_instances_bytes: u64,
    /// How old one of them becomes, in ms.
    pub warm_instance_ms: u64,
    /// How many calls one of them serves.
    pub warm_instance_calls: u32,
    /// The most that a version may ask for, by the names of the limits of a call.
    pub ceiling: CallLimits,
}

impl Default for Limits {
    fn default() -> Self {
        let (buckets, failing) = (BucketLimits::default(), FailingPolicy::default());
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
            failures_in_a_row: failing.failures_in_a_row,
            failing_pause_ms: failing.pause_ms,
            failing_pause_max_ms: failing.pause_max_ms,
            account_waiting_events: failing.waiting_events,
            account_waiting_bytes: failing.waiting_bytes,
            concurrent_calls: 64,
            queue_wait_ms: 5_000,
            component_bytes: 64 * MIB,
            compile_ms: 60_000,
            warm_instances: 64,
            warm_instances_bytes: 512 * MIB,
            warm_instance_ms: 5 * 60 * 1000,
            warm_instance_calls: 1_000,
            ceiling: CallLimits::default(),
        }
    }
}

impl Limits {
    /// How long a call may take in all.
    pub fn call_wall(&self) -> Duration {
        Duration::from_millis(self.call_wall_ms)
    }

    /// One of the limits of a call.
    fn given(&self, limit: CallLimit) -> u64 {
        match limit {
            CallLimit::CpuMs => self.call_cpu_ms,
            CallLimit::WallMs => self.call_wall_ms,
            CallLimit::MemoryBytes => self.call_memory_bytes,
            CallLimit::TableElements => self.call_table_elements.into(),
            CallLimit::HostCalls => self.call_host_calls.into(),
            CallLimit::Handles => self.call_handles.into(),
            CallLimit::LogBytes => self.call_log_bytes.into(),
            CallLimit::Tasks => self.call_tasks.into(),
            CallLimit::KeyValueWrites => self.call_key_value_writes.into(),
            CallLimit::Timers => self.call_timers.into(),
            CallLimit::EffectsBytes => self.call_effects_bytes.into(),
        }
    }

    fn set(&mut self, limit: CallLimit, value: u64) {
        let small = u32::try_from(value).unwrap_or(u32::MAX);
        match limit {
            CallLimit::CpuMs => self.call_cpu_ms = value,
            CallLimit::WallMs => self.call_wall_ms = value,
            CallLimit::MemoryBytes => self.call_memory_bytes = value,
            CallLimit::TableElements => self.call_table_elements = small,
            CallLimit::HostCalls => self.call_host_calls = small,
            CallLimit::Handles => self.call_handles = small,
            CallLimit::LogBytes => self.call_log_bytes = small,
            CallLimit::Tasks => self.call_tasks = small,
            CallLimit::KeyValueWrites => self.call_key_value_writes = small,
            CallLimit::Timers => self.call_timers = small,
            CallLimit::EffectsBytes => self.call_effects_bytes = small,
        }
    }

    /// The most that a version may ask for: what the settings say, else what is usual,
    /// and never less than every call has.
    pub fn ceiling(&self, limit: CallLimit) -> u64 {
        let usual = || match limit {
            // Whatever is left for the answer.
            CallLimit::WallMs => ANSWER_MS_MAX.saturating_sub(self.queue_wait_ms),
            limit => {
                let usual = CEILINGS.into_iter().find(|(it, _)| *it == limit);
                usual.map_or(0, |(_, ceiling)| ceiling)
            }
        };
        let ceiling = self.ceiling.get(limit).unwrap_or_else(usual);
        ceiling.max(self.given(limit))
    }

    /// What versions may ask for, for whoever deploys them.
    pub fn bounds(&self) -> LimitBounds {
        let all = CallLimit::ALL;
        LimitBounds {
            given: all.map(|it| (it, self.given(it))).into_iter().collect(),
            ceilings: all.map(|it| (it, self.ceiling(it))).into_iter().collect(),
        }
    }

    /// The limits for a call of a version that asks for these. The settings may have
    /// changed since it was deployed: it never gets more than they allow.
    pub fn asked(self: &Arc<Self>, asked: &CallLimits) -> Arc<Self> {
        if asked.is_empty() {
            return Arc::clone(self);
        }
        let mut limits = self.as_ref().clone();
        for (limit, value) in asked.iter() {
            limits.set(limit, value.min(self.ceiling(limit)));
        }
        Arc::new(limits)
    }

    /// The most that any version may ask for. It says as much when it is deployed, which
    /// is after its component was taken in.
    pub fn at_most(&self) -> Arc<Self> {
        let mut limits = self.clone();
        for limit in CallLimit::ALL {
            limits.set(limit, self.ceiling(limit));
        }
        Arc::new(limits)
    }

    /// What one call may use, as it is told of a call that failed.
    pub fn of_a_call(&self) -> LimitsInForce {
        LimitsInForce {
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

    /// When handlers that fail are paused.
    pub fn failing(&self) -> FailingPolicy {
        FailingPolicy {
            failures_in_a_row: self.failures_in_a_row,
            pause_ms: self.failing_pause_ms,
            pause_max_ms: self.failing_pause_max_ms,
            waiting_events: self.account_waiting_events,
            waiting_bytes: self.account_waiting_bytes,
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
            ("failing_pause_ms", self.failing_pause_ms),
            ("failing_pause_max_ms", self.failing_pause_max_ms),
            ("component_bytes", self.component_bytes),
            ("compile_ms", self.compile_ms),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(format!("limits.{name}: must be more than 0"));
        }
        if self.call_memory_bytes > MEMORY_BYTES_MAX {
            return Err("limits.call_memory_bytes: at most 4 GiB can be addressed".to_owned());
        }
        if self.call_wall_ms.saturating_add(self.queue_wait_ms) > ANSWER_MS_MAX {
            return Err(format!(
                "limits.call_wall_ms and limits.queue_wait_ms: together at most \
                 {ANSWER_MS_MAX}, since waiting for the account's turn may take another \
                 10 s and WeHub waits 30 s for an answer"
            ));
        }
        if self.account_waiting_events > WAITING_EVENTS_MAX
            || self.account_waiting_bytes > WAITING_BYTES_MAX
        {
            return Err(format!(
                "limits.account_waiting_events, limits.account_waiting_bytes: at most \
                 {WAITING_EVENTS_MAX} and {WAITING_BYTES_MAX}, since each account may have them"
            ));
        }
        self.check_effects()?;
        self.check_ceilings()
    }

    fn check_ceilings(&self) -> Result<(), String> {
        for (limit, ceiling) in self.ceiling.iter() {
            if ceiling < self.given(limit) {
                return Err(format!(
                    "limits.ceiling.{limit}: is less than limits.call_{limit}, which calls have \
                     that ask for nothing"
                ));
            }
            let (most, why) = hardest(limit, self.queue_wait_ms);
            if ceiling > most {
                return Err(format!("limits.ceiling.{limit}: at most {most}: {why}"));
            }
        }
        Ok(())
    }

    /// One commit holds all effects of a call, and what settles the event too.
    fn check_effects(&self) -> Result<(), String> {
        let [tasks, writes, timers] = [
            self.call_tasks,
            self.call_key_value_writes,
            self.call_timers,
        ];
        if effect_changes(tasks.into(), writes.into(), timers.into()) > EFFECT_CHANGES_MAX {
            return Err(format!(
                "limits.call_tasks, limits.call_key_value_writes and {TIMER_CHANGES} times \
                 limits.call_timers: together at most {EFFECT_CHANGES_MAX}, since one commit \
                 holds them all"
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

/// What a limit can come to at all, and why no more.
fn hardest(limit: CallLimit, queue_wait_ms: u64) -> (u64, &'static str) {
    match limit {
        CallLimit::WallMs => (
            ANSWER_MS_MAX.saturating_sub(queue_wait_ms),
            "with limits.queue_wait_ms before it an answer would come too late",
        ),
        CallLimit::CpuMs => (ANSWER_MS_MAX, "an answer would come too late"),
        CallLimit::MemoryBytes => (MEMORY_BYTES_MAX, "more can't be addressed"),
        CallLimit::EffectsBytes => (EFFECTS_BYTES_MAX.into(), "one commit holds them all"),
        CallLimit::Tasks | CallLimit::KeyValueWrites | CallLimit::Timers => {
            (EFFECT_CHANGES_MAX, "one commit holds them all")
        }
        CallLimit::TableElements
        | CallLimit::HostCalls
        | CallLimit::Handles
        | CallLimit::LogBytes => (u32::MAX.into(), "it is counted in 32 bits"),
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

    fn asked(limit: CallLimit, value: u64) -> CallLimits {
        [(limit, value)].into_iter().collect()
    }

    #[test]
    fn a_call_has_what_its_version_asks_for_and_never_more_than_the_ceiling() {
        let host = Arc::new(Limits::default());
        assert!(Arc::ptr_eq(&host.asked(&CallLimits::default()), &host));
        assert_eq!(host.asked(&asked(CallLimit::CpuMs, 20)).call_cpu_ms, 20);
        assert_eq!(
            host.asked(&asked(CallLimit::CpuMs, 1_000)).call_cpu_ms,
            1_000
        );
        // The ceiling was lowered since.
        assert_eq!(
            host.asked(&asked(CallLimit::CpuMs, 60_000)).call_cpu_ms,
            2_000
        );
        for limit in CallLimit::ALL {
            let one = host.asked(&asked(limit, 1));
            assert_eq!(one.given(limit), 1, "{limit}");
            let others = CallLimit::ALL.into_iter().filter(|it| *it != limit);
            for other in others {
                assert_eq!(one.given(other), host.given(other), "{limit}, {other}");
            }
            assert_eq!(host.at_most().given(limit), host.ceiling(limit));
        }
    }

    #[test]
    fn a_ceiling_is_never_below_what_every_call_has() {
        let host = Limits {
            call_cpu_ms: 7_000,
            ..Limits::default()
        };
        assert_eq!(host.ceiling(CallLimit::CpuMs), 7_000);
        let low = refusal(|it| it.ceiling = asked(CallLimit::CpuMs, 100));
        assert!(low.starts_with("limits.ceiling.cpu_ms"), "{low}");
        assert!(low.contains("limits.call_cpu_ms"), "{low}");
        let high = refusal(|it| it.ceiling = asked(CallLimit::WallMs, 10_001));
        assert!(
            high.starts_with("limits.ceiling.wall_ms: at most 10000"),
            "{high}"
        );
        assert_eq!(
            refusal(|it| it.ceiling = asked(CallLimit::CpuMs, 9_000)),
            ""
        );
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
        assert!(many.contains("at most 1008"), "{many}");
        let timers = refusal(|it| it.call_timers = 300);
        assert!(timers.contains("limits.call_timers"), "{timers}");
        let kept = refusal(|it| it.account_timers = 10_001);
        assert!(kept.starts_with("limits.account_timers"), "{kept}");
        let large = refusal(|it| it.call_effects_bytes = 3 * 1024 * 1024 + 1);
        assert!(large.starts_with("limits.call_effects_bytes"), "{large}");
        assert_eq!(refusal(|it| it.queue_wait_ms = 10_000), "");
    }
}
