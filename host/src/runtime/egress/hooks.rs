//! `wasi:http/outgoing-handler` by the same way out.

use std::{future::Future, sync::Arc, time::Duration};

use http_body_util::BodyExt;
use hyper::{Request, Response};
use wasmtime_wasi_http::{Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

use super::{
    Refusal,
    body::Cause,
    request::{Outgoing, is_forbidden},
};

/// What a guest writes to a body at once, and how often before somebody takes it: what
/// each of its bodies holds in the host, also those that it never sends.
const CHUNK_BYTES: usize = 16 * 1024;
const CHUNKS: usize = 1;

type Ending = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sending = Box<dyn Future<Output = Result<(Response<WasiBody>, Ending), Error>> + Send>;

impl WasiHttpHooks for Outgoing {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(is_forbidden)
    }

    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Ending,
    ) -> Sending {
        let admitted = self.admit(&request.uri().to_string(), None);
        if let Err(refusal) = &admitted {
            self.say(refusal);
        }
        let head_time = options.and_then(head_time);
        Box::new(async move {
            let request = request.map(|body| body.map_err(Cause::from).boxed_unsync());
            let sent = admitted.map_err(told)?.send(request);
            let answered = match head_time {
                Some(time) => tokio::time::timeout(time, sent)
                    .await
                    .unwrap_or(Err(Refusal::Timeout(time.as_millis() as u64))),
                None => sent.await,
            };
            let response = answered.map_err(told)?;
            let response = response.map(|body| body.map_err(told).boxed_unsync());
            let ending: Ending = Box::new(async { Ok(()) });
            Ok((response, ending))
        })
    }

    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        CHUNKS
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES
    }
}

/// How long the head of the response may take, when the guest says so. Between the
/// pieces of a body there is no other limit than the whole request's.
fn head_time(options: RequestOptions) -> Option<Duration> {
    let first_byte = options.first_byte_timeout?;
    Some(first_byte.saturating_add(options.connect_timeout.unwrap_or_default()))
}

/// The error of `wasi:http` that comes closest. It has no text, so that goes to the
/// log.
fn told(refusal: Refusal) -> Error {
    tracing::debug!(reason = %refusal, "a request of a bot came to nothing");
    match refusal {
        Refusal::Denied(_) => Error::HttpRequestDenied,
        Refusal::BadRequest(problem) => Error::InternalError(Some(problem)),
        Refusal::Unreachable(_) => Error::DestinationUnavailable,
        Refusal::Timeout(_) => Error::HttpResponseTimeout,
        Refusal::TooLarge(_, bytes_max, "request_bytes_max") => {
            Error::HttpRequestBodySize(Some(bytes_max.into()))
        }
        Refusal::TooLarge(_, bytes_max, "response_bytes_max") => {
            Error::HttpResponseBodySize(Some(bytes_max.into()))
        }
        Refusal::TooLarge(_, bytes_max, _) => Error::HttpResponseHeaderSectionSize(Some(bytes_max)),
        Refusal::TooMany(_) | Refusal::Busy => Error::ConnectionLimitReached,
    }
}
