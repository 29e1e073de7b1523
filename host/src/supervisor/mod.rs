//! Starts native clients and looks after them: one process per name, in a process
//! group and a directory of its own.
//!
//! Knows processes, files and the clients' API as bytes; what a client's words mean
//! for its account is not decided here.

use std::{io, path::Path, sync::Arc};

use crate::domain::{Millis, client::ClientPolicy, ports::Clients};

/// Tells what time it is for whatever is kept.
pub type Clock = Arc<dyn Fn() -> Millis + Send + Sync>;

/// Makes the directories, ends what a host that was killed has left behind, and is
/// ready to start clients. `base_url` is this host's own address, to which clients
/// report.
pub fn open(
    policy: &ClientPolicy,
    data: &Path,
    base_url: &str,
    clock: Clock,
) -> io::Result<Arc<dyn Clients>> {
    let _ = (policy, data, base_url, clock);
    Err(io::Error::other("not there yet"))
}
