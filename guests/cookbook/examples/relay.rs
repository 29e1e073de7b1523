//! What is said to this account is said by another one. No bot acts for an account that it
//! does not serve: this one asks an endpoint that may (`guests/webhook`), with its token.
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
    let who = match message.author_name.is_empty() {
        true => &message.author,
        false => &message.author_name,
    };
    let said = json!({
        "account": config::require("account")?,
        "to": config::require("to")?,
        "text": format!("{who}: {text}"),
    });
    let token = format!("Bearer {}", config::require("token")?);
    let request = web::post(&config::require("url")?, said.to_string())
        .header("content-type", "application/json")
        .header("authorization", &token);
    // If the host ends before this event is settled, the event comes again, and it is said
    // twice.
    let response = web::fetch(&request)?;
    match response.is_success() {
        true => Ok(()),
        false => Err(format!("{}: {}", response.status, response.text()).into()),
    }
}
