//! Versions: looking at them, going back to one, and bringing a new one to all
//! accounts step by step.
//!
//! A change takes effect with the next event: calls under way end on the version
//! that they began with. What bots have written stays as it is.

use super::{Service, check_rollout_world, check_share};
use crate::{
    domain::{
        Deployment, Handler, HandlerName,
        handler::{Return, Rollout, Score, Share, Version, VersionNumber},
    },
    metrics,
    service::Error,
};
use std::sync::Arc;

/// What is asked of a version that serves some.
#[derive(Debug, Clone)]
pub struct ChangeRollout {
    /// Which version; none for the one that serves some already.
    pub version: Option<VersionNumber>,
    /// Whom it is to serve from now on.
    pub to: Share,
    /// How many of its calls may fail, in percent.
    pub failures_percent: u8,
}

impl Service {
    /// The versions of a handler that are kept, newest first.
    pub async fn versions(&self, name: &HandlerName) -> Result<Vec<Version>, Error> {
        let handler = self.entry(name)?.handler;
        Ok(self.0.store.versions(&handler.name).await?)
    }

    /// How the calls of the version that serves some went since the host started.
    pub fn score(&self, name: &HandlerName) -> Option<Score> {
        self.entry(name).ok()?.score()
    }

    /// Goes back: a rollout ends, else the version before serves again, or the one
    /// that is named.
    pub async fn roll_back(
        &self,
        name: &HandlerName,
        to: Option<VersionNumber>,
    ) -> Result<Arc<Handler>, Error> {
        let (service, name) = (self.clone(), name.clone());
        self.detached(async move {
            let _changing = service.0.catalogue.changing.lock().await;
            let handler = service.entry(&name)?.handler.as_ref().clone();
            let handler = match (to, &handler.rollout) {
                (None, Some(_)) => Handler {
                    rollout: None,
                    ..handler
                },
                (to, _) => service.serving_again(handler, to).await?,
            };
            service.serve(handler, "rollback").await
        })
        .await
    }

    async fn serving_again(
        &self,
        handler: Handler,
        to: Option<VersionNumber>,
    ) -> Result<Handler, Error> {
        let to = to.or(handler.previous).ok_or_else(|| {
            let name = &handler.name;
            Error::Conflict(format!("{name} has no version before the one that serves"))
        })?;
        if to == handler.version.number && handler.rollout.is_none() {
            return Err(Error::Conflict(format!("version {to} serves already")));
        }
        let version = self.version(&handler, to).await?;
        let previous = match to == handler.version.number {
            true => handler.previous,
            false => Some(handler.version.number),
        };
        Ok(Handler {
            version,
            previous,
            rollout: None,
            ..handler
        })
    }

    /// Has the version that serves some serve all.
    pub async fn promote(&self, name: &HandlerName) -> Result<Arc<Handler>, Error> {
        let (service, name) = (self.clone(), name.clone());
        self.detached(async move {
            let _changing = service.0.catalogue.changing.lock().await;
            let handler = service.entry(&name)?.handler.as_ref().clone();
            let Some(rollout) = handler.rollout else {
                return Err(not_rolling_out(&name));
            };
            let handler = Handler {
                previous: Some(handler.version.number),
                version: rollout.version,
                rollout: None,
                ..handler
            };
            service.serve(handler, "promote").await
        })
        .await
    }

    /// Says whom a newer version serves.
    pub async fn roll_out(
        &self,
        name: &HandlerName,
        change: ChangeRollout,
    ) -> Result<Arc<Handler>, Error> {
        let (service, name) = (self.clone(), name.clone());
        self.detached(async move {
            let _changing = service.0.catalogue.changing.lock().await;
            let entry = service.entry(&name)?;
            check_share(&change.to, change.failures_percent, Some(&entry))?;
            let handler = entry.handler.as_ref().clone();
            let version = match (change.version, &handler.rollout) {
                (Some(number), _) => service.version(&handler, number).await?,
                (None, Some(rollout)) => rollout.version.clone(),
                (None, None) => return Err(not_rolling_out(&name)),
            };
            if version.number == handler.version.number {
                let number = version.number;
                return Err(Error::Conflict(format!("version {number} serves all")));
            }
            let rollout = Rollout {
                version,
                to: change.to,
                failures_percent: change.failures_percent,
                began_ms: service.0.store.now(),
            };
            let handler = Handler {
                rollout: Some(rollout),
                ..handler
            };
            check_rollout_world(&handler)?;
            service.serve(handler, "rollout").await
        })
        .await
    }

    pub(super) async fn version(
        &self,
        handler: &Handler,
        number: VersionNumber,
    ) -> Result<Version, Error> {
        let versions = self.versions(&handler.name).await?;
        let found = versions.into_iter().find(|it| it.number == number);
        found.ok_or_else(|| Error::not_found("version", number))
    }

    /// Has these versions serve, once their components are ready. It is counted as
    /// this kind of change.
    async fn serve(&self, handler: Handler, kind: &'static str) -> Result<Arc<Handler>, Error> {
        for version in handler.serving() {
            self.check_bound_scopes(&handler.name, version)?;
            self.0.runtime.prepare(version.digest).await?;
        }
        let handler = self.put(handler, None, None).await?;
        metrics::get().deployed(kind);
        self.retain_components().await;
        Ok(handler)
    }

    /// Counts how a call went. A version that serves some goes back when it fails
    /// too often.
    pub(in crate::service) fn judge(&self, called: &Arc<Deployment>, failed: bool) {
        let deployed = self.0.catalogue.now();
        let entry = deployed.handlers.get(&called.handler);
        let Some(score) = entry.and_then(|entry| entry.judge(called, failed)) else {
            return;
        };
        let (service, called) = (self.clone(), Arc::clone(called));
        let returned = async move { service.send_back(&called, score).await };
        self.0.calls.spawn(async move {
            if let Err(error) = returned.await {
                tracing::warn!(%error, "a version that fails could not be sent back");
            }
        });
    }

    async fn send_back(&self, called: &Deployment, score: Score) -> Result<(), Error> {
        let _changing = self.0.catalogue.changing.lock().await;
        let handler = self.entry(&called.handler)?.handler.as_ref().clone();
        let number = called.version.number;
        let still = handler.rollout.as_ref().map(|it| it.version.number);
        if still != Some(number) {
            return Ok(());
        }
        let Score { calls, failures } = score;
        let reason = format!("{failures} of its {calls} calls failed");
        tracing::warn!(handler = %handler.name, version = %number, reason, "a version went back");
        let handler = Handler {
            rollout: None,
            returned: Some(Return {
                version: number,
                reason,
                at_ms: self.0.store.now(),
            }),
            ..handler
        };
        self.serve(handler, "return").await.map(drop)
    }
}

fn not_rolling_out(name: &HandlerName) -> Error {
    Error::Conflict(format!("no version of {name} serves some accounts only"))
}
