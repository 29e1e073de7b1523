//! An endpoint that asks whoever its address names, and answers with the outcome: at
//! `/web?URL` by `wxhost:bot/web`, at `/wasi?URL` by `wasi:http`. At its trial it asks for
//! the address in its configuration (`ask`), if there is one.
#![cfg_attr(
    not(target_family = "wasm"),
    allow(dead_code, reason = "there is nobody to call it")
)]
#![allow(unsafe_code, reason = "generated: what is exported")]

use wasip2::{
    exports::http::incoming_handler::Guest,
    http::{
        outgoing_handler,
        types::{
            Fields, IncomingRequest, OutgoingBody, OutgoingRequest, OutgoingResponse,
            ResponseOutparam, Scheme,
        },
    },
    io::streams::StreamError,
};
use wxhost_sdk::{Error, config, web};

struct Asker;

// Other systems' linkers don't take the name that it is exported under.
#[cfg(target_family = "wasm")]
wasip2::http::proxy::export!(Asker);

impl Guest for Asker {
    fn handle(request: IncomingRequest, answer: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let outcome = match path.split_once('?') {
            Some(("/web", url)) => by_web(url),
            Some(("/wasi", url)) => by_wasi(url),
            _ if request.headers().get("wxhost-trial").is_empty() => Ok("nothing asked".to_owned()),
            _ => at_trial(),
        };
        let text = outcome.unwrap_or_else(|error| match error.failure() {
            Some(failure) => format!("err {} {}", failure.code, failure.message),
            None => format!("err other {error}"),
        });
        say(answer, &text);
    }
}

fn at_trial() -> Result<String, Error> {
    match config::get("ask")? {
        Some(url) => {
            let _ = by_web(&url);
            by_wasi(&url)
        }
        None => Ok("well".to_owned()),
    }
}

fn by_web(url: &str) -> Result<String, Error> {
    let response = web::fetch(&web::get(url))?;
    Ok(format!("ok {} {}", response.status, response.text()))
}

fn by_wasi(url: &str) -> Result<String, Error> {
    let rest = url.strip_prefix("http://").ok_or("http:// only")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let request = OutgoingRequest::new(Fields::new());
    let refused = |()| "wasi:http takes no such request";
    request.set_scheme(Some(&Scheme::Http)).map_err(refused)?;
    request.set_authority(Some(authority)).map_err(refused)?;
    request.set_path_with_query(Some(path)).map_err(refused)?;
    let answer = outgoing_handler::handle(request, None).map_err(|code| format!("{code:?}"))?;
    answer.subscribe().block();
    let response = match answer.get() {
        Some(Ok(Ok(response))) => response,
        other => return Err(format!("{other:?}").into()),
    };
    let body = response.consume().map_err(|()| "the body is taken")?;
    let stream = body.stream().map_err(|()| "the stream is taken")?;
    let mut text = Vec::new();
    loop {
        match stream.blocking_read(64 * 1024) {
            Ok(bytes) => text.extend(bytes),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => {
                return Err(error.to_debug_string().into());
            }
        }
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(format!("ok {} {text}", response.status()))
}

fn say(answer: ResponseOutparam, text: &str) {
    let response = OutgoingResponse::new(Fields::new());
    let Ok(body) = response.body() else { return };
    ResponseOutparam::set(answer, Ok(response));
    if let Ok(stream) = body.write() {
        for piece in text.as_bytes().chunks(4096) {
            if stream.blocking_write_and_flush(piece).is_err() {
                return;
            }
        }
    }
    let _ = OutgoingBody::finish(body, None);
}
