//! Who follows logs, and what they are told.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use tokio::sync::broadcast::{self, error::RecvError};

use crate::domain::{
    HandlerName,
    handler::LogLine,
    ports::{self, LogFollower, LogQuery},
};

/// How many lines of a handler a follower may be behind: it is told how many more it has
/// missed.
const BEHIND_MAX: usize = 1024;

/// Tells whoever follows. Waits for nobody.
#[derive(Debug, Default)]
pub struct Told(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    by_handler: HashMap<HandlerName, broadcast::Sender<Arc<LogLine>>>,
    ended: bool,
}

impl Told {
    /// Tells those who follow this handler.
    pub fn tell(&self, handler: &HandlerName, lines: &[Arc<LogLine>]) {
        let mut state = self.state();
        let Some(sender) = state.by_handler.get(handler) else {
            return;
        };
        let heard = lines
            .iter()
            .all(|line| sender.send(Arc::clone(line)).is_ok());
        if !heard {
            // Nobody follows it any more.
            state.by_handler.remove(handler);
        }
    }

    /// Follows from now on.
    pub fn follow(&self, query: LogQuery) -> Followed {
        let mut state = self.state();
        let lines = match state.ended {
            // Its sender is gone at once: there is nothing to wait for.
            true => broadcast::channel(1).1,
            false => state
                .by_handler
                .entry(query.handler.clone())
                .or_insert_with(|| broadcast::Sender::new(BEHIND_MAX))
                .subscribe(),
        };
        Followed { lines, query }
    }

    /// Nothing is told any more.
    pub fn end(&self) {
        let mut state = self.state();
        state.ended = true;
        state.by_handler.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who follows.
#[derive(Debug)]
pub struct Followed {
    lines: broadcast::Receiver<Arc<LogLine>>,
    query: LogQuery,
}

#[async_trait]
impl LogFollower for Followed {
    async fn next(&mut self) -> Option<ports::Followed> {
        loop {
            match self.lines.recv().await {
                Ok(line) if self.query.takes(&line) => return Some(ports::Followed::Line(line)),
                Ok(_) => {}
                Err(RecvError::Lagged(lines)) => return Some(ports::Followed::Missed(lines)),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}
