//! The programs that bots are built with: whether they are there, and how they come.

use std::{
    env,
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;
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

/// What makes components of JavaScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsTool {
    /// Of bots: it knows nothing of `wasi:http`.
    ComponentizeQjs,
    /// Of endpoints.
    Jco,
}

impl JsTool {
    const ALL: [Self; 2] = [Self::ComponentizeQjs, Self::Jco];

    /// Its program's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ComponentizeQjs => "componentize-qjs",
            Self::Jco => "jco",
        }
    }

    /// The one that the script `build` of this package.json names. npm itself says what is
    /// wrong with that file.
    pub fn of(package: &str) -> Option<Self> {
        let package = serde_json::from_str::<Value>(package).unwrap_or_default();
        let build = package.pointer("/scripts/build").and_then(Value::as_str)?;
        let names = |tool: Self| build.split_whitespace().any(|word| word == tool.as_str());
        Self::ALL.into_iter().find(|tool| names(*tool))
    }
}

/// Fails when a project's npm packages are not installed, or not the tool that its script
/// `build` names.
pub fn check_npm_packages(dir: &Path, tool: Option<JsTool>) -> Result<(), Failure> {
    let is_production = env::var("NODE_ENV").is_ok_and(|it| it == "production");
    let what = match missing_package(dir, tool, env::var_os("PATH").as_deref()) {
        None => return Ok(()),
        Some(what) => what,
    };
    Err(missing(
        what,
        // Else npm leaves out what is needed for building only.
        match is_production {
            true => {
                "run `npm install --include=dev` in the project's folder: NODE_ENV is production"
            }
            false => "run `npm install` in the project's folder",
        },
    ))
}

/// What of npm a project lacks. npm looks for programs in the folders above, too, and in PATH.
fn missing_package(dir: &Path, tool: Option<JsTool>, path: Option<&OsStr>) -> Option<&'static str> {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let modules = || dir.ancestors().map(|above| above.join("node_modules"));
    if !modules().any(|folder| folder.is_dir()) {
        return Some("node_modules");
    }
    let tool = tool?.as_str();
    let own = modules().map(|folder| folder.join(".bin"));
    let others = path.map(|path| env::split_paths(path).collect::<Vec<_>>());
    let mut folders = own.chain(others.unwrap_or_default());
    match folders.any(|folder| folder.join(tool).exists()) {
        true => None,
        false => Some(tool),
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::fs;

    use super::*;

    #[test]
    fn the_build_script_names_the_tool() {
        let of = |build: &str| JsTool::of(&format!(r#"{{"scripts": {{"build": "{build}"}}}}"#));
        assert_eq!(of("componentize-qjs --sync"), Some(JsTool::ComponentizeQjs));
        assert_eq!(of("jco componentize src/a.js"), Some(JsTool::Jco));
        // Who builds in another way needs something else.
        assert_eq!(of("node build.mjs"), None);
        assert_eq!(JsTool::of("{}"), None);
        assert_eq!(JsTool::of("{"), None);
    }

    #[test]
    fn the_tool_that_the_build_script_names_must_be_there() {
        for tool in JsTool::ALL {
            let folder = tempfile::tempdir().unwrap();
            let dir = folder.path().join("bots/hello");
            let bin = folder.path().join("node_modules/.bin");
            fs::create_dir_all(&dir).unwrap();
            let missing = |path: Option<&OsStr>| missing_package(&dir, Some(tool), path);
            assert_eq!(missing(None), Some("node_modules"));
            fs::create_dir_all(dir.join("node_modules")).unwrap();
            assert_eq!(missing(None), Some(tool.as_str()));
            // In PATH, or in a folder above as npm's workspaces have it.
            fs::create_dir_all(&bin).unwrap();
            fs::write(bin.join(tool.as_str()), "").unwrap();
            assert_eq!(missing(None), None);
            fs::rename(&bin, folder.path().join("bin")).unwrap();
            let path = env::join_paths([folder.path().join("bin")]).unwrap();
            assert_eq!(missing(Some(&path)), None);
            assert_eq!(missing(None), Some(tool.as_str()));
            assert_eq!(missing_package(&dir, None, None), None);
        }
    }
}
