//! One call: its instance, its limits, and what went wrong when it did.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use wasmtime::{Store as WasmStore, Trap, UpdateDeadline, WasmBacktrace};

use super::{
    Limits,
    bindings::callback,
    convert,
    egress::Egress,
    endpoint::EndpointErrand,
    engine::{Engine, Room},
    registry::{Bot, Callback, Guest, chain},
    slow::{Caller, Ending},
    state::{CallState, CallbackErrand, Errand, Stopped},
    ticker::TICK,
    warm::{Instance, Warm},
};
use crate::domain::{
    Deployment, HandlerName,
    callback::{Question, Verdict},
    endpoint::EndpointPolicy,
    handler::FailureKind,
    ports::{
        ActionCheck, Answer, Ask, Call, CallError, CallFailure, ComponentError, Effects, Store,
    },
};

/// How long a failure's text may be: a backtrace of a deep recursion is long.
const MESSAGE_MAX_BYTES: usize = 8 * 1024;

/// After how many ticks a call goes on where it holds up nobody. The first comes at any
/// moment of a call, however short it is.
const LONG_TICKS: u64 = 2;

/// How often a component is started that the machine has no room for at the moment, and
/// how long after the time before.
const START_TRIES: u32 = 4;
const START_PAUSE: Duration = Duration::from_millis(250);

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

impl Host {
    /// What a call of this version may use.
    pub fn limits_of(&self, deployment: &Deployment) -> Arc<Limits> {
        self.limits.asked(&deployment.version.manifest.limits)
    }
}

/// Calls the bot once, in the room that is given for it.
pub async fn call(
    engine: &Engine,
    host: &Host,
    warm: &Arc<Warm>,
    bot: &Bot,
    call: Call,
    room: Room,
) -> Result<Effects, CallError> {
    let (event, bot) = (Arc::clone(&call.event), Arc::clone(bot));
    let caller = engine.slow.caller((&call.bot.handler, &event.account));
    let (lease, kept) = warm.lease(&call).unzip();
    let (wasm, kept) = match kept.flatten() {
        Some(Instance { mut wasm, bot }) => {
            wasm.data_mut().renew(host.clone(), call);
            (wasm, Some(bot))
        }
        None => (new_store(engine, host, call), None),
    };
    let ran = run(engine, caller, room, wasm, move |wasm| {
        async move {
            let instance = match kept {
                Some(instance) => instance,
                None => bot.instantiate_async(&mut *wasm).await?,
            };
            let handler = instance.wxhost_bot_handler();
            let event = convert::event(&event);
            let returned = handler.call_on_event(wasm, &event).await?;
            Ok(returned.map(|()| instance))
        }
        .boxed()
    });
    let Ran {
        room,
        mut wasm,
        returned: bot,
        computes,
    } = ran.await?;
    let effects = wasm.data_mut().take_asked();
    match lease {
        Some(lease) => warm.keep(lease, Instance { wasm, bot }),
        None => engine.slow.discard((wasm, room), &computes),
    }
    Ok(effects)
}

/// Asks the callback component once, in the room that is given for it.
pub async fn ask(
    engine: &Engine,
    host: &Host,
    callback: &Callback,
    ask: Ask,
    room: Room,
) -> Result<Answer, CallError> {
    let (question, callback) = (ask.question.clone(), Arc::clone(callback));
    let caller = engine.slow.caller(&ask.component.handler);
    let wasm = new_store(engine, host, CallbackErrand::new(ask));
    let ran = run(engine, caller, room, wasm, move |wasm| {
        async move {
            let instance = callback.instantiate_async(&mut *wasm).await?;
            decide(instance.wxhost_callback_handler(), wasm, &question).await
        }
        .boxed()
    });
    let Ran {
        room: _room,
        wasm,
        returned: verdict,
        ..
    } = ran.await?;
    let state = wasm.into_data();
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

/// Instantiates the component: exports of the wrong type show only then. Its memory's
/// first image is made by that, too, which may take another try.
pub async fn start(engine: &Engine, host: &Host, guest: &Guest) -> Result<(), ComponentError> {
    for _ in 1..START_TRIES {
        match start_once(engine, host, guest).await {
            Err(CallError::Busy { .. }) => tokio::time::sleep(START_PAUSE).await,
            started => return started.map_err(unfit),
        }
    }
    start_once(engine, host, guest).await.map_err(unfit)
}

fn unfit(error: CallError) -> ComponentError {
    match error {
        CallError::Busy { .. } => ComponentError::Busy(error.to_string()),
        error => ComponentError::Unfit(format!("it does not start: {error}")),
    }
}

/// What its version asks for is not known yet, so it has the most that one may.
async fn start_once(engine: &Engine, host: &Host, guest: &Guest) -> Result<(), CallError> {
    let trial = HandlerName::trial();
    let room = engine.room(&trial, host.limits.queue_wait()).await?;
    let host = Host {
        limits: host.limits.at_most(),
        ..host.clone()
    };
    let caller = engine.slow.caller(HandlerName::trial());
    match guest {
        Guest::Bot(bot) => {
            let call = convert::trial_call(convert::nameless());
            let (wasm, bot) = (new_store(engine, &host, call), Arc::clone(bot));
            let ran = run(engine, caller, room, wasm, move |wasm| {
                async move { bot.instantiate_async(wasm).await.map(Ok) }.boxed()
            });
            ran.await.map(drop)
        }
        Guest::Endpoint(endpoint) => {
            let errand = EndpointErrand::nobodys();
            let (wasm, endpoint) = (new_store(engine, &host, errand), Arc::clone(endpoint));
            let ran = run(engine, caller, room, wasm, move |wasm| {
                async move { endpoint.instantiate_async(wasm).await.map(Ok) }.boxed()
            });
            ran.await.map(drop)
        }
        Guest::Callback(callback) => {
            let errand = CallbackErrand::new(convert::trial_ask(convert::nameless()));
            let (wasm, callback) = (new_store(engine, &host, errand), Arc::clone(callback));
            let ran = run(engine, caller, room, wasm, move |wasm| {
                async move { callback.instantiate_async(wasm).await.map(Ok) }.boxed()
            });
            ran.await.map(drop)
        }
    }
}

pub(super) fn new_store<E: Errand>(
    engine: &Engine,
    host: &Host,
    errand: E,
) -> WasmStore<CallState<E>> {
    let state = CallState::new(host.clone(), errand);
    let mut wasm = WasmStore::new(&engine.wasm, state);
    wasm.limiter(|state| state);
    wasm
}

/// Sets what the guest may use from now on. The flag tells when it has computed for long.
pub(super) fn set_limits<E: Errand>(wasm: &mut WasmStore<CallState<E>>) -> Arc<AtomicBool> {
    let computes = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&computes);
    let tick_ms = TICK.as_millis() as u64;
    let ticks_max = wasm.data().limits.call_cpu_ms.div_ceil(tick_ms).max(1);
    wasm.set_hostcall_fuel(HOST_CALL_BYTES_MAX);
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
        if state.ticks >= LONG_TICKS {
            flag.store(true, Ordering::Relaxed);
        }
        Ok(UpdateDeadline::Yield(1))
    });
    computes
}

/// What a guest is called for: it returns something, or says why not.
type Returned<T> = wasmtime::Result<Result<T, String>>;

/// A call that came to its end. The room is held as long as the instance is there.
struct Ran<E: Errand, T> {
    wasm: WasmStore<CallState<E>>,
    room: Room,
    /// What the guest returned.
    returned: T,
    /// Whether it has computed for long.
    computes: Arc<AtomicBool>,
}

/// Runs a call within its limits. One that fails is looked into, and let go of, on the
/// thread where it ended.
async fn run<T: Send + 'static, E: Errand>(
    engine: &Engine,
    caller: Caller,
    room: Room,
    mut wasm: WasmStore<CallState<E>>,
    work: impl for<'a> FnOnce(&'a mut WasmStore<CallState<E>>) -> BoxFuture<'a, Returned<T>>
    + Send
    + 'static,
) -> Result<Ran<E, T>, CallError> {
    let computes = set_limits(&mut wasm);
    let flag = Arc::clone(&computes);
    let whole = async move {
        // Dropped half-way or after a failure, the last of these goes first.
        let room = room;
        let mut wasm = wasm;
        let time = wasm.data().limits.call_wall();
        let error = match tokio::time::timeout(time, work(&mut wasm)).await {
            Ok(Ok(Ok(returned))) => {
                return Ok(Ran {
                    wasm,
                    room,
                    returned,
                    computes: flag,
                });
            }
            Ok(Ok(Err(refusal))) => refused(refusal, wasm.data()),
            Ok(Err(error)) => classify(&error, wasm.data()),
            Err(_) => too_slow(wasm.data()),
        };
        // As good as one that computed for long: it may fail at every message.
        flag.store(true, Ordering::Relaxed);
        Err(error)
    };
    let ran = engine.slow.run(caller, whole, &computes).await;
    ran.map_err(|Ending| CallError::Busy { waited_ms: 0 })?
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
    if is_without_memory(error) {
        return CallError::Busy { waited_ms: 0 };
    }
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

/// Whether the kernel did not let the image of its memory be made, as it may while it
/// moves those pages itself (`EBUSY` for the seals of a memfd). That is no fault of the
/// guest's, which has not begun, and the next call may have it. There is only the text.
fn is_without_memory(error: &wasmtime::Error) -> bool {
    let has_begun = error.downcast_ref::<WasmBacktrace>().is_some();
    !has_begun && error.chain().any(|it| it.to_string().contains("memfd"))
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
    CallError::Failed(Box::new(CallFailure {
        kind,
        message,
        output: state.output.tail(),
        lines: state.output.take_lines(),
        used: state.used(),
        limits: Some(state.limits.of_a_call()),
    }))
}

#[cfg(test)]
mod tests;
