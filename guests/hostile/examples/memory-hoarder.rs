//! Takes memory, and uses it, until it is refused; then it aborts, as every
//! Rust program does.
use std::hint::black_box;
use wxhost_sdk::prelude::*;

wxhost_sdk::bot!(on_event);

fn on_event(_: Event) -> Result<(), Error> {
    loop {
        std::mem::forget(black_box(vec![1u8; 1 << 20]));
    }
}
