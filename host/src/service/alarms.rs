//! Answers alarms when their time has come. They lie in the store, so that what
//! is due after a restart is looked at as if there had been none.
//!
//! An account whose alarms can't be answered, or take long, holds up nobody
//! else's: each account answers a few at a time, and what has to wait is set anew
//! for later.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Semaphore, task::JoinSet};

use super::{Error, Service};
use crate::domain::{Alarm, Millis, ports::StoreError};

/// How often the store is asked what is due: what is waited for takes seconds.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How many alarms are looked at at a time.
const AT_ONCE: usize = 256;
/// How many accounts answer at the same time: a turn may have to be waited for, and
/// events go before.
const ACCOUNTS_AT_ONCE: usize = 16;
/// How many alarms one account answers before its others are set anew.
const IN_A_ROW: usize = 8;
/// After how many ms the next row of an account is looked at. Its others come one
/// row after the other: who has many due does not fill every look with them.
const NEXT_ROW_MS: Millis = 1_000;
/// When what could not be answered is looked at again, in ms.
const FAILED_AGAIN_MS: Millis = 30_000;

/// An alarm and when it was set for.
type Due = (Millis, Alarm);

/// What answers at the same time: one account's alarms one after the other.
#[derive(Debug)]
struct Answering {
    service: Service,
    room: Arc<Semaphore>,
    rows: JoinSet<Row>,
    /// Whose alarms are being answered.
    busy: HashSet<String>,
    /// Which.
    taken: HashSet<Due>,
}

/// Who answers what of a look, and what has to wait.
#[derive(Debug, Default)]
struct Sorted {
    /// A row for each account that has none under way.
    rows: HashMap<String, Vec<Due>>,
    /// The others, with how many ms they wait.
    later: Vec<(Due, Millis)>,
}

/// The alarms of one account that were answered one after the other.
#[derive(Debug)]
struct Row {
    whose: String,
    answered: Vec<Due>,
    /// What could not be answered now.
    failed: Vec<Due>,
}

impl Service {
    /// Answers alarms until the host ends.
    pub async fn watch_alarms(&self) {
        let mut answering = Answering::new(self.clone());
        while self.check_ready().is_ok() {
            if let Err(error) = self.run_schedules().await {
                tracing::warn!(%error, "schedules can't be looked at");
            }
            if let Err(error) = answering.look().await {
                tracing::warn!(%error, "alarms can't be looked at");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Answers all that is due by now.
    #[cfg(test)]
    pub(super) async fn answer_due(&self) -> Result<(), Error> {
        self.run_schedules().await?;
        let mut answering = Answering::new(self.clone());
        while answering.look().await? {
            if let Some(row) = answering.rows.join_next().await {
                answering.ended(row).await?;
            }
        }
        Ok(())
    }

    async fn answer_alarm(&self, alarm: &Alarm) -> Result<(), Error> {
        match alarm {
            Alarm::Task(id) => self.task_overdue(id).await,
            Alarm::File(account, file) => self.file_overdue(account, file).await,
            Alarm::Login(id) => self.login_overdue(id).await,
            Alarm::Timer(account, handler, id) => self.timer_due(account, handler, id).await,
            Alarm::Schedule(due) => self.schedule_due(due).await,
        }
    }

    /// Answers these one after the other.
    async fn answer_row(self, whose: String, due: Vec<Due>) -> Row {
        let (mut answered, mut failed) = (Vec::new(), Vec::new());
        for (at_ms, alarm) in due {
            let (service, asked) = (self.clone(), alarm.clone());
            let answer = self.detached(async move { service.answer_alarm(&asked).await });
            match answer.await {
                Ok(()) => answered.push((at_ms, alarm)),
                Err(error) if may_pass(&error) => {
                    tracing::warn!(%alarm, %error, "an alarm is answered later");
                    failed.push((at_ms, alarm));
                }
                Err(error) => {
                    tracing::error!(%alarm, %error, "an alarm can't be answered");
                    answered.push((at_ms, alarm));
                }
            }
        }
        Row {
            whose,
            answered,
            failed,
        }
    }
}

impl Answering {
    fn new(service: Service) -> Self {
        Self {
            service,
            room: Arc::new(Semaphore::new(ACCOUNTS_AT_ONCE)),
            rows: JoinSet::new(),
            busy: HashSet::new(),
            taken: HashSet::new(),
        }
    }

    /// Looks at what is due and has it answered; true while anything is under way.
    async fn look(&mut self) -> Result<bool, Error> {
        while let Some(row) = self.rows.try_join_next() {
            self.ended(row).await?;
        }
        let store = &self.service.0.store;
        let due = store.alarms(store.now(), AT_ONCE).await?;
        let sorted = self.sort(due);
        for (whose, row) in sorted.rows {
            self.busy.insert(whose.clone());
            self.taken.extend(row.iter().cloned());
            let (service, room) = (self.service.clone(), Arc::clone(&self.room));
            self.rows.spawn(async move {
                // It is never closed.
                let _place = room.acquire().await;
                service.answer_row(whose, row).await
            });
        }
        self.set_anew(sorted.later).await?;
        Ok(!self.rows.is_empty())
    }

    /// Keeps accounts apart: nobody answers two rows at a time.
    fn sort(&self, due: Vec<Due>) -> Sorted {
        let mut sorted = Sorted::default();
        let mut counts = HashMap::<String, usize>::new();
        for due in due.into_iter().filter(|due| !self.taken.contains(due)) {
            let whose = whose(&due.1);
            let busy = self.busy.contains(&whose);
            let count = counts.entry(whose.clone()).or_default();
            // The row under way counts as the first.
            let row = *count / IN_A_ROW + usize::from(busy);
            *count += 1;
            match row {
                0 => sorted.rows.entry(whose).or_default().push(due),
                _ => {
                    let wait_ms = NEXT_ROW_MS.saturating_mul(row as Millis);
                    sorted.later.push((due, wait_ms));
                }
            }
        }
        sorted
    }

    async fn ended(&mut self, row: Result<Row, tokio::task::JoinError>) -> Result<(), Error> {
        let row = match row {
            Ok(row) => row,
            Err(error) => {
                // Nobody knows whose: one alarm answered twice is no harm.
                self.busy.clear();
                self.taken.clear();
                return Err(Error::Host(format!("alarms ended early: {error}")));
            }
        };
        self.busy.remove(&row.whose);
        for due in row.answered.iter().chain(&row.failed) {
            self.taken.remove(due);
        }
        self.service
            .0
            .store
            .dismiss(row.answered, Vec::new())
            .await?;
        let failed = row.failed.into_iter();
        self.set_anew(failed.map(|due| (due, FAILED_AGAIN_MS)).collect())
            .await
    }

    /// Sets each of these for so many ms from now.
    async fn set_anew(&self, alarms: Vec<(Due, Millis)>) -> Result<(), Error> {
        if alarms.is_empty() {
            return Ok(());
        }
        let store = &self.service.0.store;
        let now_ms = store.now();
        let anew =
            |((_, alarm), in_ms): &(Due, Millis)| (now_ms.saturating_add(*in_ms), alarm.clone());
        let later = alarms.iter().map(anew).collect();
        let gone = alarms.into_iter().map(|(due, _)| due).collect();
        Ok(store.dismiss(gone, later).await?)
    }
}

/// Whose turn it takes to answer. A login has none: each stands by itself.
fn whose(alarm: &Alarm) -> String {
    match alarm {
        Alarm::Task(id) => id.account.as_str().to_owned(),
        Alarm::File(account, _) | Alarm::Timer(account, ..) => account.as_str().to_owned(),
        Alarm::Schedule(due) => due.account.as_str().to_owned(),
        Alarm::Login(_) => alarm.to_string(),
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
