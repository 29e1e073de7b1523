//! Failures of handlers: how they are kept, and how they are found.

use super::{Error, Service};
use crate::domain::{
    AccountId, Deployment, Failure, FailureId, HandlerName, Millis,
    handler::{HOST, Line, LogLevel},
    ports::{CallFailure, CallLog},
};

impl Service {
    /// Failures of a handler, for all of its accounts, newest first, beginning after this
    /// one.
    pub async fn handler_failures(
        &self,
        handler: &HandlerName,
        before: Option<&FailureId>,
        limit: usize,
    ) -> Result<Vec<Failure>, Error> {
        self.handler(handler)?;
        let store = &self.0.store;
        Ok(store.failures_of(handler, before, limit).await?)
    }

    /// One failure of a handler.
    pub async fn handler_failure(
        &self,
        handler: &HandlerName,
        id: &FailureId,
    ) -> Result<Failure, Error> {
        self.handler(handler)?;
        let found = self.0.store.failure(handler, id).await?;
        found.ok_or_else(|| Error::not_found("failure", id))
    }
}

/// A failure as it is kept: with an id of its own.
pub(super) fn kept_failure(
    component: &Deployment,
    account: Option<AccountId>,
    event: String,
    failure: CallFailure,
    now_ms: Millis,
) -> Failure {
    Failure {
        // A system without randomness is no reason to lose the failure.
        id: FailureId::random().ok(),
        account,
        event,
        handler: component.handler.clone(),
        version: component.version.number,
        digest: component.version.digest,
        kind: failure.kind,
        message: failure.message,
        output: failure.output,
        used: failure.used,
        limits: failure.limits,
        at_ms: now_ms,
    }
}

/// What a handler's log says of a failure: the last line of the call.
pub(super) fn failure_log(failure: &Failure) -> CallLog {
    let id = failure.id.as_ref().map_or("without id", FailureId::as_str);
    let (kind, reason) = (failure.kind.as_str(), failure.reason());
    let line = Line {
        at_ms: failure.at_ms,
        level: LogLevel::Error,
        context: HOST.to_owned(),
        text: format!("failure {id}: {kind}: {reason}"),
    };
    CallLog {
        handler: failure.handler.clone(),
        account: failure.account.clone(),
        version: failure.version,
        event: failure.event.clone(),
        lines: vec![line],
    }
}
