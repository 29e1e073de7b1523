//! Recording events with what became of them, so that they can be replayed.

use super::{Error, Service, turn::Slot};
use crate::domain::{
    ClientKind, Deployment, Event, Recorded, RecordedEvent, TaskNumber,
    ports::{EventOutcome, RecordedAt},
};

impl Service {
    /// The event in its place of the account's ring, to be committed with it; none when
    /// it is not to be recorded.
    pub(super) async fn recorded_as(
        &self,
        slot: &mut Slot,
        bot: &Deployment,
        client: ClientKind,
        event: &Event,
        (outcome, tasks): (EventOutcome, &[TaskNumber]),
    ) -> Result<Option<Box<RecordedAt>>, Error> {
        let policy = &self.0.policies.record;
        if policy.events_per_account == 0 {
            return Ok(None);
        }
        let Some(fitted) = RecordedEvent::fitted(event, policy) else {
            return Ok(None);
        };
        let number = match slot.recorded {
            Some(number) => number,
            None => {
                let newest = self.0.store.recorded(&event.account).await?.pop();
                newest.map_or(0, |it| it.number.saturating_add(1))
            }
        };
        slot.recorded = Some(number);
        let recorded = Recorded {
            number,
            at_ms: self.0.store.now(),
            client,
            handler: bot.handler.clone(),
            version: bot.version.number,
            outcome,
            tasks: tasks.to_vec(),
            event: fitted,
        };
        let place = number % u64::from(policy.events_per_account);
        let place = u32::try_from(place).unwrap_or_default();
        Ok(Some(Box::new(RecordedAt { place, recorded })))
    }

    /// What is recorded is durable: the next goes to the next place.
    pub(super) fn note_recorded(&self, slot: &mut Slot, was_recorded: bool) {
        if was_recorded {
            slot.recorded = slot.recorded.map(|number| number.saturating_add(1));
        }
    }
}
