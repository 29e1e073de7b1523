//! What hostile guests do, and that nobody else notices.
//!
//! | what it does | test |
//! |---|---|
//! | loops without end | `guests::a_hostile_bot_harms_nobody_but_its_own_account` (`endless-loop`), and eight at a time here: `eight_endless_loops_leave_room_for_others` |
//! | calls itself without end | the same test of `guests` (`endless-recursion`) |
//! | takes all memory | the same (`memory-hoarder`) |
//! | grows its tables | `tables_grow_to_their_limit_and_no_further` |
//! | calls the host a million times | `guests` (`call-flooder`) |
//! | hoards handles of its store | `guests` (`handle-hoarder`) |
//! | hoards requests of HTTP that it never sends | `requests_that_are_never_sent_have_an_end` |
//! | takes all places for requests | `web::a_silent_system_takes_the_places_of_its_own_bot_only` |
//! | makes more requests than it may | `web::what_goes_on_and_on_is_cut_off_and_holds_up_nobody` (`web.many`) |
//! | reads a body without end, or one that comes in drops | the same test of `web` (`/endless`, `/dribble`), by `wxhost:bot/web` and by `wasi:http` |
//! | sends to somebody who reads nothing | the same (`/drain`) |
//! | waits inside of the host | `guests` (`slow-host-call`) |
//! | asks for a hundred thousand tasks | `guests` (`task-flooder`) |
//! | asks for things and then fails | `guests` (`effects-then-trap`, `effects-then-err`) |
//! | exports `init` and wants it called | `an_export_that_is_not_ours_is_never_called` |
//! | has ten thousand functions to compile | `a_component_that_is_long_to_compile_keeps_nobody_waiting`, `one_that_takes_longer_than_it_may_is_refused_by_the_limit_s_name` |
//! | imports what no host has | `what_imports_what_no_host_has_is_refused`, `handlers::what_is_no_bot_is_refused_with_the_reason` (`unknown-import`) |
//! | opens sockets or files, reads the environment | `what_is_outside_of_the_sandbox_is_out_of_reach` |
//! | opens or asks for what it was not granted | `keyvalue::the_shared_bucket_is_for_whom_it_was_granted`, `web::a_bot_calls_whom_its_version_may_and_nobody_else` |
//! | writes keys that look like another account's | `no_key_reaches_another_account` |
//! | wants another account's store or contacts | the same |
//! | traps when it starts, or never comes to an end | `what_fails_when_it_starts_is_refused` |
//! | has forty core instances, as Python's runtime has | `forty_core_instances_a_call_leave_places_for_all` |
//! | keeps in its memory what was another account's | `instances`, all of it |
//! | fails when the callback asks it | `callback` (`callback-trap`, `callback-loop`) |

use std::time::{Duration, Instant};

use serde_json::json;
use wxhost_tests::{
    Context, Host, Result, Site, WehubClient, check,
    component::with_module,
    guests,
    host::{Answer, Api, COMPILE_MS, Settings},
    poll,
};

/// How long a well-behaved account may wait while others misbehave.
const PROMPT: Duration = Duration::from_secs(2);
/// How long the bomb is compiled where nobody waits for it any more.
const COMPILED: Duration = Duration::from_millis(COMPILE_MS);

fn settings() -> Settings {
    Settings::default()
        .unpaced()
        .limit("call_cpu_ms", 300)
        .limit("call_wall_ms", 3_000)
}

/// `echo` with this core module in it, instantiated so many times.
fn echo_with(module: &str, instances: u32) -> Result<Vec<u8>> {
    let module = wat::parse_str(module).context("the module")?;
    with_module(&guests::bytes("echo")?, &module, instances)
}

/// Has the client be answered while the work goes on; gives what came of the work, and
/// the longest wait.
async fn meanwhile<T>(
    client: &WehubClient,
    work: impl Future<Output = Result<T>>,
) -> Result<(T, Duration)> {
    tokio::pin!(work);
    let mut longest = Duration::ZERO;
    for number in 0u64.. {
        let text = format!("still there? {number}");
        let sent = Instant::now();
        client.text_from("wxid_bob", &text).await?.says(&text)?;
        longest = longest.max(sent.elapsed());
        if let Ok(done) = tokio::time::timeout(Duration::from_millis(10), &mut work).await {
            return Ok((done?, longest));
        }
    }
    unreachable!("there are more numbers than time")
}

async fn ask(client: &WehubClient, words: &str) -> Result<String> {
    let ack = client.text_from("wxid_bob", words).await?;
    Ok(ack.ok()?.texts().concat())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_endless_loops_leave_room_for_others() -> Result<()> {
    let host = Host::with(settings()).await?;
    host.serve_guest("*", "echo").await?;
    let good = host.wehub("wxid_good")?.login().await?;
    let mut bad = Vec::new();
    for number in 0..8 {
        let account = format!("wxid_bad{number}");
        bad.push(host.wehub(&account)?.login().await?);
        host.serve_guest(&account, "endless-loop").await?;
    }
    let all = async {
        let texts = bad
            .iter()
            .map(|client| client.text_from("wxid_bob", "loop"));
        futures_util::future::try_join_all(texts).await
    };
    let (answers, longest) = meanwhile(&good, all).await?;
    for answer in answers {
        answer.silent()?;
    }
    check!(
        longest < PROMPT,
        "echo kept somebody waiting for {longest:?}"
    );
    for number in 0..8 {
        let failures = host.api()?.failures(&format!("wxid_bad{number}")).await?;
        let kind = failures[0]["kind"].as_str().unwrap_or_default().to_owned();
        check!(
            ["cpu-time", "wall-clock"].contains(&kind.as_str()),
            "{kind}"
        );
    }
    host.end().await
}

#[tokio::test]
async fn tables_grow_to_their_limit_and_no_further() -> Result<()> {
    let host = Host::with(settings()).await?;
    host.serve_guest("*", "echo").await?;
    let good = host.wehub("wxid_good")?.login().await?;
    // Grows its table by a thousand until it is refused, whenever it is instantiated.
    let greedy = r#"(module (table 0 funcref)
        (func $grow
            (loop $again
                (br_if $again
                    (i32.ne (table.grow (ref.null func) (i32.const 1000)) (i32.const -1)))))
        (start $grow))"#;
    host.api()?
        .deploy("greedy", echo_with(greedy, 3)?)
        .await?
        .ok()?;
    host.bind("wxid_bad", "greedy").await?;
    let bad = host.wehub("wxid_bad")?.login().await?;
    for number in 0..5 {
        let text = format!("message {number}");
        bad.text_from("wxid_bob", &text).await?.says(&text)?;
        good.text_from("wxid_bob", &text).await?.says(&text)?;
    }
    // One that takes it badly is refused at once.
    let bitter = greedy.replace(
        "(start $grow)",
        "(func $end (call $grow) unreachable) (start $end)",
    );
    let refused = host.api()?.deploy("bitter", echo_with(&bitter, 1)?).await?;
    refused.problem(422, "unfit-component")?;
    good.text_from("wxid_bob", "and now?")
        .await?
        .says("and now?")?;
    host.end().await
}

#[tokio::test]
async fn requests_that_are_never_sent_have_an_end() -> Result<()> {
    let host = Host::with(settings()).await?;
    host.serve_guest("*", "echo").await?;
    host.serve_guest("wxid_bad", "probe").await?;
    let (good, bad) = (
        host.wehub("wxid_good")?.login().await?,
        host.wehub("wxid_bad")?.login().await?,
    );
    let before = host.memory_bytes()?;
    for _ in 0..3 {
        let hoarding = bad.text_from("wxid_bob", "wasi-http.hoard POST http://127.0.0.1:1/");
        let (answer, longest) = meanwhile(&good, hoarding).await?;
        answer.silent()?;
        check!(
            longest < PROMPT,
            "echo kept somebody waiting for {longest:?}"
        );
    }
    for failure in host.api()?.failures("wxid_bad").await? {
        let kind = failure["kind"].as_str().unwrap_or_default();
        check!(
            ["host-calls", "trap", "cpu-time"].contains(&kind),
            "{failure}"
        );
    }
    let more = host.memory_bytes()?.saturating_sub(before);
    check!(more < 128 << 20, "{more} bytes stay");
    host.end().await
}

#[tokio::test]
async fn an_export_that_is_not_ours_is_never_called() -> Result<()> {
    let host = Host::with(settings()).await?;
    host.serve_guest("*", "echo").await?;
    let good = host.wehub("wxid_good")?.login().await?;
    host.serve_guest("wxid_a", "init-export").await?;
    let a = host.wehub("wxid_a")?.login().await?;
    let asked = async || {
        for _ in 0..3 {
            assert_eq!(ask(&a, "hello").await?, "init was not called");
        }
        Ok(())
    };
    meanwhile(&good, asked()).await?;
    // Nor when the instance is kept.
    let options = json!({"manifest": {"instances": "per-account"}});
    let bytes = guests::bytes("init-export")?;
    let api = host.api()?;
    let deployed = api.deploy_with("init-export", bytes, &options);
    let (deployed, longest) = meanwhile(&good, deployed).await?;
    deployed.ok()?;
    check!(
        longest < PROMPT,
        "echo kept somebody waiting for {longest:?}"
    );
    meanwhile(&good, asked()).await?;
    host.end().await
}

#[tokio::test]
async fn what_imports_what_no_host_has_is_refused() -> Result<()> {
    let host = Host::with(settings()).await?;
    host.serve_guest("*", "echo").await?;
    let good = host.wehub("wxid_good")?.login().await?;
    let api = host.api()?;
    let before = api.get("/handlers/echo").await?;
    // As a handler of its own, and in the place of the one that serves.
    for name in ["stranger", "echo"] {
        let stranger = guests::bytes("unknown-import")?;
        let (refused, longest) = meanwhile(&good, api.deploy(name, stranger)).await?;
        let problem = refused.problem(422, "unfit-component")?;
        check!(problem.contains("elsewhere:unknown/oracle"), "{problem}");
        check!(
            longest < PROMPT,
            "echo kept somebody waiting for {longest:?}"
        );
    }
    let after = api.get("/handlers/echo").await?;
    assert_eq!(after["version"], before["version"]);
    let handlers = api.get("/handlers").await?;
    assert_eq!(handlers["items"].as_array().map(Vec::len), Some(1));
    host.end().await
}

#[tokio::test]
async fn what_is_outside_of_the_sandbox_is_out_of_reach() -> Result<()> {
    let site = Site::start().await?;
    // What the bot may ask over HTTP opens no socket to it.
    let options = json!({"manifest": {"allowed_hosts": [site.origin()]}});
    let settings = settings().env("OF_THE_HOST", "a variable");
    let host = Host::with(settings).await?;
    host.serve_guest("*", "echo").await?;
    let good = host.wehub("wxid_good")?.login().await?;
    let probe = guests::bytes("probe")?;
    let api = host.api()?;
    api.deploy_with("probe", probe, &options).await?.ok()?;
    host.bind("wxid_bad", "probe").await?;
    let bad = host.wehub("wxid_bad")?.login().await?;

    let udp = tokio::net::UdpSocket::bind("127.0.0.1:0").await?;
    let token = host.data().join("admin-token").display().to_string();
    let new = host.home().join("new-file");
    let (no_socket, no_file) = ("Permission denied", "No such file or directory");
    let refused = [
        (format!("sandbox.connect {}", site.address()), no_socket),
        (format!("sandbox.connect {}", host.address()?), no_socket),
        (format!("sandbox.connect [::1]:{}", site.port()), no_socket),
        ("sandbox.listen 127.0.0.1:0".to_owned(), no_socket),
        (format!("sandbox.send {}", udp.local_addr()?), no_socket),
        (
            "sandbox.resolve localhost:80".to_owned(),
            "failed to lookup",
        ),
        (format!("sandbox.read {token}"), no_file),
        ("sandbox.read /etc/passwd".to_owned(), no_file),
        ("sandbox.read /proc/self/environ".to_owned(), no_file),
        ("sandbox.read wxhost.toml".to_owned(), no_file),
        ("sandbox.list /".to_owned(), no_file),
        ("sandbox.list .".to_owned(), no_file),
        (format!("sandbox.write {}", new.display()), no_file),
        ("sandbox.write new-file".to_owned(), no_file),
    ];
    for (words, reason) in refused {
        let (answer, longest) = meanwhile(&good, ask(&bad, &words)).await?;
        // An error that the bot can handle.
        check!(
            answer.starts_with("err other ") && answer.contains(reason),
            "{words}: {answer}"
        );
        check!(
            longest < PROMPT,
            "{words}: echo kept somebody waiting for {longest:?}"
        );
    }
    // There is nothing to be read.
    for words in ["sandbox.environment", "sandbox.arguments", "sandbox.input"] {
        assert_eq!(ask(&bad, words).await?, "ok", "{words}");
    }
    assert_eq!(site.asked(), 0, "somebody has connected");
    for file in [&new, &host.data().join("new-file")] {
        check!(!file.exists(), "{} was written", file.display());
    }
    let mut datagram = [0; 8];
    let got = udp.try_recv(&mut datagram);
    check!(got.is_err(), "a datagram has come: {got:?}");
    // The way out that it was given is there, and its calls did not fail.
    let fetched = ask(&bad, &format!("web.fetch GET {}", site.url("/a"))).await?;
    assert_eq!(fetched, "ok 200 you asked /a");
    check!(
        host.api()?.failures("wxid_bad").await?.is_empty(),
        "a call failed"
    );
    host.end().await
}

/// Ten thousand functions of some size.
fn many_functions(seed: usize) -> String {
    let mut module = String::from("(module");
    for number in 0..10_000 {
        module.push_str("(func (param i64) (result i64) local.get 0");
        for step in 0..20 {
            let constant = number * 31 + step + seed;
            module.push_str(&format!(
                " i64.const {constant} i64.mul local.get 0 i64.rotl i64.const {step} i64.xor"
            ));
        }
        module.push(')');
    }
    module.push(')');
    module
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_that_is_long_to_compile_keeps_nobody_waiting() -> Result<()> {
    let limits = settings()
        .limit("compile_ms", 1_000)
        .limit("component_bytes", 8 << 20);
    let host = Host::with(limits).await?;
    let api = host.api()?;
    host_serves_echo(&host).await?;
    let good = host.wehub("wxid_good")?.login().await?;
    let before = api.get("/handlers/echo").await?["version"].clone();

    let bombs = async {
        let [first, second] = [0, 1].map(|seed| echo_with(&many_functions(seed), 1));
        let (first, second) = (first?, second?);
        let both = tokio::try_join!(api.deploy("bomb0", first), api.deploy("bomb1", second));
        both.map(<[_; 2]>::from)
    };
    let began = Instant::now();
    // Meanwhile others are answered, and what is deployed already is changed.
    let changes = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let changed = Instant::now();
        host.bind("wxid_other", "echo").await?;
        host.configure("echo", json!({"k": "v"})).await?;
        Ok::<_, wxhost_tests::Error>(changed.elapsed())
    };
    let both = async { tokio::try_join!(bombs, changes) };
    let ((answers, changing), longest) = meanwhile(&good, both).await?;
    check!(
        longest < PROMPT,
        "echo kept somebody waiting for {longest:?}"
    );
    check!(changing < PROMPT, "a change waited for {changing:?}");
    // Each was refused in time, or taken by a machine that is quick enough.
    for answer in &answers {
        check!([201, 422, 503].contains(&answer.status), "{answer:?}");
    }
    let took = began.elapsed();
    check!(took < Duration::from_secs(30), "the answers took {took:?}");
    assert_eq!(api.get("/handlers/echo").await?["version"], before);

    // One that is too large is not looked at.
    let large = echo_with(
        &format!("(module (@custom \"x\" \"{}\"))", "x".repeat(9 << 20)),
        0,
    )?;
    let refused = api.deploy("large", large).await?;
    check!(
        refused.status >= 400 && refused.status < 500,
        "{}",
        refused.status
    );
    host.end().await
}

/// The other bomb may be taken by a machine that is quick enough; here there is no time at
/// all, so the answer has to be the limit's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_takes_longer_than_it_may_is_refused_by_the_limit_s_name() -> Result<()> {
    let folder = tempfile::tempdir()?;
    // What was compiled before needs no time: with the usual limit first.
    let before = Host::at(folder.path(), settings()).await?;
    before.serve_guest("*", "echo").await?;
    before.end().await?;

    let host = Host::at(folder.path(), settings().limit("compile_ms", 20)).await?;
    let good = host.wehub("wxid_good")?.login().await?;
    let api = host.api()?;
    let bomb = echo_with(&many_functions(7), 1)?;
    // For a new handler, and for the one that serves.
    for name in ["bomb", "echo"] {
        let (refused, longest) = meanwhile(&good, until_compiling(&api, name, &bomb)).await?;
        let problem = refused.problem(422, "unfit-component")?;
        check!(
            problem.contains("more than 20 ms (limits.compile_ms)"),
            "{name}: {problem}"
        );
        check!(
            longest < PROMPT,
            "echo kept somebody waiting for {longest:?}"
        );
    }
    let handlers = api.get("/handlers").await?;
    assert_eq!(handlers["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(handlers["items"][0]["version"], 1);
    // What is compiled already is taken as ever, and serves.
    let again = json!({"manifest": {"own_messages": true}});
    let echo = guests::bytes("echo")?;
    api.deploy_with("echo", echo, &again).await?.ok()?;
    good.text_from("wxid_bob", "and now?")
        .await?
        .says("and now?")?;
    host.end().await
}

/// Its turn to be compiled comes when the one before has ended: till then the answer is
/// that others are being compiled, and that it helps to try again.
async fn until_compiling(api: &Api, name: &str, component: &[u8]) -> Result<Answer> {
    poll::until("its turn to be compiled", COMPILED, async || {
        let answer = api.deploy(name, component.to_vec()).await?;
        Ok((answer.status != 503).then_some(answer))
    })
    .await
}

/// Compiled in time at last: what took too long once is tried again, as people do. Debug
/// builds take their time.
async fn host_serves_echo(host: &Host) -> Result<()> {
    for _ in 0..20 {
        let answer = host.api()?.deploy("echo", guests::bytes("echo")?).await?;
        if answer.status < 300 {
            host.bind("*", "echo").await?;
            return Ok(());
        }
    }
    wxhost_tests::fail!("echo is not compiled in time")
}

#[tokio::test]
async fn no_key_reaches_another_account() -> Result<()> {
    let host = Host::with(settings()).await?;
    host.serve_guest("*", "probe").await?;
    let a = host.wehub("wxid_a")?.login().await?;
    let b = host.wehub("wxid_b")?.login().await?;
    b.report_contact(3).await?.silent()?;
    assert_eq!(ask(&b, "keyvalue.set secret of-b").await?, "ok");
    // Names that would reach it, if keys were put together of texts.
    let names = [
        "wxid_b/probe/secret",
        "../wxid_b/probe/secret",
        "/secret",
        "probe:secret",
        "\u{1}secret",
        "%00secret",
        "wxid_b\u{ff}probe\u{ff}secret",
        "*",
        "secret",
    ];
    for name in names {
        let read = ask(&a, &format!("keyvalue.get {name}")).await?;
        check!(!read.contains("of-b"), "{name:?}: {read}");
        let written = ask(&a, &format!("keyvalue.set {name} of-a")).await?;
        check!(
            written == "ok" || written.starts_with("err"),
            "{name:?}: {written}"
        );
    }
    assert_eq!(ask(&b, "keyvalue.get secret").await?, "ok of-b");
    assert_eq!(ask(&b, "keyvalue.list-keys -").await?, "ok secret next -");
    // Nor does the name of a store, or of a contact.
    for store in ["wxid_b", "wxid_b/probe", "../wxid_b", "*callback"] {
        let opened = ask(&a, &format!("keyvalue.open {store}")).await?;
        check!(opened.starts_with("err"), "{store}: {opened}");
    }
    assert_eq!(
        ask(&a, "contacts.get-contact wxid_friend1").await?,
        "ok None"
    );
    let found = ask(&a, "contacts.find-contacts 10 好友").await?;
    assert_eq!(found, "ok");
    check!(
        ask(&b, "contacts.get-contact wxid_friend1")
            .await?
            .starts_with("ok Some"),
        "the contact is not there at all"
    );
    host.end().await
}

#[tokio::test]
async fn what_fails_when_it_starts_is_refused() -> Result<()> {
    let limits = settings()
        .set("limits.ceiling.cpu_ms", 300)
        .set("limits.ceiling.wall_ms", 3_000);
    let host = Host::with(limits).await?;
    host.serve_guest("*", "echo").await?;
    let good = host.wehub("wxid_good")?.login().await?;
    let trapping = "(module (func $start unreachable) (start $start))";
    let endless = "(module (func $start (loop $again (br $again))) (start $start))";
    for (name, module) in [("trapping", trapping), ("endless", endless)] {
        let component = echo_with(module, 1)?;
        let api = host.api()?;
        let (refused, longest) = meanwhile(&good, api.deploy(name, component)).await?;
        let problem = refused.problem(422, "unfit-component")?;
        check!(problem.contains("does not start"), "{name}: {problem}");
        check!(
            longest < PROMPT,
            "{name} kept somebody waiting for {longest:?}"
        );
        let path = format!("/handlers/{name}");
        let shown = api.request(reqwest::Method::GET, &path, None).await?;
        shown.problem(404, "not-found")?;
    }
    host.end().await
}

/// The pool has places for so many core instances as all calls together may have, each
/// of them with as many as Python's runtime.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_core_instances_a_call_leave_places_for_all() -> Result<()> {
    let limits = settings()
        .limit("concurrent_calls", 4)
        .limit("warm_instances", 3)
        .limit("queue_wait_ms", 10_000);
    let host = Host::with(limits).await?;
    host.serve_guest("*", "echo").await?;
    let good = host.wehub("wxid_good")?.login().await?;
    let large = "(module (memory 1) (table 10 funcref) (func))";
    let many = "(module (func))";
    let component = with_module(
        &echo_with(large, 2)?,
        &wat::parse_str(many).context("the module")?,
        38,
    )?;
    // Kept instances have places of their own.
    for (name, instances) in [("fresh", "fresh"), ("kept", "per-account")] {
        let options = json!({"manifest": {"instances": instances}});
        let api = host.api()?;
        api.deploy_with(name, component.clone(), &options)
            .await?
            .ok()?;
    }
    let mut clients = Vec::new();
    for number in 0..12 {
        let account = format!("wxid_many{number}");
        host.bind(&account, if number % 2 == 0 { "fresh" } else { "kept" })
            .await?;
        clients.push(host.wehub(&account)?.login().await?);
    }
    let all = async {
        for round in 0..5 {
            let text = format!("round {round}");
            let texts = clients
                .iter()
                .map(|client| client.text_from("wxid_bob", &text));
            for answer in futures_util::future::try_join_all(texts).await? {
                answer.says(&text)?;
            }
        }
        Ok(())
    };
    let ((), longest) = meanwhile(&good, all).await?;
    check!(
        longest < PROMPT,
        "echo kept somebody waiting for {longest:?}"
    );
    for number in 0..12 {
        let failures = host.api()?.failures(&format!("wxid_many{number}")).await?;
        check!(failures.is_empty(), "{failures:?}");
    }
    // One more than a component may have is refused, not left to others to notice.
    let more = with_module(&component, &wat::parse_str(many).context("the module")?, 20)?;
    let refused = host.api()?.deploy("more", more).await?;
    refused.problem(422, "unfit-component")?;
    good.text_from("wxid_bob", "and now?")
        .await?
        .says("and now?")?;
    host.end().await
}
