//! Handlers that keep failing for an account are paused there: events pass by meanwhile
//! or wait, and when the pause ends one is tried. The rules are the domain's
//! (`domain/handler/failing.rs`); here is when they are asked, and what is written.

use std::sync::Arc;

use super::{
    Error, Reply, Service,
    deliver::{Called, REPEATED, Settled, Settling, Tried},
    reruns,
    turn::{Slot, Turn},
};
use crate::domain::{
    AccountId, Alarm, ClientKind, Deployment, Event, FailureKind, HandlerName, KeptEvent, Millis,
    Task, WaitingEvent,
    handler::{Failing, FailingPause, WhenFailing},
    ports::{
        COMMIT_BYTES_MAX, Commit, EventOutcome, EventRecord, FailingChange, Page, Seen,
        WaitingChange,
    },
};
use crate::metrics;

/// How many waiting events of an account are run before its other alarms get their turn.
const RUN_IN_A_ROW: usize = 8;
/// Soon enough for the rest of them, in ms.
const NEXT_ROW_MS: Millis = 100;
/// Alarms for waiting events that are due already are set for whole seconds, so that
/// many events that come one after the other share one.
const SHARED_ALARM_MS: Millis = 1_000;
/// How many events one that is new can push out: all go into one commit.
const PUSHED_OUT_MAX: usize = 100;
/// No larger event waits: it has to go into one commit with what it pushes out.
const EVENT_BYTES_MAX: u64 = COMMIT_BYTES_MAX as u64 / 2;
/// How many records are read at a time when pauses end.
const PAGE: usize = 500;

/// An event that has waited and is run now.
#[derive(Debug)]
pub(super) struct Waited {
    number: u64,
    taken_ms: Millis,
    bytes: u64,
    /// What is remembered under its key is of this very event.
    owns_key: bool,
}

/// Whose pauses are over.
#[derive(Debug, Clone)]
pub(super) enum Ended {
    /// Of those whose account another handler serves by now, or another version.
    Replaced,
    /// The handler has another configuration, for this account or for all.
    Configured(HandlerName, Option<AccountId>),
}

impl Ended {
    fn has(&self, failing: &Failing, bot: Option<&Deployment>) -> bool {
        match self {
            Self::Replaced => bot.is_none_or(|bot| !failing.is_of(bot)),
            Self::Configured(handler, account) => {
                let whose = account.as_ref();
                failing.handler == *handler && whose.is_none_or(|it| failing.account == *it)
            }
        }
    }
}

impl Service {
    /// Whether this is a version that serves some, and goes back by itself.
    fn is_judged(&self, bot: &Deployment) -> bool {
        let deployed = self.0.catalogue.now();
        let entry = deployed.handlers.get(&bot.handler);
        entry.is_some_and(|entry| entry.is_judged(bot))
    }

    // ------------------------------------------------------------ events come

    /// What becomes of an event that this bot is not to be asked about now; none when
    /// it is. What is new does not overtake what waits.
    pub(super) fn held(&self, slot: &Slot, bot: &Deployment) -> Option<WhenFailing> {
        let failing = slot.failing.as_deref()?;
        if failing.holds(bot, self.0.store.now()) {
            return Some(bot.version.manifest.when_failing);
        }
        (failing.waiting.events > 0).then_some(WhenFailing::Wait)
    }

    /// Settles an event of which no bot is asked now: it passes by, or waits.
    pub(super) async fn hold(
        &self,
        turn: &mut Turn,
        bot: &Deployment,
        settling: Settling,
        when: WhenFailing,
    ) -> Result<Vec<Task>, Error> {
        let Settling {
            event,
            client,
            repeats_within,
            reply,
            only,
            also,
        } = settling;
        let account = &event.account;
        let Some(mut failing) = turn.failing.clone() else {
            return Err(Error::Host("an event is held without a reason".to_owned()));
        };
        let now_ms = self.0.store.now();
        let mut commit = Box::<Commit>::default();
        let waits = match when {
            WhenFailing::PassBy => false,
            WhenFailing::Wait => {
                let waiting = self.waiting(&event, client, only, now_ms);
                self.make_wait(bot, &mut failing, &mut commit, waiting)
                    .await?
            }
        };
        let outcome = match waits {
            true => EventOutcome::Waiting,
            false => EventOutcome::PassedBy,
        };
        if !waits {
            failing.passed_by = failing.passed_by.saturating_add(1);
        }
        commit.failing = Some(FailingChange::Put(failing.clone()));
        commit.seen = Some(Seen {
            key: event.key.clone(),
            record: EventRecord {
                at_ms: now_ms,
                outcome,
                tasks: Vec::new(),
            },
            repeats_within,
        });
        let mut whole = also;
        whole.add(commit);
        match self.try_commit(turn, account, whole).await? {
            Tried::Done => metrics::get().event(client.as_str(), outcome.as_str()),
            Tried::Duplicate(record) => {
                metrics::get().event(client.as_str(), REPEATED);
                return self.tasks_of(account, &record, reply).await;
            }
            Tried::SharedMoved => return Err(reruns::contended()),
        }
        turn.failing = Some(failing);
        tracing::debug!(%account, handler = %bot.handler, event = %event.key, ?outcome, "the bot is paused for the account");
        Ok(Vec::new())
    }

    fn waiting(
        &self,
        event: &Event,
        client: ClientKind,
        only: Option<HandlerName>,
        now_ms: Millis,
    ) -> WaitingEvent {
        let event = KeptEvent::of(event);
        WaitingEvent {
            number: self.0.store.reserve(1).0,
            taken_ms: now_ms,
            client,
            only,
            bytes: event.bytes(),
            event,
        }
    }

    /// Puts one more event behind those that wait, and lets the oldest pass by where it
    /// takes their room. False when there is no room for it at all.
    async fn make_wait(
        &self,
        bot: &Deployment,
        failing: &mut Failing,
        commit: &mut Commit,
        waiting: WaitingEvent,
    ) -> Result<bool, Error> {
        let policy = &self.0.policies.failing;
        let account = failing.account.clone();
        let mut waits = failing.waiting;
        waits.add(waiting.bytes);
        let mut pushed_out = Vec::new();
        if !waits.fits(policy) {
            let oldest = self.0.store.waiting(&account, PUSHED_OUT_MAX).await?;
            for old in oldest {
                if waits.fits(policy) {
                    break;
                }
                waits.remove(old.bytes);
                pushed_out.push(old);
            }
        }
        if !waits.fits(policy) || waiting.bytes > EVENT_BYTES_MAX {
            return Ok(false);
        }
        for old in pushed_out {
            failing.passed_by = failing.passed_by.saturating_add(1);
            commit.waiting.push(self.passes_by(&account, old).await?);
        }
        failing.waiting = waits;
        commit.alarms.push(self.alarm_of(failing, bot));
        commit.waiting.push(WaitingChange::Put(Box::new(waiting)));
        Ok(true)
    }

    /// An event that has waited and is not going to be run.
    async fn passes_by(
        &self,
        account: &AccountId,
        old: WaitingEvent,
    ) -> Result<WaitingChange, Error> {
        let waited = self.waited(account, &old).await?;
        tracing::warn!(%account, event = %old.event.key, "an event has waited and passes by: too many wait for its handler");
        let record = EventRecord {
            at_ms: waited.taken_ms,
            outcome: EventOutcome::PassedBy,
            tasks: Vec::new(),
        };
        Ok(match waited.owns_key {
            true => WaitingChange::Settle {
                number: old.number,
                key: old.event.key,
                record,
            },
            false => WaitingChange::Remove(old.number),
        })
    }

    /// When what waits for this bot is looked at.
    fn alarm_of(&self, failing: &Failing, bot: &Deployment) -> (Millis, Alarm) {
        let now_ms = self.0.store.now();
        let soon_ms = (now_ms / SHARED_ALARM_MS + 1) * SHARED_ALARM_MS;
        let pause = failing.pause.filter(|_| failing.holds(bot, now_ms));
        let at_ms = pause.map_or(soon_ms, |pause| pause.until_ms);
        let (account, handler) = (failing.account.clone(), failing.handler.clone());
        (at_ms, Alarm::Waiting(account, handler))
    }

    // ---------------------------------------------------------- calls come back

    /// How the account's handler fails after this call; none when nothing changes.
    pub(super) fn failing_after(
        &self,
        slot: &Slot,
        called: &Called,
        settled: &Settled<'_>,
        now_ms: Millis,
    ) -> FailingAfter {
        let policy = &self.0.policies.failing;
        let counts = match called {
            Called::Handled(..) => Some(None),
            // It goes back when it fails too often, for which it has to be called.
            Called::Failed(bot, _) if self.is_judged(bot) => None,
            Called::Failed(bot, failure) if failure.kind != FailureKind::Host => {
                Some(Some((bot, failure)))
            }
            Called::Failed(..) | Called::Unhandled | Called::Paused(_) => None,
        };
        let fails = matches!(counts, Some(Some(_)));
        if slot.failing.is_none() && (!fails || policy.failures_in_a_row == 0) {
            return FailingAfter::default();
        }
        let before = slot.failing.as_deref();
        let known = before.cloned();
        let fresh = |bot: &Arc<Deployment>| Failing::new(bot, &settled.event.account);
        let Some(mut failing) = known.or_else(|| called.bot().as_ref().map(fresh)) else {
            return FailingAfter::default();
        };
        if let Some(waited) = &settled.waited {
            failing.waiting.remove(waited.bytes);
        }
        let (mut pause, mut alarm) = (None, None);
        match counts {
            Some(Some((bot, failure))) => {
                let chance = fastrand::f64();
                pause = failing.failed(bot, policy, &failure.message, chance, now_ms);
                let waits = pause.is_some() && failing.waiting.events > 0;
                alarm = waits.then(|| self.alarm_of(&failing, bot));
            }
            Some(None) => failing.ends(),
            None => {}
        }
        if before == Some(&failing) {
            return FailingAfter::default();
        }
        FailingAfter {
            alarm,
            was_paused: before
                .and_then(|it| it.pause)
                .filter(|_| failing.pause.is_none()),
            passed_by: before.map_or(0, |it| it.passed_by),
            pause,
            failing: Some((!failing.is_over()).then(|| Box::new(failing))),
        }
    }

    // ------------------------------------------------------ what has waited runs

    /// Events of an account may be run that have waited: their alarm has rung.
    pub(super) async fn waiting_due(
        &self,
        account: &AccountId,
        handler: &HandlerName,
    ) -> Result<(), Error> {
        for _ in 0..RUN_IN_A_ROW {
            if !self.run_waiting(account).await? {
                return Ok(());
            }
        }
        let at_ms = self.0.store.now().saturating_add(NEXT_ROW_MS);
        let next = (at_ms, Alarm::Waiting(account.clone(), handler.clone()));
        Ok(self.0.store.dismiss(Vec::new(), vec![next]).await?)
    }

    /// Runs the oldest event that waits; false when there is none, or the handler is
    /// still paused.
    async fn run_waiting(&self, account: &AccountId) -> Result<bool, Error> {
        self.check_ready()?;
        let mut turn = self.turn(account).await?;
        let now_ms = self.0.store.now();
        let bot = self.deployment_of(account);
        let Some(failing) = turn.failing.as_deref() else {
            return Ok(false);
        };
        let holds = bot.is_some_and(|bot| failing.holds(&bot, now_ms));
        if holds || failing.waiting.events == 0 {
            return Ok(false);
        }
        let Some(oldest) = self.0.store.waiting(account, 1).await?.pop() else {
            let lost = Error::Host(format!("the events that wait of {account} are gone"));
            let mut failing = failing.clone();
            failing.waiting = Default::default();
            self.put_failing(&mut turn, failing, Vec::new()).await?;
            return Err(lost);
        };
        let waited = self.waited(account, &oldest).await?;
        let settling = Settling {
            event: oldest.event.event(account),
            client: oldest.client,
            repeats_within: None,
            reply: Reply::Queue,
            only: oldest.only,
            also: Box::default(),
        };
        self.settle_waited(&mut turn, settling, Some(waited))
            .await?;
        Ok(true)
    }

    async fn waited(&self, account: &AccountId, it: &WaitingEvent) -> Result<Waited, Error> {
        let known = self.0.store.event(account, &it.event.key).await?;
        Ok(Waited {
            number: it.number,
            taken_ms: it.taken_ms,
            bytes: it.bytes,
            // The same content may have come again since, as another event.
            owns_key: known.is_none_or(|record| record.at_ms == it.taken_ms),
        })
    }

    // -------------------------------------------------------------- pauses end

    /// Lets a handler be called for an account again, and gives the pause that this
    /// ended. What has waited is run.
    pub async fn resume_handler(
        &self,
        handler: &HandlerName,
        account: &AccountId,
    ) -> Result<Failing, Error> {
        self.handler(handler)?;
        self.account(account).await?;
        let (service, handler, account) = (self.clone(), handler.clone(), account.clone());
        self.detached(async move {
            let mut turn = service.turn(&account).await?;
            let paused = turn.failing.as_deref().filter(|it| it.handler == handler);
            let Some(failing) = paused.filter(|it| it.pause.is_some()).cloned() else {
                return Err(Error::not_found("pause for", &account));
            };
            service.end_pause(&mut turn, failing.clone()).await?;
            tracing::info!(%account, %handler, "somebody has ended a pause of the handler");
            Ok(failing)
        })
        .await
    }

    async fn end_pause(&self, turn: &mut Turn, mut failing: Failing) -> Result<(), Error> {
        failing.ends();
        let mut alarms = Vec::new();
        if failing.waiting.events > 0 {
            let alarm = Alarm::Waiting(failing.account.clone(), failing.handler.clone());
            alarms.push((self.0.store.now(), alarm));
        }
        self.put_failing(turn, failing, alarms).await
    }

    async fn put_failing(
        &self,
        turn: &mut Turn,
        failing: Failing,
        alarms: Vec<(Millis, Alarm)>,
    ) -> Result<(), Error> {
        let account = failing.account.clone();
        let failing = (!failing.is_over()).then(|| Box::new(failing));
        let commit = Commit {
            failing: Some(change_to(failing.as_deref())),
            alarms,
            ..Commit::default()
        };
        self.commit(turn, &account, commit.into()).await?;
        turn.failing = failing;
        Ok(())
    }

    /// Ends pauses in the background, since what is deployed has changed. Should the
    /// host end before it is done, they end by themselves.
    pub(super) fn end_pauses(&self, ended: Ended) {
        let service = self.clone();
        self.0.calls.spawn(async move {
            if let Err(error) = service.end_each(&ended).await {
                tracing::warn!(%error, ?ended, "pauses of a handler go on until they end by themselves");
            }
        });
    }

    async fn end_each(&self, ended: &Ended) -> Result<(), Error> {
        let mut after: Option<String> = None;
        loop {
            let store = &self.0.store;
            let page = store.failings(None, after.as_deref(), PAGE).await?;
            for failing in page.items {
                self.check_ready()?;
                let account = &failing.account;
                if !ended.has(&failing, self.deployment_of(account).as_deref()) {
                    continue;
                }
                if let Err(error) = self.end_one(account, ended).await {
                    tracing::warn!(%account, %error, "a pause of a handler goes on until it ends by itself");
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn end_one(&self, account: &AccountId, ended: &Ended) -> Result<(), Error> {
        let mut turn = self.turn(account).await?;
        let bot = self.deployment_of(account);
        let failing = turn.failing.as_deref().cloned();
        match failing.filter(|it| ended.has(it, bot.as_deref())) {
            Some(failing) => self.end_pause(&mut turn, failing).await,
            None => Ok(()),
        }
    }

    // --------------------------------------------------------------- looking

    /// For which accounts a handler is paused, or has events waiting, by account. A page
    /// may have fewer than `limit` and yet not be the last.
    pub async fn handler_pauses(
        &self,
        handler: &HandlerName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Failing>, Error> {
        self.handler(handler)?;
        let mut page = self.0.store.failings(Some(handler), after, limit).await?;
        page.items.retain(|it| self.is_paused(it));
        Ok(page)
    }

    /// For how many accounts each handler is paused, or has events waiting. Reads what
    /// there is of accounts whose last call failed.
    pub async fn paused_accounts(
        &self,
    ) -> Result<std::collections::BTreeMap<HandlerName, u64>, Error> {
        let mut counts = std::collections::BTreeMap::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.0.store.failings(None, after.as_deref(), PAGE).await?;
            for failing in page.items.iter().filter(|it| self.is_paused(it)) {
                *counts.entry(failing.handler.clone()).or_default() += 1;
            }
            after = page.next;
            if after.is_none() {
                return Ok(counts);
            }
        }
    }

    /// How an account's handler fails; none when its last call went well and nothing
    /// waits.
    pub async fn failing(&self, account: &AccountId) -> Result<Option<Failing>, Error> {
        let failing = self.0.store.failing(account).await?;
        Ok(failing.filter(|it| self.is_current(it)))
    }

    fn is_paused(&self, failing: &Failing) -> bool {
        let waits = failing.waiting.events > 0;
        waits || (failing.pause.is_some() && self.is_current(failing))
    }

    fn is_current(&self, failing: &Failing) -> bool {
        let bot = self.deployment_of(&failing.account);
        failing.waiting.events > 0 || bot.is_some_and(|bot| failing.is_of(&bot))
    }
}

/// What a call has changed about how its handler fails.
#[derive(Debug, Default)]
pub(super) struct FailingAfter {
    /// How it fails from now on; none when that is as it was.
    failing: Option<Option<Box<Failing>>>,
    /// When what waits is to be looked at.
    alarm: Option<(Millis, Alarm)>,
    /// The pause that begins.
    pause: Option<FailingPause>,
    /// The pause that has ended.
    was_paused: Option<FailingPause>,
    /// Events that passed by before.
    passed_by: u64,
}

impl FailingAfter {
    /// Adds the change to what is committed.
    pub fn add_to(&self, commit: &mut Commit) {
        commit.failing = self.failing.as_ref().map(|it| change_to(it.as_deref()));
        commit.alarms.extend(self.alarm.clone());
    }

    /// It is durable.
    pub fn note(self, slot: &mut Slot, event: &Event) {
        let Some(failing) = self.failing else {
            return;
        };
        let account = &event.account;
        if let (Some(pause), Some(failing)) = (self.pause, &failing) {
            tracing::warn!(
                %account, handler = %failing.handler, version = %failing.version,
                failures = failing.failures, until_ms = pause.until_ms, reason = failing.reason,
                "the handler is paused for the account: it keeps failing"
            );
        }
        if self.was_paused.is_some() {
            let passed_by = self.passed_by;
            tracing::info!(%account, passed_by, "the account's handler works again");
        }
        slot.failing = failing;
    }
}

impl Waited {
    /// When the host took it.
    pub fn taken_ms(&self) -> Millis {
        self.taken_ms
    }

    /// What settles it, instead of what would settle one that has just come.
    pub fn settle(&self, commit: &mut Commit) {
        let seen = commit.seen.take();
        commit.waiting.push(match seen.filter(|_| self.owns_key) {
            Some(seen) => WaitingChange::Settle {
                number: self.number,
                key: seen.key,
                record: seen.record,
            },
            None => WaitingChange::Remove(self.number),
        });
    }
}

fn change_to(failing: Option<&Failing>) -> FailingChange {
    match failing {
        Some(failing) => FailingChange::Put(Box::new(failing.clone())),
        None => FailingChange::End,
    }
}
