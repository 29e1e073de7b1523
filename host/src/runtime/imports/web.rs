//! `wxhost:bot/web`: declared, and not there yet. Says so.

use super::CallState;
use crate::runtime::{
    bindings::wxhost::bot::{
        model::Failure,
        web::{Host, Request, Response},
    },
    convert,
};

impl Host for CallState {
    fn fetch(&mut self, _request: Request) -> wasmtime::Result<Result<Response, Failure>> {
        self.enter()?;
        Ok(Err(convert::coded(
            "unsupported",
            "this host makes no HTTP requests for bots yet",
        )))
    }
}
