//! The embedded store: sled 0.34, one tree, one writer.

mod job;
mod pieces;
mod read;
mod stage;
mod sweep;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    fs::{self, File},
    io,
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use sled::{Db, IVec};
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
};

use self::{
    job::{Job, Waiter},
    read::Read,
    writer::Writer,
};
use super::{
    codec,
    time::{Clock, Time},
};
use crate::domain::{
    Account, AccountId, Alarm, AlarmKind, Bucket, Contact, ContactKind, EventKey, Failure,
    FailureId, FileRequest, HandlerName, Login, LoginId, Member, Millis, Pause, Recorded, Task,
    TaskId, TaskNumber, Timer, Usage, WaitingEvent,
    client::Wanted,
    handler::{ConfigEntries, ConfigScope, Failing, Run, Version},
    ports::{
        Catalogue, CatalogueChange, ClientChange, Commit, Committed, Enqueue, Enqueued, Epoch,
        EventRecord, LoginChange, LoginChanged, Page, Store, StoreError, TaskFilter,
    },
};

/// How many jobs may wait for the writer: four full batches, so that it never
/// runs dry. Whoever comes then waits for room.
const QUEUE_JOBS_MAX: usize = 1024;

/// How far the clock may be behind without a word, in ms: the mark is set a little
/// ahead.
const CLOCK_BEHIND_MAX_MS: u64 = 60_000;

/// How long to wait for the former owner of the files, which may be just ending.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// The store.
pub struct SledStore {
    /// None once closed, so that the files are free for the next one.
    db: ArcSwapOption<Db>,
    jobs: mpsc::Sender<Job>,
    /// Why nothing works any more, once that is so.
    ended: Arc<OnceLock<StoreError>>,
    time: Arc<Time>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Where the present pass of the sweep has come to.
    swept: Mutex<Option<IVec>>,
}

/// Opens the store in this directory, making it if need be. Blocks.
///
/// # Errors
/// Another process has it open, or the files can't be read or written.
pub fn open(directory: &Path, cache_bytes: u64, clock: Clock) -> Result<SledStore, StoreError> {
    let at = |what: &dyn std::fmt::Display| {
        StoreError::Failed(format!("{}: {what}", directory.display()))
    };
    make_private(directory).map_err(|error| at(&error))?;
    let db = open_files(directory, cache_bytes)?;
    // sled 0.34 keeps its log in this file, and this is what needs the fsync.
    let file = File::open(directory.join("db")).map_err(|error| at(&error))?;
    sync_directory(directory).map_err(|error| at(&error))?;
    start(db, Box::new(move || file.sync_data()), clock)
}

fn start(db: Db, fsync: writer::Fsync, clock: Clock) -> Result<SledStore, StoreError> {
    let mark: u64 = Read(&db)
        .record(codec::mark().as_bytes())?
        .unwrap_or_default();
    warn_of_clock(&clock, mark);
    let time = Arc::new(Time::new(clock, mark));
    let (jobs, queue) = mpsc::channel(QUEUE_JOBS_MAX);
    let ended = Arc::new(OnceLock::new());
    let writer = Writer {
        db: db.clone(),
        fsync,
        jobs: queue,
        ended: Arc::clone(&ended),
        time: Arc::clone(&time),
        mark,
        used: mark,
        last_batch: 0,
    };
    let no_thread = |error: io::Error| StoreError::Failed(format!("no thread to write: {error}"));
    let writer = thread::Builder::new()
        .name("store-writer".to_owned())
        .spawn(move || writer.run())
        .map_err(no_thread)?;
    Ok(SledStore {
        db: ArcSwapOption::from_pointee(db),
        jobs,
        ended,
        time,
        writer: Mutex::new(Some(writer)),
        swept: Mutex::default(),
    })
}

/// The store's time never goes back: a clock that was once far ahead stays so here.
fn warn_of_clock(clock: &Clock, mark: u64) {
    let behind_ms = (mark / 1000).saturating_sub(clock());
    if behind_ms > CLOCK_BEHIND_MAX_MS {
        tracing::warn!(
            behind_s = behind_ms / 1000,
            "the machine's clock is behind the last time that the store has written: the host \
             goes on from that time, so deadlines keep their length and times are ahead"
        );
    }
}

fn open_files(directory: &Path, cache_bytes: u64) -> Result<Db, StoreError> {
    let config = sled::Config::new()
        .path(directory)
        .cache_capacity(cache_bytes)
        .use_compression(false)
        // The writer flushes, and nobody is answered before.
        .flush_every_ms(None)
        .print_profile_on_drop(false);
    let patience_ends = Instant::now() + LOCK_PATIENCE;
    loop {
        match config.open() {
            Ok(db) => return Ok(db),
            Err(error) if !is_in_use(&error) => {
                let text = format!("{} can't be opened: {error}", directory.display());
                return Err(StoreError::Failed(text));
            }
            Err(_) if Instant::now() < patience_ends => thread::sleep(LOCK_PATIENCE / 20),
            Err(_) => {
                return Err(StoreError::Failed(format!(
                    "{} is in use by another process: end that one, or give this one \
                     another data directory",
                    directory.display()
                )));
            }
        }
    }
}

/// sled has no error of its own for this; a test holds it to these words.
fn is_in_use(error: &sled::Error) -> bool {
    let text = error.to_string();
    text.contains("could not acquire lock") && text.contains("WouldBlock")
}

/// The store has people's messages in it: nobody else on the machine may look.
fn make_private(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// New files survive a power cut only when their directory does, and sled syncs
/// neither that nor the file with its parameters.
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory.join("conf"))?.sync_all()?;
    File::open(directory)?.sync_all()?;
    match directory.parent() {
        Some(parent) if parent != Path::new("") => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

/// An error of sled's as ours.
fn failed(error: sled::Error) -> StoreError {
    StoreError::Failed(error.to_string())
}

/// How long closing may take.
const CLOSE_MAX: Duration = Duration::from_secs(10);

impl SledStore {
    fn db(&self) -> Result<Arc<Db>, StoreError> {
        match self.ended.get() {
            Some(error) => Err(error.clone()),
            None => self.db.load_full().ok_or(StoreError::Closed),
        }
    }

    fn read<T>(
        &self,
        read: impl FnOnce(Read<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        read(Read(&*self.db()?))
    }

    /// A read that may look at many records, away from the async workers.
    async fn scan<T: Send + 'static>(
        &self,
        read: impl FnOnce(Read<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let db = self.db()?;
        spawn_blocking(move || read(Read(&db)))
            .await
            .map_err(|error| StoreError::Failed(error.to_string()))?
    }

    /// Gives the writer a job and waits until it is done and durable. A job
    /// once taken is done even if nobody waits any more.
    async fn ask<T>(&self, job: impl FnOnce(Waiter<T>) -> Job) -> Result<T, StoreError> {
        if let Some(error) = self.ended.get() {
            return Err(error.clone());
        }
        let (waiter, answer) = oneshot::channel();
        if self.jobs.send(job(waiter)).await.is_err() {
            // Without a reason given it is closing, and lets nobody in.
            return Err(self.ended.get().cloned().unwrap_or(StoreError::Closed));
        }
        answer.await.unwrap_or_else(|_| {
            let gone = || StoreError::Failed("its writer is gone".to_owned());
            Err(self.ended.get().cloned().unwrap_or_else(gone))
        })
    }
}

#[async_trait]
impl Store for SledStore {
    fn now(&self) -> Millis {
        self.time.now()
    }

    fn reserve(&self, count: u32) -> TaskNumber {
        self.time.reserve(count)
    }

    async fn own(&self, account: &AccountId, take_over: bool) -> Result<Epoch, StoreError> {
        if take_over {
            let account = account.clone();
            return self.ask(|waiter| Job::TakeOver(account, waiter)).await;
        }
        let epoch = self.read(|read| read.record(codec::epoch(account).as_bytes()))?;
        Ok(epoch.unwrap_or_default())
    }

    async fn commit(
        &self,
        account: &AccountId,
        epoch: Epoch,
        commit: Box<Commit>,
    ) -> Result<Committed, StoreError> {
        let job = job::commit(&self.time, account, epoch, &commit)?;
        self.ask(|waiter| Job::Commit(job, waiter)).await
    }

    async fn enqueue(&self, account: &AccountId, request: Enqueue) -> Result<Enqueued, StoreError> {
        let job = job::enqueue(&self.time, account, &request)?;
        self.ask(|waiter| Job::Enqueue(job, waiter)).await
    }

    async fn event(
        &self,
        account: &AccountId,
        key: &EventKey,
    ) -> Result<Option<EventRecord>, StoreError> {
        self.read(|read| read.event(account, key))
    }

    async fn events(
        &self,
        account: &AccountId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<(EventKey, EventRecord)>, StoreError> {
        self.read(|read| read.events(account, after, limit))
    }

    async fn account(&self, id: &AccountId) -> Result<Option<Account>, StoreError> {
        self.read(|read| read.account(id))
    }

    async fn accounts(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Account>, StoreError> {
        self.read(|read| read.accounts(after, limit))
    }

    async fn account_count(&self) -> Result<u64, StoreError> {
        let count = self.read(|read| read.record(codec::account_count().as_bytes()))?;
        Ok(count.unwrap_or_default())
    }

    async fn task(&self, id: &TaskId) -> Result<Option<Task>, StoreError> {
        self.read(|read| read.task(id))
    }

    async fn tasks(
        &self,
        account: &AccountId,
        filter: TaskFilter,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError> {
        if filter.state.is_none() {
            return self.read(|read| read.tasks(account, filter, limit));
        }
        let account = account.clone();
        self.scan(move |read| read.tasks(&account, filter, limit))
            .await
    }

    async fn next_queued(&self, account: &AccountId) -> Result<Option<Task>, StoreError> {
        self.read(|read| read.next_queued(account))
    }

    async fn queued(&self, account: &AccountId, limit: usize) -> Result<usize, StoreError> {
        let account = account.clone();
        self.scan(move |read| read.queued(&account, limit)).await
    }

    async fn queued_of_all(&self, limit: usize) -> Result<usize, StoreError> {
        self.scan(move |read| read.queued_of_all(limit)).await
    }

    async fn key_value(&self, bucket: &Bucket, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|read| read.key_value(bucket, key))
    }

    async fn usage(&self, bucket: &Bucket) -> Result<Usage, StoreError> {
        if let Some(usage) = self.read(|read| read.usage(bucket))? {
            return Ok(usage);
        }
        // Nobody has written to it, or nobody since usage is written down.
        let prefix = codec::bucket(bucket);
        self.scan(move |read| read.measure(&prefix)).await
    }

    async fn keys(
        &self,
        bucket: &Bucket,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        self.read(|read| read.keys(bucket, after, limit))
    }

    async fn contact(&self, account: &AccountId, id: &str) -> Result<Option<Contact>, StoreError> {
        self.read(|read| read.contact(account, id))
    }

    async fn contacts(
        &self,
        account: &AccountId,
        kind: Option<ContactKind>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Contact>, StoreError> {
        if kind.is_none() {
            return self.read(|read| read.contacts(account, kind, after, limit));
        }
        let (account, after) = (account.clone(), after.map(str::to_owned));
        self.scan(move |read| read.contacts(&account, kind, after.as_deref(), limit))
            .await
    }

    async fn member(
        &self,
        account: &AccountId,
        group: &str,
        user: &str,
    ) -> Result<Option<Member>, StoreError> {
        self.read(|read| read.member(account, group, user))
    }

    async fn members(
        &self,
        account: &AccountId,
        group: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Member>, StoreError> {
        self.read(|read| read.members(account, group, after, limit))
    }

    async fn failures(
        &self,
        account: &AccountId,
        limit: usize,
    ) -> Result<Vec<Failure>, StoreError> {
        self.read(|read| read.failures(account, limit))
    }

    async fn failures_of(
        &self,
        handler: &HandlerName,
        before: Option<&FailureId>,
        limit: usize,
    ) -> Result<Vec<Failure>, StoreError> {
        self.read(|read| read.failures_of(handler, before, limit))
    }

    async fn failure(
        &self,
        handler: &HandlerName,
        id: &FailureId,
    ) -> Result<Option<Failure>, StoreError> {
        self.read(|read| read.failure(handler, id))
    }

    async fn pause(
        &self,
        account: &AccountId,
        conversation: &str,
    ) -> Result<Option<Pause>, StoreError> {
        self.read(|read| read.pause(account, conversation))
    }

    async fn pauses(
        &self,
        account: &AccountId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Pause>, StoreError> {
        self.read(|read| read.pauses(account, after, limit))
    }

    async fn failing(&self, account: &AccountId) -> Result<Option<Failing>, StoreError> {
        self.read(|read| read.failing(account))
    }

    async fn failings(
        &self,
        handler: Option<&HandlerName>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Failing>, StoreError> {
        self.read(|read| read.failings(handler, after, limit))
    }

    async fn waiting(
        &self,
        account: &AccountId,
        limit: usize,
    ) -> Result<Vec<WaitingEvent>, StoreError> {
        self.read(|read| read.waiting(account, limit))
    }

    async fn recorded(&self, account: &AccountId) -> Result<Vec<Recorded>, StoreError> {
        self.read(|read| read.recorded(account))
    }

    async fn timer(
        &self,
        account: &AccountId,
        handler: &HandlerName,
        id: &str,
    ) -> Result<Option<Timer>, StoreError> {
        self.read(|read| read.timer(account, handler, id))
    }

    async fn timers_of(
        &self,
        account: &AccountId,
        handler: &HandlerName,
        limit: usize,
    ) -> Result<Vec<Timer>, StoreError> {
        self.read(|read| read.timers_of(account, handler, limit))
    }

    async fn timers(
        &self,
        account: &AccountId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Timer>, StoreError> {
        self.read(|read| read.timers(account, after, limit))
    }

    async fn file_request(
        &self,
        account: &AccountId,
        file: &str,
    ) -> Result<Option<FileRequest>, StoreError> {
        self.read(|read| read.file_request(account, file))
    }

    async fn file_requests(
        &self,
        file: &str,
        limit: usize,
    ) -> Result<Vec<FileRequest>, StoreError> {
        self.read(|read| read.file_requests(file, limit))
    }

    async fn login(&self, id: &LoginId) -> Result<Option<Login>, StoreError> {
        self.read(|read| read.login(id))
    }

    async fn login_image(&self, id: &LoginId) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|read| read.login_image(id))
    }

    async fn logins(&self) -> Result<Vec<Login>, StoreError> {
        self.scan(|read| read.logins()).await
    }

    async fn change_login(&self, change: LoginChange) -> Result<LoginChanged, StoreError> {
        let job = job::login(&self.time, &change)?;
        self.ask(|waiter| Job::Login(job, waiter)).await
    }

    async fn alarms(
        &self,
        kind: AlarmKind,
        until_ms: Millis,
        limit: usize,
    ) -> Result<Vec<(Millis, Alarm)>, StoreError> {
        self.read(|read| read.alarms(kind, until_ms, limit))
    }

    async fn dismiss(
        &self,
        alarms: Vec<(Millis, Alarm)>,
        later: Vec<(Millis, Alarm)>,
    ) -> Result<(), StoreError> {
        let changes = job::dismiss(&self.time, &alarms, &later)?;
        self.ask(|waiter| Job::Change(changes, waiter)).await
    }

    async fn catalogue(&self) -> Result<Catalogue, StoreError> {
        self.read(|read| read.catalogue())
    }

    async fn versions(&self, handler: &HandlerName) -> Result<Vec<Version>, StoreError> {
        self.read(|read| read.versions(handler))
    }

    async fn config(
        &self,
        handler: &HandlerName,
        scope: &ConfigScope,
    ) -> Result<Option<ConfigEntries>, StoreError> {
        self.read(|read| read.config(handler, scope))
    }

    async fn configs(&self, handler: &HandlerName) -> Result<Vec<ConfigEntries>, StoreError> {
        self.read(|read| read.configs(handler))
    }

    async fn change_catalogue(&self, changes: Vec<CatalogueChange>) -> Result<(), StoreError> {
        let changes = job::catalogue(&self.time, &changes)?;
        self.ask(|waiter| Job::Change(changes, waiter)).await
    }

    async fn runs(&self) -> Result<Vec<Run>, StoreError> {
        self.read(|read| read.runs())
    }

    async fn clients(&self) -> Result<Vec<Wanted>, StoreError> {
        self.read(|read| read.clients())
    }

    async fn change_client(&self, change: ClientChange) -> Result<(), StoreError> {
        let changes = job::client(&self.time, &change)?;
        self.ask(|waiter| Job::Change(changes, waiter)).await
    }

    async fn sweep(&self, before_ms: Millis) -> Result<bool, StoreError> {
        let after = locked(&self.swept).take();
        let stretch = self
            .scan(move |Read(db)| sweep::look(db, after, before_ms))
            .await?;
        for records in stretch.over.chunks(sweep::FORGOTTEN_AT_ONCE) {
            let records = records.to_vec();
            self.ask(|waiter| Job::Forget(records, waiter)).await?;
        }
        let more = stretch.last.is_some();
        *locked(&self.swept) = stretch.last;
        Ok(more)
    }

    fn health(&self) -> Result<(), StoreError> {
        self.ended.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    async fn close(&self) -> Result<(), StoreError> {
        let result = self.ask(Job::Close).await;
        let db = self.db.swap(None);
        let writer = locked(&self.writer).take();
        let ending = spawn_blocking(move || {
            // Both may take a moment: sled ends when its last handle goes.
            drop(db);
            writer.map(JoinHandle::join)
        });
        // A writer that panicked has said so already. After an error of the disk
        // sled may wait for ever for what can't be written.
        if tokio::time::timeout(CLOSE_MAX, ending).await.is_err() {
            tracing::error!("the store does not close; what was answered is safe");
        }
        result
    }
}

impl std::fmt::Debug for SledStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SledStore")
            .field("ended", &self.ended.get())
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}

/// What is behind a lock. Nothing here can be left half changed by a panic.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
