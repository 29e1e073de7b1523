//! Requests of bots to other systems: where they may go, and what holds nobody up. Those of
//! bots in JavaScript and Python are in `instances`, where such bots are deployed anyway.

use std::time::{Duration, Instant};

use serde_json::json;
use wxhost_tests::{Context, Host, Result, Site, WehubClient, check, guests, host::Settings, poll};

/// How long one request may take in these tests.
const REQUEST: Duration = Duration::from_millis(700);
/// How long a well-behaved account may wait meanwhile.
const PROMPT: Duration = Duration::from_secs(2);

/// How long something may take to come about on a busy machine.
const ENDED: Duration = Duration::from_secs(20);

const MIB: usize = 1024 * 1024;

/// A host with the probe, which may call these, for `wxid_bad`, and echo for all others.
async fn host(rules: &[String]) -> Result<Host> {
    let ms = u64::try_from(REQUEST.as_millis()).unwrap_or(700);
    let settings = Settings::default()
        .unpaced()
        .limit("call_wall_ms", 4_000)
        .set("egress.request_ms", ms);
    let host = Host::with(settings).await?;
    host.serve_guest("*", "echo").await?;
    let options = json!({"manifest": {"allowed_hosts": rules}});
    let probe = guests::bytes("probe")?;
    host.api()?
        .deploy_with("probe", probe, &options)
        .await?
        .ok()?;
    host.bind("wxid_bad", "probe").await?;
    Ok(host)
}

async fn ask(client: &WehubClient, command: &str) -> Result<String> {
    let ack = client.text_from("wxid_bob", command).await?;
    Ok(ack.ok()?.texts().concat())
}

#[tokio::test]
async fn a_bot_calls_whom_its_version_may_and_nobody_else() -> Result<()> {
    let (site, other) = (Site::start().await?, Site::start().await?);
    let any_name = format!("http://*:{}", other.port());
    let mut host = host(&[site.origin(), any_name]).await?;
    let client = host.wehub("wxid_bad")?.login().await?;
    let fetch = async |url: String| ask(&client, &format!("web.fetch GET {url}")).await;
    assert_eq!(fetch(site.url("/a?b#c")).await?, "ok 200 you asked /a?b");
    let wasi = async |url: String| ask(&client, &format!("wasi-http.send GET {url} 0")).await;
    assert_eq!(wasi(site.url("/a?b")).await?, "ok 200 you asked /a?b");

    let asked = (site.asked(), other.asked());
    let denied = fetch(other.url("/")).await?;
    check!(
        denied.starts_with("err denied") && denied.contains("addresses of this machine"),
        "{denied}"
    );
    // A name that is known to lead to this machine, and a rule for names of the Internet.
    let name = format!("http://localhost:{}/", other.port());
    for url in [
        name.clone(),
        name.replace("localhost", "[::ffff:127.0.0.1]"),
    ] {
        let denied = fetch(url.clone()).await?;
        check!(denied.starts_with("err denied"), "{url}: {denied}");
        let denied = wasi(url.clone()).await?;
        check!(denied.contains("HttpRequestDenied"), "{url}: {denied}");
    }
    let port = fetch("http://127.0.0.1:9/".to_owned()).await?;
    check!(port.contains("--allow-host http://127.0.0.1:9"), "{port}");
    let tls = fetch(site.url("/").replace("http:", "https:")).await?;
    check!(tls.starts_with("err denied"), "{tls}");
    let metadata = fetch("http://169.254.169.254/latest/meta-data".to_owned()).await?;
    check!(metadata.starts_with("err denied"), "{metadata}");
    // What the host would hold for each request that a guest puts together has an end.
    let long = format!("wasi-http.send {} {} 0", "M".repeat(65), site.url("/"));
    check!(
        ask(&client, &long).await?.contains("takes no such request"),
        "a method"
    );
    let long = wasi(format!("http://{}/", "a".repeat(1025))).await?;
    check!(long.contains("takes no such request"), "{long}");
    let long = ask(
        &client,
        &format!("web.fetch {} {}", "M".repeat(65), site.url("/")),
    )
    .await?;
    check!(long.starts_with("err bad-request"), "{long}");
    let header = ask(&client, &format!("web.header host a.com {}", site.url("/"))).await?;
    check!(header.starts_with("err bad-request"), "{header}");
    assert_eq!(
        (site.asked(), other.asked()),
        asked,
        "who is not allowed is not asked"
    );

    assert_eq!(fetch(site.url("/redirect")).await?, "ok 302 elsewhere");
    host.terminate().await?;
    host.start_again().await?;
    let client = host.wehub("wxid_bad")?.login().await?;
    let again = ask(&client, &format!("web.fetch GET {}", site.url("/"))).await?;
    assert_eq!(again, "ok 200 you asked /");
    host.end().await
}

#[tokio::test]
async fn without_a_rule_nobody_is_called() -> Result<()> {
    let site = Site::start().await?;
    let host = host(&[]).await?;
    let client = host.wehub("wxid_bad")?.login().await?;
    let denied = ask(&client, &format!("web.fetch GET {}", site.url("/"))).await?;
    check!(denied.starts_with("err denied"), "{denied}");
    assert_eq!(site.asked(), 0);
    host.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_on_and_on_is_cut_off_and_holds_up_nobody() -> Result<()> {
    let site = Site::start().await?;
    let host = host(&[site.origin()]).await?;
    let bad = host.wehub("wxid_bad")?.login().await?;
    let good = host.wehub("wxid_good")?.login().await?;
    let url = |path: &str| site.url(path);
    for (command, outcome) in [
        (
            format!("web.fetch GET {}", url("/endless")),
            "err too-large",
        ),
        (format!("web.fetch GET {}", url("/dribble")), "err timeout"),
        (format!("web.fetch GET {}", url("/drain")), "err timeout"),
        (
            format!("web.fetch GET {} 100", url("/drain")),
            "err timeout",
        ),
        (
            format!("web.large {} {}", 2 * MIB, url("/drain")),
            "err too-large",
        ),
        (format!("web.many 9 {}", url("/")), "err too-many at most 8"),
        (
            format!("wasi-http.send GET {} 0", url("/endless")),
            "cut off: HTTP response body size exceeds",
        ),
        (
            format!("wasi-http.send GET {} 0", url("/dribble")),
            "HttpResponseTimeout",
        ),
        (
            format!("wasi-http.send POST {} {}", url("/drain"), 1024 * MIB),
            "HttpRequestBodySize",
        ),
    ] {
        let began = Instant::now();
        let others = async {
            good.text_from("wxid_bob", &command).await?.says(&command)?;
            Ok(began.elapsed())
        };
        let (answer, waited) = tokio::try_join!(ask(&bad, &command), others)?;
        check!(answer.contains(outcome), "{command}: {answer}");
        check!(
            waited < PROMPT,
            "{command}: another account waited for {waited:?}"
        );
    }
    // More than one host call may hand over ends the call, not the host.
    let command = format!("web.large {} {}", 8 * MIB, url("/drain"));
    bad.text_from("wxid_bob", &command).await?.silent()?;
    let failures = host.api()?.failures("wxid_bad").await?;
    let kinds: Vec<_> = failures.iter().map(|it| it["kind"].clone()).collect();
    assert_eq!(kinds, ["host-calls"]);
    host.end().await
}

#[tokio::test]
async fn the_command_line_grants_and_shows_whom_a_version_may_call() -> Result<()> {
    let host = Host::start().await?;
    let echo = guests::path("echo")?.display().to_string();
    let rules = [
        "--allow-host",
        "https://B.example.com/",
        "--allow-host",
        "https://*.a.com",
    ];
    let deploy = [&["handler", "deploy", "bot", echo.as_str()][..], &rules].concat();
    let deployed = host.cli(&deploy).await?;
    check!(deployed.status.success(), "{deployed:?}");
    let shown = host.cli(&["handler", "show", "bot"]).await?;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    check!(
        shown.contains("granted   https://*.a.com\n          https://b.example.com\n"),
        "{shown}"
    );

    let unfit = [
        "handler",
        "deploy",
        "bot",
        echo.as_str(),
        "--allow-host",
        "b.com",
    ];
    let unfit = host.cli(&unfit).await?;
    let problem = String::from_utf8_lossy(&unfit.stderr).into_owned();
    check!(
        problem.contains("it begins with http:// or https://"),
        "{problem}"
    );
    let options = json!({"manifest": {"allowed_hosts": ["https://a/b"]}});
    let unfit = host
        .api()?
        .deploy_with("bot", guests::bytes("echo")?, &options)
        .await?;
    let problem = unfit.problem(400, "bad-request")?;
    check!(problem.contains("it ends with the host"), "{problem}");
    host.end().await
}

/// Deploys the probe under a name, which may ask this site, for an account of that name.
async fn serve_asker(host: &Host, name: &str, site: &Site) -> Result<WehubClient> {
    let options = json!({"manifest": {"allowed_hosts": [site.origin()]}});
    let probe = guests::bytes("probe")?;
    let api = host.api()?;
    api.deploy_with(name, probe, &options).await?.ok()?;
    let account = format!("wxid_{name}");
    host.bind(&account, name).await?;
    host.wehub(&account)?.login().await
}

/// Until so many requests wait at the site.
async fn until_asked(site: &Site, count: usize) -> Result<()> {
    poll::until("the requests under way", ENDED, async || {
        Ok((site.asked() >= count).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_silent_system_takes_the_places_of_its_own_bot_only() -> Result<()> {
    let (silent, site) = (Site::start().await?, Site::start().await?);
    let settings = Settings::patient()
        .set("egress.requests_max", 32)
        .set("egress.handler_requests_max", 2);
    let host = Host::with(settings).await?;
    let first = serve_asker(&host, "stuck", &silent).await?;
    let good = serve_asker(&host, "good", &site).await?;
    let mut stuck = vec![first];
    for number in 0..3 {
        let account = format!("wxid_stuck{number}");
        host.bind(&account, "stuck").await?;
        stuck.push(host.wehub(&account)?.login().await?);
    }
    let late = stuck.pop().context("nobody is stuck")?;

    let wait = format!("web.fetch GET {}", silent.url("/wait"));
    let asked = stuck.iter().map(|client| ask(client, &wait));
    let all = futures_util::future::try_join_all(asked);
    let meanwhile = async {
        until_asked(&silent, 2).await?;
        // Another bot asks as ever.
        for number in 0..5 {
            let path = format!("/{number}");
            let command = format!("web.fetch GET {}", site.url(&path));
            let began = Instant::now();
            let answer = ask(&good, &command).await?;
            assert_eq!(answer, format!("ok 200 you asked {path}"));
            let waited = began.elapsed();
            check!(waited < PROMPT, "another bot waited for {waited:?}");
        }
        // Of its own bot the third waits for a place, and who has no time is told.
        let busy = ask(&late, &format!("{wait} 300")).await?;
        check!(
            busy.starts_with("err too-many ")
                && busy.contains("egress.handler_requests_max")
                && busy.ends_with("(retry after 1000 ms)"),
            "{busy}"
        );
        assert_eq!(silent.asked(), 2, "more than its places");
        silent.release();
        Ok(())
    };
    let (answers, ()) = tokio::try_join!(all, meanwhile)?;
    // All of those who waited come to their turn.
    for answer in answers {
        assert_eq!(answer, "ok 200 you asked /wait");
    }
    assert_eq!((silent.asked(), silent.most_waiting()), (3, 2));
    host.end().await
}

#[tokio::test]
async fn all_bots_together_have_so_many_requests_at_a_time() -> Result<()> {
    let silent = Site::start().await?;
    let settings = Settings::patient()
        .set("egress.requests_max", 2)
        .set("egress.handler_requests_max", 1);
    let host = Host::with(settings).await?;
    host.serve_guest("*", "echo").await?;
    let (one, two, three) = (
        serve_asker(&host, "one", &silent).await?,
        serve_asker(&host, "two", &silent).await?,
        serve_asker(&host, "three", &silent).await?,
    );
    let quiet = host.wehub("wxid_quiet")?.login().await?;
    let wait = format!("web.fetch GET {}", silent.url("/wait"));
    let meanwhile = async {
        until_asked(&silent, 2).await?;
        let busy = ask(&three, &format!("{wait} 300")).await?;
        check!(
            busy.starts_with("err too-many ") && busy.contains("egress.requests_max"),
            "{busy}"
        );
        assert_eq!(silent.asked(), 2, "more than there are places");
        // A bot that asks nobody has nothing to do with it.
        quiet.text_from("wxid_bob", "hello").await?.says("hello")?;
        silent.release();
        Ok(())
    };
    let (first, second, ()) = tokio::try_join!(ask(&one, &wait), ask(&two, &wait), meanwhile)?;
    assert_eq!([first, second], ["ok 200 you asked /wait"; 2]);
    // Its turn has come.
    assert_eq!(ask(&three, &wait).await?, "ok 200 you asked /wait");
    assert_eq!(silent.most_waiting(), 2);
    host.end().await
}
