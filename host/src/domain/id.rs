//! Names of things. Each is checked where it is made, so that whoever holds
//! one need not check again.

use std::{fmt, str::FromStr, sync::Arc};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::label::LABEL_PREFIX;

/// The longest account id taken. WeChat's own ids have at most 20 characters,
/// an Openwx client's name at most 64; group ids that end in `@im.chatroom` 30.
pub const ACCOUNT_ID_MAX_BYTES: usize = 256;
/// The longest handler name. It becomes part of a path and of log lines.
pub const HANDLER_NAME_MAX_CHARS: usize = 64;
/// The longest id of a QR login; ours have 46 characters.
pub const LOGIN_ID_MAX_BYTES: usize = 128;
/// The longest id of an event. Longer ones are named by their digest.
pub const EVENT_KEY_MAX_BYTES: usize = 200;

/// Why a text is no name of this kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadId(pub &'static str);

/// One WeChat identity: its `wxid`, or the name of an Openwx client.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountId(Arc<str>);

impl AccountId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AccountId {
    /// The account for which a component is tried out. No account's: none begins
    /// with `*`.
    pub fn trial() -> Self {
        Self("*trial".into())
    }

    /// The name under which callback components keep their key-values. No
    /// account's: none begins with `*`.
    pub fn callback() -> Self {
        Self("*callback".into())
    }

    /// The name under which endpoints' writes to their buckets are committed. No
    /// account's: none begins with `*`.
    pub fn endpoint() -> Self {
        Self("*endpoint".into())
    }

    /// The name under which an endpoint's failures are kept, apart from those of the
    /// others. No account's: none begins with `*`.
    pub fn of_endpoint(handler: &HandlerName) -> Self {
        Self(format!("*endpoint/{handler}").into())
    }

    /// The name under which people's writes to shared buckets are committed. No
    /// account's either, and nothing lies under it.
    pub fn shared() -> Self {
        Self("*shared".into())
    }
}

impl TryFrom<&str> for AccountId {
    type Error = BadId;

    fn try_from(text: &str) -> Result<Self, BadId> {
        if text.is_empty() {
            return Err(BadId("an account id can't be empty"));
        }
        if text.len() > ACCOUNT_ID_MAX_BYTES {
            return Err(BadId("an account id has at most 256 bytes"));
        }
        if text
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || c == '/')
        {
            return Err(BadId(
                "an account id has no spaces, slashes or control characters",
            ));
        }
        if text.starts_with('*') {
            return Err(BadId(
                "`*` stands for all accounts: no account id begins with it",
            ));
        }
        if text.starts_with(LABEL_PREFIX) {
            return Err(BadId(
                "`label:` stands before labels: no account id begins with it",
            ));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for AccountId {
    type Error = BadId;

    fn try_from(text: String) -> Result<Self, BadId> {
        Self::try_from(text.as_str())
    }
}

/// The name of a handler: lower case letters, digits and hyphens.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HandlerName(Arc<str>);

impl HandlerName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for HandlerName {
    type Error = BadId;

    fn try_from(text: &str) -> Result<Self, BadId> {
        let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if text.is_empty() || text.len() > HANDLER_NAME_MAX_CHARS || !text.chars().all(ok) {
            return Err(BadId(
                "a handler name has 1 to 64 characters: lower case letters, digits and hyphens",
            ));
        }
        if text.starts_with('-') || text.ends_with('-') {
            return Err(BadId("a handler name can't begin or end with a hyphen"));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for HandlerName {
    type Error = BadId;

    fn try_from(text: String) -> Result<Self, BadId> {
        Self::try_from(text.as_str())
    }
}

impl HandlerName {
    /// The name under which a component is tried out before it has one.
    pub fn trial() -> Self {
        Self("trial".into())
    }
}

/// The name of a QR login, which clients know as the QR session id.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LoginId(Arc<str>);

impl LoginId {
    /// An id that nobody can guess: who knows it can upload codes for its login.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        let text = BASE64_URL_SAFE_NO_PAD.encode(bytes);
        // No id looks like an option of the command line.
        Ok(Self(format!("qr-{text}").into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for LoginId {
    type Error = BadId;

    fn try_from(text: &str) -> Result<Self, BadId> {
        let odd = |c: char| c.is_control() || c.is_whitespace() || c == '/';
        if text.is_empty() || text.len() > LOGIN_ID_MAX_BYTES || text.chars().any(odd) {
            return Err(BadId(
                "a QR session id has 1 to 128 bytes without spaces, slashes or control characters",
            ));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for LoginId {
    type Error = BadId;

    fn try_from(text: String) -> Result<Self, BadId> {
        Self::try_from(text.as_str())
    }
}

/// How many random bits the id of a failure has: with a hundred failures of each of a
/// hundred thousand accounts two are the same once in 10^10 hosts, and nobody finds one by
/// trying.
const FAILURE_ID_BITS: usize = 80;
/// The longest id of a failure taken; ours have 18 characters.
pub const FAILURE_ID_MAX_BYTES: usize = 64;
/// What it is written in, 5 bits each: no two of these look alike.
const FAILURE_ID_ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// The name of a failure, short enough to be read out.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FailureId(Arc<str>);

impl FailureId {
    /// An id that no other failure has.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; FAILURE_ID_BITS.div_ceil(5)];
        getrandom::fill(&mut bytes)?;
        let letter = |byte: u8| {
            let index = usize::from(byte) % FAILURE_ID_ALPHABET.len();
            FAILURE_ID_ALPHABET.get(index).copied().map(char::from)
        };
        let text: String = bytes.into_iter().filter_map(letter).collect();
        Ok(Self(format!("f-{text}").into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for FailureId {
    type Error = BadId;

    fn try_from(text: &str) -> Result<Self, BadId> {
        let ok = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if text.is_empty() || text.len() > FAILURE_ID_MAX_BYTES || !text.chars().all(ok) {
            return Err(BadId(
                "a failure's id has 1 to 64 characters: letters, digits and hyphens",
            ));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for FailureId {
    type Error = BadId;

    fn try_from(text: String) -> Result<Self, BadId> {
        Self::try_from(text.as_str())
    }
}

/// What makes two deliveries the same event, unique within the account: the
/// peer's message id where it has one, else a digest of the content.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventKey(Arc<str>);

impl EventKey {
    /// Makes a key of any text. A text that is too long for a key, or that could
    /// mislead a log, is named by its digest instead, which keeps it distinct.
    pub fn new(text: &str) -> Self {
        if text.len() <= EVENT_KEY_MAX_BYTES && !text.chars().any(char::is_control) {
            Self(text.into())
        } else {
            Self(format!("b3-{}", blake3::hash(text.as_bytes()).to_hex()).into())
        }
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What kind of event it names: all up to the last hyphen.
    pub fn kind(&self) -> &str {
        self.0.rsplit_once('-').map_or("", |(kind, _)| kind)
    }
}

/// The place of a task among all tasks of its account. Rises, may have gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskNumber(pub u64);

/// A task's name on this host: its account and its number.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TaskId {
    /// Whose task.
    pub account: AccountId,
    /// Which of them.
    pub number: TaskNumber,
}

impl FromStr for TaskId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        const BAD: BadId = BadId("a task id is an account id, a hyphen and a number");
        let (account, number) = text.rsplit_once('-').ok_or(BAD)?;
        // One spelling per id: no sign, no leading zero.
        if !number.bytes().all(|b| b.is_ascii_digit()) || number.starts_with('0') {
            return Err(BAD);
        }
        Ok(Self {
            account: account.try_into()?,
            number: TaskNumber(number.parse().map_err(|_| BAD)?),
        })
    }
}

impl TryFrom<String> for TaskId {
    type Error = BadId;

    fn try_from(text: String) -> Result<Self, BadId> {
        text.parse()
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.account, self.number.0)
    }
}

/// The BLAKE3 digest of a component's or file's bytes, as 64 lower case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Whether it is the same. Takes the same time whatever differs.
    pub fn is(&self, other: &Self) -> bool {
        blake3::Hash::from_bytes(self.0) == blake3::Hash::from_bytes(other.0)
    }
}

impl From<blake3::Hash> for Digest {
    /// For what is hashed piece by piece.
    fn from(hash: blake3::Hash) -> Self {
        Self(*hash.as_bytes())
    }
}

impl TryFrom<String> for Digest {
    type Error = BadId;

    fn try_from(text: String) -> Result<Self, BadId> {
        blake3::Hash::from_hex(text.as_bytes())
            .map(|hash| Self(*hash.as_bytes()))
            .map_err(|_| BadId("a digest is 64 hex digits"))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(blake3::Hash::from_bytes(self.0).to_hex().as_str())
    }
}

/// Text in, text out: the same for every id above.
macro_rules! textual {
    ($($id:ty),*) => { $(
        impl From<$id> for String {
            fn from(id: $id) -> String {
                id.to_string()
            }
        }

        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )* };
}

macro_rules! shown_as_its_text {
    ($($id:ty),*) => { $(
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )* };
}

textual!(
    AccountId,
    HandlerName,
    LoginId,
    FailureId,
    EventKey,
    TaskId,
    Digest
);
shown_as_its_text!(AccountId, HandlerName, LoginId, FailureId, EventKey);

#[cfg(test)]
mod tests {
    #![expect(clippy::expect_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_task_id_reads_back_even_when_the_account_has_hyphens() {
        for account in ["wxid_a", "a-b-1", "-", "微信号", "a_-9"] {
            let id = TaskId {
                account: account.try_into().expect("a good id"),
                number: TaskNumber(1_795_175_313_000_123),
            };
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn a_task_id_has_one_spelling() {
        for text in [
            "",
            "wxid_a",
            "wxid_a-",
            "wxid_a-x",
            "wxid_a-+1",
            "wxid_a-01",
            "-1",
            "*-1",
        ] {
            assert!(text.parse::<TaskId>().is_err(), "{text}");
        }
    }

    #[test]
    fn ids_that_could_mislead_a_log_or_a_path_are_refused() {
        for text in ["", "a b", "a\nb", "a\0b", "a/b", "*", "*a"] {
            assert!(AccountId::try_from(text).is_err(), "{text:?}");
        }
        assert!(AccountId::try_from("x".repeat(257)).is_err());
        for text in ["", "A", "a b", "-a", "a-", "ä", "../a", "*"] {
            assert!(HandlerName::try_from(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn failures_have_ids_of_their_own() {
        let ids: std::collections::BTreeSet<_> = (0..100)
            .map(|_| FailureId::random().expect("there is randomness"))
            .collect();
        assert_eq!(ids.len(), 100);
        for id in ids {
            assert_eq!(id.as_str().len(), 18, "{id}");
            assert_eq!(FailureId::try_from(id.as_str()), Ok(id));
        }
        for text in ["", "f/a", "f a", "f\n", "ä"] {
            assert!(FailureId::try_from(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn long_event_keys_stay_distinct() {
        let long = "x".repeat(201);
        assert!(EventKey::new(&long).as_str().len() <= EVENT_KEY_MAX_BYTES);
        assert_ne!(EventKey::new(&long), EventKey::new(&format!("{long}y")));
    }
}
