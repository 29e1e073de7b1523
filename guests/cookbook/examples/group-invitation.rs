//! Whoever writes the word in private is invited to the group, once an hour at most.
use wxhost_sdk::prelude::*;

wxhost_sdk::bot!(on_event);

const HOUR_MS: u64 = 60 * 60 * 1000;

fn on_event(event: Event) -> Result<(), Error> {
    let Some(message) = event.message().filter(|it| !it.in_group()) else {
        return Ok(());
    };
    let word = config::get("word")?.unwrap_or_else(|| "join".to_owned());
    if message.text().map(str::trim) != Some(word.as_str()) {
        return Ok(());
    }
    let group = config::require("group")?;
    let key = format!("invited {}", message.author);
    let last: u64 = match kv::get(&key)? {
        Some(ms) => ms.parse()?,
        None => 0,
    };
    if now().saturating_sub(last) < HOUR_MS {
        chat::reply("You have an invitation already: look for it above.")?;
        return Ok(());
    }
    kv::set(&key, &now().to_string())?;
    let person = std::slice::from_ref(&message.author);
    groups::invite(&group, person, groups::InviteBy::Invitation)?;
    Ok(())
}
