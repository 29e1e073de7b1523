//! Events that wait for a handler that is paused, for their account or in their
//! conversation: what keeps them, and what runs them in order once it may be called.

use crate::domain::{
    AccountId, Alarm, ClientKind, Deployment, Event, HandlerName, KeptEvent, Millis, WaitingEvent,
    handler::{Failing, Source, Waits},
    ports::{COMMIT_BYTES_MAX, Commit, EventOutcome, EventRecord, WaitingChange},
};
use crate::service::{Error, Reply, Service, deliver::Settling, turn::Turn};

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
/// How many are read at a time when the host looks at an account's for the first time.
const READ_MAX: usize = 100;

/// An event that has waited and is run now.
#[derive(Debug)]
pub(in crate::service) struct Waited {
    number: u64,
    taken_ms: Millis,
    bytes: u64,
    /// What is remembered under its key is of this very event.
    owns_key: bool,
}

/// An event that waits, as far as its place needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::service) struct WaitingPlace {
    number: u64,
    conversation: Option<String>,
}

impl WaitingPlace {
    /// Whether a new event of this conversation is not to overtake it. One that is held
    /// alone holds up nobody else.
    pub(super) fn goes_before(&self, conversation: Option<&str>, is_held: bool) -> bool {
        !is_held || self.conversation.as_deref() == conversation
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn conversation(&self) -> Option<&str> {
        self.conversation.as_deref()
    }

    fn of(event: &WaitingEvent) -> Self {
        Self {
            number: event.number,
            conversation: Source::of(&event.event.what).conversation,
        }
    }
}

impl Service {
    /// Reads which events wait for an account's handler, the oldest first, and how much
    /// that is together.
    pub(in crate::service) async fn places(
        &self,
        account: &AccountId,
    ) -> Result<(Vec<WaitingPlace>, Waits), Error> {
        let (mut places, mut waits, mut from) = (Vec::new(), Waits::default(), 0);
        loop {
            let some = self.0.store.waiting(account, from, READ_MAX).await?;
            let Some(last) = some.last() else {
                return Ok((places, waits));
            };
            from = last.number.saturating_add(1);
            for event in some {
                waits.add(event.bytes);
                places.push(WaitingPlace::of(&event));
            }
        }
    }

    /// An event as it waits.
    pub(super) fn waiting(
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
    pub(super) async fn make_wait(
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
            let oldest = self.0.store.waiting(&account, 0, PUSHED_OUT_MAX).await?;
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
            let whose = WaitingPlace::of(&old).conversation;
            failing.passes_by(whose.as_deref(), waiting.taken_ms);
            commit.waiting.push(self.passes_by(&account, old).await?);
        }
        failing.waiting = waits;
        let alarm = self.alarm_of(failing, bot, &WaitingPlace::of(&waiting));
        commit.alarms.push(alarm);
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

    /// When this event that waits for a bot is looked at.
    fn alarm_of(
        &self,
        failing: &Failing,
        bot: &Deployment,
        place: &WaitingPlace,
    ) -> (Millis, Alarm) {
        let now_ms = self.0.store.now();
        let soon_ms = (now_ms / SHARED_ALARM_MS + 1) * SHARED_ALARM_MS;
        let until_ms = failing.held_until(bot, place.conversation.as_deref(), now_ms);
        let (account, handler) = (failing.account.clone(), failing.handler.clone());
        let at_ms = until_ms.unwrap_or(soon_ms);
        (at_ms, Alarm::Waiting(account, handler))
    }

    // ------------------------------------------------------ what has waited runs

    /// Events of an account may be run that have waited: their alarm has rung.
    pub(in crate::service) async fn waiting_due(
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

    /// Runs the oldest event that waits and may be run; false when there is none.
    async fn run_waiting(&self, account: &AccountId) -> Result<bool, Error> {
        self.check_ready()?;
        let mut turn = self.turn(account).await?;
        let now_ms = self.0.store.now();
        let bot = self.deployment_of(account);
        let Some(failing) = turn.failing.as_deref() else {
            return Ok(false);
        };
        if failing.waiting.events == 0 {
            return Ok(false);
        }
        let may_run = |place: &&WaitingPlace| {
            let conversation = place.conversation.as_deref();
            let bot = bot.as_deref();
            !bot.is_some_and(|bot| failing.holds_in(bot, conversation, now_ms))
        };
        let Some(number) = turn.waiting.iter().find(may_run).map(|it| it.number) else {
            return match turn.waiting.is_empty() {
                true => Err(self.look_anew(&mut turn, account).await?),
                false => Ok(false),
            };
        };
        let oldest = self.0.store.waiting(account, number, 1).await?.pop();
        let Some(oldest) = oldest.filter(|it| it.number == number) else {
            return Err(self.look_anew(&mut turn, account).await?);
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

    /// What waits is not what it should be: the host's fault. What there is goes on.
    async fn look_anew(&self, turn: &mut Turn, account: &AccountId) -> Result<Error, Error> {
        let (places, waits) = self.places(account).await?;
        turn.waiting = places;
        if let Some(failing) = turn.failing.as_deref().cloned() {
            let failing = Failing {
                waiting: waits,
                ..failing
            };
            self.put_failing(turn, failing, Vec::new()).await?;
        }
        Ok(Error::Host(format!(
            "events that wait of {account} are gone"
        )))
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
}

/// What waits after these changes.
pub(super) fn places_after(
    places: &[WaitingPlace],
    changes: &[WaitingChange],
) -> Vec<WaitingPlace> {
    let mut after = places.to_vec();
    for change in changes {
        match change {
            WaitingChange::Put(event) => after.push(WaitingPlace::of(event)),
            WaitingChange::Settle { number, .. } | WaitingChange::Remove(number) => {
                after.retain(|place| place.number != *number);
            }
        }
    }
    after
}

impl Waited {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

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
