//! Writing a file piece by piece: counted, hashed, and removed unless it becomes
//! whole.

use std::{io::Write, sync::Arc};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use super::{
    PIECE_BYTES, blocking,
    disk::{Disk, Held},
    failed,
    index::on_disk,
    kind,
};
use crate::{
    domain::ports::{BlobError, BlobWriter, Room, Stored},
    files::Unfinished,
};

/// A file that comes in.
pub struct Writer {
    /// None once something went wrong: then there is no way back.
    file: Option<Growing>,
    /// What is not worth a step of the disk yet.
    pending: BytesMut,
    /// How much came in all.
    size_bytes: u64,
    max_bytes: u64,
}

impl Writer {
    /// Nothing so far. Nothing is on disk either before the first piece is full.
    pub fn new(disk: Arc<Disk>, room: Room) -> Self {
        let max_bytes = disk.file_bytes_max;
        Self {
            file: Some(Growing::new(disk, room)),
            pending: BytesMut::new(),
            size_bytes: 0,
            max_bytes,
        }
    }

    /// Has the file do something away from the async workers. It is gone when
    /// that fails, or when nobody waits for it any more.
    async fn step<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Growing) -> Result<T, BlobError> + Send + 'static,
    ) -> Result<T, BlobError> {
        let given_up = || BlobError::Io("it was given up before".to_owned());
        let mut file = self.file.take().ok_or_else(given_up)?;
        let (file, done) = blocking(move || {
            let done = work(&mut file)?;
            Ok((file, done))
        })
        .await?;
        self.file = Some(file);
        Ok(done)
    }

    fn count(&mut self, bytes: usize) -> Result<(), BlobError> {
        self.size_bytes = self.size_bytes.saturating_add(bytes as u64);
        if self.size_bytes > self.max_bytes {
            return Err(BlobError::TooLarge {
                max_bytes: self.max_bytes,
            });
        }
        Ok(())
    }
}

#[async_trait]
impl BlobWriter for Writer {
    async fn write(&mut self, piece: Bytes) -> Result<(), BlobError> {
        self.count(piece.len())?;
        self.pending.extend_from_slice(&piece);
        while self.pending.len() >= PIECE_BYTES {
            let piece = self.pending.split_to(PIECE_BYTES).freeze();
            self.step(move |file| file.write(&piece)).await?;
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<Stored, BlobError> {
        // What was too large is not cut to size.
        self.count(0)?;
        let last = self.pending.split().freeze();
        self.step(move |file| {
            file.write(&last)?;
            file.keep()
        })
        .await
    }
}

impl Drop for Writer {
    /// Removes what was not kept, away from the async workers as long as there
    /// are any.
    fn drop(&mut self) {
        let file = self.file.take().filter(|file| file.unfinished.is_some());
        if let Some(file) = file
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn_blocking(move || drop(file));
        }
    }
}

/// A file on disk that is not whole yet. Its bytes are given back after it is
/// removed, never before.
struct Growing {
    /// None before there is anything to write, and after it was kept.
    unfinished: Option<Unfinished>,
    held: Held,
    disk: Arc<Disk>,
    room: Room,
    hasher: blake3::Hasher,
    size_bytes: u64,
    mime: &'static str,
}

impl Growing {
    fn new(disk: Arc<Disk>, room: Room) -> Self {
        Self {
            unfinished: None,
            held: Held::of(Arc::clone(&disk)),
            disk,
            room,
            hasher: blake3::Hasher::new(),
            size_bytes: 0,
            mime: kind::of(&[]),
        }
    }

    /// All pieces but the last are whole ones, so that their blocks add up.
    fn write(&mut self, piece: &[u8]) -> Result<(), BlobError> {
        if self.unfinished.is_some() && piece.is_empty() {
            return Ok(());
        }
        self.held.grow(on_disk(piece.len() as u64), self.room)?;
        let unfinished = match &mut self.unfinished {
            Some(unfinished) => unfinished,
            none => {
                self.mime = kind::of(piece);
                none.insert(self.disk.create()?)
            }
        };
        unfinished.file().write_all(piece).map_err(failed)?;
        self.hasher.update(piece);
        self.size_bytes += piece.len() as u64;
        Ok(())
    }

    fn keep(&mut self) -> Result<Stored, BlobError> {
        let digest = self.hasher.finalize().into();
        if let Some(unfinished) = self.unfinished.take() {
            self.disk.keep(unfinished, digest, self.size_bytes)?;
        }
        // Here and not when the writer goes: this takes the lock.
        self.held = Held::of(Arc::clone(&self.disk));
        Ok(Stored {
            digest,
            size_bytes: self.size_bytes,
            mime: self.mime.to_owned(),
        })
    }
}
