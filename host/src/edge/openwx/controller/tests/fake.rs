//! A supervisor without processes: clients are what a test says they are.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;

use crate::domain::{
    ClientName, Millis,
    client::{ClientStatus, NativeState, Phase, StartId, StateSeen, StateSource, Wanted},
    ports::{
        Address, ApiAnswer, ApiCall, BlobReader, CallFault, ClientFileError, Clients, Lease,
        LogFrom, LogPiece, StartError,
    },
};

/// The clients of a test.
#[derive(Debug, Default)]
pub struct Fake {
    clients: Mutex<BTreeMap<ClientName, One>>,
    /// What the next starts come to, instead of a client.
    pub refuse: Mutex<Option<StartError>>,
    pub leases: Arc<AtomicUsize>,
}

#[derive(Debug, Clone)]
pub struct One {
    pub status: ClientStatus,
    pub state_file: Result<Bytes, ClientFileError>,
    pub code: Result<Bytes, ClientFileError>,
}

#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Lease for Counted {}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Fake {
    /// A client that is logged in.
    pub fn add(&self, name: &str, change: impl FnOnce(&mut One)) {
        let name = ClientName::try_from(name).unwrap();
        let number = self.lock().len() as u16;
        let mut one = One {
            status: running(name.clone(), number),
            state_file: Err(ClientFileError::Missing),
            code: Err(ClientFileError::Missing),
        };
        change(&mut one);
        self.lock().insert(name, one);
    }

    /// Changes a client.
    pub fn change(&self, name: &str, change: impl FnOnce(&mut One)) {
        let name = ClientName::try_from(name).unwrap();
        change(self.lock().get_mut(&name).unwrap());
    }

    pub fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ClientName, One>> {
        self.clients.lock().unwrap()
    }

    fn one(&self, name: &ClientName) -> Option<One> {
        self.lock().get(name).cloned()
    }
}

fn running(name: ClientName, number: u16) -> ClientStatus {
    ClientStatus {
        name,
        revision: 1,
        template: "default".to_owned(),
        parameters: BTreeMap::new(),
        phase: Phase::Running,
        since_ms: 1_795_175_313_000,
        reason: None,
        start: Some(StartId::random().unwrap()),
        pid: Some(23_985 + u32::from(number)),
        port: Some(3001 + number),
        spawned_ms: None,
        listening_ms: None,
        running_ms: None,
        state: Some(StateSeen {
            state: NativeState::Running,
            at_ms: 0,
            source: StateSource::File,
        }),
        code: None,
        restarts: 0,
        next_start_ms: None,
        last_end: None,
        usage: None,
    }
}

#[async_trait]
impl Clients for Fake {
    async fn start(&self, wanted: Wanted) -> Result<Arc<ClientStatus>, StartError> {
        if let Some(refused) = self.refuse.lock().unwrap().clone() {
            return Err(refused);
        }
        self.add(wanted.name.as_str(), |one| {
            one.status.parameters = wanted.parameters;
            one.status.template = wanted.template;
            one.status.phase = Phase::Spawned;
            one.status.state = None;
        });
        Ok(self.status(&wanted.name).unwrap())
    }

    fn keep(&self, _: Wanted) {}

    fn put_off(&self, _: Wanted, _: Millis, _: String) {}

    fn stop(&self, name: &ClientName) -> Option<Arc<ClientStatus>> {
        if let Some(one) = self.lock().get_mut(name) {
            one.status.phase = Phase::Stopping;
        }
        self.status(name)
    }

    fn restart(&self, name: &ClientName, _: &str) -> Option<Arc<ClientStatus>> {
        if let Some(one) = self.lock().get_mut(name) {
            one.status.phase = Phase::Spawned;
            one.status.pid = Some(4711);
            one.status.port = Some(3999);
            one.status.revision += 1;
        }
        self.status(name)
    }

    fn wake(&self, name: &ClientName) -> Option<Arc<ClientStatus>> {
        self.restart(name, "")
    }

    fn status(&self, name: &ClientName) -> Option<Arc<ClientStatus>> {
        self.one(name).map(|one| Arc::new(one.status))
    }

    fn all(&self) -> Vec<Arc<ClientStatus>> {
        let all = self.lock();
        all.values()
            .map(|one| Arc::new(one.status.clone()))
            .collect()
    }

    async fn changed(&self, name: &ClientName, revision: u64) -> Option<Arc<ClientStatus>> {
        self.status(name)
            .filter(|status| status.revision != revision)
    }

    async fn next_new(&self) -> Option<ClientName> {
        None
    }

    fn address(&self, name: &ClientName) -> Option<Address> {
        let one = self.one(name)?;
        self.leases.fetch_add(1, Ordering::SeqCst);
        Some(Address {
            port: one.status.port?,
            start: one.status.start?,
            lease: Arc::new(Counted(Arc::clone(&self.leases))),
        })
    }

    fn reporter(&self, _: &ClientName, _: &str) -> Option<StartId> {
        None
    }

    fn told(&self, _: &ClientName, _: &StartId, _: NativeState) {}

    async fn state_file(&self, name: &ClientName) -> Result<Bytes, ClientFileError> {
        let one = self.one(name);
        one.map_or(Err(ClientFileError::Missing), |one| one.state_file)
    }

    async fn code(&self, name: &ClientName) -> Result<Bytes, ClientFileError> {
        let one = self.one(name);
        one.map_or(Err(ClientFileError::Missing), |one| one.code)
    }

    async fn file(
        &self,
        _: &ClientName,
        _: &str,
    ) -> Result<(u64, Box<dyn BlobReader>), ClientFileError> {
        Err(ClientFileError::Missing)
    }

    async fn log(&self, _: &ClientName, _: LogFrom, _: u64) -> Option<LogPiece> {
        None
    }

    async fn log_grown(&self, _: &ClientName, _: u64) {}

    async fn call(&self, _: &ClientName, _: &StartId, _: ApiCall) -> Result<ApiAnswer, CallFault> {
        Err(CallFault::Unreached("not in this test".to_owned()))
    }

    fn stop_starting(&self) {}

    async fn end(&self) {}
}
