//! The one thread that writes.
//!
//! It takes what has queued up, decides each job, applies one batch, makes it
//! durable once and only then tells whoever waits. So many accounts share one
//! fsync, and no job sees another half done.
//!
//! It stops for good at the first error of writing. After a failed fsync Linux
//! forgets which pages were not written, so a later success would prove nothing;
//! and sled may have taken the batch in memory without having it on disk. The
//! cure is to end the host, see to the disk, and start it again: sled then reads
//! back what is really there, and peers send again what was never answered.

use std::{
    io,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use sled::{Batch, Db};
use tokio::sync::mpsc::Receiver;

use super::{
    failed,
    job::{Job, Waiter},
    stage::Stage,
};
use crate::{
    domain::ports::{Committed, Enqueued, Epoch, LoginChanged, StoreError},
    metrics,
    store::{codec, time::Time},
};

/// How many jobs share one fsync. More gain nothing once the fsync's cost is
/// spread, and each waits for all.
const BATCH_JOBS_MAX: usize = 256;

/// How many changes a batch takes before it is closed to more jobs. While sled
/// applies a batch nobody can read: this bounds the wait to some ms.
const BATCH_CHANGES_MAX: usize = 2048;

/// How long the writer waits at a time for the others of a batch, when the last
/// batch had several: a flush costs some hundred µs however many share it. A
/// client that is alone is never kept waiting.
const GATHER_WAIT: Duration = Duration::from_micros(100);
/// How often it waits for one batch, as long as more keep coming.
const GATHER_WAITS_MAX: u32 = 10;

/// How far above the numbers and times in use the mark is set, in µs: one write
/// of the mark a second. A store that was not closed begins that far ahead at most.
const MARK_AHEAD: u64 = 1_000_000;

/// Makes what was written survive a power cut.
pub type Fsync = Box<dyn FnMut() -> io::Result<()> + Send>;

/// The writer.
pub struct Writer {
    /// Where to write.
    pub db: Db,
    /// How to make it durable once sled has flushed.
    pub fsync: Fsync,
    /// What to do.
    pub jobs: Receiver<Job>,
    /// Why no job is taken any more, once that is so.
    pub ended: Arc<OnceLock<StoreError>>,
    /// What gives out times and numbers.
    pub time: Arc<Time>,
    /// The mark on disk: no number above it is acknowledged, nor is anything
    /// written after it, in µs.
    pub mark: u64,
    /// The greatest number or time that was written so far.
    pub used: u64,
    /// How many jobs the last batch had.
    pub last_batch: usize,
}

/// A job that is decided, to be answered when the batch is durable.
enum Decided {
    Commit(Waiter<Committed>, Committed),
    Enqueue(Waiter<Enqueued>, Enqueued),
    Login(Waiter<LoginChanged>, LoginChanged),
    TakeOver(Waiter<Epoch>, Epoch),
    Other(Waiter<()>),
}

impl Decided {
    /// Answers. Nobody may be waiting any more, which is no fault.
    fn answer(self, written: Result<(), StoreError>) {
        let _ = match self {
            Self::Commit(waiter, answer) => waiter.send(written.map(|()| answer)).is_ok(),
            Self::Enqueue(waiter, answer) => waiter.send(written.map(|()| answer)).is_ok(),
            Self::Login(waiter, answer) => waiter.send(written.map(|()| answer)).is_ok(),
            Self::TakeOver(waiter, answer) => waiter.send(written.map(|()| answer)).is_ok(),
            Self::Other(waiter) => waiter.send(written).is_ok(),
        };
    }
}

impl Writer {
    /// Works until the store is closed, dropped, or fails.
    pub fn run(mut self) {
        let _guard = PanicGuard(Arc::clone(&self.ended));
        let mut closers = Vec::new();
        while let Some(first) = self.jobs.blocking_recv() {
            self.await_company();
            let batch = self.gather(first, &mut closers);
            self.last_batch = batch.len();
            if let Err(error) = self.settle(batch) {
                return self.refuse_all(&error, closers);
            }
        }
        self.finish(closers);
    }

    /// Lets as many jobs queue up as came last time, while they keep coming and
    /// for a bounded time.
    fn await_company(&self) {
        let mut seen = usize::MAX;
        for _ in 0..GATHER_WAITS_MAX {
            let waiting = self.jobs.len();
            if waiting + 1 >= self.last_batch || waiting == seen {
                return;
            }
            seen = waiting;
            std::thread::sleep(GATHER_WAIT);
        }
    }

    /// What has queued up, within the bounds of a batch.
    fn gather(&mut self, first: Job, closers: &mut Vec<Waiter<()>>) -> Vec<Job> {
        let mut batch = Vec::new();
        let mut changes = 0;
        let mut next = Some(first);
        while let Some(job) = next {
            changes += job.changes();
            match job {
                // No more is let in; what is queued already is done.
                Job::Close(waiter) => {
                    self.jobs.close();
                    closers.push(waiter);
                }
                job => batch.push(job),
            }
            let full = batch.len() >= BATCH_JOBS_MAX || changes >= BATCH_CHANGES_MAX;
            next = if full {
                None
            } else {
                self.jobs.try_recv().ok()
            };
        }
        batch
    }

    fn settle(&mut self, batch: Vec<Job>) -> Result<(), StoreError> {
        let (began, jobs) = (Instant::now(), batch.len());
        let mut stage = Stage::new(&self.db);
        let decided: Vec<Decided> = batch
            .into_iter()
            .filter_map(|job| decide(&mut stage, job))
            .collect();
        let written = match stage.into_batch() {
            Some((batch, top)) => self.write(batch, top).map_err(|error| self.stop(error)),
            None => Ok(()),
        };
        metrics::get().batch(jobs, began.elapsed());
        for job in decided {
            job.answer(written.clone());
        }
        written
    }

    fn write(&mut self, mut batch: Batch, top: u64) -> Result<(), StoreError> {
        let now_us = self.time.now().saturating_mul(1000);
        self.used = self.used.max(top).max(now_us);
        if self.used > self.mark {
            self.mark = self.used.saturating_add(MARK_AHEAD);
            batch.insert(codec::mark().into_bytes(), encode_mark(self.mark)?);
        }
        self.db.apply_batch(batch).map_err(failed)?;
        self.make_durable()
    }

    /// sled's own flush leaves the data with the kernel, which survives the end
    /// of this process but no power cut.
    fn make_durable(&mut self) -> Result<(), StoreError> {
        self.db.flush().map_err(failed)?;
        (self.fsync)().map_err(|error| StoreError::Failed(format!("fsync: {error}")))
    }

    fn finish(mut self, closers: Vec<Waiter<()>>) {
        let result = self.settle_mark().and_then(|()| self.make_durable());
        let Self { db, ended, .. } = self;
        let _ = ended.set(StoreError::Closed);
        // Before anyone hears of it, so that the files are free by then.
        drop(db);
        for closer in closers {
            Decided::Other(closer).answer(result.clone());
        }
    }

    /// Sets the mark to what was really given out, so that a store that was closed
    /// goes on from there and no further.
    fn settle_mark(&mut self) -> Result<(), StoreError> {
        let reached = self.time.reached().max(self.used);
        if reached != self.mark {
            let value = encode_mark(reached)?;
            self.db
                .insert(codec::mark().into_bytes(), value)
                .map_err(failed)?;
            self.mark = reached;
        }
        Ok(())
    }

    /// Takes no more work, and says so before anyone learns of the failure.
    fn stop(&self, error: StoreError) -> StoreError {
        let what = match error {
            StoreError::Failed(what) => what,
            other => other.to_string(),
        };
        tracing::error!(error = what, "the store failed and takes no more work");
        let error = StoreError::Failed(format!(
            "{what}. It takes no more work, since it can't tell what is on disk: \
             end the host, see to the disk (full? broken?), and start it again"
        ));
        let _ = self.ended.set(error.clone());
        error
    }

    fn refuse_all(mut self, error: &StoreError, closers: Vec<Waiter<()>>) {
        self.jobs.close();
        while let Some(job) = self.jobs.blocking_recv() {
            job.refuse(error.clone());
        }
        for closer in closers {
            Decided::Other(closer).answer(Err(error.clone()));
        }
    }
}

/// Decides one job. One that can't be decided is answered at once: nothing of
/// it is in the batch.
fn decide(stage: &mut Stage<'_>, job: Job) -> Option<Decided> {
    match job {
        Job::Commit(job, waiter) => {
            let decided = stage.attempt(|stage| stage.commit(job));
            or_refuse(decided, waiter, Decided::Commit)
        }
        Job::Enqueue(job, waiter) => {
            let decided = stage.attempt(|stage| stage.enqueue(job));
            or_refuse(decided, waiter, Decided::Enqueue)
        }
        Job::TakeOver(account, waiter) => {
            let decided = stage.attempt(|stage| stage.take_over(&account));
            or_refuse(decided, waiter, Decided::TakeOver)
        }
        Job::Login(job, waiter) => {
            let decided = stage.attempt(|stage| stage.change_login(job));
            or_refuse(decided, waiter, Decided::Login)
        }
        Job::Change(changes, waiter) => {
            let decided = stage.attempt(|stage| stage.change(None, changes));
            or_refuse(decided, waiter, |waiter, ()| Decided::Other(waiter))
        }
        Job::Forget(records, waiter) => {
            let decided = stage.attempt(|stage| stage.forget(records));
            or_refuse(decided, waiter, |waiter, ()| Decided::Other(waiter))
        }
        Job::Close(waiter) => Some(Decided::Other(waiter)),
    }
}

fn encode_mark(mark: u64) -> Result<Vec<u8>, StoreError> {
    let mut value = Vec::new();
    codec::encode(&mut value, &mark)?;
    Ok(value)
}

fn or_refuse<T>(
    decided: Result<T, StoreError>,
    waiter: Waiter<T>,
    then: impl FnOnce(Waiter<T>, T) -> Decided,
) -> Option<Decided> {
    match decided {
        Ok(answer) => Some(then(waiter, answer)),
        Err(error) => {
            let _ = waiter.send(Err(error));
            None
        }
    }
}

/// sled panics on some of its own faults. The store has failed then, and must
/// say so instead of waiting for a thread that is gone.
struct PanicGuard(Arc<OnceLock<StoreError>>);

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = "its writer panicked: end the host and start it again";
            let _ = self.0.set(StoreError::Failed(text.to_owned()));
        }
    }
}
