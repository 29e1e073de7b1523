//! What the stub tells the address it was given, in the shapes that were observed,
//! and what it does with the answers.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::timeout;
use wxhost_tests::{
    Result,
    http::{Connection, Target},
};

use crate::{
    client::{Client, State, locked, now_s},
    files, send,
};

/// How long it waits for an answer (section 3).
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Goes on to another state: writes it down and tells it.
pub async fn go(client: &Arc<Client>, state: State) -> Result<()> {
    let old = client.now();
    *locked(&client.previous) = old;
    client.state.send_replace(state);
    files::write_state(client)?;
    let change = event("state_change", json!([old.as_str(), state.as_str()]));
    tell(client, change).await;
    Ok(())
}

/// An event.
pub fn event(name: &str, params: Value) -> Value {
    json!({"post_type": "event", "event": name, "params": params})
}

/// Reports something and gives the answer; null when there was none.
pub async fn tell(client: &Arc<Client>, report: Value) -> Value {
    client.keep_event(&report);
    let arguments = &client.arguments;
    let silent = report["post_type"] == "event" && !client.environment.post_event;
    let answer = match &client.environment.post_api {
        Some(url) if !arguments.no_reports && !silent => {
            let posted = timeout(ANSWER_MAX, post(url, &report)).await;
            posted.unwrap_or_else(|_| json!({"error": "no answer in time"}))
        }
        _ => Value::Null,
    };
    client.keep_report(&report, answer.clone());
    answer
}

/// Somebody writes to the account: reports it, and answers as it is told to.
pub async fn receive(client: &Arc<Client>, message: Value) -> Value {
    let answer = tell(client, message.clone()).await;
    let body = &answer["body"];
    let place = match message.get("group_id") {
        Some(group) => group,
        None => &message["sender_id"],
    };
    for what in ["reply", "media"] {
        if let Some(content) = body[what].as_str().filter(|text| !text.is_empty()) {
            let (client, place) = (Arc::clone(client), place.clone());
            let what = send::What::of(what, content);
            tokio::spawn(async move { send::carry_out(&client, &place, &what, "code").await });
        }
    }
    answer
}

/// A text that somebody has written, as a real client reports it.
pub fn text(client: &Client, sender: &Value, group: Option<&Value>, content: &str) -> Value {
    let mut message = json!({
        "class": "recv",
        "content": content,
        "format": "text",
        "id": client.next_id(),
        "post_type": "receive_message",
        "time": now_s(),
        "type": if group.is_some() { "group_message" } else { "friend_message" },
    });
    person(&mut message, "sender", sender);
    person(&mut message, "receiver", &client.people.me);
    if let Some(group) = group {
        group_fields(&mut message, group);
    }
    message
}

/// What the account itself has sent, as a real client reports it.
pub fn own(client: &Client, place: &Value, what: &send::What, from: &str, id: &str) -> Value {
    let mut message = json!({
        "class": "send",
        "code": "",
        "content": what.content(),
        "format": what.format(),
        "from": from,
        "id": id,
        "info": "发送正常",
        "msg": "",
        "post_type": "send_message",
        "time": now_s(),
        "type": "friend_message",
    });
    person(&mut message, "sender", &client.people.me);
    match place.get("member") {
        Some(_) => {
            message["type"] = "group_message".into();
            group_fields(&mut message, place);
        }
        None => person(&mut message, "receiver", place),
    }
    message
}

fn person(message: &mut Value, role: &str, person: &Value) {
    message[role] = person["name"].clone();
    for field in ["account", "category", "id", "markname", "name", "uid"] {
        if let Some(value) = person.get(field) {
            message[format!("{role}_{field}")] = value.clone();
        }
    }
}

fn group_fields(message: &mut Value, group: &Value) {
    message["group"] = group["displayname"].clone();
    for field in ["id", "name", "uid"] {
        message[format!("group_{field}")] = group[field].clone();
    }
}

/// The status of an answer, and its body if it is JSON.
async fn post(url: &str, report: &Value) -> Value {
    let posted = async {
        let target = Target::parse(url)?;
        let mut connection = Connection::open(&target.address).await?;
        let reply = connection
            .exchange(&target.post(report.to_string().as_bytes()))
            .await?;
        let is_json = reply.header("content-type").starts_with("application/json");
        let body: Value = match is_json {
            true => serde_json::from_slice(reply.body).unwrap_or_default(),
            false => Value::Null,
        };
        Result::Ok(json!({"status": reply.status, "body": body}))
    };
    posted
        .await
        .unwrap_or_else(|error| json!({"error": error.to_string()}))
}
