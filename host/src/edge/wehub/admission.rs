//! Who may use the callback endpoint: pure policy. WeHub can't authenticate
//! itself (the protocol signs our answer, not its request), so everything hangs
//! on the list of customer ids and accounts, and on the secret path if there is
//! one. Billing is per account that logs in (protocol page, section 2).

use serde::{Deserialize, Serialize};

use crate::{
    domain::{AccountId, Secret, callback::Exits},
    service::Reply,
};

/// The shortest path segment that counts as unguessable.
const PATH_SECRET_MIN_CHARS: usize = 16;

/// Oftener is a load, more seldom leaves a lost connection unnoticed.
const HEARTBEAT_S: std::ops::RangeInclusive<u32> = 5..=600;

/// A day: an address that is good for longer is a password.
const TICKET_S_MAX: u64 = 24 * 60 * 60;

/// How much of an unknown customer id an answer repeats.
const APPID_SHOWN_CHARS: usize = 64;

/// Settings of the callback endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// When set, the endpoint is at `/wehub/<path_secret>/callback` only.
    pub path_secret: Option<Secret>,
    /// What WeHub reports after a login: bits 1 friends, 2 groups, 4 public
    /// accounts; 0 nothing.
    pub report_contact: u32,
    /// How the tasks that answer a report reach WeHub.
    pub replies: Replies,
    /// Whether QR sessions are taken that were started by hand on a Windows machine
    /// (`wehub.exe --qr_session ID`). Whoever reaches the address can have codes
    /// shown then.
    pub accept_foreign_qr_sessions: bool,
    /// Whether clients are offered a WebSocket when they log in: tasks reach them
    /// at once, and nothing is polled.
    pub websocket: bool,
    /// How often a client on a WebSocket gives a sign of life, in s. When two are
    /// missing, the connection is ended.
    pub heartbeat_s: u32,
    /// How long the address of a WebSocket is good for, in s: after the login,
    /// after the connection was lost, and after this host started.
    pub ticket_s: u64,
    /// WebSockets at the same time, besides `server.connections_max`. More are
    /// refused.
    pub sockets_max: u32,
    /// What ends on the client's machine after a logout.
    pub on_logout: OnLogout,
    /// What rules a login when the component bound to the callback fails.
    pub callback_failure: CallbackFailure,
    /// The customer ids that are known, and their accounts.
    pub app: Vec<App>,
}

/// How the tasks that answer a report reach WeHub (protocol page, section 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Replies {
    /// In the answer itself, at once; WeHub never tells how they went.
    #[default]
    Answer,
    /// Through the queue: later, with a result.
    Queued,
}

impl From<Replies> for Reply {
    fn from(replies: Replies) -> Self {
        match replies {
            Replies::Answer => Self::InAnswer,
            Replies::Queued => Self::Queue,
        }
    }
}

/// What ends on the client's machine after a logout (section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnLogout {
    /// WeHub and the WeChat process that it drives: what stays reports nothing.
    Exit,
    /// Nothing.
    Stay,
}

/// What rules a login when the component bound to the callback fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallbackFailure {
    /// These settings, as if nothing were bound.
    Policy,
    /// Nobody logs in.
    Refuse,
}

/// A customer id that WeHub issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// The customer id.
    pub appid: String,
    /// What our answers to a login are signed with.
    pub secret_key: Secret,
    /// The accounts that may log in; `*` for every one. What a component bound to
    /// the callback decides goes before.
    pub accounts: Vec<String>,
    /// What ends after a logout, where it is not as for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_logout: Option<OnLogout>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path_secret: None,
            report_contact: 3,
            replies: Replies::default(),
            accept_foreign_qr_sessions: false,
            websocket: false,
            heartbeat_s: 30,
            ticket_s: 120,
            sockets_max: 16_384,
            on_logout: OnLogout::Exit,
            callback_failure: CallbackFailure::Policy,
            app: Vec::new(),
        }
    }
}

/// Why somebody is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No such customer id.
    UnknownAppid,
    /// Not one of the customer id's accounts.
    NotAdmitted,
    /// It has not logged in under this customer id, or has logged out.
    NotLoggedIn,
}

impl Refusal {
    /// What the answer says: which field, and what of it.
    pub fn reason(self, appid: &str, account: &AccountId) -> String {
        let appid: String = appid.chars().take(APPID_SHOWN_CHARS).collect();
        match self {
            Self::UnknownAppid => format!("appid: {appid} is not known here"),
            Self::NotAdmitted => format!("wxid: {account} is not admitted for appid {appid}"),
            Self::NotLoggedIn => {
                format!("wxid: {account} is not logged in under appid {appid}: log in first")
            }
        }
    }
}

impl Config {
    /// Says which setting can't work, and why.
    pub fn check(&self) -> Result<(), String> {
        if self.report_contact > 7 {
            return Err(
                "wehub.report_contact: 1 friends, 2 groups, 4 public accounts, or a sum \
                        of these"
                    .to_owned(),
            );
        }
        if !HEARTBEAT_S.contains(&self.heartbeat_s) {
            return Err("wehub.heartbeat_s: 5 to 600 seconds".to_owned());
        }
        if self.ticket_s == 0 || self.ticket_s > TICKET_S_MAX {
            return Err(format!("wehub.ticket_s: 1 to {TICKET_S_MAX} seconds"));
        }
        if self.sockets_max == 0 {
            return Err("wehub.sockets_max: must be more than 0".to_owned());
        }
        if let Some(secret) = &self.path_secret {
            check_path_secret(secret.expose())?;
        }
        self.app.iter().try_for_each(App::check)?;
        let mut ids: Vec<_> = self.app.iter().map(|app| &app.appid).collect();
        ids.sort();
        match ids.windows(2).find(|pair| pair.first() == pair.last()) {
            Some([twice, ..]) => Err(format!("wehub.app: appid {twice} is there twice")),
            _ => Ok(()),
        }
    }

    /// The customer id's entry.
    pub fn app(&self, appid: &str) -> Option<&App> {
        self.app.iter().find(|app| app.appid == appid)
    }

    /// The customer id's entry, if the account is admitted for it.
    pub fn admit(&self, appid: &str, account: &AccountId) -> Result<&App, Refusal> {
        let app = self.app(appid).ok_or(Refusal::UnknownAppid)?;
        let admitted = |listed: &String| listed == "*" || listed == account.as_str();
        if app.accounts.iter().any(admitted) {
            Ok(app)
        } else {
            Err(Refusal::NotAdmitted)
        }
    }

    /// What ends after a logout under this customer id.
    pub fn exits(&self, appid: &str) -> Exits {
        let own = self.app(appid).and_then(|app| app.on_logout);
        let exit = own.unwrap_or(self.on_logout) == OnLogout::Exit;
        Exits {
            client: exit,
            wechat: exit,
        }
    }
}

impl App {
    fn check(&self) -> Result<(), String> {
        if self.appid.is_empty() {
            return Err("wehub.app.appid: can't be empty".to_owned());
        }
        if self.secret_key.expose().is_empty() {
            return Err(format!(
                "wehub.app.secret_key of {}: can't be empty",
                self.appid
            ));
        }
        if self.accounts.is_empty() {
            return Err(format!(
                "wehub.app.accounts of {}: lists nobody; [\"*\"] admits every account",
                self.appid
            ));
        }
        let odd = self
            .accounts
            .iter()
            .find(|id| id.as_str() != "*" && AccountId::try_from(id.as_str()).is_err());
        match odd {
            Some(id) => Err(format!(
                "wehub.app.accounts of {}: {id:?} is no wxid",
                self.appid
            )),
            None => Ok(()),
        }
    }
}

fn check_path_secret(secret: &str) -> Result<(), String> {
    let safe = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if secret.len() < PATH_SECRET_MIN_CHARS || !secret.chars().all(safe) {
        return Err(format!(
            "wehub.path_secret: takes at least {PATH_SECRET_MIN_CHARS} letters, digits, - and _"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn config(accounts: &[&str]) -> Config {
        let app = App {
            appid: "app-1".to_owned(),
            secret_key: "112233".into(),
            accounts: accounts.iter().map(|&id| id.to_owned()).collect(),
            on_logout: None,
        };
        Config {
            app: vec![app],
            ..Config::default()
        }
    }

    #[test]
    fn only_listed_accounts_of_known_customers_are_admitted() {
        let id = |text: &str| AccountId::try_from(text).unwrap();
        let listed = config(&["wxid_a", "wxid_b"]);
        assert!(listed.admit("app-1", &id("wxid_a")).is_ok());
        assert_eq!(
            listed.admit("app-1", &id("wxid_c")),
            Err(Refusal::NotAdmitted)
        );
        assert_eq!(
            listed.admit("app-2", &id("wxid_a")),
            Err(Refusal::UnknownAppid)
        );
        assert!(config(&["*"]).admit("app-1", &id("wxid_c")).is_ok());
    }

    #[test]
    fn what_ends_after_a_logout_is_each_customer_s_choice() {
        let exits = |exit| Exits {
            client: exit,
            wechat: exit,
        };
        let mut config = config(&["*"]);
        assert_eq!(config.exits("app-1"), exits(true));
        config.on_logout = OnLogout::Stay;
        assert_eq!(config.exits("app-1"), exits(false));
        config.app.first_mut().unwrap().on_logout = Some(OnLogout::Exit);
        assert_eq!(config.exits("app-1"), exits(true));
        assert_eq!(config.exits("app-2"), exits(false));
    }

    #[test]
    fn settings_that_can_not_work_are_named() {
        assert_eq!(config(&["wxid_a"]).check(), Ok(()));
        let named = |config: Config, name: &str| {
            let problem = config.check().unwrap_err();
            assert!(problem.contains(name), "{problem}");
        };
        named(config(&[]), "accounts");
        named(config(&["a b"]), "a b");
        named(
            Config {
                report_contact: 8,
                ..config(&["*"])
            },
            "report_contact",
        );
        for heartbeat_s in [4, 601] {
            let config = Config {
                heartbeat_s,
                ..config(&["*"])
            };
            named(config, "heartbeat_s");
        }
        named(
            Config {
                ticket_s: 0,
                ..config(&["*"])
            },
            "ticket_s",
        );
        named(
            Config {
                sockets_max: 0,
                ..config(&["*"])
            },
            "sockets_max",
        );
        named(
            Config {
                path_secret: Some("short".into()),
                ..config(&["*"])
            },
            "path_secret",
        );
        let mut twice = config(&["*"]);
        twice.app.push(twice.app.first().unwrap().clone());
        named(twice, "app-1");
    }
}
