//! Deliver, with a bot and a store that do as the test says.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod clients;
mod config;
mod failing;
mod logins;
mod pacing;
mod reached;
mod replay;
mod tasks;
mod timers;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;

use super::*;
use crate::{
    blobs,
    domain::{
        Account, AccountId, Action, Binding, ClientKind, ContactKind, Deployment, Digest, Event,
        EventKey, Happening, Member, Message, TaskState, TimerChange, User,
        event::Content,
        handler::{BOT_WORLD, FailureKind, Scope, Used},
        ports::{
            Answer, Ask, Call, CallError, CallFailure, Component, ComponentError, ContactChange,
            Effects, EventOutcome, InUse, NoClients, Store,
        },
    },
    store,
};

/// A bot that answers every message with the number of its call, or fails.
#[derive(Debug)]
struct Bot {
    calls: AtomicUsize,
    fails: Option<CallError>,
    /// There is no room to call it at the moment.
    busy: AtomicBool,
    /// It traps at the moment.
    breaks: AtomicBool,
    /// The events that it was called with, trials not counted.
    saw: Mutex<Vec<String>>,
    /// What it says instead of the number of its call.
    says: Mutex<Option<String>>,
    /// What the next call does about timers.
    timers: Mutex<Vec<TimerChange>>,
    /// The timers that came due: for whom, id and payload.
    fired: Mutex<Vec<(String, String, String)>>,
    store: Arc<dyn Store>,
}

#[async_trait]
impl Runtime for Bot {
    async fn take_in(&self, bytes: Bytes) -> Result<Component, ComponentError> {
        Ok(Component {
            digest: Digest::of(&bytes),
            size_bytes: bytes.len() as u64,
            world: BOT_WORLD.to_owned(),
            imports: Vec::new(),
            compile_ms: 0,
        })
    }

    async fn prepare(&self, _: Digest) -> Result<(), ComponentError> {
        Ok(())
    }

    async fn try_out(&self, _: Arc<Deployment>) -> Result<Used, CallError> {
        Ok(Used::default())
    }

    async fn retain(&self, _: &InUse) {}

    async fn call(&self, call: Call) -> Result<Effects, CallError> {
        if self.busy.load(Ordering::SeqCst) {
            return Err(CallError::Busy { waited_ms: 1 });
        }
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        if !call.is_trial {
            let key = call.event.key.as_str().to_owned();
            self.saw.lock().unwrap().push(key);
        }
        if self.breaks.load(Ordering::SeqCst) {
            let failure = CallFailure::new(FailureKind::Trap, "boom".to_owned());
            return Err(CallError::Failed(failure.into()));
        }
        if let Happening::Timer { id, payload } = &call.event.what {
            let account = call.event.account.to_string();
            let fired = (account, id.clone(), payload.clone());
            self.fired.lock().unwrap().push(fired);
        }
        if let Some(error) = &self.fails {
            return Err(error.clone());
        }
        tokio::task::yield_now().await;
        let says = self.says.lock().unwrap().clone();
        let text = says.unwrap_or_else(|| format!("call {number}"));
        let to = call.event.answers_to().unwrap_or("wxid_bob");
        let tasks = vec![(self.store.reserve(1), Action::text(to, text))];
        Ok(Effects {
            tasks,
            timers: std::mem::take(&mut *self.timers.lock().unwrap()),
            ..Effects::default()
        })
    }

    async fn ask(&self, ask: Ask) -> Result<Answer, CallError> {
        Err(CallError::Unloaded(ask.component.version.digest))
    }
}

impl Rig {
    /// Some time passes, and what is due by then is looked at.
    async fn pass(&self, ms: u64) {
        self.clock.fetch_add(ms, Ordering::SeqCst);
        self.service.answer_due().await.unwrap();
    }

    /// An account's client logs in, out of this QR session if there is one.
    async fn log_in(&self, id: &str, qr: Option<&str>) -> Result<Account, Error> {
        let start = SessionStart {
            event: event(
                id,
                &format!("login-{id}-{qr:?}"),
                Happening::Login(User::unknown(id)),
            ),
            reporter: Reporter {
                client_session: format!("cs-{id}"),
                ..reporter()
            },
            nickname: id.to_owned(),
            alias: String::new(),
            avatar_url: String::new(),
            machine_id: format!("pc-{id}"),
            client_version: String::new(),
            local_ips: Vec::new(),
            qr_login: qr.map(|id| QrSession {
                id: id.to_owned(),
                foreign: false,
            }),
        };
        self.service.start_session(start).await
    }

    async fn log_out(&self, id: &str) {
        let event = event(
            id,
            &format!("logout-{id}"),
            Happening::Logout(String::new()),
        );
        let machine = format!("pc-{id}");
        let done = self
            .service
            .logout(event, reporter(), machine, "bye".to_owned());
        done.await.unwrap();
    }

    async fn next(&self, id: &str) -> Next {
        let id = AccountId::try_from(id).unwrap();
        self.service.next_task(&id, &reporter()).await.unwrap()
    }
}

fn event(account: &str, key: &str, what: Happening) -> Event {
    Event {
        key: EventKey::new(key),
        account: account.try_into().unwrap(),
        at_ms: 0,
        what,
        facts: Vec::new(),
        raw: Bytes::new(),
    }
}

struct Rig {
    service: Service,
    bot: Arc<Bot>,
    clock: Arc<AtomicU64>,
    _data: tempfile::TempDir,
}

async fn rig(fails: Option<CallError>) -> Rig {
    let policies = Policies {
        pacing: PacingPolicy::unlimited(),
        ..Policies::default()
    };
    rig_with(fails, policies).await
}

/// A host without a bot.
async fn quiet_rig() -> Rig {
    let rig = rig(None).await;
    rig.service.unbind(Scope::All).await.unwrap();
    rig
}

async fn rig_with(fails: Option<CallError>, policies: Policies) -> Rig {
    let clock = Arc::new(AtomicU64::new(1_000_000));
    let now = Arc::clone(&clock);
    let store = store::in_memory(Arc::new(move || now.load(Ordering::SeqCst)));
    let bot = Arc::new(Bot {
        calls: AtomicUsize::new(0),
        fails,
        busy: AtomicBool::new(false),
        breaks: AtomicBool::new(false),
        saw: Mutex::default(),
        says: Mutex::default(),
        timers: Mutex::default(),
        fired: Mutex::default(),
        store: Arc::clone(&store),
    });
    let runtime: Arc<dyn Runtime> = Arc::<Bot>::clone(&bot);
    let check = |client, action: &Action| action.check(client);
    let data = tempfile::tempdir().unwrap();
    let blobs = blobs::open(&FilePolicy::default(), data.path()).unwrap();
    let service = Service::start(
        store,
        runtime,
        blobs,
        Arc::new(NoClients),
        Arc::new(crate::domain::ports::NoVault),
        check,
        policies,
    )
    .await
    .unwrap();
    let name: crate::domain::HandlerName = "bot".try_into().unwrap();
    service
        .deploy(Deploy::of(name.clone(), Bytes::from_static(b"a bot")))
        .await
        .unwrap();
    let bound = service.bind(Scope::All, name.clone()).await.unwrap();
    assert_eq!(
        bound,
        Binding {
            account: Scope::All,
            handler: name
        }
    );
    Rig {
        service,
        bot,
        clock,
        _data: data,
    }
}

fn asked(actions: Vec<Action>, key: Option<String>) -> Submission {
    Submission {
        actions,
        idempotency_key: key,
        ..Submission::default()
    }
}

async fn pull(rig: &Rig, id: &AccountId) -> Option<crate::domain::TaskId> {
    match rig.service.next_task(id, &reporter()).await.unwrap() {
        Next::Task(task) => Some(task.id),
        Next::Wait(_) | Next::Nothing => None,
    }
}

fn reporter() -> Reporter {
    Reporter {
        client: ClientKind::Wehub,
        appid: None,
        client_session: String::new(),
    }
}

fn said(id: &str) -> Delivery {
    let message = Message {
        id: id.to_owned(),
        conversation: "wxid_bob".to_owned(),
        author: "wxid_bob".to_owned(),
        author_name: String::new(),
        group: None,
        mentions: Vec::new(),
        outgoing: false,
        content: Content::Text("hi".to_owned()),
    };
    delivery(
        &format!("msg-{id}"),
        Happening::Message(Box::new(message)),
        None,
    )
}

fn delivery(key: &str, what: Happening, repeats_within: Option<Duration>) -> Delivery {
    Delivery {
        event: Event {
            key: EventKey::new(key),
            account: "wxid_a".try_into().unwrap(),
            at_ms: 0,
            what,
            facts: Vec::new(),
            raw: Bytes::new(),
        },
        reporter: reporter(),
        repeats_within,
        contacts: ContactReport::None,
        reply: Reply::InAnswer,
    }
}

#[tokio::test]
async fn the_same_message_is_answered_with_the_same_tasks_and_run_once() {
    let rig = rig(None).await;
    let first = rig.service.deliver(said("1")).await.unwrap();
    let again = rig.service.deliver(said("1")).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(first.len(), 1);
    assert_eq!(rig.bot.calls.load(Ordering::SeqCst), 1);
    let (a, b) = tokio::join!(
        rig.service.deliver(said("2")),
        rig.service.deliver(said("2"))
    );
    assert_eq!(a.unwrap(), b.unwrap());
    assert_eq!(rig.bot.calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn what_has_no_id_is_the_same_for_a_minute_and_new_after_it() {
    let rig = rig(None).await;
    let left = || {
        let what = Happening::FriendRemoved("wxid_bob".to_owned());
        delivery("report_friend_removed-1", what, Some(REPEATED_WITHIN))
    };
    let first = rig.service.deliver(left()).await.unwrap();
    rig.clock.fetch_add(59_999, Ordering::SeqCst);
    assert_eq!(rig.service.deliver(left()).await.unwrap(), first);
    rig.clock.fetch_add(1, Ordering::SeqCst);
    assert_ne!(rig.service.deliver(left()).await.unwrap(), first);
    assert_eq!(rig.bot.calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_bot_that_fails_settles_the_event_without_effects() {
    let failure = CallFailure {
        output: "last words".to_owned(),
        ..CallFailure::new(FailureKind::Trap, "boom".to_owned())
    };
    let rig = rig(Some(CallError::Failed(failure.into()))).await;
    assert_eq!(rig.service.deliver(said("1")).await.unwrap(), []);
    assert_eq!(rig.service.deliver(said("1")).await.unwrap(), []);
    assert_eq!(rig.bot.calls.load(Ordering::SeqCst), 1);
    let id = "wxid_a".try_into().unwrap();
    let event = rig
        .service
        .event(&id, &EventKey::new("msg-1"))
        .await
        .unwrap();
    assert_eq!(event.outcome, EventOutcome::Failed);
    let failures = rig.service.failures(&id, 10).await.unwrap();
    assert_eq!(
        failures.first().map(|it| it.output.as_str()),
        Some("last words")
    );
}

#[tokio::test]
async fn a_host_without_room_leaves_the_event_open() {
    let rig = rig(Some(CallError::Busy { waited_ms: 5 })).await;
    assert!(matches!(
        rig.service.deliver(said("1")).await,
        Err(Error::Busy { .. })
    ));
    let id = "wxid_a".try_into().unwrap();
    assert!(
        rig.service
            .event(&id, &EventKey::new("msg-1"))
            .await
            .is_err()
    );
    assert!(rig.service.deliver(said("1")).await.is_err());
    assert_eq!(rig.bot.calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_task_is_handed_out_once_and_ends_once() {
    let rig = rig(None).await;
    rig.service.deliver(said("1")).await.unwrap();
    let id: crate::domain::AccountId = "wxid_a".try_into().unwrap();
    let key = Some("k".to_owned());
    let action = vec![Action::text("wxid_bob", "hi")];
    let (made, repeat) = rig
        .service
        .submit(&id, asked(action.clone(), key.clone()))
        .await
        .unwrap();
    assert!(!repeat);
    let (former, repeat) = rig
        .service
        .submit(&id, asked(action, key.clone()))
        .await
        .unwrap();
    assert!(repeat);
    assert_eq!(former, made);
    let other = vec![Action::text("wxid_bob", "ho")];
    assert!(matches!(
        rig.service.submit(&id, asked(other, key)).await,
        Err(Error::KeyReused)
    ));

    let task = made.first().unwrap().id.clone();
    let end = |failure| {
        rig.service
            .report_result(id.clone(), task.clone(), failure, Bytes::new())
    };
    assert!(
        matches!(end(Outcome::Done).await, Err(Error::WrongTask(_))),
        "not handed out yet"
    );
    assert_eq!(pull(&rig, &id).await, Some(task.clone()));
    assert_eq!(pull(&rig, &id).await, None);
    end(Outcome::Failed("not a friend".to_owned()))
        .await
        .unwrap();
    let ended = rig.service.task(&task).await.unwrap();
    assert_eq!(ended.state, TaskState::Failed);
    assert_eq!(ended.reason.as_deref(), Some("not a friend"));
    assert!(
        matches!(end(Outcome::Done).await, Err(Error::WrongTask(_))),
        "ended before"
    );
}

#[tokio::test]
async fn nothing_is_taken_while_the_host_ends() {
    let rig = rig(None).await;
    rig.service.drain().await;
    assert!(matches!(
        rig.service.deliver(said("1")).await,
        Err(Error::Draining)
    ));
    assert!(rig.service.ready().is_err());
}

fn changed(key: &str, joined: bool) -> Delivery {
    let (group, user) = ("1@chatroom".to_owned(), "wxid_bob".to_owned());
    let change = match joined {
        true => ContactChange::PutMember(
            group.clone(),
            Member {
                user: User::unknown("wxid_bob"),
                group_nickname: None,
            },
        ),
        false => ContactChange::RemoveMember(group.clone(), user.clone()),
    };
    let (joined, left) = match joined {
        true => (vec![user], vec![]),
        false => (vec![], vec![user]),
    };
    let what = Happening::MembersChanged {
        group,
        joined,
        left,
    };
    let mut delivery = delivery(key, what, Some(REPEATED_WITHIN));
    delivery.contacts = ContactReport::Changes(vec![change]);
    delivery
}

async fn members(rig: &Rig) -> usize {
    let id = "wxid_a".try_into().unwrap();
    let page = rig.service.members(&id, "1@chatroom", None, 10).await;
    page.unwrap().items.len()
}

#[tokio::test]
async fn somebody_who_joins_leaves_and_joins_within_a_minute_is_a_member() {
    let rig = rig(None).await;
    for (key, joined, count) in [
        ("change-1", true, 1),
        ("change-2", false, 0),
        ("change-1", true, 1),
        ("change-1", true, 1),
    ] {
        rig.service.deliver(changed(key, joined)).await.unwrap();
        assert_eq!(members(&rig).await, count, "{key}");
    }
    assert_eq!(rig.bot.calls.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_group_that_is_gone_has_no_members() {
    let rig = rig(None).await;
    rig.service
        .deliver(changed("change-1", true))
        .await
        .unwrap();
    let what = Happening::GroupLeft("1@chatroom".to_owned());
    let mut left = delivery("removed-1", what, Some(REPEATED_WITHIN));
    left.contacts = ContactReport::Changes(vec![ContactChange::Remove("1@chatroom".to_owned())]);
    rig.service.deliver(left).await.unwrap();
    assert_eq!(members(&rig).await, 0);
}

#[tokio::test]
async fn a_full_report_of_members_drops_whoever_is_not_in_it() {
    let rig = rig(None).await;
    rig.service
        .deliver(changed("change-1", true))
        .await
        .unwrap();
    let what = Happening::MembersReported(vec!["1@chatroom".to_owned()]);
    let mut report = delivery("info-1", what, Some(REPEATED_WITHIN));
    let member = Member {
        user: User::unknown("wxid_eve"),
        group_nickname: None,
    };
    let change = ContactChange::PutMember("1@chatroom".to_owned(), member.clone());
    report.contacts = ContactReport::Changes(vec![change]);
    rig.service.deliver(report).await.unwrap();
    let id = "wxid_a".try_into().unwrap();
    let page = rig.service.members(&id, "1@chatroom", None, 10).await;
    assert_eq!(page.unwrap().items, [member]);
}

fn snapshot(key: &str, users: &[&str], officials: &[&str]) -> Delivery {
    let all = |ids: &[&str]| Some(ids.iter().map(|&id| User::unknown(id)).collect());
    let what = Happening::Other("report_contact".to_owned());
    let mut delivery = delivery(key, what, Some(REPEATED_WITHIN));
    delivery.contacts = ContactReport::Snapshot {
        users: all(users),
        groups: None,
        officials: all(officials),
        members: Vec::new(),
    };
    delivery
}

#[tokio::test]
async fn a_contact_list_replaces_the_former_and_keeps_who_changed_kind() {
    let rig = rig(None).await;
    let list = snapshot("report_contact-1", &["a", "b"], &["gh_x"]);
    rig.service.deliver(list).await.unwrap();
    let list = snapshot("report_contact-2", &["b", "gh_x"], &[]);
    rig.service.deliver(list).await.unwrap();
    let id = "wxid_a".try_into().unwrap();
    let known = rig.service.contacts(&id, None, None, 10).await.unwrap();
    let known: Vec<_> = known.items.iter().map(|it| (it.id(), it.kind())).collect();
    assert_eq!(
        known,
        [("b", ContactKind::User), ("gh_x", ContactKind::User)]
    );
}

#[tokio::test]
async fn a_late_goodbye_of_a_replaced_process_does_not_end_the_session() {
    let rig = rig(None).await;
    rig.log_in("wxid_a", None).await.unwrap();
    let id = "wxid_a".try_into().unwrap();
    for (machine, stays) in [("pc-former", true), ("pc-wxid_a", false)] {
        let what = Happening::Logout(String::new());
        let event = event("wxid_a", &format!("logout-{machine}"), what);
        let (machine, reason) = (machine.to_owned(), "bye".to_owned());
        let logout = rig
            .service
            .logout(event, reporter(), machine.clone(), reason);
        logout.await.unwrap();
        let account = rig.service.account(&id).await.unwrap();
        assert_eq!(account.session.is_some(), stays, "{machine}");
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_part_store_and_memory() {
    let rig = rig(None).await;
    let scope = Scope::Account("wxid_a".try_into().unwrap());
    let name: crate::domain::HandlerName = "bot".try_into().unwrap();
    {
        let mut bind = Box::pin(rig.service.bind(scope.clone(), name));
        // Polled once, then dropped, as a server does on disconnect.
        let _ = poll_once(bind.as_mut()).await;
    }
    rig.service.drain().await;
    assert!(rig.service.bindings().iter().any(|it| it.account == scope));
}

async fn poll_once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        let polled = std::pin::Pin::new(&mut future).poll(context);
        std::task::Poll::Ready(match polled {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_not_queued_for_without_end() {
    let rig = rig(None).await;
    rig.service.deliver(said("1")).await.unwrap();
    let id: crate::domain::AccountId = "wxid_a".try_into().unwrap();
    let hundred = || vec![Action::text("wxid_bob", "hi"); 100];
    for _ in 0..super::tasks::QUEUE_MAX / 100 {
        rig.service
            .submit(&id, asked(hundred(), None))
            .await
            .unwrap();
    }
    let more = rig.service.submit(&id, asked(hundred(), None)).await;
    assert!(matches!(more, Err(Error::Busy { .. })));
}
