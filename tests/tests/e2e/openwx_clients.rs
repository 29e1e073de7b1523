//! What the tests of Openwx clients share.

use std::time::Duration;

use serde_json::Value;
use wxhost_tests::{Host, Result, poll};

/// How long something of a client may take that is not timed.
pub const SOON: Duration = Duration::from_secs(20);

/// Waits until a client has another process than this one, and gives its status.
pub async fn until_another(host: &Host, name: &str, pid: u32) -> Result<Value> {
    let what = format!("{name} has another process than {pid}");
    poll::until(&what, SOON, async || {
        let status = host.client(name).await?;
        let other = status["pid"]
            .as_u64()
            .is_some_and(|it| it != u64::from(pid));
        Ok(other.then_some(status))
    })
    .await
}

/// The text of a client's log, as much as is kept and shown at a time.
pub async fn log_of(host: &Host, name: &str) -> Result<String> {
    let log = host
        .api()?
        .file(&format!("/clients/{name}/log?from=0"))
        .await?;
    Ok(String::from_utf8_lossy(&log.body).into_owned())
}
