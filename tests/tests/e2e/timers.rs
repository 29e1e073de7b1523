//! Timers that bots set, and the schedules of versions: they fire, once, also when the
//! host was killed in between.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::Method;
use serde_json::{Value, json};
use wxhost_tests::{Context, Host, Result, WehubClient, check, guests, poll};

/// How long a timer may take that is due: alarms are looked at four times a second.
const FIRES_WITHIN: Duration = Duration::from_secs(20);
/// How far ahead a timer is set that others come before: bot calls and a logout, on a busy
/// machine.
const AHEAD_MS: u64 = 5_000;

fn now_ms() -> Result<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(u64::try_from(since.as_millis())?)
}

/// A host whose accounts are served by the probe, which tells `wxid_log` of timers.
async fn host_with_probe(options: &Value) -> Result<Host> {
    let host = Host::unpaced().await?;
    let probe = guests::bytes("probe")?;
    host.api()?
        .deploy_with("probe", probe, options)
        .await?
        .ok()?;
    host.bind("*", "probe").await?;
    host.configure("probe", json!({"report-to": "wxid_log"}))
        .await?;
    Ok(host)
}

/// Has the bot do something; gives its answer.
async fn said(client: &WehubClient, words: &str) -> Result<String> {
    let ack = client.text_from("wxid_bob", words).await?;
    Ok(ack.ok()?.texts().join(""))
}

/// The next thing that the bot tells of.
async fn told(client: &WehubClient) -> Result<String> {
    let text = poll::until("a timer", FIRES_WITHIN, async || {
        let pulled = client.pull_task().await?;
        // Of the login it tells too.
        Ok(pulled
            .texts()
            .into_iter()
            .find(|text| text.starts_with("Happening::Timer(")))
    });
    text.await
}

fn fired(id: &str, payload: &str) -> String {
    format!("Happening::Timer(TimerFired {{ id: {id:?}, payload: {payload:?} }})")
}

async fn timers(host: &Host, account: &str) -> Result<Vec<Value>> {
    let path = format!("/accounts/{account}/timers");
    let list = host.api()?.get(&path).await?;
    Ok(list["items"].as_array().context("no items")?.clone())
}

/// How many events of timers the account had.
async fn firings(host: &Host, account: &str, key: &str) -> Result<usize> {
    let events = host.api()?.events(account).await?;
    let keys = events.iter().filter_map(|event| event["key"].as_str());
    Ok(keys.filter(|it| it.starts_with(key)).count())
}

#[tokio::test]
async fn a_timer_fires_and_one_that_is_cancelled_or_replaced_does_not() -> Result<()> {
    let host = host_with_probe(&json!({})).await?;
    let a = host.wehub("wxid_a")?.login().await?;
    let far = now_ms()? + 3_600_000;
    assert_eq!(said(&a, &format!("timers.set gone {far} x")).await?, "ok");
    assert_eq!(said(&a, &format!("timers.set tea {far} late")).await?, "ok");
    let listed = timers(&host, "wxid_a").await?;
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert_eq!(
        (&listed[1]["id"], &listed[1]["due_ms"]),
        (&json!("tea"), &json!(far))
    );
    assert_eq!(said(&a, "timers.cancel gone").await?, "ok true");
    assert_eq!(said(&a, "timers.cancel gone").await?, "ok false");
    let soon = now_ms()? + 300;
    assert_eq!(
        said(&a, &format!("timers.set tea {soon} soon")).await?,
        "ok"
    );
    assert_eq!(told(&a).await?, fired("tea", "soon"));
    // What is due in the past fires at once.
    assert_eq!(said(&a, "timers.set old 1 then").await?, "ok");
    assert_eq!(told(&a).await?, fired("old", "then"));
    assert_eq!(timers(&host, "wxid_a").await?, Vec::<Value>::new());
    assert_eq!(said(&a, "timers.list-timers").await?, "ok []");
    assert_eq!(firings(&host, "wxid_a", "timer-probe:").await?, 2);
    host.end().await
}

#[tokio::test]
async fn what_a_timer_can_not_be_is_said() -> Result<()> {
    let host = host_with_probe(&json!({})).await?;
    let a = host.wehub("wxid_a")?.login().await?;
    let beyond = now_ms()? + 367 * 24 * 3_600_000;
    for (words, problem) in [
        (format!("timers.set t {beyond} x"), "err bad-request due: "),
        (
            "timers.set schedule:t 1 x".to_owned(),
            "err bad-request id: ",
        ),
        (
            format!("timers.set {} 1 x", "i".repeat(129)),
            "err bad-request id: ",
        ),
        (
            format!("timers.set t 1 {}", "p".repeat(16_385)),
            "err bad-request payload: ",
        ),
    ] {
        let answer = said(&a, &words).await?;
        check!(answer.starts_with(problem), "{answer}");
    }
    assert_eq!(timers(&host, "wxid_a").await?, Vec::<Value>::new());
    host.end().await
}

#[tokio::test]
async fn a_timer_of_an_account_that_logged_out_waits_for_its_login() -> Result<()> {
    let mut host = host_with_probe(&json!({})).await?;
    let a = host.wehub("wxid_a")?.login().await?;
    let b = host.wehub("wxid_b")?.login().await?;
    let set = format!("timers.set tea {} x", now_ms()? + AHEAD_MS);
    assert_eq!(said(&a, &set).await?, "ok");
    a.logout().await?.ok()?;
    assert_eq!(said(&b, &set).await?, "ok");
    // Both were due: one fires, the other is still there.
    assert_eq!(told(&b).await?, fired("tea", "x"));
    assert_eq!(timers(&host, "wxid_a").await?.len(), 1);
    let fire = json!({"handler": "probe", "timer": "tea"});
    let api = host.api()?;
    let path = "/accounts/wxid_a/timers/fire";
    let refused = api.request(Method::POST, path, Some(&fire)).await?;
    refused.problem(409, "conflict")?;
    host.kill9().await?;
    host.start_again().await?;
    assert_eq!(firings(&host, "wxid_a", "timer-probe:").await?, 0);
    let a = host.wehub("wxid_a")?.login().await?;
    assert_eq!(told(&a).await?, fired("tea", "x"));
    assert_eq!(timers(&host, "wxid_a").await?, Vec::<Value>::new());
    assert_eq!(firings(&host, "wxid_a", "timer-probe:").await?, 1);
    host.end().await
}

#[tokio::test]
async fn what_comes_due_while_the_host_is_down_fires_once_after_it() -> Result<()> {
    let mut host = host_with_probe(&json!({})).await?;
    let a = host.wehub("wxid_a")?.login().await?;
    let due = now_ms()? + 1_500;
    for id in ["one", "two"] {
        assert_eq!(
            said(&a, &format!("timers.set {id} {due} missed")).await?,
            "ok"
        );
    }
    host.kill9().await?;
    poll::until("the timers' time", FIRES_WITHIN, async || {
        Ok((now_ms()? > due).then_some(()))
    })
    .await?;
    host.start_again().await?;
    let a = a.moved_to(&host.callback_url()?)?;
    let mut all = vec![told(&a).await?, told(&a).await?];
    all.sort();
    assert_eq!(all, [fired("one", "missed"), fired("two", "missed")]);
    // Killed again, nothing fires again.
    host.kill9().await?;
    host.start_again().await?;
    assert_eq!(firings(&host, "wxid_a", "timer-probe:").await?, 2);
    assert_eq!(timers(&host, "wxid_a").await?, Vec::<Value>::new());
    host.end().await
}

#[tokio::test]
async fn a_timer_of_a_handler_that_no_longer_serves_is_dropped() -> Result<()> {
    let host = host_with_probe(&json!({})).await?;
    let a = host.wehub("wxid_a")?.login().await?;
    let due = now_ms()? + 1_000;
    assert_eq!(said(&a, &format!("timers.set t {due} x")).await?, "ok");
    host.serve_guest("*", "echo").await?;
    host.api()?.delete("/handlers/probe").await?;
    poll::until("the timer's end", FIRES_WITHIN, async || {
        Ok(timers(&host, "wxid_a").await?.is_empty().then_some(()))
    })
    .await?;
    assert_eq!(firings(&host, "wxid_a", "timer-").await?, 0);
    host.end().await
}

fn yearly() -> Value {
    json!({"manifest": {"schedules": [
        {"name": "yearly", "cron": "0 8 1 1 *", "zone": "Asia/Shanghai", "payload": "happy new year"},
    ]}})
}

#[tokio::test]
async fn a_schedule_fires_for_each_account_that_is_served() -> Result<()> {
    let host = host_with_probe(&yearly()).await?;
    let api = host.api()?;
    let a = host.wehub("wxid_a")?.login().await?;
    let b = host.wehub("wxid_b")?.login().await?;
    let c = host.wehub("wxid_c")?.login().await?;
    host.serve_guest("wxid_c", "echo").await?;

    let listed = api.get("/handlers/probe/schedules").await?;
    let schedule = &listed["items"][0];
    assert_eq!(
        (&schedule["name"], &schedule["last_ms"]),
        (&json!("yearly"), &Value::Null)
    );
    check!(schedule["next_ms"].as_u64() > Some(now_ms()?), "{listed}");

    let path = "/handlers/probe/schedules/yearly/fire";
    let fired_for = api.post(path, &json!({})).await?;
    assert_eq!(fired_for, json!({"accounts": 2}));
    let happy = fired("schedule:yearly", "happy new year");
    assert_eq!(
        (told(&a).await?, told(&b).await?),
        (happy.clone(), happy.clone())
    );
    let fired_for = api.post(path, &json!({"account": "wxid_b"})).await?;
    assert_eq!(fired_for, json!({"accounts": 1}));
    assert_eq!(told(&b).await?, happy);
    assert_eq!(firings(&host, "wxid_a", "schedule-probe:yearly").await?, 1);
    assert_eq!(firings(&host, "wxid_c", "schedule-").await?, 0);
    check!(
        c.pull_task()
            .await?
            .texts()
            .iter()
            .all(|text| !text.starts_with("Happening::Timer(")),
        "nothing of the schedule for the echo"
    );

    let post = reqwest::Method::POST;
    let other = json!({"account": "wxid_c"});
    let other = api.request(post.clone(), path, Some(&other)).await?;
    other.problem(409, "conflict")?;
    let unknown = "/handlers/probe/schedules/daily/fire";
    let unknown = api.request(post, unknown, None).await?;
    unknown.problem(404, "not-found")?;
    host.end().await
}

#[tokio::test]
async fn schedules_go_with_the_version_and_are_checked() -> Result<()> {
    let host = host_with_probe(&yearly()).await?;
    let api = host.api()?;
    let none = json!({"manifest": {}});
    let count = async || {
        let list = host.api()?.get("/handlers/probe/schedules").await?;
        Ok::<_, wxhost_tests::Error>(list["items"].as_array().map_or(0, Vec::len))
    };
    let probe = guests::bytes("probe")?;
    api.deploy_with("probe", probe.clone(), &none).await?.ok()?;
    assert_eq!(count().await?, 0);
    api.post("/handlers/probe/rollback", &json!({})).await?;
    assert_eq!(count().await?, 1);
    for (schedule, problem) in [
        (json!({"name": "a", "cron": "0 8 * *"}), "[0].cron: "),
        (
            json!({"name": "a", "cron": "0 8 * * *", "zone": "Mars/Base"}),
            "[0].zone: ",
        ),
        (json!({"name": "A", "cron": "0 8 * * *"}), "[0].name: "),
    ] {
        let bad = json!({"manifest": {"schedules": [schedule]}});
        let refused = api.deploy_with("probe", probe.clone(), &bad).await?;
        let said = refused.problem(400, "bad-request")?;
        check!(said.contains(problem), "{said}");
    }

    let shown = async |arguments: &[&str]| {
        let output = host.cli(arguments).await?;
        let err = String::from_utf8_lossy(&output.stderr);
        check!(output.status.success(), "{arguments:?}: {err}");
        Ok::<_, wxhost_tests::Error>(String::from_utf8(output.stdout)?)
    };
    let a = host.wehub("wxid_a")?.login().await?;
    let listed = shown(&["handler", "schedules", "probe"]).await?;
    check!(listed.contains("0 8 1 1 *  Asia/Shanghai"), "{listed}");
    let about = shown(&["handler", "show", "probe"]).await?;
    check!(
        about.contains("schedule yearly (0 8 1 1 * Asia/Shanghai)"),
        "{about}"
    );
    let done = shown(&["handler", "fire", "probe", "yearly", "--account", "wxid_a"]).await?;
    assert_eq!(done.trim_end(), "yearly fires for 1 account");
    assert_eq!(told(&a).await?, fired("schedule:yearly", "happy new year"));
    let far = now_ms()? + 3_600_000;
    assert_eq!(
        said(&a, &format!("timers.set tea {far} green")).await?,
        "ok"
    );
    let listed = shown(&["account", "timers", "wxid_a"]).await?;
    check!(
        listed.contains("probe    tea    in ") && listed.contains("green"),
        "{listed}"
    );
    let file = guests::path("probe")?;
    let file = file.to_str().context("a path that is no text")?;
    let deploy = [
        "handler",
        "deploy",
        "probe",
        file,
        "--schedule",
        "hourly=0 * * * *",
    ];
    let deployed = shown(&deploy).await?;
    check!(
        deployed.contains("schedule hourly (0 * * * * UTC)"),
        "{deployed}"
    );
    host.end().await
}
