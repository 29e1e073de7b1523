//! Tells which build of it answers, and how often it was asked the same: "STAMP TIMES TEXT".
//! Of the text `wait URL` it waits for that address first. The tests put other stamps into
//! its bytes, so that one source makes many versions.
use std::hint::black_box;

use wxhost_sdk::{prelude::*, web};

wxhost_sdk::bot!(on_event);

/// What the tests look for in the component.
static STAMP: [u8; 11] = *b"stamp-00000";

fn on_event(event: Event) -> Result<(), Error> {
    let Some(text) = event.text() else {
        return Ok(());
    };
    let times = kv::increment(text, 1)?;
    if let Some(url) = text.strip_prefix("wait ") {
        web::fetch(&web::get(url))?;
    }
    // As it lies in memory: else the compiler could take it apart.
    let stamp = String::from_utf8_lossy(black_box(&STAMP));
    chat::reply(&format!("{stamp} {times} {text}"))?;
    Ok(())
}
