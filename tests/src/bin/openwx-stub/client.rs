//! What the parts of the stub share: who it is, where it stands, and what it has
//! reported and sent.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use tokio::sync::{Notify, watch};

use crate::{arguments::Arguments, environment::Environment, people::People};

/// How many reports `check_event` keeps (section 4).
const EVENTS_MAX: usize = 20;
/// How many calls are kept: more than a test makes. Those of a bench, which makes a
/// hundred thousand a second, would take all memory.
const CALLS_MAX: usize = 10_000;

/// Where a client stands, in the clients' own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Init,
    Loading,
    Scaning,
    Confirming,
    Updating,
    Running,
    Stop,
}

impl State {
    /// The word in files and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Loading => "loading",
            Self::Scaning => "scaning",
            Self::Confirming => "confirming",
            Self::Updating => "updating",
            Self::Running => "running",
            Self::Stop => "stop",
        }
    }
}

/// One client.
#[derive(Debug)]
pub struct Client {
    /// What it was told by its template.
    pub arguments: Arguments,
    /// What it was told by the controller.
    pub environment: Environment,
    /// Whom it knows.
    pub people: People,
    /// Where it stands.
    pub state: watch::Sender<State>,
    /// Where it stood before.
    pub previous: Mutex<State>,
    /// When it began, in s.
    pub started_s: u64,
    /// Somebody scans the code.
    pub scanned: Notify,
    /// Another code is wanted.
    pub next_code: Notify,
    /// It shall end.
    pub ending: Notify,
    /// More was reported.
    pub reported: Notify,
    /// Held while a message is sent: one at a time.
    pub sending: tokio::sync::Mutex<()>,
    /// Whether it answers nothing any more.
    pub hangs: bool,
    sent: Mutex<Vec<Value>>,
    calls: Mutex<Vec<Value>>,
    reports: Mutex<Vec<Value>>,
    events: Mutex<VecDeque<Value>>,
    last_id: AtomicU64,
}

impl Client {
    /// One that has just begun.
    pub fn new(arguments: Arguments, environment: Environment) -> Self {
        let first = environment.tmpdir.join("stub_hung");
        let hangs = arguments.hang || (arguments.hang_once && !first.exists());
        if hangs {
            let _ = std::fs::write(first, "");
        }
        Self {
            people: People::of(&environment.account),
            state: watch::Sender::new(State::Init),
            previous: Mutex::new(State::Init),
            started_s: now_s(),
            scanned: Notify::new(),
            next_code: Notify::new(),
            ending: Notify::new(),
            reported: Notify::new(),
            sending: tokio::sync::Mutex::default(),
            hangs,
            sent: Mutex::default(),
            calls: Mutex::default(),
            reports: Mutex::default(),
            events: Mutex::default(),
            // Ids of two processes differ, as WeChat's do.
            last_id: AtomicU64::new(now_s() * 1_000_000 + u64::from(std::process::id()) * 1_000),
            arguments,
            environment,
        }
    }

    /// Its name.
    pub fn account(&self) -> &str {
        &self.environment.account
    }

    /// Where it stands now.
    pub fn now(&self) -> State {
        *self.state.borrow()
    }

    /// After how many codes that nobody scanned it ends.
    pub fn codes(&self) -> usize {
        let told = self.environment.parameter("qrcode_count_max");
        let told = told.and_then(|text| text.parse().ok());
        told.unwrap_or(self.arguments.codes)
    }

    /// Waits until its API answers.
    pub async fn until_running(&self) {
        let mut state = self.state.subscribe();
        let is_up = state
            .wait_for(|state| *state == State::Running)
            .await
            .is_ok();
        if self.hangs || !is_up {
            std::future::pending::<()>().await;
        }
    }

    /// An id that no other message has.
    pub fn next_id(&self) -> String {
        self.last_id.fetch_add(1, Ordering::Relaxed).to_string()
    }

    /// Keeps what was sent, in memory and beside its other files, where it outlives
    /// the process.
    pub fn keep_sent(&self, message: Value) {
        let file = self.environment.tmpdir.join("stub_sent.jsonl");
        let _ = append(&file, &format!("{message}\n"));
        locked(&self.sent).push(message);
    }

    /// What was sent.
    pub fn sent(&self) -> Vec<Value> {
        locked(&self.sent).clone()
    }

    /// Keeps a call of the API, as long as there are few.
    pub fn keep_call(&self, call: impl FnOnce() -> Value) {
        let mut calls = locked(&self.calls);
        if calls.len() < CALLS_MAX {
            calls.push(call());
        }
    }

    /// How the API was called.
    pub fn calls(&self) -> Vec<Value> {
        locked(&self.calls).clone()
    }

    /// Keeps what was reported and what came back.
    pub fn keep_report(&self, report: &Value, answer: Value) {
        let kept = serde_json::json!({"report": report, "answer": answer});
        locked(&self.reports).push(kept);
    }

    /// What was reported.
    pub fn reports(&self) -> Vec<Value> {
        locked(&self.reports).clone()
    }

    /// Keeps a report for `check_event`.
    pub fn keep_event(&self, report: &Value) {
        let mut events = locked(&self.events);
        events.push_back(report.clone());
        if events.len() > EVENTS_MAX {
            events.pop_front();
        }
        self.reported.notify_waiters();
    }

    /// Takes what was kept for `check_event`.
    pub fn take_events(&self) -> Vec<Value> {
        locked(&self.events).drain(..).collect()
    }
}

/// Seconds since 1970.
pub fn now_s() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |time| time.as_secs())
}

/// What a lock holds, whatever became of its last holder.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts text at the end of a file.
pub fn append(file: &std::path::Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    let mut file = std::fs::File::options()
        .create(true)
        .append(true)
        .open(file)?;
    file.write_all(text.as_bytes())
}
