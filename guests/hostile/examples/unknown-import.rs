//! A bot that imports an interface which the host does not have.
use wxhost_sdk::prelude::*;

mod bindings {
    #![allow(unsafe_code, reason = "generated")]
    wit_bindgen::generate!({ path: "wit-unknown", world: "needy" });
}

wxhost_sdk::bot!(on_event);

fn on_event(event: Event) -> Result<(), Error> {
    let answer = bindings::elsewhere::unknown::oracle::ask(&event.id);
    chat::reply(&answer)?;
    Ok(())
}
