//! Secrets that lie in files of the data directory: taken only while nobody but
//! the file's owner can read or write them.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::files::{self, SecretFileError};

/// Why a secret can't be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Others can read the file, so that it protects nothing.
    #[error(
        "{path} can be read by others (mode {mode:04o}): run `chmod 600 {path}`, or delete the \
         file and start the host again for a new one if somebody may have seen it",
        path = path.display()
    )]
    Loose {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file can't be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What the file holds.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, KeyFileError> {
    files::read_secret(path).map_err(|error| match error {
        SecretFileError::File(source) => failed(path, source),
        SecretFileError::Loose(mode) => KeyFileError::Loose {
            path: path.to_owned(),
            mode,
        },
    })
}

/// What the file holds; when there is none, it is made and holds what `make`
/// makes.
pub(crate) fn read_or_create(
    path: &Path,
    make: impl FnOnce() -> io::Result<Vec<u8>>,
) -> Result<Vec<u8>, KeyFileError> {
    match read(path) {
        Err(KeyFileError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            create(path, make).map_err(|source| failed(path, source))
        }
        found => found,
    }
}

/// So many bytes that nobody can guess.
pub(crate) fn random<const COUNT: usize>() -> io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

fn create(path: &Path, make: impl FnOnce() -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
    let bytes = make()?;
    files::write_durably_blocking(path, &bytes)?;
    Ok(bytes)
}

fn failed(path: &Path, source: io::Error) -> KeyFileError {
    let path = path.to_owned();
    KeyFileError::File { path, source }
}
