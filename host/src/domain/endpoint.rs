//! Endpoints: components that answer HTTP requests of whoever comes.
//!
//! Bodies stream: nobody here holds a whole one.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use serde::{Deserialize, Serialize};

/// What the paths of endpoints begin with; the handler's name follows.
pub const MOUNT: &str = "/x/";
/// The header of the request by which an endpoint is tried out at its deployment. Those
/// of that name that come from outside never reach a guest.
pub const TRIAL_HEADER: &str = "wxhost-trial";
/// The header that says where an endpoint is mounted.
pub const PREFIX_HEADER: &str = "x-forwarded-prefix";

/// A body on its way.
pub type Body = UnsyncBoxBody<Bytes, BrokenOff>;
/// A request to an endpoint.
pub type Request = http::Request<Body>;
/// What an endpoint answers.
pub type Response = http::Response<Body>;

/// A body that did not come to its end, and why.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the body broke off: {0}")]
pub struct BrokenOff(pub String);

/// What calls of endpoints may take beside what every call may (`[limits]`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EndpointPolicy {
    /// How long an endpoint may take until the head of its response, the request's body
    /// included, in ms.
    pub head_ms: u64,
    /// How long a client or an endpoint that has to send, or a client that has to read,
    /// may keep still, in ms.
    pub idle_ms: u64,
    /// How long a call may take in all, in ms. It holds an instance as long.
    pub wall_ms: u64,
    /// The longest body of a request, in bytes.
    pub request_bytes: u64,
    /// The longest body of a response, in bytes. A longer one is cut off.
    pub response_bytes: u64,
}

impl Default for EndpointPolicy {
    fn default() -> Self {
        Self {
            head_ms: 30_000,
            idle_ms: 10_000,
            wall_ms: 60_000,
            request_bytes: 16 * 1024 * 1024,
            response_bytes: 64 * 1024 * 1024,
        }
    }
}

impl EndpointPolicy {
    /// Says which setting can't work, and why.
    pub fn check(&self) -> Result<(), String> {
        let positive = [
            ("head_ms", self.head_ms),
            ("idle_ms", self.idle_ms),
            ("wall_ms", self.wall_ms),
        ];
        match positive.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(format!("endpoints.{name}: must be more than 0")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_nothing_are_refused_by_name() {
        assert_eq!(EndpointPolicy::default().check(), Ok(()));
        let policy = EndpointPolicy {
            idle_ms: 0,
            ..EndpointPolicy::default()
        };
        let problem = policy.check().err().unwrap_or_default();
        assert!(problem.starts_with("endpoints.idle_ms"), "{problem}");
    }
}
