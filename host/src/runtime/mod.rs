//! Runs bots, callback components and endpoints: WebAssembly behind the packages in `wit/`.
//!
//! A component is compiled once and called in a fresh instance per event, unless its
//! version asks for one that is kept for the account ([`warm`]).
//! Whatever the guest asks for is collected in [`state::CallState`] and handed
//! back when it returned; a guest that fails leaves nothing behind. This module
//! reads the store for the guest and never writes to it.

mod bindings;
mod buckets;
mod convert;
pub mod egress;
mod endpoint;
mod engine;
mod imports;
mod invoke;
mod limits;
mod output;
mod registry;
mod requests;
mod shares;
mod slow;
mod state;
#[cfg(test)]
mod tests;
mod ticker;
mod timers;
mod unfit;
mod warm;

use std::{fmt, path::Path, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;

pub use limits::Limits;

use self::registry::Guest;
use crate::domain::{
    AccountId, Deployment, Digest,
    endpoint::EndpointPolicy,
    handler::{FailureKind, Used},
    ports::{
        ActionCheck, Answer, Ask, Call, CallError, CallFailure, ClientFault, Component,
        ComponentError, CutShort, Effects, InUse, Runtime, Store, Visit, VisitError, Visited,
    },
};
use crate::metrics;

/// The runtime on wasmtime.
pub struct Wasm {
    engine: engine::Engine,
    registry: registry::Registry,
    host: invoke::Host,
    warm: Arc<warm::Warm>,
}

impl Wasm {
    /// Builds the engine and opens the component directory below `data_dir`.
    pub fn open(
        limits: Limits,
        egress: egress::Config,
        endpoints: EndpointPolicy,
        data_dir: &Path,
        store: Arc<dyn Store>,
        check: ActionCheck,
    ) -> Result<Self, ComponentError> {
        let engine = engine::Engine::new(&limits)?;
        let registry = registry::Registry::open(&engine, &limits, data_dir)?;
        let warm = Arc::new(warm::Warm::new(&limits));
        let host = invoke::Host {
            limits: Arc::new(limits),
            store,
            check,
            egress: Arc::new(egress::Egress::new(egress)),
            endpoints: Arc::new(endpoints),
        };
        Ok(Self {
            engine,
            registry,
            host,
            warm,
        })
    }
}

#[async_trait]
impl Runtime for Wasm {
    async fn take_in(&self, bytes: Bytes) -> Result<Component, ComponentError> {
        let (component, guest) = self.registry.take_in(bytes).await?;
        invoke::start(&self.engine, &self.host, &guest).await?;
        self.registry.keep(&component, guest);
        Ok(component)
    }

    async fn try_out(&self, deployment: Arc<Deployment>) -> Result<Used, CallError> {
        match self.loaded(&deployment)? {
            Guest::Bot(_) => {
                let effects = self.call(convert::trial_call(deployment)).await?;
                Ok(effects.used)
            }
            Guest::Endpoint(guest) => {
                let room = self.room(&deployment).await?;
                endpoint::try_out(&self.engine, &self.host, guest, room, deployment).await
            }
            Guest::Callback(_) => {
                let answer = self.ask(convert::trial_ask(deployment)).await?;
                Ok(answer.used)
            }
        }
    }

    async fn prepare(&self, digest: Digest) -> Result<(), ComponentError> {
        self.registry.prepare(digest).await
    }

    async fn retain(&self, components: &InUse) {
        self.engine.forget_shares();
        self.host.egress.forget_shares();
        self.registry.retain(components).await;
    }

    fn forget_instance(&self, account: &AccountId) {
        self.warm.forget(account);
    }

    fn forget_unserved(&self, serving: &(dyn Fn(&AccountId) -> Option<Arc<Deployment>> + Sync)) {
        self.warm.forget_unserved(serving);
    }

    async fn call(&self, call: Call) -> Result<Effects, CallError> {
        let Guest::Bot(bot) = self.loaded(&call.bot)? else {
            return Err(of_another_world(&call.bot));
        };
        let room = self.room(&call.bot).await?;
        let _running = metrics::get().running();
        invoke::call(&self.engine, &self.host, &self.warm, &bot, call, room).await
    }

    async fn ask(&self, ask: Ask) -> Result<Answer, CallError> {
        let Guest::Callback(callback) = self.loaded(&ask.component)? else {
            return Err(of_another_world(&ask.component));
        };
        let room = self.room(&ask.component).await?;
        let _running = metrics::get().running();
        invoke::ask(&self.engine, &self.host, &callback, ask, room).await
    }

    async fn visit(&self, visit: Visit) -> Result<Visited, VisitError> {
        let Guest::Endpoint(guest) = self.loaded(&visit.endpoint)? else {
            return Err(of_another_world(&visit.endpoint).into());
        };
        let wait = self.host.limits.queue_wait();
        let name = &visit.endpoint.handler;
        let waiting = metrics::get().waiting();
        let room = tokio::select! {
            room = self.engine.endpoint_room(name, wait) => room?,
            () = visit.gone.cancelled() => {
                return Err(VisitError::ByClient(ClientFault::Gone, CutShort::default()));
            }
            () = visit.ending.cancelled() => return Err(VisitError::Ending(CutShort::default())),
        };
        drop(waiting);
        endpoint::visit(&self.engine, &self.host, guest, room, visit).await
    }
}

impl Wasm {
    /// Not loaded here: what could not be loaded at the start would be tried, and
    /// maybe compiled, at every event.
    fn loaded(&self, deployment: &Deployment) -> Result<Guest, CallError> {
        let digest = deployment.version.digest;
        self.registry.get(digest).ok_or(CallError::Unloaded(digest))
    }

    async fn room(&self, deployment: &Deployment) -> Result<engine::Room, CallError> {
        let wait = self.host.limits.queue_wait();
        let _waiting = metrics::get().waiting();
        self.engine.room(&deployment.handler, wait).await
    }
}

/// Bindings are checked when they are made: it takes a mistake of ours.
fn of_another_world(deployment: &Deployment) -> CallError {
    let world = &deployment.version.world;
    let message = format!("a component of {world} can't be asked this");
    CallError::Failed(CallFailure::new(FailureKind::Host, message).into())
}

impl fmt::Debug for Wasm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wasm")
            .field("limits", &self.host.limits)
            .finish_non_exhaustive()
    }
}
