//! Instances that are kept for the next event of their account.
//!
//! Only a version that asks for it has any, and only what can't be told from a fresh
//! instance but by the guest's own memory is kept: after a call that succeeded, without a
//! resource in the guest's hands but its standard streams. Everything that the host holds
//! for a call is made anew for each ([`CallState::renew`]).
//!
//! Each has a place in the engine's pool. There are `warm_instances` places beside those
//! of calls, and an instance goes back into one before its call gives up its own.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use wasmtime::Store as WasmStore;

use super::{Limits, bindings::Bot, state::CallState};
use crate::domain::{AccountId, Deployment, ports::Call};

/// How often what has become too old is looked for.
const SWEEP: Duration = Duration::from_secs(5);

/// An instance of a bot with its store.
pub struct Instance {
    pub wasm: WasmStore<CallState>,
    pub bot: Bot,
}

/// An instance that waits, and what it was made for.
struct Waiting<I> {
    instance: I,
    deployment: Arc<Deployment>,
    made: Instant,
    calls: u32,
    bytes: u64,
    /// Its place in the order of use.
    turn: u64,
}

/// What a call begins with, to be given back when it has succeeded.
pub struct Lease {
    account: AccountId,
    deployment: Arc<Deployment>,
    made: Instant,
    calls: u32,
    /// What was served when it began.
    generation: u64,
}

/// All instances that are kept.
pub struct Warm<I = Instance> {
    bounds: Bounds,
    kept: Mutex<Kept<I>>,
}

/// How many are kept, and how long.
struct Bounds {
    count: usize,
    bytes: u64,
    age: Duration,
    calls: u32,
}

struct Kept<I> {
    waiting: HashMap<AccountId, Waiting<I>>,
    /// Whose was used when, the longest ago first.
    by_use: BTreeMap<u64, AccountId>,
    bytes: u64,
    /// How often one was put back so far.
    turns: u64,
    /// How often what is served has changed so far.
    generation: u64,
    is_swept: bool,
}

impl Warm {
    /// Keeps an instance whose call has succeeded, if it is fit for another.
    pub fn keep(self: &Arc<Self>, lease: Lease, mut instance: Instance) {
        let state = instance.wasm.data_mut();
        let bytes = state.memory_bytes();
        if state.is_fit_for_another() {
            self.put(lease, instance, bytes);
        }
    }
}

impl<I: Send + 'static> Warm<I> {
    /// With the bounds of the settings.
    pub fn new(limits: &Limits) -> Self {
        Self {
            bounds: Bounds {
                count: limits.warm_instances as usize,
                bytes: limits.warm_instances_bytes,
                age: Duration::from_millis(limits.warm_instance_ms),
                calls: limits.warm_instance_calls,
            },
            kept: Mutex::new(Kept::default()),
        }
    }

    /// What a call begins with: the instance that was kept for just this account and
    /// deployment, or none. None at all for a call whose instance is not to be kept.
    pub fn lease(&self, call: &Call) -> Option<(Lease, Option<I>)> {
        if call.is_trial || call.bot.version.manifest.instances.are_fresh() {
            return None;
        }
        let mut kept = self.kept();
        let account = &call.event.account;
        // What was made for anything else goes at once, and gives up its place.
        let found = kept.take(account);
        let found = found.filter(|it| Arc::ptr_eq(&it.deployment, &call.bot));
        let found = found.filter(|it| self.bounds.allow(it, Instant::now()));
        let lease = Lease {
            account: account.clone(),
            deployment: Arc::clone(&call.bot),
            made: found.as_ref().map_or_else(Instant::now, |it| it.made),
            calls: found.as_ref().map_or(0, |it| it.calls),
            generation: kept.generation,
        };
        Some((lease, found.map(|it| it.instance)))
    }

    /// Keeps an instance that has so much memory, in place of those that were used the
    /// longest ago.
    fn put(self: &Arc<Self>, lease: Lease, instance: I, bytes: u64) {
        let mut kept = self.kept();
        if kept.generation != lease.generation {
            return;
        }
        kept.turns += 1;
        let waiting = Waiting {
            instance,
            deployment: lease.deployment,
            made: lease.made,
            calls: lease.calls.saturating_add(1),
            bytes,
            turn: kept.turns,
        };
        if !self.bounds.allow(&waiting, Instant::now()) {
            return;
        }
        kept.put(lease.account, waiting);
        while kept.waiting.len() > self.bounds.count || kept.bytes > self.bounds.bytes {
            if kept.drop_oldest().is_none() {
                break;
            }
        }
        if !kept.is_swept && !kept.waiting.is_empty() {
            kept.is_swept = true;
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Drops that of an account.
    pub fn forget(&self, account: &AccountId) {
        drop(self.kept().take(account));
    }

    /// Drops those of accounts that something else serves now. What is in a call at the
    /// moment is not kept after it.
    pub fn forget_unserved(&self, serving: &dyn Fn(&AccountId) -> Option<Arc<Deployment>>) {
        let mut kept = self.kept();
        kept.generation += 1;
        kept.drop_all_but(|account, waiting| {
            serving(account).is_some_and(|it| Arc::ptr_eq(&it, &waiting.deployment))
        });
    }

    fn kept(&self) -> MutexGuard<'_, Kept<I>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anything is left to be looked at again.
    fn drop_old(&self) -> bool {
        let mut kept = self.kept();
        let now = Instant::now();
        kept.drop_all_but(|_, waiting| self.bounds.allow(waiting, now));
        kept.is_swept = !kept.waiting.is_empty();
        kept.is_swept
    }
}

/// Looks for what has become too old, as long as there is anything.
async fn sweep<I: Send + 'static>(warm: Weak<Warm<I>>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        match warm.upgrade() {
            Some(warm) if warm.drop_old() => {}
            _ => return,
        }
    }
}

impl Bounds {
    fn allow<I>(&self, waiting: &Waiting<I>, now: Instant) -> bool {
        let age = now.saturating_duration_since(waiting.made);
        waiting.calls < self.calls && age < self.age
    }
}

impl<I> Default for Kept<I> {
    fn default() -> Self {
        Self {
            waiting: HashMap::new(),
            by_use: BTreeMap::new(),
            bytes: 0,
            turns: 0,
            generation: 0,
            is_swept: false,
        }
    }
}

impl<I> Kept<I> {
    fn put(&mut self, account: AccountId, waiting: Waiting<I>) {
        drop(self.take(&account));
        self.bytes += waiting.bytes;
        self.by_use.insert(waiting.turn, account.clone());
        self.waiting.insert(account, waiting);
    }

    fn take(&mut self, account: &AccountId) -> Option<Waiting<I>> {
        let taken = self.waiting.remove(account)?;
        self.by_use.remove(&taken.turn);
        self.bytes = self.bytes.saturating_sub(taken.bytes);
        Some(taken)
    }

    fn drop_oldest(&mut self) -> Option<()> {
        let (_, account) = self.by_use.pop_first()?;
        self.take(&account).map(drop)
    }

    fn drop_all_but(&mut self, stays: impl Fn(&AccountId, &Waiting<I>) -> bool) {
        let all = self.waiting.iter();
        let go = all.filter(|(account, waiting)| !stays(account, waiting));
        let go: Vec<_> = go.map(|(account, _)| account.clone()).collect();
        for account in go {
            drop(self.take(&account));
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::{
        domain::handler::{Instances, Manifest, Version},
        runtime::convert,
    };

    fn bot(instances: Instances) -> Arc<Deployment> {
        let mut bot = convert::nameless().as_ref().clone();
        bot.version = Arc::new(Version {
            manifest: Manifest {
                instances,
                ..Manifest::default()
            },
            ..bot.version.as_ref().clone()
        });
        Arc::new(bot)
    }

    fn call(bot: &Arc<Deployment>, account: &str) -> Call {
        let trial = convert::trial_call(Arc::clone(bot));
        let mut event = trial.event.as_ref().clone();
        event.account = account.try_into().unwrap();
        Call {
            event: Arc::new(event),
            is_trial: false,
            ..trial
        }
    }

    fn warm(change: impl FnOnce(&mut Limits)) -> Arc<Warm<&'static str>> {
        let mut limits = Limits::default();
        change(&mut limits);
        Arc::new(Warm::new(&limits))
    }

    /// Runs a call, and keeps its instance; gives the one that it ran in.
    fn run(
        warm: &Arc<Warm<&'static str>>,
        bot: &Arc<Deployment>,
        account: &str,
        name: &'static str,
    ) -> &'static str {
        let (lease, kept) = warm.lease(&call(bot, account)).unwrap();
        let ran_in = kept.unwrap_or(name);
        warm.put(lease, ran_in, 10);
        ran_in
    }

    #[tokio::test]
    async fn an_instance_is_for_one_account_and_one_deployment() {
        let (warm, one) = (warm(|_| ()), bot(Instances::PerAccount));
        assert_eq!(run(&warm, &one, "a", "first"), "first");
        assert_eq!(run(&warm, &one, "a", "second"), "first");
        assert_eq!(run(&warm, &one, "b", "third"), "third");
        // The same version with the same configuration, but deployed anew.
        let other = bot(Instances::PerAccount);
        assert_eq!(run(&warm, &other, "a", "fourth"), "fourth");
        assert_eq!(run(&warm, &one, "a", "fifth"), "fifth");
    }

    #[tokio::test]
    async fn what_is_not_given_back_is_gone() {
        let (warm, bot) = (warm(|_| ()), bot(Instances::PerAccount));
        run(&warm, &bot, "a", "first");
        // This call fails.
        assert_eq!(warm.lease(&call(&bot, "a")).unwrap().1, Some("first"));
        assert_eq!(run(&warm, &bot, "a", "second"), "second");
        // This one is not settled as it went.
        warm.forget(&"a".try_into().unwrap());
        assert_eq!(run(&warm, &bot, "a", "third"), "third");
    }

    #[tokio::test]
    async fn fresh_instances_and_trials_leave_nothing() {
        let warm = warm(|_| ());
        assert!(warm.lease(&call(&bot(Instances::Fresh), "a")).is_none());
        let mut trial = call(&bot(Instances::PerAccount), "a");
        trial.is_trial = true;
        assert!(warm.lease(&trial).is_none());
    }

    #[tokio::test]
    async fn what_serves_no_more_is_dropped_also_when_it_is_in_a_call() {
        let (warm, bot) = (warm(|_| ()), bot(Instances::PerAccount));
        run(&warm, &bot, "a", "first");
        run(&warm, &bot, "b", "first");
        let (lease, kept) = warm.lease(&call(&bot, "a")).unwrap();
        warm.forget_unserved(&|account| (account.as_str() == "b").then(|| Arc::clone(&bot)));
        warm.put(lease, kept.unwrap(), 10);
        assert_eq!(run(&warm, &bot, "a", "second"), "second");
        assert_eq!(run(&warm, &bot, "b", "second"), "first");
    }

    #[tokio::test]
    async fn number_memory_age_and_calls_have_bounds() {
        let bot = bot(Instances::PerAccount);
        let few = warm(|it| it.warm_instances = 2);
        for account in ["a", "b", "a", "c"] {
            run(&few, &bot, account, "first");
        }
        // The longest ago was b's.
        assert_eq!(run(&few, &bot, "a", "second"), "first");
        assert_eq!(run(&few, &bot, "b", "second"), "second");

        let small = warm(|it| it.warm_instances_bytes = 25);
        for account in ["a", "b", "c"] {
            run(&small, &bot, account, "first");
        }
        assert_eq!(run(&small, &bot, "a", "second"), "second");

        let brief = warm(|it| it.warm_instance_calls = 2);
        let ran: Vec<_> = ["1", "2", "3"]
            .map(|name| run(&brief, &bot, "a", name))
            .into();
        assert_eq!(ran, ["1", "1", "3"]);

        let old = warm(|it| it.warm_instance_ms = 0);
        run(&old, &bot, "a", "first");
        assert_eq!(run(&old, &bot, "a", "second"), "second");
        let none = warm(|it| it.warm_instances = 0);
        run(&none, &bot, "a", "first");
        assert_eq!(run(&none, &bot, "a", "second"), "second");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_old_goes_although_nobody_calls() {
        let warm = warm(|it| it.warm_instance_ms = 1);
        run(&warm, &bot(Instances::PerAccount), "a", "first");
        assert_eq!(warm.kept().waiting.len(), 1);
        // The clock of instances is the real one.
        std::thread::sleep(Duration::from_millis(2));
        tokio::time::sleep(2 * SWEEP).await;
        assert_eq!(warm.kept().waiting.len(), 0);
        assert!(!warm.kept().is_swept);
    }
}
