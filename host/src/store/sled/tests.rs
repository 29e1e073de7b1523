//! What only the embedded store can do wrong.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    io,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use super::*;
use crate::{
    domain::{
        AlarmKind, ContactKind, TaskState,
        ports::{ContactChange, ImageChange, PauseChange},
    },
    store::{
        codec::Table,
        suite::{self, account, failure, id, seen, task, user, write},
        time::system_clock,
    },
};

const CACHE: u64 = 1 << 20;

fn open_in(directory: &tempfile::TempDir) -> Result<SledStore, StoreError> {
    open(&directory.path().join("store"), CACHE, system_clock())
}

fn database(directory: &tempfile::TempDir) -> Db {
    open_files(&directory.path().join("store"), CACHE).unwrap()
}

fn settles(key: &str) -> Commit {
    Commit {
        seen: Some(seen(key, suite::START, None)),
        ..Commit::default()
    }
}

/// A store whose fsync fails from when it is told to.
fn with_failing_sync(directory: &tempfile::TempDir) -> (SledStore, Arc<AtomicBool>) {
    let broken = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&broken);
    let sync = Box::new(move || match told.load(Ordering::SeqCst) {
        true => Err(io::Error::other("no space left on device")),
        false => Ok(()),
    });
    let store = start(database(directory), sync, system_clock()).unwrap();
    (store, broken)
}

#[tokio::test]
async fn a_directory_in_use_is_told_with_the_cure() {
    let directory = tempfile::tempdir().unwrap();
    let first = open_in(&directory).unwrap();
    let error = open_in(&directory).unwrap_err().to_string();
    assert!(error.contains("in use by another process"), "{error}");
    assert!(error.contains("another data directory"), "{error}");
    first.close().await.unwrap();
    open_in(&directory).unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_can_read_the_directory() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let _store = open_in(&directory).unwrap();
    let metadata = fs::metadata(directory.path().join("store")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn after_a_failed_fsync_nothing_is_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let (store, broken) = with_failing_sync(&directory);
    let a = id("a");
    let committed = store
        .commit(&a, Epoch(0), settles("m1").into())
        .await
        .unwrap();
    assert_eq!(committed, Committed::Ok);
    broken.store(true, Ordering::SeqCst);
    let error = store
        .commit(&a, Epoch(0), settles("m2").into())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no space left"), "{error}");
    // The disk is well again, but what became of m2 nobody knows.
    broken.store(false, Ordering::SeqCst);
    for key in ["m1", "m2", "m3"] {
        let result = store.commit(&a, Epoch(0), settles(key).into()).await;
        let text = result.unwrap_err().to_string();
        assert!(text.contains("start it again"), "{text}");
        assert!(store.event(&a, &EventKey::new(key)).await.is_err());
    }
    assert!(store.close().await.is_err());
    let store = open_in(&directory).unwrap();
    let event = store.event(&a, &EventKey::new("m1")).await.unwrap();
    assert!(event.is_some());
}

#[tokio::test]
async fn a_store_dropped_while_work_is_under_way_ends_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open_in(&directory).unwrap());
    let mut running = Vec::new();
    for n in 0..200 {
        let store = Arc::clone(&store);
        running.push(tokio::spawn(async move {
            let key = format!("m{n}");
            store.commit(&id("a"), Epoch(0), settles(&key).into()).await
        }));
    }
    drop(store);
    for (n, task) in running.into_iter().enumerate() {
        if n % 2 == 0 {
            task.abort();
        } else {
            assert_eq!(task.await.unwrap().unwrap(), Committed::Ok);
        }
    }
    let store = open_in(&directory).unwrap();
    let page = store.events(&id("a"), None, 999).await.unwrap();
    assert!(page.items.len() >= 100);
}

#[tokio::test]
async fn closing_does_what_is_queued_first() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(&directory).unwrap();
    let a = id("a");
    let commits = (0..100).map(|n| {
        let commit = settles(&format!("m{n}"));
        Box::pin(store.commit(&a, Epoch(0), commit.into()))
    });
    let mut commits: Vec<_> = commits.collect();
    for commit in &mut commits {
        // Queued by the first poll.
        let waits = std::future::poll_fn(|context| {
            std::task::Poll::Ready(commit.as_mut().poll(context).is_pending())
        });
        waits.await;
    }
    drop(commits);
    store.close().await.unwrap();
    let store = open_in(&directory).unwrap();
    let page = store.events(&a, None, 999).await.unwrap();
    assert_eq!(page.items.len(), 100);
}

#[tokio::test]
async fn an_unreadable_record_is_named_and_harms_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let db = database(&directory);
    let a = id("a");
    let key = codec::event(&a, &EventKey::new("m1")).into_bytes();
    db.insert(key, b"\x01{\"at_ms\":".as_slice()).unwrap();
    let key = codec::failure_count(&a).into_bytes();
    db.insert(key, b"\x09".as_slice()).unwrap();
    let store = start(db, Box::new(|| Ok(())), system_clock()).unwrap();
    let error = store.event(&a, &EventKey::new("m1")).await.unwrap_err();
    assert!(error.to_string().contains("table Event"), "{error}");
    assert!(error.to_string().contains("am1"), "{error}");
    let result = store.commit(&a, Epoch(0), settles("m1").into()).await;
    assert!(matches!(result, Err(StoreError::Unreadable(_))));
    // Fails after its event and task are staged: neither is written.
    let commit = Commit {
        tasks: vec![task("a", 1)],
        failure: Some(failure("m2", 1)),
        ..settles("m2")
    };
    let failing = store.commit(&a, Epoch(0), commit.into());
    let (failing, other) = tokio::join!(failing, store.commit(&a, Epoch(0), settles("m3").into()));
    assert!(matches!(failing, Err(StoreError::Unreadable(_))));
    assert_eq!(other.unwrap(), Committed::Ok);
    assert_eq!(store.event(&a, &EventKey::new("m2")).await.unwrap(), None);
    assert_eq!(store.next_queued(&a).await.unwrap(), None);
    assert!(!store.sweep(u64::MAX).await.unwrap());
}

fn count(db: &Db, table: Table) -> usize {
    db.scan_prefix(codec::table(table).as_bytes()).count()
}

fn with_pause(conversation: String) -> Commit {
    Commit {
        pauses: vec![PauseChange::Lift(conversation)],
        ..Commit::default()
    }
}

#[tokio::test]
async fn a_key_too_long_for_a_page_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(&directory).unwrap();
    let a = id("a");
    let long = store.commit(&a, Epoch(0), with_pause("c".repeat(5000)).into());
    assert!(matches!(
        long.await,
        Err(StoreError::TooLarge { changes: 1, .. })
    ));
    let short = store.commit(&a, Epoch(0), with_pause("c".repeat(4000)).into());
    assert_eq!(short.await.unwrap(), Committed::Ok);
}

#[tokio::test]
async fn an_unreadable_alarm_silences_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let db = database(&directory);
    let key = codec::alarms_at(AlarmKind::Deadline, 1)
        .end("task/a-1")
        .into_bytes();
    db.insert(key, b"\x09".as_slice()).unwrap();
    let store = start(db, Box::new(|| Ok(())), system_clock()).unwrap();
    let ring = (2, suite::alarm("a", 2));
    let commit = Commit {
        alarms: vec![ring.clone()],
        ..Commit::default()
    };
    store
        .commit(&id("a"), Epoch(0), commit.into())
        .await
        .unwrap();
    assert_eq!(
        store.alarms(AlarmKind::Deadline, 9, 1).await.unwrap(),
        vec![ring]
    );
}

/// A clock that shows what it is set to.
fn clock_at(now_ms: Millis) -> (Arc<AtomicU64>, Clock) {
    let now = Arc::new(AtomicU64::new(now_ms));
    let reading = Arc::clone(&now);
    (now, Arc::new(move || reading.load(Ordering::SeqCst)))
}

const HOUR_MS: Millis = 3_600_000;

#[tokio::test]
async fn time_goes_on_over_a_restart_with_a_clock_set_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let (now, clock) = clock_at(suite::START);
    let store = open(&path, CACHE, clock).unwrap();
    // Far apart from where the mark was set first, and with no number in it.
    for later in [0, 10, 50_000] {
        now.store(suite::START + later, Ordering::SeqCst);
        let event = settles(&later.to_string());
        store
            .commit(&id("a"), Epoch(0), event.into())
            .await
            .unwrap();
    }
    now.fetch_add(7, Ordering::SeqCst);
    let last = store.now();
    store.close().await.unwrap();
    for round in 0..3 {
        let (now, clock) = clock_at(suite::START - HOUR_MS);
        let store = open(&path, CACHE, clock).unwrap();
        assert_eq!(store.now(), last + round);
        now.fetch_add(1, Ordering::SeqCst);
        assert_eq!(store.now(), last + round + 1);
        store.close().await.unwrap();
    }
    // A clock that is right again is believed.
    let (_, clock) = clock_at(suite::START + HOUR_MS);
    let store = open(&path, CACHE, clock).unwrap();
    assert_eq!(store.now(), suite::START + HOUR_MS);
}

#[tokio::test]
async fn time_goes_on_after_a_crash_with_a_clock_set_back() {
    let directory = tempfile::tempdir().unwrap();
    let (now, clock) = clock_at(suite::START);
    let store = open(&directory.path().join("store"), CACHE, clock).unwrap();
    for later in [0, 400, 50_000, 50_999] {
        now.store(suite::START + later, Ordering::SeqCst);
        let event = settles(&later.to_string());
        store
            .commit(&id("a"), Epoch(0), event.into())
            .await
            .unwrap();
    }
    // What a process that is killed now leaves behind.
    let left = directory.path().join("left");
    fs::create_dir(&left).unwrap();
    for name in ["conf", "db"] {
        fs::copy(directory.path().join("store").join(name), left.join(name)).unwrap();
    }
    let (now, clock) = clock_at(suite::START - HOUR_MS);
    let store = open(&left, CACHE, clock).unwrap();
    let first = store.now();
    let written = suite::START + 50_999;
    assert!((written..written + 1000).contains(&first), "{first}");
    now.fetch_add(5, Ordering::SeqCst);
    assert_eq!(store.now(), first + 5);
    assert!(store.reserve(1).0 > written * 1000);
}

/// Commits that leave large values, replace them, and remove them.
fn large_values() -> [Commit; 3] {
    let large = vec![7; 300_000];
    let mut old = task("a", 1);
    old.reason = Some("x".repeat(20_000));
    let mut bad = failure("m1", 1);
    bad.output = "y".repeat(64_000);
    let mut login = suite::login("l");
    let puts = Commit {
        tasks: vec![old.clone()],
        key_values: vec![
            write("h", "a", Some(&large)),
            write("h", "b", Some(&large)),
            write("h", "a", Some(&large)),
        ],
        failure: Some(bad.clone()),
        login: Some(suite::changes_to(
            &login,
            ImageChange::Put(large.clone().into()),
        )),
        ..Commit::default()
    };
    login.failed("x".repeat(9000), 1);
    old.end(TaskState::Done, None, 1);
    let replaces = Commit {
        tasks: vec![old],
        key_values: vec![write("h", "a", Some(b"small"))],
        failure: Some(bad),
        login: Some(suite::changes_to(&login, ImageChange::Drop)),
        ..Commit::default()
    };
    let removes = Commit {
        key_values: vec![write("h", "a", None), write("h", "b", None)],
        contacts: vec![ContactChange::Put(user("u"))],
        account: Some(account("a")),
        ..Commit::default()
    };
    [puts, replaces, removes]
}

#[tokio::test]
async fn no_piece_outlives_its_value() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(&directory).unwrap();
    let a = id("a");
    for commit in large_values() {
        store.commit(&a, Epoch(0), commit.into()).await.unwrap();
        assert!(count(&store.db().unwrap(), Table::Piece) > 0);
    }
    while store.sweep(u64::MAX).await.unwrap() {}
    let db = store.db().unwrap();
    assert_eq!(count(&db, Table::Piece), 0);
    for table in [
        Table::Task,
        Table::Queue,
        Table::Failure,
        Table::KeyValue,
        Table::Login,
        Table::LoginImage,
    ] {
        assert_eq!(count(&db, table), 0, "{table:?}");
    }
    drop(db);
    let kind = Some(ContactKind::User);
    let page = store.contacts(&a, kind, None, 9).await.unwrap();
    assert_eq!(page.items, vec![user("u")]);
}

#[tokio::test]
async fn large_values_make_no_files_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(&directory).unwrap();
    for n in 0..40 {
        let commit = Commit {
            key_values: vec![write("h", &format!("k{}", n % 20), Some(&vec![n; 400_000]))],
            ..Commit::default()
        };
        store
            .commit(&id("a"), Epoch(0), commit.into())
            .await
            .unwrap();
    }
    let blobs = directory.path().join("store/blobs");
    assert_eq!(fs::read_dir(blobs).unwrap().count(), 0);
}

#[tokio::test]
async fn a_value_replaced_while_it_is_read_is_read_whole() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open_in(&directory).unwrap());
    let writer = Arc::clone(&store);
    let writing = tokio::spawn(async move {
        for n in 0..100u8 {
            let commit = Commit {
                key_values: vec![write("h", "k", Some(&[n; 20_000]))],
                ..Commit::default()
            };
            writer
                .commit(&id("a"), Epoch(0), commit.into())
                .await
                .unwrap();
        }
    });
    while !writing.is_finished() {
        let value = store
            .key_value(&suite::bucket("a", "h"), "k")
            .await
            .unwrap();
        if let Some(value) = value {
            assert!(value.len() == 20_000 && value.iter().all(|byte| *byte == value[0]));
        }
        tokio::task::yield_now().await;
    }
    writing.await.unwrap();
}

#[tokio::test]
async fn only_queued_tasks_have_a_place() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(&directory).unwrap();
    let mut one = task("a", 1);
    for (state, places) in [
        (TaskState::Queued, 1),
        (TaskState::Queued, 1),
        (TaskState::HandedOut, 0),
        (TaskState::Done, 0),
    ] {
        one.state = state;
        let commit = Commit {
            tasks: vec![one.clone()],
            ..Commit::default()
        };
        store
            .commit(&id("a"), Epoch(0), commit.into())
            .await
            .unwrap();
        assert_eq!(count(&store.db().unwrap(), Table::Queue), places);
    }
}

/// What was written before it was counted is counted once, by the reader and by the
/// next write.
#[tokio::test]
async fn a_bucket_of_before_is_measured() {
    let directory = tempfile::tempdir().unwrap();
    let (a, bucket) = (id("a"), suite::bucket("a", "h"));
    let store = open_in(&directory).unwrap();
    let writes = |key_values| Commit {
        key_values,
        ..Commit::default()
    };
    let commit = writes(vec![
        write("h", "k", Some(&[1; 9000])),
        write("h", "l", Some(b"12")),
    ]);
    store.commit(&a, Epoch(0), commit.into()).await.unwrap();
    store.close().await.unwrap();
    let db = database(&directory);
    assert!(
        db.remove(codec::usage(&bucket).as_bytes())
            .unwrap()
            .is_some()
    );
    drop(db);
    let store = open_in(&directory).unwrap();
    let comes_to = |keys, bytes| Usage { keys, bytes };
    assert_eq!(store.usage(&bucket).await.unwrap(), comes_to(2, 9004));
    let commit = writes(vec![write("h", "k", Some(b""))]);
    store.commit(&a, Epoch(0), commit.into()).await.unwrap();
    assert_eq!(store.usage(&bucket).await.unwrap(), comes_to(2, 4));
    let written = store.read(|read| read.usage(&bucket)).unwrap();
    assert_eq!(written, Some(comes_to(2, 4)));
    store.close().await.unwrap();
}
