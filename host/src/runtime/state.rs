//! What the host holds for one call: its limits and what the guest asked for.

use std::{
    any::Any,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{
    WasiCtx, WasiCtxView, WasiView,
    p2::{DynInputStream, DynOutputStream, DynPollable},
};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::{
    Limits,
    buckets::{Buckets, Which},
    egress::Outgoing,
    invoke::Host,
    output::Output,
    ticker::TICK,
    timers::Timers,
};
use crate::domain::{
    AccountId, Action, ClientKind, Deployment, HandlerName, Millis, TaskId, TaskNumber, Usage,
    action::Refused,
    bucket::{SHARED_READ_BYTES_MAX, SHARED_READS_MAX},
    callback::{self, Verdict},
    endpoint::EndpointPolicy,
    handler::{FailureKind, Used},
    ports::{ActionCheck, Answer, Ask, Call, Effects, Store, StoreError},
};

/// What is counted for a task beside its action: its id and origin (two names
/// and an event's key), its state, its times, and its number in the event's record.
const TASK_BYTES: usize = 1024;

/// Random bytes of one call. Keys and seeds need some dozens; the 64 MiB that
/// wasmtime allows take a core for longer than a tick, and memory of the host's.
const RANDOM_BYTES_MAX: u64 = 64 * 1024;

/// Headers of `wasi:http` that a guest puts together, in bytes: it may hold
/// `call_handles` times as much.
const FIELDS_BYTES_MAX: usize = 16 * 1024;

/// Why the host stopped a guest. Travels through wasmtime as the error of a
/// host call and is found again in `invoke`.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Stopped {
    /// It went over a limit.
    #[error("{1}")]
    Limit(FailureKind, String),
    /// The store failed while the guest read from it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nobody waits for what it does any more.
    #[error("nobody waits for it any more")]
    Gone,
}

/// What a guest can be called for.
pub trait Errand: Send + 'static {
    /// Which guest, with its configuration.
    fn deployment(&self) -> &Arc<Deployment>;

    /// Whose key-value store it has.
    fn account(&self) -> &AccountId;

    /// Whether nothing that it asks for is done: it is only tried.
    fn is_trial(&self) -> bool;

    /// What its bucket may come to.
    fn bucket_max(&self, limits: &Limits) -> Usage;

    /// Whether it may open the bucket that all accounts of the handler share.
    fn may_share(&self) -> bool;

    /// Which bucket it gets that names none.
    fn default_bucket(&self) -> Which {
        Which::Own
    }

    /// How long it may take in all.
    fn wall(&self, limits: &Limits, _: &EndpointPolicy) -> Duration {
        limits.call_wall()
    }
}

/// A call that can act for an account.
pub trait Acts: Errand {
    /// Whom it acts for at the moment, and what kind of client that account has.
    fn actor(&self) -> Option<(&AccountId, ClientKind)>;

    /// Where an answer goes, if anything is to be answered.
    fn conversation(&self) -> Option<String>;

    /// Whom it acts for at the moment.
    fn account_acted_for(&self) -> Option<&AccountId> {
        self.actor().map(|(account, _)| account)
    }
}

impl Errand for Call {
    fn deployment(&self) -> &Arc<Deployment> {
        &self.bot
    }

    fn account(&self) -> &AccountId {
        &self.event.account
    }

    fn is_trial(&self) -> bool {
        self.is_trial
    }

    fn bucket_max(&self, limits: &Limits) -> Usage {
        limits.buckets().own
    }

    fn may_share(&self) -> bool {
        self.bot.version.manifest.shared_bucket
    }
}

impl Acts for Call {
    fn actor(&self) -> Option<(&AccountId, ClientKind)> {
        Some((&self.event.account, self.client))
    }

    fn conversation(&self) -> Option<String> {
        self.event.answers_to().map(str::to_owned)
    }
}

/// What a callback component is asked, and the one account that all of them have.
pub struct CallbackErrand {
    /// The question.
    pub ask: Ask,
    bucket: AccountId,
}

impl CallbackErrand {
    pub fn new(ask: Ask) -> Self {
        let bucket = AccountId::callback();
        Self { ask, bucket }
    }
}

impl Errand for CallbackErrand {
    fn deployment(&self) -> &Arc<Deployment> {
        &self.ask.component
    }

    fn account(&self) -> &AccountId {
        &self.bucket
    }

    /// Its world has no requests that would have to be held back.
    fn is_trial(&self) -> bool {
        false
    }

    fn bucket_max(&self, _: &Limits) -> Usage {
        callback::BUCKET_MAX
    }

    /// It serves no account, so nobody shares it with another.
    fn may_share(&self) -> bool {
        false
    }
}

/// The data of one wasmtime store, and so of one call: of a bot unless it says
/// otherwise.
pub struct CallState<E: Errand = Call> {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    /// Its requests to other systems.
    pub outgoing: Outgoing,
    /// The limits in force.
    pub limits: Arc<Limits>,
    check: ActionCheck,
    /// What is being handled.
    pub call: E,
    /// Where the guest's reads go.
    pub store: Arc<dyn Store>,
    /// What the guest logs and prints.
    pub output: Output,
    /// When the call will be stopped.
    pub deadline_ms: Millis,
    /// Ticks that passed while the guest computed.
    pub ticks: u64,
    tasks: Vec<(TaskId, Action)>,
    /// How many tasks were handed on before the call's end.
    tasks_handed_on: usize,
    /// What the guest did with its buckets.
    pub(super) buckets: Buckets,
    /// The bot's timers for the account, as it sees them.
    pub timers: Timers,
    /// The last key of each page of keys that the guest may continue after.
    key_cursors: Vec<String>,
    /// What tasks, writes and timers come to, as they are stored.
    effects_bytes: usize,
    began: Instant,
    host_calls: u32,
    memory_bytes: usize,
    /// A request for memory was refused: explains the trap that follows.
    pub memory_refused: bool,
}

impl<E: Errand> CallState<E> {
    pub fn new(host: Host, call: E) -> Self {
        let limits = host.limits_of(call.deployment());
        let output = Output::new(limits.call_log_bytes, host.store.now());
        Self::with(host, call, limits, output)
    }

    /// Begins another call in the same instance. All is as for a first one but for what
    /// the guest's own memory may refer to: its standard streams, which are in the table
    /// and lead to this call's output, and how much memory it has.
    pub fn renew(&mut self, host: Host, call: E) {
        let limits = host.limits_of(call.deployment());
        let output = self.output.clone();
        output.begin_anew(limits.call_log_bytes, host.store.now());
        let new = Self::with(host, call, limits, output);
        let former = std::mem::replace(self, new);
        let handles_max = self.table.max_capacity();
        self.wasi = former.wasi;
        self.table = former.table;
        self.table.set_max_capacity(handles_max);
        self.memory_bytes = former.memory_bytes;
    }

    /// Whether the instance can serve another call without anything of this one: the guest
    /// holds nothing but standard streams, and was refused no memory. One that has half
    /// of its memory begins anew before it has none.
    pub fn is_fit_for_another(&mut self) -> bool {
        let half = usize::try_from(self.limits.call_memory_bytes / 2).unwrap_or(usize::MAX);
        !self.memory_refused
            && self.memory_bytes <= half
            && self.table.iter_mut().all(is_standard_stream)
    }

    /// What its linear memories come to.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_bytes as u64
    }

    fn with(host: Host, call: E, limits: Arc<Limits>, output: Output) -> Self {
        let Host {
            limits: _,
            store,
            check,
            egress,
            endpoints,
        } = host;
        let wall = call.wall(&limits, &endpoints);
        let wasi = WasiCtx::builder()
            .stdout(output.clone())
            .stderr(output.stderr())
            .allow_tcp(false)
            .allow_udp(false)
            .max_random_size(RANDOM_BYTES_MAX)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.call_handles as usize);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(FIELDS_BYTES_MAX);
        let outgoing = Outgoing::new(
            egress,
            Arc::clone(call.deployment()),
            call.is_trial(),
            output.clone(),
            wall,
        );
        let deadline_ms = store.now() + wall.as_millis() as Millis;
        Self {
            wasi,
            http,
            outgoing,
            table,
            limits,
            check,
            call,
            store,
            output,
            deadline_ms,
            ticks: 0,
            tasks: Vec::new(),
            tasks_handed_on: 0,
            buckets: Buckets::default(),
            timers: Timers::default(),
            key_cursors: Vec::new(),
            effects_bytes: 0,
            began: Instant::now(),
            host_calls: 0,
            memory_bytes: 0,
            memory_refused: false,
        }
    }

    /// Counts a host call, and stops the guest at the limit. Every function of
    /// `imports/` begins with it.
    ///
    /// WASI's own functions are not counted. They can't hold up other accounts:
    /// the epoch interrupts the guest between them, each time lets other calls
    /// run, and ends it at its time; and one of them alone is short, since
    /// everything that makes it long is bounded: random bytes and what a write
    /// makes of a number (both 64 KiB), what the guest hands over (4 MiB, so the
    /// list of `poll` has some hundred thousand entries of at most
    /// `call_handles` pollables, some ms), and the handles. There are no files,
    /// directories or sockets to open; requests of `wasi:http` are counted by
    /// [`Outgoing`].
    pub fn enter(&mut self) -> Result<(), Stopped> {
        self.host_calls += 1;
        if self.host_calls > self.limits.call_host_calls {
            let message = format!("more than {} host calls", self.limits.call_host_calls);
            return Err(Stopped::Limit(FailureKind::HostCalls, message));
        }
        Ok(())
    }

    /// What the effects come to with this instead of that, if it may be.
    fn effects_with(&self, instead_of: usize, bytes: usize) -> Result<usize, NotTaken> {
        let limit = self.limits.call_effects_bytes;
        let sum = self.effects_bytes.saturating_sub(instead_of) + bytes;
        if sum > limit as usize {
            return Err(NotTaken::TooLarge(limit));
        }
        Ok(sum)
    }

    /// What the call has used so far.
    pub fn used(&self) -> Used {
        Used {
            wall_us: self.began.elapsed().as_micros() as u64,
            cpu_ms: self.ticks * TICK.as_millis() as u64,
            memory_bytes: self.memory_bytes as u64,
            host_calls: self.host_calls,
        }
    }

    /// Counts so many bytes more as effects, instead of those.
    pub fn take_effects(&mut self, instead_of: usize, bytes: usize) -> Result<(), NotTaken> {
        self.effects_bytes = self.effects_with(instead_of, bytes)?;
        Ok(())
    }

    /// The handler that runs.
    pub fn handler(&self) -> &HandlerName {
        &self.call.deployment().handler
    }

    /// Resources that the guest holds.
    pub fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    /// A cursor that stands for this key until the call ends.
    pub fn new_key_cursor(&mut self, key: String) -> u64 {
        self.key_cursors.push(key);
        self.key_cursors.len() as u64
    }

    /// The key that a cursor stands for.
    pub fn key_cursor(&self, cursor: u64) -> Option<&str> {
        let index = usize::try_from(cursor).ok()?.checked_sub(1)?;
        self.key_cursors.get(index).map(String::as_str)
    }
}

impl<E: Acts> CallState<E> {
    /// Takes on an action and gives its task an id. What can't be done is the
    /// guest's to handle.
    pub fn act(&mut self, action: Action) -> Result<TaskId, NotTaken> {
        self.act_all(vec![action])
    }

    /// Takes on all of these or none, and gives the last one's id.
    pub fn act_all(&mut self, actions: Vec<Action>) -> Result<TaskId, NotTaken> {
        let Some((account, client)) = self.call.actor() else {
            return Err(NotTaken::NoAccount);
        };
        let account = account.clone();
        for action in &actions {
            (self.check)(client, action)?;
        }
        self.check_tasks_room(actions.len())?;
        let bytes = actions.iter().map(task_bytes).sum();
        self.effects_bytes = self.effects_with(0, bytes)?;
        let count = actions.len() as u64;
        let TaskNumber(first) = self.store.reserve(count as u32);
        let id = |number| TaskId {
            account: account.clone(),
            number: TaskNumber(number),
        };
        self.tasks.extend((first..).map(id).zip(actions));
        Ok(id(first + count.saturating_sub(1)))
    }

    /// Whether this many more tasks may be asked for.
    pub fn check_tasks_room(&self, more: usize) -> Result<(), NotTaken> {
        let limit = self.limits.call_tasks;
        let asked_for = self.tasks_handed_on + self.tasks.len();
        if asked_for.saturating_add(more) > limit as usize {
            return Err(NotTaken::TooMany(limit));
        }
        Ok(())
    }

    /// What was asked for since this was called last. It counts towards the limits of
    /// the call all the same.
    pub fn take_tasks(&mut self) -> Vec<(TaskId, Action)> {
        self.tasks_handed_on += self.tasks.len();
        std::mem::take(&mut self.tasks)
    }
}

impl CallState {
    /// Takes what the bot asked for.
    pub fn take_asked(&mut self) -> Effects {
        let handler = self.handler().clone();
        Effects {
            tasks: std::mem::take(&mut self.tasks)
                .into_iter()
                .map(|(id, action)| (id.number, action))
                .collect(),
            timers: std::mem::take(&mut self.timers).into_changes(&handler),
            output: self.output.tail(),
            lines: self.output.take_lines(),
            used: self.used(),
            key_values: self.take_writes(),
            shared: self.take_shared(),
        }
    }
}

impl CallState<CallbackErrand> {
    /// What the component decided, and what it wrote.
    pub fn into_answer(mut self, verdict: Verdict) -> Answer {
        Answer {
            verdict,
            output: self.output.tail(),
            lines: self.output.take_lines(),
            used: self.used(),
            key_values: self.take_writes(),
        }
    }
}

/// Whether this is one of the streams that a guest's runtime opens once and keeps, or what
/// it waits for one with. Streams of anything else have that in the table as well.
fn is_standard_stream(held: &mut (dyn Any + Send)) -> bool {
    held.is::<DynInputStream>() || held.is::<DynOutputStream>() || held.is::<DynPollable>()
}

fn task_bytes(action: &Action) -> usize {
    // Only counted, not kept. An action is plain data: there is no error.
    let mut count = Counted(0);
    let _ = serde_json::to_writer(&mut count, action);
    count.0 + TASK_BYTES
}

/// Counts what is written to it.
struct Counted(usize);

impl io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Why a request of the guest is not taken on.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// The account can't do it, or it is malformed.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Nobody was chosen whom to act for.
    #[error("choose the account first: `acting.act-for` of wxhost:endpoint")]
    NoAccount,
    /// The call asked for too much.
    #[error("at most {0} of these may be asked for in one call")]
    TooMany(u32),
    /// What the call asked for comes to too many bytes.
    #[error(
        "all that one call asks for may have at most {0} bytes together \
         (limits.call_effects_bytes)"
    )]
    TooLarge(u32),
    /// Too many keys of the shared bucket.
    #[error(
        "one call may read at most {SHARED_READS_MAX} keys and {SHARED_READ_BYTES_MAX} bytes of \
         the shared bucket"
    )]
    TooManyReads,
    /// A key or a value that no bucket takes, and why.
    #[error("{0}")]
    BadEntry(String),
    /// The bucket has no room for it; how much it would come to.
    #[error("{0}")]
    Full(String),
}

impl<E: Errand> WasiView for CallState<E> {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl<E: Errand> WasiHttpView for CallState<E> {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.outgoing,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}

impl<E: Errand> wasmtime::ResourceLimiter for CallState<E> {
    /// All linear memories of the call together stay within its limit.
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self
            .memory_bytes
            .saturating_sub(current)
            .saturating_add(desired);
        let limit = usize::try_from(self.limits.call_memory_bytes).unwrap_or(usize::MAX);
        if total > limit {
            self.memory_refused = true;
            return Ok(false);
        }
        self.memory_bytes = total;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let fits = desired <= self.limits.call_table_elements as usize;
        self.memory_refused |= !fits;
        Ok(fits)
    }
}

#[cfg(test)]
mod tests;
