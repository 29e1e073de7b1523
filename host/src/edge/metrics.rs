//! `/metrics`: what is counted and measured, for whoever has a token that reads it, or
//! for everybody on this machine if the settings say so.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use url::Url;

use super::{
    auth::{self, AdminToken, MetricsToken},
    error::{Kind, Problem},
    loopback::is_own_host,
};
use crate::{domain::client::Auth, metrics, service::Service};

/// Settings of `/metrics`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who may read it: whoever has a token, or everybody on this machine.
    pub auth: Auth,
}

impl Config {
    /// Says why it can't be served without a token at this address.
    pub fn check_served_at(&self, host: SocketAddr) -> Result<(), String> {
        match self.auth == Auth::None && !host.ip().is_loopback() {
            false => Ok(()),
            true => Err(format!(
                "metrics.auth: takes `none` only while server.listen is a loopback address, \
                 and {host} is none: take `token`"
            )),
        }
    }
}

/// Whose tokens open it.
#[derive(Debug, Clone)]
pub(crate) struct Readers {
    auth: Auth,
    admin: AdminToken,
    own: MetricsToken,
    /// The host's name for clients elsewhere.
    public_host: Option<String>,
}

impl Readers {
    pub(crate) fn new(
        config: &Config,
        admin: AdminToken,
        own: MetricsToken,
        public_url: Option<&str>,
    ) -> Self {
        let url = public_url.and_then(|url| Url::parse(url).ok());
        Self {
            auth: config.auth,
            admin,
            own,
            public_host: url.and_then(|url| url.host_str().map(str::to_owned)),
        }
    }

    /// Refuses what a web page has a browser on this machine read, by a name that somebody
    /// has pointed here.
    fn check_host(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(host) = headers.get(header::HOST) else {
            return Ok(());
        };
        let host = host.to_str().unwrap_or_default();
        match is_own_host(host, self.public_host.as_deref()) {
            true => Ok(()),
            false => Err(Problem::new(
                Kind::Forbidden,
                "the header Host names a host that is not this machine: use 127.0.0.1, [::1], \
                 localhost, or the name in server.public_url; or take metrics.auth = \"token\"",
            )),
        }
    }

    fn admit(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if self.auth == Auth::None {
            return self.check_host(headers);
        }
        let refused = |text| Err(Problem::new(Kind::Unauthorized, text));
        match auth::bearer(headers) {
            // Both are looked at, so that it takes the same time whosever it is.
            Some(given) if self.own.verify(given) | self.admin.verify(given) => Ok(()),
            Some(_) => refused("this is no token of this host that reads metrics"),
            None => refused(
                "send the header `Authorization: Bearer TOKEN` with the token in the file \
                 metrics-token of the data directory",
            ),
        }
    }
}

/// Serves `/metrics`.
pub(crate) fn router(service: Service, readers: Readers) -> Router {
    Router::new()
        .route("/metrics", get(show))
        .with_state(Shown {
            service,
            readers,
            looked: Arc::default(),
        })
}

/// For how long what was counted in the store counts: somebody who asks again and again
/// has it counted four times a second, and once at a time.
const COUNTED_FOR: Duration = Duration::from_millis(250);

#[derive(Clone)]
struct Shown {
    service: Service,
    readers: Readers,
    /// When it was counted last.
    looked: Arc<Mutex<Option<Instant>>>,
}

impl Shown {
    async fn look_around(&self) {
        let mut looked = self.looked.lock().await;
        if looked.is_some_and(|at| at.elapsed() < COUNTED_FOR) {
            return;
        }
        if let Err(error) = self.service.look_around().await {
            // What was counted is shown all the same: now it is needed most.
            tracing::warn!(%error, "the metrics show what was so before");
        }
        *looked = Some(Instant::now());
    }
}

async fn show(State(shown): State<Shown>, headers: HeaderMap) -> Result<Response, Problem> {
    shown.readers.admit(&headers)?;
    shown.look_around().await;
    let rendered = tokio::task::spawn_blocking(|| metrics::get().render()).await;
    match rendered {
        Ok(Ok(text)) => {
            let kind = [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)];
            Ok((kind, text).into_response())
        }
        Ok(Err(error)) => Err(Problem::internal(error)),
        Err(error) => Err(Problem::internal(error)),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn without_a_token_only_this_machine_is_served() {
        let (open, closed) = (Config { auth: Auth::None }, Config::default());
        let here = "127.0.0.1:2000".parse().unwrap();
        let everywhere = "0.0.0.0:2000".parse().unwrap();
        assert_eq!(open.check_served_at(here), Ok(()));
        let problem = open.check_served_at(everywhere).unwrap_err();
        assert!(problem.starts_with("metrics.auth"), "{problem}");
        assert_eq!(closed.check_served_at(everywhere), Ok(()));
    }
}
