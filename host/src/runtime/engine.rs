//! The wasmtime engine, its pool, its clock, and the room in front of it.

use std::{sync::Arc, time::Duration};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use wasmtime::{
    Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig,
    component::{HasSelf, Linker},
};

use super::{
    Limits, bindings, requests,
    shares::Shares,
    slow::SlowLane,
    state::{CallState, CallbackErrand, Errand},
    ticker::Ticker,
};
use crate::domain::{
    HandlerName,
    handler::CallLimit,
    ports::{CallError, ComponentError},
};

/// Memory of a slot that is wiped and kept instead of given back: what most
/// guests touch. Only worth it where the kernel can say which pages were
/// touched (Linux 6.7), else wiping costs more than it saves. For memories and
/// tables alike: without the tables' share the Rust echo bot reaches a third of
/// its speed, the JavaScript one two thirds.
const KEEP_RESIDENT_BYTES: usize = 1024 * 1024;

/// Core instances of one component: Python's runtime has 38.
const CORE_INSTANCES_PER_CALL: u32 = 48;
/// Linear memories of one component.
const MEMORIES_PER_CALL: u32 = 4;
/// Tables of one component.
const TABLES_PER_CALL: u32 = 16;

/// The engine with everything that is linked into guests.
pub struct Engine {
    pub wasm: wasmtime::Engine,
    /// For bots.
    pub linker: Linker<CallState>,
    /// For callback components, which act for no account.
    pub callback_linker: Linker<CallState<CallbackErrand>>,
    /// Where calls go on that compute for long.
    pub slow: SlowLane,
    room: Arc<Semaphore>,
    /// Room for the calls of one handler: never all of it, so that a bot that
    /// waits in every call leaves some for the others.
    shares: Shares,
    ticker: Ticker,
}

/// Room for one call, given back when it is dropped. By then the call's instance is gone.
pub struct Room(#[expect(dead_code, reason = "held")] [OwnedSemaphorePermit; 2]);

impl Engine {
    /// Builds the engine. Fails when the machine can't give the pool its
    /// address space.
    pub fn new(limits: &Limits) -> Result<Self, ComponentError> {
        let wasm = wasmtime::Engine::new(&config(limits)).map_err(host_error)?;
        let linker = bot_linker(&wasm).map_err(host_error)?;
        let callback_linker = common_linker(&wasm).map_err(host_error)?;
        let no_thread = |error: std::io::Error| ComponentError::Host(error.to_string());
        let slow = SlowLane::open().map_err(no_thread)?;
        let places = limits.concurrent_calls as usize;
        let room = Arc::new(Semaphore::new(places));
        let free = Arc::clone(&room);
        let is_called = move || free.available_permits() < places;
        let ticker = Ticker::start(&wasm, is_called).map_err(no_thread)?;
        Ok(Self {
            wasm,
            linker,
            callback_linker,
            slow,
            room,
            shares: Shares::new((places / 2).max(1)),
            ticker,
        })
    }

    /// Waits for room for one more call of this handler. The pool itself does
    /// not queue: without this, the call after the last would fail at once.
    pub async fn room(&self, handler: &HandlerName, wait: Duration) -> Result<Room, CallError> {
        let share = self.shares.of(handler);
        let both = async {
            let own = share.acquire_owned().await;
            let common = Arc::clone(&self.room).acquire_owned().await;
            Ok::<_, AcquireError>(Room([own?, common?]))
        };
        match tokio::time::timeout(wait, both).await {
            Ok(Ok(room)) => {
                self.ticker.call_begins();
                Ok(room)
            }
            Ok(Err(_)) | Err(_) => Err(CallError::Busy {
                waited_ms: wait.as_millis() as u64,
            }),
        }
    }

    /// Forgets the shares of handlers that nobody calls at the moment.
    pub fn forget_shares(&self) {
        self.shares.forget_idle();
    }
}

fn host_error(error: wasmtime::Error) -> ComponentError {
    ComponentError::Host(format!("{error:#}"))
}

fn config(limits: &Limits) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        // Guests use the synchronous ABI; doing without saves a third of the
        // cost of a call.
        .concurrency_support(false)
        .epoch_interruption(true)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits)));
    config
}

fn pool(limits: &Limits) -> PoolingAllocationConfig {
    // Each with the most that a component may have: a place among these is always a place
    // in the pool, whatever the others run.
    let live = limits
        .concurrent_calls
        .saturating_add(limits.warm_instances);
    let memory_bytes = limits.ceiling(CallLimit::MemoryBytes);
    let table_elements = limits.ceiling(CallLimit::TableElements);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(live)
        .total_core_instances(live.saturating_mul(CORE_INSTANCES_PER_CALL))
        .total_memories(live.saturating_mul(MEMORIES_PER_CALL))
        .total_tables(live.saturating_mul(TABLES_PER_CALL))
        .total_stacks(live)
        .max_core_instances_per_component(CORE_INSTANCES_PER_CALL)
        .max_memories_per_component(MEMORIES_PER_CALL)
        .max_tables_per_component(TABLES_PER_CALL)
        .max_memory_size(usize::try_from(memory_bytes).unwrap_or(usize::MAX))
        .table_elements(usize::try_from(table_elements).unwrap_or(usize::MAX));
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Yes)
            .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
            .table_keep_resident(KEEP_RESIDENT_BYTES);
    }
    pool
}

/// Links what both worlds import, one by one, and all of WASI p2: the runtimes of
/// JavaScript and Python import more of it than they use. Its contexts are empty:
/// no files, no sockets, no environment.
fn common_linker<E: Errand>(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<CallState<E>>> {
    use bindings::wasi;

    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    let l = &mut linker;
    wasi::keyvalue::store::add_to_linker::<_, HasSelf<CallState<E>>>(l, itself)?;
    wasi::keyvalue::atomics::add_to_linker::<_, HasSelf<CallState<E>>>(l, itself)?;
    wasi::keyvalue::batch::add_to_linker::<_, HasSelf<CallState<E>>>(l, itself)?;
    wasi::config::store::add_to_linker::<_, HasSelf<CallState<E>>>(l, itself)?;
    wasi::logging::logging::add_to_linker::<_, HasSelf<CallState<E>>>(l, itself)?;
    Ok(linker)
}

fn itself<T>(state: &mut T) -> &mut T {
    state
}

/// Links every interface of world `bot`.
fn bot_linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<CallState>> {
    use bindings::wxhost::bot;
    type Own = HasSelf<CallState>;

    let mut linker = common_linker(engine)?;
    let l = &mut linker;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(l)?;
    requests::bound(l)?;
    bot::context::add_to_linker::<_, Own>(l, itself)?;
    bot::chat::add_to_linker::<_, Own>(l, itself)?;
    bot::groups::add_to_linker::<_, Own>(l, itself)?;
    bot::friends::add_to_linker::<_, Own>(l, itself)?;
    bot::tags::add_to_linker::<_, Own>(l, itself)?;
    bot::contacts::add_to_linker::<_, Own>(l, itself)?;
    bot::timers::add_to_linker::<_, Own>(l, itself)?;
    bot::web::add_to_linker::<_, Own>(l, itself)?;
    bot::model::add_to_linker::<_, Own>(l, itself)?;
    Ok(linker)
}
