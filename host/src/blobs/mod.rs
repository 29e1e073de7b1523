//! The files of messages, on disk under the digests of their content: `DATA/files`.
//!
//! Nobody owns a file here and nothing counts who refers to it: what the files may
//! take together is bounded, and the oldest go first. Whoever asks for a file must
//! be able to hear that it is gone.

mod disk;
mod index;
mod kind;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::{io, path::Path, sync::Arc};

use async_trait::async_trait;

use self::{disk::Disk, writer::Writer};
use crate::domain::{
    Digest,
    file::FilePolicy,
    ports::{Blob, BlobError, BlobWriter, Blobs, Room},
};

/// How much is written or read in one step away from the async workers. A step
/// costs some 10 µs whatever its size, and each transfer holds this much memory.
const PIECE_BYTES: usize = 256 * 1024;

/// Opens `files/` of the data directory, making it when it is missing. Blocks
/// while it looks through what is there.
///
/// # Errors
/// The directory can't be read or written, or others can write to it.
pub fn open(policy: &FilePolicy, data_dir: &Path) -> io::Result<Arc<dyn Blobs>> {
    let disk = Disk::open(data_dir.join("files"), policy)?;
    Ok(Arc::new(Files(Arc::new(disk))))
}

#[derive(Debug)]
struct Files(Arc<Disk>);

#[async_trait]
impl Blobs for Files {
    fn create(&self, room: Room) -> Box<dyn BlobWriter> {
        Box::new(Writer::new(Arc::clone(&self.0), room))
    }

    async fn open(&self, digest: Digest) -> Result<Option<Blob>, BlobError> {
        let disk = Arc::clone(&self.0);
        blocking(move || reader::open(&disk, digest)).await
    }
}

/// Runs what waits for the disk where waiting is fine.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| BlobError::Io(error.to_string()))?
}

/// What the system said, in the port's words.
fn failed(error: io::Error) -> BlobError {
    use io::ErrorKind as K;
    match error.kind() {
        K::StorageFull | K::QuotaExceeded | K::FileTooLarge => BlobError::Full,
        _ => BlobError::Io(error.to_string()),
    }
}
