//! Reading what a process prints, so that it never waits long to print more: neither for
//! a reader nor for the disk.

use std::{io, os::fd::OwnedFd, sync::Arc, time::Duration};

use tokio::{
    net::unix::pipe::Receiver,
    sync::mpsc::{self, error::SendTimeoutError},
    task::spawn_blocking,
};

use super::log::Log;

/// How much is read in one step: what a pipe holds. It takes memory only while there
/// is something to read.
const PIECE_BYTES: usize = 64 * 1024;
/// How many pieces wait for the disk at most.
const WAITING_MAX: usize = 4;
/// How long a full queue is waited for: a busy disk takes more by then. One that
/// stands still costs what is printed, and the process nothing more.
const DISK_PATIENCE: Duration = Duration::from_secs(1);

/// Puts what comes out of here into the log, until its other end is closed.
pub async fn drain(output: OwnedFd, log: Arc<Log>) {
    let (pieces, waiting) = mpsc::channel(WAITING_MAX);
    let (read, ()) = tokio::join!(
        read(output, pieces, Arc::clone(&log)),
        write(waiting, Arc::clone(&log))
    );
    if let Err(error) = read {
        tracing::warn!(%error, "what a client prints can't be read");
    }
}

async fn read(output: OwnedFd, pieces: mpsc::Sender<Vec<u8>>, log: Arc<Log>) -> io::Result<()> {
    let pipe = Receiver::from_owned_fd(output)?;
    let mut patience = DISK_PATIENCE;
    loop {
        pipe.readable().await?;
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        match pipe.try_read_buf(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        patience = match pieces.send_timeout(piece, patience).await {
            Ok(()) => DISK_PATIENCE,
            Err(SendTimeoutError::Timeout(lost) | SendTimeoutError::Closed(lost)) => {
                log.drops(lost.len());
                Duration::ZERO
            }
        };
    }
}

async fn write(mut waiting: mpsc::Receiver<Vec<u8>>, log: Arc<Log>) {
    while let Some(piece) = waiting.recv().await {
        let log = Arc::clone(&log);
        let _ = spawn_blocking(move || log.write(&piece)).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use std::io::Write;

    #[tokio::test]
    async fn printing_goes_on_while_the_disk_stands_still() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("log/console.log");
        let log = Arc::new(Log::new(dir.path().join("log"), 64 * 1024 * 1024));
        let (go_on, waiting) = std::sync::mpsc::channel::<()>();
        let (stands, still) = tokio::sync::oneshot::channel();
        let stalled = Arc::clone(&log);
        let stall = spawn_blocking(move || {
            let _disk = stalled.stall();
            let _ = stands.send(());
            let _ = waiting.recv();
        });
        still.await.unwrap();
        let (output, mut printed) = io::pipe().unwrap();
        let drained = tokio::spawn(drain(output.into(), log));
        let print = spawn_blocking(move || printed.write_all(&[b'x'; 1024 * 1024]));
        print.await.unwrap().unwrap();
        go_on.send(()).unwrap();
        stall.await.unwrap();
        drained.await.unwrap();
        let kept = std::fs::read(disk).unwrap().len();
        // What waited, what the pipe held, and a note of what was lost.
        let most = 3 * WAITING_MAX * PIECE_BYTES;
        assert!((PIECE_BYTES..most).contains(&kept), "{kept}");
    }
}
