//! Requests of bots to other systems: where they may go, and what holds nobody up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use wxhost_tests::{Host, Result, WehubClient, check, guests, host::Settings};

/// How long one request may take in these tests.
const REQUEST: Duration = Duration::from_millis(700);
/// How long a well-behaved account may wait meanwhile.
const PROMPT: Duration = Duration::from_secs(2);

const MIB: usize = 1024 * 1024;

/// A system that bots ask.
struct Site {
    address: String,
    asked: Arc<AtomicUsize>,
}

impl Site {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                // A host that hangs up is what these tests are about.
                tokio::spawn(async move { drop(answer(stream).await) });
            }
        });
        Ok(Self { address, asked })
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn port(&self) -> &str {
        self.address.rsplit(':').next().unwrap_or_default()
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

async fn answer(mut stream: TcpStream) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    let ok = "HTTP/1.1 200 OK\r\n";
    match path {
        "/endless" => {
            stream.write_all(format!("{ok}\r\n").as_bytes()).await?;
            loop {
                stream.write_all(&[b'x'; 65536]).await?;
            }
        }
        "/dribble" => {
            stream.write_all(ok.as_bytes()).await?;
            loop {
                tokio::time::sleep(Duration::from_millis(50)).await;
                stream.write_all(b"x").await?;
            }
        }
        "/drain" => {
            let mut bytes = vec![0; 65536];
            while stream.read(&mut bytes).await? > 0 {}
        }
        "/redirect" => {
            let text = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n\r\nelsewhere";
            stream.write_all(text.as_bytes()).await?;
        }
        _ => {
            stream
                .write_all(format!("{ok}\r\nyou asked {path}").as_bytes())
                .await?
        }
    }
    Ok(())
}

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
    let mut host = host(&[format!("http://{}", site.address), any_name]).await?;
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
    let host = host(&[format!("http://{}", site.address)]).await?;
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
