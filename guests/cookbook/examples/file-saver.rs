//! Has every file fetched that somebody sends, remembers where it is, and lists the
//! last ones to whoever asks for `files`. The host keeps the bytes.
use wxhost_sdk::prelude::*;

wxhost_sdk::bot!(on_event);

/// Under which key the list is. One line each, the newest first.
const LIST: &str = "files";
/// How many are remembered.
const KEPT: usize = 20;

fn on_event(event: Event) -> Result<(), Error> {
    match &event.what {
        Happening::FileReady(ready) => match (&ready.failure, &ready.file.url) {
            (None, Some(url)) => remember(ready.file.name.as_deref(), url),
            (failure, _) => {
                log::warn(format_args!("{} did not come: {failure:?}", ready.file.id));
                Ok(())
            }
        },
        _ => match event.message() {
            Some(message) => heard(message),
            None => Ok(()),
        },
    }
}

fn heard(message: &Message) -> Result<(), Error> {
    match &message.content {
        Content::Image(file) | Content::Video(file) | Content::Document(file) => {
            chat::download(&file.id)?;
        }
        Content::Text(text) if text.trim() == "files" => {
            let list = kv::get(LIST)?;
            chat::reply(list.as_deref().unwrap_or("No file has come yet."))?;
        }
        _ => {}
    }
    Ok(())
}

fn remember(name: Option<&str>, url: &str) -> Result<(), Error> {
    let line = format!("{} {url}", name.unwrap_or("(no name)"));
    let known = kv::get(LIST)?.unwrap_or_default();
    let newest = std::iter::once(line.as_str()).chain(known.lines());
    let lines: Vec<&str> = newest.take(KEPT).collect();
    kv::set(LIST, &lines.join("\n"))
}
