//! What a guest logs or prints: often the only place where it says why it
//! failed. Bounded: what is too much is dropped, never waited for.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamError, StreamResult},
};

/// How much of it is kept with a failure: the end, where the reason is.
const KEPT_BYTES: usize = 4 * 1024;

/// Collects the output of one call at a time. A cheap handle.
#[derive(Debug, Clone)]
pub struct Output(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    text: Vec<u8>,
    room: usize,
    dropped: u64,
}

impl Inner {
    fn new(limit_bytes: u32) -> Self {
        Self {
            text: Vec::new(),
            room: limit_bytes as usize,
            dropped: 0,
        }
    }
}

impl Output {
    /// Takes at most `limit_bytes`.
    pub fn new(limit_bytes: u32) -> Self {
        Self(Arc::new(Mutex::new(Inner::new(limit_bytes))))
    }

    /// Forgets what came so far, and takes at most this much from now on: whoever has the
    /// handle speaks in another call.
    pub fn begin_anew(&self, limit_bytes: u32) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *inner = Inner::new(limit_bytes);
    }

    /// Adds what there is room for. False when anything was dropped.
    pub fn add(&self, bytes: &[u8]) -> bool {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = bytes.len().min(inner.room);
        inner.room -= taken;
        inner.dropped += (bytes.len() - taken) as u64;
        inner
            .text
            .extend_from_slice(bytes.get(..taken).unwrap_or_default());
        taken == bytes.len()
    }

    /// The end of what came, with a word on what was dropped.
    pub fn tail(&self) -> String {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from = inner.text.len().saturating_sub(KEPT_BYTES);
        let mut text =
            String::from_utf8_lossy(inner.text.get(from..).unwrap_or_default()).into_owned();
        if inner.dropped > 0 {
            text.push_str(&format!(
                "\n[{} bytes over the limit were dropped]",
                inner.dropped
            ));
        }
        text
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.add(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    /// Always ready: a guest that prints too much goes on, unheard.
    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(64 * 1024)
    }
}

#[async_trait::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl AsyncWrite for Output {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.add(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_dropped_and_said() {
        let output = Output::new(10);
        assert!(output.add(b"12345678"));
        assert!(!output.add(b"9abcdef"));
        assert!(!output.add(b"!"));
        assert_eq!(
            output.tail(),
            "123456789a\n[6 bytes over the limit were dropped]"
        );
        let held = output.clone();
        output.begin_anew(5);
        assert!(held.add(b"12345"));
        assert!(!held.add(b"6"));
        assert_eq!(
            output.tail(),
            "12345\n[1 bytes over the limit were dropped]"
        );
    }
}
