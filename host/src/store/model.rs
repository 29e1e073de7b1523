//! Random work, done to the store in memory and to the embedded one: what they
//! answer must be the same all the way, also when the embedded one is opened
//! again in between.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use proptest::prelude::*;

use super::suite::{self, Fixture, Kind, START, id, login_id, name, task, task_id};
use crate::domain::{
    Alarm, AlarmKind, Bucket, Digest, EventKey, Failure, FileRequest, Millis, Task, TaskNumber,
    TaskState, TimerChange, Usage,
    ports::{
        Commit, Committed, ContactChange, Enqueue, Enqueued, Epoch, FailingChange, ImageChange,
        KeyValueWrite, LoginChange, LoginChanged, PauseChange, RecordedAt, SharedChange, Store,
        TaskFilter, WaitingChange,
    },
};

const ACCOUNTS: [&str; 3] = ["a", "ab", "b"];

#[derive(Debug, Clone)]
enum Work {
    Commit(&'static str, u64, Box<Commit>),
    Enqueue(&'static str, Enqueue),
    TakeOver(&'static str),
    ChangeLogin(LoginChange),
    Dismiss(Vec<(Millis, Alarm)>),
    Sweep(u64),
    Reopen,
}

fn of<T: Clone + std::fmt::Debug + 'static>(from: &'static [T]) -> impl Strategy<Value = T> {
    proptest::sample::select(from)
}

/// Every third task is an urgent one.
fn numbered(account: &str, number: u64) -> Task {
    match number % 3 {
        0 => suite::urgent(account, number),
        _ => task(account, number),
    }
}

fn some_task(account: &'static str) -> impl Strategy<Value = Task> {
    let state = proptest::sample::select(&TaskState::ALL[..]);
    (1u64..9, state, 0u64..9).prop_map(move |(number, state, at)| {
        let mut task = numbered(account, number);
        task.state = state;
        task.ended_ms = state.is_final().then_some(START + at);
        // Long enough, now and then, to be kept in pieces.
        task.reason = (at == 8).then(|| "x".repeat(9_000));
        task
    })
}

fn some_write() -> impl Strategy<Value = KeyValueWrite> {
    let value = prop_oneof![Just(None), (0usize..9000).prop_map(|n| Some(vec![1; n]))];
    (of(&["h", "hh"]), of(&["", "k", "k\0", "kk"]), value).prop_map(|(handler, key, value)| {
        KeyValueWrite {
            handler: name(handler),
            key: key.to_owned(),
            value,
        }
    })
}

/// What was read is often so: absent, or one of two values that are written.
fn some_shared() -> impl Strategy<Value = SharedChange> {
    let key = || of(&["", "k", "kk"]).prop_map(str::to_owned);
    let value = || proptest::option::of(of(&[1usize, 9000]).prop_map(|n| vec![1; n]));
    let digest = |value: Option<Vec<u8>>| value.map(|value| Digest::of(&value));
    let read = proptest::collection::vec((key(), value().prop_map(digest)), 0..2);
    let writes = proptest::collection::btree_map(key(), value(), 0..3);
    let max = of(&[1u64, 12_000]).prop_map(|bytes| Usage { keys: 2, bytes });
    (of(&["h", "hh"]), read, writes, max).prop_map(|(handler, read, writes, max)| SharedChange {
        handler: name(handler),
        read,
        writes: writes.into_iter().collect(),
        max,
    })
}

fn some_contact() -> impl Strategy<Value = ContactChange> {
    let text = || of(&["", "u", "uu", "v"]).prop_map(str::to_owned);
    prop_oneof![
        text().prop_map(|id| ContactChange::Put(suite::user(&id))),
        text().prop_map(|id| ContactChange::Put(suite::group(&id))),
        text().prop_map(ContactChange::Remove),
        (text(), text()).prop_map(|(g, u)| ContactChange::PutMember(g, suite::member(&u))),
        (text(), text()).prop_map(|(g, u)| ContactChange::RemoveMember(g, u)),
    ]
}

fn some_alarm() -> impl Strategy<Value = (Millis, Alarm)> {
    let alarm = prop_oneof![
        (of(&ACCOUNTS), 1u64..4).prop_map(|(account, number)| suite::alarm(account, number)),
        of(&["f", "g"]).prop_map(|file| Alarm::File(id("a"), file.repeat(5000))),
        of(&["l", "ll"]).prop_map(|login| Alarm::Login(login_id(login))),
    ];
    (0u64..9, alarm).prop_map(|(at, alarm)| (START + at, alarm))
}

fn some_pause() -> impl Strategy<Value = PauseChange> {
    let conversation = || of(&["", "c", "cc", "d"]);
    prop_oneof![
        2 => (conversation(), 0u64..9)
            .prop_map(|(text, at)| PauseChange::Put(suite::pause(text, START + at))),
        1 => conversation().prop_map(|text| PauseChange::Lift(text.to_owned())),
    ]
}

fn some_failing(account: &'static str) -> impl Strategy<Value = FailingChange> {
    prop_oneof![
        2 => (of(&["h", "hh"]), 0u32..9).prop_map(move |(handler, failures)| {
            suite::puts_failing(suite::failing(account, handler, failures))
        }),
        1 => Just(FailingChange::End),
    ]
}

fn some_waiting() -> impl Strategy<Value = WaitingChange> {
    prop_oneof![
        2 => (1u64..5, of(&[1usize, 9000]))
            .prop_map(|(number, bytes)| WaitingChange::Put(Box::new(suite::waits(number, bytes)))),
        1 => (1u64..5).prop_map(WaitingChange::Remove),
        1 => (1u64..5, 0u64..9).prop_map(|(number, at)| {
            let seen = suite::seen("m", START + at, None);
            WaitingChange::Settle { number, key: seen.key, record: seen.record }
        }),
    ]
}

fn some_recorded() -> impl Strategy<Value = Option<Box<RecordedAt>>> {
    let recorded = (0u64..9, 0u64..9, of(&[1usize, 9000]));
    recorded
        .prop_map(|(number, at, bytes)| suite::records(suite::recorded(number, START + at, bytes)))
}

fn some_timer() -> impl Strategy<Value = TimerChange> {
    let named = || (of(&["h", "h-h"]), of(&["t", "t/t", "u"]), 0u64..9);
    prop_oneof![
        2 => (named(), proptest::option::of(0u64..9)).prop_map(|((handler, id, due), former)| {
            TimerChange::Put {
                timer: suite::timer(handler, id, START + due),
                instead_of_ms: former.map(|at| START + at),
            }
        }),
        1 => named().prop_map(|(handler, id, due)| TimerChange::Remove {
            handler: name(handler),
            id: id.to_owned(),
            due_ms: START + due,
        }),
    ]
}

fn some_file(account: &'static str) -> impl Strategy<Value = FileRequest> {
    let ended = proptest::option::of(0u64..9);
    (of(&["f", "ff"]), ended).prop_map(move |(name, ended)| {
        let mut request = suite::file(account, name);
        if let Some(at) = ended {
            request.missing("no", START + at);
        }
        request
    })
}

fn some_login() -> impl Strategy<Value = LoginChange> {
    let image = prop_oneof![
        Just(ImageChange::Keep),
        Just(ImageChange::Drop),
        (0usize..9000).prop_map(|n| ImageChange::Put(vec![1; n].into())),
    ];
    let at = || proptest::option::of(0u64..9);
    (of(&["l", "ll"]), 0u64..5, image, at(), at()).prop_map(|(text, revision, image, end, ring)| {
        let mut login = suite::login(text);
        if let Some(at) = end {
            login.failed("no", START + at);
        }
        login.revision = revision;
        LoginChange {
            alarm_ms: ring.map(|at| START + at),
            ..suite::changes_to(&login, image)
        }
    })
}

fn some_commit(account: &'static str) -> impl Strategy<Value = Commit> {
    let span = proptest::option::of(Just(Duration::from_millis(3)));
    let seen = (of(&["m", "m1", "n"]), 0u64..9, span)
        .prop_map(|(key, at, span)| suite::seen(key, START + at, span));
    let failure = (of(&["m", "n"]), 0u64..9).prop_map(move |(event, at)| Failure {
        account: Some(id(account)),
        ..suite::failure(event, START + at)
    });
    (
        proptest::option::of(seen),
        proptest::collection::vec(some_task(account), 0..4),
        (
            proptest::collection::vec(some_write(), 0..4),
            proptest::option::weighted(0.4, some_shared()),
        ),
        proptest::collection::vec(some_contact(), 0..4),
        proptest::option::of(Just(suite::account(account))),
        proptest::option::of(failure),
        // Rarely, since most are of another revision.
        proptest::option::weighted(0.2, some_login()),
        proptest::collection::vec(some_file(account), 0..3),
        proptest::collection::vec(some_pause(), 0..3),
        proptest::collection::vec(some_timer(), 0..3),
        (
            proptest::collection::vec(some_alarm(), 0..3),
            proptest::option::weighted(0.3, some_failing(account)),
            proptest::collection::vec(some_waiting(), 0..2),
            some_recorded(),
        ),
    )
        .prop_map(
            |(
                seen,
                tasks,
                (key_values, shared),
                contacts,
                account,
                failure,
                login,
                files,
                pauses,
                timers,
                (alarms, failing, waiting, recorded),
            )| Commit {
                seen,
                tasks,
                key_values,
                shared,
                contacts,
                account,
                failure,
                login,
                files,
                pauses,
                timers,
                alarms,
                failing,
                waiting,
                recorded,
            },
        )
}

fn some_request(account: &'static str) -> impl Strategy<Value = Enqueue> {
    let key = proptest::option::of(of(&["r", "rr"]).prop_map(str::to_owned));
    let files = proptest::collection::vec(some_file(account), 0..2);
    let alarms = proptest::collection::vec(some_alarm(), 0..2);
    let asked = (key, 0u8..2, 1u64..9, files, alarms);
    asked.prop_map(
        move |(idempotency_key, request, number, files, alarms)| Enqueue {
            files,
            alarms,
            idempotency_key,
            request: Digest::of(&[request]),
            tasks: vec![numbered(account, number)],
        },
    )
}

fn some_work() -> impl Strategy<Value = Work> {
    let account = || of(&ACCOUNTS);
    prop_oneof![
        8 => (account(), 0u64..2).prop_flat_map(|(account, epoch)| {
            some_commit(account).prop_map(move |commit| Work::Commit(account, epoch, commit.into()))
        }),
        4 => account().prop_flat_map(|account| {
            some_request(account).prop_map(move |request| Work::Enqueue(account, request))
        }),
        1 => account().prop_map(Work::TakeOver),
        3 => some_login().prop_map(Work::ChangeLogin),
        2 => proptest::collection::vec(some_alarm(), 0..9).prop_map(Work::Dismiss),
        1 => (0u64..9).prop_map(|at| Work::Sweep(START + at)),
        1 => Just(Work::Reopen),
    ]
}

/// What a piece of work was answered with.
#[derive(Debug, PartialEq)]
enum Answer {
    Committed(Committed),
    Enqueued(Enqueued),
    Owned(Epoch),
    Changed(LoginChanged),
    Done,
}

async fn work(f: &mut Fixture, work: Work, reopens: bool) -> Answer {
    match work {
        Work::Commit(account, epoch, commit) => {
            let result = f.store.commit(&id(account), Epoch(epoch), commit).await;
            Answer::Committed(result.unwrap())
        }
        Work::Enqueue(account, request) => {
            Answer::Enqueued(f.store.enqueue(&id(account), request).await.unwrap())
        }
        Work::TakeOver(account) => Answer::Owned(f.store.own(&id(account), true).await.unwrap()),
        Work::ChangeLogin(change) => Answer::Changed(f.store.change_login(change).await.unwrap()),
        Work::Dismiss(alarms) => {
            f.store.dismiss(alarms, Vec::new()).await.unwrap();
            Answer::Done
        }
        Work::Sweep(before) => {
            while f.store.sweep(before).await.unwrap() {}
            Answer::Done
        }
        Work::Reopen => {
            if reopens {
                f.reopen().await;
            }
            Answer::Done
        }
    }
}

/// Everything that can be read, as text.
async fn everything(store: &dyn Store) -> String {
    let mut all = vec![
        format!("{:?}", store.accounts(None, 2).await.unwrap()),
        format!("{:?}", store.account_count().await.unwrap()),
    ];
    for account in ACCOUNTS {
        all.push(of_account(store, account).await);
    }
    for handler in [None, Some(name("h"))] {
        let failings = store.failings(handler.as_ref(), Some("a"), 1).await;
        all.push(format!("{:?}", failings.unwrap()));
    }
    all.push(of_nobody(store).await);
    all.join("\n")
}

async fn failures_of(store: &dyn Store) -> (Vec<Failure>, Option<Failure>) {
    let id = suite::failure("m", 0).id.unwrap();
    let mut failures = store.failures_of(&name("h"), None, 9).await.unwrap();
    failures.extend(store.failures_of(&name("h"), Some(&id), 9).await.unwrap());
    (failures, store.failure(&name("h"), &id).await.unwrap())
}

async fn of_nobody(store: &dyn Store) -> String {
    let mut all = Vec::new();
    let kinds = AlarmKind::ALL.into_iter();
    for (kind, until) in kinds.flat_map(|kind| [(kind, START + 4), (kind, u64::MAX)]) {
        let mut alarms = store.alarms(kind, until, 999).await.unwrap();
        assert!(alarms.is_sorted_by_key(|(at, _)| *at));
        // At the same moment they come in any order.
        alarms.sort();
        all.push(format!("{alarms:?}"));
    }
    for text in ["l", "ll"] {
        let image = store.login_image(&login_id(text)).await.unwrap();
        let login = store.login(&login_id(text)).await.unwrap();
        all.push(format!("{login:?} {:?}", image.map(|image| image.len())));
    }
    for file in ["f", "ff"] {
        let mut requests = store.file_requests(file, 9).await.unwrap();
        requests.sort_by(|one, other| one.account.cmp(&other.account));
        all.push(format!("{requests:?}"));
    }
    let mut logins = store.logins().await.unwrap();
    logins.sort_by(|one, other| one.id.cmp(&other.id));
    all.push(format!("{logins:?}"));
    all.join("\n")
}

async fn of_account(store: &dyn Store, account: &str) -> String {
    let a = id(account);
    let mut all = vec![
        format!("{:?}", store.events(&a, None, 2).await.unwrap()),
        format!("{:?}", store.events(&a, Some("m1"), 2).await.unwrap()),
        format!("{:?}", store.event(&a, &EventKey::new("m")).await.unwrap()),
        format!("{:?}", store.failures(&a, 5).await.unwrap()),
        format!("{:?}", failures_of(store).await),
        format!("{:?}", store.next_queued(&a).await.unwrap()),
        format!("{:?}", store.queued(&a, 9).await.unwrap()),
        format!("{:?}", store.pauses(&a, None, 2).await.unwrap()),
        format!("{:?}", store.pauses(&a, Some("c"), 2).await.unwrap()),
        format!("{:?}", store.pause(&a, "c").await.unwrap()),
        format!("{:?}", store.failing(&a).await.unwrap()),
        format!("{:?}", store.waiting(&a, 3).await.unwrap()),
        format!("{:?}", store.recorded(&a).await.unwrap()),
        format!("{:?}", store.timers(&a, None, 2).await.unwrap()),
        format!("{:?}", store.timers(&a, Some("h/t"), 2).await.unwrap()),
        format!("{:?}", store.file_request(&a, "f").await.unwrap()),
        format!("{:?}", store.task(&task_id(account, 3)).await.unwrap()),
    ];
    for state in [None, Some(TaskState::Queued), Some(TaskState::Done)] {
        for before in [None, Some(TaskNumber(5))] {
            let tasks = store.tasks(&a, TaskFilter { state, before }, 3).await;
            all.push(format!("{:?}", tasks.unwrap()));
        }
    }
    for handler in ["h", "hh"] {
        let timers = store.timers_of(&a, &name(handler), 2).await.unwrap();
        let timer = store.timer(&a, &name(handler), "t/t").await.unwrap();
        all.push(format!("{timers:?} {timer:?}"));
        for bucket in [
            suite::bucket(account, handler),
            Bucket::shared(&name(handler)),
        ] {
            let keys = store.keys(&bucket, Some(""), 2).await.unwrap();
            let value = store.key_value(&bucket, "k").await.unwrap();
            let usage = store.usage(&bucket).await.unwrap();
            all.push(format!(
                "{keys:?} {:?} {usage:?}",
                value.map(|value| value.len())
            ));
        }
    }
    for kind in [None, Some(crate::domain::ContactKind::Group)] {
        let contacts = store.contacts(&a, kind, None, 2).await.unwrap();
        all.push(format!("{contacts:?}"));
    }
    for group in ["", "u"] {
        let members = store.members(&a, group, Some("u"), 2).await.unwrap();
        all.push(format!("{members:?}"));
    }
    all.join("\n")
}

async fn same(works: Vec<Work>) {
    let mut model = Fixture::new(Kind::Memory);
    let mut embedded = Fixture::new(Kind::Sled);
    for each in works {
        let expected = work(&mut model, each.clone(), false).await;
        let answer = work(&mut embedded, each, true).await;
        assert_eq!(answer, expected);
    }
    assert_eq!(
        everything(&*embedded.store).await,
        everything(&*model.store).await
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn both_backends_answer_alike(works in proptest::collection::vec(some_work(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(same(works));
    }
}
