//! Lives of clients, with shells in their place.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::atomic::{AtomicU16, Ordering},
    time::{Instant, SystemTime},
};

use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::*;
use crate::domain::{
    Digest,
    client::{Over, Parameters, Phase, RestartPolicy, StateSource, Template},
};

/// How long anything here may take: far more than it does on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// How many ports each test's clients may be given.
const PORTS: u16 = 20;
/// How many ports each run of the tests has, so that several can run at once, and how
/// many runs have others: all lie below those that the system gives away.
const PORTS_OF_RUN: u16 = 600;
const RUNS: u32 = 18;
/// So that no two tests are given the same ports.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// A supervisor whose clients run a script.
struct World {
    dir: TempDir,
    clients: Supervisor,
}

fn policy(script: &str) -> ClientPolicy {
    let run = (std::process::id() % RUNS) as u16;
    let start = 21_000 + run * PORTS_OF_RUN + NEXT.fetch_add(PORTS, Ordering::Relaxed);
    let command = ["sh", "-c", script].map(str::to_owned).into();
    ClientPolicy {
        backend_start_port: start,
        backend_end_port: start + PORTS - 1,
        check_interval: 1,
        stop_ms: 300,
        probe_ms: 50,
        template: [("default".to_owned(), Template { command })].into(),
        restart: RestartPolicy {
            wait_min_ms: 50,
            wait_max_ms: 200,
            forgiven_ms: 60_000,
            tries_max: 2,
        },
        ..ClientPolicy::default()
    }
}

fn now_ms() -> Millis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap().as_millis() as u64
}

impl World {
    fn with(policy: &ClientPolicy) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clients = Self::opened(policy, dir.path());
        Self { dir, clients }
    }

    fn opened(policy: &ClientPolicy, data: &Path) -> Supervisor {
        let setup = Setup::new(policy, data, "http://127.0.0.1:1", Arc::new(now_ms)).unwrap();
        Supervisor(Shared::open(setup).unwrap())
    }

    fn of(script: &str) -> Self {
        Self::with(&policy(script))
    }

    async fn start(&self, name: &str) -> Result<Arc<ClientStatus>, StartError> {
        let started = self.clients.start(wanted(name));
        timeout(PATIENCE, started).await.unwrap()
    }

    /// Waits until this holds of a client.
    async fn when(&self, name: &str, holds: impl Fn(&ClientStatus) -> bool) -> Arc<ClientStatus> {
        let slot = self.clients.0.slot(&called(name)).unwrap();
        let found = timeout(PATIENCE, slot.when(holds)).await;
        match found {
            Ok(found) => found.unwrap(),
            Err(_) => unreachable!("it came to {:?}", slot.status()),
        }
    }

    async fn in_phase(&self, name: &str, phase: Phase) -> Arc<ClientStatus> {
        self.when(name, |status| status.phase == phase).await
    }

    /// Stops a client and waits for its end.
    async fn stop(&self, name: &str) -> Duration {
        let begun = Instant::now();
        let slot = self.clients.0.slot(&called(name)).unwrap();
        let status = self.clients.stop(&called(name)).unwrap();
        assert_eq!(status.phase, Phase::Stopping);
        timeout(PATIENCE, slot.forgotten()).await.unwrap();
        begun.elapsed()
    }

    fn file(&self, name: &str, file: &str) -> PathBuf {
        self.clients
            .0
            .setup
            .places
            .client_dir(&called(name))
            .join(file)
    }

    async fn read(&self, name: &str, file: &str) -> String {
        let path = self.file(name, file);
        let read = async {
            loop {
                match std::fs::read_to_string(&path) {
                    Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
                    _ => sleep(Duration::from_millis(5)).await,
                }
            }
        };
        timeout(PATIENCE, read).await.unwrap()
    }

    async fn printed(&self, name: &str) -> String {
        let from = LogFrom::Place(0);
        let piece = self.clients.log(&called(name), from, 1 << 20).await;
        String::from_utf8_lossy(&piece.unwrap().bytes).into_owned()
    }
}

fn called(name: &str) -> ClientName {
    ClientName::try_from(name).unwrap()
}

fn wanted(name: &str) -> Wanted {
    Wanted {
        name: called(name),
        template: "default".to_owned(),
        parameters: Parameters::new(),
        asked_ms: 0,
        over: None,
    }
}

/// Whether a process runs.
fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ") && !stat.contains(") X ")
}

async fn dies(pid: &str) {
    let gone = async {
        while is_alive(pid) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, gone).await.unwrap();
}

#[tokio::test]
async fn a_client_is_started_told_of_stopped_and_forgotten() {
    let world = World::of("echo hello; exec sleep 60");
    let status = world.start("a1").await.unwrap();
    let pid = status.pid.unwrap().to_string();
    assert!(is_alive(&pid));
    assert_eq!(status.phase, Phase::Spawned);
    assert_eq!(world.clients.next_new().await, Some(called("a1")));
    assert_eq!(world.clients.all().len(), 1);
    timeout(PATIENCE, world.clients.log_grown(&called("a1"), 0))
        .await
        .unwrap();
    assert_eq!(world.printed("a1").await, "hello\n");
    let revision = world.clients.status(&called("a1")).unwrap().revision;
    let name = called("a1");
    let (after, _) = tokio::join!(world.clients.changed(&name, revision), world.stop("a1"));
    assert_eq!(after.unwrap().phase, Phase::Stopping);
    assert!(!is_alive(&pid));
    assert!(world.clients.status(&name).is_none());
    assert!(world.clients.changed(&name, revision).await.is_none());
    assert!(world.clients.stop(&name).is_none());
    assert!(!world.file("a1", "").exists());
}

#[tokio::test]
async fn a_client_that_is_forgotten_leaves_its_cookie_and_nothing_else() {
    let world = World::of("echo hello; echo c > $MOJO_WEIXIN_COOKIE_PATH; exec sleep 60");
    world.start("a1").await.unwrap();
    world.read("a1", "mojo_weixin_cookie_a1.dat").await;
    let name = called("a1");
    timeout(PATIENCE, world.clients.log_grown(&name, 0))
        .await
        .unwrap();
    let log = world.clients.0.setup.places.log_dir(&name);
    assert!(log.join("console.log").is_file());
    world.stop("a1").await;
    assert!(world.file("a1", "mojo_weixin_cookie_a1.dat").exists());
    assert!(!log.exists());
    let again = World::opened(
        &policy("exec sleep 60"),
        world.dir.path().join("b").as_path(),
    );
    again.start(wanted("a1")).await.unwrap();
    let dir = again.0.setup.places.client_dir(&name);
    again.end().await;
    assert!(dir.exists(), "the next host goes on with it");
}

/// A socket that processes which are started from now on have open, too: whoever
/// listens on it, they do.
fn shared_socket(port: u16) -> tokio::net::TcpSocket {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, port).into()).unwrap();
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::empty()).unwrap();
    socket
}

#[tokio::test]
async fn whoever_else_listens_on_its_port_is_not_the_client() {
    let world = World::of("exec sleep 60");
    let (name, status) = (called("a1"), world.start("a1").await.unwrap());
    let port = status.port.unwrap();
    let _squatter = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    sleep(Duration::from_millis(700)).await;
    assert_eq!(world.clients.status(&name).unwrap().listening_ms, None);
    assert!(world.clients.address(&name).is_none());
    let call = ApiCall {
        path: "stick".to_owned(),
        parameters: Vec::new(),
        time: PATIENCE,
    };
    let start = status.start.clone().unwrap();
    let called = world.clients.call(&name, &start, call).await;
    assert!(matches!(called, Err(CallFault::Unreached(_))));
}

#[tokio::test]
async fn a_name_has_one_process_however_often_it_is_started() {
    let world = World::of("echo $$ >> pids; exec sleep 60");
    let (one, two) = tokio::join!(world.start("a1"), world.start("a1"));
    let (begun, other) = match (one, two) {
        (Ok(begun), Err(other)) | (Err(other), Ok(begun)) => (begun, other),
        odd => unreachable!("{odd:?}"),
    };
    match other {
        StartError::Exists(status) => assert_eq!(status.pid, begun.pid),
        odd => unreachable!("{odd:?}"),
    }
    let pids = world.read("a1", "pids").await;
    assert_eq!(pids, begun.pid.unwrap().to_string());
}

#[tokio::test]
async fn each_client_has_a_port_and_a_directory_of_its_own() {
    let script = "echo $MOJO_WEIXIN_PLUGIN_OPENWX_PORT $PWD $MOJO_WEIXIN_TMPDIR > told; sleep 60";
    let world = World::of(script);
    let mut ports = Vec::new();
    for name in ["a1", "a2", "a3"] {
        let status = world.start(name).await.unwrap();
        ports.push(status.port.unwrap());
        let dir = world.file(name, "");
        let dir = dir.to_str().unwrap().trim_end_matches('/');
        let expected = format!("{} {dir} {dir}", status.port.unwrap());
        assert_eq!(world.read(name, "told").await.replace("/ ", " "), expected);
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(dir).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
    ports.dedup();
    assert_eq!(ports.len(), 3);
    let listed = world.clients.0.setup.places.backend_path.clone();
    let read = async {
        loop {
            let list = std::fs::read_to_string(&listed).unwrap_or_default();
            if list.contains("a3") {
                return list;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    let list = timeout(PATIENCE, read).await.unwrap();
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_crash_is_followed_by_another_start_until_it_is_given_up() {
    let world = World::of("echo once >> starts; echo no luck; exit 3");
    world.start("a1").await.unwrap();
    let status = world.in_phase("a1", Phase::Failed).await;
    let reason = status.reason.clone().unwrap();
    assert_eq!(
        reason,
        "it ended 3 times in a row: it exited with code 3: no luck"
    );
    assert_eq!(status.restarts, 2);
    assert_eq!(status.pid, None);
    assert!(world.clients.address(&called("a1")).is_none());
    assert_eq!(world.read("a1", "starts").await.lines().count(), 3);
    let again = world.start("a1").await.unwrap();
    assert_eq!((again.restarts, &again.reason), (0, &None));
    world.in_phase("a1", Phase::Failed).await;
    assert!(world.clients.stop(&called("a1")).is_some());
    assert!(world.clients.status(&called("a1")).is_none());
}

#[tokio::test]
async fn a_client_that_waits_can_be_stopped_and_does_not_come_back() {
    let mut policy = policy("exit 1");
    policy.restart.wait_min_ms = 60_000;
    policy.restart.wait_max_ms = 60_000;
    let world = World::with(&policy);
    world.start("a1").await.unwrap();
    let status = world.in_phase("a1", Phase::Waiting).await;
    let status = match status.next_start_ms {
        Some(_) => status,
        None => world.when("a1", |it| it.next_start_ms.is_some()).await,
    };
    assert!(status.next_start_ms.unwrap() > now_ms() + 30_000);
    let exists = world.start("a1").await;
    assert!(matches!(exists, Err(StartError::Exists(_))));
    assert!(world.stop("a1").await < Duration::from_secs(5));
    world.start("a1").await.unwrap();
    world.in_phase("a1", Phase::Waiting).await;
    world
        .clients
        .restart(&called("a1"), "somebody asked")
        .unwrap();
    world.when("a1", |status| status.restarts == 1).await;
}

#[tokio::test]
async fn a_start_that_somebody_ordered_makes_up_for_the_crashes_before() {
    // It crashes as often as it may, lives, and crashes again once it was restarted.
    let script = "echo once >> starts; n=$(wc -l < starts); [ $n -eq 3 ] && exec sleep 60; exit 1";
    let world = World::of(script);
    world.start("a1").await.unwrap();
    while world.read("a1", "starts").await.lines().count() < 3 {
        sleep(Duration::from_millis(5)).await;
    }
    world.clients.restart(&called("a1"), "somebody asked");
    let failed = world.in_phase("a1", Phase::Failed).await;
    assert_eq!(failed.restarts, 5, "one is ordered, and two follow crashes");

    let mut policy = policy("exit 1");
    policy.restart.tries_max = 1;
    policy.restart.wait_min_ms = 60_000;
    policy.restart.wait_max_ms = 60_000;
    let world = World::with(&policy);
    world.start("a1").await.unwrap();
    let waits = world.when("a1", |it| it.next_start_ms.is_some()).await;
    world.clients.restart(&called("a1"), "somebody asked");
    let waits_anew = |it: &ClientStatus| it.next_start_ms > waits.next_start_ms;
    let holds = |it: &ClientStatus| it.phase == Phase::Failed || waits_anew(it);
    let status = world.when("a1", holds).await;
    assert_eq!((status.phase, status.restarts), (Phase::Waiting, 1));
}

#[tokio::test]
async fn a_start_that_was_ordered_while_it_begins_does_not_end_the_new_process() {
    let script = "echo once >> starts; [ $(wc -l < starts) -gt 1 ] && exec sleep 60; exit 1";
    let mut policy = policy(script);
    policy.restart.wait_min_ms = 500;
    let world = World::with(&policy);
    world.start("a1").await.unwrap();
    world.when("a1", |it| it.next_start_ms.is_some()).await;
    // Whoever is to start it has something else to do for a while.
    let (go_on, waiting) = std::sync::mpsc::channel::<()>();
    let spawner = world.clients.0.spawner.clone();
    let busy = tokio::spawn(async move { spawner.run(move || waiting.recv()).await });
    let begins = world.when("a1", |it| it.restarts == 1).await;
    assert_eq!(begins.phase, Phase::Waiting);
    let name = called("a1");
    world.clients.wake(&name).unwrap();
    go_on.send(()).unwrap();
    let started = world.in_phase("a1", Phase::Spawned).await;
    // A process is there already.
    world.clients.wake(&name).unwrap();
    sleep(Duration::from_millis(500)).await;
    let later = world.clients.status(&name).unwrap();
    assert_eq!((&later.start, later.restarts), (&started.start, 1));
    assert!(is_alive(&started.pid.unwrap().to_string()));
    busy.await.unwrap();
}

#[tokio::test]
async fn a_client_that_does_not_listen_to_term_is_killed() {
    let world = World::of("trap '' TERM; echo $$ > pid; while :; do sleep 0.05; done");
    world.start("a1").await.unwrap();
    let pid = world.read("a1", "pid").await;
    let (stopped, again) = tokio::join!(world.stop("a1"), async {
        sleep(Duration::from_millis(20)).await;
        world.start("a1").await
    });
    assert!(stopped >= Duration::from_millis(300), "{stopped:?}");
    assert!(!is_alive(&pid));
    let again = again.unwrap();
    assert_ne!(again.pid.unwrap().to_string(), pid);
}

#[tokio::test]
async fn children_end_with_their_client_wherever_they_went() {
    let script =
        "sleep 60 & echo $! > near; setsid sleep 60 & echo $! > far; sleep 0.2; kill -9 $$";
    let mut policy = policy(script);
    policy.restart.wait_min_ms = 60_000;
    policy.restart.wait_max_ms = 60_000;
    let world = World::with(&policy);
    world.start("a1").await.unwrap();
    let (near, far) = (
        world.read("a1", "near").await,
        world.read("a1", "far").await,
    );
    let status = world.in_phase("a1", Phase::Waiting).await;
    assert_eq!(
        status.reason.as_deref(),
        Some("it was ended by signal 9 (KILL)")
    );
    dies(&near).await;
    dies(&far).await;
}

#[tokio::test]
async fn a_restart_is_no_crash_and_has_another_key() {
    let script = "echo $MOJO_WEIXIN_PLUGIN_OPENWX_POST_API > url; exec sleep 60";
    let world = World::of(script);
    let first = world.start("a1").await.unwrap();
    let name = called("a1");
    let url = world.read("a1", "url").await;
    let key = url.split_once("key=").unwrap().1;
    let key = key.split('&').next().unwrap().to_owned();
    assert_eq!(world.clients.reporter(&name, &key), first.start);
    assert_eq!(world.clients.reporter(&name, "another"), None);
    assert_eq!(world.clients.reporter(&called("a2"), &key), None);
    for count in 1..=4 {
        world.clients.restart(&name, "somebody asked").unwrap();
        world
            .when("a1", |it| it.restarts == count && it.pid.is_some())
            .await;
    }
    let status = world.clients.status(&name).unwrap();
    let end = status.last_end.as_ref().unwrap();
    assert_eq!(end.reason, "somebody asked");
    assert_ne!(status.start, first.start);
    assert_eq!(world.clients.reporter(&name, &key), None);
    let call = ApiCall {
        path: "stick".to_owned(),
        parameters: Vec::new(),
        time: PATIENCE,
    };
    let call = world
        .clients
        .call(&name, &first.start.clone().unwrap(), call)
        .await;
    assert!(matches!(call, Err(CallFault::Unreached(_))));
}

const STATE: &str = "say() { echo \"{\\\"state\\\":\\\"$1\\\",\\\"pid\\\":$$}\" > \
                     $MOJO_WEIXIN_STATE_PATH; }; ";

#[tokio::test]
async fn a_client_is_logged_in_when_it_listens_and_says_so() {
    let script =
        format!("{STATE} say scaning; echo code > $MOJO_WEIXIN_QRCODE_PATH; exec sleep 60");
    let mut policy = policy(&script);
    policy.probe_ms = 60_000;
    let socket = shared_socket(policy.backend_start_port);
    let world = World::with(&policy);
    let status = world.start("a1").await.unwrap();
    assert_eq!(status.port, Some(policy.backend_start_port));
    let shown = world
        .when("a1", |it| it.code.is_some() && it.state.is_some())
        .await;
    assert_eq!(shown.state.unwrap().state, NativeState::Scaning);
    assert_eq!(shown.state.unwrap().source, StateSource::File);
    let name = called("a1");
    assert_eq!(world.clients.code(&name).await.unwrap(), "code\n");
    let _listener = socket.listen(1).unwrap();
    let listening = world.in_phase("a1", Phase::Listening).await;
    assert!(listening.listening_ms.is_some());
    let start = status.start.clone().unwrap();
    world
        .clients
        .told(&name, &StartId::random().unwrap(), NativeState::Running);
    assert_eq!(world.clients.status(&name).unwrap().phase, Phase::Listening);
    world.clients.told(&name, &start, NativeState::Running);
    let running = world.clients.status(&name).unwrap();
    assert_eq!(running.phase, Phase::Running);
    assert!(running.running_ms.is_some());
    assert_eq!(running.state.unwrap().source, StateSource::Report);
    world.clients.told(&name, &start, NativeState::Scaning);
    assert_eq!(world.clients.status(&name).unwrap().phase, Phase::Listening);
    let file = world.clients.state_file(&name).await.unwrap();
    assert!(file.starts_with(b"{\"state\":\"scaning\""));
    std::fs::remove_file(world.file("a1", "mojo_weixin_qrcode_a1.jpg")).unwrap();
    world.when("a1", |it| it.code.is_none()).await;
    world.stop("a1").await;
    assert!(!world.file("a1", "mojo_weixin_state_a1.json").exists());
    drop(world.dir);
}

#[tokio::test]
async fn a_client_that_stops_by_itself_is_not_started_again() {
    let world = World::of(&format!("{STATE} say running; say stop; exit 0"));
    world.start("a1").await.unwrap();
    let status = world.in_phase("a1", Phase::Stopped).await;
    assert_eq!(status.reason.as_deref(), Some("it stopped by itself"));
    assert_eq!(status.restarts, 0);
}

#[tokio::test]
async fn ten_codes_that_nobody_scanned_are_no_crash() {
    let script = format!(
        "{STATE} say scaning; for i in 1 2 3 4 5 6 7 8 9 10; do echo $i > \
         $MOJO_WEIXIN_QRCODE_PATH; until [ -e seen$i ]; do sleep 0.02; done; done; exit 1"
    );
    let world = World::of(&script);
    world.start("a1").await.unwrap();
    for count in 1..=10 {
        let code = Some(Digest::of(format!("{count}\n").as_bytes()));
        world.when("a1", |it| it.code == code).await;
        std::fs::write(world.file("a1", &format!("seen{count}")), "").unwrap();
    }
    let status = world.in_phase("a1", Phase::Stopped).await;
    let reason = status.reason.clone().unwrap();
    assert!(reason.contains("none of the 10 codes"), "{reason}");
}

#[tokio::test]
async fn a_client_that_does_not_answer_is_started_again_but_not_during_a_scan() {
    let mut policy = policy("exec sleep 60");
    policy.probes_max = 2;
    let world = World::with(&policy);
    let status = world.start("a1").await.unwrap();
    let (name, start) = (called("a1"), status.start.clone().unwrap());
    world.clients.told(&name, &start, NativeState::Scaning);
    sleep(Duration::from_millis(300)).await;
    assert_eq!(world.clients.status(&name).unwrap().restarts, 0);
    world.clients.told(&name, &start, NativeState::Running);
    let status = world.when("a1", |it| it.last_end.is_some()).await;
    let end = status.last_end.clone().unwrap();
    assert_eq!(end.reason, "it left 2 questions in a row unanswered");
}

#[tokio::test]
async fn a_client_that_uses_too_much_memory_is_started_again() {
    let mut policy = policy("exec sleep 60");
    policy.memory_bytes_max = 1;
    let world = World::with(&policy);
    world.start("a1").await.unwrap();
    let status = world.when("a1", |it| it.last_end.is_some()).await;
    let reason = status.last_end.clone().unwrap().reason;
    assert!(reason.contains("openwx.memory_bytes_max is 1"), "{reason}");
}

#[tokio::test]
async fn a_client_that_prints_a_lot_waits_for_nobody() {
    let mut policy = policy("head -c 3000000 /dev/zero | tr '\\0' 'x'; echo > done; sleep 60");
    policy.log_bytes_max = 64 * 1024;
    let world = World::with(&policy);
    world.start("a1").await.unwrap();
    world.read("a1", "done").await;
    timeout(PATIENCE, world.clients.log_grown(&called("a1"), 2_999_999))
        .await
        .unwrap();
    let piece = world
        .clients
        .log(&called("a1"), LogFrom::Place(0), u64::MAX)
        .await;
    let piece = piece.unwrap();
    assert_eq!(piece.next, 3_000_000);
    assert!(piece.bytes.len() < 4 * 64 * 1024);
}

#[tokio::test]
async fn a_start_that_fails_leaves_nothing_and_says_why() {
    let mut policy = policy("exit 0");
    let command = vec!["no-such-program".to_owned()];
    policy
        .template
        .insert("bad".to_owned(), Template { command });
    policy.backend_end_port = policy.backend_start_port;
    let world = World::with(&policy);
    let bad = Wanted {
        template: "bad".to_owned(),
        ..wanted("a1")
    };
    let error = world.clients.start(bad.clone()).await.unwrap_err();
    assert!(matches!(error, StartError::Template(_)), "{error:?}");
    assert!(world.clients.all().is_empty());
    let over = Over {
        failed: true,
        at_ms: 7,
        reason: "before".to_owned(),
    };
    let kept = Wanted {
        over: Some(over),
        ..bad.clone()
    };
    world.clients.keep(kept);
    world.clients.start(bad).await.unwrap_err();
    let status = world.clients.status(&called("a1")).unwrap();
    assert_eq!(status.phase, Phase::Failed);
    assert_eq!(status.reason.as_deref(), Some("before"));
    let port = policy.backend_start_port;
    let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    assert_eq!(world.start("a2").await.unwrap_err(), StartError::NoPort);
    assert_eq!(world.clients.all().len(), 1);
}

#[tokio::test]
async fn a_client_that_is_put_off_waits_until_somebody_starts_it() {
    let mut policy = policy("exec sleep 60");
    policy.backend_end_port = policy.backend_start_port;
    let world = World::with(&policy);
    let put_off = |next_ms, reason: &str| {
        world
            .clients
            .put_off(wanted("a1"), next_ms, reason.to_owned());
        world.clients.status(&called("a1")).unwrap()
    };
    let status = put_off(7, "soon");
    assert_eq!(
        (status.phase, status.next_start_ms),
        (Phase::Waiting, Some(7))
    );
    assert_eq!(world.clients.next_new().await, Some(called("a1")));
    let since_ms = status.since_ms;

    let port = policy.backend_start_port;
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    assert_eq!(world.start("a1").await.unwrap_err(), StartError::NoPort);
    let status = put_off(9, "no port");
    assert!(status.is_awaited() && status.since_ms == since_ms);
    assert_eq!(status.reason.as_deref(), Some("no port"));
    drop(taken);
    // A port may be somebody else's for a moment more.
    let started = loop {
        match world.start("a1").await {
            Err(StartError::NoPort) => tokio::time::sleep(Duration::from_millis(20)).await,
            started => break started.unwrap(),
        }
    };
    assert_eq!(
        put_off(11, "late").start,
        started.start,
        "it is looked after"
    );
    world.stop("a1").await;

    put_off(7, "soon");
    assert!(world.clients.stop(&called("a1")).is_some());
    assert!(world.clients.status(&called("a1")).is_none(), "at once");
    put_off(7, "soon");
    world.clients.restart(&called("a1"), "somebody asked");
    world.when("a1", |it| it.pid.is_some()).await;
}

#[tokio::test]
async fn a_port_that_is_spoken_to_is_not_given_to_another() {
    let policy = policy("exec sleep 60");
    let socket = shared_socket(policy.backend_start_port);
    let world = World::with(&policy);
    world.start("a1").await.unwrap();
    assert!(world.clients.address(&called("a1")).is_none());
    let listener = socket.listen(1).unwrap();
    world.in_phase("a1", Phase::Listening).await;
    let address = world.clients.address(&called("a1")).unwrap();
    drop(listener);
    world.stop("a1").await;
    let other = world.start("a2").await.unwrap();
    assert_ne!(other.port.unwrap(), address.port);
    let port = address.port;
    drop(address);
    let third = world.start("a3").await.unwrap();
    assert_eq!(third.port.unwrap(), port);
}

#[tokio::test]
async fn the_hosts_end_ends_all_and_leaves_nothing() {
    let world = World::of("trap '' TERM; echo $$ > pid; while :; do sleep 0.05; done");
    let mut pids = Vec::new();
    for name in ["a1", "a2", "a3"] {
        world.start(name).await.unwrap();
        pids.push(world.read(name, "pid").await);
    }
    let places = world.clients.0.setup.places.clone();
    assert!(places.pid_path.exists());
    let begun = Instant::now();
    world.clients.end().await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(pids.iter().all(|pid| !is_alive(pid)));
    assert!(world.clients.all().is_empty());
    assert_eq!(world.start("a4").await.unwrap_err(), StartError::Ending);
    let new = async { while world.clients.next_new().await.is_some() {} };
    timeout(PATIENCE, new).await.unwrap();
    assert!(!places.pid_path.exists() && !places.backend_path.exists());
}

#[tokio::test]
async fn what_ends_with_the_host_is_neither_over_nor_started_again() {
    // Two of them have ended before the host is told to, the third does after.
    let stops = World::of(&format!("{STATE} say running; say stop; exit 0"));
    let fails = World::of("exit 1");
    let crashes = World::of("echo once >> starts; until [ -e go ]; do sleep 0.02; done; exit 1");
    let all = [&stops, &fails, &crashes];
    for host in all {
        host.start("a1").await.unwrap();
    }
    stops.when("a1", |it| it.last_end.is_some()).await;
    fails
        .when("a1", |it| it.restarts == 2 && it.pid.is_none())
        .await;
    for host in all {
        host.clients.stop_starting();
    }
    std::fs::write(crashes.file("a1", "go"), "").unwrap();
    crashes.when("a1", |it| it.last_end.is_some()).await;
    // Longer than any wait here.
    sleep(Duration::from_secs(1)).await;
    for host in all {
        let status = host.clients.status(&called("a1")).unwrap();
        assert_eq!((status.phase, status.pid), (Phase::Waiting, None));
        assert_eq!(host.start("a2").await.unwrap_err(), StartError::Ending);
        host.clients.end().await;
        assert!(host.clients.all().is_empty());
        assert!(
            host.file("a1", "").exists(),
            "the next host goes on with it"
        );
    }
    assert_eq!(crashes.read("a1", "starts").await, "once");
}

#[tokio::test]
async fn the_log_of_the_settings_does_not_lie_in_a_clients_directory() {
    let mut policy = policy("echo $MOJO_WEIXIN_LOG_PATH > told; exec sleep 60");
    policy.log_path = Some("client.log".into());
    let world = World::with(&policy);
    world.start("a1").await.unwrap();
    let here = std::env::current_dir().unwrap().join("client.log");
    assert_eq!(world.read("a1", "told").await, here.to_str().unwrap());
}

#[tokio::test]
async fn what_a_killed_host_left_is_ended_and_a_living_one_is_not_disturbed() {
    let policy = policy("exit 0");
    let dir = tempfile::tempdir().unwrap();
    let tmpdir = policy.places(dir.path()).tmpdir;
    let mut command = std::process::Command::new("sleep");
    let command = command.arg("60").env(environment::CLIENTS_OF, &tmpdir);
    let mut left = command.spawn().unwrap();
    let clients = World::opened(&policy, dir.path());
    assert!(!left.wait().unwrap().success());
    let setup = Setup::new(&policy, dir.path(), "", Arc::new(now_ms)).unwrap();
    let error = Shared::open(setup).unwrap_err().to_string();
    assert!(error.contains("another host"), "{error}");
    drop(clients);
}
