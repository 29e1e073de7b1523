//! The file that holds the key: one line, for its owner only.

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::cipher::{KEY_BYTES, Key};
use crate::files::Unfinished;

/// What the line begins with, so that a key that leaked is recognised.
const PREFIX: &str = "wxk_";
/// No such file is longer: guards against the wrong file.
const FILE_MAX_BYTES: u64 = 4096;
/// Permission bits for anybody but the owner.
const OTHERS: u32 = 0o077;

/// Why a file gives no key.
#[derive(Debug)]
pub enum Fault {
    /// Others can read or write it; its permission bits.
    Loose(u32),
    /// It can't be read, or holds something else.
    Unfit(String),
}

/// The key in the file; none when there is no file.
pub fn read(path: &Path) -> Result<Option<Key>, Fault> {
    let unfit = |error: io::Error| Fault::Unfit(format!("{}: {error}", path.display()));
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unfit(error)),
    };
    // Asked of the open file: the name could mean another one by now.
    let mode = file.metadata().map_err(unfit)?.permissions().mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(Fault::Loose(mode));
    }
    let mut text = String::new();
    file.take(FILE_MAX_BYTES)
        .read_to_string(&mut text)
        .map_err(unfit)?;
    match parse(&text) {
        Some(key) => Ok(Some(key)),
        None => Err(Fault::Unfit(format!(
            "{} holds no key of wxhost: put back the one that sealed the secrets",
            path.display()
        ))),
    }
}

fn parse(text: &str) -> Option<Key> {
    let text = text.trim().strip_prefix(PREFIX)?;
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    Some(Key::new(bytes.as_slice().try_into().ok()?))
}

/// Makes a key and its file, durably. A file that is there by now stays as it is,
/// and is an error.
pub fn create(path: &Path) -> io::Result<Key> {
    let dir = path
        .parent()
        .ok_or_else(|| io::Error::other("the path has no directory"))?;
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    let mut file = Unfinished::create(dir)?;
    let line = format!("{PREFIX}{}\n", BASE64_URL_SAFE_NO_PAD.encode(bytes));
    file.file().write_all(line.as_bytes())?;
    file.keep_as_new(path)?;
    Ok(Key::new(&bytes))
}
