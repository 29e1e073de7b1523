//! Messages: what the bot is asked, what the client is answered, and that both
//! happen once.

use serde_json::json;
use tokio::task::JoinSet;
use wxhost_tests::{Context, Host, Result, check, guests, host::SECRET_KEY, wehub::Message};

use crate::fixtures::{self, ACCOUNT, FRIEND, GROUP};

/// Every message fixture and what echo answers: to whom, and what. None where
/// the account itself wrote.
const MESSAGES: [(&str, Option<(&str, &str)>); 17] = [
    ("msg-01-text-private", Some((FRIEND, "你好, hello 😀"))),
    ("msg-01-neighbour-types", Some((FRIEND, "数字成字符串"))),
    (
        "msg-01-text-group-mention",
        Some((GROUP, "@wxid_friend01 @Bill 在吗")),
    ),
    ("msg-01-text-own", None),
    ("msg-03-image", Some((FRIEND, "a picture"))),
    ("msg-10000-notice", Some((GROUP, "@wxid_friend01 a notice"))),
    ("msg-34-voice", Some((FRIEND, "a voice message"))),
    ("msg-42-card", Some((FRIEND, "a contact card"))),
    ("msg-43-video", Some((GROUP, "@wxid_friend01 a video"))),
    ("msg-47-emoji", Some((FRIEND, "a sticker"))),
    (
        "msg-49-group-invitation",
        Some((FRIEND, "an invitation to a group")),
    ),
    ("msg-49-link", Some((FRIEND, "a link"))),
    ("msg-4901-mini-program", Some((FRIEND, "a mini program"))),
    ("msg-4902-transfer-accepted", None),
    ("msg-4902-transfer-offered", Some((FRIEND, "a transfer"))),
    ("msg-4903-file", Some((FRIEND, "a file"))),
    ("msg-777-unknown-kind", Some((FRIEND, "something unknown"))),
];

/// Every other fixture that is taken without a word.
const SILENT: [&str; 14] = [
    "heartbeat-misspelt",
    "report_contact",
    "report_contact_update",
    "report_friend_add_request",
    "report_new_friend",
    "report_new_room",
    "report_room_member_change",
    "report_room_member_info",
    "report_user_info",
    "report_zoom_check_status",
    "unknown-action",
    "report_friend_removed",
    "report_room_removed",
    "pull_task",
];

#[tokio::test]
async fn every_fixture_is_answered() -> Result<()> {
    let host = Host::unpaced().await?;
    host.serve_guest("*", "echo").await?;
    let client = host.wehub(ACCOUNT)?.login().await?;
    for (name, wanted) in MESSAGES {
        let ack = client.send_json(&fixtures::message(name)?).await;
        let ack = ack.context(name)?;
        match wanted {
            Some((to, text)) => ack.says(text).and_then(|ack| ack.to(to)),
            None => ack.silent(),
        }
        .context(name)?;
    }
    for name in SILENT {
        let ack = client.send_json(&fixtures::read(name)?).await;
        ack.context(name)?.silent().context(name)?;
    }
    for name in ["report_task_result-done", "report_task_result-failed"] {
        let ack = client.send_json(&fixtures::read(name)?).await?;
        ack.refused("task_id").context(name)?;
    }
    let ack = client.send_json(&fixtures::read("logout")?).await?;
    ack.ok()?;
    assert_eq!(
        host.api()?.failures(ACCOUNT).await?,
        Vec::<serde_json::Value>::new()
    );
    assert!(!host.log().contains(SECRET_KEY));
    host.end().await
}

#[tokio::test]
async fn a_message_is_answered_and_recorded_once() -> Result<()> {
    let host = Host::unpaced().await?;
    host.serve_guest("*", "echo").await?;
    host.configure("echo", json!({"count": "true"})).await?;
    let a = host.wehub("wxid_a")?.login().await?;
    let b = host.wehub("wxid_b")?.login().await?;

    let message = a.text("wxid_bob", "hi");
    for _ in 0..3 {
        a.deliver(&message).await?.says("hi")?.to("wxid_bob")?;
    }
    // The same id of another account is another message.
    b.deliver(&message).await?.ok()?;

    let api = host.api()?;
    let event = api
        .get(&format!("/accounts/wxid_a/events/{}", message.event_key()))
        .await?;
    assert_eq!(event["outcome"], "handled");
    let tasks = api.tasks("wxid_a").await?;
    assert_eq!(tasks.len(), 1, "{tasks:?}");
    assert_eq!(event["tasks"], json!([tasks[0]["id"]]));
    assert_eq!(tasks[0]["state"], "unknown");
    assert_eq!(
        tasks[0]["action"],
        json!({"action": "send", "conversation": "wxid_bob", "segments": [{"text": "hi"}]})
    );
    let origin = json!({"bot": {"handler": "echo", "event": message.event_key()}});
    assert_eq!(tasks[0]["origin"], origin);
    for account in ["wxid_a", "wxid_b"] {
        let count = api.value(account, "echo", "messages").await?;
        assert_eq!(count.as_deref(), Some("1"), "{account}");
    }
    host.end().await
}

#[tokio::test]
async fn repeats_at_the_same_time_are_one_message() -> Result<()> {
    let host = Host::unpaced().await?;
    host.serve_guest("*", "echo").await?;
    host.configure("echo", json!({"count": "true"})).await?;
    let a = host.wehub("wxid_a")?.login().await?;
    for round in 1..=5 {
        let message = a.text("wxid_bob", &format!("round {round}"));
        let mut all = JoinSet::new();
        for twin in (0..8).map(|_| a.twin()) {
            let message = message.clone();
            all.spawn(async move { twin.deliver(&message).await });
        }
        while let Some(ack) = all.join_next().await {
            ack??.says(&format!("round {round}"))?;
        }
    }
    let api = host.api()?;
    assert_eq!(api.tasks("wxid_a").await?.len(), 5);
    let count = api.value("wxid_a", "echo", "messages").await?;
    assert_eq!(count.as_deref(), Some("5"));
    host.end().await
}

#[tokio::test]
async fn what_the_account_wrote_reaches_a_bot_only_if_it_asks() -> Result<()> {
    let host = Host::unpaced().await?;
    host.serve_guest("*", "probe").await?;
    let a = host.wehub("wxid_a")?.login().await?;
    let own = || Message::own("wxid_a", "wxid_bob", 1, json!({"msg": "from my phone"}));

    let config = json!({"report-to": "wxid_log"});
    host.configure("probe", config).await?;
    a.deliver(&own()).await?.silent()?;
    let granted = json!({"manifest": {"own_messages": true}});
    let probe = guests::bytes("probe")?;
    let deployed = host.api()?.deploy_with("probe", probe, &granted).await?;
    deployed.ok()?;
    let ack = a.deliver(&own()).await?;
    let texts = ack.ok()?.to("wxid_log")?.texts();
    check!(
        texts.len() == 1
            && texts[0].contains("from my phone")
            && texts[0].contains("outgoing: true"),
        "{texts:?}"
    );
    host.end().await
}

#[tokio::test]
async fn without_a_bot_a_message_is_recorded_and_silent() -> Result<()> {
    let host = Host::unpaced().await?;
    let a = host.wehub("wxid_a")?.login().await?;
    let message = a.text("wxid_bob", "anybody there?");
    a.deliver(&message).await?.silent()?;
    let path = format!("/accounts/wxid_a/events/{}", message.event_key());
    assert_eq!(host.api()?.get(&path).await?["outcome"], "unhandled");
    // It was settled: a bot that comes later is not asked about it.
    host.serve_guest("*", "echo").await?;
    a.deliver(&message).await?.silent()?;
    a.text_from("wxid_bob", "hello").await?.says("hello")?;
    host.end().await
}

#[tokio::test]
async fn the_javascript_bot_answers_by_keywords() -> Result<()> {
    let Some(faq) = guests::javascript("faq")? else {
        return Ok(());
    };
    let host = Host::unpaced().await?;
    host.deploy("faq", &faq).await?;
    let config = json!({"faq.opening hours": "9 to 5", "faq.hours": "24", "fallback": "Pardon?"});
    host.configure("faq", config).await?;
    host.bind("wxid_a", "faq").await?;
    let a = host.wehub("wxid_a")?.login().await?;
    a.text_from("wxid_bob", "Your Opening Hours?")
        .await?
        .says("9 to 5")?;
    a.text_from("wxid_bob", "什么").await?.says("Pardon?")?;
    a.text_from("wxid_bob", "stats")
        .await?
        .says("You have asked 2 times.")?;
    a.text_from("wxid_eve", "stats")
        .await?
        .says("You have asked 0 times.")?;
    host.end().await
}
