//! How the process starts and ends.

use std::process::ExitCode;

use clap::Parser;
use wxhost::cli::{self, Cli};

fn main() -> ExitCode {
    cli::main(Cli::parse())
}
