//! Passes reports on to the user's own address, and the user's answers back.

use std::time::Duration;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use url::Url;

use crate::domain::ClientName;

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

/// The address with the client's name in its query, in place of any that is there.
pub(super) fn of_client(address: &str, name: &ClientName) -> String {
    let Ok(mut url) = Url::parse(address) else {
        return address.to_owned();
    };
    let others: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(key, _)| key != "client")
        .map(|(key, value)| (key.into_owned(), value.into_owned()))
        .collect();
    url.query_pairs_mut()
        .clear()
        .extend_pairs(others)
        .append_pair("client", name.as_str());
    url.into()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn the_client_s_name_is_merged_into_the_address() {
        let name = ClientName::try_from("p").unwrap();
        for (given, merged) in [
            ("http://h:1/cb", "http://h:1/cb?client=p"),
            ("http://h:1/cb?a=1&b=2", "http://h:1/cb?a=1&b=2&client=p"),
            ("http://h:1/cb?client=old&b=2", "http://h:1/cb?b=2&client=p"),
            ("http://h:1/cb?b=2#frag", "http://h:1/cb?b=2&client=p#frag"),
            ("no address", "no address"),
        ] {
            assert_eq!(of_client(given, &name), merged);
        }
    }
}
