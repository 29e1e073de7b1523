//! Versions: components as they were deployed under a name, each with what it was
//! granted. A version never changes: rolling back to it brings back its grants too.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Manifest;
use crate::domain::{Digest, Millis};

/// How many versions of a handler are kept, those in use not counted. What is older
/// is forgotten with its component.
pub const VERSIONS_KEPT: usize = 20;

/// The place of a version among those of its handler: 1 is the first.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct VersionNumber(pub u32);

impl VersionNumber {
    /// What a handler's first deployment makes.
    pub const FIRST: Self = Self(1);

    /// The one after it.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for VersionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A component as it was deployed under a name. Never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// Which of its handler's.
    pub number: VersionNumber,
    /// Which component it runs.
    pub digest: Digest,
    /// The component's size in bytes.
    pub size_bytes: u64,
    /// The world it was built for, e.g. `wxhost:bot/bot@0.1.0`.
    pub world: String,
    /// What it imports.
    pub imports: Vec<String>,
    /// What it was granted, and when it is called.
    #[serde(default)]
    pub manifest: Manifest,
    /// When it was deployed, in ms.
    pub deployed_ms: Millis,
    /// Who deployed it, in their own words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// What they said about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// What a deployment has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeployChange {
    /// The name is new.
    Created,
    /// A new version serves.
    Replaced,
    /// A new version serves some.
    RolledOut,
    /// The same serves already.
    Unchanged,
}

impl Version {
    /// A bot's, made of these bytes.
    #[cfg(test)]
    pub fn example(component: &[u8]) -> Self {
        Self {
            number: VersionNumber::FIRST,
            digest: Digest::of(component),
            size_bytes: component.len() as u64,
            world: super::BOT_WORLD.to_owned(),
            imports: Vec::new(),
            manifest: Manifest::default(),
            deployed_ms: 0,
            by: String::new(),
            note: String::new(),
        }
    }

    /// Whether it answers HTTP requests, rather than serving accounts.
    pub fn is_endpoint(&self) -> bool {
        self.world == super::ENDPOINT_WORLD
    }

    /// Whether it decides about the callback, rather than for accounts.
    pub fn is_callback(&self) -> bool {
        self.world.starts_with(super::CALLBACK_PACKAGE)
    }
}
