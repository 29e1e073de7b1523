//! Handlers and their versions, as the control API shows them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        AccountId, Digest, Handler, HandlerName, Label, Millis,
        endpoint::MOUNT,
        handler::{
            DeployChange, FAILURES_PERCENT, Manifest, ManifestChange, Reaches, Return, Rollout,
            Scope, Score, Share, Used, Version, VersionNumber,
        },
    },
    service::DeployDone,
};

/// A handler with the version that serves, without the values of its configuration.
#[derive(Debug, Serialize, Deserialize)]
pub struct HandlerView {
    /// Its name.
    pub name: HandlerName,
    /// Which version serves.
    pub version: VersionNumber,
    /// Which component that runs.
    pub digest: Digest,
    /// The component's size.
    pub size_bytes: u64,
    /// The world it was built for.
    pub world: String,
    /// What it imports.
    pub imports: Vec<String>,
    /// What it was granted.
    pub manifest: Manifest,
    /// When this version was deployed.
    pub deployed_ms: Millis,
    /// Who deployed it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// What they said about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Which version served before.
    pub previous: Option<VersionNumber>,
    /// The version that serves some.
    pub rollout: Option<RolloutView>,
    /// The last version that went back by itself.
    pub returned: Option<Return>,
    /// Which keys its configuration has for all accounts.
    pub config_keys: Vec<String>,
    /// Which accounts it serves.
    pub bindings: Vec<Scope>,
    /// How many accounts it reaches; after a change only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reaches: Option<Reaches>,
    /// For how many accounts it is paused, since it keeps failing there, or has events
    /// waiting; not after a change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_accounts: Option<u64>,
    /// Where an endpoint answers, below the address of this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// A token that was made: this is the only time that it is shown.
#[derive(Serialize, Deserialize)]
pub struct TokenView {
    /// The token.
    pub token: String,
}

/// A version that serves some.
#[derive(Debug, Serialize, Deserialize)]
pub struct RolloutView {
    /// Which.
    pub version: VersionNumber,
    /// Which component that runs.
    pub digest: Digest,
    /// The component's size.
    #[serde(default)]
    pub size_bytes: u64,
    /// The world it was built for. Empty where a host of before tells neither that nor what
    /// else has a default here.
    #[serde(default)]
    pub world: String,
    /// What it imports.
    #[serde(default)]
    pub imports: Vec<String>,
    /// What it was granted.
    #[serde(default)]
    pub manifest: Manifest,
    /// When it was deployed.
    #[serde(default)]
    pub deployed_ms: Millis,
    /// Who deployed it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// What they said about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Whom it serves.
    #[serde(flatten)]
    pub to: Share,
    /// How many of its calls may fail, in percent.
    pub failures_percent: u8,
    /// Its calls since it began, or since the host started.
    pub calls: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// Since when.
    pub began_ms: Millis,
}

impl RolloutView {
    fn new(rollout: &Rollout, score: Score) -> Self {
        let version = &rollout.version;
        Self {
            version: version.number,
            digest: version.digest,
            size_bytes: version.size_bytes,
            world: version.world.clone(),
            imports: version.imports.clone(),
            manifest: version.manifest.clone(),
            deployed_ms: version.deployed_ms,
            by: version.by.clone(),
            note: version.note.clone(),
            to: rollout.to.clone(),
            failures_percent: rollout.failures_percent,
            calls: score.calls,
            failures: score.failures,
            began_ms: rollout.began_ms,
        }
    }
}

impl HandlerView {
    /// The handler, the keys of its configuration, what is bound to it, and how its newer
    /// version does.
    pub fn new(
        handler: &Handler,
        config_keys: Vec<String>,
        bindings: Vec<Scope>,
        score: Option<Score>,
    ) -> Self {
        let version = &handler.version;
        let rollout = handler.rollout.as_ref();
        Self {
            name: handler.name.clone(),
            version: version.number,
            digest: version.digest,
            size_bytes: version.size_bytes,
            world: version.world.clone(),
            imports: version.imports.clone(),
            manifest: version.manifest.clone(),
            deployed_ms: version.deployed_ms,
            by: version.by.clone(),
            note: version.note.clone(),
            previous: handler.previous,
            rollout: rollout.map(|it| RolloutView::new(it, score.unwrap_or_default())),
            returned: handler.returned.clone(),
            config_keys,
            bindings,
            reaches: None,
            paused_accounts: None,
            path: handler
                .is_endpoint()
                .then(|| format!("{MOUNT}{}/", handler.name)),
        }
    }
}

/// What a deployment says beside its component.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeployOptions {
    /// What the version is granted; as the version before if it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Manifest>,
    /// What of that is to be another; what is left out stays.
    #[serde(skip_serializing_if = "ManifestChange::is_empty")]
    pub grants: ManifestChange,
    /// Entries of the handler's configuration for all accounts, set in the same step;
    /// what it is tried out with. Other entries stay.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
    /// Who deploys it.
    pub by: String,
    /// What they say about it.
    pub note: String,
    /// Whom it serves at first; everybody if it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutRequest>,
}

/// Whom a newer version is to serve: a percentage, a list, or labels, one of them.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RolloutRequest {
    /// Which version; the one that serves some already if it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionNumber>,
    /// So many of a hundred accounts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// These accounts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accounts: Option<BTreeSet<AccountId>>,
    /// Accounts with one of these labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeSet<Label>>,
    /// How many of its calls may fail, in percent, before it goes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures_percent: Option<u8>,
}

impl RolloutRequest {
    /// Whom it is to serve, and how many of its calls may fail.
    pub fn share(self) -> Result<(Share, u8), &'static str> {
        let share = match (self.percent, self.accounts, self.labels) {
            (Some(percent), None, None) => Share::Percent(percent),
            (None, Some(accounts), None) => Share::Accounts(accounts),
            (None, None, Some(labels)) => Share::Labels(labels),
            _ => return Err("takes one of percent, accounts and labels"),
        };
        Ok((share, self.failures_percent.unwrap_or(FAILURES_PERCENT)))
    }
}

/// Which version is to serve again.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RollbackRequest {
    /// Which; the one before if it is left out.
    pub to: Option<VersionNumber>,
}

/// What came of a deployment.
#[derive(Serialize, Deserialize)]
pub struct DeployView {
    /// The handler as it is now.
    #[serde(flatten)]
    pub handler: HandlerView,
    /// What has changed.
    pub change: DeployChange,
    /// The version that was made, or that serves already.
    pub deployed: Version,
    /// How long compiling took; 0 when it had been compiled before.
    pub compile_ms: u64,
    /// What the call that tried it out used.
    pub tried: Used,
    /// The token of an endpoint that takes one and had none before: this is the only
    /// time that it is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

impl DeployView {
    /// What came of it, with the keys of the handler's configuration and what is bound
    /// to it.
    pub fn new(done: DeployDone, config_keys: Vec<String>, bindings: Vec<Scope>) -> Self {
        Self {
            handler: HandlerView::new(&done.handler, config_keys, bindings, None),
            change: done.change,
            deployed: done.version,
            compile_ms: done.compile_ms,
            tried: done.tried,
            token: done.token.map(|token| token.expose().to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test fails by panicking"
    )]
    use serde_json::json;

    use super::*;

    #[test]
    fn a_handler_shows_the_keys_of_its_configuration_only() {
        let handler = Handler::example("echo");
        let view = HandlerView::new(&handler, vec!["api-key".into()], vec![Scope::All], None);
        assert_eq!(
            serde_json::to_value(view).unwrap(),
            json!({
                "name": "echo",
                "version": 1,
                "digest": handler.version.digest.to_string(),
                "size_bytes": 4,
                "world": "wxhost:bot/bot@0.1.0",
                "imports": [],
                "manifest": {},
                "deployed_ms": 0,
                "previous": null,
                "rollout": null,
                "returned": null,
                "config_keys": ["api-key"],
                "bindings": ["*"],
            })
        );
    }

    #[test]
    fn a_newer_version_shows_whom_it_serves_and_how_it_does() {
        let id = |text: &str| AccountId::try_from(text).unwrap();
        let rollout = |to| Rollout {
            version: Version::example(b"new"),
            to,
            failures_percent: 5,
            began_ms: 7,
        };
        let score = Score {
            calls: 9,
            failures: 1,
        };
        let shown = |to| serde_json::to_value(RolloutView::new(&rollout(to), score)).unwrap();
        assert_eq!(shown(Share::Percent(10))["percent"], 10);
        let listed = shown(Share::Accounts([id("a"), id("b")].into()));
        assert_eq!(listed["accounts"], json!(["a", "b"]));
        assert_eq!(
            (&listed["calls"], &listed["failures"]),
            (&json!(9), &json!(1))
        );
    }

    #[test]
    fn a_rollout_as_a_host_of_before_shows_it_is_read() {
        let told = json!({
            "version": 2, "digest": Version::example(b"new").digest, "percent": 10,
            "failures_percent": 5, "calls": 9, "failures": 1, "began_ms": 7,
        });
        let read: RolloutView = serde_json::from_value(told).unwrap();
        assert_eq!((read.to, read.calls), (Share::Percent(10), 9));
        assert_eq!((read.world.as_str(), read.size_bytes), ("", 0));
    }

    #[test]
    fn a_rollout_has_a_percentage_or_a_list() {
        let read = |value| {
            serde_json::from_value::<RolloutRequest>(value)
                .unwrap()
                .share()
        };
        assert_eq!(read(json!({"percent": 10})), Ok((Share::Percent(10), 20)));
        let labels = Share::Labels(["shop".try_into().unwrap()].into());
        assert_eq!(read(json!({"labels": ["shop"]})), Ok((labels, 20)));
        assert!(read(json!({})).is_err());
        assert!(read(json!({"percent": 10, "labels": ["shop"]})).is_err());
        assert!(read(json!({"percent": 10, "accounts": ["a"]})).is_err());
    }
}
