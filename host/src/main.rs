//! How the process starts and ends.

use std::process::ExitCode;

use clap::Parser;
use wxhost::cli::{self, Cli};

/// A fresh instance per event is many small allocations that end together.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main(Cli::parse())
}
