//! Where calls go on that compute for long.
//!
//! A call begins on the thread that its event is on: most are over in less time than it
//! takes to wake another. One that computes for longer goes on here, on threads of its
//! own kind: fewer than there are cores, and with less of a claim to them. So guests that
//! compute without end share what is left over, and neither the host's own work nor a
//! short call of another account waits in line behind them.
//!
//! Who computed for long, or failed, the last time begins here the next: even the first
//! moments of each call, and what is left to tidy up after it, add up where they never end
//! well.

use std::{
    future::{Future, poll_fn},
    hash::{BuildHasher, Hash, RandomState},
    io, panic,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    thread,
    time::{Duration, Instant},
};

use tokio::runtime::{Builder, Runtime};
use tokio_util::task::AbortOnDropHandle;

use super::ticker::TICK;

/// By how much these threads step back behind others, of at most 19. One of them gets a
/// quarter of a core that another thread wants too, be it of another program: with much
/// less, calls would come to the end of their time on a machine that is busy.
const NICE: i32 = 5;

/// How long a thread for look-ups is kept that nobody needs.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Threads for what can't be waited for otherwise: reading the store, looking up names.
const BLOCKING_THREADS_MAX: usize = 64;

/// For how many that is remembered. Two that share a place
/// share what is remembered, which costs the quick one some speed, no more. One handler of
/// a thousand accounts takes few of them.
const REMEMBERED: usize = 65_536;

/// A call that has held its thread for so long at a time computes for long, whatever it
/// was at: filling memory is one instruction, which nothing interrupts.
const HELD_FOR: Duration = Duration::from_millis(2 * TICK.as_millis() as u64);

/// The threads for calls that compute for long.
#[derive(Debug)]
pub struct SlowLane {
    threads: Option<Runtime>,
    /// Whose last call computed for long or failed, by [`Caller`].
    lately: Box<[AtomicBool]>,
    /// Nobody can choose names to share a place with somebody else's.
    places: RandomState,
}

/// Who is called, and for whom.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Caller(usize);

/// A call is given up because the host ends.
#[derive(Debug)]
pub struct Ending;

impl SlowLane {
    /// Starts the threads.
    pub fn open() -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let runtime = Builder::new_multi_thread()
            .worker_threads(cores.saturating_sub(1).max(1))
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .thread_keep_alive(KEEP_ALIVE)
            .thread_name("wasm-slow")
            .on_thread_start(step_back)
            .enable_all()
            .build()?;
        Ok(Self {
            threads: Some(runtime),
            lately: (0..REMEMBERED).map(|_| AtomicBool::new(false)).collect(),
            places: RandomState::new(),
        })
    }

    /// The one of this name: a handler, and the account if it is called for one.
    pub fn caller(&self, name: impl Hash) -> Caller {
        Caller((self.places.hash_one(name) % REMEMBERED as u64) as usize)
    }

    /// Runs a call to its end: here, and from when `computes` says so, over there. If it
    /// says so at the end, the caller's next call begins there.
    pub async fn run<T: Send + 'static>(
        &self,
        caller: Caller,
        call: impl Future<Output = T> + Send + 'static,
        computes: &Arc<AtomicBool>,
    ) -> Result<T, Ending> {
        let mut call = Box::pin(call);
        let lately = self.lately.get(caller.0);
        let remember = || {
            if let Some(lately) = lately {
                lately.store(computes.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        };
        if !lately.is_some_and(|it| it.load(Ordering::Relaxed)) {
            let begun = poll_fn(|context| {
                let began = Instant::now();
                let polled = call.as_mut().poll(context);
                if began.elapsed() >= HELD_FOR {
                    computes.store(true, Ordering::Relaxed);
                }
                match polled {
                    Poll::Ready(done) => Poll::Ready(Some(done)),
                    Poll::Pending if computes.load(Ordering::Relaxed) => Poll::Ready(None),
                    Poll::Pending => Poll::Pending,
                }
            });
            if let Some(done) = begun.await {
                remember();
                return Ok(done);
            }
        }
        let threads = self.threads.as_ref().ok_or(Ending)?;
        // Whoever gives up the call here ends it there.
        let ended = AbortOnDropHandle::new(threads.spawn(call)).await;
        remember();
        match ended {
            Ok(done) => Ok(done),
            Err(error) if error.is_panic() => panic::resume_unwind(error.into_panic()),
            Err(_) => Err(Ending),
        }
    }

    /// Lets go of what a call leaves: of one that computed for long over there, since it
    /// may have much memory to give back.
    pub fn discard(&self, left: impl Send + 'static, computes: &AtomicBool) {
        if let Some(threads) = &self.threads
            && computes.load(Ordering::Relaxed)
        {
            drop(threads.spawn(async move { drop(left) }));
        }
    }
}

/// Has this thread wait for the host's others. Without it, it is as they are, which costs
/// them some of their speed.
pub fn step_back() {
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "a thread for long work keeps its priority");
    }
}

impl Drop for SlowLane {
    /// Calls have ended by now, or are given up: waiting for them is not for whoever
    /// drops this, who may be a thread that must not wait.
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn thread_name() -> String {
        thread::current().name().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn a_short_call_stays_and_a_long_one_goes_elsewhere() {
        let lane = SlowLane::open().unwrap();
        let computes = Arc::new(AtomicBool::new(false));
        let here = thread_name();
        let caller = lane.caller("a");
        let name = async { thread_name() };
        assert_eq!(lane.run(caller, name, &computes).await.unwrap(), here);
        let flag = Arc::clone(&computes);
        let long = async move {
            tokio::task::yield_now().await;
            let before = thread_name();
            flag.store(true, Ordering::Relaxed);
            tokio::task::yield_now().await;
            (before, thread_name())
        };
        let (before, after) = lane.run(caller, long, &computes).await.unwrap();
        assert_eq!(before, here);
        assert_eq!(after, "wasm-slow");
    }

    #[tokio::test]
    async fn who_computed_for_long_begins_elsewhere_until_a_call_is_short() {
        let lane = SlowLane::open().unwrap();
        let (a, b) = (lane.caller("a"), lane.caller("b"));
        let call = async |caller, is_long: bool| {
            let computes = Arc::new(AtomicBool::new(false));
            let flag = Arc::clone(&computes);
            let call = async move {
                let began = thread_name();
                flag.store(is_long, Ordering::Relaxed);
                tokio::task::yield_now().await;
                began
            };
            lane.run(caller, call, &computes).await.unwrap()
        };
        let here = thread_name();
        assert_eq!(call(a, true).await, here);
        assert_eq!(call(a, false).await, "wasm-slow");
        assert_eq!(call(a, false).await, here);
        assert_eq!(call(a, true).await, here);
        if a != b {
            assert_eq!(call(b, false).await, here);
        }
    }

    #[tokio::test]
    async fn a_call_that_is_given_up_ends() {
        let lane = SlowLane::open().unwrap();
        let computes = Arc::new(AtomicBool::new(true));
        let (ended, mut end) = tokio::sync::oneshot::channel::<()>();
        let endless = async move {
            let _ended = ended;
            loop {
                tokio::task::yield_now().await;
            }
        };
        let run = lane.run::<()>(lane.caller("a"), endless, &computes);
        let given_up = tokio::time::timeout(Duration::from_millis(50), run).await;
        assert!(given_up.is_err());
        // The sender is dropped with the call.
        let closed = tokio::time::timeout(Duration::from_secs(10), &mut end).await;
        assert!(closed.unwrap().is_err());
    }
}
