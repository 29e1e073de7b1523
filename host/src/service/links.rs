//! Live links: connections over which tasks can be pushed to an account's client.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use dashmap::DashMap;
use tokio::sync::Notify;

use super::Service;
use crate::domain::AccountId;

/// One connection, as far as others have to know of it.
#[derive(Debug, Default)]
struct Line {
    wake: Notify,
    replaced: AtomicBool,
}

/// The connection of each account that has one.
#[derive(Debug, Default)]
pub(super) struct Links(DashMap<AccountId, Arc<Line>>);

/// Why a link woke up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// There may be tasks.
    Work,
    /// Another connection of the account has taken its place: end.
    Replaced,
}

/// A connection's place among the links. Gives it back when it is dropped.
#[derive(Debug)]
pub struct Link {
    service: Service,
    account: AccountId,
    line: Arc<Line>,
}

impl Links {
    /// Tells the account's link, if there is one, that there may be tasks. A hint:
    /// it may be lost or come twice.
    pub fn wake(&self, account: &AccountId) {
        if let Some(line) = self.0.get(account) {
            line.wake.notify_one();
        }
    }

    /// Whether the account has a link.
    pub fn has(&self, account: &AccountId) -> bool {
        self.0.contains_key(account)
    }

    /// The accounts that have a link, in any order.
    pub fn accounts(&self) -> Vec<AccountId> {
        self.0.iter().map(|entry| entry.key().clone()).collect()
    }

    /// Ends the account's link, if there is one.
    pub fn end(&self, account: &AccountId) {
        if let Some((_, line)) = self.0.remove(account) {
            line.replace();
        }
    }
}

impl Line {
    fn replace(&self) {
        self.replaced.store(true, Ordering::Release);
        self.wake.notify_one();
    }
}

impl Service {
    /// Makes a connection the account's link, in place of the one before.
    pub fn attach(&self, account: &AccountId) -> Link {
        let line = Arc::<Line>::default();
        let former = self.0.links.0.insert(account.clone(), Arc::clone(&line));
        if let Some(former) = former {
            former.replace();
        }
        // What waits already.
        line.wake.notify_one();
        Link {
            service: self.clone(),
            account: account.clone(),
            line,
        }
    }
}

impl Link {
    /// Waits until there may be tasks, or until the link has lost its place.
    pub async fn woken(&self) -> Woken {
        self.line.wake.notified().await;
        match self.line.replaced.load(Ordering::Acquire) {
            true => Woken::Replaced,
            false => Woken::Work,
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let links = &self.service.0.links.0;
        links.remove_if(&self.account, |_, line| Arc::ptr_eq(line, &self.line));
    }
}
