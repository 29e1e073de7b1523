#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use super::*;
use crate::{
    domain::{
        HandlerName,
        callback::{BUCKET_BYTES_MAX, BUCKET_KEYS_MAX},
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
        let committed = store.commit(&call.event.account, Epoch::default(), commit);
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
        let page = state.list_keys_page(cursor).await.unwrap().unwrap();
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
        state.put(name(number * 2), None).unwrap();
    }
    for number in [1, 301, 1999, 5001, 5002] {
        state.put(name(number), Some(Vec::new())).unwrap();
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
    let first = state.list_keys_page(None).await.unwrap().unwrap();
    for key in first.keys {
        state.put(key, None).unwrap();
    }
    let rest = state.list_keys_page(first.cursor).await.unwrap().unwrap();
    assert!(rest.keys.into_iter().eq((500..700).map(name)));
    assert_eq!(rest.cursor, None);
}

#[tokio::test]
async fn a_cursor_of_nobody_is_refused() {
    let mut state = state(0..700).await;
    for cursor in [0, 1, u64::MAX] {
        let answer = state.list_keys_page(Some(cursor)).await.unwrap();
        assert!(matches!(answer, Err(Error::Other(_))), "{cursor}");
    }
}

/// A question to a component whose store comes to this much.
fn asked(usage: Usage) -> CallState<CallbackErrand> {
    let host = invoke::Host {
        limits: Arc::new(Limits::default()),
        store: stores::in_memory(Arc::new(|| 1)),
        check: |client, action| action.check(client),
        egress: Default::default(),
    };
    let mut ask = convert::trial_ask(convert::nameless());
    ask.usage = usage;
    CallState::new(host, CallbackErrand::new(ask))
}

#[tokio::test]
async fn a_callback_component_s_store_takes_so_many_keys() {
    let mut state = asked(Usage {
        keys: BUCKET_KEYS_MAX - 1,
        bytes: 0,
    });
    let mut put = async |key: &str, value: Option<&[u8]>| {
        let put = state.put_in_room(key.to_owned(), value.map(<[u8]>::to_vec));
        put.await.unwrap().is_ok()
    };
    assert!(put("a", Some(b"1")).await);
    assert!(!put("b", Some(b"1")).await);
    // What is there already may change and go.
    assert!(put("a", Some(b"22")).await);
    assert!(put("a", None).await);
    assert!(put("b", Some(b"1")).await);
    let usage = state.call.ask.usage;
    assert_eq!((usage.keys, usage.bytes), (BUCKET_KEYS_MAX, 2));
}

#[tokio::test]
async fn a_callback_component_s_store_takes_so_many_bytes() {
    let mut state = asked(Usage {
        keys: 1,
        bytes: BUCKET_BYTES_MAX - 10,
    });
    let full = state.put_in_room("key".to_owned(), Some(vec![0; 8])).await;
    assert!(matches!(full, Ok(Err(Error::Other(text))) if text.contains("full")));
    let fits = state.put_in_room("key".to_owned(), Some(vec![0; 7])).await;
    assert!(fits.unwrap().is_ok());
}

#[tokio::test]
async fn a_store_that_is_too_full_can_be_emptied() {
    let mut state = asked(Usage {
        keys: BUCKET_KEYS_MAX + 5,
        bytes: 0,
    });
    let gone = state.put_in_room("key".to_owned(), None).await;
    assert!(gone.unwrap().is_ok());
    let more = state.put_in_room("key".to_owned(), Some(vec![])).await;
    assert!(more.unwrap().is_err());
}
