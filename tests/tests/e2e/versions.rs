//! Versions of a handler: going back, a newer one for some accounts, and what sends
//! it back.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use wxhost_tests::{Host, Result, check, guests, poll};

/// How soon what happens by itself has happened.
const SOON: Duration = Duration::from_secs(5);

/// A host whose accounts are served by `bot`: `echo` as its first version.
async fn host_with_echo() -> Result<Host> {
    let host = Host::unpaced().await?;
    let first = json!({"note": "the first", "by": "mei"});
    let echo = guests::bytes("echo")?;
    let deployed = host.api()?.deploy_with("bot", echo, &first).await?.ok()?;
    assert_eq!(
        (&deployed["change"], &deployed["version"]),
        (&json!("created"), &json!(1))
    );
    assert_eq!(deployed["deployed"]["by"], "mei");
    check!(deployed["compile_ms"].is_u64(), "{deployed}");
    check!(
        deployed["tried"]["wall_us"].as_u64() > Some(0),
        "{deployed}"
    );
    host.bind("*", "bot").await?;
    Ok(host)
}

async fn restart(host: &mut Host) -> Result<()> {
    host.terminate().await?;
    host.start_again().await
}

/// What the bot of this account answers, if it answers.
async fn answers(host: &Host, account: &str) -> Result<Vec<String>> {
    let client = host.wehub(account)?.login().await?;
    let ack = client.text_from("wxid_bob", "context.client-kind").await?;
    Ok(ack.ok()?.texts())
}

#[tokio::test]
async fn rolling_back_brings_the_version_before_and_its_grants() -> Result<()> {
    let mut host = host_with_echo().await?;
    let api = host.api()?.clone();
    let second = json!({"manifest": {"own_messages": true}, "note": "the second"});
    let probe = guests::bytes("probe")?;
    let replaced = api.deploy_with("bot", probe, &second).await?.ok()?;
    assert_eq!(replaced["change"], "replaced");
    assert_eq!(replaced["manifest"], json!({"own_messages": true}));
    assert_eq!(answers(&host, "wxid_a").await?, ["ok wehub"]);

    let back = api
        .request(Method::POST, "/handlers/bot/rollback", None)
        .await?
        .ok()?;
    assert_eq!(
        (&back["version"], &back["previous"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(back["manifest"], json!({}));
    assert_eq!(answers(&host, "wxid_a").await?, ["context.client-kind"]);

    let versions = api.get("/handlers/bot/versions").await?;
    let notes: Vec<_> = versions["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|it| (it["number"].clone(), it["note"].clone()))
        .collect();
    assert_eq!(
        notes,
        [
            (json!(2), json!("the second")),
            (json!(1), json!("the first"))
        ]
    );

    // Back and forth, by name, and over a restart of the host.
    let to = json!({"to": 2});
    api.request(Method::POST, "/handlers/bot/rollback", Some(&to))
        .await?
        .ok()?;
    restart(&mut host).await?;
    assert_eq!(answers(&host, "wxid_a").await?, ["ok wehub"]);
    let again = host
        .api()?
        .request(Method::POST, "/handlers/bot/rollback", Some(&to))
        .await?;
    let problem = again.problem(409, "conflict")?;
    check!(problem.contains("serves already"), "{problem}");
    let unknown = json!({"to": 9});
    let unknown = host
        .api()?
        .request(Method::POST, "/handlers/bot/rollback", Some(&unknown))
        .await?;
    unknown.problem(404, "not-found")?;
    host.end().await
}

#[tokio::test]
async fn the_same_again_makes_no_version() -> Result<()> {
    let host = host_with_echo().await?;
    let echo = guests::bytes("echo")?;
    let same = host.api()?.deploy("bot", echo).await?.ok()?;
    assert_eq!(
        (&same["change"], &same["version"]),
        (&json!("unchanged"), &json!(1))
    );
    let versions = host.api()?.get("/handlers/bot/versions").await?;
    assert_eq!(versions["items"].as_array().map(Vec::len), Some(1));
    host.end().await
}

#[tokio::test]
async fn a_newer_version_serves_whom_it_has_reached_and_then_all() -> Result<()> {
    let mut host = host_with_echo().await?;
    let api = host.api()?.clone();
    let some = json!({"rollout": {"accounts": ["wxid_a"]}});
    let probe = guests::bytes("probe")?;
    let out = api.deploy_with("bot", probe, &some).await?.ok()?;
    assert_eq!(
        (&out["change"], &out["version"]),
        (&json!("rolled-out"), &json!(1))
    );
    assert_eq!(out["rollout"]["version"], 2);
    assert_eq!(answers(&host, "wxid_a").await?, ["ok wehub"]);
    assert_eq!(answers(&host, "wxid_b").await?, ["context.client-kind"]);
    let shown = api.get("/handlers/bot").await?;
    // The login and the message.
    assert_eq!(shown["rollout"]["calls"], 2, "{shown}");
    assert_eq!(shown["rollout"]["failures"], 0, "{shown}");

    // What was decided for an account stays over a restart, and as the share grows.
    let half = json!({"percent": 50});
    api.request(Method::PUT, "/handlers/bot/rollout", Some(&half))
        .await?
        .ok()?;
    restart(&mut host).await?;
    let api = host.api()?;
    let mut reached = Vec::new();
    for number in 0..20 {
        let account = format!("wxid_{number}");
        if answers(&host, &account).await? == ["ok wehub"] {
            reached.push(account);
        }
    }
    check!((1..20).contains(&reached.len()), "{reached:?}");
    let more = json!({"percent": 90});
    api.request(Method::PUT, "/handlers/bot/rollout", Some(&more))
        .await?
        .ok()?;
    for account in &reached {
        assert_eq!(answers(&host, account).await?, ["ok wehub"], "{account}");
    }
    let all = api
        .request(Method::POST, "/handlers/bot/promote", None)
        .await?
        .ok()?;
    assert_eq!(
        (&all["version"], &all["rollout"]),
        (&json!(2), &Value::Null)
    );
    assert_eq!(answers(&host, "wxid_b").await?, ["ok wehub"]);
    host.end().await
}

#[tokio::test]
async fn a_version_that_fails_too_often_goes_back_by_itself() -> Result<()> {
    let host = host_with_echo().await?;
    let api = host.api()?;
    let some = json!({"rollout": {"accounts": ["wxid_a"], "failures_percent": 50}});
    let trap = guests::bytes("trap")?;
    api.deploy_with("bot", trap, &some).await?.ok()?;
    let a = host.wehub("wxid_a")?.login().await?;
    // The login went well: that makes 20.
    for _ in 0..19 {
        a.text_from("wxid_bob", "hello").await?.silent()?;
    }
    let returned = poll::until("the version has gone back", SOON, async || {
        let shown = host.api()?.get("/handlers/bot").await?;
        Ok(shown["rollout"]
            .is_null()
            .then(|| shown["returned"].clone()))
    })
    .await?;
    assert_eq!(returned["version"], 2, "{returned}");
    let reason = returned["reason"].as_str().unwrap_or_default();
    check!(reason.contains("19 of its 20 calls failed"), "{reason}");
    a.text_from("wxid_bob", "hello").await?.says("hello")?;
    host.end().await
}

#[tokio::test]
async fn what_cannot_be_rolled_out_says_why() -> Result<()> {
    let host = host_with_echo().await?;
    let api = host.api()?;
    let probe = || guests::bytes("probe");
    for (options, part) in [
        (json!({"rollout": {}}), "percent or accounts"),
        (json!({"rollout": {"percent": 0}}), "1 to 100"),
        (json!({"rollout": {"accounts": []}}), "1 to 1000"),
        (json!({"manifest": {"wings": true}}), "wings"),
        (json!({"nonsense": 1}), "nonsense"),
    ] {
        let refused = api.deploy_with("bot", probe()?, &options).await?;
        let problem = refused.problem(400, "bad-request")?;
        check!(problem.contains(part), "{options}: {problem}");
    }
    let new = json!({"rollout": {"percent": 10}});
    let new = api.deploy_with("other", probe()?, &new).await?;
    check!(
        new.problem(400, "bad-request")?.contains("serves all"),
        "a new name"
    );
    for path in ["/handlers/bot/promote", "/handlers/bot/rollback"] {
        api.request(Method::POST, path, None)
            .await?
            .problem(409, "conflict")?;
    }
    host.end().await
}
