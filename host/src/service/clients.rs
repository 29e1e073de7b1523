//! Openwx clients: which are wanted, and what becomes of them.
//!
//! The supervisor starts them and looks after them; here is what has to be durable,
//! and what a client's life means for its account.

mod wanted;

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{Error, Service, deliver::check_kind, turn::Turn};
use crate::domain::{
    Account, AccountId, ClientKind, ClientName, Login, LoginId,
    client::{ClientStatus, Over, Phase, TEMPLATE_DEFAULT, Wanted},
    login::QrImage,
    ports::{ClientChange, Clients, ImageChange, LoginChanged, StartError},
};

/// How much longer than `openwx.stop_ms` a start waits for an earlier process of its
/// name: after that time it is killed, which takes a moment.
const KILLED_WITHIN: Duration = Duration::from_secs(5);
/// How long a start that was ordered may take: the directory of an earlier process is
/// cleared, and one is spawned.
const AWAKE_WITHIN: Duration = Duration::from_secs(5);
/// How many accounts are looked at at a time in search of sessions.
const ACCOUNTS_PAGE: usize = 500;

/// A client that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRequest {
    /// Its name.
    pub name: ClientName,
    /// By which template; none for the usual one.
    pub template: Option<String>,
    /// What it is started with, as somebody gave it. It is checked here.
    pub parameters: Vec<(String, String)>,
}

impl Service {
    /// The clients as they are: for reading, and for what needs no rule of ours.
    /// They are started and stopped here.
    pub fn native(&self) -> &Arc<dyn Clients> {
        &self.0.native
    }

    /// Starts a client, which is an account. It is started again after the host was.
    /// One of this name that is still ending is waited for.
    pub async fn start_client(&self, request: ClientRequest) -> Result<Arc<ClientStatus>, Error> {
        let service = self.clone();
        self.detached(async move {
            service.await_end(&request.name).await?;
            let _changes = service.0.client_changes.lock().await;
            service.start_client_alone(request).await
        })
        .await
    }

    /// Before the lock is taken, so that nobody else waits for this client's end.
    async fn await_end(&self, name: &ClientName) -> Result<(), Error> {
        let native = &self.0.native;
        let ends = async {
            while let Some(status) = native.status(name)
                && status.phase == Phase::Stopping
            {
                native.changed(name, status.revision).await;
            }
        };
        let stop = Duration::from_millis(self.0.policies.clients.stop_ms);
        let ended = tokio::time::timeout(stop + KILLED_WITHIN, ends).await;
        ended.map_err(|_| {
            Error::Conflict(format!(
                "the process of {name} was told to end and has not yet: try again later"
            ))
        })
    }

    async fn start_client_alone(&self, request: ClientRequest) -> Result<Arc<ClientStatus>, Error> {
        let name = request.name.clone();
        self.check_client_is_new(&name)?;
        let wanted = self.wanted_now(request)?;
        let _turn = self.turn_of_client(&name).await?;
        let started = self.0.native.start(wanted.clone()).await?;
        if let Err(error) = self.0.store.change_client(ClientChange::Put(wanted)).await {
            self.0.native.stop(&name);
            return Err(error.into());
        }
        Ok(started)
    }

    /// A client that runs is not started again. All that run or wait count against those
    /// that may, and those that were told to end, but for one that the host has yet to
    /// start: it has its place already.
    fn check_client_is_new(&self, name: &ClientName) -> Result<(), Error> {
        let all = self.0.native.all();
        let known = all.iter().find(|status| status.name == *name);
        match known {
            Some(status) if status.is_awaited() => return Ok(()),
            Some(status) if !status.phase.is_over() && status.phase != Phase::Stopping => {
                return Err(StartError::Exists(Arc::clone(status)).into());
            }
            _ => {}
        }
        let max = self.0.policies.clients.max_clients;
        let others = all.iter().filter(|status| status.name != *name);
        match others.filter(|status| !status.phase.is_over()).count() < max {
            true => Ok(()),
            false => Err(Error::TooManyClients(max)),
        }
    }

    /// The request, once everything in it was checked.
    fn wanted_now(&self, request: ClientRequest) -> Result<Wanted, Error> {
        let policies = &self.0.policies;
        let template = request.template.unwrap_or(TEMPLATE_DEFAULT.to_owned());
        if policies.clients.command(&template).is_none() {
            return Err(Error::BadRequest {
                field: "template",
                problem: self.unknown_template(&template),
            });
        }
        let dir = self.client_dir(&request.name)?;
        let rules = policies.clients.parameter_policy();
        Ok(Wanted {
            parameters: rules.check(request.parameters, &dir)?,
            name: request.name,
            template,
            asked_ms: self.0.store.now(),
            over: None,
        })
    }

    /// A client's own directory, as an absolute path.
    pub fn client_dir(&self, name: &ClientName) -> Result<PathBuf, Error> {
        let policies = &self.0.policies;
        let places = policies.clients.places(&policies.data);
        // `openwx.tmpdir` may be relative, and clients run elsewhere.
        std::path::absolute(places.client_dir(name)).map_err(|error| Error::Host(error.to_string()))
    }

    fn unknown_template(&self, name: &str) -> String {
        let known = &self.0.policies.clients.template;
        let mut names: Vec<&str> = known.keys().map(String::as_str).collect();
        if !known.contains_key(TEMPLATE_DEFAULT) {
            names.push(TEMPLATE_DEFAULT);
        }
        let names = names.join(", ");
        format!("there is no [openwx.template.{name}] in the configuration: there are {names}")
    }

    /// The turn of a client's account, which is of no other kind of client. While it
    /// is held, no other kind of client can log in under this name.
    async fn turn_of_client(&self, name: &ClientName) -> Result<Turn, Error> {
        let account = AccountId::try_from(name).map_err(|error| Error::Host(error.to_string()))?;
        let turn = self.turn(&account).await?;
        if let Some(known) = turn.account.as_deref() {
            check_kind(known, ClientKind::Openwx)?;
        }
        Ok(turn)
    }

    /// An account that nothing is known of is no other kind of client's if a client
    /// here has its name.
    pub(super) fn check_is_no_client(
        &self,
        account: &AccountId,
        client: ClientKind,
    ) -> Result<(), Error> {
        let name = ClientName::try_from(account);
        let is_client = |name: ClientName| self.0.native.status(&name).is_some();
        match client != ClientKind::Openwx && name.is_ok_and(is_client) {
            true => Err(Error::Conflict(format!(
                "{account} is the account of an openwx client here"
            ))),
            false => Ok(()),
        }
    }

    /// Has a client end, and wants it no more. Answers at once; the client is known
    /// until its process has ended.
    pub async fn stop_client(&self, name: &ClientName) -> Result<Arc<ClientStatus>, Error> {
        let (service, name) = (self.clone(), name.clone());
        self.detached(async move {
            let _changes = service.0.client_changes.lock().await;
            if service.0.native.status(&name).is_none() {
                return Err(Error::not_found("client", &name));
            }
            let change = ClientChange::Remove(name.clone());
            service.0.store.change_client(change).await?;
            let stopped = service.0.native.stop(&name);
            stopped.ok_or_else(|| Error::not_found("client", &name))
        })
        .await
    }

    /// Ends a client's process and starts another one. One that is over is begun
    /// anew.
    pub async fn restart_client(&self, name: &ClientName) -> Result<Arc<ClientStatus>, Error> {
        let (service, name) = (self.clone(), name.clone());
        self.detached(async move {
            let _changes = service.0.client_changes.lock().await;
            let status = service.client(&name)?;
            match status.phase {
                Phase::Stopping => {
                    let problem = format!("{name} was told to end: start it once it has");
                    Err(Error::Conflict(problem))
                }
                phase if phase.is_over() || status.is_awaited() => service.begin_anew(&name).await,
                _ => service.order_restart(&name),
            }
        })
        .await
    }

    fn order_restart(&self, name: &ClientName) -> Result<Arc<ClientStatus>, Error> {
        let status = self.0.native.restart(name, "somebody asked for it");
        status.ok_or_else(|| Error::not_found("client", name))
    }

    /// Has a client that waits to be started again start at once. Answers when it has
    /// a process.
    pub async fn wake_client(&self, name: &ClientName) -> Result<Arc<ClientStatus>, Error> {
        let (service, name) = (self.clone(), name.clone());
        self.detached(async move {
            let before = service.order_start(&name).await?;
            let awake = tokio::time::timeout(AWAKE_WITHIN, service.awake(before));
            match awake.await {
                Ok(awake) => awake,
                Err(_) => Err(StartError::Spawn("it takes too long: look again".into()).into()),
            }
        })
        .await
    }

    /// As it is by now, which may be more than to wait.
    async fn order_start(&self, name: &ClientName) -> Result<Arc<ClientStatus>, Error> {
        let _changes = self.0.client_changes.lock().await;
        self.check_ready()?;
        let status = self.client(name)?;
        match status.phase {
            Phase::Waiting if status.is_awaited() => self.begin_anew(name).await,
            Phase::Waiting => {
                let woken = self.0.native.wake(name);
                woken
                    .map(|_| status)
                    .ok_or_else(|| Error::not_found("client", name))
            }
            _ => Ok(status),
        }
    }

    /// Follows a client that waits until it has a process, or does not get one.
    async fn awake(&self, before: Arc<ClientStatus>) -> Result<Arc<ClientStatus>, Error> {
        let name = &before.name;
        let mut now = Arc::clone(&before);
        while now.phase == Phase::Waiting && now.last_end == before.last_end {
            let changed = self.0.native.changed(name, now.revision).await;
            now = changed.ok_or_else(|| Error::not_found("client", name))?;
        }
        match now.phase {
            Phase::Spawned | Phase::Listening | Phase::Running => Ok(now),
            phase => {
                let reason = now.reason.as_deref().unwrap_or("it is not known why");
                Err(StartError::Spawn(format!("it is {}: {reason}", phase.as_str())).into())
            }
        }
    }

    /// Starts a client that is over: it has failed, or has ended as it should.
    pub async fn clear_client(&self, name: &ClientName) -> Result<Arc<ClientStatus>, Error> {
        let (service, name) = (self.clone(), name.clone());
        self.detached(async move {
            let _changes = service.0.client_changes.lock().await;
            let phase = service.client(&name)?.phase;
            if !phase.is_over() {
                let phase = phase.as_str();
                let problem = format!("{name} is {phase}, not over: there is nothing to clear");
                return Err(Error::Conflict(problem));
            }
            service.begin_anew(&name).await
        })
        .await
    }

    async fn wanted(&self, name: &ClientName) -> Result<Wanted, Error> {
        let all = self.0.store.clients().await?;
        let found = all.into_iter().find(|wanted| wanted.name == *name);
        found.ok_or_else(|| Error::not_found("client", name))
    }

    async fn begin_anew(&self, name: &ClientName) -> Result<Arc<ClientStatus>, Error> {
        let wanted = self.wanted(name).await?;
        self.start_client_alone(ClientRequest {
            name: wanted.name,
            template: Some(wanted.template),
            parameters: wanted.parameters.into_iter().collect(),
        })
        .await
    }

    /// One client.
    pub fn client(&self, name: &ClientName) -> Result<Arc<ClientStatus>, Error> {
        let status = self.0.native.status(name);
        status.ok_or_else(|| Error::not_found("client", name))
    }

    /// A client is over: it is not started again after the host was. Not while the host
    /// ends: what is over then may have been told to end with it.
    pub async fn client_is_over(&self, name: &ClientName) -> Result<(), Error> {
        let _changes = self.0.client_changes.lock().await;
        self.check_ready()?;
        let Some(status) = self.0.native.status(name) else {
            return Ok(());
        };
        if !status.phase.is_over() {
            return Ok(());
        }
        let wanted = match self.wanted(name).await {
            Err(Error::NotFound { .. }) => return Ok(()),
            wanted => wanted?,
        };
        let over = Over {
            failed: status.phase == Phase::Failed,
            at_ms: status.since_ms,
            reason: status.reason.clone().unwrap_or_default(),
        };
        let change = ClientChange::Put(Wanted {
            over: Some(over),
            ..wanted
        });
        Ok(self.0.store.change_client(change).await?)
    }

    /// A client shows a code to be scanned. It belongs to the login that the client's
    /// earlier codes belonged to, unless that is over.
    pub async fn client_shows_code(
        &self,
        name: &ClientName,
        login: Option<LoginId>,
        image: QrImage,
        bytes: Bytes,
    ) -> Result<LoginId, Error> {
        if let Some(id) = login
            && self
                .qr_login(&id)
                .await
                .is_ok_and(|login| !login.state.is_final())
        {
            let uploaded = self.qr_uploaded(
                id.clone(),
                String::new(),
                image.clone(),
                bytes.clone(),
                false,
            );
            match uploaded.await {
                Ok(_) => return Ok(id),
                Err(Error::NotAsked { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.check_logins_room().await?;
        let id = LoginId::random().map_err(|error| Error::Host(error.to_string()))?;
        let mut login = Login::of_client(id.clone(), name.clone(), self.0.store.now());
        let begun = self.change_of(login.clone());
        if self.0.store.change_login(begun).await? == LoginChanged::Moved {
            return Err(Error::LoginMoved);
        }
        let policy = &self.0.policies.logins;
        let _ = login.uploaded("", image, policy, self.0.store.now());
        let mut change = self.change_of(login);
        change.image = ImageChange::Put(bytes);
        match self.0.store.change_login(change).await? {
            LoginChanged::Ok => Ok(id),
            LoginChanged::Moved => Err(Error::LoginMoved),
        }
    }

    /// The sessions that Openwx clients had when the host ended: their processes ended
    /// with it.
    pub async fn sessions_of_clients(&self) -> Result<Vec<Account>, Error> {
        let (mut found, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = self.accounts(after.as_deref(), ACCOUNTS_PAGE).await?;
            tokio::task::consume_budget().await;
            found.extend(page.items.into_iter().filter(|account| {
                account.client == ClientKind::Openwx && account.session.is_some()
            }));
            after = page.next;
            if after.is_none() {
                return Ok(found);
            }
        }
    }

    /// Fails the QR logins of clients that an earlier host left open: their processes
    /// ended with it, and nobody can scan their codes.
    pub async fn fail_left_logins(&self, reason: &str) -> Result<(), Error> {
        let left = self.0.store.logins().await?.into_iter().filter(|login| {
            let is_earlier = login.made_ms < self.0.started_ms;
            login.client.is_some() && !login.state.is_final() && is_earlier
        });
        for login in left {
            match self.client_login_failed(&login.id, reason).await {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A client that showed a code has ended, or was not scanned.
    pub async fn client_login_failed(&self, id: &LoginId, reason: &str) -> Result<(), Error> {
        let reason = reason.to_owned();
        let fails = move |login: &mut Login, now_ms| login.failed(reason.clone(), now_ms);
        self.change_until_done(id, fails).await.map(drop)
    }
}
