//! A native Openwx client for tests and the demo: keeps the contract of section 2 of
//! the protocol page for Openwx, and breaks it where it is told to. Below
//! `/openwx/stub_…` tests play the other side: they scan its code, write to its
//! account, and read what it has sent.

#![allow(
    clippy::indexing_slicing,
    reason = "a field that a JSON value does not have reads as null"
)]

mod api;
mod arguments;
mod client;
mod environment;
mod faults;
mod files;
mod hooks;
mod life;
mod people;
mod query;
mod report;
mod send;

use std::{env, process::ExitCode, sync::Arc};

use clap::Parser;
use wxhost_tests::Result;

use crate::{arguments::Arguments, client::Client, environment::Environment};

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("openwx-stub: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let variables = env::vars_os().map(|(name, value)| {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        (text(name), text(value))
    });
    let environment = Environment::read(variables)?;
    let client = Arc::new(Client::new(arguments, environment));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let code = runtime.block_on(life::live(client))?;
    // What waits for ever holds nobody up.
    runtime.shutdown_background();
    Ok(code)
}
