//! Labels of accounts, and what serves those who have them.

use reqwest::Method;
use serde_json::{Value, json};
use wxhost_tests::{Host, Result, check};

use crate::author::{Desk, project};

/// What the probe or echo answers says which of them it was.
const ASKED: &str = "context.client-kind";

async fn answer(host: &Host, account: &str) -> Result<Vec<String>> {
    let client = host.wehub(account)?.login().await?;
    Ok(client.text_from("wxid_bob", ASKED).await?.ok()?.texts())
}

async fn labels(host: &Host, account: &str, change: &Value) -> Result<Value> {
    let path = format!("/accounts/{account}/labels");
    let api = host.api()?;
    let answer = api.request(Method::PATCH, &path, Some(change)).await?;
    Ok(answer.ok()?["labels"].clone())
}

async fn host_with_two_bots() -> Result<Host> {
    let host = Host::unpaced().await?;
    host.serve_guest("*", "echo").await?;
    host.serve_guest("label:shop", "probe").await?;
    Ok(host)
}

#[tokio::test]
async fn a_label_decides_which_bot_serves_from_the_next_event_on() -> Result<()> {
    let mut host = host_with_two_bots().await?;
    assert_eq!(answer(&host, "wxid_a").await?, [ASKED]);
    let given = labels(&host, "wxid_a", &json!({"add": ["shop", "desk-3"]})).await?;
    assert_eq!(given, json!(["desk-3", "shop"]));
    assert_eq!(answer(&host, "wxid_a").await?, ["ok wehub"]);
    let shown = host.api()?.get("/accounts/wxid_a").await?;
    assert_eq!(shown["labels"], given);
    assert_eq!(shown["handler"], "probe");

    // It may be known by its label before it has ever logged in, and is after a restart.
    labels(&host, "wxid_new", &json!({"add": ["shop"]})).await?;
    host.terminate().await?;
    host.start_again().await?;
    assert_eq!(answer(&host, "wxid_new").await?, ["ok wehub"]);

    // Its own binding goes before.
    host.bind("wxid_a", "echo").await?;
    assert_eq!(answer(&host, "wxid_a").await?, [ASKED]);
    host.api()?.delete("/bindings/wxid_a").await?;
    let left = labels(&host, "wxid_a", &json!({"remove": ["shop"]})).await?;
    assert_eq!(left, json!(["desk-3"]));
    assert_eq!(answer(&host, "wxid_a").await?, [ASKED]);
    host.end().await
}

#[tokio::test]
async fn labels_that_are_bound_to_different_bots_are_refused() -> Result<()> {
    let host = host_with_two_bots().await?;
    let api = host.api()?;
    host.bind("label:test", "echo").await?;
    let path = "/accounts/wxid_a/labels";
    let both = json!({"labels": ["shop", "test"]});
    let refused = api.request(Method::PUT, path, Some(&both)).await?;
    let text = refused.problem(409, "conflict")?.to_owned();
    for word in ["shop", "probe", "test", "echo"] {
        check!(text.contains(word), "{text}");
    }
    api.put(path, &json!({"labels": ["shop", "new"]})).await?;
    let binding = json!({"handler": "echo"});
    let refused = api.request(Method::PUT, "/bindings/label:new", Some(&binding));
    refused.await?.problem(409, "conflict")?;
    for bad in ["Shop", "a b", "", "-a", &"x".repeat(33)] {
        let labels = json!({"labels": [bad]});
        let refused = api.request(Method::PUT, path, Some(&labels)).await?;
        refused.problem(400, "bad-request")?;
    }
    let many: Vec<_> = (0..17).map(|n| format!("l{n}")).collect();
    let many = json!({"labels": many});
    let refused = api.request(Method::PUT, path, Some(&many)).await?;
    refused.problem(400, "bad-request")?;
    assert_eq!(api.get(path).await?, json!({"labels": ["new", "shop"]}));
    host.end().await
}

#[tokio::test]
async fn the_command_line_gives_labels_and_lists_by_them() -> Result<()> {
    let host = host_with_two_bots().await?;
    for account in ["wxid_a", "wxid_b"] {
        host.wehub(account)?.login().await?;
    }
    let run = async |args: &[&str]| -> Result<String> {
        let output = host.cli(args).await?;
        check!(output.status.success(), "{args:?}: {output:?}");
        Ok(String::from_utf8(output.stdout)?)
    };
    assert_eq!(
        run(&["account", "label", "wxid_a"]).await?.trim(),
        "no labels"
    );
    let given = run(&["account", "label", "wxid_a", "+shop", "+hot"]).await?;
    assert_eq!(given.trim(), "hot shop");
    let left = run(&["account", "label", "wxid_a", "-hot", "+vip"]).await?;
    assert_eq!(left.trim(), "shop vip");
    // What begins with two hyphens is a flag, wherever it stands.
    let json = run(&["account", "label", "wxid_a", "-gone", "+vip", "--json"]).await?;
    let json: Value = serde_json::from_str(&json)?;
    assert_eq!(json["labels"], json!(["shop", "vip"]));
    let listed = run(&["account", "list", "--label", "shop"]).await?;
    check!(
        listed.contains("wxid_a") && !listed.contains("wxid_b"),
        "{listed}"
    );
    check!(listed.contains("shop vip"), "{listed}");
    let shown = run(&["account", "show", "wxid_a"]).await?;
    check!(
        shown.contains("labels") && shown.contains("shop vip"),
        "{shown}"
    );
    host.end().await
}

#[tokio::test]
async fn handler_toml_binds_a_bot_to_those_with_a_label() -> Result<()> {
    let host = Host::unpaced().await?;
    let toml =
        "name = \"echo\"\ncomponent = \"echo.wasm\"\naccounts = [\"label:shop\", \"wxid_c\"]\n";
    let dir = project(&host, toml)?;
    let a = host.wehub("wxid_a")?.login().await?;
    let b = host.wehub("wxid_b")?.login().await?;
    let c = host.wehub("wxid_c")?.login().await?;
    labels(&host, "wxid_a", &json!({"add": ["shop"]})).await?;
    let mut desk = Desk { host: &host, dir };
    let said = desk.run("wxhost handler deploy").await?;
    check!(
        said.contains("label:shop (1 account, 1 logged in)"),
        "{said}"
    );
    check!(said.contains("wxid_c (logged in)"), "{said}");
    check!(!said.contains("warning"), "{said}");
    for served in [&a, &c] {
        served.text_from("wxid_bob", "hi").await?.says("hi")?;
    }
    b.text_from("wxid_bob", "hi").await?.silent()?;
    // Who gets the label later is served from then on.
    labels(&host, "wxid_b", &json!({"add": ["shop"]})).await?;
    b.text_from("wxid_bob", "hi").await?.says("hi")?;
    let again = desk.run("wxhost handler deploy").await?;
    check!(
        again.contains("label:shop (2 accounts, 2 logged in)"),
        "{again}"
    );
    host.end().await
}
