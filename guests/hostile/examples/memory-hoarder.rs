//! Takes memory, and uses it, until it is refused; then it aborts, as every
//! Rust program does.
use std::hint::black_box;
use wxhost_sdk::prelude::*;

wxhost_hostile::on_message!(run);

fn run(_: Event) -> Result<(), Error> {
    loop {
        std::mem::forget(black_box(vec![1u8; 1 << 20]));
    }
}
