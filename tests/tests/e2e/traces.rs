//! Traces: a collector gets the steps of an event, and nothing that is personal.

use std::{
    collections::BTreeSet,
    fs,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use wxhost_tests::{Host, Result, Site, check, guests, host::Settings, http, poll};

/// How soon spans have come: they wait 1 s for others.
const SOON: Duration = Duration::from_secs(20);
/// How long a host may take to end whose collector says nothing.
const END_MAX: Duration = Duration::from_secs(12);

/// The heads and bodies of requests.
type Requests = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// Takes whatever it is sent, and keeps it.
struct Collector {
    address: String,
    got: Requests,
}

impl Collector {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let got = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&got);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                // A host that hangs up has ended.
                tokio::spawn(async move { drop(take(stream, &kept).await) });
            }
        });
        Ok(Self { address, got })
    }

    /// Its scheme, address and port.
    fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whether this text is in the body of some request. Protobuf has texts as they are.
    fn has(&self, text: &str) -> bool {
        let got = self.got.lock().map(|got| got.clone()).unwrap_or_default();
        let mut bodies = got.iter().map(|(_, body)| body);
        bodies.any(|body| http::find(body, text.as_bytes()).is_some())
    }

    fn heads(&self) -> Vec<String> {
        let got = self.got.lock().map(|got| got.clone()).unwrap_or_default();
        got.into_iter().map(|(head, _)| head).collect()
    }
}

async fn take(mut stream: TcpStream, kept: &Mutex<Vec<(String, Vec<u8>)>>) -> Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"));
        let length = length.unwrap_or_default().trim().parse().unwrap_or(0);
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        if let Ok(mut kept) = kept.lock() {
            kept.push((head, body));
        }
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\n\
                      content-length: 0\r\n\r\n";
        stream.write_all(answer.as_bytes()).await?;
    }
}

#[tokio::test]
async fn a_collector_gets_the_steps_of_an_event() -> Result<()> {
    let collector = Collector::start().await?;
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), "x-team: shop-team\n")?;
    let settings = Settings::default()
        .unpaced()
        .set("telemetry.otlp.endpoint", collector.origin())
        .set("telemetry.otlp.headers_file", file.path().display());
    let host = Host::with(settings).await?;
    host.serve_guest("*", "echo").await?;
    let client = host.wehub("wxid_personal")?.login().await?;
    let said = "nobody else's business";
    client.text_from("wxid_bob", said).await?.ok()?.says(said)?;
    let names = ["deliver", "turn", "settle", "call", "commit", "deploy"];
    poll::until("all spans", SOON, async || {
        let missing: BTreeSet<_> = names.iter().filter(|name| !collector.has(name)).collect();
        Ok(missing.is_empty().then_some(()))
    })
    .await?;
    for attribute in ["handler", "echo", "version", "outcome", "handled", "wxhost"] {
        check!(collector.has(attribute), "no {attribute}");
    }
    for personal in ["wxid_personal", "wxid_bob", said] {
        check!(!collector.has(personal), "{personal} went out");
    }
    for head in collector.heads() {
        check!(head.starts_with("post /v1/traces "), "{head}");
        check!(head.contains("x-team: shop-team"), "{head}");
    }
    host.end().await
}

#[tokio::test]
async fn a_collector_gets_whom_a_bot_has_asked_and_not_for_what() -> Result<()> {
    let (collector, site) = (Collector::start().await?, Site::start().await?);
    let settings = Settings::default()
        .unpaced()
        .set("telemetry.otlp.endpoint", collector.origin());
    let host = Host::with(settings).await?;
    let options = json!({"manifest": {"allowed_hosts": [site.origin()]}});
    let probe = guests::bytes("probe")?;
    let api = host.api()?;
    api.deploy_with("asker", probe, &options).await?.ok()?;
    host.bind("*", "asker").await?;
    let client = host.wehub("wxid_personal")?.login().await?;
    // A path and a query may hold what is secret.
    let (path, answer) = ("/for/somebody?key=s3cret", "you asked");
    let command = format!("web.fetch POST {} 5000 of-body", site.url(path));
    let said = client.text_from("wxid_bob", &command).await?;
    said.ok()?.says(&format!("ok 200 {answer} {path}"))?;
    poll::until("the span", SOON, async || {
        Ok(collector.has("egress").then_some(()))
    })
    .await?;
    for attribute in ["handler", "asker", "origin", &site.origin(), "answered"] {
        check!(collector.has(attribute), "no {attribute}");
    }
    let told = [path, "s3cret", "/for/", "of-body", answer, "wxid_personal"];
    for personal in told {
        check!(!collector.has(personal), "{personal} went out");
    }
    host.end().await
}

#[tokio::test]
async fn what_still_waits_is_sent_when_the_host_ends() -> Result<()> {
    let collector = Collector::start().await?;
    let endpoint = collector.origin();
    let settings = Settings::default().env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint);
    let mut host = Host::with(settings).await?;
    host.serve_guest("*", "echo").await?;
    host.terminate().await?;
    check!(collector.has("deploy"), "the last spans are missing");
    host.end().await
}

#[tokio::test]
async fn a_collector_that_says_nothing_harms_nobody() -> Result<()> {
    // It takes connections, and never reads.
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let settings = Settings::default()
        .unpaced()
        .set("telemetry.otlp.endpoint", endpoint);
    let mut host = Host::with(settings).await?;
    host.serve_guest("*", "echo").await?;
    let client = host.wehub("wxid_a")?.login().await?;
    for number in 0..20 {
        let said = format!("message {number}");
        let ack = client.text_from("wxid_bob", &said).await?;
        ack.ok()?.says(&said)?;
    }
    let told = "the collector does not take the traces";
    poll::until("the log says so", SOON, async || {
        Ok(host.log().contains(told).then_some(()))
    })
    .await?;
    client.text_from("wxid_bob", "more").await?.ok()?;
    let began = Instant::now();
    host.terminate().await?;
    check!(began.elapsed() < END_MAX, "it took {:?}", began.elapsed());
    assert_eq!(host.log().matches(told).count(), 1, "{}", host.log());
    host.end().await
}
