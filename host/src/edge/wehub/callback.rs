//! `POST /wehub/callback`: every action of the protocol page, answered.
//!
//! Whatever comes is answered with HTTP 200 and JSON, since WeHub stops
//! reporting when it gets none; what is wrong with it is in `error_code` and
//! `error_reason`. Only refusals of transport (a body too large) stay HTTP.

use std::sync::Arc;

use axum::{
    Router,
    extract::Request as HttpRequest,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;

use super::{
    address::{self, Endpoint},
    admission::{App, Config, Refusal},
    signature::sign,
    socket::Offers,
    wire::{self, Incoming, LoginRequest, Report, Request, WireTask, code},
};
use crate::{
    domain::{AccountId, ClientKind, Task, TaskId},
    edge::{
        body::{BodyError, BodyReader},
        linger,
        loose::BadRequest,
    },
    service::{Delivery, Error, Next, Outcome, QrSession, Reporter, Service, SessionStart},
};

/// The largest body taken: contact reports of 10 MB and more happen (protocol
/// page, section 3).
const BODY_MAX_BYTES: usize = 32 * 1024 * 1024;

/// Up to this size a body is taken apart before its sender is known.
const TRUSTED_BYTES: usize = 64 * 1024;

/// What a person sees who opens the address in a browser.
const HELLO: &str = "This is wxhost. WeHub posts its events here: enter this address as its \
                     callback URL.\n";

/// Why an account logged out; WeHub itself gives no reason.
const LOGGED_OUT: &str = "the client reported a logout";

/// The endpoint. A cheap handle.
#[derive(Debug, Clone)]
pub struct Callback(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) config: Config,
    pub(super) service: Service,
    bodies: BodyReader,
    offers: Offers,
}

/// What came of a body.
#[derive(Debug)]
pub(super) struct Handled {
    /// The answer.
    pub answer: Bytes,
    /// What it means for the connection that the body came over.
    pub then: Then,
}

/// What a body means for its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Then {
    /// Nothing.
    GoOn,
    /// A session has begun.
    LoggedIn,
    /// The session has ended.
    LoggedOut,
    /// The client has told how this task went.
    Told(TaskId),
}

impl Then {
    fn of(action: &Incoming) -> Self {
        match action {
            Incoming::Login(_) => Self::LoggedIn,
            Incoming::Logout { .. } => Self::LoggedOut,
            Incoming::TaskResult { task, .. } => task.clone().map_or(Self::GoOn, Self::Told),
            Incoming::PullTask | Incoming::Heartbeat | Incoming::Report(_) => Self::GoOn,
        }
    }

    /// What is left of it when the body was refused: a task that was told of is not
    /// under way any more, whether its result could be taken or not.
    fn although_refused(self) -> Self {
        match self {
            Self::Told(task) => Self::Told(task),
            Self::GoOn | Self::LoggedIn | Self::LoggedOut => Self::GoOn,
        }
    }
}

impl Handled {
    fn refused(answer: Bytes) -> Self {
        let then = Then::GoOn;
        Self { answer, then }
    }
}

impl Callback {
    /// Serves with these settings, and makes logins such offers where a WebSocket is
    /// wanted.
    pub fn new(config: Config, service: Service, offers: Offers) -> Self {
        Self(Arc::new(Inner {
            config,
            service,
            bodies: BodyReader::new(BODY_MAX_BYTES),
            offers,
        }))
    }

    /// The settings.
    pub(super) fn config(&self) -> &Config {
        &self.0.config
    }

    /// The use cases.
    pub(super) fn service(&self) -> &Service {
        &self.0.service
    }

    /// What bounds the bodies.
    pub(super) fn bodies(&self) -> &BodyReader {
        &self.0.bodies
    }

    /// The routes below `/wehub`.
    pub fn router(self) -> Router {
        let secret = self.0.config.path_secret.clone();
        address::router(self, secret)
    }
}

impl Endpoint for Callback {
    const NAME: &'static str = "callback";
    const HELLO: &'static str = HELLO;

    async fn answer(&self, request: HttpRequest) -> Response {
        let mut body = request.into_body();
        match self.0.bodies.read(&mut body).await {
            Ok(body) => json(self.answer_to(body).await),
            Err(error) => {
                tracing::info!(%error, "a body was refused");
                // Who is still sending would see a broken pipe, no answer.
                if matches!(error, BodyError::TooLarge(_) | BodyError::NoRoom) {
                    linger::throw_away(body).await;
                }
                error.into_response()
            }
        }
    }
}

impl Callback {
    /// The answer to a body, whatever it holds.
    async fn answer_to(&self, body: Bytes) -> Bytes {
        self.handle(None, body).await.answer
    }

    /// Handles a body, whatever it holds. Where it came over a connection that is
    /// of one account, it is refused unless it is of that account too.
    pub(super) async fn handle(&self, owner: Option<&AccountId>, body: Bytes) -> Handled {
        if let Some(refusal) = self.refuse_large(&body).await {
            return Handled::refused(refusal);
        }
        let request = match parse(&body).await {
            Ok(Ok(request)) => request,
            Ok(Err(bad)) => return Handled::refused(refuse_bad(&bad)),
            Err(error) => return Handled::refused(refuse_failed("", None, &error)),
        };
        if let Some(owner) = owner.filter(|owner| **owner != request.account) {
            return Handled::refused(refuse_other(owner, &request));
        }
        let app = match self.admit(&request).await {
            Ok(Ok(app)) => app,
            Ok(Err(refusal)) => return Handled::refused(self.refuse_unadmitted(&request, refusal)),
            Err(error) => {
                let action = action_name(&request.action);
                return Handled::refused(refuse_failed(action, None, &error));
            }
        };
        let signature = login_signature(app, &request);
        let (action, signature) = (action_name(&request.action), signature.as_deref());
        let then = Then::of(&request.action);
        if owner.is_none() && matches!(request.action, Incoming::PullTask) {
            self.left_socket(&request).await;
        }
        match self.act(signature, request, body).await {
            Ok(answer) => Handled { answer, then },
            Err(error) => Handled {
                answer: refuse_failed(action, signature, &error),
                then: then.although_refused(),
            },
        }
    }

    /// A client that pulls over HTTP may have lost its WebSocket before the host has.
    /// It gets its task whatever comes of that.
    async fn left_socket(&self, request: &Request) {
        let reporter = Reporter {
            client: ClientKind::Wehub,
            appid: Some(request.appid.clone()),
            client_session: request.client_session.clone(),
        };
        let account = &request.account;
        if let Err(error) = self.0.service.asked_without_link(account, &reporter).await {
            tracing::warn!(%account, %error, "a link that was left is not ended");
        }
    }

    /// Refuses a large body of a stranger before it is taken apart, which takes
    /// many times its memory.
    async fn refuse_large(&self, body: &Bytes) -> Option<Bytes> {
        if body.len() <= TRUSTED_BYTES {
            return None;
        }
        let (action, appid, account) = wire::sender(body).ok()?;
        let refusal = match self.trusts(&action, &appid, &account).await {
            Ok(trusted) => trusted.err()?,
            Err(error) => return Some(refuse_failed(&action, None, &error)),
        };
        let reason = refusal.reason(&appid, &account);
        Some(refuse(&action, None, refusal_code(refusal), &reason))
    }

    /// Refuses somebody who is on no list. A login of a known customer is signed
    /// all the same, else WeHub shows a wrong signature as the reason.
    fn refuse_unadmitted(&self, request: &Request, refusal: Refusal) -> Bytes {
        tracing::info!(appid = request.appid, account = %request.account, ?refusal, "refused");
        let known = self.0.config.app(&request.appid);
        let signature = known.and_then(|app| login_signature(app, request));
        let code = refusal_code(refusal);
        let reason = refusal.reason(&request.appid, &request.account);
        refuse(
            action_name(&request.action),
            signature.as_deref(),
            code,
            &reason,
        )
    }

    async fn act(
        &self,
        signature: Option<&str>,
        request: Request,
        body: Bytes,
    ) -> Result<Bytes, Error> {
        let session = request.session_event(&body);
        let reporter = Reporter {
            client: ClientKind::Wehub,
            appid: Some(request.appid),
            client_session: request.client_session,
        };
        match (request.action, session) {
            (Incoming::Login(login), Some(report)) => {
                self.login(signature, login, report, reporter).await
            }
            (Incoming::Logout { machine_id, .. }, Some(report)) => {
                self.logout(report, reporter, machine_id).await
            }
            (Incoming::PullTask, _) => self.pull(&request.account, &reporter).await,
            (Incoming::TaskResult { task, done, reason }, _) => {
                let unknown = || Error::WrongTask("is no task of this host".to_owned());
                let task = task.ok_or_else(unknown)?;
                let outcome = match done {
                    true => Outcome::Done,
                    false => Outcome::Failed(reason),
                };
                let account = request.account;
                self.0
                    .service
                    .report_result(account, task, outcome, body)
                    .await?;
                Ok(wire::common_ack(&[]))
            }
            (Incoming::Report(report), _) => self.report(report, reporter).await,
            // A heartbeat needs no more than an answer; logins and logouts always
            // have an event.
            (
                Incoming::Heartbeat | Incoming::Login(_) | Incoming::Logout { .. },
                None | Some(_),
            ) => Ok(wire::common_ack(&[])),
        }
    }

    async fn login(
        &self,
        signature: Option<&str>,
        login: LoginRequest,
        report: Report,
        reporter: Reporter,
    ) -> Result<Bytes, Error> {
        let admission = match self.decide_login(&login, &report, &reporter).await? {
            Ok(admission) => admission,
            Err(refused) => return Ok(refused.answer(signature)),
        };
        let qr_login = login.qr_session_id.map(|id| QrSession {
            id,
            foreign: self.0.config.accept_foreign_qr_sessions,
        });
        let start = SessionStart {
            event: report.event,
            reporter,
            nickname: login.nickname,
            alias: login.alias,
            avatar_url: login.avatar_url,
            machine_id: login.machine_id,
            client_version: login.client_version,
            local_ips: login.local_ips,
            qr_login,
        };
        let account = self.0.service.start_session(start).await?;
        let offer = match admission.websocket {
            true => self.0.offers.to(&account),
            false => None,
        };
        let report_contact = admission.report_contact;
        Ok(wire::login_ack(signature, report_contact, offer.as_ref()))
    }

    async fn logout(
        &self,
        report: Report,
        reporter: Reporter,
        machine_id: String,
    ) -> Result<Bytes, Error> {
        let exits = self.decide_logout(&report, &reporter).await?;
        self.0
            .service
            .logout(report.event, reporter, machine_id, LOGGED_OUT.to_owned())
            .await?;
        Ok(wire::logout_ack(exits.client, exits.wechat))
    }

    async fn pull(&self, account: &AccountId, reporter: &Reporter) -> Result<Bytes, Error> {
        match self.0.service.next_task(account, reporter).await? {
            Next::Task(task) => pulled(&task),
            Next::Wait(_) | Next::Nothing => Ok(wire::pull_task_ack(None)),
        }
    }

    async fn report(&self, report: Report, reporter: Reporter) -> Result<Bytes, Error> {
        if let Some(answer) = self.decide_unknown(&report, &reporter).await? {
            return Ok(answer);
        }
        let delivery = Delivery {
            event: report.event,
            reporter,
            repeats_within: report.repeats_within,
            contacts: report.contacts,
            reply: self.0.config.replies.into(),
        };
        let tasks = self.0.service.deliver(delivery).await?;
        Ok(wire::common_ack(&wired(&tasks)))
    }
}

/// A queued task as its client gets it.
pub(super) fn pulled(task: &Task) -> Result<Bytes, Error> {
    let unfit = |error| Error::Host(format!("task {} can't be sent: {error}", task.id));
    let wired = wire::task(&task.action).map_err(unfit)?;
    Ok(wire::pull_task_ack(Some((&task.id, &wired))))
}

/// Takes a body apart: a large one, which takes a tenth of a second, where it holds
/// up nobody else.
async fn parse(body: &Bytes) -> Result<Result<Request, BadRequest>, Error> {
    if body.len() <= TRUSTED_BYTES {
        return Ok(wire::parse(body));
    }
    let body = body.clone();
    tokio::task::spawn_blocking(move || wire::parse(&body))
        .await
        .map_err(|error| Error::Host(error.to_string()))
}

/// Tasks in WeHub's words. Every action was checked before its task was made;
/// one that can't be told all the same is left out, loudly.
fn wired(tasks: &[Task]) -> Vec<WireTask<'_>> {
    let mut wired = Vec::with_capacity(tasks.len());
    for task in tasks {
        match wire::task(&task.action) {
            Ok(task) => wired.push(task),
            Err(error) => tracing::error!(task = %task.id, %error, "a task can't be sent"),
        }
    }
    wired
}

/// What a login's answer is signed with; none when it asks for none.
fn login_signature(app: &App, request: &Request) -> Option<String> {
    let Incoming::Login(login) = &request.action else {
        return None;
    };
    let nonce = login.nonce.as_deref()?;
    Some(sign(
        request.account.as_str(),
        nonce,
        app.secret_key.expose(),
    ))
}

/// The action's name, as far as the kind of answer hangs on it.
pub(super) fn action_name(action: &Incoming) -> &'static str {
    match action {
        Incoming::Login(_) => "login",
        Incoming::Logout { .. } => "logout",
        Incoming::PullTask => "pull_task",
        Incoming::TaskResult { .. } => "report_task_result",
        Incoming::Heartbeat => "heartbeat",
        Incoming::Report(_) => "report",
    }
}

fn refusal_code(refusal: Refusal) -> i32 {
    match refusal {
        Refusal::UnknownAppid => code::UNKNOWN_APPID,
        Refusal::NotAdmitted | Refusal::NotLoggedIn => code::NOT_ADMITTED,
    }
}

fn refuse_bad(bad: &BadRequest) -> Bytes {
    tracing::debug!(action = bad.action, reason = %bad, "a bad request was refused");
    wire::refusal(bad.action.as_deref(), code::BAD_REQUEST, &bad.to_string())
}

/// Refuses what names another account than the connection is of.
fn refuse_other(owner: &AccountId, request: &Request) -> Bytes {
    tracing::info!(account = %request.account, %owner, "refused on another's WebSocket");
    let reason = format!("wxid: this WebSocket is of {owner}");
    let action = action_name(&request.action);
    refuse(action, None, code::NOT_ADMITTED, &reason)
}

fn refuse(action: &str, signature: Option<&str>, code: i32, reason: &str) -> Bytes {
    match action {
        "login" => wire::login_refusal(signature, code, reason),
        action => wire::refusal(Some(action), code, reason),
    }
}

fn refuse_failed(action: &str, signature: Option<&str>, error: &Error) -> Bytes {
    let code = match error {
        Error::WrongTask(_) => code::UNKNOWN_TASK,
        Error::NotAsked { .. } => code::NOT_ASKED,
        Error::Busy { .. } | Error::Draining | Error::LoginMoved => code::BUSY,
        Error::Conflict(_) => code::NOT_ADMITTED,
        _ => code::HOST_FAILURE,
    };
    match error {
        Error::WrongTask(_) | Error::NotAsked { .. } | Error::Conflict(_) => {
            tracing::debug!(action, %error, "refused");
        }
        Error::Busy { .. } | Error::Draining => tracing::warn!(action, %error, "refused"),
        _ => tracing::error!(action, %error, "a request failed"),
    }
    let reason = match code {
        // What went wrong inside is for the log.
        code::HOST_FAILURE => "the host failed: try again".to_owned(),
        _ => error.to_string(),
    };
    refuse(action, signature, code, &reason)
}

pub(super) fn json(body: Bytes) -> Response {
    (
        [(header::CONTENT_TYPE, "application/json; charset=utf-8")],
        body,
    )
        .into_response()
}
