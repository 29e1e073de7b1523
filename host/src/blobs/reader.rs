//! Reading a file piece by piece.

use std::{
    fs,
    io::{self, Read},
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{PIECE_BYTES, blocking, disk::Disk, failed, kind};
use crate::domain::{
    Digest,
    ports::{Blob, BlobError, BlobReader},
};

/// Opens a file and reads its first piece. Blocks.
pub fn open(disk: &Disk, digest: Digest) -> Result<Option<Blob>, BlobError> {
    let Some(path) = disk.find(&digest) else {
        return Ok(None);
    };
    let mut file = match fs::File::open(path) {
        Ok(file) => file,
        // It went just now.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let size_bytes = file.metadata().map_err(failed)?.len();
    let first = piece(&mut file)?;
    Ok(Some(Blob {
        size_bytes,
        mime: kind::of(&first).to_owned(),
        reader: Box::new(Reader {
            first: Some(first),
            rest: Some(file),
        }),
    }))
}

/// A file, its first piece read.
struct Reader {
    first: Option<Bytes>,
    /// None at the end.
    rest: Option<fs::File>,
}

#[async_trait]
impl BlobReader for Reader {
    async fn read(&mut self) -> Result<Option<Bytes>, BlobError> {
        if let Some(first) = self.first.take().filter(|first| !first.is_empty()) {
            return Ok(Some(first));
        }
        let Some(mut file) = self.rest.take() else {
            return Ok(None);
        };
        let (file, piece) = blocking(move || {
            let piece = piece(&mut file)?;
            Ok((file, piece))
        })
        .await?;
        if piece.is_empty() {
            return Ok(None);
        }
        self.rest = Some(file);
        Ok(Some(piece))
    }
}

/// The next bytes; less than a piece at the end only.
fn piece(file: &mut fs::File) -> Result<Bytes, BlobError> {
    let mut bytes = Vec::new();
    let mut limited = file.take(PIECE_BYTES as u64);
    limited.read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes.into())
}
