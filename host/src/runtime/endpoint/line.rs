//! What a call and its two bodies know of each other.

use std::{
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::domain::{handler::FailureKind, ports::ClientFault};

/// Shared by the call of an endpoint and the bodies of its request and response.
#[derive(Debug, Default)]
pub struct Line {
    answered: AtomicBool,
    waits: Mutex<Waits>,
    broken: AtomicBool,
    fault: OnceLock<Fault>,
    noticed: CancellationToken,
}

/// Whether the call waits for its client, and for how long it did.
#[derive(Debug, Default)]
struct Waits {
    /// The guest has asked for the request's body, which does not come.
    for_request: bool,
    /// The client has something to read and does not ask for more.
    for_reader: bool,
    since: Option<Instant>,
    before: Duration,
}

impl Waits {
    fn change(&mut self, change: impl FnOnce(&mut Self)) {
        change(self);
        match (self.for_request || self.for_reader, self.since) {
            (true, None) => self.since = Some(Instant::now()),
            (false, Some(since)) => {
                self.before += since.elapsed();
                self.since = None;
            }
            _ => {}
        }
    }

    fn in_all(&self) -> Duration {
        self.before + self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

/// What a body found that ends the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The client's.
    Client(ClientFault),
    /// The guest's.
    Guest(FailureKind, String),
}

impl Line {
    /// The guest has answered.
    pub fn answer(&self) {
        self.answered.store(true, Ordering::Release);
    }

    /// Done when so much time has passed without an answer; never if there is one.
    pub async fn unanswered(&self, time: Duration) {
        tokio::time::sleep(time).await;
        if self.answered.load(Ordering::Acquire) {
            std::future::pending::<()>().await;
        }
    }

    /// Whether the guest waits for more of the request now.
    pub fn await_request(&self, awaits: bool) {
        self.waits().change(|waits| waits.for_request = awaits);
    }

    /// Whether the client has something to read now.
    pub fn await_reader(&self, awaits: bool) {
        self.waits().change(|waits| waits.for_reader = awaits);
    }

    /// Whether it is the client that does not send.
    pub fn awaits_request(&self) -> bool {
        self.waits().for_request
    }

    /// Whether it is the client that held the call up, of so much time: it is waited for
    /// now, or was for most of it.
    pub fn is_held_up_by_client(&self, time: Duration) -> bool {
        let waits = self.waits();
        waits.since.is_some() || waits.in_all() * 2 >= time
    }

    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the call for this reason, unless there is one already.
    pub fn end(&self, fault: Fault) {
        // The first reason is the reason.
        let _ = self.fault.set(fault);
        self.noticed.cancel();
    }

    /// Done when a body has found something.
    pub async fn fault(&self) -> Fault {
        self.noticed.cancelled().await;
        match self.fault.get() {
            Some(fault) => fault.clone(),
            // It is set before it is told.
            None => std::future::pending().await,
        }
    }

    /// What a body has found so far.
    pub fn fault_so_far(&self) -> Option<&Fault> {
        self.fault.get()
    }

    /// The call has come to a bad end: a response that is not whole must not look so.
    /// Said before the instance goes, since that closes the response's other end.
    pub fn break_off(&self) {
        self.broken.store(true, Ordering::Release);
    }

    /// Whether the call has come to a bad end.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_took_most_of_the_time_held_the_call_up() {
        let second = Duration::from_secs(1);
        let line = Line::default();
        line.await_request(true);
        advance(4 * second).await;
        line.await_request(true);
        advance(second).await;
        assert!(line.is_held_up_by_client(60 * second), "it waits now");
        line.await_request(false);
        advance(6 * second).await;
        assert!(!line.is_held_up_by_client(11 * second), "five of eleven");
        // Both ends at once are counted once.
        line.await_reader(true);
        line.await_request(true);
        advance(second).await;
        line.await_request(false);
        line.await_reader(false);
        assert!(line.is_held_up_by_client(12 * second), "six of twelve");
        assert!(!line.is_held_up_by_client(13 * second));
    }
}
