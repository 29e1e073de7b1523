//! Files from being asked for to being there or given up.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use async_trait::async_trait;
use tempfile::TempDir;

use super::*;
use crate::{
    blobs,
    domain::{
        AlarmKind, Deployment, HandlerName, TaskId, TaskNumber,
        file::{FilePolicy, NAME_RESTS_MS},
        handler::{Scope, Used},
        ports::{
            Answer, Ask, Call, CallError, Component, ComponentError, Effects, EventOutcome, InUse,
            NoClients, Runtime, Store,
        },
    },
    service::{Deploy, Policies, tasks::QUEUE_MAX},
    store,
};

const UPLOAD_MS: u64 = 60_000;

/// A bot that notes what it is told of files.
#[derive(Debug, Default)]
struct Bot {
    told: Mutex<Vec<(File, Option<String>)>>,
    busy: AtomicBool,
}

#[async_trait]
impl Runtime for Bot {
    async fn take_in(&self, bytes: Bytes) -> Result<Component, ComponentError> {
        Ok(Component {
            digest: Digest::of(&bytes),
            size_bytes: bytes.len() as u64,
            world: "test".to_owned(),
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
        if let Happening::FileReady { file, failure } = &call.event.what {
            let told = (file.clone(), failure.clone());
            self.told.lock().unwrap().push(told);
        }
        Ok(Effects::default())
    }

    async fn ask(&self, ask: Ask) -> Result<Answer, CallError> {
        Err(CallError::Unloaded(ask.component.version.digest))
    }
}

struct Rig {
    service: Service,
    store: Arc<dyn Store>,
    bot: Arc<Bot>,
    clock: Arc<AtomicU64>,
    _data: TempDir,
}

async fn rig() -> Rig {
    let clock = Arc::new(AtomicU64::new(1_000_000));
    let now = Arc::clone(&clock);
    let store = store::in_memory(Arc::new(move || now.load(Ordering::SeqCst)));
    let bot = Arc::<Bot>::default();
    let runtime: Arc<dyn Runtime> = Arc::<Bot>::clone(&bot);
    let data = tempfile::tempdir().unwrap();
    let policy = FilePolicy {
        upload_ms: UPLOAD_MS,
        ..FilePolicy::default()
    };
    let blobs = blobs::open(&policy, data.path()).unwrap();
    let policies = Policies {
        files: policy,
        ..Policies::default()
    };
    let check = |client, action: &Action| action.check(client);
    let shared = Arc::clone(&store);
    let service = Service::start(
        shared,
        runtime,
        blobs,
        Arc::new(NoClients),
        Arc::new(crate::domain::ports::NoVault),
        check,
        policies,
    )
    .await
    .unwrap();
    let name: HandlerName = "bot".try_into().unwrap();
    let component = Bytes::from_static(b"a bot");
    service
        .deploy(Deploy::of(name.clone(), component))
        .await
        .unwrap();
    service.bind(Scope::All, name).await.unwrap();
    Rig {
        service,
        store,
        bot,
        clock,
        _data: data,
    }
}

fn account() -> AccountId {
    "wxid_a".try_into().unwrap()
}

fn by_bot() -> Origin {
    Origin::Bot {
        handler: "bot".try_into().unwrap(),
        event: EventKey::new("msg-1"),
    }
}

impl Rig {
    async fn commit(&self, account: &AccountId, commit: Commit) {
        let epoch = self.store.own(account, false).await.unwrap();
        self.store
            .commit(account, epoch, commit.into())
            .await
            .unwrap();
    }

    /// A task that asks for a file, as it is when it is made.
    async fn ask(&self, account: &AccountId, file: &str, origin: Origin) -> Task {
        let id = TaskId {
            account: account.clone(),
            number: self.store.reserve(1),
        };
        let action = Action::Download {
            file: file.to_owned(),
        };
        let now_ms = self.store.now();
        let task = Task::queued(id, action, origin, now_ms);
        let mut commit = Commit {
            tasks: vec![task.clone()],
            ..Commit::default()
        };
        let asked = self.service.ask_for_files(account, &mut commit, now_ms);
        asked.await.unwrap();
        self.commit(account, commit).await;
        task
    }

    async fn change(&self, mut task: Task, change: impl FnOnce(&mut Task)) {
        change(&mut task);
        let account = task.id.account.clone();
        let commit = Commit {
            tasks: vec![task],
            ..Commit::default()
        };
        self.commit(&account, commit).await;
    }

    async fn hand_out(&self, task: Task) {
        let now_ms = self.store.now();
        self.change(task, |task| task.hand_out(now_ms)).await;
    }

    /// A task that asks for a file, and that its client has.
    async fn ask_client(&self, account: &AccountId, file: &str, origin: Origin) -> Task {
        let task = self.ask(account, file, origin).await;
        self.hand_out(task.clone()).await;
        task
    }

    async fn upload(&self, request: FileRequest, content: &'static [u8]) -> Result<(), Error> {
        let mut file = self.service.new_file(Room::Made);
        file.write(Bytes::from_static(content)).await.unwrap();
        let name = Some("a.txt".to_owned());
        self.service.uploaded(request, file, name).await
    }

    async fn request(&self) -> FileRequest {
        let found = self.store.file_request(&account(), "f").await.unwrap();
        found.unwrap()
    }

    /// The times at which the file is looked after, this one's alarm answered.
    async fn overdue(&self) -> Vec<u64> {
        let all = self
            .store
            .alarms(AlarmKind::Deadline, u64::MAX, 10)
            .await
            .unwrap();
        self.store.dismiss(all, Vec::new()).await.unwrap();
        self.service.file_overdue(&account(), "f").await.unwrap();
        let left = self
            .store
            .alarms(AlarmKind::Deadline, u64::MAX, 10)
            .await
            .unwrap();
        left.into_iter().map(|(at_ms, _)| at_ms).collect()
    }

    fn pass(&self, ms: u64) -> u64 {
        self.clock.fetch_add(ms, Ordering::SeqCst) + ms
    }

    fn told(&self) -> Vec<(File, Option<String>)> {
        self.bot.told.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn a_bot_is_told_of_its_file_once() {
    let rig = rig().await;
    let task = rig.ask_client(&account(), "f", by_bot()).await;
    let request = rig.service.awaited("f").await.unwrap();
    rig.upload(request.clone(), b"hello").await.unwrap();
    rig.upload(request.clone(), b"hello").await.unwrap();
    let digest = Digest::of(b"hello");
    let file = File {
        id: "f".to_owned(),
        name: Some("a.txt".to_owned()),
        mime: Some("text/plain; charset=utf-8".to_owned()),
        size: Some(5),
        url: Some(format!("/api/v1/files/{digest}")),
    };
    assert_eq!(rig.told(), [(file, None)]);
    assert_eq!(rig.request().await.state, FileState::Ready);
    let key = EventKey::new(&format!("file-{}-ready", task.id.number.0));
    let record = rig.store.event(&account(), &key).await.unwrap().unwrap();
    assert_eq!(record.outcome, EventOutcome::Handled);
    assert_eq!(rig.service.blob(digest).await.unwrap().size_bytes, 5);

    let other = rig.upload(request, b"something else").await;
    assert!(matches!(other, Err(Error::NotAsked { .. })));
    let again = rig.service.awaited("f").await;
    assert!(matches!(again, Err(Error::NotAsked { .. })));
    assert!(rig.overdue().await.is_empty());
    assert_eq!(rig.told().len(), 1);
}

#[tokio::test]
async fn who_asked_through_the_api_is_not_told() {
    let rig = rig().await;
    rig.ask_client(&account(), "f", Origin::Api).await;
    let request = rig.service.awaited("f").await.unwrap();
    rig.upload(request, b"hello").await.unwrap();
    assert_eq!(rig.told(), []);
    assert_eq!(rig.request().await.state, FileState::Ready);
}

#[tokio::test]
async fn a_file_that_several_accounts_wait_for_goes_to_none() {
    let rig = rig().await;
    let other: AccountId = "wxid_b".try_into().unwrap();
    assert!(rig.service.awaited("f").await.is_err());
    rig.ask_client(&account(), "f", by_bot()).await;
    assert!(rig.service.awaited("f").await.is_ok());
    // Whose client does not have the task yet uploads nothing.
    let task = rig.ask(&other, "f", by_bot()).await;
    let awaited = rig.service.awaited("f").await.unwrap();
    assert_eq!(awaited.account, account());
    rig.hand_out(task).await;
    let error = rig.service.awaited("f").await.unwrap_err().to_string();
    assert!(error.contains("several accounts"), "{error}");
    assert!(rig.service.awaited("g").await.is_err());
}

#[tokio::test]
async fn a_file_whose_task_nobody_has_is_not_awaited() {
    let rig = rig().await;
    let task = rig.ask(&account(), "f", by_bot()).await;
    assert!(rig.service.awaited("f").await.is_err());
    rig.hand_out(task).await;
    assert!(rig.service.awaited("f").await.is_ok());
    // The second task waits: the upload that the first one brings counts.
    rig.pass(UPLOAD_MS);
    rig.overdue().await;
    assert_eq!(rig.request().await.tries, 2);
    assert!(rig.service.awaited("f").await.is_ok());
}

#[tokio::test]
async fn a_late_upload_goes_to_nobody_else() {
    let rig = rig().await;
    let other: AccountId = "wxid_b".try_into().unwrap();
    rig.ask_client(&other, "f", by_bot()).await;
    let request = rig.service.awaited("f").await.unwrap();
    rig.upload(request, b"hello").await.unwrap();
    rig.ask_client(&account(), "f", by_bot()).await;
    let error = rig.service.awaited("f").await.unwrap_err().to_string();
    assert!(error.contains("several accounts"), "{error}");
    // The other's name rests from the end of its former request on.
    rig.pass(NAME_RESTS_MS / 2);
    rig.ask(&other, "f", by_bot()).await;
    assert!(rig.service.awaited("f").await.is_err());
    rig.pass(NAME_RESTS_MS);
    let awaited = rig.service.awaited("f").await.unwrap();
    assert_eq!(awaited.account, account());
}

#[tokio::test]
async fn an_account_that_asks_again_gets_the_same_again() {
    let rig = rig().await;
    for _ in 0..2 {
        rig.ask_client(&account(), "f", by_bot()).await;
        let request = rig.service.awaited("f").await.unwrap();
        rig.upload(request.clone(), b"hello").await.unwrap();
        rig.upload(request, b"hello").await.unwrap();
    }
    assert_eq!(rig.told().len(), 2);
}

#[tokio::test]
async fn a_file_that_can_not_be_asked_for_again_is_given_up() {
    let rig = rig().await;
    rig.ask_client(&account(), "f", by_bot()).await;
    let now_ms = rig.store.now();
    let queued = |_| {
        let id = TaskId {
            account: account(),
            number: rig.store.reserve(1),
        };
        Task::queued(id, Action::RefreshContacts, Origin::Api, now_ms)
    };
    for _ in 0..10 {
        let commit = Commit {
            tasks: (0..QUEUE_MAX / 10).map(queued).collect(),
            ..Commit::default()
        };
        rig.commit(&account(), commit).await;
    }
    rig.pass(UPLOAD_MS);
    assert!(rig.overdue().await.is_empty());
    let request = rig.request().await;
    assert_eq!(request.state, FileState::Missing);
    let reason = request.reason.unwrap();
    assert!(reason.contains("tasks wait for wxid_a"), "{reason}");
    assert_eq!(rig.told()[0].1, Some(reason));
}

#[tokio::test]
async fn a_host_without_room_for_the_bot_keeps_the_file_awaited() {
    let rig = rig().await;
    rig.ask_client(&account(), "f", by_bot()).await;
    let request = rig.service.awaited("f").await.unwrap();
    rig.bot.busy.store(true, Ordering::SeqCst);
    let busy = rig.upload(request.clone(), b"hello").await;
    assert!(matches!(busy, Err(Error::Busy { .. })));
    assert_eq!(rig.request().await.state, FileState::Asked);
    rig.bot.busy.store(false, Ordering::SeqCst);
    rig.upload(request, b"hello").await.unwrap();
    assert_eq!(rig.told().len(), 1);
}

#[tokio::test]
async fn a_task_that_no_client_has_yet_is_waited_for() {
    let rig = rig().await;
    rig.ask(&account(), "f", by_bot()).await;
    let now_ms = rig.pass(UPLOAD_MS);
    assert_eq!(rig.overdue().await, [now_ms + UPLOAD_MS]);
    // Less and less often, but not for hours.
    let now_ms = rig.pass(UPLOAD_MS);
    assert_eq!(rig.overdue().await, [now_ms + 2 * UPLOAD_MS]);
    let now_ms = rig.pass(24 * 60 * 60 * 1000);
    assert_eq!(rig.overdue().await, [now_ms + 600_000]);
    assert_eq!(rig.request().await.tries, 1);
}

#[tokio::test]
async fn a_file_that_does_not_come_is_asked_for_twice_and_then_given_up() {
    let rig = rig().await;
    let task = rig.ask(&account(), "f", by_bot()).await;
    let handed_ms = rig.pass(UPLOAD_MS / 2);
    rig.hand_out(task.clone()).await;
    rig.pass(UPLOAD_MS / 2);
    assert_eq!(rig.overdue().await, [handed_ms + UPLOAD_MS]);

    let now_ms = rig.pass(UPLOAD_MS / 2);
    assert_eq!(rig.overdue().await, [now_ms + UPLOAD_MS]);
    let second = rig.store.next_queued(&account()).await.unwrap().unwrap();
    assert_eq!(
        (&second.action, &second.origin),
        (&task.action, &task.origin)
    );
    let request = rig.request().await;
    assert_eq!((request.tries, &request.task), (2, &second.id));

    let number = second.id.number;
    rig.hand_out(second).await;
    rig.pass(UPLOAD_MS);
    assert!(rig.overdue().await.is_empty());
    let request = rig.request().await;
    assert_eq!(request.state, FileState::Missing);
    let told = rig.told();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].1.as_deref(), Some(NOT_UPLOADED));
    assert_eq!((told[0].0.id.as_str(), &told[0].0.url), ("f", &None));
    let key = EventKey::new(&format!("file-{}-missing", number.0));
    assert!(rig.store.event(&account(), &key).await.unwrap().is_some());

    // Too late, and never told of again.
    assert!(rig.overdue().await.is_empty());
    let late = rig.upload(request, b"hello").await;
    assert!(matches!(late, Err(Error::NotAsked { .. })));
    assert_eq!(rig.told().len(), 1);
}

#[tokio::test]
async fn a_file_whose_task_was_called_off_is_given_up_at_once() {
    let rig = rig().await;
    for state in [TaskState::Cancelled, TaskState::Expired] {
        let task = rig.ask(&account(), "f", by_bot()).await;
        rig.change(task, |task| task.end(state, None, 1)).await;
        assert!(rig.overdue().await.is_empty());
        let reason = rig.request().await.reason.unwrap();
        assert!(reason.contains(state.as_str()), "{reason}");
    }
    assert_eq!(rig.told().len(), 2);
}

#[tokio::test]
async fn only_tasks_that_fetch_files_make_requests() {
    let rig = rig().await;
    let task = |number, action| {
        let id = TaskId {
            account: account(),
            number: TaskNumber(number),
        };
        Task::queued(id, action, Origin::Api, 5)
    };
    let file = "f".to_owned();
    let mut commit = Commit {
        tasks: vec![
            task(1, Action::text("wxid_bob", "hi")),
            task(2, Action::Download { file }),
        ],
        ..Commit::default()
    };
    let account = account();
    let asked = rig.service.ask_for_files(&account, &mut commit, 5);
    asked.await.unwrap();
    assert_eq!(commit.files.len(), 1);
    assert_eq!(commit.files[0].task.number, TaskNumber(2));
    let alarm = Alarm::File(account, "f".to_owned());
    assert_eq!(commit.alarms, [(5 + UPLOAD_MS, alarm)]);
}

#[tokio::test]
async fn a_bot_that_waits_for_a_file_goes_on_to_when_others_ask_too() {
    let rig = rig().await;
    rig.ask(&account(), "f", by_bot()).await;
    rig.ask(&account(), "f", Origin::Api).await;
    assert_eq!(rig.request().await.origin, by_bot());
}

#[tokio::test]
async fn a_file_that_went_to_make_room_is_not_found() {
    let rig = rig().await;
    let gone = rig.service.blob(Digest::of(b"gone")).await;
    assert!(matches!(gone, Err(Error::NotFound { .. })));
}
