#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use wasmtime::ResourceLimiter as _;

use super::*;
use crate::{
    domain::{
        handler::{CallLimit, LogLevel},
        ports::{COMMIT_BYTES_MAX, Commit, Committed, Epoch},
    },
    runtime::{buckets::Which, convert},
    store,
};

/// A call of a bot with these limits, on a store in memory.
fn state(limits: Limits) -> CallState {
    let host = Host {
        limits: Arc::new(limits),
        store: store::in_memory(Arc::new(|| 1)),
        check: |client, action| action.check(client),
        egress: Default::default(),
        endpoints: Default::default(),
    };
    CallState::new(host, convert::trial_call(convert::nameless()))
}

fn text(bytes: usize) -> Action {
    Action::text("wxid_bob", "\u{1}".repeat(bytes))
}

/// A write to the bot's own bucket.
async fn write(state: &mut CallState, key: &str, value: Option<Vec<u8>>) -> Result<(), NotTaken> {
    state
        .write(Which::Own, key.to_owned(), value)
        .await
        .unwrap()
}

#[tokio::test]
async fn tasks_and_writes_share_a_bound_in_bytes() {
    let mut state = state(Limits {
        call_effects_bytes: 10_000,
        ..Limits::default()
    });
    // A control character takes six bytes in a record.
    state.act(text(1000)).unwrap();
    let large = state.act(text(1000)).unwrap_err();
    assert!(matches!(large, NotTaken::TooLarge(10_000)), "{large}");
    assert_eq!(convert::failure(&large).code, "too-many");
    assert!(write(&mut state, "key", Some(vec![0; 3000])).await.is_err());
    write(&mut state, "key", Some(vec![0; 1000])).await.unwrap();
}

#[tokio::test]
async fn a_write_to_the_same_key_counts_instead_of_the_former() {
    let mut state = state(Limits {
        call_effects_bytes: 10_000,
        ..Limits::default()
    });
    for _ in 0..100 {
        write(&mut state, "key", Some(vec![0; 9000])).await.unwrap();
    }
    let other = write(&mut state, "other", Some(vec![0; 9000])).await;
    assert!(other.is_err());
    write(&mut state, "key", None).await.unwrap();
    write(&mut state, "other", Some(vec![0; 8000]))
        .await
        .unwrap();
}

#[tokio::test]
async fn whatever_a_call_may_ask_for_can_be_committed() {
    let limits = Limits {
        call_effects_bytes: 3 * 1024 * 1024,
        ..Limits::default()
    };
    assert_eq!(limits.check(), Ok(()));
    let mut state = state(limits);
    while state.act(text(16 * 1024)).is_ok() {}
    for number in 0..256 {
        let value = vec![0; 10_000];
        let written = write(&mut state, &number.to_string(), Some(value)).await;
        if written.is_err() {
            break;
        }
    }
    assert!(state.effects_bytes > COMMIT_BYTES_MAX / 2);
    let (store, event) = (Arc::clone(&state.store), Arc::clone(&state.call.event));
    let effects = state.take_asked();
    let origin = crate::domain::task::Origin::Bot {
        handler: HandlerName::trial(),
        event: event.key.clone(),
    };
    let tasks = effects.tasks.into_iter().map(|(number, action)| {
        let account = event.account.clone();
        crate::domain::Task::queued(TaskId { account, number }, action, origin.clone(), 1)
    });
    let commit = Commit {
        tasks: tasks.collect(),
        key_values: effects.key_values,
        ..Commit::default()
    };
    let committed = store.commit(&event.account, Epoch::default(), commit.into());
    assert_eq!(committed.await.unwrap(), Committed::Ok);
}

#[test]
fn several_targets_are_taken_on_together_or_not_at_all() {
    use crate::runtime::bindings::wxhost::bot::groups::{Host as Groups, InviteBy};

    let mut state = state(Limits {
        call_tasks: 3,
        call_host_calls: 10,
        ..Limits::default()
    });
    let users = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let mut invite = |names| {
        let group = "1@chatroom".to_owned();
        let started = state.invite(group, users(names), InviteBy::Invitation);
        (started.unwrap().map_err(|it| it.code), state.tasks.len())
    };
    assert_eq!(invite(&[]), (Err("bad-request".to_owned()), 0));
    assert_eq!(invite(&["a", "b", ""]), (Err("bad-request".to_owned()), 0));
    let (id, count) = invite(&["a", "b"]);
    assert_eq!(count, 2);
    assert_eq!(invite(&["c", "d"]), (Err("too-many".to_owned()), 2));
    let account = state.call.event.account.clone();
    let number = state.tasks.last().unwrap().0.number;
    assert_eq!(id, Ok(TaskId { account, number }.to_string()));
    // Each target counts as a host call.
    let group = "1@chatroom".to_owned();
    assert!(state.kick(group, users(&["a", "b", "c"])).is_err());
}

#[test]
fn a_component_that_is_tried_out_asks_nobody() {
    let mut state = state(Limits::default());
    let refused = state.outgoing.admit("http://a.com", None).err().unwrap();
    assert!(refused.to_string().contains("tried out"), "{refused}");
}

/// Everything that a call holds is as for a first one, but for the memory and the streams
/// that the guest has.
#[tokio::test]
async fn nothing_of_a_call_is_there_in_the_next() {
    let mut state = state(Limits {
        call_tasks: 1,
        ..Limits::default()
    });
    let host = Host {
        limits: Arc::clone(&state.limits),
        store: Arc::clone(&state.store),
        check: |client, action| action.check(client),
        egress: Default::default(),
        endpoints: Default::default(),
    };
    state.act(text(10)).unwrap();
    write(&mut state, "key", Some(vec![1])).await.unwrap();
    state.read(Which::Shared, "other").await.unwrap().unwrap();
    state.timers.read(Vec::new(), None);
    let cursor = state.new_key_cursor("key".to_owned());
    state.enter().unwrap();
    state.ticks = 7;
    state.output.say(LogLevel::Info, "said before");
    state.memory_growing(0, 4096, None).unwrap();
    let held = state.output.clone();
    assert!(state.is_fit_for_another());

    state.renew(host, convert::trial_call(convert::nameless()));
    let asked = state.take_asked();
    assert_eq!(asked.tasks, []);
    assert_eq!(asked.key_values, []);
    assert_eq!(asked.shared, None);
    assert_eq!(asked.timers, []);
    assert_eq!(asked.output, "");
    assert_eq!((asked.used.cpu_ms, asked.used.host_calls), (0, 0));
    assert_eq!(asked.used.memory_bytes, 4096);
    assert_eq!(state.key_cursor(cursor), None);
    assert!(!state.timers.are_known());
    assert!(
        state
            .read(Which::Own, "key")
            .await
            .unwrap()
            .unwrap()
            .is_none()
    );
    state.act(text(10)).unwrap();
    // What the guest holds to print with is heard in this call.
    held.say(LogLevel::Info, "said now");
    assert_eq!(state.output.tail(), "said now\n");
    assert_eq!(state.output.take_lines().len(), 1);
}

#[test]
fn an_instance_that_holds_anything_is_not_for_another_call() {
    let mut with_stream = state(Limits::default());
    let stdout: DynOutputStream = Box::new(with_stream.output.clone());
    with_stream.table().push(stdout).unwrap();
    assert!(with_stream.is_fit_for_another());
    let mut with_more = state(Limits::default());
    let held = with_more.table().push("anything else").unwrap();
    assert!(!with_more.is_fit_for_another());
    with_more.table().delete(held).unwrap();
    assert!(with_more.is_fit_for_another());
}

#[test]
fn an_instance_with_much_memory_begins_anew() {
    let mut state = state(Limits {
        call_memory_bytes: 1000,
        ..Limits::default()
    });
    assert!(state.memory_growing(0, 500, None).unwrap());
    assert!(state.is_fit_for_another());
    assert!(state.memory_growing(500, 501, None).unwrap());
    assert!(!state.is_fit_for_another());
    let mut refused = self::state(Limits {
        call_memory_bytes: 1000,
        ..Limits::default()
    });
    assert!(!refused.memory_growing(0, 1001, None).unwrap());
    assert!(!refused.is_fit_for_another());
}

#[test]
fn a_version_s_own_limits_are_in_force() {
    let mut call = convert::trial_call(convert::nameless());
    let mut bot = (*call.bot).clone();
    let limits = [(CallLimit::HostCalls, 1), (CallLimit::WallMs, 7)];
    Arc::make_mut(&mut bot.version).manifest.limits = limits.into_iter().collect();
    call.bot = Arc::new(bot);
    let host = Host {
        limits: Arc::default(),
        store: store::in_memory(Arc::new(|| 1)),
        check: |client, action| action.check(client),
        egress: Default::default(),
        endpoints: Default::default(),
    };
    let mut state = CallState::new(host, call);
    assert_eq!(state.deadline_ms, 1 + 7);
    state.enter().unwrap();
    assert!(matches!(
        state.enter(),
        Err(Stopped::Limit(FailureKind::HostCalls, _))
    ));
}
