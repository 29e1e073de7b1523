//! How endpoints fail: logged, counted, and kept as the failures of other handlers are.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::Asked;
use crate::{
    domain::{
        AccountId, FailureId, HandlerName, Millis,
        ports::{CallFailure, Commit},
    },
    service::{
        Service,
        failures::{failure_log, kept_failure},
        measured::note_call,
    },
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
    pub(super) fn note_failure(&self, asked: &Asked, mut failure: CallFailure) {
        let Asked {
            deployment,
            request,
        } = asked;
        let now_ms = self.0.store.now();
        let name = &deployment.handler;
        let (failures, is_kept) = self.0.endpoint_failures.add(name, now_ms);
        note_call(deployment, failure.kind.as_str(), Some(&failure.used));
        self.log_question(deployment, request, std::mem::take(&mut failure.lines));
        let failure = kept_failure(deployment, None, request.clone(), failure, now_ms);
        tracing::warn!(
            failure = failure.id.as_ref().map(FailureId::as_str),
            handler = %name,
            version = %failure.version,
            request,
            kind = ?failure.kind,
            reason = failure.reason(),
            failures,
            "the endpoint failed"
        );
        if !is_kept {
            return;
        }
        let service = self.clone();
        self.0.calls.spawn(async move {
            let log = failure_log(&failure);
            // Apart from the others', which this one would push out.
            let nobody = AccountId::of_endpoint(&failure.handler);
            let commit = Commit {
                failure: Some(failure),
                ..Commit::default()
            };
            match service.commit_as(nobody, commit).await {
                Ok(_) => service.append_log(log),
                Err(error) => {
                    tracing::warn!(%error, "a failure of an endpoint could not be kept");
                }
            }
        });
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
