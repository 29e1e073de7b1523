//! Where everything lasting is kept: the backends of [`Store`].
//!
//! Files and components are not kept here, only records. `suite.rs` is the
//! contract in full, run against every backend.

mod codec;
mod memory;
mod sled;
mod time;

#[cfg(test)]
mod model;
#[cfg(test)]
mod suite;

use std::{path::Path, sync::Arc};

use serde::{Deserialize, Serialize};

pub use self::time::Clock;
use crate::domain::ports::{Store, StoreError};

/// How many failures of its bot are kept per account: enough to see what is
/// wrong, and a bot that always fails can't fill the disk.
const FAILURES_MAX: u64 = 100;
/// How many failures of a handler can be found by its name: each place is some dozens of
/// bytes, and is looked through for one failure.
const HANDLER_FAILURES_MAX: u64 = 1000;

/// The smallest cache: with less, sled reads pages from disk again and again
/// (and with next to nothing it panics).
const CACHE_BYTES_MIN: u64 = 1024 * 1024;

/// Settings of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Which backend.
    pub backend: Backend,
    /// How many bytes of records the embedded store keeps in memory. More saves
    /// reads from disk; writes are as fast with little. At least 1 MiB.
    /// Default: 64 MiB.
    pub cache_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            backend: Backend::Sled,
            cache_bytes: 64 * 1024 * 1024,
        }
    }
}

/// Which backend keeps the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// Embedded, in the data directory.
    #[default]
    Sled,
    /// In memory, gone with the process: to try things out.
    Memory,
}

/// Opens the store in `store/` of the data directory. Blocks while it reads
/// back what was written: some time for a large store.
///
/// # Errors
/// A setting is out of bounds, another process uses the directory, or it can't
/// be read or written.
pub fn open(config: &Config, data_dir: &Path) -> Result<Arc<dyn Store>, StoreError> {
    let clock = time::system_clock();
    if config.cache_bytes < CACHE_BYTES_MIN {
        return Err(StoreError::Failed(format!(
            "cache_bytes is {}, and at least {CACHE_BYTES_MIN} are needed",
            config.cache_bytes
        )));
    }
    Ok(match config.backend {
        Backend::Sled => {
            let directory = data_dir.join("store");
            Arc::new(sled::open(&directory, config.cache_bytes, clock)?)
        }
        Backend::Memory => in_memory(clock),
    })
}

/// A store in memory that goes by this clock: for tests that hold the time.
pub fn in_memory(clock: Clock) -> Arc<dyn Store> {
    Arc::new(memory::MemoryStore::new(clock))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn what_one_host_wrote_the_next_one_reads() {
        let directory = tempfile::tempdir().unwrap();
        let account = "wxid_a".try_into().unwrap();
        for epoch in 1..4 {
            let store = open(&Config::default(), directory.path()).unwrap();
            assert_eq!(store.own(&account, true).await.unwrap().0, epoch);
            store.close().await.unwrap();
        }
    }

    #[test]
    fn settings_are_checked() {
        let read = serde_json::from_str::<Config>;
        assert_eq!(read("{}").unwrap(), Config::default());
        let memory = read(r#"{"backend":"memory"}"#).unwrap();
        assert_eq!(memory.backend, Backend::Memory);
        assert!(read(r#"{"cache":1}"#).is_err());
        let small = read(r#"{"cache_bytes":1000}"#).unwrap();
        let error = open(&small, Path::new("/nonexistent")).unwrap_err();
        assert!(error.to_string().contains("cache_bytes"), "{error}");
    }
}
