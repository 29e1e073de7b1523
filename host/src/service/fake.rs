//! Openwx clients that are no processes: they do as a test says.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use crate::domain::{
    ClientName, Millis,
    client::{ClientStatus, NativeState, Phase, ProcessEnd, StartId, Wanted},
    ports::{
        Address, ApiAnswer, ApiCall, BlobReader, CallFault, ClientFileError, Clients, LogFrom,
        LogPiece, StartError,
    },
};

/// What is known of the clients, and what they have printed.
#[derive(Debug, Default)]
pub(crate) struct FakeClients {
    known: Mutex<BTreeMap<ClientName, Known>>,
    /// Why the next start fails.
    refuses: Mutex<Option<StartError>>,
    changes: watch::Sender<u64>,
    /// Whether it was told that the host is about to end.
    pub stopped_starting: AtomicBool,
}

#[derive(Debug)]
struct Known {
    status: Arc<ClientStatus>,
    log: Vec<u8>,
}

impl FakeClients {
    /// The next start fails.
    pub fn refuse(&self, error: StartError) {
        *self.refuses.lock().unwrap() = Some(error);
    }

    /// A client is in this phase from now on.
    pub fn becomes(&self, name: &str, phase: Phase) {
        self.change(&named(name), |status| {
            status.phase = phase;
            if phase == Phase::Waiting {
                let reason = "it crashed".to_owned();
                status.last_end = Some(ProcessEnd { at_ms: 1, reason });
            }
        });
    }

    /// A client's process has ended as it was told to.
    pub fn ends(&self, name: &str) {
        self.known.lock().unwrap().remove(&named(name));
        self.changes.send_modify(|count| *count += 1);
    }

    /// A client's process prints something.
    pub fn prints(&self, name: &str, text: &str) {
        let mut known = self.known.lock().unwrap();
        let log = &mut known.get_mut(&named(name)).unwrap().log;
        log.extend_from_slice(text.as_bytes());
        self.changes.send_modify(|count| *count += 1);
    }

    fn change(
        &self,
        name: &ClientName,
        rule: impl FnOnce(&mut ClientStatus),
    ) -> Option<Arc<ClientStatus>> {
        let mut known = self.known.lock().unwrap();
        let status = &mut known.get_mut(name)?.status;
        let changed = Arc::make_mut(status);
        changed.revision += 1;
        rule(changed);
        let status = Arc::clone(status);
        self.changes.send_modify(|count| *count += 1);
        Some(status)
    }

    fn put(&self, status: ClientStatus) -> Arc<ClientStatus> {
        let status = Arc::new(status);
        let known = Known {
            status: Arc::clone(&status),
            log: Vec::new(),
        };
        let mut all = self.known.lock().unwrap();
        all.insert(status.name.clone(), known);
        self.changes.send_modify(|count| *count += 1);
        status
    }

    fn log_of<T>(&self, name: &ClientName, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let known = self.known.lock().unwrap();
        known.get(name).map(|known| read(&known.log))
    }
}

fn named(name: &str) -> ClientName {
    name.try_into().unwrap()
}

fn status_of(wanted: Wanted, phase: Phase) -> ClientStatus {
    let is_alive = phase.is_alive();
    ClientStatus {
        name: wanted.name,
        revision: 1,
        template: wanted.template,
        parameters: wanted.parameters,
        phase,
        since_ms: wanted.asked_ms,
        reason: wanted.over.map(|over| over.reason),
        start: is_alive.then(|| StartId::random().unwrap()),
        pid: is_alive.then_some(4711),
        port: is_alive.then_some(3000),
        spawned_ms: is_alive.then_some(wanted.asked_ms),
        listening_ms: None,
        running_ms: None,
        state: None,
        code: None,
        restarts: 0,
        next_start_ms: None,
        last_end: None,
        usage: None,
    }
}

#[async_trait]
impl Clients for FakeClients {
    async fn start(&self, wanted: Wanted) -> Result<Arc<ClientStatus>, StartError> {
        match self.refuses.lock().unwrap().take() {
            Some(error) => Err(error),
            None => Ok(self.put(status_of(wanted, Phase::Spawned))),
        }
    }

    fn keep(&self, wanted: Wanted) {
        let phase = match wanted.over.as_ref().is_some_and(|over| over.failed) {
            true => Phase::Failed,
            false => Phase::Stopped,
        };
        self.put(status_of(wanted, phase));
    }

    fn put_off(&self, wanted: Wanted, next_start_ms: Millis, reason: String) {
        self.put(ClientStatus {
            reason: Some(reason),
            next_start_ms: Some(next_start_ms),
            ..status_of(wanted, Phase::Waiting)
        });
    }

    fn stop(&self, name: &ClientName) -> Option<Arc<ClientStatus>> {
        self.change(name, |status| status.phase = Phase::Stopping)
    }

    fn restart(&self, name: &ClientName, reason: &str) -> Option<Arc<ClientStatus>> {
        self.change(name, |status| {
            status.phase = Phase::Spawned;
            status.reason = Some(reason.to_owned());
            status.restarts += 1;
        })
    }

    fn wake(&self, name: &ClientName) -> Option<Arc<ClientStatus>> {
        self.change(name, |status| {
            if status.phase == Phase::Waiting {
                status.phase = Phase::Spawned;
                status.restarts += 1;
            }
        })
    }

    fn status(&self, name: &ClientName) -> Option<Arc<ClientStatus>> {
        let known = self.known.lock().unwrap();
        known.get(name).map(|known| Arc::clone(&known.status))
    }

    fn all(&self) -> Vec<Arc<ClientStatus>> {
        let known = self.known.lock().unwrap();
        known.values().map(|it| Arc::clone(&it.status)).collect()
    }

    async fn changed(&self, name: &ClientName, revision: u64) -> Option<Arc<ClientStatus>> {
        let mut changes = self.changes.subscribe();
        loop {
            let status = self.status(name)?;
            if status.revision != revision {
                return Some(status);
            }
            changes.changed().await.ok()?;
        }
    }

    async fn next_new(&self) -> Option<ClientName> {
        None
    }

    fn address(&self, _: &ClientName) -> Option<Address> {
        None
    }

    fn reporter(&self, _: &ClientName, _: &str) -> Option<StartId> {
        None
    }

    fn told(&self, _: &ClientName, _: &StartId, _: NativeState) {}

    async fn state_file(&self, _: &ClientName) -> Result<Bytes, ClientFileError> {
        Err(ClientFileError::Missing)
    }

    async fn code(&self, _: &ClientName) -> Result<Bytes, ClientFileError> {
        Err(ClientFileError::Missing)
    }

    async fn file(
        &self,
        _: &ClientName,
        _: &str,
    ) -> Result<(u64, Box<dyn BlobReader>), ClientFileError> {
        Err(ClientFileError::Missing)
    }

    async fn log(&self, name: &ClientName, from: LogFrom, max_bytes: u64) -> Option<LogPiece> {
        self.log_of(name, |log| {
            let end = log.len() as u64;
            let from = match from {
                LogFrom::Tail(bytes) => end.saturating_sub(bytes.min(max_bytes)),
                LogFrom::Place(place) => place.min(end),
            };
            let bytes = log.iter().skip(from as usize).take(max_bytes as usize);
            let bytes: Bytes = bytes.copied().collect();
            LogPiece {
                from,
                next: from + bytes.len() as u64,
                bytes,
            }
        })
    }

    async fn log_grown(&self, name: &ClientName, place: u64) {
        let mut changes = self.changes.subscribe();
        while self.log_of(name, |log| log.len() as u64 <= place) == Some(true) {
            let _ = changes.changed().await;
        }
    }

    async fn call(&self, _: &ClientName, _: &StartId, _: ApiCall) -> Result<ApiAnswer, CallFault> {
        Err(CallFault::Unreached("it is no process".to_owned()))
    }

    fn stop_starting(&self) {
        self.stopped_starting.store(true, Ordering::SeqCst);
    }

    async fn end(&self) {}
}
