//! The clock of guests: one thread for the process that moves the engine's epoch on.
//!
//! While nobody calls a guest it sleeps, so that a host with nothing to do does nothing.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// How often a computing guest is interrupted, to let others run and to count its time.
/// It is also how long others may wait for its thread, so it is short.
pub const TICK: Duration = Duration::from_millis(2);

/// After how many ticks without a call it sleeps: about a second. Who calls every now and
/// then need not wake it each time.
const IDLE_TICKS: u32 = 500;

/// The thread, ended when this is dropped.
pub struct Ticker {
    clock: Arc<Clock>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Clock {
    stop: AtomicBool,
    /// Calls that have begun.
    calls: AtomicU64,
    asleep: AtomicBool,
}

impl Ticker {
    /// Starts it. While `is_called` says so it does not sleep.
    pub fn start(
        engine: &wasmtime::Engine,
        is_called: impl Fn() -> bool + Send + 'static,
    ) -> io::Result<Self> {
        let clock = Arc::new(Clock::default());
        let (engine, ticking) = (engine.weak(), Arc::clone(&clock));
        let tick = move || {
            let engine = engine.upgrade();
            engine.map(|engine| engine.increment_epoch()).is_some()
        };
        let thread = thread::Builder::new()
            .name("wasm-ticker".to_owned())
            .spawn(move || ticking.run(tick, is_called))?;
        let thread = Some(thread);
        Ok(Self { clock, thread })
    }

    /// A call begins: wakes it, if it sleeps.
    pub fn call_begins(&self) {
        // In the same order as it looks at them before it sleeps, so that one of the two
        // sees what the other has done.
        self.clock.calls.fetch_add(1, Ordering::SeqCst);
        if self.clock.asleep.load(Ordering::SeqCst) {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Clock {
    fn run(&self, tick: impl Fn() -> bool, is_called: impl Fn() -> bool) {
        let (mut seen, mut idle) = (0, 0);
        while !self.stop.load(Ordering::SeqCst) && tick() {
            let calls = self.calls.load(Ordering::SeqCst);
            idle = match calls == seen && !is_called() {
                true => idle + 1,
                false => 0,
            };
            seen = calls;
            if idle < IDLE_TICKS {
                thread::sleep(TICK);
                continue;
            }
            idle = 0;
            self.asleep.store(true, Ordering::SeqCst);
            if self.calls.load(Ordering::SeqCst) == seen && !self.stop.load(Ordering::SeqCst) {
                thread::park();
            }
            self.asleep.store(false, Ordering::SeqCst);
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.clock.stop.store(true, Ordering::SeqCst);
        self.wake();
        if let Some(thread) = self.thread.take() {
            // It never panics: there is nothing to tell.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// Waits until it is so.
    fn until(what: impl Fn() -> bool) {
        let began = Instant::now();
        while !what() {
            assert!(began.elapsed() < Duration::from_secs(30), "it never is");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn it_sleeps_while_nobody_calls_and_wakes_for_a_call() {
        let clock = Arc::new(Clock::default());
        let ticks = Arc::new(AtomicU64::new(0));
        let (running, counted) = (Arc::clone(&clock), Arc::clone(&ticks));
        let called = Arc::new(AtomicBool::new(false));
        let is_called = Arc::clone(&called);
        let thread = thread::spawn(move || {
            let tick = || {
                counted.fetch_add(1, Ordering::SeqCst);
                true
            };
            running.run(tick, move || is_called.load(Ordering::SeqCst));
        });
        let ticker = Ticker {
            clock,
            thread: Some(thread),
        };
        until(|| ticker.clock.asleep.load(Ordering::SeqCst));
        let before = ticks.load(Ordering::SeqCst);
        called.store(true, Ordering::SeqCst);
        ticker.call_begins();
        // A call under way keeps it awake, however long it is.
        let many = u64::from(IDLE_TICKS) + 100;
        until(|| ticks.load(Ordering::SeqCst) > before + many);
        called.store(false, Ordering::SeqCst);
        until(|| ticker.clock.asleep.load(Ordering::SeqCst));
        // And it ends although it sleeps.
        drop(ticker);
    }
}
