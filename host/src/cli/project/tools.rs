//! The programs that bots are built with: whether they are there, and how they come.

use std::{
    io,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::Command;

use super::language::Language;
use crate::cli::failure::Failure;

/// What Rust compiles bots for.
pub const TARGET: &str = "wasm32-wasip2";

/// A program is missing; this command, or this page, brings it.
pub fn missing(what: &str, cure: &str) -> Failure {
    Failure::local(what, format!("is not there: {cure}"))
}

/// How a program ended that was to be there.
pub fn run(what: &'static str, cure: &'static str) -> impl Fn(io::Error) -> Failure {
    move |error| match error.kind() {
        io::ErrorKind::NotFound => missing(what, cure),
        _ => Failure::local(what, error),
    }
}

/// Where Rust comes from.
pub const CARGO_CURE: &str =
    "install Rust by https://rustup.rs, then run `rustup target add wasm32-wasip2`";
/// Where npm comes from.
pub const NPM_CURE: &str = "install Node.js with npm, https://nodejs.org";

/// Fails when Rust can't compile for components.
pub async fn check_rust_target() -> Result<(), Failure> {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", TARGET]);
    let output = rustc.stderr(Stdio::null()).output().await;
    let output = output.map_err(run("rustc", CARGO_CURE))?;
    let libdir = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match output.status.success() && Path::new(&libdir).is_dir() {
        true => Ok(()),
        false => Err(missing(
            "Rust's target wasm32-wasip2",
            "run `rustup target add wasm32-wasip2`",
        )),
    }
}

/// Fails when a project's npm packages are not installed.
pub fn check_npm_packages(dir: &Path) -> Result<(), Failure> {
    match dir.join("node_modules").is_dir() {
        true => Ok(()),
        false => Err(missing(
            "node_modules",
            "run `npm install` in the project's folder",
        )),
    }
}

/// `componentize-py`: the project's own, else the one of this environment.
pub async fn componentize_py(dir: &Path) -> Result<PathBuf, Failure> {
    let own = dir.join(".venv/bin/componentize-py");
    if own.is_file() {
        // Commands run in the project's folder.
        return own
            .canonicalize()
            .map_err(|error| Failure::local(own.display(), error));
    }
    let mut program = Command::new("componentize-py");
    program
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    match program.status().await {
        Ok(_) => Ok("componentize-py".into()),
        Err(_) => Err(missing(
            "componentize-py",
            &format!("run `{}`", Language::Python.setup().0),
        )),
    }
}
