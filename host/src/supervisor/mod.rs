//! Starts native clients and looks after them: one process per name, in a process
//! group and a directory of its own.
//!
//! Knows processes, files and the clients' API as bytes; what a client's words mean
//! for its account is not decided here. `launch` starts a process, `actor` is the
//! life of a client, `slot` what is known of it; `watch`, `probe` and `sample` look
//! after its process meanwhile.

mod actor;
mod api;
mod directory;
mod drain;
mod environment;
mod files;
mod inside;
mod launch;
mod leftovers;
mod listener;
mod log;
mod orphans;
mod ports;
mod probe;
mod proc;
mod process;
mod records;
mod sample;
mod shared;
mod slot;
mod spawner;
mod starts;
mod template;
#[cfg(test)]
mod tests;
mod watch;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::spawn_blocking;

use self::{
    files::{Paths, Writer},
    shared::Shared,
    slot::{Order, Word},
};
use crate::domain::{
    ClientName, Millis,
    client::{ClientPolicy, ClientStatus, NativeState, Places, StartId, Wanted},
    ports::{
        Address, ApiAnswer, ApiCall, BlobReader, CallFault, ClientFileError, Clients, LogFrom,
        LogPiece, StartError,
    },
};

/// Tells what time it is for whatever is kept.
pub type Clock = Arc<dyn Fn() -> Millis + Send + Sync>;

/// This program, whatever has become of its file meanwhile.
const LAUNCHER: &str = "/proc/self/exe";

/// Makes the directories, ends what a host that was killed has left behind, and is
/// ready to start clients. `base_url` is this host's own address, to which clients
/// report. Needs tokio's runtime, and blocks for some ms.
pub fn open(
    policy: &ClientPolicy,
    data: &Path,
    base_url: &str,
    clock: Clock,
) -> io::Result<Arc<dyn Clients>> {
    let setup = Setup {
        launcher: Some(LAUNCHER.into()),
        ..Setup::new(policy, data, base_url, clock)?
    };
    let (children, tmpdir) = (setup.children.clone(), setup.places.tmpdir.clone());
    let shared = Shared::open(setup)?;
    children.adopt(tmpdir)?;
    Ok(Arc::new(Supervisor(shared)))
}

/// What does not change while the host runs.
struct Setup {
    policy: ClientPolicy,
    /// All of them absolute: clients run in directories of their own.
    places: Places,
    base_url: String,
    clock: Clock,
    ports: Arc<ports::Ports>,
    children: orphans::Children,
    /// What runs a command line so that it ends with the host. None to run it as it
    /// is.
    launcher: Option<PathBuf>,
}

impl Setup {
    fn new(policy: &ClientPolicy, data: &Path, base_url: &str, clock: Clock) -> io::Result<Self> {
        let places = policy.places(&std::path::absolute(data)?);
        // A path that is relative would lead into each client's directory.
        let log_path = policy.log_path.as_ref().map(std::path::absolute);
        Ok(Self {
            places: Places {
                tmpdir: std::path::absolute(&places.tmpdir)?,
                pid_path: std::path::absolute(&places.pid_path)?,
                backend_path: std::path::absolute(&places.backend_path)?,
                template_path: std::path::absolute(&places.template_path)?,
                data: places.data,
            },
            policy: ClientPolicy {
                log_path: log_path.transpose()?,
                ..policy.clone()
            },
            base_url: base_url.to_owned(),
            clock,
            ports: ports::Ports::new(policy.backend_start_port..=policy.backend_end_port),
            children: orphans::Children::default(),
            launcher: None,
        })
    }

    fn check_interval(&self) -> Duration {
        Duration::from_secs(self.policy.check_interval.max(1))
    }
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "clients in {}", self.places.tmpdir.display())
    }
}

#[derive(Debug)]
struct Supervisor(Arc<Shared>);

#[async_trait]
impl Clients for Supervisor {
    async fn start(&self, wanted: Wanted) -> Result<Arc<ClientStatus>, StartError> {
        self.0.start(wanted).await
    }

    fn keep(&self, wanted: Wanted) {
        self.0.keep(&wanted);
    }

    fn put_off(&self, wanted: Wanted, next_start_ms: Millis, reason: String) {
        self.0.put_off(&wanted, next_start_ms, reason);
    }

    fn stop(&self, name: &ClientName) -> Option<Arc<ClientStatus>> {
        self.0.stop(name)
    }

    fn restart(&self, name: &ClientName, reason: &str) -> Option<Arc<ClientStatus>> {
        self.0.restart(name, reason)
    }

    fn wake(&self, name: &ClientName) -> Option<Arc<ClientStatus>> {
        let slot = self.0.slot(name)?;
        slot.order(Order::Start);
        slot.status()
    }

    fn status(&self, name: &ClientName) -> Option<Arc<ClientStatus>> {
        self.0.slot(name)?.status()
    }

    fn all(&self) -> Vec<Arc<ClientStatus>> {
        self.0.all()
    }

    async fn changed(&self, name: &ClientName, revision: u64) -> Option<Arc<ClientStatus>> {
        let slot = self.0.slot(name)?;
        // Of a client that was forgotten meanwhile another one may have the name.
        let another = revision != 0 && revision < slot.born;
        match another {
            true => None,
            false => slot.changed(revision).await,
        }
    }

    async fn next_new(&self) -> Option<ClientName> {
        self.0.next_new().await
    }

    fn address(&self, name: &ClientName) -> Option<Address> {
        let slot = self.0.slot(name)?;
        let facts = slot.facts()?;
        slot.listens(&facts.start).then_some(())?;
        Some(Address {
            port: facts.port.number(),
            start: facts.start,
            lease: facts.port,
        })
    }

    fn reporter(&self, name: &ClientName, key: &str) -> Option<StartId> {
        let given = blake3::hash(key.as_bytes());
        let facts = self.0.slot(name).and_then(|slot| slot.facts());
        // Where there is none, a key is compared all the same.
        let known = facts
            .as_ref()
            .map_or(blake3::Hash::from_bytes([0; 32]), |it| it.key);
        let same = known == given;
        facts.filter(|_| same).map(|it| it.start)
    }

    fn told(&self, name: &ClientName, start: &StartId, state: NativeState) {
        let word = Word::of_report(state, self.0.now());
        if let Some(slot) = self.0.slot(name) {
            slot.heard(start, word);
        }
    }

    async fn state_file(&self, name: &ClientName) -> Result<Bytes, ClientFileError> {
        let (paths, writer) = self.files_of(name)?;
        blocking(move || paths.read_state(writer).map(|file| file.bytes)).await
    }

    async fn code(&self, name: &ClientName) -> Result<Bytes, ClientFileError> {
        let (paths, writer) = self.files_of(name)?;
        blocking(move || paths.read_code(writer)).await
    }

    async fn file(
        &self,
        name: &ClientName,
        path: &str,
    ) -> Result<(u64, Box<dyn BlobReader>), ClientFileError> {
        let status = self.status(name).ok_or(ClientFileError::Missing)?;
        let dir = self.0.setup.places.client_dir(name);
        let paths = Paths::new(&dir, name, &status.parameters);
        let path = path.to_owned();
        blocking(move || paths.open(&path)).await
    }

    async fn log(&self, name: &ClientName, from: LogFrom, max_bytes: u64) -> Option<LogPiece> {
        let log = Arc::clone(&self.0.slot(name)?.log);
        let read = spawn_blocking(move || log.read(from, max_bytes)).await;
        let read = read.map_err(io::Error::other).flatten();
        match read {
            Ok(piece) => Some(piece),
            Err(error) => {
                tracing::warn!(client = %name, %error, "a client's log can't be read");
                None
            }
        }
    }

    async fn log_grown(&self, name: &ClientName, place: u64) {
        let Some(slot) = self.0.slot(name) else {
            return;
        };
        tokio::select! {
            () = slot.log.grown(place) => {}
            () = slot.forgotten() => {}
        }
    }

    async fn call(
        &self,
        name: &ClientName,
        start: &StartId,
        call: ApiCall,
    ) -> Result<ApiAnswer, CallFault> {
        let slot = self.0.slot(name);
        let facts = slot.as_ref().and_then(|slot| slot.facts());
        let Some(facts) = facts.filter(|facts| facts.start == *start) else {
            let problem = "its process has ended".to_owned();
            return Err(CallFault::Unreached(problem));
        };
        if !slot.is_some_and(|slot| slot.listens(start)) {
            let problem = "it does not take connections yet".to_owned();
            return Err(CallFault::Unreached(problem));
        }
        // The port stays this process's until the call is over.
        self.0.api.call(facts.port.number(), &call).await
    }

    fn stop_starting(&self) {
        self.0.stop_starting();
    }

    async fn end(&self) {
        self.0.end().await;
    }
}

impl Supervisor {
    fn files_of(&self, name: &ClientName) -> Result<(Paths, Writer), ClientFileError> {
        let facts = self.0.slot(name).and_then(|slot| slot.facts());
        let facts = facts.ok_or(ClientFileError::Missing)?;
        Ok((facts.paths, facts.writer))
    }
}

/// Runs what waits for the disk where waiting is fine.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ClientFileError> + Send + 'static,
) -> Result<T, ClientFileError> {
    let done = spawn_blocking(work).await;
    done.map_err(|error| ClientFileError::Unreadable(error.to_string()))?
}

/// A lock whose holders leave nothing half done.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
