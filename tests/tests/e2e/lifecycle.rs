//! Starting, draining, and starting again on the same data.

use std::{os::unix::fs::PermissionsExt, time::Duration};

use serde_json::json;
use tokio::time::sleep;
use wxhost_tests::{Context, Host, Result, check, guests, host::Settings, http, poll};

/// How long the slow bot of these tests may wait in the host, in ms.
const CALL_WALL_MS: u64 = 2000;

#[tokio::test]
async fn a_host_tells_how_it_is() -> Result<()> {
    let host = Host::unpaced().await?;
    let address = host.address()?;
    let (status, body) = http::get(address, "/healthz").await?;
    assert_eq!((status, body.as_str()), (200, r#"{"status":"ok"}"#));
    let (status, body) = http::get(address, "/readyz").await?;
    assert_eq!((status, body.as_str()), (200, r#"{"status":"ready"}"#));
    let (status, text) = http::get(address, "/wehub/callback").await?;
    assert_eq!(status, 200);
    check!(
        !text.is_empty() && text.len() < 1000,
        "no short text: {text}"
    );
    let token = std::fs::metadata(host.data().join("admin-token"))?;
    assert_eq!(token.permissions().mode() & 0o777, 0o600);
    check!(host.log().contains("listening"), "{}", host.log());
    check!(host.log().contains(address), "the log names no {address}");
    host.end().await
}

#[tokio::test]
async fn calls_that_run_are_answered_before_the_end() -> Result<()> {
    let mut host = Host::with(
        Settings::default()
            .unpaced()
            .limit("call_wall_ms", CALL_WALL_MS),
    )
    .await?;
    host.deploy("slow", &guests::path("slow-host-call")?)
        .await?;
    host.bind("wxid_slow", "slow").await?;
    host.serve_guest("wxid_a", "echo").await?;
    let slow = host.wehub("wxid_slow")?.login().await?;
    let message = slow.text("wxid_bob", "hi");
    let event = format!("/accounts/wxid_slow/events/{}", message.event_key());
    let client = slow.twin();
    let running = {
        let message = message.clone();
        tokio::spawn(async move { client.deliver(&message).await })
    };
    // A call that runs shows nowhere, so nothing can be polled for.
    sleep(Duration::from_millis(CALL_WALL_MS / 4)).await;
    check!(!running.is_finished(), "the call is over too soon");
    let address = host.address()?.to_owned();
    host.signal_end()?;
    poll::until(
        "the host takes no more",
        Duration::from_secs(2),
        async || {
            let ready = http::get(&address, "/readyz").await;
            Ok((!matches!(ready, Ok((200, _)))).then_some(()))
        },
    )
    .await?;
    running.await??.silent()?;
    let status = host.wait().await?;
    check!(status.success(), "the host ended with {status}");

    host.start_again().await?;
    assert_eq!(host.api()?.get(&event).await?["outcome"], "failed");
    slow.moved_to(&host.callback_url()?)?
        .deliver(&message)
        .await?
        .silent()?;
    let failures = host.api()?.failures("wxid_slow").await?;
    let of_message = failures
        .iter()
        .filter(|it| it["event"] == message.event_key().as_str());
    assert_eq!(of_message.count(), 1);
    host.end().await
}

#[tokio::test]
async fn everything_is_there_after_a_restart() -> Result<()> {
    let mut host = Host::unpaced().await?;
    host.serve_guest("*", "echo").await?;
    host.serve_guest("wxid_b", "probe").await?;
    host.configure("echo", json!({"count": "true"})).await?;
    let a = host.wehub("wxid_a")?.login().await?;
    a.report_contact(3).await?.silent()?;
    let message = a.text("wxid_bob", "hi");
    a.deliver(&message).await?.says("hi")?;
    let queued = host.api()?.send_text("wxid_a", "wxid_bob", "first").await?;
    host.api()?
        .send_text("wxid_a", "wxid_bob", "second")
        .await?;
    let pulled = a.pull_task().await?;
    assert_eq!(pulled.task_id.as_deref(), Some(queued.as_str()));
    let token = host.token()?.to_owned();
    let before = host.api()?.snapshot().await?;

    for orderly in [true, false] {
        match orderly {
            true => check!(host.terminate().await?.success(), "an orderly end"),
            false => host.kill9().await?,
        }
        host.start_again().await?;
        assert_eq!(host.token()?, token);
        let after = host.api()?.snapshot().await?;
        check!(
            after == before,
            "orderly: {orderly}: from {before:#} to {after:#}"
        );
    }

    let a = a.moved_to(&host.callback_url()?)?;
    a.deliver(&message).await?.says("hi")?;
    a.text_from("wxid_bob", "again").await?.says("again")?;
    let count = host.api()?.value("wxid_a", "echo", "messages").await?;
    assert_eq!(count.as_deref(), Some("2"));
    a.task_result(&queued, None).await?.ok()?;
    a.pull_task().await?.says("second")?;
    host.end().await
}

#[tokio::test]
async fn two_hosts_never_share_their_data() -> Result<()> {
    let host = Host::unpaced().await?;
    let a = host.wehub("wxid_a")?.login().await?;
    let data = host.data();
    let data = data.to_str().context("a path in UTF-8")?;
    let config = host.config_path();
    let config = config.to_str().context("a path in UTF-8")?;
    let serve = [
        "serve",
        "--config",
        config,
        "--data",
        data,
        "--listen",
        "127.0.0.1:0",
    ];
    let second = host.run_alone(&serve).await?;
    check!(
        !second.status.success(),
        "a second host runs on the same data"
    );
    let complaint = String::from_utf8_lossy(&second.stderr);
    check!(complaint.contains(data), "{complaint} does not name {data}");
    check!(!complaint.contains("panicked"), "{complaint}");
    a.pull_task().await?.ok()?;
    let address = std::fs::read_to_string(host.data().join("address"))?;
    assert_eq!(address.trim(), host.address()?);
    host.end().await
}

#[tokio::test]
async fn a_taken_address_is_said_so() -> Result<()> {
    let host = Host::unpaced().await?;
    let data = host.home().join("other");
    let data = data.to_str().context("a path in UTF-8")?;
    let address = host.address()?;
    let output = host
        .run_alone(&["serve", "--data", data, "--listen", address])
        .await?;
    check!(!output.status.success(), "two hosts listen on {address}");
    let complaint = String::from_utf8_lossy(&output.stderr);
    check!(complaint.contains(address), "{complaint}");
    host.end().await
}
