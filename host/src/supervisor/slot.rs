//! What is known of one client, and what it was ordered to do. Written by its actor,
//! by reports and by what watches its process; read by everybody.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::SystemTime,
};

use tokio::sync::{Notify, watch};

use super::{
    files::{CLOCK_TICK, StateFile},
    launch::Facts,
    locked,
    log::Log,
};
use crate::domain::{
    ClientName, Digest, Millis,
    client::{
        ClientStatus, NativeState, Phase, ProcessEnd, ProcessUsage, StartId, StateSeen,
        StateSource, Wanted,
    },
};

/// What a client's process is ordered to do. The later ones go before the earlier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// It is started without a wait. Of no meaning for a process that there is.
    Start,
    /// It is killed and counts as crashed, for this reason.
    Kill(String),
    /// It ends and another one is started, for this reason.
    Restart(String),
    /// It ends, and the client is forgotten.
    Stop,
}

/// How many codes of a process are told apart: it has them for a few minutes each, so
/// these last for days.
const CODES_KEPT_MAX: usize = 1024;

/// A client.
#[derive(Debug)]
pub struct Slot {
    /// Its name.
    pub name: ClientName,
    /// What its processes print.
    pub log: Arc<Log>,
    /// The revision that it began with: of a lower one, another client had the name.
    pub born: u64,
    /// Whether somebody was told of it as a new one.
    pub announced: AtomicBool,
    /// None once it is forgotten.
    status: watch::Sender<Option<Arc<ClientStatus>>>,
    current: Mutex<Option<Current>>,
    order: Mutex<Option<Order>>,
    ordered: Notify,
    revisions: Arc<AtomicU64>,
}

/// What is known of the process that there is.
#[derive(Debug)]
struct Current {
    facts: Facts,
    /// When its newest word about its state was said, and where, if there was one.
    newest: (SystemTime, Option<StateSource>),
    /// The codes it has shown.
    codes: HashSet<Digest>,
}

impl Current {
    /// What comes from one place comes in its order. Between two the clock decides,
    /// unless it was set back meanwhile.
    fn is_news(&self, word: &Word) -> bool {
        let (said, source) = self.newest;
        source == Some(word.source) || word.said >= said || said > SystemTime::now()
    }
}

/// Something about a client's state.
#[derive(Debug, Clone, Copy)]
pub struct Word {
    /// Which state.
    pub state: NativeState,
    /// When it was said, or a tick of the file system's clock later.
    pub said: SystemTime,
    /// Where.
    pub source: StateSource,
    /// When it was heard.
    pub at_ms: Millis,
}

impl Word {
    /// What a state file says, if it is anything that we know.
    pub fn of_file(file: &StateFile, at_ms: Millis) -> Option<Self> {
        Some(Self {
            state: file.state?,
            // A clock that is ahead shall not drown out the reports.
            said: (file.at + CLOCK_TICK).min(SystemTime::now()),
            source: StateSource::File,
            at_ms,
        })
    }

    /// What a report says that has just come.
    pub fn of_report(state: NativeState, at_ms: Millis) -> Self {
        Self {
            state,
            said: SystemTime::now(),
            source: StateSource::Report,
            at_ms,
        }
    }
}

impl Slot {
    /// A client that has no process yet.
    pub fn new(
        wanted: &Wanted,
        log: Arc<Log>,
        revisions: Arc<AtomicU64>,
        now_ms: Millis,
    ) -> Arc<Self> {
        let born = next(&revisions);
        let status = blank(wanted, born, now_ms);
        Arc::new(Self {
            name: wanted.name.clone(),
            log,
            born,
            announced: AtomicBool::new(false),
            status: watch::Sender::new(Some(Arc::new(status))),
            current: Mutex::default(),
            order: Mutex::default(),
            ordered: Notify::new(),
            revisions,
        })
    }

    /// What is known of it; none once it is forgotten.
    pub fn status(&self) -> Option<Arc<ClientStatus>> {
        self.status.borrow().clone()
    }

    /// Where it stands; none once it is forgotten.
    pub fn phase(&self) -> Option<Phase> {
        self.status.borrow().as_ref().map(|status| status.phase)
    }

    /// Waits until its revision is another than this one. None once it is forgotten.
    pub async fn changed(&self, revision: u64) -> Option<Arc<ClientStatus>> {
        self.when(|status| status.revision != revision).await
    }

    /// Waits until this holds. None once it is forgotten.
    pub async fn when(&self, holds: impl Fn(&ClientStatus) -> bool) -> Option<Arc<ClientStatus>> {
        let mut status = self.status.subscribe();
        let found = status.wait_for(|it| it.as_ref().is_none_or(|status| holds(status)));
        // The sender is in `self`.
        found.await.ok()?.clone()
    }

    /// Waits until it is forgotten.
    pub async fn forgotten(&self) {
        self.when(|_| false).await;
    }

    /// Changes what is known of it. Whoever waits is woken if that is anything new.
    pub fn update(&self, change: impl FnOnce(&mut ClientStatus)) {
        self.status.send_if_modified(|held| {
            let Some(known) = held else {
                return false;
            };
            let mut status = ClientStatus::clone(known);
            change(&mut status);
            if status == **known {
                return false;
            }
            status.revision = next(&self.revisions);
            *held = Some(Arc::new(status));
            true
        });
    }

    /// It begins anew, as somebody wants it now.
    pub fn begin(&self, wanted: &Wanted, now_ms: Millis) {
        self.update(|status| *status = blank(wanted, status.revision, now_ms));
    }

    /// Puts back what was known before a start that has failed.
    pub fn put_back(&self, before: &ClientStatus) {
        self.update(|status| {
            *status = ClientStatus {
                revision: status.revision,
                ..before.clone()
            };
        });
    }

    /// It is known no more.
    pub fn forget(&self) {
        *locked(&self.current) = None;
        self.status.send_replace(None);
    }

    /// Orders something, unless what was ordered before goes before it.
    pub fn order(&self, order: Order) {
        {
            let mut held = locked(&self.order);
            let first = held.take();
            *held = first.max(Some(order));
        }
        self.ordered.notify_one();
    }

    /// Orders that this process is killed, as long as there is one.
    pub fn kill(&self, start: &StartId, reason: String) {
        let held = locked(&self.current);
        if held.as_ref().is_some_and(|it| it.facts.start == *start) {
            self.order(Order::Kill(reason));
        }
    }

    /// Whether nobody looks after it.
    pub fn is_idle(&self) -> bool {
        self.status.borrow().as_deref().is_some_and(is_idle)
    }

    /// What was ordered.
    pub fn take_order(&self) -> Option<Order> {
        locked(&self.order).take()
    }

    /// Whether something was ordered.
    pub fn has_order(&self) -> bool {
        locked(&self.order).is_some()
    }

    /// Waits until something may have been ordered. For its actor.
    pub async fn ordered(&self) {
        self.ordered.notified().await;
    }

    /// It is to end: by and by, or as soon as it has a process.
    pub fn stop(&self, now_ms: Millis) {
        self.update(|status| {
            if status.phase != Phase::Stopping {
                status.phase = Phase::Stopping;
                status.since_ms = now_ms;
                status.next_start_ms = None;
            }
        });
        self.order(Order::Stop);
    }

    /// It has a process. Whoever ordered a start meanwhile has got it: says whether
    /// somebody had.
    pub fn spawned(&self, facts: Facts, now_ms: Millis) -> bool {
        let (start, pid) = (facts.start.clone(), facts.writer.pid);
        let port = facts.port.number();
        let newest = (facts.writer.since, None);
        *locked(&self.current) = Some(Current {
            facts,
            newest,
            codes: HashSet::new(),
        });
        let before = locked(&self.order).take_if(|order| *order == Order::Start);
        let was_ordered = before.is_some();
        self.update(|status| {
            status.start = Some(start);
            status.pid = Some(pid);
            status.port = Some(port);
            status.spawned_ms = Some(now_ms);
            status.next_start_ms = None;
            status.reason = None;
            move_to(status, Phase::Spawned, now_ms);
        });
        was_ordered
    }

    /// Its port takes connections.
    pub fn listening(&self, now_ms: Millis) {
        self.update(|status| {
            status.listening_ms.get_or_insert(now_ms);
            settle(status, now_ms);
        });
    }

    /// Whether this process takes connections: till it does, another program may.
    pub fn listens(&self, start: &StartId) -> bool {
        let status = self.status();
        status.is_some_and(|it| it.start.as_ref() == Some(start) && it.listening_ms.is_some())
    }

    /// This process said something about its state.
    pub fn heard(&self, start: &StartId, word: Word) {
        let mut held = locked(&self.current);
        let Some(current) = held.as_mut().filter(|it| it.facts.start == *start) else {
            return;
        };
        if !current.is_news(&word) {
            return;
        }
        current.newest = (word.said, Some(word.source));
        // Within the lock, so that a newer word is not overwritten by an older one.
        self.update(|status| {
            if status.state.is_some_and(|seen| seen.state == word.state) {
                return;
            }
            status.state = Some(StateSeen {
                state: word.state,
                at_ms: word.at_ms,
                source: word.source,
            });
            settle(status, word.at_ms);
        });
    }

    /// It shows this code, or none.
    pub fn shows(&self, code: Option<Digest>) {
        if let Some(code) = code
            && let Some(current) = locked(&self.current).as_mut()
            && current.codes.len() < CODES_KEPT_MAX
        {
            current.codes.insert(code);
        }
        self.update(|status| status.code = code);
    }

    /// How many codes its process has shown, each counted once.
    pub fn codes(&self) -> usize {
        let held = locked(&self.current);
        held.as_ref().map_or(0, |it| it.codes.len())
    }

    /// This process uses so much. Nobody is woken for that.
    pub fn uses(&self, start: &StartId, usage: ProcessUsage) {
        self.status.send_if_modified(|held| {
            if let Some(known) = held.as_mut().filter(|it| it.start.as_ref() == Some(start)) {
                Arc::make_mut(known).usage = Some(usage);
            }
            false
        });
    }

    /// It has no process any more, because of this.
    pub fn ended(&self, end: ProcessEnd) {
        {
            let mut current = locked(&self.current);
            *current = None;
            // It was meant for this process, and shall not end the next one.
            locked(&self.order).take_if(|order| matches!(order, Order::Kill(_)));
        }
        self.update(|status| {
            status.start = None;
            status.pid = None;
            status.port = None;
            status.spawned_ms = None;
            status.listening_ms = None;
            status.running_ms = None;
            status.state = None;
            status.code = None;
            status.usage = None;
            status.reason = Some(end.reason.clone());
            if is_process(status.phase) {
                move_to(status, Phase::Waiting, end.at_ms);
            }
            status.last_end = Some(end);
        });
    }

    /// It is started again at this time.
    pub fn waits(&self, until_ms: Millis) {
        self.update(|status| status.next_start_ms = Some(until_ms));
    }

    /// It waits for its first process, until this time.
    pub fn put_off(&self, wanted: &Wanted, until_ms: Millis, reason: String, now_ms: Millis) {
        self.update(|status| {
            let since_ms = match status.is_awaited() {
                true => status.since_ms,
                false => now_ms,
            };
            *status = ClientStatus {
                phase: Phase::Waiting,
                reason: Some(reason),
                next_start_ms: Some(until_ms),
                ..blank(wanted, status.revision, since_ms)
            };
        });
    }

    /// Its start has failed, for this reason.
    pub fn not_started(&self, end: ProcessEnd) {
        self.update(|status| {
            status.reason = Some(end.reason.clone());
            status.last_end = Some(end);
        });
    }

    /// It is started once more.
    pub fn counts_restart(&self) {
        self.update(|status| status.restarts = status.restarts.saturating_add(1));
    }

    /// It is over.
    pub fn over(&self, failed: bool, reason: &str, now_ms: Millis) {
        let phase = match failed {
            true => Phase::Failed,
            false => Phase::Stopped,
        };
        self.update(|status| {
            status.reason = Some(reason.to_owned());
            status.next_start_ms = None;
            move_to(status, phase, now_ms);
        });
    }

    /// What is known of its process since it was started.
    pub fn facts(&self) -> Option<Facts> {
        locked(&self.current).as_ref().map(|it| it.facts.clone())
    }

    /// Whether this is the first time that this is asked.
    pub fn announce(&self) -> bool {
        !self.announced.swap(true, Ordering::Relaxed)
    }
}

/// Whether it has no actor: it is over, or somebody starts it later.
pub fn is_idle(status: &ClientStatus) -> bool {
    status.phase.is_over() || status.is_awaited()
}

fn is_process(phase: Phase) -> bool {
    matches!(phase, Phase::Spawned | Phase::Listening | Phase::Running)
}

fn next(revisions: &AtomicU64) -> u64 {
    revisions.fetch_add(1, Ordering::Relaxed) + 1
}

/// What is known of a client before its first process.
fn blank(wanted: &Wanted, revision: u64, now_ms: Millis) -> ClientStatus {
    ClientStatus {
        name: wanted.name.clone(),
        revision,
        template: wanted.template.clone(),
        parameters: wanted.parameters.clone(),
        phase: Phase::Spawned,
        since_ms: now_ms,
        reason: None,
        start: None,
        pid: None,
        port: None,
        spawned_ms: None,
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

/// Nothing leads out of stopping.
fn move_to(status: &mut ClientStatus, phase: Phase, now_ms: Millis) {
    if status.phase != phase && status.phase != Phase::Stopping {
        status.phase = phase;
        status.since_ms = now_ms;
    }
}

/// The phase of a process follows from what is known of it.
fn settle(status: &mut ClientStatus, now_ms: Millis) {
    if !is_process(status.phase) {
        return;
    }
    let running = status
        .state
        .is_some_and(|seen| seen.state == NativeState::Running);
    let phase = match (status.listening_ms, running) {
        (None, _) => Phase::Spawned,
        (Some(_), false) => Phase::Listening,
        (Some(_), true) => Phase::Running,
    };
    if phase == Phase::Running {
        status.running_ms.get_or_insert(now_ms);
    }
    move_to(status, phase, now_ms);
}
