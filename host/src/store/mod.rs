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

use serde::Deserialize;

use crate::domain::ports::{Store, StoreError};

/// How many failures of its bot are kept per account: enough to see what is
/// wrong, and a bot that always fails can't fill the disk.
const FAILURES_MAX: u64 = 100;

/// Settings of the store.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Which backend.
    pub backend: Backend,
    /// How many bytes of records the embedded store keeps in memory. More saves
    /// reads from disk; writes are as fast with little. Default: 64 MiB.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
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
/// Another process uses the directory, or it can't be read or written.
pub fn open(config: &Config, data_dir: &Path) -> Result<Arc<dyn Store>, StoreError> {
    let clock = time::system_clock();
    Ok(match config.backend {
        Backend::Sled => {
            let directory = data_dir.join("store");
            Arc::new(sled::open(&directory, config.cache_bytes, clock)?)
        }
        Backend::Memory => Arc::new(memory::MemoryStore::new(clock)),
    })
}
