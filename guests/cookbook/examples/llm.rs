//! Answers by a language model behind an API like OpenAI's. It remembers the last turns
//! of each conversation, and says so when the model takes too long.
use serde_json::{Value, json};
use wxhost_sdk::{prelude::*, web};

wxhost_sdk::bot!(on_event);

/// How many turns of a conversation the model sees.
const TURNS: usize = 12;
/// What is left of the call's time for saying that the model took too long, in ms.
const RESERVE_MS: u64 = 500;

fn on_event(event: Event) -> Result<(), Error> {
    let Some(message) = event.message() else {
        return Ok(());
    };
    let Some(text) = message.text() else {
        return Ok(());
    };
    if message.in_group() && !message.mentions_me {
        return Ok(());
    }
    let key = format!("turns {}", message.conversation);
    let mut turns: Vec<Value> = match kv::get(&key)? {
        Some(turns) => serde_json::from_str(&turns)?,
        None => Vec::new(),
    };
    turns.push(json!({"role": "user", "content": text}));
    match ask(&turns)? {
        Some(answer) => {
            chat::reply(&answer)?;
            turns.push(json!({"role": "assistant", "content": answer}));
            let old = turns.len().saturating_sub(TURNS);
            turns.drain(..old);
            kv::set(&key, &serde_json::to_string(&turns)?)?;
        }
        None => {
            let busy = config::get("busy")?;
            chat::reply(
                busy.as_deref()
                    .unwrap_or("One moment, please ask me again."),
            )?;
        }
    }
    Ok(())
}

/// The model's answer; none when it takes too long.
fn ask(turns: &[Value]) -> Result<Option<String>, Error> {
    let mut messages = Vec::new();
    if let Some(system) = config::get("system")? {
        messages.push(json!({"role": "system", "content": system}));
    }
    messages.extend_from_slice(turns);
    let body = json!({"model": config::require("model")?, "messages": messages});
    let left_ms = context::deadline().saturating_sub(now() + RESERVE_MS);
    let url = format!("{}/chat/completions", config::require("url")?);
    let request = web::post(&url, body.to_string())
        .header("content-type", "application/json")
        .header(
            "authorization",
            &format!("Bearer {}", config::require("api_key")?),
        )
        .timeout_ms(u32::try_from(left_ms).unwrap_or(u32::MAX));
    let response = match web::fetch(&request) {
        Err(failure) if failure.code == "timeout" => return Ok(None),
        response => response?,
    };
    if !response.is_success() {
        return Err(format!("the model's host answered {}", response.status).into());
    }
    let answer: Value = serde_json::from_slice(&response.body)?;
    let text = answer.pointer("/choices/0/message/content");
    let text = text.and_then(Value::as_str);
    Ok(Some(
        text.ok_or("the model's host gave no text")?
            .trim()
            .to_owned(),
    ))
}
