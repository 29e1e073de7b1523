//! Answers, writes the key "never", then traps: none of it may happen.
#![allow(clippy::panic, reason = "what this guest is for")]
use wxhost_sdk::prelude::*;

wxhost_hostile::on_message!(run);

fn run(_: Event) -> Result<(), Error> {
    chat::reply("never to be seen")?;
    kv::set("never", "to be seen")?;
    kv::increment("never-counted", 1)?;
    panic!("trapped on purpose")
}
