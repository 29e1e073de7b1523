//! QR logins: started here, carried out by an agent's client, watched until
//! somebody has scanned the code or nobody did (seed document on QR logins).

use std::cmp::Reverse;

use bytes::Bytes;

use super::{Error, Service, measured::note_made, turn::Turn};
use crate::domain::{
    Account, AccountId, Action, ClientKind, Login, LoginId, LoginState, Millis, Task, TaskState,
    login::{NOTE_MAX_BYTES, QrImage},
    ports::{Commit, ImageChange, LoginChange, LoginChanged},
    task::Origin,
};

/// How many logins are kept that were asked for here, ended ones included: as many
/// as some busy weeks have. Who asks for more has a fault, or means harm.
const OWN_MAX: usize = 10_000;
/// How many logins are kept that nobody asked for: whoever reaches the upload
/// address can begin one.
const FOREIGN_MAX: usize = 500;
/// How many agents are asked one after the other, each because the one before has
/// logged out.
const AGENTS_MAX: usize = 4;
/// How many logins are taken from an agent that has logged out; the deadlines of
/// any more end them.
const WAITING_MAX: usize = 100;
/// How long an agent counts as there after it was last heard of: WeHub polls every
/// few seconds, and sends heartbeats every half minute.
pub(super) const HEARD_WITHIN_MS: u64 = 90_000;
/// How many accounts are looked at at a time in search of an agent.
const PAGE: usize = 500;
/// How often a change is tried anew when somebody else was faster.
const TRIES: usize = 8;

/// What is wrong with an account as an agent that Openwx drives.
const NO_AGENT: &str = "is no WeHub account, and only WeHub clients start others: an Openwx client \
                        is started with `wxhost client start NAME`";

/// Who shall start a client. Nobody named: any client that is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoginRequest {
    /// This account's client.
    pub agent: Option<AccountId>,
    /// A client with this `machine_id`.
    pub machine: Option<String>,
    /// What to remember about it.
    pub note: String,
}

/// The QR session that a client names at its login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QrSession {
    /// As the client names it.
    pub id: String,
    /// Whether one that nobody asked for here is taken.
    pub foreign: bool,
}

// ------------------------------------------------------------- for operators

impl Service {
    /// Has a client start another one and log it in by a QR code.
    pub async fn start_login(&self, request: LoginRequest) -> Result<Login, Error> {
        if request.note.len() > NOTE_MAX_BYTES {
            let problem = format!("has at most {NOTE_MAX_BYTES} bytes");
            return Err(Error::BadRequest {
                field: "note",
                problem,
            });
        }
        let service = self.clone();
        self.detached(async move {
            service.check_logins_room().await?;
            let id = LoginId::random().map_err(|error| Error::Host(error.to_string()))?;
            let (agent, turn) = service.take_agent(&request, None).await?;
            let (task, now_ms) = service.login_task(&agent, &id);
            let mut login = Login::requested(id, agent, task.id.clone(), request.note, now_ms);
            login.any_agent = request.agent.is_none() && request.machine.is_none();
            service.ask_agent(&turn, task, login).await
        })
        .await
    }

    /// One QR login.
    pub async fn qr_login(&self, id: &LoginId) -> Result<Login, Error> {
        let found = self.0.store.login(id).await?;
        found.ok_or_else(|| Error::not_found("login", id))
    }

    /// QR logins, newest first: those of one state or all, after this one.
    pub async fn qr_logins(
        &self,
        state: Option<LoginState>,
        after: Option<&LoginId>,
        limit: usize,
    ) -> Result<Vec<Login>, Error> {
        let mut logins = self.0.store.logins().await?;
        logins.sort_by(|a, b| place(a).cmp(&place(b)));
        let begin = match after {
            Some(after) => logins
                .iter()
                .position(|login| login.id == *after)
                .map(|last| last + 1)
                .ok_or_else(|| Error::not_found("login", after))?,
            None => 0,
        };
        let wanted = |login: &Login| state.is_none_or(|state| login.state == state);
        let rest = logins.into_iter().skip(begin);
        Ok(rest.filter(wanted).take(limit).collect())
    }

    /// The code to be scanned now, with its login.
    pub async fn qr_image(&self, id: &LoginId) -> Result<(Login, Bytes), Error> {
        let login = self.qr_login(id).await?;
        match self.0.store.login_image(id).await? {
            Some(image) if login.image.is_some() => Ok((login, image.into())),
            _ => Err(Error::not_found(
                "code to scan: the login is",
                login.state.as_str(),
            )),
        }
    }

    /// Gives a login up.
    pub async fn cancel_login(&self, id: &LoginId) -> Result<Login, Error> {
        let (service, id) = (self.clone(), id.clone());
        self.detached(async move {
            let given_up = |login: &mut Login, now_ms| login.failed("called off", now_ms);
            let login = service.change_until_done(&id, given_up).await?;
            if let (LoginState::Failed, Some(task)) = (login.state, &login.task) {
                // The client may have it by now, which makes no difference.
                match service.cancel(task).await {
                    Ok(_) | Err(Error::Conflict(_) | Error::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(login)
        })
        .await
    }

    pub(super) async fn check_logins_room(&self) -> Result<(), Error> {
        let logins = self.0.store.logins().await?;
        match logins.iter().filter(|login| !login.foreign).count() < OWN_MAX {
            true => Ok(()),
            false => Err(Error::Busy {
                reason: format!(
                    "{OWN_MAX} logins are kept already; they are forgotten 7 days after they \
                     ended"
                ),
            }),
        }
    }
}

/// Newest first, and always in the same order.
fn place(login: &Login) -> (Reverse<Millis>, &LoginId) {
    (Reverse(login.made_ms), &login.id)
}

// --------------------------------------------------------------- for clients

impl Service {
    /// Whether a code for this login is awaited: false for a login that is not known,
    /// where those are taken that nobody asked for. Else it says why none is taken.
    pub async fn awaits_code(&self, id: &LoginId, foreign: bool) -> Result<bool, Error> {
        match self.0.store.login(id).await? {
            Some(login) if login.state.is_final() => Err(ended(login.state)),
            Some(_) => Ok(true),
            None if foreign => Ok(false),
            None => Err(not_ours(id.as_str())),
        }
    }

    /// A client uploads a code for this login. `foreign` says whether logins are
    /// taken that nobody asked for here. The same code again changes nothing.
    pub async fn qr_uploaded(
        &self,
        id: LoginId,
        machine_id: String,
        image: QrImage,
        bytes: Bytes,
        foreign: bool,
    ) -> Result<Login, Error> {
        let service = self.clone();
        self.detached(async move {
            for _ in 0..TRIES {
                let mut login = service.open_login(&id, foreign).await?;
                let policy = &service.0.policies.logins;
                let now_ms = service.0.store.now();
                let new = login.uploaded(&machine_id, image.clone(), policy, now_ms);
                if !new.map_err(not_asked)? {
                    return Ok(login);
                }
                let mut change = service.change_of(login.clone());
                if login.image.is_some() {
                    change.image = ImageChange::Put(bytes.clone());
                }
                match service.0.store.change_login(change).await? {
                    LoginChanged::Moved => continue,
                    LoginChanged::Ok if login.state.is_final() => return Err(ended(login.state)),
                    LoginChanged::Ok => return Ok(login),
                }
            }
            Err(Error::LoginMoved)
        })
        .await
    }

    /// The login of this name; one that nobody asked for is begun, if that is
    /// allowed.
    async fn open_login(&self, id: &LoginId, foreign: bool) -> Result<Login, Error> {
        if let Some(login) = self.0.store.login(id).await? {
            return Ok(login);
        }
        if !foreign {
            return Err(not_ours(id.as_str()));
        }
        let logins = self.0.store.logins().await?;
        if logins.iter().filter(|login| login.foreign).count() >= FOREIGN_MAX {
            return Err(Error::Busy {
                reason: format!(
                    "{FOREIGN_MAX} QR sessions that nobody asked for are kept; they are \
                     forgotten 7 days after they ended"
                ),
            });
        }
        let login = Login::foreign(id.clone(), self.0.store.now());
        let change = self.change_of(login.clone());
        match self.0.store.change_login(change).await? {
            LoginChanged::Ok => Ok(login),
            LoginChanged::Moved => self.qr_login(id).await,
        }
    }

    /// Writes an account that logged in out of a QR session, and ends the login in
    /// the same commit. A login that has ended before, by another account or by
    /// time, is left as it is, and so is one that is not taken here: whether the
    /// account may log in does not hang on it.
    pub(super) async fn start_by_qr(
        &self,
        turn: &mut Turn,
        account: &mut Account,
        qr: QrSession,
    ) -> Result<(), Error> {
        let Ok(id) = LoginId::try_from(qr.id.as_str()) else {
            return self.write_account(turn, account.clone()).await;
        };
        for _ in 0..TRIES {
            let Some(mut login) = self.0.store.login(&id).await? else {
                tracing::warn!(account = %account.id, "it names a QR session unknown here");
                return self.write_account(turn, account.clone()).await;
            };
            let change = match login.succeeded(account.id.clone(), self.0.store.now()) {
                Ok(()) => Some(self.change_of(login)),
                Err(over) if login.account.as_ref() != Some(&account.id) => {
                    tracing::warn!(account = %account.id, login = %id, %over, "a late login");
                    return self.write_account(turn, account.clone()).await;
                }
                // The client logs in again.
                Err(_) => None,
            };
            if let Some(session) = &mut account.session {
                session.qr_login = Some(id.clone());
            }
            let commit = Commit {
                login: change,
                ..Commit::default()
            };
            match self
                .write_account_with(turn, account.clone(), commit.into())
                .await
            {
                Err(Error::LoginMoved) => continue,
                written => return written,
            }
        }
        Err(Error::LoginMoved)
    }
}

fn not_ours(id: &str) -> Error {
    Error::NotAsked {
        field: "qr_session_id",
        problem: format!(
            "{id} is no QR session of this host (wehub.accept_foreign_qr_sessions takes those \
             that were started by hand)"
        ),
    }
}

fn not_asked(over: crate::domain::login::LoginOver) -> Error {
    Error::NotAsked {
        field: "qr_session_id",
        problem: over.to_string(),
    }
}

fn ended(state: LoginState) -> Error {
    not_asked(crate::domain::login::LoginOver::Ended(state))
}

// --------------------------------------------------------------- the agents

impl Service {
    /// The turn of a client that can be asked, and is not `except`. Looked at again
    /// once its turn has come: it may have logged out meanwhile.
    async fn take_agent(
        &self,
        request: &LoginRequest,
        except: Option<&AccountId>,
    ) -> Result<(AccountId, Turn), Error> {
        for _ in 0..TRIES {
            let agent = self.find_agent(request, except).await?;
            let turn = self.turn(&agent).await?;
            let account = turn.account.as_deref();
            if account.is_some_and(|account| self.why_no_agent(account).is_none()) {
                return Ok((agent, turn));
            }
        }
        Err(Error::NoAgent(
            "the clients that are there keep logging out: try again".to_owned(),
        ))
    }

    /// A client that can be asked, and is not `except`.
    async fn find_agent(
        &self,
        request: &LoginRequest,
        except: Option<&AccountId>,
    ) -> Result<AccountId, Error> {
        if let Some(agent) = &request.agent {
            self.check_is_no_client(agent, ClientKind::Wehub)
                .map_err(|_| Error::NoAgent(format!("{agent} {NO_AGENT}")))?;
            let account = self.account(agent).await?;
            return match self.why_no_agent(&account) {
                None => Ok(agent.clone()),
                Some(reason) => Err(Error::NoAgent(format!("{agent} {reason}"))),
            };
        }
        if request.machine.is_none()
            && let Some(agent) = self.recent_agent(except).await?
        {
            return Ok(agent);
        }
        self.search_agent(request, except).await
    }

    /// One of those that were heard of lately, those with a link first.
    async fn recent_agent(&self, except: Option<&AccountId>) -> Result<Option<AccountId>, Error> {
        let linked = self.0.links.accounts();
        let since_ms = self.0.store.now().saturating_sub(HEARD_WITHIN_MS);
        let heard = self.0.turns.heard_since(since_ms);
        for id in linked.into_iter().chain(heard) {
            let account = match Some(&id) == except {
                true => None,
                false => self.0.store.account(&id).await?,
            };
            if account.is_some_and(|account| self.why_no_agent(&account).is_none()) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// Looks through all accounts.
    async fn search_agent(
        &self,
        request: &LoginRequest,
        except: Option<&AccountId>,
    ) -> Result<AccountId, Error> {
        let machine = request.machine.as_deref();
        let on_machine = |account: &Account| {
            let session = account.session.as_ref();
            machine.is_none_or(|id| session.is_some_and(|it| it.machine_id == id))
        };
        let mut after = None;
        loop {
            let page = self.0.store.accounts(after.as_deref(), PAGE).await?;
            tokio::task::consume_budget().await;
            let fit = page.items.iter().find(|account| {
                Some(&account.id) != except
                    && on_machine(account)
                    && self.why_no_agent(account).is_none()
            });
            if let Some(account) = fit {
                return Ok(account.id.clone());
            }
            after = page.next;
            if after.is_none() {
                return Err(Error::NoAgent(match machine {
                    Some(id) => format!("no WeHub client with machine_id {id} is logged in"),
                    None => "no WeHub client is logged in that could start another: log one in \
                             by hand first"
                        .to_owned(),
                }));
            }
        }
    }

    /// Why this account's client can't be asked to start another; none if it can.
    fn why_no_agent(&self, account: &Account) -> Option<&'static str> {
        if account.client != ClientKind::Wehub {
            return Some(NO_AGENT);
        }
        if account.session.is_none() {
            return Some("is not logged in");
        }
        let now_ms = self.0.store.now();
        // After a restart clients need a moment to be heard of again.
        let last_ms = self.0.turns.heard_ms(&account.id).max(self.0.started_ms);
        let silent = last_ms.saturating_add(HEARD_WITHIN_MS) < now_ms;
        (silent && !self.0.links.has(&account.id))
            .then_some("has not been heard of for more than 90 s")
    }

    fn login_task(&self, agent: &AccountId, id: &LoginId) -> (Task, Millis) {
        let now_ms = self.0.store.now();
        let (action, origin) = (
            Action::StartLogin { login: id.clone() },
            Origin::Login(id.clone()),
        );
        let mut task = Task::queued(self.new_id(agent), action, origin, now_ms);
        let due_ms = now_ms.saturating_add(self.0.policies.logins.upload_ms);
        task.expires_ms = Some(due_ms);
        (task, now_ms)
    }

    /// Writes a login that waits for an agent, together with the agent's task.
    async fn ask_agent(&self, turn: &Turn, task: Task, login: Login) -> Result<Login, Error> {
        let agent = task.id.account.clone();
        let mut commit = Commit {
            tasks: vec![task],
            login: Some(self.change_of(login.clone())),
            ..Commit::default()
        };
        self.await_outcomes(&agent, &mut commit, login.made_ms)
            .await?;
        let made = commit.tasks.clone();
        self.commit(turn, &agent, commit.into()).await?;
        note_made(&made);
        self.0.links.wake(&agent);
        Ok(login)
    }

    /// An agent's client has logged out: what it was asked for and has not taken is
    /// asked of another one, where any would do.
    pub(super) async fn agent_gone(&self, agent: &AccountId) -> Result<(), Error> {
        for _ in 0..WAITING_MAX {
            // Such tasks go before all others of the queue.
            let Some(task) = self.0.store.next_queued(agent).await? else {
                return Ok(());
            };
            let Action::StartLogin { login } = &task.action else {
                return Ok(());
            };
            if let Some(login) = self.0.store.login(login).await?
                && login.state == LoginState::Requested
                && login.task.as_ref() == Some(&task.id)
            {
                self.ask_another(agent, login).await?;
            }
            // The login moved on, so that this does not end it.
            match self.cancel(&task.id).await {
                Ok(_) | Err(Error::Conflict(_) | Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn ask_another(&self, gone: &AccountId, mut login: Login) -> Result<(), Error> {
        let id = login.id.clone();
        let any = LoginRequest::default();
        let another = match login.any_agent && login.steps.len() < AGENTS_MAX {
            true => self.take_agent(&any, Some(gone)).await.ok(),
            false => None,
        };
        match another {
            Some((agent, turn)) => {
                let (task, now_ms) = self.login_task(&agent, &id);
                login.reassigned(agent, task.id.clone(), now_ms);
                self.ask_agent(&turn, task, login).await?;
            }
            None => {
                let reason = format!("{gone} has logged out, and no other client can be asked");
                let given_up = |login: &mut Login, now_ms| {
                    login.state == LoginState::Requested && login.failed(reason.clone(), now_ms)
                };
                self.change_until_done(&id, given_up).await?;
            }
        }
        Ok(())
    }

    /// The login as it is when the task of its agent has ended; none when that
    /// changes nothing.
    pub(super) async fn agent_failed(
        &self,
        id: &LoginId,
        task: &Task,
    ) -> Result<Option<LoginChange>, Error> {
        let Some(mut login) = self.0.store.login(id).await? else {
            return Ok(None);
        };
        if task.state != TaskState::Failed || login.task.as_ref() != Some(&task.id) {
            return Ok(None);
        }
        let reason = match task.reason.as_deref() {
            None | Some("") => "the agent's client failed to start another".to_owned(),
            Some(reason) => format!("the agent's client failed to start another: {reason}"),
        };
        let failed = login.failed(reason, self.0.store.now());
        Ok(failed.then(|| self.change_of(login)))
    }
}

// ------------------------------------------------------------------ changes

impl Service {
    /// A login's time may be up.
    pub(super) async fn login_overdue(&self, id: &LoginId) -> Result<(), Error> {
        let policy = &self.0.policies.logins;
        let expire = |login: &mut Login, now_ms| login.expire(policy, now_ms);
        match self.change_until_done(id, expire).await {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Changes a login by a rule that says false when there is nothing to change.
    pub(super) async fn change_until_done(
        &self,
        id: &LoginId,
        rule: impl Fn(&mut Login, Millis) -> bool,
    ) -> Result<Login, Error> {
        for _ in 0..TRIES {
            let mut login = self.qr_login(id).await?;
            if !rule(&mut login, self.0.store.now()) {
                return Ok(login);
            }
            let change = self.change_of(login.clone());
            match self.0.store.change_login(change).await? {
                LoginChanged::Ok => return Ok(login),
                LoginChanged::Moved => {}
            }
        }
        Err(Error::LoginMoved)
    }

    /// A login as it is from now on: looked at again when its time is up, and
    /// without an image once it has ended.
    pub(super) fn change_of(&self, login: Login) -> LoginChange {
        let alarm_ms = login.due_ms(&self.0.policies.logins);
        let image = match login.image {
            Some(_) => ImageChange::Keep,
            None => ImageChange::Drop,
        };
        LoginChange {
            login,
            image,
            alarm_ms,
        }
    }
}
