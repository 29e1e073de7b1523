//! The configuration of handlers: entries for all of a handler's accounts and for
//! single ones, some of them secrets.
//!
//! A change makes no version and takes effect with the next event: calls under way
//! end with what they began with.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use crate::{
    domain::{
        AccountId, Handler, HandlerName, Millis, Secret,
        handler::{
            BadConfig, CONFIG_ACCOUNTS_MAX, ConfigEntries, ConfigEntry, ConfigScope, ConfigValue,
            Layer, Layers, SECRET_MAX_BYTES, Setting, check_config_key,
        },
        ports::{CatalogueChange, Place, VaultError},
    },
    service::{Error, Service, catalogue::Entry, failing::Ended},
};

/// How many secrets that can't be read an error names.
const UNREADABLE_NAMED: usize = 3;

/// An entry of a configuration, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigItem {
    /// Its key.
    pub key: String,
    /// When it was set, in ms.
    pub changed_ms: Millis,
    /// What is shown of it.
    pub shown: ConfigShown,
}

/// What is shown of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigShown {
    /// Its text.
    Plain(String),
    /// Nothing: it is a secret.
    Secret {
        /// The host's key does not open it.
        unreadable: bool,
    },
}

/// A configuration that comes with a deployment.
pub(in crate::service) struct NewConfig {
    /// The entries for all accounts, to be stored. None when nothing was given.
    pub entries: Option<ConfigEntries>,
    /// What guests get from it.
    pub layers: Arc<Layers>,
}

impl Service {
    /// The configuration of a handler with these entries for all accounts set. Nothing
    /// is stored yet. The handler need not be there.
    pub(super) async fn config_with(
        &self,
        name: &HandlerName,
        layers: Arc<Layers>,
        plain: BTreeMap<String, String>,
    ) -> Result<NewConfig, Error> {
        if plain.is_empty() {
            let entries = None;
            return Ok(NewConfig { entries, layers });
        }
        let stored = self.0.store.config(name, &ConfigScope::Handler).await?;
        let mut entries =
            stored.unwrap_or_else(|| ConfigEntries::none(name.clone(), ConfigScope::Handler));
        let changes = plain.into_iter().map(|(key, text)| (key, Some(text)));
        let changed = entries.change(changes.collect(), self.0.store.now());
        changed.map_err(refused)?;
        let (layer, _) = self.layer(&entries);
        let mut layers = layers.as_ref().clone();
        layers.put(ConfigScope::Handler, layer);
        Ok(NewConfig {
            entries: Some(entries),
            layers: Arc::new(layers),
        })
    }

    /// The keys of the entries for all accounts.
    pub fn config_keys(&self, name: &HandlerName) -> Vec<String> {
        let entry = self.entry(name);
        entry.map_or_else(|_| Vec::new(), |it| it.config.keys().cloned().collect())
    }

    /// The entries of one scope.
    pub async fn config(
        &self,
        name: &HandlerName,
        account: Option<AccountId>,
    ) -> Result<Vec<ConfigItem>, Error> {
        let scope = ConfigScope::from(account);
        let config = self.entry(name)?.config;
        let unreadable: HashSet<_> = config.unreadable().into_iter().collect();
        let stored = self.0.store.config(name, &scope).await?;
        let entries = stored.map(|it| it.entries).unwrap_or_default().into_iter();
        let item = |(key, entry): (String, ConfigEntry)| ConfigItem {
            changed_ms: entry.changed_ms,
            shown: match entry.value {
                ConfigValue::Plain(text) => ConfigShown::Plain(text),
                ConfigValue::Sealed(_) => ConfigShown::Secret {
                    unreadable: unreadable.contains(&(scope.clone(), key.clone())),
                },
            },
            key,
        };
        Ok(entries.map(item).collect())
    }

    /// Replaces all plain entries of a scope; gives the scope's keys.
    pub async fn replace_config(
        &self,
        name: &HandlerName,
        account: Option<AccountId>,
        plain: BTreeMap<String, String>,
    ) -> Result<Vec<String>, Error> {
        self.edit_config(name, account, |entries, now_ms| {
            entries.replace(plain, now_ms).map_err(refused)
        })
        .await
    }

    /// Sets plain entries of a scope, and removes those without a value; gives the
    /// scope's keys.
    pub async fn change_config(
        &self,
        name: &HandlerName,
        account: Option<AccountId>,
        changes: BTreeMap<String, Option<String>>,
    ) -> Result<Vec<String>, Error> {
        self.edit_config(name, account, |entries, now_ms| {
            entries.change(changes, now_ms).map_err(refused)
        })
        .await
    }

    /// Sets a secret. Nothing gives it back but the guest's `wasi:config`.
    pub async fn put_secret(
        &self,
        name: &HandlerName,
        account: Option<AccountId>,
        key: String,
        secret: Secret,
    ) -> Result<(), Error> {
        check_secret(&key, &secret)?;
        let place = Place {
            handler: name.clone(),
            scope: ConfigScope::from(account.clone()),
            key: key.clone(),
        };
        let (service, name) = (self.clone(), name.clone());
        self.detached(async move {
            let _changing = service.0.catalogue.changing.lock().await;
            service.entry(&name)?;
            service.check_unreadable()?;
            let vault = Arc::clone(&service.0.vault);
            // It may write the key's file.
            let sealing = tokio::task::spawn_blocking(move || vault.seal(&place, &secret));
            let sealed = sealing
                .await
                .map_err(|error| Error::Host(error.to_string()))?;
            let sealed = sealed.map_err(|error| Error::Conflict(error.to_string()))?;
            let edit = |entries: &mut ConfigEntries, now_ms| {
                entries.put_secret(key, sealed, now_ms).map_err(refused)
            };
            service.edit_held(&name, account, edit).await.map(drop)
        })
        .await
    }

    /// Removes a secret.
    pub async fn remove_secret(
        &self,
        name: &HandlerName,
        account: Option<AccountId>,
        key: String,
    ) -> Result<(), Error> {
        self.edit_config(name, account, move |entries, _| {
            let removed = entries.remove_secret(&key);
            removed
                .then_some(())
                .ok_or_else(|| Error::not_found("secret", key))
        })
        .await
        .map(drop)
    }

    async fn edit_config(
        &self,
        name: &HandlerName,
        account: Option<AccountId>,
        edit: impl FnOnce(&mut ConfigEntries, Millis) -> Result<(), Error> + Send + 'static,
    ) -> Result<Vec<String>, Error> {
        let (service, name) = (self.clone(), name.clone());
        self.detached(async move {
            let _changing = service.0.catalogue.changing.lock().await;
            service.edit_held(&name, account, edit).await
        })
        .await
    }

    /// Changes a scope's entries, while the caller keeps others from changing what is
    /// deployed.
    async fn edit_held(
        &self,
        name: &HandlerName,
        account: Option<AccountId>,
        edit: impl FnOnce(&mut ConfigEntries, Millis) -> Result<(), Error>,
    ) -> Result<Vec<String>, Error> {
        let scope = ConfigScope::from(account);
        let entry = self.entry(name)?;
        check_scope(&entry, &scope)?;
        let stored = self.0.store.config(name, &scope).await?;
        let mut entries =
            stored.unwrap_or_else(|| ConfigEntries::none(name.clone(), scope.clone()));
        edit(&mut entries, self.0.store.now())?;
        let keys = entries.entries.keys().cloned().collect();
        let (layer, _) = self.layer(&entries);
        let change = match entries.entries.is_empty() {
            true => CatalogueChange::RemoveConfig(name.clone(), scope.clone()),
            false => CatalogueChange::PutConfig(Box::new(entries)),
        };
        self.0.store.change_catalogue(vec![change]).await?;
        let mut deployed = self.deployed();
        deployed.put(entry.with_config(scope.clone(), layer));
        self.has_serve(deployed);
        let whose = match scope {
            ConfigScope::Handler => None,
            ConfigScope::Account(id) => Some(id),
        };
        self.end_pauses(Ended::Configured(name.clone(), whose));
        Ok(keys)
    }

    /// While there are secrets that the present key does not open, none is sealed with
    /// it: else some would need one key and some another.
    fn check_unreadable(&self) -> Result<(), Error> {
        let deployed = self.0.catalogue.now();
        let named = |entry: &Entry| {
            let name = entry.handler.name.clone();
            let unreadable = entry.config.unreadable().into_iter();
            unreadable.map(move |(scope, key)| match scope {
                ConfigScope::Handler => format!("{key:?} of {name}"),
                ConfigScope::Account(id) => format!("{key:?} of {name} for {id}"),
            })
        };
        let unreadable: Vec<String> = deployed.handlers.values().flat_map(named).collect();
        if unreadable.is_empty() {
            return Ok(());
        }
        let some: Vec<_> = unreadable.iter().take(UNREADABLE_NAMED).cloned().collect();
        let more = match unreadable.len() - some.len() {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        Err(Error::Conflict(format!(
            "secrets can't be read with the key file {}: put back the key that they were sealed \
             with and start the host again, or remove them first: {}{more}",
            self.0.vault.key_file(),
            some.join(", ")
        )))
    }

    /// Moves a configuration that was kept in the handler's record to where it is now.
    pub(super) async fn with_config_moved(&self, mut handler: Handler) -> Result<Handler, Error> {
        let former = std::mem::take(&mut handler.former_config);
        if former.is_empty() {
            return Ok(handler);
        }
        let (name, scope) = (handler.name.clone(), ConfigScope::Handler);
        let stored = self.0.store.config(&name, &scope).await?;
        let mut entries = stored.unwrap_or_else(|| ConfigEntries::none(name, scope));
        for (key, text) in former {
            let entry = ConfigEntry {
                changed_ms: handler.version.deployed_ms,
                value: ConfigValue::Plain(text),
            };
            entries.entries.entry(key).or_insert(entry);
        }
        let changes = vec![
            CatalogueChange::PutConfig(Box::new(entries)),
            CatalogueChange::PutHandler(Box::new(handler.clone())),
        ];
        self.0.store.change_catalogue(changes).await?;
        Ok(handler)
    }

    /// Reads a handler's configuration and makes it ready. Secrets that can't be read
    /// are told in the log and keep the others from nothing.
    pub(super) async fn load_config(&self, name: &HandlerName) -> Result<Layers, Error> {
        let (mut layers, mut fault) = (Layers::default(), None);
        for entries in self.0.store.configs(name).await? {
            let (layer, unread) = self.layer(&entries);
            layers.put(entries.scope, layer);
            fault = fault.or(unread);
        }
        if let Some((place, error)) = fault {
            tracing::error!(
                handler = %name, count = layers.unreadable().len(),
                scope = place.scope.as_str(), key = place.key, %error,
                "secrets can't be read: the bot that asks for one gets an error. Put back the \
                 key that they were sealed with and start the host again"
            );
        }
        Ok(layers)
    }

    /// A scope's entries, ready for guests, and the first that can't be read.
    fn layer(&self, entries: &ConfigEntries) -> (Layer, Option<(Place, VaultError)>) {
        let mut fault = None;
        let mut setting = |key: &String, value: &ConfigValue| match value {
            ConfigValue::Plain(text) => Setting::Plain(text.clone()),
            ConfigValue::Sealed(sealed) => {
                let place = Place {
                    handler: entries.handler.clone(),
                    scope: entries.scope.clone(),
                    key: key.clone(),
                };
                match self.0.vault.open(&place, sealed) {
                    Ok(secret) => Setting::Secret(secret),
                    Err(error) => {
                        fault.get_or_insert((place, error));
                        Setting::Unreadable
                    }
                }
            }
        };
        let all = entries.entries.iter();
        let layer = all
            .map(|(key, entry)| (key.clone(), setting(key, &entry.value)))
            .collect();
        (layer, fault)
    }

    /// What removes a handler's entries of all scopes, those of single accounts first.
    pub(super) fn config_removed(&self, name: &HandlerName) -> Result<Vec<CatalogueChange>, Error> {
        let mut scopes = self.entry(name)?.config.scopes();
        scopes.sort_by_key(|scope| *scope == ConfigScope::Handler);
        let remove = |scope| CatalogueChange::RemoveConfig(name.clone(), scope);
        Ok(scopes.into_iter().map(remove).collect())
    }
}

fn check_secret(key: &str, secret: &Secret) -> Result<(), Error> {
    let bad = |field, problem| Err(Error::BadRequest { field, problem });
    if let Err(problem) = check_config_key(key) {
        return bad("key", problem);
    }
    match secret.len() {
        0 => bad("secret", "is empty".to_owned()),
        bytes if bytes > SECRET_MAX_BYTES => bad(
            "secret",
            format!("has {bytes} bytes, at most {SECRET_MAX_BYTES} are taken"),
        ),
        _ => Ok(()),
    }
}

fn check_scope(entry: &Entry, scope: &ConfigScope) -> Result<(), Error> {
    let serves_accounts = !entry.handler.is_callback() && !entry.handler.is_endpoint();
    if !serves_accounts && *scope != ConfigScope::Handler {
        let problem = format!("{} serves no account: leave it out", entry.handler.name);
        return Err(Error::BadRequest {
            field: "account",
            problem,
        });
    }
    if entry.config.is_full_for(scope) {
        return Err(Error::Conflict(format!(
            "{CONFIG_ACCOUNTS_MAX} accounts have entries of their own with {}: remove those of \
             some first",
            entry.handler.name
        )));
    }
    Ok(())
}

fn refused(error: BadConfig) -> Error {
    match error {
        BadConfig::Bounds(problem) => Error::BadRequest {
            field: "config",
            problem,
        },
        BadConfig::IsSecret(_) => Error::Conflict(error.to_string()),
    }
}
