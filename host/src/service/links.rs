//! Live links: connections over which tasks can be pushed to an account's client.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dashmap::DashMap;
use tokio::{sync::Notify, time::Instant};

use super::{Error, Reporter, Service};
use crate::domain::AccountId;

/// How old a link must be for its client to have left it when it asks for tasks
/// by other ways: a poll may have been under way when it changed over.
const CHANGED_OVER: Duration = Duration::from_secs(10);

/// One connection, as far as others have to know of it.
#[derive(Debug)]
struct Line {
    wake: Notify,
    replaced: AtomicBool,
    since: Instant,
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

    /// Whether the account has a link that is no new one.
    fn has_old(&self, account: &AccountId) -> bool {
        let line = self.0.get(account);
        line.is_some_and(|line| line.since.elapsed() > CHANGED_OVER)
    }

    /// Ends the account's link, if there is one.
    pub fn end(&self, account: &AccountId) {
        if let Some((_, line)) = self.0.remove(account) {
            line.replace();
        }
    }
}

impl Line {
    fn new() -> Self {
        Self {
            wake: Notify::new(),
            replaced: AtomicBool::new(false),
            since: Instant::now(),
        }
    }

    fn replace(&self) {
        self.replaced.store(true, Ordering::Release);
        self.wake.notify_one();
    }
}

impl Service {
    /// Makes a connection the account's link, in place of the one before.
    pub fn attach(&self, account: &AccountId) -> Link {
        let line = Arc::new(Line::new());
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

    /// A client asks for tasks without its link: if it has one of some age and is
    /// the process that is logged in, it has left it. A connection that is half open
    /// would swallow what is pushed until its silence is noticed.
    pub async fn asked_without_link(
        &self,
        account: &AccountId,
        reporter: &Reporter,
    ) -> Result<(), Error> {
        if !self.0.links.has_old(account) {
            return Ok(());
        }
        let found = self.0.store.account(account).await?;
        let session = found.as_ref().and_then(|it| it.session.as_ref());
        if session.is_some_and(|it| it.may_be_of("", &reporter.client_session)) {
            tracing::debug!(%account, "the client asks without its link: it is ended");
            self.0.links.end(account);
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_link_is_new_for_a_while() {
        let (links, id) = (Links::default(), AccountId::try_from("wxid_a").unwrap());
        assert!(!links.has_old(&id));
        links.0.insert(id.clone(), Arc::new(Line::new()));
        tokio::time::advance(CHANGED_OVER).await;
        assert!(!links.has_old(&id));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(links.has_old(&id));
        links.end(&id);
        assert!(!links.has_old(&id) && !links.has(&id));
    }
}
