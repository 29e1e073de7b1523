//! What starts native clients, watches them, and speaks to them.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use super::blobs::BlobReader;
use crate::domain::{
    ClientName, Millis,
    client::{ClientStatus, NativeState, StartId, Wanted},
};

/// The largest answer of a client that is read for the host itself.
pub const API_ANSWER_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Why a client was not started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// It runs, or waits to be started again.
    #[error("the client exists already")]
    Exists(Arc<ClientStatus>),
    /// Every port of the range is taken.
    #[error("no port is free in the range that clients are given")]
    NoPort,
    /// The template does not exist or can't be used.
    #[error("{0}")]
    Template(String),
    /// The system refused.
    #[error("the process could not be started: {0}")]
    Spawn(String),
    /// The host is ending.
    #[error("the host is ending")]
    Ending,
}

/// The address of a client's API. As long as this lives, no other client is given
/// the port, so that nothing meant for one reaches another.
#[derive(Debug, Clone)]
pub struct Address {
    /// The port on 127.0.0.1.
    pub port: u16,
    /// Which process listens there.
    pub start: StartId,
    /// Gives the port back when the last clone is dropped.
    pub lease: Arc<dyn Lease>,
}

/// Holds something until it is dropped.
pub trait Lease: Send + Sync + fmt::Debug {}

/// One call of a client's API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiCall {
    /// Below `/openwx/`.
    pub path: String,
    /// What goes into the form.
    pub parameters: Vec<(String, String)>,
    /// How long the answer may take.
    pub time: Duration,
}

/// A client's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The content's type; empty when it was not told.
    pub mime: String,
    /// The content.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallFault {
    /// The client was not reached: it has done nothing.
    #[error("the client was not reached: {0}")]
    Unreached(String),
    /// The client may have done it or not.
    #[error("the client did not answer: {0}")]
    Unanswered(String),
    /// No client can be told that, now or later.
    #[error("the call can't be made: {0}")]
    Unfit(String),
}

/// Why a file of a client's is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientFileError {
    /// There is none, or none that is of the process that runs.
    #[error("there is no such file")]
    Missing,
    /// It lies outside of the client's own directory, or is no file.
    #[error("it is no file in the client's own directory")]
    Outside,
    /// It can't be read, or holds something else.
    #[error("{0}")]
    Unreadable(String),
}

/// Where to begin reading a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFrom {
    /// So many bytes before the end, at the beginning of a line.
    Tail(u64),
    /// At this place, or at the oldest that is kept.
    Place(u64),
}

/// A piece of a client's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPiece {
    /// Where it begins. Places rise as long as the client is looked after.
    pub from: u64,
    /// Where the next piece begins.
    pub next: u64,
    /// What was written, escape sequences included.
    pub bytes: Bytes,
}

/// Starts native clients and looks after them: one process per name, started again
/// when it ends by itself, ended with the host.
#[async_trait]
pub trait Clients: Send + Sync + fmt::Debug {
    /// Starts a client's process, and looks after it from now on. A client that is
    /// still ending is waited for. One that is over (failed, stopped) is begun anew.
    async fn start(&self, wanted: Wanted) -> Result<Arc<ClientStatus>, StartError>;

    /// Knows a client that is over, without starting it.
    fn keep(&self, wanted: Wanted);

    /// Knows a client that is started later, for this reason, and that waits until then:
    /// by this itself it is not started.
    fn put_off(&self, wanted: Wanted, next_start_ms: Millis, reason: String);

    /// Has a client's process end (TERM, then KILL) and forgets it once it has. None
    /// when there is no such client; the same again while it ends.
    fn stop(&self, name: &ClientName) -> Option<Arc<ClientStatus>>;

    /// Has a client's process end and starts another one, without a wait.
    fn restart(&self, name: &ClientName, reason: &str) -> Option<Arc<ClientStatus>>;

    /// Has a client that waits after an end start at once. Does nothing to a process, be
    /// it one that was started meanwhile.
    fn wake(&self, name: &ClientName) -> Option<Arc<ClientStatus>>;

    /// One client.
    fn status(&self, name: &ClientName) -> Option<Arc<ClientStatus>>;

    /// All of them, ordered by name.
    fn all(&self) -> Vec<Arc<ClientStatus>>;

    /// Waits until a client's revision is another than this one. None once it is
    /// forgotten.
    async fn changed(&self, name: &ClientName, revision: u64) -> Option<Arc<ClientStatus>>;

    /// Waits for a client that was not told of by this before; none when the host
    /// ends. For one caller.
    async fn next_new(&self) -> Option<ClientName>;

    /// Where a client's process listens; none when there is no process.
    fn address(&self, name: &ClientName) -> Option<Address>;

    /// The process that was given this key to report with. Takes the same time
    /// whatever differs.
    fn reporter(&self, name: &ClientName, key: &str) -> Option<StartId>;

    /// A report told of the state of a client's process.
    fn told(&self, name: &ClientName, start: &StartId, state: NativeState);

    /// The client's state file, whole: JSON that the process itself has written.
    async fn state_file(&self, name: &ClientName) -> Result<Bytes, ClientFileError>;

    /// The image of the code that the client shows.
    async fn code(&self, name: &ClientName) -> Result<Bytes, ClientFileError>;

    /// A file in the client's own directory, by the path that the client gave, with
    /// its size in bytes.
    async fn file(
        &self,
        name: &ClientName,
        path: &str,
    ) -> Result<(u64, Box<dyn BlobReader>), ClientFileError>;

    /// A piece of what the client's processes have printed, at most so many bytes.
    /// None when there is no such client.
    async fn log(&self, name: &ClientName, from: LogFrom, max_bytes: u64) -> Option<LogPiece>;

    /// Waits until more was printed than up to this place, or the client is
    /// forgotten.
    async fn log_grown(&self, name: &ClientName, place: u64);

    /// Calls the API of this process.
    async fn call(
        &self,
        name: &ClientName,
        start: &StartId,
        call: ApiCall,
    ) -> Result<ApiAnswer, CallFault>;

    /// The host is about to end: none is started from now on. Whose process ends
    /// meanwhile waits for the next host.
    fn stop_starting(&self);

    /// Ends all clients. None is started from now on.
    async fn end(&self);
}

/// No clients at all, for tests of other things.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct NoClients;

#[cfg(test)]
#[async_trait]
impl Clients for NoClients {
    async fn start(&self, _: Wanted) -> Result<Arc<ClientStatus>, StartError> {
        Err(StartError::Ending)
    }

    fn keep(&self, _: Wanted) {}

    fn put_off(&self, _: Wanted, _: Millis, _: String) {}

    fn stop(&self, _: &ClientName) -> Option<Arc<ClientStatus>> {
        None
    }

    fn restart(&self, _: &ClientName, _: &str) -> Option<Arc<ClientStatus>> {
        None
    }

    fn wake(&self, _: &ClientName) -> Option<Arc<ClientStatus>> {
        None
    }

    fn status(&self, _: &ClientName) -> Option<Arc<ClientStatus>> {
        None
    }

    fn all(&self) -> Vec<Arc<ClientStatus>> {
        Vec::new()
    }

    async fn changed(&self, _: &ClientName, _: u64) -> Option<Arc<ClientStatus>> {
        None
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

    async fn log(&self, _: &ClientName, _: LogFrom, _: u64) -> Option<LogPiece> {
        None
    }

    async fn log_grown(&self, _: &ClientName, _: u64) {}

    async fn call(&self, _: &ClientName, _: &StartId, _: ApiCall) -> Result<ApiAnswer, CallFault> {
        Err(CallFault::Unreached("there are no clients".to_owned()))
    }

    fn stop_starting(&self) {}

    async fn end(&self) {}
}
