//! Whatever was answered survives `kill -9` at any moment.
//!
//! Eight accounts write as fast as they are answered while the host is killed
//! again and again. As a client would, each reports a message anew until it is
//! answered. At the end what the host has on record is held against what the
//! clients were told.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use wxhost_tests::{Context, Host, Result, WehubClient, check, fail, poll, wehub::Message};

/// How often the host is killed, unless `WXHOST_KILLS` says otherwise.
const KILLS: u64 = 20;
/// How many accounts write.
const ACCOUNTS: usize = 8;
/// How long all of it may take: a minute, and some time for each kill.
const ALL_MAX: Duration = Duration::from_secs(60);
const KILL_MAX: Duration = Duration::from_secs(4);
/// How long a client waits for an answer before it reports anew.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Every how many messages one is reported again although it was answered.
const REPEAT_EVERY: usize = 16;

/// What the clients shall do at the moment.
#[derive(Debug, Clone)]
struct Orders {
    /// Where to report to. The last host's address stands until every client has
    /// its last answer.
    url: String,
    /// Begin no further message.
    stop: bool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_survives_kill_9() -> Result<()> {
    let kills = std::env::var("WXHOST_KILLS").map_or(Ok(KILLS), |kills| kills.parse())?;
    let time = ALL_MAX + KILL_MAX * u32::try_from(kills)?;
    poll::within("the whole test", time, killed_and_checked(kills)).await
}

async fn killed_and_checked(kills: u64) -> Result<()> {
    let mut host = Host::unpaced().await?;
    host.serve_guest("*", "echo").await?;
    host.configure("echo", json!({"count": "true"})).await?;
    let (orders, ordered) = watch::channel(Orders {
        url: host.callback_url()?,
        stop: false,
    });
    let mut clients = JoinSet::new();
    for number in 0..ACCOUNTS {
        let client = host.wehub(&format!("wxid_{number}"))?.login().await?;
        clients.spawn(write(client, ordered.clone()));
    }
    drop(ordered);
    for kill in 0..kills {
        // Any moment will do; the spread only makes them differ.
        sleep(Duration::from_millis(60 + 37 * (kill * 7 % 11))).await;
        host.kill9().await?;
        host.start_again()
            .await
            .context(format!("after kill {kill}"))?;
        let url = host.callback_url()?;
        orders.send_modify(|orders| orders.url = url);
    }
    orders.send_modify(|orders| orders.stop = true);
    let mut messages = 0;
    while let Some(written) = clients.join_next().await {
        let (account, answered) = written??;
        check!(!answered.is_empty(), "{account} was never answered");
        messages += answered.len();
        on_record(&host, &account, &answered)
            .await
            .context(account)?;
    }
    eprintln!("{messages} messages answered over {kills} kills, none lost, none twice");
    host.end().await
}

/// Writes message after message until told to stop; returns the account and
/// every answered message's event key with its text.
async fn write(
    client: WehubClient,
    mut orders: watch::Receiver<Orders>,
) -> Result<(String, BTreeMap<String, String>)> {
    let account = client.wxid().to_owned();
    let mut client = client;
    let mut answered = BTreeMap::new();
    while !orders.borrow().stop {
        let number = answered.len() + 1;
        let text = format!("message {number} to {account}");
        let message = client.text("wxid_bob", &text);
        until_answered(&mut client, &mut orders, &message, &text).await?;
        if number % REPEAT_EVERY == 0 {
            until_answered(&mut client, &mut orders, &message, &text).await?;
        }
        answered.insert(message.event_key(), text);
    }
    Ok((account, answered))
}

/// Reports a message until it is answered, and insists on the right answer.
async fn until_answered(
    client: &mut WehubClient,
    orders: &mut watch::Receiver<Orders>,
    message: &Message,
    text: &str,
) -> Result<()> {
    loop {
        if let Ok(Ok(answer)) = timeout(ANSWER_MAX, raw(client, message)).await {
            answer.ack("report_new_msg")?.says(text)?;
            return Ok(());
        }
        // Dead or dying: the next host has another address. Or only slow: then
        // the same one is asked again.
        let _ = timeout(ANSWER_MAX, orders.changed()).await;
        let url = orders.borrow_and_update().url.clone();
        *client = client.moved_to(&url)?;
    }
}

async fn raw(client: &WehubClient, message: &Message) -> Result<wxhost_tests::wehub::RawAnswer> {
    let body = client.identity().envelope("report_new_msg", message.data());
    client.send_raw(body.to_string().as_bytes()).await
}

/// Holds the host's records of an account against what its client was told.
async fn on_record(host: &Host, account: &str, answered: &BTreeMap<String, String>) -> Result<()> {
    let api = host.api()?;
    let mut tasks = HashMap::new();
    for task in api.tasks(account).await? {
        let id = task["id"].as_str().context("a task has no id")?.to_owned();
        check!(
            tasks.insert(id.clone(), task).is_none(),
            "the task {id} is there twice"
        );
    }
    let mut events = BTreeMap::new();
    for event in api.events(account).await? {
        let key = event["key"]
            .as_str()
            .context("an event has no key")?
            .to_owned();
        if key.starts_with("msg-") {
            check!(
                events.insert(key.clone(), event).is_none(),
                "{key} is recorded twice"
            );
        }
    }
    for (key, text) in answered {
        let event = events
            .get(key)
            .context(format!("{key} was answered and is lost"))?;
        let [Value::String(id)] = event["tasks"].as_array().map_or(&[][..], Vec::as_slice) else {
            fail!("{key} has not one task: {event}");
        };
        let task = tasks
            .remove(id)
            .context(format!("the task {id} of {key} is lost"))?;
        let said = &task["action"]["segments"][0]["text"];
        check!(
            said == text.as_str(),
            "{key}: the task says {said}, the answer said {text}"
        );
        check!(
            task["origin"]["bot"]["event"] == key.as_str(),
            "{task} is not of {key}"
        );
    }
    check!(
        events.len() == answered.len(),
        "{} events, {} answered",
        events.len(),
        answered.len()
    );
    check!(tasks.is_empty(), "tasks of no message: {tasks:?}");
    let counted = api.value(account, "echo", "messages").await?;
    let counted = counted
        .context("the bot counted nothing")?
        .parse::<usize>()?;
    check!(
        counted == events.len(),
        "counted {counted}, recorded {}",
        events.len()
    );
    Ok(())
}
