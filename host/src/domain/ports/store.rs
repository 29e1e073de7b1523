//! Where everything lasting is kept.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::domain::{
    Account, AccountId, Alarm, AlarmKind, Binding, Bucket, ClientName, Contact, ContactKind,
    Digest, EventKey, Failure, FailureId, FileRequest, Handler, HandlerName, Labelled, Login,
    LoginId, Member, Millis, Pause, Recorded, Task, TaskId, TaskNumber, TaskState, Timer,
    TimerChange, Usage, WaitingEvent,
    client::Wanted,
    handler::{ConfigEntries, ConfigScope, Failing, Run, RunKey, Scope, Version, VersionNumber},
};

/// How many single changes one commit may hold. Larger reports are written in
/// several commits, the one that marks the event as seen last. Bounds how long
/// one account can keep the writer from the others.
pub const COMMIT_CHANGES_MAX: usize = 1024;
/// How many bytes the values of one commit may have together.
pub const COMMIT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long an event is remembered, so that it is answered, not run, when it
/// comes again; also how long ended tasks and failures can be looked up.
pub const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Who may write for an account. With several hosts each account has one owner
/// at a time, and a host that takes over raises the epoch: what the former
/// owner still sends is fenced off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Epoch(pub u64);

/// What the store remembers of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventRecord {
    /// When this host took it, in ms.
    pub at_ms: Millis,
    /// What became of it.
    pub outcome: EventOutcome,
    /// The tasks that answered it, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskNumber>,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventOutcome {
    /// The bot handled it.
    Handled,
    /// The bot failed: see the failure of the same key.
    Failed,
    /// No bot was asked: none is bound, or it does not want such events.
    Unhandled,
    /// The bot was not asked, since it pauses in this conversation.
    Paused,
    /// The bot was not asked, since it is paused for this account: it kept failing.
    PassedBy,
    /// The same, and the event waits until it works again.
    Waiting,
}

impl EventOutcome {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Handled => "handled",
            Self::Failed => "failed",
            Self::Unhandled => "unhandled",
            Self::Paused => "paused",
            Self::PassedBy => "passed-by",
            Self::Waiting => "waiting",
        }
    }
}

/// The event that a commit settles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What makes two deliveries the same.
    pub key: EventKey,
    /// What to remember.
    pub record: EventRecord,
    /// How long the key stands for this event. None for keys that are unique
    /// for good (a message's id); a span for keys made of the content, where
    /// the same may rightly happen again later.
    pub repeats_within: Option<Duration>,
}

/// A write to a guest's key-value store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValueWrite {
    /// Whose store, together with the account of the commit.
    pub handler: HandlerName,
    /// The key.
    pub key: String,
    /// The value from now on; none to delete.
    pub value: Option<Vec<u8>>,
}

/// What a commit does with the bucket that all accounts of a handler share. Others
/// write to it at the same time: so it says what the writes rest on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedChange {
    /// Which handler's.
    pub handler: HandlerName,
    /// What was read: each key with the digest of its value, or none where there
    /// was none. If any of it is another by now, nothing of the commit happens and
    /// the answer is [`Committed::SharedMoved`].
    pub read: Vec<(String, Option<Digest>)>,
    /// Keys with their values from now on; none to delete. One per key.
    pub writes: Vec<(String, Option<Vec<u8>>)>,
    /// What the bucket may come to. If it would grow beyond, the answer is the same.
    pub max: Usage,
}

/// A change of what is known about contacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContactChange {
    /// This contact is so from now on.
    Put(Contact),
    /// No such contact any more, of whatever kind.
    Remove(String),
    /// This member of the group is so from now on.
    PutMember(String, Member),
    /// No such member of the group any more.
    RemoveMember(String, String),
}

/// A change of a QR login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginChange {
    /// The login as it is from now on. The store takes it only if its revision is
    /// one above the stored login's, or 1 and there is none.
    pub login: Login,
    /// What becomes of its image.
    pub image: ImageChange,
    /// When to look at it again.
    pub alarm_ms: Option<Millis>,
}

/// A change of a QR login's image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ImageChange {
    /// It stays as it is.
    #[default]
    Keep,
    /// This is the image from now on.
    Put(Bytes),
    /// There is no image any more.
    Drop,
}

/// How a change of a QR login ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginChanged {
    /// It is durable.
    Ok,
    /// Somebody else changed the login meanwhile: read it and decide anew. Nothing
    /// has changed.
    Moved,
}

/// A change of what a bot is paused in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PauseChange {
    /// This pause is so from now on.
    Put(Pause),
    /// No pause in this conversation any more.
    Lift(String),
}

/// A change of how an account's handler fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailingChange {
    /// It is so from now on.
    Put(Box<Failing>),
    /// It does not fail any more.
    End,
}

/// A change of the events that wait for an account's handler.
#[derive(Debug, Clone, PartialEq)]
pub enum WaitingChange {
    /// This one waits from now on.
    Put(Box<WaitingEvent>),
    /// The one of this number waits no more.
    Remove(u64),
    /// The same, and this became of it, whatever was remembered of it before.
    Settle {
        /// Which.
        number: u64,
        /// The event's key.
        key: EventKey,
        /// What to remember of it.
        record: EventRecord,
    },
}

/// An event that is recorded in a ring: it replaces what was in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedAt {
    /// The place in the ring.
    pub place: u32,
    /// The event.
    pub recorded: Recorded,
}

/// What changes for one account in one atomic, durable step. Plain data: the
/// same commit can be sent again when its outcome is unknown. It is handed on in a
/// box: it has over a thousand bytes, and every future on its way would have them too.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Commit {
    /// The event that this settles. If the store has it already, nothing of the
    /// commit happens and the answer is [`Committed::Duplicate`].
    pub seen: Option<Seen>,
    /// Tasks made or changed, each as it is from now on.
    pub tasks: Vec<Task>,
    /// Writes to the guest's store.
    pub key_values: Vec<KeyValueWrite>,
    /// Writes to the bucket that the handler's accounts share, and what it read there.
    pub shared: Option<SharedChange>,
    /// Changes of contacts.
    pub contacts: Vec<ContactChange>,
    /// The account as it is from now on.
    pub account: Option<Account>,
    /// The failure of the call that handled the event.
    pub failure: Option<Failure>,
    /// The QR login that changes with it. If somebody else changed it meanwhile,
    /// nothing of the commit happens and the answer is [`Committed::LoginMoved`].
    pub login: Option<LoginChange>,
    /// Requests for files, each as it is from now on.
    pub files: Vec<FileRequest>,
    /// Changes of what the bot is paused in.
    pub pauses: Vec<PauseChange>,
    /// Changes of timers, in order.
    pub timers: Vec<TimerChange>,
    /// What to look at, and when.
    pub alarms: Vec<(Millis, Alarm)>,
    /// How the account's handler fails from now on.
    pub failing: Option<FailingChange>,
    /// Changes of the events that wait for it, in order.
    pub waiting: Vec<WaitingChange>,
    /// The event, to be replayed.
    pub recorded: Option<Box<RecordedAt>>,
}

impl Commit {
    /// Adds another commit's changes to these. What there can be one of only, the
    /// other's goes before.
    pub fn add(&mut self, other: Box<Self>) {
        self.seen = other.seen.or(self.seen.take());
        self.tasks.extend(other.tasks);
        self.key_values.extend(other.key_values);
        self.shared = other.shared.or(self.shared.take());
        self.contacts.extend(other.contacts);
        self.account = other.account.or(self.account.take());
        self.failure = other.failure.or(self.failure.take());
        self.login = other.login.or(self.login.take());
        self.files.extend(other.files);
        self.pauses.extend(other.pauses);
        self.timers.extend(other.timers);
        self.alarms.extend(other.alarms);
        self.failing = other.failing.or(self.failing.take());
        self.waiting.extend(other.waiting);
        self.recorded = other.recorded.or(self.recorded.take());
    }

    /// How many single changes it holds.
    pub fn changes(&self) -> usize {
        self.tasks.len()
            + self.key_values.len()
            + self.shared.as_ref().map_or(0, |it| it.writes.len())
            + self.contacts.len()
            + usize::from(self.seen.is_some())
            + usize::from(self.account.is_some())
            + usize::from(self.failure.is_some())
            + 2 * usize::from(self.login.is_some())
            + self.files.len()
            + self.pauses.len()
            + self.timers.iter().map(TimerChange::changes).sum::<usize>()
            + self.alarms.len()
            + usize::from(self.failing.is_some())
            + self
                .waiting
                .iter()
                .map(WaitingChange::changes)
                .sum::<usize>()
            + usize::from(self.recorded.is_some())
    }
}

impl WaitingChange {
    /// How many records it changes.
    pub fn changes(&self) -> usize {
        match self {
            Self::Put(_) | Self::Remove(_) => 1,
            Self::Settle { .. } => 2,
        }
    }
}

/// How a commit ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// It is durable.
    Ok,
    /// The event was settled before, like this. Nothing has changed.
    Duplicate(EventRecord),
    /// Another host owns the account now. Nothing has changed.
    Fenced,
    /// The commit's QR login is another by now. Nothing has changed.
    LoginMoved,
    /// What the commit read of the shared bucket is another by now, or there is no
    /// room left in it. Nothing has changed.
    SharedMoved,
}

/// Tasks asked for from outside of any event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enqueue {
    /// The caller's own name for this request: asked again, it is answered with
    /// the same tasks. Unique within the account.
    pub idempotency_key: Option<String>,
    /// Digest of what was asked for, to tell a repeat from a mix-up.
    pub request: Digest,
    /// The tasks, all of the same account.
    pub tasks: Vec<Task>,
    /// The files that they ask for.
    pub files: Vec<FileRequest>,
    /// What to look at, and when.
    pub alarms: Vec<(Millis, Alarm)>,
}

/// How an enqueue ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enqueued {
    /// The tasks are durable.
    Ok,
    /// The same was asked for before: these are its tasks.
    Duplicate(Vec<TaskNumber>),
    /// The key was used before for something else.
    KeyReused,
}

/// A change of what is deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogueChange {
    /// This handler is so from now on.
    PutHandler(Box<Handler>),
    /// No such handler any more.
    RemoveHandler(HandlerName),
    /// This version of the handler is kept.
    PutVersion(HandlerName, Box<Version>),
    /// This version of the handler is not kept any more.
    RemoveVersion(HandlerName, VersionNumber),
    /// These are the entries of the handler's configuration in their scope.
    PutConfig(Box<ConfigEntries>),
    /// The handler's configuration has no entries in this scope any more.
    RemoveConfig(HandlerName, ConfigScope),
    /// This binding is so from now on.
    PutBinding(Binding),
    /// No such binding any more.
    RemoveBinding(Scope),
    /// These are the account's labels from now on.
    PutLabels(Labelled),
    /// The account has no labels any more.
    RemoveLabels(AccountId),
    /// This schedule's times are so from now on.
    PutRun(Run),
    /// No such schedule any more.
    RemoveRun(RunKey),
}

/// A change of which clients are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientChange {
    /// This client is wanted so from now on.
    Put(Wanted),
    /// It is not wanted any more.
    Remove(ClientName),
}

/// What is deployed: all handlers, bindings and labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// Every handler, ordered by name.
    pub handlers: Vec<Handler>,
    /// Every binding.
    pub bindings: Vec<Binding>,
    /// Every account that has labels.
    pub labels: Vec<Labelled>,
}

/// Which tasks to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TaskFilter {
    /// Only those in this state.
    pub state: Option<TaskState>,
    /// Only those older than this one: the last of the previous page.
    pub before: Option<TaskNumber>,
}

/// One page of a listing that goes by text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; none at the end.
    pub next: Option<String>,
}

/// What became of a store's work.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The store can't do what it must. A commit's outcome is unknown: send the
    /// same again and get Ok or Duplicate.
    #[error("the store failed: {0}")]
    Failed(String),
    /// A record that this version can't read.
    #[error("a stored record can't be read: {0}")]
    Unreadable(String),
    /// The commit is larger than any may be. A fault of ours.
    #[error(
        "{changes} changes of {bytes} bytes are more than the {COMMIT_CHANGES_MAX} changes \
         of {COMMIT_BYTES_MAX} bytes that one commit may have"
    )]
    TooLarge {
        /// How many changes it has.
        changes: usize,
        /// How many bytes its values have together.
        bytes: usize,
    },
    /// The store is closed: the host is ending.
    #[error("the store is closed")]
    Closed,
}

/// Where everything lasting is kept. Every backend passes one suite of tests
/// (`store/suite.rs`), which is this contract in full.
///
/// At most one commit of an account is under way at a time: the caller's turn
/// sees to it. No commit spans two accounts.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug {
    /// The clock that decides. Never runs backwards, restarts included.
    fn now(&self) -> Millis;

    /// Numbers for `count` new tasks, the first of which is returned. Rise
    /// strictly over the life of the store, restarts included; unused ones are
    /// gaps.
    fn reserve(&self, count: u32) -> TaskNumber;

    /// The account's epoch. `take_over` raises it first, which fences off
    /// whoever had it.
    async fn own(&self, account: &AccountId, take_over: bool) -> Result<Epoch, StoreError>;

    /// Writes all of it or nothing; durable when it returns. An error means
    /// that the outcome is unknown.
    async fn commit(
        &self,
        account: &AccountId,
        epoch: Epoch,
        commit: Box<Commit>,
    ) -> Result<Committed, StoreError>;

    /// Adds queued tasks, from whoever: not fenced.
    async fn enqueue(&self, account: &AccountId, request: Enqueue) -> Result<Enqueued, StoreError>;

    /// What is remembered of an event. A key that stands for a span only is
    /// returned as long as its record is kept; the caller looks at `at_ms`.
    async fn event(
        &self,
        account: &AccountId,
        key: &EventKey,
    ) -> Result<Option<EventRecord>, StoreError>;

    /// Events of an account, ordered by key. At most `limit`.
    async fn events(
        &self,
        account: &AccountId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<(EventKey, EventRecord)>, StoreError>;

    /// One account.
    async fn account(&self, id: &AccountId) -> Result<Option<Account>, StoreError>;

    /// Accounts, ordered by id. At most `limit`.
    async fn accounts(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Account>, StoreError>;

    /// How many accounts there are.
    async fn account_count(&self) -> Result<u64, StoreError>;

    /// One task.
    async fn task(&self, id: &TaskId) -> Result<Option<Task>, StoreError>;

    /// Tasks of an account, newest first. At most `limit`.
    async fn tasks(
        &self,
        account: &AccountId,
        filter: TaskFilter,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError>;

    /// The queued task that is next, if any: the oldest, urgent ones before all
    /// others. Cheap when there is none.
    async fn next_queued(&self, account: &AccountId) -> Result<Option<Task>, StoreError>;

    /// How many tasks are queued, counted up to `limit`.
    async fn queued(&self, account: &AccountId, limit: usize) -> Result<usize, StoreError>;

    /// How many tasks are queued in all queues together, counted up to `limit`.
    async fn queued_of_all(&self, limit: usize) -> Result<usize, StoreError>;

    /// A value of a bucket.
    async fn key_value(&self, bucket: &Bucket, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// What a bucket comes to. Kept with every commit, so this is one read.
    async fn usage(&self, bucket: &Bucket) -> Result<Usage, StoreError>;

    /// Keys of a bucket in order, beginning after `after`. At most `limit`.
    async fn keys(
        &self,
        bucket: &Bucket,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError>;

    /// One contact.
    async fn contact(&self, account: &AccountId, id: &str) -> Result<Option<Contact>, StoreError>;

    /// Contacts ordered by id, of one kind or all. At most `limit`.
    async fn contacts(
        &self,
        account: &AccountId,
        kind: Option<ContactKind>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Contact>, StoreError>;

    /// One member of a group.
    async fn member(
        &self,
        account: &AccountId,
        group: &str,
        user: &str,
    ) -> Result<Option<Member>, StoreError>;

    /// Members of a group ordered by id. At most `limit`.
    async fn members(
        &self,
        account: &AccountId,
        group: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Member>, StoreError>;

    /// Failures of an account's bot, newest first. At most `limit`.
    async fn failures(&self, account: &AccountId, limit: usize)
    -> Result<Vec<Failure>, StoreError>;

    /// Failures of a handler for all of its accounts, newest first, beginning after this
    /// one. At most `limit`. Only those that have an id, and are kept for their account.
    async fn failures_of(
        &self,
        handler: &HandlerName,
        before: Option<&FailureId>,
        limit: usize,
    ) -> Result<Vec<Failure>, StoreError>;

    /// One failure of a handler.
    async fn failure(
        &self,
        handler: &HandlerName,
        id: &FailureId,
    ) -> Result<Option<Failure>, StoreError>;

    /// What pauses the account's bot in a conversation.
    async fn pause(
        &self,
        account: &AccountId,
        conversation: &str,
    ) -> Result<Option<Pause>, StoreError>;

    /// What the account's bot is paused in, by conversation. At most `limit`.
    async fn pauses(
        &self,
        account: &AccountId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Pause>, StoreError>;

    /// How an account's handler fails; none when it does not and nothing waits for it.
    async fn failing(&self, account: &AccountId) -> Result<Option<Failing>, StoreError>;

    /// The same of all accounts, or of those where it is this handler that fails, by
    /// account. At most `limit`.
    async fn failings(
        &self,
        handler: Option<&HandlerName>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Failing>, StoreError>;

    /// Events that wait for an account's handler, the oldest first. At most `limit`.
    async fn waiting(
        &self,
        account: &AccountId,
        limit: usize,
    ) -> Result<Vec<WaitingEvent>, StoreError>;

    /// The events of an account that can be replayed, the oldest first.
    async fn recorded(&self, account: &AccountId) -> Result<Vec<Recorded>, StoreError>;

    /// One timer.
    async fn timer(
        &self,
        account: &AccountId,
        handler: &HandlerName,
        id: &str,
    ) -> Result<Option<Timer>, StoreError>;

    /// The timers that a handler has set for an account, by name. At most `limit`.
    async fn timers_of(
        &self,
        account: &AccountId,
        handler: &HandlerName,
        limit: usize,
    ) -> Result<Vec<Timer>, StoreError>;

    /// All timers of an account, by [`Timer::name`]. At most `limit`.
    async fn timers(
        &self,
        account: &AccountId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Timer>, StoreError>;

    /// An account's request for a file.
    async fn file_request(
        &self,
        account: &AccountId,
        file: &str,
    ) -> Result<Option<FileRequest>, StoreError>;

    /// The requests of all accounts for files that their clients call so: an
    /// upload does not say whose it is. At most `limit`.
    async fn file_requests(&self, file: &str, limit: usize)
    -> Result<Vec<FileRequest>, StoreError>;

    /// One QR login.
    async fn login(&self, id: &LoginId) -> Result<Option<Login>, StoreError>;

    /// The image of a QR login, as long as it waits to be scanned.
    async fn login_image(&self, id: &LoginId) -> Result<Option<Vec<u8>>, StoreError>;

    /// All QR logins that are kept, in any order. Ended ones are swept.
    async fn logins(&self) -> Result<Vec<Login>, StoreError>;

    /// Changes a QR login apart from any account; durable when it returns.
    async fn change_login(&self, change: LoginChange) -> Result<LoginChanged, StoreError>;

    /// The alarms of one kind that have to be looked at by `until_ms`, the earliest
    /// first. At most `limit`.
    async fn alarms(
        &self,
        kind: AlarmKind,
        until_ms: Millis,
        limit: usize,
    ) -> Result<Vec<(Millis, Alarm)>, StoreError>;

    /// Removes alarms that were answered, and sets others that are to come later.
    /// One that comes twice is no harm, so this is durable only some time later.
    async fn dismiss(
        &self,
        alarms: Vec<(Millis, Alarm)>,
        later: Vec<(Millis, Alarm)>,
    ) -> Result<(), StoreError>;

    /// What is deployed.
    async fn catalogue(&self) -> Result<Catalogue, StoreError>;

    /// The versions of a handler that are kept, newest first.
    async fn versions(&self, handler: &HandlerName) -> Result<Vec<Version>, StoreError>;

    /// The entries of a handler's configuration in one scope.
    async fn config(
        &self,
        handler: &HandlerName,
        scope: &ConfigScope,
    ) -> Result<Option<ConfigEntries>, StoreError>;

    /// The entries of a handler's configuration in all scopes, ordered by scope.
    async fn configs(&self, handler: &HandlerName) -> Result<Vec<ConfigEntries>, StoreError>;

    /// Changes what is deployed, all of it or nothing; durable when it returns.
    async fn change_catalogue(&self, changes: Vec<CatalogueChange>) -> Result<(), StoreError>;

    /// The times of all schedules.
    async fn runs(&self) -> Result<Vec<Run>, StoreError>;

    /// All clients that are wanted, ordered by name.
    async fn clients(&self) -> Result<Vec<Wanted>, StoreError>;

    /// Changes which clients are wanted; durable when it returns.
    async fn change_client(&self, change: ClientChange) -> Result<(), StoreError>;

    /// Forgets events, recorded ones too, ended tasks, failures, idempotency keys, pauses that are
    /// over, and ended logins and requests for files older than
    /// `before_ms`, a bounded number of them at a time; true when there may be
    /// more. Meant for a slow background task.
    async fn sweep(&self, before_ms: Millis) -> Result<bool, StoreError>;

    /// Whether the store still works: an error says why it does not, for good.
    fn health(&self) -> Result<(), StoreError>;

    /// Waits for what is under way and closes. Later calls fail with
    /// [`StoreError::Closed`].
    async fn close(&self) -> Result<(), StoreError>;
}
