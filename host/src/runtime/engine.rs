//! The wasmtime engine, its pool, its clock, and the room in front of it.

use std::{sync::Arc, time::Duration};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use wasmtime::{
    Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig,
    component::{HasSelf, Linker},
};

use super::{
    Limits, bindings,
    endpoint::{self, EndpointErrand},
    requests,
    shares::Shares,
    slow::SlowLane,
    state::{Acts, CallState, CallbackErrand, Errand},
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
    /// For endpoints, which act for whom they choose.
    pub endpoint_linker: Linker<CallState<EndpointErrand>>,
    /// Where calls go on that compute for long.
    pub slow: Arc<SlowLane>,
    room: Arc<Semaphore>,
    /// Room for the calls of all endpoints: never all of it, so that clients that keep
    /// endpoints busy leave some for bots.
    endpoints: Arc<Semaphore>,
    /// Room for the calls of one handler: never all of it, so that a bot that
    /// waits in every call leaves some for the others.
    shares: Shares,
    /// The same of endpoints, whose clients may keep them busy for long.
    endpoint_shares: Shares,
    ticker: Ticker,
}

/// Room for one call, given back when it is dropped. By then the call's instance is gone.
#[expect(dead_code, reason = "held")]
pub struct Room([OwnedSemaphorePermit; 2], Option<OwnedSemaphorePermit>);

impl Engine {
    /// Builds the engine. Fails when the machine can't give the pool its
    /// address space.
    pub fn new(limits: &Limits) -> Result<Self, ComponentError> {
        let wasm = wasmtime::Engine::new(&config(limits)).map_err(host_error)?;
        let linker = bot_linker(&wasm).map_err(host_error)?;
        let callback_linker = common_linker(&wasm).map_err(host_error)?;
        let endpoint_linker = endpoint_linker(&wasm).map_err(host_error)?;
        let no_thread = |error: std::io::Error| ComponentError::Host(error.to_string());
        let slow = Arc::new(SlowLane::open().map_err(no_thread)?);
        let places = limits.concurrent_calls as usize;
        let room = Arc::new(Semaphore::new(places));
        let free = Arc::clone(&room);
        let is_called = move || free.available_permits() < places;
        let ticker = Ticker::start(&wasm, is_called).map_err(no_thread)?;
        Ok(Self {
            wasm,
            linker,
            callback_linker,
            endpoint_linker,
            slow,
            room,
            endpoints: Arc::new(Semaphore::new((places / 2).max(1))),
            shares: Shares::new((places / 2).max(1)),
            endpoint_shares: Shares::new((places / 4).max(1)),
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
            Ok(Room([own?, common?], None))
        };
        self.within(wait, both).await
    }

    /// The same for an endpoint.
    pub async fn endpoint_room(
        &self,
        handler: &HandlerName,
        wait: Duration,
    ) -> Result<Room, CallError> {
        let share = self.endpoint_shares.of(handler);
        let all = async {
            let own = share.acquire_owned().await;
            let of_endpoints = Arc::clone(&self.endpoints).acquire_owned().await;
            let common = Arc::clone(&self.room).acquire_owned().await;
            Ok(Room([own?, common?], Some(of_endpoints?)))
        };
        self.within(wait, all).await
    }

    async fn within(
        &self,
        wait: Duration,
        room: impl Future<Output = Result<Room, AcquireError>>,
    ) -> Result<Room, CallError> {
        match tokio::time::timeout(wait, room).await {
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
        self.endpoint_shares.forget_idle();
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

/// Links besides what bots and endpoints both have: what acts for an account, and what
/// asks other systems.
fn acting_linker<E: Acts>(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<CallState<E>>> {
    use bindings::wxhost::bot;

    let mut linker = common_linker(engine)?;
    let l = &mut linker;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(l)?;
    requests::bound(l)?;
    bot::chat::add_to_linker::<_, HasSelf<CallState<E>>>(l, itself)?;
    bot::groups::add_to_linker::<_, HasSelf<CallState<E>>>(l, itself)?;
    bot::friends::add_to_linker::<_, HasSelf<CallState<E>>>(l, itself)?;
    bot::tags::add_to_linker::<_, HasSelf<CallState<E>>>(l, itself)?;
    bot::contacts::add_to_linker::<_, HasSelf<CallState<E>>>(l, itself)?;
    bot::web::add_to_linker::<_, HasSelf<CallState<E>>>(l, itself)?;
    bot::model::add_to_linker::<_, HasSelf<CallState<E>>>(l, itself)?;
    Ok(linker)
}

/// Links every interface of world `bot`.
fn bot_linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<CallState>> {
    use bindings::wxhost::bot;
    type Own = HasSelf<CallState>;

    let mut linker = acting_linker(engine)?;
    let l = &mut linker;
    bot::context::add_to_linker::<_, Own>(l, itself)?;
    bot::timers::add_to_linker::<_, Own>(l, itself)?;
    Ok(linker)
}

/// Links every interface of world `endpoint`.
fn endpoint_linker(
    engine: &wasmtime::Engine,
) -> wasmtime::Result<Linker<CallState<EndpointErrand>>> {
    use bindings::endpoint::wxhost::endpoint::acting;

    let mut linker = acting_linker(engine)?;
    let l = &mut linker;
    acting::add_to_linker::<_, HasSelf<CallState<EndpointErrand>>>(l, itself)?;
    endpoint::take_heads(l)?;
    Ok(linker)
}
