//! `wasi:logging/logging`: lines for the people who run the bot.

use std::{borrow::Cow, fmt::Write};

use super::CallState;
use crate::domain::handler::LogLevel;
use crate::runtime::{
    bindings::wasi::logging::logging::{Host, Level},
    state::Errand,
};

impl<E: Errand> Host for CallState<E> {
    /// Goes to the host's own log and the handler's, and is kept with a failure. What is
    /// over the call's limit goes to none of them. What it prints is only kept.
    fn log(&mut self, level: Level, context: String, message: String) -> wasmtime::Result<()> {
        self.enter()?;
        let line = match context.is_empty() {
            true => message.clone(),
            false => format!("{context}: {message}"),
        };
        if self.output.log(level_of(level), context, message) {
            self.tell(level, &one_line(line.trim_end()));
        }
        Ok(())
    }
}

fn level_of(level: Level) -> LogLevel {
    match level {
        Level::Trace => LogLevel::Trace,
        Level::Debug => LogLevel::Debug,
        Level::Info => LogLevel::Info,
        Level::Warn => LogLevel::Warn,
        Level::Error => LogLevel::Error,
        Level::Critical => LogLevel::Critical,
    }
}

impl<E: Errand> CallState<E> {
    fn tell(&self, level: Level, line: &str) {
        let (account, handler) = (self.call.account().as_str(), self.handler().as_str());
        macro_rules! at {
            ($level:ident) => {
                tracing::$level!(target: "wxhost::guest", account, handler, "{line}")
            };
        }
        match level {
            Level::Trace => at!(trace),
            Level::Debug => at!(debug),
            Level::Info => at!(info),
            Level::Warn => at!(warn),
            Level::Error | Level::Critical => at!(error),
        }
    }
}

/// The text without what would end the line or command a terminal: a guest
/// can't write lines that look like the host's.
fn one_line(text: &str) -> Cow<'_, str> {
    if !text.chars().any(commands) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match commands(c) {
            // Writing to a text never fails.
            true => drop(write!(line, "{}", c.escape_default())),
            false => line.push(c),
        }
    }
    Cow::Owned(line)
}

/// Control characters, line and paragraph separators, and what turns the
/// direction of writing.
fn commands(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_writes_one_line_and_no_commands() {
        assert_eq!(one_line("héllo 你好 \\n"), "héllo 你好 \\n");
        assert!(matches!(one_line("plain"), Cow::Borrowed(_)));
        assert_eq!(
            one_line("a\n2026-01-01 INFO all is well\r\tb"),
            "a\\n2026-01-01 INFO all is well\\r\\tb"
        );
        assert_eq!(one_line("\u{1b}[2Jgone\u{9b}1m"), "\\u{1b}[2Jgone\\u{9b}1m");
        assert_eq!(one_line("\u{2028}\u{202e}"), "\\u{2028}\\u{202e}");
    }
}
