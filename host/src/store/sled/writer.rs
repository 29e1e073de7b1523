//! The one thread that writes.
//!
//! It takes what has queued up, decides each job and applies one batch. The
//! syncer beside it makes durable what was applied and only then tells whoever
//! waits. So many accounts share one fsync, the next batch is decided while the
//! disk works on the last, and no job sees another half done.
//!
//! Both stop for good at the first error of writing. After a failed fsync Linux
//! forgets which pages were not written, so a later success would prove nothing;
//! and sled may have taken the batch in memory without having it on disk. The
//! cure is to end the host, see to the disk, and start it again: sled then reads
//! back what is really there, and peers send again what was never answered.

use std::{
    sync::{Arc, OnceLock, mpsc::SyncSender},
    thread::JoinHandle,
};

use sled::{Batch, Db};
use tokio::sync::mpsc::Receiver;

use super::{
    failed,
    job::{Job, Waiter},
    stage::Stage,
    syncer::{self, Applied},
};
use crate::{
    domain::ports::{Committed, Enqueued, Epoch, StoreError},
    store::codec,
};

/// How many jobs share one fsync. More gain nothing once the fsync's cost is
/// spread, and each waits for all.
const BATCH_JOBS_MAX: usize = 256;

/// How many changes a batch takes before it is closed to more jobs. While sled
/// applies a batch nobody can read: this bounds the wait to some ms.
const BATCH_CHANGES_MAX: usize = 2048;

/// How far above the numbers in use the mark is set, in µs: one write of the
/// mark a minute.
const MARK_AHEAD: u64 = 60_000_000;

/// The writer.
pub struct Writer {
    /// Where to write.
    pub db: Db,
    /// What to do.
    pub jobs: Receiver<Job>,
    /// What was applied goes here.
    pub applied: SyncSender<Applied>,
    /// Makes it durable.
    pub syncer: JoinHandle<Result<(), StoreError>>,
    /// Why no job is taken any more, once that is so.
    pub ended: Arc<OnceLock<StoreError>>,
    /// The mark on disk: no number above it is acknowledged.
    pub mark: u64,
}

/// A job that is decided, to be answered when the batch is durable.
pub enum Decided {
    Commit(Waiter<Committed>, Committed),
    Enqueue(Waiter<Enqueued>, Enqueued),
    TakeOver(Waiter<Epoch>, Epoch),
    Other(Waiter<()>),
}

impl Decided {
    /// Answers. Nobody may be waiting any more, which is no fault.
    pub fn answer(self, written: Result<(), StoreError>) {
        let _ = match self {
            Self::Commit(waiter, answer) => waiter.send(written.map(|()| answer)).is_ok(),
            Self::Enqueue(waiter, answer) => waiter.send(written.map(|()| answer)).is_ok(),
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
            if let Some(error) = self.ended.get().cloned() {
                first.refuse(error.clone());
                return self.refuse_all(&error, closers);
            }
            let batch = self.gather(first, &mut closers);
            if let Err(error) = self.settle(batch) {
                return self.refuse_all(&error, closers);
            }
        }
        self.finish(closers);
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
        let mut stage = Stage::new(&self.db);
        let decided: Vec<Decided> = batch
            .into_iter()
            .filter_map(|job| decide(&mut stage, job))
            .collect();
        let written = match stage.into_batch() {
            Some((batch, top)) => self.write(batch, top),
            None => Ok(()),
        };
        if let Err(error) = written {
            let error = syncer::stop(&self.ended, error);
            syncer::answer(decided, &Err(error.clone()));
            return Err(error);
        }
        // Even what changed nothing waits its turn: its answer may rest on a
        // batch that is not durable yet.
        self.hand_over(decided)
    }

    fn hand_over(&self, decided: Vec<Decided>) -> Result<(), StoreError> {
        self.applied.send(decided).map_err(|unsent| {
            let gone = || StoreError::Failed("its syncer is gone".to_owned());
            let error = self.ended.get().cloned().unwrap_or_else(gone);
            syncer::answer(unsent.0, &Err(error.clone()));
            error
        })
    }

    fn write(&mut self, mut batch: Batch, top: u64) -> Result<(), StoreError> {
        if top > self.mark {
            self.mark = top.saturating_add(MARK_AHEAD);
            let mut value = Vec::new();
            codec::encode(&mut value, &self.mark)?;
            batch.insert(codec::mark().into_bytes(), value);
        }
        self.db.apply_batch(batch).map_err(failed)
    }

    fn finish(self, closers: Vec<Waiter<()>>) {
        let Self {
            db,
            ended,
            applied,
            syncer,
            ..
        } = self;
        // Without more to come, the syncer ends with a last flush.
        drop(applied);
        let panicked = |_| Err(StoreError::Failed("its syncer panicked".to_owned()));
        let result = syncer.join().unwrap_or_else(panicked);
        let _ = ended.set(StoreError::Closed);
        // Before anyone hears of it, so that the files are free by then.
        drop(db);
        for closer in closers {
            Decided::Other(closer).answer(result.clone());
        }
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
        Job::Catalogue(changes, waiter) => {
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
pub struct PanicGuard(pub Arc<OnceLock<StoreError>>);

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = "its writer panicked: end the host and start it again";
            let _ = self.0.set(StoreError::Failed(text.to_owned()));
        }
    }
}
