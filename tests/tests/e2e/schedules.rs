//! Schedules by the clock: one comes due by itself, and one that was missed comes once.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use wxhost_tests::{Context, Host, Result, check, guests, poll};

/// How long it may take to the next minute, and a busy machine to notice.
const A_MINUTE: Duration = Duration::from_secs(90);
/// How long what is missed may take to come after the start.
const SOON: Duration = Duration::from_secs(20);
/// With less left of the minute than this, in ms, a host could not be killed in time: then
/// the next one is taken.
const PREPARED_MS: u64 = 5_000;
const MINUTE_MS: u64 = 60_000;

fn now_ms() -> Result<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(u64::try_from(since.as_millis())?)
}

/// A host with an account whose bot is called each minute.
async fn host() -> Result<Host> {
    let host = Host::unpaced().await?;
    let schedule = json!({"name": "minutely", "cron": "* * * * *", "payload": "tick"});
    let options = json!({"manifest": {"schedules": [schedule]}});
    let probe = guests::bytes("probe")?;
    let api = host.api()?;
    api.deploy_with("probe", probe, &options).await?.ok()?;
    host.configure("probe", json!({"report-to": "wxid_log"}))
        .await?;
    host.bind("*", "probe").await?;
    host.wehub("wxid_a")?.login().await?;
    Ok(host)
}

/// When the schedule comes next.
async fn next_ms(host: &Host) -> Result<u64> {
    let listed = host.api()?.get("/handlers/probe/schedules").await?;
    let next = listed["items"][0]["next_ms"].as_u64();
    next.context(format!("no next time in {listed}"))
}

/// The account's events of the schedule, as many as came for this minute: what the keys
/// end with.
async fn fired(host: &Host, due_ms: u64) -> Result<Vec<Value>> {
    let key = format!("schedule-probe:minutely-{due_ms}");
    let events = host.api()?.events("wxid_a").await?;
    Ok(events.into_iter().filter(|it| it["key"] == *key).collect())
}

/// All minutes that it fired for, in order.
async fn minutes(host: &Host) -> Result<Vec<u64>> {
    let events = host.api()?.events("wxid_a").await?;
    let keys = events.iter().filter_map(|event| event["key"].as_str());
    let dues = keys.filter_map(|key| key.strip_prefix("schedule-probe:minutely-"));
    let mut minutes = dues
        .map(|due| Ok(due.parse()?))
        .collect::<Result<Vec<u64>>>()?;
    minutes.sort_unstable();
    Ok(minutes)
}

/// Waits until its bot was called for this minute, and no sooner.
async fn until_fired(host: &Host, due_ms: u64, limit: Duration) -> Result<()> {
    let event = poll::until("the schedule's event", limit, async || {
        let mut fired = fired(host, due_ms).await?;
        let event = fired.pop();
        check!(
            event.is_none() || now_ms()? >= due_ms,
            "it fired before its time: {event:?}"
        );
        Ok(event.filter(|it| it["outcome"] == "handled"))
    });
    let event = event.await?;
    // The bot was told which, and has told of it: the task is there once.
    assert_eq!(event["tasks"].as_array().map(Vec::len), Some(1), "{event}");
    let task = event["tasks"][0].as_str().context("a task has no id")?;
    let task = host.api()?.task(task).await?;
    let text = task["action"]["segments"][0]["text"].as_str();
    let wanted = "Happening::Timer(TimerFired { id: \"schedule:minutely\", payload: \"tick\" })";
    assert_eq!(text, Some(wanted));
    Ok(())
}

async fn by_its_own_clock() -> Result<()> {
    let host = host().await?;
    let due_ms = next_ms(&host).await?;
    assert_eq!(due_ms % MINUTE_MS, 0);
    until_fired(&host, due_ms, A_MINUTE).await?;
    assert_eq!(next_ms(&host).await? % MINUTE_MS, 0);
    assert_eq!(fired(&host, due_ms).await?.len(), 1);
    host.end().await
}

async fn missed_while_it_was_killed() -> Result<()> {
    let mut host = host().await?;
    let due_ms = poll::until("time before the next minute", A_MINUTE, async || {
        let next_ms = next_ms(&host).await?;
        Ok((next_ms > now_ms()? + PREPARED_MS).then_some(next_ms))
    })
    .await?;
    host.kill9().await?;
    check!(now_ms()? < due_ms, "it was killed too late");
    poll::until("the next minute", A_MINUTE, async || {
        Ok((now_ms()? > due_ms).then_some(()))
    })
    .await?;
    host.start_again().await?;
    until_fired(&host, due_ms, SOON).await?;
    // Killed again, what was missed does not come again: the next one is another minute's.
    host.kill9().await?;
    host.start_again().await?;
    check!(next_ms(&host).await? > due_ms, "it comes again");
    // An earlier one may have come as well, on a machine that needed long.
    let mut since = minutes(&host).await?;
    since.retain(|it| *it >= due_ms);
    assert_eq!(since.first(), Some(&due_ms), "{since:?}");
    assert_eq!(fired(&host, due_ms).await?.len(), 1);
    // A minute that has come meanwhile is one as well.
    let most = 1 + usize::try_from((now_ms()? - due_ms) / MINUTE_MS)?;
    check!(since.len() <= most, "{since:?}");
    host.end().await
}

/// Both in one test: they wait for the same minute, and take one place of the runner.
#[tokio::test]
async fn a_schedule_comes_at_its_time_and_once_when_that_was_missed() -> Result<()> {
    tokio::try_join!(by_its_own_clock(), missed_while_it_was_killed())?;
    Ok(())
}
