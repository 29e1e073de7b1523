//! What is passed on to clients and back: as it came, in time, and never to another
//! account.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use wxhost_tests::{
    Host, Result, check,
    host::Settings,
    http::{Connection, Target},
    openwx::{Openwx, Stub, pattern, process},
};

/// A body of more than the 16 MiB at which other controllers cut off.
const LARGE_BYTES: usize = 20 * 1024 * 1024;
/// How soon it must be known that a client is dead.
const DEAD_MAX: Duration = Duration::from_secs(2);
/// How long a client may take in the tests of slow ones, in ms.
const ANSWER_MS: u64 = 700;
/// The same for what is known to be slow.
const SLOW_MS: u64 = 2_500;

async fn scanning(settings: Settings, arguments: &[&str]) -> Result<(Host, Openwx, Stub)> {
    let host = Host::with(settings.clients(10)?.template("default", arguments)?).await?;
    let openwx = host.openwx()?;
    let started = openwx.start("a1").await?;
    let stub = Stub::up(started.port).await?;
    Ok((host, openwx, stub))
}

async fn usual() -> Result<(Host, Openwx, Stub)> {
    scanning(Settings::default(), &[]).await
}

/// What a raw request got back: the head and the body.
async fn raw(host: &Host, request: &[u8]) -> Result<(String, Vec<u8>)> {
    let mut connection = Connection::open(host.address()?).await?;
    let reply = connection.exchange(request).await?;
    let head = String::from_utf8_lossy(reply.head).into_owned();
    Ok((head, reply.body.to_vec()))
}

fn headers_of(echo: &Value, name: &str) -> Vec<String> {
    let all = echo["headers"].as_array().into_iter().flatten();
    let found = all.filter(|pair| pair[0] == name);
    found
        .map(|pair| pair[1].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test]
async fn a_request_arrives_as_it_was_sent() -> Result<()> {
    let (host, openwx, stub) = usual().await?;
    let path = "stub_echo?a=%E4%BD%A0&b=1+2%20&client=a1&a=twice&empty=&%zz";
    let headers = [
        ("x-one", "1"),
        ("x-two", "a"),
        ("cookie", "mine=1"),
        ("user-agent", "a script/1.0"),
        ("accept-encoding", "gzip"),
        ("content-type", "text/plain; charset=gb2312"),
    ];
    let body = b"\x00\xff\r\nnot JSON".to_vec();
    for method in [
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::from_bytes(b"PURGE")?,
    ] {
        let reply = openwx
            .request(method.clone(), path, &headers, body.clone())
            .await?;
        let echo = reply.json()?;
        assert_eq!(echo["method"], method.as_str());
        assert_eq!(echo["target"], format!("/openwx/{path}"));
        assert_eq!(echo["md5"], pattern::digest(&body));
        for (name, value) in headers {
            assert_eq!(headers_of(&echo, name), [value], "{name}");
        }
        assert_eq!(
            headers_of(&echo, "host"),
            [format!("127.0.0.1:{}", stub.port)]
        );
        for name in ["x-forwarded-for", "via", "forwarded"] {
            assert_eq!(headers_of(&echo, name), Vec::<String>::new(), "{name}");
        }
    }
    let head = openwx
        .request(Method::HEAD, "stub_bytes?client=a1&size=5", &[], Vec::new())
        .await?;
    assert_eq!(
        (head.status, head.header("content-length"), head.body.len()),
        (200, "5", 0)
    );
    host.end().await
}

#[tokio::test]
async fn a_client_is_named_in_a_query_a_form_or_parts() -> Result<()> {
    let (host, openwx, _stub) = usual().await?;
    let form = "application/x-www-form-urlencoded";
    let parts = "multipart/form-data; boundary=\"b=._1\"";
    let multipart = "--b=._1\r\nContent-Disposition: form-data; name=\"media\"; filename=\"x\"\r\nContent-Type: image/png\r\n\r\n\
                     \u{0}binary client=zz\r\n--b=._1\r\nContent-Disposition: form-data; name=\"client\"\r\n\r\na1\r\n--b=._1--\r\n";
    for (mime, body) in [
        (form, "content=%E4%BD%A0+x&client=a1&y"),
        (form, "client=%61%31"),
        (
            "application/x-www-form-urlencoded; charset=UTF-8",
            "a=b&client=a1",
        ),
        (parts, multipart),
    ] {
        let reply = openwx
            .post("stub_echo", mime, body.as_bytes().to_vec())
            .await?;
        let echo = reply.json()?;
        assert_eq!(
            echo["md5"],
            pattern::digest(body.as_bytes()),
            "{mime} {body}"
        );
        assert_eq!(echo["target"], "/openwx/stub_echo");
        assert_eq!(headers_of(&echo, "content-type"), [mime]);
    }
    let text = openwx
        .post("stub_echo", "text/plain", b"client=a1".to_vec())
        .await?;
    assert_eq!(
        text.json()?,
        json!({"code": 1, "status": "client not found"})
    );
    let other = openwx
        .post("stub_echo", form, b"client=nope".to_vec())
        .await?;
    assert_eq!(
        other.json()?,
        json!({"code": 1, "status": "client not exists"})
    );
    host.end().await
}

#[tokio::test]
async fn large_bodies_pass_whole_both_ways() -> Result<()> {
    let (host, openwx, _stub) = usual().await?;
    let body = pattern::bytes(LARGE_BYTES);
    let digest = pattern::digest(&body);
    let mime = "application/octet-stream";
    let echo = openwx
        .post("stub_echo?client=a1", mime, body.clone())
        .await?
        .json()?;
    assert_eq!(
        (&echo["bytes"], &echo["md5"]),
        (&json!(LARGE_BYTES), &json!(digest))
    );
    let back = openwx
        .get(&format!("stub_bytes?client=a1&size={LARGE_BYTES}"))
        .await?;
    assert_eq!(back.header("content-length"), LARGE_BYTES.to_string());
    check!(back.body == body, "{} other bytes", back.body.len());
    let mirrored = openwx
        .post("stub_mirror?client=a1", mime, body.clone())
        .await?;
    check!(mirrored.body == body, "{} other bytes", mirrored.body.len());
    assert_eq!(mirrored.header("content-type"), mime);
    host.end().await
}

#[tokio::test]
async fn a_body_in_chunks_passes_whole() -> Result<()> {
    let (host, _openwx, _stub) = usual().await?;
    let request = format!(
        "POST /openwx/stub_echo?client=a1 HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n\
         4\r\nabcd\r\n6;x=y\r\nefghij\r\n0\r\n\r\n",
        host.address()?
    );
    let (_, body) = raw(&host, request.as_bytes()).await?;
    let echo: Value = serde_json::from_slice(&body)?;
    assert_eq!(
        (&echo["bytes"], &echo["md5"]),
        (&json!(10), &json!(pattern::digest(b"abcdefghij")))
    );
    host.end().await
}

#[tokio::test]
async fn an_answer_passes_as_it_comes() -> Result<()> {
    let (host, openwx, _stub) = usual().await?;
    let reply = openwx
        .get("stub_headers?client=a1&code=418&h=X-Odd:%20a%3Bb")
        .await?;
    assert_eq!(
        (reply.status, reply.header("x-odd"), reply.text().as_str()),
        (418, "a;b", "with headers")
    );
    let redirected = openwx
        .get("stub_headers?client=a1&code=302&h=Location:http://127.0.0.1:9/x")
        .await?;
    assert_eq!(
        (redirected.status, redirected.header("location")),
        (302, "http://127.0.0.1:9/x")
    );
    for name in ["server", "via"] {
        assert_eq!(redirected.header(name), "", "{name} was added");
    }
    let began = Instant::now();
    let slow = openwx.get("stub_slow?client=a1&size=3000&ms=200").await?;
    check!(slow.body == pattern::bytes(3000), "other bytes");
    check!(began.elapsed() < Duration::from_secs(5), "too slow");
    host.end().await
}

#[tokio::test]
async fn a_slow_body_is_passed_on_piece_by_piece() -> Result<()> {
    let settings = Settings::default().set("openwx.answer_ms", ANSWER_MS);
    let (host, openwx, _stub) = scanning(settings, &[]).await?;
    // Longer in all than a client may take to begin.
    let path = "stub_slow?client=a1&size=5000&ms=300";
    let reply = openwx.get(path).await?;
    check!(
        reply.body == pattern::bytes(5000),
        "{} bytes",
        reply.body.len()
    );
    host.end().await
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_not_made_whole() -> Result<()> {
    let (host, openwx, _stub) = usual().await?;
    let cut = openwx.get("stub_cut?client=a1&size=4000").await;
    check!(cut.is_err(), "half a body passed for a whole one: {cut:?}");
    assert_eq!(openwx.json("stub_facts?client=a1").await?["account"], "a1");
    host.end().await
}

#[tokio::test]
async fn cookies_of_one_account_never_reach_another() -> Result<()> {
    let (host, openwx, _stub) = usual().await?;
    let second = openwx.start("a2").await?;
    Stub::up(second.port).await?;
    let set = openwx
        .get("stub_headers?client=a1&h=Set-Cookie:secret=of-a1")
        .await?;
    assert_eq!(
        set.header("set-cookie"),
        "",
        "a browser would hand it to all"
    );
    for name in ["a1", "a2"] {
        let echo = openwx.json(&format!("stub_echo?client={name}")).await?;
        assert_eq!(headers_of(&echo, "cookie"), Vec::<String>::new(), "{name}");
    }
    host.end().await
}

#[tokio::test]
async fn each_request_reaches_the_client_that_it_names() -> Result<()> {
    let host = Host::with(Settings::default().clients(20)?).await?;
    let openwx = host.openwx()?;
    for number in 0..8 {
        let started = openwx.start(&format!("a{number}")).await?;
        Stub::up(started.port).await?;
    }
    let mut asked = tokio::task::JoinSet::new();
    for number in 0..400 {
        let (openwx, name) = (openwx.clone(), format!("a{}", number % 8));
        asked.spawn(async move {
            let facts = openwx.json(&format!("stub_facts?client={name}")).await?;
            check!(facts["account"] == name.as_str(), "{name} got {facts}");
            Ok(())
        });
    }
    while let Some(done) = asked.join_next().await {
        done??;
    }
    host.end().await
}

#[tokio::test]
async fn a_dead_client_is_said_to_be_dead_at_once() -> Result<()> {
    let settings = Settings::default().set("openwx.restart.wait_min_ms", 60_000);
    let (host, openwx, stub) = scanning(settings, &[]).await?;
    stub.scan().await?;
    openwx.until_state("a1", "running").await?;
    stub.crash().await;
    host.until_phase("a1", "waiting").await?;
    let began = Instant::now();
    let reply = openwx.get("get_user_info?client=a1").await?;
    check!(
        began.elapsed() < DEAD_MAX,
        "only after {:?}",
        began.elapsed()
    );
    assert_eq!(reply.status, 502);
    let answer = reply.json()?;
    check!(
        answer["code"].is_i64() && answer["code"] != 0 && answer["status"].is_string(),
        "{answer}"
    );
    host.end().await
}

#[tokio::test]
async fn a_client_that_dies_while_it_is_asked_is_said_so() -> Result<()> {
    let (host, openwx, stub) = usual().await?;
    let asked = {
        let openwx = openwx.clone();
        tokio::spawn(async move { openwx.get("stub_silent?client=a1").await })
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    stub.crash().await;
    let reply = asked.await??;
    check!(
        began.elapsed() < DEAD_MAX,
        "only after {:?}",
        began.elapsed()
    );
    assert_eq!(reply.status, 502, "{}", reply.text());
    check!(reply.json()?["code"].is_i64(), "{}", reply.text());
    host.end().await
}

#[tokio::test]
async fn a_client_that_has_not_bound_its_port_is_said_so() -> Result<()> {
    let host = Host::with(
        Settings::default()
            .clients(10)?
            .template("default", &["--no-bind"])?,
    )
    .await?;
    let openwx = host.openwx()?;
    openwx.start("a1").await?;
    let began = Instant::now();
    let reply = openwx.get("get_user_info?client=a1").await?;
    check!(
        began.elapsed() < DEAD_MAX,
        "only after {:?}",
        began.elapsed()
    );
    assert_eq!(reply.status, 502);
    assert_eq!(host.client("a1").await?["phase"], "spawned");
    host.end().await
}

#[tokio::test]
async fn a_client_that_blocks_has_so_long_and_no_longer() -> Result<()> {
    let settings = Settings::default()
        .set("openwx.answer_ms", ANSWER_MS)
        .set("openwx.slow_answer_ms", SLOW_MS);
    let (host, openwx, _stub) = scanning(settings, &[]).await?;
    // It waits for a scan: its API blocks.
    for (path, ms) in [
        ("get_user_info?client=a1", ANSWER_MS),
        ("stub_silent?client=a1", ANSWER_MS),
        ("send_friend_message?client=a1&id=@f1&content=x", SLOW_MS),
        ("get_avatar?client=a1&id=@f1", SLOW_MS),
        ("check_event?client=a1", SLOW_MS),
    ] {
        let began = Instant::now();
        let reply = openwx.get(path).await?;
        let took = began.elapsed();
        assert_eq!(reply.status, 504, "{path}");
        let answer = reply.json()?;
        check!(
            answer["code"].is_i64() && answer["code"] != 0 && answer["status"].is_string(),
            "{answer}"
        );
        check!(
            took >= Duration::from_millis(ms),
            "{path}: already after {took:?}"
        );
        check!(
            took < Duration::from_millis(ms) + DEAD_MAX,
            "{path}: only after {took:?}"
        );
    }
    host.end().await
}

#[tokio::test]
async fn whoever_gives_up_holds_nothing_up() -> Result<()> {
    let (host, openwx, _stub) = usual().await?;
    for _ in 0..20 {
        let target = Target {
            address: host.address()?.to_owned(),
            path: "/openwx/stub_silent?client=a1".to_owned(),
        };
        let mut connection = Connection::open(&target.address).await?;
        connection
            .send(target.head("GET", "", 0).as_bytes())
            .await?;
    }
    assert_eq!(openwx.json("stub_facts?client=a1").await?["account"], "a1");
    openwx.stop("a1").await?;
    openwx.until_gone("a1").await?;
    // The port is free again: nobody speaks to it any more.
    assert_eq!(openwx.start("a2").await?.port, host.ports()?.first);
    assert_eq!(process::of_folder(host.home()).len(), 1);
    host.end().await
}

#[tokio::test]
async fn a_port_is_nobody_else_s_while_an_answer_comes_from_it() -> Result<()> {
    let (host, openwx, stub) = unhurried().await?;
    let began = Instant::now();
    let streamed = {
        let openwx = openwx.clone();
        tokio::spawn(async move { openwx.get("stub_slow?client=a1&size=10000&ms=200").await })
    };
    // The client is on its way out, but what it was asked still comes.
    openwx.stop("a1").await?;
    let other = openwx.start("a2").await?;
    check!(other.port != stub.port, "both have the port {}", stub.port);
    check!(!streamed.is_finished(), "after {:?}", began.elapsed());
    let reply = streamed.await??;
    check!(
        reply.body == pattern::bytes(10_000),
        "{} other bytes",
        reply.body.len()
    );
    openwx.until_gone("a1").await?;
    assert_eq!(openwx.start("a3").await?.port, stub.port);
    host.end().await
}

#[tokio::test]
async fn a_port_is_nobody_else_s_while_the_rest_of_an_answer_is_read() -> Result<()> {
    let (host, openwx, stub) = unhurried().await?;
    let size = on_the_way_bytes().await? * 3 / 2;
    let path = format!("/openwx/stub_bytes?client=a1&size={size}");
    let address = host.address()?.to_owned();
    let target = Target { address, path };
    let mut connection = Connection::open(&target.address).await?;
    connection
        .send(target.head("GET", "", 0).as_bytes())
        .await?;
    // Half of it waits before the host and half behind it when the client has ended.
    openwx.stop("a1").await?;
    openwx.until_gone("a1").await?;
    assert_ne!(openwx.start("a2").await?.port, stub.port);
    let reply = connection.receive().await?;
    check!(
        reply.body == pattern::bytes(size),
        "{} other bytes",
        reply.body.len()
    );
    assert_eq!(openwx.start("a3").await?.port, stub.port);
    host.end().await
}

/// A client that goes on for a while after it was told to end.
async fn unhurried() -> Result<(Host, Openwx, Stub)> {
    let settings = Settings::default()
        .clients(10)?
        .template("default", &["--ignore-term"])?
        .set("openwx.stop_ms", 4_000);
    let host = Host::with(settings).await?;
    let openwx = host.openwx()?;
    let started = openwx.start("a1").await?;
    let stub = Stub::up(started.port).await?;
    host.until_phase("a1", "listening").await?;
    Ok((host, openwx, stub))
}

/// How many bytes the system takes over a connection on which nobody reads.
async fn on_the_way_bytes() -> Result<usize> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let sender = tokio::net::TcpStream::connect(listener.local_addr()?).await?;
    let (_silent, _) = listener.accept().await?;
    let (piece, mut taken) = (vec![0; 64 * 1024], 0);
    let patience = Duration::from_millis(300);
    while let Ok(ready) = tokio::time::timeout(patience, sender.writable()).await {
        ready?;
        taken += sender.try_write(&piece).unwrap_or_default();
    }
    Ok(taken)
}

#[tokio::test]
async fn the_whole_api_of_a_client_works_through_the_host() -> Result<()> {
    let host = Host::with(Settings::default().clients(10)?).await?;
    let openwx = host.openwx()?;
    openwx.log_in("a1").await?;
    for (path, code) in [
        ("send_friend_message?client=a1&id=@nobody&content=x", 100),
        (
            "send_friend_message?client=a1&account=friend1&content=x&async=1",
            0,
        ),
        ("send_friend_message?client=a1&id=@all&content=x", 0),
        (
            "send_group_message?client=a1&displayname=%E7%BE%A41&content=x",
            0,
        ),
        (
            "send_friend_message?client=a1&id=@f1&content=stub:refuse",
            1205,
        ),
        ("revoke_message?client=a1&id=1:@f1", 0),
        ("create_group?client=a1&friends=@f1,@f2&displayname=x", 0),
        ("create_group?client=a1", 200),
        ("invite_friend?client=a1&id=@@g1&friends=@f1", 0),
        ("kick_group_member?client=a1&id=@@g9&members=@f1", 100),
        (
            "set_group_displayname?client=a1&id=@@g1&new_displayname=x",
            0,
        ),
        ("set_markname?client=a1&id=@f1&new_markname=x", 0),
        ("stick?client=a1&id=@f1&op=1", 0),
        ("make_friend?client=a1&id=@f1&verify=hi", 0),
        (
            "accept_friend_request?client=a1&id=@f1&displayname=x&ticket=t",
            0,
        ),
        ("search_friend?client=a1&name=nobody", 100),
        ("get_client_info?client=a1", 0),
    ] {
        assert_eq!(openwx.json(path).await?["code"], code, "{path}");
    }
    let friends = openwx.json("get_friend_info?client=a1").await?;
    assert_eq!(friends[0]["id"], "@f1");
    let found = openwx.json("search_group?client=a1&id=@@g2").await?;
    assert_eq!(found[0]["id"], "@@g2");
    let avatar = openwx.get("get_avatar?client=a1&id=@f1").await?;
    assert_eq!(avatar.header("content-type"), "image/jpg");
    let refused = openwx
        .post("get_user_info?client=a1", "text/plain", Vec::new())
        .await?;
    assert_eq!(refused.status, 403, "GET alone");
    host.end().await
}
