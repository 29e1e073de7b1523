//! Endpoints: components that answer HTTP requests at `/x/NAME/` of the host, and act for
//! the accounts that their deployment names (`--act-for`).
//!
//! ```
//! use wxhost_sdk::{endpoint::{self, Request, Response}, prelude::*};
//!
//! wxhost_sdk::endpoint!(serve);
//!
//! fn serve(request: Request) -> Result<Response, Error> {
//!     if request.method != "POST" {
//!         return Ok(Response::text(405, "POST it"));
//!     }
//!     endpoint::act_for("wxid_shop")?;
//!     send_text("wxid_owner", &String::from_utf8_lossy(&request.body))?;
//!     Ok(Response::text(202, "said"))
//! }
//! ```
//!
//! This reads the whole request and sends the whole response. A component that streams,
//! or was made for another host, takes `wasi:http` as it is, and from here [`act_for`].
//!
//! What the function asks for is durable before the client gets the response; if it
//! fails, nothing of it happens and the client gets 502. [`kv`](crate::kv) is one store
//! for all requests, of which many run at the same time: one that read what another has
//! changed meanwhile gets 503 instead of its response, and can be made again.

use crate::{
    bindings::endpoint::{
        wasi::{
            http::types::{
                ErrorCode, Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse,
                ResponseOutparam,
            },
            io::streams::StreamError,
        },
        wxhost::endpoint::acting,
    },
    error::Error,
};

/// The longest body that [`endpoint!`](crate::endpoint!) reads.
pub const BODY_MAX_BYTES: usize = 4 * 1024 * 1024;
/// How much is read or written at once.
const PIECE_BYTES: usize = 4096;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// "GET", "POST", …
    pub method: String,
    /// The path below `/x/NAME`, with its slash.
    pub path: String,
    /// What follows the `?`.
    pub query: Option<String>,
    /// Names and values, in order. Names are in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Request {
    /// The first header of this name, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter();
        let (_, value) = named.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Names and values, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Response {
    /// A response with this body, of any type.
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: vec![("content-type".to_owned(), content_type.into())],
            body: body.into(),
        }
    }

    /// A response that is text.
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", text.into())
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// From now on, `chat`, `groups`, `friends`, `tags` and `contacts` are this account's.
/// "forbidden" for an account that the deployment does not name, or that there is not.
pub fn act_for(account: &str) -> Result<(), Error> {
    Ok(acting::act_for(account)?)
}

/// Makes a function the endpoint: `endpoint!(serve)`, where `serve` takes a
/// [`Request`](crate::endpoint::Request) and returns a
/// `Result<Response, Error>`. Once per crate, and the crate's type must be `cdylib`.
#[macro_export]
macro_rules! endpoint {
    ($serve:path) => {
        // First, so that a wrong signature is reported as such.
        const _: fn(
            $crate::endpoint::Request,
        ) -> ::core::result::Result<$crate::endpoint::Response, $crate::Error> = $serve;
        const _: () = {
            struct Endpoint;
            impl $crate::bindings::endpoint::exports::wasi::http::incoming_handler::Guest
                for Endpoint
            {
                fn handle(
                    request: $crate::bindings::endpoint::wasi::http::types::IncomingRequest,
                    answer: $crate::bindings::endpoint::wasi::http::types::ResponseOutparam,
                ) {
                    $crate::endpoint::run($serve, request, answer)
                }
            }
            #[cfg(target_family = "wasm")]
            const _: () = {
                $crate::bindings::endpoint::__export_endpoint! {
                    Endpoint with_types_in $crate::bindings::endpoint
                }
            };
        };
    };
}

/// What answers a request.
#[doc(hidden)]
pub type Serve = fn(Request) -> Result<Response, Error>;

/// Reads the request, calls the function and sends what it returned.
#[doc(hidden)]
pub fn run(serve: Serve, request: IncomingRequest, answer: ResponseOutparam) {
    let answered = crate::run(
        |(serve, request): (Serve, IncomingRequest)| match read(&request)? {
            Some(request) => serve(request),
            None => Ok(Response::text(413, "the body is too long")),
        },
        (serve, request),
    );
    match answered {
        Ok(response) => send(response, answer),
        Err(reason) => ResponseOutparam::set(answer, Err(ErrorCode::InternalError(Some(reason)))),
    }
}

fn read(request: &IncomingRequest) -> Result<Option<Request>, Error> {
    let target = request.path_with_query().unwrap_or_default();
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target.as_str(), None),
    };
    let Some(body) = read_body(request)? else {
        return Ok(None);
    };
    Ok(Some(Request {
        method: method(request.method()),
        path: path.to_owned(),
        query,
        headers: request.headers().entries(),
        body,
    }))
}

fn method(method: Method) -> String {
    let word = match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(word) => return word,
    };
    word.to_owned()
}

/// The whole body; none when it is too long.
fn read_body(request: &IncomingRequest) -> Result<Option<Vec<u8>>, Error> {
    let taken = |()| "the body was taken already";
    let incoming = request.consume().map_err(taken)?;
    let stream = incoming.stream().map_err(taken)?;
    let mut body = Vec::new();
    loop {
        match stream.blocking_read(PIECE_BYTES as u64) {
            Ok(piece) => body.extend(piece),
            Err(StreamError::Closed) => return Ok(Some(body)),
            Err(StreamError::LastOperationFailed(error)) => {
                return Err(format!("the body broke off: {}", error.to_debug_string()).into());
            }
        }
        if body.len() > BODY_MAX_BYTES {
            return Ok(None);
        }
    }
}

/// Sends it, as far as the client takes it.
fn send(response: Response, answer: ResponseOutparam) {
    let (outgoing, body) = head(&response);
    ResponseOutparam::set(answer, Ok(outgoing));
    {
        let Ok(stream) = body.write() else { return };
        for piece in response.body.chunks(PIECE_BYTES) {
            if stream.blocking_write_and_flush(piece).is_err() {
                return;
            }
        }
    }
    // An error here means that the client has gone.
    let _ = OutgoingBody::finish(body, None);
}

#[allow(
    clippy::panic,
    reason = "how an endpoint says that it failed: its text is logged"
)]
fn head(response: &Response) -> (OutgoingResponse, OutgoingBody) {
    let mut headers = response.headers.clone();
    headers.push((
        "content-length".to_owned(),
        response.body.len().to_string().into(),
    ));
    let fields = match Fields::from_list(&headers) {
        Ok(fields) => fields,
        Err(error) => panic!("the response's headers can't be sent: {error}"),
    };
    let outgoing = OutgoingResponse::new(fields);
    let status = response.status;
    match (outgoing.set_status_code(status), outgoing.body()) {
        (Ok(()), Ok(body)) => (outgoing, body),
        _ => panic!("{status} is no status of a response"),
    }
}
