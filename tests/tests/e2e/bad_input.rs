//! Input that no client sends: each gets an answer that says what is wrong, and
//! nothing else happens.

use std::time::Duration;

use serde_json::{Value, json};
use wxhost_tests::{
    Context, Host, Result, WehubClient, check,
    host::Settings,
    http::{Connection, Target},
    poll,
};

/// More than the largest body that is taken, in bytes, by more than what fits
/// into the buffers on the way.
const TOO_LARGE: usize = 33 * 1024 * 1024;

/// A host with a bot that counts, and an account with some state.
async fn busy_host() -> Result<(Host, WehubClient)> {
    let settings = Settings::default().accounts(&["wxid_a", "wxid_b"]);
    let host = Host::with(settings).await?;
    host.serve_guest("*", "echo").await?;
    host.configure("echo", json!({"count": "true"})).await?;
    let a = host.wehub("wxid_a")?.login().await?;
    a.text_from("wxid_bob", "hi").await?.says("hi")?;
    Ok((host, a))
}

/// Nothing changed, and the account is served as before.
async fn unharmed(host: &Host, a: &WehubClient, before: &Value) -> Result<()> {
    let after = host.api()?.snapshot().await?;
    check!(after == *before, "changed from {before:#} to {after:#}");
    let counted = host.api()?.value("wxid_a", "echo", "messages").await?;
    assert_eq!(counted.as_deref(), Some("1"), "the bot was reached");
    a.text_from("wxid_bob", "still there?")
        .await?
        .says("still there?")?;
    Ok(())
}

#[tokio::test]
async fn bodies_that_are_no_event() -> Result<()> {
    let (host, a) = busy_host().await?;
    let before = host.api()?.snapshot().await?;
    let message = a.text("wxid_bob", "never to be taken").data();
    let whole = a.identity().envelope("report_new_msg", message).to_string();
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let mut invalid_utf8 = whole.clone().into_bytes();
    let place = whole.find("never").context("the text is there")?;
    invalid_utf8[place] = 0xFF;

    let bodies: [(&str, &[u8]); 10] = [
        ("nothing", b""),
        ("no JSON", b"action=report_new_msg&wxid=wxid_a"),
        ("broken JSON", b"{\"action\": \"pull_task\",}"),
        ("half a body", &whole.as_bytes()[..whole.len() / 2]),
        ("two bodies", b"{\"action\": \"pull_task\"}{}"),
        ("an array", b"[{\"action\": \"pull_task\"}]"),
        ("a text", b"\"pull_task\""),
        ("null", b"null"),
        ("invalid UTF-8", &invalid_utf8),
        ("nested too deep", deep.as_bytes()),
    ];
    for (name, body) in bodies {
        let ack = a.send_raw(body).await.context(name)?.ack("");
        ack.context(name)?.refused("").context(name)?;
    }
    unharmed(&host, &a, &before).await?;
    host.end().await
}

/// An event of wxid_a with one field set, or removed when the value is null.
fn changed(a: &WehubClient, action: &str, data: Value, path: &str, value: Value) -> Result<Value> {
    let mut body = a.identity().envelope(action, data);
    let (parent, name) = path.rsplit_once('/').context("a path")?;
    let parent = body.pointer_mut(parent).and_then(Value::as_object_mut);
    let parent = parent.context("a path that is there")?;
    match value {
        Value::Null => parent.remove(name),
        value => parent.insert(name.to_owned(), value),
    };
    Ok(body)
}

#[tokio::test]
async fn fields_that_are_missing_or_of_a_wrong_type() -> Result<()> {
    let (host, a) = busy_host().await?;
    let before = host.api()?.snapshot().await?;
    let cases = [
        ("/action", json!(null), "action"),
        ("/action", json!(7), "action"),
        ("/action", json!(""), "action"),
        ("/appid", json!(null), "appid"),
        ("/appid", json!(""), "appid"),
        ("/appid", json!({"a": 1}), "appid"),
        ("/appid", json!("app-unknown"), "appid"),
        ("/wxid", json!(null), "wxid"),
        ("/wxid", json!(""), "wxid"),
        ("/wxid", json!(["wxid_a"]), "wxid"),
        ("/wxid", json!("a b\n"), "wxid"),
        ("/wxid", json!("wxid_stranger"), "wxid_stranger"),
        ("/data", json!("text"), "data"),
        ("/data", json!([1]), "data"),
        ("/data/msg", json!(null), "msg"),
        ("/data/msg", json!("hi"), "msg"),
        ("/data/msg/msg_type", json!({"n": 1}), "msg_type"),
        ("/data/msg/msg_id", json!([1]), "msg_id"),
        ("/data/msg/wxid_from", json!({}), "wxid_from"),
        ("/data/msg/room_wxid", json!([]), "room_wxid"),
        ("/data/msg/msg", json!({"a": 1}), "msg"),
        ("/data/msg/atUserList", json!("wxid_a"), "atUserList"),
    ];
    for (path, value, word) in cases {
        let name = format!("{path} = {value}");
        let message = a.text("wxid_bob", "never to be taken").data();
        let body = changed(&a, "report_new_msg", message, path, value)?;
        let answer = a.send_raw(body.to_string().as_bytes()).await?;
        let ack = answer.ack(body["action"].as_str().unwrap_or_default());
        ack.context(&name)?.refused(word).context(&name)?;
    }
    unharmed(&host, &a, &before).await?;
    host.end().await
}

#[tokio::test]
async fn results_that_are_none_leave_the_task_as_it_is() -> Result<()> {
    let (host, a) = busy_host().await?;
    let api = host.api()?;
    let action = json!({"action": "remove-friend", "user": "wxid_bob"});
    let asked = api.ask("wxid_a", &action, None).await?;
    assert_eq!(asked.status, 202, "{asked:?}");
    let pulled = a.pull_task().await?.ok()?.task_id.clone();
    let task = pulled.context("a task was handed out")?;
    let before = api.task(&task).await?;
    assert_eq!(before["state"], "handed-out");
    for (path, value, word, code) in [
        ("/data/task_id", json!(null), "task_id", 1),
        ("/data/task_id", json!({}), "task_id", 1),
        ("/data/task_id", json!("wxid_a-1"), "task_id", 6),
        ("/data/task_id", json!("../../etc"), "task_id", 6),
        ("/data/task_result", json!("maybe"), "data.task_result", 1),
        ("/data/task_result", json!(2), "data.task_result", 1),
        ("/data/task_result", json!(null), "data.task_result", 1),
    ] {
        let name = format!("{path} = {value}");
        let result = json!({"task_id": task, "task_result": 1, "error_reason": ""});
        let body = changed(&a, "report_task_result", result, path, value)?;
        let ack = a.send_json(&body).await?;
        ack.refused(word).context(&name)?;
        assert_eq!(ack.error_code, code, "{name}");
        assert_eq!(api.task(&task).await?, before, "{name}");
    }
    a.task_result(&task, None).await?.ok()?;
    assert_eq!(api.task(&task).await?["state"], "done");
    host.end().await
}

#[tokio::test]
async fn accounts_that_are_not_let_in() -> Result<()> {
    let (host, a) = busy_host().await?;
    let before = host.api()?.snapshot().await?;
    let stranger = host.wehub("wxid_stranger")?;
    stranger.try_login().await?.refused("wxid_stranger")?;
    stranger
        .text_from("wxid_bob", "hi")
        .await?
        .refused("wxid_stranger")?;
    stranger.pull_task().await?.refused("wxid_stranger")?;
    stranger.report_contact(3).await?.refused("wxid_stranger")?;
    stranger.logout().await?.refused("wxid_stranger")?;
    unharmed(&host, &a, &before).await?;
    host.end().await
}

/// Sends this head and body and returns the answer's status; 0 when the host
/// ended the connection instead.
async fn status_of(target: &Target, head: &str, body: &[u8], whole: bool) -> Result<u16> {
    let mut connection = Connection::open(&target.address).await?;
    connection.send(head.as_bytes()).await?;
    for part in body.chunks(64 * 1024) {
        // The host may answer, and close, before it has read everything.
        if connection.send(part).await.is_err() {
            break;
        }
    }
    if !whole {
        connection.finish_sending().await?;
    }
    poll::within("a refusal", Duration::from_secs(10), async {
        Ok(connection.receive().await.map_or(0, |reply| reply.status))
    })
    .await
}

#[tokio::test]
async fn what_transport_refuses() -> Result<()> {
    let (host, a) = busy_host().await?;
    let before = host.api()?.snapshot().await?;
    let target = Target::parse(&host.callback_url()?)?;

    // A client that sends all before it reads gets its answer all the same.
    let body = vec![b' '; TOO_LARGE];
    let mut connection = Connection::open(&target.address).await?;
    let head = target.head("POST", "", body.len());
    connection.send(head.as_bytes()).await?;
    connection.send(&body).await.context("sending it all")?;
    let status = connection.receive().await?.status;
    assert_eq!(status, 413, "a body that is too large");

    let head = target.head("POST", "", TOO_LARGE);
    let status = status_of(&target, &head, b"", true).await?;
    assert_eq!(status, 413, "a body that is announced too large");

    let message = a.text("wxid_bob", "never to be taken").data();
    let body = a.identity().envelope("report_new_msg", message).to_string();
    let head = target.head("POST", "", body.len());
    let half = &body.as_bytes()[..body.len() / 2];
    let status = status_of(&target, &head, half, false).await?;
    assert_ne!(status, 200, "a connection that ends within the body");

    let head = target.head("PUT", "", body.len());
    let status = status_of(&target, &head, body.as_bytes(), true).await?;
    assert_eq!(status, 405, "another method");

    unharmed(&host, &a, &before).await?;
    host.end().await
}

#[tokio::test]
async fn a_charset_or_none_is_all_the_same() -> Result<()> {
    let (host, a) = busy_host().await?;
    let target = Target::parse(&host.callback_url()?)?;
    for content_type in [
        "",
        "Content-Type: text/plain\r\n",
        "Content-Type: nonsense\r\n",
    ] {
        let body = a.identity().envelope("pull_task", json!({})).to_string();
        let head = target.head("POST", content_type, body.len());
        let status = status_of(&target, &head, body.as_bytes(), true).await?;
        assert_eq!(status, 200, "{content_type:?}");
    }
    host.end().await
}
