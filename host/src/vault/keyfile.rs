//! The file that holds the key: one line, for its owner only.

use std::{
    io::{self, Write},
    path::Path,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::cipher::{KEY_BYTES, Key};
use crate::files::{self, SecretFileError, Unfinished};

/// What the line begins with, so that a key that leaked is recognised.
const PREFIX: &str = "wxk_";

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
    let bytes = match files::read_secret(path) {
        Ok(bytes) => bytes,
        Err(SecretFileError::Loose(mode)) => return Err(Fault::Loose(mode)),
        Err(SecretFileError::File(error)) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(SecretFileError::File(error)) => {
            return Err(Fault::Unfit(format!("{}: {error}", path.display())));
        }
    };
    let text = String::from_utf8_lossy(&bytes);
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
