//! `wxhost:bot/timers`: declared, and not there yet. Says so.

use super::CallState;
use crate::runtime::{
    bindings::wxhost::bot::{
        model::Failure,
        timers::{Host, Timer},
    },
    convert,
};

impl Host for CallState {
    fn set(
        &mut self,
        _id: String,
        _due: u64,
        _payload: String,
    ) -> wasmtime::Result<Result<(), Failure>> {
        self.enter()?;
        Ok(Err(unsupported()))
    }

    fn cancel(&mut self, _id: String) -> wasmtime::Result<Result<bool, Failure>> {
        self.enter()?;
        Ok(Err(unsupported()))
    }

    fn list_timers(&mut self) -> wasmtime::Result<Result<Vec<Timer>, Failure>> {
        self.enter()?;
        Ok(Err(unsupported()))
    }
}

fn unsupported() -> Failure {
    convert::coded("unsupported", "this host has no timers yet")
}
