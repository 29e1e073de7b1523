//! How the process starts and ends.

use std::process::ExitCode;

use wxhost::cli::{self, Cli, launch};

/// A fresh instance per event is many small allocations that end together.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match launch::asked() {
        Some(launch) => launch.run(),
        None => cli::main(Cli::of_process()),
    }
}
