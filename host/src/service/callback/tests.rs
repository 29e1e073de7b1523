//! Questions, with a component that does as the test says.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::sync::atomic::AtomicU32;

use async_trait::async_trait;
use bytes::Bytes;

use super::*;
use crate::{
    domain::{
        Action, Bucket, Digest,
        handler::{BOT_WORLD, CALLBACK_WORLD, Scope, Used},
        ports::{
            Call, Component, ComponentError, Effects, InUse, KeyValueWrite, NoClients, Runtime,
            Store as StorePort,
        },
    },
    service::{Deploy, Policies},
    store,
};

/// The key under which the component counts.
const COUNT: &str = "count";

/// What the component does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Counts in its store, and refuses with the count.
    Counts,
    /// Traps.
    Fails,
    /// Never comes to an end.
    Hangs,
}

#[derive(Debug)]
struct Judge {
    manner: Manner,
    store: Arc<dyn StorePort>,
    asked: AtomicU32,
    at_once: AtomicU32,
}

#[async_trait]
impl Runtime for Judge {
    /// The bytes are the name of the world.
    async fn take_in(&self, bytes: Bytes) -> Result<Component, ComponentError> {
        Ok(Component {
            digest: Digest::of(&bytes),
            size_bytes: bytes.len() as u64,
            world: String::from_utf8(bytes.to_vec()).unwrap(),
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

    async fn call(&self, _: Call) -> Result<Effects, CallError> {
        panic!("nobody called a bot")
    }

    async fn ask(&self, ask: Ask) -> Result<Answer, CallError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        assert_eq!(self.at_once.fetch_add(1, Ordering::SeqCst), 0);
        tokio::task::yield_now().await;
        let answer = match self.manner {
            Manner::Counts => Ok(self.count(&ask).await),
            Manner::Fails => Err(CallError::Failed(
                over_the_limit("a trap".to_owned()).into(),
            )),
            Manner::Hangs => std::future::pending().await,
        };
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        answer
    }
}

impl Judge {
    async fn count(&self, ask: &Ask) -> Answer {
        let before = counted(&self.store).await;
        let after = (before + 1).to_string().into_bytes();
        Answer {
            verdict: Verdict::Login(LoginDecision::Refuse((before + 1).to_string())),
            key_values: vec![KeyValueWrite {
                handler: ask.component.handler.clone(),
                key: COUNT.to_owned(),
                value: Some(after),
            }],
            output: String::new(),
            lines: Vec::new(),
            used: Used::default(),
        }
    }
}

async fn counted(store: &Arc<dyn StorePort>) -> u32 {
    let bucket = Bucket::of(&AccountId::callback(), &"gate".try_into().unwrap());
    let value = store.key_value(&bucket, COUNT);
    let text = value.await.unwrap().unwrap_or_else(|| b"0".to_vec());
    String::from_utf8(text).unwrap().parse().unwrap()
}

struct Rig {
    service: Service,
    judge: Arc<Judge>,
    store: Arc<dyn StorePort>,
}

async fn start(store: &Arc<dyn StorePort>, manner: Manner) -> Rig {
    let judge = Arc::new(Judge {
        manner,
        store: Arc::clone(store),
        asked: AtomicU32::new(0),
        at_once: AtomicU32::new(0),
    });
    let check = |client, action: &Action| action.check(client);
    let runtime: Arc<dyn Runtime> = Arc::<Judge>::clone(&judge);
    let policies = Policies::default();
    let data = tempfile::tempdir().unwrap();
    let blobs = crate::blobs::open(&policies.files, data.path()).unwrap();
    let service = Service::start(
        Arc::clone(store),
        runtime,
        blobs,
        Arc::new(NoClients),
        Arc::new(crate::domain::ports::NoVault),
        check,
        policies,
    )
    .await
    .unwrap();
    Rig {
        service,
        judge,
        store: Arc::clone(store),
    }
}

/// With the component bound to the callback.
async fn rig(manner: Manner) -> Rig {
    let rig = start(&store::in_memory(Arc::new(|| 1)), manner).await;
    rig.deploy("gate", CALLBACK_WORLD).await.unwrap();
    let gate = "gate".try_into().unwrap();
    rig.service.bind(Scope::Callback, gate).await.unwrap();
    rig
}

impl Rig {
    async fn deploy(&self, name: &str, world: &'static str) -> Result<(), Error> {
        let bytes = Bytes::from_static(world.as_bytes());
        let deployed = self
            .service
            .deploy(Deploy::of(name.try_into().unwrap(), bytes))
            .await;
        deployed.map(drop)
    }

    async fn login(&self) -> Result<Asked<LoginDecision>, Error> {
        self.service.decide_login(attempt(), None).await
    }

    async fn login_of(&self, name: &str) -> Result<Asked<LoginDecision>, Error> {
        let attempt = LoginAttempt {
            account: name.try_into().unwrap(),
            ..attempt()
        };
        self.service.decide_login(attempt, None).await
    }

    fn asked(&self) -> u32 {
        self.judge.asked.load(Ordering::SeqCst)
    }
}

fn attempt() -> LoginAttempt {
    LoginAttempt {
        appid: "app".to_owned(),
        account: "wxid_a".try_into().unwrap(),
        nickname: String::new(),
        alias: String::new(),
        client_version: String::new(),
        machine_id: String::new(),
        client_session: String::new(),
        local_ips: Vec::new(),
        qr_session: false,
        listed: true,
        known: false,
    }
}

fn refused(count: u32) -> Asked<LoginDecision> {
    Asked::Decided(LoginDecision::Refuse(count.to_string()))
}

#[tokio::test]
async fn nobody_is_asked_when_nobody_is_bound() {
    let rig = start(&store::in_memory(Arc::new(|| 1)), Manner::Counts).await;
    assert!(!rig.service.has_callback());
    assert_eq!(rig.login().await.unwrap(), Asked::Nobody);
    rig.deploy("gate", CALLBACK_WORLD).await.unwrap();
    assert_eq!(rig.login().await.unwrap(), Asked::Nobody);
    assert_eq!(rig.asked(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_are_asked_one_after_the_other_and_find_what_was_written() {
    let rig = Arc::new(rig(Manner::Counts).await);
    let logins: Vec<_> = (0..20)
        .map(|number| {
            let rig = Arc::clone(&rig);
            tokio::spawn(async move { rig.login_of(&format!("wxid_{number}")).await.unwrap() })
        })
        .collect();
    let mut verdicts = Vec::new();
    for login in logins {
        verdicts.push(login.await.unwrap());
    }
    for count in 1..=20 {
        assert!(verdicts.contains(&refused(count)), "{count}");
    }
    assert_eq!(counted(&rig.store).await, 20);
}

#[tokio::test]
async fn a_component_that_fails_decides_nothing_and_is_counted() {
    let rig = rig(Manner::Fails).await;
    for failures in 1..=2 {
        assert_eq!(rig.login().await.unwrap(), Asked::Failed);
        assert_eq!(rig.service.callback_failures(), failures);
    }
    assert_eq!(counted(&rig.store).await, 0);
}

#[tokio::test]
async fn a_verdict_of_another_case_is_none() {
    let rig = rig(Manner::Counts).await;
    let notice = LogoutNotice {
        appid: "app".to_owned(),
        account: "wxid_a".try_into().unwrap(),
        client_version: String::new(),
        machine_id: String::new(),
        client_session: String::new(),
    };
    let asked = rig.service.decide_logout(notice).await.unwrap();
    assert_eq!(asked, Asked::Failed);
}

#[tokio::test]
async fn what_is_decided_holds_when_the_caller_has_gone() {
    let rig = rig(Manner::Counts).await;
    {
        let mut login = Box::pin(rig.login());
        // Polled once, then dropped, as a server does on disconnect.
        let once = std::future::poll_fn(|context| {
            let _ = login.as_mut().poll(context);
            std::task::Poll::Ready(())
        });
        once.await;
    }
    rig.service.drain().await;
    assert_eq!(counted(&rig.store).await, 1);
}

#[test]
fn a_qr_login_speaks_for_one_account_and_while_it_lasts() {
    let id = |text: &str| AccountId::try_from(text).unwrap();
    let (a, b) = (id("wxid_a"), id("wxid_b"));
    let task = "agent-1".parse().unwrap();
    let name = || LoginId::try_from("qr").unwrap();
    let mut login = Login::requested(name(), id("agent"), task, String::new(), 1);
    assert!(vouches(&login, &a) && vouches(&login, &b));
    let mut failed = login.clone();
    failed.failed("no more", 2);
    assert!(!vouches(&failed, &a));
    login.succeeded(a.clone(), 2).unwrap();
    assert!(vouches(&login, &a) && !vouches(&login, &b));
    assert!(!vouches(&Login::foreign(name(), 1), &a));
}

#[tokio::test(start_paused = true)]
async fn a_question_waits_for_those_before_it_for_a_while_only() {
    let rig = Arc::new(rig(Manner::Hangs).await);
    let first = Arc::clone(&rig);
    let first = tokio::spawn(async move { first.login().await });
    while rig.asked() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(matches!(rig.login().await, Err(Error::Busy { .. })));
    assert_eq!(rig.asked(), 1);
    first.abort();
}

#[tokio::test]
async fn who_serves_whom_is_checked_when_it_is_bound_and_when_it_is_deployed() {
    let rig = rig(Manner::Counts).await;
    rig.deploy("echo", BOT_WORLD).await.unwrap();
    let account = Scope::Account("wxid_a".try_into().unwrap());
    for (scope, name) in [
        (Scope::Callback, "echo"),
        (Scope::All, "gate"),
        (account, "gate"),
    ] {
        let bound = rig.service.bind(scope, name.try_into().unwrap()).await;
        assert!(matches!(bound, Err(Error::Conflict(_))), "{bound:?}");
    }
    let replaced = rig.deploy("gate", BOT_WORLD).await;
    assert!(matches!(replaced, Err(Error::Conflict(_))), "{replaced:?}");
    rig.service.unbind(Scope::Callback).await.unwrap();
    rig.deploy("gate", BOT_WORLD).await.unwrap();
}
