//! Handlers: named components, what they serve, and how they fail.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{AccountId, Digest, HandlerName, Millis};

/// The configuration key that lets a bot see what the account itself wrote.
pub const OWN_MESSAGES: &str = "own-messages";
/// The world of bots.
pub const BOT_WORLD: &str = "wxhost:bot/bot@0.1.0";
/// The world of components that decide about the callback.
pub const CALLBACK_WORLD: &str = "wxhost:callback/callback@0.1.0";
/// How the names of that world's package begin, whatever its version.
const CALLBACK_PACKAGE: &str = "wxhost:callback/";
/// The callback among the things that a handler can serve. No account's id
/// begins with `*`.
pub const CALLBACK_SCOPE: &str = "*callback";

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
    /// Whether it decides about the callback, rather than for accounts.
    pub fn is_callback(&self) -> bool {
        self.world.starts_with(CALLBACK_PACKAGE)
    }

    /// Whether messages that the account itself wrote reach this handler.
    pub fn wants_own_messages(&self) -> bool {
        self.config
            .get(OWN_MESSAGES)
            .is_some_and(|value| value == "true")
    }
}

/// What a handler serves: one account, all that have none of their own, or the
/// callback that they report to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Scope {
    /// Every account that has no binding of its own.
    All,
    /// The WeHub callback itself.
    Callback,
    /// One account.
    Account(AccountId),
}

impl Scope {
    /// Says why this handler can't serve it. A bot serves accounts, a callback
    /// component the callback.
    pub fn check(&self, handler: &Handler) -> Result<(), String> {
        let (needed, whom) = match self {
            Self::Callback => (CALLBACK_WORLD, "the callback"),
            Self::All | Self::Account(_) => (BOT_WORLD, "accounts"),
        };
        if handler.is_callback() == (*self == Self::Callback) {
            return Ok(());
        }
        let Handler { name, world, .. } = handler;
        Err(format!(
            "handler {name} has the world {world}: only components of {needed} serve {whom}"
        ))
    }
}

impl TryFrom<String> for Scope {
    type Error = super::id::BadId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "*" => Ok(Self::All),
            CALLBACK_SCOPE => Ok(Self::Callback),
            id => Ok(Self::Account(id.try_into()?)),
        }
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> String {
        match scope {
            Scope::All => "*".to_owned(),
            Scope::Callback => CALLBACK_SCOPE.to_owned(),
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn handler(world: &str) -> Handler {
        Handler {
            name: "one".try_into().unwrap(),
            digest: Digest::of(b"one"),
            size_bytes: 1,
            world: world.to_owned(),
            imports: Vec::new(),
            deployed_ms: 0,
            config: BTreeMap::new(),
        }
    }

    #[test]
    fn scopes_read_back_and_none_is_an_account_by_accident() {
        for text in ["*", "*callback", "wxid_a"] {
            let scope = Scope::try_from(text.to_owned()).unwrap();
            assert_eq!(String::from(scope), text);
        }
        assert!(Scope::try_from("*callbacks".to_owned()).is_err());
    }

    #[test]
    fn bots_serve_accounts_and_callback_components_the_callback() {
        let (bot, callback) = (handler(BOT_WORLD), handler(CALLBACK_WORLD));
        assert_eq!(Scope::All.check(&bot), Ok(()));
        assert_eq!(Scope::Callback.check(&callback), Ok(()));
        for (scope, handler) in [(Scope::All, &callback), (Scope::Callback, &bot)] {
            let problem = scope.check(handler).unwrap_err();
            assert!(problem.contains(BOT_WORLD), "{problem}");
            assert!(problem.contains(CALLBACK_WORLD), "{problem}");
        }
    }
}
