//! Panics at every event, whatever it is: it fails when it is tried out.
#![allow(clippy::panic, reason = "what this guest is for")]
use wxhost_sdk::prelude::*;

wxhost_sdk::bot!(on_event);

fn on_event(_: Event) -> Result<(), Error> {
    log::info("I was asked");
    panic!("trapped at the trial")
}
