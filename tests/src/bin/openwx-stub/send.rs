//! Sending: one message at a time, each takes a while, and some are refused.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{client::Client, report};

/// Content that WeChat refuses.
pub const REFUSED: &str = "stub:refuse";
/// Content whose sending is never answered, though it is sent.
pub const UNANSWERED: &str = "stub:no-answer";

/// What is sent.
#[derive(Debug, Clone)]
pub enum What {
    /// A text.
    Text(String),
    /// A file or an address of one.
    Media(String),
}

impl What {
    /// By the field of an answer to a report.
    pub fn of(field: &str, content: &str) -> Self {
        match field {
            "media" => Self::Media(content.to_owned()),
            _ => Self::Text(content.to_owned()),
        }
    }

    /// The text or the path.
    pub fn content(&self) -> &str {
        match self {
            Self::Text(text) | Self::Media(text) => text,
        }
    }

    /// The word in reports.
    pub fn format(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Media(_) => "media",
        }
    }
}

/// Sends to whoever has this id, keeps and reports it. `from` tells who asked:
/// `api` or `code`. The answer is that of the API.
pub async fn carry_out(client: &Arc<Client>, place: &Value, what: &What, from: &str) -> Value {
    let _turn = client.sending.lock().await;
    sleep(Duration::from_millis(client.arguments.send_ms)).await;
    let id = client.next_id();
    let place_id = place.as_str().unwrap_or_default();
    if what.content().starts_with(REFUSED) {
        return json!({"code": 1205, "id": format!("{id}:{place_id}"), "status": "message was refused"});
    }
    let bytes = match what {
        What::Media(path) => std::fs::metadata(path).ok().map(|file| file.len()),
        What::Text(_) => None,
    };
    client.keep_sent(json!({
        "to": place_id,
        "what": what.format(),
        "content": what.content(),
        "bytes": bytes,
        "from": from,
        "id": id,
        "account": client.account(),
        "pid": std::process::id(),
    }));
    let known = [("id", place_id)];
    let people = &client.people;
    if let Some(object) = people.friend(&known).or_else(|| people.group(&known)) {
        let own = report::own(client, object, what, from, &id);
        let client = Arc::clone(client);
        tokio::spawn(async move { report::tell(&client, own).await });
    }
    if what.content().starts_with(UNANSWERED) {
        std::future::pending::<()>().await;
    }
    json!({"code": 0, "id": format!("{id}:{place_id}"), "status": "success"})
}
