//! Runs bots and callback components: WebAssembly behind the packages in `wit/`.
//!
//! A component is compiled once and called in a fresh instance per event.
//! Whatever the guest asks for is collected in [`state::CallState`] and handed
//! back when it returned; a guest that fails leaves nothing behind. This module
//! reads the store for the guest and never writes to it.

mod bindings;
mod convert;
mod engine;
mod imports;
mod invoke;
mod limits;
mod output;
mod registry;
mod state;
#[cfg(test)]
mod tests;

use std::{fmt, path::Path, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;

pub use limits::Limits;

use self::registry::Guest;
use crate::domain::{
    Digest, Handler,
    handler::FailureKind,
    ports::{
        ActionCheck, Answer, Ask, Call, CallError, CallFailure, Component, ComponentError, Effects,
        Runtime, Store,
    },
};

/// The runtime on wasmtime.
pub struct Wasm {
    engine: engine::Engine,
    registry: registry::Registry,
    host: invoke::Host,
}

impl Wasm {
    /// Builds the engine and opens the component directory below `data_dir`.
    pub fn open(
        limits: Limits,
        data_dir: &Path,
        store: Arc<dyn Store>,
        check: ActionCheck,
    ) -> Result<Self, ComponentError> {
        let engine = engine::Engine::new(&limits)?;
        let registry = registry::Registry::open(&engine, &limits, data_dir)?;
        let host = invoke::Host {
            limits: Arc::new(limits),
            store,
            check,
        };
        Ok(Self {
            engine,
            registry,
            host,
        })
    }
}

#[async_trait]
impl Runtime for Wasm {
    async fn take_in(&self, bytes: Bytes) -> Result<Component, ComponentError> {
        let (component, guest) = self.registry.take_in(bytes).await?;
        invoke::try_out(&self.engine, &self.host, &guest).await?;
        self.registry.keep(&component, guest);
        Ok(component)
    }

    async fn prepare(&self, digest: Digest) -> Result<(), ComponentError> {
        self.registry.prepare(digest).await
    }

    async fn retain(&self, in_use: &[Digest]) {
        self.engine.forget_shares();
        self.registry.retain(in_use).await;
    }

    async fn call(&self, call: Call) -> Result<Effects, CallError> {
        let Guest::Bot(bot) = self.loaded(&call.handler)? else {
            return Err(of_another_world(&call.handler));
        };
        let _room = self.room(&call.handler).await?;
        invoke::call(&self.engine, &self.host, &bot, call).await
    }

    async fn ask(&self, ask: Ask) -> Result<Answer, CallError> {
        let Guest::Callback(callback) = self.loaded(&ask.handler)? else {
            return Err(of_another_world(&ask.handler));
        };
        let _room = self.room(&ask.handler).await?;
        invoke::ask(&self.engine, &self.host, &callback, ask).await
    }
}

impl Wasm {
    /// Not loaded here: what could not be loaded at the start would be tried, and
    /// maybe compiled, at every event.
    fn loaded(&self, handler: &Handler) -> Result<Guest, CallError> {
        let digest = handler.digest;
        self.registry.get(digest).ok_or(CallError::Unloaded(digest))
    }

    async fn room(&self, handler: &Handler) -> Result<engine::Room, CallError> {
        let wait = self.host.limits.queue_wait();
        self.engine.room(&handler.name, wait).await
    }
}

/// Bindings are checked when they are made: it takes a mistake of ours.
fn of_another_world(handler: &Handler) -> CallError {
    CallError::Failed(CallFailure {
        kind: FailureKind::Host,
        message: format!("a component of {} can't be asked this", handler.world),
        output: String::new(),
    })
}

impl fmt::Debug for Wasm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wasm")
            .field("limits", &self.host.limits)
            .finish_non_exhaustive()
    }
}
