//! The life of a client: its process is started, watched until it ends, and started
//! again or not.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::{
    sync::oneshot,
    task::{JoinSet, spawn_blocking},
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    Shared, drain,
    launch::{self, Facts, Launched},
    probe,
    process::{self, Process},
    slot::{Order, Slot, Word},
    starts, watch,
};
use crate::domain::{
    Digest,
    client::{ClientStatus, Crashes, NativeState, ProcessEnd, Verdict, Wanted, codes_max},
    ports::StartError,
};

/// How long what a process printed is read after its end: somebody who got away may
/// hold the other end.
const DRAIN_AFTER_END: Duration = Duration::from_millis(500);

/// How long the host waits to be told to end itself before a client is over: a service
/// manager tells all processes at once, and a client may be faster.
const TOLD_TOGETHER: Duration = Duration::from_millis(500);

/// Hears how the first start went.
pub type Started = oneshot::Sender<Result<Arc<ClientStatus>, StartError>>;

/// Looks after one client.
pub struct Actor {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
    wanted: Arc<Wanted>,
    crashes: Crashes,
}

/// How a process ended.
struct End {
    /// How long it was up.
    up: Duration,
    /// What it was ordered to do.
    order: Option<Order>,
    /// Why it will not be started again: it ended as it should.
    by_itself: Option<String>,
    /// How, in words.
    reason: String,
}

/// What follows an end.
enum After {
    /// The client is forgotten.
    Forget,
    /// Its process is started again after this.
    Again(Duration),
    /// It is over, failed or not, for this reason.
    Over(bool, String),
    /// The host is about to end, and the next one starts it.
    Rest,
}

impl Actor {
    /// One for this client.
    pub fn new(shared: Arc<Shared>, slot: Arc<Slot>, wanted: Wanted) -> Self {
        Self {
            shared,
            slot,
            wanted: Arc::new(wanted),
            crashes: Crashes::default(),
        }
    }

    /// Starts it and looks after it until it is over or forgotten. If it can't be
    /// started, all is as it was before.
    pub async fn live(mut self, before: Option<Arc<ClientStatus>>, started: Started) {
        let mut launched = match self.launch().await {
            Ok(launched) => launched,
            Err(error) => {
                self.shared.not_started(&self.slot, before);
                let _ = started.send(Err(error));
                return;
            }
        };
        let status = self.slot.status().ok_or(StartError::Ending);
        let _ = started.send(status);
        loop {
            let end = self.look_after(launched).await;
            launched = match self.next(end).await {
                Some(launched) => launched,
                None => return,
            };
        }
    }

    async fn launch(&mut self) -> Result<Launched, StartError> {
        let (setup, wanted) = (Arc::clone(&self.shared.setup), Arc::clone(&self.wanted));
        let work = move || launch::launch(&setup, &wanted);
        let launched = self.shared.spawner.run(work).await;
        let launched = launched.ok_or(StartError::Ending)??;
        if self.slot.spawned(launched.facts.clone(), self.shared.now()) {
            self.crashes = Crashes::default();
        }
        self.shared.list_changed();
        let pid = launched.process.id();
        tracing::info!(client = %self.slot.name, pid, "a client was started");
        Ok(launched)
    }

    /// Watches a process until its end, and sees to it that nothing of it is left.
    async fn look_after(&self, launched: Launched) -> End {
        let Launched {
            process,
            output,
            facts,
        } = launched;
        let since = Instant::now();
        let mut drained = tokio::spawn(drain::drain(output, Arc::clone(&self.slot.log)));
        let mut watchers = self.watchers(&facts);
        let order = self.until_end(&process).await;
        watchers.shutdown().await;
        self.look_a_last_time(&facts).await;
        let how = spawn_blocking(move || process.reap()).await;
        self.kill_leftovers().await;
        if timeout(DRAIN_AFTER_END, &mut drained).await.is_err() {
            drained.abort();
        }
        let how = match how.map_err(std::io::Error::other).flatten() {
            Ok(status) => process::words(status),
            Err(error) => format!("it ended in a way that is not known: {error}"),
        };
        let end = self.end(since.elapsed(), order, how);
        let at_ms = self.shared.now();
        let reason = end.reason.clone();
        tracing::info!(client = %self.slot.name, %reason, "a client's process has ended");
        self.slot.ended(ProcessEnd { at_ms, reason });
        self.shared.list_changed();
        let (places, name) = (self.shared.setup.places.clone(), self.slot.name.clone());
        let clear = move || {
            facts.paths.clear();
            starts::forget(&places, &name);
        };
        let _ = spawn_blocking(clear).await;
        end
    }

    fn watchers(&self, facts: &Facts) -> JoinSet<()> {
        let (shared, slot) = (&self.shared, &self.slot);
        let mut watchers = JoinSet::new();
        watchers.spawn(watch::follow(
            Arc::clone(shared),
            Arc::clone(slot),
            facts.clone(),
        ));
        watchers.spawn(probe::listening(
            Arc::clone(shared),
            Arc::clone(slot),
            facts.clone(),
        ));
        watchers.spawn(probe::answering(
            Arc::clone(shared),
            Arc::clone(slot),
            facts.clone(),
        ));
        watchers
    }

    /// Waits for the end of a process, and carries out what is ordered meanwhile.
    async fn until_end(&self, process: &Process) -> Option<Order> {
        let stop = Duration::from_millis(self.shared.setup.policy.stop_ms);
        let mut carried_out = None;
        let mut kill_at = None;
        let mut ended = pin!(process.ended());
        loop {
            let patience = async {
                match kill_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // What is ordered after its end is carried out no more.
                biased;
                result = &mut ended => {
                    if let Err(error) = result {
                        tracing::error!(%error, "a process can't be watched: it is killed");
                        process.kill();
                    }
                    return carried_out;
                }
                () = self.slot.ordered() => {
                    let Some(order) = self.slot.take_order() else {
                        continue;
                    };
                    match order {
                        // There is one.
                        Order::Start => continue,
                        Order::Kill(_) => process.kill(),
                        Order::Restart(_) | Order::Stop => {
                            process.terminate();
                            kill_at.get_or_insert_with(|| Instant::now() + stop);
                        }
                    }
                    carried_out = carried_out.max(Some(order));
                }
                () = patience => {
                    process.kill();
                    kill_at = Some(Instant::now() + stop.max(Duration::from_secs(1)));
                }
            }
        }
    }

    /// It may have shown another code, or said that it stops, just before it did.
    async fn look_a_last_time(&self, facts: &Facts) {
        let (paths, writer) = (facts.paths.clone(), facts.writer);
        let read = move || (paths.read_state(writer), paths.read_code(writer));
        let Ok((state, code)) = spawn_blocking(read).await else {
            return;
        };
        if let Ok(code) = code {
            self.slot.shows(Some(Digest::of(&code)));
        }
        let word = state
            .ok()
            .and_then(|file| Word::of_file(&file, self.shared.now()));
        if let Some(word) = word {
            self.slot.heard(&facts.start, word);
        }
    }

    /// When the host ends, it looks for those of all clients at once.
    async fn kill_leftovers(&self) {
        if self.shared.is_ending() {
            return;
        }
        let name = self.slot.name.clone();
        self.shared.leftovers.kill(name).await;
    }

    fn end(&self, up: Duration, order: Option<Order>, how: String) -> End {
        let state = self.slot.status().and_then(|status| status.state);
        let state = state.map(|seen| seen.state);
        let (codes, codes_max) = (self.slot.codes(), codes_max(&self.wanted.parameters));
        let by_itself = match state {
            Some(NativeState::Stop) => Some("it stopped by itself".to_owned()),
            Some(NativeState::Scaning) if codes as u64 >= u64::from(codes_max) => Some(format!(
                "none of the {codes} codes that it showed was scanned, and it shows {codes_max}"
            )),
            _ => None,
        };
        let last_line = self.slot.log.take_last_line();
        let reason = match (&order, &by_itself, last_line) {
            (Some(Order::Stop), ..) => "it was stopped".to_owned(),
            (Some(Order::Restart(reason)), ..) => reason.clone(),
            (_, Some(reason), _) | (Some(Order::Kill(reason)), None, _) => reason.clone(),
            (Some(Order::Start) | None, None, Some(line)) => format!("{how}: {line}"),
            (Some(Order::Start) | None, None, None) => how,
        };
        End {
            up,
            order,
            by_itself,
            reason,
        }
    }

    /// The process that comes next; none when the client is over or forgotten.
    async fn next(&mut self, mut end: End) -> Option<Launched> {
        loop {
            match self.after(&end) {
                After::Again(wait) if self.waited(wait).await => {}
                After::Again(_) | After::Forget => {
                    self.shared.forget(&self.slot);
                    return None;
                }
                After::Rest => {
                    self.stopped().await;
                    self.shared.forget(&self.slot);
                    return None;
                }
                After::Over(failed, reason) => {
                    self.told_anything().await;
                    if self.shared.over(&self.slot, failed, &reason) {
                        return None;
                    }
                    end.order = self.slot.take_order();
                    continue;
                }
            }
            if self.shared.is_closed() {
                continue;
            }
            self.slot.counts_restart();
            match self.launch().await {
                Ok(launched) => return Some(launched),
                Err(error) => end = self.not_started(&error),
            }
        }
    }

    fn after(&mut self, end: &End) -> After {
        match (&end.order, &end.by_itself) {
            (Some(Order::Stop), _) => return After::Forget,
            _ if self.shared.is_closed() => return After::Rest,
            (Some(Order::Start | Order::Restart(_)), _) => {
                self.crashes = Crashes::default();
                return After::Again(Duration::ZERO);
            }
            // It was about to end by itself when it was killed.
            (Some(Order::Kill(_)) | None, Some(reason)) => {
                return After::Over(false, reason.clone());
            }
            (Some(Order::Kill(_)) | None, None) => {}
        }
        let up_ms = end.up.as_millis() as u64;
        let policy = &self.shared.setup.policy.restart;
        match self.crashes.note(policy, up_ms, fastrand::f64()) {
            Verdict::Again(wait_ms) => After::Again(Duration::from_millis(wait_ms)),
            Verdict::GiveUp(times) => {
                let reason = &end.reason;
                After::Over(
                    true,
                    format!("it ended {} times in a row: {reason}", times + 1),
                )
            }
        }
    }

    /// Waits a moment for an order, and for the host's own end.
    async fn told_anything(&self) {
        let told = async {
            while !self.slot.has_order() {
                self.slot.ordered().await;
            }
        };
        let _ = timeout(TOLD_TOGETHER, told).await;
    }

    /// Waits until it is to be forgotten: nothing else is carried out any more.
    async fn stopped(&self) {
        while self.slot.take_order() != Some(Order::Stop) {
            self.slot.ordered().await;
        }
    }

    /// Waits before the next start. False when it is not to be started any more. Whoever
    /// orders a start takes it for mended, so the crashes before count no more.
    async fn waited(&mut self, wait: Duration) -> bool {
        let at_ms = self.shared.now() + wait.as_millis() as u64;
        self.slot.waits(at_ms);
        let mut over = pin!(sleep(wait));
        loop {
            match self.slot.take_order() {
                Some(Order::Stop) => return false,
                Some(Order::Start | Order::Restart(_)) => {
                    self.crashes = Crashes::default();
                    return true;
                }
                // It was meant for a process that is no more.
                Some(Order::Kill(_)) | None if over.is_elapsed() => return true,
                Some(Order::Kill(_)) | None => {}
            }
            tokio::select! {
                () = &mut over => {}
                () = self.slot.ordered() => {}
            }
        }
    }

    fn not_started(&self, error: &StartError) -> End {
        let reason = error.to_string();
        let at_ms = self.shared.now();
        tracing::warn!(client = %self.slot.name, %reason, "a client can't be started");
        self.slot.not_started(ProcessEnd {
            at_ms,
            reason: reason.clone(),
        });
        End {
            up: Duration::ZERO,
            order: self.slot.take_order(),
            by_itself: None,
            reason,
        }
    }
}
