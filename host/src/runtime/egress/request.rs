//! What one call may ask of other systems, and one request of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    HeaderMap, Method, Request, Response, Uri,
    header::{self, HeaderName, HeaderValue},
};
use tokio::time::Instant;
use tracing::{Instrument, field};
use url::Position;

use super::{
    Egress, Refusal,
    body::{Cause, Received, Sent},
    policy::Target,
};
use crate::{
    domain::{Deployment, handler::LogLevel},
    metrics,
    runtime::{
        bindings::wxhost::bot::web::{Request as Asked, Response as Answered},
        output::Output,
    },
    telemetry::TARGET,
};

/// The longest method. Those in use have at most 17 bytes.
const METHOD_MAX_BYTES: usize = 64;

/// What is kept of a call's time for the guest, to handle a request that came to nothing.
const HANDLING: Duration = Duration::from_millis(100);
/// How many headers a request or a response may have.
pub const HEADERS_MAX: usize = 128;

/// How much of a text that can't be sent is named in the error.
const SHOWN_BYTES: usize = 64;

/// Headers that are the connection's, which the host makes, or say whom it leads to.
const NOT_THE_GUESTS: [HeaderName; 10] = [
    header::HOST,
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Whether a guest may not set it.
pub fn is_forbidden(name: &HeaderName) -> bool {
    NOT_THE_GUESTS.contains(name) || name.as_str() == "http2-settings"
}

/// The requests of one call.
pub struct Outgoing {
    egress: Arc<Egress>,
    deployment: Arc<Deployment>,
    is_trial: bool,
    output: Output,
    until: Instant,
    made: u32,
}

/// A request that a rule allows.
pub struct Admitted {
    pub egress: Arc<Egress>,
    pub deployment: Arc<Deployment>,
    pub target: Target,
    /// When the whole response must be there.
    pub until: Instant,
    /// How long that was at the beginning, for messages.
    pub time_ms: u64,
}

impl Outgoing {
    /// Those of a call of this deployment that has so much time.
    pub fn new(
        egress: Arc<Egress>,
        deployment: Arc<Deployment>,
        is_trial: bool,
        output: Output,
        call_time: Duration,
    ) -> Self {
        let handling = HANDLING.min(call_time / 10);
        Self {
            egress,
            deployment,
            is_trial,
            output,
            until: Instant::now() + call_time.saturating_sub(handling),
            made: 0,
        }
    }

    /// Says in the guest's log why a request comes to nothing, where its interface has
    /// codes only.
    pub fn say(&self, refusal: &Refusal) {
        // Dropped when the log is full, as all that the guest says.
        self.output
            .say(LogLevel::Warn, format!("wasi:http: {refusal}"));
    }

    /// Counts a request, if it may be made.
    pub fn admit(&mut self, url: &str, time: Option<Duration>) -> Result<Admitted, Refusal> {
        if self.is_trial {
            let problem = "no request is made while a bot is tried out";
            return Err(Refusal::Denied(problem.to_owned()));
        }
        let admitted = self.judge(url, time);
        if let Err(refusal) = &admitted {
            measure(&self.deployment, refusal.code());
        }
        admitted
    }

    fn judge(&mut self, url: &str, time: Option<Duration>) -> Result<Admitted, Refusal> {
        let target = Target::of(url, &self.deployment.version.manifest.allowed_hosts)?;
        let config = &self.egress.config;
        if self.made >= config.call_requests {
            return Err(Refusal::TooMany(config.call_requests));
        }
        self.made += 1;
        let now = Instant::now();
        let time = config.request_time().min(time.unwrap_or(Duration::MAX));
        let until = now.checked_add(time).unwrap_or(self.until).min(self.until);
        Ok(Admitted {
            egress: Arc::clone(&self.egress),
            deployment: Arc::clone(&self.deployment),
            target,
            until,
            time_ms: until.saturating_duration_since(now).as_millis() as u64,
        })
    }

    /// Asks and waits for the whole response.
    pub async fn fetch(&mut self, asked: Asked) -> Result<Answered, Refusal> {
        let time = asked.timeout_ms.map(|ms| Duration::from_millis(ms.into()));
        let method = Method::from_bytes(asked.method.as_bytes()).map_err(|_| {
            Refusal::BadRequest(format!("method: {:?} is none", shortened(&asked.method)))
        })?;
        let headers = headers(asked.headers)?;
        let admitted = self.admit(&asked.url, time)?;
        let body = Full::new(Bytes::from(asked.body));
        let mut request = Request::new(body.map_err(Cause::from).boxed_unsync());
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        let (head, body) = admitted.send(request).await?.into_parts();
        Ok(Answered {
            status: head.status.as_u16(),
            headers: shown(&head.headers),
            body: whole(body).await?,
        })
    }
}

impl Admitted {
    /// Sends it and waits for the head of the response. Of the request's own address
    /// only what was admitted is used.
    pub async fn send(
        self,
        request: Request<UnsyncBoxBody<Bytes, Cause>>,
    ) -> Result<Response<Received>, Refusal> {
        let over = Arc::new(AtomicBool::new(false));
        let request = self.prepared(request, Arc::clone(&over))?;
        let handler = self.deployment.handler.as_str();
        let origin = field::display(&self.target.origin);
        let span =
            tracing::info_span!(target: TARGET, "egress", handler, origin, outcome = field::Empty);
        let exchange = self.exchange(request).instrument(span.clone());
        let answered = tokio::time::timeout_at(self.until, exchange).await;
        let config = &self.egress.config;
        let result = match answered {
            _ if over.load(Ordering::Relaxed) => Err(too_long(config.request_bytes_max)),
            Ok(result) => result,
            Err(_) => Err(Refusal::Timeout(self.time_ms)),
        };
        let outcome = result.as_ref().map_or_else(Refusal::code, |_| "answered");
        measure(&self.deployment, outcome);
        span.record("outcome", outcome);
        // The path and what follows it may hold secrets.
        tracing::debug!(
            handler = %self.deployment.handler, origin = %self.target.origin,
            outcome = result.as_ref().map_or_else(Refusal::code, |it| it.status().canonical_reason().unwrap_or("answered")),
            "a bot has asked another system"
        );
        result
    }

    /// The request as it goes over the wire.
    fn prepared(
        &self,
        request: Request<UnsyncBoxBody<Bytes, Cause>>,
        over: Arc<AtomicBool>,
    ) -> Result<Request<Sent>, Refusal> {
        let config = &self.egress.config;
        let (mut parts, body) = request.into_parts();
        if parts.method.as_str().len() > METHOD_MAX_BYTES {
            let problem = format!("method: has at most {METHOD_MAX_BYTES} bytes");
            return Err(Refusal::BadRequest(problem));
        }
        if parts.method == Method::CONNECT {
            let problem = "method: CONNECT asks for a tunnel, which there is not".to_owned();
            return Err(Refusal::BadRequest(problem));
        }
        check_headers(&parts.headers, config.header_bytes_max)?;
        if hyper::body::Body::size_hint(&body).lower() > config.request_bytes_max.into() {
            return Err(too_long(config.request_bytes_max));
        }
        let url = &self.target.url;
        let unfit = |_| Refusal::BadRequest("url: can't be asked for".to_owned());
        let path = &url[Position::BeforePath..Position::AfterQuery];
        parts.uri = path
            .parse::<Uri>()
            .map_err(|error| unfit(error.to_string()))?;
        let host = &url[Position::BeforeHost..Position::AfterPort];
        let host = HeaderValue::from_str(host).map_err(|error| unfit(error.to_string()))?;
        parts.headers.insert(header::HOST, host);
        parts
            .headers
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
        parts
            .headers
            .entry(header::USER_AGENT)
            .or_insert(HeaderValue::from_static(concat!(
                "wxhost/",
                env!("CARGO_PKG_VERSION")
            )));
        let body = Sent::new(body, config.request_bytes_max, over);
        Ok(Request::from_parts(parts, body))
    }
}

fn measure(bot: &Deployment, outcome: &'static str) {
    let (handler, version) = (bot.handler.as_str(), bot.version.number.0);
    metrics::get().handlers().request(handler, version, outcome);
}

/// What is enough of a text to know it by: it may have megabytes.
fn shortened(text: &str) -> &str {
    text.get(..text.floor_char_boundary(SHOWN_BYTES))
        .unwrap_or(text)
}

fn too_long(bytes_max: u32) -> Refusal {
    Refusal::TooLarge("the request's body", bytes_max, "request_bytes_max")
}

fn headers(pairs: Vec<(String, String)>) -> Result<HeaderMap, Refusal> {
    if pairs.len() > HEADERS_MAX {
        let problem = format!("headers: takes {HEADERS_MAX}, these are {}", pairs.len());
        return Err(Refusal::BadRequest(problem));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let unfit = || {
            let name = shortened(&name);
            Refusal::BadRequest(format!("headers: {name:?} can't be sent"))
        };
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unfit())?;
        if key == header::CONTENT_LENGTH {
            let problem = "headers: content-length is the host's to set".to_owned();
            return Err(Refusal::BadRequest(problem));
        }
        // As bytes: a value may have letters beyond ASCII.
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| unfit())?;
        headers.append(key, value);
    }
    Ok(headers)
}

fn check_headers(headers: &HeaderMap, bytes_max: u32) -> Result<(), Refusal> {
    if let Some(name) = headers.keys().find(|name| is_forbidden(name)) {
        let problem = format!("headers: {name} is the host's to set");
        return Err(Refusal::BadRequest(problem));
    }
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    match bytes > bytes_max as usize || headers.len() > HEADERS_MAX {
        false => Ok(()),
        true => Err(Refusal::TooLarge(
            "the request's head",
            bytes_max,
            "header_bytes_max",
        )),
    }
}

fn shown(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), text(value)))
        .collect()
}

async fn whole(mut body: Received) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}
