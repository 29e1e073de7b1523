//! Handlers: named components, what they serve, and how they fail.

mod act_for;
mod config;
mod failing;
mod failure;
mod host_rule;
mod limits;
mod log;
mod manifest;
mod reached;
mod rollout;
mod schedule;
mod version;

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

pub use self::{
    act_for::{ACT_FOR_MAX, ActFor},
    config::{
        BadConfig, CONFIG_ACCOUNTS_MAX, CONFIG_ENTRIES_MAX, CONFIG_KEY_MAX_BYTES, CONFIG_MAX_BYTES,
        ConfigEntries, ConfigEntry, ConfigScope, ConfigValue, Configuration, Layer, Layers,
        SECRET_MAX_BYTES, Sealed, Setting, Unreadable, check_config_key,
    },
    failing::{
        Begun, Failing, FailingConversation, FailingPause, FailingPolicy, Source, Waits,
        WhenFailing,
    },
    failure::{Failure, FailureKind, LimitsInForce, Used},
    host_rule::{BadHostRule, HOST_RULES_MAX, Host, HostRule, Origin, Reach, Scheme, sorted},
    limits::{
        CallLimit, CallLimits, EFFECT_CHANGES_MAX, LimitBounds, TIMER_CHANGES, effect_changes,
    },
    log::{HOST, Line, LogLevel, LogLine, STDERR, STDOUT},
    manifest::{Instances, Manifest, ManifestChange},
    reached::{Reached, Reaches, ScopeReached},
    rollout::{FAILURES_PERCENT, Return, Rollout, Score, Share},
    schedule::{Fired, Run, RunKey, SCHEDULES_MAX, Schedule, ScheduleView},
    version::{DeployChange, VERSIONS_KEPT, Version, VersionNumber},
};
use super::{AccountId, Digest, HandlerName, Label, Millis, endpoint::MOUNT, label::LABEL_PREFIX};

/// The world of bots.
pub const BOT_WORLD: &str = "wxhost:bot/bot@0.1.0";
/// The world of components that decide about the callback.
pub const CALLBACK_WORLD: &str = "wxhost:callback/callback@0.1.0";
/// The world of components that answer HTTP requests. Those that were made for other
/// hosts (`wasi:http/proxy`) have it too.
pub const ENDPOINT_WORLD: &str = "wxhost:endpoint/endpoint@0.1.0";
/// How the names of the callback world's package begin, whatever its version.
const CALLBACK_PACKAGE: &str = "wxhost:callback/";
/// The callback among the things that a handler can serve. No account's id
/// begins with `*`.
pub const CALLBACK_SCOPE: &str = "*callback";

/// A named component, of which one version serves, and perhaps a newer one some.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct Handler {
    /// Its name.
    pub name: HandlerName,
    /// What serves all but those whom a rollout has reached.
    pub version: Version,
    /// What served before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<VersionNumber>,
    /// The newest version that there ever was.
    pub newest: VersionNumber,
    /// A newer version that serves some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// The last version that failed too often for those whom it had reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub returned: Option<Return>,
    /// The digest of the token that lets callers of an endpoint in; none before one
    /// was needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Digest>,
    /// Its configuration as it was kept before it had a table of its own. Moved
    /// there, and empty, once the host has started.
    #[serde(rename = "config", skip_serializing_if = "BTreeMap::is_empty")]
    pub former_config: BTreeMap<String, String>,
}

#[cfg(test)]
impl Handler {
    /// One that serves nobody yet.
    #[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    pub fn example(name: &str) -> Self {
        Self {
            name: name.try_into().unwrap(),
            version: Version::example(name.as_bytes()),
            previous: None,
            newest: VersionNumber::FIRST,
            rollout: None,
            returned: None,
            token: None,
            former_config: BTreeMap::new(),
        }
    }
}

/// A version of a handler as it serves an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Which handler.
    pub handler: HandlerName,
    /// Which version of it, shared by all deployments of it.
    pub version: Arc<Version>,
    /// What `wasi:config` gives the guest when it is called for this account.
    pub config: Configuration,
}

impl Handler {
    /// Whether it decides about the callback, rather than for accounts.
    pub fn is_callback(&self) -> bool {
        self.version.is_callback()
    }

    /// Whether it answers HTTP requests, rather than serving accounts.
    pub fn is_endpoint(&self) -> bool {
        self.version.is_endpoint()
    }

    /// What runs when this version serves, with this configuration.
    pub fn deployment(&self, version: &Arc<Version>, config: Configuration) -> Deployment {
        Deployment {
            handler: self.name.clone(),
            version: Arc::clone(version),
            config,
        }
    }

    /// The versions that serve anybody.
    pub fn serving(&self) -> impl Iterator<Item = &Version> {
        let newer = self.rollout.iter().map(|rollout| &rollout.version);
        std::iter::once(&self.version).chain(newer)
    }
}

/// What a handler serves: one account, those with a label, all others, or the callback
/// that they report to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Scope {
    /// Every account that has no binding of its own, nor by a label.
    All,
    /// The WeHub callback itself.
    Callback,
    /// Every account with this label that has no binding of its own.
    Label(Label),
    /// One account.
    Account(AccountId),
}

impl Scope {
    /// Says why this version of a handler can't serve it. A bot serves accounts, a
    /// callback component the callback.
    pub fn check(&self, name: &HandlerName, version: &Version) -> Result<(), String> {
        let (needed, whom) = match self {
            Self::Callback => (CALLBACK_WORLD, "the callback"),
            Self::All | Self::Label(_) | Self::Account(_) => (BOT_WORLD, "accounts"),
        };
        if version.is_endpoint() {
            return Err(format!(
                "handler {name} is an endpoint: it answers HTTP requests at {MOUNT}{name}/ and \
                 serves neither accounts nor the callback; `--act-for` at its deployment says \
                 for which accounts it may act"
            ));
        }
        if version.is_callback() == (*self == Self::Callback) {
            return Ok(());
        }
        let world = &version.world;
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
            other => match other.strip_prefix(LABEL_PREFIX) {
                Some(label) => Ok(Self::Label(label.try_into()?)),
                None => Ok(Self::Account(other.try_into()?)),
            },
        }
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> String {
        match scope {
            Scope::All => "*".to_owned(),
            Scope::Callback => CALLBACK_SCOPE.to_owned(),
            Scope::Label(label) => format!("{LABEL_PREFIX}{label}"),
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

/// How a handler is stored: as it is, or as it was before versions were counted.
#[derive(Deserialize)]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "it lives for a moment")]
enum Stored {
    Now {
        name: HandlerName,
        version: Version,
        #[serde(default)]
        previous: Option<VersionNumber>,
        newest: VersionNumber,
        #[serde(default)]
        rollout: Option<Rollout>,
        #[serde(default)]
        returned: Option<Return>,
        #[serde(default)]
        token: Option<Digest>,
        #[serde(default)]
        config: BTreeMap<String, String>,
    },
    Single {
        name: HandlerName,
        digest: Digest,
        size_bytes: u64,
        world: String,
        imports: Vec<String>,
        deployed_ms: Millis,
        #[serde(default)]
        config: BTreeMap<String, String>,
    },
}

/// The configuration key that once did what the manifest's `own_messages` does.
const OWN_MESSAGES: &str = "own-messages";

impl From<Stored> for Handler {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Now {
                name,
                version,
                previous,
                newest,
                rollout,
                returned,
                token,
                config,
            } => Self {
                name,
                version,
                previous,
                newest,
                rollout,
                returned,
                token,
                former_config: config,
            },
            Stored::Single {
                name,
                digest,
                size_bytes,
                world,
                imports,
                deployed_ms,
                mut config,
            } => Self {
                name,
                version: Version {
                    number: VersionNumber::FIRST,
                    digest,
                    size_bytes,
                    world,
                    imports,
                    manifest: Manifest {
                        own_messages: config.remove(OWN_MESSAGES).is_some_and(|it| it == "true"),
                        ..Manifest::default()
                    },
                    deployed_ms,
                    by: String::new(),
                    note: String::new(),
                },
                previous: None,
                newest: VersionNumber::FIRST,
                rollout: None,
                returned: None,
                token: None,
                former_config: config,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn handler(world: &str) -> Handler {
        Handler {
            version: Version {
                world: world.to_owned(),
                ..Version::example(b"one")
            },
            ..Handler::example("one")
        }
    }

    #[test]
    fn scopes_read_back_and_none_is_an_account_by_accident() {
        for text in ["*", "*callback", "label:shop", "wxid_a"] {
            let scope = Scope::try_from(text.to_owned()).unwrap();
            assert_eq!(String::from(scope), text);
        }
        for text in ["*callbacks", "label:", "label:a b"] {
            assert!(Scope::try_from(text.to_owned()).is_err(), "{text}");
        }
        assert!(AccountId::try_from("label:shop").is_err());
    }

    #[test]
    fn bots_serve_accounts_and_callback_components_the_callback() {
        let (bot, callback) = (handler(BOT_WORLD), handler(CALLBACK_WORLD));
        let check = |scope: Scope, it: &Handler| scope.check(&it.name, &it.version);
        assert_eq!(check(Scope::All, &bot), Ok(()));
        assert_eq!(check(Scope::Callback, &callback), Ok(()));
        for (scope, handler) in [(Scope::All, &callback), (Scope::Callback, &bot)] {
            let problem = check(scope, handler).unwrap_err();
            assert!(problem.contains(BOT_WORLD), "{problem}");
            assert!(problem.contains(CALLBACK_WORLD), "{problem}");
        }
        let endpoint = handler(ENDPOINT_WORLD);
        for scope in [Scope::All, Scope::Callback] {
            let problem = check(scope, &endpoint).unwrap_err();
            assert!(problem.contains("is an endpoint"), "{problem}");
        }
    }

    #[test]
    fn what_was_stored_before_versions_were_counted_is_the_first() {
        let digest = Digest::of(b"one");
        let stored = serde_json::json!({
            "name": "one", "digest": digest, "size_bytes": 7, "world": BOT_WORLD,
            "imports": [], "deployed_ms": 5, "config": {"own-messages": "true", "a": "b"},
        });
        let handler: Handler = serde_json::from_value(stored).unwrap();
        assert_eq!(
            (handler.version.number, handler.newest),
            (VersionNumber(1), VersionNumber(1))
        );
        assert_eq!(
            (handler.version.digest, handler.version.deployed_ms),
            (digest, 5)
        );
        assert!(handler.version.manifest.own_messages);
        assert_eq!(handler.former_config.keys().collect::<Vec<_>>(), ["a"]);
        let again = serde_json::to_value(&handler).unwrap();
        assert_eq!(serde_json::from_value::<Handler>(again).unwrap(), handler);
    }
}
