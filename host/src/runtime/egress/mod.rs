//! The one way out: requests of guests to other systems, by `wxhost:bot/web` and by
//! `wasi:http` alike.
//!
//! A request goes only where a rule of the version allows it ([`policy`]), to an
//! address that was checked after its name was looked up ([`resolve`]), on a connection
//! of its own to that very address ([`fetch`]). There is no second look-up, no pool that
//! another handler's request could find itself in, no proxy from the environment, and no
//! redirect is followed: the guest gets the 3xx, and asks again where it may.

mod address;
mod body;
mod config;
mod fetch;
mod hooks;
mod policy;
mod request;
mod resolve;
#[cfg(test)]
mod tests;
mod tls;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

pub use self::{config::Config, request::Outgoing};
use super::shares::Shares;
use crate::domain::HandlerName;

/// When to try again after all places were taken, for the guest.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What all requests share.
pub struct Egress {
    config: Config,
    places: Arc<Semaphore>,
    /// Places for the requests of one handler.
    shares: Shares,
    tls: tls::Tls,
}

/// A place among the requests under way, given back when it is dropped: when the
/// response was read, and its look-up is not under way any more.
#[derive(Debug)]
pub struct Place(#[expect(dead_code, reason = "held")] [OwnedSemaphorePermit; 2]);

/// Why a request is not made, or came to nothing. For the guest, which can handle it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No rule allows it.
    #[error("{0}")]
    Denied(String),
    /// It is malformed, or sets what is the host's to set.
    #[error("{0}")]
    BadRequest(String),
    /// Nobody was there, or nobody who speaks HTTP.
    #[error("{0}")]
    Unreachable(String),
    /// It took too long.
    #[error("no whole response within {0} ms (egress.request_ms, or what the call has left)")]
    Timeout(u64),
    /// Too many bytes: of what, how many may be, by which setting.
    #[error("{0} has more than {1} bytes (egress.{2})")]
    TooLarge(&'static str, u32, &'static str),
    /// The call has made all of its requests.
    #[error("at most {0} requests may be made in one call (egress.call_requests)")]
    TooMany(u32),
    /// No place became free in time.
    #[error("too many requests are under way (egress.handler_requests_max, egress.requests_max)")]
    Busy,
}

impl Refusal {
    /// The code of the failure.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Denied(_) => "denied",
            Self::BadRequest(_) => "bad-request",
            Self::Unreachable(_) => "unreachable",
            Self::Timeout(_) => "timeout",
            Self::TooLarge(..) => "too-large",
            Self::TooMany(_) | Self::Busy => "too-many",
        }
    }

    /// When trying again can help.
    pub fn retry_after_ms(&self) -> Option<u32> {
        matches!(self, Self::Busy).then_some(RETRY_AFTER.as_millis() as u32)
    }
}

impl Default for Egress {
    fn default() -> Self {
        Self::new(Config::default())
    }
}

impl Egress {
    /// The way out with these limits.
    pub fn new(config: Config) -> Self {
        Self {
            places: Arc::new(Semaphore::new(config.requests_max as usize)),
            shares: Shares::new(config.handler_requests_max as usize),
            tls: tls::Tls::default(),
            config,
        }
    }

    /// Waits for a place for a request of this handler.
    async fn place(&self, handler: &HandlerName, until: Instant) -> Result<Place, Refusal> {
        let share = self.shares.of(handler);
        let both = async {
            // Its own first: who waits for that holds nobody else's.
            let own = share.acquire_owned().await?;
            let common = Arc::clone(&self.places).acquire_owned().await?;
            Ok::<_, AcquireError>(Place([own, common]))
        };
        match tokio::time::timeout_at(until, both).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(Refusal::Busy),
        }
    }

    /// Forgets the shares of handlers that ask for nothing at the moment.
    pub fn forget_shares(&self) {
        self.shares.forget_idle();
    }
}
