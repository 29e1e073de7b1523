#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use super::*;
use crate::{
    domain::{
        HandlerName,
        bucket::SHARED_READS_MAX,
        callback::BUCKET_MAX,
        ports::{Commit, Epoch, KeyValueWrite},
    },
    runtime::{Limits, convert, invoke, state::CallbackErrand},
    store as stores,
};

/// A call on a store that has these keys.
async fn state(stored: impl Iterator<Item = u32>) -> CallState {
    let store = stores::in_memory(Arc::new(|| 1));
    let call = convert::trial_call(convert::nameless());
    let writes: Vec<_> = stored
        .map(|number| KeyValueWrite {
            handler: HandlerName::trial(),
            key: name(number),
            value: Some(b"stored".to_vec()),
        })
        .collect();
    for some in writes.chunks(1000) {
        let commit = Commit {
            key_values: some.to_vec(),
            ..Commit::default()
        };
        let committed = store.commit(&call.event.account, Epoch::default(), commit.into());
        committed.await.unwrap();
    }
    let host = invoke::Host {
        limits: Arc::new(Limits {
            call_key_value_writes: 900,
            ..Limits::default()
        }),
        store,
        check: |client, action| action.check(client),
        egress: Default::default(),
        endpoints: Default::default(),
    };
    CallState::new(host, call)
}

fn name(number: u32) -> String {
    format!("key-{number:05}")
}

/// Lists to the end: the pages' lengths and all keys.
async fn listed(state: &mut CallState) -> (Vec<usize>, Vec<String>) {
    let (mut pages, mut all, mut cursor) = (Vec::new(), Vec::new(), None);
    loop {
        let page = state
            .list_keys_page(Which::Own, cursor)
            .await
            .unwrap()
            .unwrap();
        pages.push(page.keys.len());
        all.extend(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            return (pages, all);
        }
    }
}

#[tokio::test]
async fn keys_are_listed_to_the_end_page_by_page() {
    for (count, lengths) in [
        (0, vec![0]),
        (1, vec![1]),
        (500, vec![500]),
        (501, vec![500, 1]),
        (1000, vec![500, 500]),
        (2300, vec![500, 500, 500, 500, 300]),
    ] {
        let mut state = state(0..count).await;
        let (pages, all) = listed(&mut state).await;
        assert_eq!(pages, lengths);
        assert!(all.into_iter().eq((0..count).map(name)), "{count}");
    }
}

#[tokio::test]
async fn own_writes_and_deletions_are_in_it() {
    let mut state = state((0..2000).map(|number| number * 2)).await;
    // More deletions than a page holds, in a row, and writes between and behind.
    for number in 100..800 {
        put(&mut state, &name(number * 2), None).await.unwrap();
    }
    for number in [1, 301, 1999, 5001, 5002] {
        put(&mut state, &name(number), Some(b"")).await.unwrap();
    }
    let mut expected: Vec<_> = (0..2000)
        .filter(|number| !(100..800).contains(number))
        .map(|number| number * 2)
        .chain([1, 301, 1999, 5001, 5002])
        .map(name)
        .collect();
    expected.sort();
    let (pages, all) = listed(&mut state).await;
    assert_eq!(all, expected);
    assert_eq!(pages, [500, 500, 305]);
}

#[tokio::test]
async fn a_cursor_goes_on_after_its_key_whatever_is_deleted_since() {
    let mut state = state(0..700).await;
    let first = state
        .list_keys_page(Which::Own, None)
        .await
        .unwrap()
        .unwrap();
    for key in first.keys {
        put(&mut state, &key, None).await.unwrap();
    }
    let rest = state
        .list_keys_page(Which::Own, first.cursor)
        .await
        .unwrap()
        .unwrap();
    assert!(rest.keys.into_iter().eq((500..700).map(name)));
    assert_eq!(rest.cursor, None);
}

#[tokio::test]
async fn a_cursor_of_nobody_is_refused() {
    let mut state = state(0..700).await;
    for cursor in [0, 1, u64::MAX] {
        let answer = state
            .list_keys_page(Which::Own, Some(cursor))
            .await
            .unwrap();
        assert!(matches!(answer, Err(Error::Other(_))), "{cursor}");
    }
}

/// A call with these limits whose version was granted the shared bucket, or not.
fn sharing(limits: Limits, shared_bucket: bool) -> CallState {
    let mut call = convert::trial_call(convert::nameless());
    let mut bot = (*call.bot).clone();
    Arc::make_mut(&mut bot.version).manifest.shared_bucket = shared_bucket;
    call.bot = Arc::new(bot);
    let host = invoke::Host {
        limits: Arc::new(limits),
        store: stores::in_memory(Arc::new(|| 1)),
        check: |client, action| action.check(client),
        egress: Default::default(),
        endpoints: Default::default(),
    };
    CallState::new(host, call)
}

async fn put<E: Errand>(
    state: &mut CallState<E>,
    key: &str,
    value: Option<&[u8]>,
) -> Result<(), String> {
    let put = state.put(Which::Own, key.to_owned(), value.map(<[u8]>::to_vec));
    put.await.unwrap().map_err(|error| format!("{error:?}"))
}

fn small() -> Limits {
    Limits {
        bucket_keys: 2,
        bucket_bytes: 10,
        ..Limits::default()
    }
}

#[tokio::test]
async fn a_bucket_takes_so_many_keys() {
    let mut state = sharing(small(), false);
    put(&mut state, "a", Some(b"1")).await.unwrap();
    put(&mut state, "b", Some(b"1")).await.unwrap();
    let full = put(&mut state, "c", Some(b"")).await.unwrap_err();
    assert!(full.contains("3 keys of at most 2"), "{full}");
    // What is there already may change and go.
    put(&mut state, "a", Some(b"22")).await.unwrap();
    put(&mut state, "a", None).await.unwrap();
    put(&mut state, "c", Some(b"1")).await.unwrap();
}

#[tokio::test]
async fn a_bucket_takes_so_many_bytes() {
    let mut state = sharing(small(), false);
    let full = put(&mut state, "key", Some(&[0; 8])).await.unwrap_err();
    assert!(full.contains("11 bytes of at most 10"), "{full}");
    put(&mut state, "key", Some(&[0; 7])).await.unwrap();
    assert!(put(&mut state, "k", Some(b"")).await.is_err());
    put(&mut state, "key", Some(&[0; 6])).await.unwrap();
    put(&mut state, "k", Some(b"")).await.unwrap();
}

/// What was there before it had an end, or before that was set lower.
#[tokio::test]
async fn a_bucket_that_is_too_full_can_be_emptied() {
    let mut state = sharing(small(), false);
    let write = |key: &str| KeyValueWrite {
        handler: HandlerName::trial(),
        key: key.to_owned(),
        value: Some(b"value".to_vec()),
    };
    let commit = Commit {
        key_values: ["a", "b", "c"].map(write).to_vec(),
        ..Commit::default()
    };
    let (store, account) = (Arc::clone(&state.store), state.call.event.account.clone());
    let committed = store.commit(&account, Epoch::default(), commit.into());
    committed.await.unwrap();
    assert!(put(&mut state, "a", Some(b"larger")).await.is_err());
    assert!(put(&mut state, "d", Some(b"")).await.is_err());
    put(&mut state, "a", Some(b"small")).await.unwrap();
    put(&mut state, "a", Some(b"")).await.unwrap();
    put(&mut state, "b", None).await.unwrap();
    put(&mut state, "c", None).await.unwrap();
    put(&mut state, "never there", None).await.unwrap();
    assert!(put(&mut state, "d", Some(b"")).await.is_ok());
}

#[tokio::test]
async fn a_callback_component_s_bucket_has_an_end_of_its_own() {
    let host = invoke::Host {
        limits: Arc::new(Limits {
            bucket_keys: 0,
            bucket_bytes: 0,
            call_key_value_writes: 900,
            value_bytes: u32::MAX,
            call_effects_bytes: u32::MAX,
            ..Limits::default()
        }),
        store: stores::in_memory(Arc::new(|| 1)),
        check: |client, action| action.check(client),
        egress: Default::default(),
        endpoints: Default::default(),
    };
    let ask = convert::trial_ask(convert::nameless());
    let mut state = CallState::new(host, CallbackErrand::new(ask));
    let max = BUCKET_MAX.bytes as usize;
    put(&mut state, "k", Some(&vec![0; max - 1])).await.unwrap();
    assert!(put(&mut state, "l", Some(b"")).await.is_err());
    let opened = store::Host::open(&mut state, SHARED.to_owned()).await;
    assert!(matches!(opened, Ok(Err(Error::AccessDenied))));
}

#[tokio::test]
async fn the_shared_bucket_is_opened_by_whoever_was_granted_it() {
    for granted in [true, false] {
        let mut state = sharing(Limits::default(), granted);
        let opened = store::Host::open(&mut state, SHARED.to_owned()).await;
        match opened.unwrap() {
            Ok(_) => assert!(granted),
            Err(Error::AccessDenied) => {
                assert!(!granted);
                let said = state.output.tail();
                assert!(said.contains("--shared-bucket"), "{said}");
            }
            Err(other) => unreachable!("{other:?}"),
        }
        let other = store::Host::open(&mut state, "Shared".to_owned()).await;
        assert!(matches!(other, Ok(Err(Error::NoSuchStore))));
    }
}

#[tokio::test]
async fn what_was_read_of_the_shared_bucket_goes_with_its_writes() {
    let mut state = sharing(Limits::default(), true);
    let bucket = store::Host::open(&mut state, SHARED.to_owned());
    let bucket = bucket.await.unwrap().unwrap();
    let shared = || Handle::new_borrow(bucket.rep());
    // A write rests on nothing, and what was written is no reading.
    let set = store::HostBucket::set(&mut state, shared(), "blind".to_owned(), b"1".to_vec());
    set.await.unwrap().unwrap();
    let get = store::HostBucket::get(&mut state, shared(), "blind".to_owned());
    assert_eq!(get.await.unwrap().unwrap(), Some(b"1".to_vec()));
    let sum = atomics::Host::increment(&mut state, shared(), "count".to_owned(), 2);
    assert_eq!(sum.await.unwrap().unwrap(), 2);
    // The own bucket is another.
    let own = state.value(Which::Own, "count").await;
    assert_eq!(own.unwrap().unwrap(), None);
    let effects = state.take_asked();
    assert_eq!(effects.key_values, []);
    let change = effects.shared.unwrap();
    assert_eq!(change.handler, HandlerName::trial());
    assert_eq!(change.read, [("count".to_owned(), None)]);
    let written = [("blind", b"1"), ("count", b"2")];
    let written = written.map(|(key, value)| (key.to_owned(), Some(value.to_vec())));
    assert_eq!(change.writes, written);
    assert_eq!(change.max, Limits::default().buckets().shared);
}

#[tokio::test]
async fn one_call_reads_so_many_keys_of_the_shared_bucket() {
    let mut state = sharing(Limits::default(), true);
    for number in 0..SHARED_READS_MAX as u32 {
        let value = state.value(Which::Shared, &name(number)).await;
        assert_eq!(value.unwrap().unwrap(), None);
    }
    let again = state.value(Which::Shared, &name(0)).await;
    assert!(again.unwrap().is_ok());
    let more = state.value(Which::Shared, "one more").await;
    assert!(more.unwrap().is_err());
}
