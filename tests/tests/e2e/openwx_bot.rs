//! The same bots on both kinds of clients: events, answers, tasks and logins of an
//! account that a native client drives.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use wxhost_tests::{
    Context, Error, Host, Result, check, guests,
    host::{DEAD_PROXY, Settings},
    openwx::{Openwx, Recorder, Stub, process},
    poll,
    wehub::upload,
};

use crate::openwx_clients::SOON;

async fn with_echo(settings: Settings) -> Result<(Host, Openwx, Stub)> {
    let host = Host::with(settings.unpaced().clients(10)?).await?;
    host.serve_guest("*", "echo").await?;
    let openwx = host.openwx()?;
    let stub = openwx.log_in("rose").await?;
    Ok((host, openwx, stub))
}

async fn with_probe(settings: Settings) -> Result<(Host, Openwx, Stub)> {
    let host = Host::with(settings.unpaced().clients(10)?).await?;
    host.serve_guest("*", "probe").await?;
    let openwx = host.openwx()?;
    let stub = openwx.log_in("rose").await?;
    Ok((host, openwx, stub))
}

async fn until_task(host: &Host, id: &str, state: &str) -> Result<Value> {
    let what = format!("{id} is {state}");
    let mut last = Value::Null;
    let found = poll::until(&what, SOON, async || {
        last = host.api()?.task(id).await?;
        Ok((last["state"] == state).then(|| last.clone()))
    });
    found.await.context(&last)
}

#[tokio::test]
async fn one_bot_serves_both_kinds_of_clients() -> Result<()> {
    let (host, openwx, stub) = with_echo(Settings::default()).await?;
    let wehub = host.wehub("wxid_max")?.login().await?;
    wehub
        .text_from("wxid_ann", "你好 😀")
        .await?
        .says("你好 😀")?;
    let heard = stub.receive("@f1", "你好 😀").await?;
    assert_eq!(heard.status, 200);
    assert_eq!(heard.answer, json!({"reply": "你好 😀"}));
    let sent = stub.until_sent(1).await?;
    assert_eq!(
        (&sent[0]["to"], &sent[0]["content"]),
        (&json!("@f1"), &json!("你好 😀"))
    );
    assert_eq!(sent[0]["from"], "code");

    let account = host.api()?.get("/accounts/rose").await?;
    assert_eq!(account["client"], "openwx", "{account}");
    check!(account["session"].is_object(), "{account}");
    openwx.stop("rose").await?;
    openwx.until_gone("rose").await?;
    poll::until("its session has ended", SOON, async || {
        let account = host.api()?.get("/accounts/rose").await?;
        Ok(account["session"].is_null().then_some(()))
    })
    .await?;
    host.end().await
}

#[tokio::test]
async fn the_javascript_bot_serves_them_too() -> Result<()> {
    let Some(faq) = guests::javascript("faq")? else {
        return Ok(());
    };
    let host = Host::with(Settings::default().unpaced().clients(10)?).await?;
    host.deploy("faq", &faq).await?;
    host.bind("*", "faq").await?;
    host.configure("faq", json!({"faq.price": "A tea is 12 yuan."}))
        .await?;
    let stub = host.openwx()?.log_in("rose").await?;
    let heard = stub.receive("@f2", "What is the price?").await?;
    assert_eq!(heard.answer["reply"], "A tea is 12 yuan.");
    host.end().await
}

#[tokio::test]
async fn in_a_group_the_answer_goes_to_the_group() -> Result<()> {
    let (host, _openwx, stub) = with_echo(Settings::default()).await?;
    stub.receive_in("@@g1", "@f2", "在吗").await?;
    let sent = stub.until_sent(1).await?;
    assert_eq!(sent[0]["to"], "@@g1");
    check!(
        sent[0]["content"]
            .as_str()
            .is_some_and(|text| text.contains("在吗")),
        "{sent:?}"
    );
    host.end().await
}

#[tokio::test]
async fn the_bot_hears_of_everybody_but_itself_and_once() -> Result<()> {
    let (host, _openwx, stub) = with_echo(Settings::default()).await?;
    let first = stub.receive_as("m-1", "@f1", "once").await?;
    assert_eq!(first.answer["reply"], "once");
    stub.until_sent(1).await?;
    // The stub reports its own words, which nobody answers.
    poll::until("its own words are reported", SOON, async || {
        let reports = stub.reports().await?;
        let own = reports.iter().find(|it| it["report"]["class"] == "send");
        Ok(own.map(|it| it["answer"].clone()))
    })
    .await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(stub.sent().await?.len(), 1, "it answers itself");
    let events = host.api()?.events("rose").await?;
    let messages = events.iter().filter(|it| it.to_string().contains("m-1"));
    assert_eq!(messages.count(), 1, "{events:?}");
    host.end().await
}

#[tokio::test]
async fn more_than_one_text_goes_by_calls_in_order() -> Result<()> {
    let (host, _openwx, stub) = with_probe(Settings::default()).await?;
    let heard = stub.receive("@f1", "chat.send @f1 text:one").await?;
    check!(
        heard.answer["reply"]
            .as_str()
            .unwrap_or_default()
            .is_empty(),
        "{heard:?}"
    );
    let sent = stub.until_sent(2).await?;
    assert_eq!(sent[0]["content"], "one");
    check!(
        sent[1]["content"]
            .as_str()
            .is_some_and(|text| text.starts_with("ok ")),
        "{sent:?}"
    );
    assert_eq!(
        (&sent[0]["from"], &sent[1]["from"]),
        (&json!("api"), &json!("api"))
    );
    let text = sent[1]["content"].as_str().unwrap_or_default();
    let id = text.trim_start_matches("ok ").to_owned();
    until_task(&host, &id, "done").await?;
    host.end().await
}

#[tokio::test]
async fn answers_of_several_texts_stay_in_order_while_the_client_is_slow() -> Result<()> {
    let settings = Settings::default().unpaced().clients(10)?;
    let host = Host::with(settings.template("default", &["--send-ms", "300"])?).await?;
    host.serve_guest("*", "probe").await?;
    let stub = host.openwx()?.log_in("rose").await?;
    for text in ["one", "two", "three"] {
        let command = format!("chat.send @f1 text:{text}");
        stub.receive("@f1", &command).await?;
    }
    check!(stub.sent().await?.len() < 5, "the client is not slow");
    let sent = stub.until_sent(6).await?;
    let texts: Vec<_> = sent
        .iter()
        .map(|it| it["content"].as_str().unwrap_or_default())
        .collect();
    let [one, ok_one, two, ok_two, three, ok_three] = texts.as_slice() else {
        return Err(Error::new(format!("{texts:?}")));
    };
    assert_eq!([*one, *two, *three], ["one", "two", "three"], "{texts:?}");
    let all_well = [ok_one, ok_two, ok_three]
        .iter()
        .all(|text| text.starts_with("ok "));
    check!(all_well, "{texts:?}");
    host.end().await
}

#[tokio::test]
async fn a_text_to_somebody_else_goes_by_a_call() -> Result<()> {
    let (host, _openwx, stub) = with_probe(Settings::default()).await?;
    stub.receive("@f1", "chat.send @@g2 text:elsewhere").await?;
    let sent = stub.until_sent(2).await?;
    assert_eq!(
        (&sent[0]["to"], &sent[0]["content"]),
        (&json!("@@g2"), &json!("elsewhere"))
    );
    host.end().await
}

#[tokio::test]
async fn queued_answers_have_outcomes() -> Result<()> {
    let settings = Settings::default()
        .set("openwx.replies", "queued")
        .set("openwx.answer_ms", 1_000)
        .set("openwx.slow_answer_ms", 1_000);
    let (host, _openwx, stub) = with_echo(settings).await?;
    let heard = stub.receive("@f1", "hello").await?;
    check!(
        heard.answer["reply"]
            .as_str()
            .unwrap_or_default()
            .is_empty(),
        "{heard:?}"
    );
    let sent = stub.until_sent(1).await?;
    assert_eq!(
        (&sent[0]["content"], &sent[0]["from"]),
        (&json!("hello"), &json!("api"))
    );

    let api = host.api()?;
    let done = api.send_text("rose", "@f1", "fine").await?;
    until_task(&host, &done, "done").await?;
    let refused = api.send_text("rose", "@f1", "stub:refuse").await?;
    let failed = until_task(&host, &refused, "failed").await?;
    check!(failed.to_string().contains("1205"), "{failed}");
    let stranger = api.send_text("rose", "@nobody", "x").await?;
    let failed = until_task(&host, &stranger, "failed").await?;
    check!(
        failed.to_string().contains("100") && failed.to_string().contains("object not found"),
        "{failed}"
    );
    let silent = api.send_text("rose", "@f1", "stub:no-answer").await?;
    until_task(&host, &silent, "unknown").await?;
    host.end().await
}

#[tokio::test]
async fn tasks_wait_for_the_account_to_be_logged_in() -> Result<()> {
    let (host, openwx, stub) = with_echo(Settings::default()).await?;
    let api = host.api()?;
    // It is an account as soon as the host has heard that it logged in.
    poll::until("the account", SOON, async || {
        Ok(api.get("/accounts/rose").await.ok())
    })
    .await?;
    openwx.stop("rose").await?;
    openwx.until_gone("rose").await?;
    let id = host.api()?.send_text("rose", "@f1", "later").await?;
    assert_eq!(host.api()?.task(&id).await?["state"], "queued");
    drop(stub);
    // The cookie is still there: it comes back without a scan.
    let started = openwx.start("rose").await?;
    let stub = Stub::up(started.port).await?;
    assert_eq!(stub.until_sent(1).await?[0]["content"], "later");
    until_task(&host, &id, "done").await?;
    host.end().await
}

#[tokio::test]
async fn what_a_bot_asks_for_is_called() -> Result<()> {
    let (host, _openwx, stub) = with_probe(Settings::default()).await?;
    for (command, call, parameters) in calls() {
        stub.receive("@f1", command).await?;
        let called = stub.until_called(call).await.context(command)?;
        for (name, value) in parameters.as_object().into_iter().flatten() {
            assert_eq!(called[name], *value, "{command}: {name} in {called}");
        }
    }
    stub.receive("@f1", "context.client-kind").await?;
    until_said(&stub, "ok openwx", 1).await?;
    host.end().await
}

/// What the bot is told to do, and how the client is called for it.
fn calls() -> [(&'static str, &'static str, Value); 9] {
    [
        (
            "chat.stick @f1 on",
            "stick",
            json!({"id": "@f1", "op": "1"}),
        ),
        (
            "groups.create Tea @f1 @f2",
            "create_group",
            json!({"friends": "@f1,@f2", "displayname": "Tea"}),
        ),
        (
            "groups.invite @@g1 invitation @f3",
            "invite_friend",
            json!({"id": "@@g1", "friends": "@f3"}),
        ),
        (
            "groups.kick @@g1 @f2",
            "kick_group_member",
            json!({"id": "@@g1", "members": "@f2"}),
        ),
        (
            "groups.rename @@g1 Nice",
            "set_group_displayname",
            json!({"id": "@@g1", "new_displayname": "Nice"}),
        ),
        (
            "friends.remark @f1 Ann",
            "set_markname",
            json!({"id": "@f1", "new_markname": "Ann"}),
        ),
        (
            "friends.add @f3 @@g1 hello",
            "make_friend",
            json!({"id": "@f3", "verify": "hello"}),
        ),
        (
            "chat.recall 1:@f1",
            "revoke_message",
            json!({"id": "1:@f1"}),
        ),
        (
            "friends.fetch-avatar @f1 -",
            "get_avatar",
            json!({"id": "@f1"}),
        ),
    ]
}

#[tokio::test]
async fn what_a_client_can_t_do_is_unsupported() -> Result<()> {
    let (host, _openwx, stub) = with_probe(Settings::default()).await?;
    for (refused, command) in [
        "tags.add vip @f1",
        "friends.remove @f1",
        "groups.leave @@g1",
        "chat.accept-transfer @f1 t",
    ]
    .into_iter()
    .enumerate()
    {
        stub.receive("@f1", command).await?;
        until_said(&stub, "err unsupported", refused + 1)
            .await
            .context(command)?;
    }
    host.end().await
}

/// Waits until so many texts were sent that begin like this: others may still be
/// under way.
async fn until_said(stub: &Stub, beginning: &str, count: usize) -> Result<()> {
    let what = format!("{count} times {beginning} is said");
    poll::until(&what, SOON, async || {
        let sent = stub.sent().await?;
        let texts = sent.iter().filter_map(|it| it["content"].as_str());
        let said = texts.filter(|text| text.starts_with(beginning)).count();
        Ok((said >= count).then_some(()))
    })
    .await
}

#[tokio::test]
async fn contacts_of_the_account_are_known() -> Result<()> {
    let (host, _openwx, _stub) = with_echo(Settings::default()).await?;
    let wanted = ["@f1", "@f2", "@@g1", "@@g2"];
    poll::until("its contacts are known", SOON, async || {
        let path = "/accounts/rose/contacts?limit=100";
        let answer = host.api()?.request(Method::GET, path, None).await?;
        // The account comes a moment after its client runs.
        let text = answer.body.to_string();
        Ok(wanted
            .iter()
            .all(|id| text.contains(&format!("\"{id}\"")))
            .then_some(()))
    })
    .await?;
    host.end().await
}

#[tokio::test]
async fn a_client_s_code_shows_among_the_logins() -> Result<()> {
    let host = Host::with(Settings::default().clients(10)?).await?;
    let openwx = host.openwx()?;
    let started = openwx.start("rose").await?;
    let stub = Stub::up(started.port).await?;
    let shown = until_login(&host, "awaiting-scan").await?;
    let id = shown["id"].as_str().context("the login has no id")?;
    let image = host.api()?.file(&format!("/logins/{id}/qr")).await?;
    check!(
        image.body == upload::code(0),
        "another image than the client's"
    );
    stub.new_code().await?;
    poll::until("the second code is there", SOON, async || {
        let image = host.api()?.file(&format!("/logins/{id}/qr")).await?;
        Ok((image.body == upload::code(1)).then_some(()))
    })
    .await?;
    let qr = host.cli(&["login", "qr", id]).await?;
    check!(
        String::from_utf8_lossy(&qr.stdout).contains('█'),
        "no code is drawn"
    );
    stub.scan().await?;
    let ended = until_login(&host, "succeeded").await?;
    assert_eq!(ended["account"], "rose");
    assert_eq!(ended["id"], id, "another login");
    host.end().await
}

async fn until_login(host: &Host, state: &str) -> Result<Value> {
    let what = format!("a login is {state}");
    let mut last = Value::Null;
    let found = poll::until(&what, SOON, async || {
        last = host.api()?.get("/logins").await?;
        let login = &last["items"][0];
        Ok((login["state"] == state).then(|| login.clone()))
    });
    found.await.context(&last)
}

#[tokio::test]
async fn a_code_is_seen_in_the_file_where_reports_go_elsewhere() -> Result<()> {
    let recorder = Recorder::start().await?;
    let settings = Settings::default()
        .clients(10)?
        .set("openwx.post_api", recorder.url("/cb"));
    let host = Host::with(settings).await?;
    let started = host.openwx()?.start("rose").await?;
    let stub = Stub::up(started.port).await?;
    let shown = until_login(&host, "awaiting-scan").await?;
    let id = shown["id"].as_str().context("the login has no id")?;
    let image = host.api()?.file(&format!("/logins/{id}/qr")).await?;
    check!(
        image.body == upload::code(0),
        "another image than the client's"
    );
    stub.scan().await?;
    until_login(&host, "succeeded").await?;
    host.until_phase("rose", "running").await?;
    host.end().await
}

#[tokio::test]
async fn a_login_that_nobody_scans_fails_with_its_client() -> Result<()> {
    let settings = Settings::default()
        .clients(10)?
        .template("default", &["--codes", "2", "--code-ms", "300"])?;
    let host = Host::with(settings).await?;
    host.openwx()?.start("rose").await?;
    let shown = until_login(&host, "awaiting-scan").await?;
    until_login_is_over(&host, &shown).await?;
    let ended = host.until_phase("rose", "stopped").await?;
    assert_eq!(ended["restarts"], 0, "{ended}");
    host.end().await
}

#[tokio::test]
async fn a_login_fails_when_its_client_ends_and_when_its_host_does() -> Result<()> {
    let settings = Settings::default()
        .clients(10)?
        .set("openwx.restart.wait_min_ms", 60_000);
    let mut host = Host::with(settings).await?;
    let started = host.openwx()?.start("rose").await?;
    let first = until_login(&host, "awaiting-scan").await?;
    process::kill9(started.pid)?;
    let ended = until_login_is_over(&host, &first).await?;
    assert_eq!(ended["state"], "failed", "{ended}");

    // It does not want to wait: another process, another login.
    host.api()?
        .post("/clients/rose/restart", &json!({}))
        .await?;
    let second = until_login(&host, "awaiting-scan").await?;
    check!(second["id"] != first["id"], "{second}");
    host.kill9().await?;
    host.start_again().await?;
    let ended = until_login_is_over(&host, &second).await?;
    assert_eq!(ended["state"], "failed", "{ended}");
    let third = until_login(&host, "awaiting-scan").await?;
    let open = host.api()?.get("/logins?state=awaiting-scan").await?;
    assert_eq!(open["items"].as_array().map(Vec::len), Some(1), "{open}");
    check!(third["id"] != second["id"], "{third}");
    host.end().await
}

async fn until_login_is_over(host: &Host, login: &Value) -> Result<Value> {
    let id = login["id"].as_str().context("the login has no id")?;
    let path = format!("/logins/{id}");
    let mut last = Value::Null;
    let found = poll::until("the login is over", SOON, async || {
        last = host.api()?.get(&path).await?;
        let state = last["state"].as_str().unwrap_or_default();
        Ok(matches!(state, "failed" | "expired").then(|| last.clone()))
    });
    found.await.context(&last)
}

#[tokio::test]
async fn no_session_is_left_of_a_client_that_reported_before_it_ran() -> Result<()> {
    let settings = Settings::default()
        .unpaced()
        .clients(10)?
        .set("openwx.restart.wait_min_ms", 60_000);
    let host = Host::with(settings).await?;
    host.serve_guest("*", "echo").await?;
    let started = host.openwx()?.start("rose").await?;
    let stub = Stub::up(started.port).await?;
    let message = json!({"post_type": "receive_message", "type": "friend_message",
                         "format": "text", "class": "recv", "id": "early-1",
                         "sender_id": "@f1", "sender": "x", "content": "early", "time": 1});
    for early in [
        json!(["login", 1]),
        json!(["new_friend", {"id": "@f9", "name": "x"}]),
        message,
    ] {
        stub.report(&early).await?;
    }
    stub.crash().await;
    host.until_phase("rose", "waiting").await?;
    poll::until("no session is left", SOON, async || {
        Ok(session_of_rose(&host).await?.is_null().then_some(()))
    })
    .await?;
    // Nor does one come late.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let session = session_of_rose(&host).await?;
    check!(session.is_null(), "{session}");
    host.end().await
}

/// Null where there is no session, or not even an account.
async fn session_of_rose(host: &Host) -> Result<Value> {
    let path = "/accounts/rose";
    let answer = host.api()?.request(Method::GET, path, None).await?;
    check!(matches!(answer.status, 200 | 404), "{answer:?}");
    Ok(answer.body["session"].clone())
}

#[tokio::test]
async fn both_hear_the_reports_where_that_is_wanted() -> Result<()> {
    let recorder = Recorder::start().await?;
    recorder.answer(json!({"reply": "from their server"}));
    let settings = Settings::default()
        .set("openwx.post_api", recorder.url("/cb?x=1"))
        .set("openwx.tee", true)
        .env("http_proxy", DEAD_PROXY);
    let (host, _openwx, stub) = with_echo(settings).await?;
    let heard = stub.receive("@f1", "hello").await?;
    assert_eq!(heard.answer["reply"], "from their server");
    let seen = recorder
        .until("the message", |seen| seen.body["content"] == "hello")
        .await?;
    assert_eq!(seen.target, "/cb?x=1&client=rose");
    let sent = stub.until_sent(2).await?;
    let mut texts: Vec<_> = sent
        .iter()
        .map(|it| it["content"].as_str().unwrap_or_default())
        .collect();
    texts.sort_unstable();
    assert_eq!(texts, ["from their server", "hello"]);
    host.end().await
}

#[tokio::test]
async fn with_a_server_of_their_own_reports_go_there_alone() -> Result<()> {
    let recorder = Recorder::start().await?;
    let settings = Settings::default().set("openwx.post_api", recorder.url("/cb"));
    let (host, _openwx, stub) = with_echo(settings).await?;
    let heard = stub.receive("@f1", "hello").await?;
    assert_eq!(heard.answer, json!({}));
    check!(stub.sent().await?.is_empty(), "the bot has answered");
    recorder.until_event("login").await?;
    host.end().await
}

#[tokio::test]
async fn nobody_else_can_report() -> Result<()> {
    let (host, openwx, stub) = with_echo(Settings::default()).await?;
    let environment = stub.environment().await?;
    let url = environment["MOJO_WEIXIN_PLUGIN_OPENWX_POST_API"]
        .as_str()
        .context("no address")?;
    check!(url.contains("key=") && url.contains("client=rose"), "{url}");
    let path = url
        .split_once("/openwx/")
        .context("another address")?
        .1
        .to_owned();
    let report =
        json!({"post_type": "event", "event": "state_change", "params": ["running", "stop"]});
    let body = report.to_string().into_bytes();
    let (way, query) = path.split_once('?').context("no query")?;
    for other in [
        format!("{way}?client=rose"),
        format!("{way}?key=&client=rose"),
        format!("{way}?key=0000000000000000&client=rose"),
        path.replace("report/rose", "report/max"),
    ] {
        let reply = openwx
            .with_token(None)
            .post(&other, "application/json", body.clone())
            .await?;
        check!(
            reply.status == 403 || reply.status == 404,
            "{other}: {}",
            reply.status
        );
    }
    check!(!query.is_empty(), "no key");
    host.until_phase("rose", "running").await?;
    let former = stub.facts().await?["pid"].clone();
    stub.crash().await;
    let pid = u32::try_from(former.as_u64().unwrap_or_default())?;
    crate::openwx_clients::until_another(&host, "rose", pid).await?;
    let late = openwx
        .with_token(None)
        .post(&path, "application/json", body)
        .await?;
    check!(
        late.status == 403 || late.status == 404,
        "the key of an earlier process: {}",
        late.status
    );
    check!(
        !host
            .log()
            .contains(query.split('&').next().unwrap_or("key=")),
        "a key is in the log"
    );
    host.end().await
}

#[tokio::test]
async fn odd_reports_are_answered_and_harm_nothing() -> Result<()> {
    let (host, _openwx, stub) = with_echo(Settings::default()).await?;
    for report in [
        json!({}),
        json!({"post_type": "surprise"}),
        json!({"post_type": "event", "event": "no_such", "params": [1, {}, null]}),
        json!({"post_type": "receive_message", "format": "text"}),
        json!({"post_type": "receive_message", "type": "friend_message", "format": "card", "id": 5,
               "sender_id": "@f1", "card_name": "x", "class": "recv"}),
        json!({"post_type": "receive_message", "type": "group_notice", "format": "text", "id": "6",
               "group_id": "@@g1", "content": "x joined", "class": "recv"}),
        json!(["new_friend", {"id": "@f9", "name": "new", "uid": "77"}]),
        json!(["lose_group", {"id": "@@g2", "name": "群2"}]),
        json!(["new_group_member", {"id": "@f8"}, {"id": "@@g1"}]),
        json!(["friend_request", "@f7", "Somebody", "let me in", "ticket-1"]),
        json!(["friend_property_change", {"id": "@f1"}, "markname", "old", null]),
    ] {
        let heard = stub.report(&report).await?;
        assert_eq!(heard.status, 200, "{report}");
    }
    let heard = stub.receive("@f1", "still there").await?;
    assert_eq!(heard.answer["reply"], "still there");
    host.end().await
}

#[tokio::test]
async fn a_name_is_of_one_kind_of_client() -> Result<()> {
    let (host, openwx, _stub) = with_echo(Settings::default()).await?;
    host.wehub("wxid_max")?.login().await?;
    let refused = openwx.try_start("wxid_max", &[]).await?;
    check!(refused["code"] != 0, "{refused}");
    check!(
        host.wehub("rose")?.try_login().await?.error_code != 0,
        "WeHub came in as rose"
    );
    host.end().await
}
