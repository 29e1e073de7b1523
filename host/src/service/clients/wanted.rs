//! Starts the clients that were wanted when the host ended.
//!
//! What keeps one from starting then may pass: a port that somebody else holds for a
//! while, a machine that has just begun and lacks memory. So it is tried again, with
//! the same waits as after a crash, and only a template that can't be used is for good.

use std::time::Duration;

use futures_util::future::join_all;

use super::{Error, Service};
use crate::domain::{
    client::{Crashes, Over, Verdict, Wanted},
    ports::{ClientChange, StartError},
};

/// What is said of a client that the host has not come to yet.
const BEGINS: &str = "the host has begun and starts it in a moment";

impl Service {
    /// Knows the clients that the store knows, so that they can be seen and stopped
    /// from the beginning. The wanted ones are still to be started.
    pub async fn know_clients(&self) -> Result<Vec<Wanted>, Error> {
        let all = self.0.store.clients().await?;
        let (over, wanted): (Vec<_>, Vec<_>) = all.into_iter().partition(|it| it.over.is_some());
        for client in over {
            self.0.native.keep(client);
        }
        for client in &wanted {
            let now_ms = self.0.store.now();
            let reason = BEGINS.to_owned();
            self.0.native.put_off(client.clone(), now_ms, reason);
        }
        let max = self.0.policies.clients.max_clients;
        if wanted.len() > max {
            tracing::warn!(
                wanted = wanted.len(),
                max_clients = max,
                "more clients are wanted than may run by now: they are started all the same"
            );
        }
        Ok(wanted)
    }

    /// Starts these clients, which are known. Goes on until each of them was started,
    /// has failed for good, or is somebody else's concern.
    pub async fn start_wanted_clients(&self, wanted: Vec<Wanted>) {
        join_all(wanted.iter().map(|client| self.start_again(client))).await;
    }

    async fn start_again(&self, wanted: &Wanted) {
        let mut tries = Crashes::default();
        while let Some(wait) = self.try_start(wanted, &mut tries).await {
            tokio::time::sleep(wait).await;
        }
    }

    /// After how long it is to be tried again; none when it is not.
    async fn try_start(&self, wanted: &Wanted, tries: &mut Crashes) -> Option<Duration> {
        let _changes = self.0.client_changes.lock().await;
        // Somebody may have started or stopped it meanwhile.
        let known = self.0.native.status(&wanted.name);
        let is_awaited = known.is_some_and(|status| status.is_awaited());
        if !is_awaited || self.check_ready().is_err() {
            return None;
        }
        let error = match self.0.native.start(wanted.clone()).await {
            // It stays wanted: the next host starts it.
            Err(StartError::Ending) => return None,
            Ok(_) | Err(StartError::Exists(_)) => return None,
            Err(error) => error,
        };
        let policy = &self.0.policies.clients.restart;
        let verdict = match error {
            StartError::Template(_) => Verdict::GiveUp(0),
            _ => tries.note(policy, 0, fastrand::f64()),
        };
        match verdict {
            Verdict::Again(wait_ms) => Some(self.put_off(wanted, &error, wait_ms)),
            Verdict::GiveUp(_) => {
                self.give_up(wanted, &error).await;
                None
            }
        }
    }

    fn put_off(&self, wanted: &Wanted, error: &StartError, wait_ms: u64) -> Duration {
        let client = &wanted.name;
        tracing::warn!(%client, %error, wait_ms, "a client is not started yet");
        let next_start_ms = self.0.store.now().saturating_add(wait_ms);
        let reason = error.to_string();
        self.0.native.put_off(wanted.clone(), next_start_ms, reason);
        Duration::from_millis(wait_ms)
    }

    /// It has failed, and still has when the host is started again.
    async fn give_up(&self, wanted: &Wanted, error: &StartError) {
        let client = &wanted.name;
        tracing::error!(%client, %error, "a client is not started again");
        let over = Over {
            failed: true,
            at_ms: self.0.store.now(),
            reason: error.to_string(),
        };
        let failed = Wanted {
            over: Some(over),
            ..wanted.clone()
        };
        self.0.native.keep(failed.clone());
        // What is not written is tried again by the next host.
        if let Err(error) = self.0.store.change_client(ClientChange::Put(failed)).await {
            tracing::error!(%client, %error, "that a client has failed is not written");
        }
    }
}
