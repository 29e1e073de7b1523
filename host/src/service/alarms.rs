//! Answers alarms when their time has come. They lie in the store, so that what
//! is due after a restart is looked at as if there had been none.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Semaphore, task::JoinSet};

use super::{Error, Service};
use crate::domain::{Alarm, Millis, ports::StoreError};

/// How often the store is asked what is due: what is waited for takes seconds.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How many alarms are taken at a time.
const AT_ONCE: usize = 256;
/// How many of them are answered at the same time: a turn may have to be waited
/// for, and events go before.
const ANSWERED_AT_ONCE: usize = 16;

impl Service {
    /// Answers alarms until the host ends.
    pub async fn watch_alarms(&self) {
        while self.check_ready().is_ok() {
            match self.answer_due().await {
                Ok(true) => {}
                Ok(false) => tokio::time::sleep(LOOK_EVERY).await,
                Err(error) => {
                    tracing::warn!(%error, "alarms can't be read");
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
        }
    }

    /// Answers what is due by now; true when there may be more.
    pub(super) async fn answer_due(&self) -> Result<bool, Error> {
        let due = self.0.store.alarms(self.0.store.now(), AT_ONCE).await?;
        if due.is_empty() {
            return Ok(false);
        }
        let full = due.len() == AT_ONCE;
        let answered = self.answer_all(due).await;
        let progress = !answered.is_empty();
        self.0.store.dismiss(answered).await?;
        Ok(full && progress)
    }

    /// Answers these, some at the same time, and gives those that are done with.
    async fn answer_all(&self, due: Vec<(Millis, Alarm)>) -> Vec<(Millis, Alarm)> {
        let room = Arc::new(Semaphore::new(ANSWERED_AT_ONCE));
        let mut answering = JoinSet::new();
        for (at_ms, alarm) in due {
            let (service, room) = (self.clone(), Arc::clone(&room));
            answering.spawn(async move {
                // It is never closed.
                let _place = room.acquire().await.ok()?;
                service.is_answered(&alarm).await.then_some((at_ms, alarm))
            });
        }
        answering.join_all().await.into_iter().flatten().collect()
    }

    /// False when it has to be answered again later.
    async fn is_answered(&self, alarm: &Alarm) -> bool {
        let (service, asked) = (self.clone(), alarm.clone());
        let answer = self.detached(async move { service.answer_alarm(&asked).await });
        match answer.await {
            Ok(()) => true,
            Err(error) => {
                let again = may_pass(&error);
                tracing::warn!(%alarm, %error, again, "an alarm was not answered");
                !again
            }
        }
    }

    async fn answer_alarm(&self, alarm: &Alarm) -> Result<(), Error> {
        match alarm {
            Alarm::Task(id) => self.task_overdue(id).await,
            Alarm::File(account, file) => self.file_overdue(account, file).await,
            Alarm::Login(id) => self.login_overdue(id).await,
        }
    }
}

/// Whether the same can succeed later.
fn may_pass(error: &Error) -> bool {
    matches!(
        error,
        Error::Busy { .. }
            | Error::Draining
            | Error::LoginMoved
            | Error::Host(_)
            | Error::Store(StoreError::Failed(_) | StoreError::Closed)
    )
}
