#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use wasmtime::component::Component;

use super::*;
use crate::store;

/// Traps; logs 5 MiB; asks for 1 MiB of random bytes.
const MISBEHAVING: &str = r#"(component
    (import "wasi:logging/logging@0.1.0-draft" (instance $logging
        (type $levels (enum "trace" "debug" "info" "warn" "error" "critical"))
        (export "level" (type $level (eq $levels)))
        (export "log" (func
            (param "level" $level) (param "context" string) (param "message" string)))))
    (import "wasi:random/random@0.2.12" (instance $random
        (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
    (core module $own-memory
        (memory (export "memory") 100)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 0))
    (core instance $own-memory (instantiate $own-memory))
    (core func $log (canon lower (func $logging "log")
        (memory (core memory $own-memory "memory"))))
    (core func $random (canon lower (func $random "get-random-bytes")
        (memory (core memory $own-memory "memory")) (realloc (core func $own-memory "realloc"))))
    (core module $code
        (import "" "log" (func $log (param i32 i32 i32 i32 i32)))
        (import "" "random" (func $random (param i64 i32)))
        (func $deep unreachable)
        (func (export "trap") call $deep)
        (func (export "flood")
            (call $log (i32.const 2) (i32.const 0) (i32.const 0)
                (i32.const 0) (i32.const 0x500000)))
        (func (export "random") (call $random (i64.const 0x100000) (i32.const 16))))
    (core instance $code (instantiate $code (with "" (instance
        (export "log" (func $log)) (export "random" (func $random))))))
    (func (export "trap") (canon lift (core func $code "trap")))
    (func (export "flood") (canon lift (core func $code "flood")))
    (func (export "random") (canon lift (core func $code "random"))))"#;

/// How it fails when this function of it is called.
async fn failure(name: &str) -> CallFailure {
    let limits = Limits {
        call_memory_bytes: 16 * 1024 * 1024,
        concurrent_calls: 1,
        warm_instances: 1,
        ..Limits::default()
    };
    let engine = Engine::new(&limits).unwrap();
    let host = Host {
        limits: Arc::new(limits),
        store: store::in_memory(Arc::new(|| 1)),
        check: |client, action| action.check(client),
        egress: Default::default(),
        endpoints: Default::default(),
    };
    let bytes = wat::parse_str(MISBEHAVING).unwrap();
    let component = Component::new(&engine.wasm, bytes).unwrap();
    let mut wasm = new_store(&engine, &host, convert::trial_call(convert::nameless()));
    set_limits(&mut wasm);
    let instance = engine.linker.instantiate_async(&mut wasm, &component);
    let instance = instance.await.unwrap();
    let function = instance.get_typed_func::<(), ()>(&mut wasm, name).unwrap();
    let error = function.call_async(&mut wasm, ()).await.unwrap_err();
    match classify(&error, wasm.data()) {
        CallError::Failed(failure) => *failure,
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn the_first_line_of_a_trap_says_why_and_the_rest_where() {
    let CallFailure { kind, message, .. } = failure("trap").await;
    assert_eq!(kind, FailureKind::Trap);
    let (why, whence) = message.split_once('\n').unwrap();
    assert!(why.contains("unreachable"), "{message}");
    assert!(!why.contains("backtrace"), "{message}");
    assert!(whence.contains("deep"), "{message}");
}

#[tokio::test]
async fn what_a_host_call_may_bring_is_bounded() {
    let flood = failure("flood").await;
    assert_eq!(flood.kind, FailureKind::HostCalls, "{}", flood.message);
    let random = failure("random").await;
    assert!(random.message.contains("exceeds limit 65536"), "{random:?}");
}

#[test]
fn memory_that_the_kernel_refuses_is_no_failure_of_the_guest() {
    let refused = wasmtime::Error::msg("cannot add seals to the memfd").context("a memory");
    assert!(is_without_memory(&refused));
    let trapped = wasmtime::Error::from(Trap::UnreachableCodeReached);
    assert!(!is_without_memory(&trapped));
}
