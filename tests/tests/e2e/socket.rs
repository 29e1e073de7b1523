//! Clients that go on over the WebSocket that a login offers.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::Message as Frame;
use wxhost_tests::{
    Ack, Context, Host, Result, WehubClient, check,
    host::Settings,
    http,
    wehub::{Closed, Spelling, WehubSocket},
};

use crate::fixtures;

/// More than the largest message that is taken, in bytes.
const TOO_LARGE: usize = 33 * 1024 * 1024;
/// How many pushed tasks may wait for their results.
const PUSHED_MAX: usize = 16;
/// How long a task's result is awaited, where a test sets it.
const RESULT_TIME: Duration = Duration::from_millis(1500);
/// A connection of this age is left by whoever pulls over HTTP.
const CHANGED_OVER: Duration = Duration::from_secs(10);
/// For how long nothing must come to say that nothing comes.
const A_WHILE: Duration = Duration::from_millis(300);

/// WebSockets are offered, and nothing is paced.
fn settings() -> Settings {
    Settings::default()
        .env("WXHOST_WEHUB__WEBSOCKET", "true")
        .env("WXHOST_PACING__ACCOUNT_PER_MINUTE", "0")
        .env("WXHOST_PACING__CONVERSATION_PER_MINUTE", "0")
}

fn closed(code: u16, reason: &str) -> Closed {
    let reason = reason.to_owned();
    Closed { code, reason }
}

/// A connection that must not come to be: status and reason.
async fn refused(url: &str, client: &WehubClient) -> Result<(u16, String)> {
    match WehubSocket::try_connect(url, client.identity()).await? {
        Ok(_) => Err(wxhost_tests::Error::new(format!("{url} was taken"))),
        Err(refusal) => Ok(refusal),
    }
}

fn ids(pushed: &Ack) -> Result<&str> {
    pushed.task_id.as_deref().context("a push without an id")
}

#[tokio::test]
async fn a_login_hands_out_an_address() -> Result<()> {
    let host = Host::start().await?;
    let ack = host.wehub("wxid_a")?.try_login().await?;
    assert_eq!(ack.ok()?.data["extension_protocol"], Value::Null);
    host.end().await?;

    let host = Host::with(settings()).await?;
    let ack = host.wehub("wxid_a")?.try_login().await?;
    let offer = &ack.ok()?.data["extension_protocol"];
    assert_eq!(offer["param"]["heartbeat_interval"], 30);
    let base = format!("ws://{}/wehub/ws/", host.address()?);
    check!(ack.socket_url()?.starts_with(&base), "{offer}");
    check!(host.log().contains("server.public_url"), "no warning");
    host.end().await?;

    let public = settings()
        .env("WXHOST_SERVER__PUBLIC_URL", "https://bots.example/wx/")
        .env("WXHOST_WEHUB__HEARTBEAT_S", "60");
    let host = Host::with(public).await?;
    let ack = host.wehub("wxid_a")?.try_login().await?;
    let url = ack.ok()?.socket_url()?;
    check!(
        url.starts_with("wss://bots.example/wx/wehub/ws/"),
        "the address is {url}"
    );
    let param = &ack.data["extension_protocol"]["param"];
    assert_eq!(param["heartbeat_interval"], 60);
    check!(!host.log().contains("server.public_url"), "a warning");
    host.end().await
}

#[tokio::test]
async fn every_action_is_answered_over_it() -> Result<()> {
    let host = Host::with(settings()).await?;
    let mut identity = host.wehub(fixtures::ACCOUNT)?.identity().clone();
    identity.machine_id = "DESKTOP-AB12_4711".to_owned();
    identity.client_session = "cs-01".to_owned();
    let client = WehubClient::new(&host.callback_url()?, identity)?;
    let mut socket = client.login_socket().await?;
    for name in fixtures::names()? {
        // The login is of another process, which would take this one's place.
        if name == "logout" || name == "login-after-qr" {
            continue;
        }
        let body = fixtures::read(&name)?;
        let action = body["action"].as_str().or(body["atcion"].as_str());
        let ack = socket.exchange(action.unwrap_or_default(), &body).await;
        let ack = ack.context(&name)?;
        match name.starts_with("report_task_result") {
            // This host never gave such a task.
            true => assert_eq!(ack.error_code, 6, "{name}"),
            false => check!(ack.ok().is_ok(), "{name}: {ack:?}"),
        }
    }
    let events = host.api()?.events(fixtures::ACCOUNT).await?;
    check!(events.len() > 20, "{} events are recorded", events.len());
    let ack = socket
        .exchange("logout", &fixtures::read("logout")?)
        .await?;
    ack.ok()?;
    assert_eq!(socket.closed().await?, closed(1000, "logged out"));
    host.end().await
}

#[tokio::test]
async fn tasks_are_pushed_and_told_of() -> Result<()> {
    let host = Host::with(settings()).await?;
    let api = host.api()?;
    let client = host.wehub("wxid_a")?.login().await?;
    let waiting = api.send_text("wxid_a", "wxid_bob", "waiting").await?;
    let mut socket = client.login_socket().await?;
    let pushed = socket.next_push().await?;
    assert_eq!(ids(pushed.says("waiting")?)?, waiting);
    let asked = api.send_text("wxid_a", "wxid_bob", "asked").await?;
    let pushed = socket.next_push().await?;
    assert_eq!(ids(pushed.says("asked")?.to("wxid_bob")?)?, asked);
    assert_eq!(api.task(&asked).await?["state"], "handed-out");
    socket.task_result(&asked, None).await?.ok()?;
    socket
        .task_result(&waiting, Some("no friend"))
        .await?
        .ok()?;
    assert_eq!(api.task(&asked).await?["state"], "done");
    assert_eq!(api.task(&waiting).await?["reason"], "no friend");
    socket.nothing_for(A_WHILE).await?;
    socket.close().await?;
    host.end().await
}

#[tokio::test]
async fn a_client_is_given_so_many_tasks_at_once() -> Result<()> {
    let host = Host::with(settings()).await?;
    let mut socket = host.wehub("wxid_a")?.login_socket().await?;
    for number in 0..=PUSHED_MAX {
        let text = format!("text {number}");
        host.api()?.send_text("wxid_a", "wxid_bob", &text).await?;
    }
    let mut pushed = Vec::new();
    for number in 0..PUSHED_MAX {
        let task = socket.next_push().await?;
        pushed.push(ids(task.says(&format!("text {number}"))?)?.to_owned());
    }
    socket.nothing_for(A_WHILE).await?;
    socket.heartbeat(Spelling::Action).await?.silent()?;
    socket.task_result(&pushed[7], None).await?.ok()?;
    let last = format!("text {PUSHED_MAX}");
    socket.next_push().await?.says(&last)?;
    host.end().await
}

#[tokio::test]
async fn a_second_connection_takes_the_place_of_the_first() -> Result<()> {
    let host = Host::with(settings()).await?;
    let client = host.wehub("wxid_a")?;
    let ack = client.try_login().await?;
    let url = ack.ok()?.socket_url()?;
    let mut first = WehubSocket::connect(url, client.identity()).await?;
    first.heartbeat(Spelling::Action).await?.silent()?;
    let mut second = WehubSocket::connect(url, client.identity()).await?;
    let words = "another connection has taken this one's place";
    assert_eq!(first.closed().await?, closed(1008, words));
    let id = host.api()?.send_text("wxid_a", "wxid_bob", "hi").await?;
    let pushed = second.next_push().await?;
    assert_eq!(ids(pushed.says("hi")?)?, id);

    // A login over it offers another address; this connection goes on.
    sleep(Duration::from_millis(5)).await;
    let data = client.identity().login_data(None);
    let again = second.report("login", data).await?;
    let new_url = again.ok()?.socket_url()?;
    check!(new_url != url, "the address is the same");
    assert_eq!(refused(url, &client).await?.0, 403);
    second.task_result(&id, None).await?.ok()?;
    let mut third = WehubSocket::connect(new_url, client.identity()).await?;
    assert_eq!(second.closed().await?.code, 1008);
    third.heartbeat(Spelling::Atcion).await?.silent()?;
    host.end().await
}

#[tokio::test]
async fn only_a_good_ticket_opens_it() -> Result<()> {
    let host = Host::with(settings()).await?;
    let (a, b) = (host.wehub("wxid_a")?, host.wehub("wxid_b")?);
    let ack = a.try_login().await?;
    let url = ack.ok()?.socket_url()?.to_owned();
    let base = format!("ws://{}/wehub/ws", host.address()?);
    let (_, mac) = url.rsplit_once('.').context("a ticket has a dot")?;
    let void = (403, "the ticket is not valid: log in again".to_owned());
    b.try_login().await?.ok()?;
    for ticket in [
        "x",
        "d3hpZF9h",
        "d3hpZF9h.",
        // wxid_b with wxid_a's, and wxid_nobody.
        &format!("d3hpZF9i.{mac}"),
        &format!("d3hpZF9ub2JvZHk.{mac}"),
    ] {
        let found = refused(&format!("{base}/{ticket}"), &a).await?;
        assert_eq!(found, void, "{ticket}");
    }
    let path = url.strip_prefix(&format!("ws://{}", host.address()?));
    let (status, reason) = http::get(host.address()?, path.context("a path")?).await?;
    assert_eq!(status, 400, "{reason}");

    a.try_login().await?.ok()?;
    assert_eq!(refused(&url, &a).await?, void, "after another login");
    let ack = a.try_login().await?;
    let url = ack.ok()?.socket_url()?;
    a.logout().await?.ok()?;
    assert_eq!(refused(url, &a).await?, void, "after the logout");
    check!(!host.log().contains(mac), "the log holds a ticket");
    host.end().await
}

#[tokio::test]
async fn a_ticket_ends_in_time_but_not_while_it_is_used() -> Result<()> {
    let settings = settings()
        .env("WXHOST_WEHUB__TICKET_S", "2")
        .env("WXHOST_WEHUB__SOCKETS_MAX", "2");
    let host = Host::with(settings).await?;
    let (a, b) = (host.wehub("wxid_a")?, host.wehub("wxid_b")?);
    let (used, unused) = (a.try_login().await?, b.try_login().await?);
    let (used, unused) = (used.ok()?.socket_url()?, unused.ok()?.socket_url()?);
    let mut first = WehubSocket::connect(used, a.identity()).await?;
    sleep(Duration::from_millis(2100)).await;
    let expired = (403, "the ticket has expired: log in again".to_owned());
    assert_eq!(refused(unused, &b).await?, expired);
    let second = WehubSocket::connect(used, a.identity()).await?;
    first.closed().await?;
    drop(first);
    second.close().await?;
    let third = WehubSocket::connect(used, a.identity()).await?;
    third.close().await?;
    sleep(Duration::from_millis(2100)).await;
    assert_eq!(refused(used, &a).await?, expired);

    let _a = a.login_socket().await?;
    let _b = b.login_socket().await?;
    let c = host.wehub("wxid_c")?;
    let ack = c.try_login().await?;
    assert_eq!(refused(ack.ok()?.socket_url()?, &c).await?.0, 503);
    host.end().await
}

#[tokio::test]
async fn who_says_nothing_is_ended_and_who_says_something_is_not() -> Result<()> {
    let host = Host::with(settings().env("WXHOST_WEHUB__HEARTBEAT_S", "5")).await?;
    let mut silent = host.wehub("wxid_a")?.login_socket().await?;
    let mut stalled = host.wehub("wxid_c")?.login_socket().await?;
    let mut alive = host.wehub("wxid_b")?.login_socket().await?;
    let began = Instant::now();
    stalled.send_half().await?;
    let beating = async {
        for spelling in [Spelling::Action, Spelling::Atcion, Spelling::Action] {
            sleep(Duration::from_secs(4)).await;
            alive.heartbeat(spelling).await?.silent()?;
        }
        Ok(())
    };
    let stalling = async {
        let ended = stalled.closed().await?;
        Ok((ended, began.elapsed()))
    };
    let (ended, stalled, ()) = tokio::try_join!(silent.closed(), stalling, beating)?;
    assert_eq!(ended, closed(1001, "no heartbeat"));
    check!(began.elapsed() >= Duration::from_secs(12), "too soon");
    let words = "a message did not come in time";
    assert_eq!(stalled.0, closed(1008, words));
    check!(stalled.1 < Duration::from_secs(8), "after {:?}", stalled.1);
    host.end().await
}

#[tokio::test]
async fn frames_that_are_no_request() -> Result<()> {
    let host = Host::with(settings()).await?;
    let a = host.wehub("wxid_a")?;
    let mut socket = a.login_socket().await?;
    host.wehub("wxid_b")?.login().await?;
    for text in ["", "hello", "[]", "{\"action\": \"pull_task\",}"] {
        socket.send(Frame::text(text)).await?;
        let ack = socket.answer("").await?;
        assert_eq!(ack.refused("")?.error_code, 1, "{text}");
    }
    let mut body = a.identity().envelope("pull_task", json!({}));
    body["wxid"] = "wxid_b".into();
    let ack = socket.exchange("pull_task", &body).await?;
    ack.refused("this WebSocket is of wxid_a")?;
    assert_eq!(ack.error_code, 3);

    // A contact report of some MB is taken.
    let contacts = a.identity().contacts(20_000);
    socket.report("report_contact", contacts).await?.silent()?;
    socket.send(Frame::binary(vec![1, 2, 3])).await?;
    let ended = socket.closed().await?;
    assert_eq!(ended, closed(1003, "only text frames are taken"));

    let mut socket = a.login_socket().await?;
    // The host reads on for a while, so that its words are heard.
    let _ = socket.send(Frame::text(" ".repeat(TOO_LARGE))).await;
    let ended = socket.closed().await?;
    assert_eq!(ended, closed(1009, "the message is too large"));
    host.end().await
}

#[tokio::test]
async fn who_reads_nothing_is_cut_off() -> Result<()> {
    let host = Host::with(settings()).await?;
    let mut socket = host.wehub("wxid_a")?.login_socket().await?;
    let before = host.memory_bytes()?;
    let began = Instant::now();
    let ping = || Frame::Ping(vec![b'x'; 125].into());
    // Each is answered with as much, which nobody reads.
    while socket.send_unread(ping()).await.is_ok() {
        check!(began.elapsed() < Duration::from_secs(60), "never cut off");
    }
    check!(
        began.elapsed() >= Duration::from_secs(9),
        "cut off too soon"
    );
    let grown = host.memory_bytes()?.saturating_sub(before);
    check!(grown < 8 * 1024 * 1024, "the host grew by {grown} bytes");
    host.end().await
}

#[tokio::test]
async fn an_account_goes_on_over_http_without_loss() -> Result<()> {
    let host = Host::with(settings()).await?;
    let api = host.api()?;
    let client = host.wehub("wxid_a")?;
    let mut socket = client.login_socket().await?;
    let first = api.send_text("wxid_a", "wxid_bob", "first").await?;
    socket.next_push().await?.says("first")?;
    socket.close().await?;
    let second = api.send_text("wxid_a", "wxid_bob", "second").await?;
    let pulled = client.pull_task().await?;
    assert_eq!(ids(pulled.says("second")?)?, second);
    for id in [first, second] {
        client.task_result(&id, None).await?.ok()?;
        assert_eq!(api.task(&id).await?["state"], "done");
    }
    client.text_from("wxid_bob", "hi").await?.silent()?;
    host.end().await
}

#[tokio::test]
async fn no_task_is_lost_silently_when_a_client_vanishes() -> Result<()> {
    let result_ms = RESULT_TIME.as_millis().to_string();
    let settings = settings().env("WXHOST_TASKS__RESULT_MS", &result_ms);
    let host = Host::with(settings).await?;
    let api = host.api()?;
    let client = host.wehub("wxid_a")?;
    drop(client.login_socket().await?);
    let mut asked = Vec::new();
    for text in ["first", "second", "third"] {
        asked.push(api.send_text("wxid_a", "wxid_bob", text).await?);
    }
    let mut pulled = Vec::new();
    while let Some(id) = client.pull_task().await?.task_id {
        client.task_result(&id, None).await?.ok()?;
        pulled.push(id);
    }
    // What was pushed in vain ends when its time is up.
    sleep(RESULT_TIME + Duration::from_secs(3)).await;
    for id in asked {
        let expected = match pulled.contains(&id) {
            true => "done",
            false => "unknown",
        };
        assert_eq!(api.task(&id).await?["state"], expected, "{id}");
    }
    client.pull_task().await?.silent()?;
    host.end().await
}

#[tokio::test]
async fn who_pulls_over_http_has_left_an_old_connection() -> Result<()> {
    let host = Host::with(settings()).await?;
    let client = host.wehub("wxid_a")?;
    let mut socket = client.login_socket().await?;
    client.pull_task().await?.silent()?;
    socket.nothing_for(A_WHILE).await?;
    sleep(CHANGED_OVER).await;
    client.pull_task().await?.silent()?;
    assert_eq!(socket.closed().await?.code, 1008);
    let id = host.api()?.send_text("wxid_a", "wxid_bob", "hi").await?;
    let pulled = client.pull_task().await?;
    assert_eq!(ids(pulled.says("hi")?)?, id);
    host.end().await
}

#[tokio::test]
async fn the_end_of_the_host_is_told() -> Result<()> {
    let mut host = Host::with(settings()).await?;
    let mut a = host.wehub("wxid_a")?.login_socket().await?;
    let mut b = host.wehub("wxid_b")?.login_socket().await?;
    host.signal_end()?;
    let began = Instant::now();
    for socket in [&mut a, &mut b] {
        assert_eq!(socket.closed().await?, closed(1001, "the host is ending"));
    }
    drop((a, b));
    let status = host.wait().await?;
    check!(status.success(), "the host ended with {status}");
    check!(began.elapsed() < Duration::from_secs(10), "it took long");
    host.start_again().await?;
    host.end().await
}

#[tokio::test]
async fn the_address_is_good_again_after_a_crash() -> Result<()> {
    let mut host = Host::with(settings()).await?;
    let client = host.wehub("wxid_a")?;
    let ack = client.try_login().await?;
    let url = ack.ok()?.socket_url()?.to_owned();
    let mut socket = WehubSocket::connect(&url, client.identity()).await?;
    let id = host.api()?.send_text("wxid_a", "wxid_bob", "hi").await?;
    socket.next_push().await?.says("hi")?;
    let former = host.address()?.to_owned();
    host.kill9().await?;
    check!(socket.closed().await.is_err(), "a dead host said goodbye");

    host.start_again().await?;
    let url = url.replace(&former, host.address()?);
    let mut socket = WehubSocket::connect(&url, client.identity()).await?;
    // It was handed out: it does not come twice, and its result is taken.
    socket.nothing_for(A_WHILE).await?;
    socket.task_result(&id, None).await?.ok()?;
    assert_eq!(host.api()?.task(&id).await?["state"], "done");
    host.end().await
}
