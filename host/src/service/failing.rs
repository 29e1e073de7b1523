//! Handlers that keep failing for an account, or in a conversation of it, are paused
//! there: events pass by meanwhile or wait, and when the pause ends one is tried. The rules
//! are the domain's (`domain/handler/failing.rs`); here is when they are asked, and what is
//! written.

mod waiting;

use std::sync::Arc;

use waiting::places_after;
pub(super) use waiting::{Waited, WaitingPlace};

use super::{
    Error, Service,
    deliver::{Called, REPEATED, Settled, Settling, Tried},
    reruns,
    turn::{Slot, Turn},
};
use crate::domain::{
    AccountId, Alarm, Deployment, Event, FailureKind, HandlerName, Millis, Task,
    handler::{Begun, Failing, FailingPause, Source, WhenFailing},
    ports::{Commit, EventOutcome, EventRecord, FailingChange, Page, Seen},
};
use crate::metrics;

/// How many records are read at a time when pauses end.
const PAGE: usize = 500;

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
    pub(super) fn held(&self, slot: &Slot, bot: &Deployment, event: &Event) -> Option<WhenFailing> {
        let (failing, now_ms) = (slot.failing.as_deref()?, self.0.store.now());
        let whose = Source::of(&event.what).conversation;
        if failing.holds_in(bot, whose.as_deref(), now_ms) {
            return Some(bot.version.manifest.when_failing);
        }
        let goes_before = |place: &WaitingPlace| {
            let is_held = failing.holds_in(bot, place.conversation(), now_ms);
            place.goes_before(whose.as_deref(), is_held)
        };
        let waits = slot.waiting.iter().any(goes_before);
        waits.then_some(WhenFailing::Wait)
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
            let whose = Source::of(&event.what).conversation;
            failing.passes_by(whose.as_deref(), now_ms);
        }
        let places = places_after(&turn.waiting, &commit.waiting);
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
        (turn.failing, turn.waiting) = (Some(failing), places);
        tracing::debug!(%account, handler = %bot.handler, event = %event.key, ?outcome, "the bot is paused for the account");
        Ok(Vec::new())
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
            failing.waiting.remove(waited.bytes());
        }
        let source = Source::of(&settled.event.what);
        let mut begun = Begun::default();
        match counts {
            Some(Some((bot, failure))) => {
                let when = (fastrand::f64(), now_ms);
                begun = failing.failed(bot, &source, policy, &failure.message, when);
            }
            Some(None) => failing.succeeded(source.conversation.as_deref(), now_ms),
            None => {}
        }
        if before == Some(&failing) {
            return FailingAfter::default();
        }
        FailingAfter {
            alarms: alarms_of(&failing, begun),
            ran: settled.waited.as_ref().map(Waited::number),
            works_again: before.is_some_and(|before| has_ended(before, &failing, &source)),
            passed_by: before.map_or(0, |it| passed_by(it, &source)),
            begun,
            failing: Some((!failing.is_over()).then(|| Box::new(failing))),
        }
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
            let Some(failing) = paused
                .filter(|it| it.has_pause(service.0.store.now()))
                .cloned()
            else {
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

    /// For which accounts a handler is paused, wholly or in some conversations, or has
    /// events waiting, by account. A page may have fewer than `limit` and yet not be the last.
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
        waits || (failing.has_pause(self.0.store.now()) && self.is_current(failing))
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
    alarms: Vec<(Millis, Alarm)>,
    /// The event that waits no more.
    ran: Option<u64>,
    /// The pauses that begin.
    begun: Begun,
    /// A pause has ended with it.
    works_again: bool,
    /// Events that passed by before.
    passed_by: u64,
}

impl FailingAfter {
    /// Adds the change to what is committed.
    pub fn add_to(&self, commit: &mut Commit) {
        commit.failing = self.failing.as_ref().map(|it| change_to(it.as_deref()));
        commit.alarms.extend(self.alarms.iter().cloned());
    }

    /// It is durable.
    pub fn note(self, slot: &mut Slot, event: &Event) {
        let Some(failing) = self.failing else {
            return;
        };
        slot.waiting
            .retain(|place| self.ran != Some(place.number()));
        let account = &event.account;
        if let (Some(pause), Some(failing)) = (self.begun.account, &failing) {
            tracing::warn!(
                %account, handler = %failing.handler, version = %failing.version,
                failures = failing.failures, until_ms = pause.until_ms, reason = failing.reason,
                "the handler is paused for the account: it keeps failing"
            );
        }
        if let (Some(pause), Some(failing)) = (self.begun.conversation, &failing) {
            let conversation = Source::of(&event.what).conversation;
            let own = failing.of(conversation.as_deref());
            tracing::warn!(
                %account, conversation, handler = %failing.handler, version = %failing.version,
                failures = own.map(|it| it.failures), until_ms = pause.until_ms,
                reason = own.map(|it| it.reason.as_str()),
                "the handler is paused in one conversation of the account: it keeps failing there"
            );
        }
        if self.works_again {
            let passed_by = self.passed_by;
            tracing::info!(%account, passed_by, "the account's handler works again");
        }
        slot.failing = failing;
    }
}

/// When what waits is looked at because of pauses that begin: at their ends.
fn alarms_of(failing: &Failing, begun: Begun) -> Vec<(Millis, Alarm)> {
    let pauses = begun.account.into_iter().chain(begun.conversation);
    let waits = failing.waiting.events > 0;
    let alarm = |pause: FailingPause| {
        let (account, handler) = (failing.account.clone(), failing.handler.clone());
        (pause.until_ms, Alarm::Waiting(account, handler))
    };
    pauses.filter(|_| waits).map(alarm).collect()
}

/// Whether this was paused, for the account or in this conversation, and is no more.
fn has_ended(before: &Failing, after: &Failing, source: &Source) -> bool {
    let paused = |failing: &Failing| {
        let own = failing.of(source.conversation.as_deref());
        failing.pause.or(own.and_then(|it| it.pause)).is_some()
    };
    paused(before) && !paused(after)
}

/// How many events no bot saw, of the account or of this conversation.
fn passed_by(failing: &Failing, source: &Source) -> u64 {
    let own = failing.of(source.conversation.as_deref());
    let own = own.map_or(0, |it| it.passed_by);
    failing.passed_by.saturating_add(own)
}

fn change_to(failing: Option<&Failing>) -> FailingChange {
    match failing {
        Some(failing) => FailingChange::Put(Box::new(failing.clone())),
        None => FailingChange::End,
    }
}
