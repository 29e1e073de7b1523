//! Looks after one client's account: its session, its QR login, and whether it is
//! over. It follows what the client is rather than what happens to it, so that
//! nothing is missed: whatever it finds, it makes good.

use std::{collections::HashSet, time::Duration};

use bytes::Bytes;
use tokio::task::JoinSet;

use super::{
    Openwx,
    codes::{Code, Inbox},
    driver::HOST_ENDED,
    errands::Errands,
    report::{own_event, reporter},
    wire,
};
use crate::{
    domain::{
        AccountId, ClientName, Digest, Event, Happening, LoginId, Millis, User,
        client::{ClientStatus, NativeState, Phase, StartId},
        ports::ApiCall,
    },
    service::{Error, QrSession, SessionStart},
};

/// How long a client may take to say who is logged in. It is not worth more: the
/// account is known by its name.
const USER_INFO_TIME: Duration = Duration::from_secs(5);
/// How long it rests after something failed, at first and at the most.
const RETRY_AFTER: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// How many codes of one process are remembered. A client stops after ten.
const CODES_MAX: usize = 64;

/// Looks after one client.
#[derive(Debug)]
pub(super) struct Keeper {
    openwx: Openwx,
    name: ClientName,
    inbox: Inbox,
    /// A code that a report brought and nobody has looked at yet.
    reported: Option<Code>,
    session: Option<Live>,
    /// Whether what another process than this one left was ended.
    swept: Option<Swept>,
    shown: Option<Shown>,
    /// Since when the client is over that was noted to be.
    over_since: Option<Millis>,
    errands: JoinSet<()>,
}

/// A session that has begun.
#[derive(Debug)]
struct Live {
    account: AccountId,
    start: StartId,
    since_ms: Millis,
}

/// The account has no session but that of this process, or none at all.
#[derive(Debug)]
struct Swept(Option<StartId>);

/// The codes that a process has shown.
#[derive(Debug)]
struct Shown {
    start: StartId,
    codes: HashSet<Digest>,
    /// The login that they belong to; none before the first one was an image.
    login: Option<LoginId>,
}

impl Keeper {
    /// Nothing is known yet.
    pub fn new(openwx: Openwx, name: ClientName) -> Self {
        Self {
            inbox: openwx.codes().open(&name),
            openwx,
            name,
            reported: None,
            session: None,
            swept: None,
            shown: None,
            over_since: None,
            errands: JoinSet::new(),
        }
    }

    /// Goes on until the client is forgotten.
    pub async fn keep(mut self) {
        let native = self.openwx.service().native().clone();
        let mut rest = None::<Duration>;
        while let Some(status) = native.status(&self.name) {
            rest = match self.reconcile(&status).await {
                Ok(()) => None,
                Err(error) => Some(self.after(error, rest)),
            };
            tokio::select! {
                changed = native.changed(&self.name, status.revision) => {
                    if changed.is_none() {
                        break;
                    }
                }
                code = self.inbox.next() => self.reported = Some(code),
                () = tokio::time::sleep(rest.unwrap_or(RETRY_MAX)) => {}
            }
            while self.errands.try_join_next().is_some() {}
        }
        self.part().await;
    }

    /// How long to rest after an error. The same trouble is told once.
    fn after(&self, error: Error, rest: Option<Duration>) -> Duration {
        let client = &self.name;
        match (rest, error) {
            (_, Error::Draining) => {}
            (None, error) => tracing::error!(%client, %error, "an account is not looked after"),
            (Some(_), error) => tracing::debug!(%client, %error, "still not looked after"),
        }
        rest.map_or(RETRY_AFTER, |rest| (2 * rest).min(RETRY_MAX))
    }

    /// The client is forgotten.
    async fn part(mut self) {
        let reason = "the client was stopped";
        match self.end_all_sessions(reason).await {
            Ok(()) => {}
            // The next host ends it. Nothing that is under way can be written.
            Err(Error::Draining) => self.errands.abort_all(),
            Err(error) => {
                tracing::error!(client = %self.name, %error, "a session is not ended");
            }
        }
        if let Err(error) = self.fail_login(reason).await {
            tracing::debug!(client = %self.name, %error, "a login is left to its deadline");
        }
        // What it does for the client yet ends by itself.
        while self.errands.join_next().await.is_some() {}
        let (codes, name) = (self.openwx.codes().clone(), self.name);
        drop(self.inbox);
        codes.close(&name);
    }

    /// Makes good whatever is not as the client is.
    async fn reconcile(&mut self, status: &ClientStatus) -> Result<(), Error> {
        if self.session.as_ref().is_some_and(|it| !it.lasts(status)) {
            self.end_session(&reason(status)).await?;
        }
        self.sweep(status).await?;
        let alive = status.phase.is_alive();
        let shown = self.shown.as_ref().map(|shown| &shown.start);
        if shown.is_some_and(|start| !alive || status.start.as_ref() != Some(start)) {
            self.fail_login(&reason(status)).await?;
        }
        if let (Some(start), true) = (&status.start, alive) {
            // A code that can't be shown keeps nobody out.
            let shown = self.show_codes(start, status.code).await;
            if status.phase == Phase::Running && self.session.is_none() {
                self.begin(start, status.since_ms).await?;
            }
            shown?;
        }
        self.note_over(status).await
    }

    /// The client will not be started again.
    async fn note_over(&mut self, status: &ClientStatus) -> Result<(), Error> {
        let over = status.phase.is_over();
        if over && self.over_since != Some(status.since_ms) {
            self.openwx.service().client_is_over(&self.name).await?;
        }
        self.over_since = over.then_some(status.since_ms);
        Ok(())
    }
}

// ------------------------------------------------------------------ sessions

impl Keeper {
    /// The client is logged in: its account has a session, and its tasks are carried
    /// out.
    async fn begin(&mut self, start: &StartId, since_ms: Millis) -> Result<(), Error> {
        let account = self.account()?;
        let (user, answer) = self.who_is_in(start, &account).await;
        let begun = self.session_start(&account, start, since_ms, user, answer);
        let service = self.openwx.service();
        service.start_session(begun).await?;
        let errands = Errands::new(
            self.openwx.clone(),
            self.name.clone(),
            account.clone(),
            start.clone(),
            since_ms,
        );
        let link = service.attach(&account);
        self.errands.spawn(errands.run(link));
        // A code that comes later is of another login.
        if let Some(shown) = &mut self.shown {
            shown.login = None;
        }
        self.session = Some(Live {
            account,
            start: start.clone(),
            since_ms,
        });
        Ok(())
    }

    fn session_start(
        &self,
        account: &AccountId,
        start: &StartId,
        since_ms: Millis,
        user: User,
        answer: Bytes,
    ) -> SessionStart {
        let key = format!("login-{}-{since_ms}", start.as_str());
        // The account goes by its client's name: its own id changes.
        let me = User {
            id: account.as_str().to_owned(),
            ..user.clone()
        };
        let mut event = own_event(account, &key, Happening::Login(me));
        event.facts = vec![("user-id", user.id)];
        event.raw = answer;
        let login = self.shown.as_ref().and_then(|shown| shown.login.as_ref());
        SessionStart {
            event,
            reporter: reporter(start.as_str()),
            nickname: user.nickname,
            alias: user.account_name.unwrap_or_default(),
            avatar_url: String::new(),
            machine_id: String::new(),
            client_version: String::new(),
            local_ips: Vec::new(),
            qr_login: login.map(|id| QrSession {
                id: id.as_str().to_owned(),
                foreign: false,
            }),
        }
    }

    fn account(&self) -> Result<AccountId, Error> {
        AccountId::try_from(&self.name).map_err(|error| Error::Host(error.to_string()))
    }

    /// Ends the session that another process of this name left: one of an earlier
    /// host, or one that a report began and that never came to be logged in.
    async fn sweep(&mut self, status: &ClientStatus) -> Result<(), Error> {
        let reason = match &self.swept {
            Some(Swept(start)) if *start == status.start => return Ok(()),
            Some(_) => reason(status),
            None => HOST_ENDED.to_owned(),
        };
        self.end_left_session(&reason).await?;
        self.swept = Some(Swept(status.start.clone()));
        Ok(())
    }

    async fn end_all_sessions(&mut self, reason: &str) -> Result<(), Error> {
        self.end_session(reason).await?;
        self.end_left_session(reason).await
    }

    async fn end_left_session(&self, reason: &str) -> Result<(), Error> {
        let account = self.account()?;
        match self.openwx.service().account(&account).await {
            Ok(account) => self.openwx.end_left_session(&account, reason).await,
            Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The account as its client knows it. What it does not tell is as before.
    async fn who_is_in(&self, start: &StartId, account: &AccountId) -> (User, Bytes) {
        let call = wire::user_info();
        let call = ApiCall {
            path: call.path.into_owned(),
            parameters: Vec::new(),
            time: USER_INFO_TIME,
        };
        let service = self.openwx.service();
        let answer = service.native().call(&self.name, start, call).await;
        let told = answer
            .ok()
            .and_then(|answer| Some((wire::own_user(&answer.body)?, answer.body)));
        if let Some(told) = told {
            return told;
        }
        tracing::warn!(client = %self.name, "the client does not say who is logged in");
        let known = service.account(account).await.ok();
        let user = known.map_or_else(User::default, |known| User {
            nickname: known.nickname,
            account_name: Some(known.alias).filter(|alias| !alias.is_empty()),
            ..User::default()
        });
        (user, Bytes::new())
    }

    async fn end_session(&mut self, reason: &str) -> Result<(), Error> {
        let Some(live) = &self.session else {
            return Ok(());
        };
        let start = live.start.as_str();
        let event = logged_out(&live.account, start, live.since_ms, reason);
        let (service, reporter) = (self.openwx.service(), reporter(start));
        service
            .logout(event, reporter, String::new(), reason.to_owned())
            .await?;
        self.session = None;
        Ok(())
    }
}

impl Live {
    /// Whether the client is still logged in as it was. While it reads its contacts
    /// again it is.
    fn lasts(&self, status: &ClientStatus) -> bool {
        let updating = || {
            let state = status.state.map(|seen| seen.state);
            state == Some(NativeState::Updating)
        };
        let same = status.start.as_ref() == Some(&self.start);
        same && match status.phase {
            Phase::Running => true,
            Phase::Spawned | Phase::Listening => updating(),
            Phase::Stopping | Phase::Waiting | Phase::Failed | Phase::Stopped => false,
        }
    }
}

/// The event that the session has ended that this process began then: it may begin
/// others after it.
pub(super) fn logged_out(
    account: &AccountId,
    start: &str,
    since_ms: Millis,
    reason: &str,
) -> Event {
    let what = Happening::Logout(reason.to_owned());
    own_event(account, &format!("logout-{start}-{since_ms}"), what)
}

/// Why a client is not logged in any more.
fn reason(status: &ClientStatus) -> String {
    let told = || {
        let end = status.last_end.as_ref();
        status.reason.as_ref().or(end.map(|end| &end.reason))
    };
    let gone = match status.phase {
        Phase::Running | Phase::Spawned | Phase::Listening => None,
        Phase::Stopping | Phase::Waiting | Phase::Failed | Phase::Stopped => told(),
    };
    gone.cloned().unwrap_or_else(|| match status.phase {
        Phase::Stopping => "the client was told to end".to_owned(),
        _ => "the client has to log in anew".to_owned(),
    })
}

// --------------------------------------------------------------------- codes

impl Keeper {
    /// Shows what a report brought and what the file holds.
    async fn show_codes(&mut self, start: &StartId, file: Option<Digest>) -> Result<(), Error> {
        if let Some((of, image)) = self.reported.take()
            && of == *start
        {
            self.show(start, image).await?;
        }
        match file {
            Some(code) => self.show_file(start, code).await,
            None => Ok(()),
        }
    }

    /// The file holds this code.
    async fn show_file(&mut self, start: &StartId, code: Digest) -> Result<(), Error> {
        if self.knows(start, code) {
            return Ok(());
        }
        match self.openwx.service().native().code(&self.name).await {
            Ok(image) => self.show(start, image).await,
            // It was scanned, or written anew, meanwhile.
            Err(error) => {
                tracing::debug!(client = %self.name, %error, "a code is not read");
                Ok(())
            }
        }
    }

    /// Shows a code, from wherever it comes, once.
    async fn show(&mut self, start: &StartId, image: Bytes) -> Result<(), Error> {
        let code = Digest::of(&image);
        if self.knows(start, code) {
            return Ok(());
        }
        let Some(seen) = self.openwx.gallery().look(&image).await else {
            tracing::warn!(client = %self.name, "the client's code is no PNG or JPEG image");
            self.note_code(start, code);
            return Ok(());
        };
        let service = self.openwx.service().clone();
        let login = self.of(start).login.clone();
        let shown = service.client_shows_code(&self.name, login, seen, image);
        let login = shown.await?;
        self.of(start).login = Some(login);
        self.note_code(start, code);
        Ok(())
    }

    fn knows(&self, start: &StartId, code: Digest) -> bool {
        let shown = self.shown.as_ref().filter(|shown| shown.start == *start);
        shown.is_some_and(|shown| shown.codes.contains(&code))
    }

    fn note_code(&mut self, start: &StartId, code: Digest) {
        let shown = self.of(start);
        if shown.codes.len() >= CODES_MAX {
            shown.codes.clear();
        }
        shown.codes.insert(code);
    }

    /// What this process has shown.
    fn of(&mut self, start: &StartId) -> &mut Shown {
        let same = |shown: &Shown| shown.start == *start;
        let kept = self.shown.take().filter(same);
        self.shown.insert(kept.unwrap_or_else(|| Shown {
            start: start.clone(),
            codes: HashSet::new(),
            login: None,
        }))
    }

    /// The process that showed codes is gone: nobody can scan them any more.
    async fn fail_login(&mut self, reason: &str) -> Result<(), Error> {
        let login = self.shown.as_ref().and_then(|shown| shown.login.as_ref());
        if let Some(login) = login {
            let failed = self.openwx.service().client_login_failed(login, reason);
            match failed.await {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.shown = None;
        Ok(())
    }
}
