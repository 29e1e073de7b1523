//! A socket whose client has to read what is written to it: one that does not is cut off.
//!
//! hyper keeps the end of a response, and whatever else does not fit into the system's own
//! buffers, for as long as the connection lasts. Nothing is measured while nobody writes:
//! a connection that waits for something to happen may wait.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

/// Fails a write of which the client has taken nothing for so long.
#[derive(Debug)]
pub(crate) struct MustRead<S> {
    inner: S,
    patience: Duration,
    /// Runs while something is written and nothing of it is taken.
    until: Option<Pin<Box<Sleep>>>,
}

impl<S> MustRead<S> {
    /// `patience` is how long the client may take nothing of what is written.
    pub(crate) fn new(inner: S, patience: Duration) -> Self {
        Self {
            inner,
            patience,
            until: None,
        }
    }

    /// The socket, for whoever measures by itself.
    pub(crate) fn into_inner(self) -> S {
        self.inner
    }

    fn judged<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.until = None;
            return polled;
        }
        let patience = self.patience;
        let until = self
            .until
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        match until.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client does not read (server.idle_ms)",
            ))),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for MustRead<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for MustRead<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.judged(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.judged(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(context);
        // A write that waits is not over because there is nothing to flush.
        match polled.is_pending() {
            true => self.judged(context, polled),
            false => polled,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_shutdown(context);
        self.judged(context, polled)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::{Instant, advance},
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_ends_the_write() {
        let (ours, theirs) = duplex(4);
        let mut ours = MustRead::new(ours, PATIENCE);
        let began = Instant::now();
        let failed = ours.write_all(b"longer").await.map_err(|it| it.kind());
        assert_eq!(failed, Err(io::ErrorKind::TimedOut));
        assert_eq!(began.elapsed(), PATIENCE);
        drop(theirs);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_reads_slowly_gets_all_and_silence_is_no_fault() {
        let (ours, mut theirs) = duplex(4);
        let mut ours = MustRead::new(ours, PATIENCE);
        let writing = tokio::spawn(async move {
            ours.write_all(b"a long text").await.unwrap();
            ours
        });
        let mut read = Vec::new();
        while read.len() < 11 {
            advance(PATIENCE - Duration::from_secs(1)).await;
            let mut piece = [0; 2];
            let length = theirs.read(&mut piece).await.unwrap();
            read.extend_from_slice(piece.get(..length).unwrap());
        }
        assert_eq!(read, b"a long text");
        let mut ours = writing.await.unwrap();
        advance(PATIENCE * 3).await;
        ours.write_all(b"!").await.unwrap();
        assert_eq!(theirs.read_u8().await.unwrap(), b'!');
    }
}
