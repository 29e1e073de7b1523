//! What guests log and print: kept by handler and account, and followed.

use std::sync::Arc;

use super::{Error, Service};
use crate::domain::{
    AccountId, Deployment, Event, HandlerName,
    handler::{Line, LogLine},
    ports::{CallLog, GuestLogs, LogError, LogFollower, LogQuery},
};

impl Service {
    /// Keeps what guests say here from now on. Without it nothing of it is kept.
    pub fn keep_logs(&self, logs: Arc<dyn GuestLogs>) {
        if self.0.logs.set(logs).is_err() {
            tracing::error!("there is a place for handlers' logs already: it stays");
        }
    }

    /// The last lines of a handler's log, the oldest first.
    pub async fn handler_log(&self, query: LogQuery) -> Result<Vec<LogLine>, Error> {
        self.handler(&query.handler)?;
        Ok(self.logs()?.read(query).await?)
    }

    /// The last lines of a handler's log, and all that follow.
    pub async fn follow_handler_log(
        &self,
        query: LogQuery,
    ) -> Result<(Vec<LogLine>, Box<dyn LogFollower>), Error> {
        self.handler(&query.handler)?;
        Ok(self.logs()?.follow(query).await?)
    }

    fn logs(&self) -> Result<&Arc<dyn GuestLogs>, Error> {
        let logs = self.0.logs.get();
        logs.ok_or_else(|| Error::Host("this host keeps no logs of handlers".to_owned()))
    }

    /// What a bot said during the call for an event. Calls that are trials are not kept.
    pub(super) fn log_call(&self, bot: &Deployment, event: &Event, lines: Vec<Line>) {
        let (account, event) = (Some(event.account.clone()), event.key.as_str());
        self.append_log(call_log(bot, account, event, lines));
    }

    /// What a callback component or an endpoint said when it was asked.
    pub(super) fn log_question(&self, component: &Deployment, about: &str, lines: Vec<Line>) {
        self.append_log(call_log(component, None, about, lines));
    }

    /// Waits for nothing.
    pub(super) fn append_log(&self, log: CallLog) {
        // A call may end after its handler was removed: nobody could read its log.
        let is_there = || self.0.catalogue.now().handlers.contains_key(&log.handler);
        if let Some(logs) = self.0.logs.get()
            && !log.lines.is_empty()
            && is_there()
        {
            logs.append(log);
        }
    }

    pub(super) fn forget_logs(&self, handler: &HandlerName) {
        if let Some(logs) = self.0.logs.get() {
            logs.remove(handler);
        }
    }

    /// Writes what was said so far. What is said later is not kept.
    pub async fn close_logs(&self) {
        if let Some(logs) = self.0.logs.get() {
            logs.close().await;
        }
    }
}

fn call_log(
    component: &Deployment,
    account: Option<AccountId>,
    event: &str,
    lines: Vec<Line>,
) -> CallLog {
    CallLog {
        handler: component.handler.clone(),
        account,
        version: component.version.number,
        event: event.to_owned(),
        lines,
    }
}

impl From<LogError> for Error {
    fn from(error: LogError) -> Self {
        Self::Host(error.to_string())
    }
}
