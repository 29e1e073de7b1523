//! A response on its way from an endpoint.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::{
    sync::watch,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    domain::endpoint::{self, BrokenOff},
    edge::server::Cut,
};

/// Headers that speak for the whole host, which is not a guest's to do. Cookies would
/// come to the other endpoints too, and `www-authenticate` asks for what is theirs.
const OF_THE_HOST: [HeaderName; 10] = [
    header::STRICT_TRANSPORT_SECURITY,
    header::ALT_SVC,
    header::SET_COOKIE,
    header::WWW_AUTHENTICATE,
    HeaderName::from_static("accept-ch"),
    HeaderName::from_static("clear-site-data"),
    HeaderName::from_static("nel"),
    HeaderName::from_static("report-to"),
    HeaderName::from_static("reporting-endpoints"),
    HeaderName::from_static("service-worker-allowed"),
];
/// How long an endpoint may go on with a body that nobody gets. Time for one that was at
/// its end; more would hold a place for a client that is gone.
const THROWN_AWAY_TIME: Duration = Duration::from_secs(1);
/// A page of a guest has the same address as this host's own API. So browsers are told to
/// treat it as somebody else's.
const SANDBOX: HeaderValue = HeaderValue::from_static(
    "sandbox allow-downloads allow-forms allow-modals allow-popups allow-scripts",
);

/// The response as the client gets it. A client that does not read for so long is cut
/// off.
pub fn response(
    method: &Method,
    response: endpoint::Response,
    cut: Cut,
    idle: Duration,
) -> Response {
    let (mut parts, body) = response.into_parts();
    drop_of_the_host(&mut parts.headers);
    parts
        .headers
        .append(header::CONTENT_SECURITY_POLICY, SANDBOX);
    if has_no_body(method, parts.status) {
        // It is thrown away rather than dropped, which would end the call at once.
        tokio::spawn(throw_away(body));
        return Response::from_parts(parts, Body::empty());
    }
    let (owed, watched) = watch::channel(None);
    tokio::spawn(cut_off(watched, cut, idle));
    Response::from_parts(parts, Body::new(Read { inner: body, owed }))
}

fn drop_of_the_host(headers: &mut HeaderMap) {
    for name in OF_THE_HOST {
        headers.remove(name);
    }
}

fn has_no_body(method: &Method, status: StatusCode) -> bool {
    let statuses = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED];
    method == Method::HEAD || statuses.contains(&status)
}

/// Then drops the body, which ends the call if it still goes on.
async fn throw_away(mut body: endpoint::Body) {
    let read = async { while let Some(Ok(_)) = body.frame().await {} };
    if timeout(THROWN_AWAY_TIME, read).await.is_err() {
        tracing::debug!("an endpoint goes on with a body that nobody gets: its call ends");
    }
}

/// Cuts off a client that has something to read and does not, for so long.
async fn cut_off(mut owed: watch::Receiver<Option<Instant>>, cut: Cut, idle: Duration) {
    loop {
        let since = *owed.borrow_and_update();
        let changed = match since {
            None => owed.changed().await,
            Some(since) => match timeout_at(since + idle, owed.changed()).await {
                Ok(changed) => changed,
                Err(_) => {
                    tracing::debug!("a client of an endpoint does not read and is cut off");
                    return cut.off();
                }
            },
        };
        if changed.is_err() {
            // The body has ended.
            return;
        }
    }
}

/// A body that tells since when its client has something to read.
struct Read {
    inner: endpoint::Body,
    owed: watch::Sender<Option<Instant>>,
}

impl HttpBody for Read {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        let owed = matches!(polled, Poll::Ready(Some(Ok(_)))).then(Instant::now);
        self.owed.send_replace(owed);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::StreamBody;

    use super::*;

    #[test]
    fn what_speaks_for_the_whole_host_is_taken_out() {
        let mut headers = HeaderMap::new();
        for name in [
            "set-cookie",
            "nel",
            "report-to",
            "reporting-endpoints",
            "accept-ch",
            "www-authenticate",
            "x-own",
        ] {
            let name = HeaderName::from_static(name);
            headers.append(name.clone(), HeaderValue::from_static("a=1"));
            headers.append(name, HeaderValue::from_static("b=2"));
        }
        drop_of_the_host(&mut headers);
        let left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!((left, headers.len()), (vec!["x-own"], 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_nobody_gets_is_read_for_a_second_at_most() {
        let began = Instant::now();
        let pieces = stream::pending::<Result<Frame<Bytes>, BrokenOff>>();
        throw_away(StreamBody::new(pieces).boxed_unsync()).await;
        assert_eq!(began.elapsed(), THROWN_AWAY_TIME);
        let pieces = stream::iter([Ok(Frame::data(Bytes::from_static(b"x")))]);
        throw_away(StreamBody::new(pieces).boxed_unsync()).await;
        assert_eq!(began.elapsed(), THROWN_AWAY_TIME, "it was at its end");
    }

    #[tokio::test(start_paused = true)]
    async fn who_owes_nothing_is_never_cut_off_and_who_does_not_read_is() {
        let idle = Duration::from_secs(10);
        let (owed, watched) = watch::channel(None);
        let cutting = tokio::spawn(cut_off(watched, Cut::default(), idle));
        tokio::time::sleep(idle * 5).await;
        assert!(!cutting.is_finished(), "it waits for the guest");
        let began = Instant::now();
        for _ in 0..5 {
            owed.send_replace(Some(Instant::now()));
            tokio::time::sleep(idle / 2).await;
        }
        assert!(!cutting.is_finished(), "it reads slowly");
        let ended = cutting.await;
        assert!(ended.is_ok() && began.elapsed() == idle * 3);
    }
}
