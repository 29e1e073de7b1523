//! Made for `wasmtime serve`: knows nothing of this host. Sends back what it is sent, as
//! it comes; at `/about`, what it sees of the request.
#![cfg_attr(
    not(target_family = "wasm"),
    allow(dead_code, reason = "there is nobody to call it")
)]
#![allow(unsafe_code, reason = "generated: what is exported")]

use wasip2::{
    exports::http::incoming_handler::Guest,
    http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam},
    io::streams::StreamError,
};

struct Echo;

// Other systems' linkers don't take the name that it is exported under.
#[cfg(target_family = "wasm")]
wasip2::http::proxy::export!(Echo);

impl Guest for Echo {
    fn handle(request: IncomingRequest, answer: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        match path.starts_with("/about") {
            true => about(&request, answer),
            false => echo(&request, answer),
        }
    }
}

fn answered(answer: ResponseOutparam) -> Option<OutgoingBody> {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().ok()?;
    ResponseOutparam::set(answer, Ok(response));
    Some(body)
}

fn about(request: &IncomingRequest, answer: ResponseOutparam) {
    let mut text = format!(
        "{:?} {:?} {:?} {:?}\n",
        request.method(),
        request.scheme(),
        request.authority(),
        request.path_with_query()
    );
    for (name, value) in request.headers().entries() {
        text += &format!("{name}: {}\n", String::from_utf8_lossy(&value));
    }
    let Some(body) = answered(answer) else { return };
    if let Ok(stream) = body.write() {
        for piece in text.as_bytes().chunks(4096) {
            if stream.blocking_write_and_flush(piece).is_err() {
                return;
            }
        }
    }
    let _ = OutgoingBody::finish(body, None);
}

fn echo(request: &IncomingRequest, answer: ResponseOutparam) {
    let Ok(incoming) = request.consume() else {
        return;
    };
    let Some(body) = answered(answer) else { return };
    if let (Ok(from), Ok(to)) = (incoming.stream(), body.write()) {
        loop {
            match from.blocking_read(4096) {
                Ok(piece) => {
                    if to.blocking_write_and_flush(&piece).is_err() {
                        return;
                    }
                }
                Err(StreamError::Closed) => break,
                Err(StreamError::LastOperationFailed(_)) => return,
            }
        }
    }
    let _ = OutgoingBody::finish(body, None);
}
