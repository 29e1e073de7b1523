//! What is counted and measured, in the words of Prometheus.
//!
//! One set for the process, as there is one log: whoever does something counts it here,
//! and `/metrics` shows it. No label has a value that a peer or a guest can choose:
//! handlers and versions are named by people, all else is a word of ours. So what is kept
//! is bounded. What can be looked up is not counted but set when somebody asks
//! ([`Metrics::shown`]).

mod handlers;
mod process;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::Registry,
};

pub use self::handlers::Handlers;

/// The type of what [`Metrics::render`] gives.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// From the 10 µs that the smallest call takes to the 30 s that WeHub waits, in s.
const SECONDS: [f64; 19] = [
    1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5,
    1.0, 2.5, 10.0, 30.0,
];
/// How many jobs the store writes at once: 256 at most.
const BATCHES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// What became of an event, by the kind of client.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EventLabels {
    client: &'static str,
    outcome: &'static str,
}

/// A kind of action.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ActionLabels {
    action: &'static str,
}

/// A kind of action, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EndLabels {
    action: &'static str,
    state: &'static str,
}

/// One kind of several.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabels {
    kind: &'static str,
}

/// The kind of client.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ClientLabels {
    client: &'static str,
}

/// Where a client stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PhaseLabels {
    phase: &'static str,
}

/// Everything that is counted and measured.
pub struct Metrics {
    host: Registry,
    process: Registry,
    handlers: Arc<Handlers>,
    events: Family<EventLabels, Counter>,
    tasks_made: Family<ActionLabels, Counter>,
    tasks_ended: Family<EndLabels, Counter>,
    fired: Family<KindLabels, Counter>,
    deployments: Family<KindLabels, Counter>,
    calls_running: Gauge,
    calls_waiting: Gauge,
    commit_seconds: Histogram,
    batch_seconds: Histogram,
    batch_jobs: Histogram,
    shown: ShownGauges,
}

/// What is set when somebody asks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shown {
    /// How many tasks wait in all queues.
    pub tasks_queued: u64,
    /// How many accounts are there, by the kind of their client.
    pub accounts_online: Vec<(&'static str, u64)>,
    /// How many Openwx clients stand where.
    pub clients: Vec<(&'static str, u64)>,
}

#[derive(Default)]
struct ShownGauges {
    tasks_queued: Gauge,
    accounts_online: Family<ClientLabels, Gauge>,
    clients: Family<PhaseLabels, Gauge>,
}

/// The process's metrics.
pub fn get() -> &'static Metrics {
    static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);
    &METRICS
}

/// Goes on until it is dropped, and is counted as long.
#[derive(Debug)]
pub struct Going(Gauge);

impl Going {
    fn begin(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    fn new() -> Self {
        let seconds = || Histogram::new(SECONDS);
        let mut metrics = Self {
            host: Registry::with_prefix("wxhost"),
            process: Registry::with_prefix("process"),
            handlers: Arc::default(),
            events: Family::default(),
            tasks_made: Family::default(),
            tasks_ended: Family::default(),
            fired: Family::default(),
            deployments: Family::default(),
            calls_running: Gauge::default(),
            calls_waiting: Gauge::default(),
            commit_seconds: seconds(),
            batch_seconds: seconds(),
            batch_jobs: Histogram::new(BATCHES),
            shown: ShownGauges::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let host = &mut self.host;
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        host.register("build", "This wxhost", build);
        host.register_collector(Box::new(Arc::clone(&self.handlers)));
        host.register("events", "Events settled or repeated", self.events.clone());
        host.register("tasks_made", "Tasks asked for", self.tasks_made.clone());
        host.register("tasks_ended", "Tasks ended", self.tasks_ended.clone());
        let queued = self.shown.tasks_queued.clone();
        host.register("tasks_queued", "Tasks in all queues", queued);
        let fired = self.fired.clone();
        host.register("fired", "Timers and schedules that came due", fired);
        let deployments = self.deployments.clone();
        host.register(
            "deployments",
            "Changes of which version serves",
            deployments,
        );
        let running = self.calls_running.clone();
        host.register("calls_running", "Calls of guests under way", running);
        let waiting = self.calls_waiting.clone();
        host.register("calls_waiting", "Calls that wait for room", waiting);
        let commits = self.commit_seconds.clone();
        let help = "From an account's commit to its being durable";
        host.register("store_commit_seconds", help, commits);
        let batches = self.batch_seconds.clone();
        host.register("store_batch_seconds", "Writing one batch", batches);
        let jobs = self.batch_jobs.clone();
        host.register("store_batch_jobs", "Jobs written in one batch", jobs);
        let online = self.shown.accounts_online.clone();
        host.register("accounts_online", "Accounts whose client is there", online);
        let clients = self.shown.clients.clone();
        host.register("openwx_clients", "Openwx clients", clients);
        self.process.register_collector(Box::new(process::Process));
    }

    /// What is counted of single handlers and versions.
    pub fn handlers(&self) -> &Handlers {
        &self.handlers
    }

    /// An event was settled so, or was settled before.
    pub fn event(&self, client: &'static str, outcome: &'static str) {
        let labels = EventLabels { client, outcome };
        self.events.get_or_create(&labels).inc();
    }

    /// A task was asked for.
    pub fn task_made(&self, action: &'static str) {
        let labels = ActionLabels { action };
        self.tasks_made.get_or_create(&labels).inc();
    }

    /// A task has ended so.
    pub fn task_ended(&self, action: &'static str, state: &'static str) {
        let labels = EndLabels { action, state };
        self.tasks_ended.get_or_create(&labels).inc();
    }

    /// A timer or a schedule came due for an account.
    pub fn fired(&self, kind: &'static str) {
        self.fired.get_or_create(&KindLabels { kind }).inc();
    }

    /// Another version serves.
    pub fn deployed(&self, kind: &'static str) {
        self.deployments.get_or_create(&KindLabels { kind }).inc();
    }

    /// A call of a guest goes on.
    pub fn running(&self) -> Going {
        Going::begin(&self.calls_running)
    }

    /// A call of a guest waits for room.
    pub fn waiting(&self) -> Going {
        Going::begin(&self.calls_waiting)
    }

    /// A commit that began then is durable.
    pub fn committed(&self, began: Instant) {
        self.commit_seconds.observe(began.elapsed().as_secs_f64());
    }

    /// The store has written so many jobs at once.
    pub fn batch(&self, jobs: usize, took: Duration) {
        self.batch_jobs.observe(jobs as f64);
        self.batch_seconds.observe(took.as_secs_f64());
    }

    /// This is so now.
    pub fn shown(&self, now: &Shown) {
        let as_gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.shown.tasks_queued.set(as_gauge(now.tasks_queued));
        for &(client, count) in &now.accounts_online {
            let labels = ClientLabels { client };
            let gauge = self.shown.accounts_online.get_or_create(&labels);
            gauge.set(as_gauge(count));
        }
        for &(phase, count) in &now.clients {
            let labels = PhaseLabels { phase };
            let gauge = self.shown.clients.get_or_create(&labels);
            gauge.set(as_gauge(count));
        }
    }

    /// All of it as text ([`CONTENT_TYPE`]). Blocks for a moment: the system is asked
    /// about the process.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode_registry(&mut text, &self.host)?;
        text::encode_registry(&mut text, &self.process)?;
        text::encode_eof(&mut text)?;
        Ok(text)
    }
}
