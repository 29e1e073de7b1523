//! Accounts: logging in and out, and being looked at.

use super::{
    Error, Reply, Service,
    deliver::{Reporter, Settling},
};
use crate::domain::{
    Account, AccountId, Event, EventKey, Failure, HandlerName, Logout, Session,
    ports::{EventRecord, Page},
};

/// An account logs in. Admission was checked by whoever calls this.
#[derive(Debug)]
pub struct Login {
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
}

impl Service {
    /// Starts a session. Tasks that the bot asks for are queued, since the answer
    /// to a login has no place for them.
    pub async fn login(&self, login: Login) -> Result<(), Error> {
        let service = self.clone();
        self.detached(async move { service.login_in_turn(login).await })
            .await
    }

    async fn login_in_turn(&self, login: Login) -> Result<(), Error> {
        let Login {
            event, reporter, ..
        } = login;
        let mut turn = self.turn(&event.account).await?;
        let now_ms = self.0.store.now();
        let known = turn.account.as_deref();
        let account = Account {
            id: event.account.clone(),
            client: reporter.client,
            appid: reporter.appid.clone(),
            nickname: login.nickname,
            alias: login.alias,
            avatar_url: login.avatar_url,
            first_login_ms: known.map_or(now_ms, |account| account.first_login_ms),
            session: Some(Session {
                login_ms: now_ms,
                machine_id: login.machine_id,
                client_session: reporter.client_session.clone(),
                client_version: login.client_version,
                local_ips: login.local_ips,
                qr_login: None,
            }),
            last_logout: known.and_then(|account| account.last_logout.clone()),
        };
        self.write_account(&mut turn, account).await?;
        self.settle_quietly(&turn, event, reporter).await
    }

    /// Ends the session. The account stays known.
    pub async fn logout(
        &self,
        event: Event,
        reporter: Reporter,
        reason: String,
    ) -> Result<(), Error> {
        let service = self.clone();
        self.detached(async move {
            let mut turn = service.turn(&event.account).await?;
            service
                .ensure_account(&mut turn, &event.account, reporter.clone())
                .await?;
            let stale = |account: &Account| is_of_another(account, &event, &reporter);
            if let Some(account) = turn.account.as_deref().filter(|it| !stale(it)) {
                let at_ms = service.0.store.now();
                let mut account = account.clone();
                account.session = None;
                account.last_logout = Some(Logout { at_ms, reason });
                service.write_account(&mut turn, account).await?;
            }
            service.settle_quietly(&turn, event, reporter).await
        })
        .await
    }

    /// Tells the bot of a login or logout, once per occasion.
    async fn settle_quietly(
        &self,
        turn: &super::turn::Turn,
        event: Event,
        reporter: Reporter,
    ) -> Result<(), Error> {
        let repeats_within = Some(super::REPEATED_WITHIN);
        let settling = Settling {
            event,
            client: reporter.client,
            repeats_within,
            reply: Reply::Queue,
            changed: None,
        };
        if self
            .seen_before(&settling.event, repeats_within)
            .await?
            .is_none()
        {
            self.settle(turn, settling).await?;
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

    /// What a handler keeps for an account, ordered by key.
    pub async fn key_values(
        &self,
        id: &AccountId,
        handler: &HandlerName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<(String, Vec<u8>)>, Error> {
        self.account(id).await?;
        let keys = self.0.store.keys(id, handler, after, limit).await?;
        let next = (keys.len() == limit)
            .then(|| keys.last().cloned())
            .flatten();
        let mut items = Vec::with_capacity(keys.len());
        for key in keys {
            if let Some(value) = self.0.store.key_value(id, handler, &key).await? {
                items.push((key, value));
            }
        }
        Ok(Page { items, next })
    }
}

/// True when the session belongs to another process than the one that reports: a
/// process that was replaced says goodbye late.
fn is_of_another(account: &Account, event: &Event, reporter: &Reporter) -> bool {
    let Some(session) = &account.session else {
        return false;
    };
    let differ = |a: &str, b: &str| !a.is_empty() && !b.is_empty() && a != b;
    let machine = event.facts.iter().find(|(name, _)| *name == "machine-id");
    differ(&session.client_session, &reporter.client_session)
        || machine.is_some_and(|(_, id)| differ(&session.machine_id, id))
}
