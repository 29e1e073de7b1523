//! Who serves whom.

use crate::{
    domain::{AccountId, Binding, Deployment, HandlerName, handler::Scope, ports::CatalogueChange},
    service::{Error, Service, failing::Ended},
};
use std::sync::Arc;

impl Service {
    /// What serves an account.
    pub fn deployment_of(&self, account: &AccountId) -> Option<Arc<Deployment>> {
        self.0.catalogue.now().deployment_of(account).cloned()
    }

    /// Every binding, the one for all accounts first.
    pub fn bindings(&self) -> Vec<Binding> {
        self.0.catalogue.now().bindings()
    }

    /// Has a handler serve an account, those with a label, all others, or the callback.
    pub async fn bind(&self, account: Scope, handler: HandlerName) -> Result<Binding, Error> {
        let service = self.clone();
        self.detached(async move { service.bind_whole(account, handler).await })
            .await
    }

    async fn bind_whole(&self, account: Scope, handler: HandlerName) -> Result<Binding, Error> {
        let _changing = self.0.catalogue.changing.lock().await;
        let bound = self.entry(&handler)?;
        account
            .check(&bound.handler.name, &bound.handler.version)
            .map_err(Error::Conflict)?;
        if let Some(rollout) = &bound.handler.rollout {
            let newer = account.check(&bound.handler.name, &rollout.version);
            newer.map_err(Error::Conflict)?;
        }
        let binding = Binding { account, handler };
        let torn = self.0.catalogue.now().check_torn(&binding);
        torn.map_err(|torn| Error::Conflict(torn.to_string()))?;
        let change = CatalogueChange::PutBinding(binding.clone());
        self.0.store.change_catalogue(vec![change]).await?;
        let mut deployed = self.deployed();
        deployed.bind(binding.clone());
        self.has_serve(deployed);
        self.end_pauses(Ended::Replaced);
        Ok(binding)
    }

    /// Removes a binding.
    pub async fn unbind(&self, account: Scope) -> Result<(), Error> {
        let service = self.clone();
        self.detached(async move { service.unbind_whole(account).await })
            .await
    }

    async fn unbind_whole(&self, account: Scope) -> Result<(), Error> {
        let _changing = self.0.catalogue.changing.lock().await;
        let mut deployed = self.deployed();
        if !deployed.unbind(&account) {
            return Err(Error::not_found("binding for", String::from(account)));
        }
        let change = CatalogueChange::RemoveBinding(account);
        self.0.store.change_catalogue(vec![change]).await?;
        self.has_serve(deployed);
        self.end_pauses(Ended::Replaced);
        Ok(())
    }
}
