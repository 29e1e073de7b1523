//! `wxhost:bot/web`: requests to other systems, by the one way out.

use super::CallState;
use crate::runtime::{
    bindings::wxhost::bot::{
        model::Failure,
        web::{Host, Request, Response},
    },
    egress::Refusal,
    state::Errand,
};

impl<E: Errand> Host for CallState<E> {
    async fn fetch(&mut self, request: Request) -> wasmtime::Result<Result<Response, Failure>> {
        self.enter()?;
        Ok(self.outgoing.fetch(request).await.map_err(failure))
    }
}

fn failure(refusal: Refusal) -> Failure {
    Failure {
        code: refusal.code().to_owned(),
        message: refusal.to_string(),
        retry_after_ms: refusal.retry_after_ms(),
    }
}
