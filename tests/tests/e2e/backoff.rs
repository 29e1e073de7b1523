//! Pauses of a handler that goes on failing become longer, up to the longest.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use wxhost_tests::{Host, Result, WehubClient, check, host::Settings, poll};

/// How long the first pause is at the most, in ms.
const FIRST_MS: u64 = 300;
/// No pause is longer, in ms.
const LONGEST_MS: u64 = 1_200;
/// How much shorter a pause is by chance at the most, in percent.
const JITTER_PERCENT: u64 = 20;
/// How long the longest pause may take to end on a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// A text that is too long for the bot to answer: its call fails.
const TOO_LONG: usize = 12_000;

fn now_ms() -> Result<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(u64::try_from(since.as_millis())?)
}

/// The pause of the conversation that fails, if there is one.
async fn pause(host: &Host) -> Result<Value> {
    let pauses = host.api()?.get("/handlers/echo/pauses").await?;
    Ok(pauses["items"][0]["conversations"][0]["pause"].clone())
}

/// Has the bot fail until the so-many-th pause in a row begins; gives when the failing
/// message was sent and was answered, and the pause.
async fn begin(host: &Host, client: &WehubClient, number: u64) -> Result<(u64, u64, Value)> {
    poll::until("the next pause", SOON, async || {
        let sent_ms = now_ms()?;
        let long = "x".repeat(TOO_LONG);
        client.text_from("wxid_bob", &long).await?.silent()?;
        let answered_ms = now_ms()?;
        let pause = pause(host).await?;
        Ok((pause["pauses"] == number).then_some((sent_ms, answered_ms, pause)))
    })
    .await
}

#[tokio::test]
async fn each_pause_is_twice_as_long_as_the_one_before_up_to_the_longest() -> Result<()> {
    let settings = Settings::default()
        .unpaced()
        .limit("call_effects_bytes", 8_000)
        .limit("failures_in_a_row", 1)
        .limit("failing_pause_ms", FIRST_MS)
        .limit("failing_pause_max_ms", LONGEST_MS);
    let host = Host::with(settings).await?;
    host.serve_guest("*", "echo").await?;
    let a = host.wehub("wxid_a")?.login().await?;
    let mut since = Value::Null;
    for (number, whole_ms) in [(1, 300), (2, 600), (3, 1_200), (4, 1_200)] {
        let (sent_ms, answered_ms, pause) = begin(&host, &a, number).await?;
        let until_ms = pause["until_ms"].as_u64().unwrap_or_default();
        // It began between the message and its answer.
        let at_least = until_ms.saturating_sub(answered_ms);
        let at_most = until_ms.saturating_sub(sent_ms);
        check!(
            at_least <= whole_ms,
            "pause {number} is longer than {whole_ms} ms: {pause}, {sent_ms} to {answered_ms}"
        );
        check!(
            at_most >= whole_ms * (100 - JITTER_PERCENT) / 100,
            "pause {number} is shorter than {whole_ms} ms: {pause}, {sent_ms} to {answered_ms}"
        );
        // They are one row.
        check!(
            number == 1 || pause["since_ms"] == since,
            "{since}: {pause}"
        );
        since = pause["since_ms"].clone();
    }
    // One call that goes well ends it, and the next failure begins anew.
    poll::until("an answer", SOON, async || {
        let ack = a.text_from("wxid_bob", "well").await?;
        Ok(ack.says("well").is_ok().then_some(()))
    })
    .await?;
    assert_eq!(pause(&host).await?, Value::Null);
    let (.., anew) = begin(&host, &a, 1).await?;
    check!(
        anew["since_ms"].as_u64() > since.as_u64(),
        "{since}: {anew}"
    );
    host.end().await
}
