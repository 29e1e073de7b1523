//! Request bodies: read in full, within bounds of size, time and memory.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use tokio::sync::Semaphore;

/// Bodies up to this size are read as they come.
const SMALL_BYTES: usize = 64 * 1024;
/// Larger ones are read a few at a time: together they hold at most this many
/// times the largest body.
const LARGE_AT_A_TIME: usize = 8;
/// How long a body may take in all.
const READ_TIME: Duration = Duration::from_secs(60);

/// Why a body was not read: refusals of transport, in HTTP's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is larger than it may be.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// It did not come in time.
    #[error("the body did not come within {} s", READ_TIME.as_secs())]
    TooSlow,
    /// It ended before its end.
    #[error("the body ended early")]
    CutOff,
}

impl BodyError {
    /// The HTTP status that says so.
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::CutOff => StatusCode::BAD_REQUEST,
        }
    }
}

impl IntoResponse for BodyError {
    fn into_response(self) -> Response {
        (self.status(), format!("{self}\n")).into_response()
    }
}

/// Reads bodies. A cheap handle; all of one kind share their bound of memory.
#[derive(Debug, Clone)]
pub struct BodyReader {
    large: Arc<Semaphore>,
    max_bytes: usize,
}

impl BodyReader {
    /// For bodies of at most this size.
    pub fn new(max_bytes: usize) -> Self {
        Self {
            large: Arc::new(Semaphore::new(LARGE_AT_A_TIME)),
            max_bytes,
        }
    }

    /// Reads a body in full.
    pub async fn read(&self, body: Body) -> Result<Bytes, BodyError> {
        match tokio::time::timeout(READ_TIME, self.read_all(body)).await {
            Ok(read) => read,
            Err(_) => Err(BodyError::TooSlow),
        }
    }

    async fn read_all(&self, mut body: Body) -> Result<Bytes, BodyError> {
        use http_body_util::BodyExt as _;
        if http_body(&body) > self.max_bytes as u64 {
            return Err(BodyError::TooLarge(self.max_bytes));
        }
        let mut whole = Parts::default();
        let mut place = None;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| BodyError::CutOff)?.into_data() else {
                continue;
            };
            if whole.len() + data.len() > self.max_bytes {
                return Err(BodyError::TooLarge(self.max_bytes));
            }
            whole.push(data);
            if whole.len() > SMALL_BYTES && place.is_none() {
                place = self.large.acquire().await.ok();
            }
        }
        Ok(whole.into_bytes())
    }
}

/// The least that the body says it will hold.
fn http_body(body: &Body) -> u64 {
    axum::body::HttpBody::size_hint(body).lower()
}

/// Most bodies come in one piece, which is then not copied.
#[derive(Default)]
enum Parts {
    #[default]
    None,
    One(Bytes),
    Many(BytesMut),
}

impl Parts {
    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(bytes) => bytes.len(),
            Self::Many(bytes) => bytes.len(),
        }
    }

    fn push(&mut self, data: Bytes) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(data),
            Self::One(first) => {
                let mut bytes = BytesMut::with_capacity(2 * (first.len() + data.len()));
                bytes.extend_from_slice(&first);
                bytes.extend_from_slice(&data);
                Self::Many(bytes)
            }
            Self::Many(mut bytes) => {
                bytes.extend_from_slice(&data);
                Self::Many(bytes)
            }
        };
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::None => Bytes::new(),
            Self::One(bytes) => bytes,
            Self::Many(bytes) => bytes.freeze(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_of_the_largest_size_is_read_and_no_larger_one() {
        let reader = BodyReader::new(100_000);
        let read = |size: usize| reader.read(Body::from(vec![b'x'; size]));
        assert_eq!(read(100_000).await.map(|bytes| bytes.len()), Ok(100_000));
        assert_eq!(read(100_001).await, Err(BodyError::TooLarge(100_000)));
    }
}
