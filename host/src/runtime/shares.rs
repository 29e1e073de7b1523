//! How much one handler may have of what all share, so that a bot that waits in every
//! call, or asks a system that does not answer, leaves some for the others.

use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::Semaphore;

use crate::domain::HandlerName;

/// The shares of all handlers, each of so many places.
pub struct Shares {
    of: DashMap<HandlerName, Arc<Semaphore>>,
    places: usize,
}

impl Shares {
    /// Of so many places each.
    pub fn new(places: usize) -> Self {
        Self {
            of: DashMap::new(),
            places,
        }
    }

    /// The share of this handler.
    pub fn of(&self, handler: &HandlerName) -> Arc<Semaphore> {
        if let Some(share) = self.of.get(handler) {
            return Arc::clone(&share);
        }
        let new = || Arc::new(Semaphore::new(self.places));
        Arc::clone(&self.of.entry(handler.clone()).or_insert_with(new))
    }

    /// How many handlers have one at the moment.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.of.len()
    }

    /// Forgets the shares that nobody holds a place of, or waits for.
    pub fn forget_idle(&self) {
        self.of.retain(|_, share| Arc::strong_count(share) > 1);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_share_is_kept_as_long_as_a_place_of_it_is_held() {
        let shares = Shares::new(2);
        let (a, b) = ("a".try_into().unwrap(), "b".try_into().unwrap());
        let held = shares.of(&a).try_acquire_owned().unwrap();
        let last = shares.of(&a).try_acquire_owned().unwrap();
        assert!(shares.of(&a).try_acquire_owned().is_err());
        assert!(shares.of(&b).try_acquire_owned().is_ok(), "b has its own");
        drop(last);
        shares.forget_idle();
        assert_eq!(shares.of(&a).available_permits(), 1);
        drop(held);
        shares.forget_idle();
        assert_eq!(shares.count(), 0);
    }
}
