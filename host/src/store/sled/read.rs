//! Reads. They see each commit whole, and may see it a moment before it is
//! durable: whoever acts on what another's commit wrote waits for that commit.
//! A listing is no snapshot: what changes while it is read may or may not show.

use std::ops::Bound;

use serde::de::DeserializeOwned;
use sled::{Db, IVec};

use super::{failed, pieces};
use crate::{
    domain::{
        Account, AccountId, Alarm, AlarmKind, Bucket, Contact, ContactKind, EventKey, Failure,
        FailureId, FileRequest, HandlerName, Login, LoginId, Member, Millis, Pause, Recorded, Task,
        TaskId, TaskState, Timer, Usage, WaitingEvent,
        client::Wanted,
        handler::{ConfigEntries, ConfigScope, Failing, Run, Version},
        ports::{Catalogue, EventRecord, Page, StoreError, TaskFilter},
    },
    store::codec::{self, Fails, FailurePlace, Key, Kind, Standing, Table},
};

/// How often a value in pieces is read again when it was replaced meanwhile.
const TRIES: usize = 16;

/// A view of the database that reads.
#[derive(Debug, Clone, Copy)]
pub struct Read<'a>(pub &'a Db);

impl Read<'_> {
    /// What is remembered of an event.
    pub fn event(
        self,
        account: &AccountId,
        key: &EventKey,
    ) -> Result<Option<EventRecord>, StoreError> {
        self.record(codec::event(account, key).as_bytes())
    }

    /// Events by key.
    pub fn events(
        self,
        account: &AccountId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<(EventKey, EventRecord)>, StoreError> {
        let prefix = codec::of_account(Table::Event, account);
        let page = self.page(&prefix, after, limit, |_, _| Ok(true))?;
        let named = |(key, record): (String, EventRecord)| (EventKey::new(&key), record);
        Ok(Page {
            items: page.items.into_iter().map(named).collect(),
            next: page.next,
        })
    }

    /// One account.
    pub fn account(self, id: &AccountId) -> Result<Option<Account>, StoreError> {
        self.record(codec::account(id).as_bytes())
    }

    /// Accounts by id.
    pub fn accounts(self, after: Option<&str>, limit: usize) -> Result<Page<Account>, StoreError> {
        let prefix = codec::table(Table::Account);
        self.page(&prefix, after, limit, |_, _| Ok(true))
            .map(unnamed)
    }

    /// One task.
    pub fn task(self, id: &TaskId) -> Result<Option<Task>, StoreError> {
        self.record(codec::task(&id.account, id.number).as_bytes())
    }

    /// Tasks, newest first.
    pub fn tasks(
        self,
        account: &AccountId,
        filter: TaskFilter,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError> {
        let prefix = codec::of_account(Table::Task, account);
        let start = match filter.before {
            Some(before) => Bound::Excluded(codec::task(account, before).into_bytes()),
            None => Bound::Included(prefix.as_bytes().to_vec()),
        };
        self.list(
            self.from(start, &prefix),
            limit,
            |key, value| match filter.state {
                Some(state) => Ok(codec::decode::<Standing>(key, value)?.state == state),
                None => Ok(true),
            },
        )
    }

    /// The queued task that is next. One that was taken since its place was
    /// read is passed over.
    pub fn next_queued(self, account: &AccountId) -> Result<Option<Task>, StoreError> {
        let prefix = codec::of_account(Table::Queue, account);
        let start = Bound::Included(prefix.as_bytes().to_vec());
        for item in self.from(start, &prefix) {
            let (place, _) = item.map_err(failed)?;
            let number = codec::number_of(&place)?;
            let task: Option<Task> = self.record(codec::task(account, number).as_bytes())?;
            if task.as_ref().is_some_and(|t| t.state == TaskState::Queued) {
                return Ok(task);
            }
        }
        Ok(None)
    }

    /// How many tasks are queued, counted up to `limit`.
    pub fn queued(self, account: &AccountId, limit: usize) -> Result<usize, StoreError> {
        self.count(codec::of_account(Table::Queue, account), limit)
    }

    /// How many tasks are queued in all queues together, counted up to `limit`.
    pub fn queued_of_all(self, limit: usize) -> Result<usize, StoreError> {
        self.count(codec::table(Table::Queue), limit)
    }

    fn count(self, prefix: Key, limit: usize) -> Result<usize, StoreError> {
        let start = Bound::Included(prefix.as_bytes().to_vec());
        let mut count = 0;
        for item in self.from(start, &prefix).take(limit) {
            item.map_err(failed)?;
            count += 1;
        }
        Ok(count)
    }

    /// A value of a bucket.
    pub fn key_value(self, bucket: &Bucket, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.raw(&codec::bucket(bucket).end(key))
    }

    /// What a bucket comes to, as it is written down; none for a bucket that nobody
    /// has written to since usage is written down.
    pub fn usage(self, bucket: &Bucket) -> Result<Option<Usage>, StoreError> {
        self.record(codec::usage(bucket).as_bytes())
    }

    /// What lies under a bucket's prefix comes to.
    pub fn measure(self, prefix: &Key) -> Result<Usage, StoreError> {
        let mut usage = Usage::default();
        for item in self.under(prefix, None) {
            let (key, value) = item.map_err(failed)?;
            let key_bytes = key.len().saturating_sub(prefix.as_bytes().len());
            let get = |piece: &IVec| self.0.get(piece).map_err(failed);
            let entry = Usage::of_sizes(key_bytes, Some(pieces::content_len(&value, get)?));
            usage = usage.with(entry, Usage::default());
        }
        Ok(usage)
    }

    /// A bucket's keys.
    pub fn keys(
        self,
        bucket: &Bucket,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let prefix = codec::bucket(bucket);
        self.under(&prefix, after)
            .take(limit)
            .map(|item| prefix.rest_of(&item.map_err(failed)?.0))
            .collect()
    }

    /// One contact.
    pub fn contact(self, account: &AccountId, id: &str) -> Result<Option<Contact>, StoreError> {
        self.record(codec::contact(account, id).as_bytes())
    }

    /// Contacts by id, of one kind or all.
    pub fn contacts(
        self,
        account: &AccountId,
        kind: Option<ContactKind>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Contact>, StoreError> {
        let prefix = codec::of_account(Table::Contact, account);
        self.page(&prefix, after, limit, |key, value| match kind {
            Some(kind) => Ok(codec::decode::<Kind>(key, value)?.kind == kind),
            None => Ok(true),
        })
        .map(unnamed)
    }

    /// One member of a group.
    pub fn member(
        self,
        account: &AccountId,
        group: &str,
        user: &str,
    ) -> Result<Option<Member>, StoreError> {
        self.record(codec::members(account, group).end(user).as_bytes())
    }

    /// Members of a group by id.
    pub fn members(
        self,
        account: &AccountId,
        group: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Member>, StoreError> {
        let prefix = codec::members(account, group);
        self.page(&prefix, after, limit, |_, _| Ok(true))
            .map(unnamed)
    }

    /// Failures, newest first.
    pub fn failures(self, account: &AccountId, limit: usize) -> Result<Vec<Failure>, StoreError> {
        let prefix = codec::of_account(Table::Failure, account);
        self.list(self.under(&prefix, None), limit, |_, _| Ok(true))
    }

    /// Failures of a handler, newest first. A failure that its account keeps no more is
    /// passed over.
    pub fn failures_of(
        self,
        handler: &HandlerName,
        before: Option<&FailureId>,
        limit: usize,
    ) -> Result<Vec<Failure>, StoreError> {
        let mut failures = Vec::new();
        let mut begun = before.is_none();
        for item in self.under(&codec::failures_of(handler), None) {
            if failures.len() >= limit {
                break;
            }
            let (key, value) = item.map_err(failed)?;
            let place: FailurePlace = codec::decode(&key, &value)?;
            if begun {
                failures.extend(self.failure_at(handler, &place)?);
            } else {
                begun = before == Some(&place.id);
            }
        }
        Ok(failures)
    }

    /// One failure of a handler.
    pub fn failure(
        self,
        handler: &HandlerName,
        id: &FailureId,
    ) -> Result<Option<Failure>, StoreError> {
        for item in self.under(&codec::failures_of(handler), None) {
            let (key, value) = item.map_err(failed)?;
            let place: FailurePlace = codec::decode(&key, &value)?;
            if place.id == *id {
                return self.failure_at(handler, &place);
            }
        }
        Ok(None)
    }

    fn failure_at(
        self,
        handler: &HandlerName,
        place: &FailurePlace,
    ) -> Result<Option<Failure>, StoreError> {
        self.record(codec::failure(&place.kept_for(handler), place.count).as_bytes())
    }

    /// What pauses an account's bot in a conversation.
    pub fn pause(
        self,
        account: &AccountId,
        conversation: &str,
    ) -> Result<Option<Pause>, StoreError> {
        self.record(codec::pause(account, conversation).as_bytes())
    }

    /// What an account's bot is paused in, by conversation.
    pub fn pauses(
        self,
        account: &AccountId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Pause>, StoreError> {
        let prefix = codec::of_account(Table::Pause, account);
        self.page(&prefix, after, limit, |_, _| Ok(true))
            .map(unnamed)
    }

    /// How an account's handler fails.
    pub fn failing(self, account: &AccountId) -> Result<Option<Failing>, StoreError> {
        self.record(codec::failing(account).as_bytes())
    }

    /// Whose handlers fail, by account.
    pub fn failings(
        self,
        handler: Option<&HandlerName>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Failing>, StoreError> {
        let prefix = codec::table(Table::Failing);
        self.page(&prefix, after, limit, |key, value| match handler {
            Some(handler) => Ok(codec::decode::<Fails>(key, value)?.handler == *handler),
            None => Ok(true),
        })
        .map(unnamed)
    }

    /// What waits for an account's handler, the oldest first, from this number on.
    pub fn waiting(
        self,
        account: &AccountId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<WaitingEvent>, StoreError> {
        let prefix = codec::of_account(Table::Waiting, account);
        let start = Bound::Included(codec::waiting(account, from).into_bytes());
        self.list(self.from(start, &prefix), limit, |_, _| Ok(true))
    }

    /// What can be replayed of an account.
    pub fn recorded(self, account: &AccountId) -> Result<Vec<Recorded>, StoreError> {
        let prefix = codec::of_account(Table::Recorded, account);
        let items = self.under(&prefix, None);
        let mut all: Vec<Recorded> = self.list(items, usize::MAX, |_, _| Ok(true))?;
        all.sort_by_key(|it| it.number);
        Ok(all)
    }

    /// One timer.
    pub fn timer(
        self,
        account: &AccountId,
        handler: &HandlerName,
        id: &str,
    ) -> Result<Option<Timer>, StoreError> {
        self.record(codec::timer(account, handler, id).as_bytes())
    }

    /// The timers that a handler has set for an account, by name.
    pub fn timers_of(
        self,
        account: &AccountId,
        handler: &HandlerName,
        limit: usize,
    ) -> Result<Vec<Timer>, StoreError> {
        let items = self.under(&codec::timers_of(account, handler), None);
        self.list(items, limit, |_, _| Ok(true))
    }

    /// All timers of an account, by handler and name.
    pub fn timers(
        self,
        account: &AccountId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Timer>, StoreError> {
        let prefix = codec::of_account(Table::Timer, account);
        self.page(&prefix, after, limit, |_, _| Ok(true))
            .map(unnamed)
    }

    /// An account's request for a file.
    pub fn file_request(
        self,
        account: &AccountId,
        file: &str,
    ) -> Result<Option<FileRequest>, StoreError> {
        let request: Option<FileRequest> = self.record(codec::file(account, file).as_bytes())?;
        Ok(request.filter(|request| request.file == file))
    }

    /// The requests of all accounts for files of this name.
    pub fn file_requests(self, file: &str, limit: usize) -> Result<Vec<FileRequest>, StoreError> {
        let items = self.under(&codec::files(file), None);
        let mut requests: Vec<FileRequest> = self.list(items, limit, |_, _| Ok(true))?;
        // The key has only the name's digest.
        requests.retain(|request| request.file == file);
        Ok(requests)
    }

    /// One login.
    pub fn login(self, id: &LoginId) -> Result<Option<Login>, StoreError> {
        self.record(codec::login(id).as_bytes())
    }

    /// The image of a login.
    pub fn login_image(self, id: &LoginId) -> Result<Option<Vec<u8>>, StoreError> {
        self.raw(&codec::login_image(id))
    }

    /// All logins.
    pub fn logins(self) -> Result<Vec<Login>, StoreError> {
        self.all(Table::Login)
    }

    /// The alarms of one kind up to this time, the earliest first.
    pub fn alarms(
        self,
        kind: AlarmKind,
        until_ms: Millis,
        limit: usize,
    ) -> Result<Vec<(Millis, Alarm)>, StoreError> {
        let start = codec::alarms(kind).into_bytes();
        let end = codec::alarms_at(kind, until_ms).after_all();
        let mut alarms = Vec::new();
        for item in self.0.range(start..end) {
            if alarms.len() >= limit {
                break;
            }
            let Some((key, value)) = self.whole(item)? else {
                continue;
            };
            match codec::decode(&key, &value) {
                Ok(alarm) => alarms.push((codec::time_of(&key)?, alarm)),
                // It must not keep all others from being heard.
                Err(error) => tracing::warn!(%error, "an alarm is passed over"),
            }
        }
        Ok(alarms)
    }

    /// What is deployed.
    pub fn catalogue(self) -> Result<Catalogue, StoreError> {
        Ok(Catalogue {
            handlers: self.all(Table::Handler)?,
            bindings: self.all(Table::Binding)?,
            labels: self.all(Table::Label)?,
        })
    }

    /// The versions of a handler.
    pub fn versions(self, handler: &HandlerName) -> Result<Vec<Version>, StoreError> {
        let items = self.under(&codec::versions(handler), None);
        self.list(items, usize::MAX, |_, _| Ok(true))
    }

    /// The times of all schedules.
    pub fn runs(self) -> Result<Vec<Run>, StoreError> {
        self.all(Table::Run)
    }

    /// The configuration of a handler in one scope.
    pub fn config(
        self,
        handler: &HandlerName,
        scope: &ConfigScope,
    ) -> Result<Option<ConfigEntries>, StoreError> {
        self.record(codec::config(handler, scope).as_bytes())
    }

    /// The configuration of a handler.
    pub fn configs(self, handler: &HandlerName) -> Result<Vec<ConfigEntries>, StoreError> {
        let items = self.under(&codec::configs(handler), None);
        self.list(items, usize::MAX, |_, _| Ok(true))
    }

    /// The clients that are wanted.
    pub fn clients(self) -> Result<Vec<Wanted>, StoreError> {
        self.all(Table::Client)
    }

    // ------------------------------------------------------------- helpers

    /// The record under a key.
    pub fn record<T: DeserializeOwned>(self, key: &[u8]) -> Result<Option<T>, StoreError> {
        match self.value(key)? {
            Some(value) => codec::decode(key, &value).map(Some),
            None => Ok(None),
        }
    }

    /// The value under a key, which is kept as it is.
    fn raw(self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(value) = self.value(key.as_bytes())? else {
            return Ok(None);
        };
        codec::decode_raw(key.as_bytes(), &value).map(|value| Some(value.to_vec()))
    }

    /// The whole value under a key. A value replaced between its head and its
    /// pieces is read anew.
    pub fn value(self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        for _ in 0..TRIES {
            let Some(value) = self.0.get(key).map_err(failed)? else {
                return Ok(None);
            };
            let get = |piece: &IVec| self.0.get(piece).map_err(failed);
            if let Some(value) = pieces::join(value, get)? {
                return Ok(Some(value));
            }
        }
        Err(codec::unreadable(key, "a piece of it is missing"))
    }

    /// A key found by a scan with its whole value; none when it is gone since.
    pub fn whole(
        self,
        item: sled::Result<(IVec, IVec)>,
    ) -> Result<Option<(IVec, IVec)>, StoreError> {
        let (key, value) = item.map_err(failed)?;
        let value = match pieces::is_head(&value) {
            true => self.value(&key)?,
            false => Some(value),
        };
        Ok(value.map(|value| (key, value)))
    }

    /// Everything that begins with the prefix, from a place on.
    fn from(self, start: Bound<Vec<u8>>, prefix: &Key) -> sled::Iter {
        self.0.range((start, Bound::Excluded(prefix.after_all())))
    }

    /// Everything that begins with the prefix, after this text.
    fn under(self, prefix: &Key, after: Option<&str>) -> sled::Iter {
        let start = match after {
            Some(after) => Bound::Excluded(prefix.clone().end(after).into_bytes()),
            None => Bound::Included(prefix.as_bytes().to_vec()),
        };
        self.from(start, prefix)
    }

    /// The first records that are wanted.
    fn list<T: DeserializeOwned>(
        self,
        items: sled::Iter,
        limit: usize,
        wanted: impl Fn(&IVec, &IVec) -> Result<bool, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut records = Vec::new();
        for item in items {
            if records.len() >= limit {
                break;
            }
            let Some((key, value)) = self.whole(item)? else {
                continue;
            };
            if wanted(&key, &value)? {
                records.push(codec::decode(&key, &value)?);
            }
        }
        Ok(records)
    }

    /// One page of what is wanted under a prefix: names and records. There is a
    /// next page only if it has something in it.
    fn page<T: DeserializeOwned>(
        self,
        prefix: &Key,
        after: Option<&str>,
        limit: usize,
        wanted: impl Fn(&IVec, &IVec) -> Result<bool, StoreError>,
    ) -> Result<Page<(String, T)>, StoreError> {
        let mut items: Vec<(String, T)> = Vec::new();
        for item in self.under(prefix, after) {
            let Some((key, value)) = self.whole(item)? else {
                continue;
            };
            if !wanted(&key, &value)? {
                continue;
            }
            if items.len() >= limit {
                let next = items.last().map(|(name, _)| name.clone());
                return Ok(Page { items, next });
            }
            items.push((prefix.rest_of(&key)?, codec::decode(&key, &value)?));
        }
        Ok(Page { items, next: None })
    }

    fn all<T: DeserializeOwned>(self, table: Table) -> Result<Vec<T>, StoreError> {
        let items = self.under(&codec::table(table), None);
        self.list(items, usize::MAX, |_, _| Ok(true))
    }
}

fn unnamed<T>(page: Page<(String, T)>) -> Page<T> {
    Page {
        items: page.items.into_iter().map(|(_, item)| item).collect(),
        next: page.next,
    }
}
