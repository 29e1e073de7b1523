//! The runtime with components that are written here, as text.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;

use super::*;
use crate::store;

/// Room for little, so that the pool is made quickly.
fn small() -> Limits {
    Limits {
        call_memory_bytes: 16 * 1024 * 1024,
        concurrent_calls: 2,
        warm_instances: 2,
        ..Limits::default()
    }
}

fn open(dir: &tempfile::TempDir) -> Wasm {
    let store = store::in_memory(Arc::new(|| 1));
    let check: ActionCheck = |client, action| action.check(client);
    Wasm::open(
        small(),
        egress::Config::default(),
        EndpointPolicy::default(),
        dir.path(),
        store,
        check,
    )
    .unwrap()
}

fn files(dir: &tempfile::TempDir) -> usize {
    std::fs::read_dir(dir.path().join("components"))
        .unwrap()
        .count()
}

#[tokio::test]
async fn a_bot_that_is_not_loaded_leaves_the_event_open() {
    let dir = tempfile::tempdir().unwrap();
    let error = open(&dir)
        .call(convert::trial_call(convert::nameless()))
        .await
        .unwrap_err();
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
    let kept = |digests: &[Digest]| InUse {
        serving: HashSet::new(),
        kept: digests.iter().copied().collect(),
    };
    let (both, one) = (kept(&digests), kept(&digests[..1]));
    wasm.retain(&both).await;
    wasm.retain(&one).await;
    assert_eq!(
        files(&dir),
        3,
        "an event may have chosen its bot just before"
    );
    wasm.retain(&both).await;
    wasm.retain(&one).await;
    assert_eq!(files(&dir), 3, "it was used in between");
    wasm.retain(&one).await;
    assert_eq!(files(&dir), 2);
}

/// A component that exports an instance of this name, and imports another.
fn component(export: &str, import: &str) -> Bytes {
    let text = format!(
        r#"(component
            (import "{import}" (instance
                (export "get" (func (param "key" string) (result string)))))
            (instance $handler)
            (export "{export}" (instance $handler)))"#
    );
    wat::parse_str(text).unwrap().into()
}

#[tokio::test]
async fn what_has_no_world_of_ours_is_told_of_both() {
    let dir = tempfile::tempdir().unwrap();
    let odd = component(
        "elsewhere:one/handler@0.1.0",
        "wasi:config/store@0.2.0-rc.1",
    );
    let problem = open(&dir).take_in(odd).await.unwrap_err().to_string();
    for part in [
        "wxhost:bot/handler@0.1.0",
        "wxhost:callback/handler@0.1.0",
        "this exports elsewhere:one/handler@0.1.0",
    ] {
        assert!(problem.contains(part), "{problem}");
    }
}

#[tokio::test]
async fn a_callback_component_can_not_act_for_accounts() {
    let dir = tempfile::tempdir().unwrap();
    let acting = component("wxhost:callback/handler@0.1.0", "wxhost:bot/chat@0.1.0");
    let problem = open(&dir).take_in(acting).await.unwrap_err().to_string();
    assert!(problem.contains("wxhost:bot/chat"), "{problem}");
}

#[tokio::test]
async fn a_callback_component_lacks_nothing_of_its_interface() {
    let dir = tempfile::tempdir().unwrap();
    let text = r#"(component (instance $handler)
        (export "wxhost:callback/handler@0.1.0" (instance $handler)))"#;
    let bytes = wat::parse_str(text).unwrap().into();
    let problem = open(&dir).take_in(bytes).await.unwrap_err().to_string();
    assert!(problem.contains("login"), "{problem}");
}

#[tokio::test]
async fn a_component_that_is_not_loaded_is_not_asked() {
    let dir = tempfile::tempdir().unwrap();
    let error = open(&dir)
        .ask(convert::trial_ask(convert::nameless()))
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Unloaded(_)), "{error}");
}
