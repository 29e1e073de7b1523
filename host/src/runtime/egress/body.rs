//! Bodies with an end: of bytes, and of time.

use std::{
    error::Error,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};
use tokio_util::task::AbortOnDropHandle;

use super::{Place, Refusal};

/// An error of a body, whatever it is.
pub type Cause = Box<dyn Error + Send + Sync>;

/// The body of a request: counted, and cut off when it is too long.
pub struct Sent {
    inner: UnsyncBoxBody<Bytes, Cause>,
    left: u64,
    over: Arc<AtomicBool>,
}

impl Sent {
    /// At most so many bytes. When there are more, that is noted beside it, since the
    /// error itself gets lost on its way through hyper.
    pub fn new(inner: UnsyncBoxBody<Bytes, Cause>, bytes_max: u32, over: Arc<AtomicBool>) -> Self {
        let left = bytes_max.into();
        Self { inner, left, over }
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Cause;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        let Some(Ok(frame)) = frame else {
            return Poll::Ready(frame);
        };
        let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Poll::Ready(Some(Ok(frame)))
            }
            None => {
                self.over.store(true, Ordering::Relaxed);
                Poll::Ready(Some(Err("the body is too long".into())))
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

/// The body of a response: counted, ended at its time, and with all that the request
/// holds.
pub struct Received {
    inner: Incoming,
    bytes_max: u32,
    left: u64,
    time_ms: u64,
    ended: Pin<Box<Sleep>>,
    _held: Held,
}

/// What a request holds until its response was read or thrown away.
pub struct Held {
    /// Its place among all.
    pub place: Arc<Place>,
    /// What drives its connection.
    pub connection: AbortOnDropHandle<()>,
}

impl Received {
    /// At most so many bytes, until then.
    pub fn new(inner: Incoming, bytes_max: u32, until: Instant, time_ms: u64, held: Held) -> Self {
        Self {
            inner,
            bytes_max,
            left: bytes_max.into(),
            time_ms,
            ended: Box::pin(tokio::time::sleep_until(until)),
            _held: held,
        }
    }

    fn too_large(&self) -> Refusal {
        Refusal::TooLarge("the response's body", self.bytes_max, "response_bytes_max")
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = Refusal;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Refusal>>> {
        // First, so that a peer who sends without a pause is cut off too.
        if self.ended.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(Refusal::Timeout(self.time_ms))));
        }
        if self.inner.size_hint().lower() > self.left {
            return Poll::Ready(Some(Err(self.too_large())));
        }
        let frame = match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
            None => return Poll::Ready(None),
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                let problem = format!("the response broke off: {error}");
                return Poll::Ready(Some(Err(Refusal::Unreachable(problem))));
            }
        };
        let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Poll::Ready(Some(Ok(frame)))
            }
            None => Poll::Ready(Some(Err(self.too_large()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
