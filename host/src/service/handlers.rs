//! Handlers: deploying, configuring, binding, removing.
//!
//! Each change goes on when its caller goes away: what is in the store and what
//! is in memory never differ.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use super::{Error, Service, catalogue::Deployed};
use crate::domain::{
    AccountId, Binding, Handler, HandlerName, handler::Scope, ports::CatalogueChange,
};

/// How many handlers a host takes. Each keeps compiled code in memory.
pub const HANDLERS_MAX: usize = 10_000;
/// How long the values of one handler's configuration may be together.
pub const CONFIG_MAX_BYTES: usize = 256 * 1024;

impl Service {
    /// Reads what is deployed and makes it ready.
    pub(super) async fn load_catalogue(&self) -> Result<(), Error> {
        let deployed = Deployed::new(self.0.store.catalogue().await?);
        for handler in deployed.handlers.values() {
            if let Err(error) = self.0.runtime.prepare(handler.digest).await {
                tracing::error!(handler = %handler.name, %error, "the handler can't be loaded");
            }
        }
        self.0.catalogue.replace(deployed);
        Ok(())
    }

    /// Deploys a component under a name. True when the name is new. Its
    /// configuration and bindings stay as they were.
    pub async fn deploy(&self, name: HandlerName, bytes: Bytes) -> Result<(Handler, bool), Error> {
        let service = self.clone();
        self.detached(async move { service.deploy_whole(name, bytes).await })
            .await
    }

    async fn deploy_whole(
        &self,
        name: HandlerName,
        bytes: Bytes,
    ) -> Result<(Handler, bool), Error> {
        let _changing = self.0.catalogue.changing.lock().await;
        let former = self.0.catalogue.now().handlers.get(&name).cloned();
        self.check_room(former.is_none())?;
        let component = self.0.runtime.take_in(bytes).await?;
        let handler = Handler {
            name,
            digest: component.digest,
            size_bytes: component.size_bytes,
            world: component.world,
            imports: component.imports,
            deployed_ms: self.0.store.now(),
            config: former
                .as_ref()
                .map(|it| it.config.clone())
                .unwrap_or_default(),
        };
        self.check_bound_scopes(&handler)?;
        self.put(handler.clone()).await?;
        self.0
            .runtime
            .retain(&self.0.catalogue.now().digests())
            .await;
        Ok((handler, former.is_none()))
    }

    fn check_room(&self, new: bool) -> Result<(), Error> {
        if new && self.0.catalogue.now().handlers.len() >= HANDLERS_MAX {
            let reason = format!("{HANDLERS_MAX} handlers are deployed: remove one first");
            return Err(Error::Busy { reason });
        }
        Ok(())
    }

    /// Whoever is served by this name must be by its new component too.
    fn check_bound_scopes(&self, handler: &Handler) -> Result<(), Error> {
        let bound = self.0.catalogue.now().bound_to(&handler.name);
        bound.iter().try_for_each(|scope| {
            let unfit = |problem| format!("{problem}; unbind it, or take another name");
            scope.check(handler).map_err(unfit).map_err(Error::Conflict)
        })
    }

    /// Every handler with what is bound to it.
    pub fn handlers(&self) -> Vec<(Arc<Handler>, Vec<Scope>)> {
        let deployed = self.0.catalogue.now();
        let mut bound: BTreeMap<HandlerName, Vec<Scope>> = BTreeMap::new();
        for binding in deployed.bindings() {
            bound
                .entry(binding.handler)
                .or_default()
                .push(binding.account);
        }
        let with_bindings = |handler: &Arc<Handler>| {
            (
                Arc::clone(handler),
                bound.remove(&handler.name).unwrap_or_default(),
            )
        };
        deployed.handlers.values().map(with_bindings).collect()
    }

    /// One handler with what is bound to it.
    pub fn handler(&self, name: &HandlerName) -> Result<(Arc<Handler>, Vec<Scope>), Error> {
        let deployed = self.0.catalogue.now();
        let found = deployed.handlers.get(name).cloned();
        let handler = found.ok_or_else(|| Error::not_found("handler", name))?;
        Ok((handler, deployed.bound_to(name)))
    }

    /// The handler that serves an account.
    pub fn handler_of(&self, account: &AccountId) -> Option<Arc<Handler>> {
        self.0.catalogue.now().handler_of(account).cloned()
    }

    /// Removes a handler that nothing is bound to.
    pub async fn remove_handler(&self, name: &HandlerName) -> Result<(), Error> {
        let (service, name) = (self.clone(), name.clone());
        self.detached(async move { service.remove_whole(&name).await })
            .await
    }

    async fn remove_whole(&self, name: &HandlerName) -> Result<(), Error> {
        let _changing = self.0.catalogue.changing.lock().await;
        let (_, bound) = self.handler(name)?;
        if !bound.is_empty() {
            let by = bound.into_iter().map(String::from).collect();
            return Err(Error::InUse {
                handler: name.clone(),
                by,
            });
        }
        let change = CatalogueChange::RemoveHandler(name.clone());
        self.0.store.change_catalogue(vec![change]).await?;
        let mut deployed = self.deployed();
        deployed.handlers.remove(name);
        self.0.catalogue.replace(deployed);
        self.0
            .runtime
            .retain(&self.0.catalogue.now().digests())
            .await;
        Ok(())
    }

    /// Replaces a handler's configuration; gives its keys.
    pub async fn configure(
        &self,
        name: &HandlerName,
        config: BTreeMap<String, String>,
    ) -> Result<Vec<String>, Error> {
        let size: usize = config
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        if size > CONFIG_MAX_BYTES {
            let problem = format!("has {size} bytes, at most {CONFIG_MAX_BYTES} are taken");
            return Err(Error::BadRequest {
                field: "config",
                problem,
            });
        }
        let (service, name) = (self.clone(), name.clone());
        self.detached(async move {
            let _changing = service.0.catalogue.changing.lock().await;
            let (handler, _) = service.handler(&name)?;
            let keys = config.keys().cloned().collect();
            let handler = handler.as_ref().clone();
            service.put(Handler { config, ..handler }).await?;
            Ok(keys)
        })
        .await
    }

    /// Every binding, the one for all accounts first.
    pub fn bindings(&self) -> Vec<Binding> {
        self.0.catalogue.now().bindings()
    }

    /// Has a handler serve an account, all that have no binding of their own, or the
    /// callback.
    pub async fn bind(&self, account: Scope, handler: HandlerName) -> Result<Binding, Error> {
        let service = self.clone();
        self.detached(async move { service.bind_whole(account, handler).await })
            .await
    }

    async fn bind_whole(&self, account: Scope, handler: HandlerName) -> Result<Binding, Error> {
        let _changing = self.0.catalogue.changing.lock().await;
        let (bound, _) = self.handler(&handler)?;
        account.check(&bound).map_err(Error::Conflict)?;
        let binding = Binding { account, handler };
        let change = CatalogueChange::PutBinding(binding.clone());
        self.0.store.change_catalogue(vec![change]).await?;
        let mut deployed = self.deployed();
        deployed.bind(binding.clone());
        self.0.catalogue.replace(deployed);
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
        self.0.catalogue.replace(deployed);
        Ok(())
    }

    fn deployed(&self) -> Deployed {
        self.0.catalogue.now().as_ref().clone()
    }

    async fn put(&self, handler: Handler) -> Result<(), Error> {
        let change = CatalogueChange::PutHandler(handler.clone());
        self.0.store.change_catalogue(vec![change]).await?;
        let mut deployed = self.deployed();
        deployed
            .handlers
            .insert(handler.name.clone(), Arc::new(handler));
        self.0.catalogue.replace(deployed);
        Ok(())
    }
}
