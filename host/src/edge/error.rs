//! Everything that goes wrong in the control API, as problem documents (RFC 9457).
//!
//! The one place where such errors are logged, and where it is decided what the
//! outside learns: what the caller did wrong in full, what failed in here not.

use axum::{
    extract::rejection::{BytesRejection, PathRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        action::Refused,
        ports::{StartError, StoreError},
    },
    service,
};

/// The media type of a problem document.
pub const MEDIA_TYPE: &str = "application/problem+json";
/// What goes before a slug to make it a problem's type.
pub const TYPE_PREFIX: &str = "urn:wxhost:problem:";
/// After how many seconds a caller may ask again when the host was busy.
const RETRY_AFTER_SECS: HeaderValue = HeaderValue::from_static("1");

/// Which problem it is. Callers tell problems apart by its slug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No token, or not ours.
    Unauthorized,
    /// Asked from where nobody may.
    Forbidden,
    /// No such thing.
    NotFound,
    /// The path is right, the method is not.
    MethodNotAllowed,
    /// The request can't be read.
    BadRequest,
    /// The body is larger than this request's may be.
    TooLarge,
    /// The component is none that this host runs.
    UnfitComponent,
    /// A field of an action is missing, unknown or out of bounds.
    InvalidAction,
    /// The account's kind of client can't do it.
    UnsupportedAction,
    /// The idempotency key stands for another request.
    KeyReused,
    /// The body does not come on.
    TooSlow,
    /// An endpoint failed.
    EndpointFailed,
    /// An endpoint did not answer in its time.
    EndpointLate,
    /// What is to be removed is still in use.
    InUse,
    /// It does not go with how things stand.
    Conflict,
    /// No client can be asked to start another.
    NoAgent,
    /// No room now.
    Busy,
    /// The store failed.
    Store,
    /// The host failed.
    Internal,
}

impl Kind {
    /// Slug, status and title: they always go together.
    fn parts(self) -> (&'static str, StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::Unauthorized => ("unauthorized", S::UNAUTHORIZED, "A valid token is needed"),
            Self::Forbidden => ("forbidden", S::FORBIDDEN, "Not from there"),
            Self::NotFound => ("not-found", S::NOT_FOUND, "Not found"),
            Self::MethodNotAllowed => (
                "method-not-allowed",
                S::METHOD_NOT_ALLOWED,
                "This method is not for this path",
            ),
            Self::BadRequest => ("bad-request", S::BAD_REQUEST, "The request can't be read"),
            Self::TooLarge => ("too-large", S::PAYLOAD_TOO_LARGE, "The body is too large"),
            Self::UnfitComponent => (
                "unfit-component",
                S::UNPROCESSABLE_ENTITY,
                "The component does not fit this host",
            ),
            Self::InvalidAction => (
                "invalid-action",
                S::UNPROCESSABLE_ENTITY,
                "The action is not valid",
            ),
            Self::UnsupportedAction => (
                "unsupported-action",
                S::UNPROCESSABLE_ENTITY,
                "The account's client can't do this",
            ),
            Self::KeyReused => (
                "key-reused",
                S::UNPROCESSABLE_ENTITY,
                "The idempotency key stands for another request",
            ),
            Self::TooSlow => ("too-slow", S::REQUEST_TIMEOUT, "The body does not come on"),
            Self::EndpointFailed => ("endpoint-failed", S::BAD_GATEWAY, "The endpoint failed"),
            Self::EndpointLate => (
                "endpoint-late",
                S::GATEWAY_TIMEOUT,
                "The endpoint took too long",
            ),
            Self::InUse => ("in-use", S::CONFLICT, "Still in use"),
            Self::Conflict => ("conflict", S::CONFLICT, "Not as things stand"),
            Self::NoAgent => ("no-agent", S::CONFLICT, "No client is there to ask"),
            Self::Busy => ("busy", S::SERVICE_UNAVAILABLE, "No room now"),
            Self::Store => ("store", S::SERVICE_UNAVAILABLE, "The store failed"),
            Self::Internal => ("internal", S::INTERNAL_SERVER_ERROR, "The host failed"),
        }
    }
}

/// One problem, on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    kind: Kind,
    detail: String,
    field: Option<String>,
    /// What the log is told and the caller is not.
    inward: Option<String>,
}

/// A problem as it stands in a response's body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// [`TYPE_PREFIX`] and the slug.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same for every problem of this type.
    pub title: String,
    /// The response's status.
    pub status: u16,
    /// What went wrong this time, and what would be right.
    pub detail: String,
    /// The part of the request that is at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

impl Problem {
    /// A problem whose detail the caller may read.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            field: None,
            inward: None,
        }
    }

    /// A part of the request that can't be read.
    pub fn bad_field(field: impl Into<String>, problem: impl std::fmt::Display) -> Self {
        let field = field.into();
        Self::new(Kind::BadRequest, format!("{field}: {problem}")).at(field)
    }

    /// Says which part of the request is at fault.
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// A failure of the host itself: `inward` is for the log only.
    pub fn internal(inward: impl std::fmt::Display) -> Self {
        Self::host_fault(
            Kind::Internal,
            "the host failed at this; its log says why",
            inward,
        )
    }

    /// A failure in here: `inward` is for the log only.
    fn host_fault(kind: Kind, detail: &str, inward: impl std::fmt::Display) -> Self {
        Self {
            inward: Some(inward.to_string()),
            ..Self::new(kind, detail)
        }
    }

    fn document(&self) -> Document {
        let (slug, status, title) = self.kind.parts();
        Document {
            kind: format!("{TYPE_PREFIX}{slug}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.detail.clone(),
            field: self.field.clone(),
        }
    }

    fn log(&self) {
        let (slug, status, _) = self.kind.parts();
        let (status, detail) = (status.as_u16(), self.detail.as_str());
        match (self.kind, &self.inward) {
            (_, Some(error)) => tracing::error!(slug, status, error, "a request failed in here"),
            (Kind::Busy, None) => tracing::warn!(slug, status, detail, "no room for a request"),
            _ => tracing::debug!(slug, status, detail, "a request was refused"),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.log();
        let (_, status, _) = self.kind.parts();
        let mut response = (status, axum::Json(self.document())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        match self.kind {
            Kind::Unauthorized => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Kind::Busy | Kind::Store => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECS);
            }
            _ => {}
        }
        response
    }
}

impl From<service::Error> for Problem {
    fn from(error: service::Error) -> Self {
        use service::Error;
        let text = error.to_string();
        match error {
            Error::NotFound { .. } => Self::new(Kind::NotFound, text),
            Error::Refused(refused) => refused.into(),
            Error::BadRequest { field, problem } => Self::bad_field(field, problem),
            Error::KeyReused => Self::new(Kind::KeyReused, text).at("Idempotency-Key"),
            Error::InUse { handler, by } => Self::new(
                Kind::InUse,
                format!(
                    "handler {handler} is bound to {}: unbind it there first",
                    by.join(", ")
                ),
            ),
            Error::Unfit(_) => Self::new(Kind::UnfitComponent, text),
            Error::Conflict(_) | Error::LoginMoved => Self::new(Kind::Conflict, text),
            Error::NoAgent(_) => Self::new(Kind::NoAgent, text),
            Error::Parameter(bad) => {
                let field = format!("parameters.{}", bad.name);
                Self::bad_field(field, bad.problem)
            }
            Error::Start(StartError::Exists(status)) => Self::new(
                Kind::Conflict,
                format!(
                    "{} is there already: it is {}; restart it, or stop it first",
                    status.name,
                    status.phase.as_str()
                ),
            ),
            Error::Start(StartError::Template(_)) => Self::new(Kind::Conflict, text),
            Error::TooManyClients(_) => {
                Self::new(Kind::Conflict, format!("{text}: stop one first"))
            }
            Error::Start(StartError::NoPort | StartError::Ending) => Self::new(Kind::Busy, text),
            Error::Start(StartError::Spawn(_)) => Self::internal(text),
            Error::EndpointFailed(_) => Self::new(Kind::EndpointFailed, text),
            Error::EndpointLate(_) => Self::new(Kind::EndpointLate, text),
            Error::BodyTooLarge(_) => Self::new(Kind::TooLarge, text),
            Error::BodyTooSlow(..) => Self::new(Kind::TooSlow, text),
            Error::Busy { .. } | Error::Draining => Self::new(Kind::Busy, text),
            Error::HalfDone => Self::new(Kind::Internal, text),
            Error::Store(store) => store.into(),
            Error::Host(_) | Error::WrongTask(_) | Error::NotAsked { .. } => Self::internal(text),
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let text = refused.to_string();
        match refused {
            Refused::Unsupported { .. } => Self::new(Kind::UnsupportedAction, text).at("action"),
            Refused::Invalid { field, .. } => Self::new(Kind::InvalidAction, text).at(field),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Closed => Self::new(Kind::Busy, "the host is ending"),
            StoreError::Failed(_) => Self::host_fault(
                Kind::Store,
                "the store failed, so that it is not known whether this was done: look, or ask \
                 for the same again",
                error,
            ),
            StoreError::Unreadable(_) | StoreError::TooLarge { .. } => Self::internal(error),
        }
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(
                Kind::TooLarge,
                "the body is larger than this request's may be",
            ),
            _ => Self::new(Kind::BadRequest, "the body broke off"),
        }
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        use axum::extract::path::ErrorKind;
        let PathRejection::FailedToDeserializePathParams(failed) = rejection else {
            return Self::internal(rejection);
        };
        match failed.into_kind() {
            ErrorKind::InvalidUtf8InPathParam { key } => Self::bad_field(key, "is no UTF-8"),
            // Texts are all that is asked of axum: the rest is a fault of a route.
            kind => Self::internal(kind),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn shown(error: service::Error) -> Document {
        Problem::from(error).document()
    }

    #[test]
    fn a_document_has_the_shape_of_rfc_9457() {
        let problem = Problem::bad_field("limit", "is no number");
        assert_eq!(
            serde_json::to_string(&problem.document()).unwrap(),
            r#"{"type":"urn:wxhost:problem:bad-request","title":"The request can't be read","status":400,"detail":"limit: is no number","field":"limit"}"#
        );
    }

    #[test]
    fn what_fails_in_here_stays_in_here() {
        let secret = "/var/lib/wxhost/db: disk on fire";
        for error in [
            service::Error::Host(secret.into()),
            StoreError::Failed(secret.into()).into(),
            StoreError::Unreadable(secret.into()).into(),
        ] {
            let document = shown(error);
            assert!(document.status >= 500);
            let text = serde_json::to_string(&document).unwrap();
            assert!(!text.contains("fire"), "{text}");
        }
    }

    #[test]
    fn what_is_in_use_names_its_users_and_the_cure() {
        let document = shown(service::Error::InUse {
            handler: "echo".try_into().unwrap(),
            by: vec!["*".into(), "wxid_a".into()],
        });
        assert_eq!(document.status, 409);
        assert_eq!(
            document.detail,
            "handler echo is bound to *, wxid_a: unbind it there first"
        );
    }

    #[test]
    fn an_invalid_action_names_its_field_once() {
        let document = shown(service::Error::Refused(Refused::Invalid {
            field: "segments",
            problem: "can't be empty".into(),
        }));
        assert_eq!(document.kind, "urn:wxhost:problem:invalid-action");
        assert_eq!(document.detail, "segments: can't be empty");
        assert_eq!(document.field.as_deref(), Some("segments"));
    }

    #[test]
    fn a_parameter_of_a_client_is_named_with_its_place() {
        let document = shown(service::Error::Parameter(
            crate::domain::client::BadParameter {
                name: "load".into(),
                problem: "takes names of plugins".into(),
            },
        ));
        assert_eq!(document.status, 400);
        assert_eq!(document.field.as_deref(), Some("parameters.load"));
        assert_eq!(document.detail, "parameters.load: takes names of plugins");
    }

    #[test]
    fn where_no_more_clients_may_run_the_cure_is_said() {
        let document = shown(service::Error::TooManyClients(2));
        assert_eq!(document.status, 409);
        assert_eq!(
            document.detail,
            "2 clients run, and openwx.max_clients allows no more: stop one first"
        );
    }

    #[test]
    fn a_busy_host_says_when_to_come_again() {
        let response = Problem::from(service::Error::Draining).into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers().get("retry-after").unwrap(), "1");
    }
}
