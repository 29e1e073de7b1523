//! Keeps in its memory what a well-behaved bot keeps in its bucket: for whom it was
//! called, and how often. A message says what it does beside counting.
#![allow(clippy::panic, reason = "what this guest is for")]
use std::{cell::RefCell, hint::black_box};
use wxhost_sdk::prelude::*;

wxhost_hostile::on_message!(run);

thread_local! {
    static SEEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static HELD: RefCell<Vec<kv::Bucket>> = const { RefCell::new(Vec::new()) };
}

fn run(event: Event) -> Result<(), Error> {
    let seen = SEEN.with_borrow_mut(|seen| {
        seen.push(event.account.clone());
        let mut others: Vec<_> = seen.iter().filter(|it| **it != event.account).collect();
        others.dedup();
        format!("{} {others:?}", seen.len())
    });
    let text = event.text().unwrap_or_default();
    // Its runtime opens the stream once and keeps it.
    println!("saw {text}");
    match text.split_once(' ').unwrap_or((text, "")) {
        ("trap", _) => panic!("trapped on purpose"),
        ("refuse", _) => return Err("refused on purpose".into()),
        ("loop", _) => loop {
            black_box(());
        },
        ("hold", _) => HELD.with_borrow_mut(|held| {
            held.push(kv::bucket()?);
            Ok::<_, Error>(())
        })?,
        ("fill", bytes) => black_box(vec![1u8; bytes.parse()?])
            .into_iter()
            .for_each(drop),
        ("write", key) => kv::set(key, "written")?,
        ("config", key) => {
            let value = config::get(key)?.unwrap_or_else(|| "-".to_owned());
            chat::reply(&format!("{seen} {value}"))?;
            return Ok(());
        }
        _ => {}
    }
    chat::reply(&seen)?;
    Ok(())
}
