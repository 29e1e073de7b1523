//! Answers when a message has one of the configured words in it. In a group only when
//! it is mentioned.
use wxhost_sdk::prelude::*;

wxhost_sdk::bot!(on_event);

/// How the keys begin whose rest is a word to listen for.
const WORD: &str = "on ";

fn on_event(event: Event) -> Result<(), Error> {
    let Some(message) = event.message() else {
        return Ok(());
    };
    if message.in_group() && !message.mentions_me {
        return Ok(());
    }
    let said = message.text().unwrap_or_default().to_lowercase();
    for (key, answer) in config::get_all()? {
        if let Some(word) = key.strip_prefix(WORD)
            && said.contains(&word.to_lowercase())
        {
            chat::reply(&answer)?;
            break;
        }
    }
    Ok(())
}
