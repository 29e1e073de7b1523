//! What bots keep: how much fits, whose it is, and what people see and change of it.

use reqwest::Method;
use serde_json::{Value, json};
use wxhost_tests::{Host, Result, WehubClient, check, guests, host::Settings};

/// What the probe answers to this.
async fn ask(client: &WehubClient, words: &str) -> Result<String> {
    let ack = client.text_from("wxid_bob", words).await?;
    Ok(ack.ok()?.texts().concat())
}

/// The probe serves everybody, with the shared bucket or without.
async fn with_probe(settings: Settings, shared: bool) -> Result<Host> {
    let host = Host::with(settings.unpaced()).await?;
    let options = json!({"manifest": {"shared_bucket": shared}});
    let probe = guests::bytes("probe")?;
    host.api()?
        .deploy_with("probe", probe, &options)
        .await?
        .ok()?;
    host.bind("*", "probe").await?;
    Ok(host)
}

async fn usage(host: &Host, account: &str) -> Result<(Value, Value)> {
    let page = host
        .api()?
        .get(&format!("/accounts/{account}/kv/probe"))
        .await?;
    Ok((
        page["usage"]["keys"].clone(),
        page["usage"]["bytes"].clone(),
    ))
}

#[tokio::test]
async fn a_bucket_takes_so_much_and_a_restart_does_not_forget_how_much() -> Result<()> {
    let limits = Settings::default()
        .limit("bucket_keys", 3)
        .limit("bucket_bytes", 1000);
    let mut host = with_probe(limits, false).await?;
    let a = host.wehub("wxid_a")?.login().await?;
    assert_eq!(ask(&a, "keyvalue.fill k 900").await?, "ok");
    let full = ask(&a, "keyvalue.fill l 99").await?;
    check!(
        full.starts_with("err") && full.contains("1001 bytes of at most 1000"),
        "{full}"
    );
    assert_eq!(ask(&a, "keyvalue.set-many l=1 m=2").await?, "ok");
    let full = ask(&a, "keyvalue.set n 3").await?;
    check!(full.contains("4 keys of at most 3"), "{full}");
    assert_eq!(usage(&host, "wxid_a").await?, (json!(3), json!(905)));

    // Another account has room of its own.
    let b = host.wehub("wxid_b")?.login().await?;
    assert_eq!(ask(&b, "keyvalue.get k").await?, "ok -");
    assert_eq!(ask(&b, "keyvalue.fill k 900").await?, "ok");

    host.terminate().await?;
    host.start_again().await?;
    let a = a.moved_to(&host.callback_url()?)?;
    assert_eq!(usage(&host, "wxid_a").await?, (json!(3), json!(905)));
    let full = ask(&a, "keyvalue.set n 3").await?;
    check!(full.contains("4 keys of at most 3"), "{full}");
    assert_eq!(ask(&a, "keyvalue.delete k").await?, "ok");
    assert_eq!(ask(&a, "keyvalue.set n 3").await?, "ok");
    assert_eq!(usage(&host, "wxid_a").await?, (json!(3), json!(6)));
    host.end().await
}

#[tokio::test]
async fn the_shared_bucket_is_for_whom_it_was_granted() -> Result<()> {
    let host = with_probe(Settings::default(), false).await?;
    let a = host.wehub("wxid_a")?.login().await?;
    let denied = ask(&a, "shared.get k").await?;
    check!(denied.starts_with("err"), "{denied}");
    check!(
        host.log().contains("--shared-bucket"),
        "the log does not say how to grant it"
    );

    let options = json!({"manifest": {"shared_bucket": true}});
    let probe = guests::bytes("probe")?;
    host.api()?
        .deploy_with("probe", probe, &options)
        .await?
        .ok()?;
    let b = host.wehub("wxid_b")?.login().await?;
    assert_eq!(ask(&a, "shared.set k from-a").await?, "ok");
    assert_eq!(ask(&b, "shared.get k").await?, "ok from-a");
    assert_eq!(ask(&b, "keyvalue.get k").await?, "ok -");
    let page = host.api()?.get("/handlers/probe/shared").await?;
    assert_eq!(page["items"][0]["text"], "from-a");
    assert_eq!(page["usage"]["keys"], 1);
    host.end().await
}

#[tokio::test]
async fn accounts_that_count_in_one_key_lose_nothing() -> Result<()> {
    const ACCOUNTS: usize = 8;
    const EACH: usize = 10;
    let host = with_probe(Settings::default(), true).await?;
    let mut clients = Vec::new();
    for number in 0..ACCOUNTS {
        clients.push(host.wehub(&format!("wxid_{number}"))?.login().await?);
    }
    let count = async |client: WehubClient| {
        let mut sums = Vec::new();
        for _ in 0..EACH {
            sums.push(ask(&client, "shared.increment n 1").await?);
        }
        Result::Ok(sums)
    };
    let mut sums = Vec::new();
    for counted in futures_util::future::join_all(clients.into_iter().map(count)).await {
        for sum in counted? {
            sums.push(
                sum.strip_prefix("ok ")
                    .unwrap_or_default()
                    .parse::<usize>()?,
            );
        }
    }
    // Each sum was said once: no run that was lost has said its own.
    sums.sort_unstable();
    assert_eq!(sums, (1..=ACCOUNTS * EACH).collect::<Vec<_>>());
    host.end().await
}

#[tokio::test]
async fn people_change_what_a_bot_keeps() -> Result<()> {
    let limits = Settings::default().limit("bucket_bytes", 100);
    let host = with_probe(limits, true).await?;
    let api = host.api()?;
    let a = host.wehub("wxid_a")?.login().await?;
    for (path, ours) in [
        ("/accounts/wxid_a/kv/probe", "keyvalue"),
        ("/handlers/probe/shared", "shared"),
    ] {
        let key = |key: &str| format!("{path}/{key}");
        api.put(&key("k"), &json!({"text": "v"})).await?;
        api.put(&key("a%2Fb"), &json!({"value_base64": "/wAQ"}))
            .await?;
        assert_eq!(ask(&a, &format!("{ours}.get k")).await?, "ok v");
        assert_eq!(ask(&a, &format!("{ours}.exists a/b")).await?, "ok true");
        let shown = api.get(&key("a%2Fb")).await?;
        assert_eq!(
            shown,
            json!({"key": "a/b", "value_base64": "/wAQ", "size_bytes": 3})
        );
        api.delete(&key("k")).await?;
        let gone = api.request(Method::DELETE, &key("k"), None).await?;
        gone.problem(404, "not-found")?;
        let gone = api.request(Method::GET, &key("k"), None).await?;
        gone.problem(404, "not-found")?;
        assert_eq!(ask(&a, &format!("{ours}.get k")).await?, "ok -");
        let emptied = api.request(Method::DELETE, path, None).await?.ok()?;
        assert_eq!(emptied, json!({"removed": 1}));
    }
    let large = json!({"text": "x".repeat(100)});
    let full = api
        .request(Method::PUT, "/accounts/wxid_a/kv/probe/k", Some(&large))
        .await?;
    let detail = full.problem(409, "conflict")?;
    check!(detail.contains("101 bytes of at most 100"), "{detail}");
    let nobody = api
        .request(Method::PUT, "/accounts/wxid_x/kv/probe/k", Some(&large))
        .await?;
    nobody.problem(404, "not-found")?;
    host.end().await
}

#[tokio::test]
async fn a_whole_bucket_is_exported() -> Result<()> {
    const KEYS: usize = 10_000;
    let host = with_probe(Settings::default(), true).await?;
    let a = host.wehub("wxid_a")?.login().await?;
    for from in (0..KEYS).step_by(100) {
        let pairs: Vec<_> = (from..from + 100).map(|n| format!("k{n:05}={n}")).collect();
        let set = format!("keyvalue.set-many {}", pairs.join(" "));
        assert_eq!(ask(&a, &set).await?, "ok");
    }
    let file = host
        .api()?
        .file("/accounts/wxid_a/kv/probe?format=jsonl")
        .await?;
    assert_eq!(
        (file.status, file.header("content-type")),
        (200, "application/jsonl")
    );
    let text = String::from_utf8(file.body)?;
    for (number, line) in text.lines().enumerate() {
        let entry: Value = serde_json::from_str(line)?;
        let expected = json!({"key": format!("k{number:05}"), "text": number.to_string()});
        assert_eq!(entry, expected);
    }
    assert_eq!(text.lines().count(), KEYS);
    let exported = host
        .cli(&["kv", "export", "probe", "--account", "wxid_a"])
        .await?;
    check!(
        exported.status.success() && exported.stdout == text.as_bytes(),
        "another export"
    );
    let gone = host
        .cli(&["kv", "delete", "probe", "--account", "wxid_a", "--all"])
        .await?;
    check!(
        String::from_utf8_lossy(&gone.stdout).contains("10000"),
        "{gone:?}"
    );
    let set = host
        .cli(&["kv", "set", "probe", "--shared", "k", "v"])
        .await?;
    check!(set.status.success(), "{set:?}");
    assert_eq!(ask(&a, "shared.get k").await?, "ok v");
    host.end().await
}
