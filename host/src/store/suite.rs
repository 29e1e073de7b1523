//! The contract of [`Store`], run against every backend: in memory, embedded,
//! and embedded with the store closed and opened again between writing and
//! reading.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;

use super::{
    memory::MemoryStore,
    sled::{self, SledStore},
    time::Clock,
};
use crate::domain::{
    Account, AccountId, Action, Alarm, AlarmKind, Binding, Bucket, ClientKind, Contact,
    ContactKind, Digest, EventKey, Failure, FailureId, FailureKind, FileRequest, Group, Handler,
    HandlerName, Happening, KeptEvent, Labelled, Login, LoginId, Member, Millis, Pause, Recorded,
    RecordedEvent, Task, TaskId, TaskNumber, TaskState, Timer, TimerChange, Usage, User,
    WaitingEvent,
    client::{Over, Wanted},
    handler::{
        ConfigEntries, ConfigScope, Failing, LimitsInForce, Run, Scope, Sealed, Used, Version,
        VersionNumber, Waits,
    },
    ports::{
        COMMIT_BYTES_MAX, COMMIT_CHANGES_MAX, CatalogueChange, ClientChange, Commit, Committed,
        ContactChange, Enqueue, Enqueued, Epoch, EventOutcome, EventRecord, FailingChange,
        ImageChange, KeyValueWrite, LoginChange, LoginChanged, PauseChange, RecordedAt, Seen,
        SharedChange, Store, StoreError, TaskFilter, WaitingChange,
    },
    record::RecordPolicy,
    task::Origin,
};

// ---------------------------------------------------------------- fixtures

/// What the tests run on.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Memory,
    Sled,
    SledReopened,
}

/// A store with a clock that stands still until it is set.
pub struct Fixture {
    pub store: Arc<dyn Store>,
    pub clock: Arc<AtomicU64>,
    kind: Kind,
    directory: TempDir,
}

/// When the tests begin.
pub const START: Millis = 1_800_000_000_000;

impl Fixture {
    pub fn new(kind: Kind) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicU64::new(START));
        let store: Arc<dyn Store> = match kind {
            Kind::Memory => Arc::new(MemoryStore::new(reading(&clock))),
            _ => Arc::new(open_sled(&directory, &clock)),
        };
        Self {
            store,
            clock,
            kind,
            directory,
        }
    }

    /// What is written so far must last: reopens the store where the test is
    /// about that.
    pub async fn settle(&mut self) {
        if self.kind == Kind::SledReopened {
            self.reopen().await;
        }
    }

    pub async fn reopen(&mut self) {
        self.store.close().await.unwrap();
        self.store = Arc::new(open_sled(&self.directory, &self.clock));
    }

    async fn commit(&self, account: &str, commit: Commit) -> Committed {
        let epoch = self.store.own(&id(account), false).await.unwrap();
        self.store
            .commit(&id(account), epoch, commit.into())
            .await
            .unwrap()
    }

    async fn ok(&self, account: &str, commit: Commit) {
        assert_eq!(self.commit(account, commit).await, Committed::Ok);
    }

    async fn enqueue(&self, account: &str, key: Option<&str>, numbers: &[u64]) -> Enqueued {
        let tasks: Vec<Task> = numbers.iter().map(|n| task(account, *n)).collect();
        let request = Enqueue {
            files: Vec::new(),
            alarms: Vec::new(),
            idempotency_key: key.map(str::to_owned),
            request: Digest::of(format!("{numbers:?}").as_bytes()),
            tasks,
        };
        self.store.enqueue(&id(account), request).await.unwrap()
    }

    async fn next(&self, account: &str) -> Option<u64> {
        let task = self.store.next_queued(&id(account)).await.unwrap()?;
        Some(task.id.number.0)
    }

    async fn change_login(&self, login: &Login, image: ImageChange) -> LoginChanged {
        let change = changes_to(login, image);
        self.store.change_login(change).await.unwrap()
    }

    async fn image(&self, login: &str) -> Option<Vec<u8>> {
        self.store.login_image(&login_id(login)).await.unwrap()
    }

    async fn alarms(&self, until_ms: Millis, limit: usize) -> Vec<(Millis, Alarm)> {
        let kind = AlarmKind::Deadline;
        self.store.alarms(kind, until_ms, limit).await.unwrap()
    }

    async fn wakeups(&self, until_ms: Millis) -> Vec<(Millis, Alarm)> {
        let kind = AlarmKind::Wakeup;
        self.store.alarms(kind, until_ms, 9).await.unwrap()
    }

    async fn numbers(&self, account: &str, filter: TaskFilter, limit: usize) -> Vec<u64> {
        let tasks = self.store.tasks(&id(account), filter, limit).await.unwrap();
        tasks.into_iter().map(|task| task.id.number.0).collect()
    }
}

fn reading(clock: &Arc<AtomicU64>) -> Clock {
    let clock = Arc::clone(clock);
    Arc::new(move || clock.load(Ordering::Relaxed))
}

fn open_sled(directory: &TempDir, clock: &Arc<AtomicU64>) -> SledStore {
    sled::open(&directory.path().join("store"), 1 << 20, reading(clock)).unwrap()
}

pub fn id(text: &str) -> AccountId {
    AccountId::try_from(text).unwrap()
}

pub fn name(text: &str) -> HandlerName {
    HandlerName::try_from(text).unwrap()
}

pub fn task_id(account: &str, number: u64) -> TaskId {
    TaskId {
        account: id(account),
        number: TaskNumber(number),
    }
}

pub fn task(account: &str, number: u64) -> Task {
    let action = Action::text("filehelper", format!("text {number}"));
    Task::queued(task_id(account, number), action, Origin::Api, START)
}

/// A task that goes before all others.
pub fn urgent(account: &str, number: u64) -> Task {
    let login = login_id("l");
    let origin = Origin::Login(login.clone());
    let action = Action::StartLogin { login };
    Task::queued(task_id(account, number), action, origin, START)
}

pub fn login_id(text: &str) -> LoginId {
    LoginId::try_from(text).unwrap()
}

pub fn login(text: &str) -> Login {
    Login::foreign(login_id(text), START)
}

pub fn changes_to(login: &Login, image: ImageChange) -> LoginChange {
    LoginChange {
        login: login.clone(),
        image,
        alarm_ms: None,
    }
}

fn image(byte: u8, length: usize) -> ImageChange {
    ImageChange::Put(vec![byte; length].into())
}

pub fn file(account: &str, name: &str) -> FileRequest {
    FileRequest::asked(name.to_owned(), task_id(account, 1), Origin::Api, START)
}

pub fn pause(conversation: &str, until_ms: Millis) -> Pause {
    Pause {
        conversation: conversation.to_owned(),
        handler: name("h"),
        since_ms: START,
        until_ms,
        reason: "answered 20 times in a row".to_owned(),
    }
}

pub fn failing(account: &str, handler: &str, failures: u32) -> Failing {
    Failing {
        account: id(account),
        handler: name(handler),
        version: VersionNumber(1),
        failures,
        reason: "boom".to_owned(),
        pause: None,
        passed_by: 0,
        waiting: Waits::default(),
        alone: None,
        conversations: Vec::new(),
    }
}

pub fn puts_failing(failing: Failing) -> FailingChange {
    FailingChange::Put(Box::new(failing))
}

fn kept(key: &str, raw_bytes: usize) -> KeptEvent {
    KeptEvent {
        key: EventKey::new(key),
        at_ms: START,
        what: Happening::Other("x".to_owned()),
        facts: vec![("a".to_owned(), "b".to_owned())],
        raw: Some("x".repeat(raw_bytes)),
    }
}

pub fn waits(number: u64, raw_bytes: usize) -> WaitingEvent {
    WaitingEvent {
        number,
        taken_ms: START,
        client: ClientKind::Wehub,
        only: None,
        bytes: 7,
        event: kept("m", raw_bytes),
    }
}

pub fn recorded(number: u64, at_ms: Millis, raw_bytes: usize) -> Recorded {
    let event = kept("m", raw_bytes).event(&id("a"));
    Recorded {
        number,
        at_ms,
        client: ClientKind::Openwx,
        handler: name("h"),
        version: VersionNumber(2),
        outcome: EventOutcome::Handled,
        tasks: vec![TaskNumber(3)],
        event: RecordedEvent::fitted(&event, &RecordPolicy::default()).unwrap(),
    }
}

/// In the place of its number in a ring of three.
pub fn records(recorded: Recorded) -> Option<Box<RecordedAt>> {
    let place = u32::try_from(recorded.number % 3).unwrap();
    Some(Box::new(RecordedAt { place, recorded }))
}

pub fn timer(handler: &str, id: &str, due_ms: Millis) -> Timer {
    Timer {
        handler: name(handler),
        id: id.to_owned(),
        due_ms,
        payload: "what for".to_owned(),
    }
}

fn sets(timer: Timer, instead_of_ms: Option<Millis>) -> Commit {
    Commit {
        timers: vec![TimerChange::Put {
            timer,
            instead_of_ms,
        }],
        ..Commit::default()
    }
}

pub fn alarm(account: &str, number: u64) -> Alarm {
    Alarm::Task(task_id(account, number))
}

pub fn seen(key: &str, at_ms: Millis, repeats_within: Option<Duration>) -> Seen {
    Seen {
        key: EventKey::new(key),
        record: EventRecord {
            at_ms,
            outcome: EventOutcome::Handled,
            tasks: Vec::new(),
        },
        repeats_within,
    }
}

fn settles(key: &str) -> Commit {
    Commit {
        seen: Some(seen(key, START, None)),
        ..Commit::default()
    }
}

pub fn write(handler: &str, key: &str, value: Option<&[u8]>) -> KeyValueWrite {
    KeyValueWrite {
        handler: name(handler),
        key: key.to_owned(),
        value: value.map(<[u8]>::to_vec),
    }
}

pub fn bucket(account: &str, handler: &str) -> Bucket {
    Bucket::of(&id(account), &name(handler))
}

fn writes(handler: &str, key: &str, value: Option<&[u8]>) -> Commit {
    Commit {
        key_values: vec![write(handler, key, value)],
        ..Commit::default()
    }
}

pub fn account(text: &str) -> Account {
    Account {
        id: id(text),
        client: ClientKind::Wehub,
        appid: None,
        nickname: String::new(),
        alias: String::new(),
        avatar_url: String::new(),
        first_login_ms: START,
        session: None,
        last_logout: None,
    }
}

fn logs_in(text: &str) -> Commit {
    Commit {
        account: Some(account(text)),
        ..Commit::default()
    }
}

pub fn failure(event: &str, at_ms: Millis) -> Failure {
    Failure {
        id: FailureId::try_from(format!("f-{event}")).ok(),
        account: None,
        limits: Some(LimitsInForce::default()),
        event: event.to_owned(),
        handler: name("h"),
        version: VersionNumber::FIRST,
        digest: Digest::of(b""),
        used: Used::default(),
        kind: FailureKind::Trap,
        message: "unreachable".to_owned(),
        output: String::new(),
        at_ms,
    }
}

pub fn user(id: &str) -> Contact {
    Contact::User(User::unknown(id))
}

pub fn group(id: &str) -> Contact {
    Contact::Group(Group {
        id: id.to_owned(),
        ..Group::default()
    })
}

pub fn member(user: &str) -> Member {
    Member {
        user: User::unknown(user),
        group_nickname: None,
    }
}

fn changes(contacts: Vec<ContactChange>) -> Commit {
    Commit {
        contacts,
        ..Commit::default()
    }
}

fn handler(text: &str) -> Handler {
    Handler::example(text)
}

/// Runs each of these against each backend.
macro_rules! contract {
    ($($test:ident),* $(,)?) => {
        mod in_memory { $( #[tokio::test] async fn $test() {
            super::$test(super::Fixture::new(super::Kind::Memory)).await;
        } )* }
        mod in_sled { $( #[tokio::test] async fn $test() {
            super::$test(super::Fixture::new(super::Kind::Sled)).await;
        } )* }
        mod in_sled_reopened { $( #[tokio::test] async fn $test() {
            super::$test(super::Fixture::new(super::Kind::SledReopened)).await;
        } )* }
    };
}

contract!(
    a_commit_is_there_as_a_whole,
    a_duplicate_changes_nothing,
    a_key_that_stands_for_a_span_can_come_again_after_it,
    a_former_owner_is_fenced,
    asking_again_gives_the_same_tasks,
    the_queue_gives_the_oldest_until_it_is_taken,
    urgent_tasks_come_first,
    a_request_brings_its_files_and_alarms_once,
    tasks_are_listed_newest_first,
    a_guest_has_its_own_keys,
    keys_are_listed_in_order,
    a_bucket_knows_what_it_comes_to,
    what_a_lost_commit_writes_does_not_count,
    hostile_keys_stay_in_their_bucket,
    the_shared_bucket_is_the_handlers,
    a_commit_whose_shared_bucket_moved_leaves_nothing_behind,
    the_shared_bucket_takes_so_much,
    of_counters_at_the_same_time_none_is_lost,
    contacts_come_by_kind_and_page,
    members_belong_to_their_group,
    the_last_hundred_failures_are_kept,
    failures_are_found_by_their_handler,
    a_handlers_failures_have_a_bound,
    endpoints_have_rings_of_failures_of_their_own,
    the_catalogue_changes_as_a_whole,
    versions_are_kept_until_they_are_not,
    a_configuration_is_kept_per_handler_and_scope,
    wanted_clients_are_kept_until_they_are_not,
    accounts_are_counted_once_and_listed,
    events_are_listed_by_key,
    a_login_changes_from_the_revision_before_only,
    of_two_changes_of_a_login_one_is_taken,
    a_commit_whose_login_moved_leaves_nothing_behind,
    a_logins_image_is_replaced_and_dropped,
    a_file_is_asked_of_several_accounts,
    pauses_come_by_conversation,
    failures_in_a_row_come_by_account_and_handler,
    what_waits_comes_in_order_until_it_is_settled,
    a_ring_keeps_the_last_events_until_they_are_swept,
    a_timer_and_its_alarm_are_one,
    timers_come_by_handler_and_name,
    schedules_keep_their_times,
    alarms_come_in_order_until_they_are_dismissed,
    sweeping_forgets_what_is_over,
    sweeping_forgets_ended_logins_files_and_pauses,
    a_swept_store_forgets_in_steps,
    large_values_come_back_whole,
    a_commit_too_large_is_refused,
    numbers_rise,
    many_accounts_commit_at_once,
    a_closed_store_says_so,
);

// --------------------------------------------------------------- commits

async fn a_commit_is_there_as_a_whole(mut f: Fixture) {
    let answered = Task::answered(task_id("a", 7), Action::text("x", "hi"), Origin::Api, START);
    let commit = Commit {
        seen: Some(seen("m1", START, None)),
        tasks: vec![answered.clone()],
        key_values: vec![write("h", "k", Some(b"v"))],
        contacts: vec![ContactChange::Put(user("u"))],
        account: Some(account("a")),
        failure: Some(failure("m1", START)),
        ..Commit::default()
    };
    f.ok("a", commit).await;
    f.settle().await;
    let a = id("a");
    let event = f.store.event(&a, &EventKey::new("m1")).await.unwrap();
    assert_eq!(event, Some(seen("m1", START, None).record));
    assert_eq!(
        f.store.task(&task_id("a", 7)).await.unwrap(),
        Some(answered)
    );
    let value = f.store.key_value(&bucket("a", "h"), "k").await.unwrap();
    assert_eq!(value.as_deref(), Some(b"v".as_slice()));
    assert_eq!(f.store.contact(&a, "u").await.unwrap(), Some(user("u")));
    assert_eq!(f.store.account(&a).await.unwrap(), Some(account("a")));
    let failures = f.store.failures(&a, 9).await.unwrap();
    assert_eq!(failures, vec![failure("m1", START)]);
    assert_eq!(f.next("a").await, None);
}

async fn a_duplicate_changes_nothing(mut f: Fixture) {
    let mut first = settles("m1");
    first.seen.as_mut().unwrap().record.tasks = vec![TaskNumber(1), TaskNumber(2)];
    f.ok("a", first.clone()).await;
    f.settle().await;
    let mut second = Commit {
        tasks: vec![task("a", 3)],
        key_values: vec![write("h", "k", Some(b"v"))],
        account: Some(account("a")),
        ..settles("m1")
    };
    let known = first.seen.clone().unwrap().record;
    let duplicate = Committed::Duplicate(known);
    assert_eq!(f.commit("a", first).await, duplicate);
    assert_eq!(f.commit("a", second.clone()).await, duplicate);
    f.settle().await;
    assert_eq!(f.store.task(&task_id("a", 3)).await.unwrap(), None);
    assert_eq!(f.next("a").await, None);
    assert_eq!(
        f.store.key_value(&bucket("a", "h"), "k").await.unwrap(),
        None
    );
    assert_eq!(f.store.account_count().await.unwrap(), 0);
    // The same key of another account is another event.
    second.tasks.clear();
    f.ok("b", second).await;
}

async fn a_key_that_stands_for_a_span_can_come_again_after_it(mut f: Fixture) {
    let span = Some(Duration::from_secs(60));
    let at = |at_ms| Commit {
        seen: Some(seen("digest", at_ms, span)),
        ..Commit::default()
    };
    f.ok("a", at(START)).await;
    f.settle().await;
    let known = seen("digest", START, span).record;
    assert_eq!(
        f.commit("a", at(START + 59_999)).await,
        Committed::Duplicate(known)
    );
    f.ok("a", at(START + 60_000)).await;
    f.settle().await;
    let record = f.store.event(&id("a"), &EventKey::new("digest")).await;
    assert_eq!(record.unwrap().unwrap().at_ms, START + 60_000);
}

async fn a_former_owner_is_fenced(mut f: Fixture) {
    let a = id("a");
    assert_eq!(f.store.own(&a, false).await.unwrap(), Epoch(0));
    assert_eq!(f.store.own(&a, true).await.unwrap(), Epoch(1));
    f.settle().await;
    assert_eq!(f.store.own(&a, false).await.unwrap(), Epoch(1));
    for (epoch, expected) in [
        (0, Committed::Fenced),
        (2, Committed::Fenced),
        (1, Committed::Ok),
    ] {
        let result = f.store.commit(&a, Epoch(epoch), settles("m1").into()).await;
        assert_eq!(result.unwrap(), expected, "epoch {epoch}");
    }
    // Nobody else's account is touched.
    assert_eq!(f.store.own(&id("b"), false).await.unwrap(), Epoch(0));
}

// ----------------------------------------------------------------- tasks

async fn asking_again_gives_the_same_tasks(mut f: Fixture) {
    assert_eq!(f.enqueue("a", Some("key"), &[1, 2]).await, Enqueued::Ok);
    f.settle().await;
    let same = Enqueued::Duplicate(vec![TaskNumber(1), TaskNumber(2)]);
    assert_eq!(f.enqueue("a", Some("key"), &[1, 2]).await, same);
    assert_eq!(f.enqueue("a", Some("key"), &[3]).await, Enqueued::KeyReused);
    assert_eq!(f.store.task(&task_id("a", 3)).await.unwrap(), None);
    assert_eq!(f.enqueue("b", Some("key"), &[3]).await, Enqueued::Ok);
    assert_eq!(f.enqueue("a", None, &[4]).await, Enqueued::Ok);
    assert_eq!(
        f.numbers("a", TaskFilter::default(), 9).await,
        vec![4, 2, 1]
    );
}

async fn the_queue_gives_the_oldest_until_it_is_taken(mut f: Fixture) {
    assert_eq!(f.next("a").await, None);
    f.enqueue("a", None, &[300, 5]).await;
    f.enqueue("b", None, &[1]).await;
    f.settle().await;
    assert_eq!(f.next("a").await, Some(5));
    let mut taken = task("a", 5);
    taken.hand_out(START + 1);
    f.ok(
        "a",
        Commit {
            tasks: vec![taken.clone()],
            ..Commit::default()
        },
    )
    .await;
    f.settle().await;
    assert_eq!(f.next("a").await, Some(300));
    // Cancelled without ever being taken.
    let mut cancelled = task("a", 300);
    cancelled.end(TaskState::Cancelled, None, START + 2);
    // Back into the queue.
    taken.state = TaskState::Queued;
    f.ok(
        "a",
        Commit {
            tasks: vec![cancelled, taken],
            ..Commit::default()
        },
    )
    .await;
    f.settle().await;
    assert_eq!(f.next("a").await, Some(5));
    assert_eq!(f.next("b").await, Some(1));
}

async fn urgent_tasks_come_first(mut f: Fixture) {
    f.enqueue("a", None, &[1, 2]).await;
    let request = |tasks| Enqueue {
        idempotency_key: None,
        request: Digest::of(b""),
        tasks,
        files: Vec::new(),
        alarms: Vec::new(),
    };
    let both = request(vec![urgent("a", 4), urgent("a", 3)]);
    f.store.enqueue(&id("a"), both).await.unwrap();
    let other = request(vec![urgent("b", 5)]);
    f.store.enqueue(&id("b"), other).await.unwrap();
    f.settle().await;
    assert_eq!(f.store.queued(&id("a"), 9).await.unwrap(), 4);
    assert_eq!(f.store.queued(&id("a"), 3).await.unwrap(), 3);
    assert_eq!(f.store.queued_of_all(9).await.unwrap(), 5);
    assert_eq!(f.store.queued_of_all(3).await.unwrap(), 3);
    for (number, mut taken) in [
        (3, urgent("a", 3)),
        (4, urgent("a", 4)),
        (1, task("a", 1)),
        (2, task("a", 2)),
    ] {
        assert_eq!(f.next("a").await, Some(number));
        taken.hand_out(START + 1);
        let commit = Commit {
            tasks: vec![taken],
            ..Commit::default()
        };
        f.ok("a", commit).await;
        f.settle().await;
    }
    assert_eq!(f.next("a").await, None);
    assert_eq!(f.next("b").await, Some(5));
}

async fn a_request_brings_its_files_and_alarms_once(mut f: Fixture) {
    let request = |file_name: &str, at_ms| Enqueue {
        idempotency_key: Some("key".to_owned()),
        request: Digest::of(b"request"),
        tasks: vec![task("a", 1)],
        files: vec![file("a", file_name)],
        alarms: vec![(at_ms, alarm("a", 1))],
    };
    let a = id("a");
    let first = f.store.enqueue(&a, request("f1", START)).await;
    assert_eq!(first.unwrap(), Enqueued::Ok);
    f.settle().await;
    let again = f.store.enqueue(&a, request("f2", START + 1)).await;
    assert_eq!(again.unwrap(), Enqueued::Duplicate(vec![TaskNumber(1)]));
    f.settle().await;
    let asked = f.store.file_request(&a, "f1").await.unwrap();
    assert_eq!(asked, Some(file("a", "f1")));
    assert_eq!(f.store.file_request(&a, "f2").await.unwrap(), None);
    assert_eq!(f.alarms(START + 9, 9).await, vec![(START, alarm("a", 1))]);
}

async fn tasks_are_listed_newest_first(mut f: Fixture) {
    f.enqueue("a", None, &[1, 2, 3, 256, 257]).await;
    f.enqueue("aa", None, &[4]).await;
    let mut done = task("a", 2);
    done.end(TaskState::Done, Some("well".to_owned()), START + 1);
    f.ok(
        "a",
        Commit {
            tasks: vec![done],
            ..Commit::default()
        },
    )
    .await;
    f.settle().await;
    let filter = |state, before: Option<u64>| TaskFilter {
        state,
        before: before.map(TaskNumber),
    };
    assert_eq!(
        f.numbers("a", filter(None, None), 3).await,
        vec![257, 256, 3]
    );
    assert_eq!(f.numbers("a", filter(None, Some(3)), 3).await, vec![2, 1]);
    assert_eq!(
        f.numbers("a", filter(None, Some(4)), 9).await,
        vec![3, 2, 1]
    );
    let queued = Some(TaskState::Queued);
    assert_eq!(
        f.numbers("a", filter(queued, Some(256)), 9).await,
        vec![3, 1]
    );
    assert_eq!(
        f.numbers("a", filter(Some(TaskState::Done), None), 9).await,
        vec![2]
    );
    assert!(f.numbers("a", filter(None, None), 0).await.is_empty());
}

// ------------------------------------------------------------- key-values

/// Names that would collide if keys were glued together without care.
const NASTY: [&str; 12] = [
    "",
    "a",
    "a\0",
    "\0a",
    "a\0b",
    "b",
    "\u{1}",
    "\u{1}a",
    "ab",
    "a/b",
    "a:b",
    "\u{10ffff}",
];

async fn a_guest_has_its_own_keys(mut f: Fixture) {
    let places = |account: &str, handler: &str, key: &str| format!("{account}|{handler}|{key}");
    let all = || {
        let pairs = ["a", "ab", "b", "\u{10ffff}"]
            .into_iter()
            .flat_map(|account| ["a", "ab", "b-1"].map(|handler| (account, handler)));
        pairs.flat_map(|(account, handler)| NASTY.map(|key| (account, handler, key)))
    };
    for (account, handler, key) in all() {
        let value = places(account, handler, key);
        f.ok(account, writes(handler, key, Some(value.as_bytes())))
            .await;
    }
    f.ok("a", writes("a", "a", None)).await;
    f.ok("a", writes("a", "never there", None)).await;
    f.settle().await;
    for (account, handler, key) in all() {
        let value = f.store.key_value(&bucket(account, handler), key).await;
        let expected = places(account, handler, key).into_bytes();
        let gone = (account, handler, key) == ("a", "a", "a");
        assert_eq!(value.unwrap(), (!gone).then_some(expected));
    }
}

async fn keys_are_listed_in_order(mut f: Fixture) {
    for key in NASTY {
        f.ok("a", writes("h", key, Some(b""))).await;
        f.ok("ab", writes("h", key, Some(b""))).await;
        f.ok("a", writes("hh", key, Some(b""))).await;
    }
    f.settle().await;
    let mut sorted = NASTY.map(str::to_owned).to_vec();
    sorted.sort();
    let bucket = bucket("a", "h");
    assert_eq!(f.store.keys(&bucket, None, 99).await.unwrap(), sorted);
    let mut paged: Vec<String> = Vec::new();
    loop {
        let after = paged.last().map(String::as_str);
        let page = f.store.keys(&bucket, after, 5).await.unwrap();
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, sorted);
    let absent = f.store.keys(&bucket, Some("aa"), 1).await.unwrap();
    assert_eq!(absent, vec!["ab".to_owned()]);
}

// ---------------------------------------------------------------- buckets

fn usage(keys: u64, bytes: u64) -> Usage {
    Usage { keys, bytes }
}

async fn a_bucket_knows_what_it_comes_to(mut f: Fixture) {
    let a = bucket("a", "h");
    assert_eq!(f.store.usage(&a).await.unwrap(), usage(0, 0));
    let many = |writes: &[(&str, Option<usize>)]| Commit {
        key_values: writes
            .iter()
            .map(|(key, size)| write("h", key, size.map(|size| vec![1; size]).as_deref()))
            .collect(),
        ..Commit::default()
    };
    // In one piece and in several, replaced in the same commit and in a later one.
    for (writes, comes_to) in [
        (&[("k", Some(5)), ("", Some(0))][..], usage(2, 6)),
        (&[("k", Some(9)), ("k", Some(7))], usage(2, 8)),
        (&[("k", Some(4095)), ("kk", Some(4096))], usage(3, 8194)),
        (&[("k", Some(70_000)), ("kk", None)], usage(2, 70_001)),
        (&[("k", Some(8191)), ("never there", None)], usage(2, 8192)),
        (&[("k", None), ("k", Some(1)), ("", None)], usage(1, 2)),
        (&[("k", None)], usage(0, 0)),
        (&[("你", Some(3))], usage(1, 6)),
    ] {
        f.ok("a", many(writes)).await;
        f.settle().await;
        assert_eq!(f.store.usage(&a).await.unwrap(), comes_to, "{writes:?}");
    }
    for other in [
        bucket("a", "hh"),
        bucket("ab", "h"),
        Bucket::shared(&name("h")),
    ] {
        assert_eq!(f.store.usage(&other).await.unwrap(), usage(0, 0));
    }
}

async fn what_a_lost_commit_writes_does_not_count(mut f: Fixture) {
    let commit = |event: &str, size: usize| Commit {
        key_values: vec![write("h", "k", Some(&vec![1; size]))],
        ..settles(event)
    };
    f.ok("a", commit("m1", 5000)).await;
    assert!(matches!(
        f.commit("a", commit("m1", 9)).await,
        Committed::Duplicate(_)
    ));
    let fenced = f
        .store
        .commit(&id("a"), Epoch(7), commit("m2", 9).into())
        .await;
    assert_eq!(fenced.unwrap(), Committed::Fenced);
    let moved = Commit {
        shared: Some(shared(&[("never", Some(b"x"))], &[])),
        ..commit("m3", 9)
    };
    assert_eq!(f.commit("a", moved).await, Committed::SharedMoved);
    f.settle().await;
    let comes_to = f.store.usage(&bucket("a", "h")).await.unwrap();
    assert_eq!(comes_to, usage(1, 5001));
}

/// Names that are made of what separates others: of accounts, handlers and keys, and
/// of their lengths.
const HOSTILE: [&str; 9] = [
    "a/b",
    "\0",
    "\u{1}a\u{1}h",
    "\u{1}h",
    "../h",
    "*shared",
    "\u{7}\u{1}a",
    "h\u{1}k",
    "/",
];

async fn hostile_keys_stay_in_their_bucket(mut f: Fixture) {
    let long = "k".repeat(256);
    let keys = || HOSTILE.into_iter().chain([long.as_str()]);
    for key in keys() {
        f.ok("a", writes("h", key, Some(b"mine"))).await;
        let change = shared(&[], &[(key, Some(b"ours"))]);
        f.ok("a", shares(change)).await;
    }
    f.settle().await;
    let (own, ours) = (bucket("a", "h"), Bucket::shared(&name("h")));
    let mut sorted: Vec<String> = keys().map(str::to_owned).collect();
    sorted.sort();
    for (bucket, value) in [(&own, b"mine"), (&ours, b"ours")] {
        assert_eq!(f.store.keys(bucket, None, 99).await.unwrap(), sorted);
        for key in keys() {
            let found = f.store.key_value(bucket, key).await.unwrap();
            assert_eq!(found.as_deref(), Some(value.as_slice()), "{key:?}");
        }
    }
    let others = ["ab", "h", "b"].map(|account| bucket(account, "h"));
    for other in others.iter().chain([&bucket("a", "hh"), &bucket("a", "a")]) {
        assert_eq!(
            f.store.keys(other, None, 99).await.unwrap(),
            Vec::<String>::new()
        );
    }
}

/// A change of the bucket that all accounts of `h` share.
pub fn shared(read: &[(&str, Option<&[u8]>)], writes: &[(&str, Option<&[u8]>)]) -> SharedChange {
    let read = read.iter();
    let writes = writes.iter();
    SharedChange {
        handler: name("h"),
        read: read
            .map(|(key, was)| (key.to_string(), was.map(Digest::of)))
            .collect(),
        writes: writes
            .map(|(key, value)| (key.to_string(), value.map(<[u8]>::to_vec)))
            .collect(),
        max: usage(100, 100_000),
    }
}

fn shares(change: SharedChange) -> Commit {
    Commit {
        shared: Some(change),
        ..Commit::default()
    }
}

async fn the_shared_bucket_is_the_handlers(mut f: Fixture) {
    let large = vec![7; 9000];
    f.ok("a", shares(shared(&[("k", None)], &[("k", Some(&large))])))
        .await;
    f.settle().await;
    // Another account finds it, and changes it if it knows what is there.
    let ours = Bucket::shared(&name("h"));
    assert_eq!(
        f.store.key_value(&ours, "k").await.unwrap(),
        Some(large.clone())
    );
    f.ok(
        "b",
        shares(shared(
            &[("k", Some(&large))],
            &[("k", Some(b"v")), ("l", Some(b""))],
        )),
    )
    .await;
    f.settle().await;
    assert_eq!(
        f.store.key_value(&ours, "k").await.unwrap(),
        Some(b"v".to_vec())
    );
    assert_eq!(f.store.keys(&ours, None, 9).await.unwrap(), ["k", "l"]);
    assert_eq!(f.store.usage(&ours).await.unwrap(), usage(2, 3));
    for other in [
        Bucket::shared(&name("hh")),
        bucket("a", "h"),
        bucket("b", "h"),
    ] {
        assert_eq!(
            f.store.keys(&other, None, 9).await.unwrap(),
            Vec::<String>::new()
        );
    }
    // A write that rests on nothing is done whatever is there.
    f.ok("a", shares(shared(&[], &[("k", None)]))).await;
    f.settle().await;
    assert_eq!(f.store.usage(&ours).await.unwrap(), usage(1, 1));
}

async fn a_commit_whose_shared_bucket_moved_leaves_nothing_behind(mut f: Fixture) {
    f.ok("b", shares(shared(&[], &[("k", Some(b"1"))]))).await;
    for read in [None, Some(&b"2"[..]), Some(&b""[..])] {
        let commit = Commit {
            shared: Some(shared(
                &[("l", None), ("k", read)],
                &[("l", Some(&[1; 9000]))],
            )),
            ..with_login("m1", &login("l"))
        };
        assert_eq!(f.commit("a", commit).await, Committed::SharedMoved);
    }
    f.settle().await;
    let a = id("a");
    assert_eq!(f.store.event(&a, &EventKey::new("m1")).await.unwrap(), None);
    assert_eq!(f.next("a").await, None);
    let own = f.store.key_value(&bucket("a", "h"), "k").await.unwrap();
    assert_eq!(own, None);
    assert_eq!(f.store.account_count().await.unwrap(), 0);
    assert_eq!(f.store.login(&login_id("l")).await.unwrap(), None);
    assert_eq!(f.alarms(u64::MAX, 9).await, vec![]);
    let ours = Bucket::shared(&name("h"));
    assert_eq!(f.store.keys(&ours, None, 9).await.unwrap(), ["k"]);
    // One that only read is held against it too.
    let stale = Commit {
        shared: Some(shared(&[("k", None)], &[])),
        ..settles("m1")
    };
    assert_eq!(f.commit("a", stale).await, Committed::SharedMoved);
    let fresh = Commit {
        shared: Some(shared(&[("k", Some(b"1"))], &[])),
        ..settles("m1")
    };
    f.ok("a", fresh.clone()).await;
    // Who comes twice is told that, whatever became of the bucket.
    f.ok("b", shares(shared(&[], &[("k", None)]))).await;
    assert!(matches!(
        f.commit("a", fresh).await,
        Committed::Duplicate(_)
    ));
}

async fn the_shared_bucket_takes_so_much(mut f: Fixture) {
    let within = |max: Usage, writes: &[(&str, Option<&[u8]>)]| {
        shares(SharedChange {
            max,
            ..shared(&[], writes)
        })
    };
    let two = usage(2, 10);
    f.ok(
        "a",
        within(two, &[("a", Some(b"123")), ("b", Some(b"123"))]),
    )
    .await;
    f.settle().await;
    for writes in [&[("c", Some(&b""[..]))][..], &[("a", Some(b"123456"))]] {
        let moved = Commit {
            key_values: vec![write("h", "own", Some(b"v"))],
            ..within(two, writes)
        };
        assert_eq!(f.commit("a", moved).await, Committed::SharedMoved);
    }
    f.settle().await;
    let ours = Bucket::shared(&name("h"));
    assert_eq!(f.store.usage(&ours).await.unwrap(), usage(2, 8));
    let own = f.store.key_value(&bucket("a", "h"), "own").await.unwrap();
    assert_eq!(own, None);
    // In place of another there is room, and one that is too full may shrink.
    f.ok("a", within(two, &[("a", None), ("c", Some(b"123"))]))
        .await;
    f.ok("a", within(usage(0, 0), &[("c", Some(b"12"))])).await;
    f.settle().await;
    assert_eq!(f.store.usage(&ours).await.unwrap(), usage(2, 7));
}

async fn of_counters_at_the_same_time_none_is_lost(mut f: Fixture) {
    const ACCOUNTS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "i"];
    const EACH: usize = 5;
    let ours = Bucket::shared(&name("h"));
    let count = async |account: &'static str| {
        for _ in 0..EACH {
            loop {
                let was = f.store.key_value(&ours, "n").await.unwrap();
                let number = was.as_deref().map_or(0, |was| {
                    std::str::from_utf8(was).unwrap().parse::<u32>().unwrap()
                });
                let next = (number + 1).to_string();
                let change = shared(&[("n", was.as_deref())], &[("n", Some(next.as_bytes()))]);
                if f.commit(account, shares(change)).await == Committed::Ok {
                    break;
                }
            }
        }
    };
    futures_util::future::join_all(ACCOUNTS.map(count)).await;
    f.settle().await;
    let counted = f.store.key_value(&ours, "n").await.unwrap();
    let all = (ACCOUNTS.len() * EACH).to_string();
    assert_eq!(counted, Some(all.into_bytes()));
}

// --------------------------------------------------------------- contacts

async fn contacts_come_by_kind_and_page(mut f: Fixture) {
    let puts = (0..10)
        .map(|n| {
            ContactChange::Put(match n % 3 {
                0 => user(&format!("c{n}")),
                1 => group(&format!("c{n}")),
                _ => Contact::Official(User::unknown(format!("c{n}"))),
            })
        })
        .collect();
    f.ok("a", changes(puts)).await;
    let others = vec![
        ContactChange::Remove("c3".to_owned()),
        ContactChange::Remove("nobody".to_owned()),
        // A contact has one kind at a time.
        ContactChange::Put(user("c1")),
    ];
    f.ok("a", changes(others)).await;
    f.ok("aa", changes(vec![ContactChange::Put(user("c00"))]))
        .await;
    f.settle().await;
    let users = Some(ContactKind::User);
    assert_eq!(contact_ids(&f, users, 2).await, "c0 c1, c6 c9");
    assert_eq!(contact_ids(&f, Some(ContactKind::Group), 9).await, "c4 c7");
    assert_eq!(
        contact_ids(&f, None, 4).await,
        "c0 c1 c2 c4, c5 c6 c7 c8, c9"
    );
    assert_eq!(contact_ids(&f, None, 9).await, "c0 c1 c2 c4 c5 c6 c7 c8 c9");
    assert_eq!(f.store.contact(&id("a"), "c3").await.unwrap(), None);
}

/// All pages: ids by blanks, pages by commas.
async fn contact_ids(f: &Fixture, kind: Option<ContactKind>, limit: usize) -> String {
    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let page = f
            .store
            .contacts(&id("a"), kind, after.as_deref(), limit)
            .await
            .unwrap();
        let ids: Vec<&str> = page.items.iter().map(Contact::id).collect();
        pages.push(ids.join(" "));
        after = page.next;
        if after.is_none() {
            return pages.join(", ");
        }
    }
}

async fn members_belong_to_their_group(mut f: Fixture) {
    let put = |group: &str, user: &str| ContactChange::PutMember(group.to_owned(), member(user));
    let gone =
        |group: &str, user: &str| ContactChange::RemoveMember(group.to_owned(), user.to_owned());
    let some = vec![
        put("g", "u2"),
        put("g", "u1"),
        put("g", "u3"),
        put("gu", "1"),
        gone("g", "u3"),
        gone("g", "never there"),
        // Of the same name as a member's key would have without lengths.
        put("", "gu1"),
    ];
    f.ok("a", changes(some)).await;
    f.settle().await;
    let a = id("a");
    let page = f.store.members(&a, "g", None, 1).await.unwrap();
    assert_eq!(page.items, vec![member("u1")]);
    let page = f.store.members(&a, "g", page.next.as_deref(), 9).await;
    let page = page.unwrap();
    assert_eq!((page.items, page.next), (vec![member("u2")], None));
    assert_eq!(
        f.store.member(&a, "gu", "1").await.unwrap(),
        Some(member("1"))
    );
    assert_eq!(f.store.member(&a, "g", "u3").await.unwrap(), None);
    assert_eq!(f.store.member(&id("b"), "g", "u1").await.unwrap(), None);
}

// ------------------------------------------------- failures, catalogue, rest

async fn the_last_hundred_failures_are_kept(mut f: Fixture) {
    let fails = |n: u64| Commit {
        failure: Some(failure(&format!("m{n}"), START + n)),
        ..Commit::default()
    };
    for n in 0..130 {
        f.ok("a", fails(n)).await;
        if n == 50 {
            f.settle().await;
        }
    }
    f.ok("b", fails(1)).await;
    f.settle().await;
    let failures = f.store.failures(&id("a"), 999).await.unwrap();
    let expected: Vec<_> = (30..130).rev().map(|n| format!("m{n}")).collect();
    let events: Vec<_> = failures.into_iter().map(|failure| failure.event).collect();
    assert_eq!(events, expected);
    let newest = f.store.failures(&id("a"), 1).await.unwrap();
    assert_eq!(newest, vec![failure("m129", START + 129)]);
    assert_eq!(f.store.failures(&id("b"), 9).await.unwrap().len(), 1);
}

/// The events of a handler's failures.
async fn failed_at(f: &Fixture, before: Option<&str>, limit: usize) -> Vec<String> {
    let before = before.map(|event| failure(event, 0).id.unwrap());
    let failures = f
        .store
        .failures_of(&name("h"), before.as_ref(), limit)
        .await;
    let events = failures.unwrap().into_iter().map(|failure| failure.event);
    events.collect()
}

async fn failures_are_found_by_their_handler(mut f: Fixture) {
    let fails = |account: &str, event: &str, at_ms| Commit {
        failure: Some(Failure {
            account: Some(id(account)),
            ..failure(event, at_ms)
        }),
        ..Commit::default()
    };
    f.ok("a", fails("a", "m1", START - 1)).await;
    f.ok("b", fails("b", "m2", START)).await;
    f.ok("a", fails("a", "m3", START)).await;
    let other = Failure {
        handler: name("hh"),
        ..failure("m4", START)
    };
    let commit = Commit {
        failure: Some(other.clone()),
        ..Commit::default()
    };
    // A callback component's, which is nobody's.
    let nobody = AccountId::callback();
    f.store
        .commit(&nobody, Epoch(0), commit.into())
        .await
        .unwrap();
    f.settle().await;
    assert_eq!(failed_at(&f, None, 9).await, ["m3", "m2", "m1"]);
    assert_eq!(failed_at(&f, None, 1).await, ["m3"]);
    assert_eq!(failed_at(&f, Some("m3"), 9).await, ["m2", "m1"]);
    assert_eq!(failed_at(&f, Some("m9"), 9).await, [""; 0]);
    let one = |handler: &str, event: &str| {
        let (handler, id) = (name(handler), failure(event, 0).id.unwrap());
        let store = Arc::clone(&f.store);
        async move { store.failure(&handler, &id).await.unwrap() }
    };
    assert_eq!(one("hh", "m4").await, Some(other));
    assert_eq!(one("h", "m4").await, None);
    assert_eq!(one("h", "m2").await.unwrap().account, Some(id("b")));
    while f.store.sweep(START).await.unwrap() {}
    assert_eq!(failed_at(&f, None, 9).await, ["m3", "m2"]);
    assert_eq!(one("h", "m1").await, None);
}

async fn a_handlers_failures_have_a_bound(mut f: Fixture) {
    let fails = |account: &str, event: &str| Commit {
        failure: Some(Failure {
            account: Some(id(account)),
            ..failure(event, START)
        }),
        ..Commit::default()
    };
    f.ok("quiet", fails("quiet", "q")).await;
    for n in 0..150 {
        f.ok("loud", fails("loud", &format!("m{n}"))).await;
    }
    f.settle().await;
    // What its account keeps no more is found no more.
    let found = failed_at(&f, None, 1000).await;
    assert_eq!(found.len(), 101);
    assert_eq!(found.last().unwrap(), "q");
    for n in 0..1000 - 150 {
        let account = format!("a{}", n % 50);
        f.ok(&account, fails(&account, &format!("n{n}"))).await;
    }
    let found = failed_at(&f, None, 2000).await;
    assert!(!found.contains(&"q".to_owned()), "{}", found.len());
}

async fn endpoints_have_rings_of_failures_of_their_own(f: Fixture) {
    let fails = |nobody: AccountId, handler: &str, event: String| {
        let failure = Failure {
            handler: name(handler),
            ..failure(&event, START)
        };
        let commit = Commit {
            failure: Some(failure),
            ..Commit::default()
        };
        let store = Arc::clone(&f.store);
        async move {
            store
                .commit(&nobody, Epoch(0), commit.into())
                .await
                .unwrap()
        }
    };
    let of_endpoint = |handler| AccountId::of_endpoint(&name(handler));
    fails(AccountId::callback(), "gate", "g".to_owned()).await;
    fails(of_endpoint("quiet"), "quiet", "q".to_owned()).await;
    for n in 0..150 {
        fails(of_endpoint("loud"), "loud", format!("m{n}")).await;
    }
    let kept = |handler| {
        let store = Arc::clone(&f.store);
        async move { store.failures_of(&name(handler), None, 1000).await.unwrap() }
    };
    for (handler, count) in [("gate", 1), ("quiet", 1), ("loud", 100)] {
        let kept = kept(handler).await;
        assert_eq!(kept.len(), count, "{handler}");
        let first = kept.first().unwrap();
        let handler = name(handler);
        let found = f.store.failure(&handler, first.id.as_ref().unwrap());
        assert_eq!(found.await.unwrap().as_ref(), Some(first));
    }
}

async fn the_catalogue_changes_as_a_whole(mut f: Fixture) {
    let bind = |account: Scope, handler: &str| {
        CatalogueChange::PutBinding(Binding {
            account,
            handler: name(handler),
        })
    };
    let one = || Scope::Account(id("a"));
    let shop = || Scope::Label("shop".try_into().unwrap());
    let labelled = |account: &str, labels: &[&str]| Labelled {
        account: id(account),
        labels: labels.iter().map(|it| (*it).try_into().unwrap()).collect(),
    };
    let labels =
        |account: &str, labels: &[&str]| CatalogueChange::PutLabels(labelled(account, labels));
    let first = vec![
        CatalogueChange::PutHandler(Box::new(handler("b"))),
        CatalogueChange::PutHandler(Box::new(handler("a"))),
        CatalogueChange::PutHandler(Box::new(handler("gone"))),
        CatalogueChange::RemoveHandler(name("gone")),
        bind(Scope::All, "a"),
        bind(one(), "a"),
        bind(shop(), "a"),
        labels("a", &["shop"]),
        labels("b", &["shop", "test"]),
    ];
    f.store.change_catalogue(first).await.unwrap();
    f.settle().await;
    let second = vec![
        bind(one(), "b"),
        CatalogueChange::RemoveBinding(Scope::All),
        CatalogueChange::RemoveBinding(shop()),
        CatalogueChange::RemoveLabels(id("a")),
        labels("b", &["test"]),
    ];
    f.store.change_catalogue(second).await.unwrap();
    f.settle().await;
    let catalogue = f.store.catalogue().await.unwrap();
    assert_eq!(catalogue.handlers, vec![handler("a"), handler("b")]);
    assert_eq!(
        catalogue.bindings,
        vec![Binding {
            account: one(),
            handler: name("b")
        }]
    );
    assert_eq!(catalogue.labels, vec![labelled("b", &["test"])]);
}

async fn versions_are_kept_until_they_are_not(mut f: Fixture) {
    let version = |number: u32| Version {
        number: VersionNumber(number),
        ..Version::example(&number.to_le_bytes())
    };
    let put = |handler: &str, number| {
        CatalogueChange::PutVersion(name(handler), Box::new(version(number)))
    };
    let changes = (1..=300).map(|number| put("a", number));
    f.store.change_catalogue(changes.collect()).await.unwrap();
    // Its name begins with the other's.
    let changes = vec![
        put("ab", 7),
        CatalogueChange::RemoveVersion(name("a"), VersionNumber(255)),
    ];
    f.store.change_catalogue(changes).await.unwrap();
    f.settle().await;
    let expected: Vec<_> = (1..=300)
        .rev()
        .filter(|it| *it != 255)
        .map(version)
        .collect();
    assert_eq!(f.store.versions(&name("a")).await.unwrap(), expected);
    assert_eq!(f.store.versions(&name("ab")).await.unwrap(), [version(7)]);
    assert_eq!(f.store.versions(&name("b")).await.unwrap(), []);
}

async fn a_configuration_is_kept_per_handler_and_scope(mut f: Fixture) {
    let entries = |handler: &str, scope: &ConfigScope, text: &str| {
        let mut entries = ConfigEntries::none(name(handler), scope.clone());
        let sealed = Sealed(vec![0, 0xff, text.len() as u8]);
        entries.put_secret("s".into(), sealed, START).unwrap();
        let plain = [("k".to_owned(), Some(text.to_owned()))];
        entries.change(plain.into(), START + 1).unwrap();
        entries
    };
    let put = |entries: ConfigEntries| CatalogueChange::PutConfig(Box::new(entries));
    let (all, one) = (ConfigScope::Handler, ConfigScope::Account(id("wxid_a")));
    // Too long for one record.
    let long = "甲".repeat(80_000);
    let changes = vec![
        put(entries("a", &all, &long)),
        put(entries("a", &one, "own")),
        put(entries("a", &ConfigScope::Account(id("gone")), "x")),
        // Its name begins with the other's.
        put(entries("ab", &one, "other")),
    ];
    f.store.change_catalogue(changes).await.unwrap();
    let changes = vec![
        put(entries("a", &one, "newer")),
        CatalogueChange::RemoveConfig(name("a"), ConfigScope::Account(id("gone"))),
        CatalogueChange::RemoveConfig(name("never"), all.clone()),
    ];
    f.store.change_catalogue(changes).await.unwrap();
    f.settle().await;
    let (first, own) = (entries("a", &all, &long), entries("a", &one, "newer"));
    let of = |handler: &'static str, scope: ConfigScope| {
        let store = Arc::clone(&f.store);
        async move { store.config(&name(handler), &scope).await.unwrap() }
    };
    assert_eq!(of("a", all.clone()).await, Some(first.clone()));
    assert_eq!(of("ab", all).await, None);
    let configs = f.store.configs(&name("a")).await.unwrap();
    assert_eq!(configs, [first, own]);
    assert_eq!(f.store.configs(&name("never")).await.unwrap(), []);
}

async fn wanted_clients_are_kept_until_they_are_not(mut f: Fixture) {
    let wanted = |name: &str, over: Option<Over>| Wanted {
        name: name.try_into().unwrap(),
        template: "default".to_owned(),
        parameters: [("log_level".to_owned(), "debug".to_owned())].into(),
        asked_ms: START,
        over,
    };
    let failed = Over {
        failed: true,
        at_ms: START + 1,
        reason: "it ended too often".to_owned(),
    };
    for change in [
        ClientChange::Put(wanted("b", None)),
        ClientChange::Put(wanted("甲", None)),
        ClientChange::Put(wanted("gone", None)),
        ClientChange::Put(wanted("b", Some(failed.clone()))),
        ClientChange::Remove("gone".try_into().unwrap()),
        ClientChange::Remove("never".try_into().unwrap()),
    ] {
        f.store.change_client(change).await.unwrap();
    }
    f.settle().await;
    let kept = f.store.clients().await.unwrap();
    assert_eq!(kept, vec![wanted("b", Some(failed)), wanted("甲", None)]);
}

async fn accounts_are_counted_once_and_listed(mut f: Fixture) {
    for account in ["b", "a", "ab", "a"] {
        f.ok(account, logs_in(account)).await;
    }
    f.settle().await;
    f.ok("b", logs_in("b")).await;
    assert_eq!(f.store.account_count().await.unwrap(), 3);
    let page = f.store.accounts(None, 2).await.unwrap();
    assert_eq!(page.items, vec![account("a"), account("ab")]);
    let page = f.store.accounts(page.next.as_deref(), 2).await.unwrap();
    assert_eq!((page.items, page.next), (vec![account("b")], None));
    assert_eq!(f.store.account(&id("abc")).await.unwrap(), None);
}

async fn events_are_listed_by_key(mut f: Fixture) {
    for key in ["m2", "m1", "m3"] {
        f.ok("a", settles(key)).await;
    }
    f.ok("aa", settles("m0")).await;
    f.settle().await;
    let page = f.store.events(&id("a"), None, 2).await.unwrap();
    let keys: Vec<&str> = page.items.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!((keys, page.next.as_deref()), (vec!["m1", "m2"], Some("m2")));
    let page = f.store.events(&id("a"), Some("m2"), 2).await.unwrap();
    assert_eq!(page.items.len(), 1);
    assert_eq!(page.next, None);
}

// ------------------------------------------- logins, files, pauses, alarms

async fn a_login_changes_from_the_revision_before_only(mut f: Fixture) {
    let mut known = login("l");
    let at = |revision| Login {
        revision,
        ..login("l")
    };
    for revision in [0, 2, u64::MAX] {
        let changed = f.change_login(&at(revision), ImageChange::Keep).await;
        assert_eq!(changed, LoginChanged::Moved, "{revision}");
    }
    assert_eq!(f.store.login(&login_id("l")).await.unwrap(), None);
    let changed = f.change_login(&known, ImageChange::Keep).await;
    assert_eq!(changed, LoginChanged::Ok);
    f.settle().await;
    assert!(known.failed("no client", START + 1));
    for (login, expected) in [
        (&at(1), LoginChanged::Moved),
        (&at(3), LoginChanged::Moved),
        (&known, LoginChanged::Ok),
        (&known, LoginChanged::Moved),
        (&login("k"), LoginChanged::Ok),
    ] {
        let changed = f.change_login(login, ImageChange::Keep).await;
        assert_eq!(changed, expected, "{}", login.revision);
    }
    f.settle().await;
    let stored = f.store.login(&login_id("l")).await.unwrap();
    assert_eq!(stored.as_ref(), Some(&known));
    let mut all = f.store.logins().await.unwrap();
    all.sort_by(|one, other| one.id.cmp(&other.id));
    assert_eq!(all, vec![login("k"), known]);
}

async fn of_two_changes_of_a_login_one_is_taken(mut f: Fixture) {
    let mut known = login("l");
    for round in 1..20u64 {
        let (apart, with) = (known.clone(), known.clone());
        let commit = Commit {
            login: Some(changes_to(&with, image(2, 9000))),
            ..Commit::default()
        };
        let a = id("a");
        let (apart, with) = tokio::join!(
            f.store.change_login(changes_to(&apart, image(1, 9000))),
            f.store.commit(&a, Epoch(0), commit.into()),
        );
        let won = match (apart.unwrap(), with.unwrap()) {
            (LoginChanged::Ok, Committed::LoginMoved) => 1,
            (LoginChanged::Moved, Committed::Ok) => 2,
            other => panic!("{other:?}"),
        };
        assert_eq!(f.image("l").await, Some(vec![won; 9000]), "round {round}");
        known.revision += 1;
    }
    f.settle().await;
    let stored = f.store.login(&login_id("l")).await.unwrap().unwrap();
    assert_eq!(stored.revision, 19);
}

/// A commit that changes everything there is, and this login.
fn with_login(event: &str, login: &Login) -> Commit {
    let change = LoginChange {
        alarm_ms: Some(START + 5),
        ..changes_to(login, image(7, 100_000))
    };
    Commit {
        tasks: vec![task("a", 1)],
        key_values: vec![write("h", "k", Some(&[1; 9000]))],
        contacts: vec![ContactChange::Put(user("u"))],
        account: Some(account("a")),
        failure: Some(failure(event, START)),
        login: Some(change),
        files: vec![file("a", "f")],
        pauses: vec![PauseChange::Put(pause("c", START + 1))],
        alarms: vec![(START, alarm("a", 1))],
        ..settles(event)
    }
}

async fn a_commit_whose_login_moved_leaves_nothing_behind(mut f: Fixture) {
    let mut moved = login("l");
    moved.revision = 2;
    let commit = with_login("m1", &moved);
    assert_eq!(f.commit("a", commit.clone()).await, Committed::LoginMoved);
    f.settle().await;
    let a = id("a");
    let event = f.store.event(&a, &EventKey::new("m1")).await.unwrap();
    assert_eq!(event, None);
    assert_eq!(f.next("a").await, None);
    let value = f.store.key_value(&bucket("a", "h"), "k").await.unwrap();
    assert_eq!(value, None);
    assert_eq!(f.store.contact(&a, "u").await.unwrap(), None);
    assert_eq!(f.store.account_count().await.unwrap(), 0);
    assert_eq!(f.store.failures(&a, 9).await.unwrap(), vec![]);
    assert_eq!(f.store.login(&login_id("l")).await.unwrap(), None);
    assert_eq!(f.image("l").await, None);
    assert_eq!(f.store.file_request(&a, "f").await.unwrap(), None);
    assert_eq!(f.store.pause(&a, "c").await.unwrap(), None);
    assert_eq!(f.alarms(u64::MAX, 9).await, vec![]);
    // Who is fenced, or comes twice, is told that and not this.
    let fenced = f.store.commit(&a, Epoch(1), commit.clone().into()).await;
    assert_eq!(fenced.unwrap(), Committed::Fenced);
    f.ok("a", with_login("m1", &login("l"))).await;
    f.settle().await;
    let known = seen("m1", START, None).record;
    assert_eq!(
        f.commit("a", with_login("m1", &login("l"))).await,
        Committed::Duplicate(known)
    );
    assert_eq!(f.image("l").await, Some(vec![7; 100_000]));
    assert_eq!(
        f.alarms(u64::MAX, 9).await,
        vec![
            (START, alarm("a", 1)),
            (START + 5, Alarm::Login(login_id("l")))
        ]
    );
}

async fn a_logins_image_is_replaced_and_dropped(mut f: Fixture) {
    let mut known = login("l");
    let large = |byte| vec![byte; 150_000];
    for (change, expected) in [
        (ImageChange::Keep, None),
        (image(1, 150_000), Some(large(1))),
        (ImageChange::Keep, Some(large(1))),
        (image(2, 150_000), Some(large(2))),
        (image(3, 10), Some(vec![3; 10])),
        (image(4, 0), Some(Vec::new())),
        (image(5, 150_000), Some(large(5))),
        (ImageChange::Drop, None),
        (ImageChange::Drop, None),
    ] {
        assert_eq!(f.change_login(&known, change).await, LoginChanged::Ok);
        f.settle().await;
        assert!(f.image("l").await == expected, "{}", known.revision);
        known.revision += 1;
    }
    // Whoever comes too late changes no image either.
    let late = f.change_login(&login("l"), image(6, 10)).await;
    assert_eq!(late, LoginChanged::Moved);
    assert_eq!(f.image("l").await, None);
    let huge = changes_to(&known, image(0, COMMIT_BYTES_MAX));
    let result = f.store.change_login(huge.clone()).await;
    assert!(matches!(result, Err(StoreError::TooLarge { .. })));
    let commit = Commit {
        login: Some(huge),
        ..Commit::default()
    };
    let result = f.store.commit(&id("a"), Epoch(0), commit.into()).await;
    assert!(matches!(
        result,
        Err(StoreError::TooLarge { changes: 2, .. })
    ));
}

async fn a_file_is_asked_of_several_accounts(mut f: Fixture) {
    let long = "f".repeat(4096);
    let longer = format!("{}g", "f".repeat(4095));
    let asks = |account: &str, names: &[&str]| Commit {
        files: names.iter().map(|name| file(account, name)).collect(),
        ..Commit::default()
    };
    f.ok("a", asks("a", &["f", "ff", &long])).await;
    f.ok("ab", asks("ab", &["f", &longer])).await;
    f.settle().await;
    let mut missing = file("a", "f");
    missing.missing("the client has it no more", START + 1);
    let commit = Commit {
        files: vec![missing.clone()],
        ..Commit::default()
    };
    f.ok("a", commit).await;
    f.settle().await;
    for (name, expected) in [
        ("f", vec![missing.clone(), file("ab", "f")]),
        ("ff", vec![file("a", "ff")]),
        (&long, vec![file("a", &long)]),
        (&longer, vec![file("ab", &longer)]),
        ("", vec![]),
    ] {
        let mut requests = f.store.file_requests(name, 9).await.unwrap();
        requests.sort_by(|one, other| one.account.cmp(&other.account));
        assert_eq!(requests, expected);
    }
    assert_eq!(f.store.file_requests("f", 1).await.unwrap().len(), 1);
    let one = f.store.file_request(&id("a"), "f").await.unwrap();
    assert_eq!(one, Some(missing));
    let none = f.store.file_request(&id("ab"), "ff").await.unwrap();
    assert_eq!(none, None);
}

async fn pauses_come_by_conversation(mut f: Fixture) {
    let puts = |conversations: &[&str]| Commit {
        pauses: conversations
            .iter()
            .map(|conversation| PauseChange::Put(pause(conversation, START)))
            .collect(),
        ..Commit::default()
    };
    f.ok("a", puts(&["g3@chatroom", "u1", "g1@chatroom", "u2"]))
        .await;
    f.ok("ab", puts(&["u0"])).await;
    f.settle().await;
    let others = Commit {
        pauses: vec![
            PauseChange::Lift("u1".to_owned()),
            PauseChange::Lift("never there".to_owned()),
            PauseChange::Put(pause("u2", START + 9)),
        ],
        ..Commit::default()
    };
    f.ok("a", others).await;
    f.settle().await;
    let a = id("a");
    let page = f.store.pauses(&a, None, 2).await.unwrap();
    let first = vec![pause("g1@chatroom", START), pause("g3@chatroom", START)];
    assert_eq!(page.items, first);
    let page = f.store.pauses(&a, page.next.as_deref(), 2).await.unwrap();
    assert_eq!(
        (page.items, page.next),
        (vec![pause("u2", START + 9)], None)
    );
    assert_eq!(f.store.pause(&a, "u1").await.unwrap(), None);
    assert_eq!(f.store.pause(&id("ab"), "u2").await.unwrap(), None);
    let nobody = f.store.pauses(&id("b"), None, 9).await.unwrap();
    assert_eq!((nobody.items, nobody.next), (vec![], None));
}

async fn failures_in_a_row_come_by_account_and_handler(mut f: Fixture) {
    let fails = |account: &str, handler: &str, failures| Commit {
        failing: Some(puts_failing(failing(account, handler, failures))),
        ..Commit::default()
    };
    for (account, handler) in [("b", "h"), ("a", "h"), ("ab", "hh"), ("c", "h")] {
        f.ok(account, fails(account, handler, 1)).await;
    }
    f.settle().await;
    f.ok("b", fails("b", "h", 2)).await;
    let ends = Commit {
        failing: Some(FailingChange::End),
        ..Commit::default()
    };
    f.ok("c", ends.clone()).await;
    f.ok("never", ends).await;
    f.settle().await;
    let of_b = f.store.failing(&id("b")).await.unwrap();
    assert_eq!(of_b, Some(failing("b", "h", 2)));
    assert_eq!(f.store.failing(&id("c")).await.unwrap(), None);
    let page = f.store.failings(None, None, 2).await.unwrap();
    assert_eq!(page.items, [failing("a", "h", 1), failing("ab", "hh", 1)]);
    let page = f
        .store
        .failings(None, page.next.as_deref(), 2)
        .await
        .unwrap();
    assert_eq!((page.items, page.next), (vec![failing("b", "h", 2)], None));
    let page = f.store.failings(Some(&name("h")), None, 9).await.unwrap();
    let of_h = vec![failing("a", "h", 1), failing("b", "h", 2)];
    assert_eq!((page.items, page.next), (of_h, None));
}

async fn what_waits_comes_in_order_until_it_is_settled(mut f: Fixture) {
    let changes = |waiting| Commit {
        waiting,
        ..Commit::default()
    };
    let put = |number, bytes| WaitingChange::Put(Box::new(waits(number, bytes)));
    f.ok("a", settles("m")).await;
    let first = f.store.reserve(1).0;
    let (second, third) = (first + 1, first + 2);
    f.ok("a", changes(vec![put(second, 1), put(first, 9_000)]))
        .await;
    f.ok("a", changes(vec![put(third, 20_000)])).await;
    f.ok("ab", changes(vec![put(5, 1)])).await;
    f.settle().await;
    let a = id("a");
    let oldest = f.store.waiting(&a, 0, 2).await.unwrap();
    assert_eq!(oldest, [waits(first, 9_000), waits(second, 1)]);
    let later = f.store.waiting(&a, second, 9).await.unwrap();
    assert_eq!(later, [waits(second, 1), waits(third, 20_000)]);
    assert_eq!(f.store.waiting(&a, third + 1, 9).await.unwrap(), []);
    let record = EventRecord {
        at_ms: START,
        outcome: EventOutcome::PassedBy,
        tasks: Vec::new(),
    };
    let settle = WaitingChange::Settle {
        number: first,
        key: EventKey::new("m"),
        record: record.clone(),
    };
    f.ok("a", changes(vec![settle, WaitingChange::Remove(second)]))
        .await;
    f.settle().await;
    assert_eq!(
        f.store.waiting(&a, 0, 9).await.unwrap(),
        [waits(third, 20_000)]
    );
    let known = f.store.event(&a, &EventKey::new("m")).await.unwrap();
    assert_eq!(known, Some(record));
    assert!(f.store.reserve(1).0 > third - 2);
    assert_eq!(f.store.waiting(&id("b"), 0, 9).await.unwrap(), []);
}

async fn a_ring_keeps_the_last_events_until_they_are_swept(mut f: Fixture) {
    let commit = |number| Commit {
        recorded: records(recorded(number, START + number, 9_000)),
        ..Commit::default()
    };
    for number in 0..5 {
        f.ok("a", commit(number)).await;
    }
    f.ok("ab", commit(0)).await;
    f.settle().await;
    let a = id("a");
    let numbers = |all: Vec<Recorded>| all.iter().map(|it| it.number).collect::<Vec<_>>();
    let all = f.store.recorded(&a).await.unwrap();
    assert_eq!(all.last(), Some(&recorded(4, START + 4, 9_000)));
    assert_eq!(numbers(all), [2, 3, 4]);
    while f.store.sweep(START + 4).await.unwrap() {}
    f.settle().await;
    assert_eq!(numbers(f.store.recorded(&a).await.unwrap()), [4]);
    assert_eq!(f.store.recorded(&id("ab")).await.unwrap(), []);
}

async fn alarms_come_in_order_until_they_are_dismissed(mut f: Fixture) {
    let long = Alarm::File(id("a"), "f".repeat(4096));
    let rings = vec![
        (START + 256, alarm("a", 1)),
        (START + 2, long.clone()),
        (START + 255, Alarm::Login(login_id("l"))),
        (START + 2, long.clone()),
        (START + 300, alarm("a", 1)),
        (0, Alarm::File(id("a"), String::new())),
        (u64::MAX, alarm("a", 2)),
    ];
    let commit = Commit {
        alarms: rings,
        ..Commit::default()
    };
    f.ok("a", commit).await;
    f.settle().await;
    let expected = [
        (0, Alarm::File(id("a"), String::new())),
        (START + 2, long),
        (START + 255, Alarm::Login(login_id("l"))),
        (START + 256, alarm("a", 1)),
        (START + 300, alarm("a", 1)),
    ];
    assert_eq!(f.alarms(START + 300, 9).await, expected);
    assert_eq!(f.alarms(START + 299, 9).await, expected[..4]);
    assert_eq!(f.alarms(START + 255, 9).await, expected[..3]);
    assert_eq!(f.alarms(START + 300, 2).await, expected[..2]);
    assert_eq!(f.alarms(u64::MAX, 9).await.len(), 6);
    // Those of the past remain until somebody answers them.
    f.clock.fetch_add(1_000_000, Ordering::Relaxed);
    while f.store.sweep(START + 999_999).await.unwrap() {}
    let mut answered = expected[1..4].to_vec();
    answered.push((START + 257, alarm("a", 1)));
    f.store.dismiss(answered.clone(), Vec::new()).await.unwrap();
    f.settle().await;
    let left = [expected[0].clone(), expected[4].clone()];
    assert_eq!(f.alarms(START + 300, 9).await, left);
    // What is set for later in the same step is not removed by it.
    let again = vec![(START + 290, alarm("b", 3))];
    f.store.dismiss(answered, again.clone()).await.unwrap();
    f.settle().await;
    assert_eq!(
        f.alarms(START + 290, 9).await,
        [expected[0].clone(), again[0].clone()]
    );
    f.store.dismiss(again, Vec::new()).await.unwrap();
    f.store.dismiss(Vec::new(), Vec::new()).await.unwrap();
    let many = vec![(START, alarm("a", 1)); COMMIT_CHANGES_MAX + 1];
    let result = f.store.dismiss(many, Vec::new()).await;
    assert!(matches!(result, Err(StoreError::TooLarge { .. })));
    assert_eq!(f.alarms(START + 300, 9).await, left);
}

async fn a_timer_and_its_alarm_are_one(mut f: Fixture) {
    let a = id("a");
    let rings = |at: Millis| (at, Alarm::Timer(id("a"), name("h"), "t".to_owned()));
    f.ok("a", sets(timer("h", "t", START + 5), None)).await;
    f.settle().await;
    let stored = f.store.timer(&a, &name("h"), "t").await.unwrap();
    assert_eq!(stored, Some(timer("h", "t", START + 5)));
    assert_eq!(f.wakeups(START + 9).await, [rings(START + 5)]);
    assert_eq!(f.alarms(START + 9, 9).await, []);
    // Set anew, it rings at its new time only.
    f.ok("a", sets(timer("h", "t", START + 3), Some(START + 5)))
        .await;
    f.settle().await;
    assert_eq!(f.wakeups(START + 9).await, [rings(START + 3)]);
    // What settles an event and removes its timer happens once, and in order.
    let fired = || Commit {
        timers: vec![
            TimerChange::Remove {
                handler: name("h"),
                id: "t".to_owned(),
                due_ms: START + 3,
            },
            TimerChange::Put {
                timer: timer("h", "t", START + 7),
                instead_of_ms: None,
            },
        ],
        ..settles("timer-1")
    };
    f.ok("a", fired()).await;
    let again = f.commit("a", fired()).await;
    assert!(matches!(again, Committed::Duplicate(_)), "{again:?}");
    f.settle().await;
    assert_eq!(f.wakeups(START + 9).await, [rings(START + 7)]);
    let gone = Commit {
        timers: vec![TimerChange::Remove {
            handler: name("h"),
            id: "t".to_owned(),
            due_ms: START + 7,
        }],
        ..Commit::default()
    };
    f.ok("a", gone).await;
    f.settle().await;
    assert_eq!(f.store.timer(&a, &name("h"), "t").await.unwrap(), None);
    assert_eq!(f.wakeups(u64::MAX).await, []);
}

async fn timers_come_by_handler_and_name(mut f: Fixture) {
    let named = [("h", "b"), ("h", "a"), ("h-h", "a"), ("hh", "a")];
    for (handler, id) in named {
        f.ok("a", sets(timer(handler, id, START), None)).await;
    }
    f.ok("ab", sets(timer("h", "c", START), None)).await;
    f.settle().await;
    let a = id("a");
    let own = f.store.timers_of(&a, &name("h"), 9).await.unwrap();
    assert_eq!(own, [timer("h", "a", START), timer("h", "b", START)]);
    assert_eq!(f.store.timers_of(&a, &name("h"), 1).await.unwrap().len(), 1);
    let first = f.store.timers(&a, None, 3).await.unwrap();
    assert_eq!(first.next.as_deref(), Some("h/b"));
    let rest = f.store.timers(&a, first.next.as_deref(), 3).await.unwrap();
    assert_eq!(rest.items, [timer("hh", "a", START)]);
    assert_eq!(rest.next, None);
}

async fn schedules_keep_their_times(mut f: Fixture) {
    let run = |schedule: &str, next_ms| Run {
        handler: name("h"),
        schedule: schedule.to_owned(),
        timing: "0 8 * * *@UTC".to_owned(),
        next_ms: Some(next_ms),
        last_ms: None,
        told_ms: None,
    };
    let changes = [run("a", 1), run("b", 1), run("a", 2)].map(CatalogueChange::PutRun);
    f.store.change_catalogue(changes.into()).await.unwrap();
    f.settle().await;
    let mut runs = f.store.runs().await.unwrap();
    runs.sort_by(|one, other| one.schedule.cmp(&other.schedule));
    assert_eq!(runs, [run("a", 2), run("b", 1)]);
    let gone = CatalogueChange::RemoveRun(run("a", 0).key());
    f.store.change_catalogue(vec![gone]).await.unwrap();
    f.settle().await;
    assert_eq!(f.store.runs().await.unwrap(), [run("b", 1)]);
}

async fn sweeping_forgets_ended_logins_files_and_pauses(mut f: Fixture) {
    let ended = |text: &str, at_ms| {
        let mut login = login(text);
        login.failed("no", at_ms);
        login
    };
    let (old, recent) = (ended("old", START), ended("recent", START + 1));
    for (login, first) in [(&old, login("old")), (&recent, login("recent"))] {
        f.change_login(&first, image(1, 9000)).await;
        assert_eq!(
            f.change_login(login, ImageChange::Drop).await,
            LoginChanged::Ok
        );
    }
    f.change_login(&login("open"), image(1, 9000)).await;
    let missing = |name: &str, at_ms| {
        let mut request = file("a", name);
        request.missing("no", at_ms);
        request
    };
    let commit = Commit {
        files: vec![
            missing("old", START),
            missing("recent", START + 1),
            file("a", "open"),
        ],
        pauses: vec![
            PauseChange::Put(pause("old", START)),
            PauseChange::Put(pause("recent", START + 1)),
        ],
        ..Commit::default()
    };
    f.ok("a", commit).await;
    while f.store.sweep(START + 1).await.unwrap() {}
    f.settle().await;
    let logins = f.store.logins().await.unwrap();
    let mut ids: Vec<&str> = logins.iter().map(|login| login.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["open", "recent"]);
    assert_eq!(f.image("open").await, Some(vec![1; 9000]));
    for (name, there) in [("old", false), ("recent", true), ("open", true)] {
        let request = f.store.file_request(&id("a"), name).await.unwrap();
        assert_eq!(request.is_some(), there, "{name}");
    }
    let pauses = f.store.pauses(&id("a"), None, 9).await.unwrap();
    assert_eq!(pauses.items, [pause("recent", START + 1)]);
    // What was forgotten is new when it comes again.
    let changed = f.change_login(&login("old"), ImageChange::Keep).await;
    assert_eq!(changed, LoginChanged::Ok);
}

async fn sweeping_forgets_what_is_over(mut f: Fixture) {
    let old = START - 1;
    let mut over = task("a", 1);
    over.end(TaskState::Done, None, old);
    let mut recent = task("a", 2);
    recent.end(TaskState::Done, None, START);
    let commit = |key: &str, at_ms, tasks| Commit {
        seen: Some(seen(key, at_ms, None)),
        failure: Some(failure(key, at_ms)),
        tasks,
        ..logs_in("a")
    };
    f.ok("a", commit("old", old, vec![over])).await;
    f.ok("a", commit("new", START, vec![recent])).await;
    f.enqueue("a", None, &[3]).await;
    f.ok("a", writes("h", "k", Some(b"v"))).await;
    while f.store.sweep(START).await.unwrap() {}
    f.settle().await;
    let page = f.store.events(&id("a"), None, 9).await.unwrap();
    assert_eq!(page.items.len(), 1);
    assert_eq!(f.numbers("a", TaskFilter::default(), 9).await, vec![3, 2]);
    let failures = f.store.failures(&id("a"), 9).await.unwrap();
    assert_eq!(failures, vec![failure("new", START)]);
    assert_eq!(f.next("a").await, Some(3));
    let value = f.store.key_value(&bucket("a", "h"), "k").await.unwrap();
    assert!(value.is_some());
    assert_eq!(f.store.account_count().await.unwrap(), 1);
    // What was forgotten is new when it comes again.
    f.ok("a", settles("old")).await;
}

async fn a_swept_store_forgets_in_steps(mut f: Fixture) {
    for round in 0..6 {
        let ended = |n: u64| {
            let mut task = task("a", round * 1000 + n + 1);
            task.end(TaskState::Done, None, START);
            task
        };
        let tasks = (0..1000).map(ended).collect();
        f.ok(
            "a",
            Commit {
                tasks,
                ..Commit::default()
            },
        )
        .await;
    }
    f.enqueue("a", Some("key"), &[9000]).await;
    f.clock.fetch_add(10, Ordering::Relaxed);
    f.enqueue("a", Some("later"), &[9001]).await;
    f.settle().await;
    let mut calls = 1;
    while f.store.sweep(START + 1).await.unwrap() {
        calls += 1;
    }
    assert!(calls <= 3, "{calls}");
    f.settle().await;
    let left = f.numbers("a", TaskFilter::default(), 9).await;
    assert_eq!(left, vec![9001, 9000]);
    // The request's answer is forgotten, its tasks are not over.
    assert_eq!(f.enqueue("a", Some("key"), &[9002]).await, Enqueued::Ok);
    assert_eq!(
        f.enqueue("a", Some("later"), &[9002]).await,
        Enqueued::KeyReused
    );
    // The next pass begins anew.
    while f.store.sweep(START + 99).await.unwrap() {}
    assert_eq!(f.enqueue("a", Some("later"), &[9003]).await, Enqueued::Ok);
}

async fn large_values_come_back_whole(mut f: Fixture) {
    let a = id("a");
    let value = |n: usize, byte: u8| vec![byte; n];
    for n in [4094, 4095, 4096, 4097, 70_000, 3_000_000] {
        f.ok("a", writes("h", "k", Some(&value(n, 1)))).await;
        f.ok("a", writes("h", "l", Some(&value(n, 2)))).await;
        f.settle().await;
        let k = f.store.key_value(&bucket("a", "h"), "k").await.unwrap();
        assert!(k == Some(value(n, 1)), "{n}");
    }
    f.ok("a", writes("h", "k", None)).await;
    f.ok("a", writes("h", "l", Some(b"small"))).await;
    let mut known = settles("m1");
    known.seen.as_mut().unwrap().record.tasks = (0..4000).map(TaskNumber).collect();
    f.ok("a", known.clone()).await;
    f.settle().await;
    assert_eq!(
        f.store.key_value(&bucket("a", "h"), "k").await.unwrap(),
        None
    );
    let l = f.store.key_value(&bucket("a", "h"), "l").await.unwrap();
    assert_eq!(l.as_deref(), Some(b"small".as_slice()));
    let record = known.seen.clone().unwrap().record;
    assert_eq!(
        f.commit("a", known).await,
        Committed::Duplicate(record.clone())
    );
    let page = f.store.events(&a, None, 9).await.unwrap();
    assert_eq!(page.items, vec![(EventKey::new("m1"), record)]);
    while f.store.sweep(START + 1).await.unwrap() {}
    let gone = f.store.event(&a, &EventKey::new("m1")).await.unwrap();
    assert_eq!(gone, None);
}

async fn a_commit_too_large_is_refused(mut f: Fixture) {
    let many = (0..=COMMIT_CHANGES_MAX).map(|n| write("h", &n.to_string(), Some(b"")));
    let mut commit = Commit {
        key_values: many.collect(),
        ..Commit::default()
    };
    let a = id("a");
    let result = f.store.commit(&a, Epoch(0), commit.clone().into()).await;
    assert!(matches!(
        result,
        Err(StoreError::TooLarge { changes: 1025, .. })
    ));
    commit.key_values.pop();
    f.ok("a", commit).await;
    let big = writes("h", "big", Some(&vec![0; COMMIT_BYTES_MAX]));
    let result = f.store.commit(&a, Epoch(0), big.into()).await;
    assert!(matches!(
        result,
        Err(StoreError::TooLarge { changes: 1, .. })
    ));
    f.settle().await;
    let keys = f.store.keys(&bucket("a", "h"), None, 9999).await.unwrap();
    assert_eq!(keys.len(), COMMIT_CHANGES_MAX);
}

async fn numbers_rise(mut f: Fixture) {
    let first = f.store.reserve(10).0;
    assert_eq!(first, START * 1000);
    let second = f.store.reserve(1).0;
    assert_eq!(second, first + 10);
    f.enqueue("a", None, &[second]).await;
    f.clock.store(START - 86_400_000, Ordering::Relaxed);
    f.settle().await;
    let third = f.store.reserve(1).0;
    assert!(third > second);
    assert!(third < 1 << 53);
    // The mark holds over any number of restarts, with and without writing.
    f.settle().await;
    f.settle().await;
    f.enqueue("a", None, &[third]).await;
    f.settle().await;
    assert!(f.store.reserve(1).0 > third);
}

async fn many_accounts_commit_at_once(mut f: Fixture) {
    let one = |store: Arc<dyn Store>, n: usize| async move {
        let account = format!("account{n}");
        for round in 0..10 {
            let commit = Commit {
                tasks: vec![task(&account, round + 1)],
                ..settles(&format!("m{round}"))
            };
            let a = id(&account);
            let first = store.commit(&a, Epoch(0), commit.clone().into());
            // The same at the same time: one of them is the duplicate.
            let (first, second) = tokio::join!(first, store.commit(&a, Epoch(0), commit.into()));
            let duplicates = [first, second]
                .into_iter()
                .filter(|result| matches!(result, Ok(Committed::Duplicate(_))));
            assert_eq!(duplicates.count(), 1);
        }
    };
    let running: Vec<_> = (0..64)
        .map(|n| tokio::spawn(one(Arc::clone(&f.store), n)))
        .collect();
    for task in running {
        task.await.unwrap();
    }
    f.settle().await;
    for n in 0..64 {
        let account = format!("account{n}");
        let tasks = f.numbers(&account, TaskFilter::default(), 99).await;
        assert_eq!(tasks.len(), 10);
        assert_eq!(f.next(&account).await, Some(1));
    }
}

async fn a_closed_store_says_so(f: Fixture) {
    f.ok("a", settles("m1")).await;
    f.store.close().await.unwrap();
    let a = id("a");
    let is_closed = |error: StoreError| assert!(matches!(error, StoreError::Closed), "{error}");
    is_closed(f.store.account(&a).await.unwrap_err());
    is_closed(
        f.store
            .commit(&a, Epoch(0), settles("m2").into())
            .await
            .unwrap_err(),
    );
    let change = changes_to(&login("l"), ImageChange::Keep);
    is_closed(f.store.change_login(change).await.unwrap_err());
    is_closed(
        f.store
            .alarms(AlarmKind::Wakeup, START, 9)
            .await
            .unwrap_err(),
    );
    is_closed(f.store.dismiss(Vec::new(), Vec::new()).await.unwrap_err());
    is_closed(f.store.sweep(START).await.unwrap_err());
    is_closed(f.store.close().await.unwrap_err());
    assert!(f.store.now() >= START);
}
