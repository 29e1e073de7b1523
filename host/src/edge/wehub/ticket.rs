//! Who may open a WebSocket: whoever has the address that the answer to a login
//! held. The ticket in it is made of the account's session and a key of this
//! host, so that nothing has to be kept for it: a restart voids none, the next
//! login or logout of the account voids its former ones.
//!
//! Policy and its small state only; `socket` has the connections.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::{
    domain::{Account, AccountId, Millis},
    edge::keyfile::{self, KeyFileError},
};

/// The key's file in the data directory.
const KEY_FILE: &str = "ticket-key";
/// How long the key is.
const KEY_BYTES: usize = 32;
/// How many accounts are remembered whose socket ended. Whoever is forgotten
/// sooner than that logs in again.
const ENDED_MAX: usize = 65_536;

/// What tickets are made with. Shows nowhere.
#[derive(Clone)]
pub(crate) struct TicketKey([u8; KEY_BYTES]);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum TicketKeyError {
    /// The file can't be used.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The file holds something else.
    #[error(
        "{} holds no key of {KEY_BYTES} bytes: delete it and start the host again for a new one",
        .0.display()
    )]
    Malformed(PathBuf),
}

impl TicketKey {
    /// The key of this data directory. The first time it is made.
    pub(crate) fn load_or_create(data: &Path) -> Result<Self, TicketKeyError> {
        let path = data.join(KEY_FILE);
        let make = || -> io::Result<_> { Ok(keyfile::random::<KEY_BYTES>()?.to_vec()) };
        let bytes = keyfile::read_or_create(&path, make)?;
        let key = bytes.try_into();
        key.map(Self).map_err(|_| TicketKeyError::Malformed(path))
    }

    /// The ticket of the account's session; none without a session.
    pub(crate) fn ticket(&self, account: &Account) -> Option<String> {
        let mac = self.mac(account)?;
        let id = BASE64_URL_SAFE_NO_PAD.encode(account.id.as_str());
        let mac = BASE64_URL_SAFE_NO_PAD.encode(mac.as_bytes());
        Some(format!("{id}.{mac}"))
    }

    /// Whether a ticket is of the account as it is now. Takes the same time
    /// whatever differs.
    pub(super) fn is_of(&self, ticket: &Ticket, account: &Account) -> bool {
        // Equality of `blake3::Hash` is constant in time.
        self.mac(account).is_some_and(|mac| mac == ticket.mac)
    }

    /// What of a session goes into its ticket: each part with its length, so that
    /// no two sessions give the same bytes.
    fn mac(&self, account: &Account) -> Option<blake3::Hash> {
        let session = account.session.as_ref()?;
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for part in [
            account.id.as_str().as_bytes(),
            &session.login_ms.to_be_bytes(),
            session.machine_id.as_bytes(),
            session.client_session.as_bytes(),
        ] {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        Some(hasher.finalize())
    }
}

impl std::fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TicketKey(…)")
    }
}

/// A ticket as somebody shows it: nothing in it is proved yet.
#[derive(Debug)]
pub(super) struct Ticket {
    /// Whose it says it is.
    pub account: AccountId,
    mac: blake3::Hash,
}

impl Ticket {
    /// Reads one; none when it is no ticket at all.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (id, mac) = text.split_once('.')?;
        let id = BASE64_URL_SAFE_NO_PAD.decode(id).ok()?;
        let mac = BASE64_URL_SAFE_NO_PAD.decode(mac).ok()?;
        Some(Self {
            account: AccountId::try_from(String::from_utf8(id).ok()?).ok()?,
            mac: blake3::Hash::from_bytes(mac.try_into().ok()?),
        })
    }
}

/// Whether a ticket of this account still opens a socket: for a while after the
/// login, after the host's start, and after the account's last socket ended, so
/// that a client that lost its connection can come back, and an address from an
/// old log is of no use.
#[derive(Debug, Clone)]
pub(super) struct Doors {
    ticket_ms: u64,
    started_ms: Millis,
    seen: Arc<Mutex<Seen>>,
}

impl Doors {
    /// With tickets that are good for so long; the host has just started.
    pub(super) fn new(ticket_ms: u64, now_ms: Millis) -> Self {
        Self {
            ticket_ms,
            started_ms: now_ms,
            seen: Arc::default(),
        }
    }

    /// Whether a valid ticket of a session that began then is still taken.
    pub(super) fn is_open(&self, account: &AccountId, login_ms: Millis, now_ms: Millis) -> bool {
        let since = self.seen().since(account, now_ms).unwrap_or(0);
        let since = since.max(login_ms).max(self.started_ms);
        now_ms < since.saturating_add(self.ticket_ms)
    }

    /// A socket of the account begins. False when there are `max` already.
    pub(super) fn enter(&self, account: &AccountId, max: u32) -> bool {
        self.seen().enter(account, max)
    }

    /// A socket of the account has ended.
    pub(super) fn leave(&self, account: &AccountId, now_ms: Millis) {
        let too_old = now_ms.saturating_sub(self.ticket_ms);
        self.seen().leave(account, now_ms, too_old);
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // A counter and a time: whole after every step.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which accounts have sockets, and until when others had one. Bounded by the
/// sockets there can be, and by [`ENDED_MAX`].
#[derive(Debug, Default)]
struct Seen {
    open: HashMap<AccountId, u32>,
    ended: HashMap<AccountId, Millis>,
}

impl Seen {
    /// Until when the account had a socket; now, if it has one.
    fn since(&self, account: &AccountId, now_ms: Millis) -> Option<Millis> {
        match self.open.contains_key(account) {
            true => Some(now_ms),
            false => self.ended.get(account).copied(),
        }
    }

    fn enter(&mut self, account: &AccountId, max: u32) -> bool {
        if self.open.get(account).is_some_and(|count| *count >= max) {
            return false;
        }
        *self.open.entry(account.clone()).or_default() += 1;
        self.ended.remove(account);
        true
    }

    /// Forgets who left before `too_old` when there are too many to remember.
    fn leave(&mut self, account: &AccountId, now_ms: Millis, too_old: Millis) {
        // Several for a moment, while one takes the other's place.
        if let Some(count @ 2..) = self.open.get_mut(account) {
            *count -= 1;
            return;
        }
        self.open.remove(account);
        if self.ended.len() >= ENDED_MAX {
            self.ended.retain(|_, ended_ms| *ended_ms > too_old);
        }
        if self.ended.len() < ENDED_MAX {
            self.ended.insert(account.clone(), now_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{ClientKind, Session};

    fn id(text: &str) -> AccountId {
        text.try_into().unwrap()
    }

    fn account(name: &str, session: Session) -> Account {
        Account {
            id: id(name),
            client: ClientKind::Wehub,
            appid: None,
            nickname: String::new(),
            alias: String::new(),
            avatar_url: String::new(),
            first_login_ms: 1,
            session: Some(session),
            last_logout: None,
        }
    }

    fn session(login_ms: Millis, machine_id: &str, client_session: &str) -> Session {
        Session {
            login_ms,
            machine_id: machine_id.to_owned(),
            client_session: client_session.to_owned(),
            ..Session::default()
        }
    }

    fn key(byte: u8) -> TicketKey {
        TicketKey([byte; KEY_BYTES])
    }

    #[test]
    fn a_ticket_is_of_one_session_of_one_account_on_one_host() {
        let account_a = account("wxid_a", session(5, "m", "cs"));
        let text = key(1).ticket(&account_a).unwrap();
        let ticket = Ticket::parse(&text).unwrap();
        assert_eq!(ticket.account, account_a.id);
        assert!(key(1).is_of(&ticket, &account_a));
        assert!(!key(2).is_of(&ticket, &account_a));
        for other in [
            account("wxid_b", session(5, "m", "cs")),
            account("wxid_a", session(6, "m", "cs")),
            account("wxid_a", session(5, "mc", "s")),
            account("wxid_a", session(5, "m", "")),
        ] {
            assert!(!key(1).is_of(&ticket, &other), "{other:?}");
        }
        let gone = Account {
            session: None,
            ..account_a
        };
        assert!(!key(1).is_of(&ticket, &gone));
        assert!(key(1).ticket(&gone).is_none());
    }

    #[test]
    fn a_key_is_made_once_and_a_file_without_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let made = TicketKey::load_or_create(dir.path()).unwrap();
        let found = TicketKey::load_or_create(dir.path()).unwrap();
        assert_eq!(made.0, found.0);
        assert_eq!(format!("{made:?}"), "TicketKey(…)");
        let file = dir.path().join(KEY_FILE);
        keyfile::read(&file).unwrap();
        std::fs::write(&file, [0; 31]).unwrap();
        let error = TicketKey::load_or_create(dir.path()).unwrap_err();
        assert!(error.to_string().contains("delete it"), "{error}");
    }

    #[test]
    fn a_door_is_open_for_a_while_after_each_beginning_and_end() {
        let (doors, a) = (Doors::new(100, 1000), id("wxid_a"));
        assert!(doors.is_open(&a, 500, 1099), "after the start");
        assert!(!doors.is_open(&a, 500, 1100));
        assert!(doors.is_open(&a, 2000, 2099), "after the login");
        assert!(!doors.is_open(&a, 2000, 2100));
        assert!(doors.enter(&a, 2));
        assert!(doors.is_open(&a, 2000, 9000), "while there is one");
        assert!(doors.enter(&a, 2));
        assert!(!doors.enter(&a, 2), "there are two");
        assert!(doors.enter(&id("wxid_c"), 2), "of others there are none");
        doors.leave(&a, 9000);
        assert!(doors.is_open(&a, 2000, 9500), "the other took its place");
        doors.leave(&a, 9500);
        assert!(doors.is_open(&a, 2000, 9599), "after the last one");
        assert!(!doors.is_open(&a, 2000, 9600));
        assert!(!doors.is_open(&id("wxid_b"), 2000, 9500));
    }

    #[test]
    fn who_left_long_ago_is_forgotten_when_there_are_many() {
        let mut seen = Seen::default();
        for number in 0..ENDED_MAX {
            seen.leave(&id(&format!("wxid_{number}")), 10, 0);
        }
        let late = id("wxid_late");
        seen.leave(&late, 50, 9);
        assert_eq!((seen.ended.len(), seen.since(&late, 60)), (ENDED_MAX, None));
        seen.leave(&late, 50, 10);
        assert_eq!((seen.ended.len(), seen.since(&late, 60)), (1, Some(50)));
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd_for_a_ticket(text in ".{0,80}") {
            let _ = Ticket::parse(&text);
        }

        #[test]
        fn a_changed_ticket_is_none(at in 0_usize..60, byte in b'a'..=b'z') {
            let account = account("wxid_a", session(5, "m", "cs"));
            let text = key(1).ticket(&account).unwrap();
            let mut changed = text.clone().into_bytes();
            if let Some(place) = changed.get_mut(at) {
                *place = byte;
            }
            let changed = String::from_utf8(changed).unwrap();
            let is_of = |text: &str| {
                Ticket::parse(text).is_some_and(|ticket| {
                    ticket.account == account.id && key(1).is_of(&ticket, &account)
                })
            };
            prop_assert!(is_of(&text));
            prop_assert_eq!(is_of(&changed), changed == text);
        }
    }
}
