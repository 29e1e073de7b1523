//! The runtime with components that are written here, as text.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::store;

/// Room for little, so that the pool is made quickly.
fn small() -> Limits {
    Limits {
        call_memory_bytes: 16 * 1024 * 1024,
        concurrent_calls: 2,
        ..Limits::default()
    }
}

fn open(dir: &tempfile::TempDir) -> Wasm {
    let store = store::in_memory(Arc::new(|| 1));
    let check: ActionCheck = |client, action| action.check(client);
    Wasm::open(small(), dir.path(), store, check).unwrap()
}

fn files(dir: &tempfile::TempDir) -> usize {
    std::fs::read_dir(dir.path().join("components"))
        .unwrap()
        .count()
}

#[tokio::test]
async fn a_bot_that_is_not_loaded_leaves_the_event_open() {
    let dir = tempfile::tempdir().unwrap();
    let error = open(&dir).call(convert::trial_call()).await.unwrap_err();
    assert!(matches!(error, CallError::Unloaded(_)), "{error}");
}

#[tokio::test]
async fn what_is_no_longer_used_goes_one_turn_later() {
    let dir = tempfile::tempdir().unwrap();
    let wasm = open(&dir);
    let digests = [Digest::of(b"a"), Digest::of(b"b")];
    for digest in digests {
        let path = dir.path().join(format!("components/{digest}.wasm"));
        std::fs::write(path, b"").unwrap();
    }
    std::fs::write(dir.path().join("components/other"), b"").unwrap();
    wasm.retain(&digests).await;
    wasm.retain(&digests[..1]).await;
    assert_eq!(
        files(&dir),
        3,
        "an event may have chosen its bot just before"
    );
    wasm.retain(&digests).await;
    wasm.retain(&digests[..1]).await;
    assert_eq!(files(&dir), 3, "it was used in between");
    wasm.retain(&digests[..1]).await;
    assert_eq!(files(&dir), 2);
}
