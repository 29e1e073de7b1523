//! Schedules: bots are called at certain times, once for every account that they serve.
//!
//! When a schedule comes due, an alarm is set for each of those accounts; answering it
//! calls the bot, a few accounts at a time. Then the schedule's next time is written. If
//! the host dies in between, the alarms are set again, and each account's event is
//! settled once. What came due while the host was down comes due once at its start. Who
//! logs in soon after is not left out: clients that start with the host take a while.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::{Mutex, MutexGuard};

use super::{Error, Service, timers::Due};
use crate::domain::{
    Account, AccountId, Alarm, Deployment, Handler, HandlerName, Millis,
    handler::{Fired, Run, RunKey, Schedule, ScheduleView, Scope, VersionNumber},
    ports::CatalogueChange,
    timer::{SCHEDULE_PREFIX, ScheduleDue, schedule_event_key},
};
use crate::metrics;

/// How many accounts are told of a schedule at the same moment. The next ones follow
/// with the next look at the alarms, so that other alarms come in between.
const ACCOUNTS_AT_ONCE: usize = 64;
/// After how many ms the next ones follow.
const NEXT_ACCOUNTS_MS: Millis = 250;
/// How soon after a schedule came due an account may log in and still get it, in ms.
/// Longer than clients take to start and log in, and not so long that "good morning" comes
/// at noon.
const LOGIN_WITHIN_MS: Millis = 10 * 60 * 1_000;
/// How many accounts are read at a time.
const ACCOUNTS_READ: usize = 256;

/// The times of all schedules, as they are in the store.
#[derive(Debug, Default)]
pub struct Runs(Mutex<Known>);

/// The same, held by whoever changes them: from reading to writing.
#[derive(Debug, Default)]
pub struct Known(BTreeMap<RunKey, Run>);

/// What a change of a handler does to its schedules' times.
#[derive(Debug, Default)]
pub struct RunChange {
    begin: Vec<Run>,
    end: Vec<RunKey>,
}

impl Runs {
    /// Nobody else changes them, or what is deployed, meanwhile.
    pub async fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().await
    }
}

impl Known {
    /// What changes when the handler is so from now on, or none. What stays as it was
    /// keeps its times.
    pub fn change_to(
        &self,
        name: &HandlerName,
        handler: Option<&Handler>,
        now_ms: Millis,
    ) -> RunChange {
        let serving = handler.into_iter().flat_map(Handler::serving);
        let schedules = serving.flat_map(|version| &version.manifest.schedules);
        let mut wanted: BTreeMap<RunKey, &Schedule> = schedules
            .map(|it| ((name.clone(), it.name.clone(), it.timing()), it))
            .collect();
        let mut end = Vec::new();
        for key in self.0.keys().filter(|(handler, ..)| handler == name) {
            if wanted.remove(key).is_none() {
                end.push(key.clone());
            }
        }
        let begin = wanted.into_values();
        RunChange {
            begin: begin.map(|it| Run::begin(name, it, now_ms)).collect(),
            end,
        }
    }

    /// It is so from now on.
    pub fn apply(&mut self, change: RunChange) {
        for key in change.end {
            self.0.remove(&key);
        }
        for run in change.begin {
            self.0.insert(run.key(), run);
        }
    }

    fn due(&self, now_ms: Millis) -> Vec<(Run, Millis)> {
        let due = |run: &Run| run.next_ms.filter(|at| *at <= now_ms);
        let due = |run: &Run| due(run).map(|at| (run.clone(), at));
        self.0.values().filter_map(due).collect()
    }
}

impl RunChange {
    /// The same for the store.
    pub fn to_store(&self) -> Vec<CatalogueChange> {
        let end = self.end.iter().cloned().map(CatalogueChange::RemoveRun);
        let begin = self.begin.iter().cloned().map(CatalogueChange::PutRun);
        end.chain(begin).collect()
    }
}

impl Service {
    /// Reads the times of all schedules; those that have none begin now.
    pub(super) async fn load_runs(&self) -> Result<(), Error> {
        let mut runs = self.0.runs.lock().await;
        for run in self.0.store.runs().await? {
            runs.0.insert(run.key(), run);
        }
        let deployed = self.0.catalogue.now();
        let now_ms = self.0.store.now();
        for (name, entry) in &deployed.handlers {
            let change = runs.change_to(name, Some(&entry.handler), now_ms);
            let changes = change.to_store();
            if !changes.is_empty() {
                self.0.store.change_catalogue(changes).await?;
            }
            runs.apply(change);
        }
        Ok(())
    }

    /// Tells the accounts of every schedule that came due.
    pub(super) async fn run_schedules(&self) -> Result<(), Error> {
        let due = self.0.runs.lock().await.due(self.0.store.now());
        for (run, due_ms) in due {
            let deployed = self.0.catalogue.now().handlers.get(&run.handler).cloned();
            let schedule = deployed.and_then(|entry| {
                let mut schedules = entry
                    .handler
                    .serving()
                    .flat_map(|version| &version.manifest.schedules);
                schedules.find(|it| run.is_of(it)).cloned()
            });
            // Else it was taken away meanwhile.
            if let Some(schedule) = schedule {
                let has = |bot: &Deployment| {
                    bot.version
                        .manifest
                        .schedules
                        .iter()
                        .any(|it| run.is_of(it))
                };
                self.tell_all(&run.handler, &run.schedule, due_ms, has)
                    .await?;
                self.advance(&run, &schedule, due_ms).await?;
            }
        }
        Ok(())
    }

    /// Writes when a schedule that came due comes due next.
    async fn advance(&self, run: &Run, schedule: &Schedule, due_ms: Millis) -> Result<(), Error> {
        let mut runs = self.0.runs.lock().await;
        if !runs.0.contains_key(&run.key()) {
            return Ok(());
        }
        // What was missed since came due with this one.
        let now_ms = self.0.store.now();
        let run = Run {
            next_ms: schedule.next_after(now_ms.max(due_ms)),
            last_ms: Some(due_ms),
            told_ms: Some(now_ms),
            ..run.clone()
        };
        let change = CatalogueChange::PutRun(run.clone());
        self.0.store.change_catalogue(vec![change]).await?;
        runs.0.insert(run.key(), run);
        Ok(())
    }

    /// Sets an alarm for every account that is logged in and that this handler serves
    /// with a version that is wanted; gives how many.
    async fn tell_all(
        &self,
        handler: &HandlerName,
        schedule: &str,
        due_ms: Millis,
        wanted: impl Fn(&Deployment) -> bool,
    ) -> Result<usize, Error> {
        let mut told = 0;
        let mut after: Option<String> = None;
        let deployed = self.0.catalogue.now();
        let all = deployed.bound_to(handler).contains(&Scope::All);
        let listed = match all {
            true => BTreeSet::new(),
            false => deployed.accounts_bound_to(handler),
        };
        drop(deployed);
        let mut listed = listed.into_iter();
        loop {
            let (accounts, last) = match all {
                true => {
                    let after_this = after.as_deref();
                    let page = self.0.store.accounts(after_this, ACCOUNTS_READ).await?;
                    after = page.next;
                    (page.items, after.is_none())
                }
                false => {
                    let ids: Vec<_> = listed.by_ref().take(ACCOUNTS_READ).collect();
                    (self.known(&ids).await?, ids.is_empty())
                }
            };
            let online = accounts.into_iter().filter(|it| it.session.is_some());
            let served = online.map(|it| it.id).filter(|account| {
                let bot = self.deployment_of(account);
                bot.is_some_and(|bot| bot.handler == *handler && wanted(&bot))
            });
            told += self.tell(served, handler, schedule, due_ms, told).await?;
            if last {
                return Ok(told);
            }
        }
    }

    /// Those of these accounts that ever logged in.
    async fn known(&self, ids: &[AccountId]) -> Result<Vec<Account>, Error> {
        let mut known = Vec::with_capacity(ids.len());
        for id in ids {
            known.extend(self.0.store.account(id).await?);
        }
        Ok(known)
    }

    /// Sets an alarm for each of these; gives how many. So many were told before.
    async fn tell(
        &self,
        accounts: impl Iterator<Item = AccountId>,
        handler: &HandlerName,
        schedule: &str,
        due_ms: Millis,
        before: usize,
    ) -> Result<usize, Error> {
        let now_ms = self.0.store.now();
        let alarm = |(index, account): (usize, AccountId)| {
            let turn = (before + index) / ACCOUNTS_AT_ONCE;
            let due = ScheduleDue {
                account,
                handler: handler.clone(),
                schedule: schedule.to_owned(),
                due_ms,
            };
            (
                now_ms.saturating_add(turn as Millis * NEXT_ACCOUNTS_MS),
                Alarm::Schedule(due),
            )
        };
        let alarms: Vec<_> = accounts.enumerate().map(alarm).collect();
        let count = alarms.len();
        if count > 0 {
            self.0.store.dismiss(Vec::new(), alarms).await?;
        }
        Ok(count)
    }

    /// A schedule came due for an account: its alarm has rung.
    pub(super) async fn schedule_due(&self, due: &ScheduleDue) -> Result<(), Error> {
        let ScheduleDue {
            account,
            handler,
            schedule,
            due_ms,
        } = due;
        let mut turn = self.turn(account).await?;
        let bot = self
            .deployment_of(account)
            .filter(|bot| bot.handler == *handler);
        let found = bot
            .as_ref()
            .and_then(|bot| bot.version.manifest.schedule(schedule));
        let Some(found) = found else {
            tracing::info!(%account, %handler, schedule, "a schedule is dropped: it no longer is of the account's bot");
            return Ok(());
        };
        let account_now = turn.account.as_deref();
        if account_now.is_none_or(|account| account.session.is_none()) {
            // What it sent would wait for a login, and be out of date then.
            tracing::info!(%account, %handler, schedule, "a run of a schedule is left out: the account is not logged in");
            return Ok(());
        }
        if self.is_overtaken(handler, found, *due_ms).await {
            tracing::info!(%account, %handler, schedule, "a run of a schedule is left out: the next one is due");
            return Ok(());
        }
        let due = Due {
            account,
            handler,
            key: schedule_event_key(handler, schedule, *due_ms),
            due_ms: *due_ms,
            id: format!("{SCHEDULE_PREFIX}{schedule}"),
            payload: found.payload.clone(),
            also: Box::default(),
        };
        self.fire(&mut turn, due).await?;
        metrics::get().fired("schedule");
        Ok(())
    }

    /// Sets an alarm for each schedule that came due a moment ago for an account that is
    /// about to log in, unless it had that.
    pub(super) async fn wake_schedules(&self, account: &AccountId) -> Result<(), Error> {
        let Some(bot) = self.deployment_of(account) else {
            return Ok(());
        };
        let now_ms = self.0.store.now();
        let mut missed = Vec::new();
        {
            let runs = self.0.runs.lock().await;
            for schedule in &bot.version.manifest.schedules {
                let key = (
                    bot.handler.clone(),
                    schedule.name.clone(),
                    schedule.timing(),
                );
                let Some(run) = runs.0.get(&key) else {
                    continue;
                };
                // It may be that others are being told of it right now.
                let due_now = run.next_ms.filter(|at| *at <= now_ms);
                let now = due_now.map(|due_ms| (due_ms, now_ms));
                // What came due while the host was down came at its start.
                let last = |due_ms| (due_ms, run.told_ms.unwrap_or(due_ms));
                let came = now.or(run.last_ms.map(last));
                missed.extend(came.map(|came| (&schedule.name, came)));
            }
        }
        for (schedule, (due_ms, came_ms)) in missed {
            let is_late = now_ms >= came_ms.saturating_add(LOGIN_WITHIN_MS);
            let key = schedule_event_key(&bot.handler, schedule, due_ms);
            if !is_late && self.0.store.event(account, &key).await?.is_none() {
                let one = std::iter::once(account.clone());
                self.tell(one, &bot.handler, schedule, due_ms, 0).await?;
            }
        }
        Ok(())
    }

    /// Whether the schedule has come due again since: bots that take longer than its
    /// period are not called more and more often.
    async fn is_overtaken(&self, handler: &HandlerName, it: &Schedule, due_ms: Millis) -> bool {
        let key = (handler.clone(), it.name.clone(), it.timing());
        let last_ms = self
            .0
            .runs
            .lock()
            .await
            .0
            .get(&key)
            .and_then(|run| run.last_ms);
        last_ms.is_some_and(|last_ms| last_ms > due_ms)
    }

    /// The schedules of the versions that serve, with their times.
    pub async fn schedules(&self, name: &HandlerName) -> Result<Vec<ScheduleView>, Error> {
        let (handler, _) = self.handler(name)?;
        let runs = self.0.runs.lock().await;
        let view = |version: VersionNumber, schedule: &Schedule| {
            let key = (name.clone(), schedule.name.clone(), schedule.timing());
            let run = runs.0.get(&key);
            ScheduleView {
                schedule: schedule.clone(),
                version,
                next_ms: run.and_then(|run| run.next_ms),
                last_ms: run.and_then(|run| run.last_ms),
            }
        };
        let views = handler.serving().flat_map(|version| {
            let schedules = version.manifest.schedules.iter();
            schedules.map(|schedule| view(version.number, schedule))
        });
        Ok(views.collect())
    }

    /// Fires a schedule now, for one account or for all that have it. Its times stay as
    /// they are.
    pub async fn fire_schedule(
        &self,
        name: &HandlerName,
        schedule: &str,
        account: Option<AccountId>,
    ) -> Result<Fired, Error> {
        self.check_ready()?;
        let (handler, _) = self.handler(name)?;
        let mut serving = handler.serving();
        if !serving.any(|version| version.manifest.schedule(schedule).is_some()) {
            return Err(Error::not_found("schedule", schedule));
        }
        let has = |bot: &Deployment| bot.version.manifest.schedule(schedule).is_some();
        let now_ms = self.0.store.now();
        let accounts = match account {
            None => self.tell_all(name, schedule, now_ms, has).await?,
            Some(account) => {
                if self.account(&account).await?.session.is_none() {
                    return Err(Error::Conflict(format!("{account} is not logged in")));
                }
                let bot = self.deployment_of(&account);
                if bot.is_none_or(|bot| bot.handler != *name || !has(&bot)) {
                    return Err(Error::Conflict(format!(
                        "{name} does not serve {account} with a version that has this schedule"
                    )));
                }
                let one = std::iter::once(account);
                self.tell(one, name, schedule, now_ms, 0).await?
            }
        };
        Ok(Fired { accounts })
    }
}
