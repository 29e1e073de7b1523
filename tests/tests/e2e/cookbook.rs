//! The ten bots of the cookbook, each doing what its page says.

use std::{sync::Arc, time::Duration};

use axum::{Json, Router, extract::State, http::HeaderMap, routing::post};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use wxhost_tests::{Context, Host, Result, WehubClient, check, guests, poll, wehub::Message};

use crate::fixtures::{self, ACCOUNT, GROUP};

/// How long something may take that a bot does later.
const SOON: Duration = Duration::from_secs(10);

/// A host whose accounts are served by a recipe, with this configuration.
async fn cook(recipe: &str, manifest: Value, config: Value) -> Result<Host> {
    let host = Host::unpaced().await?;
    serve(&host, recipe, manifest, config).await?;
    Ok(host)
}

async fn serve(host: &Host, recipe: &str, manifest: Value, config: Value) -> Result<()> {
    let bytes = guests::bytes(recipe)?;
    let options = json!({"manifest": manifest});
    let api = host.api()?;
    api.deploy_with(recipe, bytes, &options).await?.ok()?;
    host.configure(recipe, config).await?;
    host.bind("*", recipe).await?;
    Ok(())
}

/// What is sent next through the queue.
async fn pulled(client: &WehubClient) -> Result<(String, String)> {
    poll::until("a task in the queue", SOON, async || {
        let ack = client.pull_task().await?;
        let sent = ack.sent().next();
        Ok(sent.map(|sent| (sent.to, sent.text.unwrap_or_default())))
    })
    .await
}

async fn no_failure(host: &Host, account: &str) -> Result<()> {
    let failures = host.api()?.failures(account).await?;
    check!(failures.is_empty(), "{failures:?}");
    Ok(())
}

/// A system that bots ask: keeps what it was asked, and answers as told.
#[derive(Clone)]
struct Site {
    origin: String,
    asked: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
    answer: Arc<Mutex<(Duration, Value)>>,
}

impl Site {
    async fn start(answer: Value) -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let site = Self {
            origin: format!("http://{}", listener.local_addr()?),
            asked: Arc::default(),
            answer: Arc::new(Mutex::new((Duration::ZERO, answer))),
        };
        let routes = Router::new().fallback_service(post(Self::ask).with_state(site.clone()));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(site)
    }

    async fn ask(State(site): State<Self>, headers: HeaderMap, body: Json<Value>) -> Json<Value> {
        site.asked.lock().await.push((headers, body.0));
        let (after, answer) = site.answer.lock().await.clone();
        tokio::time::sleep(after).await;
        Json(answer)
    }

    fn allowed(&self) -> Value {
        json!({"allowed_hosts": [self.origin]})
    }
}

#[tokio::test]
async fn keywords_are_answered() -> Result<()> {
    let config = json!({"on price": "It is 5.", "on 营业": "九点到六点"});
    let host = cook("keyword-reply", json!({}), config).await?;
    let a = host.wehub(ACCOUNT)?.login().await?;
    let said = a.text_from("wxid_bob", "What is the PRICE?").await?;
    said.says("It is 5.")?;
    a.text_from("wxid_bob", "几点营业")
        .await?
        .says("九点到六点")?;
    a.text_from("wxid_bob", "hello").await?.silent()?;
    let words = json!({"msg": "the price", "atUserList": []});
    let aside = Message::in_group(GROUP, "wxid_bob", 1, words);
    a.deliver(&aside).await?.silent()?;
    let asked = a.group_text(GROUP, "wxid_bob", "the price").await?;
    asked.says("It is 5.")?.to(GROUP)?;
    no_failure(&host, ACCOUNT).await?;
    host.end().await
}

#[tokio::test]
async fn new_members_are_welcome_once() -> Result<()> {
    let config = json!({"text": "Hello {names}"});
    let host = cook("welcome", json!({}), config).await?;
    let a = host.wehub(ACCOUNT)?.login().await?;
    let joined = fixtures::read("report_room_member_change")?;
    let greeted = a.send_json(&joined).await?;
    greeted.says("Hello newcomer")?.to(GROUP)?;
    let mut left = joined.clone();
    left["data"]["flag"] = json!(0);
    a.send_json(&left).await?.silent()?;
    a.send_json(&joined).await?.silent()?;
    no_failure(&host, ACCOUNT).await?;
    host.end().await
}

#[tokio::test]
async fn friends_need_the_password() -> Result<()> {
    let config = json!({"password": "Jerry", "greeting": "Hi"});
    let host = cook("friend-gate", json!({}), config).await?;
    let a = host.wehub(ACCOUNT)?.login().await?;
    let request = fixtures::read("report_friend_add_request")?;
    let accepted = a.send_json(&request).await?;
    assert_eq!(
        accepted
            .ok()?
            .tasks
            .iter()
            .map(|it| it.kind)
            .collect::<Vec<_>>(),
        [13]
    );
    let greeted = a.send_json(&fixtures::read("report_new_friend")?).await?;
    greeted.says("Hi")?.to("wxid_friend09")?;
    let mut other = request;
    other["data"]["notice_word"] = json!("let me in");
    a.send_json(&other).await?.silent()?;
    no_failure(&host, ACCOUNT).await?;
    host.end().await
}

#[tokio::test]
async fn whoever_asks_is_invited() -> Result<()> {
    let config = json!({"word": "join", "group": GROUP});
    let host = cook("group-invitation", json!({}), config).await?;
    let a = host.wehub(ACCOUNT)?.login().await?;
    let invited = a.text_from("wxid_bob", "join").await?;
    let task = invited.ok()?.tasks.first().context("no invitation")?;
    assert_eq!(
        (task.text("room_wxid"), task.text("wxid")),
        (GROUP, "wxid_bob")
    );
    let again = a.text_from("wxid_bob", "join").await?;
    check!(
        again.ok()?.texts().concat().contains("already"),
        "{again:?}"
    );
    a.group_text(GROUP, "wxid_eve", "join").await?.silent()?;
    no_failure(&host, ACCOUNT).await?;
    host.end().await
}

#[tokio::test]
async fn a_report_comes_by_its_schedule() -> Result<()> {
    let schedule = json!({"name": "report", "cron": "0 20 * * *", "zone": "Asia/Shanghai"});
    let manifest = json!({"schedules": [schedule]});
    let host = cook("daily-report", manifest, json!({"to": "wxid_boss"})).await?;
    let a = host.wehub(ACCOUNT)?.login().await?;
    a.send_json(&fixtures::read("report_contact")?).await?;
    for text in ["one", "two"] {
        a.group_text(GROUP, "wxid_bob", text).await?.silent()?;
    }
    let fire = [
        "handler",
        "fire",
        "daily-report",
        "report",
        "--account",
        ACCOUNT,
    ];
    for wanted in ["客户群 1: 2", "Nobody said anything."] {
        let fired = host.cli(&fire).await?;
        check!(fired.status.success(), "{fired:?}");
        let told = pulled(&a).await?;
        assert_eq!(told, ("wxid_boss".to_owned(), wanted.to_owned()));
    }
    no_failure(&host, ACCOUNT).await?;
    host.end().await
}

#[tokio::test]
async fn a_report_of_many_groups_comes_in_parts() -> Result<()> {
    let schedule = json!({"name": "report", "cron": "0 20 * * *"});
    let manifest = json!({"schedules": [schedule]});
    let host = cook("daily-report", manifest, json!({"to": "wxid_boss"})).await?;
    let a = host.wehub(ACCOUNT)?.login().await?;
    for number in 0..130 {
        let group = format!("{number:03}@chatroom");
        a.group_text(&group, "wxid_bob", "one").await?.silent()?;
    }
    let words = ["fire", "daily-report", "report", "--account", ACCOUNT];
    let fired = host.cli(&[["handler"].as_slice(), &words].concat()).await?;
    check!(fired.status.success(), "{fired:?}");
    let mut groups = Vec::new();
    for wanted in [100, 30] {
        let (_, text) = pulled(&a).await?;
        assert_eq!(text.lines().count(), wanted, "{text}");
        groups.extend(text.lines().map(str::to_owned));
    }
    let all: Vec<_> = (0..130).map(|it| format!("{it:03}@chatroom: 1")).collect();
    assert_eq!(groups, all);
    no_failure(&host, ACCOUNT).await?;
    host.end().await
}

#[tokio::test]
async fn messages_go_to_a_webhook() -> Result<()> {
    let site = Site::start(json!({"reply": "noted"})).await?;
    let config = json!({"url": format!("{}/hook", site.origin), "token": "s3cret"});
    let host = cook("forward", site.allowed(), config).await?;
    let a = host.wehub(ACCOUNT)?.login().await?;
    a.text_from("wxid_bob", "an order").await?.says("noted")?;
    let asked = site.asked.lock().await;
    let (headers, body) = asked.first().context("nothing was asked")?;
    assert_eq!(
        (&body["author"], &body["text"]),
        (&json!("wxid_bob"), &json!("an order"))
    );
    assert_eq!(headers["authorization"], "Bearer s3cret");
    assert_eq!(
        headers["idempotency-key"],
        body["event"].as_str().context("no event")?
    );
    no_failure(&host, ACCOUNT).await?;
    host.end().await
}

#[tokio::test]
async fn a_broadcast_reaches_all_friends_bit_by_bit() -> Result<()> {
    let config = json!({"owner": "wxid_boss", "at-a-time": "1", "pause-s": "1"});
    let host = cook("broadcast", json!({}), config).await?;
    let a = host.wehub(ACCOUNT)?.login().await?;
    a.send_json(&fixtures::read("report_contact")?).await?;
    a.text_from("wxid_eve", "broadcast: spam").await?.silent()?;
    a.text_from("wxid_boss", "broadcast: we are open")
        .await?
        .says("It begins.")?;
    for friend in ["wxid_friend01", "wxid_friend02"] {
        let sent = pulled(&a).await?;
        assert_eq!(sent, (friend.to_owned(), "we are open".to_owned()));
    }
    no_failure(&host, ACCOUNT).await?;
    host.end().await
}

#[tokio::test]
async fn files_are_fetched_and_remembered() -> Result<()> {
    let host = cook("file-saver", json!({}), json!({})).await?;
    let a = host.wehub(ACCOUNT)?.login().await?;
    a.text_from("wxid_bob", "files")
        .await?
        .says("No file has come yet.")?;
    let asked = a.send_json(&fixtures::message("msg-4903-file")?).await?;
    let task = asked.ok()?.tasks.first().context("nothing was asked for")?;
    assert_eq!(task.kind, 9);
    let file = task.text("file_index").to_owned();
    a.upload_file(&file, "prices.pdf", b"%PDF").await?;
    poll::until("the file in the list", SOON, async || {
        let list = a
            .text_from("wxid_bob", "files")
            .await?
            .ok()?
            .texts()
            .concat();
        Ok(list.contains("/files/").then_some(()))
    })
    .await?;
    no_failure(&host, ACCOUNT).await?;
    host.end().await
}

#[tokio::test]
async fn what_one_account_hears_another_says() -> Result<()> {
    let host = Host::unpaced().await?;
    let origin = format!("http://{}", host.address()?);
    let options = json!({"manifest": {"act_for": ["wxid_b"]}});
    let webhook = guests::bytes("webhook")?;
    let endpoint = host
        .api()?
        .deploy_with("webhook", webhook, &options)
        .await?;
    let config = json!({
        "url": format!("{origin}/x/webhook/"), "token": endpoint.ok()?["token"],
        "account": "wxid_b", "to": "wxid_boss",
    });
    serve(&host, "relay", json!({"allowed_hosts": [origin]}), config).await?;
    let a = host.wehub(ACCOUNT)?.login().await?;
    let b = host.wehub("wxid_b")?.login().await?;
    a.text_from("wxid_bob", "tell them").await?.silent()?;
    let said = pulled(&b).await?;
    assert_eq!(
        said,
        ("wxid_boss".to_owned(), "wxid_bob: tell them".to_owned())
    );
    no_failure(&host, ACCOUNT).await?;
    host.end().await
}

#[tokio::test]
async fn a_model_answers_or_is_too_late() -> Result<()> {
    let answer = json!({"choices": [{"message": {"role": "assistant", "content": " Four. "}}]});
    let site = Site::start(answer).await?;
    let config = json!({
        "url": format!("{}/v1", site.origin), "model": "small", "system": "Be brief.",
        "api_key": "sk-1", "busy": "Later.",
    });
    let host = cook("llm", site.allowed(), config).await?;
    let a = host.wehub(ACCOUNT)?.login().await?;
    a.text_from("wxid_bob", "Two and two?")
        .await?
        .says("Four.")?;
    a.text_from("wxid_bob", "Sure?").await?.says("Four.")?;
    let roles: Vec<Value> = {
        let asked = site.asked.lock().await;
        let (_, body) = asked.last().context("nothing was asked")?;
        let messages = body["messages"].as_array().context("no messages")?;
        messages.iter().map(|it| it["role"].clone()).collect()
    };
    assert_eq!(roles, ["system", "user", "assistant", "user"]);
    site.answer.lock().await.0 = Duration::from_secs(60);
    a.text_from("wxid_bob", "And now?").await?.says("Later.")?;
    no_failure(&host, ACCOUNT).await?;
    host.end().await
}
