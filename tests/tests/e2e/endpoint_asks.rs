//! Requests of endpoints to other systems: by the same rules as those of bots.

use std::time::Duration;

use reqwest::Client;
use serde_json::json;
use wxhost_tests::{Host, Result, Site, check, guests, host::Settings, poll};

/// How long something may take to come about on a busy machine.
const SOON: Duration = Duration::from_secs(8);
/// Both ways that an endpoint has.
const WAYS: [&str; 2] = ["web", "wasi"];

/// Deploys the endpoint that asks whom it is told to, with these rules.
async fn deploy(host: &Host, rules: &[String]) -> Result<()> {
    let options = json!({"manifest": {"public": true, "allowed_hosts": rules}});
    let asker = guests::bytes("http-asker")?;
    let api = host.api()?;
    api.deploy_with("asker", asker, &options).await?.ok()?;
    Ok(())
}

/// What the endpoint answers when it shall ask for this address this way.
async fn asks(host: &Host, way: &str, url: &str) -> Result<String> {
    let url = format!("http://{}/x/asker/{way}?{url}", host.address()?);
    let answer = Client::new().get(url).send().await?;
    let (status, text) = (answer.status(), answer.text().await?);
    check!(status == 200, "{way}: {status} {text}");
    Ok(text)
}

/// The refusal, which the endpoint can handle: by `wasi:http` it has no words.
async fn is_denied(host: &Host, url: &str, reason: &str) -> Result<()> {
    let by_web = asks(host, "web", url).await?;
    check!(
        by_web.starts_with("err denied ") && by_web.contains(reason),
        "{url}: {by_web}"
    );
    let by_wasi = asks(host, "wasi", url).await?;
    check!(by_wasi.contains("HttpRequestDenied"), "{url}: {by_wasi}");
    Ok(())
}

#[tokio::test]
async fn an_endpoint_asks_whom_its_version_may_and_nobody_else() -> Result<()> {
    let (site, other) = (Site::start().await?, Site::start().await?);
    let host = Host::with(Settings::default().set("egress.request_ms", 4_000)).await?;
    // Without a rule nobody, and the refusal says which one is missing.
    deploy(&host, &[]).await?;
    let missing = format!("--allow-host {}", site.origin());
    is_denied(&host, &site.url("/"), &missing).await?;

    // A rule for all names of the Internet does not reach this machine by any of its names.
    deploy(&host, &[format!("http://*:{}", site.port())]).await?;
    for name in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]"] {
        let url = format!("http://{name}:{}/", site.port());
        is_denied(&host, &url, "addresses of this machine").await?;
    }
    let metadata = format!("http://169.254.169.254:{}/latest/meta-data", site.port());
    is_denied(&host, &metadata, "the very address").await?;
    assert_eq!(site.asked(), 0, "who is not allowed is not asked");

    // The one that is listed, and no other.
    deploy(&host, &[site.origin()]).await?;
    for way in WAYS {
        let answer = asks(&host, way, &site.url("/a/b")).await?;
        assert_eq!(answer, "ok 200 you asked /a/b", "{way}");
        // Where a redirect leads is not asked on its own.
        let answer = asks(&host, way, &site.url("/redirect")).await?;
        assert_eq!(answer, "ok 302 elsewhere", "{way}");
    }
    assert_eq!(site.asked(), 2 * WAYS.len());
    is_denied(&host, &other.url("/"), &other.origin()).await?;
    // Nor the host's own API, by way of an endpoint that may ask another port.
    let api = format!("http://{}/healthz", host.address()?);
    is_denied(&host, &api, "--allow-host").await?;

    // Back to the version before, and so to what that one may.
    host.api()?
        .post("/handlers/asker/rollback", &json!({}))
        .await?;
    is_denied(&host, &site.url("/"), "addresses of this machine").await?;
    assert_eq!((site.asked(), other.asked()), (2 * WAYS.len(), 0));
    host.end().await
}

#[tokio::test]
async fn an_endpoint_asks_nobody_while_it_is_tried_out() -> Result<()> {
    let site = Site::start().await?;
    let host = Host::start().await?;
    deploy(&host, &[site.origin()]).await?;
    host.configure("asker", json!({"ask": site.url("/at-trial")}))
        .await?;
    // Another version, which is tried out with that configuration.
    deploy(&host, &[site.origin(), "http://other.example".to_owned()]).await?;
    assert_eq!(site.asked(), 0, "it was asked at the trial");
    let answer = asks(&host, "web", &site.url("/later")).await?;
    assert_eq!(answer, "ok 200 you asked /later");
    host.end().await
}

#[tokio::test]
async fn a_request_under_way_ends_on_the_version_that_it_began_with() -> Result<()> {
    let site = Site::start().await?;
    let settings = Settings::default().set("egress.request_ms", 20_000);
    let host = Host::with(settings.set("endpoints.head_ms", 25_000)).await?;
    deploy(&host, &[site.origin()]).await?;
    let wait = site.url("/wait");
    let meanwhile = async {
        poll::until("the request is under way", SOON, async || {
            Ok((site.asked() == 1).then_some(()))
        })
        .await?;
        // Another component under the same name, which sends back what it gets.
        let options = json!({"manifest": {"public": true}});
        let echo = guests::bytes("http-echo")?;
        let api = host.api()?;
        api.deploy_with("asker", echo, &options).await?.ok()?;
        assert_eq!(asks(&host, "web", &wait).await?, "", "the next one");
        api.post("/handlers/asker/rollback", &json!({})).await?;
        let again = asks(&host, "web", &site.url("/again")).await?;
        assert_eq!(again, "ok 200 you asked /again");
        api.post("/handlers/asker/rollback", &json!({"to": 2}))
            .await?;
        check!(site.most_waiting() == 1, "it has ended too early");
        site.release();
        Ok(())
    };
    let (answer, ()) = tokio::try_join!(asks(&host, "web", &wait), meanwhile)?;
    assert_eq!(answer, "ok 200 you asked /wait");
    assert_eq!(site.asked(), 2, "nothing was asked twice");
    host.end().await
}
