//! Greets people who join a group by their names. Whoever leaves and comes again within
//! a day is not greeted twice.
use wxhost_sdk::prelude::*;

wxhost_sdk::bot!(on_event);

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

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

fn is_new(group: &str, user: &str) -> Result<bool, Error> {
    let key = format!("greeted {group} {user}");
    let last: u64 = match kv::get(&key)? {
        Some(ms) => ms.parse()?,
        None => 0,
    };
    kv::set(&key, &now().to_string())?;
    Ok(now().saturating_sub(last) > DAY_MS)
}

/// The client tells who came before it tells their names, so they may be missing.
fn name(group: &str, user: &str) -> Result<String, Error> {
    let member = contacts::get_member(group, user)?;
    let name = member.map(|it| it.group_nickname.unwrap_or(it.user.nickname));
    Ok(name
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "newcomer".to_owned()))
}
