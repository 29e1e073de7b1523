//! Tasks that the API asks for and the client polls.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use wxhost_tests::{Host, Result, check, host::Settings, poll};

fn text_to(conversation: &str, text: &str) -> Value {
    json!({"action": "send", "conversation": conversation, "segments": [{"text": text}]})
}

#[tokio::test]
async fn a_task_is_asked_for_pulled_and_done() -> Result<()> {
    let host = Host::start().await?;
    let api = host.api()?;
    let a = host.wehub("wxid_a")?.login().await?;
    check!(a.pull_task().await?.ok()?.task_id.is_none(), "nothing yet");

    let asked = api
        .ask("wxid_a", &text_to("wxid_bob", "hi"), Some("k-1"))
        .await?;
    assert_eq!(asked.status, 202, "{asked:?}");
    let task = &asked.body["tasks"][0];
    assert_eq!(task["state"], "queued");
    assert_eq!(task["origin"], "api");
    let id = task["id"].as_str().unwrap_or_default();

    let pulled = a.pull_task().await?;
    pulled.says("hi")?.to("wxid_bob")?;
    assert_eq!(pulled.task_id.as_deref(), Some(id));
    assert_eq!(api.task(id).await?["state"], "handed-out");
    check!(
        a.pull_task().await?.task_id.is_none(),
        "it was handed out twice"
    );

    a.task_result(id, None).await?.ok()?;
    let ended = api.task(id).await?;
    assert_eq!(ended["state"], "done");
    for time in ["made_ms", "handed_out_ms", "ended_ms"] {
        assert!(ended[time].is_u64(), "{time} in {ended}");
    }
    a.task_result(id, Some("too late"))
        .await?
        .refused("task_id")?;
    assert_eq!(api.task(id).await?, ended);
    host.end().await
}

#[tokio::test]
async fn the_same_key_is_the_same_request() -> Result<()> {
    let host = Host::start().await?;
    let api = host.api()?;
    host.wehub("wxid_a")?.login().await?;
    host.wehub("wxid_b")?.login().await?;
    let body = json!({"tasks": [text_to("wxid_bob", "one"), text_to("wxid_bob", "two")]});

    let first = api.ask("wxid_a", &body, Some("k")).await?;
    let again = api.ask("wxid_a", &body, Some("k")).await?;
    assert_eq!((first.status, again.status), (202, 200));
    assert_eq!(first.body, again.body);
    let other = api
        .ask("wxid_a", &text_to("wxid_bob", "x"), Some("k"))
        .await?;
    other.problem(422, "key-reused")?;
    // Keys are an account's own, and without one nothing is a repeat.
    let elsewhere = api.ask("wxid_b", &body, Some("k")).await?;
    assert_eq!(elsewhere.status, 202);
    for _ in 0..2 {
        assert_eq!(api.ask("wxid_b", &body, None).await?.status, 202);
    }
    assert_eq!(api.tasks("wxid_a").await?.len(), 2);
    assert_eq!(api.tasks("wxid_b").await?.len(), 6);
    host.end().await
}

#[tokio::test]
async fn tasks_go_out_in_order_and_tell_how_they_ended() -> Result<()> {
    let host = Host::start().await?;
    let api = host.api()?;
    let a = host.wehub("wxid_a")?.login().await?;
    let b = host.wehub("wxid_b")?.login().await?;
    let mut ids = Vec::new();
    for text in ["one", "two", "three"] {
        ids.push(api.send_text("wxid_a", "wxid_bob", text).await?);
    }
    check!(
        b.pull_task().await?.task_id.is_none(),
        "another account's task"
    );
    for (id, text) in ids.iter().zip(["one", "two"]) {
        let pulled = a.pull_task().await?;
        assert_eq!(pulled.says(text)?.task_id.as_ref(), Some(id));
    }

    // Of another account, never issued, not yet handed out: all refused.
    b.task_result(&ids[0], None).await?.refused("task_id")?;
    a.task_result("wxid_a-999", None)
        .await?
        .refused("task_id")?;
    a.task_result("no id at all", None)
        .await?
        .refused("task_id")?;
    assert_eq!(api.task(&ids[0]).await?["state"], "handed-out");

    a.task_result(&ids[0], Some("not a friend")).await?.ok()?;
    let failed = api.task(&ids[0]).await?;
    assert_eq!(failed["state"], "failed");
    assert_eq!(failed["reason"], "not a friend");

    let newest = api.get("/accounts/wxid_a/tasks?limit=2").await?;
    assert_eq!(newest["items"][0]["id"], ids[2].as_str());
    assert_eq!(newest["items"].as_array().map(Vec::len), Some(2));
    assert!(newest["next"].is_u64(), "{newest}");
    let queued = api.get("/accounts/wxid_a/tasks?state=queued").await?;
    assert_eq!(queued["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(queued["items"][0]["id"], ids[2].as_str());
    host.end().await
}

#[tokio::test]
async fn actions_that_can_not_be_are_refused_by_name() -> Result<()> {
    let host = Host::start().await?;
    let api = host.api()?;
    host.wehub("wxid_a")?.login().await?;
    let invalid = [
        (text_to("", "hi"), "conversation"),
        (text_to("wxid_bob", ""), "text"),
        (json!({"action": "kick", "user": ""}), "user"),
        (
            json!({"action": "create-group", "users": ["wxid_b"]}),
            "users",
        ),
        (
            json!({"action": "accept-invitation", "url": "file:///x"}),
            "url",
        ),
        (json!({"action": "raw", "json": "[]"}), "json"),
    ];
    for (action, field) in invalid {
        let answer = api.ask("wxid_a", &action, None).await?;
        answer.problem(422, "invalid-action")?;
        assert_eq!(answer.body["field"], field, "{action}");
    }
    for action in [
        json!({"action": "recall", "message": "1"}),
        json!({"action": "stick", "conversation": "wxid_bob", "on": true}),
        json!({"action": "fetch-avatar", "user": "wxid_bob"}),
        json!({"action": "send", "conversation": "wxid_bob", "segments": [{"voice": {"url": "http://x/y"}}]}),
    ] {
        let answer = api.ask("wxid_a", &action, None).await?;
        answer.problem(422, "unsupported-action")?;
    }
    for body in [
        json!({}),
        json!([]),
        json!({"action": "dance"}),
        json!({"tasks": "x"}),
    ] {
        let status = api.ask("wxid_a", &body, None).await?.status;
        check!(matches!(status, 400 | 422), "{body}: {status}");
    }
    let stranger = api
        .ask("wxid_stranger", &text_to("wxid_bob", "hi"), None)
        .await?;
    stranger.problem(404, "not-found")?;
    assert_eq!(api.tasks("wxid_a").await?, Vec::<Value>::new());
    host.end().await
}

#[tokio::test]
async fn a_task_without_a_result_is_unknown_or_handed_out_again() -> Result<()> {
    let settings = Settings::default().set("tasks.result_ms", 300);
    let host = Host::with(settings).await?;
    let api = host.api()?;
    let a = host.wehub("wxid_a")?.login().await?;
    let once = api.send_text("wxid_a", "wxid_bob", "once").await?;
    assert_eq!(a.pull_task().await?.task_id.as_ref(), Some(&once));
    until_task(&host, &once, "unknown").await?;
    check!(a.pull_task().await?.task_id.is_none(), "it was sent again");
    // A result that comes late is still the truth.
    a.task_result(&once, None).await?.ok()?;
    assert_eq!(api.task(&once).await?["state"], "done");

    let path = "/accounts/wxid_a/tasks?delivery=at-least-once";
    let asked = api.post(path, &text_to("wxid_bob", "again")).await?;
    let again = asked["tasks"][0]["id"].as_str().unwrap_or_default();
    for _ in 0..3 {
        until_task(&host, again, "queued").await?;
        assert_eq!(a.pull_task().await?.task_id.as_deref(), Some(again));
    }
    until_task(&host, again, "unknown").await?;
    check!(a.pull_task().await?.task_id.is_none(), "a fourth time");
    host.end().await
}

#[tokio::test]
async fn a_task_expires_or_is_called_off_before_anybody_has_it() -> Result<()> {
    let host = Host::start().await?;
    let api = host.api()?;
    let a = host.wehub("wxid_a")?.login().await?;
    let path = "/accounts/wxid_a/tasks?expires_in_ms=1000";
    let asked = api.post(path, &text_to("wxid_bob", "soon")).await?;
    let soon = asked["tasks"][0]["id"].as_str().unwrap_or_default();
    until_task(&host, soon, "expired").await?;

    let off = api.send_text("wxid_a", "wxid_bob", "off").await?;
    let path = format!("/tasks/{off}");
    let task = api.request(Method::DELETE, &path, None).await?.ok()?;
    assert_eq!(task["state"], "cancelled");
    check!(a.pull_task().await?.task_id.is_none(), "it went out");
    let again = api.request(Method::DELETE, &path, None).await?;
    again.problem(409, "conflict")?;
    let listed = api.get("/accounts/wxid_a/tasks?state=cancelled").await?;
    assert_eq!(listed["items"][0]["id"], off.as_str());
    host.end().await
}

#[tokio::test]
async fn replies_go_through_the_queue_where_asked_and_the_bot_hears_how_they_ended() -> Result<()> {
    let settings = Settings::default().set("wehub.replies", "queued");
    let host = Host::with(settings).await?;
    host.serve_guest("*", "echo").await?;
    let a = host.wehub("wxid_a")?.login().await?;
    a.text_from("wxid_bob", "hello").await?.silent()?;
    let pulled = a.pull_task().await?;
    pulled.says("hello")?.to("wxid_bob")?;
    let id = pulled.task_id.unwrap_or_default();
    a.task_result(&id, Some("not a friend")).await?.ok()?;
    assert_eq!(host.api()?.task(&id).await?["state"], "failed");
    let events = host.api()?.events("wxid_a").await?;
    let told = |event: &&Value| {
        event["key"]
            .as_str()
            .is_some_and(|key| key.starts_with("task-ended"))
    };
    check!(
        events.iter().any(|event| told(&event)),
        "the bot was not told: {events:?}"
    );
    host.end().await
}

async fn until_task(host: &Host, id: &str, state: &str) -> Result<Value> {
    let what = format!("{id} is {state}");
    poll::until(&what, Duration::from_secs(10), async || {
        let task = host.api()?.task(id).await?;
        Ok((task["state"] == state).then_some(task))
    })
    .await
}
