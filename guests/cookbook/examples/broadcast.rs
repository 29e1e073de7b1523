//! `broadcast: text`, written by the owner, goes to all friends of the account, some at
//! a time. It goes on where it was after a restart of the host.
use std::time::Duration;

use wxhost_sdk::prelude::*;

wxhost_sdk::bot!(on_event);

const TIMER: &str = "broadcast";

fn on_event(event: Event) -> Result<(), Error> {
    if let Happening::Timer(timer) = &event.what {
        return match timer.id == TIMER {
            true => go_on(Some(timer.payload.clone()).filter(|it| !it.is_empty())),
            false => Ok(()),
        };
    }
    let Some(message) = event.message() else {
        return Ok(());
    };
    let asked = message.text().and_then(|it| it.strip_prefix("broadcast:"));
    let Some(text) = asked else {
        return Ok(());
    };
    if message.author != config::require("owner")? {
        return Ok(());
    }
    kv::set("text", text.trim())?;
    timers::set(TIMER, Duration::ZERO, "")?;
    chat::reply("It begins.")?;
    Ok(())
}

/// Sends to the friends of one page. The next one comes later.
fn go_on(cursor: Option<String>) -> Result<(), Error> {
    let text = kv::get("text")?.ok_or("there is nothing to send")?;
    let limit = number("at-a-time", 10)?;
    let page = contacts::list_contacts(Some(contacts::Kind::User), cursor.as_deref(), limit)?;
    for friend in &page.items {
        send_text(friend.id(), &text)?;
    }
    match page.next {
        Some(next) => {
            let pause = Duration::from_secs(number("pause-s", 60)?.into());
            timers::set(TIMER, pause, &next)?;
        }
        None => kv::delete("text")?,
    }
    Ok(())
}

fn number(key: &str, default: u32) -> Result<u32, Error> {
    Ok(match config::get(key)? {
        Some(number) => number.parse()?,
        None => default,
    })
}
