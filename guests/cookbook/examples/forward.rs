//! Posts every message to an address, and says what comes back as `{"reply": "…"}`.
//!
//! A request can't be undone, and one whose event comes again is made again: the
//! event's id goes with it, so that the other side can tell.
use serde_json::{Value, json};
use wxhost_sdk::{prelude::*, web};

wxhost_sdk::bot!(on_event);

fn on_event(event: Event) -> Result<(), Error> {
    let Some(message) = event.message() else {
        return Ok(());
    };
    let body = json!({
        "event": event.id,
        "account": event.account,
        "conversation": message.conversation,
        "author": message.author,
        "kind": message.content.describe(),
        "text": message.text(),
    });
    let mut request = web::post(&config::require("url")?, body.to_string())
        .header("content-type", "application/json")
        .header("idempotency-key", &event.id)
        .timeout_ms(3_000);
    if let Some(token) = config::get("token")? {
        request = request.header("authorization", &format!("Bearer {token}"));
    }
    let response = web::fetch(&request)?;
    if !response.is_success() {
        return Err(format!("the webhook answered {}", response.status).into());
    }
    let answer: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    if let Some(text) = answer.get("reply").and_then(Value::as_str) {
        chat::reply(text)?;
    }
    Ok(())
}
