//! A bot with an export `init` beside its handler, as compiled JavaScript has one. Whoever
//! calls it hears of it at the next message.
use std::sync::atomic::{AtomicBool, Ordering};
use wxhost_sdk::prelude::*;

#[cfg(target_family = "wasm")]
mod bindings {
    #![allow(unsafe_code, reason = "generated")]
    wit_bindgen::generate!({ path: "wit-unknown", world: "initialised" });
}

static CALLED: AtomicBool = AtomicBool::new(false);

// Other systems' linkers don't take the name that it is exported under.
#[cfg(target_family = "wasm")]
mod exported {
    #![allow(unsafe_code, reason = "generated")]
    use super::{CALLED, Ordering, bindings};

    struct Initialised;

    impl bindings::Guest for Initialised {
        fn init() {
            CALLED.store(true, Ordering::Relaxed);
        }
    }

    bindings::export!(Initialised with_types_in bindings);
}

wxhost_hostile::on_message!(run);

fn run(_: Event) -> Result<(), Error> {
    chat::reply(match CALLED.load(Ordering::Relaxed) {
        true => "init was called",
        false => "init was not called",
    })?;
    Ok(())
}
