//! How endpoints fail: logged, counted, and kept as those of bots are.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    domain::{
        Deployment, Failure, HandlerName, Millis, TaskNumber,
        ports::{CallFailure, Commit},
    },
    service::Service,
};

/// How many failures of one handler are kept within a minute. Whoever may ask an endpoint
/// can make it fail as often as they like; what is above this is counted and logged.
const KEPT_A_MINUTE: u32 = 60;
const MINUTE_MS: Millis = 60_000;

/// Failures since the host started.
#[derive(Debug, Default)]
pub struct Failures {
    count: AtomicU64,
    kept: Mutex<Kept>,
}

/// Those that were kept in the present minute. As many names as there are handlers.
#[derive(Debug, Default)]
struct Kept {
    minute: Millis,
    by_handler: HashMap<HandlerName, u32>,
}

impl Failures {
    /// Counts one, and says how many there were and whether this one is kept.
    fn add(&self, handler: &HandlerName, now_ms: Millis) -> (u64, bool) {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = now_ms / MINUTE_MS;
        if kept.minute != minute {
            *kept = Kept {
                minute,
                by_handler: HashMap::new(),
            };
        }
        let of_handler = kept.by_handler.entry(handler.clone()).or_default();
        *of_handler = of_handler.saturating_add(1);
        (count, *of_handler <= KEPT_A_MINUTE)
    }
}

impl Service {
    /// How often endpoints failed since the host started.
    pub fn endpoint_failures(&self) -> u64 {
        self.0.endpoint_failures.count.load(Ordering::Relaxed)
    }

    /// Every failure of an endpoint goes through here.
    pub(super) fn note_failure(&self, deployment: &Arc<Deployment>, failure: CallFailure) {
        let now_ms = self.0.store.now();
        let name = &deployment.handler;
        let (failures, is_kept) = self.0.endpoint_failures.add(name, now_ms);
        let failure = self.failure_of_endpoint(deployment, failure, now_ms);
        tracing::warn!(
            handler = %name,
            version = %failure.version,
            request = failure.event,
            kind = ?failure.kind,
            reason = failure.message.lines().next().unwrap_or_default(),
            failures,
            "the endpoint failed"
        );
        if !is_kept {
            return;
        }
        let service = self.clone();
        self.0.calls.spawn(async move {
            let commit = Commit {
                failure: Some(failure),
                ..Commit::default()
            };
            if let Err(error) = service.commit_for_endpoints(commit).await {
                tracing::warn!(%error, "a failure of an endpoint could not be kept");
            }
        });
    }

    /// Its request has no id of its own, so it gets a number.
    fn failure_of_endpoint(
        &self,
        deployment: &Deployment,
        failure: CallFailure,
        at_ms: Millis,
    ) -> Failure {
        let TaskNumber(number) = self.0.store.reserve(1);
        Failure {
            event: format!("request-{number}"),
            handler: deployment.handler.clone(),
            version: deployment.version.number,
            digest: deployment.version.digest,
            kind: failure.kind,
            message: failure.message,
            output: failure.output,
            used: failure.used,
            at_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn so_many_are_kept_a_minute_of_each_and_all_are_counted() {
        let failures = Failures::default();
        let name = |text: &str| HandlerName::try_from(text).unwrap();
        for _ in 0..KEPT_A_MINUTE {
            assert!(failures.add(&name("hook"), 59_999).1);
        }
        assert_eq!(failures.add(&name("hook"), 59_999), (61, false));
        assert_eq!(failures.add(&name("other"), 59_999), (62, true));
        assert_eq!(failures.add(&name("hook"), 60_000), (63, true));
    }
}
