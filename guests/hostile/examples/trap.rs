//! Panics, which ends as a trap.
#![allow(clippy::panic, reason = "what this guest is for")]
use wxhost_sdk::prelude::*;

wxhost_hostile::on_message!(run);

fn run(_: Event) -> Result<(), Error> {
    panic!("trapped on purpose")
}
