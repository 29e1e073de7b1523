//! Clients as accounts: from report to answer, and from task to call.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod accounts;
mod fake;
mod reports;
mod tasks;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tower::ServiceExt;

use self::fake::{Bot, Fake, answer};
use super::Openwx;
use crate::{
    blobs,
    domain::{
        Account, AccountId, Action, Happening, Task, TaskState,
        client::{ClientPolicy, Phase},
        file::FilePolicy,
        handler::Scope,
        pacing::PacingPolicy,
        ports::CallFault,
    },
    edge::auth::AdminToken,
    service::{Deploy, Policies, Service, Submission},
    store,
};

struct Rig {
    openwx: Openwx,
    service: Service,
    native: Arc<Fake>,
    bot: Arc<Bot>,
    driver: JoinHandle<()>,
    _data: tempfile::TempDir,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

async fn rig() -> Rig {
    rig_with(ClientPolicy::default()).await
}

async fn rig_with(policy: ClientPolicy) -> Rig {
    let data = tempfile::tempdir().unwrap();
    let clock = || {
        let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
        u64::try_from(since.as_millis()).unwrap()
    };
    let store = store::in_memory(Arc::new(clock));
    let blobs = blobs::open(&FilePolicy::default(), data.path()).unwrap();
    let policies = Policies {
        pacing: PacingPolicy::unlimited(),
        ..Policies::default()
    };
    let native = Fake::new();
    let bot = Arc::new(Bot {
        store: Arc::clone(&store),
        heard: Mutex::default(),
    });
    let check = |_, action: &Action| super::wire::check(action);
    let (runtime, clients) = (Arc::<Bot>::clone(&bot), Arc::<Fake>::clone(&native));
    let service = Service::start(
        store,
        runtime,
        blobs,
        clients,
        Arc::new(crate::domain::ports::NoVault),
        check,
        policies,
    )
    .await
    .unwrap();
    let name: crate::domain::HandlerName = "bot".try_into().unwrap();
    let component = Bytes::from_static(b"a bot");
    service
        .deploy(Deploy::of(name.clone(), component))
        .await
        .unwrap();
    service.bind(Scope::All, name).await.unwrap();
    let token = AdminToken::load_or_create(data.path()).unwrap();
    let openwx = Openwx::new(&policy, service.clone(), token);
    Rig {
        driver: tokio::spawn(openwx.clone().drive()),
        openwx,
        service,
        native,
        bot,
        _data: data,
    }
}

fn account() -> AccountId {
    "c".try_into().unwrap()
}

/// Waits until something is so.
async fn until<T>(what: &str, mut found: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..500 {
        if let Some(found) = found().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: not within 5 s");
}

impl Rig {
    /// The client is logged in with this process.
    async fn running(&self, start: &str) {
        self.native.set(Some(start), Phase::Running, |_| {});
        let begun = async || (self.session().await? == start).then_some(());
        until("a session", begun).await;
        let read = async || self.heard_of("contacts").then_some(());
        until("the contacts", read).await;
    }

    async fn account(&self) -> Option<Account> {
        self.service.account(&account()).await.ok()
    }

    async fn session(&self) -> Option<String> {
        Some(self.account().await?.session?.client_session)
    }

    fn heard_of(&self, what: &str) -> bool {
        let heard = self.bot.heard.lock().unwrap();
        heard.iter().any(|it| match it {
            Happening::ContactsReported { .. } => what == "contacts",
            Happening::Login(_) => what == "login",
            Happening::Logout(reason) => what == reason,
            Happening::Message(message) => what == message.id,
            Happening::FriendAdded { .. } => what == "friend",
            Happening::FileReady { failure, .. } => match failure {
                None => what == "file",
                Some(_) => what == "no file",
            },
            Happening::MembersReported(_) => what == "members",
            _ => false,
        })
    }

    async fn report(&self, key: &str, body: impl Into<Body>) -> (StatusCode, Value) {
        let request = Request::post(format!("/report/c?key={key}&client=c"));
        let request = request.body(body.into()).unwrap();
        let response = self.openwx.router().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn submit(&self, action: Action) -> Task {
        let asked = Submission {
            actions: vec![action],
            ..Submission::default()
        };
        let (mut tasks, _) = self.service.submit(&account(), asked).await.unwrap();
        tasks.remove(0)
    }

    /// A task that has ended.
    async fn ended(&self, task: &Task) -> Task {
        let ended = async || {
            let task = self.service.task(&task.id).await.unwrap();
            task.state.is_final().then_some(task)
        };
        until("the end of a task", ended).await
    }
}

fn message(id: &str, text: &str) -> String {
    json!({
        "post_type": "receive_message", "type": "friend_message", "class": "recv",
        "format": "text", "id": id, "content": text, "sender_id": "@f", "receiver_id": "@me"
    })
    .to_string()
}
