//! Calls the host a million times, whatever it answers.
use wxhost_sdk::prelude::*;

wxhost_hostile::on_message!(run);

fn run(_: Event) -> Result<(), Error> {
    for _ in 0..1_000_000 {
        let _ = contacts::get_contact("nobody");
    }
    Ok(())
}
