//! `wasi:config/store`: the handler's configuration, with what its account has of its
//! own.

use super::CallState;
use crate::{
    domain::handler::Unreadable,
    runtime::{
        bindings::wasi::config::store::{Error, Host},
        state::Errand,
    },
};

impl<E: Errand> Host for CallState<E> {
    fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, Error>> {
        self.enter()?;
        let found = self.call.deployment().config.get(&key);
        Ok(found.map(|it| it.map(str::to_owned)).map_err(unreadable))
    }

    fn get_all(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, Error>> {
        self.enter()?;
        Ok(self.call.deployment().config.all().map_err(unreadable))
    }
}

fn unreadable(error: Unreadable) -> Error {
    Error::Upstream(error.to_string())
}
