//! The log: lines on stderr, for people or for machines. And traces, for who wants them.

mod traces;

use std::io;

use serde::{Deserialize, Serialize};
use tracing::Dispatch;
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

pub use self::traces::{Otlp, TARGET, Traces};

/// Settings of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, or a filter
    /// such as `info,wxhost::guest=debug`. What bots log has the target
    /// `wxhost::guest`.
    pub level: String,
    /// In which form.
    pub format: Format,
}

/// Settings of what goes elsewhere.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// Traces.
    pub otlp: Otlp,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// One line per event, to be read.
    Text,
    /// One JSON object per line, to be collected.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: Format::Text,
        }
    }
}

/// Starts logging, once per process.
pub fn start(config: &Config, traces: Option<&Traces>) -> Result<(), String> {
    let dispatch = dispatch(config, traces)?;
    dispatch.try_init().map_err(|error| error.to_string())
}

/// Where lines and spans go. Spans of the traces are none of the log's: without traces
/// they are not even made.
fn dispatch(config: &Config, traces: Option<&Traces>) -> Result<Dispatch, String> {
    let filter =
        EnvFilter::try_new(&config.level).map_err(|error| format!("log.level: {error}"))?;
    let silent = format!("{TARGET}=off").parse();
    let silent = silent.map_err(|error| format!("{TARGET}: {error}"))?;
    let log = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let log = match config.format {
        Format::Text => log
            .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
            .boxed(),
        Format::Json => log.json().flatten_event(true).boxed(),
    };
    let log = tracing_subscriber::registry().with(log.with_filter(filter.add_directive(silent)));
    // Not as an optional layer: one that is absent would still ask for every span.
    Ok(match traces {
        Some(traces) => log.with(traces.layer()).into(),
        None => log.into(),
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use tracing::dispatcher::with_default;

    use super::*;

    #[test]
    fn without_traces_their_spans_are_not_made() {
        with_default(&dispatch(&Config::default(), None).unwrap(), || {
            assert!(tracing::info_span!(target: TARGET, "call").is_disabled());
            assert!(!tracing::info_span!("other").is_disabled());
        });
    }
}
