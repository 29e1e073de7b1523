//! Carries an answer over to its caller. Nobody is asked for the next piece while a
//! caller reads nothing, so a task of its own does the asking, and notices: a caller
//! that stalls keeps neither a place in the queue nor a client's port.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    BoxError,
    body::{Body, HttpBody},
};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Frame;
use tokio::sync::mpsc;

/// How long a caller may take to read what was sent before.
const STALL_MAX: Duration = Duration::from_secs(60);

/// A body of so many bytes at most is taken whole into the server's buffer, whether
/// its caller reads or not: it needs no ferry.
const SMALL_BYTES: u64 = 16 * 1024;

type Piece = Result<Frame<Bytes>, BoxError>;

/// What is left of an answer for its caller.
struct Ferry {
    pieces: mpsc::Receiver<Piece>,
    /// Whether all of it was sent.
    is_whole: Arc<AtomicBool>,
}

/// The same body. It is dropped, and breaks off, when nobody reads it for long.
pub(super) fn ferried<B>(body: B) -> Body
where
    B: HttpBody<Data = Bytes, Error = BoxError> + Send + Unpin + 'static,
{
    if body.is_end_stream() {
        return Body::empty();
    }
    if body
        .size_hint()
        .upper()
        .is_some_and(|upper| upper <= SMALL_BYTES)
    {
        return Body::new(body);
    }
    // One piece is on its way while the next is fetched.
    let (send, pieces) = mpsc::channel(1);
    let is_whole = Arc::new(AtomicBool::new(false));
    tokio::spawn(carry(body, send, Arc::clone(&is_whole)));
    Body::new(Ferry { pieces, is_whole })
}

async fn carry<B>(mut body: B, send: mpsc::Sender<Piece>, is_whole: Arc<AtomicBool>)
where
    B: HttpBody<Data = Bytes, Error = BoxError> + Unpin,
{
    loop {
        let piece = tokio::select! {
            piece = body.frame() => piece,
            () = send.closed() => return,
        };
        let Some(piece) = piece else {
            return is_whole.store(true, Ordering::Release);
        };
        if send.send_timeout(piece, STALL_MAX).await.is_err() {
            return;
        }
    }
}

impl HttpBody for Ferry {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Piece>> {
        let piece = ready!(self.pieces.poll_recv(context));
        Poll::Ready(match piece {
            None if !self.is_whole.load(Ordering::Acquire) => {
                let problem = format!("nobody read it for {} s", STALL_MAX.as_secs());
                Some(Err(io::Error::new(io::ErrorKind::TimedOut, problem).into()))
            }
            piece => piece,
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use futures_util::stream;

    use super::*;
    use crate::edge::openwx::controller::watched::{Progress, Watched};

    fn held_by(pieces: usize) -> (Body, Arc<()>) {
        let held = Arc::new(());
        let pieces = (0..pieces).map(|_| Ok::<_, io::Error>(Bytes::from_static(b"piece")));
        let body = Body::from_stream(stream::iter(pieces));
        let body = Watched::new(body, Progress::new(), Arc::clone(&held));
        (ferried(body), held)
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_reads_slowly_gets_all_of_it() {
        let (mut body, held) = held_by(5);
        for _ in 0..5 {
            tokio::time::sleep(STALL_MAX - Duration::from_secs(1)).await;
            body.frame().await.unwrap().unwrap();
        }
        assert!(body.frame().await.is_none());
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_reads_nothing_holds_nothing() {
        let (mut body, held) = held_by(5);
        tokio::time::sleep(STALL_MAX + Duration::from_secs(1)).await;
        assert_eq!(Arc::strong_count(&held), 1);
        body.frame().await.unwrap().unwrap();
        let problem = body.frame().await.unwrap().unwrap_err().to_string();
        assert!(problem.contains("60 s"), "{problem}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_goes_away_holds_nothing() {
        let (body, held) = held_by(5);
        drop(body);
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
