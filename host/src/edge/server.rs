//! The HTTP server: connections with bounds, and an orderly end.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use serde::{Deserialize, Serialize};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

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
    /// Connections at the same time. More are refused by waiting.
    pub connections_max: u32,
    /// How long a client may take to send the headers of a request, in ms; also
    /// how long an idle connection is kept.
    pub idle_ms: u64,
    /// How long connections may take to end when the host ends, in ms.
    pub drain_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 2000)),
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
        Ok(())
    }
}

/// Serves until `shutdown` is done, then lets requests under way end, for a
/// bounded time.
pub async fn run(
    listener: TcpListener,
    router: Router,
    config: &Config,
    shutdown: impl Future<Output = ()>,
) {
    let room = Arc::new(Semaphore::new(config.connections_max as usize));
    let graceful = GracefulShutdown::new();
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(config.idle_ms))
        .max_buf_size(HEADERS_MAX_BYTES);
    tokio::pin!(shutdown);
    loop {
        let (stream, permit) = tokio::select! {
            accepted = accept(&listener, &room) => accepted,
            () = &mut shutdown => break,
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _permit = permit;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    drop(listener);
    let drained = tokio::time::timeout(Duration::from_millis(config.drain_ms), graceful.shutdown());
    if drained.await.is_err() {
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
