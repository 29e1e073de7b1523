//! Replaying: recorded events are run against a version, and what it would do is held
//! against what was sent. Nothing of it is done.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    domain::{
        Account, AccountId, Action, Deployment, EventKey, HandlerName, Millis, Recorded, TaskId,
        handler::VersionNumber,
        ports::{Call, CallFailure, EventOutcome},
        record::RECORDED_MAX,
        replay::{Difference, Verdict, differences},
    },
    service::{Error, Service, error::failure_of},
};

/// How long one request replays before it gives what it has: a client waits for it.
const REPLAY_FOR: Duration = Duration::from_secs(10);

/// Recorded events to be run.
#[derive(Debug, Clone)]
pub struct Replay {
    /// Against which handler.
    pub handler: HandlerName,
    /// Which version of it; none for the one that serves the account.
    pub version: Option<VersionNumber>,
    /// Whose events.
    pub account: AccountId,
    /// How many of the last.
    pub last: usize,
    /// Only those that were recorded after the one of this number.
    pub after: Option<u64>,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Replayed {
    /// What was called.
    pub bot: Arc<Deployment>,
    /// The events, the oldest first.
    pub events: Vec<ReplayedEvent>,
    /// After which the rest begins; none when there is none.
    pub next: Option<u64>,
}

/// One event that was run again.
#[derive(Debug, Clone)]
pub struct ReplayedEvent {
    /// Which.
    pub key: EventKey,
    /// When it was settled, in ms.
    pub at_ms: Millis,
    /// Whose decision it was then.
    pub handler: HandlerName,
    /// Which version's.
    pub version: VersionNumber,
    /// What became of it then.
    pub outcome: EventOutcome,
    /// The client's JSON was too large to be recorded: a bot that reads it sees none.
    pub without_raw: bool,
    /// What was sent and what would be, or how the call failed.
    pub result: Result<Vec<Difference>, CallFailure>,
}

impl ReplayedEvent {
    /// How it compares.
    pub fn verdict(&self) -> Verdict {
        match &self.result {
            Err(_) => Verdict::Fails,
            Ok(all) => Verdict::of(all),
        }
    }
}

impl Service {
    /// Runs the last recorded events of an account, one after the other. Each sees the
    /// store as it is now: neither as it was then, nor with what those before it would
    /// have written. One replay at a time.
    pub async fn replay(&self, replay: Replay) -> Result<Replayed, Error> {
        if replay.last == 0 || replay.last > RECORDED_MAX as usize {
            return Err(Error::BadRequest {
                field: "last",
                problem: format!("takes 1 to {RECORDED_MAX}, this is {}", replay.last),
            });
        }
        let _place = self.0.replaying.try_lock().map_err(|_| Error::Busy {
            reason: "another replay is under way".to_owned(),
        })?;
        let account = self.account(&replay.account).await?;
        let whose = Some(&replay.account);
        let bot = self
            .bot_to_try(&replay.handler, replay.version, whose)
            .await?;
        let replayed = self.replay_each(&replay, Arc::clone(&bot), account).await;
        if replay.version.is_some() {
            self.retain_after_trial().await;
        }
        replayed
    }

    async fn replay_each(
        &self,
        replay: &Replay,
        bot: Arc<Deployment>,
        account: Account,
    ) -> Result<Replayed, Error> {
        let mut all = self.0.store.recorded(&replay.account).await?;
        all.drain(..all.len().saturating_sub(replay.last));
        all.retain(|it| replay.after.is_none_or(|after| it.number > after));
        let (me, began) = (Arc::new(account), Instant::now());
        let mut events = Vec::new();
        let mut all = all.into_iter().peekable();
        while let Some(recorded) = all.next() {
            self.check_ready()?;
            let number = recorded.number;
            events.push(self.replay_one(&bot, &me, recorded).await?);
            if began.elapsed() >= REPLAY_FOR && all.peek().is_some() {
                let next = Some(number);
                return Ok(Replayed { bot, events, next });
            }
        }
        let next = None;
        Ok(Replayed { bot, events, next })
    }

    async fn replay_one(
        &self,
        bot: &Arc<Deployment>,
        me: &Arc<Account>,
        recorded: Recorded,
    ) -> Result<ReplayedEvent, Error> {
        let sent = self.sent(&me.id, &recorded).await?;
        let event = recorded.event.read().map_err(|error| {
            Error::Host(format!(
                "what was recorded of {} can't be read: {error}",
                me.id
            ))
        })?;
        let call = Call {
            bot: Arc::clone(bot),
            client: recorded.client,
            me: Some(Arc::clone(me)),
            event: Arc::new(event.event(&me.id)),
            is_trial: true,
        };
        let result = match self.0.runtime.call(call).await {
            Ok(effects) => {
                let now: Vec<_> = effects.tasks.into_iter().map(|(_, it)| it).collect();
                Ok(differences(&sent, &now))
            }
            Err(error) => Err(failure_of(error)?),
        };
        Ok(ReplayedEvent {
            key: event.key,
            at_ms: recorded.at_ms,
            handler: recorded.handler,
            version: recorded.version,
            outcome: recorded.outcome,
            without_raw: event.raw.is_none(),
            result,
        })
    }

    /// What the bot had the client do then. A task is kept as long as its event.
    async fn sent(&self, account: &AccountId, recorded: &Recorded) -> Result<Vec<Action>, Error> {
        let mut sent = Vec::with_capacity(recorded.tasks.len());
        for &number in &recorded.tasks {
            let account = account.clone();
            let task = self.0.store.task(&TaskId { account, number }).await?;
            sent.extend(task.map(|task| task.action));
        }
        Ok(sent)
    }
}
