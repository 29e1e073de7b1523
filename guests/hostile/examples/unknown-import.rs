//! A bot that imports an interface which the host does not have.
use wxhost_sdk::prelude::*;

mod bindings {
    #![allow(unsafe_code, reason = "generated")]
    wit_bindgen::generate!({ path: "wit-unknown", world: "needy" });
}

wxhost_hostile::on_message!(run);

fn run(event: Event) -> Result<(), Error> {
    let answer = bindings::elsewhere::unknown::oracle::ask(&event.id);
    chat::reply(&answer)?;
    Ok(())
}
