//! Answers alarms when their time has come. They lie in the store, so that what
//! is due after a restart is looked at as if there had been none.
//!
//! An account whose alarms can't be answered, or take long, holds up nobody
//! else's: each account answers a few at a time, and what has to wait is set anew
//! for later. So does each handler whose bots are woken, and wake-ups as a whole are
//! looked at apart from deadlines.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Semaphore, task::JoinSet};

use super::{Error, Service};
use crate::domain::{Alarm, AlarmKind, HandlerName, Millis, ports::StoreError};

/// How often the store is asked what is due: what is waited for takes seconds.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How many alarms are looked at at a time.
const AT_ONCE: usize = 256;
/// How many accounts answer deadlines at the same time, and how many are woken: a turn
/// may have to be waited for, and events go before.
const ACCOUNTS_AT_ONCE: usize = 16;
/// How many accounts one handler's bots are woken for at the same time: slow ones leave
/// room for others.
const OF_HANDLER_AT_ONCE: usize = 8;
/// How many alarms one account answers before its others are set anew.
const IN_A_ROW: usize = 8;
/// After how many ms the next row of an account is looked at. Its others come one
/// row after the other: who has many due does not fill every look with them.
const NEXT_ROW_MS: Millis = 1_000;
/// When what could not be answered is looked at again, in ms.
const FAILED_AGAIN_MS: Millis = 30_000;

/// An alarm and when it was set for.
type Due = (Millis, Alarm);

/// What answers alarms of one kind at the same time: one account's one after the other.
#[derive(Debug)]
struct Answering {
    service: Service,
    kind: AlarmKind,
    room: Arc<Semaphore>,
    rows: JoinSet<Row>,
    /// Whose alarms are being answered.
    busy: HashSet<String>,
    /// For how many accounts each handler's bots are being woken.
    woken: HashMap<HandlerName, usize>,
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
    handler: Option<HandlerName>,
    answered: Vec<Due>,
    /// What could not be answered now.
    failed: Vec<Due>,
}

impl Service {
    /// Answers alarms until the host ends.
    pub async fn watch_alarms(&self) {
        let schedules = async {
            while self.check_ready().is_ok() {
                if let Err(error) = self.run_schedules().await {
                    tracing::warn!(%error, "schedules can't be looked at");
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let [deadlines, wakeups] = AlarmKind::ALL.map(|kind| self.watch(kind));
        tokio::join!(schedules, deadlines, wakeups);
    }

    /// Answers alarms of one kind until the host ends.
    async fn watch(&self, kind: AlarmKind) {
        let mut answering = Answering::new(self.clone(), kind);
        while self.check_ready().is_ok() {
            if let Err(error) = answering.look().await {
                tracing::warn!(%error, ?kind, "alarms can't be looked at");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Answers all that is due by now.
    #[cfg(test)]
    pub(super) async fn answer_due(&self) -> Result<(), Error> {
        self.run_schedules().await?;
        for kind in AlarmKind::ALL {
            let mut answering = Answering::new(self.clone(), kind);
            while answering.look().await? {
                if let Some(row) = answering.rows.join_next().await {
                    answering.ended(row).await?;
                }
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
            Alarm::Waiting(account, handler) => self.waiting_due(account, handler).await,
        }
    }

    /// Answers these one after the other.
    async fn answer_row(self, whose: String, due: Vec<Due>) -> Row {
        let handler = handler_of(&due).cloned();
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
            handler,
            answered,
            failed,
        }
    }
}

impl Answering {
    fn new(service: Service, kind: AlarmKind) -> Self {
        Self {
            service,
            kind,
            room: Arc::new(Semaphore::new(ACCOUNTS_AT_ONCE)),
            rows: JoinSet::new(),
            busy: HashSet::new(),
            woken: HashMap::new(),
            taken: HashSet::new(),
        }
    }

    /// Looks at what is due and has it answered; true while anything is under way.
    async fn look(&mut self) -> Result<bool, Error> {
        while let Some(row) = self.rows.try_join_next() {
            self.ended(row).await?;
        }
        let store = &self.service.0.store;
        // What is being answered is still there: it must not hide the rest.
        let limit = AT_ONCE + self.taken.len().min(AT_ONCE);
        let due = store.alarms(self.kind, store.now(), limit).await?;
        let mut sorted = self.sort(due);
        self.leave_room(&mut sorted);
        for (whose, row) in sorted.rows {
            self.busy.insert(whose.clone());
            if let Some(handler) = handler_of(&row) {
                *self.woken.entry(handler.clone()).or_default() += 1;
            }
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

    /// Leaves room for other handlers' bots.
    fn leave_room(&self, sorted: &mut Sorted) {
        let mut woken = self.woken.clone();
        let Sorted { rows, later } = sorted;
        rows.retain(|_, row| {
            let Some(handler) = handler_of(row) else {
                return true;
            };
            let count = woken.entry(handler.clone()).or_default();
            *count += 1;
            let fits = *count <= OF_HANDLER_AT_ONCE;
            if !fits {
                later.extend(row.drain(..).map(|due| (due, NEXT_ROW_MS)));
            }
            fits
        });
    }

    async fn ended(&mut self, row: Result<Row, tokio::task::JoinError>) -> Result<(), Error> {
        let row = match row {
            Ok(row) => row,
            Err(error) => {
                // Nobody knows whose: one alarm answered twice is no harm.
                self.busy.clear();
                self.woken.clear();
                self.taken.clear();
                return Err(Error::Host(format!("alarms ended early: {error}")));
            }
        };
        self.busy.remove(&row.whose);
        if let Some(handler) = &row.handler
            && let Some(count) = self.woken.get_mut(handler)
        {
            *count -= 1;
            if *count == 0 {
                self.woken.remove(handler);
            }
        }
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

/// Whose bots a row wakes: one account has one handler at a time.
fn handler_of(row: &[Due]) -> Option<&HandlerName> {
    row.first().and_then(|(_, alarm)| alarm.handler())
}

/// Whose turn it takes to answer. A login has none: each stands by itself.
fn whose(alarm: &Alarm) -> String {
    match alarm {
        Alarm::Task(id) => id.account.as_str().to_owned(),
        Alarm::File(account, _) | Alarm::Timer(account, ..) | Alarm::Waiting(account, _) => {
            account.as_str().to_owned()
        }
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
