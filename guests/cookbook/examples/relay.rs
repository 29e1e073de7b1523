//! What is said to this account is said by another one: over the host's own API, which
//! lets no account act for another but whoever has a token for it.
use serde_json::json;
use wxhost_sdk::{prelude::*, web};

wxhost_sdk::bot!(on_event);

fn on_event(event: Event) -> Result<(), Error> {
    let Some(message) = event.message() else {
        return Ok(());
    };
    let Some(text) = message.text() else {
        return Ok(());
    };
    let (api, account) = (config::require("api")?, config::require("account")?);
    let who = match message.author_name.is_empty() {
        true => &message.author,
        false => &message.author_name,
    };
    let task = json!({
        "action": "send",
        "conversation": config::require("to")?,
        "segments": [{"text": format!("{who}: {text}")}],
    });
    let url = format!("{api}/accounts/{account}/tasks");
    let request = web::post(&url, task.to_string())
        .header("content-type", "application/json")
        .header(
            "authorization",
            &format!("Bearer {}", config::require("token")?),
        )
        // If the event comes again, so does the request: it makes one task all the same.
        .header("idempotency-key", &event.id);
    let response = web::fetch(&request)?;
    match response.is_success() {
        true => Ok(()),
        false => Err(format!("{}: {}", response.status, response.text()).into()),
    }
}
