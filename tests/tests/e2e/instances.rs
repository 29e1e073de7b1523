//! Instances that are kept for their account, and limits that a version asks for: what
//! one account's bot has in its memory, no other ever sees.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use wxhost_tests::{
    Host, Result, Site, WehubClient, check, guests,
    host::{COMPILE_MS, Settings},
    poll,
};

/// A host whose accounts are served by a bot that remembers, with this manifest.
async fn host(settings: Settings, manifest: &Value) -> Result<Host> {
    let host = Host::with(settings.unpaced()).await?;
    deploy(&host, manifest).await?;
    host.bind("*", "bot").await?;
    Ok(host)
}

async fn deploy(host: &Host, manifest: &Value) -> Result<Value> {
    let options = json!({"manifest": manifest});
    let bytes = guests::bytes("rememberer")?;
    host.api()?.deploy_with("bot", bytes, &options).await?.ok()
}

fn kept() -> Value {
    json!({"instances": "per-account"})
}

async fn says(client: &WehubClient, text: &str) -> Result<String> {
    let ack = client.text_from("wxid_bob", text).await?;
    Ok(ack.ok()?.texts().concat())
}

#[tokio::test]
async fn nothing_is_remembered_unless_the_version_asks_for_it() -> Result<()> {
    let host = host(Settings::default(), &json!({})).await?;
    let a = host.wehub("wxid_a")?.login().await?;
    for _ in 0..3 {
        assert_eq!(says(&a, "count").await?, "1 []");
    }
    host.end().await
}

#[tokio::test]
async fn an_account_s_next_event_sees_what_its_last_one_left_and_no_other_does() -> Result<()> {
    let host = host(Settings::default(), &kept()).await?;
    let accounts = ["wxid_a", "wxid_b", "wxid_c"];
    let mut clients = Vec::new();
    for account in accounts {
        clients.push(host.wehub(account)?.login().await?);
    }
    for round in 1..=4 {
        // All at the same time, so that instances change hands if they can.
        let texts = clients.iter().map(|client| says(client, "count"));
        for text in futures_util::future::try_join_all(texts).await? {
            assert_eq!(text, format!("{round} []"));
        }
    }
    // Calls that are tried only have one of their own, and leave nothing.
    let message = json!({"author": "wxid_bob", "content": {"text": "count"}});
    let event = json!({"account": "wxid_a", "event": {"message": message}});
    for _ in 0..2 {
        let tried = host.api()?.post("/handlers/bot/invoke", &event).await?;
        check!(tried.to_string().contains("1 []"), "{tried}");
    }
    assert_eq!(says(&clients[0], "count").await?, "5 []");
    host.end().await
}

#[tokio::test]
async fn an_instance_ends_with_the_first_call_that_fails() -> Result<()> {
    let limits = Settings::default()
        .limit("call_cpu_ms", 100)
        .limit("call_wall_ms", 2_000);
    let host = host(limits, &kept()).await?;
    let a = host.wehub("wxid_a")?.login().await?;
    for end in ["trap", "refuse", "loop"] {
        assert_eq!(says(&a, "count").await?, "1 []", "before {end}");
        assert_eq!(says(&a, "count").await?, "2 []", "before {end}");
        a.text_from("wxid_bob", end).await?.silent()?;
    }
    // Nor is one kept that holds a resource of its call, or most of its memory.
    for end in ["hold", "fill 40000000"] {
        assert_eq!(says(&a, "count").await?, "1 []", "before {end}");
        assert_eq!(says(&a, end).await?, "2 []", "{end}");
    }
    assert_eq!(says(&a, "count").await?, "1 []");
    // What it printed is that of the failed call alone.
    says(&a, "said before").await?;
    a.text_from("wxid_bob", "trap").await?.silent()?;
    let failures = host.api()?.failures("wxid_a").await?;
    let said = failures.iter().filter_map(|it| it["output"].as_str());
    check!(
        !said
            .clone()
            .any(|output| output.contains("saw said before")),
        "{failures:?}"
    );
    check!(
        said.clone().any(|output| output.contains("saw trap")),
        "{failures:?}"
    );
    host.end().await
}

#[tokio::test]
async fn a_bot_in_javascript_remembers_and_asks_too() -> Result<()> {
    remembers_and_asks(guests::javascript("rememberer-js")?).await
}

#[tokio::test]
async fn a_bot_in_python_remembers_and_asks_too() -> Result<()> {
    remembers_and_asks(guests::python("rememberer-py")?).await
}

/// Counts in its memory, and in its bucket, which it opens and closes again and again: each
/// account alone, as long as its instance is kept. Asks other systems in between, one that
/// it may ask and one that it may not. One test for both, since such a bot is long to compile.
async fn remembers_and_asks(rememberer: Option<PathBuf>) -> Result<()> {
    let Some(rememberer) = rememberer else {
        return Ok(());
    };
    let (site, other) = (Site::start().await?, Site::start().await?);
    let settings = Settings::default().limit("compile_ms", COMPILE_MS);
    let host = Host::with(settings.unpaced()).await?;
    let mut manifest = kept();
    manifest["allowed_hosts"] = json!([site.origin()]);
    let options = json!({ "manifest": manifest });
    let bytes = fs::read(rememberer)?;
    let deployed = host.api()?.deploy_with("bot", bytes, &options).await?;
    deployed.ok()?;
    host.bind("*", "bot").await?;
    let a = host.wehub("wxid_a")?.login().await?;
    let b = host.wehub("wxid_b")?.login().await?;
    for count in 1..=3 {
        let wanted = format!("{count} {count} kept,4,true 12 true");
        assert_eq!(says(&a, "count").await?, wanted);
        assert_eq!(says(&b, "count").await?, wanted);
        // Neither costs it its instance.
        let asked = says(&a, &format!("get {}", site.url("/a?b=c"))).await?;
        assert_eq!(asked, "ok 200 you asked /a?b=c");
        let denied = says(&a, &format!("get {}", other.url("/"))).await?;
        let rule = format!("--allow-host {}", other.origin());
        check!(
            denied.starts_with("err denied ") && denied.contains(&rule),
            "{denied}"
        );
    }
    assert_eq!((site.asked(), other.asked()), (3, 0));
    host.end().await
}

#[tokio::test]
async fn whatever_changes_for_an_account_it_begins_anew() -> Result<()> {
    let host = host(Settings::default(), &kept()).await?;
    let api = host.api()?;
    let (a, b) = (
        host.wehub("wxid_a")?.login().await?,
        host.wehub("wxid_b")?.login().await?,
    );
    let twice = async |client: &WehubClient| {
        assert_eq!(says(client, "config k").await?.split(' ').next(), Some("1"));
        assert_eq!(says(client, "config k").await?.split(' ').next(), Some("2"));
        Ok::<_, wxhost_tests::Error>(())
    };
    twice(&a).await?;
    twice(&b).await?;

    // Its own configuration: the other account keeps what it has.
    let path = "/handlers/bot/config?account=wxid_a";
    let own = api
        .request(reqwest::Method::PATCH, path, Some(&json!({"k": "own"})))
        .await?;
    check!(own.status < 300, "{own:?}");
    assert_eq!(says(&a, "config k").await?, "1 [] own");
    assert_eq!(says(&b, "config k").await?, "3 [] -");

    // That of all.
    host.configure("bot", json!({"k": "all"})).await?;
    assert_eq!(says(&b, "config k").await?, "1 [] all");
    assert_eq!(says(&a, "config k").await?, "1 [] own");

    // Another binding, although it is taken back at once.
    host.bind("wxid_b", "bot").await?;
    assert_eq!(says(&b, "config k").await?, "2 [] all");
    api.delete("/bindings/wxid_b").await?;
    assert_eq!(says(&b, "config k").await?, "3 [] all");
    api.delete("/bindings/%2A").await?;
    host.bind("*", "bot").await?;
    assert_eq!(says(&b, "config k").await?, "1 [] all");

    // Another version, and the one before again.
    deploy(
        &host,
        &json!({"instances": "per-account", "own_messages": true}),
    )
    .await?;
    assert_eq!(says(&b, "config k").await?, "1 [] all");
    api.post("/handlers/bot/rollback", &json!({})).await?;
    assert_eq!(says(&b, "config k").await?, "1 [] all");
    host.end().await
}

#[tokio::test]
async fn few_instances_are_kept_and_none_for_long() -> Result<()> {
    let settings = Settings::default()
        .limit("warm_instances", 2)
        .limit("warm_instance_calls", 3)
        .limit("concurrent_calls", 2);
    let host = host(settings, &kept()).await?;
    let mut clients = Vec::new();
    for number in 0..6 {
        let account = format!("wxid_{number}");
        clients.push(host.wehub(&account)?.login().await?);
    }
    // Many more accounts than places: each is answered, and has an instance or none.
    for _ in 0..3 {
        let texts = clients.iter().map(|client| says(client, "count"));
        for text in futures_util::future::try_join_all(texts).await? {
            check!(text.ends_with("[]"), "{text}");
        }
    }
    // Alone it has its three calls.
    let alone = host.wehub("wxid_alone")?.login().await?;
    let mut counts = Vec::new();
    for _ in 0..7 {
        counts.push(says(&alone, "count").await?);
    }
    // Its login was an event as well, and did not count.
    let numbers: Vec<_> = counts
        .iter()
        .filter_map(|text| text.split(' ').next())
        .collect();
    check!(!numbers.contains(&"4"), "{numbers:?}");
    check!(numbers.contains(&"2"), "{numbers:?}");
    host.end().await
}

#[tokio::test]
async fn an_instance_becomes_so_old() -> Result<()> {
    let settings = Settings::default().limit("warm_instance_ms", 300);
    let host = host(settings, &kept()).await?;
    let a = host.wehub("wxid_a")?.login().await?;
    says(&a, "count").await?;
    let second = says(&a, "count").await?;
    check!(second == "2 []" || second == "1 []", "{second}");
    poll::until(
        "a fresh instance",
        std::time::Duration::from_secs(10),
        async || Ok((says(&a, "count").await? == "1 []").then_some(())),
    )
    .await?;
    host.end().await
}

#[tokio::test]
async fn only_bots_have_instances_that_are_kept() -> Result<()> {
    let host = Host::start().await?;
    let gatekeeper = guests::bytes("gatekeeper")?;
    let options = json!({"manifest": kept()});
    let refused = host
        .api()?
        .deploy_with("gate", gatekeeper, &options)
        .await?;
    let problem = refused.problem(400, "bad-request")?;
    check!(problem.contains("instances"), "{problem}");
    host.end().await
}

#[tokio::test]
async fn a_version_has_the_limits_that_it_asks_for() -> Result<()> {
    let settings = Settings::default()
        .limit("call_cpu_ms", 1_500)
        .limit("call_wall_ms", 4_000)
        .set("limits.ceiling.memory_bytes", 128 * 1024 * 1024);
    let asked = json!({"limits": {"cpu_ms": 50}});
    let host = host(settings, &asked).await?;
    let a = host.wehub("wxid_a")?.login().await?;
    a.text_from("wxid_bob", "loop").await?.silent()?;
    let failures = host.api()?.failures("wxid_a").await?;
    assert_eq!(failures[0]["kind"], "cpu-time");
    let message = failures[0]["message"].as_str().unwrap_or_default();
    check!(message.starts_with("more than 50 ms"), "{message}");
    // More than the host gives by itself.
    let asked = json!({"limits": {"memory_bytes": 100_000_000}});
    deploy(&host, &asked).await?;
    assert_eq!(says(&a, "fill 90000000").await?, "1 []");

    // Without them it has what the host gives.
    deploy(&host, &json!({})).await?;
    a.text_from("wxid_bob", "fill 90000000").await?.silent()?;
    let shown = host.api()?.get("/handlers/bot/versions").await?;
    assert_eq!(shown["items"][1]["manifest"], asked);
    host.end().await
}

#[tokio::test]
async fn more_than_the_ceiling_is_refused_before_it_is_compiled() -> Result<()> {
    let settings = Settings::default().set("limits.ceiling.cpu_ms", 700);
    let host = Host::with(settings).await?;
    let rememberer = guests::path("rememberer")?.display().to_string();
    let deploy = |limit: &str| {
        let words = ["handler", "deploy", "bot", &rememberer, "--limit", limit];
        words.map(str::to_owned)
    };
    let run = async |limit: &str| {
        let words = deploy(limit);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        host.cli(&words).await
    };
    let refused = run("cpu_ms=701").await?;
    let problem = String::from_utf8_lossy(&refused.stderr).into_owned();
    check!(!refused.status.success(), "{problem}");
    for part in ["limits", "cpu_ms", "701", "700", "limits.ceiling.cpu_ms"] {
        check!(problem.contains(part), "{part}: {problem}");
    }
    let unknown = run("cpu=5").await?;
    let problem = String::from_utf8_lossy(&unknown.stderr).into_owned();
    check!(problem.contains("cpu_ms, wall_ms"), "{problem}");

    let taken = run("cpu_ms=700").await?;
    check!(taken.status.success(), "{taken:?}");
    let shown = host.cli(&["handler", "show", "bot"]).await?;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    check!(shown.contains("limit cpu_ms=700"), "{shown}");
    host.end().await
}
