//! A body on its way through: it may be of any size and take any time, as long as it
//! goes on. One that rests too long fails, so that its half looks like no whole.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::body::HttpBody;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// How long a body may rest between two pieces. A client that is busy with
/// something else has its longest pauses, 12 s, while WeChat refuses a send.
pub(super) const REST_MAX: Duration = Duration::from_secs(60);

/// How a body gets on. A cheap handle.
#[derive(Debug, Clone)]
pub(super) struct Progress(Arc<Moved>);

#[derive(Debug)]
struct Moved {
    began: Instant,
    /// How long after the beginning it moved last, in ms.
    last_ms: AtomicU64,
    /// Its reader waits for whoever sends it.
    rests: AtomicBool,
    /// It has failed before its end.
    broken: AtomicBool,
}

impl Progress {
    /// It begins.
    pub(super) fn new() -> Self {
        Self(Arc::new(Moved {
            began: Instant::now(),
            last_ms: AtomicU64::new(0),
            rests: AtomicBool::new(false),
            broken: AtomicBool::new(false),
        }))
    }

    /// Whether it failed before its end.
    pub(super) fn is_broken(&self) -> bool {
        self.0.broken.load(Ordering::Relaxed)
    }

    fn rests(&self) {
        self.0.rests.store(true, Ordering::Relaxed);
    }

    fn goes_on(&self, is_broken: bool) {
        let ms = self.0.began.elapsed().as_millis() as u64;
        self.0.last_ms.store(ms, Ordering::Relaxed);
        self.0.rests.store(false, Ordering::Relaxed);
        self.0.broken.fetch_or(is_broken, Ordering::Relaxed);
    }

    /// Since when the reader of the body, not its sender, is waited for.
    fn last(&self) -> Instant {
        if self.0.rests.load(Ordering::Relaxed) {
            return Instant::now();
        }
        let ms = self.0.last_ms.load(Ordering::Relaxed);
        self.0.began + Duration::from_millis(ms)
    }

    /// Waits for work that may take so long after the body moved last; none when it
    /// took longer. While the body's sender is waited for, the time does not count.
    pub(super) async fn limit<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let mut work = std::pin::pin!(work);
        loop {
            let until = self.last() + limit;
            match tokio::time::timeout_at(until, work.as_mut()).await {
                Ok(done) => return Some(done),
                Err(_) if self.last() + limit > until => {}
                Err(_) => return None,
            }
        }
    }
}

/// A body that is watched, and what is held until it has ended.
#[derive(Debug)]
pub(super) struct Watched<B, H> {
    body: B,
    progress: Progress,
    /// Set while it rests.
    resting: Option<Pin<Box<Sleep>>>,
    held: Option<H>,
}

impl<B, H> Watched<B, H> {
    /// Watches this one, and lets go of `held` at its end.
    pub(super) fn new(body: B, progress: Progress, held: H) -> Self {
        Self {
            body,
            progress,
            resting: None,
            held: Some(held),
        }
    }

    fn rests(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let resting = self
            .resting
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(REST_MAX)));
        resting.as_mut().poll(context)
    }
}

impl<B, H> HttpBody for Watched<B, H>
where
    B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Unpin,
    H: Unpin,
{
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let this = &mut *self;
        let polled = match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(polled) => polled.map(|frame| frame.map_err(Into::into)),
            Poll::Pending => {
                this.progress.rests();
                std::task::ready!(this.rests(context));
                let problem = format!("nothing more came for {} s", REST_MAX.as_secs());
                Some(Err(io::Error::new(io::ErrorKind::TimedOut, problem).into()))
            }
        };
        this.resting = None;
        this.progress.goes_on(matches!(polled, Some(Err(_))));
        if !matches!(polled, Some(Ok(_))) || this.body.is_end_stream() {
            this.held = None;
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use axum::body::Body;
    use futures_util::{StreamExt, stream};
    use http_body_util::BodyExt;

    use super::*;

    /// Pieces so many seconds apart, and then none and no end.
    fn slow(seconds: &[u64]) -> Body {
        let pieces = stream::iter(seconds.to_vec()).then(|wait| async move {
            tokio::time::sleep(Duration::from_secs(wait)).await;
            Ok::<_, io::Error>(Bytes::from_static(b"piece"))
        });
        Body::from_stream(pieces.chain(stream::pending()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_be_slow_and_fails_when_it_stops() {
        let began = Instant::now();
        let held = Arc::new(());
        let body = slow(&[59, 59, 59]);
        let mut body = Watched::new(body, Progress::new(), Arc::clone(&held));
        for _ in 0..3 {
            body.frame().await.unwrap().unwrap();
            assert_eq!(Arc::strong_count(&held), 2);
        }
        let problem = body.frame().await.unwrap().unwrap_err().to_string();
        assert!(problem.contains("60 s"), "{problem}");
        assert_eq!(began.elapsed().as_secs(), 3 * 59 + 60);
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_goes_with_the_last_piece() {
        let held = Arc::new(());
        let mut body = Watched::new(Body::from("all"), Progress::new(), Arc::clone(&held));
        body.frame().await.unwrap().unwrap();
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_waited_for_as_long_as_the_question_is_on_its_way() {
        let began = Instant::now();
        let progress = Progress::new();
        let mut body = Watched::new(slow(&[40; 4]), progress.clone(), ());
        let sending = async { while body.frame().await.is_some_and(|it| it.is_ok()) {} };
        let waiting = progress.limit(Duration::from_secs(35), std::future::pending::<()>());
        let all = async { tokio::join!(sending, waiting).1 };
        assert_eq!(all.await, None);
        assert!(progress.is_broken());
        assert_eq!(began.elapsed().as_secs(), 4 * 40 + 60 + 35);
    }
}
