//! What guests keep, for people: to look at, to export, and to mend.
//!
//! Writes to an account's bucket take its turn, so that they come between two events
//! and never into one. The shared bucket has no turn: a write rests on nothing that was
//! read, and a bot that read what it replaces runs again.

use super::{Error, Service};
use crate::domain::{
    AccountId, Bucket, HandlerName, Usage,
    bucket::check_key,
    ports::{Commit, Committed, KeyValueWrite, SharedChange},
};

/// What the values of one page may have together, in bytes: the size of a page is
/// otherwise a thousand times that of the largest value.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Keys that are removed in one commit when a bucket is emptied.
const REMOVED_AT_ONCE: usize = 500;

/// What a bucket comes to, and may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fill {
    /// What it comes to.
    pub usage: Usage,
    /// What it may come to.
    pub max: Usage,
}

/// A page of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketPage {
    /// Keys with their values, in order.
    pub items: Vec<(String, Vec<u8>)>,
    /// The last key, where more follow.
    pub next: Option<String>,
}

impl Service {
    /// What a bucket comes to.
    ///
    /// # Errors
    /// There is no such account, or neither such a handler nor anything it left.
    pub async fn bucket_fill(&self, bucket: &Bucket) -> Result<Fill, Error> {
        let usage = self.0.store.usage(bucket).await?;
        match &bucket.account {
            Some(account) => drop(self.account(account).await?),
            None if usage.keys > 0 || self.is_deployed(&bucket.handler) => {}
            None => return Err(Error::not_found("handler", &bucket.handler)),
        }
        Ok(Fill {
            usage,
            max: self.0.policies.buckets.of(bucket),
        })
    }

    fn is_deployed(&self, handler: &HandlerName) -> bool {
        self.0.catalogue.now().handlers.contains_key(handler)
    }

    /// What is in a bucket, ordered by key: at most `limit`, and fewer when the values
    /// are large.
    pub async fn bucket_page(
        &self,
        bucket: &Bucket,
        after: Option<&str>,
        limit: usize,
    ) -> Result<BucketPage, Error> {
        let store = &self.0.store;
        let mut keys = store.keys(bucket, after, limit.saturating_add(1)).await?;
        let mut more = keys.len() > limit;
        keys.truncate(limit);
        let (mut items, mut bytes, mut last) = (Vec::new(), 0, None);
        for key in keys {
            if bytes >= PAGE_BYTES_MAX {
                more = true;
                break;
            }
            // One that goes while the page is read is not on it.
            if let Some(value) = store.key_value(bucket, &key).await? {
                bytes += value.len();
                items.push((key.clone(), value));
            }
            last = Some(key);
        }
        Ok(BucketPage {
            items,
            next: last.filter(|_| more),
        })
    }

    /// One value.
    pub async fn bucket_value(&self, bucket: &Bucket, key: &str) -> Result<Vec<u8>, Error> {
        self.bucket_fill(bucket).await?;
        let value = self.0.store.key_value(bucket, key).await?;
        value.ok_or_else(|| no_key(key))
    }

    /// Writes a value, as far as there is room.
    pub async fn put_value(
        &self,
        bucket: Bucket,
        key: String,
        value: Vec<u8>,
    ) -> Result<(), Error> {
        check_key(&key).map_err(|problem| Error::BadRequest {
            field: "key",
            problem,
        })?;
        let (size, limit) = (value.len(), self.0.policies.buckets.value_bytes as usize);
        if size > limit {
            return Err(Error::BadRequest {
                field: "value",
                problem: format!("has at most {limit} bytes (limits.value_bytes), this has {size}"),
            });
        }
        self.change_bucket(bucket, key, Some(value)).await
    }

    /// Removes a key.
    pub async fn remove_value(&self, bucket: Bucket, key: String) -> Result<(), Error> {
        self.change_bucket(bucket, key, None).await
    }

    /// Removes everything, and says how many keys that were. In steps, so that other
    /// accounts get their turn at the store; the bucket's own account waits.
    pub async fn empty_bucket(&self, bucket: Bucket) -> Result<u64, Error> {
        let service = self.clone();
        self.detached(async move { service.empty(&bucket).await })
            .await
    }

    async fn empty(&self, bucket: &Bucket) -> Result<u64, Error> {
        self.bucket_fill(bucket).await?;
        let turn = match &bucket.account {
            Some(account) => Some(self.turn(account).await?),
            None => None,
        };
        let mut removed = 0;
        loop {
            let keys = self.0.store.keys(bucket, None, REMOVED_AT_ONCE).await?;
            if keys.is_empty() {
                return Ok(removed);
            }
            removed += keys.len() as u64;
            let gone: Vec<_> = keys.into_iter().map(|key| (key, None)).collect();
            match (&turn, &bucket.account) {
                (Some(turn), Some(account)) => {
                    let commit = own_change(bucket, gone);
                    self.commit(turn, account, commit.into()).await?;
                }
                _ => self.change_shared(bucket, gone).await?,
            }
        }
    }

    async fn change_bucket(
        &self,
        bucket: Bucket,
        key: String,
        value: Option<Vec<u8>>,
    ) -> Result<(), Error> {
        let service = self.clone();
        self.detached(async move { service.change_in_turn(&bucket, key, value).await })
            .await
    }

    async fn change_in_turn(
        &self,
        bucket: &Bucket,
        key: String,
        value: Option<Vec<u8>>,
    ) -> Result<(), Error> {
        self.bucket_fill(bucket).await?;
        let Some(account) = &bucket.account else {
            self.check_change(bucket, &key, value.as_deref()).await?;
            return self.change_shared(bucket, vec![(key, value)]).await;
        };
        let turn = self.turn(account).await?;
        self.check_change(bucket, &key, value.as_deref()).await?;
        let commit = own_change(bucket, vec![(key, value)]);
        self.commit(&turn, account, commit.into()).await.map(drop)
    }

    /// Whether this may be written, or removed: the key is there, and there is room.
    async fn check_change(
        &self,
        bucket: &Bucket,
        key: &str,
        value: Option<&[u8]>,
    ) -> Result<(), Error> {
        let former = self.0.store.key_value(bucket, key).await?;
        if former.is_none() && value.is_none() {
            return Err(no_key(key));
        }
        let Fill { usage, max } = self.bucket_fill(bucket).await?;
        let after = usage.with(Usage::of(key, value), Usage::of(key, former.as_deref()));
        match usage.may_become(after, max) {
            true => Ok(()),
            false => Err(Error::Conflict(after.refusal(max))),
        }
    }

    /// Writes to the shared bucket. Several at once are no harm: such a commit changes
    /// nothing else, and each is decided on top of the one before.
    async fn change_shared(
        &self,
        bucket: &Bucket,
        writes: Vec<(String, Option<Vec<u8>>)>,
    ) -> Result<(), Error> {
        let (store, nobody) = (&self.0.store, AccountId::shared());
        let commit = Commit {
            shared: Some(SharedChange {
                handler: bucket.handler.clone(),
                read: Vec::new(),
                writes,
                max: self.0.policies.buckets.shared,
            }),
            ..Commit::default()
        };
        let epoch = store.own(&nobody, false).await?;
        match store.commit(&nobody, epoch, commit.into()).await? {
            Committed::Ok => Ok(()),
            // Bots filled it since there was room.
            Committed::SharedMoved => Err(Error::Conflict("the bucket is full".to_owned())),
            Committed::Duplicate(_) | Committed::Fenced | Committed::LoginMoved => Err(
                Error::Host("another host writes to the shared buckets".to_owned()),
            ),
        }
    }
}

fn own_change(bucket: &Bucket, writes: Vec<(String, Option<Vec<u8>>)>) -> Commit {
    let write = |(key, value)| KeyValueWrite {
        handler: bucket.handler.clone(),
        key,
        value,
    };
    Commit {
        key_values: writes.into_iter().map(write).collect(),
        ..Commit::default()
    }
}

fn no_key(key: &str) -> Error {
    Error::not_found("key", key.escape_debug())
}
