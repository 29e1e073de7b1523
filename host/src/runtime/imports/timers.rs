//! `wxhost:bot/timers`: written together with the guest's actions. The guest sees its
//! own changes at once.

use super::CallState;
use crate::{
    domain::{
        Happening, Timer as Set,
        timer::{TIMER_AHEAD_MAX_MS, TIMER_PAYLOAD_MAX_BYTES, TIMERS_PAYLOAD_MAX_BYTES},
    },
    runtime::{
        bindings::wxhost::bot::{
            model::Failure,
            timers::{Host, Timer},
        },
        convert,
        limits::ACCOUNT_TIMERS_MAX,
        state::Stopped,
        timers,
    },
};

/// How far ahead a timer is due at least that is set for another one, in ms.
const AGAIN_MS_MIN: u64 = 1_000;

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

impl Host for CallState {
    async fn set(&mut self, id: String, due: u64, payload: String) -> Answer<()> {
        self.enter()?;
        self.know_timers().await?;
        Ok(self.set_timer(id, due, payload))
    }

    async fn cancel(&mut self, id: String) -> Answer<bool> {
        self.enter()?;
        self.know_timers().await?;
        if self.timers.get(&id).is_none() {
            return Ok(Ok(false));
        }
        Ok(self.change_timer(&id, None).map(|()| true))
    }

    async fn list_timers(&mut self) -> Answer<Vec<Timer>> {
        self.enter()?;
        self.know_timers().await?;
        let listed = self.timers.all().map(|timer| Timer {
            id: timer.id.clone(),
            due: timer.due_ms,
            payload: timer.payload.clone(),
        });
        Ok(Ok(listed.collect()))
    }
}

impl CallState {
    /// Reads the bot's timers, the first time that it asks for one.
    async fn know_timers(&mut self) -> Result<(), Stopped> {
        if self.timers.are_known() {
            return Ok(());
        }
        // The setting may have been larger when they were set.
        let event = &self.call.event;
        let handler = &self.call.bot.handler;
        let timers = self
            .store
            .timers_of(&event.account, handler, ACCOUNT_TIMERS_MAX as usize);
        let stored = timers.await?;
        let fired = match &event.what {
            Happening::Timer { id, .. } => timers::fired(id),
            _ => None,
        };
        self.timers.read(stored, fired);
        Ok(())
    }

    fn set_timer(&mut self, id: String, due: u64, payload: String) -> Result<(), Failure> {
        let now_ms = self.store.now();
        check(&id, due, &payload, now_ms)?;
        let limit = self.limits.account_timers;
        if self.timers.count_with(&id) > limit as usize {
            let message = format!(
                "at most {limit} timers may be set for one account (limits.account_timers)"
            );
            return Err(convert::coded("too-many", message));
        }
        if !self.timers.has_room_for(&id, &payload) {
            let message = format!(
                "the payloads of all timers of one account have at most \
                 {TIMERS_PAYLOAD_MAX_BYTES} bytes together: keep large ones in the key-value store"
            );
            return Err(convert::coded("too-many", message));
        }
        let timer = Set {
            handler: self.handler().clone(),
            due_ms: due.max(now_ms.saturating_add(self.earliest_ms())),
            id,
            payload,
        };
        let id = timer.id.clone();
        self.change_timer(&id, Some(timer))
    }

    /// How far ahead a timer is due at least, in ms: later than any of its name that has
    /// fired, since it is another event. One that is set for a timer has to wait, so
    /// that no bot keeps itself busy.
    fn earliest_ms(&self) -> u64 {
        match self.call.event.what {
            Happening::Timer { .. } => AGAIN_MS_MIN,
            _ => 1,
        }
    }

    fn change_timer(&mut self, id: &str, timer: Option<Set>) -> Result<(), Failure> {
        let limit = self.limits.call_timers;
        if self.timers.changed_with(id) > limit as usize {
            let message = format!(
                "at most {limit} timers may be set or cancelled in one call (limits.call_timers)"
            );
            return Err(convert::coded("too-many", message));
        }
        let instead_of = self.timers.changed_bytes(id);
        let bytes = timers::bytes_of(id, timer.as_ref());
        self.take_effects(instead_of, bytes)
            .map_err(|error| convert::failure(&error))?;
        self.timers.change(id, timer);
        Ok(())
    }
}

fn check(id: &str, due: u64, payload: &str, now_ms: u64) -> Result<(), Failure> {
    let bad = |message: String| Err(convert::coded("bad-request", message));
    if let Err(problem) = Set::check_id(id) {
        return bad(format!("id: {problem}"));
    }
    if payload.len() > TIMER_PAYLOAD_MAX_BYTES {
        return bad(format!(
            "payload: has at most {TIMER_PAYLOAD_MAX_BYTES} bytes, this has {}",
            payload.len()
        ));
    }
    if due > now_ms.saturating_add(TIMER_AHEAD_MAX_MS) {
        return bad("due: is at most 366 days ahead, in ms since 1970".to_owned());
    }
    Ok(())
}
