//! The store in memory: what the contract says, as plainly as can be. It shares
//! no logic with the embedded store, so that each can be held against the other.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    ops::Bound,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    FAILURES_MAX, HANDLER_FAILURES_MAX,
    codec::{FailurePlace, RequestRecord},
    time::{Clock, Time},
};
use crate::domain::{
    Account, AccountId, Alarm, AlarmKind, Binding, Bucket, ClientName, Contact, ContactKind,
    Digest, EventKey, Failure, FailureId, FileRequest, Handler, HandlerName, Labelled, Login,
    LoginId, Member, Millis, Pause, Recorded, Task, TaskId, TaskNumber, TaskState, Timer,
    TimerChange, Usage, WaitingEvent,
    client::Wanted,
    handler::{ConfigEntries, ConfigScope, Failing, Run, RunKey, Scope, Version, VersionNumber},
    ports::{
        COMMIT_BYTES_MAX, COMMIT_CHANGES_MAX, Catalogue, CatalogueChange, ClientChange, Commit,
        Committed, ContactChange, Enqueue, Enqueued, Epoch, EventRecord, FailingChange,
        ImageChange, KeyValueWrite, LoginChange, LoginChanged, Page, PauseChange, Seen,
        SharedChange, Store, StoreError, TaskFilter, WaitingChange,
    },
};

/// The store.
#[derive(Debug)]
pub struct MemoryStore {
    time: Time,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    accounts: BTreeMap<String, Account>,
    handlers: BTreeMap<HandlerName, Handler>,
    versions: BTreeMap<HandlerName, BTreeMap<VersionNumber, Version>>,
    configs: BTreeMap<HandlerName, BTreeMap<String, ConfigEntries>>,
    bindings: BTreeMap<String, Binding>,
    labels: BTreeMap<AccountId, Labelled>,
    clients: BTreeMap<ClientName, Wanted>,
    logins: Logins,
    files: BTreeMap<(String, AccountId), FileRequest>,
    alarms: BTreeSet<(Millis, Alarm)>,
    runs: BTreeMap<RunKey, Run>,
    shared: BTreeMap<HandlerName, Entries>,
    failures: BTreeMap<HandlerName, Vec<FailurePlace>>,
    of: BTreeMap<AccountId, Held>,
}

/// What is in a bucket, and what it comes to.
#[derive(Debug, Default)]
struct Entries {
    values: BTreeMap<String, Vec<u8>>,
    usage: Usage,
}

/// The QR logins, and the images of those that have one.
#[derive(Debug, Default)]
struct Logins {
    records: BTreeMap<LoginId, Login>,
    images: BTreeMap<LoginId, Bytes>,
}

/// What belongs to one account.
#[derive(Debug, Default)]
struct Held {
    epoch: Epoch,
    events: BTreeMap<String, EventRecord>,
    tasks: BTreeMap<TaskNumber, Task>,
    key_values: BTreeMap<HandlerName, Entries>,
    contacts: BTreeMap<String, Contact>,
    members: BTreeMap<String, BTreeMap<String, Member>>,
    failures: BTreeMap<u64, Failure>,
    failure_count: u64,
    requests: BTreeMap<String, RequestRecord>,
    pauses: BTreeMap<String, Pause>,
    timers: BTreeMap<String, Timer>,
    failing: Option<Failing>,
    waiting: BTreeMap<u64, WaitingEvent>,
    recorded: BTreeMap<u32, Recorded>,
}

impl MemoryStore {
    /// An empty store with this clock.
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            time: Time::new(clock, 0),
            state: Mutex::default(),
        }
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&mut State) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Err(StoreError::Closed);
        }
        work(&mut state)
    }

    /// Reads what is in a bucket; the empty answer when there is nothing.
    fn within<T: Default>(
        &self,
        bucket: &Bucket,
        read: impl FnOnce(&Entries) -> T,
    ) -> Result<T, StoreError> {
        self.with(|state| {
            let all = match &bucket.account {
                Some(account) => state.of.get(account).map(|held| &held.key_values),
                None => Some(&state.shared),
            };
            let entries = all.and_then(|all| all.get(&bucket.handler));
            Ok(entries.map(read).unwrap_or_default())
        })
    }

    /// Reads what belongs to an account; the empty answer when nothing does.
    fn of<T: Default>(
        &self,
        account: &AccountId,
        read: impl FnOnce(&Held) -> T,
    ) -> Result<T, StoreError> {
        self.with(|state| Ok(state.of.get(account).map(read).unwrap_or_default()))
    }
}

/// Refuses what is too large. Every kind of value counts as it would be stored.
fn check(changes: usize, values: &[usize]) -> Result<(), StoreError> {
    let bytes = values.iter().sum();
    if changes > COMMIT_CHANGES_MAX || bytes > COMMIT_BYTES_MAX {
        return Err(StoreError::TooLarge { changes, bytes });
    }
    Ok(())
}

fn size<T: serde::Serialize>(value: &T) -> usize {
    // One more for the version.
    serde_json::to_vec(value).map_or(0, |json| json.len() + 1)
}

fn commit_sizes(account: &AccountId, commit: &Commit) -> Vec<usize> {
    let values = |write: &KeyValueWrite| write.value.as_ref().map(|value| value.len() + 1);
    let contacts = |change: &ContactChange| match change {
        ContactChange::Put(contact) => Some(size(contact)),
        ContactChange::PutMember(_, member) => Some(size(member)),
        _ => None,
    };
    let mut sizes: Vec<usize> = commit.tasks.iter().map(size).collect();
    sizes.extend(commit.key_values.iter().filter_map(values));
    let shared = commit.shared.iter().flat_map(|change| &change.writes);
    sizes.extend(shared.filter_map(|(_, value)| value.as_ref().map(|value| value.len() + 1)));
    sizes.extend(commit.contacts.iter().filter_map(contacts));
    sizes.extend(commit.seen.iter().map(|seen| size(&seen.record)));
    sizes.extend(commit.account.iter().map(size));
    sizes.extend(commit.failure.iter().map(size));
    let pauses = |change: &PauseChange| match change {
        PauseChange::Put(pause) => Some(size(pause)),
        PauseChange::Lift(_) => None,
    };
    sizes.extend(commit.pauses.iter().filter_map(pauses));
    for change in &commit.timers {
        if let TimerChange::Put { timer, .. } = change {
            let alarm = Alarm::Timer(account.clone(), timer.handler.clone(), timer.id.clone());
            sizes.extend([size(timer), size(&alarm)]);
        }
    }
    if let Some(FailingChange::Put(failing)) = &commit.failing {
        sizes.push(size(failing));
    }
    let waiting = |change: &WaitingChange| match change {
        WaitingChange::Put(waiting) => Some(size(waiting)),
        WaitingChange::Settle { record, .. } => Some(size(record)),
        WaitingChange::Remove(_) => None,
    };
    sizes.extend(commit.waiting.iter().filter_map(waiting));
    sizes.extend(commit.recorded.iter().map(|at| size(&at.recorded)));
    sizes.extend(commit.files.iter().map(size));
    sizes.extend(commit.alarms.iter().map(|(_, alarm)| size(alarm)));
    sizes.extend(commit.login.iter().flat_map(login_sizes));
    sizes
}

fn login_sizes(change: &LoginChange) -> Vec<usize> {
    let mut sizes = vec![size(&change.login)];
    if let ImageChange::Put(bytes) = &change.image {
        sizes.push(bytes.len() + 1);
    }
    sizes.extend(alarm_of(change).map(|(_, alarm)| size(&alarm)));
    sizes
}

/// When to look at a login again.
fn alarm_of(change: &LoginChange) -> Option<(Millis, Alarm)> {
    let alarm = Alarm::Login(change.login.id.clone());
    change.alarm_ms.map(|at_ms| (at_ms, alarm))
}

impl Held {
    fn earlier(&self, seen: &Seen) -> Option<EventRecord> {
        let record = self.events.get(seen.key.as_str())?;
        let over = seen.repeats_within.is_some_and(|span| {
            u128::from(record.at_ms) + span.as_millis() <= u128::from(seen.record.at_ms)
        });
        (!over).then(|| record.clone())
    }

    fn apply(&mut self, commit: Box<Commit>) {
        if let Some(seen) = commit.seen {
            self.events.insert(seen.key.into(), seen.record);
        }
        self.put_tasks(commit.tasks);
        for write in commit.key_values {
            let entries = self.key_values.entry(write.handler).or_default();
            entries.put(write.key, write.value);
        }
        for change in commit.contacts {
            self.change_contact(change);
        }
        for change in commit.pauses {
            match change {
                PauseChange::Put(pause) => self.pauses.insert(pause.conversation.clone(), pause),
                PauseChange::Lift(conversation) => self.pauses.remove(&conversation),
            };
        }
        match commit.failing {
            Some(FailingChange::Put(failing)) => self.failing = Some(*failing),
            Some(FailingChange::End) => self.failing = None,
            None => {}
        }
        for change in commit.waiting {
            self.change_waiting(change);
        }
        if let Some(at) = commit.recorded {
            self.recorded.insert(at.place, at.recorded);
        }
        if let Some(failure) = commit.failure {
            self.failures.insert(self.failure_count, failure);
            if let Some(old) = self.failure_count.checked_sub(FAILURES_MAX) {
                self.failures.remove(&old);
            }
            self.failure_count += 1;
        }
    }

    /// Where a failure is going to be, for its handler.
    fn place_of(
        &self,
        kept_for: &AccountId,
        failure: &Failure,
    ) -> Option<(HandlerName, FailurePlace)> {
        let place = FailurePlace {
            at_ms: failure.at_ms,
            id: failure.id.clone()?,
            account: failure.account.clone(),
            count: self.failure_count,
            of_endpoint: *kept_for == AccountId::of_endpoint(&failure.handler),
        };
        Some((failure.handler.clone(), place))
    }

    fn change_waiting(&mut self, change: WaitingChange) {
        match change {
            WaitingChange::Put(waiting) => {
                self.waiting.insert(waiting.number, *waiting);
            }
            WaitingChange::Remove(number) => {
                self.waiting.remove(&number);
            }
            WaitingChange::Settle {
                number,
                key,
                record,
            } => {
                self.waiting.remove(&number);
                self.events.insert(key.as_str().to_owned(), record);
            }
        }
    }

    fn put_tasks(&mut self, tasks: Vec<Task>) {
        self.tasks
            .extend(tasks.into_iter().map(|task| (task.id.number, task)));
    }

    fn change_contact(&mut self, change: ContactChange) {
        match change {
            ContactChange::Put(contact) => {
                self.contacts.insert(contact.id().to_owned(), contact);
            }
            ContactChange::Remove(id) => {
                self.contacts.remove(&id);
            }
            ContactChange::PutMember(group, member) => {
                let members = self.members.entry(group).or_default();
                members.insert(member.user.id.clone(), member);
            }
            ContactChange::RemoveMember(group, user) => {
                self.members.entry(group).or_default().remove(&user);
            }
        }
    }

    fn sweep(&mut self, before: Millis) {
        self.events.retain(|_, event| event.at_ms >= before);
        self.tasks.retain(|_, task| !is_over(task.ended_ms, before));
        self.failures.retain(|_, failure| failure.at_ms >= before);
        self.requests.retain(|_, request| request.at_ms >= before);
        self.pauses.retain(|_, pause| pause.until_ms >= before);
        self.recorded.retain(|_, recorded| recorded.at_ms >= before);
    }
}

impl Entries {
    fn put(&mut self, key: String, value: Option<Vec<u8>>) {
        self.usage = self.usage_with(self.usage, &key, value.as_ref());
        match value {
            Some(value) => self.values.insert(key, value),
            None => self.values.remove(&key),
        };
    }

    /// What comes to this would come to with another value under this key.
    fn usage_with(&self, usage: Usage, key: &str, value: Option<&Vec<u8>>) -> Usage {
        let of = |value: Option<&Vec<u8>>| Usage::of(key, value.map(Vec::as_slice));
        usage.with(of(value), of(self.values.get(key)))
    }

    /// Whether what a change rests on is no longer so, or it does not fit.
    fn moved(&self, change: &SharedChange) -> bool {
        let is_so = |(key, was): &(String, Option<Digest>)| {
            self.values.get(key).map(|value| Digest::of(value)) == *was
        };
        let writes = change.writes.iter();
        let after = writes.fold(self.usage, |usage, (key, value)| {
            self.usage_with(usage, key, value.as_ref())
        });
        !change.read.iter().all(is_so) || !self.usage.may_become(after, change.max)
    }
}

impl Logins {
    fn moved(&self, change: &LoginChange) -> bool {
        match self.records.get(&change.login.id) {
            Some(stored) => change.login.revision != stored.revision + 1,
            None => change.login.revision != 1,
        }
    }

    fn apply(&mut self, change: LoginChange) {
        let id = change.login.id.clone();
        match change.image {
            ImageChange::Keep => {}
            ImageChange::Put(bytes) => drop(self.images.insert(id.clone(), bytes)),
            ImageChange::Drop => drop(self.images.remove(&id)),
        }
        self.records.insert(id, change.login);
    }
}

/// Whether what ended then, if it did, is over.
fn is_over(ended_ms: Option<Millis>, before: Millis) -> bool {
    ended_ms.is_some_and(|at| at < before)
}

/// One page of what follows `after` in a map.
fn page<V, T>(
    map: &BTreeMap<String, V>,
    after: Option<&str>,
    limit: usize,
    item: impl Fn(&String, &V) -> Option<T>,
) -> Page<T> {
    let start = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut found = map
        .range::<str, _>((start, Bound::Unbounded))
        .filter_map(|(key, value)| item(key, value).map(|item| (key, item)));
    let (mut items, mut last) = (Vec::new(), None);
    for (key, item) in found.by_ref().take(limit) {
        items.push(item);
        last = Some(key.clone());
    }
    let next = found.next().and(last);
    Page { items, next }
}

fn all<V: Clone>(_: &String, value: &V) -> Option<V> {
    Some(value.clone())
}

fn empty<T>() -> Page<T> {
    Page {
        items: Vec::new(),
        next: None,
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn now(&self) -> Millis {
        self.time.now()
    }

    fn reserve(&self, count: u32) -> TaskNumber {
        self.time.reserve(count)
    }

    async fn own(&self, account: &AccountId, take_over: bool) -> Result<Epoch, StoreError> {
        self.with(|state| {
            let held = state.of.entry(account.clone()).or_default();
            held.epoch.0 += u64::from(take_over);
            Ok(held.epoch)
        })
    }

    async fn commit(
        &self,
        account: &AccountId,
        epoch: Epoch,
        mut commit: Box<Commit>,
    ) -> Result<Committed, StoreError> {
        check(commit.changes(), &commit_sizes(account, &commit))?;
        self.with(|state| {
            let held = state.of.entry(account.clone()).or_default();
            if held.epoch != epoch {
                return Ok(Committed::Fenced);
            }
            if let Some(record) = commit.seen.as_ref().and_then(|seen| held.earlier(seen)) {
                return Ok(Committed::Duplicate(record));
            }
            let login = commit.login.take();
            if login.as_ref().is_some_and(|it| state.logins.moved(it)) {
                return Ok(Committed::LoginMoved);
            }
            if let Some(change) = commit.shared.take() {
                let entries = state.shared.entry(change.handler.clone()).or_default();
                if entries.moved(&change) {
                    return Ok(Committed::SharedMoved);
                }
                for (key, value) in change.writes {
                    entries.put(key, value);
                }
            }
            if let Some(account) = &commit.account {
                let id = account.id.as_str().to_owned();
                state.accounts.insert(id, account.clone());
            }
            let files = mem::take(&mut commit.files);
            let alarms = mem::take(&mut commit.alarms);
            let timers = mem::take(&mut commit.timers);
            let place = commit
                .failure
                .as_ref()
                .and_then(|it| held.place_of(account, it));
            held.apply(commit);
            if let Some((handler, place)) = place {
                let places = state.failures.entry(handler).or_default();
                places.push(place);
                let excess = places.len().saturating_sub(HANDLER_FAILURES_MAX as usize);
                places.drain(..excess);
            }
            for change in timers {
                state.change_timer(account, change);
            }
            state.put_asked(files, alarms);
            if let Some(change) = login {
                state.change_login(change);
            }
            Ok(Committed::Ok)
        })
    }

    async fn enqueue(&self, account: &AccountId, request: Enqueue) -> Result<Enqueued, StoreError> {
        let record = RequestRecord {
            at_ms: self.time.now(),
            request: request.request,
            tasks: request.tasks.iter().map(|task| task.id.number).collect(),
        };
        let keyed = request.idempotency_key.is_some();
        let mut sizes: Vec<usize> = request.tasks.iter().map(size).collect();
        sizes.extend(keyed.then(|| size(&record)));
        sizes.extend(request.files.iter().map(size));
        sizes.extend(request.alarms.iter().map(|(_, alarm)| size(alarm)));
        check(sizes.len(), &sizes)?;
        self.with(|state| {
            let held = state.of.entry(account.clone()).or_default();
            if let Some(key) = request.idempotency_key {
                match held.requests.get(&key) {
                    Some(earlier) if earlier.request == record.request => {
                        return Ok(Enqueued::Duplicate(earlier.tasks.clone()));
                    }
                    Some(_) => return Ok(Enqueued::KeyReused),
                    None => held.requests.insert(key, record),
                };
            }
            held.put_tasks(request.tasks);
            state.put_asked(request.files, request.alarms);
            Ok(Enqueued::Ok)
        })
    }

    async fn event(
        &self,
        account: &AccountId,
        key: &EventKey,
    ) -> Result<Option<EventRecord>, StoreError> {
        self.of(account, |held| held.events.get(key.as_str()).cloned())
    }

    async fn events(
        &self,
        account: &AccountId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<(EventKey, EventRecord)>, StoreError> {
        let named = |key: &String, record: &EventRecord| Some((EventKey::new(key), record.clone()));
        let found = self.of(account, |held| {
            Some(page(&held.events, after, limit, named))
        })?;
        Ok(found.unwrap_or_else(empty))
    }

    async fn account(&self, id: &AccountId) -> Result<Option<Account>, StoreError> {
        self.with(|state| Ok(state.accounts.get(id.as_str()).cloned()))
    }

    async fn accounts(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Account>, StoreError> {
        self.with(|state| Ok(page(&state.accounts, after, limit, all)))
    }

    async fn account_count(&self) -> Result<u64, StoreError> {
        self.with(|state| Ok(state.accounts.len() as u64))
    }

    async fn task(&self, id: &TaskId) -> Result<Option<Task>, StoreError> {
        self.of(&id.account, |held| held.tasks.get(&id.number).cloned())
    }

    async fn tasks(
        &self,
        account: &AccountId,
        filter: TaskFilter,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError> {
        let end = filter.before.map_or(Bound::Unbounded, Bound::Excluded);
        self.of(account, |held| {
            held.tasks
                .range((Bound::Unbounded, end))
                .rev()
                .map(|(_, task)| task)
                .filter(|task| filter.state.is_none_or(|state| task.state == state))
                .take(limit)
                .cloned()
                .collect()
        })
    }

    async fn next_queued(&self, account: &AccountId) -> Result<Option<Task>, StoreError> {
        let queued = |task: &&Task| task.state == TaskState::Queued;
        self.of(account, |held| {
            let mut queued = held.tasks.values().filter(queued);
            queued
                .clone()
                .find(|task| task.is_urgent())
                .or_else(|| queued.next())
                .cloned()
        })
    }

    async fn queued(&self, account: &AccountId, limit: usize) -> Result<usize, StoreError> {
        let queued = |task: &&Task| task.state == TaskState::Queued;
        self.of(account, |held| {
            held.tasks.values().filter(queued).take(limit).count()
        })
    }

    async fn queued_of_all(&self, limit: usize) -> Result<usize, StoreError> {
        let queued = |task: &&Task| task.state == TaskState::Queued;
        self.with(|state| {
            let tasks = state.of.values().flat_map(|held| held.tasks.values());
            Ok(tasks.filter(queued).take(limit).count())
        })
    }

    async fn key_value(&self, bucket: &Bucket, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.within(bucket, |entries| entries.values.get(key).cloned())
    }

    async fn usage(&self, bucket: &Bucket) -> Result<Usage, StoreError> {
        self.within(bucket, |entries| entries.usage)
    }

    async fn keys(
        &self,
        bucket: &Bucket,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let named = |key: &String, _: &Vec<u8>| Some(key.clone());
        self.within(bucket, |entries| {
            page(&entries.values, after, limit, named).items
        })
    }

    async fn contact(&self, account: &AccountId, id: &str) -> Result<Option<Contact>, StoreError> {
        self.of(account, |held| held.contacts.get(id).cloned())
    }

    async fn contacts(
        &self,
        account: &AccountId,
        kind: Option<ContactKind>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Contact>, StoreError> {
        let wanted = |_: &String, contact: &Contact| {
            kind.is_none_or(|kind| contact.kind() == kind)
                .then(|| contact.clone())
        };
        let found = self.of(account, |held| {
            Some(page(&held.contacts, after, limit, wanted))
        })?;
        Ok(found.unwrap_or_else(empty))
    }

    async fn member(
        &self,
        account: &AccountId,
        group: &str,
        user: &str,
    ) -> Result<Option<Member>, StoreError> {
        self.of(account, |held| held.members.get(group)?.get(user).cloned())
    }

    async fn members(
        &self,
        account: &AccountId,
        group: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Member>, StoreError> {
        let found = self.of(account, |held| {
            Some(page(held.members.get(group)?, after, limit, all))
        })?;
        Ok(found.unwrap_or_else(empty))
    }

    async fn failures(
        &self,
        account: &AccountId,
        limit: usize,
    ) -> Result<Vec<Failure>, StoreError> {
        self.of(account, |held| {
            let newest = held.failures.values().rev();
            newest.take(limit).cloned().collect()
        })
    }

    async fn failures_of(
        &self,
        handler: &HandlerName,
        before: Option<&FailureId>,
        limit: usize,
    ) -> Result<Vec<Failure>, StoreError> {
        self.with(|state| {
            let places = state.failures.get(handler).map_or(&[][..], Vec::as_slice);
            let newest = places.iter().rev();
            let later = newest.skip_while(|place| before.is_some_and(|id| place.id != *id));
            let skipped = usize::from(before.is_some());
            let failures = later
                .skip(skipped)
                .filter_map(|it| state.failure_at(handler, it));
            Ok(failures.take(limit).collect())
        })
    }

    async fn failure(
        &self,
        handler: &HandlerName,
        id: &FailureId,
    ) -> Result<Option<Failure>, StoreError> {
        self.with(|state| {
            let places = state.failures.get(handler).map_or(&[][..], Vec::as_slice);
            let place = places.iter().rev().find(|place| place.id == *id);
            Ok(place.and_then(|place| state.failure_at(handler, place)))
        })
    }

    async fn pause(
        &self,
        account: &AccountId,
        conversation: &str,
    ) -> Result<Option<Pause>, StoreError> {
        self.of(account, |held| held.pauses.get(conversation).cloned())
    }

    async fn pauses(
        &self,
        account: &AccountId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Pause>, StoreError> {
        let found = self.of(account, |held| Some(page(&held.pauses, after, limit, all)))?;
        Ok(found.unwrap_or_else(empty))
    }

    async fn failing(&self, account: &AccountId) -> Result<Option<Failing>, StoreError> {
        self.of(account, |held| held.failing.clone())
    }

    async fn failings(
        &self,
        handler: Option<&HandlerName>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Failing>, StoreError> {
        self.with(|state| {
            let named =
                |(id, held): (&AccountId, &Held)| (id.as_str().to_owned(), held.failing.clone());
            let by_account: BTreeMap<String, Option<Failing>> =
                state.of.iter().map(named).collect();
            let wanted = |_: &String, failing: &Option<Failing>| {
                let of = |it: &&Failing| handler.is_none_or(|handler| it.handler == *handler);
                failing.as_ref().filter(of).cloned()
            };
            Ok(page(&by_account, after, limit, wanted))
        })
    }

    async fn waiting(
        &self,
        account: &AccountId,
        limit: usize,
    ) -> Result<Vec<WaitingEvent>, StoreError> {
        self.of(account, |held| {
            held.waiting.values().take(limit).cloned().collect()
        })
    }

    async fn recorded(&self, account: &AccountId) -> Result<Vec<Recorded>, StoreError> {
        self.of(account, |held| {
            let mut all: Vec<_> = held.recorded.values().cloned().collect();
            all.sort_by_key(|it| it.number);
            all
        })
    }

    async fn timer(
        &self,
        account: &AccountId,
        handler: &HandlerName,
        id: &str,
    ) -> Result<Option<Timer>, StoreError> {
        let name = Timer::name(handler, id);
        self.of(account, |held| held.timers.get(&name).cloned())
    }

    async fn timers_of(
        &self,
        account: &AccountId,
        handler: &HandlerName,
        limit: usize,
    ) -> Result<Vec<Timer>, StoreError> {
        self.of(account, |held| {
            let own = held.timers.values();
            let own = own.filter(|timer| timer.handler == *handler);
            own.take(limit).cloned().collect()
        })
    }

    async fn timers(
        &self,
        account: &AccountId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Timer>, StoreError> {
        let found = self.of(account, |held| Some(page(&held.timers, after, limit, all)))?;
        Ok(found.unwrap_or_else(empty))
    }

    async fn file_request(
        &self,
        account: &AccountId,
        file: &str,
    ) -> Result<Option<FileRequest>, StoreError> {
        let key = (file.to_owned(), account.clone());
        self.with(|state| Ok(state.files.get(&key).cloned()))
    }

    async fn file_requests(
        &self,
        file: &str,
        limit: usize,
    ) -> Result<Vec<FileRequest>, StoreError> {
        self.with(|state| {
            let all = state.files.values();
            let named = all.filter(|request| request.file == file);
            Ok(named.take(limit).cloned().collect())
        })
    }

    async fn login(&self, id: &LoginId) -> Result<Option<Login>, StoreError> {
        self.with(|state| Ok(state.logins.records.get(id).cloned()))
    }

    async fn login_image(&self, id: &LoginId) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|state| Ok(state.logins.images.get(id).map(|bytes| bytes.to_vec())))
    }

    async fn logins(&self) -> Result<Vec<Login>, StoreError> {
        self.with(|state| Ok(state.logins.records.values().cloned().collect()))
    }

    async fn change_login(&self, change: LoginChange) -> Result<LoginChanged, StoreError> {
        let sizes = login_sizes(&change);
        check(sizes.len(), &sizes)?;
        self.with(|state| {
            if state.logins.moved(&change) {
                return Ok(LoginChanged::Moved);
            }
            state.change_login(change);
            Ok(LoginChanged::Ok)
        })
    }

    async fn alarms(
        &self,
        kind: AlarmKind,
        until_ms: Millis,
        limit: usize,
    ) -> Result<Vec<(Millis, Alarm)>, StoreError> {
        self.with(|state| {
            let due = state.alarms.iter().take_while(|(at, _)| *at <= until_ms);
            let due = due.filter(|(_, alarm)| alarm.kind() == kind);
            Ok(due.take(limit).cloned().collect())
        })
    }

    async fn dismiss(
        &self,
        alarms: Vec<(Millis, Alarm)>,
        later: Vec<(Millis, Alarm)>,
    ) -> Result<(), StoreError> {
        check(alarms.len() + later.len(), &[])?;
        self.with(|state| {
            for alarm in &alarms {
                state.alarms.remove(alarm);
            }
            state.alarms.extend(later);
            Ok(())
        })
    }

    async fn catalogue(&self) -> Result<Catalogue, StoreError> {
        self.with(|state| {
            Ok(Catalogue {
                handlers: state.handlers.values().cloned().collect(),
                bindings: state.bindings.values().cloned().collect(),
                labels: state.labels.values().cloned().collect(),
            })
        })
    }

    async fn versions(&self, handler: &HandlerName) -> Result<Vec<Version>, StoreError> {
        self.with(|state| {
            let kept = state.versions.get(handler).into_iter().flatten();
            Ok(kept.rev().map(|(_, version)| version.clone()).collect())
        })
    }

    async fn config(
        &self,
        handler: &HandlerName,
        scope: &ConfigScope,
    ) -> Result<Option<ConfigEntries>, StoreError> {
        self.with(|state| {
            let of_handler = state.configs.get(handler);
            Ok(of_handler.and_then(|it| it.get(scope.as_str()).cloned()))
        })
    }

    async fn configs(&self, handler: &HandlerName) -> Result<Vec<ConfigEntries>, StoreError> {
        self.with(|state| {
            let kept = state.configs.get(handler).into_iter().flatten();
            Ok(kept.map(|(_, config)| config.clone()).collect())
        })
    }

    async fn change_catalogue(&self, changes: Vec<CatalogueChange>) -> Result<(), StoreError> {
        let sizes: Vec<usize> = changes
            .iter()
            .map(|change| match change {
                CatalogueChange::PutHandler(handler) => size(handler),
                CatalogueChange::PutVersion(_, version) => size(version),
                CatalogueChange::PutBinding(binding) => size(binding),
                CatalogueChange::PutLabels(labelled) => size(labelled),
                CatalogueChange::PutRun(run) => size(run),
                CatalogueChange::PutConfig(config) => size(config),
                _ => 0,
            })
            .collect();
        check(sizes.len(), &sizes)?;
        self.with(|state| {
            for change in changes {
                state.change_catalogue(change);
            }
            Ok(())
        })
    }

    async fn runs(&self) -> Result<Vec<Run>, StoreError> {
        self.with(|state| Ok(state.runs.values().cloned().collect()))
    }

    async fn clients(&self) -> Result<Vec<Wanted>, StoreError> {
        self.with(|state| Ok(state.clients.values().cloned().collect()))
    }

    async fn change_client(&self, change: ClientChange) -> Result<(), StoreError> {
        let size = match &change {
            ClientChange::Put(wanted) => size(wanted),
            ClientChange::Remove(_) => 0,
        };
        check(1, &[size])?;
        self.with(|state| {
            match change {
                ClientChange::Put(wanted) => state.clients.insert(wanted.name.clone(), wanted),
                ClientChange::Remove(name) => state.clients.remove(&name),
            };
            Ok(())
        })
    }

    async fn sweep(&self, before_ms: Millis) -> Result<bool, StoreError> {
        self.with(|state| {
            state.of.values_mut().for_each(|held| held.sweep(before_ms));
            for places in state.failures.values_mut() {
                places.retain(|place| place.at_ms >= before_ms);
            }
            let logins = &mut state.logins.records;
            logins.retain(|_, login| !is_over(login.ended_ms, before_ms));
            let files = &mut state.files;
            files.retain(|_, request| !is_over(request.ended_ms, before_ms));
            Ok(false)
        })
    }

    fn health(&self) -> Result<(), StoreError> {
        self.with(|_| Ok(()))
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.with(|state| {
            state.closed = true;
            Ok(())
        })
    }
}

impl State {
    fn failure_at(&self, handler: &HandlerName, place: &FailurePlace) -> Option<Failure> {
        let held = self.of.get(&place.kept_for(handler))?;
        held.failures.get(&place.count).cloned()
    }

    fn put_asked(&mut self, files: Vec<FileRequest>, alarms: Vec<(Millis, Alarm)>) {
        let keyed = |file: FileRequest| ((file.file.clone(), file.account.clone()), file);
        self.files.extend(files.into_iter().map(keyed));
        self.alarms.extend(alarms);
    }

    fn change_timer(&mut self, account: &AccountId, change: TimerChange) {
        let held = self.of.entry(account.clone()).or_default();
        let alarm = |handler: &HandlerName, id: &str| {
            Alarm::Timer(account.clone(), handler.clone(), id.to_owned())
        };
        match change {
            TimerChange::Put {
                timer,
                instead_of_ms,
            } => {
                let alarm = alarm(&timer.handler, &timer.id);
                if let Some(former_ms) = instead_of_ms {
                    self.alarms.remove(&(former_ms, alarm.clone()));
                }
                self.alarms.insert((timer.due_ms, alarm));
                let name = Timer::name(&timer.handler, &timer.id);
                held.timers.insert(name, timer);
            }
            TimerChange::Remove {
                handler,
                id,
                due_ms,
            } => {
                self.alarms.remove(&(due_ms, alarm(&handler, &id)));
                held.timers.remove(&Timer::name(&handler, &id));
            }
        }
    }

    fn change_login(&mut self, change: LoginChange) {
        self.alarms.extend(alarm_of(&change));
        self.logins.apply(change);
    }

    fn change_catalogue(&mut self, change: CatalogueChange) {
        let named = |scope: Scope| String::from(scope);
        match change {
            CatalogueChange::PutHandler(handler) => {
                self.handlers.insert(handler.name.clone(), *handler);
            }
            CatalogueChange::RemoveHandler(name) => {
                self.handlers.remove(&name);
            }
            CatalogueChange::PutVersion(name, version) => {
                let kept = self.versions.entry(name).or_default();
                kept.insert(version.number, *version);
            }
            CatalogueChange::RemoveVersion(name, number) => {
                if let Some(kept) = self.versions.get_mut(&name) {
                    kept.remove(&number);
                }
            }
            CatalogueChange::PutConfig(config) => {
                let kept = self.configs.entry(config.handler.clone()).or_default();
                kept.insert(config.scope.as_str().to_owned(), *config);
            }
            CatalogueChange::RemoveConfig(name, scope) => {
                if let Some(kept) = self.configs.get_mut(&name) {
                    kept.remove(scope.as_str());
                }
            }
            CatalogueChange::PutBinding(binding) => {
                self.bindings
                    .insert(named(binding.account.clone()), binding);
            }
            CatalogueChange::RemoveBinding(scope) => {
                self.bindings.remove(&named(scope));
            }
            CatalogueChange::PutLabels(labelled) => {
                self.labels.insert(labelled.account.clone(), labelled);
            }
            CatalogueChange::RemoveLabels(account) => {
                self.labels.remove(&account);
            }
            CatalogueChange::PutRun(run) => {
                self.runs.insert(run.key(), run);
            }
            CatalogueChange::RemoveRun(key) => {
                self.runs.remove(&key);
            }
        }
    }
}
