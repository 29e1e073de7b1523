//! Never returns.
use std::hint::black_box;
use wxhost_sdk::prelude::*;

wxhost_hostile::on_message!(run);

fn run(_: Event) -> Result<(), Error> {
    loop {
        black_box(());
    }
}
