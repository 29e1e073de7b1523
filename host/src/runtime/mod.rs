//! Runs bots: WebAssembly components behind the package in `wit/`.
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

use crate::domain::{
    Digest,
    ports::{ActionCheck, Call, CallError, Component, ComponentError, Effects, Runtime, Store},
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
        let (component, bot) = self.registry.take_in(bytes).await?;
        invoke::try_out(&self.engine, &self.host, &bot).await?;
        self.registry.keep(&component, bot);
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
        // Not loaded here: what could not be loaded at the start would be tried,
        // and maybe compiled, at every event.
        let digest = call.handler.digest;
        let bot = self
            .registry
            .get(digest)
            .ok_or(CallError::Unloaded(digest))?;
        let wait = self.host.limits.queue_wait();
        let _room = self.engine.room(&call.handler.name, wait).await?;
        invoke::call(&self.engine, &self.host, &bot, call).await
    }
}

impl fmt::Debug for Wasm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wasm")
            .field("limits", &self.host.limits)
            .finish_non_exhaustive()
    }
}
