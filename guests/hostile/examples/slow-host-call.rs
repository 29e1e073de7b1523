//! Waits a minute inside the host, where it uses no computing time.
use std::{thread, time::Duration};
use wxhost_sdk::prelude::*;

wxhost_hostile::on_message!(run);

fn run(_: Event) -> Result<(), Error> {
    thread::sleep(Duration::from_secs(60));
    Ok(())
}
