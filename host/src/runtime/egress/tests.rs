//! Requests over real connections to a server in this process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{
    domain::{Deployment, handler::Manifest},
    runtime::{
        bindings::wxhost::bot::web::{Request, Response},
        convert,
        output::Output,
    },
};

/// Longer than any of these tests takes.
const CALL: Duration = Duration::from_secs(20);

/// A server that reads the head of each request and then does this with the connection.
async fn server<F>(answer: fn(TcpStream, String) -> F) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                answer(stream, String::from_utf8(head).unwrap()).await;
            });
        }
    });
    address
}

async fn say(mut stream: TcpStream, text: String) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

/// Says what it was asked.
async fn echo(stream: TcpStream, head: String) {
    let length = head.len();
    say(
        stream,
        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{head}"),
    )
    .await;
}

/// Answers with a body that has no end.
async fn endless(mut stream: TcpStream, _: String) {
    let head = b"HTTP/1.1 200 OK\r\n\r\n";
    let mut sent = stream.write_all(head).await;
    while sent.is_ok() {
        sent = stream.write_all(&[b'x'; 4096]).await;
    }
}

/// Answers with headers that come one byte at a time and have no end.
async fn dribble(mut stream: TcpStream, _: String) {
    let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
    while sent.is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        sent = stream.write_all(b"x").await;
    }
}

/// Reads, and says nothing.
async fn silent(mut stream: TcpStream, _: String) {
    let mut bytes = [0; 4096];
    while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
}

fn outgoing(config: Config, rules: &[String]) -> Outgoing {
    let nameless = convert::nameless();
    let mut version = nameless.version.as_ref().clone();
    version.manifest = Manifest {
        allowed_hosts: rules.iter().map(|rule| rule.parse().unwrap()).collect(),
        ..Manifest::default()
    };
    let deployment = Deployment {
        version: version.into(),
        ..(*nameless).clone()
    };
    let egress = Arc::new(Egress::new(config));
    Outgoing::new(
        egress,
        Arc::new(deployment),
        false,
        Output::new(1024, 0),
        CALL,
    )
}

fn get(url: impl Into<String>) -> Request {
    Request {
        method: "GET".to_owned(),
        url: url.into(),
        headers: vec![],
        body: vec![],
        timeout_ms: None,
    }
}

async fn fetch(config: Config, address: SocketAddr, request: Request) -> Result<Response, Refusal> {
    let rules = [format!("http://{address}")];
    outgoing(config, &rules).fetch(request).await
}

#[tokio::test]
async fn a_request_goes_out_as_it_is_with_what_is_the_hosts() {
    let address = server(echo).await;
    let request = Request {
        headers: vec![("x-a".into(), "1".into()), ("X-A".into(), "\u{e9}".into())],
        ..get(format!("http://{address}/a%20b?c=d#e"))
    };
    let answered = fetch(Config::default(), address, request).await.unwrap();
    let head = String::from_utf8(answered.body).unwrap();
    assert_eq!(answered.status, 200);
    assert!(head.starts_with("GET /a%20b?c=d HTTP/1.1\r\n"), "{head}");
    for line in [
        &format!("host: {address}"),
        "connection: close",
        concat!("user-agent: wxhost/", env!("CARGO_PKG_VERSION")),
        "x-a: 1",
        "x-a: \u{e9}",
    ] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line}: {head}");
    }
    assert!(
        answered
            .headers
            .contains(&("content-length".into(), head.len().to_string()))
    );
}

#[tokio::test]
async fn what_is_the_hosts_to_set_is_refused() {
    let address = server(echo).await;
    for name in [
        "Host",
        "connection",
        "Transfer-Encoding",
        "content-length",
        "upgrade",
        "te",
        "a b",
    ] {
        let request = Request {
            headers: vec![(name.into(), "1".into())],
            ..get(format!("http://{address}/"))
        };
        let refusal = fetch(Config::default(), address, request)
            .await
            .unwrap_err();
        assert_eq!(refusal.code(), "bad-request", "{name}: {refusal}");
    }
    for method in ["CONNECT", "G T", ""] {
        let request = Request {
            method: method.to_owned(),
            ..get(format!("http://{address}/"))
        };
        let refusal = fetch(Config::default(), address, request)
            .await
            .unwrap_err();
        assert_eq!(refusal.code(), "bad-request", "{method}: {refusal}");
    }
}

#[tokio::test]
async fn a_redirect_is_the_guests_to_follow() {
    let address = server(|stream, _| {
        say(
            stream,
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n\r\n".to_owned(),
        )
    });
    let address = address.await;
    let asked = get(format!("http://{address}/"));
    let answered = fetch(Config::default(), address, asked).await.unwrap();
    assert_eq!(answered.status, 302);
    assert_eq!(
        answered.headers,
        [("location".to_owned(), "http://127.0.0.1:1/".to_owned())]
    );
}

#[tokio::test]
async fn whatever_is_too_long_is_cut_off() {
    let config = Config {
        request_bytes_max: 10,
        response_bytes_max: 10_000,
        header_bytes_max: 8192,
        ..Config::default()
    };
    let cut = async |address: SocketAddr, change: fn(&mut Request)| {
        let mut request = get(format!("http://{address}/"));
        change(&mut request);
        let refusal = fetch(config.clone(), address, request).await.unwrap_err();
        assert_eq!(refusal.code(), "too-large", "{refusal}");
        refusal.to_string()
    };
    let echoing = server(echo).await;
    let sent = cut(echoing, |it| it.body = vec![0; 11]).await;
    assert!(sent.contains("egress.request_bytes_max"), "{sent}");
    let long = |it: &mut Request| it.headers = vec![("a".to_owned(), "b".repeat(8192))];
    let head = cut(echoing, long).await;
    assert!(head.contains("the request's head"), "{head}");
    let body = cut(server(endless).await, |_| ()).await;
    assert!(body.contains("egress.response_bytes_max"), "{body}");
    let announced = server(|stream, _| {
        say(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-length: 10001\r\n\r\n".to_owned(),
        )
    });
    cut(announced.await, |_| ()).await;
    let head = server(|stream, _| {
        say(
            stream,
            format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "b".repeat(9000)),
        )
    });
    let head = cut(head.await, |_| ()).await;
    assert!(head.contains("the response's head"), "{head}");
}

#[tokio::test]
async fn whatever_takes_too_long_is_given_up() {
    let config = Config {
        request_ms: 200,
        response_bytes_max: 64 * 1024 * 1024,
        ..Config::default()
    };
    for address in [server(silent).await, server(dribble).await] {
        let asked = get(format!("http://{address}/"));
        let refusal = fetch(config.clone(), address, asked).await.unwrap_err();
        assert!(matches!(refusal, Refusal::Timeout(150..=200)), "{refusal}");
    }
    let address = server(silent).await;
    let asked = Request {
        timeout_ms: Some(50),
        ..get(format!("http://{address}/"))
    };
    let refusal = fetch(Config::default(), address, asked).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Timeout(40..=50)), "{refusal}");
}

#[tokio::test]
async fn nobody_there_and_no_http_are_told() {
    let rules = [
        "http://127.0.0.1:1".to_owned(),
        "http://none.invalid".to_owned(),
    ];
    let mut nobody = outgoing(Config::default(), &rules);
    for url in ["http://127.0.0.1:1/", "http://none.invalid/"] {
        let refusal = nobody.fetch(get(url)).await.unwrap_err();
        assert_eq!(refusal.code(), "unreachable", "{refusal}");
    }
    let address = server(|stream, _| say(stream, "SSH-2.0-x\r\n".to_owned())).await;
    let asked = get(format!("http://{address}/"));
    let refusal = fetch(Config::default(), address, asked).await.unwrap_err();
    assert_eq!(refusal.code(), "unreachable", "{refusal}");
    // Who doesn't speak TLS says something else at once.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        say(stream, "220 ready\r\n".to_owned()).await;
    });
    let rules = [format!("https://{address}")];
    let mut tls = outgoing(Config::default(), &rules);
    let refusal = tls
        .fetch(get(format!("https://{address}/")))
        .await
        .unwrap_err();
    assert_eq!(refusal.code(), "unreachable", "{refusal}");
}

#[tokio::test]
async fn a_call_makes_so_many_requests_and_a_trial_none() {
    let address = server(echo).await;
    let config = Config {
        call_requests: 2,
        ..Config::default()
    };
    let rules = [format!("http://{address}")];
    let mut call = outgoing(config, &rules);
    for _ in 0..2 {
        call.fetch(get(format!("http://{address}/"))).await.unwrap();
    }
    let refusal = call
        .fetch(get(format!("http://{address}/")))
        .await
        .unwrap_err();
    assert_eq!(refusal, Refusal::TooMany(2));
    let egress = Arc::new(Egress::default());
    let mut trial = Outgoing::new(egress, convert::nameless(), true, Output::new(0, 0), CALL);
    let refusal = trial.fetch(get("http://a.com")).await.unwrap_err();
    assert_eq!(refusal.code(), "denied");
    assert!(refusal.to_string().contains("tried out"), "{refusal}");
}

#[tokio::test]
async fn places_come_back_and_one_handler_never_has_all() {
    let config = Config {
        requests_max: 2,
        handler_requests_max: 1,
        ..Config::default()
    };
    let egress = Egress::new(config);
    let (one, other) = ("one".try_into().unwrap(), "other".try_into().unwrap());
    let soon = || Instant::now() + Duration::from_millis(20);
    let held = egress.place(&one, soon()).await.unwrap();
    let busy = egress.place(&one, soon()).await.unwrap_err();
    assert_eq!(
        (busy.code(), busy.retry_after_ms()),
        ("too-many", Some(1000))
    );
    egress.place(&other, soon()).await.unwrap();
    egress.forget_shares();
    assert_eq!(egress.shares.count(), 1, "one request is under way");
    drop(held);
    egress.place(&one, soon()).await.unwrap();
    egress.forget_shares();
    assert_eq!(egress.shares.count(), 0);
}

#[tokio::test]
async fn a_name_is_connected_to_where_it_was_found() {
    let address = server(echo).await;
    let url = format!("http://localhost:{}/", address.port());
    let mut none = outgoing(Config::default(), &["http://*".to_owned()]);
    assert_eq!(none.fetch(get(&url)).await.unwrap_err().code(), "denied");
    let any = format!("http://*:{}", address.port());
    let refusal = outgoing(Config::default(), &[any])
        .fetch(get(&url))
        .await
        .unwrap_err();
    assert!(
        refusal.to_string().contains("addresses of this machine"),
        "{refusal}"
    );
    let named = format!("http://localhost:{}", address.port());
    let answered = outgoing(Config::default(), &[named])
        .fetch(get(&url))
        .await
        .unwrap();
    let head = String::from_utf8(answered.body).unwrap();
    assert!(
        head.contains(&format!("host: localhost:{}\r\n", address.port())),
        "{head}"
    );
}
