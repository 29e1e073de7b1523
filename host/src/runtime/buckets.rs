//! What one call does with buckets: its reads see its writes, its writes are kept
//! within what the bucket may come to, and of the shared bucket it is noted what was
//! read, which the commit then holds against what is there.

use std::collections::{BTreeMap, btree_map::Entry};

use super::state::{CallState, Errand, NotTaken, Stopped};
use crate::domain::{
    Bucket, Digest, Usage,
    bucket::{SHARED_READ_BYTES_MAX, SHARED_READS_MAX, check_key},
    ports::{KeyValueWrite, SharedChange},
};

/// What is counted for a write beside its key and value: the names that the
/// store puts before the key.
const WRITE_BYTES: usize = 512;

/// Which of the buckets that a call can open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// That of the account and the handler.
    Own,
    /// That of all accounts of the handler.
    Shared,
}

/// What a call did with its buckets.
#[derive(Debug, Default)]
pub struct Buckets {
    own: Touched,
    shared: Touched,
}

/// What a call did with one bucket.
#[derive(Debug, Default)]
struct Touched {
    /// The guest's writes, read back by its own reads.
    written: BTreeMap<String, Option<Vec<u8>>>,
    /// What it comes to with them; none before the first.
    usage: Option<Usage>,
    /// What was read of the shared bucket, as it was the first time.
    read: BTreeMap<String, Option<Digest>>,
    /// How many bytes the values had that were read of it.
    read_bytes: usize,
}

impl Buckets {
    fn of(&self, which: Which) -> &Touched {
        match which {
            Which::Own => &self.own,
            Which::Shared => &self.shared,
        }
    }

    fn of_mut(&mut self, which: Which) -> &mut Touched {
        match which {
            Which::Own => &mut self.own,
            Which::Shared => &mut self.shared,
        }
    }

    fn writes(&self) -> usize {
        self.own.written.len() + self.shared.written.len()
    }
}

impl<E: Errand> CallState<E> {
    /// The bucket as the store knows it.
    pub fn bucket(&self, which: Which) -> Bucket {
        match which {
            Which::Own => Bucket::of(self.call.account(), self.handler()),
            Which::Shared => Bucket::shared(self.handler()),
        }
    }

    fn bucket_max(&self, which: Which) -> Usage {
        match which {
            Which::Own => self.call.bucket_max(&self.limits),
            Which::Shared => self.limits.buckets().shared,
        }
    }

    /// All that the guest wrote there during this call.
    pub fn written(&self, which: Which) -> &BTreeMap<String, Option<Vec<u8>>> {
        &self.buckets.of(which).written
    }

    /// Reads a value for the guest. The outer error ends it, the inner one is its to
    /// handle.
    pub async fn read(
        &mut self,
        which: Which,
        key: &str,
    ) -> Result<Result<Option<Vec<u8>>, NotTaken>, Stopped> {
        if let Some(written) = self.written(which).get(key) {
            return Ok(Ok(written.clone()));
        }
        if which == Which::Own {
            return Ok(Ok(self.stored(which, key).await?));
        }
        let Touched {
            read, read_bytes, ..
        } = &self.buckets.shared;
        let full = read.len() >= SHARED_READS_MAX || *read_bytes >= SHARED_READ_BYTES_MAX;
        if full && !read.contains_key(key) {
            return Ok(Err(NotTaken::TooManyReads));
        }
        let value = self.stored(which, key).await?;
        let Touched {
            read, read_bytes, ..
        } = &mut self.buckets.shared;
        if let Entry::Vacant(first) = read.entry(key.to_owned()) {
            first.insert(value.as_deref().map(Digest::of));
            *read_bytes += value.as_ref().map_or(0, Vec::len);
        }
        Ok(Ok(value))
    }

    async fn stored(&mut self, which: Which, key: &str) -> Result<Option<Vec<u8>>, Stopped> {
        let bucket = self.bucket(which);
        Ok(self.store.key_value(&bucket, key).await?)
    }

    async fn stored_usage(&mut self, which: Which) -> Result<Usage, Stopped> {
        let bucket = self.bucket(which);
        Ok(self.store.usage(&bucket).await?)
    }

    /// Notes a write, as far as there is room. Several to one key are one. A write
    /// rests on nothing that was read: what it replaces matters for the room only,
    /// and that is looked at again by the commit.
    pub async fn write(
        &mut self,
        which: Which,
        key: String,
        value: Option<Vec<u8>>,
    ) -> Result<Result<(), NotTaken>, Stopped> {
        if let Err(refusal) = self.check_entry(&key, value.as_ref()) {
            return Ok(Err(refusal));
        }
        let former = match self.written(which).get(&key) {
            Some(written) => Usage::of(&key, written.as_deref()),
            None => Usage::of(&key, self.stored(which, &key).await?.as_deref()),
        };
        let before = match self.buckets.of(which).usage {
            Some(usage) => usage,
            None => self.stored_usage(which).await?,
        };
        let after = before.with(Usage::of(&key, value.as_deref()), former);
        let max = self.bucket_max(which);
        if !before.may_become(after, max) {
            return Ok(Err(NotTaken::Full(after.refusal(max))));
        }
        let noted = self.note_write(which, key, value);
        if noted.is_ok() {
            self.buckets.of_mut(which).usage = Some(after);
        }
        Ok(noted)
    }

    fn check_entry(&self, key: &str, value: Option<&Vec<u8>>) -> Result<(), NotTaken> {
        check_key(key).map_err(NotTaken::BadEntry)?;
        let (size, limit) = (value.map_or(0, Vec::len), self.limits.value_bytes as usize);
        if size > limit {
            let text = format!("a value has at most {limit} bytes, this has {size}");
            return Err(NotTaken::BadEntry(text));
        }
        Ok(())
    }

    fn note_write(
        &mut self,
        which: Which,
        key: String,
        value: Option<Vec<u8>>,
    ) -> Result<(), NotTaken> {
        let limit = self.limits.call_key_value_writes;
        let known = self.written(which).get(&key);
        if known.is_none() && self.buckets.writes() >= limit as usize {
            return Err(NotTaken::TooMany(limit));
        }
        let former = known.map_or(0, |former| write_bytes(&key, former.as_ref()));
        self.take_effects(former, write_bytes(&key, value.as_ref()))?;
        self.buckets.of_mut(which).written.insert(key, value);
        Ok(())
    }

    /// What the guest wrote to its own bucket.
    pub fn take_writes(&mut self) -> Vec<KeyValueWrite> {
        let handler = self.handler().clone();
        let written = std::mem::take(&mut self.buckets.own.written);
        let write = |(key, value)| KeyValueWrite {
            handler: handler.clone(),
            key,
            value,
        };
        written.into_iter().map(write).collect()
    }

    /// What the guest read of the shared bucket and wrote to it.
    pub fn take_shared(&mut self) -> Option<SharedChange> {
        let Touched { written, read, .. } = std::mem::take(&mut self.buckets.shared);
        (!written.is_empty() || !read.is_empty()).then(|| SharedChange {
            handler: self.handler().clone(),
            read: read.into_iter().collect(),
            writes: written.into_iter().collect(),
            max: self.bucket_max(Which::Shared),
        })
    }
}

fn write_bytes(key: &str, value: Option<&Vec<u8>>) -> usize {
    key.len() + value.map_or(0, Vec::len) + WRITE_BYTES
}
