//! Decides jobs one after the other, each on top of those before it in the same
//! batch, and collects what they change.

use std::collections::{HashMap, hash_map::Entry};

use serde::de::DeserializeOwned;
use sled::{Batch, Db, IVec};

use super::{
    failed,
    job::{
        BucketPlace, Change, Changes, CommitJob, EnqueueJob, HandlerFailure, LoginJob, LoginStep,
        SeenJob, SharedStep,
    },
    pieces,
    read::Read,
};
use crate::{
    domain::{
        AccountId, Digest, Usage,
        ports::{Committed, Enqueued, Epoch, EventRecord, LoginChanged, StoreError},
    },
    store::{
        FAILURES_MAX, HANDLER_FAILURES_MAX,
        codec::{self, FailurePlace, RequestRecord, Revision},
    },
};

/// What a batch will change, and the store as it will be then.
#[derive(Debug)]
pub struct Stage<'a> {
    db: &'a Db,
    /// The records that change; none where one is removed.
    changed: HashMap<IVec, Option<IVec>>,
    /// How `changed` was before the present job touched it, last touch last.
    undo: Vec<(IVec, Option<Option<IVec>>)>,
    /// The greatest number in use by what was decided.
    top: u64,
}

impl<'a> Stage<'a> {
    /// Nothing changed yet.
    pub fn new(db: &'a Db) -> Self {
        Self {
            db,
            changed: HashMap::new(),
            undo: Vec::new(),
            top: 0,
        }
    }

    /// Does all of a job, or, when it fails, nothing of it.
    pub fn attempt<T>(
        &mut self,
        job: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.undo.clear();
        let result = job(self);
        if result.is_err() {
            self.roll_back();
        }
        result
    }

    /// The whole batch and the greatest number in it; none when nothing changes.
    pub fn into_batch(self) -> Option<(Batch, u64)> {
        if self.changed.is_empty() {
            return None;
        }
        let mut batch = Batch::default();
        for (key, value) in self.changed {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        Some((batch, self.top))
    }

    /// Settles a commit. A commit by anyone but the account's present owner is
    /// fenced: also one of an epoch that the store never gave out.
    pub fn commit(&mut self, job: CommitJob) -> Result<Committed, StoreError> {
        if self.epoch(&job.account)? != job.epoch {
            return Ok(Committed::Fenced);
        }
        if let Some(seen) = &job.seen
            && let Some(record) = self.earlier(seen)?
        {
            return Ok(Committed::Duplicate(record));
        }
        if let Some(step) = &job.login
            && self.moved(step)?
        {
            return Ok(Committed::LoginMoved);
        }
        let Some(shared) = &job.shared else {
            self.settle(job)?;
            return Ok(Committed::Ok);
        };
        if self.has_moved(shared)? {
            return Ok(Committed::SharedMoved);
        }
        let (place, max) = (shared.place.clone(), shared.max);
        let before = self.usage(&place)?;
        self.settle(job)?;
        if before.may_become(self.usage(&place)?, max) {
            return Ok(Committed::Ok);
        }
        self.roll_back();
        Ok(Committed::SharedMoved)
    }

    fn settle(&mut self, job: CommitJob) -> Result<(), StoreError> {
        if let Some(seen) = job.seen {
            self.put(seen.key, seen.value)?;
        }
        self.change(Some(&job.account), job.changes)
    }

    /// Changes a login.
    pub fn change_login(&mut self, job: LoginJob) -> Result<LoginChanged, StoreError> {
        if self.moved(&job.step)? {
            return Ok(LoginChanged::Moved);
        }
        self.change(None, job.changes)?;
        Ok(LoginChanged::Ok)
    }

    /// Adds tasks.
    pub fn enqueue(&mut self, job: EnqueueJob) -> Result<Enqueued, StoreError> {
        if let Some((key, answer)) = job.request {
            if let Some(earlier) = self.record::<RequestRecord>(&key)? {
                return Ok(if earlier.request == job.digest {
                    Enqueued::Duplicate(earlier.tasks)
                } else {
                    Enqueued::KeyReused
                });
            }
            self.put(key, answer)?;
        }
        self.change(None, job.changes)?;
        Ok(Enqueued::Ok)
    }

    /// Raises an account's epoch.
    pub fn take_over(&mut self, account: &AccountId) -> Result<Epoch, StoreError> {
        let epoch = Epoch(self.epoch(account)?.0.saturating_add(1));
        self.put_record(codec::epoch(account), &epoch)?;
        Ok(epoch)
    }

    /// Makes changes. Failures belong to the account given.
    pub fn change(
        &mut self,
        account: Option<&AccountId>,
        changes: Changes,
    ) -> Result<(), StoreError> {
        let mut buckets = Buckets::default();
        for change in changes.list {
            match change {
                Change::KeyValue { place, key, value } => {
                    self.put_key_value(&mut buckets, place, key, value)?;
                }
                Change::Put(key, value) => self.put(key, value)?,
                Change::New(key, value) => self.set(key, Some(value)),
                Change::Remove(key) => self.remove(key)?,
                Change::Task {
                    key,
                    value,
                    place,
                    queued,
                } => self.put_task(key, value, place, queued)?,
                Change::Account(key, value) => self.put_account(key, value)?,
                Change::Failure(value, of) => {
                    if let Some(account) = account {
                        self.put_failure(account, value, of)?;
                    }
                }
            }
        }
        for (key, usage) in buckets {
            let mut value = Vec::new();
            codec::encode(&mut value, &usage)?;
            self.set(key, Some(value.into()));
        }
        self.top = self.top.max(changes.top);
        Ok(())
    }

    /// Removes records that are still as they were when they were looked at.
    pub fn forget(&mut self, records: Vec<(IVec, IVec)>) -> Result<(), StoreError> {
        for (key, value) in records {
            if self.get(&key)? == Some(value) {
                self.remove(key)?;
            }
        }
        Ok(())
    }

    /// The record of the same event, if it still stands.
    fn earlier(&self, seen: &SeenJob) -> Result<Option<EventRecord>, StoreError> {
        let Some(record) = self.record::<EventRecord>(&seen.key)? else {
            return Ok(None);
        };
        let over = seen
            .repeats_within_ms
            .is_some_and(|span| record.at_ms.saturating_add(span) <= seen.at_ms);
        Ok((!over).then_some(record))
    }

    /// Whether a login is not where this step begins.
    fn moved(&self, step: &LoginStep) -> Result<bool, StoreError> {
        let stored = self.record::<Revision>(&step.key)?;
        let revision = stored.map_or(0, |stored| stored.revision);
        Ok(step.revision.checked_sub(1) != Some(revision))
    }

    /// Whether anything that was read of a shared bucket is another by now.
    fn has_moved(&self, step: &SharedStep) -> Result<bool, StoreError> {
        for (key, was) in &step.read {
            let value = match self.get(key)? {
                Some(value) => Some(self.whole(key, value)?),
                None => None,
            };
            let is = match &value {
                Some(value) => Some(Digest::of(codec::decode_raw(key, value)?)),
                None => None,
            };
            if is != *was {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What a bucket comes to. One that was written to before that was written down
    /// is counted, once: what changes now writes it down.
    fn usage(&self, place: &BucketPlace) -> Result<Usage, StoreError> {
        match self.record(&place.usage)? {
            Some(usage) => Ok(usage),
            // Nothing in it has changed in this batch, else it were written down.
            None => Read(self.db).measure(&place.prefix),
        }
    }

    /// Writes to a bucket, and keeps count of what it comes to.
    fn put_key_value(
        &mut self,
        buckets: &mut Buckets,
        place: BucketPlace,
        key: IVec,
        value: Option<(IVec, usize)>,
    ) -> Result<(), StoreError> {
        let key_bytes = key.len().saturating_sub(place.prefix.as_bytes().len());
        let usage = match buckets.entry(place.usage.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(self.usage(&place)?),
        };
        let known = self.get(&key)?;
        let former = match &known {
            Some(known) => Some(pieces::content_len(known, |piece| self.get(piece))?),
            None => None,
        };
        let now = value.as_ref().map(|(_, bytes)| *bytes);
        *usage = usage.with(
            Usage::of_sizes(key_bytes, now),
            Usage::of_sizes(key_bytes, former),
        );
        if known.is_some() || value.is_some() {
            self.replace(key, known, value.map(|(value, _)| value));
        }
        Ok(())
    }

    fn epoch(&self, account: &AccountId) -> Result<Epoch, StoreError> {
        let key = IVec::from(codec::epoch(account).into_bytes());
        Ok(self.record(&key)?.unwrap_or_default())
    }

    /// Only queued tasks have a place in the queue. It is looked for only when
    /// the task was there before, so tasks that were never queued cost nothing.
    fn put_task(
        &mut self,
        key: IVec,
        value: IVec,
        place: IVec,
        queued: bool,
    ) -> Result<(), StoreError> {
        let known = self.get(&key)?;
        if queued {
            self.set(place, Some(IVec::default()));
        } else if known.is_some() && self.get(&place)?.is_some() {
            self.set(place, None);
        }
        self.replace(key, known, Some(value));
        Ok(())
    }

    fn put_account(&mut self, key: IVec, value: IVec) -> Result<(), StoreError> {
        let known = self.get(&key)?;
        if known.is_none() {
            let count = self.number(codec::account_count())?;
            self.put_record(codec::account_count(), &count.saturating_add(1))?;
        }
        self.replace(key, known, Some(value));
        Ok(())
    }

    /// Failures are counted, so that the one too old is known without a scan.
    fn put_failure(
        &mut self,
        account: &AccountId,
        value: IVec,
        of: Option<HandlerFailure>,
    ) -> Result<(), StoreError> {
        let count = self.number(codec::failure_count(account))?;
        let key = codec::failure(account, count).into_bytes();
        self.put(key.into(), value)?;
        self.put_record(codec::failure_count(account), &count.saturating_add(1))?;
        if let Some(old) = count.checked_sub(FAILURES_MAX) {
            self.remove(codec::failure(account, old).into_bytes().into())?;
        }
        match of {
            Some(of) => self.put_failure_of(account, of, count),
            None => Ok(()),
        }
    }

    /// Where the failure with this count is, for its handler; counted in the same way.
    fn put_failure_of(
        &mut self,
        kept_for: &AccountId,
        of: HandlerFailure,
        count: u64,
    ) -> Result<(), StoreError> {
        let HandlerFailure {
            handler,
            id,
            account,
            at_ms,
        } = of;
        let nth = self.number(codec::handler_failure_count(&handler))?;
        let place = FailurePlace {
            at_ms,
            id,
            account,
            count,
            of_endpoint: *kept_for == AccountId::of_endpoint(&handler),
        };
        self.put_record(codec::failure_of(&handler, nth), &place)?;
        let counted = nth.saturating_add(1);
        self.put_record(codec::handler_failure_count(&handler), &counted)?;
        if let Some(old) = nth.checked_sub(HANDLER_FAILURES_MAX) {
            self.remove(codec::failure_of(&handler, old).into_bytes().into())?;
        }
        Ok(())
    }

    fn number(&self, key: codec::Key) -> Result<u64, StoreError> {
        let key = IVec::from(key.into_bytes());
        Ok(self.record(&key)?.unwrap_or_default())
    }

    // ------------------------------------------------------- single records

    fn get(&self, key: &IVec) -> Result<Option<IVec>, StoreError> {
        match self.changed.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.db.get(key).map_err(failed),
        }
    }

    fn record<T: DeserializeOwned>(&self, key: &IVec) -> Result<Option<T>, StoreError> {
        let Some(value) = self.get(key)? else {
            return Ok(None);
        };
        codec::decode(key, &self.whole(key, value)?).map(Some)
    }

    fn whole(&self, key: &IVec, value: IVec) -> Result<IVec, StoreError> {
        pieces::join(value, |piece| self.get(piece))?
            .ok_or_else(|| codec::unreadable(key, "a piece of it is missing"))
    }

    fn put(&mut self, key: IVec, value: IVec) -> Result<(), StoreError> {
        let known = self.get(&key)?;
        self.replace(key, known, Some(value));
        Ok(())
    }

    fn put_record<T: serde::Serialize>(
        &mut self,
        key: codec::Key,
        record: &T,
    ) -> Result<(), StoreError> {
        let mut value = Vec::new();
        codec::encode(&mut value, record)?;
        self.set(key.into_bytes().into(), Some(value.into()));
        Ok(())
    }

    fn remove(&mut self, key: IVec) -> Result<(), StoreError> {
        if let Some(known) = self.get(&key)? {
            self.replace(key, Some(known), None);
        }
        Ok(())
    }

    /// Puts one value in place of another, whose pieces go with it.
    fn replace(&mut self, key: IVec, known: Option<IVec>, value: Option<IVec>) {
        for piece in known.iter().flat_map(|known| pieces::keys(known)) {
            self.set(piece, None);
        }
        self.set(key, value);
    }

    fn set(&mut self, key: IVec, value: Option<IVec>) {
        let before = self.changed.insert(key.clone(), value);
        self.undo.push((key, before));
    }

    fn roll_back(&mut self) {
        while let Some((key, before)) = self.undo.pop() {
            match before {
                Some(before) => self.changed.insert(key, before),
                None => self.changed.remove(&key),
            };
        }
    }
}

/// What the buckets that a job writes to come to, by where that is written down.
type Buckets = HashMap<IVec, Usage>;
