//! What the writer is asked to do. Jobs are encoded and measured by whoever
//! asks, so that the one writer has only to decide and to write.

use sled::IVec;
use tokio::sync::oneshot;

use super::pieces;
use crate::{
    domain::{
        Account, AccountId, Alarm, Bucket, Digest, Failure, FailureId, FileRequest, HandlerName,
        Millis, Task, TaskState, TimerChange, Usage,
        ports::{
            COMMIT_BYTES_MAX, COMMIT_CHANGES_MAX, CatalogueChange, ClientChange, Commit, Committed,
            ContactChange, Enqueue, Enqueued, Epoch, FailingChange, ImageChange, KeyValueWrite,
            LoginChange, LoginChanged, PauseChange, Seen, SharedChange, StoreError, WaitingChange,
        },
    },
    store::{
        codec::{self, RequestRecord},
        time::Time,
    },
};

/// The longest key, in bytes: what keeps pages small enough for sled to write
/// them to its log. Names are bounded where they come in, well below this.
const KEY_MAX_BYTES: usize = 4 * 1024;

/// Whoever waits for a job.
pub type Waiter<T> = oneshot::Sender<Result<T, StoreError>>;

/// One thing to do.
#[derive(Debug)]
pub enum Job {
    /// Settle a commit.
    Commit(CommitJob, Waiter<Committed>),
    /// Add tasks.
    Enqueue(EnqueueJob, Waiter<Enqueued>),
    /// Raise an account's epoch and return it.
    TakeOver(AccountId, Waiter<Epoch>),
    /// Change a login.
    Login(LoginJob, Waiter<LoginChanged>),
    /// Make these changes, however things stand.
    Change(Changes, Waiter<()>),
    /// Remove these records if they are still as they were.
    Forget(Vec<(IVec, IVec)>, Waiter<()>),
    /// Do what is queued, and end.
    Close(Waiter<()>),
}

impl Job {
    /// How many changes it may make: what bounds a batch.
    pub fn changes(&self) -> usize {
        match self {
            // What it rests on is read again: that takes the writer's time as well.
            Self::Commit(job, _) => {
                let reads = job.shared.as_ref().map_or(0, |step| step.read.len());
                job.changes.list.len() + reads + 1
            }
            Self::Enqueue(job, _) => job.changes.list.len() + 1,
            Self::Login(job, _) => job.changes.list.len(),
            Self::Change(changes, _) => changes.list.len(),
            Self::Forget(records, _) => records.len(),
            Self::TakeOver(..) | Self::Close(_) => 1,
        }
    }

    /// Answers with an error instead of doing it. Nobody may be waiting any
    /// more, which is no fault.
    pub fn refuse(self, error: StoreError) {
        let _ = match self {
            Self::Commit(_, waiter) => waiter.send(Err(error)).is_ok(),
            Self::Enqueue(_, waiter) => waiter.send(Err(error)).is_ok(),
            Self::TakeOver(_, waiter) => waiter.send(Err(error)).is_ok(),
            Self::Login(_, waiter) => waiter.send(Err(error)).is_ok(),
            Self::Change(_, waiter) | Self::Forget(_, waiter) | Self::Close(waiter) => {
                waiter.send(Err(error)).is_ok()
            }
        };
    }
}

/// A commit, encoded.
#[derive(Debug)]
pub struct CommitJob {
    /// Whose.
    pub account: AccountId,
    /// Who commits.
    pub epoch: Epoch,
    /// The event it settles.
    pub seen: Option<SeenJob>,
    /// The login that changes with it.
    pub login: Option<LoginStep>,
    /// What it rests on in the shared bucket.
    pub shared: Option<SharedStep>,
    /// The rest.
    pub changes: Changes,
}

/// The event that a commit settles, encoded.
#[derive(Debug)]
pub struct SeenJob {
    /// Under which key.
    pub key: IVec,
    /// What to write there.
    pub value: IVec,
    /// When it happened.
    pub at_ms: u64,
    /// How long an earlier record stands; none for good.
    pub repeats_within_ms: Option<u64>,
}

/// The step that a login takes: only from the revision before.
#[derive(Debug)]
pub struct LoginStep {
    /// The login's key.
    pub key: IVec,
    /// The revision it reaches.
    pub revision: u64,
}

/// What a commit rests on in the bucket that its handler's accounts share.
#[derive(Debug)]
pub struct SharedStep {
    /// The bucket.
    pub place: BucketPlace,
    /// What was read: the digests of values under their keys, none where there was
    /// none.
    pub read: Vec<(IVec, Option<Digest>)>,
    /// What the bucket may come to.
    pub max: Usage,
}

/// Where a bucket lies.
#[derive(Debug, Clone)]
pub struct BucketPlace {
    /// What all its keys begin with.
    pub prefix: codec::Key,
    /// Where is written down what it comes to.
    pub usage: IVec,
}

impl BucketPlace {
    fn of(bucket: &Bucket) -> Self {
        Self {
            prefix: codec::bucket(bucket),
            usage: codec::usage(bucket).into_bytes().into(),
        }
    }
}

/// A change of a login, encoded.
#[derive(Debug)]
pub struct LoginJob {
    /// What has to hold.
    pub step: LoginStep,
    /// What happens then.
    pub changes: Changes,
}

/// Tasks to add, encoded.
#[derive(Debug)]
pub struct EnqueueJob {
    /// Where the answer to this request is kept, and the answer.
    pub request: Option<(IVec, IVec)>,
    /// What tells a repeat from a mix-up.
    pub digest: Digest,
    /// The tasks.
    pub changes: Changes,
}

/// One change of one record.
#[derive(Debug)]
pub enum Change {
    /// This record is so from now on.
    Put(IVec, IVec),
    /// No such record any more.
    Remove(IVec),
    /// A key never used before: nothing to look for.
    New(IVec, IVec),
    /// One of a bucket's: its key, and how long what is written there is, without its
    /// version; none where it goes.
    KeyValue {
        /// The bucket.
        place: BucketPlace,
        /// The guest's key.
        key: IVec,
        /// What is written, and the length of the value in it.
        value: Option<(IVec, usize)>,
    },
    /// A task, its place in the queue, and whether it is there from now on.
    Task {
        /// The task's key.
        key: IVec,
        /// The task.
        value: IVec,
        /// Its place in the queue.
        place: IVec,
        /// Whether it is queued.
        queued: bool,
    },
    /// An account, which may be new.
    Account(IVec, IVec),
    /// One more failure of the commit's account, and whose else it is.
    Failure(IVec, Option<HandlerFailure>),
}

/// A failure as it is found by its handler. Where it is the writer knows.
#[derive(Debug)]
pub struct HandlerFailure {
    /// The handler.
    pub handler: HandlerName,
    /// The failure's name.
    pub id: FailureId,
    /// For which account it is shown.
    pub account: Option<AccountId>,
    /// When it happened, in ms.
    pub at_ms: Millis,
}

impl HandlerFailure {
    fn of(failure: &Failure) -> Option<Self> {
        Some(Self {
            handler: failure.handler.clone(),
            id: failure.id.clone()?,
            account: failure.account.clone(),
            at_ms: failure.at_ms,
        })
    }
}

/// Encoded changes, with what the writer must know of them as a whole.
#[derive(Debug, Default)]
pub struct Changes {
    /// In order.
    pub list: Vec<Change>,
    /// The greatest number in use by them, which the mark has to reach.
    pub top: u64,
}

// ---------------------------------------------------------------- encoding

/// Encodes one job. Measures as it goes; [`Encoder::finish`] refuses what is
/// too large.
struct Encoder<'a> {
    time: &'a Time,
    changes: Changes,
    buffer: Vec<u8>,
    bytes: usize,
    longest_key: usize,
}

impl<'a> Encoder<'a> {
    fn new(time: &'a Time) -> Self {
        Self {
            time,
            changes: Changes::default(),
            // Holds nearly every record; grows for the few larger ones.
            buffer: Vec::with_capacity(512),
            bytes: 0,
            longest_key: 0,
        }
    }

    fn record<T: serde::Serialize>(&mut self, record: &T) -> Result<IVec, StoreError> {
        codec::encode(&mut self.buffer, record)?;
        Ok(self.take())
    }

    fn raw(&mut self, value: &[u8]) -> IVec {
        codec::encode_raw(&mut self.buffer, value);
        self.take()
    }

    /// What is in the buffer as a value; in pieces when it is large.
    fn take(&mut self) -> IVec {
        self.bytes += self.buffer.len();
        if self.buffer.len() <= pieces::PIECE_BYTES {
            return IVec::from(self.buffer.as_slice());
        }
        let id = self.time.reserve(1).0;
        self.changes.top = self.changes.top.max(id);
        let (head, pieces) = pieces::split(id, &self.buffer);
        let new = pieces.map(|(key, piece)| Change::New(key, piece));
        self.changes.list.extend(new);
        head
    }

    fn push(&mut self, change: Change) {
        self.changes.list.push(change);
    }

    fn task(&mut self, account: &AccountId, task: &Task) -> Result<(), StoreError> {
        if task.id.account != *account {
            let text = format!("the task {} is not of the account {account}", task.id);
            return Err(StoreError::Failed(text));
        }
        let number = task.id.number;
        self.changes.top = self.changes.top.max(number.0);
        let value = self.record(task)?;
        self.push(Change::Task {
            key: codec::task(account, number).into_bytes().into(),
            value,
            place: codec::queued(account, task.is_urgent(), number)
                .into_bytes()
                .into(),
            queued: task.state == TaskState::Queued,
        });
        Ok(())
    }

    fn key_value(&mut self, account: &AccountId, write: &KeyValueWrite) {
        let place = BucketPlace::of(&Bucket::of(account, &write.handler));
        self.in_bucket(place, &write.key, write.value.as_deref());
    }

    fn in_bucket(&mut self, place: BucketPlace, key: &str, value: Option<&[u8]>) {
        let value = value.map(|value| (self.raw(value), value.len()));
        let key = place.prefix.clone().end(key).into_bytes().into();
        self.push(Change::KeyValue { place, key, value });
    }

    /// The writes to a shared bucket, and what they rest on.
    fn shared(&mut self, change: &SharedChange) -> SharedStep {
        let place = BucketPlace::of(&Bucket::shared(&change.handler));
        for (key, value) in &change.writes {
            self.in_bucket(place.clone(), key, value.as_deref());
        }
        let key = |key: &str| place.prefix.clone().end(key).into_bytes().into();
        let read = change.read.iter().map(|(read, was)| (key(read), *was));
        SharedStep {
            read: read.collect(),
            max: change.max,
            place,
        }
    }

    fn contact(&mut self, account: &AccountId, change: &ContactChange) -> Result<(), StoreError> {
        let (key, value) = match change {
            ContactChange::Put(contact) => (
                codec::contact(account, contact.id()),
                Some(self.record(contact)?),
            ),
            ContactChange::Remove(id) => (codec::contact(account, id), None),
            ContactChange::PutMember(group, member) => (
                codec::members(account, group).end(&member.user.id),
                Some(self.record(member)?),
            ),
            ContactChange::RemoveMember(group, user) => {
                (codec::members(account, group).end(user), None)
            }
        };
        self.put_or_remove(key, value);
        Ok(())
    }

    fn account(&mut self, account: &Account) -> Result<(), StoreError> {
        let value = self.record(account)?;
        let key = codec::account(&account.id).into_bytes().into();
        self.push(Change::Account(key, value));
        Ok(())
    }

    /// A login with its image and its alarm, and the step that it is.
    fn login(&mut self, change: &LoginChange) -> Result<LoginStep, StoreError> {
        let login = &change.login;
        let key = codec::login(&login.id);
        let value = self.record(login)?;
        self.put_or_remove(key.clone(), Some(value));
        match &change.image {
            ImageChange::Keep => {}
            ImageChange::Put(bytes) => {
                let value = self.raw(bytes);
                self.put_or_remove(codec::login_image(&login.id), Some(value));
            }
            ImageChange::Drop => self.put_or_remove(codec::login_image(&login.id), None),
        }
        if let Some(at_ms) = change.alarm_ms {
            self.alarm(at_ms, &Alarm::Login(login.id.clone()))?;
        }
        Ok(LoginStep {
            key: key.into_bytes().into(),
            revision: login.revision,
        })
    }

    fn file(&mut self, account: &AccountId, request: &FileRequest) -> Result<(), StoreError> {
        if request.account != *account {
            let text = format!(
                "the request for a file is of the account {}, not of {account}",
                request.account
            );
            return Err(StoreError::Failed(text));
        }
        let value = self.record(request)?;
        self.put_or_remove(codec::file(account, &request.file), Some(value));
        Ok(())
    }

    fn pause(&mut self, account: &AccountId, change: &PauseChange) -> Result<(), StoreError> {
        let (conversation, value) = match change {
            PauseChange::Put(pause) => (&pause.conversation, Some(self.record(pause)?)),
            PauseChange::Lift(conversation) => (conversation, None),
        };
        self.put_or_remove(codec::pause(account, conversation), value);
        Ok(())
    }

    fn failing(&mut self, account: &AccountId, change: &FailingChange) -> Result<(), StoreError> {
        let value = match change {
            FailingChange::Put(failing) => Some(self.record(failing)?),
            FailingChange::End => None,
        };
        self.put_or_remove(codec::failing(account), value);
        Ok(())
    }

    fn waiting(&mut self, account: &AccountId, change: &WaitingChange) -> Result<(), StoreError> {
        match change {
            WaitingChange::Put(waiting) => {
                // No later one may get a number below it.
                self.changes.top = self.changes.top.max(waiting.number);
                let value = self.record(waiting)?;
                self.put_or_remove(codec::waiting(account, waiting.number), Some(value));
            }
            WaitingChange::Remove(number) => {
                self.put_or_remove(codec::waiting(account, *number), None);
            }
            WaitingChange::Settle {
                number,
                key,
                record,
            } => {
                self.put_or_remove(codec::waiting(account, *number), None);
                let value = self.record(record)?;
                self.put_or_remove(codec::event(account, key), Some(value));
            }
        }
        Ok(())
    }

    /// A timer, and with it the alarm that wakes the host.
    fn timer(&mut self, account: &AccountId, change: &TimerChange) -> Result<(), StoreError> {
        let (handler, id) = match change {
            TimerChange::Put { timer, .. } => (&timer.handler, &timer.id),
            TimerChange::Remove { handler, id, .. } => (handler, id),
        };
        let key = codec::timer(account, handler, id);
        let alarm = Alarm::Timer(account.clone(), handler.clone(), id.clone());
        match change {
            TimerChange::Put {
                timer,
                instead_of_ms,
            } => {
                let value = self.record(timer)?;
                self.put_or_remove(key, Some(value));
                if let Some(former_ms) = instead_of_ms {
                    self.put_or_remove(codec::alarm(*former_ms, &alarm), None);
                }
                self.alarm(timer.due_ms, &alarm)
            }
            TimerChange::Remove { due_ms, .. } => {
                self.put_or_remove(key, None);
                self.put_or_remove(codec::alarm(*due_ms, &alarm), None);
                Ok(())
            }
        }
    }

    fn alarm(&mut self, at_ms: Millis, alarm: &Alarm) -> Result<(), StoreError> {
        let value = self.record(alarm)?;
        self.put_or_remove(codec::alarm(at_ms, alarm), Some(value));
        Ok(())
    }

    fn put_or_remove(&mut self, key: codec::Key, value: Option<IVec>) {
        let key = IVec::from(key.into_bytes());
        self.longest_key = self.longest_key.max(key.len());
        self.push(match value {
            Some(value) => Change::Put(key, value),
            None => Change::Remove(key),
        });
    }

    fn finish(self, changes: usize) -> Result<Changes, StoreError> {
        let bytes = self.bytes.max(self.longest_key);
        let fits = changes <= COMMIT_CHANGES_MAX && bytes <= COMMIT_BYTES_MAX;
        if !fits || self.longest_key > KEY_MAX_BYTES {
            return Err(StoreError::TooLarge { changes, bytes });
        }
        Ok(self.changes)
    }
}

/// Encodes a commit.
pub fn commit(
    time: &Time,
    account: &AccountId,
    epoch: Epoch,
    commit: &Commit,
) -> Result<CommitJob, StoreError> {
    let mut to = Encoder::new(time);
    let seen = match &commit.seen {
        Some(seen) => Some(encode_seen(&mut to, account, seen)?),
        None => None,
    };
    let login = match &commit.login {
        Some(change) => Some(to.login(change)?),
        None => None,
    };
    let shared = commit.shared.as_ref().map(|change| to.shared(change));
    encode_changes(&mut to, account, commit)?;
    encode_asked(
        &mut to,
        account,
        &commit.tasks,
        &commit.files,
        &commit.alarms,
    )?;
    Ok(CommitJob {
        account: account.clone(),
        epoch,
        seen,
        login,
        shared,
        changes: to.finish(commit.changes())?,
    })
}

/// What only commits change.
fn encode_changes(
    to: &mut Encoder<'_>,
    account: &AccountId,
    commit: &Commit,
) -> Result<(), StoreError> {
    for write in &commit.key_values {
        to.key_value(account, write);
    }
    for change in &commit.contacts {
        to.contact(account, change)?;
    }
    for change in &commit.pauses {
        to.pause(account, change)?;
    }
    for change in &commit.timers {
        to.timer(account, change)?;
    }
    if let Some(change) = &commit.failing {
        to.failing(account, change)?;
    }
    for change in &commit.waiting {
        to.waiting(account, change)?;
    }
    if let Some(at) = &commit.recorded {
        let value = to.record(&at.recorded)?;
        to.put_or_remove(codec::recorded(account, at.place), Some(value));
    }
    if let Some(account) = &commit.account {
        to.account(account)?;
    }
    if let Some(failure) = &commit.failure {
        let value = to.record(failure)?;
        to.push(Change::Failure(value, HandlerFailure::of(failure)));
    }
    Ok(())
}

fn encode_seen(
    to: &mut Encoder<'_>,
    account: &AccountId,
    seen: &Seen,
) -> Result<SeenJob, StoreError> {
    Ok(SeenJob {
        key: codec::event(account, &seen.key).into_bytes().into(),
        value: to.record(&seen.record)?,
        at_ms: seen.record.at_ms,
        repeats_within_ms: seen
            .repeats_within
            .map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
    })
}

/// What commits and requests have in common.
fn encode_asked(
    to: &mut Encoder<'_>,
    account: &AccountId,
    tasks: &[Task],
    files: &[FileRequest],
    alarms: &[(Millis, Alarm)],
) -> Result<(), StoreError> {
    for task in tasks {
        to.task(account, task)?;
    }
    for file in files {
        to.file(account, file)?;
    }
    for (at_ms, alarm) in alarms {
        to.alarm(*at_ms, alarm)?;
    }
    Ok(())
}

/// Encodes a change of a login.
pub fn login(time: &Time, change: &LoginChange) -> Result<LoginJob, StoreError> {
    let mut to = Encoder::new(time);
    let step = to.login(change)?;
    // The record and its image.
    let changes = 2 + usize::from(change.alarm_ms.is_some());
    Ok(LoginJob {
        step,
        changes: to.finish(changes)?,
    })
}

/// Encodes alarms to remove, and others to set.
pub fn dismiss(
    time: &Time,
    alarms: &[(Millis, Alarm)],
    later: &[(Millis, Alarm)],
) -> Result<Changes, StoreError> {
    let mut to = Encoder::new(time);
    for (at_ms, alarm) in alarms {
        to.put_or_remove(codec::alarm(*at_ms, alarm), None);
    }
    for (at_ms, alarm) in later {
        to.alarm(*at_ms, alarm)?;
    }
    to.finish(alarms.len() + later.len())
}

/// Encodes tasks to add.
pub fn enqueue(
    time: &Time,
    account: &AccountId,
    request: &Enqueue,
) -> Result<EnqueueJob, StoreError> {
    let mut to = Encoder::new(time);
    encode_asked(
        &mut to,
        account,
        &request.tasks,
        &request.files,
        &request.alarms,
    )?;
    let answer = match &request.idempotency_key {
        Some(key) => {
            let record = RequestRecord {
                at_ms: time.now(),
                request: request.request,
                tasks: request.tasks.iter().map(|task| task.id.number).collect(),
            };
            let key = codec::request(account, key).into_bytes().into();
            Some((key, to.record(&record)?))
        }
        None => None,
    };
    let changes = request.tasks.len()
        + request.files.len()
        + request.alarms.len()
        + usize::from(answer.is_some());
    Ok(EnqueueJob {
        request: answer,
        digest: request.request,
        changes: to.finish(changes)?,
    })
}

/// Encodes a change of which clients are wanted.
pub fn client(time: &Time, change: &ClientChange) -> Result<Changes, StoreError> {
    let mut to = Encoder::new(time);
    let (key, value) = match change {
        ClientChange::Put(wanted) => (codec::client(&wanted.name), Some(to.record(wanted)?)),
        ClientChange::Remove(name) => (codec::client(name), None),
    };
    to.put_or_remove(key, value);
    to.finish(1)
}

/// Encodes changes of what is deployed.
pub fn catalogue(time: &Time, changes: &[CatalogueChange]) -> Result<Changes, StoreError> {
    let mut to = Encoder::new(time);
    for change in changes {
        let (key, value) = match change {
            CatalogueChange::PutHandler(handler) => {
                (codec::handler(&handler.name), Some(to.record(handler)?))
            }
            CatalogueChange::RemoveHandler(name) => (codec::handler(name), None),
            CatalogueChange::PutVersion(name, version) => (
                codec::version(name, version.number),
                Some(to.record(version)?),
            ),
            CatalogueChange::RemoveVersion(name, number) => (codec::version(name, *number), None),
            CatalogueChange::PutConfig(config) => (
                codec::config(&config.handler, &config.scope),
                Some(to.record(config)?),
            ),
            CatalogueChange::RemoveConfig(name, scope) => (codec::config(name, scope), None),
            CatalogueChange::PutBinding(binding) => {
                (codec::binding(&binding.account), Some(to.record(binding)?))
            }
            CatalogueChange::RemoveBinding(scope) => (codec::binding(scope), None),
            CatalogueChange::PutLabels(labelled) => {
                (codec::labels(&labelled.account), Some(to.record(labelled)?))
            }
            CatalogueChange::RemoveLabels(account) => (codec::labels(account), None),
            CatalogueChange::PutRun(run) => (codec::run(&run.key()), Some(to.record(run)?)),
            CatalogueChange::RemoveRun(key) => (codec::run(key), None),
        };
        to.put_or_remove(key, value);
    }
    to.finish(changes.len())
}
