//! `wasi:keyvalue`: a bucket per account and handler (one per callback component), and
//! one that all accounts of a handler share, if its version was granted that. Both are
//! written together with the guest's actions. The guest sees its own writes at once,
//! everybody else when the call succeeded.

use std::{collections::BTreeSet, ops::Bound};

use wasmtime::component::Resource;

use super::CallState;
use crate::{
    domain::{bucket::check_key, handler::LogLevel},
    runtime::{
        bindings::wasi::keyvalue::{
            atomics, batch,
            store::{self, Error, KeyResponse},
        },
        buckets::Which,
        state::{Errand, NotTaken, Stopped},
    },
};

/// Keys of one answer to `list-keys`.
const KEYS_PAGE: usize = 500;
/// Keys of one batch.
const BATCH_MAX: usize = 100;

/// What the shared bucket is called when it is opened.
const SHARED: &str = "shared";

/// An open bucket.
#[derive(Debug)]
pub struct Bucket(Which);

type Answer<T> = wasmtime::Result<Result<T, Error>>;
type Handle = Resource<Bucket>;

fn other<T>(message: impl Into<String>) -> Result<T, Error> {
    Err(Error::Other(message.into()))
}

fn refused(why: NotTaken) -> Error {
    Error::Other(why.to_string())
}

impl<E: Errand> CallState<E> {
    fn which(&mut self, bucket: &Handle) -> wasmtime::Result<Which> {
        Ok(self.table().get(bucket)?.0)
    }

    async fn value(&mut self, which: Which, key: &str) -> Answer<Option<Vec<u8>>> {
        if let Err(problem) = check_key(key) {
            return Ok(other(problem));
        }
        Ok(self.read(which, key).await?.map_err(refused))
    }

    async fn put(&mut self, which: Which, key: String, value: Option<Vec<u8>>) -> Answer<()> {
        Ok(self.write(which, key, value).await?.map_err(refused))
    }

    /// Why the guest can't open the shared bucket, where its author and whoever runs
    /// the host read it.
    fn note_no_grant(&mut self) {
        const HOW: &str = "the bucket `shared` was not granted: deploy the handler with \
             --shared-bucket (shared_bucket in its manifest)";
        self.output.say(LogLevel::Warn, HOW);
        tracing::warn!(
            handler = %self.handler(),
            version = %self.call.deployment().version.number,
            "{HOW}"
        );
    }

    /// Keys after this one in order, own writes included: at most a page, and
    /// whether more follow. Reads on while the guest's own deletions leave the
    /// page short, so it is short at the end only.
    async fn page_of_keys(
        &mut self,
        which: Which,
        after: Option<&str>,
    ) -> Result<(Vec<String>, bool), Stopped> {
        let mut keys = Vec::new();
        let mut after = after.map(str::to_owned);
        loop {
            let mut stored = self.stored_keys(which, after.as_deref()).await?;
            // What was read is complete up to its last key, or to the end.
            let upto = match stored.len() > KEYS_PAGE {
                true => stored.last().cloned(),
                false => None,
            };
            self.merge_written(which, &mut stored, after.as_deref(), upto.as_deref());
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
    /// Of the shared bucket that is what is committed, and the commit of this call
    /// does not look at it again: somebody may add a key meanwhile.
    async fn stored_keys(
        &mut self,
        which: Which,
        after: Option<&str>,
    ) -> Result<BTreeSet<String>, Stopped> {
        let bucket = self.bucket(which);
        let keys = self.store.keys(&bucket, after, KEYS_PAGE + 1).await?;
        Ok(keys.into_iter().collect())
    }

    /// Adds what the guest wrote after the one key and up to the other, and
    /// takes out what it deleted.
    fn merge_written(
        &self,
        which: Which,
        keys: &mut BTreeSet<String>,
        after: Option<&str>,
        upto: Option<&str>,
    ) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let to = upto.map_or(Bound::Unbounded, Bound::Included);
        for (key, value) in self.written(which).range::<str, _>((from, to)) {
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
        which: Which,
        cursor: Option<u64>,
    ) -> Result<Result<KeyResponse, Error>, Stopped> {
        let after = match cursor.map(|cursor| self.key_cursor(cursor)) {
            None => None,
            Some(Some(key)) => Some(key.to_owned()),
            Some(None) => return Ok(other("this cursor was not given out during this call")),
        };
        let (keys, more) = self.page_of_keys(which, after.as_deref()).await?;
        let last = keys.last().filter(|_| more).cloned();
        let cursor = last.map(|key| self.new_key_cursor(key));
        Ok(Ok(KeyResponse { keys, cursor }))
    }
}

impl<E: Errand> store::Host for CallState<E> {
    async fn open(&mut self, identifier: String) -> Answer<Handle> {
        self.enter()?;
        let which = match identifier.as_str() {
            "" | "default" => self.call.default_bucket(),
            SHARED if self.call.may_share() => Which::Shared,
            SHARED => {
                self.note_no_grant();
                return Ok(Err(Error::AccessDenied));
            }
            _ => return Ok(Err(Error::NoSuchStore)),
        };
        match self.table().push(Bucket(which)) {
            Ok(handle) => Ok(Ok(handle)),
            Err(_) => Ok(other(format!(
                "more than {} handles are held",
                self.limits.call_handles
            ))),
        }
    }
}

impl<E: Errand> store::HostBucket for CallState<E> {
    async fn get(&mut self, bucket: Handle, key: String) -> Answer<Option<Vec<u8>>> {
        self.enter()?;
        let which = self.which(&bucket)?;
        self.value(which, &key).await
    }

    async fn set(&mut self, bucket: Handle, key: String, value: Vec<u8>) -> Answer<()> {
        self.enter()?;
        let which = self.which(&bucket)?;
        self.put(which, key, Some(value)).await
    }

    async fn delete(&mut self, bucket: Handle, key: String) -> Answer<()> {
        self.enter()?;
        let which = self.which(&bucket)?;
        self.put(which, key, None).await
    }

    async fn exists(&mut self, bucket: Handle, key: String) -> Answer<bool> {
        self.enter()?;
        let which = self.which(&bucket)?;
        Ok(self.value(which, &key).await?.map(|value| value.is_some()))
    }

    async fn list_keys(&mut self, bucket: Handle, cursor: Option<u64>) -> Answer<KeyResponse> {
        self.enter()?;
        let which = self.which(&bucket)?;
        Ok(self.list_keys_page(which, cursor).await?)
    }

    async fn drop(&mut self, bucket: Handle) -> wasmtime::Result<()> {
        self.table().delete(bucket)?;
        Ok(())
    }
}

impl<E: Errand> atomics::Host for CallState<E> {
    /// Counters are decimal text, so that they read well in exports and from
    /// every language.
    async fn increment(&mut self, bucket: Handle, key: String, delta: u64) -> Answer<u64> {
        self.enter()?;
        let which = self.which(&bucket)?;
        let value = match self.value(which, &key).await? {
            Ok(value) => value,
            Err(error) => return Ok(Err(error)),
        };
        let Some(count) = counter(value.as_deref()) else {
            return Ok(other(format!("{key} holds no counter")));
        };
        let Some(sum) = count.checked_add(delta) else {
            return Ok(other(format!("{key} would be more than 2^64")));
        };
        let sum_text = sum.to_string().into_bytes();
        let put = self.put(which, key, Some(sum_text)).await?;
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
        bucket: Handle,
        keys: Vec<String>,
    ) -> Answer<Vec<Option<(String, Vec<u8>)>>> {
        let which = self.which(&bucket)?;
        if let Err(error) = check_batch(keys.len()) {
            self.enter()?;
            return Ok(Err(error));
        }
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            self.enter()?;
            match self.value(which, &key).await? {
                Ok(value) => found.push(value.map(|value| (key, value))),
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(found))
    }

    async fn set_many(&mut self, bucket: Handle, pairs: Vec<(String, Vec<u8>)>) -> Answer<()> {
        let writes = pairs
            .into_iter()
            .map(|(key, value)| (key, Some(value)))
            .collect();
        self.put_many(bucket, writes).await
    }

    async fn delete_many(&mut self, bucket: Handle, keys: Vec<String>) -> Answer<()> {
        let writes = keys.into_iter().map(|key| (key, None)).collect();
        self.put_many(bucket, writes).await
    }
}

impl<E: Errand> CallState<E> {
    async fn put_many(
        &mut self,
        bucket: Handle,
        writes: Vec<(String, Option<Vec<u8>>)>,
    ) -> Answer<()> {
        let which = self.which(&bucket)?;
        if let Err(error) = check_batch(writes.len()) {
            self.enter()?;
            return Ok(Err(error));
        }
        for (key, value) in writes {
            self.enter()?;
            if let Err(error) = self.put(which, key, value).await? {
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
