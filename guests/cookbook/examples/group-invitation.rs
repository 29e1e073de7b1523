//! Whoever writes the word in private is invited to the group, once an hour at most.
use wxhost_sdk::prelude::*;

wxhost_sdk::bot!(on_event);

const HOUR_MS: u64 = 60 * 60 * 1000;
/// The key under which those who were invited are remembered.
const INVITED: &str = "invited";
/// How many are invited in an hour.
const INVITED_MAX: usize = 50;

fn on_event(event: Event) -> Result<(), Error> {
    let Some(message) = event.message().filter(|it| !it.in_group()) else {
        return Ok(());
    };
    let word = config::get("word")?.unwrap_or_else(|| "join".to_owned());
    if message.text().map(str::trim) != Some(word.as_str()) {
        return Ok(());
    }
    let group = config::require("group")?;
    // One key with a line for each: a key for everybody who ever asked would fill the bucket.
    let known = kv::get(INVITED)?.unwrap_or_default();
    let mut lines: Vec<_> = known.lines().filter_map(|it| it.split_once(' ')).collect();
    lines.retain(|(ms, _)| is_recent(ms));
    if lines.iter().any(|(_, who)| *who == message.author) {
        chat::reply("You have an invitation already: look for it above.")?;
        return Ok(());
    }
    if lines.len() >= INVITED_MAX {
        chat::reply("Many people ask at the moment: try again in an hour.")?;
        return Ok(());
    }
    let ms = now().to_string();
    lines.push((&ms, &message.author));
    let kept: Vec<_> = lines
        .iter()
        .map(|(ms, who)| format!("{ms} {who}"))
        .collect();
    kv::set(INVITED, &kept.join("\n"))?;
    let person = std::slice::from_ref(&message.author);
    groups::invite(&group, person, groups::InviteBy::Invitation)?;
    Ok(())
}

fn is_recent(ms: &str) -> bool {
    let invited = ms.parse().unwrap_or(0);
    now().saturating_sub(invited) < HOUR_MS
}
