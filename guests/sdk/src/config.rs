//! The bot's configuration, set by the people who run it: for all of its accounts, or
//! for the one of this call, which goes before. Some of it may be secrets: reading one
//! fails while the host can't open it.

use crate::bindings::wasi::config::store;
use crate::error::Error;

/// The value of a key, if it is set.
pub fn get(key: &str) -> Result<Option<String>, Error> {
    Ok(store::get(key)?)
}

/// The value of a key, or an error that names the key.
pub fn require(key: &str) -> Result<String, Error> {
    get(key)?.ok_or_else(|| format!("the configuration lacks {key:?}").into())
}

/// Whether a key is set to "true".
pub fn is_on(key: &str) -> Result<bool, Error> {
    Ok(get(key)?.as_deref() == Some("true"))
}

/// Every key with its value.
pub fn get_all() -> Result<Vec<(String, String)>, Error> {
    Ok(store::get_all()?)
}
