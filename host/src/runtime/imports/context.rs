//! `wxhost:bot/context`: the call under way.

use super::CallState;
use crate::runtime::{
    bindings::wxhost::bot::{context::Host, model::User},
    convert,
};

impl Host for CallState {
    fn me(&mut self) -> wasmtime::Result<User> {
        self.enter()?;
        Ok(convert::me(
            &self.call.event.account,
            self.call.me.as_deref(),
        ))
    }

    fn client_kind(&mut self) -> wasmtime::Result<String> {
        self.enter()?;
        Ok(self.call.client.as_str().to_owned())
    }

    /// Always the first try: an earlier one left nothing behind, not even a
    /// count, because nothing of it was committed.
    fn attempt(&mut self) -> wasmtime::Result<u32> {
        self.enter()?;
        Ok(1)
    }

    fn deadline(&mut self) -> wasmtime::Result<u64> {
        self.enter()?;
        Ok(self.deadline_ms)
    }

    fn raw(&mut self) -> wasmtime::Result<String> {
        self.enter()?;
        Ok(String::from_utf8_lossy(&self.call.event.raw).into_owned())
    }

    fn fact(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        self.enter()?;
        let facts = &self.call.event.facts;
        Ok(facts
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.clone()))
    }
}
