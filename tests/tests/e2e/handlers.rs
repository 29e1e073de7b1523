//! Deploying, configuring, binding and removing bots.

use reqwest::Method;
use serde_json::{Value, json};
use wxhost_tests::{Host, Result, check, guests};

#[tokio::test]
async fn a_component_is_deployed_and_replaced() -> Result<()> {
    let host = Host::start().await?;
    let api = host.api()?;
    let echo = guests::bytes("echo")?;
    let first = api.deploy("first", echo.clone()).await?;
    assert_eq!(first.status, 201, "{first:?}");
    let handler = &first.body;
    assert_eq!(handler["name"], "first");
    assert_eq!(handler["size_bytes"], echo.len());
    let digest = handler["digest"].as_str().unwrap_or_default().to_owned();
    assert_eq!(digest.len(), 64);
    let world = handler["world"].as_str().unwrap_or_default();
    check!(world.contains("wxhost:bot"), "{handler}");
    let imports = handler["imports"].to_string();
    check!(imports.contains("wxhost:bot/chat"), "{imports}");
    assert_eq!(handler["config_keys"], json!([]));
    assert_eq!(handler["bindings"], json!([]));

    let same = api.deploy("first", echo).await?;
    assert_eq!((same.status, &same.body["digest"]), (200, &json!(digest)));
    let probe = api.deploy("first", guests::bytes("probe")?).await?;
    assert_eq!(probe.status, 200);
    assert_ne!(probe.body["digest"], digest);
    let listed = api.get("/handlers").await?;
    assert_eq!(listed["items"][0], api.get("/handlers/first").await?);

    // The new component is what runs.
    host.bind("*", "first").await?;
    let a = host.wehub("wxid_a")?.login().await?;
    a.text_from("wxid_bob", "context.client-kind")
        .await?
        .says("ok wehub")?;
    host.end().await
}

#[tokio::test]
async fn what_is_no_bot_is_refused_with_the_reason() -> Result<()> {
    let host = Host::start().await?;
    let api = host.api()?;
    let refused = [
        ("text", b"not a component".to_vec(), "component"),
        ("nothing", Vec::new(), "component"),
        ("a core module", b"\0asm\x01\0\0\0".to_vec(), "component"),
        ("half a bot", guests::bytes("echo")?[..20_000].to_vec(), ""),
        ("no handler", guests::bytes("wrong-world")?, "handler"),
        (
            "a stranger's import",
            guests::bytes("unknown-import")?,
            "elsewhere:unknown/oracle",
        ),
        (
            "one that fails at once",
            guests::bytes("fails-trial")?,
            "trapped at the trial",
        ),
    ];
    for (name, bytes, word) in refused {
        let answer = api.deploy("bot", bytes).await?;
        let detail = answer.problem(422, "unfit-component")?;
        check!(
            detail.contains(word),
            "{name}: {detail} does not name {word}"
        );
    }
    for name in ["Upper", "a_b", "-a", "%20"] {
        let answer = api.deploy(name, guests::bytes("echo")?).await?;
        answer.problem(400, "bad-request")?;
    }
    assert_eq!(api.get("/handlers").await?["items"], json!([]));
    host.end().await
}

#[tokio::test]
async fn a_binding_of_its_own_beats_the_one_of_all() -> Result<()> {
    let host = Host::start().await?;
    let api = host.api()?;
    host.serve_guest("*", "echo").await?;
    host.serve_guest("wxid_b", "probe").await?;
    let a = host.wehub("wxid_a")?.login().await?;
    let b = host.wehub("wxid_b")?.login().await?;
    let ask = "context.client-kind";
    a.text_from("wxid_bob", ask).await?.says(ask)?;
    b.text_from("wxid_bob", ask).await?.says("ok wehub")?;
    assert_eq!(
        api.get("/bindings").await?["items"],
        json!([{"account": "*", "handler": "echo"}, {"account": "wxid_b", "handler": "probe"}])
    );
    assert_eq!(api.get("/accounts/wxid_b").await?["handler"], "probe");

    api.delete("/bindings/wxid_b").await?;
    b.text_from("wxid_bob", ask).await?.says(ask)?;
    api.delete("/bindings/*").await?;
    b.text_from("wxid_bob", ask).await?.silent()?;
    assert_eq!(api.get("/accounts/wxid_b").await?["handler"], Value::Null);
    let gone = api.request(Method::DELETE, "/bindings/*", None).await?;
    gone.problem(404, "not-found")?;
    let unknown = json!({"handler": "nobody"});
    let answer = api
        .request(Method::PUT, "/bindings/*", Some(&unknown))
        .await?;
    answer.problem(404, "not-found")?;
    host.end().await
}

#[tokio::test]
async fn configuration_reaches_the_bot_and_nobody_else() -> Result<()> {
    let host = Host::start().await?;
    let api = host.api()?;
    host.serve_guest("*", "probe").await?;
    let a = host.wehub("wxid_a")?.login().await?;
    let secret = "s3cret-value-4411";
    let set = host
        .configure("probe", json!({"token": secret, "tone": "kind"}))
        .await?;
    assert_eq!(set, json!({"keys": ["token", "tone"]}));
    a.text_from("wxid_bob", "config.get token")
        .await?
        .says(&format!("ok {secret}"))?;
    let all = format!("ok token={secret},tone=kind");
    a.text_from("wxid_bob", "config.get-all")
        .await?
        .says(&all)?;

    let shown = [
        api.get("/handlers").await?,
        api.get("/handlers/probe").await?,
    ];
    for answer in shown {
        check!(!answer.to_string().contains(secret), "{answer}");
        check!(answer.to_string().contains("tone"), "{answer}");
    }
    check!(
        !host.log().contains(secret),
        "the log holds a configured secret"
    );
    for bad in [json!([]), json!({"n": 1}), json!("text"), json!(null)] {
        let path = "/handlers/probe/config";
        let answer = api.request(Method::PUT, path, Some(&bad)).await?;
        check!(answer.status == 400, "{bad}: {answer:?}");
    }
    // What is set replaces all that was, and a new component keeps it.
    host.configure("probe", json!({"tone": "curt"})).await?;
    host.deploy("probe", &guests::path("probe")?).await?;
    a.text_from("wxid_bob", "config.get-all")
        .await?
        .says("ok tone=curt")?;
    host.end().await
}

#[tokio::test]
async fn a_bot_in_use_is_not_removed() -> Result<()> {
    let host = Host::start().await?;
    let api = host.api()?;
    host.serve_guest("wxid_a", "echo").await?;
    let answer = api.request(Method::DELETE, "/handlers/echo", None).await?;
    let detail = answer.problem(409, "in-use")?;
    check!(detail.contains("wxid_a"), "{detail}");
    api.delete("/bindings/wxid_a").await?;
    api.delete("/handlers/echo").await?;
    for method in [Method::GET, Method::DELETE] {
        let answer = api.request(method, "/handlers/echo", None).await?;
        answer.problem(404, "not-found")?;
    }
    host.end().await
}
