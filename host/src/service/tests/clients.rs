//! Openwx clients: which are wanted, and what becomes of them.

use super::*;
use crate::{
    domain::{
        ClientName, Login, LoginId, LoginState,
        action::Segment,
        client::{Phase, Wanted},
        login::QrImage,
        ports::StartError,
    },
    service::fake::FakeClients,
};

/// A host with clients that do as the test says, on a store that outlives it.
struct Host {
    service: Service,
    native: Arc<FakeClients>,
    store: Arc<dyn Store>,
    clock: Arc<AtomicU64>,
    data: tempfile::TempDir,
}

async fn host() -> Host {
    host_with(ClientPolicy::default()).await
}

async fn host_with(clients: ClientPolicy) -> Host {
    let clock = Arc::new(AtomicU64::new(1_000_000));
    let now = Arc::clone(&clock);
    let store = store::in_memory(Arc::new(move || now.load(Ordering::SeqCst)));
    let data = tempfile::tempdir().unwrap();
    let (service, native) = begin(&store, data.path(), clients).await;
    Host {
        service,
        native,
        store,
        clock,
        data,
    }
}

async fn begin(
    store: &Arc<dyn Store>,
    data: &std::path::Path,
    clients: ClientPolicy,
) -> (Service, Arc<FakeClients>) {
    let bot = Bot {
        calls: AtomicUsize::new(0),
        fails: None,
        busy: AtomicBool::new(false),
        breaks: AtomicBool::new(false),
        saw: Mutex::default(),
        says: Mutex::default(),
        timers: Mutex::default(),
        fired: Mutex::default(),
        store: Arc::clone(store),
    };
    let native = Arc::new(FakeClients::default());
    let policies = Policies {
        data: data.to_owned(),
        clients,
        ..Policies::default()
    };
    let service = Service::start(
        Arc::clone(store),
        Arc::new(bot),
        blobs::open(&FilePolicy::default(), data).unwrap(),
        Arc::<FakeClients>::clone(&native),
        Arc::new(crate::domain::ports::NoVault),
        |client, action: &Action| action.check(client),
        policies,
    );
    (service.await.unwrap(), native)
}

async fn start_wanted(service: &Service) {
    let wanted = service.know_clients().await.unwrap();
    service.start_wanted_clients(wanted).await;
}

impl Host {
    /// The host is ended and started again.
    async fn again(self) -> Self {
        let (service, native) = begin(&self.store, self.data.path(), ClientPolicy::default()).await;
        start_wanted(&service).await;
        Self {
            service,
            native,
            ..self
        }
    }

    async fn start(&self, client: &str) -> Result<Arc<crate::domain::client::ClientStatus>, Error> {
        self.service.start_client(request(client)).await
    }

    fn phase(&self, client: &str) -> Option<Phase> {
        let status = self.service.client(&name(client));
        status.ok().map(|status| status.phase)
    }

    /// What the store says about a client.
    async fn wanted(&self, client: &str) -> Option<Wanted> {
        let all = self.store.clients().await.unwrap();
        all.into_iter().find(|wanted| wanted.name == name(client))
    }

    /// A WeHub client logs in under this id.
    async fn log_in(&self, id: &str) -> Result<Account, Error> {
        let start = SessionStart {
            event: event(
                id,
                &format!("login-{id}"),
                Happening::Login(User::unknown(id)),
            ),
            reporter: reporter(),
            nickname: String::new(),
            alias: String::new(),
            avatar_url: String::new(),
            machine_id: "pc".to_owned(),
            client_version: String::new(),
            local_ips: Vec::new(),
            qr_login: None,
        };
        self.service.start_session(start).await
    }

    async fn shows(&self, login: Option<&LoginId>, code: u8) -> LoginId {
        let bytes = Bytes::from(vec![code; 10]);
        let image = QrImage {
            digest: Digest::of(&bytes),
            mime: "image/jpeg".to_owned(),
            size_bytes: 10,
        };
        let (client, login) = (name("a"), login.cloned());
        let shown = self.service.client_shows_code(&client, login, image, bytes);
        shown.await.unwrap()
    }

    async fn login(&self, id: &LoginId) -> Login {
        self.service.qr_login(id).await.unwrap()
    }
}

fn name(name: &str) -> ClientName {
    name.try_into().unwrap()
}

fn request(client: &str) -> ClientRequest {
    ClientRequest {
        name: name(client),
        template: None,
        parameters: vec![("log_level".to_owned(), "debug".to_owned())],
    }
}

#[tokio::test]
async fn a_client_that_was_started_is_started_again_with_the_host() {
    let host = host().await;
    let started = host.start("a").await.unwrap();
    assert_eq!(started.phase, Phase::Spawned);
    let wanted = host.wanted("a").await.unwrap();
    assert_eq!((&*wanted.template, &wanted.over), ("default", &None));

    let host = host.again().await;
    let status = host.service.client(&name("a")).unwrap();
    let status = Arc::unwrap_or_clone(status);
    assert_eq!(status.phase, Phase::Spawned);
    assert!(status.parameters.into_iter().eq(request("a").parameters));
}

#[tokio::test]
async fn a_client_that_is_over_stays_so_over_a_restart_of_the_host() {
    let host = host().await;
    for (client, phase) in [("a", Phase::Failed), ("b", Phase::Stopped)] {
        host.start(client).await.unwrap();
        host.native.becomes(client, phase);
        host.service.client_is_over(&name(client)).await.unwrap();
        let over = host.wanted(client).await.unwrap().over.unwrap();
        assert_eq!(over.failed, phase == Phase::Failed);
    }
    let host = host.again().await;
    assert_eq!(host.phase("a"), Some(Phase::Failed));
    assert_eq!(host.phase("b"), Some(Phase::Stopped));
}

#[tokio::test]
async fn a_client_that_runs_is_not_noted_as_over() {
    let host = host().await;
    host.start("a").await.unwrap();
    for phase in [Phase::Running, Phase::Waiting, Phase::Stopping] {
        host.native.becomes("a", phase);
        host.service.client_is_over(&name("a")).await.unwrap();
        assert_eq!(host.wanted("a").await.unwrap().over, None, "{phase:?}");
    }
    host.service.client_is_over(&name("nobody")).await.unwrap();
}

#[tokio::test]
async fn what_ends_while_the_host_ends_is_not_over() {
    let host = host().await;
    host.start("a").await.unwrap();
    host.service.stop_taking();
    assert!(host.native.stopped_starting.load(Ordering::SeqCst));
    for phase in [Phase::Stopped, Phase::Failed] {
        host.native.becomes("a", phase);
        let noted = host.service.client_is_over(&name("a")).await;
        assert!(matches!(noted, Err(Error::Draining)), "{noted:?}");
    }
    let host = host.again().await;
    assert_eq!(host.phase("a"), Some(Phase::Spawned));
}

#[tokio::test]
async fn one_that_can_not_be_started_again_has_failed_with_the_reason() {
    let host = host().await;
    host.start("a").await.unwrap();
    let (service, native) = begin(&host.store, host.data.path(), ClientPolicy::default()).await;
    native.refuse(StartError::Template("the program is gone".to_owned()));
    start_wanted(&service).await;
    let status = service.client(&name("a")).unwrap();
    assert_eq!(status.phase, Phase::Failed);
    assert_eq!(status.reason.as_deref(), Some("the program is gone"));
    assert!(host.wanted("a").await.unwrap().over.unwrap().failed);
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_does_not_keep_a_client_from_being_started_again() {
    for error in [
        StartError::NoPort,
        StartError::Spawn("no memory".to_owned()),
    ] {
        let host = host().await;
        host.start("a").await.unwrap();
        let (service, native) = begin(&host.store, host.data.path(), ClientPolicy::default()).await;
        let wanted = service.know_clients().await.unwrap();
        let phase = || native.status(&name("a")).unwrap().phase;
        assert_eq!(phase(), Phase::Waiting, "it is known at once");
        let trouble = error.to_string();
        native.refuse(error);
        let starting = service.clone();
        let starting = tokio::spawn(async move { starting.start_wanted_clients(wanted).await });
        let tried = || {
            let status = native.status(&name("a")).unwrap();
            (status.reason.as_deref() == Some(trouble.as_str())).then_some(status)
        };
        while tried().is_none() {
            tokio::task::yield_now().await;
        }
        let status = tried().unwrap();
        assert_eq!(status.phase, Phase::Waiting, "whoever follows it goes on");
        assert!(status.next_start_ms.unwrap() > host.store.now());
        starting.await.unwrap();
        assert_eq!(phase(), Phase::Spawned);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_somebody_stopped_meanwhile_is_not_started_again() {
    let host = host().await;
    host.start("a").await.unwrap();
    let (service, native) = begin(&host.store, host.data.path(), ClientPolicy::default()).await;
    let wanted = service.know_clients().await.unwrap();
    service.stop_client(&name("a")).await.unwrap();
    native.ends("a");
    service.start_wanted_clients(wanted).await;
    assert!(service.client(&name("a")).is_err());
    assert_eq!(host.wanted("a").await, None);
}

#[tokio::test]
async fn a_host_that_ends_while_it_begins_forgets_no_client() {
    let host = host().await;
    host.start("a").await.unwrap();
    let (service, native) = begin(&host.store, host.data.path(), ClientPolicy::default()).await;
    native.refuse(StartError::Ending);
    start_wanted(&service).await;
    assert_eq!(host.wanted("a").await.unwrap().over, None);
}

#[tokio::test]
async fn a_client_that_was_not_started_is_not_wanted() {
    let host = host().await;
    host.native.refuse(StartError::NoPort);
    assert!(matches!(
        host.start("a").await,
        Err(Error::Start(StartError::NoPort))
    ));
    assert_eq!(host.wanted("a").await, None);
    assert_eq!(host.phase("a"), None);
}

#[tokio::test]
async fn a_client_that_runs_is_not_started_twice() {
    let host = host_with(ClientPolicy {
        max_clients: 1,
        ..ClientPolicy::default()
    })
    .await;
    let first = host.start("a").await.unwrap();
    for phase in [Phase::Spawned, Phase::Running, Phase::Waiting] {
        host.native.becomes("a", phase);
        // Even where no more clients may run.
        let Err(Error::Start(StartError::Exists(status))) = host.start("a").await else {
            panic!("it exists: {phase:?}");
        };
        assert_eq!(status.start, first.start);
    }
}

#[tokio::test]
async fn only_clients_that_run_count_against_those_that_may() {
    let host = host_with(ClientPolicy {
        max_clients: 2,
        ..ClientPolicy::default()
    })
    .await;
    host.start("a").await.unwrap();
    host.start("b").await.unwrap();
    let full = || async { matches!(host.start("c").await, Err(Error::TooManyClients(2))) };
    assert!(full().await);
    host.native.becomes("a", Phase::Waiting);
    assert!(full().await, "it comes back by itself");
    host.native.becomes("a", Phase::Failed);
    host.start("c").await.unwrap();
    let cleared = host.service.clear_client(&name("a")).await;
    assert!(matches!(cleared, Err(Error::TooManyClients(2))));
    host.service.stop_client(&name("b")).await.unwrap();
    let cleared = host.service.clear_client(&name("a")).await;
    let still = matches!(cleared, Err(Error::TooManyClients(2)));
    assert!(still, "its process has not ended yet");
    host.native.ends("b");
    host.service.clear_client(&name("a")).await.unwrap();
}

#[tokio::test]
async fn clients_that_the_host_has_yet_to_start_count_as_well() {
    let policy = || ClientPolicy {
        max_clients: 2,
        ..ClientPolicy::default()
    };
    let host = host_with(policy()).await;
    host.start("a").await.unwrap();
    host.start("b").await.unwrap();
    let (service, native) = begin(&host.store, host.data.path(), policy()).await;
    let wanted = service.know_clients().await.unwrap();
    let start = |client| service.start_client(request(client));
    assert!(matches!(start("c").await, Err(Error::TooManyClients(2))));
    // Whoever does not want to wait for the host starts them, in either way.
    assert_eq!(start("a").await.unwrap().phase, Phase::Spawned);
    let begun = service.restart_client(&name("b")).await.unwrap();
    assert_eq!((begun.phase, begun.restarts), (Phase::Spawned, 0));
    native.becomes("b", Phase::Running);
    service.start_wanted_clients(wanted).await;
    assert_eq!(native.status(&name("b")).unwrap().phase, Phase::Running);
}

#[tokio::test]
async fn a_stop_is_for_good() {
    let host = host().await;
    host.start("a").await.unwrap();
    let status = host.service.stop_client(&name("a")).await.unwrap();
    assert_eq!(status.phase, Phase::Stopping);
    assert_eq!(host.wanted("a").await, None);
    let again = host.service.stop_client(&name("a")).await.unwrap();
    assert_eq!(again.phase, Phase::Stopping, "the same again while it ends");
    let host = host.again().await;
    assert_eq!(host.phase("a"), None);
    let unknown = host.service.stop_client(&name("a")).await;
    assert!(matches!(unknown, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn a_start_waits_for_the_end_of_the_process_before() {
    let host = host().await;
    let before = host.start("a").await.unwrap();
    host.service.stop_client(&name("a")).await.unwrap();
    let service = host.service.clone();
    let started = tokio::spawn(async move { service.start_client(request("a")).await });
    tokio::task::yield_now().await;
    assert_eq!(host.phase("a"), Some(Phase::Stopping));
    // Nobody else waits meanwhile.
    host.start("b").await.unwrap();
    host.native.ends("a");
    let started = started.await.unwrap().unwrap();
    assert_ne!(started.start, before.start);
    assert!(host.wanted("a").await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_process_that_does_not_end_is_not_waited_for_without_end() {
    let host = host().await;
    host.start("a").await.unwrap();
    host.service.stop_client(&name("a")).await.unwrap();
    let refused = host.start("a").await.unwrap_err().to_string();
    assert!(refused.contains("was told to end"), "{refused}");
}

#[tokio::test]
async fn what_is_over_is_cleared_or_restarted_and_begins_anew() {
    let host = host().await;
    let first = host.start("a").await.unwrap();
    let clear = || host.service.clear_client(&first.name);
    let problem = clear().await.unwrap_err().to_string();
    assert_eq!(problem, "a is spawned, not over: there is nothing to clear");
    let restarted = host.service.restart_client(&first.name).await.unwrap();
    assert_eq!(restarted.restarts, 1);

    host.native.becomes("a", Phase::Failed);
    host.service.client_is_over(&first.name).await.unwrap();
    assert_eq!(clear().await.unwrap().phase, Phase::Spawned);
    assert_eq!(host.wanted("a").await.unwrap().over, None);

    // Also before it was noted that it is over.
    host.native.becomes("a", Phase::Stopped);
    let anew = host.service.restart_client(&first.name).await.unwrap();
    assert_eq!((anew.phase, anew.restarts), (Phase::Spawned, 0));
    assert_eq!(anew.parameters, first.parameters);
}

#[tokio::test]
async fn a_client_that_is_told_to_end_is_not_restarted() {
    let host = host().await;
    host.start("a").await.unwrap();
    host.service.stop_client(&name("a")).await.unwrap();
    let refused = host.service.restart_client(&name("a")).await;
    assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
}

#[tokio::test]
async fn a_client_that_waits_is_started_at_once_when_somebody_asks() {
    let host = host().await;
    host.start("a").await.unwrap();
    host.native.becomes("a", Phase::Waiting);
    let awake = host.service.wake_client(&name("a")).await.unwrap();
    assert_eq!((awake.phase, awake.restarts), (Phase::Spawned, 1));
    let runs = host.service.wake_client(&name("a")).await.unwrap();
    assert_eq!(runs.restarts, 1, "it is not ended for that");
}

#[tokio::test]
async fn a_template_that_is_not_there_is_named_with_those_that_are() {
    let host = host().await;
    let asked = ClientRequest {
        template: Some("stub".to_owned()),
        ..request("a")
    };
    let refused = host.service.start_client(asked).await;
    let Err(Error::BadRequest { field, problem }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(field, "template");
    assert!(problem.contains("[openwx.template.stub]"), "{problem}");
    assert!(problem.ends_with("there are default"), "{problem}");
}

#[tokio::test]
async fn an_account_has_one_kind_of_client() {
    let host = host().await;
    host.log_in("wxid_a").await.unwrap();
    let refused = host.start("wxid_a").await;
    assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
    assert_eq!(host.phase("wxid_a"), None);

    host.start("b").await.unwrap();
    // Its own client has not logged in yet, so that no account is known.
    let refused = host.log_in("b").await;
    assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
    let mut said = said("1");
    said.event.account = "b".try_into().unwrap();
    let refused = host.service.deliver(said).await;
    assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
    assert!(
        host.service
            .account(&"b".try_into().unwrap())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_client_of_another_kind_is_told_how_clients_are_started() {
    let host = host().await;
    host.start("a").await.unwrap();
    let asked = LoginRequest {
        agent: Some("a".try_into().unwrap()),
        ..LoginRequest::default()
    };
    let refused = host.service.start_login(asked).await.unwrap_err();
    assert!(matches!(refused, Error::NoAgent(_)));
    assert!(refused.to_string().contains("`wxhost client start NAME`"));
}

#[tokio::test]
async fn the_codes_of_a_client_are_of_one_login_until_that_is_over() {
    let host = host().await;
    let id = host.shows(None, 1).await;
    assert_eq!(host.shows(Some(&id), 1).await, id, "the same code");
    assert_eq!(host.shows(Some(&id), 2).await, id);
    let login = host.login(&id).await;
    assert_eq!(login.client, Some(name("a")));
    assert_eq!(
        (login.state, login.generation),
        (LoginState::AwaitingScan, 2)
    );
    let (_, image) = host.service.qr_image(&id).await.unwrap();
    assert_eq!(image, vec![2; 10]);

    host.service.cancel_login(&id).await.unwrap();
    let next = host.shows(Some(&id), 3).await;
    assert_ne!(next, id);
    let done = host
        .service
        .client_login_failed(&next, "the client has ended");
    done.await.unwrap();
    let login = host.login(&next).await;
    assert_eq!(login.state, LoginState::Failed);
    assert_eq!(login.steps.last().unwrap().reason, "the client has ended");
}

#[tokio::test]
async fn a_login_of_a_client_that_nobody_scans_expires() {
    let host = host().await;
    let id = host.shows(None, 1).await;
    host.clock.fetch_add(600_000, Ordering::SeqCst);
    host.service.answer_due().await.unwrap();
    assert_eq!(host.login(&id).await.state, LoginState::Expired);
    assert_ne!(host.shows(Some(&id), 2).await, id);
}

#[tokio::test]
async fn a_login_that_an_earlier_host_left_has_failed() {
    let host = host().await;
    let left = host.shows(None, 1).await;
    host.clock.fetch_add(1, Ordering::SeqCst);
    let host = host.again().await;
    let fresh = host.shows(None, 2).await;
    host.service
        .fail_left_logins("the host ended")
        .await
        .unwrap();
    let login = host.login(&left).await;
    assert_eq!(login.state, LoginState::Failed);
    assert_eq!(login.steps.last().unwrap().reason, "the host ended");
    assert_eq!(host.login(&fresh).await.state, LoginState::AwaitingScan);
}

#[tokio::test]
async fn nothing_is_unknown_before_the_calls_that_carry_it_out_are_over() {
    let host = host().await;
    host.start("a").await.unwrap();
    let account: AccountId = "a".try_into().unwrap();
    let reporter = Reporter {
        client: ClientKind::Openwx,
        ..reporter()
    };
    let mut said = said("1");
    said.event.account = account.clone();
    said.reporter = reporter.clone();
    host.service.deliver(said).await.unwrap();
    let parts = vec![Segment::Text("a".to_owned()); 3];
    let action = Action::Send {
        conversation: "@f".to_owned(),
        segments: parts,
    };
    let asked = Submission {
        actions: vec![action],
        ..Submission::default()
    };
    let (tasks, _) = host.service.submit(&account, asked).await.unwrap();
    let id = tasks.last().unwrap().id.clone();
    while let Next::Task(task) = host.service.next_task(&account, &reporter).await.unwrap() {
        if task.id == id {
            break;
        }
    }
    let state = async || host.service.task(&id).await.unwrap().state;
    for (ms, expected) in [
        (3 * 120_000, TaskState::HandedOut),
        (60_000, TaskState::Unknown),
    ] {
        host.clock.fetch_add(ms, Ordering::SeqCst);
        host.service.answer_due().await.unwrap();
        assert_eq!(state().await, expected);
    }
}
