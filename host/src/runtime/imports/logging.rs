//! `wasi:logging/logging`: lines for the people who run the bot.

use super::CallState;
use crate::runtime::bindings::wasi::logging::logging::{Host, Level};

impl Host for CallState {
    /// Goes to the host's own log, and is kept with a failure. What is over the
    /// call's limit goes to neither.
    fn log(&mut self, level: Level, context: String, message: String) -> wasmtime::Result<()> {
        self.enter()?;
        let line = match context.is_empty() {
            true => format!("{message}\n"),
            false => format!("{context}: {message}\n"),
        };
        if self.output.add(line.as_bytes()) {
            self.tell(level, line.trim_end());
        }
        Ok(())
    }
}

impl CallState {
    fn tell(&self, level: Level, line: &str) {
        let (account, handler) = (self.call.event.account.as_str(), self.handler().as_str());
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
