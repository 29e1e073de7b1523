//! What a guest logs or prints: often the only place where it says why it
//! failed. Bounded: what is too much is dropped, never waited for.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamError, StreamResult},
};

use crate::domain::{
    Millis,
    handler::{HOST, Line, LogLevel, STDERR, STDOUT},
};

/// How much of it is kept with a failure: the end, where the reason is.
const KEPT_BYTES: usize = 4 * 1024;
/// How many lines of one call are kept: each takes much more memory than the byte that
/// an empty one is counted as.
const LINES_MAX: usize = 1000;

/// Collects the output of one call at a time. A cheap handle, of what is logged and of
/// stdout unless it was made for stderr.
#[derive(Debug, Clone)]
pub struct Output {
    inner: Arc<Mutex<Inner>>,
    stream: Stream,
}

/// What a guest prints to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Stdout,
    Stderr,
}

#[derive(Debug)]
struct Inner {
    /// All of it in the order in which it came.
    text: Vec<u8>,
    /// The same, line by line.
    lines: Vec<Line>,
    /// What was printed of a line that is not whole yet, by stream.
    begun: [Vec<u8>; 2],
    room: usize,
    dropped: u64,
    dropped_lines: u64,
    clock: Clock,
}

/// The time of a call: the store's clock at its beginning, and what has passed since.
#[derive(Debug, Clone, Copy)]
struct Clock {
    began_ms: Millis,
    began: Instant,
}

impl Clock {
    fn now(self) -> Millis {
        let passed = self.began.elapsed().as_millis();
        self.began_ms
            .saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }
}

impl Inner {
    fn new(limit_bytes: u32, began_ms: Millis) -> Self {
        Self {
            text: Vec::new(),
            lines: Vec::new(),
            begun: Default::default(),
            room: limit_bytes as usize,
            dropped: 0,
            dropped_lines: 0,
            clock: Clock {
                began_ms,
                began: Instant::now(),
            },
        }
    }
}

impl Output {
    /// Takes at most `limit_bytes`. The call begins now.
    pub fn new(limit_bytes: u32, began_ms: Millis) -> Self {
        Self {
            inner: Arc::new(Mutex::new(Inner::new(limit_bytes, began_ms))),
            stream: Stream::Stdout,
        }
    }

    /// Forgets what came so far, and takes at most this much from now on: whoever has the
    /// handle speaks in another call, which begins now.
    pub fn begin_anew(&self, limit_bytes: u32, began_ms: Millis) {
        *self.inner() = Inner::new(limit_bytes, began_ms);
    }

    /// The same output, as its standard error.
    pub fn stderr(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            stream: Stream::Stderr,
        }
    }

    /// Adds a line that is logged, as far as there is room. False when anything was
    /// dropped.
    pub fn log(&self, level: LogLevel, context: String, text: String) -> bool {
        // What the host says and what was printed is told by these words.
        let context = match context.as_str() {
            HOST | STDOUT | STDERR => format!("bot:{context}"),
            _ => context,
        };
        let shown = match context.is_empty() {
            true => format!("{text}\n"),
            false => format!("{context}: {text}\n"),
        };
        let mut inner = self.inner();
        let whole = inner.take(shown.as_bytes()).len() == shown.len();
        match whole {
            true => inner.line(level, context, text),
            false => inner.dropped_lines += 1,
        }
        whole
    }

    /// Adds a line that the host says about what the guest did.
    pub fn say(&self, level: LogLevel, text: impl Into<String>) {
        let text = text.into();
        let mut inner = self.inner();
        let shown = format!("{text}\n");
        if inner.take(shown.as_bytes()).len() == shown.len() {
            inner.line(level, HOST.to_owned(), text);
        }
    }

    /// Adds what is printed, as far as there is room.
    fn print(&self, bytes: &[u8]) {
        self.inner().print(self.stream, bytes);
    }

    /// The end of what came, with a word on what was dropped.
    pub fn tail(&self) -> String {
        let inner = self.inner();
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

    /// What came, line by line, with a word on what was dropped. The output is without
    /// lines then.
    pub fn take_lines(&self) -> Vec<Line> {
        let mut inner = self.inner();
        for stream in [Stream::Stdout, Stream::Stderr] {
            inner.end_line(stream);
        }
        let (dropped, lines) = (inner.dropped, inner.dropped_lines);
        let mut taken = std::mem::take(&mut inner.lines);
        let what = match (dropped, lines) {
            (0, 0) => return taken,
            (0, lines) => format!("{lines} lines over {LINES_MAX}"),
            (bytes, _) => format!("{bytes} bytes over the limit (limits.call_log_bytes)"),
        };
        taken.push(Line {
            at_ms: inner.clock.now(),
            level: LogLevel::Warn,
            context: HOST.to_owned(),
            text: format!("{what} were dropped"),
        });
        taken
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Takes what there is room for, and gives it back.
    fn take<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let taken = bytes.get(..self.room).unwrap_or(bytes);
        self.room -= taken.len();
        self.dropped += (bytes.len() - taken.len()) as u64;
        self.text.extend_from_slice(taken);
        taken
    }

    fn print(&mut self, stream: Stream, bytes: &[u8]) {
        for piece in self.take(bytes).split_inclusive(|byte| *byte == b'\n') {
            let [stdout, stderr] = &mut self.begun;
            let begun = match stream {
                Stream::Stdout => stdout,
                Stream::Stderr => stderr,
            };
            match piece.strip_suffix(b"\n") {
                // An empty line has nothing to say.
                Some([]) if begun.is_empty() => {}
                Some(end) => {
                    begun.extend_from_slice(end);
                    self.end_line(stream);
                }
                None => begun.extend_from_slice(piece),
            }
        }
    }

    /// What was begun is a line.
    fn end_line(&mut self, stream: Stream) {
        let [stdout, stderr] = &mut self.begun;
        let (begun, level, context) = match stream {
            Stream::Stdout => (stdout, LogLevel::Info, STDOUT),
            Stream::Stderr => (stderr, LogLevel::Warn, STDERR),
        };
        if begun.is_empty() {
            return;
        }
        let begun = std::mem::take(begun);
        let text = String::from_utf8_lossy(begun.strip_suffix(b"\r").unwrap_or(&begun));
        let text = text.into_owned();
        self.line(level, context.to_owned(), text);
    }

    fn line(&mut self, level: LogLevel, context: String, text: String) {
        if self.lines.len() >= LINES_MAX {
            self.dropped_lines += 1;
            return;
        }
        self.lines.push(Line {
            at_ms: self.clock.now(),
            level,
            context,
            text,
        });
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
        self.print(&bytes);
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
        self.print(bytes);
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

    fn shown(output: &Output) -> Vec<String> {
        let lines = output.take_lines().into_iter();
        lines
            .map(|line| format!("{} {}: {}", line.level, line.context, line.text))
            .collect()
    }

    #[test]
    fn what_is_too_much_is_dropped_and_said() {
        let output = Output::new(10, 0);
        output.print(b"12345678");
        output.print(b"9abcdef");
        output.print(b"!");
        assert_eq!(
            output.tail(),
            "123456789a\n[6 bytes over the limit were dropped]"
        );
        assert_eq!(
            shown(&output),
            [
                "info stdout: 123456789a",
                "warn wxhost: 6 bytes over the limit (limits.call_log_bytes) were dropped"
            ]
        );
    }

    #[test]
    fn another_call_finds_nothing_of_the_one_before() {
        let output = Output::new(10, 0);
        let stderr = output.stderr();
        output.print(b"123456789abc");
        output.begin_anew(5, 7);
        stderr.print(b"12345");
        stderr.print(b"6");
        assert_eq!(
            output.tail(),
            "12345\n[1 bytes over the limit were dropped]"
        );
    }

    #[test]
    fn lines_of_both_streams_stay_apart_and_keep_their_order() {
        let output = Output::new(1000, 0);
        let stderr = output.stderr();
        output.print(b"on");
        stderr.print(b"oh\nno");
        output.print(b"e\n\ntw");
        assert!(output.log(LogLevel::Error, "bot".into(), "logged\nin two".into()));
        output.print(b"o\r\n");
        assert_eq!(
            shown(&output),
            [
                "warn stderr: oh",
                "info stdout: one",
                "error bot: logged\nin two",
                "info stdout: two",
                "warn stderr: no",
            ]
        );
        assert_eq!(output.tail(), "onoh\nnoe\n\ntwbot: logged\nin two\no\r\n");
    }

    #[test]
    fn a_line_that_does_not_fit_is_no_line() {
        let output = Output::new(9, 0);
        assert!(output.log(LogLevel::Info, String::new(), "12345".into()));
        assert!(!output.log(LogLevel::Info, String::new(), "6789".into()));
        assert_eq!(
            shown(&output),
            [
                "info : 12345",
                "warn wxhost: 2 bytes over the limit (limits.call_log_bytes) were dropped"
            ]
        );
    }

    #[test]
    fn whoever_holds_it_speaks_in_another_call() {
        let output = Output::new(10, 0);
        let stderr = output.stderr();
        output.print(b"begun");
        output.begin_anew(5, 0);
        stderr.print(b"12345");
        output.print(b"6");
        assert_eq!(
            output.tail(),
            "12345\n[1 bytes over the limit were dropped]"
        );
        assert_eq!(
            shown(&output).first().map(String::as_str),
            Some("warn stderr: 12345")
        );
    }

    #[test]
    fn short_lines_are_bounded_by_their_number() {
        let output = Output::new(u32::MAX, 0);
        for _ in 0..LINES_MAX + 7 {
            output.print(b"x\n");
        }
        let lines = shown(&output);
        assert_eq!(lines.len(), LINES_MAX + 1);
        assert_eq!(
            lines.last().map(String::as_str),
            Some("warn wxhost: 7 lines over 1000 were dropped")
        );
    }
}
