//! Trying a bot without effect.

use std::{fs, process::Stdio};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use wxhost_tests::{Context, Host, Result, check, guests};

use crate::cli::{complaint, json_of, printed, text};

fn said(text: &str) -> Value {
    json!({"message": {"author": "wxid_bob", "content": {"text": text}}})
}

async fn invoke(host: &Host, handler: &str, request: &Value) -> Result<Value> {
    let path = format!("/handlers/{handler}/invoke");
    host.api()?.post(&path, request).await
}

#[tokio::test]
async fn what_a_bot_would_do_is_shown_and_not_done() -> Result<()> {
    let host = Host::unpaced().await?;
    host.serve_guest("*", "echo").await?;
    host.configure("echo", json!({"count": "true"})).await?;
    let a = host.wehub("wxid_a")?.login().await?;
    a.text_from("wxid_bob", "one").await?.says("one")?;
    let tasks = host.api()?.tasks("wxid_a").await?.len();

    // The account's store is read: this would be its second message.
    let request = json!({"event": said("two"), "account": "wxid_a"});
    let shown = invoke(&host, "echo", &request).await?;
    assert_eq!(
        shown["actions"],
        json!([{"action": "send", "conversation": "wxid_bob", "segments": [{"text": "two"}]}])
    );
    assert_eq!(shown["key_values"][0]["key"], "messages");
    assert_eq!(shown["key_values"][0]["value_base64"], "Mg==");
    assert_eq!(
        (&shown["failure"], &shown["version"]),
        (&Value::Null, &json!(1))
    );
    check!(shown["used"]["memory_bytes"].as_u64() > Some(0), "{shown}");
    // Somebody who has nothing counts from one.
    let shown = invoke(&host, "echo", &json!({"event": said("two")})).await?;
    assert_eq!(shown["key_values"][0]["value_base64"], "MQ==");

    let api = host.api()?;
    assert_eq!(api.tasks("wxid_a").await?.len(), tasks);
    let count = api.value("wxid_a", "echo", "messages").await?;
    assert_eq!(count.as_deref(), Some("1"));
    let accounts = api.get("/accounts").await?;
    assert_eq!(
        accounts["items"].as_array().map(Vec::len),
        Some(1),
        "{accounts}"
    );
    host.end().await
}

#[tokio::test]
async fn a_version_that_fails_says_how_and_nothing_is_recorded() -> Result<()> {
    let host = Host::unpaced().await?;
    host.serve_guest("*", "echo").await?;
    let a = host.wehub("wxid_a")?.login().await?;
    let api = host.api()?;
    let some = json!({"rollout": {"accounts": ["wxid_b"]}});
    let trap = guests::bytes("trap")?;
    api.deploy_with("echo", trap, &some).await?.ok()?;
    let request = json!({"event": said("hello"), "account": "wxid_a", "version": 2});
    let shown = invoke(&host, "echo", &request).await?;
    assert_eq!(shown["failure"]["kind"], "trap");
    let message = shown["failure"]["message"].as_str().unwrap_or_default();
    check!(message.contains("#on-event"), "no backtrace: {message}");
    check!(
        shown["output"].to_string().contains("trapped on purpose"),
        "{shown}"
    );
    // By the share, its own version is another one.
    let request = json!({"event": said("hello"), "account": "wxid_a"});
    assert_eq!(invoke(&host, "echo", &request).await?["version"], 1);
    assert_eq!(api.failures("wxid_a").await?.len(), 0);
    assert_eq!(api.get("/handlers/echo").await?["rollout"]["calls"], 0);
    a.text_from("wxid_bob", "hello").await?.says("hello")?;
    host.end().await
}

#[tokio::test]
async fn what_is_no_event_is_named() -> Result<()> {
    let host = Host::start().await?;
    let api = host.api()?;
    api.deploy("echo", guests::bytes("echo")?).await?.ok()?;
    api.deploy("gate", guests::bytes("gatekeeper")?)
        .await?
        .ok()?;
    for (body, word) in [
        (json!({}), "event"),
        (json!({"event": {"mesage": {}}}), "mesage"),
        (json!({"event": {"message": {"txt": "hello"}}}), "txt"),
        (json!({"event": said("a"), "client": "fax"}), "fax"),
    ] {
        let answer = api
            .request(Method::POST, "/handlers/echo/invoke", Some(&body))
            .await?;
        let problem = answer.problem(400, "bad-request")?;
        check!(problem.contains(word), "{body}: {problem}");
    }
    let body = json!({"event": said("a")});
    let gate = api
        .request(Method::POST, "/handlers/gate/invoke", Some(&body))
        .await?;
    gate.problem(409, "conflict")?;
    let nobody = api
        .request(Method::POST, "/handlers/nobody/invoke", Some(&body))
        .await?;
    nobody.problem(404, "not-found")?;
    host.end().await
}

#[tokio::test]
async fn the_command_line_shows_it_in_words() -> Result<()> {
    let host = Host::start().await?;
    host.api()?
        .deploy("echo", guests::bytes("echo")?)
        .await?
        .ok()?;
    let shown = host
        .cli(&["handler", "invoke", "echo", "--text", "price?"])
        .await?;
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    check!(shown.status.success(), "{shown:?}");
    check!(
        text.contains("would do") && text.contains("price?"),
        "{text}"
    );
    check!(text.contains("nothing of it was done"), "{text}");
    host.end().await
}

#[tokio::test]
async fn the_command_line_takes_an_event_from_a_file_or_from_stdin() -> Result<()> {
    let host = Host::start().await?;
    let api = host.api()?;
    api.deploy("echo", guests::bytes("echo")?).await?.ok()?;
    let file = host.home().join("event.json");
    fs::write(&file, said("from a file").to_string())?;
    let file = file.to_str().context("a path in UTF-8")?;
    let invoke = ["handler", "invoke", "echo", "--event"];
    let shown = printed(&host, &[&invoke[..], &[file]].concat()).await?;
    check!(
        shown.contains("would do") && shown.contains("from a file"),
        "{shown}"
    );
    let shown = json_of(&host, &[&invoke[..], &[file]].concat()).await?;
    assert_eq!(
        shown["actions"][0]["segments"],
        json!([{"text": "from a file"}])
    );

    let mut command = host.command(&[&invoke[..], &["-", "--account", "wxid_a"]].concat());
    command
        .env("WXHOST_URL", format!("http://{}", host.address()?))
        .env("WXHOST_TOKEN", host.token()?)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().context("stdin")?;
    let pretty = serde_json::to_string_pretty(&said("from stdin"))?;
    stdin.write_all(pretty.as_bytes()).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    let shown = text(&output.stdout);
    check!(
        output.status.success() && shown.contains("from stdin"),
        "{shown}"
    );
    check!(shown.contains("nothing of it was done"), "{shown}");

    // What is no event, and no file, is named.
    for (content, word) in [
        ("{\"mesage\": {}}", "mesage"),
        ("{", "event.json is no event"),
    ] {
        fs::write(file, content)?;
        let why = complaint(&host, &[&invoke[..], &[file]].concat()).await?;
        check!(why.contains(word), "{content}: {why}");
    }
    let why = complaint(&host, &[&invoke[..], &["/no/such/event"]].concat()).await?;
    check!(why.contains("/no/such/event"), "{why}");
    host.end().await
}
