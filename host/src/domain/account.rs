//! An account: one WeChat identity, and its live link to one client process.

use serde::{Deserialize, Serialize};

use super::{AccountId, LoginId, Millis};

/// Which kind of native client drives an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientKind {
    /// A Windows helper that calls us.
    Wehub,
    /// A child process that we call.
    Openwx,
}

impl ClientKind {
    /// The word for it in settings, listings and the guest's `context`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wehub => "wehub",
            Self::Openwx => "openwx",
        }
    }
}

/// One WeChat identity that has logged in at least once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Its `wxid`, or the Openwx client's name.
    pub id: AccountId,
    /// What drives it.
    pub client: ClientKind,
    /// The customer id under which it logged in (WeHub).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub appid: Option<String>,
    /// The name the person chose.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub nickname: String,
    /// The searchable name; display only.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub alias: String,
    /// The address of its picture.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub avatar_url: String,
    /// When this host first saw it log in.
    pub first_login_ms: Millis,
    /// The live link, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Session>,
    /// How the last session ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_logout: Option<Logout>,
}

/// A live link of an account to one client process.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// When the client logged in.
    pub login_ms: Millis,
    /// Which process on which machine: WeHub makes it of computer name and
    /// process id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub machine_id: String,
    /// The session's name in the client's own words (WeHub since 0.4.26).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub client_session: String,
    /// The client's version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub client_version: String,
    /// The client machine's own addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub local_ips: Vec<String>,
    /// The QR login that it came out of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qr_login: Option<LoginId>,
}

impl Session {
    /// Whether a process that names itself so may be the one of this session. What
    /// a client does not tell proves nothing.
    pub fn may_be_of(&self, machine_id: &str, client_session: &str) -> bool {
        let differ = |a: &str, b: &str| !a.is_empty() && !b.is_empty() && a != b;
        !differ(&self.machine_id, machine_id) && !differ(&self.client_session, client_session)
    }
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logout {
    /// When.
    pub at_ms: Millis,
    /// Why, in a few words.
    pub reason: String,
}
