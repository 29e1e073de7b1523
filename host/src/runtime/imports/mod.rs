//! What guests may call: one file per interface, named as the interface.
//!
//! Each function counts itself (`enter`), lowers its arguments and hands the
//! matter to [`super::state::CallState`]. A mistake of the guest is an error it
//! can handle; going over a limit, or a fault of the host, ends the call.

mod chat;
mod config;
mod contacts;
mod context;
mod friends;
mod groups;
pub mod keyvalue;
mod logging;
mod tags;
mod timers;
mod web;

use super::{
    bindings::wxhost::bot::model::{Failure, Host},
    convert,
    state::CallState,
};
use crate::domain::Action;

/// What starts a task: its id, or why not; or the end of the call.
type Started = wasmtime::Result<Result<String, Failure>>;

impl CallState {
    /// Takes on one action for the guest.
    fn start(&mut self, action: Action) -> Started {
        self.enter()?;
        Ok(self
            .act(action)
            .map(|id| id.to_string())
            .map_err(|error| convert::failure(&error)))
    }

    /// Takes on one action per target; the last task's id stands for all.
    fn start_each(&mut self, targets: Vec<String>, action: impl Fn(String) -> Action) -> Started {
        let mut last = Err(convert::coded("bad-request", "users: can't be empty"));
        for target in targets {
            last = self.start(action(target))?;
            if last.is_err() {
                break;
            }
        }
        Ok(last)
    }
}

impl Host for CallState {}
