//! Timers that come due: the bot is called as for any other event, and the timer goes
//! in the commit that settles it. So it fires at least once, and is settled once.

use bytes::Bytes;

use super::{Error, Reply, Service, deliver::Settling, turn::Turn};
use crate::domain::{
    AccountId, Event, EventKey, HandlerName, Happening, Millis, Timer, TimerChange,
    ports::{Commit, Page},
};
use crate::metrics;

/// The fact that says when a timer or a schedule was due, in ms: after the host was
/// down it is late.
const DUE: &str = "due";

/// A timer or a schedule that came due for an account.
#[derive(Debug)]
pub(super) struct Due<'a> {
    /// For whom.
    pub account: &'a AccountId,
    /// The only bot that it is for.
    pub handler: &'a HandlerName,
    /// The event that it is.
    pub key: EventKey,
    /// Since when, in ms.
    pub due_ms: Millis,
    /// What the bot knows it by.
    pub id: String,
    /// What the bot gets with it.
    pub payload: String,
    /// What changes in the commit that settles it.
    pub also: Box<Commit>,
}

impl Service {
    /// All timers of an account, by handler and name. At most `limit`.
    pub async fn timers(
        &self,
        account: &AccountId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Timer>, Error> {
        self.account(account).await?;
        Ok(self.0.store.timers(account, after, limit).await?)
    }

    /// Has a timer come due now: for people who try a bot out.
    pub async fn fire_timer(
        &self,
        account: &AccountId,
        handler: &HandlerName,
        id: &str,
    ) -> Result<(), Error> {
        let (service, account) = (self.clone(), account.clone());
        let (handler, id) = (handler.clone(), id.to_owned());
        self.detached(async move {
            let turn = service.turn(&account).await?;
            let found = service.0.store.timer(&account, &handler, &id).await?;
            let timer = found.ok_or_else(|| Error::not_found("timer", &id))?;
            let sooner = TimerChange::Put {
                instead_of_ms: Some(timer.due_ms),
                timer: Timer {
                    due_ms: timer.due_ms.min(service.0.store.now()),
                    ..timer
                },
            };
            let commit = Commit {
                timers: vec![sooner],
                ..Commit::default()
            };
            service
                .commit(&turn, &account, commit.into())
                .await
                .map(drop)
        })
        .await
    }

    /// A timer may be due: its alarm has rung.
    pub(super) async fn timer_due(
        &self,
        account: &AccountId,
        handler: &HandlerName,
        id: &str,
    ) -> Result<(), Error> {
        let mut turn = self.turn(account).await?;
        let Some(timer) = self.0.store.timer(account, handler, id).await? else {
            return Ok(());
        };
        if timer.due_ms > self.0.store.now() {
            // Set anew since; it has an alarm of its own.
            return Ok(());
        }
        let gone = Commit {
            timers: vec![TimerChange::Remove {
                handler: handler.clone(),
                id: id.to_owned(),
                due_ms: timer.due_ms,
            }],
            ..Commit::default()
        };
        let deployment = self.deployment_of(account);
        if turn.account.is_none() || deployment.is_none_or(|it| it.handler != *handler) {
            tracing::info!(%account, %handler, timer = id, "a timer is dropped: its bot no longer serves the account");
            return self.commit(&turn, account, gone.into()).await.map(drop);
        }
        let due = Due {
            account,
            handler,
            key: timer.event_key(),
            due_ms: timer.due_ms,
            id: timer.id,
            payload: timer.payload,
            also: gone.into(),
        };
        self.fire(&mut turn, due).await?;
        metrics::get().fired("timer");
        Ok(())
    }

    /// Calls the account's bot, in the account's turn, for what came due. What was
    /// settled before is not run again.
    pub(super) async fn fire(&self, turn: &mut Turn, due: Due<'_>) -> Result<(), Error> {
        let Some(known) = turn.account.as_ref() else {
            return Ok(());
        };
        let client = known.client;
        let event = Event {
            key: due.key,
            account: due.account.clone(),
            at_ms: self.0.store.now(),
            what: Happening::Timer {
                id: due.id,
                payload: due.payload,
            },
            facts: vec![(DUE, due.due_ms.to_string())],
            raw: Bytes::new(),
        };
        if self.seen_before(&event, None).await?.is_some() {
            let again = self.commit(turn, due.account, due.also);
            return again.await.map(drop);
        }
        let settling = Settling {
            event,
            client,
            repeats_within: None,
            reply: Reply::Queue,
            only: Some(due.handler.clone()),
            also: due.also,
        };
        self.settle(turn, settling).await.map(drop)
    }
}
