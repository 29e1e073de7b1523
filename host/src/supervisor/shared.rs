//! The table of clients: who is known, who begins, who is forgotten.
//!
//! Whoever adds, removes, begins or ends a client holds the table's lock, so that a
//! name never has two processes.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::AtomicU64},
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};

use super::{
    Setup,
    actor::Actor,
    api::Api,
    directory,
    files::Paths,
    leftovers::{self, Leftovers},
    locked,
    log::Log,
    records, sample, slot,
    slot::Order,
    slot::Slot,
    spawner::Spawner,
    starts,
    watch::Watcher,
};
use crate::domain::{
    ClientName, Millis,
    client::{ClientStatus, Phase, StartId, Wanted},
    ports::StartError,
};

/// How much longer than it may take to end a client is waited for: what it left is
/// looked for, and its log is read to the end.
const END_GRACE: Duration = Duration::from_secs(5);

/// Where what is being removed lies: an earlier host may have been killed meanwhile.
const GONE: &str = "clients/.gone";

/// What all clients share.
#[derive(Debug)]
pub struct Shared {
    pub setup: Arc<Setup>,
    pub spawner: Spawner,
    pub watcher: Watcher,
    pub api: Api,
    pub leftovers: Leftovers,
    table: Mutex<Table>,
    /// A client was added, or the host ends.
    added: Notify,
    listed: Arc<Notify>,
    list: Mutex<Option<JoinHandle<()>>>,
    revisions: Arc<AtomicU64>,
    /// Holds the directory.
    _lock: fs::File,
}

#[derive(Debug, Default)]
struct Table {
    slots: BTreeMap<ClientName, Arc<Slot>>,
    /// The host is about to end: none is started any more.
    closed: bool,
    /// All are told to end.
    ending: bool,
}

/// What is to be done about a start.
enum Claim {
    /// Its actor can begin; what was known before, if it had none.
    Begin(Arc<Slot>, Option<Arc<ClientStatus>>),
    /// It has to be waited for.
    Wait(Arc<Slot>),
}

impl Shared {
    /// Makes the directories and the files for scripts, and kills what an earlier
    /// host has left. Blocks.
    pub fn open(setup: Setup) -> io::Result<Arc<Self>> {
        let places = &setup.places;
        let lock = directory::hold(places)?;
        starts::prepare(places)?;
        let killed = leftovers::kill_all(places);
        if killed > 0 {
            tracing::warn!(killed, "processes that an earlier host left were killed");
        }
        let _ = fs::remove_dir_all(places.tmpdir.join(GONE));
        records::write_pid(places)?;
        let shared = Arc::new(Self {
            spawner: Spawner::start()?,
            watcher: Watcher::start(),
            api: Api::new(),
            leftovers: Leftovers::start(places.tmpdir.clone()),
            setup: Arc::new(setup),
            table: Mutex::default(),
            added: Notify::new(),
            listed: Arc::new(Notify::new()),
            list: Mutex::default(),
            revisions: Arc::default(),
            _lock: lock,
        });
        let weak = Arc::downgrade(&shared);
        let list = records::keep_list(weak, Arc::clone(&shared.listed));
        *locked(&shared.list) = Some(tokio::spawn(list));
        tokio::spawn(sample::keep_sampling(
            Arc::downgrade(&shared),
            shared.setup.check_interval(),
        ));
        Ok(shared)
    }

    /// The time.
    pub fn now(&self) -> Millis {
        (self.setup.clock)()
    }

    /// One client.
    pub fn slot(&self, name: &ClientName) -> Option<Arc<Slot>> {
        locked(&self.table).slots.get(name).cloned()
    }

    /// All of them, ordered by name.
    pub fn all(&self) -> Vec<Arc<ClientStatus>> {
        let table = locked(&self.table);
        let all = table.slots.values();
        all.filter_map(|slot| slot.status()).collect()
    }

    /// All that have a process: which start it is, and its id.
    pub fn alive(&self) -> Vec<(Arc<Slot>, StartId, u32)> {
        let table = locked(&self.table);
        let facts = |slot: &Arc<Slot>| Some((slot.clone(), slot.facts()?));
        let alive = table.slots.values().filter_map(facts);
        alive
            .map(|(slot, facts)| (slot, facts.start, facts.writer.pid))
            .collect()
    }

    /// Whether the host is ending.
    pub fn is_ending(&self) -> bool {
        locked(&self.table).ending
    }

    /// Whether the host is ending or about to.
    pub fn is_closed(&self) -> bool {
        locked(&self.table).closed
    }

    /// None is started from now on. Whose process ends waits until the host ends.
    pub fn stop_starting(&self) {
        locked(&self.table).closed = true;
    }

    /// The list for scripts is another.
    pub fn list_changed(&self) {
        self.listed.notify_one();
    }

    /// Starts a client.
    pub async fn start(self: &Arc<Self>, wanted: Wanted) -> Result<Arc<ClientStatus>, StartError> {
        loop {
            match self.claim(&wanted)? {
                Claim::Begin(slot, before) => return self.begin(slot, wanted, before).await,
                Claim::Wait(slot) => self.wait_for(&slot).await?,
            }
        }
    }

    fn claim(&self, wanted: &Wanted) -> Result<Claim, StartError> {
        let mut table = locked(&self.table);
        if table.closed {
            return Err(StartError::Ending);
        }
        let known = table.slots.get(&wanted.name).cloned();
        let Some((slot, status)) = known.and_then(|slot| Some((slot.clone(), slot.status()?)))
        else {
            let slot = self.add(&mut table, wanted);
            return Ok(Claim::Begin(slot, None));
        };
        match status.phase {
            Phase::Stopping => Ok(Claim::Wait(slot)),
            // It is being started.
            Phase::Spawned if status.pid.is_none() => Ok(Claim::Wait(slot)),
            _ if slot::is_idle(&status) => {
                slot.begin(wanted, self.now());
                Ok(Claim::Begin(slot, Some(status)))
            }
            _ => Err(StartError::Exists(status)),
        }
    }

    fn add(&self, table: &mut Table, wanted: &Wanted) -> Arc<Slot> {
        let dir = self.setup.places.log_dir(&wanted.name);
        let log = Log::new(dir, self.setup.policy.log_bytes_max);
        let revisions = Arc::clone(&self.revisions);
        let slot = Slot::new(wanted, Arc::new(log), revisions, self.now());
        table.slots.insert(wanted.name.clone(), Arc::clone(&slot));
        self.added.notify_one();
        slot
    }

    async fn begin(
        self: &Arc<Self>,
        slot: Arc<Slot>,
        wanted: Wanted,
        before: Option<Arc<ClientStatus>>,
    ) -> Result<Arc<ClientStatus>, StartError> {
        let (started, answer) = oneshot::channel();
        let actor = Actor::new(Arc::clone(self), slot, wanted);
        // Of its own, so that nobody who gives up waiting leaves it half started.
        tokio::spawn(actor.live(before, started));
        answer.await.unwrap_or(Err(StartError::Ending))
    }

    /// Waits until a client that ends or begins has done so.
    async fn wait_for(&self, slot: &Slot) -> Result<(), StartError> {
        let Some(now) = slot.status() else {
            return Ok(());
        };
        let done = slot
            .when(|status| status.phase != now.phase || status.pid.is_some() && now.pid.is_none());
        match timeout(self.end_time(), done).await {
            Ok(_) => Ok(()),
            Err(_) => {
                let problem = "the process before it does not end".to_owned();
                Err(StartError::Spawn(problem))
            }
        }
    }

    fn end_time(&self) -> Duration {
        Duration::from_millis(self.setup.policy.stop_ms) + END_GRACE
    }

    /// The first start of a client has failed.
    pub fn not_started(&self, slot: &Arc<Slot>, before: Option<Arc<ClientStatus>>) {
        let mut table = locked(&self.table);
        match before {
            Some(before) if slot.phase() != Some(Phase::Stopping) => slot.put_back(&before),
            _ => self.remove(&mut table, slot),
        }
    }

    /// Knows a client that is over.
    pub fn keep(&self, wanted: &Wanted) {
        let mut table = locked(&self.table);
        let Some(slot) = self.idle(&mut table, wanted) else {
            return;
        };
        let over = wanted.over.as_ref();
        let failed = over.is_some_and(|over| over.failed);
        let reason = over.map_or("", |over| &over.reason);
        let at_ms = over.map_or_else(|| self.now(), |over| over.at_ms);
        slot.begin(wanted, at_ms);
        slot.over(failed, reason, at_ms);
    }

    /// Knows a client that is started later.
    pub fn put_off(&self, wanted: &Wanted, next_start_ms: Millis, reason: String) {
        let mut table = locked(&self.table);
        if let Some(slot) = self.idle(&mut table, wanted) {
            slot.put_off(wanted, next_start_ms, reason, self.now());
        }
    }

    /// A client without an actor, be it a new one.
    fn idle(&self, table: &mut Table, wanted: &Wanted) -> Option<Arc<Slot>> {
        match table.slots.get(&wanted.name) {
            None => Some(self.add(table, wanted)),
            Some(slot) => slot.is_idle().then(|| Arc::clone(slot)),
        }
    }

    /// Has a client end.
    pub fn stop(&self, name: &ClientName) -> Option<Arc<ClientStatus>> {
        let mut table = locked(&self.table);
        let slot = table.slots.get(name).cloned()?;
        let idle = slot.is_idle();
        slot.stop(self.now());
        let status = slot.status();
        if idle {
            self.remove(&mut table, &slot);
        }
        status
    }

    /// Has a client's process end and starts another one.
    pub fn restart(self: &Arc<Self>, name: &ClientName, reason: &str) -> Option<Arc<ClientStatus>> {
        let table = locked(&self.table);
        let slot = table.slots.get(name).cloned()?;
        let status = slot.status()?;
        if !slot::is_idle(&status) {
            slot.order(Order::Restart(reason.to_owned()));
            return slot.status();
        }
        if table.closed {
            return Some(status);
        }
        let wanted = Wanted {
            name: name.clone(),
            template: status.template.clone(),
            parameters: status.parameters.clone(),
            asked_ms: self.now(),
            over: None,
        };
        slot.begin(&wanted, self.now());
        let (started, _) = oneshot::channel();
        let actor = Actor::new(Arc::clone(self), Arc::clone(&slot), wanted);
        tokio::spawn(actor.live(Some(status), started));
        slot.status()
    }

    /// A client is over, unless something was ordered in the last moment, or the host
    /// is about to end.
    pub fn over(&self, slot: &Slot, failed: bool, reason: &str) -> bool {
        let table = locked(&self.table);
        if slot.has_order() || table.closed {
            return false;
        }
        slot.over(failed, reason, self.now());
        true
    }

    /// A client has ended, and is known no more.
    pub fn forget(&self, slot: &Arc<Slot>) {
        self.remove(&mut locked(&self.table), slot);
    }

    /// Forgets a client, and no other one that has its name by now.
    fn remove(&self, table: &mut Table, slot: &Arc<Slot>) {
        let known = table.slots.get(&slot.name);
        if known.is_some_and(|known| Arc::ptr_eq(known, slot)) {
            // The next host starts those that end with this one.
            if !table.ending {
                self.clear_away(slot);
            }
            table.slots.remove(&slot.name);
        }
        slot.forget();
    }

    /// Removes what only a client that is known needs. It is out of the way of the
    /// next one of this name when this returns, and gone soon.
    fn clear_away(&self, slot: &Slot) {
        let Some(status) = slot.status() else {
            return;
        };
        let places = &self.setup.places;
        let dir = places.client_dir(&slot.name);
        let keeps = Paths::new(&dir, &slot.name, &status.parameters).can_log_in_again();
        let aside = places.tmpdir.join(GONE).join(status.revision.to_string());
        let mut moved = fs::create_dir_all(&aside);
        if !keeps {
            moved = moved.and(put_aside(&dir, aside.join("dir")));
        }
        moved = moved.and(put_aside(&places.log_dir(&slot.name), aside.join("log")));
        if let Err(error) = moved {
            let client = &slot.name;
            tracing::warn!(%client, %error, "what a client has left can't be removed");
        }
        spawn_blocking(move || fs::remove_dir_all(aside));
    }

    /// The next client that nobody was told of.
    pub async fn next_new(&self) -> Option<ClientName> {
        loop {
            {
                let table = locked(&self.table);
                if let Some(slot) = table.slots.values().find(|slot| slot.announce()) {
                    return Some(slot.name.clone());
                }
                if table.ending {
                    return None;
                }
            }
            self.added.notified().await;
        }
    }

    /// Ends all clients, and removes the files for scripts.
    pub async fn end(&self) {
        let slots: Vec<Arc<Slot>> = {
            let mut table = locked(&self.table);
            (table.closed, table.ending) = (true, true);
            table.slots.values().cloned().collect()
        };
        self.added.notify_one();
        self.list_changed();
        for slot in &slots {
            self.stop(&slot.name);
        }
        let all_gone = async {
            for slot in &slots {
                slot.forgotten().await;
            }
        };
        if timeout(self.end_time(), all_gone).await.is_err() {
            tracing::error!("not all clients have ended in time");
        }
        let list = locked(&self.list).take();
        if let Some(list) = list {
            // What it writes would come back after its removal.
            let _ = list.await;
        }
        let places = self.setup.places.clone();
        let adopted = self.setup.launcher.is_some();
        let children = self.setup.children.clone();
        let _ = spawn_blocking(move || {
            leftovers::kill_all(&places);
            if adopted {
                children.sweep(&places.tmpdir);
            }
            records::remove(&places);
        })
        .await;
    }
}

/// Moves a directory away, if there is one.
fn put_aside(from: &Path, to: PathBuf) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        moved => moved,
    }
}
