//! Answers, writes the key "never", then refuses: none of it may happen.
use wxhost_sdk::prelude::*;

wxhost_hostile::on_message!(run);

fn run(_: Event) -> Result<(), Error> {
    chat::reply("never to be seen")?;
    kv::set("never", "to be seen")?;
    kv::increment("never-counted", 1)?;
    Err("refused on purpose".into())
}
