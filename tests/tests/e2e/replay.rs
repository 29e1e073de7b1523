//! Running recorded events against a version.

use std::process::Output;

use reqwest::Method;
use serde_json::json;
use wxhost_tests::{Host, Result, check, guests};

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn a_version_is_held_against_what_was_sent() -> Result<()> {
    let host = Host::unpaced().await?;
    host.serve_guest("*", "echo").await?;
    host.configure("echo", json!({"count": "true"})).await?;
    let api = host.api()?;
    let a = host.wehub("wxid_a")?.login().await?;
    for said in ["one", "two", "three"] {
        a.text_from("wxid_bob", said).await?.says(said)?;
    }
    let some = json!({"rollout": {"accounts": ["wxid_z"]}});
    for guest in ["probe", "trap"] {
        let component = guests::bytes(guest)?;
        api.deploy_with("echo", component, &some).await?.ok()?;
    }
    let before = api.snapshot().await?;

    let replay = [
        "handler", "invoke", "echo", "--replay", "wxid_a", "--last", "3",
    ];
    let same = host.cli(&replay).await?;
    check!(same.status.code() == Some(0), "{same:?}");
    let shown = text(&same);
    check!(
        shown.contains("3 events against version 1: 3 same, 0 differ, 0 fail"),
        "{shown}"
    );
    let differs = host
        .cli(&[&replay[..], &["--version", "2"]].concat())
        .await?;
    check!(differs.status.code() == Some(1), "{differs:?}");
    let shown = text(&differs);
    for words in [
        "- sent",
        "+ would send",
        "three",
        "handled by echo 1",
        "3 differ",
    ] {
        check!(shown.contains(words), "{words}: {shown}");
    }
    let request = json!({"account": "wxid_a", "version": 3, "last": 2});
    let fails = api.post("/handlers/echo/replay", &request).await?;
    assert_eq!(fails["items"].as_array().map(Vec::len), Some(2), "{fails}");
    assert_eq!(fails["items"][1]["verdict"], "fails");
    assert_eq!(fails["items"][1]["failure"]["kind"], "trap");
    // Several at a time wait for each other.
    let newer = [&replay[..], &["--version", "2"]].concat();
    let (one, two, three) = tokio::join!(host.cli(&newer), host.cli(&newer), host.cli(&replay));
    for (output, code) in [(one?, 1), (two?, 1), (three?, 0)] {
        check!(output.status.code() == Some(code), "{output:?}");
    }
    let json = host.cli(&[&replay[..], &["--json"]].concat()).await?;
    let view: serde_json::Value = serde_json::from_slice(&json.stdout)?;
    assert_eq!(view["items"][0]["actions"][0]["sign"], "same", "{view}");

    // Nothing of it was done.
    assert_eq!(api.snapshot().await?, before);
    let count = api.value("wxid_a", "echo", "messages").await?;
    assert_eq!(count.as_deref(), Some("3"));
    host.end().await
}

#[tokio::test]
async fn what_can_not_be_replayed_is_named() -> Result<()> {
    let host = Host::unpaced().await?;
    host.serve_guest("*", "echo").await?;
    let api = host.api()?;
    let none = host
        .cli(&["handler", "invoke", "echo", "--replay", "nobody"])
        .await?;
    check!(!none.status.success(), "{none:?}");
    host.wehub("wxid_a")?.login().await?;
    for (body, field) in [
        (json!({"account": "wxid_a", "last": 501}), "last"),
        (json!({"account": "wxid_a", "last": 0}), "last"),
        (json!({"last": 1}), "account"),
    ] {
        let answer = api.request(Method::POST, "/handlers/echo/replay", Some(&body));
        let answer = answer.await?;
        let problem = answer.problem(400, "bad-request")?;
        check!(problem.contains(field), "{body}: {problem}");
    }
    host.end().await
}
