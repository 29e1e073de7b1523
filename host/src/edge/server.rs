//! The HTTP server: connections with bounds, and an orderly end.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use serde::{Deserialize, Serialize};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::unread::MustRead;

/// Headers of one request, in bytes: WeHub's have a few hundred.
const HEADERS_MAX_BYTES: usize = 64 * 1024;
/// How long the server rests when the machine has no more sockets to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Settings of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The address to listen on. Others than loopback make everything reachable
    /// that listens here: put a proxy with TLS in front.
    pub listen: SocketAddr,
    /// The address of this host for clients elsewhere, such as
    /// `https://bots.example`, when it is another than the one listened on.
    pub public_url: Option<String>,
    /// Connections at the same time. More are refused by waiting.
    pub connections_max: u32,
    /// How long a client may take to send the headers of a request, in ms; also how long
    /// an idle connection is kept, and how long a client may take nothing of what is
    /// written to it.
    pub idle_ms: u64,
    /// How long connections may take to end when the host ends, in ms.
    pub drain_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 2000)),
            public_url: None,
            connections_max: 16_384,
            idle_ms: 75_000,
            drain_ms: 15_000,
        }
    }
}

impl Config {
    /// Says which setting can't work, and why.
    pub fn check(&self) -> Result<(), String> {
        if self.connections_max == 0 || self.idle_ms == 0 {
            return Err(
                "server.connections_max and server.idle_ms: must be more than 0".to_owned(),
            );
        }
        match &self.public_url {
            Some(url) => check_public_url(url),
            None => Ok(()),
        }
    }

    /// What the addresses begin with that clients are given, without a slash at the
    /// end, when `address` is listened on.
    pub fn base_url(&self, address: SocketAddr) -> String {
        match &self.public_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("http://{address}"),
        }
    }
}

fn check_public_url(url: &str) -> Result<(), String> {
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '@');
    match rest {
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') && !rest.contains(odd) => Ok(()),
        _ => Err(
            "server.public_url: takes http:// or https://, a host, and a path if there is one; \
             no user and no query"
                .to_owned(),
        ),
    }
}

/// Cuts off the connection that a request came by, also while its client does not read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cut(CancellationToken);

impl Cut {
    /// Does it.
    pub(crate) fn off(&self) {
        self.0.cancel();
    }
}

/// What is open: connections, and what has become of them. A cheap handle.
#[derive(Debug, Clone, Default)]
pub(crate) struct Open {
    ending: CancellationToken,
    tasks: TaskTracker,
}

impl Open {
    /// Serves something that the end of the server waits for.
    pub(crate) fn serve(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(work);
    }

    /// Says when it is time to end.
    pub(crate) fn ending(&self) -> &CancellationToken {
        &self.ending
    }

    /// Has everything end. False when it took longer than this.
    async fn end(&self, time: Duration) -> bool {
        self.ending.cancel();
        self.tasks.close();
        tokio::time::timeout(time, self.tasks.wait()).await.is_ok()
    }
}

/// Serves until `shutdown` is done, then lets what is open end, for a bounded
/// time.
pub(crate) async fn run(
    listener: TcpListener,
    router: Router,
    config: &Config,
    open: Open,
    shutdown: impl Future<Output = ()>,
) {
    let room = Arc::new(Semaphore::new(config.connections_max as usize));
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(config.idle_ms))
        .max_buf_size(HEADERS_MAX_BYTES)
        // Openwx clients get the names of headers as they came.
        .preserve_header_case(true);
    tokio::pin!(shutdown);
    loop {
        let (stream, permit) = tokio::select! {
            accepted = accept(&listener, &room) => accepted,
            () = &mut shutdown => break,
        };
        let (service, cut) = (TowerToHyperService::new(router.clone()), Cut::default());
        let with_cut = cut.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(with_cut.clone());
            service.call(request)
        });
        let stream = MustRead::new(stream, Duration::from_millis(config.idle_ms));
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let ending = open.ending.clone();
        open.serve(async move {
            let _permit = permit;
            let mut connection = pin!(connection.with_upgrades());
            let served = tokio::select! {
                served = connection.as_mut() => served,
                () = cut.0.cancelled() => return,
                () = ending.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    tokio::select! {
                        served = connection => served,
                        () = cut.0.cancelled() => return,
                    }
                }
            };
            if let Err(error) = served {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    drop(listener);
    if !open.end(Duration::from_millis(config.drain_ms)).await {
        tracing::warn!("connections were still open after server.drain_ms and are cut off");
    }
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed.
    let permit = Arc::clone(room).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are small and awaited: never hold one back.
                let _ = stream.set_nodelay(true);
                return (stream, permit);
            }
            Err(error) => {
                tracing::warn!(%error, "no connection can be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_address_goes_before_the_one_listened_on() {
        let address = SocketAddr::from(([127, 0, 0, 1], 2000));
        let config = |url: Option<&str>| Config {
            public_url: url.map(str::to_owned),
            ..Config::default()
        };
        assert_eq!(config(None).base_url(address), "http://127.0.0.1:2000");
        let own = config(Some("https://bots.example/wx/"));
        assert_eq!(own.base_url(address), "https://bots.example/wx");
        assert_eq!(own.check(), Ok(()));
        for url in [
            "bots.example",
            "ftp://a",
            "http://",
            "http:///a",
            "http://a?b",
            "http://u@a",
        ] {
            assert!(config(Some(url)).check().is_err(), "{url}");
        }
    }
}
