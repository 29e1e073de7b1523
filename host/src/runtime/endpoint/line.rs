//! What a call and its two bodies know of each other.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::domain::handler::FailureKind;

/// Shared by the call of an endpoint and the bodies of its request and response.
#[derive(Debug, Default)]
pub struct Line {
    answered: AtomicBool,
    /// The guest has asked for the request's body, which does not come.
    awaits_request: AtomicBool,
    /// The client has something to read and does not ask for more.
    awaits_reader: AtomicBool,
    broken: AtomicBool,
    fault: OnceLock<Fault>,
    noticed: CancellationToken,
}

/// What a body found that ends the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The client sends more than it may, in bytes.
    RequestTooLarge(u64),
    /// The client sends nothing for so many ms.
    RequestTooSlow(u64),
    /// The client is gone, or what it sends is no body.
    RequestBroken,
    /// The guest's fault.
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
        self.awaits_request.store(awaits, Ordering::Release);
    }

    /// Whether the client has something to read now.
    pub fn await_reader(&self, awaits: bool) {
        self.awaits_reader.store(awaits, Ordering::Release);
    }

    /// Whether it is the client that does not send.
    pub fn awaits_request(&self) -> bool {
        self.awaits_request.load(Ordering::Acquire)
    }

    /// Whether it is the client that the call waits for.
    pub fn awaits_client(&self) -> bool {
        self.awaits_request() || self.awaits_reader.load(Ordering::Acquire)
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
