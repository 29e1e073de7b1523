//! The clock that decides, and the numbers of tasks.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use crate::domain::{Millis, TaskNumber};

/// Where the time comes from: ms since the epoch.
pub type Clock = Arc<dyn Fn() -> Millis + Send + Sync>;

/// The machine's clock, but one that goes on evenly when the machine's is set
/// back: alarms and limits would else stand still for as long.
pub fn system_clock() -> Clock {
    let started = Instant::now();
    let wall = || {
        // A clock set before 1970 reads as 1970.
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, millis)
    };
    steady(wall, move || millis(started.elapsed()))
}

/// The greatest difference there ever was between a clock that may be set and one
/// that only counts, on top of the latter.
fn steady(
    wall: impl Fn() -> Millis + Send + Sync + 'static,
    elapsed: impl Fn() -> Millis + Send + Sync + 'static,
) -> Clock {
    let greatest = AtomicU64::new(0);
    Arc::new(move || {
        // In this order: a pause in between makes the difference smaller, which
        // passes, and not greater, which would stay.
        let wall = wall();
        let elapsed = elapsed();
        let offset = wall.saturating_sub(elapsed);
        let greatest = offset.max(greatest.fetch_max(offset, Ordering::Relaxed));
        elapsed.saturating_add(greatest)
    })
}

fn millis(span: Duration) -> Millis {
    Millis::try_from(span.as_millis()).unwrap_or(Millis::MAX)
}

/// A clock that never runs backwards, and numbers that only rise.
pub struct Time {
    clock: Clock,
    /// How far the clock was behind the mark at the beginning.
    behind_ms: Millis,
    last_ms: AtomicU64,
    last_number: AtomicU64,
}

impl Time {
    /// Time by this clock; numbers begin above `mark`. The time begins no earlier
    /// than the mark, in µs: a clock that is behind it is helped by as much for
    /// good, so that it goes on from there.
    pub fn new(clock: Clock, mark: u64) -> Self {
        let behind_ms = (mark / 1000).saturating_sub(clock());
        Self {
            clock,
            behind_ms,
            last_ms: AtomicU64::new(0),
            last_number: AtomicU64::new(mark),
        }
    }

    /// Ms since the epoch.
    pub fn now(&self) -> Millis {
        let now = (self.clock)().saturating_add(self.behind_ms);
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

    /// The greatest number and time given out so far, in µs: the mark from which
    /// another goes on where this one ends.
    pub fn reached(&self) -> u64 {
        let number = self.last_number.load(Ordering::Relaxed);
        let time_us = self.last_ms.load(Ordering::Relaxed).saturating_mul(1000);
        number.max(time_us)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Time")
            .field("behind_ms", &self.behind_ms)
            .field("last_ms", &self.last_ms)
            .field("last_number", &self.last_number)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(now: &Arc<AtomicU64>) -> impl Fn() -> Millis + Send + Sync + use<> {
        let now = Arc::clone(now);
        move || now.load(Ordering::Relaxed)
    }

    fn clock(now: &Arc<AtomicU64>) -> Clock {
        Arc::new(reading(now))
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

    #[test]
    fn time_goes_on_when_the_machines_clock_is_set_back() {
        let wall = Arc::new(AtomicU64::new(9_000));
        let elapsed = Arc::new(AtomicU64::new(10));
        let clock = steady(reading(&wall), reading(&elapsed));
        let set = |to: u64, after: u64| {
            wall.store(to, Ordering::Relaxed);
            elapsed.store(after, Ordering::Relaxed);
        };
        assert_eq!(clock(), 9_000);
        set(9_005, 15);
        assert_eq!(clock(), 9_005);
        // An hour back, and then on.
        set(5, 25);
        assert_eq!(clock(), 9_015);
        set(10, 30);
        assert_eq!(clock(), 9_020);
        // Ahead, as after the machine slept, and there it stays.
        set(20_000, 31);
        assert_eq!(clock(), 20_000);
        set(9_030, 32);
        assert_eq!(clock(), 20_001);
    }

    #[test]
    fn a_clock_behind_the_mark_goes_on_from_there() {
        let now = Arc::new(AtomicU64::new(1_000));
        let time = Time::new(clock(&now), 5_000_700);
        assert_eq!(time.now(), 5_000);
        assert_eq!(time.reserve(1), TaskNumber(5_000_701));
        now.store(1_007, Ordering::Relaxed);
        assert_eq!(time.now(), 5_007);
        assert_eq!(time.reached(), 5_007_000);
        // One that is ahead is left alone.
        let time = Time::new(clock(&now), 900_000);
        assert_eq!(time.now(), 1_007);
    }
}
