//! Counts the messages of each group and reports them when its schedule says so.
use wxhost_sdk::{prelude::*, wasi::atomics};

wxhost_sdk::bot!(on_event);

/// How the keys begin under which messages are counted.
const COUNTED: &str = "said ";

fn on_event(event: Event) -> Result<(), Error> {
    match &event.what {
        Happening::Timer(timer) if timers::schedule(timer) == Some("report") => report(),
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

fn report() -> Result<(), Error> {
    let to = config::require("to")?;
    let bucket = kv::bucket()?;
    let mut lines = Vec::new();
    let mut cursor = None;
    loop {
        let page = bucket.list_keys(cursor)?;
        for key in &page.keys {
            let Some(group) = key.strip_prefix(COUNTED) else {
                continue;
            };
            // Adding nothing reads the number.
            let count = atomics::increment(&bucket, key, 0)?;
            lines.push(format!("{}: {count}", name(group)?));
            bucket.delete(key)?;
        }
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    let text = match lines.is_empty() {
        true => "Nobody said anything.".to_owned(),
        false => lines.join("\n"),
    };
    send_text(&to, &text)?;
    Ok(())
}

fn name(group: &str) -> Result<String, Error> {
    let found = contacts::get_contact(group)?;
    let name = found.map(|contact| contact.name().to_owned());
    Ok(name
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| group.to_owned()))
}
