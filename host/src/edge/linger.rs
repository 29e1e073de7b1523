//! Lets a refused upload end before its answer is sent.
//!
//! A client that is still sending when the connection closes sees a reset
//! instead of the answer that says what was wrong. So the rest of the body is
//! read and thrown away first, within bounds.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    extract::Request,
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};

/// How much is thrown away at the most: a little more than the largest body that
/// any path takes by default, files apart.
const THROWN_AWAY_MAX_BYTES: usize = 72 * 1024 * 1024;
/// How long that may take.
const TIME_MAX: Duration = Duration::from_secs(10);
/// Who sends nothing for so long waits for the answer, or is gone.
const STALL_TIME: Duration = Duration::from_secs(2);

/// The body while somebody reads it, and after.
type Shared = Arc<Mutex<Option<Body>>>;

/// Reads what a refusal left unread.
pub(crate) async fn linger(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let rest = Shared::default();
    let (parts, body) = request.into_parts();
    let lent = Lent {
        body: Some(body),
        rest: Arc::clone(&rest),
    };
    let response = next.run(Request::from_parts(parts, Body::new(lent))).await;
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        let rest = rest.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(rest) = rest {
            throw_away(rest).await;
        }
    }
    response
}

/// Reads the rest of a body that is refused, within bounds.
pub(crate) async fn throw_away(body: Body) {
    throw_away_within(body, THROWN_AWAY_MAX_BYTES, TIME_MAX).await;
}

/// The same, within bounds of the path's own.
pub(crate) async fn throw_away_within(mut body: Body, max_bytes: usize, time: Duration) {
    let all = async {
        let mut thrown = 0;
        while let Ok(Some(Ok(frame))) = tokio::time::timeout(STALL_TIME, body.frame()).await {
            thrown += frame.data_ref().map_or(0, Bytes::len);
            if thrown > max_bytes {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(time, all).await;
}

/// A body that goes back when its reader drops it before its end.
struct Lent {
    body: Option<Body>,
    rest: Shared,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map(HttpBody::size_hint)
            .unwrap_or_default()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            *self.rest.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::{Router, http::StatusCode, routing::post};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn what_a_refusal_left_is_read_and_what_was_taken_is_not_touched() {
        let refuse = || async { StatusCode::FORBIDDEN };
        let take = |body: Body| async move { body.collect().await.unwrap().to_bytes() };
        let router = Router::new()
            .route("/refuse", post(refuse))
            .route("/take", post(take))
            .layer(axum::middleware::from_fn(linger));
        for (path, status) in [
            ("/refuse", StatusCode::FORBIDDEN),
            ("/take", StatusCode::OK),
        ] {
            let left = Arc::new(AtomicUsize::new(3));
            let body = Body::new(Pieces(Arc::clone(&left)));
            let request = Request::post(path).body(body).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), status);
            assert_eq!(
                left.load(Ordering::Relaxed),
                0,
                "{path}: not read to its end"
            );
        }
    }

    /// A body of so many pieces.
    struct Pieces(Arc<AtomicUsize>);

    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = axum::Error;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
            let left = self.0.load(Ordering::Relaxed);
            self.0.store(left.saturating_sub(1), Ordering::Relaxed);
            let piece = Frame::data(Bytes::from_static(b"piece"));
            Poll::Ready((left > 0).then_some(Ok(piece)))
        }
    }
}
