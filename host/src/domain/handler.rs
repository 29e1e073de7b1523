//! Handlers: named components, what they serve, and how they fail.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{AccountId, Digest, HandlerName, Millis};

/// The configuration key that lets a bot see what the account itself wrote.
pub const OWN_MESSAGES: &str = "own-messages";

/// A named component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handler {
    /// Its name.
    pub name: HandlerName,
    /// Which component it runs.
    pub digest: Digest,
    /// The component's size in bytes.
    pub size_bytes: u64,
    /// The world it was built for, e.g. `wxhost:bot/bot@0.1.0`.
    pub world: String,
    /// What it imports.
    pub imports: Vec<String>,
    /// When this component was deployed under this name.
    pub deployed_ms: Millis,
    /// What `wasi:config` gives the guest. May hold secrets: listings show the
    /// keys only.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
}

impl Handler {
    /// Whether messages that the account itself wrote reach this handler.
    pub fn wants_own_messages(&self) -> bool {
        self.config
            .get(OWN_MESSAGES)
            .is_some_and(|value| value == "true")
    }
}

/// Which accounts a handler serves: one, or all that have none of their own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Scope {
    /// Every account that has no binding of its own.
    All,
    /// One account.
    Account(AccountId),
}

impl TryFrom<String> for Scope {
    type Error = super::id::BadId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "*" => Ok(Self::All),
            id => Ok(Self::Account(id.try_into()?)),
        }
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> String {
        match scope {
            Scope::All => "*".to_owned(),
            Scope::Account(id) => id.into(),
        }
    }
}

/// Says which handler serves which accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// Which accounts.
    pub account: Scope,
    /// Which handler.
    pub handler: HandlerName,
}

/// How a call of a guest ended badly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The guest said so itself: it returned an error.
    Refused,
    /// The guest trapped: a panic, an unreachable, a stack overflow.
    Trap,
    /// It computed for too long.
    CpuTime,
    /// It took too long in all, waiting included.
    WallClock,
    /// It wanted more memory or table space than it may have.
    Memory,
    /// It made too many host calls or held too many handles.
    HostCalls,
    /// It asked for more tasks or writes than one event may cause.
    Effects,
    /// The host could not run it; no fault of the guest.
    Host,
}

/// A call of a guest that failed. Nothing that it asked for happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// For which event.
    pub event: String,
    /// Which handler.
    pub handler: HandlerName,
    /// Which component.
    pub digest: Digest,
    /// How.
    pub kind: FailureKind,
    /// What the guest or the engine said, with the guest's backtrace.
    pub message: String,
    /// The last lines that the guest logged or printed.
    #[serde(default)]
    pub output: String,
    /// When.
    pub at_ms: Millis,
}
