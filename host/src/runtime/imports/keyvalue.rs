//! `wasi:keyvalue`: a store per account and handler (one per callback component),
//! written together with the guest's actions. The guest sees its own writes at once, everybody else when
//! the call succeeded.

use std::{collections::BTreeSet, ops::Bound};

use wasmtime::component::Resource;

use super::CallState;
use crate::{
    domain::callback::Usage,
    runtime::{
        bindings::wasi::keyvalue::{
            atomics, batch,
            store::{self, Error, KeyResponse},
        },
        state::{Errand, Stopped},
    },
};

/// The longest key, in bytes.
const KEY_MAX_BYTES: usize = 256;
/// Keys of one answer to `list-keys`.
const KEYS_PAGE: usize = 500;
/// Keys of one batch.
const BATCH_MAX: usize = 100;

/// An open bucket. There is one per account and handler; what it is called
/// when it is opened is checked, then of no matter.
#[derive(Debug)]
pub struct Bucket;

type Answer<T> = wasmtime::Result<Result<T, Error>>;
type Handle = Resource<Bucket>;

fn other<T>(message: impl Into<String>) -> Result<T, Error> {
    Err(Error::Other(message.into()))
}

fn check_key(key: &str) -> Result<(), Error> {
    if key.is_empty() || key.len() > KEY_MAX_BYTES {
        return other(format!(
            "a key has 1 to {KEY_MAX_BYTES} bytes, this has {}",
            key.len()
        ));
    }
    Ok(())
}

impl<E: Errand> CallState<E> {
    async fn read(&mut self, key: &str) -> Result<Option<Vec<u8>>, Stopped> {
        if let Some(written) = self.written(key) {
            return Ok(written.clone());
        }
        Ok(self
            .store
            .key_value(self.call.account(), self.handler(), key)
            .await?)
    }

    /// Writes; in a store that has an end, as far as there is room.
    async fn put_in_room(
        &mut self,
        key: String,
        value: Option<Vec<u8>>,
    ) -> Result<Result<(), Error>, Stopped> {
        let Some(before) = self.call.usage().copied() else {
            return Ok(self.put(key, value));
        };
        let former = self.read(&key).await?;
        let entry = |value: &Option<Vec<u8>>| Usage::of(&key, value.as_deref());
        let after = before.with(entry(&value), entry(&former));
        // One that is too full all the same may shrink.
        if !after.fits(Usage::MAX) && !after.fits(before) {
            return Ok(other(format!(
                "this store is full: it takes {} keys and {} bytes in all",
                Usage::MAX.keys,
                Usage::MAX.bytes
            )));
        }
        let put = self.put(key, value);
        if let (Ok(()), Some(usage)) = (&put, self.call.usage()) {
            *usage = after;
        }
        Ok(put)
    }

    fn put(&mut self, key: String, value: Option<Vec<u8>>) -> Result<(), Error> {
        check_key(&key)?;
        let (size, limit) = (
            value.as_ref().map_or(0, Vec::len),
            self.limits.value_bytes as usize,
        );
        if size > limit {
            return other(format!(
                "a value has at most {limit} bytes, this has {size}"
            ));
        }
        self.write(key, value)
            .or_else(|error| other(error.to_string()))
    }

    /// Keys after this one in order, own writes included: at most a page, and
    /// whether more follow. Reads on while the guest's own deletions leave the
    /// page short, so it is short at the end only.
    async fn page_of_keys(&mut self, after: Option<&str>) -> Result<(Vec<String>, bool), Stopped> {
        let mut keys = Vec::new();
        let mut after = after.map(str::to_owned);
        loop {
            let mut stored = self.stored_keys(after.as_deref()).await?;
            // What was read is complete up to its last key, or to the end.
            let upto = match stored.len() > KEYS_PAGE {
                true => stored.last().cloned(),
                false => None,
            };
            self.merge_written(&mut stored, after.as_deref(), upto.as_deref());
            keys.extend(stored);
            if keys.len() > KEYS_PAGE || upto.is_none() {
                break;
            }
            after = upto;
            // Counted per page read.
            self.enter()?;
        }
        let more = keys.len() > KEYS_PAGE;
        keys.truncate(KEYS_PAGE);
        Ok((keys, more))
    }

    /// A page of what the store has, and one more if there is one.
    async fn stored_keys(&mut self, after: Option<&str>) -> Result<BTreeSet<String>, Stopped> {
        let account = self.call.account();
        let keys = self
            .store
            .keys(account, self.handler(), after, KEYS_PAGE + 1)
            .await?;
        Ok(keys.into_iter().collect())
    }

    /// Adds what the guest wrote after the one key and up to the other, and
    /// takes out what it deleted.
    fn merge_written(&self, keys: &mut BTreeSet<String>, after: Option<&str>, upto: Option<&str>) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let to = upto.map_or(Bound::Unbounded, Bound::Included);
        for (key, value) in self.all_written().range::<str, _>((from, to)) {
            match value {
                Some(_) => keys.insert(key.clone()),
                None => keys.remove(key),
            };
        }
    }

    /// One answer to `list-keys`. The package wants a cursor to be a number: it
    /// counts the cursors that this call was given, and stands for the last key
    /// of its page. So it goes with the call; `call_host_calls` bounds them.
    async fn list_keys_page(
        &mut self,
        cursor: Option<u64>,
    ) -> Result<Result<KeyResponse, Error>, Stopped> {
        let after = match cursor.map(|cursor| self.key_cursor(cursor)) {
            None => None,
            Some(Some(key)) => Some(key.to_owned()),
            Some(None) => return Ok(other("this cursor was not given out during this call")),
        };
        let (keys, more) = self.page_of_keys(after.as_deref()).await?;
        let last = keys.last().filter(|_| more).cloned();
        let cursor = last.map(|key| self.new_key_cursor(key));
        Ok(Ok(KeyResponse { keys, cursor }))
    }
}

impl<E: Errand> store::Host for CallState<E> {
    async fn open(&mut self, identifier: String) -> Answer<Handle> {
        self.enter()?;
        if !matches!(identifier.as_str(), "" | "default") {
            return Ok(Err(Error::NoSuchStore));
        }
        match self.table().push(Bucket) {
            Ok(handle) => Ok(Ok(handle)),
            Err(_) => Ok(other(format!(
                "more than {} handles are held",
                self.limits.call_handles
            ))),
        }
    }
}

impl<E: Errand> store::HostBucket for CallState<E> {
    async fn get(&mut self, _: Handle, key: String) -> Answer<Option<Vec<u8>>> {
        self.enter()?;
        match check_key(&key) {
            Ok(()) => Ok(Ok(self.read(&key).await?)),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn set(&mut self, _: Handle, key: String, value: Vec<u8>) -> Answer<()> {
        self.enter()?;
        Ok(self.put_in_room(key, Some(value)).await?)
    }

    async fn delete(&mut self, _: Handle, key: String) -> Answer<()> {
        self.enter()?;
        Ok(self.put_in_room(key, None).await?)
    }

    async fn exists(&mut self, _: Handle, key: String) -> Answer<bool> {
        self.enter()?;
        match check_key(&key) {
            Ok(()) => Ok(Ok(self.read(&key).await?.is_some())),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn list_keys(&mut self, _: Handle, cursor: Option<u64>) -> Answer<KeyResponse> {
        self.enter()?;
        Ok(self.list_keys_page(cursor).await?)
    }

    async fn drop(&mut self, bucket: Handle) -> wasmtime::Result<()> {
        self.table().delete(bucket)?;
        Ok(())
    }
}

impl<E: Errand> atomics::Host for CallState<E> {
    /// Counters are decimal text, so that they read well in exports and from
    /// every language.
    async fn increment(&mut self, _: Handle, key: String, delta: u64) -> Answer<u64> {
        self.enter()?;
        if let Err(error) = check_key(&key) {
            return Ok(Err(error));
        }
        let Some(count) = counter(self.read(&key).await?.as_deref()) else {
            return Ok(other(format!("{key} holds no counter")));
        };
        let Some(sum) = count.checked_add(delta) else {
            return Ok(other(format!("{key} would be more than 2^64")));
        };
        let sum_text = sum.to_string().into_bytes();
        let put = self.put_in_room(key, Some(sum_text)).await?;
        Ok(put.map(|()| sum))
    }
}

fn counter(value: Option<&[u8]>) -> Option<u64> {
    match value {
        None => Some(0),
        Some(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
    }
}

impl<E: Errand> batch::Host for CallState<E> {
    async fn get_many(
        &mut self,
        _: Handle,
        keys: Vec<String>,
    ) -> Answer<Vec<Option<(String, Vec<u8>)>>> {
        if let Err(error) = check_batch(keys.len()) {
            self.enter()?;
            return Ok(Err(error));
        }
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            self.enter()?;
            if let Err(error) = check_key(&key) {
                return Ok(Err(error));
            }
            found.push(self.read(&key).await?.map(|value| (key, value)));
        }
        Ok(Ok(found))
    }

    async fn set_many(&mut self, _: Handle, pairs: Vec<(String, Vec<u8>)>) -> Answer<()> {
        let writes = pairs
            .into_iter()
            .map(|(key, value)| (key, Some(value)))
            .collect();
        self.put_many(writes).await
    }

    async fn delete_many(&mut self, _: Handle, keys: Vec<String>) -> Answer<()> {
        self.put_many(keys.into_iter().map(|key| (key, None)).collect())
            .await
    }
}

impl<E: Errand> CallState<E> {
    async fn put_many(&mut self, writes: Vec<(String, Option<Vec<u8>>)>) -> Answer<()> {
        if let Err(error) = check_batch(writes.len()) {
            self.enter()?;
            return Ok(Err(error));
        }
        for (key, value) in writes {
            self.enter()?;
            if let Err(error) = self.put_in_room(key, value).await? {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }
}

fn check_batch(size: usize) -> Result<(), Error> {
    if size > BATCH_MAX {
        return other(format!(
            "at most {BATCH_MAX} keys at a time, these are {size}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
