//! What is counted and measured: shown to whoever may read it, and all of it documented.

use std::{collections::BTreeSet, fs, path::Path};

use reqwest::Client;
use serde_json::json;
use tokio::net::TcpListener;
use wxhost_tests::{Context, Host, Result, Site, check, guests, host::Settings};

async fn read(host: &Host, token: Option<&str>) -> Result<(u16, String)> {
    let mut request = Client::new().get(format!("http://{}/metrics", host.address()?));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

fn own_token(host: &Host) -> Result<String> {
    let token = fs::read_to_string(host.data().join("metrics-token"))?;
    Ok(token.trim().to_owned())
}

/// The value of the line that begins so.
fn value(text: &str, series: &str) -> Result<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    let value = line.context(format!("no {series} in:\n{text}"))?;
    Ok(value.trim().parse()?)
}

#[tokio::test]
async fn the_metrics_are_for_those_who_have_a_token_for_them() -> Result<()> {
    let host = Host::start().await?;
    for token in [None, Some("wrong"), Some("")] {
        let (status, text) = read(&host, token).await?;
        assert_eq!(status, 401);
        check!(!text.contains("wxhost_"), "{text}");
    }
    let own = own_token(&host)?;
    for token in [own.as_str(), host.token()?] {
        let (status, text) = read(&host, Some(token)).await?;
        assert_eq!(status, 200);
        check!(text.ends_with("# EOF\n"), "{text}");
    }
    let api = host.api()?.with_token(Some(&own));
    let answer = api.request(reqwest::Method::GET, "/accounts", None).await?;
    answer.problem(401, "unauthorized")?;
    host.end().await
}

#[tokio::test]
async fn without_a_token_this_machine_reads_them_if_it_may() -> Result<()> {
    let host = Host::with(Settings::default().set("metrics.auth", "none")).await?;
    let (status, text) = read(&host, None).await?;
    assert_eq!(status, 200);
    check!(text.contains("wxhost_build_info{version="), "{text}");
    // A page whose name somebody has pointed here.
    let asked = Client::new()
        .get(format!("http://{}/metrics", host.address()?))
        .header("host", "evil.example:2000");
    let refused = asked.send().await?;
    assert_eq!(refused.status().as_u16(), 403);
    host.end().await
}

#[tokio::test]
async fn what_happens_is_counted_under_documented_names() -> Result<()> {
    let host = Host::unpaced().await?;
    host.serve_guest("*", "echo").await?;
    let client = host.wehub("wxid_secret_account")?.login().await?;
    for text in ["one", "two", "three"] {
        client.text_from("wxid_bob", text).await?.ok()?;
    }
    let probe = guests::bytes("probe")?;
    let api = host.api()?;
    api.deploy_with("echo", probe, &json!({})).await?.ok()?;
    client.text_from("wxid_bob", "trap").await?.ok()?;
    api.send_text("wxid_secret_account", "wxid_bob", "later")
        .await?;

    let (_, text) = read(&host, Some(&own_token(&host)?)).await?;
    let calls = |labels: &str| {
        let series = format!("wxhost_calls_total{{handler=\"echo\",{labels}}}");
        value(&text, &series)
    };
    check!(calls("version=\"1\",outcome=\"ok\"")? >= 3.0, "{text}");
    timed(&text)?;
    check!(text.contains("handler=\"echo\",version=\"2\","), "{text}");
    let handled = "wxhost_events_total{client=\"wehub\",outcome=\"handled\"}";
    check!(value(&text, handled)? >= 3.0, "{text}");
    let made = value(&text, "wxhost_tasks_made_total{action=\"send\"}")?;
    check!(made >= 4.0, "{text}");
    assert_eq!(value(&text, "wxhost_tasks_queued")?, 1.0);
    assert_eq!(
        value(&text, "wxhost_accounts_online{client=\"wehub\"}")?,
        1.0
    );
    assert_eq!(
        value(&text, "wxhost_deployments_total{kind=\"deploy\"}")?,
        2.0
    );
    assert_eq!(value(&text, "wxhost_calls_running")?, 0.0);
    check!(
        value(&text, "wxhost_store_commit_seconds_count")? > 4.0,
        "{text}"
    );
    check!(
        value(&text, "process_resident_memory_bytes")? > 1e6,
        "{text}"
    );
    for personal in ["wxid_", "secret_account"] {
        check!(!text.contains(personal), "{text}");
    }
    let undocumented: Vec<_> = names(&text).difference(&documented()?).cloned().collect();
    check!(
        undocumented.is_empty(),
        "not in the README: {undocumented:?}"
    );
    host.end().await
}

#[tokio::test]
async fn requests_to_other_systems_are_counted_by_how_they_ended() -> Result<()> {
    let (site, other) = (Site::start().await?, Site::start().await?);
    // Nobody listens there any more.
    let gone = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let host = Host::with(
        Settings::default()
            .set("egress.request_ms", 2_000)
            .unpaced(),
    )
    .await?;
    let rules = [site.origin(), format!("http://{gone}")];
    let options = json!({"manifest": {"allowed_hosts": rules}});
    let probe = guests::bytes("probe")?;
    let api = host.api()?;
    api.deploy_with("asker", probe, &options).await?.ok()?;
    host.bind("*", "asker").await?;
    let client = host.wehub("wxid_a")?.login().await?;
    for (url, begins) in [
        (site.url("/secret-path"), "ok 200"),
        (site.url("/redirect"), "ok 302"),
        (site.url("/drain"), "err timeout"),
        (other.url("/"), "err denied"),
        (format!("http://{gone}/"), "err unreachable"),
    ] {
        let command = format!("web.fetch GET {url}");
        let ack = client.text_from("wxid_bob", &command).await?;
        let answer = ack.ok()?.texts().concat();
        check!(answer.starts_with(begins), "{url}: {answer}");
    }
    let (_, text) = read(&host, Some(&own_token(&host)?)).await?;
    for (outcome, count) in [
        ("answered", 2.0),
        ("timeout", 1.0),
        ("denied", 1.0),
        ("unreachable", 1.0),
    ] {
        let labels = format!("handler=\"asker\",version=\"1\",outcome=\"{outcome}\"");
        let series = format!("wxhost_egress_requests_total{{{labels}}}");
        assert_eq!(value(&text, &series)?, count, "{outcome}");
    }
    // Not whom, and not for what.
    for asked in [site.address(), other.address(), "secret-path"] {
        check!(!text.contains(asked), "{text}");
    }
    host.end().await
}

/// The calls of each version were measured, each of them once, and took some time.
fn timed(text: &str) -> Result<()> {
    for (version, at_least) in [(1, 3.0), (2, 1.0)] {
        let labels = format!("handler=\"echo\",version=\"{version}\"");
        let seconds = |part: &str, more: &str| {
            let series = format!("wxhost_call_seconds_{part}{{{more}{labels}}}");
            value(text, &series)
        };
        let count = seconds("count", "")?;
        check!(count >= at_least, "version {version}: {count}");
        assert_eq!(seconds("bucket", "le=\"+Inf\",")?, count);
        let all = format!("wxhost_calls_total{{{labels},");
        let calls = text.lines().filter(|line| line.starts_with(&all));
        let calls = calls.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        assert_eq!(calls.sum::<f64>(), count, "version {version}");
        let sum = seconds("sum", "")?;
        check!(
            sum > 0.0 && sum < count * 30.0,
            "version {version}: {sum} s"
        );
    }
    Ok(())
}

/// The names of all families, as the README has them.
fn names(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|it| it.strip_prefix("# TYPE "));
    let named = types
        .filter_map(|it| it.split_once(' '))
        .map(|(name, kind)| {
            let suffix = match kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            format!("{name}{suffix}")
        });
    named.collect()
}

fn documented() -> Result<BTreeSet<String>> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(readme)?;
    let table = readme
        .split("| metric | type |")
        .nth(1)
        .context("no table")?;
    let rows = table.lines().skip(2).take_while(|it| it.starts_with('|'));
    Ok(rows
        .filter_map(|row| row.split('`').nth(1))
        .map(str::to_owned)
        .collect())
}
