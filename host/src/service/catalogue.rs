//! What is deployed, ready to be looked up once per event.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use crate::domain::{AccountId, Binding, Digest, Handler, HandlerName, handler::Scope, ports};

/// Handlers and bindings at one moment.
#[derive(Debug, Clone, Default)]
pub struct Deployed {
    /// Every handler by name.
    pub handlers: BTreeMap<HandlerName, Arc<Handler>>,
    bindings: HashMap<AccountId, HandlerName>,
    default: Option<HandlerName>,
    callback: Option<HandlerName>,
}

impl Deployed {
    /// As the store has it.
    pub fn new(stored: ports::Catalogue) -> Self {
        let mut deployed = Self::default();
        for handler in stored.handlers {
            deployed
                .handlers
                .insert(handler.name.clone(), Arc::new(handler));
        }
        for binding in stored.bindings {
            deployed.bind(binding);
        }
        deployed
    }

    /// Adds a binding, or replaces the one of the same scope.
    pub fn bind(&mut self, binding: Binding) {
        match binding.account {
            Scope::All => self.default = Some(binding.handler),
            Scope::Callback => self.callback = Some(binding.handler),
            Scope::Account(id) => {
                self.bindings.insert(id, binding.handler);
            }
        }
    }

    /// Removes a binding; false when there is none.
    pub fn unbind(&mut self, scope: &Scope) -> bool {
        match scope {
            Scope::All => self.default.take().is_some(),
            Scope::Callback => self.callback.take().is_some(),
            Scope::Account(id) => self.bindings.remove(id).is_some(),
        }
    }

    /// The handler that serves an account.
    pub fn handler_of(&self, account: &AccountId) -> Option<&Arc<Handler>> {
        let name = self.bindings.get(account).or(self.default.as_ref())?;
        self.handlers.get(name)
    }

    /// The handler that decides about the callback.
    pub fn callback(&self) -> Option<&Arc<Handler>> {
        self.handlers.get(self.callback.as_ref()?)
    }

    /// Every binding, the default first, then the callback's, then by account.
    pub fn bindings(&self) -> Vec<Binding> {
        let default = self.default.iter().map(|handler| (Scope::All, handler));
        let callback = self.callback.iter();
        let callback = callback.map(|handler| (Scope::Callback, handler));
        let own = self
            .bindings
            .iter()
            .map(|(id, handler)| (Scope::Account(id.clone()), handler));
        let mut all: Vec<_> = default
            .chain(callback)
            .chain(own)
            .map(|(account, handler)| Binding {
                account,
                handler: handler.clone(),
            })
            .collect();
        all.sort_by(|a, b| a.account.cmp(&b.account));
        all
    }

    /// What is bound to a handler.
    pub fn bound_to(&self, handler: &HandlerName) -> Vec<Scope> {
        let bindings = self.bindings().into_iter();
        bindings
            .filter(|it| it.handler == *handler)
            .map(|it| it.account)
            .collect()
    }

    /// The components in use.
    pub fn digests(&self) -> Vec<Digest> {
        self.handlers
            .values()
            .map(|handler| handler.digest)
            .collect()
    }
}

/// The current state, replaced as a whole: a reader is never held up by a
/// deployment.
#[derive(Debug, Default)]
pub struct Catalogue {
    now: ArcSwap<Deployed>,
    /// Held by whoever changes it, from reading to writing.
    pub changing: Mutex<()>,
}

impl Catalogue {
    /// What is deployed now.
    pub fn now(&self) -> arc_swap::Guard<Arc<Deployed>> {
        self.now.load()
    }

    /// Replaces what is deployed.
    pub fn replace(&self, deployed: Deployed) {
        self.now.store(Arc::new(deployed));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn handler(name: &str) -> Handler {
        Handler {
            name: name.try_into().unwrap(),
            digest: Digest::of(name.as_bytes()),
            size_bytes: 1,
            world: String::new(),
            imports: Vec::new(),
            deployed_ms: 0,
            config: BTreeMap::new(),
        }
    }

    fn binding(account: &str, handler: &str) -> Binding {
        Binding {
            account: account.to_owned().try_into().unwrap(),
            handler: handler.try_into().unwrap(),
        }
    }

    #[test]
    fn an_account_s_own_binding_goes_before_the_one_for_all() {
        let mut deployed = Deployed::new(ports::Catalogue {
            handlers: vec![handler("echo"), handler("faq")],
            bindings: vec![binding("*", "echo"), binding("a", "faq")],
        });
        let serves = |deployed: &Deployed, account: &str| {
            let id = account.try_into().unwrap();
            deployed
                .handler_of(&id)
                .map(|handler| handler.name.as_str().to_owned())
        };
        assert_eq!(serves(&deployed, "a").as_deref(), Some("faq"));
        assert_eq!(serves(&deployed, "b").as_deref(), Some("echo"));
        assert!(deployed.unbind(&binding("a", "faq").account));
        assert_eq!(serves(&deployed, "a").as_deref(), Some("echo"));
        assert!(deployed.unbind(&Scope::All));
        assert!(!deployed.unbind(&Scope::All));
        assert_eq!(serves(&deployed, "a"), None);
    }

    #[test]
    fn the_callback_has_a_handler_of_its_own() {
        let bindings = [
            binding("a", "faq"),
            binding("*callback", "gate"),
            binding("*", "echo"),
        ];
        let mut deployed = Deployed::new(ports::Catalogue {
            handlers: vec![handler("echo"), handler("faq"), handler("gate")],
            bindings: bindings.to_vec(),
        });
        let [own, callback, all] = bindings;
        assert_eq!(deployed.bindings(), [all, callback, own]);
        assert_eq!(deployed.callback().map(|it| it.name.as_str()), Some("gate"));
        let gate = "gate".try_into().unwrap();
        assert_eq!(deployed.bound_to(&gate), [Scope::Callback]);
        assert!(deployed.unbind(&Scope::Callback));
        assert!(!deployed.unbind(&Scope::Callback));
        assert!(deployed.callback().is_none());
    }
}
