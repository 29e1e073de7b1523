//! The files of messages.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use crate::domain::Digest;

/// A file that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The digest of its content, by which it is read.
    pub digest: Digest,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its type, found in its content.
    pub mime: String,
}

/// A file to be read.
pub struct Blob {
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its type, found in its content.
    pub mime: String,
    /// Its bytes. They stay readable when the file is removed meanwhile.
    pub reader: Box<dyn BlobReader>,
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of {}", self.size_bytes, self.mime)
    }
}

/// Where the room for a new file comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// The oldest files go when there is none, once this one is whole.
    Made,
    /// Only what is free: nobody has asked for this file yet, and a stranger's
    /// shall not push out what somebody asked for.
    Free,
}

/// What can go wrong with files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// The file is larger than any may be.
    #[error("the file is larger than {max_bytes} bytes")]
    TooLarge {
        /// How large it may be.
        max_bytes: u64,
    },
    /// There is no room for it now.
    #[error("there is no room for the file now")]
    Full,
    /// The disk failed, or the file was given up before.
    #[error("the file could not be kept or read: {0}")]
    Io(String),
}

/// Keeps files under the digest of their content. How many bytes they may have
/// together is bounded: the oldest go first, so that every file may be gone.
#[async_trait]
pub trait Blobs: Send + Sync + fmt::Debug {
    /// A new file, empty so far.
    fn create(&self, room: Room) -> Box<dyn BlobWriter>;

    /// The file with this digest, if it is still there.
    async fn open(&self, digest: Digest) -> Result<Option<Blob>, BlobError>;
}

/// A file that is not whole yet. Dropped, or after an error, nothing of it is
/// left.
#[async_trait]
pub trait BlobWriter: Send {
    /// Adds to it.
    async fn write(&mut self, piece: Bytes) -> Result<(), BlobError>;

    /// It is whole: durable when this returns. A file that is there already
    /// becomes the youngest.
    async fn finish(self: Box<Self>) -> Result<Stored, BlobError>;
}

/// The bytes of a file, piece by piece.
#[async_trait]
pub trait BlobReader: Send {
    /// The next piece; none at the end.
    async fn read(&mut self) -> Result<Option<Bytes>, BlobError>;
}
