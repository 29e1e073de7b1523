//! The pace of an account, and a bot that talks to another bot.

use reqwest::Method;
use wxhost_tests::{Host, Result, check, host::Settings, wehub::Ack};

#[tokio::test]
async fn what_goes_beyond_the_pace_waits_and_is_not_dropped() -> Result<()> {
    let settings = Settings::default()
        .set("pacing.account_per_minute", 40)
        .set("pacing.account_burst", 2)
        .set("pacing.conversation_per_minute", 0);
    let host = Host::with(settings).await?;
    host.serve_guest("*", "echo").await?;
    let a = host.wehub("wxid_a")?.login().await?;
    for text in ["one", "two"] {
        a.text_from("wxid_bob", text).await?.says(text)?;
    }
    for text in ["three", "four"] {
        a.text_from("wxid_bob", text).await?.silent()?;
    }
    let mut waited = 0;
    for text in ["three", "four"] {
        let ack = loop {
            let ack: Ack = a.pull_task().await?;
            if ack.task_id.is_some() {
                break ack;
            }
            waited += 1;
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        };
        ack.says(text)?.to("wxid_bob")?;
    }
    check!(waited > 5, "they did not wait");
    host.end().await
}

#[tokio::test]
async fn two_bots_are_parted_until_an_operator_or_time_lets_them_talk_again() -> Result<()> {
    let settings = Settings::default()
        .unpaced()
        .set("pacing.guard_replies", 4)
        .set("pacing.guard_pause_ms", 1_500);
    let host = Host::with(settings).await?;
    host.serve_guest("*", "echo").await?;
    let api = host.api()?;
    let a = host.wehub("wxid_a")?.login().await?;
    for round in 0..4 {
        a.text_from("wxid_bot", &round.to_string())
            .await?
            .says(&round.to_string())?;
    }
    let message = a.text("wxid_bot", "and again");
    a.deliver(&message).await?.silent()?;
    let event = api
        .get(&format!("/accounts/wxid_a/events/msg-{}", message.id()))
        .await?;
    assert_eq!(event["outcome"], "paused");
    // Others are answered as ever.
    a.text_from("wxid_person", "hello").await?.says("hello")?;

    let pauses = api.get("/accounts/wxid_a/pauses").await?;
    assert_eq!(pauses["items"][0]["conversation"], "wxid_bot", "{pauses}");
    let lifted = api.request(Method::DELETE, "/accounts/wxid_a/pauses/wxid_bot", None);
    lifted.await?.ok()?;
    a.text_from("wxid_bot", "lifted").await?.says("lifted")?;

    for round in 0..3 {
        a.text_from("wxid_bot", &round.to_string())
            .await?
            .says(&round.to_string())?;
    }
    a.text_from("wxid_bot", "once more").await?.silent()?;
    tokio::time::sleep(std::time::Duration::from_millis(1_600)).await;
    a.text_from("wxid_bot", "in time").await?.says("in time")?;
    let pauses = api.get("/accounts/wxid_a/pauses").await?;
    assert_eq!(
        pauses["items"].as_array().map(Vec::len),
        Some(0),
        "{pauses}"
    );
    host.end().await
}
