//! Endpoints as others make them: with jco, componentize-py and Spin's SDK, for any host
//! of `wasi:http`. Nothing in them knows of wxhost.

use std::fs;

use futures_util::future::try_join_all;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use wxhost_tests::{
    Host, Result, check, guests,
    host::{COMPILE_MS, Settings},
    poll,
};

use super::endpoint::{ENDED, PROMPT, deploy, get, open, problem, text, until, url};

/// The name of each under test.
const NAME: &str = "site";
const MIB: usize = 1024 * 1024;

/// Default limits, but for the time that compiling takes without optimisation beside other
/// tests.
fn patient() -> Settings {
    Settings::default().limit("compile_ms", COMPILE_MS)
}

/// What every of them does with a request to a path that it does not know.
async fn sees_the_request(host: &Host) -> Result<String> {
    let path = format!("/x/{NAME}/a%20b/c?q=1&r=2");
    let asked = Client::new().post(url(host, &path)?).timeout(ENDED);
    let response = asked.header("x-own", "mine").body("hello").send().await?;
    let status = response.status();
    let seen = response.text().await?;
    check!(status == 200, "{status} {seen}");
    Ok(seen)
}

/// Waits for a line of its log.
async fn logs(host: &Host, line: &str) -> Result<()> {
    poll::until(line, PROMPT, async || {
        let kept = host.cli(&["handler", "logs", NAME]).await?;
        let kept = String::from_utf8_lossy(&kept.stdout).into_owned();
        Ok(kept.contains(line).then_some(()))
    })
    .await
}

/// Asks another system (this host stands for it): refused first, then granted.
async fn asks_others(host: &Host, guest: &str) -> Result<()> {
    let origin = format!("http://{}", host.address()?);
    let path = format!("/x/{NAME}/fetch?url={origin}/healthz");
    text(host, &path, 502).await?;
    logs(host, &format!("--allow-host {origin}")).await?;
    let granted = json!({"public": true, "allowed_hosts": [origin]});
    deploy(host, NAME, guest, granted).await?;
    // Some put it into JSON.
    let fetched = text(host, &path, 200).await?.replace('\\', "");
    let healthy = text(host, "/healthz", 200).await?;
    check!(fetched.contains(healthy.trim()), "{fetched} for {healthy}");
    Ok(())
}

/// What components that stream do, whatever they are written in.
async fn streams(host: &Host) -> Result<()> {
    let seen: Value = serde_json::from_str(&sees_the_request(host).await?)?;
    let wanted = json!({
        "method": "POST", "path": "/a%20b/c", "query": {"q": "1", "r": "2"},
        "own": "mine", "body": "hello",
    });
    assert_eq!(seen, wanted);
    logs(host, "asked for /a%20b/c").await?;

    // Piece by piece, as they are made.
    let mut response = get(host, &format!("/x/{NAME}/pieces")).await?;
    let first = response.chunk().await?.unwrap_or_default();
    assert_eq!(first.as_ref(), b"piece 1\n");
    assert_eq!(response.text().await?, "piece 2\npiece 3\n");

    // In both directions at once.
    let head =
        format!("POST /x/{NAME}/back HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut stream = open(host, &head).await?;
    for word in ["one", "two", "three"] {
        let chunk = format!("{:x}\r\n{word}\r\n", word.len());
        stream.write_all(chunk.as_bytes()).await?;
        until(&mut stream, word).await?;
    }
    stream.write_all(b"0\r\n\r\n").await?;
    until(&mut stream, "0\r\n\r\n").await?;
    let asked = Client::new().post(url(host, &format!("/x/{NAME}/back"))?);
    let large = vec![b'x'; MIB];
    let back = asked.body(large.clone()).send().await?.bytes().await?;
    check!(back == large, "{} bytes came back", back.len());

    let asked = Client::new().request(Method::HEAD, url(host, &format!("/x/{NAME}/pieces"))?);
    let answer = asked.timeout(ENDED).send().await?;
    check!(answer.status() == 200, "{answer:?}");
    check!(answer.bytes().await?.is_empty(), "HEAD has no body");

    // Many at once, over connections that stay open.
    let path = format!("/x/{NAME}/many");
    let many = (0..8).map(|_| text(host, &path, 200));
    for seen in try_join_all(many).await? {
        check!(seen.contains("/many"), "{seen}");
    }
    Ok(())
}

#[tokio::test]
async fn an_endpoint_made_by_jco_runs_unchanged() -> Result<()> {
    if guests::jco("foreign-js")?.is_none() {
        return Ok(());
    }
    let host = Host::with(patient()).await?;
    let deployed = deploy(&host, NAME, "foreign-js", json!({"public": true})).await?;
    assert_eq!(deployed["path"], format!("/x/{NAME}/"));
    streams(&host).await?;
    // Its engine answers itself for what was thrown, and says where.
    text(&host, &format!("/x/{NAME}/fails"), 500).await?;
    logs(&host, "asked to fail").await?;
    logs(&host, "it will fail").await?;
    asks_others(&host, "foreign-js").await?;
    host.end().await
}

#[tokio::test]
async fn an_endpoint_made_by_componentize_py_runs_unchanged() -> Result<()> {
    if guests::python("foreign-python")?.is_none() {
        return Ok(());
    }
    let host = Host::with(patient()).await?;
    let deployed = deploy(&host, NAME, "foreign-python", json!({"public": true})).await?;
    assert_eq!(deployed["path"], format!("/x/{NAME}/"));
    streams(&host).await?;
    problem(&host, &format!("/x/{NAME}/fails"), 502, "endpoint-failed").await?;
    logs(&host, "RuntimeError: asked to fail").await?;
    asks_others(&host, "foreign-python").await?;
    host.end().await
}

#[tokio::test]
async fn an_endpoint_made_for_spin_runs_if_it_needs_wasi_only() -> Result<()> {
    let host = Host::with(patient()).await?;
    deploy(&host, NAME, "foreign-spin", json!({"public": true})).await?;
    let seen = sees_the_request(&host).await?;
    let wanted = r#"POST /a%20b/c "q=1&r=2" Some("a%20b/c") Some("mine") hello"#;
    assert_eq!(seen, wanted);
    logs(&host, "asked for /a%20b/c").await?;
    text(&host, &format!("/x/{NAME}/fails"), 500).await?;
    asks_others(&host, "foreign-spin").await?;

    // What Spin alone has is named, with what takes its place.
    let component = fs::read(guests::path("foreign-spin-store")?)?;
    let options = json!({"manifest": {"public": true}});
    let refused = host
        .api()?
        .deploy_with("store", component, &options)
        .await?;
    let told = refused.body.to_string();
    check!(refused.status == 422, "{} {told}", refused.status);
    for wanted in [
        "fermyon:spin/key-value@2.0.0",
        "wasi:keyvalue/store@0.2.0-draft",
    ] {
        check!(told.contains(wanted), "{wanted}: {told}");
    }
    host.end().await
}
