//! `wasi:config/store`: the handler's configuration.

use super::CallState;
use crate::runtime::{
    bindings::wasi::config::store::{Error, Host},
    state::Errand,
};

impl<E: Errand> Host for CallState<E> {
    fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, Error>> {
        self.enter()?;
        Ok(Ok(self.call.deployment().config.get(&key).cloned()))
    }

    fn get_all(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, Error>> {
        self.enter()?;
        Ok(Ok(self
            .call
            .deployment()
            .config
            .clone()
            .into_iter()
            .collect()))
    }
}
