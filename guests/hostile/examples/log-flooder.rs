//! Writes 1 GiB: half of it as log lines, half to stdout. Then all is well.
use std::io::Write;
use wxhost_sdk::prelude::*;

wxhost_hostile::on_message!(run);

fn run(_: Event) -> Result<(), Error> {
    let line = "flood ".repeat(170) + "over";
    for _ in 0..(1 << 30) / (2 * line.len()) {
        log::info(&line);
        let _ = std::io::stdout().write_all(line.as_bytes());
    }
    Ok(())
}
