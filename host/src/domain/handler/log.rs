//! What guests log and print, line by line.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::VersionNumber;
use crate::domain::{AccountId, Millis};

/// The context of what a guest wrote to its standard output.
pub const STDOUT: &str = "stdout";
/// The context of what a guest wrote to its standard error.
pub const STDERR: &str = "stderr";
/// The context of what the host itself has to say. A guest may say the same: it only
/// speaks about itself.
pub const HOST: &str = "wxhost";

/// How grave a line is. What is printed to stdout counts as info, what is printed to
/// stderr (a panic, for one) as a warning.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Each single step.
    Trace,
    /// For whoever looks for a fault.
    Debug,
    /// What happens.
    #[default]
    Info,
    /// What may be wrong.
    Warn,
    /// What is wrong.
    Error,
    /// Nothing works any more.
    Critical,
}

impl LogLevel {
    /// Every level, the least grave first.
    pub const ALL: [Self; 6] = [
        Self::Trace,
        Self::Debug,
        Self::Info,
        Self::Warn,
        Self::Error,
        Self::Critical,
    ];

    /// The level as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A line of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at_ms: Millis,
    /// How grave.
    pub level: LogLevel,
    /// Where from, in the guest's own words; `stdout` or `stderr` for what it printed.
    pub context: String,
    /// What. May have line breaks in it.
    pub text: String,
}

/// A line of a handler's log, as it is kept and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When.
    pub at_ms: Millis,
    /// Its place among all lines that this host keeps: larger than that of any line that
    /// was kept before. Lines of a slow call are kept after others that were said later. 0
    /// before it is kept.
    #[serde(default)]
    pub order: u64,
    /// For which account; none for a callback component, which serves none.
    pub account: Option<AccountId>,
    /// By which version.
    pub version: VersionNumber,
    /// During the call for which event, or which question about the callback.
    pub event: String,
    /// How grave.
    pub level: LogLevel,
    /// Where from; `stdout` or `stderr` for what was printed, `wxhost` for what the host
    /// has to say.
    #[serde(default)]
    pub context: String,
    /// What. May have line breaks and control characters in it.
    pub text: String,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn levels_are_written_as_they_are_said_and_ordered_by_how_grave_they_are() {
        for level in LogLevel::ALL {
            let json = serde_json::to_string(&level).unwrap();
            assert_eq!(json, format!("\"{level}\""));
        }
        assert!(LogLevel::ALL.is_sorted());
    }

    #[test]
    fn a_line_is_one_line_of_json_whatever_it_holds() {
        let line = LogLine {
            at_ms: 1,
            order: 7,
            account: None,
            version: VersionNumber(2),
            event: "msg-1".into(),
            level: LogLevel::Warn,
            context: String::new(),
            text: "a\nb\u{1b}[2J".into(),
        };
        let json = serde_json::to_string(&line).unwrap();
        assert_eq!(
            json,
            r#"{"at_ms":1,"order":7,"account":null,"version":2,"event":"msg-1","level":"warn","context":"","text":"a\nb\u001b[2J"}"#
        );
        assert_eq!(serde_json::from_str::<LogLine>(&json).unwrap(), line);
    }
}
