//! The composition root: builds the parts, wires them, runs them, and ends them
//! in order.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{Router, http::StatusCode, routing::get};
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_util::task::TaskTracker;

use crate::{
    blobs,
    config::Config,
    domain::{
        Action, ClientKind,
        action::Refused,
        client::Wanted,
        ports::{Clients, ComponentError, GuestLogs, KEPT, Store, StoreError},
    },
    edge::{
        self,
        auth::{AdminToken, ControllerToken, HostTokens, MetricsToken},
        error::{Kind, Problem},
        metrics::Readers,
        openwx::{Door, Openwx},
        server::Open,
        wehub::{Callback, Offers, Sockets, TicketKey, TicketKeyError},
    },
    files, guestlog,
    runtime::Wasm,
    service::{self, Service},
    store, supervisor, vault,
};

/// How often what is too old is looked for: every record is looked at.
const SWEEP_EVERY: Duration = Duration::from_secs(60 * 60);
/// How often idle accounts are dropped from memory.
const FORGET_EVERY: Duration = Duration::from_secs(10 * 60);
/// How often the store is asked whether it still works.
const HEALTH_EVERY: Duration = Duration::from_secs(1);
/// How long the sweep rests between two steps, so that nobody notices it.
const SWEEP_PAUSE: Duration = Duration::from_millis(20);
/// How long the accounts of the clients may take to end with them: some writes each.
const PART_TIME: Duration = Duration::from_secs(2);
/// The file that holds the address in use, for the command line on this machine.
pub const ADDRESS_FILE: &str = "address";

/// Why the host did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A file or directory can't be used.
    #[error("{}: {error}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The address can't be listened on.
    #[error("{setting} {address}: {error}")]
    Listen {
        /// Which setting names it.
        setting: &'static str,
        /// Which address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The store can't be opened or closed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The runtime can't be built.
    #[error(transparent)]
    Runtime(#[from] ComponentError),
    /// What is deployed can't be read.
    #[error(transparent)]
    Service(#[from] service::Error),
    /// The admin token can't be used.
    #[error("{0}")]
    Token(String),
    /// The key of the secrets can't be used.
    #[error(transparent)]
    Vault(#[from] vault::OpenError),
    /// The key of the WebSockets' addresses can't be used.
    #[error(transparent)]
    TicketKey(#[from] TicketKeyError),
}

/// Runs the host until `shutdown` is done: then no new work is taken, calls
/// under way end or time out, and the store is closed.
pub async fn serve(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), AppError> {
    let data = config.data.clone();
    files::private_dir(&data).map_err(|error| AppError::File {
        path: data.clone(),
        error,
    })?;
    let store = store::open(&config.store, &data)?;
    // The store is ours alone from here, and so is the directory.
    files::remove_leftovers(&data);
    let served = serve_on(&config, Arc::clone(&store), shutdown).await;
    let closed = store.close().await;
    served?;
    Ok(closed?)
}

async fn serve_on(
    config: &Config,
    store: Arc<dyn Store>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), AppError> {
    let keys = Keys::load_or_create(&config.data)?;
    let listener = listen("server.listen", config.server.listen).await?;
    let further = listen_further(config).await?;
    let address = listener.local_addr().unwrap_or(config.server.listen);
    let native = native(config, Arc::clone(&store), address)?;
    let parts = parts(config, &store, Arc::clone(&native)).await;
    let served = match parts {
        Ok(parts) => {
            let host = Host::new(config, store, parts, keys, address);
            host.serve(listener, further, shutdown).await
        }
        Err(error) => Err(error),
    };
    if served.is_err() {
        // What scripts find of the clients is gone in any case.
        native.end().await;
    }
    served
}

/// What the host lets others in by.
struct Keys {
    admin: AdminToken,
    controller: ControllerToken,
    metrics: MetricsToken,
    tickets: TicketKey,
}

impl Keys {
    fn load_or_create(data: &Path) -> Result<Self, AppError> {
        let token = |error: edge::auth::TokenError| AppError::Token(error.to_string());
        Ok(Self {
            admin: AdminToken::load_or_create(data).map_err(token)?,
            controller: ControllerToken::load_or_create(data).map_err(token)?,
            metrics: MetricsToken::load_or_create(data).map_err(token)?,
            tickets: TicketKey::load_or_create(data)?,
        })
    }

    /// What no guest gets.
    fn of_host(&self) -> HostTokens {
        HostTokens {
            admin: self.admin.clone(),
            controller: self.controller.clone(),
            metrics: self.metrics.clone(),
        }
    }
}

/// The use cases, and the clients that are still to be started.
async fn parts(
    config: &Config,
    store: &Arc<dyn Store>,
    native: Arc<dyn Clients>,
) -> Result<(Service, Vec<Wanted>), AppError> {
    let (data, limits) = (&config.data, config.limits.clone());
    let egress = config.egress.clone();
    let (store_of_runtime, endpoints) = (Arc::clone(store), config.endpoints.clone());
    let runtime = Wasm::open(
        limits,
        egress,
        endpoints,
        data,
        store_of_runtime,
        check_action,
    )?;
    let blobs = blobs::open(&config.files, data).map_err(|error| AppError::File {
        path: data.join("files"),
        error,
    })?;
    let service = Service::start(
        Arc::clone(store),
        Arc::new(runtime),
        blobs,
        native,
        vault::open(&config.secrets, data)?,
        check_action,
        config.policies(),
    )
    .await?;
    service.keep_logs(logs(config, store)?);
    let wanted = service.know_clients().await?;
    Ok((service, wanted))
}

/// Where what handlers log is kept.
fn logs(config: &Config, store: &Arc<dyn Store>) -> Result<Arc<dyn GuestLogs>, AppError> {
    let store = Arc::clone(store);
    let clock: guestlog::Clock = Arc::new(move || store.now());
    guestlog::open(&config.handler_logs, &config.data, clock).map_err(|error| AppError::File {
        path: config.data.join("logs"),
        error,
    })
}

/// Everything that serves, wired.
struct Host<'a> {
    config: &'a Config,
    store: Arc<dyn Store>,
    service: Service,
    wanted: Vec<Wanted>,
    openwx: Openwx,
    router: Router,
    open: Open,
    address: SocketAddr,
}

impl<'a> Host<'a> {
    fn new(
        config: &'a Config,
        store: Arc<dyn Store>,
        (service, wanted): (Service, Vec<Wanted>),
        keys: Keys,
        address: SocketAddr,
    ) -> Self {
        let open = Open::default();
        let tokens = keys.of_host();
        let wehub = wehub(config, &service, address, &open, keys.tickets);
        let door = door(config, keys.admin.clone(), keys.controller);
        let openwx = Openwx::new(&config.openwx, service.clone(), door);
        let base_url = config.server.base_url(address);
        let endpoints =
            edge::endpoints::router(service.clone(), tokens, &base_url, &config.endpoints);
        let readers = Readers::new(
            &config.metrics,
            keys.admin.clone(),
            keys.metrics,
            config.server.public_url.as_deref(),
        );
        let router = router(config, &service, keys.admin, wehub, &openwx, &open)
            .merge(edge::metrics::router(service.clone(), readers))
            .merge(endpoints);
        Self {
            config,
            store,
            service,
            wanted,
            openwx,
            router,
            open,
            address,
        }
    }

    /// Serves until the end, and ends in order.
    async fn serve(
        mut self,
        listener: TcpListener,
        further: Vec<TcpListener>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), AppError> {
        let (data, address) = (&self.config.data, self.address);
        let file = AddressFile::write(data, address)?;
        warn_of_open_doors(self.config, address);
        tracing::info!(addr = %address, data = %data.display(), "listening");
        let mut upkeep = self.upkeep();
        let driver = tokio::spawn(self.openwx.clone().drive());
        let further = serve_further(self.config, further, &self.openwx, &self.open);
        let (router, server) = (std::mem::take(&mut self.router), &self.config.server);
        edge::server::run(listener, router, server, self.open.clone(), async {
            tokio::select! {
                () = shutdown => tracing::info!("ending: no new work is taken"),
                () = failure(&self.store) => tracing::error!("the store has failed: ending"),
            }
            self.service.stop_taking();
        })
        .await;
        further.close();
        further.wait().await;
        upkeep.shutdown().await;
        self.service.native().end().await;
        part(driver).await;
        self.service.drain().await;
        self.service.close_logs().await;
        drop(file);
        self.store.health()?;
        tracing::info!("ended");
        Ok(())
    }

    /// What goes on beside the server. It can be dropped at any time.
    fn upkeep(&mut self) -> JoinSet<()> {
        let mut upkeep = JoinSet::new();
        upkeep.spawn(sweep(Arc::clone(&self.store)));
        upkeep.spawn(forget_idle(self.service.clone()));
        let service = self.service.clone();
        upkeep.spawn(async move { service.watch_alarms().await });
        let own = [self.address].into_iter();
        let own = own.chain(self.config.openwx.listen.clone()).collect();
        upkeep.spawn(self.openwx.clone().heartbeat(own));
        // Not before the server: clients report while they begin.
        let (service, wanted) = (self.service.clone(), std::mem::take(&mut self.wanted));
        upkeep.spawn(async move { service.start_wanted_clients(wanted).await });
        upkeep
    }
}

/// Gives what looks after the clients' accounts a moment to see that they have ended.
async fn part(mut driver: JoinHandle<()>) {
    if timeout(PART_TIME, &mut driver).await.is_err() {
        driver.abort();
    }
}

/// Done when the store has failed. It takes no more work then, so the host is
/// better started again by whoever watches it.
async fn failure(store: &Arc<dyn Store>) {
    while store.health().is_ok() {
        tokio::time::sleep(HEALTH_EVERY).await;
    }
}

/// What runs Openwx clients. They report to the host's own address.
fn native(
    config: &Config,
    store: Arc<dyn Store>,
    address: SocketAddr,
) -> Result<Arc<dyn Clients>, AppError> {
    let local = match address.ip().is_unspecified() {
        true => SocketAddr::from(([127, 0, 0, 1], address.port())),
        false => address,
    };
    let clock: supervisor::Clock = Arc::new(move || store.now());
    let base_url = format!("http://{local}");
    supervisor::open(&config.openwx, &config.data, &base_url, clock).map_err(|error| {
        AppError::File {
            path: config.openwx.places(&config.data).tmpdir,
            error,
        }
    })
}

/// What WeHub speaks to: the callback, and the WebSockets if there are any.
fn wehub(
    config: &Config,
    service: &Service,
    address: SocketAddr,
    open: &Open,
    key: TicketKey,
) -> Router {
    let offers = Offers::new(&config.wehub, &config.server.base_url(address), key);
    let callback = Callback::new(config.wehub.clone(), service.clone(), offers.clone());
    let result_ms = config.tasks.result_ms;
    let sockets = Sockets::new(offers, callback.clone(), result_ms, open.clone());
    callback.router().merge(sockets.router())
}

/// Everything that listens.
fn router(
    config: &Config,
    service: &Service,
    token: AdminToken,
    wehub: Router,
    openwx: &Openwx,
    open: &Open,
) -> Router {
    let ready = service.clone();
    let readiness = move || async move {
        match ready.ready() {
            Ok(()) => (
                StatusCode::OK,
                axum::Json(serde_json::json!({"status": "ready"})),
            ),
            Err(error) => {
                // Anybody can ask: what went wrong inside is for the log.
                let (status, reason) = match error {
                    service::Error::Draining => ("draining", "the host is ending"),
                    _ => ("failed", "the store has failed; the host's log says why"),
                };
                let body = serde_json::json!({"status": status, "reason": reason});
                (StatusCode::SERVICE_UNAVAILABLE, axum::Json(body))
            }
        }
    };
    let alive = || async { axum::Json(serde_json::json!({"status": "ok"})) };
    let uploads =
        edge::wehub::Uploads::new(config.wehub.clone(), config.files.clone(), service.clone());
    // Not over WeHub's addresses, which throw away what they refuse by themselves:
    // nearly all bodies of the callback are small and whole, and need no wrapping.
    let component_bytes = config.limits.component_bytes;
    let ending = open.ending().clone();
    let api = edge::control::router(service.clone(), token, component_bytes, ending)
        .layer(axum::middleware::from_fn(edge::linger::linger));
    Router::new()
        .nest("/wehub", wehub.merge(uploads.router()))
        .nest("/api/v1", api)
        .merge(openwx.routes())
        .route("/healthz", get(alive))
        .route("/readyz", get(readiness))
        .fallback(|| async { Problem::new(Kind::NotFound, "there is nothing at this address") })
}

/// Whether an action can be put into the words of this kind of client.
fn check_action(client: ClientKind, action: &Action) -> Result<(), Refused> {
    match client {
        ClientKind::Wehub => edge::wehub::wire::check(action),
        ClientKind::Openwx => edge::openwx::wire::check(action),
    }
}

/// Who may use the controller API.
fn door(config: &Config, admin: AdminToken, own: ControllerToken) -> Door {
    let public_url = config.server.public_url.as_deref();
    Door::new(config.openwx.auth, admin, own, public_url)
}

async fn listen(setting: &'static str, address: SocketAddr) -> Result<TcpListener, AppError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| AppError::Listen {
            setting,
            address,
            error,
        })
}

/// The addresses that serve the controller API alone.
async fn listen_further(config: &Config) -> Result<Vec<TcpListener>, AppError> {
    let mut listeners = Vec::new();
    for address in &config.openwx.listen {
        listeners.push(listen("openwx.listen", *address).await?);
    }
    Ok(listeners)
}

/// Serves the controller API there until the host's own address is served no more.
fn serve_further(
    config: &Config,
    listeners: Vec<TcpListener>,
    openwx: &Openwx,
    open: &Open,
) -> TaskTracker {
    let servers = TaskTracker::new();
    for listener in listeners {
        let (router, config) = (openwx.alone(), config.server.clone());
        let ending = open.ending().clone();
        servers.spawn(async move {
            let shutdown = ending.cancelled();
            edge::server::run(listener, router, &config, Open::default(), shutdown).await;
        });
    }
    servers
}

fn warn_of_open_doors(config: &Config, address: SocketAddr) {
    if config.wehub.app.is_empty() {
        tracing::warn!("no [[wehub.app]] is configured: every WeHub login is refused");
    }
    if !address.ip().is_loopback() && config.wehub.path_secret.is_none() {
        tracing::warn!(
            "the callback is reachable from outside and WeHub can't authenticate itself: \
             set wehub.path_secret"
        );
    }
    let here_only = address.ip().is_loopback() || address.ip().is_unspecified();
    if config.wehub.websocket && config.server.public_url.is_none() && here_only {
        tracing::warn!(
            "clients are told to connect to {address}, which is no address on other machines: \
             set server.public_url"
        );
    }
}

/// Keeps memory to the accounts that are served.
async fn forget_idle(service: Service) {
    loop {
        tokio::time::sleep(FORGET_EVERY).await;
        service.forget_idle();
    }
}

/// Forgets what is too old, a little at a time.
async fn sweep(store: Arc<dyn Store>) {
    let kept_ms = KEPT.as_millis() as u64;
    loop {
        loop {
            match store.sweep(store.now().saturating_sub(kept_ms)).await {
                Ok(true) => tokio::time::sleep(SWEEP_PAUSE).await,
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(%error, "old records could not be removed");
                    break;
                }
            }
        }
        tokio::time::sleep(SWEEP_EVERY).await;
    }
}

/// The address in use, in a file that goes away with the host.
struct AddressFile(PathBuf);

impl AddressFile {
    fn write(data: &Path, address: SocketAddr) -> Result<Self, AppError> {
        let path = data.join(ADDRESS_FILE);
        files::write_durably_blocking(&path, address.to_string().as_bytes()).map_err(|error| {
            AppError::File {
                path: path.clone(),
                error,
            }
        })?;
        Ok(Self(path))
    }
}

impl Drop for AddressFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
