//! Requests by `wasi:http`, as components do that were not made for this host.
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme,
};
use wasip2::io::streams::StreamError;
use wxhost_sdk::Error;

use crate::unknown;
use crate::words::Words;

/// What one write of `wasi:io` takes.
const PIECE: [u8; 4096] = [b'x'; 4096];

/// `wasi-http.send METHOD URL BYTES`: sends so many bytes, as far as they are taken.
/// `wasi-http.hoard METHOD URL`: makes requests and keeps them, without an end.
pub fn wasi_http(function: &str, mut words: Words<'_>) -> Result<String, Error> {
    match function {
        "send" => {}
        "hoard" => hoard(words.word("METHOD")?, words.word("URL")?)?,
        _ => return Err(unknown(function)),
    }
    let (method, url) = (words.word("METHOD")?, words.word("URL")?);
    let bytes: u64 = words.number("BYTES")?;
    let request = request(method, url)?;
    let body = request.body().map_err(|()| "the body is taken")?;
    let answer = outgoing_handler::handle(request, None).map_err(|code| format!("{code:?}"))?;
    write(body, bytes);
    answer.subscribe().block();
    match answer.get() {
        Some(Ok(Ok(response))) => read(&response),
        other => Err(format!("{other:?}").into()),
    }
}

fn hoard(method: &str, url: &str) -> Result<(), Error> {
    loop {
        let request = request(method, url)?;
        let body = request.body().map_err(|()| "the body is taken")?;
        std::mem::forget((request, body));
    }
}

fn request(method: &str, url: &str) -> Result<OutgoingRequest, Error> {
    let (scheme, rest) = url.split_once("://").ok_or("URL has no scheme")?;
    let scheme = match scheme {
        "http" => Scheme::Http,
        _ => Scheme::Https,
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let request = OutgoingRequest::new(Fields::new());
    let refused = |()| "wasi:http takes no such request";
    request
        .set_method(&Method::Other(method.to_owned()))
        .map_err(refused)?;
    request.set_scheme(Some(&scheme)).map_err(refused)?;
    request.set_authority(Some(authority)).map_err(refused)?;
    request.set_path_with_query(Some(path)).map_err(refused)?;
    Ok(request)
}

/// Until all is written or nobody takes more: what came of it, the answer tells.
fn write(body: OutgoingBody, mut bytes: u64) {
    {
        let Ok(stream) = body.write() else {
            return;
        };
        while bytes > 0 {
            let length = PIECE
                .len()
                .min(usize::try_from(bytes).unwrap_or(usize::MAX));
            let piece = PIECE.get(..length).unwrap_or_default();
            if stream.blocking_write_and_flush(piece).is_err() {
                return;
            }
            bytes -= length as u64;
        }
    }
    let _ = OutgoingBody::finish(body, None);
}

fn read(response: &IncomingResponse) -> Result<String, Error> {
    let body = response.consume().map_err(|()| "the body is taken")?;
    let stream = body.stream().map_err(|()| "the stream is taken")?;
    let mut text = Vec::new();
    loop {
        match stream.blocking_read(64 * 1024) {
            Ok(bytes) => text.extend(bytes),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => {
                // wasmtime gives no code for the error of a body, but names it.
                return Err(format!("cut off: {}", error.to_debug_string()).into());
            }
        }
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(format!("{} {text}", response.status()))
}
