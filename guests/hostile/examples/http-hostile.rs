//! An endpoint that does what its path says, and nothing good. It behaves at its trial.
#![cfg_attr(
    not(target_family = "wasm"),
    allow(dead_code, reason = "there is nobody to call it")
)]
#![allow(
    unsafe_code,
    clippy::panic,
    reason = "generated: what is exported; and failing is what it is for"
)]

use std::hint::black_box;

use wasip2::{
    exports::http::incoming_handler::Guest,
    http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam},
    io::streams::OutputStream,
};
use wxhost_sdk::{config, endpoint, kv, log, send_text};

struct Hostile;

// Other systems' linkers don't take the name that it is exported under.
#[cfg(target_family = "wasm")]
wasip2::http::proxy::export!(Hostile);

const PIECE: [u8; 4096] = [b'x'; 4096];

impl Guest for Hostile {
    fn handle(request: IncomingRequest, answer: ResponseOutparam) {
        if !request.headers().get("wxhost-trial").is_empty() {
            return at_trial(answer);
        }
        let path = request.path_with_query().unwrap_or_default();
        let mut words = path.trim_start_matches('/').split('/');
        match (words.next().unwrap_or_default(), words.next()) {
            ("endless-body", _) => endless_body(answer),
            ("loop", _) => loop {
                black_box(());
            },
            ("silent", _) => {
                log::info("it keeps still");
                // Clients that wait for that are told to go on now.
                read(&request);
                keep_still();
            }
            ("nothing", _) => drop(answer),
            ("trap", _) => panic!("it was asked to"),
            ("trap-after-head", _) => {
                let _body = begun(answer, b"half of it");
                panic!("it was asked to, after the head");
            }
            ("stall-after-head", _) => {
                // Before its client, who leaves then, sees anything.
                log::info("it stalls");
                let _body = begun(answer, b"half of it");
                keep_still();
            }
            ("unfinished", _) => drop(begun(answer, b"half of it")),
            ("act", Some(account)) => say(answer, &act(account)),
            ("send-then-trap", Some(account)) => {
                let sent = act(account);
                panic!("after {sent}");
            }
            ("send-after-head", Some(account)) => {
                let body = begun(answer, b"later: ");
                let sent = act(account);
                finish(body, sent.as_bytes());
            }
            ("send-then-trap-after-head", Some(account)) => {
                let first = act(account);
                let _body = begun(answer, first.as_bytes());
                let then = act(account);
                panic!("after {first} and {then}");
            }
            ("huge-headers", _) => huge_headers(answer),
            ("count", _) => say(answer, &format!("{:?}", kv::increment("count", 1).ok())),
            ("headers-of-the-host", _) => headers_of_the_host(answer),
            (path, _) => say(answer, &format!("unknown: {path}")),
        }
    }
}

fn at_trial(answer: ResponseOutparam) {
    match config::get("at-trial").ok().flatten().as_deref() {
        Some("trap") => panic!("at its trial"),
        Some("nothing") => drop(answer),
        Some("act") => say(answer, &act("wxid_a")),
        _ => say(answer, "well"),
    }
}

fn act(account: &str) -> String {
    let acted =
        endpoint::act_for(account).and_then(|()| Ok(send_text("wxid_friend", "from an endpoint")?));
    match acted {
        Ok(task) => task,
        Err(error) => error.to_string(),
    }
}

fn read(request: &IncomingRequest) {
    let Ok(body) = request.consume() else { return };
    if let Ok(stream) = body.stream() {
        while stream.blocking_read(PIECE.len() as u64).is_ok() {}
    }
}

fn keep_still() {
    let pollable = wasip2::clocks::monotonic_clock::subscribe_duration(3_600_000_000_000);
    pollable.block();
}

/// A response that goes on. The stream goes before its body.
struct Begun(OutputStream, OutgoingBody);

/// Answers and says this much of the body.
fn begun(answer: ResponseOutparam, first: &[u8]) -> Begun {
    let response = OutgoingResponse::new(Fields::new());
    let Ok(body) = response.body() else {
        panic!("no body");
    };
    ResponseOutparam::set(answer, Ok(response));
    let Ok(stream) = body.write() else {
        panic!("no stream");
    };
    let _ = stream.blocking_write_and_flush(first);
    Begun(stream, body)
}

fn finish(Begun(stream, body): Begun, rest: &[u8]) {
    let _ = stream.blocking_write_and_flush(rest);
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

fn say(answer: ResponseOutparam, text: &str) {
    let response = OutgoingResponse::new(Fields::new());
    let Ok(body) = response.body() else { return };
    ResponseOutparam::set(answer, Ok(response));
    if let Ok(stream) = body.write() {
        let _ = stream.blocking_write_and_flush(text.as_bytes());
    }
    let _ = OutgoingBody::finish(body, None);
}

fn endless_body(answer: ResponseOutparam) {
    let response = OutgoingResponse::new(Fields::new());
    let Ok(body) = response.body() else { return };
    ResponseOutparam::set(answer, Ok(response));
    let Ok(stream) = body.write() else { return };
    while stream.blocking_write_and_flush(&PIECE).is_ok() {}
}

/// The host ends it on the way.
fn huge_headers(answer: ResponseOutparam) {
    let headers = Fields::new();
    let value = vec![b'x'; 1024];
    let mut taken = 0;
    for number in 0..1024 {
        if headers.append(&format!("x-{number}"), &value).is_err() {
            break;
        }
        taken += 1;
    }
    say(answer, &format!("{taken} headers of 1 KiB"));
}

fn headers_of_the_host(answer: ResponseOutparam) {
    let headers = Fields::new();
    let forbidden = headers.append("connection", b"close").is_err();
    for name in [
        "strict-transport-security",
        "alt-svc",
        "set-cookie",
        "nel",
        "x-own",
    ] {
        let _ = headers.append(name, b"h2=\":1\"");
    }
    let response = OutgoingResponse::new(headers);
    let Ok(body) = response.body() else { return };
    ResponseOutparam::set(answer, Ok(response));
    if let Ok(stream) = body.write() {
        let text = format!("connection forbidden: {forbidden}");
        let _ = stream.blocking_write_and_flush(text.as_bytes());
    }
    let _ = OutgoingBody::finish(body, None);
}
