//! Counts the messages of each group and reports them when its schedule says so.
use std::time::Duration;

use wxhost_sdk::{prelude::*, wasi::atomics};

wxhost_sdk::bot!(on_event);

/// How the keys begin under which messages are counted.
const COUNTED: &str = "said ";
/// How many groups one message names. Each is a key to delete, and a call may write 256 keys
/// (`limits.call_key_value_writes`): with more groups than that, every report would fail.
const GROUPS_MAX: usize = 100;
/// The timer for those that are left. Its payload is the last key that was reported.
const REST: &str = "rest";

fn on_event(event: Event) -> Result<(), Error> {
    match &event.what {
        Happening::Timer(timer) if timers::schedule(timer) == Some("report") => report(""),
        Happening::Timer(timer) if timer.id == REST => report(&timer.payload),
        _ => match event.message().and_then(|message| message.group.as_ref()) {
            Some(group) => count(group),
            None => Ok(()),
        },
    }
}

fn count(group: &str) -> Result<(), Error> {
    kv::increment(&format!("{COUNTED}{group}"), 1)?;
    Ok(())
}

/// Reports the groups whose keys come after this one, and the rest of them a little later.
fn report(after: &str) -> Result<(), Error> {
    let to = config::require("to")?;
    let bucket = kv::bucket()?;
    let mut keys = counted(&bucket, after)?;
    let more = keys.len() > GROUPS_MAX;
    keys.truncate(GROUPS_MAX);
    let mut lines = Vec::new();
    for key in &keys {
        // Adding nothing reads the number.
        let count = atomics::increment(&bucket, key, 0)?;
        let group = key.strip_prefix(COUNTED).unwrap_or(key);
        lines.push(format!("{}: {count}", name(group)?));
        bucket.delete(key)?;
    }
    if let Some(last) = keys.last().filter(|_| more) {
        timers::set(REST, Duration::from_secs(1), last)?;
    }
    let text = match lines.is_empty() {
        true => "Nobody said anything.".to_owned(),
        false => lines.join("\n"),
    };
    send_text(&to, &text)?;
    Ok(())
}

/// The keys of groups in order, from the first after this one.
fn counted(bucket: &kv::Bucket, after: &str) -> Result<Vec<String>, Error> {
    let mut keys = Vec::new();
    let mut cursor = None;
    loop {
        let page = bucket.list_keys(cursor)?;
        let found = page.keys.into_iter();
        keys.extend(found.filter(|key| key.starts_with(COUNTED) && key.as_str() > after));
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    keys.sort();
    Ok(keys)
}

fn name(group: &str) -> Result<String, Error> {
    let found = contacts::get_contact(group)?;
    let name = found.map(|contact| contact.name().to_owned());
    Ok(name
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| group.to_owned()))
}
