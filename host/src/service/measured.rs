//! What is measured of the use cases: see `metrics`.

use std::{collections::HashSet, time::Duration};

use super::{Error, Service, logins::HEARD_WITHIN_MS};
use crate::{
    domain::{
        ClientKind, Deployment, Task, TaskState, client::Phase, handler::Used, ports::CallError,
    },
    metrics::{self, Shown},
};

/// How many queued tasks are counted: beyond it they are many.
const QUEUED_COUNTED_MAX: usize = 1_000_000;

/// A call that came to nothing since the shared bucket was another by then.
pub(super) const LOST: &str = "lost";

/// A call of a guest has ended.
pub(super) fn note_call(bot: &Deployment, outcome: &'static str, used: Option<&Used>) {
    // What failed after the call says nothing about it.
    let used = used.filter(|used| used.wall_us > 0);
    let took = used.map(|used| Duration::from_micros(used.wall_us));
    let (handler, version) = (bot.handler.as_str(), bot.version.number.0);
    metrics::get()
        .handlers()
        .call(handler, version, outcome, took);
}

/// A guest could not be called; what it did itself is noted where that is settled.
pub(super) fn note_uncalled(bot: &Deployment, error: &CallError) {
    let outcome = match error {
        CallError::Failed(_) => return,
        CallError::Busy { .. } => "busy",
        CallError::Unloaded(_) => "unloaded",
        CallError::Store(_) => "store",
    };
    note_call(bot, outcome, None);
}

/// These tasks were asked for.
pub(super) fn note_made(tasks: &[Task]) {
    for task in tasks {
        metrics::get().task_made(task.action.name());
        if task.state.is_final() {
            note_ended(task.action.name(), task.state);
        }
    }
}

/// A task has ended so.
pub(super) fn note_ended(action: &'static str, state: TaskState) {
    metrics::get().task_ended(action, state.as_str());
}

impl Service {
    /// What is so now, for the metrics.
    pub async fn look_around(&self) -> Result<(), Error> {
        let clients = self.0.native.all();
        let at = |phase| clients.iter().filter(|it| it.phase == phase).count() as u64;
        let now_ms = self.0.store.now();
        let heard = self
            .0
            .turns
            .heard_since(now_ms.saturating_sub(HEARD_WITHIN_MS));
        let there: HashSet<_> = heard.into_iter().chain(self.0.links.accounts()).collect();
        let native: HashSet<&str> = clients.iter().map(|it| it.name.as_str()).collect();
        let wehub = there.iter().filter(|id| !native.contains(id.as_str()));
        let queued = self.0.store.queued_of_all(QUEUED_COUNTED_MAX).await?;
        metrics::get().shown(&Shown {
            tasks_queued: queued as u64,
            accounts_online: vec![
                (ClientKind::Wehub.as_str(), wehub.count() as u64),
                (ClientKind::Openwx.as_str(), at(Phase::Running)),
            ],
            clients: Phase::ALL.map(|phase| (phase.as_str(), at(phase))).to_vec(),
        });
        Ok(())
    }

    /// Drops what is measured of versions that are gone.
    pub(super) fn forget_measured(&self) {
        let deployed = self.0.catalogue.now();
        let versions = deployed.handlers.iter().flat_map(|(name, entry)| {
            let serving = entry.handler.serving();
            serving.map(|version| (name.as_str(), version.number.0))
        });
        metrics::get().handlers().retain(&versions.collect());
    }
}
