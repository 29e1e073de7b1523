//! Makes durable what the writer applied, and answers.

use std::{
    io,
    sync::{Arc, OnceLock, mpsc::Receiver},
};

use sled::Db;
use tokio::sync::{mpsc::WeakSender, oneshot};

use super::{
    failed,
    job::Job,
    writer::{Decided, PanicGuard},
};
use crate::domain::ports::StoreError;

/// How many batches the writer may be ahead. More would only wait longer.
pub const BATCHES_AHEAD_MAX: usize = 8;

/// One batch that was applied, to be answered when it is durable.
pub type Applied = Vec<Decided>;

/// Makes what was written survive a power cut.
pub type Fsync = Box<dyn FnMut() -> io::Result<()> + Send>;

/// The syncer.
pub struct Syncer {
    /// What to flush.
    pub db: Db,
    /// How to make it durable once sled has flushed.
    pub fsync: Fsync,
    /// What was applied, in order.
    pub applied: Receiver<Applied>,
    /// To wake the writer when it has to stop.
    pub jobs: WeakSender<Job>,
    /// Why no job is taken any more, once that is so.
    pub ended: Arc<OnceLock<StoreError>>,
}

impl Syncer {
    /// Works until the writer is gone, or the disk fails.
    pub fn run(mut self) -> Result<(), StoreError> {
        let _guard = PanicGuard(Arc::clone(&self.ended));
        while let Ok(mut batch) = self.applied.recv() {
            // One flush serves all that was applied by now.
            while let Ok(more) = self.applied.try_recv() {
                batch.extend(more);
            }
            let durable = self.make_durable();
            answer(batch, &durable);
            if let Err(error) = durable {
                self.refuse_rest(&error);
                return Err(error);
            }
        }
        self.make_durable()
    }

    /// sled's own flush leaves the data with the kernel, which survives the end
    /// of this process but no power cut.
    fn make_durable(&mut self) -> Result<(), StoreError> {
        let flushed = self.db.flush().map_err(failed);
        let synced = flushed.and_then(|_| {
            (self.fsync)().map_err(|error| StoreError::Failed(format!("fsync: {error}")))
        });
        synced.map_err(|error| stop(&self.ended, error))
    }

    /// The writer may wait for work: it is woken to see that it has ended.
    fn refuse_rest(&self, error: &StoreError) {
        if let Some(jobs) = self.jobs.upgrade() {
            let (nobody, _) = oneshot::channel();
            let _ = jobs.try_send(Job::Close(nobody));
        }
        for batch in &self.applied {
            answer(batch, &Err(error.clone()));
        }
    }
}

/// Answers all of a batch.
pub fn answer(batch: Applied, result: &Result<(), StoreError>) {
    for job in batch {
        job.answer(result.clone());
    }
}

/// Takes no more work, and says so before anyone learns of the failure.
pub fn stop(ended: &OnceLock<StoreError>, error: StoreError) -> StoreError {
    let what = match error {
        StoreError::Failed(what) => what,
        other => other.to_string(),
    };
    let error = StoreError::Failed(format!(
        "{what}. It takes no more work, since it can't tell what is on disk: \
         end the host, see to the disk (full? broken?), and start it again"
    ));
    if ended.set(error.clone()).is_ok() {
        tracing::error!(error = what, "the store failed and takes no more work");
    }
    error
}
