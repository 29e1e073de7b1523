//! From the first state to the last.

use std::{process::ExitCode, sync::Arc, time::Duration};

use serde_json::json;
use tokio::{
    net::TcpListener,
    time::{interval, sleep, timeout},
};
use wxhost_tests::{
    Context, Result,
    http::{Connection, Target},
    openwx::base64,
};

use crate::{
    api,
    client::{Client, State},
    faults, files,
    report::{event, go, tell},
};

/// How long an answer to the heartbeat may take: it is a long poll.
const POLL_MAX: Duration = Duration::from_secs(60);

/// Lives until it is ended, and says how it ends.
pub async fn live(client: Arc<Client>) -> Result<ExitCode> {
    let _lock = files::begin(&client)?;
    faults::begin(&client)?;
    tokio::spawn(faults::end_without_parent(Arc::clone(&client)));
    tokio::spawn(faults::end_when_told(Arc::clone(&client)));
    tokio::select! {
        outcome = run(&client) => outcome?,
        () = client.ending.notified() => {}
    }
    if client.arguments.silent_end {
        return Ok(ExitCode::SUCCESS);
    }
    go(&client, State::Stop).await?;
    tell(&client, event("stop", json!([]))).await;
    files::end(&client);
    Ok(ExitCode::SUCCESS)
}

/// Goes from state to state. Returns when there is no use in going on.
async fn run(client: &Arc<Client>) -> Result<()> {
    let step = Duration::from_millis(client.arguments.step_ms);
    files::write_state(client)?;
    sleep(step).await;
    go(client, State::Loading).await?;
    tokio::spawn(listen(Arc::clone(client)));
    sleep(step).await;
    let cookie = client.arguments.cookie_login || client.environment.cookie_path.exists();
    if !cookie {
        go(client, State::Scaning).await?;
        if !scanned(client).await? {
            return Ok(());
        }
        go(client, State::Confirming).await?;
        sleep(step).await;
    }
    go(client, State::Updating).await?;
    sleep(step).await;
    tell(client, event("login", json!([i32::from(!cookie)]))).await;
    if !cookie {
        files::write_cookie(client)?;
        for friend in &client.people.friends {
            tell(client, event("new_friend", json!([friend]))).await;
        }
        for group in &client.people.groups {
            tell(client, event("new_group", json!([group]))).await;
        }
    }
    go(client, State::Running).await?;
    tokio::spawn(heartbeat(Arc::clone(client)));
    faults::once_running(client).await;
    std::future::pending().await
}

/// Takes connections, as real clients do from `loading` on. What comes before
/// `running` waits.
async fn listen(client: Arc<Client>) {
    if client.arguments.no_bind {
        return;
    }
    sleep(Duration::from_millis(client.arguments.slow_bind_ms)).await;
    let served = async {
        let address = ("127.0.0.1", client.environment.port);
        let listener = TcpListener::bind(address)
            .await
            .context(format!("{address:?}"))?;
        Result::Ok(axum::serve(listener, api::router(Arc::clone(&client))).await?)
    };
    if let Err(error) = served.await {
        eprintln!("the API is not served: {error}");
        std::process::exit(1);
    }
}

/// Shows codes until one is scanned; false when none was.
async fn scanned(client: &Arc<Client>) -> Result<bool> {
    let arguments = &client.arguments;
    let scan_ms = arguments.scan_after_ms.unwrap_or(u64::MAX);
    let scan = sleep(Duration::from_millis(scan_ms));
    tokio::pin!(scan);
    for number in 0..client.codes() {
        let image = files::write_code(client, number)?;
        let path = client.environment.qrcode_path.display().to_string();
        let shown = json!([path, base64::lines(&image), null]);
        tell(client, event("input_qrcode", shown)).await;
        let code_ms = arguments.code_ms.unwrap_or(u64::MAX);
        tokio::select! {
            () = &mut scan => {}
            () = client.scanned.notified() => {}
            () = client.next_code.notified() => continue,
            () = sleep(Duration::from_millis(code_ms)) => continue,
        }
        files::remove_code(client);
        return Ok(true);
    }
    files::remove_code(client);
    Ok(false)
}

/// Asks what to do, and does it (section 5).
async fn heartbeat(client: Arc<Client>) {
    let Some(url) = client.environment.poll_api.clone() else {
        return;
    };
    loop {
        if let Ok(Ok(Some(order))) = timeout(POLL_MAX, get(&url)).await {
            let _ = timeout(POLL_MAX, get(&order)).await;
        }
        sleep(client.environment.poll_interval).await;
    }
}

/// Where an answer points to, if it is a redirection.
async fn get(url: &str) -> Result<Option<String>> {
    let target = Target::parse(url)?;
    let mut connection = Connection::open(&target.address).await?;
    let request = target.head("GET", "", 0);
    let reply = connection.exchange(request.as_bytes()).await?;
    let place = reply.header("location").to_owned();
    Ok((reply.status == 302 && !place.is_empty()).then_some(place))
}

/// Asks again and again, each so many ms.
pub fn every(ms: u64) -> tokio::time::Interval {
    interval(Duration::from_millis(ms.max(1)))
}
