//! The directory with its index. Everything here waits for the disk: never on an
//! async worker.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use super::{
    failed,
    index::{Index, on_disk},
};
use crate::{
    domain::{
        Digest,
        file::FilePolicy,
        ports::{BlobError, Room},
    },
    files::{self, Unfinished},
};

/// `files/`, with a subdirectory for each first two digits of a digest.
#[derive(Debug)]
pub struct Disk {
    dir: PathBuf,
    /// How large one file may be.
    pub file_bytes_max: u64,
    /// Files appear and go only while this is locked, so that a file that comes
    /// again while it is being removed is not lost.
    index: Mutex<Index>,
}

impl Disk {
    /// Looks through the directory and removes what a killed process left, and
    /// what is too much by now.
    pub fn open(dir: PathBuf, policy: &FilePolicy) -> io::Result<Self> {
        files::private_dir(&dir)?;
        files::remove_leftovers(&dir);
        for first in 0..=u8::MAX {
            files::private_dir(&dir.join(format!("{first:02x}")))?;
        }
        files::sync_dir(&dir)?;
        let mut index = Index::new(policy.disk_bytes_max, policy.file_bytes_max);
        for (_, digest, bytes) in scan(&dir)? {
            index.put(digest, bytes);
        }
        let disk = Self {
            dir,
            file_bytes_max: policy.file_bytes_max,
            index: Mutex::new(index),
        };
        let nothing = disk.make_room(&mut disk.lock(), 0);
        nothing.map_err(io::Error::other)?;
        Ok(disk)
    }

    /// Where this file is, if it is there.
    pub fn find(&self, digest: &Digest) -> Option<PathBuf> {
        self.lock().has(digest).then(|| self.path(digest))
    }

    /// A new file with a temporary name.
    pub fn create(&self) -> Result<Unfinished, BlobError> {
        Unfinished::create(&self.dir).map_err(failed)
    }

    /// The file is whole: it gets its name and is the youngest. Only now others go
    /// for it: what is broken off pushes nothing out.
    pub fn keep(
        &self,
        mut file: Unfinished,
        digest: Digest,
        size_bytes: u64,
    ) -> Result<(), BlobError> {
        // The slow part before the lock, which others wait for.
        file.file().sync_all().map_err(failed)?;
        let mut index = self.lock();
        if !index.has(&digest) {
            self.make_room(&mut index, on_disk(size_bytes))?;
        }
        file.keep_as(&self.path(&digest)).map_err(failed)?;
        index.put(digest, size_bytes);
        Ok(())
    }

    fn make_room(&self, index: &mut Index, bytes: u64) -> Result<(), BlobError> {
        while !index.fits(bytes) {
            let oldest = index.oldest().ok_or(BlobError::Full)?;
            match fs::remove_file(self.path(&oldest)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                Ok(()) | Err(_) => index.remove(&oldest),
            }
        }
        Ok(())
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        let first = name.get(..2).unwrap_or_default();
        self.dir.join(first).join(&name)
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a file that is being written takes. Given back when it is dropped.
#[derive(Debug)]
pub struct Held {
    disk: Arc<Disk>,
    bytes: u64,
}

impl Held {
    /// Nothing so far.
    pub fn of(disk: Arc<Disk>) -> Self {
        Self { disk, bytes: 0 }
    }

    /// So much more.
    pub fn grow(&mut self, bytes: u64, room: Room) -> Result<(), BlobError> {
        let mut index = self.disk.lock();
        if room == Room::Free && !index.is_free(bytes) || !index.hold(bytes) {
            return Err(BlobError::Full);
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.disk.lock().release(self.bytes);
        }
    }
}

/// All files, the oldest first, with their sizes.
fn scan(dir: &Path) -> io::Result<Vec<(SystemTime, Digest, u64)>> {
    let mut found = Vec::new();
    for first in 0..=u8::MAX {
        for entry in fs::read_dir(dir.join(format!("{first:02x}")))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // Whatever else lies there is not ours to remove.
            let Ok(digest) = Digest::try_from(name) else {
                continue;
            };
            let about = entry.metadata()?;
            found.push((about.modified()?, digest, about.len()));
        }
    }
    found.sort_by_key(|(stored, digest, _)| (*stored, digest.to_string()));
    Ok(found)
}
