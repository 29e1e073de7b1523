//! Endpoints: a fresh instance for each request, which lives as long as its response
//! goes on.
//!
//! The call runs in a task of its own. It ends when the guest returns, when a limit is
//! reached, when one of the bodies finds a [`line::Fault`], or when whoever waits for
//! the response is gone; an instance is never used again.

mod bodies;
mod errand;
mod line;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{HeaderMap, header};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use wasmtime::Store as WasmStore;
use wasmtime_wasi_http::{WasiHttpView, p2::bindings::http::types::Scheme};

pub use self::errand::{EndpointErrand, take_heads};
use self::{
    bodies::{Answered, Asked},
    errand::Head,
    line::{Fault, Line},
};
use super::{
    engine::{Engine, Room},
    invoke::{self, Host},
    registry::Endpoint,
    state::{CallState, Errand, Stopped},
};
use crate::{
    domain::{
        Deployment,
        endpoint::{self, BrokenOff, TRIAL_HEADER},
        handler::{FailureKind, Used},
        ports::{
            CallError, CallFailure, ClientFault, CutShort, EndpointEffects, Visit, VisitEnd,
            VisitError, Visited,
        },
    },
    metrics,
};

/// How long the response to a trial may go on after its head. It may be one that never
/// ends by itself, such as a stream of events.
const TRIAL_BODY_TIME: Duration = Duration::from_secs(1);

type State = CallState<EndpointErrand>;

/// How a call of an endpoint ended.
enum Ended {
    /// As it should; what it asked for since it answered.
    Well(EndpointEffects, Used),
    /// The host ends.
    Ending,
    /// The client is at fault or gone, or it is what the call waited for.
    Client(ClientFault),
    /// The endpoint failed, or the host did.
    Badly(CallError),
}

/// Its end, and what is left of it that was not told with that.
type End = (Ended, CutShort);

/// A call that was begun.
struct Begun {
    head: oneshot::Receiver<Head>,
    ended: oneshot::Receiver<End>,
    line: Arc<Line>,
    gone: tokio_util::sync::DropGuard,
}

/// Has an endpoint answer a request. The room is given back with the instance.
pub async fn visit(
    engine: &Engine,
    host: &Host,
    guest: Endpoint,
    room: Room,
    visit: Visit,
) -> Result<Visited, VisitError> {
    let announced = content_length(visit.request.headers());
    let bytes_max = host.endpoints.request_bytes;
    if announced.is_some_and(|bytes| bytes > bytes_max) {
        let too_large = ClientFault::BodyTooLarge(bytes_max);
        return Err(VisitError::ByClient(too_large, CutShort::default()));
    }
    let begun = begin(engine, host, guest, room, visit, false);
    let Begun {
        head,
        ended,
        line,
        gone,
    } = begun;
    let Ok(head) = head.await else {
        return Err(match ended.await {
            Ok(ended) => unanswered(ended),
            Err(_) => vanished().into(),
        });
    };
    let announced = content_length(head.response.headers());
    let response = head
        .response
        .map(|body| Answered::new(body, announced, line, gone, &host.endpoints).boxed_unsync());
    let go_on = head.go_on;
    Ok(Visited {
        response,
        effects: head.effects,
        go_on: Box::new(move || {
            // It may have ended meanwhile.
            let _ = go_on.send(());
        }),
        rest: Box::pin(async move {
            // Without an end the task was ended with the host.
            let (ended, left) = ended.await.unwrap_or((Ended::Ending, CutShort::default()));
            match ended {
                Ended::Well(effects, used) => VisitEnd::Well(effects, used),
                Ended::Badly(CallError::Failed(failure)) => VisitEnd::Failed(failure),
                Ended::Badly(error) => VisitEnd::Failed(host_failure(error.to_string())),
                Ended::Client(_) => VisitEnd::ByClient(left),
                Ended::Ending => VisitEnd::Ending(left),
            }
        }),
    })
}

/// Has it answer a request that says it is a trial. Any response is fine.
pub async fn try_out(
    engine: &Engine,
    host: &Host,
    guest: Endpoint,
    room: Room,
    deployment: Arc<Deployment>,
) -> Result<Used, CallError> {
    let visit = Visit {
        endpoint: deployment,
        request: trial_request()?,
        gone: CancellationToken::new(),
        ending: CancellationToken::new(),
    };
    let begun = begin(engine, host, guest, room, visit, true);
    if let Ok(head) = begun.head.await {
        let _ = head.go_on.send(());
        let mut body = Answered::new(
            head.response.into_body(),
            None,
            begun.line,
            begun.gone,
            &host.endpoints,
        );
        let read = async { while let Some(Ok(_)) = body.frame().await {} };
        // What goes on for longer is gone on with by nobody.
        let _ = tokio::time::timeout(TRIAL_BODY_TIME, read).await;
        drop(body);
        return match begun.ended.await {
            Ok((Ended::Well(_, used), _)) => Ok(used),
            Ok((Ended::Badly(error), _)) => Err(error),
            Ok((_, left)) => Ok(left.used),
            Err(_) => Err(vanished()),
        };
    }
    let ended = begun.ended.await;
    let error = ended.map_or_else(|_| vanished().into(), unanswered);
    Err(match error {
        VisitError::Call(error) => error,
        other => failure_of_host(other.to_string()),
    })
}

fn trial_request() -> Result<endpoint::Request, CallError> {
    let body = Empty::<Bytes>::new().map_err(|_| BrokenOff(String::new()));
    hyper::Request::get("http://localhost/")
        .header(TRIAL_HEADER, "1")
        .body(body.boxed_unsync())
        .map_err(|error| failure_of_host(error.to_string()))
}

/// Why there is no response, after the call has ended without.
fn unanswered((ended, left): End) -> VisitError {
    match ended {
        Ended::Client(fault) => VisitError::ByClient(fault, left),
        Ended::Badly(error) => error.into(),
        Ended::Ending => VisitError::Ending(left),
        Ended::Well(..) => vanished().into(),
    }
}

fn vanished() -> CallError {
    failure_of_host("the call ended early".to_owned())
}

fn failure_of_host(message: String) -> CallError {
    CallError::Failed(host_failure(message))
}

fn host_failure(message: String) -> Box<CallFailure> {
    Box::new(CallFailure::new(FailureKind::Host, message))
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(header::CONTENT_LENGTH)?;
    value.to_str().ok()?.parse().ok()
}

/// Starts the task in which the guest runs.
fn begin(
    engine: &Engine,
    host: &Host,
    guest: Endpoint,
    room: Room,
    visit: Visit,
    is_trial: bool,
) -> Begun {
    let line = Arc::new(Line::default());
    let (answer, head) = oneshot::channel();
    let (end, ended) = oneshot::channel();
    let Visit {
        endpoint,
        request,
        gone,
        ending,
    } = visit;
    // Also when nobody waits for the response any more, or for its body.
    let gone = gone.child_token();
    let request = request.map(|body| Asked::new(body, Arc::clone(&line), &host.endpoints));
    let errand = EndpointErrand::new(endpoint, is_trial, Arc::clone(&line), answer);
    let errand_name = errand.deployment().handler.clone();
    let limits = host.limits_of(errand.deployment());
    let wall = errand.wall(&limits, &host.endpoints);
    let mut wasm = invoke::new_store(engine, host, errand);
    let computes = invoke::set_limits(&mut wasm);
    let slow = Arc::clone(&engine.slow);
    let caller = slow.caller(&errand_name);
    let running = (!is_trial).then(|| metrics::get().running());
    let call = Running {
        wasm,
        guest,
        wall,
        head_time: wall.min(Duration::from_millis(host.endpoints.head_ms)),
        line: Arc::clone(&line),
        gone: gone.clone(),
        ending,
        computes: Arc::clone(&computes),
    };
    tokio::spawn(async move {
        let whole = async move {
            // Dropped half-way, the room goes after the instance.
            let (_room, _running) = (room, running);
            call.run(request).await
        };
        if let Ok(ended) = slow.run(caller, whole, &computes).await {
            // Nobody may wait for it.
            let _ = end.send(ended);
        }
    });
    Begun {
        head,
        ended,
        line,
        gone: gone.drop_guard(),
    }
}

/// A call under way.
struct Running {
    wasm: WasmStore<State>,
    guest: Endpoint,
    wall: Duration,
    head_time: Duration,
    line: Arc<Line>,
    gone: CancellationToken,
    ending: CancellationToken,
    /// Set for what begins on the threads for long calls the next time.
    computes: Arc<AtomicBool>,
}

impl Running {
    async fn run(mut self, request: hyper::Request<Asked>) -> End {
        let call = call(&mut self.wasm, &self.guest, request);
        let ended = tokio::select! {
            biased;
            // Before the rest: a body that has found something goes right after.
            fault = self.line.fault() => at_fault(fault, self.wasm.data()),
            () = self.gone.cancelled() => Ended::Client(ClientFault::Gone),
            () = self.ending.cancelled() => Ended::Ending,
            ended = call => ended_with(ended, &mut self.wasm),
            () = self.line.unanswered(self.head_time) => {
                let problem = "no response within";
                late(problem, self.head_time, "endpoints.head_ms", &self.line, &self.wasm)
            }
            () = tokio::time::sleep(self.wall) => {
                let problem = "not at its end within";
                late(problem, self.wall, "endpoints.wall_ms", &self.line, &self.wasm)
            }
        };
        // A guest may have returned because its body was taken away for that.
        let ended = match (ended, self.line.fault_so_far()) {
            (Ended::Well(..) | Ended::Badly(_), Some(fault)) => {
                at_fault(fault.clone(), self.wasm.data())
            }
            (ended, _) => ended,
        };
        if !matches!(ended, Ended::Well(..)) {
            self.line.break_off();
            self.computes.store(true, Ordering::Relaxed);
        }
        let ended = self.with_its_time(ended);
        let state = self.wasm.data_mut();
        let left = CutShort {
            lines: state.output.take_lines(),
            used: state.used(),
        };
        // The instance goes only now.
        (ended, left)
    }

    /// Its time in all is another than that of other calls.
    fn with_its_time(&self, mut ended: Ended) -> Ended {
        if let Ended::Badly(CallError::Failed(failure)) = &mut ended
            && let Some(limits) = &mut failure.limits
        {
            limits.wall_ms = self.wall.as_millis() as u64;
        }
        ended
    }
}

async fn call(
    wasm: &mut WasmStore<State>,
    guest: &Endpoint,
    request: hyper::Request<Asked>,
) -> wasmtime::Result<()> {
    let proxy = guest.instantiate_async(&mut *wasm).await?;
    let scheme = match request.uri().scheme_str() {
        Some("https") => Scheme::Https,
        _ => Scheme::Http,
    };
    let mut http = wasm.data_mut().http();
    let request = http.new_incoming_request(scheme, request)?;
    // Never called: `errand::set` has its place.
    let answer = http.new_response_outparam_from_callback(drop)?;
    let handler = proxy.wasi_http_incoming_handler();
    handler.call_handle(&mut *wasm, request, answer).await
}

fn ended_with(ended: wasmtime::Result<()>, wasm: &mut WasmStore<State>) -> Ended {
    match ended {
        Ok(()) if !wasm.data().call.has_answered() => {
            let problem = "it returned without a response".to_owned();
            Ended::Badly(invoke::failed(FailureKind::Refused, problem, wasm.data()))
        }
        Ok(()) => {
            let state = wasm.data_mut();
            Ended::Well(state.take_endpoint_effects(), state.used())
        }
        Err(error) => match error.downcast_ref::<Stopped>() {
            Some(Stopped::Gone) => Ended::Client(ClientFault::Gone),
            _ => Ended::Badly(invoke::classify(&error, wasm.data())),
        },
    }
}

/// How a call ends at a deadline: by whoever it waited for then, or for most of the time.
fn late(
    problem: &str,
    time: Duration,
    setting: &'static str,
    line: &Line,
    wasm: &WasmStore<State>,
) -> Ended {
    let ms = time.as_millis() as u64;
    if line.is_held_up_by_client(time) {
        return Ended::Client(ClientFault::BodyTooSlow(ms, setting));
    }
    let problem = format!("{problem} {ms} ms ({setting})");
    Ended::Badly(invoke::failed(FailureKind::WallClock, problem, wasm.data()))
}

fn at_fault(fault: Fault, state: &State) -> Ended {
    match fault {
        Fault::Client(fault) => Ended::Client(fault),
        Fault::Guest(kind, problem) => Ended::Badly(invoke::failed(kind, problem, state)),
    }
}
