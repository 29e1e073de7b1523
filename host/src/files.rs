//! Files that must be whole or not there, and files and directories for this user only.

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use rustix::fs::OFlags;

/// What the names of files begin with that are not whole yet.
const TEMPORARY: &str = ".tmp-";

/// Permission bits that let others write.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// Permission bits that let others do anything.
const OPEN_TO_OTHERS: u32 = 0o077;
/// No secret's file is longer: guards against the wrong file.
const SECRET_MAX_BYTES: u64 = 4096;

/// Why a secret's file is not read.
#[derive(Debug)]
pub enum SecretFileError {
    /// Others can read or write it; its permission bits.
    Loose(u32),
    /// It can't be read.
    File(io::Error),
}

/// The bytes of a file with a secret. Read only while nobody but this user can read or
/// write it: what others put there is no secret of ours.
pub fn read_secret(path: &Path) -> Result<Vec<u8>, SecretFileError> {
    // A pipe would keep the host from starting.
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .map_err(SecretFileError::File)?;
    // Asked of the open file: the name could mean another one by now.
    let about = file.metadata().map_err(SecretFileError::File)?;
    if !about.is_file() || about.uid() != rustix::process::geteuid().as_raw() {
        let problem = "it is no file of the user that the host runs as";
        let error = io::Error::new(io::ErrorKind::PermissionDenied, problem);
        return Err(SecretFileError::File(error));
    }
    let mode = about.permissions().mode() & 0o7777;
    if mode & OPEN_TO_OTHERS != 0 {
        return Err(SecretFileError::Loose(mode));
    }
    let mut bytes = Vec::new();
    let mut limited = file.take(SECRET_MAX_BYTES);
    limited
        .read_to_end(&mut bytes)
        .map_err(SecretFileError::File)?;
    Ok(bytes)
}

/// Makes a directory that only this user can enter, with its parents. One that
/// exists is left as it is, and refused when others can write to it: what lies
/// there is trusted, compiled code for one.
pub fn private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)?;
    let mode = fs::metadata(path)?.permissions().mode() & 0o7777;
    if mode & WRITABLE_BY_OTHERS != 0 {
        let problem = format!("others can write to it (mode {mode:04o}): chmod go-w it first");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, problem));
    }
    Ok(())
}

/// Removes what a process that was killed while it wrote has left behind.
pub fn remove_leftovers(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Writes a file so that it is there in full or not at all, whenever the machine
/// stops: temporary name, fsync, rename, fsync of the directory.
pub async fn write_durably(path: &Path, bytes: Bytes) -> io::Result<()> {
    let path = path.to_owned();
    let work = move || write_durably_blocking(&path, &bytes);
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

/// The same, for use where waiting is fine.
pub fn write_durably_blocking(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path
        .parent()
        .ok_or_else(|| io::Error::other("the path has no directory"))?;
    let mut unfinished = Unfinished::create(dir)?;
    unfinished.file().write_all(bytes)?;
    unfinished.keep_as(path)
}

/// A file that is not whole yet, under a temporary name. Dropped, it is removed.
#[derive(Debug)]
pub struct Unfinished {
    file: fs::File,
    path: PathBuf,
    kept: bool,
}

impl Unfinished {
    /// An empty file in this directory, which has to be on the file system where
    /// it will be kept.
    pub fn create(dir: &Path) -> io::Result<Self> {
        let mut nonce = [0; 8];
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        let path = dir.join(format!("{TEMPORARY}{:016x}", u64::from_ne_bytes(nonce)));
        Ok(Self {
            file: private_file(&path)?,
            path,
            kept: false,
        })
    }

    /// The file, to be written to.
    pub fn file(&mut self) -> &mut fs::File {
        &mut self.file
    }

    /// Gives it its name, in place of what may be there; durable when this
    /// returns.
    pub fn keep_as(mut self, path: &Path) -> io::Result<()> {
        let dir = path
            .parent()
            .ok_or_else(|| io::Error::other("the path has no directory"))?;
        self.file.sync_all()?;
        fs::rename(&self.path, path)?;
        self.kept = true;
        sync_dir(dir)
    }
}

impl Unfinished {
    /// Gives it its name unless there is such a file already, which is an error;
    /// durable when this returns.
    pub fn keep_as_new(self, path: &Path) -> io::Result<()> {
        let dir = path
            .parent()
            .ok_or_else(|| io::Error::other("the path has no directory"))?;
        self.file.sync_all()?;
        fs::hard_link(&self.path, path)?;
        // The temporary name goes with the value.
        drop(self);
        sync_dir(dir)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn private_file(path: &Path) -> io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Makes what was created, renamed or removed in a directory durable.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    fs::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_file_replaces_the_former_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write_durably_blocking(&path, b"one").unwrap();
        write_durably_blocking(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(".tmp-0123"), b"half").unwrap();
        fs::write(dir.path().join("whole"), b"whole").unwrap();
        remove_leftovers(dir.path());
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().flatten().collect();
        assert_eq!(left.len(), 1);
        assert_eq!(left.first().unwrap().file_name(), "whole");
    }

    #[test]
    fn a_directory_that_others_can_write_to_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        private_dir(&path).unwrap();
        private_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        let error = private_dir(&path).unwrap_err().to_string();
        assert!(error.contains("0777"), "{error}");
    }

    #[test]
    fn what_can_not_be_written_leaves_the_former_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::create_dir(&path).unwrap();
        assert!(write_durably_blocking(&path, b"one").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
