//! Accounts: logging in and out, and being looked at.

use super::{
    Error, Reply, Service,
    deliver::{Reporter, Settling, check_kind},
    logins::QrSession,
    turn::Turn,
};
use crate::domain::{
    Account, AccountId, Event, EventKey, Failure, Logout, Session,
    ports::{EventRecord, Page},
};

/// An account logs in. Admission was checked by whoever calls this.
#[derive(Debug)]
pub struct SessionStart {
    /// What happened, for the bot.
    pub event: Event,
    /// Who reports it.
    pub reporter: Reporter,
    /// The name the person chose.
    pub nickname: String,
    /// The searchable name.
    pub alias: String,
    /// The address of the picture.
    pub avatar_url: String,
    /// Which process on which machine.
    pub machine_id: String,
    /// The client's version.
    pub client_version: String,
    /// The client machine's own addresses.
    pub local_ips: Vec<String>,
    /// The QR session that the client says it came out of.
    pub qr_login: Option<QrSession>,
}

impl Service {
    /// Starts a session, and ends the QR login that it came out of. Tasks that the
    /// bot asks for are queued, since the answer to a login has no place for them.
    pub async fn start_session(&self, start: SessionStart) -> Result<Account, Error> {
        let service = self.clone();
        self.detached(async move { service.start_in_turn(start).await })
            .await
    }

    async fn start_in_turn(&self, start: SessionStart) -> Result<Account, Error> {
        let SessionStart {
            event, reporter, ..
        } = start;
        let mut turn = self.turn(&event.account).await?;
        self.heard(&event.account);
        let now_ms = self.0.store.now();
        let known = turn.account.as_deref();
        match known {
            Some(known) => check_kind(known, reporter.client)?,
            None => self.check_is_no_client(&event.account, reporter.client)?,
        }
        let former = known.and_then(|account| account.session.as_ref());
        let replaced =
            former.is_some_and(|it| !it.may_be_of(&start.machine_id, &reporter.client_session));
        let mut account = Account {
            id: event.account.clone(),
            client: reporter.client,
            appid: reporter.appid.clone(),
            nickname: start.nickname,
            alias: start.alias,
            avatar_url: start.avatar_url,
            first_login_ms: known.map_or(now_ms, |account| account.first_login_ms),
            session: Some(Session {
                login_ms: now_ms,
                machine_id: start.machine_id,
                client_session: reporter.client_session.clone(),
                client_version: start.client_version,
                local_ips: start.local_ips,
                qr_login: None,
            }),
            last_logout: known.and_then(|account| account.last_logout.clone()),
        };
        match start.qr_login {
            Some(qr) => {
                self.start_by_qr(&mut turn, &mut account, qr).await?;
            }
            None => self.write_account(&mut turn, account.clone()).await?,
        }
        if replaced {
            // The former process's connection, if it has one.
            self.0.links.end(&account.id);
        }
        self.settle_quietly(&mut turn, event, reporter).await?;
        Ok(account)
    }

    /// Ends the session. The account stays known. A process that was replaced says
    /// goodbye late, and ends nothing.
    pub async fn logout(
        &self,
        event: Event,
        reporter: Reporter,
        machine_id: String,
        reason: String,
    ) -> Result<(), Error> {
        let service = self.clone();
        self.detached(async move {
            let mut turn = service.turn(&event.account).await?;
            service
                .ensure_account(&mut turn, &event.account, reporter.clone())
                .await?;
            let gone = service
                .end_session(&mut turn, &reporter, &machine_id, reason)
                .await?;
            let account = event.account.clone();
            service.settle_quietly(&mut turn, event, reporter).await?;
            drop(turn);
            if gone && let Err(error) = service.agent_gone(&account).await {
                // Their deadlines end them.
                tracing::warn!(%account, %error, "logins wait for a client that is gone");
            }
            Ok(())
        })
        .await
    }

    /// False when the session is of another process, or there is none.
    async fn end_session(
        &self,
        turn: &mut Turn,
        reporter: &Reporter,
        machine_id: &str,
        reason: String,
    ) -> Result<bool, Error> {
        let Some(account) = turn.account.as_deref() else {
            return Ok(false);
        };
        let session = account.session.as_ref();
        if !session.is_some_and(|it| it.may_be_of(machine_id, &reporter.client_session)) {
            return Ok(false);
        }
        let at_ms = self.0.store.now();
        let account = Account {
            session: None,
            last_logout: Some(Logout { at_ms, reason }),
            ..account.clone()
        };
        let id = account.id.clone();
        self.write_account(turn, account).await?;
        self.0.links.end(&id);
        Ok(true)
    }

    /// Tells the bot of a login or logout, once per occasion. The session is what it
    /// is by then: a bot that can't be called does not learn of it, and the client
    /// gets its answer all the same.
    async fn settle_quietly(
        &self,
        turn: &mut Turn,
        event: Event,
        reporter: Reporter,
    ) -> Result<(), Error> {
        let repeats_within = Some(super::REPEATED_WITHIN);
        let settling = Settling {
            event,
            client: reporter.client,
            repeats_within,
            reply: Reply::Queue,
            only: None,
            also: Box::default(),
        };
        if self
            .seen_before(&settling.event, repeats_within)
            .await?
            .is_none()
        {
            let account = settling.event.account.clone();
            match self.settle(turn, settling).await {
                Ok(_) => {}
                Err(error @ (Error::Busy { .. } | Error::Host(_))) => {
                    tracing::warn!(%account, %error, "the bot is not told of a login or logout");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Accounts, ordered by id.
    pub async fn accounts(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Account>, Error> {
        Ok(self.0.store.accounts(after, limit).await?)
    }

    /// One account.
    pub async fn account(&self, id: &AccountId) -> Result<Account, Error> {
        self.0
            .store
            .account(id)
            .await?
            .ok_or_else(|| Error::not_found("account", id))
    }

    /// Whether the account has a live session under this customer id.
    pub async fn has_session(&self, id: &AccountId, appid: &str) -> Result<bool, Error> {
        let account = self.0.store.account(id).await?;
        Ok(account.is_some_and(|it| it.session.is_some() && it.appid.as_deref() == Some(appid)))
    }

    /// Whether the account has logged in under this customer id, last of all.
    pub async fn is_known(&self, id: &AccountId, appid: &str) -> Result<bool, Error> {
        let account = self.0.store.account(id).await?;
        Ok(account.is_some_and(|it| it.appid.as_deref() == Some(appid)))
    }

    /// The latest failures of an account's bot, newest first.
    pub async fn failures(&self, id: &AccountId, limit: usize) -> Result<Vec<Failure>, Error> {
        self.account(id).await?;
        Ok(self.0.store.failures(id, limit).await?)
    }

    /// Events of an account, ordered by key.
    pub async fn events(
        &self,
        id: &AccountId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<(EventKey, EventRecord)>, Error> {
        self.account(id).await?;
        Ok(self.0.store.events(id, after, limit).await?)
    }

    /// One event of an account.
    pub async fn event(&self, id: &AccountId, key: &EventKey) -> Result<EventRecord, Error> {
        let found = self.0.store.event(id, key).await?;
        found.ok_or_else(|| Error::not_found("event", key))
    }
}
