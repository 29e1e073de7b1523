//! Running a bot again whose shared bucket changed while it ran.
//!
//! A first run is optimistic: it waits for nobody, and its commit says whether what
//! it read still holds. Who has lost runs again one after the other, and newcomers
//! wait a moment for them, so that eight accounts that count in one key don't lose
//! against each other for ever. That is courtesy and no rule: what holds is decided
//! by the store, and every wait here has an end.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use dashmap::DashMap;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{Error, Service};
use crate::domain::{Deployment, HandlerName};

/// How often a bot runs again for one event.
const RERUNS_MAX: u32 = 5;
/// How long after the first run no other begins. With the wait for the turn (10 s) and
/// the longest call (15 s) it stays below the 30 s after which WeHub gives up.
const RERUN_WITHIN: Duration = Duration::from_secs(4);
/// How long a first run waits for those who run again. A slow bot among them must
/// not hold up other accounts.
const NEWCOMER_WAIT: Duration = Duration::from_millis(100);
/// How long a rerun waits for those before it, with the same reason.
const RERUN_WAIT: Duration = Duration::from_millis(500);

/// Who runs again, by handler.
#[derive(Debug, Default)]
pub(super) struct Reruns(DashMap<HandlerName, Arc<Mutex<()>>>);

impl Reruns {
    fn lane(&self, handler: &HandlerName) -> Arc<Mutex<()>> {
        if let Some(lane) = self.0.get(handler) {
            return Arc::clone(&lane);
        }
        Arc::clone(&self.0.entry(handler.clone()).or_default())
    }

    /// Forgets the handlers of which nobody runs at the moment.
    pub fn forget_idle(&self) {
        self.0.retain(|_, lane| Arc::strong_count(lane) > 1);
    }
}

/// The runs of a bot for one event.
#[derive(Debug)]
pub(super) struct Runs {
    /// Where reruns of this handler go one after the other; none without a shared
    /// bucket.
    lane: Option<Arc<Mutex<()>>>,
    held: Option<OwnedMutexGuard<()>>,
    again: u32,
    began: Instant,
}

impl Service {
    /// Begins the runs of a bot. A handler without a shared bucket waits for nobody.
    pub(super) async fn first_run(&self, bot: Option<&Deployment>) -> Runs {
        let sharing = bot.filter(|bot| bot.version.manifest.shared_bucket);
        let lane = sharing.map(|bot| self.0.reruns.lane(&bot.handler));
        if let Some(lane) = &lane
            && lane.try_lock().is_err()
        {
            // Too late is no harm: then it may lose.
            let _ = tokio::time::timeout(NEWCOMER_WAIT, lane.lock()).await;
        }
        Runs {
            lane,
            held: None,
            again: 0,
            began: Instant::now(),
        }
    }
}

impl Runs {
    /// Another run may begin; an error when there were enough.
    pub async fn next(&mut self) -> Result<(), Error> {
        self.again += 1;
        if self.again > RERUNS_MAX || self.began.elapsed() > RERUN_WITHIN {
            return Err(contended());
        }
        if self.held.is_none()
            && let Some(lane) = &self.lane
        {
            let turn = tokio::time::timeout(RERUN_WAIT, Arc::clone(lane).lock_owned());
            self.held = turn.await.ok();
        }
        Ok(())
    }
}

/// Others changed the shared bucket, again and again.
pub(super) fn contended() -> Error {
    Error::Busy {
        reason: "other accounts changed the handler's shared bucket each time this one was \
                 about to"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_kept_as_long_as_somebody_runs() -> Result<(), crate::domain::id::BadId> {
        let reruns = Reruns::default();
        let (busy, idle) = ("busy".try_into()?, "idle".try_into()?);
        let held = reruns.lane(&busy);
        reruns.lane(&idle);
        reruns.forget_idle();
        assert_eq!(reruns.0.len(), 1);
        assert!(Arc::ptr_eq(&held, &reruns.lane(&busy)));
        Ok(())
    }

    #[tokio::test]
    async fn a_bot_runs_again_so_many_times() {
        let mut runs = Runs {
            lane: None,
            held: None,
            again: 0,
            began: Instant::now(),
        };
        for _ in 0..RERUNS_MAX {
            assert!(runs.next().await.is_ok());
        }
        assert!(matches!(runs.next().await, Err(Error::Busy { .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn who_runs_again_waits_for_the_one_before_but_not_for_ever() {
        let lane = Arc::new(Mutex::new(()));
        let runs = || Runs {
            lane: Some(Arc::clone(&lane)),
            held: None,
            again: 0,
            began: Instant::now(),
        };
        let (mut first, mut second) = (runs(), runs());
        assert!(first.next().await.is_ok() && first.held.is_some());
        assert!(second.next().await.is_ok() && second.held.is_none());
        drop(first);
        assert!(second.next().await.is_ok() && second.held.is_some());
    }
}
