//! The one thread from which processes are started.
//!
//! A process asks to be killed when its parent ends, and the system takes the thread
//! that started it for the parent. So that thread lives as long as the host.

use std::{io, thread};

use tokio::sync::{mpsc, oneshot};

/// How many starts may wait for the thread. Whoever finds no place waits for one.
const WAITING_MAX: usize = 64;

type Job = Box<dyn FnOnce() + Send>;

/// Does work on the thread.
#[derive(Debug, Clone)]
pub struct Spawner(mpsc::Sender<Job>);

impl Spawner {
    /// Starts the thread. It ends, and with it all it has started, when the last
    /// clone of this is dropped.
    pub fn start() -> io::Result<Self> {
        let (jobs, mut waiting) = mpsc::channel::<Job>(WAITING_MAX);
        let run = move || {
            while let Some(job) = waiting.blocking_recv() {
                job();
            }
        };
        thread::Builder::new()
            .name("spawner".to_owned())
            .spawn(run)?;
        Ok(Self(jobs))
    }

    /// Does this on the thread. None when the thread is gone.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (done, answer) = oneshot::channel();
        let job = Box::new(move || drop(done.send(work())));
        self.0.send(job).await.ok()?;
        answer.await.ok()
    }
}
