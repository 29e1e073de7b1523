//! Where the components are that the tests deploy.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{Context, Result, check};

/// The folder of what was built with this program: `target/debug` or
/// `target/release`.
pub fn profile_dir() -> Result<PathBuf> {
    let program = env::current_exe().context("this program's own path")?;
    let dir = program.parent().context("this program lies in no folder")?;
    Ok(match dir.ends_with("deps") {
        true => dir.parent().unwrap_or(dir).to_owned(),
        false => dir.to_owned(),
    })
}

/// The component of this name, as `make guests` builds it.
pub fn path(name: &str) -> Result<PathBuf> {
    let file = dir()?.join(format!("{name}.wasm"));
    check!(
        file.is_file(),
        "there is no {}: `make guests` builds it (WXHOST_GUESTS names another folder)",
        file.display()
    );
    Ok(file)
}

/// The bytes of the component of this name.
pub fn bytes(name: &str) -> Result<Vec<u8>> {
    let file = path(name)?;
    fs::read(&file).context(file.display())
}

/// The JavaScript bot. None, with a notice, where it can't have been built
/// because there is no Node; an error where it should have been.
pub fn javascript(name: &str) -> Result<Option<PathBuf>> {
    built_with(name, "JavaScript", "node")
}

/// The Python bot, likewise.
pub fn python(name: &str) -> Result<Option<PathBuf>> {
    built_with(name, "Python", "python3")
}

fn built_with(name: &str, language: &str, program: &str) -> Result<Option<PathBuf>> {
    match path(name) {
        Err(_) if !is_there(program) => {
            eprintln!("skipped: {name} is written in {language}, and there is no {program}");
            Ok(None)
        }
        found => found.map(Some),
    }
}

fn dir() -> Result<PathBuf> {
    if let Some(dir) = env::var_os("WXHOST_GUESTS") {
        return Ok(dir.into());
    }
    let profile = profile_dir()?;
    let target = profile.parent().context("the build folder has no parent")?;
    Ok(Path::new(target).join("guests"))
}

fn is_there(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
