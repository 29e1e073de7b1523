//! Never returns.
use std::hint::black_box;
use wxhost_sdk::prelude::*;

wxhost_sdk::bot!(on_event);

fn on_event(_: Event) -> Result<(), Error> {
    loop {
        black_box(());
    }
}
