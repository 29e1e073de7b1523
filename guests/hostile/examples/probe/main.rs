//! Calls whatever function of the package the message names, and answers with
//! the outcome: "ok VALUE" or "err CODE MESSAGE".
//!
//! The message is words: `groups.kick g1 u1 u2`, `chat.send g1 mention:u1
//! text:hello`, `keyvalue.set key some text`. A "-" stands for none. Each
//! function's words are in `actions.rs` and `reads.rs`.
//!
//! Of an event that is no text it sends what Rust prints of it to the
//! conversation in the configuration's `report-to`, if that is set.
use wxhost_sdk::prelude::*;

mod actions;
mod reads;
mod sandbox;
mod wasi_http;
mod words;

use words::Words;

wxhost_sdk::bot!(on_event);

fn on_event(event: Event) -> Result<(), Error> {
    if let Some(text) = event.text() {
        chat::reply(&match answer(&event, text) {
            Ok(value) => format!("ok {value}").trim_end().to_owned(),
            Err(error) => in_words(&error),
        })?;
    } else if let Some(conversation) = config::get("report-to")? {
        send_text(&conversation, &format!("{:?}", event.what))?;
    }
    Ok(())
}

fn answer(event: &Event, text: &str) -> Result<String, Error> {
    let mut words = Words::new(text);
    let name = words.word("INTERFACE.FUNCTION")?;
    let (interface, function) = name.split_once('.').unwrap_or((name, ""));
    match interface {
        "event" => Ok(format!("{event:?}")),
        "chat" => actions::chat(function, words),
        "groups" => actions::groups(function, words),
        "friends" => actions::friends(function, words),
        "tags" => actions::tags(function, words),
        "timers" => actions::timers(function, words),
        "web" => actions::web(function, words),
        "wasi-http" => wasi_http::wasi_http(function, words),
        "log" => actions::log(function, words),
        "contacts" => reads::contacts(function, words),
        "context" => reads::context(function, words),
        "config" => reads::config(function, words),
        "keyvalue" => reads::keyvalue(function, words, kv::bucket),
        "shared" => reads::keyvalue(function, words, kv::shared),
        "clock" => reads::clock(function),
        "random" => reads::random(function, words),
        "sandbox" => sandbox::sandbox(function, words),
        _ => Err(unknown(interface)),
    }
}

fn unknown(name: &str) -> Error {
    format!("the probe knows no {name:?}").into()
}

fn in_words(error: &Error) -> String {
    match error.failure() {
        Some(Failure {
            code,
            message,
            retry_after_ms: None,
        }) => format!("err {code} {message}"),
        Some(Failure {
            code,
            message,
            retry_after_ms: Some(ms),
        }) => {
            format!("err {code} {message} (retry after {ms} ms)")
        }
        None => format!("err other {error}"),
    }
}
