//! Reading what a process prints, so that it never waits to print more.

use std::{io, os::fd::OwnedFd, sync::Arc};

use tokio::{net::unix::pipe::Receiver, task::spawn_blocking};

use super::log::Log;

/// How much is read in one step: what a pipe holds. It takes memory only while there
/// is something to read.
const PIECE_BYTES: usize = 64 * 1024;

/// Puts what comes out of here into the log, until its other end is closed.
pub async fn drain(output: OwnedFd, log: Arc<Log>) {
    if let Err(error) = drained(output, log).await {
        tracing::warn!(%error, "what a client prints can't be read");
    }
}

async fn drained(output: OwnedFd, log: Arc<Log>) -> io::Result<()> {
    let pipe = Receiver::from_owned_fd(output)?;
    loop {
        pipe.readable().await?;
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        match pipe.try_read_buf(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(_) => {
                let log = Arc::clone(&log);
                spawn_blocking(move || log.write(&piece)).await?;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
