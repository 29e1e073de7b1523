//! What the bot keeps from event to event: a store of its own for each account.
//! Writes become durable together with the bot's actions.

use crate::bindings::wasi::keyvalue::{atomics, store};
use crate::error::Error;

pub use store::Bucket;

/// The bot's store for this account.
pub fn bucket() -> Result<Bucket, Error> {
    Ok(store::open("")?)
}

/// The bucket that all accounts of this bot share, if its version was granted it
/// (`shared_bucket` in handler.toml, or `--shared-bucket`). When another account
/// changes what this call read there, the call is lost and made again: so do in one
/// call what belongs together, and read few keys.
pub fn shared() -> Result<Bucket, Error> {
    Ok(store::open("shared")?)
}

/// The text under a key, if there is any.
pub fn get(key: &str) -> Result<Option<String>, Error> {
    let value = bucket()?.get(key)?;
    Ok(value.map(String::from_utf8).transpose()?)
}

/// Writes text under a key.
pub fn set(key: &str, value: &str) -> Result<(), Error> {
    Ok(bucket()?.set(key, value.as_bytes())?)
}

/// Deletes a key. It is no error when there is none.
pub fn delete(key: &str) -> Result<(), Error> {
    Ok(bucket()?.delete(key)?)
}

/// Adds to the number under a key, which starts at 0, and returns the sum.
pub fn increment(key: &str, delta: u64) -> Result<u64, Error> {
    Ok(atomics::increment(&bucket()?, key, delta)?)
}
