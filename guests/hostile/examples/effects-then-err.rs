//! Answers, writes the key "never", then refuses: none of it may happen.
use wxhost_sdk::prelude::*;

wxhost_sdk::bot!(on_event);

fn on_event(_: Event) -> Result<(), Error> {
    chat::reply("never to be seen")?;
    kv::set("never", "to be seen")?;
    kv::increment("never-counted", 1)?;
    Err("refused on purpose".into())
}
