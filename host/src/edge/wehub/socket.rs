//! `GET /wehub/ws/{ticket}`: every action of the protocol page over a WebSocket
//! (sections 2 and 8), and tasks pushed as they come.
//!
//! One task per connection. It answers frames in their order and pushes between
//! them; what it may hold is bounded: a message by the memory of bodies, one
//! outgoing frame by the time it may take, pushed tasks by their number. Who may
//! connect is `ticket`'s, what an action does `callback`'s.

mod awaited;

use std::{io, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Path, Request as HttpRequest, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::Semaphore,
    time::{Instant, timeout},
};

use self::awaited::Awaited;
use super::{
    admission::Config,
    callback::{Callback, Then, pulled},
    ticket::{Doors, Ticket, TicketKey},
    wire::WebSocketOffer,
};
use crate::{
    domain::{Account, AccountId, ClientKind, Task},
    edge::{
        body::{READ_TIME, STALL_TIME},
        server::Open,
        unread::MustRead,
        websocket::{self, Close, Frame, Frames},
    },
    service::{Error, Link, Next, Reporter, Service, Woken},
};

/// How many signs of life may be missing.
const MISSED_MAX: u32 = 2;
/// How many connections of one account there may be: the one that is served, and
/// those which it replaced while they part. More is a client gone wild, which shall
/// not use up everybody's `sockets_max`.
const ACCOUNT_MAX: u32 = 4;
/// How long a replaced connection may take to part: its client has another one.
const REPLACED_TIME: Duration = Duration::from_secs(2);
/// How long a frame may take to be written. A client that reads so slowly is cut
/// off, so that no more than one frame ever waits for it.
const WRITE_TIME: Duration = Duration::from_secs(10);
/// When a push that failed is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Nobody waits longer to look for a task again.
const WAIT_MAX: Duration = Duration::from_secs(60 * 60);

const REPLACED: Close = Close::new(1008, "another connection has taken this one's place");
const VOID: Close = Close::new(1008, "the ticket is not valid any more: log in again");
const FAILED: Close = Close::new(1011, "the host can't say now: try again");
const LOGGED_OUT: Close = Close::new(1000, "logged out");
const SILENT: Close = Close::new(1001, "no heartbeat");
const STALLED: Close = Close::new(1008, "a message did not come in time");
const ENDING: Close = Close::new(1001, "the host is ending");

/// What logins are offered. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Offers {
    key: TicketKey,
    /// What an address begins with, up to its ticket.
    base: Arc<str>,
    heartbeat_s: u32,
}

impl Offers {
    /// Addresses below this one, which begins with `http`.
    pub(crate) fn new(config: &Config, base_url: &str, key: TicketKey) -> Self {
        // http becomes ws, https becomes wss.
        let rest = base_url.strip_prefix("http").unwrap_or_default();
        Self {
            key,
            base: format!("ws{rest}/wehub/ws").into(),
            heartbeat_s: config.heartbeat_s,
        }
    }

    /// The address for the account's session; none without a session.
    pub(super) fn to(&self, account: &Account) -> Option<WebSocketOffer> {
        let ticket = self.key.ticket(account)?;
        Some(WebSocketOffer {
            ws_url: format!("{}/{ticket}", self.base),
            heartbeat_interval: self.heartbeat_s,
        })
    }
}

/// The endpoint. A cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct Sockets(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    callback: Callback,
    key: TicketKey,
    doors: Doors,
    room: Arc<Semaphore>,
    open: Open,
    /// How long a pushed task may wait for its result.
    result_time: Duration,
    /// How long a client may say nothing.
    silence: Duration,
}

impl Sockets {
    /// Serves what `offers` offers. Pushed tasks are awaited for `result_ms`.
    pub(crate) fn new(offers: Offers, callback: Callback, result_ms: u64, open: Open) -> Self {
        let config = callback.config();
        let doors = Doors::new(config.ticket_s * 1000, callback.service().now());
        Self(Arc::new(Inner {
            key: offers.key,
            doors,
            room: Arc::new(Semaphore::new(config.sockets_max as usize)),
            open,
            result_time: Duration::from_millis(result_ms),
            silence: silence(Duration::from_secs(config.heartbeat_s.into())),
            callback,
        }))
    }

    /// The routes below `/wehub`.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/ws/{ticket}", get(connect))
            .with_state(self)
    }

    fn service(&self) -> &Service {
        self.0.callback.service()
    }

    /// The account that a ticket is of, if it may come in now.
    async fn admit(&self, ticket: &Ticket) -> Result<Account, Refusal> {
        let account = self.account_of(ticket).await?;
        let session = account.session.as_ref().ok_or(Refusal::Void)?;
        let (login_ms, now_ms) = (session.login_ms, self.service().now());
        if !self.0.doors.is_open(&account.id, login_ms, now_ms) {
            return Err(Refusal::Expired);
        }
        // The lists may have changed since the login.
        let appid = account.appid.as_deref().unwrap_or_default();
        match self.0.callback.trusts("", appid, &account.id).await {
            Ok(Ok(_)) => Ok(account),
            Ok(Err(_)) => Err(Refusal::Void),
            Err(error) => Err(Refusal::Failed(error)),
        }
    }

    /// The account whose present session a ticket is of.
    async fn account_of(&self, ticket: &Ticket) -> Result<Account, Refusal> {
        match self.service().account(&ticket.account).await {
            Ok(account) if self.0.key.is_of(ticket, &account) => Ok(account),
            Ok(_) | Err(Error::NotFound { .. }) => Err(Refusal::Void),
            Err(error) => Err(Refusal::Failed(error)),
        }
    }
}

/// How long a client may say nothing: half an interval more than those that it may
/// miss, since one that comes late is not missed.
fn silence(interval: Duration) -> Duration {
    MISSED_MAX * interval + interval / 2
}

/// The connection below, and what was read of it already.
async fn stream_of(upgrade: OnUpgrade) -> io::Result<(TcpStream, Bytes)> {
    let upgraded = upgrade.await.map_err(io::Error::other)?;
    match upgraded.downcast::<TokioIo<MustRead<TcpStream>>>() {
        // Writes to it have an end of their own.
        Ok(parts) => Ok((parts.io.into_inner().into_inner(), parts.read_buf)),
        Err(_) => Err(io::Error::other("the connection is of another kind")),
    }
}

/// Why somebody gets no WebSocket.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("{0}")]
    NoHandshake(&'static str),
    /// Whose it is and why is nobody's business who can't show a good one.
    #[error("the ticket is not valid: log in again")]
    Void,
    #[error("the ticket has expired: log in again")]
    Expired,
    #[error("there are wehub.sockets_max connections: try again later")]
    Full,
    #[error("this account has {ACCOUNT_MAX} connections: try again later")]
    Crowded,
    #[error("the host can't say now: try again")]
    Failed(Error),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self {
            Self::NoHandshake(_) => StatusCode::BAD_REQUEST,
            Self::Void | Self::Expired => StatusCode::FORBIDDEN,
            Self::Full | Self::Crowded | Self::Failed(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        match &self {
            Self::Failed(error) => tracing::error!(%error, "a ticket could not be looked up"),
            Self::Full | Self::Crowded => tracing::warn!(reason = %self, "a WebSocket was refused"),
            _ => tracing::info!(reason = %self, "a WebSocket was refused"),
        }
        (status, format!("{self}\n")).into_response()
    }
}

async fn connect(
    State(sockets): State<Sockets>,
    Path(ticket): Path<String>,
    mut request: HttpRequest,
) -> Result<Response, Refusal> {
    let accept = websocket::accept(request.headers()).map_err(Refusal::NoHandshake)?;
    let ticket = Ticket::parse(&ticket).ok_or(Refusal::Void)?;
    let account = sockets.admit(&ticket).await?;
    let room = Arc::clone(&sockets.0.room).try_acquire_owned();
    let room = room.map_err(|_| Refusal::Full)?;
    let upgrade = hyper::upgrade::on(&mut request);
    let open = sockets.0.open.clone();
    let presence = Presence::of(sockets, &account.id).ok_or(Refusal::Crowded)?;
    open.serve(async move {
        let _room = room;
        presence.serve(ticket, account, upgrade).await;
    });
    Ok(switched(accept))
}

/// The answer after which the connection is a WebSocket.
fn switched(accept: HeaderValue) -> Response {
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("Upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers, Body::empty()).into_response()
}

/// An account has a connection as long as this lives.
#[derive(Debug)]
struct Presence {
    sockets: Sockets,
    account: AccountId,
}

impl Presence {
    /// None when the account has too many already.
    fn of(sockets: Sockets, account: &AccountId) -> Option<Self> {
        let has_come_in = sockets.0.doors.enter(account, ACCOUNT_MAX);
        has_come_in.then(|| Self {
            sockets,
            account: account.clone(),
        })
    }

    async fn serve(self, ticket: Ticket, account: Account, upgrade: OnUpgrade) {
        match stream_of(upgrade).await {
            Ok((stream, read)) => {
                let socket = Socket::open(self, &account, stream, &read);
                socket.run(ticket).await;
            }
            Err(error) => tracing::debug!(%error, "a WebSocket ended before it began"),
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let now_ms = self.sockets.service().now();
        self.sockets.0.doors.leave(&self.account, now_ms);
    }
}

/// How a socket ends.
#[derive(Debug)]
enum End {
    /// The client is told why.
    Say(Close),
    /// There is nobody to tell.
    Gone(io::Error),
}

impl From<Close> for End {
    fn from(close: Close) -> Self {
        Self::Say(close)
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Gone(error)
    }
}

/// One connection. Thousands of them are idle at a time: what is needed to handle
/// something is made when there is something.
#[derive(Debug)]
struct Socket {
    presence: Presence,
    link: Link,
    reporter: Reporter,
    stream: TcpStream,
    frames: Frames,
    /// When the client was heard last.
    heard: Instant,
    /// When the message began that is under way.
    began: Option<Instant>,
    /// When to look for a task.
    push_at: Option<Instant>,
    awaited: Awaited,
}

impl Socket {
    fn open(presence: Presence, account: &Account, stream: TcpStream, read: &[u8]) -> Self {
        let sockets = &presence.sockets;
        Self {
            link: sockets.service().attach(&account.id),
            frames: Frames::new(sockets.0.callback.bodies().clone(), read),
            reporter: reporter(account),
            presence,
            stream,
            heard: Instant::now(),
            began: None,
            push_at: None,
            awaited: Awaited::default(),
        }
    }

    async fn run(mut self, ticket: Ticket) {
        let end = match self.confirm(ticket).await {
            Ok(()) => self.turns().await,
            Err(close) => End::Say(close),
        };
        let Self {
            presence,
            link,
            stream,
            ..
        } = self;
        // Nothing is for this connection any more, but it is one until it is over.
        drop(link);
        let account = &presence.account;
        match end {
            End::Say(close) => {
                let Close { code, reason } = close;
                tracing::debug!(%account, code, reason, "a WebSocket is ended");
                let time = match close {
                    REPLACED => REPLACED_TIME,
                    _ => websocket::PARTING_TIME,
                };
                websocket::part(stream, close, time).await;
            }
            End::Gone(error) => tracing::debug!(%account, %error, "a WebSocket is gone"),
        }
    }

    /// Looks again whether the ticket is good: a logout or login since it was shown
    /// found no link to end. From now on there is one.
    async fn confirm(&self, ticket: Ticket) -> Result<(), Close> {
        match self.presence.sockets.account_of(&ticket).await {
            Ok(_) => Ok(()),
            Err(Refusal::Failed(error)) => {
                tracing::error!(%error, "a ticket could not be looked up");
                Err(FAILED)
            }
            Err(_) => Err(VOID),
        }
    }

    /// Goes on until something ends it.
    async fn turns(&mut self) -> End {
        loop {
            if let Err(end) = self.turn().await {
                return end;
            }
        }
    }

    /// Waits for something, then pushes one task at most and handles one frame at
    /// most, so that neither keeps the other waiting.
    async fn turn(&mut self) -> Result<(), End> {
        self.wait().await?;
        if self.push_due().is_some_and(|due| due <= Instant::now()) {
            Box::pin(self.push()).await?;
        }
        if let Some(frame) = self.frames.take()? {
            Box::pin(self.handle(frame)).await?;
        }
        if !self.frames.is_midway() {
            self.began = None;
        } else if self.began.is_none() {
            self.began = Some(Instant::now());
        }
        Ok(())
    }

    async fn wait(&mut self) -> Result<(), End> {
        let (busy, due) = (self.frames.may_have(), self.due());
        let open = &self.presence.sockets.0.open;
        tokio::select! {
            // Being replaced goes before pushing, reading before being silent.
            biased;
            woken = self.link.woken() => match woken {
                Woken::Replaced => return Err(REPLACED.into()),
                Woken::Work => self.push_at = Some(Instant::now()),
            },
            () = open.ending().cancelled() => return Err(ENDING.into()),
            () = std::future::ready(()), if busy => {}
            read = self.frames.fill(&self.stream) => {
                read?;
                self.heard = Instant::now();
            }
            () = tokio::time::sleep_until(due) => self.check_alive()?,
        }
        Ok(())
    }

    fn due(&self) -> Instant {
        let deadline = self.deadline();
        self.push_due().map_or(deadline, |due| due.min(deadline))
    }

    /// When the client is given up unless something comes.
    fn deadline(&self) -> Instant {
        match self.began {
            Some(began) => (began + READ_TIME).min(self.heard + STALL_TIME),
            None => self.heard + self.presence.sockets.0.silence,
        }
    }

    fn check_alive(&self) -> Result<(), End> {
        match (self.deadline() <= Instant::now(), self.began) {
            (false, _) => Ok(()),
            (true, Some(_)) => Err(STALLED.into()),
            (true, None) => Err(SILENT.into()),
        }
    }

    /// When to look for a task: not while too many wait for their results.
    fn push_due(&self) -> Option<Instant> {
        let at = self.push_at?;
        Some(self.awaited.free_at().map_or(at, |free| free.max(at)))
    }

    async fn push(&mut self) -> Result<(), End> {
        let now = Instant::now();
        self.push_at = None;
        self.awaited.forget(now);
        let Presence { sockets, account } = &self.presence;
        match sockets.service().next_task(account, &self.reporter).await {
            Ok(Next::Task(task)) => return self.push_task(&task).await,
            Ok(Next::Wait(ms)) => {
                self.push_at = Some(now + Duration::from_millis(ms).min(WAIT_MAX));
            }
            Ok(Next::Nothing) | Err(Error::Draining) => {}
            Err(error) => {
                tracing::warn!(%account, %error, "no task can be pushed");
                self.push_at = Some(now + RETRY_AFTER);
            }
        }
        Ok(())
    }

    /// A task that can't be written whole did not come whole: it is queued again.
    /// One that was written stays handed out and is not pushed twice.
    async fn push_task(&mut self, task: &Task) -> Result<(), End> {
        let now = Instant::now();
        // There may be more.
        self.push_at = Some(now);
        let until = now + self.presence.sockets.0.result_time;
        self.awaited.add(task.id.number, until);
        match pulled(task) {
            Ok(answer) => {
                let sent = self.send(websocket::text(&answer)).await;
                if sent.is_err() {
                    self.take_back(task).await;
                }
                sent
            }
            Err(error) => {
                tracing::error!(%error, "a task can't be pushed");
                Ok(())
            }
        }
    }

    async fn take_back(&self, task: &Task) {
        let service = self.presence.sockets.service();
        if let Err(error) = service.not_delivered(task).await {
            // Its result is awaited in vain, and it ends as unknown.
            tracing::warn!(task = %task.id, %error, "a lost push can't be queued again");
        }
    }

    async fn handle(&mut self, frame: Frame) -> Result<(), End> {
        match frame {
            Frame::Text(body) => self.answer(body).await,
            Frame::Ping(payload) => self.send(websocket::pong(&payload)).await,
            Frame::Pong => Ok(()),
            Frame::Close(code) => Err(End::Say(Close {
                code: code.map(|_| 1000),
                reason: "",
            })),
        }
    }

    async fn answer(&mut self, body: Bytes) -> Result<(), End> {
        let Presence { sockets, account } = &self.presence;
        let handled = sockets.0.callback.handle(Some(account), body).await;
        self.send(websocket::text(&handled.answer)).await?;
        match handled.then {
            Then::GoOn => {}
            Then::LoggedIn => self.renew().await,
            Then::LoggedOut => return Err(LOGGED_OUT.into()),
            Then::Told(task) => self.awaited.ended(task.number),
        }
        // However long that took, the client was heard.
        self.heard = Instant::now();
        self.began = None;
        Ok(())
    }

    /// The account has logged in anew: its tasks are for the new session.
    async fn renew(&mut self) {
        let Presence { sockets, account } = &self.presence;
        if let Ok(account) = sockets.service().account(account).await {
            self.reporter = reporter(&account);
        }
    }

    async fn send(&mut self, frame: Vec<u8>) -> Result<(), End> {
        let written = timeout(WRITE_TIME, self.stream.write_all(&frame)).await;
        Ok(written.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??)
    }
}

/// Who takes the tasks: the session that the ticket is of.
fn reporter(account: &Account) -> Reporter {
    let session = account.session.as_ref();
    Reporter {
        client: ClientKind::Wehub,
        appid: account.appid.clone(),
        client_session: session.map_or_else(String::new, |it| it.client_session.clone()),
    }
}
