//! Greets people who join a group by their names. Whoever leaves and comes again within
//! a day is not greeted twice.
use wxhost_sdk::prelude::*;

wxhost_sdk::bot!(on_event);

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// The key under which those who were greeted are remembered.
const GREETED: &str = "greeted";
/// How many they are at most.
const GREETED_MAX: usize = 200;

fn on_event(event: Event) -> Result<(), Error> {
    let Happening::MembersChanged(change) = &event.what else {
        return Ok(());
    };
    let mut names = Vec::new();
    for user in &change.joined {
        if is_new(&change.group, user)? {
            names.push(name(&change.group, user)?);
        }
    }
    if names.is_empty() {
        return Ok(());
    }
    let text = config::get("text")?.unwrap_or_else(|| "Welcome, {names}!".to_owned());
    send_text(&change.group, &text.replace("{names}", &names.join(", ")))?;
    Ok(())
}

/// Remembers who was greeted, in one key with a line for each. A key for everybody who ever
/// came would fill the bucket, and any stranger could bring that about.
fn is_new(group: &str, user: &str) -> Result<bool, Error> {
    let who = format!("{group} {user}");
    let known = kv::get(GREETED)?.unwrap_or_default();
    let mut lines: Vec<_> = known.lines().filter_map(|it| it.split_once(' ')).collect();
    lines.retain(|(ms, _)| is_recent(ms));
    if lines.iter().any(|(_, it)| *it == who) {
        return Ok(false);
    }
    let ms = now().to_string();
    lines.push((&ms, &who));
    // The newest, if they are too many.
    let kept = lines.iter().rev().take(GREETED_MAX).rev();
    let kept: Vec<_> = kept.map(|(ms, who)| format!("{ms} {who}")).collect();
    kv::set(GREETED, &kept.join("\n"))?;
    Ok(true)
}

fn is_recent(ms: &str) -> bool {
    let greeted = ms.parse().unwrap_or(0);
    now().saturating_sub(greeted) < DAY_MS
}

/// The client tells who came before it tells their names, so they may be missing.
fn name(group: &str, user: &str) -> Result<String, Error> {
    let member = contacts::get_member(group, user)?;
    let name = member.map(|it| it.group_nickname.unwrap_or(it.user.nickname));
    Ok(name
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "newcomer".to_owned()))
}
