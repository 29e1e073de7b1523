//! Files on a disk of their own.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::{fs, time::Duration};

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::domain::ports::Stored;

const KIB: u64 = 1024;

struct Rig {
    files: Arc<dyn Blobs>,
    policy: FilePolicy,
    data: TempDir,
}

/// Room for so many KiB in all, and half of that in one file.
fn rig(disk_kib: u64) -> Rig {
    let policy = FilePolicy {
        file_bytes_max: disk_kib * KIB / 2,
        disk_bytes_max: disk_kib * KIB,
        ..FilePolicy::default()
    };
    let data = tempfile::tempdir().unwrap();
    let files = super::open(&policy, data.path()).unwrap();
    Rig {
        files,
        policy,
        data,
    }
}

impl Rig {
    async fn begun(
        &self,
        room: Room,
        byte: u8,
        kib: u64,
    ) -> Result<Box<dyn BlobWriter>, BlobError> {
        let mut writer = self.files.create(room);
        for _ in 0..kib {
            let piece = Bytes::from(vec![byte; KIB as usize]);
            writer.write(piece).await?;
        }
        Ok(writer)
    }

    async fn store(&self, byte: u8, kib: u64) -> Result<Stored, BlobError> {
        self.begun(Room::Made, byte, kib).await?.finish().await
    }

    /// Stores once what is being removed behind is gone.
    async fn store_soon(&self, room: Room, kib: u64) {
        for _ in 0..500 {
            if let Ok(writer) = self.begun(room, b'x', kib).await
                && writer.finish().await.is_ok()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        unreachable!("no room after 5 s");
    }

    async fn read(&self, digest: Digest) -> Option<Vec<u8>> {
        let mut blob = self.files.open(digest).await.unwrap()?;
        let mut bytes = Vec::new();
        while let Some(piece) = blob.reader.read().await.unwrap() {
            bytes.extend_from_slice(&piece);
        }
        assert_eq!(blob.size_bytes, bytes.len() as u64);
        Some(bytes)
    }

    async fn has(&self, digest: Digest) -> bool {
        self.read(digest).await.is_some()
    }

    /// How many files there are, temporary ones too.
    fn count(&self) -> usize {
        let dir = |path: &Path| fs::read_dir(path).unwrap().flatten().collect::<Vec<_>>();
        let all = dir(&self.data.path().join("files"));
        all.iter()
            .map(|entry| match entry.path().is_dir() {
                true => dir(&entry.path()).len(),
                false => 1,
            })
            .sum()
    }

    /// Waits for what goes on behind.
    async fn count_becomes(&self, count: usize) {
        for _ in 0..500 {
            if self.count() == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(self.count(), count);
    }

    fn reopened(self) -> Self {
        let files = super::open(&self.policy, self.data.path()).unwrap();
        Self { files, ..self }
    }
}

#[tokio::test]
async fn what_is_stored_is_read_under_the_digest_of_its_content() {
    let rig = rig(4096);
    for kib in [1, 256, 257, 1000] {
        let stored = rig.store(b'a', kib).await.unwrap();
        let content = vec![b'a'; (kib * KIB) as usize];
        assert_eq!(stored.digest, Digest::of(&content));
        assert_eq!(stored.size_bytes, kib * KIB);
        assert_eq!(stored.mime, "text/plain; charset=utf-8");
        assert_eq!(rig.read(stored.digest).await, Some(content));
        let opened = rig.files.open(stored.digest).await.unwrap().unwrap();
        assert_eq!(opened.mime, stored.mime);
    }
    let empty = rig.files.create(Room::Made).finish().await.unwrap();
    assert_eq!(empty.digest, Digest::of(b""));
    assert_eq!(rig.read(empty.digest).await, Some(Vec::new()));
    assert!(!rig.has(Digest::of(b"never stored")).await);
}

#[tokio::test]
async fn what_was_stored_is_there_after_a_restart_and_the_oldest_is_still_the_oldest() {
    let rig = rig(1024);
    let mut all = Vec::new();
    for byte in 0..3 {
        all.push(rig.store(byte, 256).await.unwrap().digest);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    fs::write(rig.data.path().join("files/.tmp-0123"), b"half").unwrap();
    let rig = rig.reopened();
    assert_eq!(rig.count(), 3);
    rig.store(3, 512).await.unwrap();
    let there = [
        rig.has(all[0]).await,
        rig.has(all[1]).await,
        rig.has(all[2]).await,
    ];
    assert_eq!(there, [false, true, true]);
}

#[tokio::test]
async fn the_oldest_go_first_and_what_is_stored_again_is_young() {
    let rig = rig(1600);
    let a = rig.store(b'a', 400).await.unwrap().digest;
    let b = rig.store(b'b', 400).await.unwrap().digest;
    rig.store(b'a', 400).await.unwrap();
    for byte in [b'c', b'd', b'e'] {
        rig.store(byte, 400).await.unwrap();
    }
    assert!(rig.has(a).await && !rig.has(b).await);
    assert_eq!(rig.count(), 4);
}

#[tokio::test]
async fn a_lowered_quota_holds_from_the_start() {
    let mut rig = rig(1024);
    let a = rig.store(b'a', 400).await.unwrap().digest;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let b = rig.store(b'b', 400).await.unwrap().digest;
    rig.policy.disk_bytes_max = 500 * KIB;
    let rig = rig.reopened();
    assert!(!rig.has(a).await && rig.has(b).await);
}

#[tokio::test]
async fn what_is_dropped_or_too_large_leaves_nothing() {
    let rig = rig(2048);
    let begun = rig.begun(Room::Made, b'a', 600).await.unwrap();
    assert_eq!(rig.count(), 1);
    drop(begun);
    rig.count_becomes(0).await;

    let large = rig.store(b'a', 1025).await;
    let max_bytes = 1024 * KIB;
    assert_eq!(large, Err(BlobError::TooLarge { max_bytes }));
    rig.count_becomes(0).await;
    rig.store(b'a', 1024).await.unwrap();
}

#[tokio::test]
async fn an_error_is_not_overcome_by_going_on() {
    let rig = rig(1024);
    let mut writer = rig.begun(Room::Made, b'a', 512).await.unwrap();
    assert!(writer.write(Bytes::from_static(b"more")).await.is_err());
    assert!(writer.finish().await.is_err());
    rig.count_becomes(0).await;
}

#[tokio::test]
async fn files_under_way_take_room_and_give_it_back() {
    let rig = rig(1024);
    let one = rig.begun(Room::Made, b'a', 256).await.unwrap();
    let two = rig.begun(Room::Made, b'b', 256).await.unwrap();
    assert_eq!(rig.store(b'c', 1).await, Err(BlobError::Full));
    drop(one);
    rig.store_soon(Room::Made, 1).await;
    two.finish().await.unwrap();
}

#[tokio::test]
async fn only_a_whole_file_pushes_others_out() {
    let rig = rig(1024);
    let old = rig.store(b'o', 512).await.unwrap().digest;
    let young = rig.store(b'y', 512).await.unwrap().digest;
    for _ in 0..3 {
        drop(rig.begun(Room::Made, b'x', 512).await.unwrap());
        rig.count_becomes(2).await;
    }
    assert!(rig.has(old).await && rig.has(young).await);
    rig.store_soon(Room::Made, 512).await;
    assert!(!rig.has(old).await && rig.has(young).await);
    // What is there already needs no room.
    rig.store(b'x', 512).await.unwrap();
    assert!(rig.has(young).await);
}

#[tokio::test]
async fn what_nobody_asked_for_pushes_nothing_out() {
    let rig = rig(1024);
    let kept = rig.store(b'k', 512).await.unwrap().digest;
    let also = rig.store(b'l', 256).await.unwrap().digest;
    let stranger = rig.begun(Room::Free, b'x', 512).await;
    assert_eq!(stranger.err(), Some(BlobError::Full));
    assert!(rig.has(kept).await && rig.has(also).await);
    rig.store_soon(Room::Free, 256).await;
    assert!(rig.has(kept).await && rig.has(also).await);
}

#[tokio::test]
async fn a_reader_reads_to_the_end_whatever_goes() {
    let rig = rig(2048);
    let stored = rig.store(b'a', 1000).await.unwrap();
    let mut blob = rig.files.open(stored.digest).await.unwrap().unwrap();
    for byte in 0..3 {
        rig.store(byte, 1000).await.unwrap();
    }
    assert!(!rig.has(stored.digest).await);
    let mut size = 0;
    while let Some(piece) = blob.reader.read().await.unwrap() {
        size += piece.len() as u64;
    }
    assert_eq!(size, stored.size_bytes);
}

#[tokio::test]
async fn a_disk_that_fails_is_an_error_and_no_file() {
    let rig = rig(2048);
    let dir = rig.data.path().join("files");
    let digest = Digest::of(&vec![b'a'; KIB as usize]);
    // Where the file would go, there is a directory.
    let name = digest.to_string();
    fs::create_dir_all(dir.join(&name[..2]).join(&name).join("x")).unwrap();
    assert!(matches!(rig.store(b'a', 1).await, Err(BlobError::Io(_))));
    assert!(rig.files.open(digest).await.unwrap().is_none());
}

#[tokio::test]
async fn others_can_not_read_what_is_kept() {
    use std::os::unix::fs::PermissionsExt;
    let rig = rig(2048);
    let name = rig.store(b'a', 1).await.unwrap().digest.to_string();
    let dir = rig.data.path().join("files");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join(&name[..2])), 0o700);
    assert_eq!(mode(&dir.join(&name[..2]).join(&name)), 0o600);
}
