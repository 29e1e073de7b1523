//! What the edge's tests share.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::domain::{
    Deployment, Digest,
    handler::Used,
    ports::{Answer, Ask, Call, CallError, Component, ComponentError, Effects, InUse, Runtime},
};

/// Is never called: no handler is deployed.
#[derive(Debug)]
pub(in crate::edge) struct NoRuntime;

#[async_trait]
impl Runtime for NoRuntime {
    async fn take_in(&self, _: Bytes) -> Result<Component, ComponentError> {
        Err(ComponentError::Unfit("nothing fits".to_owned()))
    }

    async fn prepare(&self, _: Digest) -> Result<(), ComponentError> {
        Ok(())
    }

    async fn try_out(&self, _: Arc<Deployment>) -> Result<Used, CallError> {
        Ok(Used::default())
    }

    async fn retain(&self, _: &InUse) {}

    async fn call(&self, _: Call) -> Result<Effects, CallError> {
        Ok(Effects::default())
    }

    async fn ask(&self, ask: Ask) -> Result<Answer, CallError> {
        Err(CallError::Unloaded(ask.component.version.digest))
    }
}
