//! One call: a fresh instance, its limits, and what went wrong when it did.

use std::sync::Arc;

use tokio::time::error::Elapsed;
use wasmtime::{Store as WasmStore, Trap, UpdateDeadline, WasmBacktrace};

use super::{
    Limits,
    bindings::callback,
    convert,
    egress::Egress,
    endpoint::EndpointErrand,
    engine::{Engine, TICK},
    registry::{Bot, Callback, Guest, chain},
    state::{CallState, CallbackErrand, Errand, Stopped},
};
use crate::domain::{
    HandlerName,
    callback::{Question, Verdict},
    endpoint::EndpointPolicy,
    handler::FailureKind,
    ports::{
        ActionCheck, Answer, Ask, Call, CallError, CallFailure, ComponentError, Effects, Store,
    },
};

/// How long a failure's text may be: a backtrace of a deep recursion is long.
const MESSAGE_MAX_BYTES: usize = 8 * 1024;

/// What the guest may hand over in one host call, in bytes as the host holds it.
/// It is read before the call is counted or its arguments are looked at, so this
/// bounds what `concurrent_calls` guests can make the host allocate. A commit
/// holds no more either, so no sensible call needs it. wasmtime allows 128 MiB.
const HOST_CALL_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What the host brings to every call.
#[derive(Clone)]
pub struct Host {
    /// The limits in force.
    pub limits: Arc<Limits>,
    /// Where the guest's reads go.
    pub store: Arc<dyn Store>,
    /// Whether an action can be taken on.
    pub check: ActionCheck,
    /// Where the guest's requests to other systems go.
    pub egress: Arc<Egress>,
    /// What calls of endpoints may take.
    pub endpoints: Arc<EndpointPolicy>,
}

/// Calls the bot once. The caller holds the room for it.
pub async fn call(
    engine: &Engine,
    host: &Host,
    bot: &Bot,
    call: Call,
) -> Result<Effects, CallError> {
    let event = Arc::clone(&call.event);
    let mut wasm = new_store(engine, host, call);
    let run = async {
        let instance = bot.instantiate_async(&mut wasm).await?;
        let event = convert::event(&event);
        instance
            .wxhost_bot_handler()
            .call_on_event(&mut wasm, &event)
            .await
    };
    let ended = tokio::time::timeout(host.limits.call_wall(), run).await;
    let ((), state) = outcome(ended, wasm)?;
    Ok(state.into_effects())
}

/// Asks the callback component once. The caller holds the room for it.
pub async fn ask(
    engine: &Engine,
    host: &Host,
    callback: &Callback,
    ask: Ask,
) -> Result<Answer, CallError> {
    let question = ask.question.clone();
    let mut wasm = new_store(engine, host, CallbackErrand::new(ask));
    let run = async {
        let instance = callback.instantiate_async(&mut wasm).await?;
        decide(instance.wxhost_callback_handler(), &mut wasm, &question).await
    };
    let ended = tokio::time::timeout(host.limits.call_wall(), run).await;
    let (verdict, state) = outcome(ended, wasm)?;
    match verdict.check() {
        Ok(()) => Ok(state.into_answer(verdict)),
        Err(problem) => Err(refused(problem, &state)),
    }
}

async fn decide(
    handler: &callback::wit::Guest,
    wasm: &mut WasmStore<CallState<CallbackErrand>>,
    question: &Question,
) -> wasmtime::Result<Result<Verdict, String>> {
    Ok(match question {
        Question::Login(attempt) => handler
            .call_login(wasm, &convert::login_attempt(attempt))
            .await?
            .map(convert::login_verdict),
        Question::Logout(notice) => handler
            .call_logout(wasm, &convert::logout_notice(notice))
            .await?
            .map(convert::logout_verdict),
        Question::UnknownAction(call) => handler
            .call_unknown_action(wasm, &convert::unknown_call(call))
            .await?
            .map(convert::action_verdict),
    })
}

/// Instantiates the component once: exports of the wrong type show only then.
pub async fn start(engine: &Engine, host: &Host, guest: &Guest) -> Result<(), ComponentError> {
    let _room = engine
        .room(&HandlerName::trial(), host.limits.queue_wait())
        .await
        .map_err(|error| ComponentError::Host(error.to_string()))?;
    let started = match guest {
        Guest::Bot(bot) => {
            let mut wasm = new_store(engine, host, convert::trial_call(convert::nameless()));
            let start = bot.instantiate_async(&mut wasm);
            let ended = tokio::time::timeout(host.limits.call_wall(), start).await;
            outcome(ended.map(|it| it.map(Ok)), wasm).map(drop)
        }
        Guest::Endpoint(endpoint) => {
            let mut wasm = new_store(engine, host, EndpointErrand::nobodys());
            let start = endpoint.instantiate_async(&mut wasm);
            let ended = tokio::time::timeout(host.limits.call_wall(), start).await;
            outcome(ended.map(|it| it.map(Ok)), wasm).map(drop)
        }
        Guest::Callback(callback) => {
            let errand = CallbackErrand::new(convert::trial_ask(convert::nameless()));
            let mut wasm = new_store(engine, host, errand);
            let start = callback.instantiate_async(&mut wasm);
            let ended = tokio::time::timeout(host.limits.call_wall(), start).await;
            outcome(ended.map(|it| it.map(Ok)), wasm).map(drop)
        }
    };
    started.map_err(|error| ComponentError::Unfit(format!("it does not start: {error}")))
}

pub(super) fn new_store<E: Errand>(
    engine: &Engine,
    host: &Host,
    errand: E,
) -> WasmStore<CallState<E>> {
    let limits = &host.limits;
    let state = CallState::new(host.clone(), errand);
    let mut wasm = WasmStore::new(&engine.wasm, state);
    wasm.limiter(|state| state);
    wasm.set_hostcall_fuel(HOST_CALL_BYTES_MAX);
    let ticks_max = limits.call_cpu_ms.div_ceil(TICK.as_millis() as u64).max(1);
    wasm.set_epoch_deadline(1);
    // Waiting moves the epoch on too, but is noticed once only: ticks are counted
    // while the guest computes, and each lets other calls run.
    wasm.epoch_deadline_callback(move |mut context| {
        let state = context.data_mut();
        state.ticks += 1;
        if state.ticks > ticks_max {
            let message = format!("more than {} ms of computing", state.limits.call_cpu_ms);
            return Err(Stopped::Limit(FailureKind::CpuTime, message).into());
        }
        Ok(UpdateDeadline::Yield(1))
    });
    wasm
}

/// What the guest returned with what it asked for, or how it failed.
fn outcome<T, E: Errand>(
    ended: Result<wasmtime::Result<Result<T, String>>, Elapsed>,
    wasm: WasmStore<CallState<E>>,
) -> Result<(T, CallState<E>), CallError> {
    match ended {
        Ok(Ok(Ok(returned))) => Ok((returned, wasm.into_data())),
        Ok(Ok(Err(refusal))) => Err(refused(refusal, wasm.data())),
        Ok(Err(error)) => Err(classify(&error, wasm.data())),
        Err(_) => Err(too_slow(wasm.data())),
    }
}

fn refused<E: Errand>(mut message: String, state: &CallState<E>) -> CallError {
    let kind = if state.memory_refused {
        FailureKind::Memory
    } else {
        FailureKind::Refused
    };
    if message.is_empty() {
        message = "the component returned an error without a text".to_owned();
    }
    failed(kind, message, state)
}

fn too_slow<E: Errand>(state: &CallState<E>) -> CallError {
    let message = format!(
        "more than {} ms in all, waiting included",
        state.limits.call_wall_ms
    );
    failed(FailureKind::WallClock, message, state)
}

/// Finds out whose fault it was. wasmtime wraps what a host call returned in the
/// guest's backtrace, and keeps it to be asked for.
pub(super) fn classify<E: Errand>(error: &wasmtime::Error, state: &CallState<E>) -> CallError {
    let kind = match (
        error.downcast_ref::<Stopped>(),
        error.downcast_ref::<Trap>(),
    ) {
        (Some(Stopped::Store(error)), _) => return CallError::Store(error.clone()),
        (Some(Stopped::Limit(kind, _)), _) => *kind,
        _ if state.memory_refused => FailureKind::Memory,
        _ if is_table_full(error) || is_too_much_data(error) => FailureKind::HostCalls,
        _ => FailureKind::Trap,
    };
    failed(kind, reason(error), state)
}

/// The causes in the first line, then where it happened. wasmtime has them the
/// other way round, but the first line is what the log shows.
fn reason(error: &wasmtime::Error) -> String {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else {
        return chain(error);
    };
    let backtrace = backtrace.to_string();
    let causes: Vec<_> = error
        .chain()
        .map(ToString::to_string)
        .filter(|cause| *cause != backtrace)
        .collect();
    format!("{}\n{backtrace}", causes.join(": "))
}

/// Whether the guest handed over more than `HOST_CALL_BYTES_MAX`. wasmtime's
/// type for it is its own: there is only the text.
fn is_too_much_data(error: &wasmtime::Error) -> bool {
    let text = error.root_cause().to_string();
    text.contains("fuel allocated for hostcalls has been exhausted")
}

fn is_table_full(error: &wasmtime::Error) -> bool {
    matches!(
        error.downcast_ref::<wasmtime::component::ResourceTableError>(),
        Some(wasmtime::component::ResourceTableError::Full)
    )
}

pub(super) fn failed<E: Errand>(
    kind: FailureKind,
    mut message: String,
    state: &CallState<E>,
) -> CallError {
    if message.len() > MESSAGE_MAX_BYTES {
        let end = message.floor_char_boundary(MESSAGE_MAX_BYTES);
        message.truncate(end);
        message.push_str(" […]");
    }
    CallError::Failed(CallFailure {
        kind,
        message,
        output: state.output.tail(),
        used: state.used(),
    })
}

#[cfg(test)]
mod tests;
