//! What requests of guests may use. Every bound has a setting of its name under
//! `[egress]`, and a reason.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How many handlers must be able to ask at the same time, however slow the systems are
/// that some of them ask: so many parts of all places is what one handler has at most.
const HANDLERS_MIN: u32 = 16;
const KIB: u32 = 1024;
const MIB: u32 = 1024 * KIB;

/// hyper refuses a smaller buffer for the head of a response.
const HEADER_BYTES_MIN: u32 = 8 * KIB;
const HEADER_BYTES_MAX: u32 = MIB;
/// A body is held in memory until the guest has it, which has 64 MiB itself.
const BODY_BYTES_MAX: u32 = 64 * MIB;

/// Limits of the requests that guests make to other systems.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Time of one request in ms, from its beginning to the end of the response's body.
    /// It is never longer than the call has left.
    pub request_ms: u64,
    /// Requests that one call may make.
    pub call_requests: u32,
    /// Requests of all guests at the same time. What is above it waits.
    pub requests_max: u32,
    /// Requests of one handler at the same time, so that a system that doesn't answer
    /// holds up its own bot only: at most a sixteenth of `requests_max`. What is above it
    /// waits.
    pub handler_requests_max: u32,
    /// The body of a request, in bytes. By `web.fetch` it is at most what one host call
    /// may hand over, 4 MiB.
    pub request_bytes_max: u32,
    /// The body of a response, in bytes.
    pub response_bytes_max: u32,
    /// The headers of a request or of a response, in bytes.
    pub header_bytes_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            request_ms: 10_000,
            call_requests: 8,
            requests_max: 64,
            handler_requests_max: 4,
            request_bytes_max: MIB,
            response_bytes_max: 4 * MIB,
            header_bytes_max: 64 * KIB,
        }
    }
}

impl Config {
    /// How long one request may take.
    pub fn request_time(&self) -> Duration {
        Duration::from_millis(self.request_ms)
    }

    /// Says which setting can't work, and why.
    pub fn check(&self) -> Result<(), String> {
        for (name, value) in [
            ("request_ms", self.request_ms),
            ("requests_max", self.requests_max.into()),
            ("handler_requests_max", self.handler_requests_max.into()),
        ] {
            if value == 0 {
                return Err(format!(
                    "egress.{name}: must be more than 0; egress.call_requests = 0 turns \
                     requests off"
                ));
            }
        }
        let share = (self.requests_max / HANDLERS_MIN).max(1);
        if self.handler_requests_max > share {
            return Err(format!(
                "egress.handler_requests_max: at most {share}, so that {HANDLERS_MIN} handlers can \
                 ask at the same time with egress.requests_max = {}: raise that one, too",
                self.requests_max
            ));
        }
        if !(HEADER_BYTES_MIN..=HEADER_BYTES_MAX).contains(&self.header_bytes_max) {
            return Err(format!(
                "egress.header_bytes_max: from {HEADER_BYTES_MIN} to {HEADER_BYTES_MAX}"
            ));
        }
        for (name, value) in [
            ("request_bytes_max", self.request_bytes_max),
            ("response_bytes_max", self.response_bytes_max),
        ] {
            if value > BODY_BYTES_MAX {
                return Err(format!(
                    "egress.{name}: at most {BODY_BYTES_MAX}, since bodies are held in memory"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl FnOnce(&mut Config)) -> String {
        let mut config = Config::default();
        change(&mut config);
        config.check().err().unwrap_or_default()
    }

    #[test]
    fn what_can_not_work_is_refused_by_name() {
        assert_eq!(Config::default().check(), Ok(()));
        assert_eq!(refusal(|it| it.call_requests = 0), "");
        for (refusal, name) in [
            (refusal(|it| it.request_ms = 0), "egress.request_ms"),
            (
                refusal(|it| it.handler_requests_max = 5),
                "egress.handler_requests_max",
            ),
            (
                refusal(|it| it.header_bytes_max = 8191),
                "egress.header_bytes_max",
            ),
            (
                refusal(|it| it.response_bytes_max = u32::MAX),
                "egress.response_bytes_max",
            ),
        ] {
            assert!(refusal.starts_with(name), "{name}: {refusal}");
        }
    }
}
