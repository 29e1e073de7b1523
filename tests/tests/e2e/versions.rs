//! Versions of a handler: going back, a newer one for some accounts, and what sends
//! it back.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use wxhost_tests::{Context, Host, Result, check, guests, poll};

use crate::cli::{json_of, printed, text};

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

/// The path of a guest, as an argument.
fn component(guest: &str) -> Result<String> {
    let path = guests::path(guest)?;
    Ok(path.to_str().context("a path in UTF-8")?.to_owned())
}

/// The value that follows this name at the begin of a line.
fn fact<'a>(text: &'a str, name: &str) -> Result<&'a str> {
    let mut values = text.lines().filter_map(|line| line.strip_prefix(name));
    let value = values.find(|rest| rest.starts_with(' ')).context(name)?;
    Ok(value.trim())
}

#[tokio::test]
async fn a_deployment_prints_the_facts_of_what_was_deployed() -> Result<()> {
    let host = Host::unpaced().await?;
    let (echo, probe) = (component("echo")?, component("probe")?);
    let deploy = ["handler", "deploy", "bot"];
    let first = [
        &deploy[..],
        &[&echo, "--account", "wxid_a", "--note", "the first"],
    ]
    .concat();
    let first = printed(&host, &first).await?;
    check!(first.starts_with("deployed bot, version 1 in "), "{first}");
    check!(first.contains("(compiled in "), "{first}");
    check!(first.contains("; tried out in "), "{first}");
    check!(fact(&first, "version")?.contains("(the first)"), "{first}");
    check!(fact(&first, "serves")?.starts_with("wxid_a"), "{first}");

    // Of a version that serves some, not of the one that serves the others.
    let second = [&deploy[..], &[&probe, "--percent", "50", "--own-messages"]].concat();
    let second = printed(&host, &second).await?;
    let versions = host.api()?.get("/handlers/bot/versions").await?;
    let made = &versions["items"][0];
    let text = |name: &str| made[name].as_str().unwrap_or_default().to_owned();
    assert_eq!(made["number"], 2);
    check!(fact(&second, "version")?.starts_with('2'), "{second}");
    assert_eq!(fact(&second, "digest")?, text("digest"));
    assert_eq!(fact(&second, "world")?, text("world"));
    assert_eq!(fact(&second, "granted")?, "own messages");
    check!(fact(&second, "size")?.ends_with("KiB"), "{second}");
    check!(!second.contains(fact(&first, "digest")?), "{second}");
    check!(fact(&second, "size")? != fact(&first, "size")?, "{second}");
    for import in made["imports"].as_array().into_iter().flatten() {
        let import = import.as_str().unwrap_or_default();
        check!(second.contains(import), "{import}: {second}");
    }
    // What is compiled already is not compiled again.
    let again = [&deploy[..], &[&probe, "--percent", "60", "--own-messages"]].concat();
    let again = printed(&host, &again).await?;
    check!(again.contains("(compiled before;"), "{again}");
    host.end().await
}

/// What a command printed that succeeded, and what it wrote to stderr.
async fn both(host: &Host, arguments: &[&str]) -> Result<(String, String)> {
    let output = host.cli(arguments).await?;
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    check!(output.status.success(), "{arguments:?}: {err}");
    Ok((out, err))
}

#[tokio::test]
async fn what_reaches_nobody_is_told_when_it_is_deployed() -> Result<()> {
    let host = Host::unpaced().await?;
    let (echo, probe) = (component("echo")?, component("probe")?);
    let typed = ["--account", "wxid_tpyo", "--account", "label:nobody"];
    let deploy = ["handler", "deploy", "bot"];
    let said = printed(&host, &[&deploy[..], &[&echo], &typed].concat()).await?;
    check!(
        said.contains("label:nobody (no account that is known)"),
        "{said}"
    );
    check!(said.contains("wxid_tpyo (not known yet)"), "{said}");
    check!(
        said.contains("warning: wxid_tpyo is not known yet"),
        "{said}"
    );
    check!(
        said.contains("warning: no account that is known has the label nobody"),
        "{said}"
    );

    // For scripts: numbers in the JSON, the warnings beside it.
    let json = [&deploy[..], &[&echo], &typed, &["--json"]].concat();
    let (json, warned) = both(&host, &json).await?;
    let json: Value = serde_json::from_str(&json)?;
    let nobody = json!([
        {"account": "label:nobody", "known": 0, "logged_in": 0},
        {"account": "wxid_tpyo", "known": 0, "logged_in": 0},
    ]);
    assert_eq!(json["reaches"]["scopes"], nobody);
    check!(warned.contains("warning: wxid_tpyo"), "{warned}");

    // Who is there is counted, by the binding that serves them.
    let a = host.wehub("wxid_a")?.login().await?;
    host.wehub("wxid_b")?.login().await?;
    a.logout().await?;
    let label = json!({"add": ["shop"]});
    let path = "/accounts/wxid_b/labels";
    let api = host.api()?;
    api.request(Method::PATCH, path, Some(&label)).await?.ok()?;
    let bind = ["handler", "bind", "bot", "--account"];
    let all = printed(&host, &[&bind[..], &["*"]].concat()).await?;
    check!(
        all.contains("(2 accounts, 1 logged in)") && !all.contains("warning"),
        "{all}"
    );
    let shop = printed(&host, &[&bind[..], &["label:shop"]].concat()).await?;
    check!(shop.contains("(1 account, 1 logged in)"), "{shop}");
    let none = printed(&host, &[&bind[..], &["label:none"]].concat()).await?;
    check!(
        none.contains("warning: no account that is known has the label none"),
        "{none}"
    );
    let again = printed(&host, &[&deploy[..], &[&echo]].concat()).await?;
    check!(again.contains("* (1 account, 0 logged in)"), "{again}");

    // A version that serves some.
    let to = |to: &'static [&'static str]| [&deploy[..], &[&probe], to].concat();
    let one = printed(&host, &to(&["--to-account", "wxid_b"])).await?;
    let headline = "version 2 serves 1 account (1 known, 1 logged in)";
    check!(
        one.contains(headline) && !one.contains("warning: version"),
        "{one}"
    );
    let typo = ["--to-account", "wxid_z"];
    let typo = [&["handler", "rollout", "bot"][..], &typo].concat();
    let typo = printed(&host, &typo).await?;
    check!(
        typo.contains("serves 1 account (none that is known)"),
        "{typo}"
    );
    let warning = "warning: version 2 serves 0 of the 1 accounts that are listed";
    check!(typo.contains(warning), "{typo}");
    let few = ["handler", "rollout", "bot", "--percent"];
    // Whom a percentage reaches is decided by a digest: 100 % are all, 1 % none of these.
    let few_of = |percent| [&few[..], &[percent]].concat();
    let all = json_of(&host, &few_of("100")).await?;
    let expected = json!({"known": 2, "logged_in": 1});
    assert_eq!(all["reaches"]["rollout"], expected, "{all}");
    let one = printed(&host, &few_of("1")).await?;
    check!(
        one.contains("warning: version 2 serves nobody yet"),
        "{one}"
    );
    let reaches = api.get("/handlers/bot/reaches").await?;
    assert_eq!(reaches["rollout"], json!({"known": 0, "logged_in": 0}));
    host.end().await
}
