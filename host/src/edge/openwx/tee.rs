//! Passes reports on to the user's own address, and the user's answers back.

use std::time::Duration;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};

/// How long the user's program may take: the client waits no longer.
const ANSWER_TIME: Duration = Duration::from_secs(5);
/// How large its answer may be, in bytes: a text and an address.
const ANSWER_MAX_BYTES: usize = 256 * 1024;

/// Passes reports on. A cheap handle.
#[derive(Debug, Clone, Default)]
pub(super) struct Tee {
    http: Option<reqwest::Client>,
}

/// What the user's program answered.
#[derive(Debug)]
pub(super) struct UsersAnswer {
    status: StatusCode,
    mime: Option<HeaderValue>,
    body: Bytes,
}

impl IntoResponse for UsersAnswer {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.body).into_response();
        response.headers_mut().remove(header::CONTENT_TYPE);
        if let Some(mime) = self.mime {
            response.headers_mut().insert(header::CONTENT_TYPE, mime);
        }
        response
    }
}

impl Tee {
    /// With a pool of connections of its own.
    pub(super) fn new() -> Self {
        // Fails when there is one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(ANSWER_TIME).build();
        if let Err(error) = &http {
            tracing::error!(%error, "reports can't be passed on");
        }
        Self { http: http.ok() }
    }

    /// Passes a report on; none when there is no answer in time.
    pub(super) async fn forward(&self, address: &str, body: Bytes) -> Option<UsersAnswer> {
        match self.ask(address, body).await {
            Ok(answer) => Some(answer),
            Err(reason) => {
                // The address may hold a password.
                tracing::warn!(reason, "a report was not passed on");
                None
            }
        }
    }

    async fn ask(&self, address: &str, body: Bytes) -> Result<UsersAnswer, String> {
        let http = self.http.as_ref().ok_or("there is no HTTP client")?;
        let told = |error: reqwest::Error| error.without_url().to_string();
        let request = http
            .post(address)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body);
        let mut answer = request.send().await.map_err(told)?;
        let mut read = BytesMut::new();
        while let Some(piece) = answer.chunk().await.map_err(told)? {
            if read.len() + piece.len() > ANSWER_MAX_BYTES {
                return Err(format!("the answer has more than {ANSWER_MAX_BYTES} bytes"));
            }
            read.extend_from_slice(&piece);
        }
        Ok(UsersAnswer {
            status: answer.status(),
            mime: answer.headers().get(header::CONTENT_TYPE).cloned(),
            body: read.freeze(),
        })
    }
}
