//! What can go wrong in a use case: whose fault it was and whether trying again
//! can help is in the case.

use crate::domain::{
    HandlerName,
    action::Refused,
    client::BadParameter,
    ports::{BlobError, CallError, CallFailure, ComponentError, StartError, StoreError},
};

/// Why something was not done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The caller named something that does not exist.
    #[error("there is no {what} {name}")]
    NotFound {
        /// What kind of thing.
        what: &'static str,
        /// The name given.
        name: String,
    },
    /// The caller asked for an action that the account can't do.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Something in the request is wrong.
    #[error("{field}: {problem}")]
    BadRequest {
        /// Which field.
        field: &'static str,
        /// What is wrong with it, and what is right.
        problem: String,
    },
    /// The idempotency key stands for another request.
    #[error("this Idempotency-Key was used before for another request: take a new one")]
    KeyReused,
    /// The handler is bound.
    #[error("handler {handler} is bound to {}: unbind it first", by.join(", "))]
    InUse {
        /// Which handler.
        handler: HandlerName,
        /// To which accounts.
        by: Vec<String>,
    },
    /// The component is none that this host runs.
    #[error("{0}")]
    Unfit(String),
    /// A client is not started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A parameter of a client's start is not taken.
    #[error(transparent)]
    Parameter(#[from] BadParameter),
    /// So many clients run already.
    #[error("{0} clients run, and openwx.max_clients allows no more")]
    TooManyClients(usize),
    /// The task is not one that a result can be reported for.
    #[error("task_id: {0}")]
    WrongTask(String),
    /// What is asked for does not go with how things stand.
    #[error("{0}")]
    Conflict(String),
    /// No client can be asked to start another.
    #[error("{0}")]
    NoAgent(String),
    /// An upload that nobody here asked for, or for what has ended.
    #[error("{field}: {problem}")]
    NotAsked {
        /// Which field names it.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Somebody else changed the QR login meanwhile: read it and decide anew.
    #[error("the QR login changed meanwhile: try again")]
    LoginMoved,
    /// An endpoint failed before it had answered.
    #[error("the endpoint {0} failed: whoever runs it finds out why in its failures")]
    EndpointFailed(HandlerName),
    /// An endpoint did not answer in its time.
    #[error("the endpoint {0} did not answer in time")]
    EndpointLate(HandlerName),
    /// The body of a request to an endpoint is longer than it may be, in bytes.
    #[error("the body has more than {0} bytes (endpoints.request_bytes)")]
    BodyTooLarge(u64),
    /// The body of a request to an endpoint does not come on, in so many ms that this
    /// setting allows.
    #[error("the body does not come on within {0} ms ({1})")]
    BodyTooSlow(u64, &'static str),
    /// Something that a request asked for is durable and the rest is not: trying again
    /// would do the first twice.
    #[error(
        "a part of what this request asked for is done, and the rest failed: making it again \
         does that part twice"
    )]
    HalfDone,
    /// No room now. Trying again later helps.
    #[error("the host is busy: {reason}")]
    Busy {
        /// What there is too much of.
        reason: String,
    },
    /// The store failed. Trying again may help.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The host failed in another way.
    #[error("{0}")]
    Host(String),
    /// The host is ending. Trying again helps when it is back.
    #[error("the host is ending")]
    Draining,
}

/// What the guest did wrong; an error when it was the host that could not call it, and
/// so nothing ran.
pub(super) fn failure_of(error: CallError) -> Result<CallFailure, Error> {
    match error {
        CallError::Failed(failure) => Ok(*failure),
        error @ CallError::Busy { .. } => Err(Error::Busy {
            reason: error.to_string(),
        }),
        error @ CallError::Unloaded(_) => Err(Error::Host(error.to_string())),
        CallError::Store(error) => Err(error.into()),
    }
}

impl From<ComponentError> for Error {
    fn from(error: ComponentError) -> Self {
        match error {
            ComponentError::Unfit(problem) => Self::Unfit(problem),
            ComponentError::Host(problem) => Self::Host(problem),
            ComponentError::Busy(reason) => Self::Busy { reason },
        }
    }
}

impl From<BlobError> for Error {
    fn from(error: BlobError) -> Self {
        let problem = error.to_string();
        match error {
            BlobError::TooLarge { .. } => Self::BadRequest {
                field: "file",
                problem,
            },
            BlobError::Full => Self::Busy { reason: problem },
            BlobError::Io(_) => Self::Host(problem),
        }
    }
}

impl Error {
    /// Something that does not exist.
    pub fn not_found(what: &'static str, name: impl ToString) -> Self {
        Self::NotFound {
            what,
            name: name.to_string(),
        }
    }
}
