//! Pushed tasks whose results have not come: they bound how much a client is given
//! to do at once.

use tokio::time::Instant;

use crate::domain::TaskNumber;

/// How many pushed tasks may wait for their results. A client carries them out one
/// after the other: more would only wait there, where nobody can call them off.
const PUSHED_MAX: usize = 16;

/// The tasks, in the order in which they were pushed. No memory while there are none.
#[derive(Debug, Default)]
pub(super) struct Awaited(Vec<(TaskNumber, Instant)>);

impl Awaited {
    /// A task was pushed. Its result is awaited until then.
    pub(super) fn add(&mut self, task: TaskNumber, until: Instant) {
        self.0.push((task, until));
    }

    /// Its result has come.
    pub(super) fn ended(&mut self, task: TaskNumber) {
        self.0.retain(|(awaited, _)| *awaited != task);
        self.rest();
    }

    /// Forgets what is awaited no longer.
    pub(super) fn forget(&mut self, now: Instant) {
        self.0.retain(|(_, until)| *until > now);
        self.rest();
    }

    /// When there is a place for another one; none when there is one.
    pub(super) fn free_at(&self) -> Option<Instant> {
        let earliest = self.0.iter().map(|(_, until)| *until).min();
        earliest.filter(|_| self.0.len() >= PUSHED_MAX)
    }

    fn rest(&mut self) {
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn full(now: Instant) -> Awaited {
        let mut awaited = Awaited::default();
        for number in 0..PUSHED_MAX as u64 {
            assert_eq!(awaited.free_at(), None, "{number}");
            // The clock is one, so later ones are awaited longer.
            let until = now + SECOND * (10 + number as u32);
            awaited.add(TaskNumber(number), until);
        }
        awaited
    }

    #[test]
    fn a_result_frees_a_place_and_any_other_does_not() {
        let now = Instant::now();
        let mut awaited = full(now);
        awaited.ended(TaskNumber(99));
        assert_eq!(awaited.free_at(), Some(now + SECOND * 10));
        awaited.ended(TaskNumber(3));
        assert_eq!(awaited.free_at(), None);
        awaited.add(TaskNumber(16), now + SECOND * 30);
        awaited.ended(TaskNumber(3));
        assert!(awaited.free_at().is_some(), "one place is freed once");
    }

    #[test]
    fn what_is_awaited_too_long_frees_its_place() {
        let now = Instant::now();
        let mut awaited = full(now);
        awaited.forget(now + SECOND * 9);
        assert!(awaited.free_at().is_some());
        awaited.forget(now + SECOND * 10);
        assert_eq!(awaited.free_at(), None);
        awaited.forget(now + SECOND * 100);
        assert_eq!(awaited.0.capacity(), 0);
    }
}
