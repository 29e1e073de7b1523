//! Use cases: the only thing that the edge calls.
//!
//! `deliver` is the way of an event; the other files are what people and
//! clients ask for besides. Nothing here knows HTTP, JSON of a peer,
//! WebAssembly or the storage engine.

mod accounts;
mod alarms;
mod buckets;
mod callback;
mod catalogue;
mod clients;
mod contacts;
mod deliver;
mod endpoints;
mod error;
mod failing;
mod failures;
#[cfg(test)]
pub(crate) mod fake;
mod files;
mod guard;
mod handlers;
mod links;
mod logins;
mod logs;
mod measured;
mod pauses;
mod record;
mod reruns;
mod schedules;
mod tasks;
#[cfg(test)]
mod tests;
mod timers;
mod turn;

use std::{
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use accounts::SessionStart;
pub use buckets::{BucketPage, Fill};
pub use callback::Asked;
pub use clients::ClientRequest;
pub use contacts::ContactReport;
pub use deliver::{Delivery, Reply, Reporter};
pub use endpoints::Entrance;
pub use error::Error;
pub use handlers::{
    ChangeLabels, ChangeRollout, ConfigItem, ConfigShown, Deploy, DeployDone, Invoke, Invoked,
    Replay, Replayed, ReplayedEvent,
};
pub use links::{Link, Woken};
pub use logins::{LoginRequest, QrSession};
pub use tasks::{IDEMPOTENCY_KEY_MAX_BYTES, Next, Outcome, SUBMIT_MAX, Submission};

use serde::{Deserialize, Serialize};

use crate::domain::{
    Millis,
    bucket::BucketLimits,
    client::ClientPolicy,
    file::FilePolicy,
    handler::{FailingPolicy, LimitBounds},
    login::LoginPolicy,
    pacing::PacingPolicy,
    ports::{ActionCheck, Blobs, Clients, GuestLogs, Runtime, Store, Vault},
    record::RecordPolicy,
    task::TaskPolicy,
};

/// How long a key made of an event's content stands for that event. Only
/// messages have ids of their own. WeHub waits 30 s for an answer, so what it
/// sends again comes within a minute; later, the same may rightly happen anew.
pub const REPEATED_WITHIN: Duration = Duration::from_secs(60);

/// How long an account is kept in memory after its client was last heard of.
const IDLE: Duration = Duration::from_secs(5 * 60);

/// What rules the use cases, each part as the domain has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policies {
    /// Where everything lasting is kept.
    pub data: PathBuf,
    /// How long tasks wait.
    pub tasks: TaskPolicy,
    /// When QR logins are given up.
    pub logins: LoginPolicy,
    /// How files are taken.
    pub files: FilePolicy,
    /// How fast accounts write.
    pub pacing: PacingPolicy,
    /// How Openwx clients are run.
    pub clients: ClientPolicy,
    /// How much guests may keep.
    pub buckets: BucketLimits,
    /// When handlers that fail are paused.
    pub failing: FailingPolicy,
    /// What is recorded to be replayed.
    pub record: RecordPolicy,
    /// What versions may ask for their calls.
    pub calls: LimitBounds,
}

/// All use cases. A cheap handle.
#[derive(Debug, Clone)]
pub struct Service(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<dyn Store>,
    runtime: Arc<dyn Runtime>,
    blobs: Arc<dyn Blobs>,
    native: Arc<dyn Clients>,
    vault: Arc<dyn Vault>,
    check: ActionCheck,
    policies: Policies,
    catalogue: catalogue::Catalogue,
    links: links::Links,
    client_changes: tokio::sync::Mutex<()>,
    runs: schedules::Runs,
    turns: turn::Turns,
    reruns: reruns::Reruns,
    /// When this host started.
    started_ms: Millis,
    desk: callback::Desk,
    endpoint_failures: endpoints::Failures,
    /// Ends calls of endpoints: they may take much longer than others.
    ending: CancellationToken,
    /// Where what guests say is kept, once there is such a place.
    logs: OnceLock<Arc<dyn GuestLogs>>,
    /// Held by the replay that is under way.
    replaying: tokio::sync::Mutex<()>,
    /// Calls under way. They outlive the request that caused them, so that a
    /// client that goes away can't cut one off half-way.
    calls: TaskTracker,
    draining: AtomicBool,
}

impl Service {
    /// Reads what is deployed and makes it ready. A handler whose component
    /// can't be loaded is logged and fails when it is called; the others serve.
    pub async fn start(
        store: Arc<dyn Store>,
        runtime: Arc<dyn Runtime>,
        blobs: Arc<dyn Blobs>,
        native: Arc<dyn Clients>,
        vault: Arc<dyn Vault>,
        check: ActionCheck,
        policies: Policies,
    ) -> Result<Self, Error> {
        let service = Self(Arc::new(Inner {
            catalogue: catalogue::Catalogue::default(),
            links: links::Links::default(),
            client_changes: tokio::sync::Mutex::default(),
            runs: schedules::Runs::default(),
            policies,
            turns: turn::Turns::default(),
            reruns: reruns::Reruns::default(),
            desk: callback::Desk::default(),
            endpoint_failures: endpoints::Failures::default(),
            ending: CancellationToken::new(),
            logs: OnceLock::new(),
            replaying: tokio::sync::Mutex::default(),
            calls: TaskTracker::new(),
            draining: AtomicBool::new(false),
            started_ms: store.now(),
            store,
            runtime,
            blobs,
            native,
            vault,
            check,
        }));
        service.load_catalogue().await?;
        Ok(service)
    }

    /// Whether work is taken, and if not, why.
    pub fn ready(&self) -> Result<(), Error> {
        self.check_ready()?;
        Ok(self.0.store.health()?)
    }

    /// What time it is for whatever is kept.
    pub fn now(&self) -> Millis {
        self.0.store.now()
    }

    /// Forgets accounts that nobody serves at the moment.
    pub fn forget_idle(&self) {
        let now_ms = self.0.store.now();
        let since_ms = now_ms.saturating_sub(IDLE.as_millis() as Millis);
        self.0.turns.forget_idle(since_ms, now_ms);
        self.forget_measured();
        self.0.reruns.forget_idle();
    }

    /// Takes no new work from now on.
    pub fn stop_taking(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
        // Whoever ends the host may end the clients at the same time.
        self.0.native.stop_starting();
    }

    /// Takes no new work from now on, and waits for what is under way. Every
    /// call has its own limits, so this ends.
    pub async fn drain(&self) {
        self.stop_taking();
        self.0.ending.cancel();
        self.0.calls.close();
        self.0.calls.wait().await;
    }

    fn check_ready(&self) -> Result<(), Error> {
        match self.0.draining.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(Error::Draining),
        }
    }
}
