//! The logs of handlers: a file for each handler and account, below `logs/handlers` of
//! the data directory, written by one thread.
//!
//! Nobody waits for it. What a call said is put into a queue of bounded size, by file, so
//! that one account that says too much pushes out its own lines and no other's. The
//! writer takes the whole queue at once: one file is open at a time, and each is opened
//! once for all that its account said meanwhile. Followers are served by the writer too:
//! what is in a file was told, and what was told is in a file, so that whoever reads
//! first and then follows misses nothing.

mod files;
mod followers;
mod queue;
#[cfg(test)]
mod tests;

use std::{
    fmt, io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use self::{
    files::Files,
    followers::{Followed, Told},
    queue::{Queue, Round},
};
use crate::domain::{
    HandlerName, Millis,
    handler::LogLine,
    ports::{CallLog, GuestLogs, LogError, LogFollower, LogQuery},
};

/// The smallest log of an account: less says nothing.
const ACCOUNT_BYTES_MIN: u64 = 4 * 1024;
/// How long the writer rests after a round: what comes meanwhile is written together, and
/// somebody who follows does not notice.
const REST: Duration = Duration::from_millis(50);
/// How long closing may take: the disk may stand still.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// Settings of the logs of handlers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What is kept of a handler's log for one account, in bytes, in two files. At least
    /// 4 KiB.
    pub account_bytes_max: u64,
    /// What is kept of all handlers' logs together, in bytes: the oldest go first. At
    /// least twice `account_bytes_max`.
    pub disk_bytes_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            account_bytes_max: 256 * 1024,
            disk_bytes_max: 256 * 1024 * 1024,
        }
    }
}

impl Config {
    /// Says which setting can't work, and why.
    pub fn check(&self) -> Result<(), String> {
        if self.account_bytes_max < ACCOUNT_BYTES_MIN {
            return Err(format!(
                "handler_logs.account_bytes_max: at least {ACCOUNT_BYTES_MIN}"
            ));
        }
        if self.disk_bytes_max / 2 < self.account_bytes_max {
            return Err(
                "handler_logs.disk_bytes_max: at least twice handler_logs.account_bytes_max"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

/// Tells what time it is.
pub type Clock = Arc<dyn Fn() -> Millis + Send + Sync>;

/// The logs of handlers on disk. A cheap handle.
#[derive(Debug, Clone)]
pub struct DiskLogs(Arc<Inner>);

struct Inner {
    clock: Clock,
    queue: Queue,
    /// Held while files are read, written or removed, and while a follower is added.
    files: Mutex<Files>,
    told: Told,
    closed: tokio::sync::watch::Sender<bool>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").finish_non_exhaustive()
    }
}

/// Opens the logs below this data directory, and begins to write.
pub fn open(config: &Config, data: &Path, clock: Clock) -> io::Result<Arc<dyn GuestLogs>> {
    let logs = DiskLogs::open(config, data, clock)?;
    Ok(Arc::new(logs))
}

impl DiskLogs {
    fn open(config: &Config, data: &Path, clock: Clock) -> io::Result<Self> {
        let files = Files::open(data.join("logs").join("handlers"), config, &clock)?;
        let logs = Self(Arc::new(Inner {
            queue: Queue::new(config.account_bytes_max, Arc::clone(&clock)),
            clock,
            files: Mutex::new(files),
            told: Told::default(),
            closed: tokio::sync::watch::Sender::new(false),
        }));
        let writer = logs.clone();
        thread::Builder::new()
            .name("handler-logs".to_owned())
            .spawn(move || writer.write_until_closed())?;
        Ok(logs)
    }

    fn write_until_closed(&self) {
        while let Some(round) = self.0.queue.take() {
            self.write(round);
            self.0.queue.finished();
            thread::sleep(REST);
        }
        self.0.told.end();
        self.0.closed.send_replace(true);
    }

    fn write(&self, round: Round) {
        for handler in &round.removed {
            self.files().remove(handler);
            self.0.told.forget(handler);
        }
        for (place, said) in round.said {
            // One lock for each file, so that readers get their turn in between.
            let mut files = self.files();
            let now_ms = (self.0.clock)();
            let lines = said.lines().map(|line| {
                let order = files.next_order(now_ms);
                Arc::new(LogLine { order, ..line })
            });
            let lines: Vec<Arc<LogLine>> = lines.collect();
            files.append(&place, &lines);
            self.0.told.tell(&place.handler, &lines);
        }
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.0.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks for the disk.
    fn read_blocking(&self, query: &LogQuery) -> Result<Vec<LogLine>, LogError> {
        // Of what is still to be written, a reader is told when it is.
        let lines = self.files().read(query);
        lines.map_err(|error| LogError(error.to_string()))
    }

    fn follow_blocking(&self, query: LogQuery) -> Result<(Vec<LogLine>, Followed), LogError> {
        let files = self.files();
        let lines = files.read(&query);
        let lines = lines.map_err(|error| LogError(error.to_string()))?;
        let followed = self.0.told.follow(query);
        drop(files);
        Ok((lines, followed))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let logs = self.clone();
        tokio::task::spawn_blocking(move || work(&logs))
            .await
            .map_err(|error| LogError(error.to_string()))?
    }
}

#[async_trait]
impl GuestLogs for DiskLogs {
    fn append(&self, log: CallLog) {
        if !log.lines.is_empty() {
            self.0.queue.put(log);
        }
    }

    async fn read(&self, query: LogQuery) -> Result<Vec<LogLine>, LogError> {
        self.0.queue.written().await;
        self.blocking(move |logs| logs.read_blocking(&query)).await
    }

    async fn follow(
        &self,
        query: LogQuery,
    ) -> Result<(Vec<LogLine>, Box<dyn LogFollower>), LogError> {
        self.0.queue.written().await;
        let (lines, followed) = self
            .blocking(move |logs| logs.follow_blocking(query))
            .await?;
        Ok((lines, Box::new(followed)))
    }

    fn remove(&self, handler: &HandlerName) {
        self.0.queue.remove(handler);
    }

    async fn close(&self) {
        self.0.queue.close();
        let mut closed = self.0.closed.subscribe();
        let wait = closed.wait_for(|closed| *closed);
        if tokio::time::timeout(CLOSE_MAX, wait).await.is_err() {
            tracing::warn!("the last lines of handlers' logs could not be written");
        }
    }
}
