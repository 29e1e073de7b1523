//! How many accounts a handler reaches: counted for whoever has deployed or bound it, in
//! bounded work. What is in memory, bindings and labels, is gone through once; of accounts,
//! which are in the store, so many are looked at.

use std::collections::HashSet;

use crate::{
    domain::{
        Account, AccountId, Binding, HandlerName,
        handler::{Reached, Reaches, Scope, ScopeReached, Share, VersionNumber},
    },
    service::{Error, Service, catalogue::Deployed},
};

/// How many accounts are looked at for one binding, or for a list: each costs a read, and
/// beyond it they are many.
const LOOKED_AT_MAX: usize = 1_000;
/// How many accounts are looked at for all bindings of a handler.
const LOOKED_AT_IN_ALL_MAX: usize = 3_000;
/// How many bindings are told of: each is a line of the answer.
const SCOPES_MAX: usize = 1_000;
/// How many accounts are read before others get their turn.
const AT_ONCE: usize = 100;

/// What is being counted.
struct Count<'a> {
    deployed: &'a Deployed,
    handler: &'a HandlerName,
    /// The version that serves some.
    newer: Option<VersionNumber>,
    rollout: Reached,
    /// Who was counted for it: an account may have two labels.
    in_share: HashSet<AccountId>,
    /// How many accounts may still be looked at.
    left: usize,
}

impl Count<'_> {
    fn note(&mut self, account: &Account, reached: &mut Reached) {
        let is_logged_in = account.session.is_some();
        reached.add(is_logged_in);
        if self.is_in_share(&account.id) && self.in_share.insert(account.id.clone()) {
            self.rollout.add(is_logged_in);
        }
    }

    /// Whether the version that serves some serves this account.
    fn is_in_share(&self, account: &AccountId) -> bool {
        let serving = self.deployed.deployment_of(account);
        serving
            .is_some_and(|it| it.handler == *self.handler && Some(it.version.number) == self.newer)
    }

    /// Whether one more may be looked at, of which so many were already.
    fn takes_one(&mut self, looked_at: usize) -> bool {
        let takes = looked_at < LOOKED_AT_MAX && self.left > 0;
        self.left -= usize::from(takes);
        takes
    }
}

impl Service {
    /// How many accounts a handler reaches by its bindings, and a version of it that serves
    /// some. Nothing of one that serves no accounts.
    pub async fn reaches(&self, name: &HandlerName) -> Result<Reaches, Error> {
        self.reaches_by(name, |deployed| deployed.bound_to(name))
            .await
    }

    /// How many accounts a handler reaches by this binding.
    pub async fn reached_by(&self, binding: &Binding) -> Result<Reached, Error> {
        let scope = binding.account.clone();
        let reaches = self.reaches_by(&binding.handler, |_| vec![scope]).await?;
        Ok(reaches.by(&binding.account).unwrap_or_default())
    }

    async fn reaches_by(
        &self,
        name: &HandlerName,
        bound: impl FnOnce(&Deployed) -> Vec<Scope>,
    ) -> Result<Reaches, Error> {
        let deployed = self.0.catalogue.now().clone();
        let entry = deployed.handlers.get(name);
        let handler = &entry
            .ok_or_else(|| Error::not_found("handler", name))?
            .handler;
        if handler.is_endpoint() || handler.is_callback() {
            return Ok(Reaches::default());
        }
        let rollout = handler.rollout.as_ref();
        let mut count = Count {
            deployed: &deployed,
            handler: name,
            newer: rollout.map(|rollout| rollout.version.number),
            rollout: Reached::default(),
            in_share: HashSet::new(),
            left: LOOKED_AT_IN_ALL_MAX,
        };
        let bound = bound(&deployed);
        count.rollout.or_more = bound.len() > SCOPES_MAX;
        let mut by_label = deployed.labelled_for(name, LOOKED_AT_MAX + 1);
        let mut scopes = Vec::new();
        for account in bound.into_iter().take(SCOPES_MAX) {
            let reached = match &account {
                Scope::All => self.all_reached(&mut count).await?,
                Scope::Label(label) => {
                    let ids = by_label.remove(label).unwrap_or_default();
                    self.reached(ids, &mut count).await?
                }
                Scope::Account(id) => self.reached(vec![id.clone()], &mut count).await?,
                Scope::Callback => Reached::default(),
            };
            count.rollout.or_more |= reached.or_more;
            scopes.push(ScopeReached { account, reached });
        }
        if let Some(Share::Accounts(ids)) = rollout.map(|rollout| &rollout.to) {
            count.rollout = self.listed(ids.iter(), &count).await?;
        }
        let rollout = rollout.map(|_| count.rollout);
        Ok(Reaches { scopes, rollout })
    }

    /// How many of these are known. None of them has a binding that goes before.
    async fn reached(&self, ids: Vec<AccountId>, count: &mut Count<'_>) -> Result<Reached, Error> {
        let mut reached = Reached::default();
        for (number, id) in ids.into_iter().enumerate() {
            if !count.takes_one(number) {
                reached.or_more = true;
                break;
            }
            if let Some(account) = self.0.store.account(&id).await? {
                count.note(&account, &mut reached);
            }
            rest_after(number).await;
        }
        Ok(reached)
    }

    /// How many are served by the binding of all that have no other.
    async fn all_reached(&self, count: &mut Count<'_>) -> Result<Reached, Error> {
        let mut reached = Reached::default();
        let (mut after, mut looked_at) = (None, 0);
        loop {
            let limit = AT_ONCE.min(LOOKED_AT_MAX - looked_at).min(count.left);
            if limit == 0 {
                reached.or_more = true;
                return Ok(reached);
            }
            let page = self.0.store.accounts(after.as_deref(), limit).await?;
            looked_at += page.items.len();
            count.left -= page.items.len().min(count.left);
            for account in &page.items {
                if count.deployed.has_no_other(&account.id) {
                    count.note(account, &mut reached);
                }
            }
            let Some(next) = page.next else {
                return Ok(reached);
            };
            after = Some(next);
            tokio::task::yield_now().await;
        }
    }

    /// How many of a list the newer version serves: the list has a bound of its own.
    async fn listed(
        &self,
        ids: impl Iterator<Item = &AccountId>,
        count: &Count<'_>,
    ) -> Result<Reached, Error> {
        let mut reached = Reached::default();
        for (number, id) in ids.enumerate() {
            if count.is_in_share(id)
                && let Some(account) = self.0.store.account(id).await?
            {
                reached.add(account.session.is_some());
            }
            rest_after(number).await;
        }
        Ok(reached)
    }
}

async fn rest_after(number: usize) {
    if number % AT_ONCE == AT_ONCE - 1 {
        tokio::task::yield_now().await;
    }
}
