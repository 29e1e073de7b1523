//! Panics, which ends as a trap.
#![allow(clippy::panic, reason = "what this guest is for")]
use wxhost_sdk::prelude::*;

wxhost_sdk::bot!(on_event);

fn on_event(_: Event) -> Result<(), Error> {
    panic!("trapped on purpose")
}
