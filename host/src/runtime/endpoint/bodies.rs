//! The bodies of a request and its response, with their ends: of bytes, and of time in
//! which nothing comes.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::DropGuard;
use wasmtime_wasi_http::{Error, p2::body::HyperOutgoingBody};

use super::line::{Fault, Line};
use crate::domain::{
    endpoint::{self, BrokenOff, EndpointPolicy},
    handler::FailureKind,
    ports::ClientFault,
};

/// The client sends nothing for so many ms.
fn too_slow(idle_ms: u64) -> Fault {
    Fault::Client(ClientFault::BodyTooSlow(idle_ms, "endpoints.idle_ms"))
}

/// Runs while somebody waits for the next piece.
struct Patience {
    idle: Duration,
    until: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    fn new(idle_ms: u64) -> Self {
        Self {
            idle: Duration::from_millis(idle_ms),
            until: None,
        }
    }

    /// Nothing came: whether that is so for too long.
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        let idle = self.idle;
        let until = self
            .until
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + idle)));
        until.as_mut().poll(context).is_ready()
    }

    fn renew(&mut self) {
        self.until = None;
    }
}

/// The body of a request, as the guest reads it.
pub struct Asked {
    inner: endpoint::Body,
    line: Arc<Line>,
    bytes_max: u64,
    left: u64,
    patience: Patience,
}

impl Asked {
    pub fn new(inner: endpoint::Body, line: Arc<Line>, policy: &EndpointPolicy) -> Self {
        Self {
            inner,
            line,
            bytes_max: policy.request_bytes,
            left: policy.request_bytes,
            patience: Patience::new(policy.idle_ms),
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        // The guest wants no more of it.
        self.line.await_request(false);
    }
}

impl Body for Asked {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        self.line.await_request(polled.is_pending());
        if polled.is_pending() && self.patience.is_over(context) {
            let idle_ms = self.patience.idle.as_millis() as u64;
            self.line.end(too_slow(idle_ms));
            return Poll::Ready(Some(Err(Error::ConnectionReadTimeout)));
        }
        let frame = match ready!(polled) {
            None => return Poll::Ready(None),
            Some(Ok(frame)) => frame,
            // Before the guest hears of it, and maybe fails for that.
            Some(Err(_)) => {
                self.line.end(Fault::Client(ClientFault::BodyBroken));
                return Poll::Ready(Some(Err(Error::ConnectionTerminated)));
            }
        };
        self.patience.renew();
        let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Poll::Ready(Some(Ok(frame)))
            }
            None => {
                let bytes_max = self.bytes_max;
                let too_large = ClientFault::BodyTooLarge(bytes_max);
                self.line.end(Fault::Client(too_large));
                Poll::Ready(Some(Err(Error::HttpRequestBodySize(Some(bytes_max)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The body of a response, as the client reads it.
pub struct Answered {
    inner: HyperOutgoingBody,
    line: Arc<Line>,
    bytes_max: u64,
    sent: u64,
    /// How long it is, as its head says.
    announced: Option<u64>,
    patience: Patience,
    /// Ends the call with this body, unless it has come to its end.
    gone: Option<DropGuard>,
}

impl Answered {
    pub fn new(
        inner: HyperOutgoingBody,
        announced: Option<u64>,
        line: Arc<Line>,
        gone: DropGuard,
        policy: &EndpointPolicy,
    ) -> Self {
        Self {
            inner,
            line,
            bytes_max: policy.response_bytes,
            sent: 0,
            announced,
            patience: Patience::new(policy.idle_ms),
            gone: Some(gone),
        }
    }

    /// Nothing more has to be sent. What the guest does after that is not cut short.
    fn is_whole(&mut self) {
        if let Some(gone) = self.gone.take() {
            gone.disarm();
        }
    }

    fn fails(&self, kind: FailureKind, problem: String) -> Next {
        self.line.end(Fault::Guest(kind, problem.clone()));
        Poll::Ready(Some(Err(BrokenOff(problem))))
    }
}

type Next = Poll<Option<Result<Frame<Bytes>, BrokenOff>>>;

impl Body for Answered {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Next {
        self.line.await_reader(false);
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        // After it was asked: a call that ends badly says so before it closes its end.
        if self.line.is_broken() {
            let problem = "the endpoint failed before it was whole".to_owned();
            return Poll::Ready(Some(Err(BrokenOff(problem))));
        }
        if polled.is_pending() && self.patience.is_over(context) {
            let idle_ms = self.patience.idle.as_millis() as u64;
            if self.line.awaits_request() {
                // It is the client that holds it up.
                self.line.end(too_slow(idle_ms));
                let problem = "the client does not send".to_owned();
                return Poll::Ready(Some(Err(BrokenOff(problem))));
            }
            let problem =
                format!("nothing of the response's body came for {idle_ms} ms (endpoints.idle_ms)");
            return self.fails(FailureKind::WallClock, problem);
        }
        let frame = match ready!(polled) {
            None => {
                self.is_whole();
                return Poll::Ready(None);
            }
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                let problem = format!("it did not finish the response's body: {error}");
                return self.fails(FailureKind::Refused, problem);
            }
        };
        self.patience.renew();
        self.sent += frame.data_ref().map_or(0, Bytes::len) as u64;
        if self.sent > self.bytes_max {
            let problem = format!(
                "the response's body has more than {} bytes (endpoints.response_bytes)",
                self.bytes_max
            );
            return self.fails(FailureKind::Effects, problem);
        }
        // Who knows its length asks for nothing more.
        let is_whole = self.announced == Some(self.sent);
        if is_whole {
            self.is_whole();
        }
        self.line.await_reader(!is_whole);
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        !self.line.is_broken() && self.inner.is_end_stream()
    }
}
