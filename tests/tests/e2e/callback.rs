//! Components that decide about the callback itself.

use serde_json::{Value, json};
use wxhost_tests::{
    Host, Result, WehubClient, check, guests,
    host::{SECRET_KEY, Settings},
    wehub::Identity,
};

/// BUSY among the host's error codes.
const BUSY: i64 = 4;

/// A host that lets nobody in but `wxid_listed`, unless a component says so.
fn closed() -> Settings {
    Settings::default()
        .accounts(&["wxid_listed"])
        .limit("call_cpu_ms", 200)
        .limit("call_wall_ms", 2000)
}

async fn gatekeeper(settings: Settings, config: Value) -> Result<Host> {
    let host = Host::with(settings).await?;
    host.deploy("gatekeeper", &guests::path("gatekeeper")?)
        .await?;
    host.configure("gatekeeper", config).await?;
    host.bind("*callback", "gatekeeper").await?;
    Ok(host)
}

#[tokio::test]
async fn only_whom_the_gatekeeper_lists_comes_in() -> Result<()> {
    let host = gatekeeper(closed(), json!({"allow": "wxid_a wxid_b"})).await?;
    host.serve_guest("*", "echo").await?;
    let a = host.wehub("wxid_a")?.login().await?;
    a.text_from("wxid_bob", "hello").await?.says("hello")?;

    // Its verdict goes before the settings' list, and the customer id before it.
    let listed = host.wehub("wxid_listed")?;
    let refused = listed.try_login().await?;
    refused.refused("wxid_listed may not log in here")?;
    check!(refused.data["signature"] != "", "a refusal is signed too");
    let report = listed.text_from("wxid_bob", "hello").await?;
    report.refused("log in first")?;
    listed.pull_task().await?.refused("log in first")?;
    let identity = Identity::new("app-unknown", SECRET_KEY, "wxid_a");
    let unknown = WehubClient::new(&host.callback_url()?, identity)?;
    unknown.try_login().await?.refused("appid")?;

    a.logout().await?.ok()?;
    a.text_from("wxid_bob", "still there")
        .await?
        .refused("log in first")?;
    // The answer to a logout may be lost: it is given again.
    a.logout().await?.ok()?;
    let b = host.wehub("wxid_b")?;
    b.logout().await?.refused("log in first")?;

    host.api()?.delete("/bindings/*callback").await?;
    listed.try_login().await?.ok()?;
    b.try_login().await?.refused("not admitted")?;
    host.end().await
}

#[tokio::test]
async fn whom_the_gatekeeper_admits_may_connect_whatever_the_list_says() -> Result<()> {
    let settings = closed().env("WXHOST_WEHUB__WEBSOCKET", "true");
    let host = gatekeeper(settings, json!({"allow": "wxid_a"})).await?;
    host.serve_guest("*", "echo").await?;
    let a = host.wehub("wxid_a")?;
    let mut socket = a.login_socket().await?;
    let message = a.text("wxid_bob", "hello");
    let answer = socket.report("report_new_msg", message.data()).await?;
    answer.says("hello")?;
    host.end().await
}

#[tokio::test]
async fn who_is_refused_again_and_again_is_locked() -> Result<()> {
    let config = json!({"allow": "wxid_a", "refusals": "3", "lock-minutes": "30"});
    let mut host = gatekeeper(closed(), config).await?;
    let stranger = host.wehub("wxid_stranger")?;
    for _ in 0..2 {
        let refused = stranger.try_login().await?;
        refused.refused("may not log in here")?;
    }
    let locked = stranger.try_login().await?;
    locked.refused("locked after too many refusals: try again in 30 minutes")?;
    host.wehub("wxid_other")?
        .try_login()
        .await?
        .refused("may not")?;
    host.wehub("wxid_a")?.login().await?;

    // What it remembers is durable, and goes before the list.
    host.kill9().await?;
    host.start_again().await?;
    host.configure("gatekeeper", json!({"allow": "*"})).await?;
    let still = host.wehub("wxid_stranger")?.try_login().await?;
    still.refused("locked")?;
    host.wehub("wxid_other")?.login().await?;
    check!(
        host.log().contains("wxid_stranger was refused"),
        "refusals are logged"
    );
    host.end().await
}

#[tokio::test]
async fn when_it_fails_the_settings_rule() -> Result<()> {
    for guest in ["callback-trap", "callback-loop"] {
        let host = Host::with(closed()).await?;
        host.serve_guest("*callback", guest).await?;
        let listed = host.wehub("wxid_listed")?.login().await?;
        let refused = host.wehub("wxid_b")?.try_login().await?;
        refused.refused("not admitted")?;
        let log = host.log();
        check!(log.contains("the callback component failed"), "{guest}");
        // Unknown actions go on to the bot, logouts are as ever.
        host.serve_guest("*", "echo").await?;
        listed.report("report_new_thing", json!({})).await?.ok()?;
        let out = listed.logout().await?;
        assert_eq!(out.data, json!({"exit_wehub": 1, "exit_wechat": 1}));
        host.end().await?;
    }
    Ok(())
}

#[tokio::test]
async fn when_it_fails_nobody_comes_in_if_the_settings_say_so() -> Result<()> {
    let settings = closed().env("WXHOST_WEHUB__CALLBACK_FAILURE", "refuse");
    let host = Host::with(settings).await?;
    host.serve_guest("*callback", "callback-trap").await?;
    let refused = host.wehub("wxid_listed")?.try_login().await?;
    refused.refused("try again later")?;
    assert_eq!(refused.error_code, BUSY);
    check!(refused.data["signature"] != "", "a refusal is signed too");
    host.end().await
}

#[tokio::test]
async fn logins_logouts_and_unknown_actions_are_answered_in_its_words() -> Result<()> {
    let host = Host::with(closed()).await?;
    host.serve_guest("*callback", "callback-own-words").await?;
    host.serve_guest("*", "probe").await?;

    let refused = host.wehub("wxid_a")?.called("nobody").try_login().await?;
    refused.refused("refused 1: listed false, known false, from 192.168.0.104 10.0.0.4")?;
    let a = host.wehub("wxid_a")?.called("bits 5").login().await?;
    let again = a.try_login().await?;
    assert_eq!(again.data["option"]["flag_report_contact"], 5);
    let refused = host.wehub("wxid_a")?.called("nobody").try_login().await?;
    refused.refused("refused 2: listed false, known true")?;
    // What no client understands is a failure: the settings rule.
    let odd = host.wehub("wxid_b")?.called("bits 9").try_login().await?;
    odd.refused("not admitted")?;
    check!(host.log().contains("report-contact"), "the log says why");

    let body = a.identity().envelope("report_new_thing", json!({"x": 1}));
    let answer = a.send_json(&body).await?;
    assert_eq!(answer.error_code, 7);
    assert_eq!(answer.error_reason, "report_new_thing of wxid_a");
    assert_eq!(answer.data, json!({"seen": true, "reply_task_list": []}));
    a.report("report_for_the_bot", json!({})).await?.ok()?;

    let out = a.logout().await?;
    assert_eq!(out.ok()?.data, json!({"exit_wehub": 1, "exit_wechat": 0}));
    host.end().await
}

#[tokio::test]
async fn its_store_has_an_end() -> Result<()> {
    let host = Host::with(closed()).await?;
    host.serve_guest("*callback", "callback-own-words").await?;
    let client = host.wehub("wxid_a")?.called("hoarder");
    let mut reasons = Vec::new();
    for _ in 0..4 {
        reasons.push(client.try_login().await?.error_reason);
    }
    check!(
        reasons.iter().any(|it| it.contains("the bucket is full")),
        "{reasons:?}"
    );
    // It goes on without more room.
    let refused = host.wehub("wxid_b")?.called("nobody").try_login().await?;
    refused.refused("refused 1")?;
    host.end().await
}

#[tokio::test]
async fn what_ends_after_a_logout_can_be_set() -> Result<()> {
    for (setting, flag) in [("exit", 1), ("stay", 0)] {
        let settings = Settings::default().env("WXHOST_WEHUB__ON_LOGOUT", setting);
        let host = Host::with(settings).await?;
        let out = host.wehub("wxid_a")?.login().await?.logout().await?;
        assert_eq!(
            out.ok()?.data,
            json!({"exit_wehub": flag, "exit_wechat": flag})
        );
        host.end().await?;
    }
    Ok(())
}

#[tokio::test]
async fn bots_serve_accounts_and_callback_components_the_callback() -> Result<()> {
    let host = Host::start().await?;
    let api = host.api()?;
    host.deploy("echo", &guests::path("echo")?).await?;
    host.deploy("gate", &guests::path("gatekeeper")?).await?;
    assert_eq!(
        api.get("/handlers/gate").await?["world"],
        "wxhost:callback/callback@0.1.0"
    );
    for (scope, handler) in [("%2Acallback", "echo"), ("*", "gate"), ("wxid_a", "gate")] {
        let body = json!({"handler": handler});
        let path = format!("/bindings/{scope}");
        let answer = api.request(reqwest::Method::PUT, &path, Some(&body));
        let detail = answer.await?.problem(409, "conflict")?.to_owned();
        check!(
            detail.contains("wxhost:bot/bot") && detail.contains("wxhost:callback/callback"),
            "{scope}: {detail}"
        );
    }
    host.bind("%2Acallback", "gate").await?;
    assert_eq!(
        api.get("/bindings").await?["items"],
        json!([{"account": "*callback", "handler": "gate"}])
    );
    // Nor does a bot come in under the name of what is bound.
    let replaced = api.deploy("gate", guests::bytes("echo")?).await?;
    replaced.problem(409, "conflict")?;
    let login = host.wehub("wxid_a")?.try_login().await?;
    login.ok()?;
    host.end().await
}

#[tokio::test]
async fn the_command_line_binds_and_lists_it() -> Result<()> {
    let host = Host::start().await?;
    host.deploy("gate", &guests::path("gatekeeper")?).await?;
    let text = |output: &std::process::Output| {
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    };
    let show = text(&host.cli(&["handler", "show", "gate"]).await?);
    check!(show.contains("bind gate --callback"), "{show}");
    let bound = host.cli(&["handler", "bind", "gate", "--callback"]).await?;
    check!(
        bound.status.success() && text(&bound).contains("the callback itself"),
        "{bound:?}"
    );
    let list = text(&host.cli(&["handler", "list"]).await?);
    check!(list.contains("*callback"), "{list}");
    let both = ["handler", "bind", "gate", "--callback", "--account", "*"];
    check!(!host.cli(&both).await?.status.success(), "one of the two");
    let neither = ["handler", "bind", "gate"];
    check!(
        !host.cli(&neither).await?.status.success(),
        "one of the two"
    );
    let unbound = host.cli(&["handler", "unbind", "--callback"]).await?;
    check!(unbound.status.success(), "{unbound:?}");
    host.end().await
}
