//! Turns: one event at a time per account, many accounts at once.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use dashmap::DashMap;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{Error, failing::WaitingPlace};
use crate::domain::{
    Account, AccountId, EventKey, Millis, Pause, TaskNumber,
    handler::Failing,
    pacing::{Guard, Pace},
    ports::Epoch,
};

/// How many events of one account may wait for their turn. A client sends one
/// after the other; more means that something is stuck or hostile.
const WAITING_MAX: u32 = 64;
/// How long an event waits for its turn. With the time of the call itself it
/// stays below the 30 s after which WeHub gives up.
const WAIT: Duration = Duration::from_secs(10);

/// Kinds of events noted per account. The protocol has a dozen; unknown ones
/// could be any number.
const KINDS_MAX: usize = 16;

/// What is known of an account while this host serves it.
#[derive(Debug, Default)]
pub struct Slot {
    /// The epoch under which this host writes; none before the first event.
    pub epoch: Option<Epoch>,
    /// The account as it is in the store.
    pub account: Option<Arc<Account>>,
    /// Of each kind of event that has no id of its own, the last one.
    pub last_by_content: Vec<EventKey>,
    /// What it has sent lately.
    pub pace: Pace,
    /// The last of its bot's answers that had to wait in the queue.
    pub deferred: Option<TaskNumber>,
    /// What its bot has answered lately.
    pub guard: Guard,
    /// Where its bot is silent, as it is in the store.
    pub pauses: HashMap<String, Pause>,
    /// How its handler fails, as it is in the store.
    pub failing: Option<Box<Failing>>,
    /// Which events wait for it, the oldest first, as they are in the store.
    pub waiting: Vec<WaitingPlace>,
    /// The number of the next event that is recorded; none before the first.
    pub recorded: Option<u64>,
}

impl Slot {
    /// True when another event of the same kind came after this one: then the
    /// same content again is no repeat (somebody joined, left, and joined).
    pub fn is_superseded(&self, key: &EventKey) -> bool {
        let last = self
            .last_by_content
            .iter()
            .find(|last| last.kind() == key.kind());
        last.is_some_and(|last| last != key)
    }

    /// Notes the last event of its kind.
    pub fn note(&mut self, key: &EventKey) {
        self.last_by_content
            .retain(|last| last.kind() != key.kind());
        if self.last_by_content.len() < KINDS_MAX {
            self.last_by_content.push(key.clone());
        }
    }

    /// True when nothing is lost by forgetting it: the rest is in the store.
    fn is_rested(&self, now_ms: Millis) -> bool {
        self.deferred.is_none() && self.pace.is_rested(now_ms) && self.guard.is_rested(now_ms)
    }
}

#[derive(Debug, Default)]
struct Lane {
    slot: Arc<Mutex<Slot>>,
    waiting: AtomicU32,
    /// When the client was last heard of.
    heard_ms: AtomicU64,
}

/// The turns of all accounts that this host has served since it started.
#[derive(Debug, Default)]
pub struct Turns(DashMap<AccountId, Arc<Lane>>);

/// An account's turn. Ends when it is dropped.
pub type Turn = OwnedMutexGuard<Slot>;

impl Turns {
    /// Waits for the account's turn, in order of arrival.
    pub async fn take(&self, account: &AccountId) -> Result<Turn, Error> {
        let lane = self.lane(account);
        if let Ok(turn) = Arc::clone(&lane.slot).try_lock_owned() {
            return Ok(turn);
        }
        let _place = Place::take(&lane.waiting, WAITING_MAX, "events of this account")?;
        match tokio::time::timeout(WAIT, Arc::clone(&lane.slot).lock_owned()).await {
            Ok(turn) => Ok(turn),
            Err(_) => Err(Error::Busy {
                reason: format!(
                    "the account's turn did not come within {} s",
                    WAIT.as_secs()
                ),
            }),
        }
    }

    /// Notes that the account's client is there.
    pub fn heard(&self, account: &AccountId, now_ms: Millis) {
        self.lane(account).heard_ms.store(now_ms, Ordering::Relaxed);
    }

    /// When the account's client was last heard of; 0 if never.
    pub fn heard_ms(&self, account: &AccountId) -> Millis {
        let lane = self.0.get(account);
        lane.map_or(0, |lane| lane.heard_ms.load(Ordering::Relaxed))
    }

    /// The accounts whose clients were heard of since then.
    pub fn heard_since(&self, since_ms: Millis) -> Vec<AccountId> {
        let lanes = self.0.iter();
        let recent = lanes.filter(|lane| lane.heard_ms.load(Ordering::Relaxed) >= since_ms);
        recent.map(|lane| lane.key().clone()).collect()
    }

    /// Forgets accounts that nobody serves at the moment and that were not heard
    /// of since then. They are read from the store again when they come back.
    pub fn forget_idle(&self, since_ms: Millis, now_ms: Millis) {
        // Lanes are handed out under the map's lock, which `retain` holds.
        let is_idle = |lane: &Arc<Lane>| {
            Arc::strong_count(lane) == 1
                && Arc::strong_count(&lane.slot) == 1
                && lane.heard_ms.load(Ordering::Relaxed) < since_ms
                && lane
                    .slot
                    .try_lock()
                    .is_ok_and(|slot| slot.is_rested(now_ms))
        };
        self.0.retain(|_, lane| !is_idle(lane));
    }

    fn lane(&self, account: &AccountId) -> Arc<Lane> {
        if let Some(lane) = self.0.get(account) {
            return Arc::clone(&lane);
        }
        Arc::clone(&self.0.entry(account.clone()).or_default())
    }
}

/// A place in a queue, given back when the waiting ends.
struct Place<'a>(&'a AtomicU32);

impl<'a> Place<'a> {
    /// Takes one of at most `max` places; `who` waits, if it comes to an error.
    pub fn take(waiting: &'a AtomicU32, max: u32, who: &str) -> Result<Self, Error> {
        let place = Self(waiting);
        if waiting.fetch_add(1, Ordering::Relaxed) >= max {
            return Err(Error::Busy {
                reason: format!("{max} {who} wait already"),
            });
        }
        Ok(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::domain::{Action, pacing::PacingPolicy};

    fn id(text: &str) -> AccountId {
        text.try_into().unwrap()
    }

    #[tokio::test]
    async fn an_account_waits_for_itself_and_for_nobody_else() {
        let turns = Turns::default();
        let first = turns.take(&id("a")).await.unwrap();
        turns.take(&id("b")).await.unwrap();
        let a = id("a");
        let mut second = Box::pin(turns.take(&a));
        assert!(
            tokio::time::timeout(Duration::from_millis(20), &mut second)
                .await
                .is_err()
        );
        drop(first);
        second.await.unwrap();
    }

    #[tokio::test]
    async fn idle_accounts_are_forgotten_and_busy_ones_kept() {
        let turns = Turns::default();
        let (a, b) = (id("a"), id("b"));
        let mut held = turns.take(&a).await.unwrap();
        held.epoch = Some(Epoch(7));
        turns.take(&b).await.unwrap().epoch = Some(Epoch(7));
        turns.forget_idle(1, 1);
        drop(held);
        assert_eq!(turns.take(&a).await.unwrap().epoch, Some(Epoch(7)));
        assert_eq!(turns.take(&b).await.unwrap().epoch, None);
    }

    #[tokio::test]
    async fn who_was_heard_of_or_has_just_sent_is_kept() {
        let turns = Turns::default();
        let (heard, sent) = (id("heard"), id("sent"));
        turns.heard(&heard, 1_000);
        turns.take(&heard).await.unwrap().epoch = Some(Epoch(7));
        let mut slot = turns.take(&sent).await.unwrap();
        slot.epoch = Some(Epoch(7));
        let text = Action::text("a", "hello");
        slot.pace.take(&PacingPolicy::default(), &text, 0.0, 1_000);
        drop(slot);
        turns.forget_idle(1_000, 1_000);
        assert_eq!(turns.heard_since(1_000), std::slice::from_ref(&heard));
        assert_eq!(turns.take(&heard).await.unwrap().epoch, Some(Epoch(7)));
        assert_eq!(turns.take(&sent).await.unwrap().epoch, Some(Epoch(7)));
        turns.forget_idle(1_001, 1_000_000);
        assert_eq!(turns.take(&heard).await.unwrap().epoch, None);
        assert_eq!(turns.take(&sent).await.unwrap().epoch, None);
    }

    #[test]
    fn the_same_again_is_new_after_another_of_its_kind() {
        let (joined, left) = (EventKey::new("change-1"), EventKey::new("change-2"));
        let other = EventKey::new("removed-1");
        let mut slot = Slot::default();
        slot.note(&joined);
        slot.note(&other);
        assert!(!slot.is_superseded(&joined));
        slot.note(&left);
        assert!(slot.is_superseded(&joined));
        assert!(!slot.is_superseded(&other));
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_for_a_turn_is_bounded_in_length_and_time() {
        let turns = Arc::new(Turns::default());
        let _held = turns.take(&id("a")).await.unwrap();
        let waiting: Vec<_> = (0..WAITING_MAX)
            .map(|_| {
                let turns = Arc::clone(&turns);
                tokio::spawn(async move { turns.take(&id("a")).await.map(drop) })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(matches!(
            turns.take(&id("a")).await,
            Err(Error::Busy { .. })
        ));
        for waiter in waiting {
            assert!(matches!(waiter.await.unwrap(), Err(Error::Busy { .. })));
        }
    }
}
