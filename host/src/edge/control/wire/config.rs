//! The configuration of handlers, as the control API shows it.

use serde::{Deserialize, Serialize};

use crate::{
    domain::Millis,
    service::{ConfigItem, ConfigShown},
};

/// Which keys a scope has after a change.
#[derive(Debug, Serialize, Deserialize)]
pub struct ConfigKeys {
    /// The keys, secrets' too.
    pub keys: Vec<String>,
}

/// An entry: the value of a plain one, of a secret that it is one.
#[derive(Debug, Serialize, Deserialize)]
pub struct ConfigItemView {
    /// Its key.
    pub key: String,
    /// The text; none of a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// It is a secret.
    #[serde(default, skip_serializing_if = "is_false")]
    pub secret: bool,
    /// It is a secret that the host's key does not open.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unreadable: bool,
    /// When it was set.
    pub changed_ms: Millis,
}

fn is_false(it: &bool) -> bool {
    !it
}

impl From<ConfigItem> for ConfigItemView {
    fn from(item: ConfigItem) -> Self {
        let (value, secret, unreadable) = match item.shown {
            ConfigShown::Plain(text) => (Some(text), false, false),
            ConfigShown::Secret { unreadable } => (None, true, unreadable),
        };
        Self {
            key: item.key,
            value,
            secret,
            unreadable,
            changed_ms: item.changed_ms,
        }
    }
}
