//! What guests may call: one file per interface, named as the interface.
//!
//! Each function counts itself (`enter`), lowers its arguments and hands the
//! matter to [`super::state::CallState`]. A mistake of the guest is an error it
//! can handle; going over a limit, or a fault of the host, ends the call.

mod acting;
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
    state::{Acts, CallState, Errand, NotTaken},
};
use crate::domain::{Action, TaskId};

/// What starts a task: its id, or why not; or the end of the call.
type Started = wasmtime::Result<Result<String, Failure>>;

impl<E: Acts> CallState<E> {
    /// Takes on one action for the guest.
    fn start(&mut self, action: Action) -> Started {
        self.enter()?;
        Ok(self
            .act(action)
            .map(|id| id.to_string())
            .map_err(|error| convert::failure(&error)))
    }

    /// Takes on one action per target, all or none; the last task's id stands
    /// for all.
    fn start_each(&mut self, targets: Vec<String>, action: impl Fn(String) -> Action) -> Started {
        self.enter()?;
        // As many calls as it would be one by one.
        for _ in targets.iter().skip(1) {
            self.enter()?;
        }
        if targets.is_empty() {
            return Ok(Err(convert::coded("bad-request", "users: can't be empty")));
        }
        Ok(self
            .act_on_each(targets, action)
            .map(|id| id.to_string())
            .map_err(|error| convert::failure(&error)))
    }

    fn act_on_each(
        &mut self,
        targets: Vec<String>,
        action: impl Fn(String) -> Action,
    ) -> Result<TaskId, NotTaken> {
        // First, since each action has what they share once more.
        self.check_tasks_room(targets.len())?;
        self.act_all(targets.into_iter().map(action).collect())
    }
}

impl<E: Errand> Host for CallState<E> {}
