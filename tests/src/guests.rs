//! Where the components are that the tests deploy.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{Context, Result, check, http};

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

/// The guest `stamped` with this number in its stamp: one build of many that are alike but
/// for what they call themselves, `stamp-00007`.
pub fn stamped(number: u32) -> Result<Vec<u8>> {
    const STAMP: &[u8] = b"stamp-00000";
    let mut bytes = bytes("stamped")?;
    let at = http::find(&bytes, STAMP).context("the guest has no stamp")?;
    let rest = bytes.get(at + STAMP.len()..).unwrap_or_default();
    check!(http::find(rest, STAMP).is_none(), "it has two stamps");
    let stamp = stamp(number).into_bytes();
    check!(stamp.len() == STAMP.len(), "{number} has too many digits");
    bytes.splice(at..at + STAMP.len(), stamp);
    Ok(bytes)
}

/// What such a build calls itself.
pub fn stamp(number: u32) -> String {
    format!("stamp-{number:05}")
}

/// The JavaScript bot. None, with a notice, where it can't have been built
/// because there is no Node; an error where it should have been.
pub fn javascript(name: &str) -> Result<Option<PathBuf>> {
    built_with(name, "JavaScript", "node")
}

/// The component that jco makes, likewise: not where Node is too old for it either.
pub fn jco(name: &str) -> Result<Option<PathBuf>> {
    match path(name) {
        Err(_) if !runs_jco() => Ok(None),
        found => found.map(Some),
    }
}

/// Whether Node is there and new enough for jco; a notice where it is not.
pub fn runs_jco() -> bool {
    let condition = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests/node-runs-jco.js");
    let runs = succeeds(Command::new("node").arg(condition));
    if !runs {
        eprintln!("skipped: jco needs Node 20.19 or 22.13");
    }
    runs
}

/// The Python bot, as the JavaScript one.
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
    succeeds(Command::new(program).arg("--version"))
}

fn succeeds(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
