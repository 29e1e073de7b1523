//! The clock that decides, and the numbers of tasks.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use crate::domain::{Millis, TaskNumber};

/// Where the time comes from: ms since the epoch.
pub type Clock = Arc<dyn Fn() -> Millis + Send + Sync>;

/// The machine's clock.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        // A clock set before 1970 reads as 1970.
        now.map_or(0, |since| {
            Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
        })
    })
}

/// A clock that never runs backwards, and numbers that only rise.
pub struct Time {
    clock: Clock,
    last_ms: AtomicU64,
    last_number: AtomicU64,
}

impl Time {
    /// Time by this clock; numbers begin above `mark`.
    pub fn new(clock: Clock, mark: u64) -> Self {
        Self {
            clock,
            last_ms: AtomicU64::new(0),
            last_number: AtomicU64::new(mark),
        }
    }

    /// Ms since the epoch.
    pub fn now(&self) -> Millis {
        let now = (self.clock)();
        now.max(self.last_ms.fetch_max(now, Ordering::Relaxed))
    }

    /// The first of `count` new numbers: microseconds since the epoch where
    /// that is above the last number. They stay below 2^53, which JavaScript
    /// can count to, until the year 2255.
    pub fn reserve(&self, count: u32) -> TaskNumber {
        let now_us = self.now().saturating_mul(1000);
        let first = |last: u64| now_us.max(last.saturating_add(1));
        let next = |last: u64| Some(first(last).saturating_add(u64::from(count).saturating_sub(1)));
        let (Ok(last) | Err(last)) =
            self.last_number
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        TaskNumber(first(last))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Time")
            .field("last_ms", &self.last_ms)
            .field("last_number", &self.last_number)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(now: &Arc<AtomicU64>) -> Clock {
        let now = Arc::clone(now);
        Arc::new(move || now.load(Ordering::Relaxed))
    }

    #[test]
    fn neither_time_nor_numbers_go_back_with_the_clock() {
        let now = Arc::new(AtomicU64::new(2_000));
        let time = Time::new(clock(&now), 0);
        assert_eq!(time.reserve(3), TaskNumber(2_000_000));
        now.store(1_000, Ordering::Relaxed);
        assert_eq!(time.now(), 2_000);
        assert_eq!(time.reserve(1), TaskNumber(2_000_003));
        now.store(3_000, Ordering::Relaxed);
        assert_eq!(time.reserve(1), TaskNumber(3_000_000));
    }

    #[test]
    fn numbers_begin_above_the_mark() {
        let now = Arc::new(AtomicU64::new(1));
        let time = Time::new(clock(&now), 5_000);
        assert_eq!(time.reserve(1), TaskNumber(5_001));
    }
}
