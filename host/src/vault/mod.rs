//! Secrets at rest: sealed with a key that lies outside of the data directory, so
//! that a copy of the directory gives nothing away.

mod cipher;
mod keyfile;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use self::cipher::Key;
use crate::domain::{
    Secret,
    handler::Sealed,
    ports::{Place, Vault, VaultError},
};

/// Settings of the secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The file with the key that seals secrets. It lies outside of the data
    /// directory. Default: beside it, under its name with `.key` added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
}

/// Why the host does not start with this key file.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It lies where the sealed secrets do.
    #[error(
        "secrets.key_file {} lies in the data directory: a copy of the directory would hold \
         the secrets and their key. Name a file elsewhere",
        .0.display()
    )]
    Inside(PathBuf),
    /// Others can read it.
    #[error(
        "secrets.key_file {path} can be read by others (mode {mode:04o}): run \
         `chmod 600 {path}`, and set the secrets anew if somebody may have read it",
        path = path.display()
    )]
    Loose {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The data directory has no name that the key's could be made of.
    #[error("secrets.key_file must be set: {} has no name to make another of", .0.display())]
    NoName(PathBuf),
    /// A directory can't be looked at.
    #[error("{}: {error}", path.display())]
    Path {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Opens the vault of a data directory, which must exist. A key that is not there is
/// made when the first secret is sealed; one that can't be used is said in the log.
pub fn open(config: &Config, data: &Path) -> Result<Arc<dyn Vault>, OpenError> {
    let path = place(config, data)?;
    let state = match keyfile::read(&path) {
        Ok(Some(key)) => State::Open(key),
        Ok(None) => State::Missing,
        Err(keyfile::Fault::Loose(mode)) => return Err(OpenError::Loose { path, mode }),
        Err(keyfile::Fault::Unfit(problem)) => {
            tracing::error!(problem, "the key of the secrets can't be used");
            State::Unfit(problem)
        }
    };
    Ok(Arc::new(FileVault {
        path,
        state: Mutex::new(state),
    }))
}

/// Where the key lies, or will: as the system sees it, so that no link leads into
/// the data directory.
fn place(config: &Config, data: &Path) -> Result<PathBuf, OpenError> {
    let seen = |path: &Path| {
        path.canonicalize().map_err(|error| OpenError::Path {
            path: path.to_owned(),
            error,
        })
    };
    let data = seen(data)?;
    let path = match &config.key_file {
        Some(path) => path.clone(),
        None => {
            let mut name = data
                .file_name()
                .ok_or_else(|| OpenError::NoName(data.clone()))?
                .to_owned();
            name.push(".key");
            data.with_file_name(name)
        }
    };
    let inside = || OpenError::Inside(path.clone());
    let name = path.file_name().ok_or_else(inside)?;
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let path = seen(dir)?.join(name);
    let real = path.canonicalize().unwrap_or_else(|_| path.clone());
    match path.starts_with(&data) || real.starts_with(&data) {
        true => Err(OpenError::Inside(path)),
        false => Ok(path),
    }
}

/// The key as it is known by now.
#[derive(Debug)]
enum State {
    Open(Key),
    Missing,
    Unfit(String),
}

/// A vault whose key lies in a file.
#[derive(Debug)]
struct FileVault {
    path: PathBuf,
    state: Mutex<State>,
}

impl FileVault {
    fn with<T>(
        &self,
        work: impl FnOnce(&mut State) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The key in the file; when there is none, it is made.
    fn make(&self) -> Result<Key, VaultError> {
        let unfit = |problem: String| VaultError::BadKey(problem);
        match keyfile::read(&self.path) {
            Ok(Some(key)) => Ok(key),
            Ok(None) => {
                let key = keyfile::create(&self.path).map_err(|error| {
                    let path = self.path.display();
                    unfit(format!(
                        "the key file {path} can't be made: {error}. Set secrets.key_file to \
                         one that can"
                    ))
                })?;
                tracing::info!(
                    path = %self.path.display(),
                    "made the key that seals secrets: keep a copy of it, apart from the data"
                );
                Ok(key)
            }
            Err(keyfile::Fault::Loose(mode)) => {
                let path = self.path.clone();
                Err(unfit(OpenError::Loose { path, mode }.to_string()))
            }
            Err(keyfile::Fault::Unfit(problem)) => Err(unfit(problem)),
        }
    }
}

impl Vault for FileVault {
    fn seal(&self, place: &Place, secret: &Secret) -> Result<Sealed, VaultError> {
        self.with(|state| {
            if matches!(state, State::Missing) {
                *state = State::Open(self.make()?);
            }
            match state {
                State::Open(key) => key.seal(place, secret),
                State::Missing => Err(VaultError::NoKey(self.key_file())),
                State::Unfit(problem) => Err(VaultError::BadKey(problem.clone())),
            }
        })
    }

    fn open(&self, place: &Place, sealed: &Sealed) -> Result<Secret, VaultError> {
        self.with(|state| match state {
            State::Open(key) if !key.sealed(sealed) => Err(VaultError::OtherKey(self.key_file())),
            State::Open(key) => key.open(place, sealed),
            State::Missing => Err(VaultError::NoKey(self.key_file())),
            State::Unfit(problem) => Err(VaultError::BadKey(problem.clone())),
        })
    }

    fn key_file(&self) -> String {
        self.path.display().to_string()
    }
}

#[cfg(test)]
mod tests;
