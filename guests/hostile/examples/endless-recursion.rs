//! Calls itself until the stack is full.
use wxhost_sdk::prelude::*;

wxhost_hostile::on_message!(run);

fn run(event: Event) -> Result<(), Error> {
    log::info(dive(event.at));
    Ok(())
}

/// Keeps nothing in linear memory, so that the engine's own stack is what ends.
/// The division keeps the compiler from making it a loop.
#[inline(never)]
fn dive(depth: u64) -> u64 {
    match depth {
        u64::MAX => depth,
        _ => dive(depth + 1) / 3 + depth,
    }
}
