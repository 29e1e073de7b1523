//! How records and keys look on disk.
//!
//! A record is one version byte and JSON: self-describing, readable by a person
//! who looks into a broken store, and the same form as in the control API.
//!
//! A key is one byte for the table and then its parts. Every part but the last
//! goes with its length, so no content can make two keys alike, and one
//! account's prefix never reaches another's records.

use serde::{
    Serialize,
    de::{DeserializeOwned, IgnoredAny},
};

use crate::domain::{
    AccountId, Alarm, AlarmKind, Bucket, ClientName, ContactKind, Digest, EventKey, FailureId,
    HandlerName, LoginId, Millis, TaskNumber, TaskState, Timer,
    handler::{CALLBACK_SCOPE, ConfigScope, RunKey, Scope, VersionNumber},
    label::LABEL_PREFIX,
    ports::StoreError,
};

/// The first byte of every record that is written now.
pub const VERSION: u8 = 1;

/// What a key's first byte stands for. The bytes are on disk: never change one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Table {
    /// Facts about the store itself.
    Meta = 1,
    /// Account to epoch; absent while it is the first.
    Epoch = 2,
    /// Account to its record.
    Account = 3,
    /// Name to handler.
    Handler = 4,
    /// Scope to binding.
    Binding = 5,
    /// Account, urgency and number of each queued task; empty values.
    Queue = 6,
    /// Account, handler and key to a guest's value.
    KeyValue = 7,
    /// Account and id to contact.
    Contact = 8,
    /// Account, group and user to member.
    Member = 9,
    /// Account to how many failures it ever had; `*handler/` and its name to how many a
    /// handler ever had.
    FailureCount = 10,
    /// Name to wanted client.
    Client = 11,
    /// Login to its image.
    LoginImage = 12,
    /// Time and text of a deadline's alarm to the alarm.
    Alarm = 13,
    /// Handler and number to version.
    Version = 14,
    /// Account, handler and name to timer.
    Timer = 15,
    /// Account and event key to what became of it. First of those that are swept.
    Event = 16,
    /// Account and number to task.
    Task = 17,
    /// Account and count to failure.
    Failure = 18,
    /// Account and idempotency key to what was answered.
    Request = 19,
    /// Id to login.
    Login = 20,
    /// Digest of a file's name and account to the request for it.
    File = 21,
    /// Account and conversation to what pauses its bot there. Last of those that
    /// are swept.
    Pause = 22,
    /// Handler and scope to the entries of its configuration.
    Config = 23,
    /// Handler and key to a value of the bucket that its accounts share.
    Shared = 24,
    /// Account, or none, and handler to what their bucket comes to.
    Usage = 25,
    /// Time and text of an alarm that wakes a bot to the alarm.
    Wakeup = 26,
    /// Handler and count to where the failure is. Swept as well.
    HandlerFailure = 27,
    /// Account to how its handler fails.
    Failing = 28,
    /// Account and number to an event that waits for its handler.
    Waiting = 29,
    /// Handler, schedule and timing to a schedule's times.
    Run = 30,
    /// Account and place in the ring to an event that can be replayed. Swept, too.
    Recorded = 31,
    /// Pieces of values too large for one record.
    Piece = 32,
    /// Account to its labels.
    Label = 34,
}

impl Table {
    const ALL: [Self; 33] = [
        Self::Meta,
        Self::Epoch,
        Self::Account,
        Self::Handler,
        Self::Binding,
        Self::Queue,
        Self::KeyValue,
        Self::Contact,
        Self::Member,
        Self::FailureCount,
        Self::Client,
        Self::Pause,
        Self::LoginImage,
        Self::Alarm,
        Self::Wakeup,
        Self::Version,
        Self::Timer,
        Self::Run,
        Self::Event,
        Self::Task,
        Self::Failure,
        Self::Request,
        Self::Login,
        Self::File,
        Self::Config,
        Self::Shared,
        Self::Usage,
        Self::HandlerFailure,
        Self::Failing,
        Self::Waiting,
        Self::Recorded,
        Self::Piece,
        Self::Label,
    ];

    /// The table that a key belongs to.
    pub fn of(key: &[u8]) -> Option<Self> {
        let byte = *key.first()?;
        Self::ALL.into_iter().find(|table| *table as u8 == byte)
    }
}

// ------------------------------------------------------------------- keys

/// A key, or the beginning of one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Vec<u8>);

impl Key {
    fn of(table: Table) -> Self {
        // Most keys are an account's id of 20 characters and something as long.
        let mut bytes = Vec::with_capacity(64);
        bytes.push(table as u8);
        Self(bytes)
    }

    /// A part that others follow: length (seven bits a byte, lowest first, all
    /// but the last byte marked), then content.
    fn part(mut self, text: &str) -> Self {
        let mut rest = text.len();
        while rest >= 0x80 {
            self.0.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
        self.end(text)
    }

    /// The last part, which needs no length and so keeps the order of its text.
    pub fn end(mut self, text: &str) -> Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// A number that sorts as it counts.
    pub fn rising(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// A number of which the greatest sorts first. Listings that go newest
    /// first then read forwards; sled 0.34 can lose its way backwards next to
    /// keys with long runs of 0xFF.
    pub fn falling(self, number: u64) -> Self {
        self.rising(!number)
    }

    /// The first key after all that begin with this one.
    pub fn after_all(&self) -> Vec<u8> {
        let mut end = self.0.clone();
        while end.last() == Some(&u8::MAX) {
            end.pop();
        }
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        end
    }

    /// What follows this prefix in a key found under it, as text.
    pub fn rest_of(&self, key: &[u8]) -> Result<String, StoreError> {
        key.strip_prefix(self.0.as_slice())
            .and_then(|rest| std::str::from_utf8(rest).ok())
            .map(str::to_owned)
            .ok_or_else(|| unreadable(key, "its key is no text"))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, to keep.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// The prefix of a whole table.
pub fn table(table: Table) -> Key {
    Key::of(table)
}

/// The prefix of one account's records in a table.
pub fn of_account(table: Table, account: &AccountId) -> Key {
    Key::of(table).part(account.as_str())
}

/// The number above which no task was ever acknowledged. As a time in µs, nothing
/// was ever written after it.
pub fn mark() -> Key {
    Key::of(Table::Meta).end("mark")
}

/// How many accounts there are.
pub fn account_count() -> Key {
    Key::of(Table::Meta).end("accounts")
}

/// An account's epoch.
pub fn epoch(account: &AccountId) -> Key {
    Key::of(Table::Epoch).end(account.as_str())
}

/// An account.
pub fn account(id: &AccountId) -> Key {
    Key::of(Table::Account).end(id.as_str())
}

/// A handler.
pub fn handler(name: &HandlerName) -> Key {
    Key::of(Table::Handler).end(name.as_str())
}

/// The versions of a handler.
pub fn versions(handler: &HandlerName) -> Key {
    Key::of(Table::Version).part(handler.as_str())
}

/// A version of a handler. The newest comes first.
pub fn version(handler: &HandlerName, number: VersionNumber) -> Key {
    versions(handler).falling(number.0.into())
}

/// The configuration of a handler.
pub fn configs(handler: &HandlerName) -> Key {
    Key::of(Table::Config).part(handler.as_str())
}

/// The configuration of a handler in one scope.
pub fn config(handler: &HandlerName, scope: &ConfigScope) -> Key {
    configs(handler).end(scope.as_str())
}

/// A binding. No account's id begins with `*` or `label:`, so what does can stand for
/// others.
pub fn binding(scope: &Scope) -> Key {
    let own = |text: &str| Key::of(Table::Binding).end(text);
    match scope {
        Scope::All => own("*"),
        Scope::Callback => own(CALLBACK_SCOPE),
        Scope::Label(label) => own(&format!("{LABEL_PREFIX}{label}")),
        Scope::Account(id) => own(id.as_str()),
    }
}

/// An account's labels.
pub fn labels(account: &AccountId) -> Key {
    Key::of(Table::Label).end(account.as_str())
}

/// A wanted client.
pub fn client(name: &ClientName) -> Key {
    Key::of(Table::Client).end(name.as_str())
}

/// An event seen.
pub fn event(account: &AccountId, key: &EventKey) -> Key {
    of_account(Table::Event, account).end(key.as_str())
}

/// A task; newest first.
pub fn task(account: &AccountId, number: TaskNumber) -> Key {
    of_account(Table::Task, account).falling(number.0)
}

/// A queued task's place; urgent ones first, of these and of the others the
/// oldest.
pub fn queued(account: &AccountId, urgent: bool, number: TaskNumber) -> Key {
    let mut key = of_account(Table::Queue, account);
    key.0.push(u8::from(!urgent));
    key.rising(number.0)
}

/// The task that a key of the queue stands for.
pub fn number_of(queue_key: &[u8]) -> Result<TaskNumber, StoreError> {
    queue_key
        .last_chunk::<8>()
        .map(|bytes| TaskNumber(u64::from_be_bytes(*bytes)))
        .ok_or_else(|| unreadable(queue_key, "its key has no number"))
}

/// The prefix of one bucket's keys.
pub fn bucket(bucket: &Bucket) -> Key {
    let prefix = match &bucket.account {
        Some(account) => of_account(Table::KeyValue, account),
        None => Key::of(Table::Shared),
    };
    prefix.part(bucket.handler.as_str())
}

/// What a bucket comes to. No account's id is empty, so that can stand for none.
pub fn usage(bucket: &Bucket) -> Key {
    let account = bucket.account.as_ref().map_or("", AccountId::as_str);
    Key::of(Table::Usage)
        .part(account)
        .end(bucket.handler.as_str())
}

/// A contact.
pub fn contact(account: &AccountId, id: &str) -> Key {
    of_account(Table::Contact, account).end(id)
}

/// The prefix of one group's members.
pub fn members(account: &AccountId, group: &str) -> Key {
    of_account(Table::Member, account).part(group)
}

/// How many failures an account ever had.
pub fn failure_count(account: &AccountId) -> Key {
    Key::of(Table::FailureCount).end(account.as_str())
}

/// The so-many-th failure of an account; newest first.
pub fn failure(account: &AccountId, count: u64) -> Key {
    of_account(Table::Failure, account).falling(count)
}

/// How many failures a handler ever had. No account's id has a slash in it.
pub fn handler_failure_count(handler: &HandlerName) -> Key {
    Key::of(Table::FailureCount).end(&format!("*handler/{handler}"))
}

/// The prefix of a handler's failures.
pub fn failures_of(handler: &HandlerName) -> Key {
    Key::of(Table::HandlerFailure).part(handler.as_str())
}

/// The so-many-th failure of a handler; newest first.
pub fn failure_of(handler: &HandlerName, count: u64) -> Key {
    failures_of(handler).falling(count)
}

/// What was answered to a request with an idempotency key.
pub fn request(account: &AccountId, key: &str) -> Key {
    of_account(Table::Request, account).end(key)
}

/// What pauses an account's bot in a conversation.
pub fn pause(account: &AccountId, conversation: &str) -> Key {
    of_account(Table::Pause, account).end(conversation)
}

/// The prefix of the timers that a handler has set for an account. No handler's name
/// has a slash, so the keys keep the order of [`Timer::name`].
pub fn timers_of(account: &AccountId, handler: &HandlerName) -> Key {
    of_account(Table::Timer, account).end(&Timer::name(handler, ""))
}

/// A timer.
pub fn timer(account: &AccountId, handler: &HandlerName, id: &str) -> Key {
    of_account(Table::Timer, account).end(&Timer::name(handler, id))
}

/// How an account's handler fails.
pub fn failing(account: &AccountId) -> Key {
    Key::of(Table::Failing).end(account.as_str())
}

/// An event that waits for its account's handler; oldest first.
pub fn waiting(account: &AccountId, number: u64) -> Key {
    of_account(Table::Waiting, account).rising(number)
}

/// A place in the ring of an account's events that can be replayed.
pub fn recorded(account: &AccountId, place: u32) -> Key {
    of_account(Table::Recorded, account).rising(place.into())
}

/// A schedule's times.
pub fn run((handler, schedule, timing): &RunKey) -> Key {
    Key::of(Table::Run)
        .part(handler.as_str())
        .part(schedule)
        .end(timing)
}

/// A login.
pub fn login(id: &LoginId) -> Key {
    Key::of(Table::Login).end(id.as_str())
}

/// The image of a login.
pub fn login_image(id: &LoginId) -> Key {
    Key::of(Table::LoginImage).end(id.as_str())
}

/// The prefix of all requests for files of this name. The name may be as long as
/// a whole key, so its digest stands for it.
pub fn files(file: &str) -> Key {
    Key::of(Table::File).part(&Digest::of(file.as_bytes()).to_string())
}

/// An account's request for a file.
pub fn file(account: &AccountId, file: &str) -> Key {
    files(file).end(account.as_str())
}

/// An alarm; earliest first. Of a file's name the digest, as above.
pub fn alarm(at_ms: Millis, alarm: &Alarm) -> Key {
    let text = match alarm {
        Alarm::File(account, file) => format!("file/{account}/{}", Digest::of(file.as_bytes())),
        Alarm::Task(_)
        | Alarm::Login(_)
        | Alarm::Timer(..)
        | Alarm::Schedule(_)
        | Alarm::Waiting(..) => alarm.to_string(),
    };
    alarms_at(alarm.kind(), at_ms).end(&text)
}

/// The prefix of the alarms of one kind and moment.
pub fn alarms_at(kind: AlarmKind, at_ms: Millis) -> Key {
    alarms(kind).rising(at_ms)
}

/// The prefix of the alarms of one kind.
pub fn alarms(kind: AlarmKind) -> Key {
    Key::of(match kind {
        AlarmKind::Deadline => Table::Alarm,
        AlarmKind::Wakeup => Table::Wakeup,
    })
}

/// When the alarm under this key rings.
pub fn time_of(alarm_key: &[u8]) -> Result<Millis, StoreError> {
    alarm_key
        .get(1..)
        .and_then(<[u8]>::first_chunk::<8>)
        .map(|bytes| Millis::from_be_bytes(*bytes))
        .ok_or_else(|| unreadable(alarm_key, "its key has no time"))
}

/// One piece of a large value.
pub fn piece(value: u64, index: u32) -> Key {
    let mut key = Key::of(Table::Piece).rising(value);
    key.0.extend_from_slice(&index.to_be_bytes());
    key
}

// ----------------------------------------------------------------- records

/// What was answered to a request with an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestRecord {
    /// When, in ms.
    pub at_ms: Millis,
    /// Digest of the request.
    pub request: Digest,
    /// The tasks it made.
    pub tasks: Vec<TaskNumber>,
}

/// Where a failure of a handler is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailurePlace {
    /// When it happened, in ms.
    pub at_ms: Millis,
    /// Its name.
    pub id: FailureId,
    /// For which account; none for an endpoint or a callback component.
    pub account: Option<AccountId>,
    /// Which of the account's failures it is.
    pub count: u64,
    /// Whether it is kept with the endpoint's own. Those of before lie with the callback
    /// components'.
    #[serde(default)]
    pub of_endpoint: bool,
}

impl FailurePlace {
    /// Under which account this handler's failure is kept.
    pub fn kept_for(&self, handler: &HandlerName) -> AccountId {
        match &self.account {
            Some(account) => account.clone(),
            None if self.of_endpoint => AccountId::of_endpoint(handler),
            None => AccountId::callback(),
        }
    }
}

/// The few fields that tell whether a record has had its time. Reading only
/// these is several times faster than reading the record.
#[derive(Debug, serde::Deserialize)]
pub struct Aged {
    at_ms: Option<Millis>,
    ended_ms: Option<Millis>,
    until_ms: Option<Millis>,
    state: Option<IgnoredAny>,
}

impl Aged {
    /// True when what has a state (a task, a login, a request for a file) ended
    /// before then, or what just happened (an event, a failure, a request) did, or
    /// what lasts (a pause) lasted until then.
    pub fn is_over(&self, before_ms: Millis) -> bool {
        let over_ms = match self.state {
            Some(_) => self.ended_ms,
            None => self.at_ms.or(self.until_ms),
        };
        over_ms.is_some_and(|at| at < before_ms)
    }
}

/// Only the state of a task.
#[derive(Debug, serde::Deserialize)]
pub struct Standing {
    /// Which.
    pub state: TaskState,
}

/// Only the revision of a login.
#[derive(Debug, serde::Deserialize)]
pub struct Revision {
    /// Which.
    pub revision: u64,
}

/// Only whose failures they are.
#[derive(Debug, serde::Deserialize)]
pub struct Fails {
    /// Which handler's.
    pub handler: HandlerName,
}

/// Only the kind of a contact.
#[derive(Debug, serde::Deserialize)]
pub struct Kind {
    /// Which.
    pub kind: ContactKind,
}

/// Writes a record into the buffer, in place of what was there.
pub fn encode<T: Serialize>(buffer: &mut Vec<u8>, record: &T) -> Result<(), StoreError> {
    buffer.clear();
    buffer.push(VERSION);
    serde_json::to_writer(buffer, record)
        .map_err(|error| StoreError::Failed(format!("a record can't be written: {error}")))
}

/// Writes a guest's value, which is kept as it is, into the buffer.
pub fn encode_raw(buffer: &mut Vec<u8>, value: &[u8]) {
    buffer.clear();
    buffer.push(VERSION);
    buffer.extend_from_slice(value);
}

/// Reads the record that lay under this key.
pub fn decode<T: DeserializeOwned>(key: &[u8], record: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(decode_raw(key, record)?)
        .map_err(|error| unreadable(key, &error.to_string()))
}

/// What a record holds behind its version.
pub fn decode_raw<'a>(key: &[u8], record: &'a [u8]) -> Result<&'a [u8], StoreError> {
    match record.split_first() {
        Some((&VERSION, content)) => Ok(content),
        Some((version, _)) => Err(unreadable(
            key,
            &format!("it has version {version}, and this wxhost knows version {VERSION} only"),
        )),
        None => Err(unreadable(key, "it is empty")),
    }
}

/// The error that says which record it is.
pub fn unreadable(key: &[u8], why: &str) -> StoreError {
    let rest = key.get(1..).unwrap_or_default().escape_ascii();
    StoreError::Unreadable(match Table::of(key) {
        Some(table) => format!("table {table:?}, key \"{rest}\": {why}"),
        None => format!("no known table, key \"{}\": {why}", key.escape_ascii()),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::domain::TaskId;

    fn account_id() -> impl Strategy<Value = AccountId> {
        "[^\\s/\\p{C}]{1,140}".prop_filter_map("no id", |text| AccountId::try_from(text).ok())
    }

    /// Every key that is made of an account and two texts.
    fn keys(account: &AccountId, a: &str, b: &str) -> Vec<Key> {
        vec![
            event(account, &EventKey::new(a)),
            contact(account, a),
            members(account, a).end(b),
            request(account, a),
            pause(account, a),
            timer(account, &HandlerName::trial(), a),
            file(account, a),
            alarm(0, &Alarm::File(account.clone(), a.to_owned())),
        ]
    }

    proptest! {
        #[test]
        fn no_two_things_share_a_key(
            one in (account_id(), ".{0,150}", ".{0,9}"),
            other in (account_id(), ".{0,150}", ".{0,9}"),
        ) {
            let first = keys(&one.0, &one.1, &one.2);
            let second = keys(&other.0, &other.1, &other.2);
            for (i, a) in first.iter().enumerate() {
                for (j, b) in second.iter().enumerate() {
                    let same_thing = i == j
                        && one.0 == other.0
                        && one.1 == other.1
                        && (i != 2 || one.2 == other.2);
                    prop_assert_eq!(a == b, same_thing);
                }
            }
        }

        #[test]
        fn parts_cannot_be_moved_between_each_other(text in ".{0,300}", cut in 0usize..300, other in 0usize..300) {
            let at = |cut: usize| {
                let cut = (0..=cut.min(text.len())).rev().find(|i| text.is_char_boundary(*i));
                text.split_at(cut.unwrap_or(0))
            };
            let account = AccountId::try_from("a").unwrap();
            let key = |cut: usize| members(&account, at(cut).0).end(at(cut).1);
            prop_assert_eq!(key(cut) == key(other), at(cut) == at(other));
        }

        #[test]
        fn an_accounts_prefix_reaches_its_own_only(a in account_id(), b in account_id(), tail in ".{0,20}") {
            let prefix = of_account(Table::Contact, &a);
            let key = contact(&b, &tail);
            prop_assert_eq!(key.as_bytes().starts_with(prefix.as_bytes()), a == b);
            let between = key >= prefix && key.as_bytes() < prefix.after_all().as_slice();
            prop_assert_eq!(between, a == b);
        }

        #[test]
        fn numbers_sort(a: u64, b: u64) {
            let account = AccountId::try_from("a").unwrap();
            let (a, b) = (TaskNumber(a), TaskNumber(b));
            let place = |urgent, number| queued(&account, urgent, number);
            prop_assert_eq!(place(false, a).cmp(&place(false, b)), a.cmp(&b));
            prop_assert!(place(true, a) < place(false, b));
            prop_assert_eq!(task(&account, a).cmp(&task(&account, b)), b.cmp(&a));
            prop_assert_eq!(number_of(place(true, a).as_bytes()).unwrap(), a);
        }

        #[test]
        fn alarms_sort_by_their_time(a: u64, b: u64, first in account_id(), second in ".{0,300}") {
            let id = TaskId { account: first.clone(), number: TaskNumber(1) };
            let (one, other) = (alarm(a, &Alarm::Task(id)), alarm(b, &Alarm::File(first, second)));
            if a != b {
                prop_assert_eq!(one.cmp(&other), a.cmp(&b));
            }
            prop_assert_eq!(time_of(other.as_bytes()).unwrap(), b);
            prop_assert_eq!(one.as_bytes() < alarms_at(AlarmKind::Deadline, b).after_all().as_slice(), a <= b);
        }

        #[test]
        fn bytes_that_are_no_record_are_told_so(bytes: Vec<u8>) {
            let key = Key::of(Table::Event).end("x");
            match decode::<RequestRecord>(key.as_bytes(), &bytes) {
                Err(StoreError::Unreadable(text)) => prop_assert!(text.contains("table Event, key \"x\"")),
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }

    #[test]
    fn buckets_lie_apart_whatever_their_keys() {
        let accounts = ["a", "ab", "\u{10ffff}"].map(|it| AccountId::try_from(it).unwrap());
        let handlers = ["a", "ab", "b-1"].map(|it| HandlerName::try_from(it).unwrap());
        let own = |handler| accounts.iter().map(move |it| Bucket::of(it, handler));
        let all: Vec<Bucket> = handlers
            .iter()
            .flat_map(|handler| own(handler).chain([Bucket::shared(handler)]))
            .collect();
        for (one, other) in all
            .iter()
            .flat_map(|one| all.iter().map(move |it| (one, it)))
        {
            let (prefix, same) = (bucket(one), one == other);
            assert_eq!(usage(one) == usage(other), same);
            for tail in ["", "a/b", "\0", "\u{1}a", "\u{1}a\u{1}a", &"k".repeat(300)] {
                let key = bucket(other).end(tail);
                let within = key >= prefix && key.as_bytes() < prefix.after_all().as_slice();
                assert_eq!(within, same, "{one:?} {other:?} {tail:?}");
            }
        }
    }

    #[test]
    fn the_end_of_a_prefix_skips_full_bytes() {
        let key = Key(vec![1, 0xff, 0xff]);
        assert_eq!(key.after_all(), vec![2]);
    }

    #[test]
    fn every_byte_names_one_table() {
        for table in Table::ALL {
            assert_eq!(Table::of(&[table as u8, 7]), Some(table));
        }
        assert_eq!(Table::of(&[]), None);
        assert_eq!(Table::of(&[255]), None);
    }

    #[test]
    fn the_longest_names_stay_within_a_key() {
        let account = AccountId::try_from("a".repeat(256)).unwrap();
        let name = "f".repeat(4096);
        let ring = alarm(u64::MAX, &Alarm::File(account.clone(), name.clone()));
        for key in [file(&account, &name), ring] {
            assert!(key.as_bytes().len() < 400, "{}", key.as_bytes().len());
        }
    }

    #[test]
    fn what_has_a_state_is_over_once_it_has_ended() {
        let over = |record: &str| {
            let aged: Aged = serde_json::from_str(record).unwrap();
            aged.is_over(5)
        };
        assert!(over(r#"{"at_ms":4}"#));
        assert!(!over(r#"{"at_ms":5}"#));
        assert!(over(r#"{"state":"ready","ended_ms":4}"#));
        assert!(!over(r#"{"state":"ready","ended_ms":5}"#));
        assert!(!over(r#"{"state":"asked","at_ms":1}"#));
    }

    #[test]
    fn a_later_version_is_refused_with_words() {
        let record = [9, b'{', b'}'];
        let error = decode::<RequestRecord>(mark().as_bytes(), &record).unwrap_err();
        assert!(error.to_string().contains("version 9"), "{error}");
    }
}
