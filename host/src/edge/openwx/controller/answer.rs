//! The controller's answers: JSON objects with a `code` and a `status`, as
//! Mojo-Weixin's controller gives them (`observed.md`), and a `reason` where there is
//! more to say.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value};

use crate::{
    domain::{
        ClientName,
        client::ClientStatus,
        ports::{StartError, StoreError},
    },
    service,
};

/// The codes of refusals. Up to 5 they are the seed's, from 6 on ours.
mod code {
    /// No such path, or no right to use it.
    pub const NO_API: i64 = -1;
    /// The client: not named, not known, or not valid.
    pub const CLIENT: i64 = 1;
    pub const NO_PORT: i64 = 2;
    pub const FAILURE: i64 = 3;
    pub const BAD_PROCESS: i64 = 4;
    pub const TOO_MANY_CLIENTS: i64 = 5;
    pub const NOT_REACHABLE: i64 = 6;
    pub const TIMEOUT: i64 = 7;
    pub const BUSY: i64 = 8;
}

/// One answer. Its keys come out sorted.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    http: StatusCode,
    /// The methods that would be right, if it was the method.
    allow: Option<&'static str>,
    fields: Map<String, Value>,
}

impl Answer {
    /// An answer of this code and status. HTTP itself has nothing to complain of.
    pub(super) fn new(code: i64, status: &str) -> Self {
        Self::of(Map::new())
            .with("code", code)
            .with("status", status)
    }

    /// A list of clients.
    pub(super) fn list(clients: Vec<Value>) -> Self {
        Self::of(Map::new()).with("code", 0).with("client", clients)
    }

    /// An answer that has these fields already.
    pub(super) fn of(fields: Map<String, Value>) -> Self {
        Self {
            http: StatusCode::OK,
            allow: None,
            fields,
        }
    }

    /// With one field more, or another value of it.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// With what went wrong and what would be right, for people.
    pub(super) fn because(self, reason: impl Into<String>) -> Self {
        self.with("reason", reason.into())
    }

    /// With another HTTP status.
    pub(super) fn http(mut self, status: StatusCode) -> Self {
        self.http = status;
        self
    }

    /// There is nothing of the controller's at this address.
    pub(super) fn no_api() -> Self {
        Self::new(code::NO_API, "api not found").http(StatusCode::FORBIDDEN)
    }

    /// Whoever asks may not.
    pub(super) fn forbidden(reason: &str) -> Self {
        Self::new(code::NO_API, "not authorized")
            .http(StatusCode::FORBIDDEN)
            .because(reason)
    }

    /// The path is the controller's, the method is not for it.
    pub(super) fn wrong_method(allow: &'static str) -> Self {
        let mut answer = Self::new(code::NO_API, "method not allowed")
            .http(StatusCode::METHOD_NOT_ALLOWED)
            .because(format!("this path takes {allow}"));
        answer.allow = Some(allow);
        answer
    }

    /// No client is named.
    pub(super) fn no_client() -> Self {
        Self::new(code::CLIENT, "client not found")
    }

    /// No client has this name.
    pub(super) fn unknown_client() -> Self {
        Self::new(code::CLIENT, "client not exists")
    }

    /// No client can have this name.
    pub(super) fn bad_client(reason: impl std::fmt::Display) -> Self {
        Self::new(code::CLIENT, "client not valid").because(format!("client: {reason}"))
    }

    /// The client's state file can't be read.
    pub(super) fn no_state() -> Self {
        Self::new(code::CLIENT, "client state file read error")
    }

    /// The request can't be carried out as it is.
    pub(super) fn failure(reason: impl Into<String>) -> Self {
        Self::new(code::FAILURE, "failure").because(reason)
    }

    /// There is no way to the client, which has not got what was to be passed on,
    /// or has gone away over it.
    pub(super) fn unreachable(client: &ClientStatus, reason: impl Into<String>) -> Self {
        Self::of_client(client, code::NOT_REACHABLE, "client not reachable")
            .http(StatusCode::BAD_GATEWAY)
            .because(reason)
    }

    /// The client does not answer.
    pub(super) fn timeout(client: &ClientStatus, reason: impl Into<String>) -> Self {
        Self::of_client(client, code::TIMEOUT, "client timeout")
            .http(StatusCode::GATEWAY_TIMEOUT)
            .because(reason)
    }

    /// There is no room now.
    pub(super) fn busy(reason: impl Into<String>) -> Self {
        Self::new(code::BUSY, "busy")
            .http(StatusCode::SERVICE_UNAVAILABLE)
            .because(reason)
    }

    fn of_client(client: &ClientStatus, code: i64, status: &str) -> Self {
        Self::new(code, status)
            .with("client", client.name.as_str())
            .with("phase", client.phase.as_str())
            .with("state", state(client))
    }

    /// What a client was started with, and what became of it. What somebody gave as
    /// a parameter never takes the place of a result.
    pub(super) fn started(client: &ClientStatus, status: &str) -> Self {
        let parameters = client.parameters.iter();
        let parameters = parameters
            .filter(|(name, _)| !is_silent(name))
            .map(|(name, value)| (name.clone(), Value::from(value.as_str())));
        Self::of(parameters.collect())
            .with("code", 0)
            .with("status", status)
            .with("account", client.name.as_str())
            .with("client", client.name.as_str())
            .with("pid", client.pid)
            .with("port", client.port)
    }

    /// Why a client was not started or stopped.
    pub(super) fn refused(name: &ClientName, error: service::Error) -> Self {
        use service::Error;
        let reason = error.to_string();
        match error {
            Error::NotFound { .. } => Self::unknown_client(),
            Error::Start(StartError::Exists(client)) => {
                Self::started(&client, "client already exists")
            }
            Error::Start(StartError::NoPort) => Self::new(code::NO_PORT, "no available port")
                .with("client", name.as_str())
                .because(format!(
                    "{reason}: see openwx.backend_start_port and openwx.backend_end_port"
                )),
            Error::Start(StartError::Spawn(_)) => {
                tracing::warn!(client = %name, reason, "a client could not be started");
                Self::new(code::BAD_PROCESS, "client pid not ok")
                    .with("client", name.as_str())
                    .because(reason)
            }
            Error::TooManyClients(_) => {
                Self::new(code::TOO_MANY_CLIENTS, "max clients exceed").because(reason)
            }
            Error::Start(StartError::Ending) | Error::Draining => {
                Self::failure(reason).http(StatusCode::SERVICE_UNAVAILABLE)
            }
            Error::Busy { .. } | Error::Store(StoreError::Closed) => Self::busy(reason),
            Error::Store(_) | Error::Host(_) => {
                tracing::error!(client = %name, reason, "a request to the controller failed in here");
                Self::failure("the host failed at this; its log says why")
            }
            _ => Self::failure(reason),
        }
    }

    /// The object itself, for a list.
    pub(super) fn into_value(self) -> Value {
        Value::Object(self.fields)
    }
}

/// What clients say of their state, or nothing.
fn state(client: &ClientStatus) -> Option<&'static str> {
    client.state.map(|seen| seen.state.as_str())
}

/// Parameters that an answer does not repeat.
pub(super) fn is_silent(name: &str) -> bool {
    name.starts_with('_') || name == "log_head"
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        if let Some(reason) = self.fields.get("reason").and_then(|it| it.as_str()) {
            tracing::debug!(reason, "a request to the controller was refused");
        }
        let mut response = (self.http, Value::Object(self.fields).to_string()).into_response();
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn refused(error: service::Error) -> String {
        let name = ClientName::try_from("a1").unwrap();
        Answer::refused(&name, error).into_value().to_string()
    }

    #[test]
    fn the_account_of_another_kind_of_client_is_a_failure_with_its_reason() {
        let error = service::Error::Conflict("a1 is the account of a wehub client".to_owned());
        let expected =
            r#"{"code":3,"reason":"a1 is the account of a wehub client","status":"failure"}"#;
        assert_eq!(refused(error), expected);
    }

    #[test]
    fn what_fails_in_here_is_for_the_log() {
        let error = service::Error::Host("/data/secret/path is gone".to_owned());
        let shown = refused(error);
        assert!(
            !shown.contains("secret") && shown.contains("\"code\":3"),
            "{shown}"
        );
    }
}
