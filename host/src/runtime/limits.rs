//! What one call of a guest may use. Every bound has a setting of its name
//! under `[limits]`, and a reason.

use std::time::Duration;

use serde::{Deserialize, Serialize};

const MIB: u64 = 1024 * 1024;

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
    /// Time of one call in all, waiting included, in ms. WeHub gives up on an
    /// answer after 30 s.
    pub call_wall_ms: u64,
    /// Calls to the interfaces of `wxhost:bot`, `wasi:keyvalue`, `wasi:config`
    /// and `wasi:logging` during one call.
    pub call_host_calls: u32,
    /// Resources (buckets, streams) that one call may hold at a time.
    pub call_handles: u32,
    /// What one call may log or print, in bytes. What is above it is dropped.
    pub call_log_bytes: u32,
    /// Tasks that one event may cause.
    pub call_tasks: u32,
    /// Key-value writes that one event may cause.
    pub call_key_value_writes: u32,
    /// Size of one value in a guest's key-value store, in bytes. sled is built
    /// for small values.
    pub value_bytes: u32,
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
            value_bytes: 64 * 1024,
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

    /// How long an event waits for room.
    pub fn queue_wait(&self) -> Duration {
        Duration::from_millis(self.queue_wait_ms)
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
        if self.call_wall_ms + self.queue_wait_ms > 25_000 {
            return Err(
                "limits.call_wall_ms and limits.queue_wait_ms: together at most 25000, \
                 since WeHub waits 30 s for an answer"
                    .to_owned(),
            );
        }
        // One commit holds all effects of a call, the event and its failure too.
        let effects = self.call_tasks + self.call_key_value_writes + 8;
        if effects as usize > crate::domain::ports::COMMIT_CHANGES_MAX {
            return Err(
                "limits.call_tasks and limits.call_key_value_writes: together at most 1016"
                    .to_owned(),
            );
        }
        Ok(())
    }
}
