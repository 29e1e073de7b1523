//! Holding back: how fast an account writes, and where its bot is silent because
//! it seemed to talk to another bot. The rules are the domain's
//! (`domain/pacing.rs`); here is when they are asked.

use std::collections::HashMap;

use super::{Error, Service, turn::Slot};
use crate::domain::{
    AccountId, Action, Deployment, Event, Happening, Message, Millis, Pause, ports::PauseChange,
};

/// How many pauses are read at a time.
const PAGE: usize = 500;

/// Why a bot is silent in a conversation.
const LOOKS_LIKE_A_LOOP: &str = "the bot gave the same peer too many answers within a minute";

/// What the guard says about an event.
#[derive(Debug, Default)]
pub(super) struct Hush {
    /// The bot is not to be asked.
    pub silent: bool,
    /// What changes about the pause, to be committed with the event.
    pub change: Option<PauseChange>,
}

impl Service {
    /// Whether the bot is silent in the event's conversation.
    pub(super) fn hush(&self, slot: &mut Slot, bot: &Deployment, event: &Event) -> Hush {
        let Happening::Message(message) = &event.what else {
            return Hush::default();
        };
        let (policy, now_ms) = (&self.0.policies.pacing, self.0.store.now());
        let conversation = message.conversation.as_str();
        let paused_until = slot.pauses.get(conversation).map(|pause| pause.until_ms);
        if paused_until.is_some_and(|until| now_ms < until) {
            return Hush {
                silent: true,
                change: None,
            };
        }
        if paused_until.is_some() {
            slot.guard.lifted(conversation);
        }
        if !slot.guard.allows(policy, conversation, now_ms) {
            let pause = self.pause(bot, message, now_ms);
            tracing::warn!(
                account = %event.account, conversation, handler = %bot.handler,
                until_ms = pause.until_ms, "the bot pauses: {LOOKS_LIKE_A_LOOP}"
            );
            return Hush {
                silent: true,
                change: Some(PauseChange::Put(pause)),
            };
        }
        Hush {
            silent: false,
            change: paused_until.map(|_| PauseChange::Lift(conversation.to_owned())),
        }
    }

    /// Every pause of an account. The guard makes few: each takes a bot many
    /// answers, and is over after `pacing.guard_pause_ms`.
    pub(super) async fn all_pauses(
        &self,
        account: &AccountId,
    ) -> Result<HashMap<String, Pause>, Error> {
        let (mut all, mut after) = (HashMap::new(), None);
        loop {
            let store = &self.0.store;
            let page = store.pauses(account, after.as_deref(), PAGE).await?;
            let over = |pause: &Pause| pause.until_ms <= store.now();
            let pauses = page.items.into_iter().filter(|pause| !over(pause));
            all.extend(pauses.map(|pause| (pause.conversation.clone(), pause)));
            after = page.next;
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    fn pause(&self, bot: &Deployment, message: &Message, now_ms: Millis) -> Pause {
        Pause {
            conversation: message.conversation.clone(),
            handler: bot.handler.clone(),
            since_ms: now_ms,
            until_ms: now_ms.saturating_add(self.0.policies.pacing.guard_pause_ms),
            reason: LOOKS_LIKE_A_LOOP.to_owned(),
        }
    }

    /// How many of these, from the first on, may go out at once. They count as
    /// sent.
    pub(super) fn send_now<'a>(
        &self,
        slot: &mut Slot,
        actions: impl Iterator<Item = &'a Action>,
    ) -> usize {
        let now_ms = self.0.store.now();
        actions
            .take_while(|action| self.may_send(slot, action, now_ms) == 0)
            .count()
    }

    /// How many ms this has to wait; 0 when it may go out now, and then it counts
    /// as sent.
    pub(super) fn may_send(&self, slot: &mut Slot, action: &Action, now_ms: Millis) -> u64 {
        let policy = &self.0.policies.pacing;
        let wait_ms = slot.pace.wait_ms(policy, action, now_ms);
        if wait_ms == 0 {
            slot.pace.take(policy, action, fastrand::f64(), now_ms);
        }
        wait_ms
    }

    /// Notes what was settled: the answers of a bot, and what became of a pause.
    pub(super) fn note_settled<'a>(
        &self,
        slot: &mut Slot,
        event: &Event,
        asked: impl Iterator<Item = &'a Action>,
        change: Option<PauseChange>,
    ) {
        match change {
            Some(PauseChange::Put(pause)) => {
                slot.pauses.insert(pause.conversation.clone(), pause);
            }
            Some(PauseChange::Lift(conversation)) => {
                slot.pauses.remove(&conversation);
            }
            None => {}
        }
        let Happening::Message(message) = &event.what else {
            return;
        };
        let (policy, now_ms) = (&self.0.policies.pacing, self.0.store.now());
        for action in asked {
            if matches!(action, Action::Send { conversation, .. } if *conversation == message.conversation)
            {
                let (conversation, author) = (&message.conversation, &message.author);
                slot.guard.replied(policy, conversation, author, now_ms);
            }
        }
    }
}

/// Notes who wrote.
pub(super) fn note_heard(slot: &mut Slot, event: &Event) {
    if let Happening::Message(message) = &event.what {
        slot.guard
            .heard(&message.conversation, &message.author, message.outgoing);
    }
}
