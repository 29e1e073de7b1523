//! Passes reports on to the user's own address, and the user's answers back.

use std::time::Duration;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use reqwest::{Url, redirect};

use crate::edge::loopback::is_loopback;

/// How long the user's program may take: the client waits no longer.
const ANSWER_TIME: Duration = Duration::from_secs(5);
/// How large its answer may be, in bytes: a text and an address.
const ANSWER_MAX_BYTES: usize = 256 * 1024;

/// Passes reports on. A cheap handle.
#[derive(Debug, Clone, Default)]
pub(super) struct Tee(Option<Https>);

/// What speaks to addresses of this machine, and to others: by way of the proxies that
/// the environment names.
#[derive(Debug, Clone)]
struct Https {
    here: reqwest::Client,
    away: reqwest::Client,
}

impl Https {
    fn new() -> reqwest::Result<Self> {
        let builder = || {
            let builder = reqwest::Client::builder().timeout(ANSWER_TIME);
            // A report is for this address and no other.
            builder.redirect(redirect::Policy::none())
        };
        Ok(Self {
            here: builder().no_proxy().build()?,
            away: builder().build()?,
        })
    }

    fn to(&self, url: &Url) -> &reqwest::Client {
        match is_loopback(url) {
            true => &self.here,
            false => &self.away,
        }
    }
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
    /// With pools of connections of its own.
    pub(super) fn new() -> Self {
        // Fails when there is one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let https = Https::new();
        if let Err(error) = &https {
            tracing::error!(%error, "reports can't be passed on");
        }
        Self(https.ok())
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
        let https = self.0.as_ref().ok_or("there is no HTTP client")?;
        let url = Url::parse(address).map_err(|error| error.to_string())?;
        let told = |error: reqwest::Error| error.without_url().to_string();
        let request = https
            .to(&url)
            .post(url)
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
