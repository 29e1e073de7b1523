//! What the control API shows.
//!
//! Where the domain's own JSON is what is to be shown (tasks, contacts,
//! failures, bindings) it is used as it is. Here is the rest: what joins several
//! things, and what must leave something out, such as the values of a handler's
//! configuration.

mod buckets;
mod config;
mod failures;
mod handlers;
mod invoke;
mod replay;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::{
    buckets::{BucketView, Emptied, EntryView, KeyValueView, ValueRequest},
    config::{ConfigItemView, ConfigKeys},
    failures::FailureItem,
    handlers::{
        DeployOptions, DeployView, HandlerView, RollbackRequest, RolloutRequest, RolloutView,
        TokenView,
    },
    invoke::{FailureView, InvokeRequest, InvokeView, WriteView},
    replay::{REPLAY_LAST, ReplayRequest, ReplayView, ReplayedView},
};
use crate::domain::{
    Account, AccountId, ClientKind, ClientName, EventKey, Failure, HandlerName, Labels, LoginId,
    Logout, Millis, Session, Task, TaskId,
    handler::{Failing, Reached, Scope},
    ports::{EventOutcome, EventRecord, Page},
};

/// One page of a listing. `next` is what to send for the page that follows.
#[derive(Debug, Serialize, Deserialize)]
pub struct List<T, N = String> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; none at the end.
    pub next: Option<N>,
}

impl<T> List<T> {
    /// A listing that has one page only.
    pub fn whole(items: impl IntoIterator<Item = T>) -> Self {
        Self {
            items: items.into_iter().collect(),
            next: None,
        }
    }

    /// A page, each item as `view` shows it.
    pub fn of<D>(page: Page<D>, view: impl FnMut(D) -> T) -> Self {
        Self {
            items: page.items.into_iter().map(view).collect(),
            next: page.next,
        }
    }
}

/// For whom a schedule is to fire.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FireRequest {
    /// This account only; all that the handler serves if it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
}

/// An account's labels.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelsView {
    /// All of them.
    pub labels: Labels,
}

/// A change of an account's labels.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LabelsChange {
    /// Those that it gets.
    pub add: Labels,
    /// Those that it has no longer.
    pub remove: Labels,
}

/// Which timer of an account is to come due now.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FireTimerRequest {
    /// Whose it is.
    pub handler: HandlerName,
    /// Its name.
    pub timer: String,
}

/// An account, joined with the handler that serves it.
#[derive(Debug, Serialize, Deserialize)]
pub struct AccountView {
    /// Its `wxid`, or the Openwx client's name.
    pub id: AccountId,
    /// What drives it.
    pub client: ClientKind,
    /// The customer id under which it logged in (WeHub).
    pub appid: Option<String>,
    /// The name the person chose.
    pub nickname: String,
    /// The searchable name.
    pub alias: String,
    /// The address of its picture.
    pub avatar_url: String,
    /// When this host first saw it log in.
    pub first_login_ms: Millis,
    /// The live link, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionView>,
    /// How the last session ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_logout: Option<Logout>,
    /// What people call it.
    #[serde(default)]
    pub labels: Labels,
    /// Which handler serves it, by a binding of its own, by a label, or the one for all.
    pub handler: Option<HandlerName>,
    /// Its bot's last failures; not in listings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<Vec<Failure>>,
    /// How its bot fails at the moment, and what waits for it; not in listings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<Failing>,
}

impl AccountView {
    /// The account, its labels, and the name of the handler that serves it.
    pub fn new(account: Account, labels: Labels, handler: Option<HandlerName>) -> Self {
        Self {
            id: account.id,
            client: account.client,
            appid: account.appid,
            nickname: account.nickname,
            alias: account.alias,
            avatar_url: account.avatar_url,
            first_login_ms: account.first_login_ms,
            session: account.session.map(SessionView::from),
            last_logout: account.last_logout,
            labels,
            handler,
            failures: None,
            failing: None,
        }
    }
}

/// A live link of an account to one client process.
#[derive(Debug, Serialize, Deserialize)]
pub struct SessionView {
    /// When the client logged in.
    pub login_ms: Millis,
    /// Which process on which machine.
    pub machine_id: String,
    /// The session's name in the client's own words.
    pub client_session: String,
    /// The client's version.
    pub client_version: String,
    /// The client machine's own addresses.
    pub local_ips: Vec<String>,
    /// The QR login that it came out of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qr_login: Option<LoginId>,
}

impl From<Session> for SessionView {
    fn from(session: Session) -> Self {
        Self {
            login_ms: session.login_ms,
            machine_id: session.machine_id,
            client_session: session.client_session,
            client_version: session.client_version,
            local_ips: session.local_ips,
            qr_login: session.qr_login,
        }
    }
}

/// Tasks that were asked for together.
#[derive(Debug, Serialize, Deserialize)]
pub struct Tasks {
    /// The tasks, in the order of the request.
    pub tasks: Vec<Task>,
}

/// What became of an event.
#[derive(Debug, Serialize, Deserialize)]
pub struct EventView {
    /// What makes two deliveries the same event.
    pub key: EventKey,
    /// When this host took it.
    pub at_ms: Millis,
    /// What became of it.
    pub outcome: EventOutcome,
    /// The tasks that answered it.
    pub tasks: Vec<TaskId>,
}

impl EventView {
    /// The event of this account. Its record knows tasks by number only.
    pub fn new(account: &AccountId, key: EventKey, record: EventRecord) -> Self {
        let task = |number| TaskId {
            account: account.clone(),
            number,
        };
        Self {
            key,
            at_ms: record.at_ms,
            outcome: record.outcome,
            tasks: record.tasks.into_iter().map(task).collect(),
        }
    }
}

/// What a binding is asked for with; the path says for which accounts.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BindRequest {
    /// Which handler shall serve them.
    pub handler: HandlerName,
}

/// A binding that was made, and whom it reaches.
#[derive(Debug, Serialize, Deserialize)]
pub struct BoundView {
    /// Which accounts.
    pub account: Scope,
    /// Which handler serves them.
    pub handler: HandlerName,
    /// How many accounts that is; nothing for the callback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reaches: Option<Reached>,
}

/// Who shall start a client that logs in by QR code: this agent, a client on this
/// machine, or any.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoginStart {
    /// The account whose client it shall be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AccountId>,
    /// The `machine_id` of the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// What to remember about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// An Openwx client that is to be started.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientStart {
    /// Its name, which is the account's id too.
    pub name: ClientName,
    /// By which template; none for the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// What it is told.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::domain::{Action, TaskNumber, task::Origin};
    use serde_json::json;

    fn account() -> Account {
        Account {
            id: "wxid_a".try_into().unwrap(),
            client: ClientKind::Wehub,
            appid: Some("app-7f3a".into()),
            nickname: "小明".into(),
            alias: String::new(),
            avatar_url: String::new(),
            first_login_ms: 1,
            session: Some(Session {
                login_ms: 2,
                machine_id: "pc-1".into(),
                client_session: String::new(),
                client_version: "0.4.26".into(),
                local_ips: vec![],
                qr_login: None,
            }),
            last_logout: None,
        }
    }

    #[test]
    fn an_account_shows_every_field_but_absent_parts() {
        let view = AccountView::new(account(), Labels::default(), None);
        assert_eq!(
            serde_json::to_value(view).unwrap(),
            json!({
                "id": "wxid_a",
                "client": "wehub",
                "appid": "app-7f3a",
                "nickname": "小明",
                "alias": "",
                "avatar_url": "",
                "first_login_ms": 1,
                "session": {
                    "login_ms": 2,
                    "machine_id": "pc-1",
                    "client_session": "",
                    "client_version": "0.4.26",
                    "local_ips": [],
                },
                "labels": [],
                "handler": null,
            })
        );
    }

    #[test]
    fn an_event_shows_its_tasks_by_id() {
        let record = EventRecord {
            at_ms: 3,
            outcome: EventOutcome::Handled,
            tasks: vec![TaskNumber(5), TaskNumber(6)],
        };
        let view = EventView::new(&account().id, EventKey::new("msg-1"), record);
        assert_eq!(
            serde_json::to_string(&view).unwrap(),
            r#"{"key":"msg-1","at_ms":3,"outcome":"handled","tasks":["wxid_a-5","wxid_a-6"]}"#
        );
    }

    #[test]
    fn a_task_looks_as_documented() {
        let id = "wxid_a-5".parse().unwrap();
        let tasks = Tasks {
            tasks: vec![Task::queued(
                id,
                Action::text("wxid_x", "hi"),
                Origin::Api,
                9,
            )],
        };
        assert_eq!(
            serde_json::to_string(&tasks).unwrap(),
            r#"{"tasks":[{"id":"wxid_a-5","action":{"action":"send","conversation":"wxid_x","segments":[{"text":"hi"}]},"origin":"api","state":"queued","made_ms":9}]}"#
        );
    }

    #[test]
    fn the_end_of_a_listing_is_null() {
        let list = List::whole([1, 2]);
        assert_eq!(
            serde_json::to_string(&list).unwrap(),
            r#"{"items":[1,2],"next":null}"#
        );
    }
}
