//! QR logins, as the seed document has them: asked for, carried out by a client
//! that is there, scanned, logged in; and everything that goes wrong on the way.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use wxhost_tests::{
    Context, Host, Result, WehubClient, check,
    host::Settings,
    http::find,
    poll,
    wehub::upload::{self, refused, taken},
};

use crate::fixtures;

const SOON: Duration = Duration::from_secs(10);

async fn start(host: &Host, request: Value) -> Result<(String, Value)> {
    let login = host.api()?.post("/logins", &request).await?;
    let id = login["id"].as_str().context("the login has no id")?;
    Ok((id.to_owned(), login.clone()))
}

async fn login(host: &Host, id: &str) -> Result<Value> {
    host.api()?.get(&format!("/logins/{id}")).await
}

async fn until_state(host: &Host, id: &str, state: &str) -> Result<Value> {
    let what = format!("the login is {state}");
    poll::until(&what, SOON, async || {
        let login = login(host, id).await?;
        Ok((login["state"] == state).then_some(login))
    })
    .await
}

/// The agent fetches the task that starts another client.
async fn dispatch(agent: &WehubClient, id: &str) -> Result<String> {
    let ack = agent.pull_task().await?;
    let task = ack.tasks.first().context("no task for the agent")?;
    assert_eq!((task.kind, task.text("qrcode_session_id")), (200, id));
    ack.task_id.context("the task has no id")
}

fn states(login: &Value) -> Vec<&str> {
    let steps = login["steps"].as_array().into_iter().flatten();
    steps.filter_map(|step| step["state"].as_str()).collect()
}

#[tokio::test]
async fn the_whole_way_of_the_seed_document() -> Result<()> {
    let host = Host::start().await?;
    let api = host.api()?;
    let agent = host.wehub("wxid_agent")?.login().await?;
    let (id, login_asked) = start(&host, json!({"note": "desk 3"})).await?;
    assert_eq!(login_asked["state"], "requested");
    assert_eq!(login_asked["note"], "desk 3");
    check!(id.len() >= 22, "an id that could be guessed: {id}");

    let task = dispatch(&agent, &id).await?;
    agent.task_result(&task, None).await?.ok()?;
    assert_eq!(login(&host, &id).await?["state"], "dispatched");

    let new = host.wehub("wxid_new")?;
    for (number, generation) in [(0, 1), (0, 1), (1, 2)] {
        taken(&new.upload_code(&id, number).await?)?;
        let shown = login(&host, &id).await?;
        assert_eq!(shown["state"], "awaiting-scan");
        assert_eq!(shown["generation"], generation);
        assert_eq!(shown["image"]["mime"], "image/png");
        let image = host.api()?.file(&format!("/logins/{id}/qr")).await?;
        assert_eq!(image.header("etag"), format!("\"{generation}\""));
        assert_eq!(image.header("cache-control"), "no-store");
        check!(
            image.body == upload::code(number),
            "another image than the last"
        );
    }

    let new = new.login_by_qr(&id).await?;
    let ended = login(&host, &id).await?;
    assert_eq!(ended["state"], "succeeded");
    assert_eq!(ended["account"], "wxid_new");
    assert_eq!(
        states(&ended),
        [
            "requested",
            "dispatched",
            "awaiting-scan",
            "awaiting-scan",
            "succeeded"
        ]
    );
    let path = format!("/logins/{id}/qr");
    let image = api.request(Method::GET, &path, None);
    image.await?.problem(404, "not-found")?;
    let account = api.get("/accounts/wxid_new").await?;
    assert_eq!(account["session"]["qr_login"], id.as_str());

    // The session has ended, and the new client can start further ones.
    refused(&new.upload_code(&id, 3).await?, "qr_session_id")?;
    let (next, _) = start(&host, json!({"agent": "wxid_new"})).await?;
    dispatch(&new, &next).await?;

    let ack = new.logout().await?;
    ack.ok()?;
    assert_eq!(ack.data, json!({"exit_wehub": 1, "exit_wechat": 1}));
    host.end().await
}

#[tokio::test]
async fn with_nobody_to_ask_the_answer_says_so_at_once() -> Result<()> {
    let host = Host::start().await?;
    let api = host.api()?;
    let ask = async |request: Value| api.request(Method::POST, "/logins", Some(&request)).await;
    ask(json!({})).await?.problem(409, "no-agent")?;
    let agent = host.wehub("wxid_agent")?.login().await?;
    let machine = agent.identity().machine_id.clone();
    ask(json!({"machine": "elsewhere_1"}))
        .await?
        .problem(409, "no-agent")?;
    ask(json!({"agent": "wxid_nobody"}))
        .await?
        .problem(404, "not-found")?;
    ask(json!({"agents": "wxid_agent"}))
        .await?
        .problem(400, "bad-request")?;
    let (id, _) = start(&host, json!({"machine": machine})).await?;
    agent.logout().await?.ok()?;
    let failed = login(&host, &id).await?;
    assert_eq!(failed["state"], "failed");
    let reason = failed["steps"][1]["reason"].as_str().unwrap_or_default();
    check!(reason.contains("logged out"), "{failed}");
    ask(json!({"agent": "wxid_agent"}))
        .await?
        .problem(409, "no-agent")?;
    host.end().await
}

#[tokio::test]
async fn each_wait_has_its_end() -> Result<()> {
    let settings = Settings::default()
        .set("logins.upload_ms", 700)
        .set("logins.scan_ms", 900)
        .set("logins.codes_max", 2);
    let host = Host::with(settings).await?;
    let agent = host.wehub("wxid_agent")?.login().await?;
    let new = host.wehub("wxid_new")?;

    let (not_taken, _) = start(&host, json!({})).await?;
    until_state(&host, &not_taken, "expired").await?;
    check!(
        agent.pull_task().await?.task_id.is_none(),
        "its task went out"
    );

    let (not_uploaded, _) = start(&host, json!({})).await?;
    dispatch(&agent, &not_uploaded).await?;
    let expired = until_state(&host, &not_uploaded, "expired").await?;
    assert_eq!(states(&expired), ["requested", "dispatched", "expired"]);
    refused(&new.upload_code(&not_uploaded, 0).await?, "qr_session_id")?;

    let (not_scanned, _) = start(&host, json!({})).await?;
    dispatch(&agent, &not_scanned).await?;
    taken(&new.upload_code(&not_scanned, 0).await?)?;
    let expired = until_state(&host, &not_scanned, "expired").await?;
    assert!(expired["image"].is_null(), "{expired}");

    let (too_many, _) = start(&host, json!({})).await?;
    dispatch(&agent, &too_many).await?;
    for number in 0..2 {
        taken(&new.upload_code(&too_many, number).await?)?;
    }
    refused(&new.upload_code(&too_many, 2).await?, "qr_session_id")?;
    assert_eq!(login(&host, &too_many).await?["state"], "expired");
    host.end().await
}

#[tokio::test]
async fn a_session_started_by_hand_is_taken_only_where_allowed() -> Result<()> {
    let host = Host::start().await?;
    let new = host.wehub("wxid_new")?;
    refused(&new.upload_code("by-hand", 0).await?, "qr_session_id")?;
    assert_eq!(host.api()?.get("/logins").await?["items"], json!([]));
    host.end().await?;

    let host =
        Host::with(Settings::default().set("wehub.accept_foreign_qr_sessions", true)).await?;
    let new = host.wehub("wxid_new")?;
    taken(&new.upload_code("by-hand", 0).await?)?;
    let shown = login(&host, "by-hand").await?;
    assert_eq!(shown["foreign"], true);
    new.login_by_qr("by-hand").await?;
    assert_eq!(login(&host, "by-hand").await?["state"], "succeeded");
    host.end().await
}

#[tokio::test]
async fn the_fixtures_of_a_login_are_taken_byte_for_byte() -> Result<()> {
    let host =
        Host::with(Settings::default().set("wehub.accept_foreign_qr_sessions", true)).await?;
    let client = host.wehub(fixtures::ACCOUNT)?;
    for generation in [1, 2] {
        let body = fixtures::bytes(&format!("upload-qr-{generation}.multipart"))?;
        taken(&client.upload(&body).await?)?;
        let shown = login(&host, "QR-SESSION-1").await?;
        assert_eq!(shown["generation"], generation);
        assert_eq!(shown["machine_id"], "DESKTOP-AB12_4888");
        let image = host.api()?.file("/logins/QR-SESSION-1/qr").await?;
        check!(
            find(&body, &image.body).is_some(),
            "other bytes than uploaded"
        );
    }
    let body = fixtures::read("login-after-qr")?;
    client.send_json(&body).await?.ok()?;
    let ended = login(&host, "QR-SESSION-1").await?;
    assert_eq!(ended["state"], "succeeded");
    assert_eq!(ended["account"], fixtures::ACCOUNT);
    host.end().await
}

#[tokio::test]
async fn two_accounts_log_in_out_of_one_session_and_the_first_has_it() -> Result<()> {
    let host = Host::start().await?;
    host.wehub("wxid_agent")?.login().await?;
    let (id, _) = start(&host, json!({})).await?;
    host.wehub("wxid_first")?.login_by_qr(&id).await?;
    host.wehub("wxid_second")?.login_by_qr(&id).await?;
    assert_eq!(login(&host, &id).await?["account"], "wxid_first");
    let second = host.api()?.get("/accounts/wxid_second").await?;
    assert!(second["session"]["qr_login"].is_null(), "{second}");
    host.end().await
}

#[tokio::test]
async fn what_is_no_code_is_no_code() -> Result<()> {
    let host = Host::start().await?;
    host.wehub("wxid_agent")?.login().await?;
    let (id, _) = start(&host, json!({})).await?;
    let new = host.wehub("wxid_new")?;
    let whole = upload::code(0);
    let half = whole.get(..whole.len() / 2).unwrap_or_default();
    for image in [b"GIF89a nothing".as_slice(), b"", half] {
        let body = upload::body(&[
            upload::Part::Text("qr_session_id", &id),
            upload::Part::File("x.png", "image/png", image),
            upload::Part::Text("machine_id", "pc"),
        ]);
        refused(&new.upload(&body).await?, "file")?;
    }
    assert_eq!(login(&host, &id).await?["state"], "requested");
    host.end().await
}

#[tokio::test]
async fn a_login_goes_on_after_the_host_was_killed() -> Result<()> {
    let mut host = Host::start().await?;
    let agent = host.wehub("wxid_agent")?.login().await?;
    let (id, _) = start(&host, json!({})).await?;
    dispatch(&agent, &id).await?;
    host.kill9().await?;
    host.start_again().await?;

    let new = host.wehub("wxid_new")?;
    taken(&new.upload_code(&id, 0).await?)?;
    taken(&new.upload_code(&id, 1).await?)?;
    host.kill9().await?;
    host.start_again().await?;

    let shown = login(&host, &id).await?;
    assert_eq!(
        (&shown["state"], &shown["generation"]),
        (&"awaiting-scan".into(), &2.into())
    );
    let image = host.api()?.file(&format!("/logins/{id}/qr")).await?;
    check!(image.body == upload::code(1), "another image than the last");
    let new = host.wehub("wxid_new")?.login_by_qr(&id).await?;
    host.kill9().await?;
    host.start_again().await?;
    assert_eq!(login(&host, &id).await?["state"], "succeeded");
    let new = new.moved_to(&host.callback_url()?)?;
    new.pull_task().await?.ok()?;
    host.end().await
}

#[tokio::test]
async fn deadlines_pass_while_the_host_is_down() -> Result<()> {
    let mut host = Host::with(Settings::default().set("logins.upload_ms", 1_500)).await?;
    host.wehub("wxid_agent")?.login().await?;
    let (id, _) = start(&host, json!({})).await?;
    host.kill9().await?;
    tokio::time::sleep(Duration::from_millis(1_600)).await;
    host.start_again().await?;
    until_state(&host, &id, "expired").await?;
    host.end().await
}

#[tokio::test]
async fn a_login_is_called_off() -> Result<()> {
    let host = Host::start().await?;
    let agent = host.wehub("wxid_agent")?.login().await?;
    let (id, asked) = start(&host, json!({"agent": "wxid_agent"})).await?;
    let path = format!("/logins/{id}");
    let gone = host
        .api()?
        .request(Method::DELETE, &path, None)
        .await?
        .ok()?;
    assert_eq!(gone["state"], "failed");
    check!(
        agent.pull_task().await?.task_id.is_none(),
        "its task went out"
    );
    let task = asked["task"].as_str().context("the login names no task")?;
    assert_eq!(host.api()?.task(task).await?["state"], "cancelled");
    let listed = host.api()?.get("/logins?state=failed").await?;
    assert_eq!(listed["items"][0]["id"], id.as_str());
    host.end().await
}

#[tokio::test]
async fn the_whole_way_over_websockets() -> Result<()> {
    let host = Host::with(Settings::default().set("wehub.websocket", true)).await?;
    let agent = host.wehub("wxid_agent")?;
    let mut socket = agent.login_socket().await?;
    let (id, _) = start(&host, json!({})).await?;
    let pushed = socket.next_push().await?;
    let task = pushed.tasks.first().context("no task was pushed")?;
    assert_eq!(
        (task.kind, task.text("qrcode_session_id")),
        (200, id.as_str())
    );
    let task = pushed.task_id.clone().context("the task has no id")?;
    socket.task_result(&task, None).await?.ok()?;
    assert_eq!(login(&host, &id).await?["state"], "dispatched");

    let new = host.wehub("wxid_new")?;
    taken(&new.upload_code(&id, 0).await?)?;
    let new = new.login_by_qr(&id).await?;
    assert_eq!(login(&host, &id).await?["state"], "succeeded");
    let mut second = new.login_socket().await?;
    let (next, _) = start(&host, json!({"agent": "wxid_new"})).await?;
    let pushed = second.next_push().await?;
    assert_eq!(pushed.tasks[0].text("qrcode_session_id"), next);

    let data = json!({"client_version": "0.4.26", "machine_id": new.identity().machine_id});
    let goodbye = second.report("logout", data).await?;
    assert_eq!(goodbye.data, json!({"exit_wehub": 1, "exit_wechat": 1}));
    host.end().await
}
