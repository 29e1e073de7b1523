//! What is still to be written, by file. Bounded for each file and in all.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use super::Clock;
use crate::domain::{
    AccountId, HandlerName,
    handler::{HOST, LogLevel, LogLine, VersionNumber},
    ports::CallLog,
};

/// How much waits to be written, in bytes of memory: as much as a slow disk takes in a
/// moment.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// What a line takes beside its texts.
const LINE_BYTES: usize = 192;
/// What a file that lines wait for takes beside them.
const PLACE_BYTES: usize = 256;
/// How long a reader waits for what was said before to be written.
const WRITTEN_MAX: Duration = Duration::from_secs(1);

/// Whose lines one file has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The handler.
    pub handler: HandlerName,
    /// The account; none for a callback component.
    pub account: Option<AccountId>,
}

/// What is to be written to one file.
#[derive(Debug, Default)]
pub struct Said {
    lines: VecDeque<LogLine>,
    bytes: usize,
    /// A line that says how many were lost before the others.
    lost: Option<LogLine>,
    lost_lines: u64,
}

impl Said {
    /// The lines in order.
    pub fn lines(self) -> impl Iterator<Item = LogLine> {
        self.lost.into_iter().chain(self.lines)
    }

    fn lose(&mut self, lines: u64, at_ms: u64, account: Option<AccountId>) {
        self.lost_lines += lines;
        self.lost = Some(lost_line(self.lost_lines, at_ms, account));
    }
}

/// Says how many lines a log lacks.
pub fn lost_line(lines: u64, at_ms: u64, account: Option<AccountId>) -> LogLine {
    LogLine {
        at_ms,
        order: 0,
        account,
        version: VersionNumber::default(),
        event: String::new(),
        level: LogLevel::Warn,
        context: HOST.to_owned(),
        text: format!("{lines} lines lost: the disk did not take them in time"),
    }
}

/// What the writer does at once.
#[derive(Debug, Default)]
pub struct Round {
    /// These handlers' logs go first.
    pub removed: Vec<HandlerName>,
    /// What was said, by file.
    pub said: HashMap<Place, Said>,
}

/// The queue.
pub struct Queue {
    state: Mutex<State>,
    /// Something is to be done.
    filled: Condvar,
    /// How many rounds are done.
    done: watch::Sender<u64>,
    place_bytes_max: usize,
    clock: Clock,
}

#[derive(Debug, Default)]
struct State {
    round: Round,
    bytes: usize,
    /// How many rounds were taken.
    taken: u64,
    /// Lines for which not even their file could be noted.
    nameless: u64,
    closed: bool,
}

impl Queue {
    /// An empty queue that holds so much for one file.
    pub fn new(place_bytes_max: u64, clock: Clock) -> Self {
        Self {
            state: Mutex::default(),
            filled: Condvar::new(),
            done: watch::Sender::new(0),
            place_bytes_max: usize::try_from(place_bytes_max).unwrap_or(usize::MAX),
            clock,
        }
    }

    /// Adds what a call said. What is too much for its file pushes out what was said
    /// before: it would push it out of the file as well.
    pub fn put(&self, log: CallLog) {
        let mut state = self.state();
        if !state.closed {
            state.put(log, self.place_bytes_max, &self.clock);
            self.filled.notify_one();
        }
    }

    /// A handler's log goes, with what is still to be written of it.
    pub fn remove(&self, handler: &HandlerName) {
        let mut state = self.state();
        let mut bytes = 0;
        state.round.said.retain(|place, said| {
            let stays = place.handler != *handler;
            bytes += if stays { 0 } else { said.bytes + PLACE_BYTES };
            stays
        });
        state.bytes = state.bytes.saturating_sub(bytes);
        state.round.removed.push(handler.clone());
        self.filled.notify_one();
    }

    /// Takes no more. What is there is still written.
    pub fn close(&self) {
        self.state().closed = true;
        self.filled.notify_one();
    }

    /// Waits for something to do. None once it is closed and nothing is left.
    pub fn take(&self) -> Option<Round> {
        let mut state = self.state();
        loop {
            if state.nameless > 0 {
                let lines = std::mem::take(&mut state.nameless);
                tracing::warn!(lines, "lines of handlers' logs were lost: too many at once");
            }
            if !state.round.said.is_empty() || !state.round.removed.is_empty() {
                state.bytes = 0;
                state.taken += 1;
                return Some(std::mem::take(&mut state.round));
            }
            if state.closed {
                return None;
            }
            state = self
                .filled
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What was taken is done.
    pub fn finished(&self) {
        self.done.send_replace(self.state().taken);
    }

    /// Waits until what was put before is written, or the disk takes too long.
    pub async fn written(&self) {
        let mut done = self.done.subscribe();
        let until = {
            let state = self.state();
            let waits = !state.round.said.is_empty() || !state.round.removed.is_empty();
            state.taken + u64::from(waits)
        };
        let written = done.wait_for(|done| *done >= until);
        // Then a reader sees what there is.
        let _ = tokio::time::timeout(WRITTEN_MAX, written).await.is_ok();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put(&mut self, log: CallLog, place_bytes_max: usize, clock: &Clock) {
        let CallLog {
            handler,
            account,
            version,
            event,
            lines,
        } = log;
        let place = Place {
            handler,
            account: account.clone(),
        };
        let is_full = self.bytes >= BYTES_MAX;
        if self.bytes >= 2 * BYTES_MAX && !self.round.said.contains_key(&place) {
            self.nameless += lines.len() as u64;
            return;
        }
        let said = self.round.said.entry(place).or_insert_with(|| {
            self.bytes += PLACE_BYTES;
            Said::default()
        });
        if is_full {
            return said.lose(lines.len() as u64, clock(), account);
        }
        let before = said.bytes;
        for line in lines {
            let line = LogLine {
                at_ms: line.at_ms,
                order: 0,
                account: account.clone(),
                version,
                event: event.clone(),
                level: line.level,
                context: line.context,
                text: line.text,
            };
            said.bytes += bytes_of(&line);
            said.lines.push_back(line);
        }
        let mut lost = 0;
        while said.bytes > place_bytes_max
            && said.lines.len() > 1
            && let Some(line) = said.lines.pop_front()
        {
            said.bytes -= bytes_of(&line);
            lost += 1;
        }
        if lost > 0 {
            said.lose(lost, clock(), account);
        }
        self.bytes = (self.bytes + said.bytes).saturating_sub(before);
    }
}

fn bytes_of(line: &LogLine) -> usize {
    line.text.len() + line.context.len() + line.event.len() + LINE_BYTES
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}
