//! Endpoints: who may ask them, what they see and do, and what holds nobody up.

use std::{
    fs,
    time::{Duration, Instant},
};

use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use wxhost_tests::{Host, Result, check, guests, host::Settings, poll};

/// How long something may take that does not wait for anything.
pub const PROMPT: Duration = Duration::from_secs(5);
/// How long a limit of these tests and what follows from it may take on a busy machine.
pub const ENDED: Duration = Duration::from_secs(15);
const MIB: u64 = 1024 * 1024;

/// A host whose endpoints have little of everything.
fn strict() -> Settings {
    Settings::default()
        .unpaced()
        .limit("call_cpu_ms", 200)
        .set("endpoints.head_ms", 1_500)
        .set("endpoints.idle_ms", 700)
        .set("endpoints.wall_ms", 6_000)
        .set("endpoints.request_bytes", MIB)
        .set("endpoints.response_bytes", MIB)
}

/// Deploys a guest, and gives what was answered.
pub async fn deploy(host: &Host, name: &str, guest: &str, manifest: Value) -> Result<Value> {
    let component = fs::read(guests::path(guest)?)?;
    let options = json!({ "manifest": manifest });
    let answer = host.api()?.deploy_with(name, component, &options).await?;
    answer.ok()
}

/// A host with a hostile endpoint that anybody may ask, at `/x/h/`.
async fn hostile(settings: Settings) -> Result<Host> {
    let host = Host::with(settings).await?;
    let manifest = json!({"public": true, "act_for": ["wxid_a"]});
    deploy(&host, "h", "http-hostile", manifest).await?;
    Ok(host)
}

pub fn url(host: &Host, path: &str) -> Result<String> {
    Ok(format!("http://{}{path}", host.address()?))
}

pub async fn get(host: &Host, path: &str) -> Result<Response> {
    let asked = Client::new().get(url(host, path)?);
    Ok(asked.timeout(ENDED).send().await?)
}

/// The text of an answer with this status.
pub async fn text(host: &Host, path: &str, status: u16) -> Result<String> {
    let response = get(host, path).await?;
    let found = response.status().as_u16();
    let text = response.text().await?;
    check!(found == status, "{path}: {found} {text}");
    Ok(text)
}

/// A problem with this status and slug, which tells nothing of the guest.
pub async fn problem(host: &Host, path: &str, status: u16, slug: &str) -> Result<()> {
    let text = text(host, path, status).await?;
    let document: Value = serde_json::from_str(&text)?;
    let kind = format!("urn:wxhost:problem:{slug}");
    check!(document["type"] == kind.as_str(), "{path}: {text}");
    for inside in ["asked to", "wasm", "unreachable", "panic"] {
        check!(!text.contains(inside), "{path} tells {inside}: {text}");
    }
    Ok(())
}

/// How much of a body came, and that it was cut off.
async fn cut_off(host: &Host, path: &str) -> Result<u64> {
    let asked = Client::new().get(url(host, path)?).timeout(ENDED);
    let mut response = match asked.send().await {
        Ok(response) => response,
        // Not even the head had left.
        Err(error) => {
            check!(!error.is_timeout(), "{path}: nobody cut it off");
            return Ok(0);
        }
    };
    check!(response.status() == 200, "{path}: {}", response.status());
    let mut bytes = 0;
    loop {
        match response.chunk().await {
            Ok(Some(piece)) => bytes += piece.len() as u64,
            Ok(None) => wxhost_tests::fail!("{path}: it ended as if it were whole"),
            Err(error) => {
                check!(!error.is_timeout(), "{path}: nobody cut it off");
                return Ok(bytes);
            }
        }
    }
}

pub async fn open(host: &Host, head: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(host.address()?).await?;
    stream.write_all(head.as_bytes()).await?;
    Ok(stream)
}

/// Reads until this has come.
pub async fn until(stream: &mut TcpStream, wanted: &str) -> Result<String> {
    poll::within(wanted, ENDED, async {
        let mut read = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&read).into_owned();
            if text.contains(wanted) {
                return Ok(text);
            }
            let mut piece = [0; 4096];
            let length = stream.read(&mut piece).await?;
            check!(length > 0, "{wanted:?} did not come: {text}");
            read.extend_from_slice(&piece[..length]);
        }
    })
    .await
}

/// All that comes until the host closes.
async fn to_the_end(stream: &mut TcpStream) -> Result<String> {
    poll::within("the host closes", ENDED, async {
        let mut read = Vec::new();
        // A reset is an end too.
        let _ = stream.read_to_end(&mut read).await;
        Ok(String::from_utf8_lossy(&read).into_owned())
    })
    .await
}

#[tokio::test]
async fn a_component_made_for_another_host_streams_what_it_gets() -> Result<()> {
    let host = Host::start().await?;
    let deployed = deploy(&host, "echo-http", "http-echo", json!({"public": true})).await?;
    assert_eq!(deployed["path"], "/x/echo-http/");
    assert_eq!(deployed["world"], "wxhost:endpoint/endpoint@0.1.0");
    check!(
        deployed["token"].is_null(),
        "a public endpoint has no token"
    );

    let head = "POST /x/echo-http/ HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut stream = open(&host, head).await?;
    for word in ["one", "two", "three"] {
        let chunk = format!("{:x}\r\n{word}\r\n", word.len());
        stream.write_all(chunk.as_bytes()).await?;
        // It comes back before the next is sent.
        until(&mut stream, word).await?;
    }
    stream.write_all(b"0\r\n\r\n").await?;
    until(&mut stream, "0\r\n\r\n").await?;

    let large = vec![b'x'; MIB as usize];
    let asked = Client::new().post(url(&host, "/x/echo-http/")?);
    let echoed = asked.body(large.clone()).send().await?.bytes().await?;
    check!(echoed == large, "{} bytes came back", echoed.len());
    host.end().await
}

#[tokio::test]
async fn a_guest_sees_its_own_root_and_none_of_this_host_s_secrets() -> Result<()> {
    let host = Host::start().await?;
    deploy(&host, "see", "http-echo", json!({"public": true})).await?;
    let address = host.address()?;
    let asked = Client::new()
        .get(url(&host, "/x/see/about/it?a=1&token=t&token=wxm_x")?)
        .bearer_auth(host.token()?)
        .header("cookie", "of=another")
        .header("x-own", "mine")
        .header("wxhost-trial", "1");
    let seen = asked.send().await?.text().await?;
    let first = seen.lines().next().unwrap_or_default();
    assert_eq!(
        first,
        format!(
            "Method::Get Some(Scheme::Http) Some(\"{address}\") Some(\"/about/it?a=1&token=t\")"
        )
    );
    for (line, there) in [
        ("x-forwarded-prefix: /x/see", true),
        ("x-own: mine", true),
        ("authorization", false),
        ("cookie", false),
        ("wxhost-trial", false),
        ("wxh_", false),
    ] {
        check!(seen.contains(line) == there, "{line}: {seen}");
    }

    // Nothing of a path is resolved, and it leads nowhere else.
    for path in ["/../../api/v1/handlers", "//api", "/%2e%2e/%2f", "/a/./b"] {
        let target = format!("/x/see/about{path}");
        let head = format!("GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        let seen = to_the_end(&mut open(&host, &head).await?).await?;
        check!(seen.contains(&format!("Some(\"/about{path}\")")), "{seen}");
    }
    for path in [
        "/x/see%2fabout",
        "/x/../x/see/about",
        "/x//see/about",
        "/x/%73ee/",
    ] {
        let head = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        let refused = to_the_end(&mut open(&host, &head).await?).await?;
        check!(refused.starts_with("HTTP/1.1 404"), "{path}: {refused}");
    }
    let both = "POST /x/see/ HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\
                Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n";
    let smuggled = to_the_end(&mut open(&host, both).await?).await?;
    check!(smuggled.matches("HTTP/1.1 ").count() == 1, "{smuggled}");
    check!(smuggled.ends_with("0\r\n\r\n"), "an empty body: {smuggled}");
    let many = format!(
        "GET /x/see/ HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n",
        "x".repeat(300_000)
    );
    let refused = to_the_end(&mut open(&host, &many).await?).await?;
    check!(refused.starts_with("HTTP/1.1 431"), "{refused}");

    // Handlers of other worlds are not there.
    host.deploy("bot", &guests::path("echo")?).await?;
    problem(&host, "/x/bot/", 404, "not-found").await?;
    problem(&host, "/x/nobody/", 404, "not-found").await?;
    host.end().await
}

#[tokio::test]
async fn whoever_has_the_token_is_let_in_and_the_guest_does_not_see_it() -> Result<()> {
    let mut host = Host::start().await?;
    let deployed = deploy(&host, "see", "http-echo", json!({})).await?;
    let token = deployed["token"].as_str().unwrap_or_default().to_owned();
    check!(token.starts_with("wxe_"), "{deployed}");
    let shown = host.api()?.get("/handlers/see").await?.to_string();
    check!(
        !shown.contains("wxe_") && !shown.contains("token"),
        "{shown}"
    );

    problem(&host, "/x/see/about", 401, "unauthorized").await?;
    problem(&host, "/x/see/about?token=wxe_guess", 401, "unauthorized").await?;
    let with = |host: &Host, token: &str| {
        let asked = url(host, "/x/see/about?q=1").map(|url| Client::new().get(url));
        let token = token.to_owned();
        async move {
            let answer = asked?.bearer_auth(token).send().await?;
            Result::<_>::Ok((answer.status().as_u16(), answer.text().await?))
        }
    };
    let (status, seen) = with(&host, &token).await?;
    check!(status == 200 && !seen.contains("wxe_"), "{status} {seen}");
    let (status, _) = with(&host, host.token()?).await?;
    check!(status == 401, "the admin token opens the API only");
    let seen = text(&host, &format!("/x/see/about?a=1&token={token}&b=2"), 200).await?;
    check!(
        seen.contains("/about?a=1&b=2") && !seen.contains("wxe_"),
        "{seen}"
    );

    // A new one takes its place, also after a restart.
    let printed = host.cli(&["handler", "token", "see"]).await?;
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
    let mut words = printed.split_whitespace();
    let new = words.find(|word| word.starts_with("wxe_"));
    let new = new.unwrap_or_default().to_owned();
    assert_eq!(with(&host, &token).await?.0, 401);
    host.kill9().await?;
    host.start_again().await?;
    assert_eq!(with(&host, &new).await?.0, 200);
    let again = deploy(
        &host,
        "see",
        "http-echo",
        json!({"allowed_hosts": ["https://a.example"]}),
    );
    check!(again.await?["token"].is_null(), "the token stays");
    assert_eq!(with(&host, &new).await?.0, 200);
    let log = host.log();
    check!(
        !log.contains(&token) && !log.contains(&new),
        "tokens are not logged"
    );
    host.end().await
}

#[tokio::test]
async fn a_webhook_has_a_granted_account_say_it() -> Result<()> {
    let host = Host::with(Settings::default().unpaced()).await?;
    let a = host.wehub("wxid_a")?.login().await?;
    let _b = host.wehub("wxid_b")?.login().await?;
    let manifest = json!({"public": true, "act_for": ["wxid_a", "wxid_ghost"]});
    deploy(&host, "hook", "webhook", manifest).await?;
    let post = |account: &str| {
        let body = json!({"account": account, "to": "wxid_friend", "text": "the tea is ready"});
        let asked = url(&host, "/x/hook/").map(|url| Client::new().post(url).json(&body));
        async move {
            let answer = asked?.send().await?;
            Result::<_>::Ok((answer.status().as_u16(), answer.text().await?))
        }
    };
    let (status, answer) = post("wxid_a").await?;
    check!(status == 202, "{status} {answer}");
    let answer: Value = serde_json::from_str(&answer)?;
    assert_eq!(answer["said"], 1);
    let id = answer["task"].as_str().unwrap_or_default();
    let task = host.api()?.task(id).await?;
    assert_eq!(task["origin"], json!({"endpoint": {"handler": "hook"}}));
    a.pull_task()
        .await?
        .says("the tea is ready")?
        .to("wxid_friend")?;

    // Not granted, granted but not there, and no account at all: nobody learns which.
    let (status, not_granted) = post("wxid_b").await?;
    assert_eq!(status, 403, "{not_granted}");
    for forged in [
        "wxid_ghost",
        "wxid_nobody",
        "*",
        "*callback",
        "wxid_a ",
        "",
        "../wxid_a",
    ] {
        let answered = post(forged).await?;
        assert_eq!(answered, (403, not_granted.clone()), "{forged:?}");
    }
    check!(
        host.api()?.tasks("wxid_b").await?.is_empty(),
        "nothing for b"
    );

    // What it keeps is the handler's, where people find it.
    assert_eq!(
        serde_json::from_str::<Value>(&post("wxid_a").await?.1)?["said"],
        2
    );
    let kept = host.cli(&["kv", "get", "hook", "said", "--shared"]).await?;
    check!(kept.status.success(), "{kept:?}");
    let text = String::from_utf8_lossy(&kept.stdout).into_owned();
    assert_eq!(text.trim(), "2");
    host.end().await
}

#[tokio::test]
async fn an_endpoint_is_deployed_as_other_handlers_and_bound_to_nobody() -> Result<()> {
    let host = Host::start().await?;
    let deployed = deploy(&host, "h", "http-hostile", json!({"public": true})).await?;
    assert_eq!(deployed["path"], "/x/h/");
    let bound = host.bind("wxid_a", "h").await.map(drop);
    let refused = bound
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    check!(refused.contains("is an endpoint"), "{refused}");
    let shown = host.cli(&["handler", "show", "h"]).await?;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    check!(shown.contains("/x/h/ of this host, to anybody"), "{shown}");

    // What can't be for it, or for a bot, is refused by name.
    let component = |guest| Result::<_>::Ok(fs::read(guests::path(guest)?)?);
    let api = host.api()?;
    for (guest, options, field) in [
        (
            "http-echo",
            json!({"manifest": {"own_messages": true}}),
            "own_messages",
        ),
        ("echo", json!({"manifest": {"public": true}}), "public"),
        ("echo", json!({"manifest": {"act_for": ["*"]}}), "act_for"),
        (
            "http-echo",
            json!({"rollout": {"accounts": ["wxid_a"]}}),
            "share",
        ),
    ] {
        let name = if field == "share" { "h" } else { "new" };
        let refused = api.deploy_with(name, component(guest)?, &options).await?;
        let document = refused.problem(400, "bad-request")?.to_owned();
        check!(document.contains(field), "{field}: {document}");
    }
    let mixed = json!({"manifest": {}, "rollout": {"percent": 50}});
    let mixed = api.deploy_with("h", component("echo")?, &mixed).await?;
    mixed.problem(409, "conflict")?;

    // Its trial: a trap or no answer refuses it, and nobody is acted for.
    for at_trial in ["trap", "nothing"] {
        host.configure("h", json!({"at-trial": at_trial})).await?;
        let refused = api.deploy("h", component("http-hostile")?).await?;
        let problem = refused.problem(422, "unfit-component")?;
        check!(
            problem.contains("it failed when it was tried out"),
            "{problem}"
        );
    }
    host.configure("h", json!({"at-trial": "act"})).await?;
    deploy(
        &host,
        "h",
        "http-hostile",
        json!({"public": true, "act_for": ["*"]}),
    )
    .await?;

    // Rolled out by request, and back.
    let new = json!({"manifest": {"public": true}, "rollout": {"percent": 100}});
    api.deploy_with("h", component("http-echo")?, &new)
        .await?
        .ok()?;
    check!(
        text(&host, "/x/h/about", 200).await?.contains("Some"),
        "the new one"
    );
    api.post("/handlers/h/rollback", &json!({})).await?;
    assert_eq!(text(&host, "/x/h/about", 200).await?, "unknown: about");
    api.delete("/handlers/h").await?;
    problem(&host, "/x/h/", 404, "not-found").await?;
    host.end().await
}

#[tokio::test]
async fn endpoints_that_fail_tell_nothing_and_leave_nothing() -> Result<()> {
    let host = hostile(strict()).await?;
    host.serve_guest("*", "echo").await?;
    let a = host.wehub("wxid_a")?.login().await?;
    for path in ["loop", "trap", "nothing"] {
        problem(&host, &format!("/x/h/{path}"), 502, "endpoint-failed").await?;
    }
    problem(&host, "/x/h/silent", 504, "endpoint-late").await?;
    problem(&host, "/x/h/send-then-trap/wxid_a", 502, "endpoint-failed").await?;
    check!(
        host.api()?.tasks("wxid_a").await?.is_empty(),
        "it failed: nothing is sent"
    );

    // After the head: the connection is cut, and what was durable by then stays.
    for path in ["trap-after-head", "unfinished", "stall-after-head"] {
        cut_off(&host, &format!("/x/h/{path}")).await?;
    }
    cut_off(&host, "/x/h/send-then-trap-after-head/wxid_a").await?;
    assert_eq!(host.api()?.tasks("wxid_a").await?.len(), 1, "the first");
    let later = text(&host, "/x/h/send-after-head/wxid_a", 200).await?;
    check!(later.starts_with("later: wxid_a-"), "{later}");
    poll::until("the task after the head", PROMPT, async || {
        Ok((host.api()?.tasks("wxid_a").await?.len() == 2).then_some(()))
    })
    .await?;

    // Too long, in both directions.
    let bytes = cut_off(&host, "/x/h/endless-body").await?;
    check!(bytes <= MIB, "{bytes} bytes came");
    let asked = Client::new().post(url(&host, "/x/h/any")?);
    let refused = asked.body(vec![b'x'; 2 * MIB as usize]).send().await?;
    assert_eq!(refused.status(), 413);
    problem(&host, "/x/h/huge-headers", 502, "endpoint-failed").await?;
    let own = get(&host, "/x/h/headers-of-the-host").await?;
    check!(own.headers().contains_key("x-own"), "{own:?}");
    for name in ["strict-transport-security", "alt-svc", "set-cookie", "nel"] {
        check!(!own.headers().contains_key(name), "{name}: {own:?}");
    }
    let policy = own.headers().get("content-security-policy");
    check!(
        policy.is_some_and(|it| it.as_bytes().starts_with(b"sandbox")),
        "{own:?}"
    );
    assert_eq!(own.text().await?, "connection forbidden: true");

    a.text_from("wxid_bob", "hello").await?.says("hello")?;
    // Whoever runs it finds out why.
    let kinds = ["cpu-time", "trap", "refused", "wall-clock", "effects"];
    poll::until("the failures are kept", PROMPT, async || {
        let kept = host.api()?.get("/handlers/h/failures").await?.to_string();
        Ok(kinds.iter().all(|kind| kept.contains(kind)).then_some(()))
    })
    .await?;
    host.end().await
}

#[tokio::test]
async fn clients_that_keep_still_are_sent_away_and_hold_nobody_up() -> Result<()> {
    // One call of an endpoint at a time, which ends by its client only.
    let settings = strict()
        .limit("concurrent_calls", 4)
        .set("endpoints.wall_ms", 300_000)
        .set("endpoints.response_bytes", 64 * MIB);
    let host = hostile(settings).await?;
    let began = Instant::now();
    let head = "POST /x/h/any HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nx";
    deploy(&host, "echo-http", "http-echo", json!({"public": true})).await?;
    let head = head.replace("/x/h/any", "/x/echo-http/");
    // It never sends the rest: it was answered already, so it is cut off.
    let mut stuck = open(&host, &head).await?;
    let answer = to_the_end(&mut stuck).await?;
    check!(!answer.contains("0\r\n\r\n"), "{answer}");

    deploy(&host, "hook", "webhook", json!({"public": true})).await?;
    let head = head.replace("/x/echo-http/", "/x/hook/");
    let refused = to_the_end(&mut open(&host, &head).await?).await?;
    check!(refused.starts_with("HTTP/1.1 408"), "{refused}");

    // It never reads. The next one waits for its place, and gets it.
    let head = "GET /x/h/endless-body HTTP/1.1\r\nHost: h\r\n\r\n";
    let deaf = open(&host, head).await?;
    poll::until("its place is free again", ENDED, async || {
        let answer = get(&host, "/x/h/any").await?;
        Ok((answer.status() == 200).then_some(()))
    })
    .await?;
    drop(deaf);
    check!(began.elapsed() < ENDED * 2, "{:?}", began.elapsed());
    host.end().await
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_off_whoever_wrote() -> Result<()> {
    // No limit of endpoints ends it.
    let settings = Settings::default()
        .limit("concurrent_calls", 4)
        .set("endpoints.idle_ms", 300_000)
        .set("endpoints.wall_ms", 300_000)
        .set("endpoints.response_bytes", 64 * MIB)
        .set("server.idle_ms", 1_000);
    let host = hostile(settings).await?;
    let head = "GET /x/h/endless-body HTTP/1.1\r\nHost: h\r\n\r\n";
    let deaf = open(&host, head).await?;
    poll::until("its place is free again", ENDED, async || {
        let answer = get(&host, "/x/h/any").await?;
        Ok((answer.status() == 200).then_some(()))
    })
    .await?;
    drop(deaf);
    host.end().await
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_call() -> Result<()> {
    // One call of an endpoint at a time, and all the time in the world for it.
    let settings = Settings::default()
        .limit("concurrent_calls", 4)
        .set("endpoints.head_ms", 300_000)
        .set("endpoints.idle_ms", 300_000)
        .set("endpoints.wall_ms", 300_000)
        .set("server.drain_ms", 300);
    let host = hostile(settings).await?;
    let expects = "Expect: 100-continue\r\nContent-Length: 1\r\n";
    for (path, more, sign) in [
        ("silent", expects, "100 Continue"),
        ("stall-after-head", "", "half of it"),
    ] {
        let head = format!("GET /x/h/{path} HTTP/1.1\r\nHost: h\r\n{more}\r\n");
        let mut stream = open(&host, &head).await?;
        until(&mut stream, sign).await?;
        drop(stream);
        poll::until("its place is free again", ENDED, async || {
            let answer = get(&host, "/x/h/any").await?;
            Ok((answer.status() == 200).then_some(()))
        })
        .await?;
    }
    // What they said is kept.
    poll::until("both said something", PROMPT, async || {
        let kept = host.cli(&["handler", "logs", "h"]).await?;
        let kept = String::from_utf8_lossy(&kept.stdout).into_owned();
        let both = ["it keeps still", "it stalls"].map(|line| kept.contains(line));
        Ok((both == [true, true]).then_some(()))
    })
    .await?;
    // So does the host's end.
    let head = "GET /x/h/stall-after-head HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut stream = open(&host, head).await?;
    until(&mut stream, "half of it").await?;
    host.end().await?;
    let rest = to_the_end(&mut stream).await?;
    check!(
        !rest.contains("0\r\n\r\n"),
        "it did not end as if it were whole"
    );
    Ok(())
}

#[tokio::test]
async fn endpoints_leave_places_for_bots() -> Result<()> {
    let settings = Settings::default()
        .unpaced()
        .limit("concurrent_calls", 8)
        .limit("queue_wait_ms", 1_000);
    let host = hostile(settings).await?;
    let manifest = json!({"public": true});
    deploy(&host, "h2", "http-hostile", manifest).await?;
    host.serve_guest("*", "echo").await?;
    let a = host.wehub("wxid_a")?.login().await?;
    let mut kept = Vec::new();
    for number in 0..12 {
        let name = if number % 2 == 0 { "h" } else { "h2" };
        let head = format!("GET /x/{name}/stall-after-head HTTP/1.1\r\nHost: h\r\n\r\n");
        kept.push(open(&host, &head).await?);
    }
    // Four have places; the others are told that there is none.
    let mut busy = 0;
    for stream in &mut kept {
        let head = until(stream, "\r\n\r\n").await?;
        busy += usize::from(head.starts_with("HTTP/1.1 503"));
    }
    assert_eq!(busy, 8);
    for number in 0..8 {
        let text = format!("hello {number}");
        let answer = poll::within("the bot answers", PROMPT, a.text_from("wxid_bob", &text));
        answer.await?.says(&text)?;
    }
    drop(kept);
    host.end().await
}
