//! What a callback body says, in domain values.

use std::time::Duration;

use bytes::Bytes;

use crate::domain::{AccountId, Event, EventKey, Happening, TaskId, User};
use crate::edge::loose::At;
use crate::service::{ContactReport, REPEATED_WITHIN};

/// The body's `data` object, where all but the envelope is.
pub(super) const DATA: At<'static> = At::Root("data");

/// One call of WeHub (section 1).
#[derive(Debug)]
pub struct Request {
    /// The customer id. Never empty.
    pub appid: String,
    /// The account that is logged in.
    pub account: AccountId,
    /// The client process's session; empty before 0.4.26.
    pub client_session: String,
    /// What it is about.
    pub action: Incoming,
}

/// What a call is about (section 3).
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "made once a call and soon taken apart: a box would cost more than it saves"
)]
pub enum Incoming {
    /// Somebody logged in.
    Login(LoginRequest),
    /// The account logged out.
    Logout {
        /// WeHub's version.
        client_version: String,
        /// Which WeHub process.
        machine_id: String,
    },
    /// WeHub asks for one task.
    PullTask,
    /// A pulled task has ended. Whose it is has not been checked: hold
    /// `task.account` against the request's account.
    TaskResult {
        /// Which task; none when this host gives no such id.
        task: Option<TaskId>,
        /// Done rather than failed.
        done: bool,
        /// Why it failed.
        reason: String,
    },
    /// A sign of life on the WebSocket.
    Heartbeat,
    /// Everything that becomes an event.
    Report(Report),
}

/// A login (section 2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoginRequest {
    /// The name the person chose.
    pub nickname: String,
    /// The searchable name; display only.
    pub alias: String,
    /// The address of the person's picture.
    pub avatar_url: String,
    /// WeHub's version.
    pub client_version: String,
    /// When there, the answer must be signed with it.
    pub nonce: Option<String>,
    /// The client machine's own addresses.
    pub local_ips: Vec<String>,
    /// Which WeHub process.
    pub machine_id: String,
    /// The QR session that this login came out of.
    pub qr_session_id: Option<String>,
}

/// Something that becomes an event.
#[derive(Debug)]
pub struct Report {
    /// The event. Its `at_ms` is 0 when WeHub gave no plausible time: the caller
    /// fills in its own. A message's `author_name` is empty: WeHub sends none.
    pub event: Event,
    /// What it changes about known contacts.
    pub contacts: ContactReport,
    /// How long the event's key stands for it; none for good.
    pub repeats_within: Option<Duration>,
}

impl Request {
    /// The event that a login or logout is; none for everything else. Its key
    /// and `at_ms` are as in [`Report`].
    pub fn session_event(&self, body: &Bytes) -> Option<Report> {
        let (action, what, facts) = match &self.action {
            Incoming::Login(login) => (
                "login",
                Happening::Login(login.user(&self.account)),
                login.facts(),
            ),
            Incoming::Logout {
                client_version,
                machine_id,
            } => (
                "logout",
                // WeHub gives no reason.
                Happening::Logout(String::new()),
                present([
                    ("client-version", client_version),
                    ("machine-id", machine_id),
                ]),
            ),
            _ => return None,
        };
        Some(Report::of(action, &self.account, what, facts, body))
    }
}

impl LoginRequest {
    fn user(&self, account: &AccountId) -> User {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        User {
            nickname: self.nickname.clone(),
            account_name: some(&self.alias),
            avatar_url: some(&self.avatar_url),
            ..User::unknown(account.as_str())
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = present([
            ("client-version", &self.client_version),
            ("machine-id", &self.machine_id),
        ]);
        facts.extend(self.local_ips.iter().map(|ip| ("local-ip", ip.clone())));
        facts.extend(
            self.qr_session_id
                .iter()
                .map(|id| ("qr-session-id", id.clone())),
        );
        facts
    }
}

fn present<const N: usize>(facts: [(&'static str, &String); N]) -> Vec<(&'static str, String)> {
    facts
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name, value.clone()))
        .collect()
}

impl Report {
    /// A report that is named by its content and changes no contacts.
    pub(super) fn of(
        action: &str,
        account: &AccountId,
        what: Happening,
        facts: Vec<(&'static str, String)>,
        body: &Bytes,
    ) -> Self {
        Self {
            event: Event {
                key: content_key(action, body),
                account: account.clone(),
                at_ms: 0,
                what,
                facts,
                raw: body.clone(),
            },
            contacts: ContactReport::None,
            repeats_within: Some(REPEATED_WITHIN),
        }
    }
}

/// The key of an event that has no id: half a digest is plenty to tell the
/// bodies of one minute apart.
fn content_key(action: &str, body: &[u8]) -> EventKey {
    let hex = blake3::hash(body).to_hex();
    EventKey::new(&format!("{action}-{hex:.32}"))
}
