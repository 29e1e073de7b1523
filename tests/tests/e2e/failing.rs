//! A handler that keeps failing for an account is paused there.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use wxhost_tests::{Context, Host, Result, check, guests, host::Settings, poll, wehub::Message};

/// How long a pause may take to end, and what waits to be run.
const SOON: Duration = Duration::from_secs(20);
/// A text that is too long for the bot to answer: its call fails.
const TOO_LONG: usize = 12_000;

fn settings() -> Settings {
    Settings::default()
        .unpaced()
        .limit("call_effects_bytes", 8_000)
        .limit("failures_in_a_row", 3)
}

/// Messages that its bot fails at, as many as it takes, from as many people.
async fn fail_three_times(client: &wxhost_tests::WehubClient) -> Result<()> {
    fail_for(client, &["wxid_bob", "wxid_cleo", "wxid_dora"]).await
}

/// A message that its bot fails at from each of these.
async fn fail_for(client: &wxhost_tests::WehubClient, people: &[&str]) -> Result<()> {
    for person in people {
        let long = "x".repeat(TOO_LONG);
        client.text_from(person, &long).await?.silent()?;
    }
    Ok(())
}

/// A bot whose events wait while it fails.
async fn serve_patient_echo(host: &Host) -> Result<()> {
    let waits = json!({"manifest": {"when_failing": "wait"}});
    let echo = guests::bytes("echo")?;
    let deployed = host.api()?.deploy_with("echo", echo, &waits).await?;
    deployed.ok()?;
    host.bind("*", "echo").await?;
    Ok(())
}

/// What the bot has said, the oldest first, once it is so many texts.
async fn answers(host: &Host, count: usize) -> Result<Vec<String>> {
    let api = host.api()?;
    let all = async || {
        let tasks = api.tasks("wxid_a").await?;
        Ok((tasks.len() >= count).then_some(tasks))
    };
    let tasks = poll::until("what has waited", SOON, all).await?;
    let said = |task: &Value| {
        task["action"]["segments"][0]["text"]
            .as_str()
            .map(str::to_owned)
    };
    Ok(tasks.iter().rev().filter_map(said).collect())
}

async fn outcome(host: &Host, message: &Message) -> Result<String> {
    let path = format!("/accounts/wxid_a/events/{}", message.event_key());
    let event = host.api()?.get(&path).await?;
    Ok(event["outcome"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn events_pass_by_visibly_until_somebody_or_time_ends_the_pause() -> Result<()> {
    let host = Host::with(settings().limit("failing_pause_ms", 3_000)).await?;
    host.serve_guest("*", "echo").await?;
    let api = host.api()?;
    let a = host.wehub("wxid_a")?.login().await?;
    let b = host.wehub("wxid_b")?.login().await?;
    fail_three_times(&a).await?;
    let missed = a.text("wxid_bob", "hello");
    a.deliver(&missed).await?.silent()?;
    assert_eq!(outcome(&host, &missed).await?, "passed-by");
    // Others are answered as ever.
    b.text_from("wxid_bob", "hello").await?.says("hello")?;

    let pauses = api.get("/handlers/echo/pauses").await?;
    let pause = &pauses["items"][0];
    assert_eq!(pause["account"], "wxid_a", "{pauses}");
    assert_eq!(
        (
            &pause["failures"],
            &pause["passed_by"],
            &pause["pause"]["pauses"]
        ),
        (&json!(3), &json!(1), &json!(1))
    );
    assert_eq!(api.get("/handlers/echo").await?["paused_accounts"], 1);
    let listed = api.get("/handlers").await?;
    assert_eq!(listed["items"][0]["paused_accounts"], 1, "{listed}");
    let account = api.get("/accounts/wxid_a").await?;
    assert_eq!(account["failing"]["failures"], 3, "{account}");
    check!(
        host.log().contains("it keeps failing"),
        "no word in the log"
    );

    let shown = host.cli(&["handler", "pauses", "echo"]).await?;
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    check!(
        text.contains("wxid_a") && text.contains("resume echo"),
        "{text}"
    );
    let resume = ["handler", "resume", "echo", "--account", "wxid_a"];
    let resumed = host.cli(&resume).await?;
    check!(resumed.status.success(), "{resumed:?}");
    a.text_from("wxid_bob", "again").await?.says("again")?;
    assert_eq!(api.get("/handlers/echo").await?["paused_accounts"], 0);
    let again = host.cli(&resume).await?;
    check!(!again.status.success(), "{again:?}");

    fail_three_times(&a).await?;
    a.text_from("wxid_bob", "too soon").await?.silent()?;
    let ended = async || {
        let ack = a.text_from("wxid_bob", "in time").await?;
        Ok(ack.says("in time").is_ok().then_some(()))
    };
    poll::until("the pause's end", SOON, ended).await?;
    // A version that went well is no reason to pause, and a new one ends a pause.
    fail_three_times(&a).await?;
    a.text_from("wxid_bob", "paused").await?.silent()?;
    let other = json!({"manifest": {"own_messages": true}});
    api.deploy_with("echo", guests::bytes("echo")?, &other)
        .await?
        .ok()?;
    a.text_from("wxid_bob", "new").await?.says("new")?;
    host.end().await
}

#[tokio::test]
async fn what_waits_survives_kill_9_and_is_run_in_order_and_once() -> Result<()> {
    // Longer than the test.
    let mut host = Host::with(settings().limit("failing_pause_ms", 600_000)).await?;
    serve_patient_echo(&host).await?;
    host.configure("echo", json!({"count": "true"})).await?;
    let mut a = host.wehub("wxid_a")?.login().await?;
    fail_three_times(&a).await?;
    let texts = ["one", "two", "three", "four"];
    let messages: Vec<_> = texts.iter().map(|text| a.text("wxid_bob", text)).collect();
    for message in &messages {
        a.deliver(message).await?.silent()?;
        host.kill9().await?;
        host.start_again().await?;
        a = a.moved_to(&host.callback_url()?)?;
        // Said again, since the client may not have had its answer.
        a.deliver(message).await?.silent()?;
    }
    let path = "/handlers/echo/pauses/wxid_a";
    let api = host.api()?;
    let ended = api.request(Method::DELETE, path, None).await?.ok()?;
    assert_eq!(ended["waiting"]["events"], 4, "{ended}");
    host.kill9().await?;
    host.start_again().await?;
    a = a.moved_to(&host.callback_url()?)?;
    let api = host.api()?;
    assert_eq!(answers(&host, texts.len()).await?, texts);
    for message in &messages {
        assert_eq!(outcome(&host, message).await?, "handled");
        a.deliver(message).await?.silent()?;
    }
    assert_eq!(api.tasks("wxid_a").await?.len(), texts.len());
    let count = api.value("wxid_a", "echo", "messages").await?;
    let count: usize = count.context("nothing was counted")?.parse()?;
    assert_eq!(count, texts.len());
    for text in texts {
        a.pull_task().await?.says(text)?;
    }
    host.end().await
}

#[tokio::test]
async fn what_waits_runs_when_the_pause_ends_without_anything_new() -> Result<()> {
    let host = Host::with(settings().limit("failing_pause_ms", 2_000)).await?;
    serve_patient_echo(&host).await?;
    let a = host.wehub("wxid_a")?.login().await?;
    fail_three_times(&a).await?;
    let waits = a.text("wxid_bob", "waits");
    a.deliver(&waits).await?.silent()?;
    assert_eq!(outcome(&host, &waits).await?, "waiting");
    assert_eq!(answers(&host, 1).await?, ["waits"]);
    assert_eq!(outcome(&host, &waits).await?, "handled");
    a.pull_task().await?.says("waits")?;
    a.text_from("wxid_bob", "as ever").await?.says("as ever")?;
    host.end().await
}

#[tokio::test]
async fn one_person_pauses_the_bot_for_nobody_else() -> Result<()> {
    // Longer than the test.
    let mut host = Host::with(settings().limit("failing_pause_ms", 600_000)).await?;
    host.serve_guest("*", "echo").await?;
    let mut a = host.wehub("wxid_a")?.login().await?;
    // In private and in a group, as many as pause it in both.
    fail_for(&a, &["wxid_bob"; 5]).await?;
    let long = "x".repeat(TOO_LONG);
    for _ in 0..3 {
        a.group_text("1@chatroom", "wxid_bob", &long)
            .await?
            .silent()?;
    }
    a.text_from("wxid_bob", "hello").await?.silent()?;
    a.text_from("wxid_cleo", "hello").await?.says("hello")?;
    let group = a.group_text("2@chatroom", "wxid_bob", "hello").await?;
    group.says("@wxid_bob hello")?;
    host.kill9().await?;
    host.start_again().await?;
    a = a.moved_to(&host.callback_url()?)?;
    a.text_from("wxid_bob", "hello").await?.silent()?;
    a.text_from("wxid_cleo", "hello again")
        .await?
        .says("hello again")?;

    let api = host.api()?;
    let pauses = api.get("/handlers/echo/pauses").await?;
    let pause = &pauses["items"][0];
    assert_eq!(pause["pause"], Value::Null, "{pauses}");
    let alone = pause["conversations"].as_array().context("no list")?;
    let of = |name: &str| alone.iter().find(|it| it["conversation"] == name);
    let bob = of("wxid_bob").context("bob is not paused")?;
    // Two of the five, and two more, came while it was paused there.
    assert_eq!(
        (&bob["failures"], &bob["passed_by"]),
        (&json!(3), &json!(4))
    );
    check!(of("1@chatroom").is_some(), "{pauses}");
    assert_eq!(api.get("/handlers/echo").await?["paused_accounts"], 1);
    let shown = host.cli(&["handler", "pauses", "echo"]).await?;
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    check!(text.contains("wxid_bob"), "{text}");
    let shown = host.cli(&["account", "show", "wxid_a"]).await?;
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    check!(text.contains("paused in wxid_bob"), "{text}");

    let resume = ["handler", "resume", "echo", "--account", "wxid_a"];
    let resumed = host.cli(&resume).await?;
    check!(resumed.status.success(), "{resumed:?}");
    a.text_from("wxid_bob", "back").await?.says("back")?;
    host.end().await
}
