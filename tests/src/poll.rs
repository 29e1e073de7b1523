//! Waiting for what another process does.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::{Result, fail};

/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks again and again until there is something, at most for `limit`.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            fail!("{what}: not within {limit:?}");
        }
        sleep(PAUSE).await;
    }
}

/// The outcome of `work`, which has `limit` to end.
pub async fn within<T>(
    what: &str,
    limit: Duration,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    match timeout(limit, work).await {
        Ok(outcome) => outcome,
        Err(_) => fail!("{what}: not within {limit:?}"),
    }
}
