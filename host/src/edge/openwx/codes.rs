//! The codes that clients show in their reports, on their way to whoever looks after
//! the client: the newest of each.

use std::sync::Arc;

use bytes::Bytes;
use dashmap::DashMap;
use tokio::sync::watch;

use crate::domain::{ClientName, client::StartId};

/// A code, and the process that shows it.
pub(super) type Code = (StartId, Bytes);

/// Where codes wait, for each client that is looked after.
#[derive(Debug, Clone, Default)]
pub(super) struct Codes(Arc<DashMap<ClientName, watch::Sender<Option<Code>>>>);

/// Where the codes of one client come out.
#[derive(Debug)]
pub(super) struct Inbox(watch::Receiver<Option<Code>>);

impl Codes {
    /// Takes the codes of this client from now on, in place of who did before.
    pub fn open(&self, name: &ClientName) -> Inbox {
        let (sender, receiver) = watch::channel(None);
        self.0.insert(name.clone(), sender);
        Inbox(receiver)
    }

    /// Nobody looks after this client any more.
    pub fn close(&self, name: &ClientName) {
        self.0.remove_if(name, |_, sender| sender.is_closed());
    }

    /// Somebody's client shows this.
    pub fn show(&self, name: &ClientName, start: &StartId, image: Bytes) {
        if let Some(sender) = self.0.get(name) {
            sender.send_replace(Some((start.clone(), image)));
        }
    }
}

impl Inbox {
    /// The next code. Nobody shows any to an inbox whose place was taken.
    pub async fn next(&mut self) -> Code {
        loop {
            if self.0.changed().await.is_err() {
                return std::future::pending().await;
            }
            if let Some(code) = self.0.borrow_and_update().clone() {
                return code;
            }
        }
    }
}
