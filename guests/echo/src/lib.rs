//! Answers what it was told. With `count = "true"` in its configuration it also
//! counts the messages it got, under the key "messages".
use wxhost_sdk::prelude::*;

wxhost_sdk::bot!(on_event);

fn on_event(event: Event) -> Result<(), Error> {
    let Some(message) = event.message() else {
        return Ok(());
    };
    let text = message.text().unwrap_or(message.content.describe());
    match &message.group {
        None => chat::reply(text)?,
        Some(group) => chat::send(
            group,
            &[
                Segment::Mention(message.author.clone()),
                format!(" {text}").into(),
            ],
        )?,
    };
    if config::is_on("count")? {
        kv::increment("messages", 1)?;
    }
    Ok(())
}
