//! Why an upload is not taken, and how that is said: with HTTP 200 and JSON like
//! every answer to WeHub; only refusals of transport stay HTTP, as those of the
//! callback do.

use super::feed::FeedError;
use crate::{
    domain::ports::BlobError,
    edge::{body::BodyError, wehub::wire::code},
    service::Error,
};

/// Why an upload is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The body is too large or did not come.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// It is not as the protocol has it.
    #[error("{field}: {problem}")]
    Bad {
        /// Which part of it.
        field: &'static str,
        /// What is wrong with that, and what is right.
        problem: String,
    },
    /// Too many are under way.
    #[error("too many uploads are under way already: try again later")]
    Busy,
    /// Another upload of the same file is.
    #[error("file_index: this file is being uploaded already: try again when that has ended")]
    UnderWay,
    /// The file can't be kept.
    #[error("file: {0}")]
    Blob(BlobError),
    /// The service says no.
    #[error(transparent)]
    Service(#[from] Error),
}

impl From<BlobError> for Refusal {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::TooLarge { max_bytes } => {
                let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
                Self::Body(BodyError::TooLarge(max_bytes))
            }
            error => Self::Blob(error),
        }
    }
}

impl Refusal {
    /// Something in the request is wrong.
    pub fn bad(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Bad {
            field,
            problem: problem.into(),
        }
    }

    /// What the parser says after so many parts.
    pub fn of_form(error: &multer::Error, parts: usize) -> Self {
        use multer::Error as E;
        if let Some(error) = FeedError::behind(error) {
            return match error {
                FeedError::Body(error) => error.into(),
                FeedError::Endless => Self::bad("body", error.to_string()),
            };
        }
        let problem = match error {
            E::IncompleteStream if parts == 0 => {
                "holds no part: it is cut off, or its boundary is not the one in Content-Type"
            }
            E::IncompleteStream | E::IncompleteHeaders | E::IncompleteFieldData { .. } => {
                "is cut off: the closing boundary is missing, send it again in full"
            }
            E::ReadHeaderFailed(_) | E::DecodeHeaderName { .. } | E::DecodeHeaderValue { .. } => {
                "a part's headers can't be read"
            }
            _ => "is no form as RFC 7578 has it",
        };
        Self::bad("body", problem)
    }

    /// True when the sender sends nothing more and is likely gone.
    pub fn is_for_nobody(&self) -> bool {
        use BodyError as B;
        matches!(self, Self::Body(B::TooSlow(_) | B::Stalled | B::CutOff))
    }

    /// The `error_code` that says so.
    pub fn code(&self) -> i32 {
        match self {
            Self::Body(_) | Self::Bad { .. } => code::BAD_REQUEST,
            Self::Busy | Self::UnderWay | Self::Blob(BlobError::Full) => code::BUSY,
            Self::Blob(_) => code::HOST_FAILURE,
            Self::Service(error) => match error {
                Error::NotAsked { .. } => code::NOT_ASKED,
                Error::BadRequest { .. } => code::BAD_REQUEST,
                Error::Busy { .. } | Error::Draining | Error::LoginMoved => code::BUSY,
                _ => code::HOST_FAILURE,
            },
        }
    }

    /// The `error_reason`. What went wrong inside is for the log.
    pub fn reason(&self) -> String {
        match self.code() {
            code::HOST_FAILURE => "the host failed: try again".to_owned(),
            _ => self.to_string(),
        }
    }

    /// Writes it to the log, once.
    pub fn log(&self) {
        match self.code() {
            code::HOST_FAILURE => tracing::error!(error = %self, "an upload failed"),
            code::BUSY => tracing::warn!(error = %self, "an upload was refused"),
            _ => tracing::info!(error = %self, "an upload was refused"),
        }
    }
}
