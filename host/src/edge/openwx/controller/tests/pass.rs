//! What is passed on.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use axum::{body::Body, http::Request};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::ServiceExt;

use super::{
    Got, Rig,
    native::{Manner, Native, OK},
    rig, rig_with,
};
use crate::{
    domain::client::{Phase, StartId},
    edge::{
        openwx::controller::{asked::Asked, seats::CLIENT_MAX},
        server::{self, Open},
    },
};

const MIB: usize = 1024 * 1024;

async fn with_client(rig: &Rig, manner: Manner) -> Native {
    let native = Native::start(manner).await;
    rig.clients
        .add("a1", |one| one.status.port = Some(native.port));
    native
}

async fn passed_on(line: &str, headers: &[(&str, &str)], body: Body) -> (String, Got) {
    let rig = rig().await;
    let native = with_client(&rig, Manner::Answers(OK)).await;
    let line = line.replace("TOKEN", &rig.token);
    let mut request = rig.request(&line);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let got = rig.send(request.body(body).unwrap()).await;
    (native.request(), got)
}

#[tokio::test]
async fn a_request_reaches_the_client_as_it_came() {
    let headers = [
        ("Host", "bots.example:2000"),
        ("Cookie", "a=b"),
        ("X-Own", "1"),
        ("Connection", "x-hop, keep-alive"),
        ("X-Hop", "1"),
        ("TE", "trailers"),
        ("Proxy-Authorization", "Basic eDp5"),
    ];
    let line = "GET a/b%2Fc/%E5%B0%8F?id=%40f1&x=1+2&&client=a1&z=%zz";
    let (request, got) = passed_on(line, &headers, Body::empty()).await;
    let (first, rest) = request.split_once("\r\n").unwrap();
    assert_eq!(
        first,
        "GET /openwx/a/b%2Fc/%E5%B0%8F?id=%40f1&x=1+2&&client=a1&z=%zz HTTP/1.1"
    );
    let rest = rest.to_lowercase();
    for header in ["host: 127.0.0.1:", "cookie: a=b", "x-own: 1"] {
        assert!(rest.contains(header), "{rest}");
    }
    for gone in [
        "connection",
        "x-hop",
        "te:",
        "proxy-",
        "authorization",
        "bots.example",
    ] {
        assert!(!rest.contains(gone), "{gone}: {rest}");
    }
    assert_eq!(got.text(), "{\"code\":0}");
    assert_eq!(got.headers["content-length"], "10");
}

#[tokio::test]
async fn our_token_stays_here_and_those_of_others_pass() {
    let line = "POST x?token=TOKEN&client=a1&token=theirs&token=TOKEN";
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let (request, _) = passed_on(line, &[form], Body::from("q=1")).await;
    assert!(request.starts_with("POST /openwx/x?client=a1&token=theirs HTTP/1.1\r\n"));
    assert!(
        !request.to_lowercase().contains("authorization"),
        "{request}"
    );
    assert!(request.ends_with("\r\n\r\nq=1"));

    let rig = rig().await;
    let native = with_client(&rig, Manner::Answers(OK)).await;
    let body = format!("content=%e4%bd%a0+&token={}&client=a1&x", rig.token);
    let request = Request::post("/openwx/x")
        .header(
            "Content-Type",
            "application/x-www-form-urlencoded; charset=UTF-8",
        )
        .header("Content-Length", body.len())
        .header("Authorization", "Bearer theirs");
    let got = rig.send(request.body(Body::from(body)).unwrap()).await;
    assert_eq!(got.status, 200);
    let request = native.request();
    assert!(request.contains("uthorization: Bearer theirs"), "{request}");
    assert!(
        request.ends_with("\r\n\r\ncontent=%e4%bd%a0+&client=a1&x"),
        "{request}"
    );
}

#[tokio::test]
async fn our_token_stays_here_though_it_is_in_the_form_of_somebody_who_was_let_in() {
    let rig = rig().await;
    let native = with_client(&rig, Manner::Answers(OK)).await;
    let form = format!("content=1&token={}", rig.token);
    let got = rig.post_form("x?client=a1", form).await;
    assert_eq!(got.status, 200);
    let request = native.request();
    assert!(request.ends_with("\r\n\r\ncontent=1"), "{request}");
    let part = format!(
        "--b\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\n{}\r\n--b--\r\n",
        rig.token
    );
    let kind = "multipart/form-data; boundary=b";
    let got = rig.post("x?client=a1", kind, part).await;
    assert_eq!(got.status, 403);
    assert!(got.reason().starts_with("token: "), "{}", got.reason());
}

#[tokio::test]
async fn the_client_is_found_in_forms_and_they_pass_whole() {
    let urlencoded = "content=%E4%BD%A0&client=a1&x=1".to_owned();
    let multipart =
        "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"client\"\r\n\r\n\
                     not me\r\n--b\r\nContent-Disposition: form-data; name=\"client\"\r\n\r\na1\r\n\
                     --b--\r\n"
            .to_owned();
    for (kind, body) in [
        ("application/x-www-form-urlencoded", urlencoded),
        ("multipart/form-data; boundary=b", multipart),
    ] {
        let headers = [("Content-Type", kind)];
        let sent = Body::from(body.clone());
        let (request, got) = passed_on("POST send_friend_message", &headers, sent).await;
        assert!(request.ends_with(&format!("\r\n\r\n{body}")), "{request}");
        assert_eq!(got.status, 200);
    }
}

#[tokio::test]
async fn a_client_that_comes_too_late_in_a_form_is_asked_for_in_the_query() {
    let rig = rig().await;
    with_client(&rig, Manner::Answers(OK)).await;
    let body = format!("content={}&client=a1", "x".repeat(MIB));
    let got = rig.post_form("send_friend_message", body).await;
    assert_eq!(got.code(), 1);
    assert!(
        got.reason().contains("put it into the query"),
        "{}",
        got.reason()
    );
    let got = rig.post_form("x?client=a1&client=a2", "").await;
    assert_eq!(got.json()["status"], "client not valid");
    let got = rig.post_form("x", "client=a1&client=a2").await;
    assert!(got.reason().contains("twice"), "{}", got.reason());
}

#[tokio::test]
async fn large_bodies_pass_both_ways() {
    let rig = rig().await;
    let native = with_client(&rig, Manner::Streams(40 * MIB)).await;
    let pieces = stream::iter((0..40).map(|_| Ok::<_, std::io::Error>(vec![b'x'; MIB])));
    let got = rig
        .post(
            "upload_media?client=a1",
            "text/plain",
            Body::from_stream(pieces),
        )
        .await;
    assert_eq!(got.body.len(), 40 * MIB);
    let sent = std::mem::take(&mut *native.requests.lock().unwrap());
    assert!(sent[0].len() > 40 * MIB);
    // A form is put back as it was, whatever its size.
    let form = format!("client=a1&content={}", "z".repeat(3 * MIB));
    assert_eq!(rig.post_form("x", form.clone()).await.status, 200);
    assert!(native.request().ends_with(&form));
}

#[tokio::test]
async fn other_methods_of_the_controllers_paths_reach_the_client() {
    for line in [
        "POST stop_client?client=a1",
        "POST check_client?client=a1",
        "DELETE get_qrcode?client=a1",
    ] {
        let (request, got) = passed_on(line, &[], Body::empty()).await;
        let line = line.replacen(' ', " /openwx/", 1);
        assert!(request.starts_with(&line), "{request}");
        assert_eq!(got.status, 200);
    }
}

#[tokio::test]
async fn an_answer_comes_back_as_it_is() {
    const ANSWER: &str = "HTTP/1.1 403 Nope\r\nContent-Type: text/html\r\nSet-Cookie: mojo=1\r\n\
                          Set-Cookie: b=2\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n\
                          Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let rig = rig().await;
    let native = with_client(&rig, Manner::BreaksOff(ANSWER)).await;
    let got = rig.get("x?client=a1").await;
    assert_eq!((got.status.as_u16(), got.text()), (403, "abc"));
    // A browser would give them to every other client.
    assert!(!got.headers.contains_key("set-cookie"));
    assert_eq!(got.headers["content-security-policy"], "sandbox");
    assert_eq!(got.headers["x-content-type-options"], "nosniff");
    assert!(!got.headers.contains_key("x-hop") && !got.headers.contains_key("connection"));
    // There is no jar: the next request carries none of them.
    rig.get("x?client=a1").await;
    let requests = native.requests.lock().unwrap();
    assert!(!String::from_utf8_lossy(&requests[1]).contains("mojo=1"));
}

#[tokio::test]
async fn a_clients_own_policy_holds_as_well() {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Security-Policy: default-src 'none'\r\n\
                          Content-Length: 2\r\n\r\nok";
    let rig = rig().await;
    with_client(&rig, Manner::Answers(ANSWER)).await;
    let got = rig.get("x?client=a1").await;
    let policies = got.headers.get_all("content-security-policy");
    let policies: Vec<_> = policies.iter().collect();
    assert_eq!(policies, ["default-src 'none'", "sandbox"]);
}

#[tokio::test]
async fn no_other_protocol_is_spoken() {
    const SWITCH: &str =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    let rig = rig().await;
    with_client(&rig, Manner::Answers(SWITCH)).await;
    let got = rig.get("x?client=a1").await;
    assert_eq!((got.status.as_u16(), got.code()), (502, 6));
    let got = rig.ask("CONNECT x?client=a1").await;
    assert_eq!(got.status, 405);
}

type Headers = &'static [(&'static str, &'static str)];

const URLENCODED: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

#[tokio::test]
async fn our_tokens_are_found_wherever_they_go_along() {
    let own = rig().await;
    let native = with_client(&own, Manner::Answers(OK)).await;
    let page = format!("http://localhost/openwx/get_qrcode?token={}", own.token);
    let line = format!("POST x?client=a1&token={}", own.token);
    let request = own
        .request(&line)
        .header("Authorization", "Basic eDp5")
        .header("Authorization", format!("Bearer {}", super::ADMIN))
        .header("Referer", page)
        .header(URLENCODED.0, URLENCODED.1)
        .body(Body::from(format!("a=1&token={}&b=2", own.token)));
    assert_eq!(own.send(request.unwrap()).await.status, 200);
    let request = native.request();
    assert!(
        !request.contains(&own.token) && !request.contains(super::ADMIN),
        "{request}"
    );
    assert!(!request.to_lowercase().contains("referer"), "{request}");
    assert!(
        request.contains("Basic eDp5") && request.ends_with("a=1&b=2"),
        "{request}"
    );
    let theirs = [("Referer", "http://localhost/?token=theirs")];
    let (request, _) = passed_on("GET x?client=a1", &theirs, Body::empty()).await;
    assert!(request.contains("?token=theirs"), "{request}");
}

#[tokio::test]
async fn no_file_of_this_machine_is_sent_by_its_path() {
    let field = |name: &str| {
        format!("--b\r\nContent-Disposition: form-data; {name}\r\n\r\n/etc/passwd\r\n--b--\r\n")
    };
    const MULTIPART: (&str, &str) = ("Content-Type", "multipart/form-data; boundary=b");
    let long = format!("content={}&media_path=/etc/passwd", "x".repeat(MIB));
    let cases: [(&str, Headers, String); 9] = [
        (
            "GET send_friend_message?client=a1&media_path=%2Fetc%2Fpasswd",
            &[],
            String::new(),
        ),
        (
            "GET consult?client=a1&media_path=../../wxh",
            &[],
            String::new(),
        ),
        (
            "GET x?client=a1&media%5Fpath=http://h/1&media_path=/x",
            &[],
            String::new(),
        ),
        (
            "POST upload_media?client=a1",
            &[URLENCODED],
            "media_path=/etc/passwd".to_owned(),
        ),
        (
            "POST upload_media?client=a1",
            &[MULTIPART],
            field("name=media_path"),
        ),
        (
            "POST upload_media?client=a1",
            &[MULTIPART],
            field("name=media_path; filename=x"),
        ),
        (
            "POST send_friend_message?client=a1",
            &[URLENCODED],
            long.clone(),
        ),
        ("POST send%5ffriend_message?client=a1", &[URLENCODED], long),
        (
            "POST send_friend_message?client=a1",
            &[("Content-Type", "x-application/x-www-form-urlencoded")],
            "media_path=/etc/passwd".to_owned(),
        ),
    ];
    for (line, headers, body) in cases {
        let rig = rig().await;
        let native = with_client(&rig, Manner::Answers(OK)).await;
        let mut request = rig.request(line);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let got = rig.send(request.body(Body::from(body)).unwrap()).await;
        assert_eq!(got.code(), 3, "{line}");
        assert!(
            got.reason().contains("openwx.local_media"),
            "{}",
            got.reason()
        );
        assert_eq!(native.began.load(Ordering::SeqCst), 0, "{line}");
    }
}

#[tokio::test]
async fn files_are_sent_from_elsewhere_from_the_own_directory_or_when_allowed() {
    for media in ["https://h/1.png", "out/1.png"] {
        let line = format!("POST send_friend_message?client=a1&media_path={media}");
        let (_, got) = passed_on(&line, &[URLENCODED], Body::from("content=x")).await;
        assert_eq!(got.json()["code"], 0, "{media}");
    }
    let rig = rig_with(|it| it.local_media = true).await;
    with_client(&rig, Manner::Answers(OK)).await;
    let got = rig
        .get("send_friend_message?client=a1&media_path=/a/1.png")
        .await;
    assert_eq!(got.code(), 0);
}

#[tokio::test]
async fn a_dead_client_is_told_at_once() {
    let rig = rig().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    rig.clients.add("a1", |one| one.status.port = Some(port));
    rig.clients.add("w", |one| {
        one.status.phase = Phase::Waiting;
        one.status.reason = Some("killed by signal 9".to_owned());
    });
    with_client_named(&rig, "h", Manner::HangsUp).await;
    let began = Instant::now();
    for (name, reason) in [
        ("a1", "takes no connection"),
        ("w", "killed by signal 9"),
        ("h", "not known what it has done"),
    ] {
        let got = rig.get(&format!("get_user_info?client={name}")).await;
        let json = got.json();
        assert_eq!((got.status.as_u16(), got.code()), (502, 6), "{name}");
        assert_eq!(json["status"], "client not reachable");
        assert_eq!(json["client"], name);
        assert!(got.reason().contains(reason), "{}", got.reason());
    }
    assert!(began.elapsed() < Duration::from_secs(2));
}

async fn with_client_named(rig: &Rig, name: &str, manner: Manner) -> Native {
    let native = Native::start(manner).await;
    rig.clients
        .add(name, |one| one.status.port = Some(native.port));
    native
}

#[tokio::test]
async fn a_client_that_blocks_is_given_up_in_time() {
    let rig = rig_with(|it| {
        it.answer_ms = 200;
        it.slow_answer_ms = 600;
    })
    .await;
    with_client(&rig, Manner::Blocks).await;
    for (path, least, most) in [
        ("get_user_info", 200, 600),
        ("send_friend_message", 600, 2000),
        ("check_event", 600, 2000),
    ] {
        let began = Instant::now();
        let got = rig.get(&format!("{path}?client=a1")).await;
        let took = began.elapsed().as_millis();
        assert_eq!((got.status.as_u16(), got.code()), (504, 7), "{path}");
        assert_eq!(got.json()["state"], "running");
        assert!((least..most).contains(&took), "{path}: {took} ms");
    }
    let consult = rig.post_form("consult?client=a1", "timeout=x");
    assert_eq!(consult.await.code(), 7);
    assert_eq!(rig.clients.leases.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_time_that_a_client_is_told_is_found_in_query_and_form() {
    let rig = rig().await;
    for (query, form, time) in [
        ("?timeout=300", "timeout=1", Some("300")),
        ("", "x=1&timeout=300", Some("300")),
        ("", "x=1", None),
    ] {
        let request = Request::post(format!("/consult{query}"))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(Body::from(form));
        let mut asked = Asked::of(request.unwrap(), &rig.openwx);
        let found = asked.value("timeout").await.unwrap();
        assert_eq!(found.as_deref(), time, "{query} {form}");
    }
}

#[tokio::test]
async fn half_an_answer_looks_like_no_whole() {
    const HALF: &str = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
    let rig = rig().await;
    with_client(&rig, Manner::BreaksOff(HALF)).await;
    let request = rig.request("GET x?client=a1").body(Body::empty()).unwrap();
    let response = rig.router().oneshot(request).await.unwrap();
    assert!(response.into_body().collect().await.is_err());
    assert_eq!(rig.clients.leases.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_port_is_held_until_the_answer_has_ended() {
    let rig = rig().await;
    with_client(&rig, Manner::Streams(8 * MIB)).await;
    let request = rig.request("GET x?client=a1").body(Body::empty()).unwrap();
    let response = rig.router().oneshot(request).await.unwrap();
    assert_eq!(rig.clients.leases.load(Ordering::SeqCst), 1);
    let mut body = response.into_body();
    body.frame().await.unwrap().unwrap();
    assert_eq!(rig.clients.leases.load(Ordering::SeqCst), 1);
    body.collect().await.unwrap();
    assert_eq!(rig.clients.leases.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_connection_is_used_again_for_the_same_process_only() {
    let rig = rig().await;
    let native = with_client(&rig, Manner::Answers(OK)).await;
    for _ in 0..5 {
        rig.get("x?client=a1").await;
    }
    assert_eq!(native.connections.load(Ordering::SeqCst), 1);
    // The same port, another process.
    rig.clients.change("a1", |one| {
        one.status.start = Some(StartId::random().unwrap());
    });
    rig.get("x?client=a1").await;
    assert_eq!(native.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_client_that_blocks_holds_up_nobody_elses_requests() {
    let rig = rig().await;
    let blocked = with_client(&rig, Manner::Blocks).await;
    with_client_named(&rig, "b2", Manner::Answers(OK)).await;
    let waiting: Vec<_> = (0..CLIENT_MAX)
        .map(|_| {
            let request = rig.request("GET x?client=a1").body(Body::empty()).unwrap();
            tokio::spawn(rig.router().oneshot(request))
        })
        .collect();
    while blocked.began.load(Ordering::SeqCst) < CLIENT_MAX {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let got = rig.get("x?client=a1").await;
    assert_eq!((got.status.as_u16(), got.code()), (503, 8));
    assert_eq!(rig.get("x?client=b2").await.status, 200);
    for one in &waiting {
        one.abort();
    }
    for one in waiting {
        let _ = one.await;
    }
    assert_eq!(rig.clients.leases.load(Ordering::SeqCst), 0);
}

/// Over a real connection: what hyper does with heads is part of it.
#[tokio::test]
async fn the_names_of_headers_keep_their_case() {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\nX-Own-NAME: 1\r\nContent-Length: 2\r\n\r\nok";
    let rig = rig().await;
    let native = with_client(&rig, Manner::Answers(ANSWER)).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = rig.openwx.alone();
    let config = server::Config::default();
    let serving = tokio::spawn(async move {
        server::run(
            listener,
            router,
            &config,
            Open::default(),
            std::future::pending(),
        )
        .await;
    });
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /openwx/x?client=a1 HTTP/1.1\r\nHOST: h\r\nX-My-ID: 1\r\nAUTHORIZATION: Bearer {}\r\n\
         Connection: close\r\n\r\nGET /else HTTP/1.1\r\n\r\n",
        rig.token
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Bytes::new().to_vec();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.contains("\r\nX-Own-NAME: 1\r\n"), "{answer}");
    let request = native.request();
    assert!(request.contains("\r\nX-My-ID: 1\r\n"), "{request}");
    assert!(
        !request.to_lowercase().contains("authorization"),
        "{request}"
    );
    serving.abort();
}

#[tokio::test]
async fn a_further_address_serves_the_controller_alone() {
    let rig = rig().await;
    for path in ["/foo", "/", "/api/v1/accounts", "/healthz"] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = rig.openwx.alone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 403, "{path}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(&body[..], br#"{"code":-1,"status":"api not found"}"#);
    }
    let uri = format!("/openwx/check_client?token={}", rig.token);
    let request = Request::get(uri).body(Body::empty()).unwrap();
    let response = rig.openwx.alone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
}
