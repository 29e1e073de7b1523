//! Handlers: deploying, configuring, removing.
//!
//! Each change goes on when its caller goes away: what is in the store and what
//! is in memory never differ.

mod bindings;
mod config;
mod invoke;
mod labels;
mod reached;
mod replay;
mod versions;

use self::config::NewConfig;
pub use self::{
    config::{ConfigItem, ConfigShown},
    invoke::{Invoke, Invoked},
    labels::ChangeLabels,
    replay::{Replay, Replayed, ReplayedEvent},
    versions::ChangeRollout,
};
use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use tracing::Instrument;

use super::{
    Error, Service,
    catalogue::{Deployed, Entry},
    endpoints::first_token,
    error::failure_of,
    failing::Ended,
};
use crate::domain::{
    Digest, Handler, HandlerName, Secret,
    handler::{
        Configuration, DeployChange, Layers, Manifest, ManifestChange, Rollout, Scope, Share, Used,
        VERSIONS_KEPT, Version, VersionNumber,
    },
    ports::{COMMIT_CHANGES_MAX, CatalogueChange, Component},
};
use crate::{metrics, telemetry::TARGET};

/// How many handlers a host takes. Each keeps compiled code in memory.
pub const HANDLERS_MAX: usize = 10_000;
/// How long a note on a version may be, and the name of who deployed it.
pub const NOTE_MAX_CHARS: usize = 500;

/// A component to deploy.
#[derive(Debug, Clone)]
pub struct Deploy {
    /// Under which name.
    pub name: HandlerName,
    /// The component.
    pub component: Bytes,
    /// What it is granted; none for what the version before was.
    pub manifest: Option<Manifest>,
    /// What of that is to be another.
    pub grants: ManifestChange,
    /// Entries of its configuration for all accounts that are set in the same step, and
    /// that it is tried out with. Other entries stay.
    pub config: BTreeMap<String, String>,
    /// Who deploys it, in their own words.
    pub by: String,
    /// What they say about it.
    pub note: String,
    /// Whom it serves at first; none for everybody that the name serves.
    pub to: Option<(Share, u8)>,
}

impl Deploy {
    /// A component that serves everybody, granted what the version before was.
    pub fn of(name: HandlerName, component: Bytes) -> Self {
        Self {
            name,
            component,
            manifest: None,
            grants: ManifestChange::default(),
            config: BTreeMap::new(),
            by: String::new(),
            note: String::new(),
            to: None,
        }
    }
}

impl Deploy {
    /// What the version is granted, after this one of the handler.
    fn granted(&self, former: Option<&Handler>) -> Manifest {
        let given = self.manifest.clone();
        let before = || former.map(|handler| handler.version.manifest.clone());
        self.grants
            .applied_to(given.or_else(before).unwrap_or_default())
    }
}

/// What came of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployDone {
    /// The handler as it is now.
    pub handler: Arc<Handler>,
    /// The version that was made, or that serves already.
    pub version: Version,
    /// What has changed.
    pub change: DeployChange,
    /// How long compiling took, in ms; 0 when it had been compiled before.
    pub compile_ms: u64,
    /// What the call that tried it out used.
    pub tried: Used,
    /// The token of an endpoint that takes one and had none before. Kept nowhere.
    pub token: Option<Secret>,
}

impl Service {
    /// Reads what is deployed and makes it ready.
    pub(in crate::service) async fn load_catalogue(&self) -> Result<(), Error> {
        let stored = self.0.store.catalogue().await?;
        let mut entries = Vec::with_capacity(stored.handlers.len());
        for handler in stored.handlers {
            for version in handler.serving() {
                if let Err(error) = self.0.runtime.prepare(version.digest).await {
                    tracing::error!(
                        handler = %handler.name, version = %version.number, %error,
                        "the handler can't be loaded"
                    );
                }
            }
            let kept = self.kept(&handler).await?;
            let handler = self.with_config_moved(handler).await?;
            let config = Arc::new(self.load_config(&handler.name).await?);
            entries.push(Entry::new(handler, kept, config, None));
        }
        let deployed = Deployed::new(entries, stored.bindings, stored.labels);
        self.has_serve(deployed);
        self.load_runs().await
    }

    /// The versions that can be gone back to. What was deployed before versions were
    /// counted stands in the handler only: it is kept from now on.
    async fn kept(&self, handler: &Handler) -> Result<Vec<(VersionNumber, Digest)>, Error> {
        let mut versions = self.0.store.versions(&handler.name).await?;
        for serving in handler.serving() {
            if !versions.iter().any(|it| it.number == serving.number) {
                let (name, version) = (handler.name.clone(), Box::new(serving.clone()));
                let change = CatalogueChange::PutVersion(name, version);
                self.0.store.change_catalogue(vec![change]).await?;
                versions.push(serving.clone());
            }
        }
        Ok(versions.iter().map(|it| (it.number, it.digest)).collect())
    }

    /// Deploys a component under a name, once it has been compiled, linked, started
    /// and called. Configuration and bindings of the name stay as they were.
    pub async fn deploy(&self, deploy: Deploy) -> Result<DeployDone, Error> {
        let service = self.clone();
        let handler = deploy.name.as_str();
        let span = tracing::info_span!(target: TARGET, "deploy", handler);
        let deployed = async move { service.deploy_whole(deploy).await };
        self.detached(deployed.instrument(span)).await
    }

    async fn deploy_whole(&self, mut deploy: Deploy) -> Result<DeployDone, Error> {
        let bytes = std::mem::take(&mut deploy.component);
        let under_way = self.0.catalogue.deploying(Digest::of(&bytes));
        let done = self.take_in(deploy, bytes).await;
        drop(under_way);
        // While somebody else changes something, they see to it.
        if let Ok(_changing) = self.0.catalogue.changing.try_lock() {
            self.retain_components().await;
        }
        done
    }

    /// Compiles and tries out what is to be deployed, which takes its time: others change
    /// things meanwhile. So all is looked at again once nobody else can.
    async fn take_in(&self, deploy: Deploy, bytes: Bytes) -> Result<DeployDone, Error> {
        self.plan_first(&deploy)?;
        let component = self.0.runtime.take_in(bytes).await?;
        let compile_ms = component.compile_ms;
        let tried = self.tried(self.plan(&deploy, &component).await?).await?;

        let _changing = self.0.catalogue.changing.lock().await;
        let planned = self.plan(&deploy, &component).await?;
        let Tried { planned, used } = match tried.holds_for(&planned) {
            true => Tried { planned, ..tried },
            false => self.tried(planned).await?,
        };
        let Planned {
            handler,
            version,
            change,
            config,
            ..
        } = planned;
        let (mut handler, mut token) = (handler, None);
        let (handler, version) = match change {
            DeployChange::Unchanged if config.entries.is_none() => {
                let version = handler.version.clone();
                (Arc::new(handler), version)
            }
            DeployChange::Unchanged => {
                let version = handler.version.clone();
                (self.put(handler, None, Some(config)).await?, version)
            }
            _ => {
                token = first_token(&mut handler, &version)?;
                let put = self.put(handler, Some(&version), Some(config));
                let handler = put.await?;
                metrics::get().deployed("deploy");
                (handler, version)
            }
        };
        Ok(DeployDone {
            handler,
            version,
            change,
            compile_ms,
            tried: used,
            token,
        })
    }

    /// What can be told without the component: nothing is compiled for what is refused.
    fn plan_first(&self, deploy: &Deploy) -> Result<(), Error> {
        let former = self.0.catalogue.now().handlers.get(&deploy.name).cloned();
        self.check_deploy(deploy, former.as_ref())
    }

    /// What this component makes of the handler, as things are now.
    async fn plan(&self, deploy: &Deploy, component: &Component) -> Result<Planned, Error> {
        let former = self.0.catalogue.now().handlers.get(&deploy.name).cloned();
        self.check_deploy(deploy, former.as_ref())?;
        let former_config = former.as_ref().map(|entry| Arc::clone(&entry.config));
        let config = former_config.clone().unwrap_or_default();
        let config = self.config_with(&deploy.name, config, deploy.config.clone());
        let config = config.await?;
        let former = former.map(|entry| entry.handler);
        let manifest = deploy.granted(former.as_deref());
        let number = former.as_ref().map(|it| it.newest.next());
        let version = Version {
            number: number.unwrap_or(VersionNumber::FIRST),
            digest: component.digest,
            size_bytes: component.size_bytes,
            world: component.world.clone(),
            imports: component.imports.clone(),
            manifest,
            deployed_ms: self.0.store.now(),
            by: deploy.by.clone(),
            note: deploy.note.clone(),
        };
        check_world(&version)?;
        let (name, to) = (deploy.name.clone(), deploy.to.clone());
        let (handler, change) = deployed_as(name, former, version.clone(), to);
        self.check_bound_scopes(&handler.name, &version)?;
        check_rollout_world(&handler)?;
        Ok(Planned {
            handler,
            version,
            change,
            config,
            former_config,
        })
    }

    async fn tried(&self, planned: Planned) -> Result<Tried, Error> {
        let config = planned.config.layers.shared();
        let used = self
            .try_out(&planned.handler, &planned.version, config)
            .await?;
        Ok(Tried { planned, used })
    }

    fn check_deploy(&self, deploy: &Deploy, former: Option<&Entry>) -> Result<(), Error> {
        if former.is_none() && self.0.catalogue.now().handlers.len() >= HANDLERS_MAX {
            let reason = format!("{HANDLERS_MAX} handlers are deployed: remove one first");
            return Err(Error::Busy { reason });
        }
        for (field, text) in [("note", &deploy.note), ("by", &deploy.by)] {
            let chars = text.chars().count();
            if chars > NOTE_MAX_CHARS {
                let problem = format!("takes {NOTE_MAX_CHARS} characters, these are {chars}");
                return Err(Error::BadRequest { field, problem });
            }
        }
        // What the version before was granted stays as it is, also if it would be refused by
        // now.
        if deploy.manifest.is_some() || !deploy.grants.is_empty() {
            let manifest = deploy.granted(former.map(|entry| entry.handler.as_ref()));
            let schedules = manifest.check_schedules();
            let limits = self.0.policies.calls.check(&manifest.limits);
            for (field, checked) in [("schedules", schedules), ("limits", limits)] {
                checked.map_err(|problem| Error::BadRequest { field, problem })?;
            }
        }
        match &deploy.to {
            Some((share, failures_percent)) => check_share(share, *failures_percent, former),
            None => Ok(()),
        }
    }

    /// Calls it once, with the configuration that it is going to have.
    async fn try_out(
        &self,
        handler: &Handler,
        version: &Version,
        config: Configuration,
    ) -> Result<Used, Error> {
        let version = Arc::new(version.clone());
        let deployment = Arc::new(handler.deployment(&version, config));
        let failure = match self.0.runtime.try_out(deployment).await {
            Ok(used) => return Ok(used),
            Err(error) => failure_of(error)?,
        };
        let output = match failure.output.trim_end() {
            "" => String::new(),
            output => format!("\nit said before:\n{output}"),
        };
        Err(Error::Unfit(format!(
            "it failed when it was tried out with an event that asks for nothing: {}{output}",
            failure.message
        )))
    }

    /// Whoever is served by this name must be by its new component too.
    fn check_bound_scopes(&self, name: &HandlerName, version: &Version) -> Result<(), Error> {
        let bound = self.0.catalogue.now().bound_to(name);
        bound.iter().try_for_each(|scope| {
            let unfit = |problem| format!("{problem}; unbind it, or take another name");
            let fits = scope.check(name, version);
            fits.map_err(unfit).map_err(Error::Conflict)
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
        let with_bindings = |entry: &Entry| {
            (
                Arc::clone(&entry.handler),
                bound.remove(&entry.handler.name).unwrap_or_default(),
            )
        };
        deployed.handlers.values().map(with_bindings).collect()
    }

    /// One handler with what is bound to it.
    pub fn handler(&self, name: &HandlerName) -> Result<(Arc<Handler>, Vec<Scope>), Error> {
        let handler = self.entry(name)?.handler;
        Ok((handler, self.0.catalogue.now().bound_to(name)))
    }

    fn entry(&self, name: &HandlerName) -> Result<Entry, Error> {
        let found = self.0.catalogue.now().handlers.get(name).cloned();
        found.ok_or_else(|| Error::not_found("handler", name))
    }

    /// Removes a handler that nothing is bound to, with its versions and its
    /// configuration.
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
        let mut changes = self.config_removed(name)?;
        let kept = self.entry(name)?.kept.into_iter();
        let version = |(number, _)| CatalogueChange::RemoveVersion(name.clone(), number);
        changes.extend(kept.map(version));
        changes.push(CatalogueChange::RemoveHandler(name.clone()));
        let mut runs = self.0.runs.lock().await;
        let change = runs.change_to(name, None, self.0.store.now());
        changes.extend(change.to_store());
        // All in one step, but where so many accounts have entries of their own that those
        // don't fit: the first of them go before. Cut short there, it can be done again.
        while changes.len() > COMMIT_CHANGES_MAX {
            let rest = changes.split_off(COMMIT_CHANGES_MAX);
            let first = std::mem::replace(&mut changes, rest);
            self.0.store.change_catalogue(first).await?;
        }
        self.0.store.change_catalogue(changes).await?;
        runs.apply(change);
        drop(runs);
        let mut deployed = self.deployed();
        deployed.handlers.remove(name);
        self.has_serve(deployed);
        self.retain_components().await;
        self.forget_logs(name);
        Ok(())
    }

    /// Has this serve from now on. No instance stays that was kept for what has changed.
    fn has_serve(&self, deployed: Deployed) {
        self.0.catalogue.replace(deployed);
        let now = self.0.catalogue.now();
        self.0
            .runtime
            .forget_unserved(&|account| now.deployment_of(account).cloned());
    }

    fn deployed(&self) -> Deployed {
        self.0.catalogue.now().as_ref().clone()
    }

    /// Makes a handler as it is from now on durable, then has it serve. A version
    /// that is new is kept; what is too old then is not. Its configuration stays as it
    /// is unless another is given.
    pub(in crate::service) async fn put(
        &self,
        handler: Handler,
        made: Option<&Version>,
        config: Option<NewConfig>,
    ) -> Result<Arc<Handler>, Error> {
        let former = self.0.catalogue.now().handlers.get(&handler.name).cloned();
        let mut kept = former.as_ref().map_or_else(Vec::new, |it| it.kept.clone());
        let mut changes = vec![CatalogueChange::PutHandler(Box::new(handler.clone()))];
        if let Some(version) = made {
            kept.insert(0, (version.number, version.digest));
            let name = handler.name.clone();
            changes.push(CatalogueChange::PutVersion(name, Box::new(version.clone())));
        }
        for number in too_old(&handler, &kept) {
            kept.retain(|(it, _)| *it != number);
            let name = handler.name.clone();
            changes.push(CatalogueChange::RemoveVersion(name, number));
        }
        let (entries, layers) = match config {
            Some(config) => (config.entries, Some(config.layers)),
            None => (None, former.as_ref().map(|it| Arc::clone(&it.config))),
        };
        let is_configured = entries.is_some();
        changes.extend(entries.map(|it| CatalogueChange::PutConfig(Box::new(it))));
        let mut runs = self.0.runs.lock().await;
        let change = runs.change_to(&handler.name, Some(&handler), self.0.store.now());
        changes.extend(change.to_store());
        self.0.store.change_catalogue(changes).await?;
        runs.apply(change);
        let entry = Entry::new(handler, kept, layers.unwrap_or_default(), former.as_ref());
        let handler = Arc::clone(&entry.handler);
        let mut deployed = self.deployed();
        deployed.put(entry);
        self.has_serve(deployed);
        self.end_pauses(Ended::Replaced);
        if is_configured {
            self.end_pauses(Ended::Configured(handler.name.clone(), None));
        }
        Ok(handler)
    }

    async fn retain_components(&self) {
        let components = self.0.catalogue.components();
        self.0.runtime.retain(&components).await;
    }
}

/// What a deployment is going to make.
struct Planned {
    handler: Handler,
    version: Version,
    change: DeployChange,
    config: NewConfig,
    /// What it was made of; none when the name is new.
    former_config: Option<Arc<Layers>>,
}

/// What was planned, and what the call that tried it out used.
struct Tried {
    planned: Planned,
    used: Used,
}

impl Tried {
    /// Whether what was tried out is what this would run.
    fn holds_for(&self, now: &Planned) -> bool {
        self.planned.version.manifest == now.version.manifest
            && self.planned.former_config.as_ref().map(Arc::as_ptr)
                == now.former_config.as_ref().map(Arc::as_ptr)
    }
}

/// Only bots serve accounts.
fn check_world(version: &Version) -> Result<(), Error> {
    let fits = version.manifest.check_world(&version.world);
    fits.map_err(|(field, problem)| Error::BadRequest { field, problem })
}

/// The handler with a new version, and what that changes.
fn deployed_as(
    name: HandlerName,
    former: Option<Arc<Handler>>,
    version: Version,
    to: Option<(Share, u8)>,
) -> (Handler, DeployChange) {
    let Some(former) = former else {
        let handler = Handler {
            name,
            newest: version.number,
            version,
            previous: None,
            rollout: None,
            returned: None,
            token: None,
            former_config: BTreeMap::new(),
        };
        return (handler, DeployChange::Created);
    };
    let former = former.as_ref().clone();
    let same = |it: &Version| it.digest == version.digest && it.manifest == version.manifest;
    match to {
        None if same(&former.version) && former.rollout.is_none() => {
            (former, DeployChange::Unchanged)
        }
        None => {
            let handler = Handler {
                newest: version.number,
                previous: Some(former.version.number),
                version,
                rollout: None,
                ..former
            };
            (handler, DeployChange::Replaced)
        }
        Some((to, failures_percent)) => {
            let handler = Handler {
                newest: version.number,
                rollout: Some(Rollout {
                    began_ms: version.deployed_ms,
                    version,
                    to,
                    failures_percent,
                }),
                ..former
            };
            (handler, DeployChange::RolledOut)
        }
    }
}

/// Says why a version can't serve some of a handler's accounts only.
fn check_share(share: &Share, failures_percent: u8, former: Option<&Entry>) -> Result<(), Error> {
    let bad = |field, problem: String| Err(Error::BadRequest { field, problem });
    if failures_percent > 100 {
        return bad("failures-percent", "takes 0 to 100".to_owned());
    }
    if let Err(problem) = share.check() {
        return bad("share", problem);
    }
    match former {
        None => bad(
            "share",
            "the name is new: its first version serves all".to_owned(),
        ),
        Some(entry) if entry.handler.is_callback() => bad(
            "share",
            "a callback component serves the callback, which can't be shared".to_owned(),
        ),
        Some(entry) if entry.handler.is_endpoint() && !matches!(share, Share::Percent(_)) => bad(
            "share",
            "an endpoint serves no accounts: take --percent, which is of its requests".to_owned(),
        ),
        Some(_) => Ok(()),
    }
}

/// Says why a newer version can't serve some: who asks an endpoint must not find a bot.
fn check_rollout_world(handler: &Handler) -> Result<(), Error> {
    let newer = handler.rollout.as_ref().map(|rollout| &rollout.version);
    match newer {
        Some(newer) if newer.is_endpoint() != handler.is_endpoint() => {
            Err(Error::Conflict(format!(
                "version {} has the world {} and {} that of {}: it can serve all or nobody",
                newer.number, newer.world, handler.name, handler.version.world
            )))
        }
        _ => Ok(()),
    }
}

/// Versions that nobody can need any more: beyond the newest that are kept, those
/// that serve or served last not counted.
fn too_old(handler: &Handler, kept: &[(VersionNumber, Digest)]) -> Vec<VersionNumber> {
    let needed = |number: VersionNumber| {
        handler.previous == Some(number) || handler.serving().any(|it| it.number == number)
    };
    let mut idle: Vec<_> = kept.iter().map(|(number, _)| *number).collect();
    idle.retain(|number| !needed(*number));
    idle.sort_unstable();
    let excess = idle.len().saturating_sub(VERSIONS_KEPT);
    idle.truncate(excess);
    idle
}
