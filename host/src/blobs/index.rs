//! Which files there are, how large, and which of them is the oldest. Pure: the
//! disk does what this says.

use std::collections::{BTreeMap, HashMap};

use crate::domain::Digest;

/// What a file takes at least, and in steps of what: file systems give whole
/// blocks.
const BLOCK_BYTES: u64 = 4096;
/// How many files there may be, whatever their size: an entry takes some 100
/// bytes of memory.
const FILES_MAX: usize = 500_000;

/// Which part of the room the files may take beside it that are being written,
/// unless one file alone may be larger: half of it. They push nothing out before
/// they are whole, and most of them are small.
const HELD_PART: u64 = 2;

/// What so many bytes take on disk.
pub fn on_disk(bytes: u64) -> u64 {
    bytes
        .div_ceil(BLOCK_BYTES)
        .max(1)
        .saturating_mul(BLOCK_BYTES)
}

#[derive(Debug)]
struct Entry {
    bytes: u64,
    age: u64,
}

/// All files, and what those take that are being written.
#[derive(Debug)]
pub struct Index {
    max_bytes: u64,
    held_max: u64,
    files: HashMap<Digest, Entry>,
    /// The oldest first.
    by_age: BTreeMap<u64, Digest>,
    next_age: u64,
    kept: u64,
    held: u64,
}

impl Index {
    /// Nothing so far, with room for so much, of which one file has so much at most.
    pub fn new(max_bytes: u64, file_bytes_max: u64) -> Self {
        Self {
            max_bytes,
            held_max: (max_bytes / HELD_PART).max(on_disk(file_bytes_max)),
            files: HashMap::new(),
            by_age: BTreeMap::new(),
            next_age: 0,
            kept: 0,
            held: 0,
        }
    }

    /// Whether the file is there.
    pub fn has(&self, digest: &Digest) -> bool {
        self.files.contains_key(digest)
    }

    /// The file that goes next.
    pub fn oldest(&self) -> Option<Digest> {
        self.by_age.first_key_value().map(|(_, digest)| *digest)
    }

    /// Whether there is room for one more whole file of so much on disk.
    pub fn fits(&self, bytes: u64) -> bool {
        let all = self.kept.saturating_add(bytes);
        all <= self.max_bytes && self.files.len() < FILES_MAX
    }

    /// Whether so much more of a file being written would find room if that were
    /// whole: what all of them take counts.
    pub fn is_free(&self, bytes: u64) -> bool {
        self.fits(self.held.saturating_add(bytes))
    }

    /// A file being written takes so much more. False when all of them would take
    /// too much.
    pub fn hold(&mut self, bytes: u64) -> bool {
        let held = self.held.saturating_add(bytes);
        let ok = held <= self.held_max;
        if ok {
            self.held = held;
        }
        ok
    }

    /// What a file being written took is free.
    pub fn release(&mut self, bytes: u64) {
        self.held = self.held.saturating_sub(bytes);
    }

    /// This file is there, and the youngest.
    pub fn put(&mut self, digest: Digest, bytes: u64) {
        self.remove(&digest);
        let (bytes, age) = (on_disk(bytes), self.next_age);
        self.next_age += 1;
        self.kept = self.kept.saturating_add(bytes);
        self.files.insert(digest, Entry { bytes, age });
        self.by_age.insert(age, digest);
    }

    /// This file is gone.
    pub fn remove(&mut self, digest: &Digest) {
        if let Some(Entry { bytes, age }) = self.files.remove(digest) {
            self.kept = self.kept.saturating_sub(bytes);
            self.by_age.remove(&age);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digest(n: u8) -> Digest {
        Digest::of(&[n])
    }

    #[test]
    fn the_oldest_goes_next_and_what_comes_again_is_young() {
        let mut index = Index::new(100 * BLOCK_BYTES, 1);
        index.put(digest(1), 1);
        index.put(digest(2), 1);
        assert_eq!(index.oldest(), Some(digest(1)));
        index.put(digest(1), 1);
        assert_eq!(index.oldest(), Some(digest(2)));
        index.remove(&digest(2));
        index.remove(&digest(1));
        assert_eq!(index.oldest(), None);
    }

    #[test]
    fn what_is_being_written_has_a_bound_of_its_own() {
        let mut index = Index::new(10 * BLOCK_BYTES, 1);
        assert!(index.hold(5 * BLOCK_BYTES) && !index.hold(1));
        assert!(index.fits(10 * BLOCK_BYTES) && !index.is_free(6 * BLOCK_BYTES));
        index.release(BLOCK_BYTES);
        assert!(index.hold(BLOCK_BYTES));
        // One file of the largest size is written all the same.
        let mut index = Index::new(10 * BLOCK_BYTES, 10 * BLOCK_BYTES);
        assert!(index.hold(10 * BLOCK_BYTES) && !index.hold(1));
    }

    #[test]
    fn small_files_take_whole_blocks() {
        assert_eq!(
            [0, 1, 4096, 4097].map(on_disk),
            [4096, 4096, 4096, 2 * 4096]
        );
    }

    proptest! {
        #[test]
        fn what_is_counted_is_what_is_there(
            all in prop::collection::vec((0..3_u8, 0..6_u8, 0..20_000_u64), 0..60),
        ) {
            let mut index = Index::new(u64::MAX, 1);
            let mut there = HashMap::new();
            for (what, n, bytes) in all {
                match what {
                    0 | 1 => {
                        index.put(digest(n), bytes);
                        there.insert(digest(n), on_disk(bytes));
                    }
                    _ => {
                        index.remove(&digest(n));
                        there.remove(&digest(n));
                    }
                }
                prop_assert_eq!(index.kept, there.values().sum::<u64>());
                prop_assert_eq!(index.by_age.len(), there.len());
                prop_assert!(there.keys().all(|digest| index.has(digest)));
            }
        }
    }
}
