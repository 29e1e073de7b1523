//! Where the logs of guests are kept.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use crate::domain::{
    AccountId, HandlerName,
    handler::{Line, LogLevel, LogLine, VersionNumber},
};

/// Lines of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallLog {
    /// Whose.
    pub handler: HandlerName,
    /// For which account; none for a callback component.
    pub account: Option<AccountId>,
    /// Which version.
    pub version: VersionNumber,
    /// During the call for which event.
    pub event: String,
    /// The lines, in order.
    pub lines: Vec<Line>,
}

/// Which lines of a handler's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogQuery {
    /// Whose.
    pub handler: HandlerName,
    /// Those for this account only.
    pub account: Option<AccountId>,
    /// Those that are at least so grave only.
    pub level: LogLevel,
    /// Those only that were kept after the one with this order, in that order; none for
    /// all, by their time.
    pub after: Option<u64>,
    /// How many, counted from the end.
    pub lines: usize,
}

impl LogQuery {
    /// Whether a line of the handler is among them.
    pub fn takes(&self, line: &LogLine) -> bool {
        let account = self.account.as_ref();
        let is_after = self.after.is_none_or(|after| line.order > after);
        is_after
            && line.level >= self.level
            && account.is_none_or(|it| line.account.as_ref() == Some(it))
    }
}

/// What comes next to whoever follows a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// This line.
    Line(Arc<LogLine>),
    /// So many lines (of this handler or of others) came faster than they were read.
    Missed(u64),
}

/// Follows a log.
#[async_trait]
pub trait LogFollower: Send + fmt::Debug {
    /// Waits for what comes next; none when nothing will any more.
    async fn next(&mut self) -> Option<Followed>;
}

/// A log can't be read.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the handler's log can't be read: {0}")]
pub struct LogError(pub String);

/// Keeps what guests log and print, within bounds: the newest, as long as there is room.
/// A log is a help, so nothing ever waits for it, and nothing fails because of it.
#[async_trait]
pub trait GuestLogs: Send + Sync + fmt::Debug {
    /// Adds the lines of a call. Never waits; what can't be taken is counted, and the
    /// log says how much it was.
    fn append(&self, log: CallLog);

    /// The last lines, the oldest first.
    async fn read(&self, query: LogQuery) -> Result<Vec<LogLine>, LogError>;

    /// The last lines, and all that follow: none is missing in between, none is there
    /// twice.
    async fn follow(
        &self,
        query: LogQuery,
    ) -> Result<(Vec<LogLine>, Box<dyn LogFollower>), LogError>;

    /// Removes a handler's logs, in the background.
    fn remove(&self, handler: &HandlerName);

    /// Writes what was taken so far, and ends. Later lines are dropped.
    async fn close(&self);
}
