//! What the people who run a handler tell it: entries for all of its accounts, and
//! entries for single ones, which go before.
//!
//! Entries belong to no version. A change of them takes effect with the next event.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::domain::{AccountId, HandlerName, Millis, Secret, id::BadId};

/// How long the keys and values of one scope may be together.
pub const CONFIG_MAX_BYTES: usize = 256 * 1024;
/// How many entries a scope may have.
pub const CONFIG_ENTRIES_MAX: usize = 1000;
/// How long a key may be: it is shown in tables and is part of a path.
pub const CONFIG_KEY_MAX_BYTES: usize = 256;
/// How long a secret may be: a certificate with its key, not a file.
pub const SECRET_MAX_BYTES: usize = 64 * 1024;
/// How many accounts may have entries of their own with one handler: their entries
/// are all kept in memory.
pub const CONFIG_ACCOUNTS_MAX: usize = 10_000;

/// The scope of all accounts, as text. No account's id begins with `*`.
const ALL: &str = "*";

/// Whom entries are for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ConfigScope {
    /// Every account that the handler serves.
    Handler,
    /// One account.
    Account(AccountId),
}

impl ConfigScope {
    /// The account's id, or `*`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Handler => ALL,
            Self::Account(id) => id.as_str(),
        }
    }
}

impl From<Option<AccountId>> for ConfigScope {
    fn from(account: Option<AccountId>) -> Self {
        account.map_or(Self::Handler, Self::Account)
    }
}

impl TryFrom<String> for ConfigScope {
    type Error = BadId;

    fn try_from(text: String) -> Result<Self, BadId> {
        match text.as_str() {
            ALL => Ok(Self::Handler),
            id => Ok(Self::Account(id.try_into()?)),
        }
    }
}

impl From<ConfigScope> for String {
    fn from(scope: ConfigScope) -> String {
        scope.as_str().to_owned()
    }
}

/// A secret as it is stored: bytes that say nothing without the host's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed(pub Vec<u8>);

impl Serialize for Sealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = BASE64_STANDARD.decode(text).map_err(de::Error::custom)?;
        Ok(Self(bytes))
    }
}

/// What an entry holds, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConfigValue {
    /// A text that may be shown.
    Plain(String),
    /// A secret. Only the guest gets it.
    Sealed(Sealed),
}

/// An entry, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigEntry {
    /// When it was set, in ms.
    pub changed_ms: Millis,
    /// What it holds.
    #[serde(flatten)]
    pub value: ConfigValue,
}

/// The entries of one scope, as they are stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigEntries {
    /// Whose.
    pub handler: HandlerName,
    /// For whom.
    pub scope: ConfigScope,
    /// The entries by key.
    pub entries: BTreeMap<String, ConfigEntry>,
}

/// Why entries are not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadConfig {
    /// They are out of their bounds.
    #[error("{0}")]
    Bounds(String),
    /// The key is a secret's.
    #[error("{0:?} is a secret: remove it first, or set the secret anew")]
    IsSecret(String),
}

impl ConfigEntries {
    /// No entries yet.
    pub fn none(handler: HandlerName, scope: ConfigScope) -> Self {
        Self {
            handler,
            scope,
            entries: BTreeMap::new(),
        }
    }

    /// Replaces all plain entries. Secrets stay.
    pub fn replace(
        &mut self,
        plain: BTreeMap<String, String>,
        now_ms: Millis,
    ) -> Result<(), BadConfig> {
        self.entries
            .retain(|key, entry| entry.is_secret() || plain.contains_key(key));
        let all = plain.into_iter().map(|(key, value)| (key, Some(value)));
        self.change(all.collect(), now_ms)
    }

    /// Sets plain entries, and removes those without a value.
    pub fn change(
        &mut self,
        changes: BTreeMap<String, Option<String>>,
        now_ms: Millis,
    ) -> Result<(), BadConfig> {
        for (key, value) in changes {
            let known = self.entries.get(&key);
            if known.is_some_and(ConfigEntry::is_secret) {
                return Err(BadConfig::IsSecret(key));
            }
            let value = value.map(ConfigValue::Plain);
            if known.map(|entry| &entry.value) == value.as_ref() {
                continue;
            }
            self.set(key, value, now_ms);
        }
        self.check()
    }

    /// Sets a secret, also in place of a plain entry.
    pub fn put_secret(
        &mut self,
        key: String,
        sealed: Sealed,
        now_ms: Millis,
    ) -> Result<(), BadConfig> {
        self.set(key, Some(ConfigValue::Sealed(sealed)), now_ms);
        self.check()
    }

    /// Removes a secret; false when there is none.
    pub fn remove_secret(&mut self, key: &str) -> bool {
        let is_secret = self.entries.get(key).is_some_and(ConfigEntry::is_secret);
        is_secret && self.entries.remove(key).is_some()
    }

    fn set(&mut self, key: String, value: Option<ConfigValue>, changed_ms: Millis) {
        match value {
            Some(value) => self.entries.insert(key, ConfigEntry { changed_ms, value }),
            None => self.entries.remove(&key),
        };
    }

    /// Says which bound is passed.
    fn check(&self) -> Result<(), BadConfig> {
        for key in self.entries.keys() {
            check_config_key(key).map_err(BadConfig::Bounds)?;
        }
        let count = self.entries.len();
        if count > CONFIG_ENTRIES_MAX {
            let problem = format!("has {count} entries, at most {CONFIG_ENTRIES_MAX} are taken");
            return Err(BadConfig::Bounds(problem));
        }
        let sizes = self.entries.iter().map(|(key, it)| key.len() + it.len());
        let bytes: usize = sizes.sum();
        if bytes > CONFIG_MAX_BYTES {
            let problem = format!("has {bytes} bytes, at most {CONFIG_MAX_BYTES} are taken");
            return Err(BadConfig::Bounds(problem));
        }
        Ok(())
    }
}

/// Says why this can be no key.
pub fn check_config_key(key: &str) -> Result<(), String> {
    if key.is_empty() || key.len() > CONFIG_KEY_MAX_BYTES {
        return Err(format!("a key has 1 to {CONFIG_KEY_MAX_BYTES} bytes"));
    }
    match key.chars().any(char::is_control) {
        true => Err(format!("the key {key:?} has control characters")),
        false => Ok(()),
    }
}

impl ConfigEntry {
    /// Whether it must not be shown.
    pub fn is_secret(&self) -> bool {
        matches!(self.value, ConfigValue::Sealed(_))
    }

    fn len(&self) -> usize {
        match &self.value {
            ConfigValue::Plain(text) => text.len(),
            ConfigValue::Sealed(sealed) => sealed.0.len(),
        }
    }
}

// ---------------------------------------------------------- as guests see it

/// The value of an entry, ready for the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// A text that may be shown.
    Plain(String),
    /// A secret.
    Secret(Secret),
    /// A secret that the host's key does not open.
    Unreadable,
}

/// The entries of one scope, ready for guests.
pub type Layer = BTreeMap<String, Setting>;

/// A handler's entries of all scopes, ready for guests.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    handler: Arc<Layer>,
    accounts: BTreeMap<AccountId, Arc<Layer>>,
}

impl Layers {
    /// Puts a scope's entries in place of what it had.
    pub fn put(&mut self, scope: ConfigScope, layer: Layer) {
        match scope {
            ConfigScope::Handler => self.handler = Arc::new(layer),
            ConfigScope::Account(id) if layer.is_empty() => drop(self.accounts.remove(&id)),
            ConfigScope::Account(id) => drop(self.accounts.insert(id, Arc::new(layer))),
        }
    }

    /// What accounts without entries of their own get.
    pub fn shared(&self) -> Configuration {
        Configuration {
            own: None,
            shared: Arc::clone(&self.handler),
        }
    }

    /// What this account gets.
    pub fn of(&self, account: &AccountId) -> Configuration {
        Configuration {
            own: self.accounts.get(account).cloned(),
            shared: Arc::clone(&self.handler),
        }
    }

    /// Whether this account has entries of its own.
    pub fn has_own(&self, account: &AccountId) -> bool {
        self.accounts.contains_key(account)
    }

    /// The accounts that have entries of their own, with what they get.
    pub fn own(&self) -> impl Iterator<Item = (&AccountId, Configuration)> {
        self.accounts.iter().map(|(id, layer)| {
            let config = Configuration {
                own: Some(Arc::clone(layer)),
                shared: Arc::clone(&self.handler),
            };
            (id, config)
        })
    }

    /// The keys of the entries for all accounts.
    pub fn keys(&self) -> impl Iterator<Item = &String> {
        self.handler.keys()
    }

    /// The scopes that have entries.
    pub fn scopes(&self) -> Vec<ConfigScope> {
        let handler = (!self.handler.is_empty()).then_some(ConfigScope::Handler);
        let accounts = self.accounts.keys().cloned().map(ConfigScope::Account);
        handler.into_iter().chain(accounts).collect()
    }

    /// Whether no account more can have entries of its own.
    pub fn is_full_for(&self, scope: &ConfigScope) -> bool {
        let ConfigScope::Account(id) = scope else {
            return false;
        };
        self.accounts.len() >= CONFIG_ACCOUNTS_MAX && !self.accounts.contains_key(id)
    }

    /// The secrets that the host's key does not open: scope and key.
    pub fn unreadable(&self) -> Vec<(ConfigScope, String)> {
        let handler = std::iter::once((ConfigScope::Handler, &self.handler));
        let accounts = self.accounts.iter();
        let accounts = accounts.map(|(id, layer)| (ConfigScope::Account(id.clone()), layer));
        let mut found = Vec::new();
        for (scope, layer) in handler.chain(accounts) {
            let keys = layer.iter().filter(|(_, it)| **it == Setting::Unreadable);
            found.extend(keys.map(|(key, _)| (scope.clone(), key.clone())));
        }
        found
    }
}

/// What `wasi:config` gives a guest for one account: the account's own entries, then
/// those for all. Cheap to clone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    own: Option<Arc<Layer>>,
    shared: Arc<Layer>,
}

/// A secret can't be given to the guest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the secret {0:?} can't be read: the host lacks the key that it was sealed with, and its \
     log says more"
)]
pub struct Unreadable(pub String);

impl Configuration {
    /// The value of a key, if it has one.
    pub fn get(&self, key: &str) -> Result<Option<&str>, Unreadable> {
        let own = self.own.as_ref().and_then(|layer| layer.get(key));
        let found = own.or_else(|| self.shared.get(key));
        found.map(|it| it.text(key)).transpose()
    }

    /// All entries by key.
    pub fn all(&self) -> Result<Vec<(String, String)>, Unreadable> {
        let keys: BTreeSet<_> = self.layers().flat_map(|layer| layer.keys()).collect();
        let mut all = Vec::with_capacity(keys.len());
        for key in keys {
            if let Some(value) = self.get(key)? {
                all.push((key.clone(), value.to_owned()));
            }
        }
        Ok(all)
    }

    fn layers(&self) -> impl Iterator<Item = &Layer> {
        let own = self.own.iter();
        own.chain([&self.shared]).map(|layer| layer.as_ref())
    }
}

impl Setting {
    fn text(&self, key: &str) -> Result<&str, Unreadable> {
        match self {
            Self::Plain(text) => Ok(text),
            Self::Secret(secret) => Ok(secret.expose()),
            Self::Unreadable => Err(Unreadable(key.to_owned())),
        }
    }
}

/// Shows keys only.
impl fmt::Debug for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: BTreeSet<_> = self.layers().flat_map(|layer| layer.keys()).collect();
        f.debug_set().entries(keys).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use proptest::prelude::*;

    use super::*;

    fn entries() -> ConfigEntries {
        ConfigEntries::none("faq".try_into().unwrap(), ConfigScope::Handler)
    }

    fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    fn layer(pairs: &[(&str, &str)]) -> Layer {
        let plain = texts(pairs).into_iter();
        plain.map(|(key, it)| (key, Setting::Plain(it))).collect()
    }

    #[test]
    fn plain_entries_are_replaced_and_secrets_stay() {
        let mut it = entries();
        it.replace(texts(&[("a", "1"), ("b", "2")]), 5).unwrap();
        it.put_secret("s".into(), Sealed(vec![7]), 6).unwrap();
        it.replace(texts(&[("b", "2"), ("c", "3")]), 7).unwrap();
        let changed = it.entries.iter().map(|(k, e)| (k.as_str(), e.changed_ms));
        let changed: Vec<_> = changed.collect();
        assert_eq!(changed, [("b", 5), ("c", 7), ("s", 6)]);
        let refused = it.replace(texts(&[("s", "x")]), 8);
        assert_eq!(refused, Err(BadConfig::IsSecret("s".into())));
    }

    #[test]
    fn single_entries_are_set_and_removed() {
        let mut it = entries();
        it.replace(texts(&[("a", "1"), ("b", "2")]), 5).unwrap();
        let changes = [("a".to_owned(), None), ("c".to_owned(), Some("3".into()))];
        it.change(changes.into(), 6).unwrap();
        assert_eq!(it.entries.keys().collect::<Vec<_>>(), ["b", "c"]);
        assert!(!it.remove_secret("b"));
        // A plain entry may become a secret; the other way it is removed first.
        it.put_secret("b".into(), Sealed(vec![1]), 7).unwrap();
        assert!(it.change([("b".to_owned(), None)].into(), 8).is_err());
        assert!(it.remove_secret("b"));
    }

    #[test]
    fn a_scope_has_bounds() {
        let long = "k".repeat(CONFIG_KEY_MAX_BYTES + 1);
        for key in ["", "a\nb", long.as_str()] {
            let refused = entries().replace(texts(&[(key, "")]), 1);
            assert!(matches!(refused, Err(BadConfig::Bounds(_))), "{key:?}");
        }
        let many = |count: usize| (0..count).map(|n| (n.to_string(), String::new())).collect();
        assert!(entries().replace(many(CONFIG_ENTRIES_MAX), 1).is_ok());
        assert!(entries().replace(many(CONFIG_ENTRIES_MAX + 1), 1).is_err());
        let large = |bytes: usize| texts(&[("k", &"x".repeat(bytes))]);
        assert!(entries().replace(large(CONFIG_MAX_BYTES - 1), 1).is_ok());
        assert!(entries().replace(large(CONFIG_MAX_BYTES), 1).is_err());
    }

    #[test]
    fn an_account_s_entry_goes_before_the_handler_s() {
        let mut layers = Layers::default();
        layers.put(ConfigScope::Handler, layer(&[("a", "all"), ("b", "all")]));
        let scope = ConfigScope::Account("wxid_a".try_into().unwrap());
        layers.put(scope.clone(), layer(&[("b", "own"), ("c", "own")]));
        let (_, own) = layers.own().next().unwrap();
        let pairs = [("a", "all"), ("b", "own"), ("c", "own")];
        let expected: Vec<_> = texts(&pairs).into_iter().collect();
        assert_eq!(own.all().unwrap(), expected);
        assert_eq!(layers.shared().get("c"), Ok(None));
        layers.put(scope, Layer::new());
        assert_eq!(layers.own().count(), 0);
    }

    #[test]
    fn what_can_not_be_read_is_an_error_and_not_the_handler_s_value() {
        let mut layers = Layers::default();
        layers.put(ConfigScope::Handler, layer(&[("a", "all"), ("b", "all")]));
        let scope = ConfigScope::Account("wxid_a".try_into().unwrap());
        let own = [("b".to_owned(), Setting::Unreadable)].into();
        layers.put(scope.clone(), own);
        let (_, config) = layers.own().next().unwrap();
        assert_eq!(config.get("a"), Ok(Some("all")));
        assert_eq!(config.get("b"), Err(Unreadable("b".into())));
        assert!(config.all().is_err());
        assert_eq!(layers.unreadable(), [(scope, "b".to_owned())]);
    }

    #[test]
    fn values_do_not_show() {
        let mut layers = Layers::default();
        let secret = Setting::Secret("hush".into());
        layers.put(ConfigScope::Handler, [("a".to_owned(), secret)].into());
        assert_eq!(format!("{:?}", layers.shared()), r#"{"a"}"#);
        assert!(!format!("{layers:?}").contains("hush"));
    }

    proptest! {
        #[test]
        fn entries_read_back(plain in proptest::collection::btree_map(".{1,9}", ".*", 0..9), sealed: Vec<u8>) {
            let mut it = entries();
            it.entries = plain
                .into_iter()
                .map(|(key, it)| (key, ConfigEntry { changed_ms: 1, value: ConfigValue::Plain(it) }))
                .collect();
            let value = ConfigValue::Sealed(Sealed(sealed));
            it.entries.insert("sealed".into(), ConfigEntry { changed_ms: u64::MAX, value });
            let text = serde_json::to_string(&it).unwrap();
            prop_assert_eq!(serde_json::from_str::<ConfigEntries>(&text).unwrap(), it);
        }
    }
}
