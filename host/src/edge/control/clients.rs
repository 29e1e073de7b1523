//! Openwx clients: started, ended and looked at, and what they print.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Extension, Json as Answer,
    body::Body,
    extract::State,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    input::{Json, Path, Query},
    wire::{ClientStart, List},
};
use crate::{
    domain::{
        ClientName,
        client::{ClientStatus, Phase, escaped},
        ports::{Clients, LogFrom, LogPiece},
    },
    edge::error::{Kind, Problem},
    service::{ClientRequest, Service},
};

/// How much of a log is shown when nobody says, in bytes.
const LOG_TAIL_BYTES: u64 = 64 * 1024;
/// How much of a log is read at a time, and the most of one answer that does not
/// follow it, in bytes.
pub const LOG_MAX_BYTES: u64 = 1024 * 1024;
/// How many logs can be followed at the same time: some people, and a console.
const FOLLOWERS_MAX: usize = 64;
/// How long one answer follows a log. Whoever wants more goes on from the place
/// that was reached; whoever has gone away unnoticed keeps no place for longer.
const FOLLOW_TIME: Duration = Duration::from_secs(10 * 60);
/// How long a follower may take to read what was sent before.
const FOLLOW_STALL: Duration = Duration::from_secs(30);
/// The pause between two looks at a log that grows: a client that prints a lot is
/// read in pieces rather than line by line.
const FOLLOW_PAUSE: Duration = Duration::from_millis(50);

/// Where in the log the body begins.
const LOG_FROM: HeaderName = HeaderName::from_static("x-log-from");
/// Where in the log the rest begins.
const LOG_NEXT: HeaderName = HeaderName::from_static("x-log-next");

type Started = (
    StatusCode,
    [(HeaderName, HeaderValue); 1],
    Answer<ClientStatus>,
);

pub async fn list(
    State(service): State<Service>,
    query: Query,
) -> Result<Answer<List<ClientStatus>>, Problem> {
    let query = query.only(&["phase"])?;
    let phase = query.word("phase", &Phase::ALL, Phase::as_str)?;
    let all = service.native().all().into_iter();
    let wanted = all.filter(|status| phase.is_none_or(|phase| status.phase == phase));
    Ok(Answer(List::whole(wanted.map(Arc::unwrap_or_clone))))
}

pub async fn start(
    State(service): State<Service>,
    query: Query,
    Json(start): Json<ClientStart>,
) -> Result<Started, Problem> {
    query.only(&[])?;
    let request = ClientRequest {
        name: start.name,
        template: start.template,
        parameters: start.parameters.into_iter().collect(),
    };
    let status = service.start_client(request).await?;
    // Relative to this request's own path, whatever a proxy put before it.
    let location = format!("clients/{}", escaped(status.name.as_str()));
    let location = HeaderValue::try_from(location).map_err(Problem::internal)?;
    let headers = [(header::LOCATION, location)];
    Ok((StatusCode::CREATED, headers, shown(status)))
}

fn shown(status: Arc<ClientStatus>) -> Answer<ClientStatus> {
    Answer(Arc::unwrap_or_clone(status))
}

pub async fn show(
    State(service): State<Service>,
    Path(name): Path<ClientName>,
) -> Result<Answer<ClientStatus>, Problem> {
    Ok(shown(service.client(&name)?))
}

/// It ends in the background, and is there until it has.
pub async fn stop(
    State(service): State<Service>,
    Path(name): Path<ClientName>,
) -> Result<(StatusCode, Answer<ClientStatus>), Problem> {
    let status = service.stop_client(&name).await?;
    Ok((StatusCode::ACCEPTED, shown(status)))
}

/// The process that runs ends in the background.
pub async fn restart(
    State(service): State<Service>,
    Path(name): Path<ClientName>,
) -> Result<(StatusCode, Answer<ClientStatus>), Problem> {
    let status = service.restart_client(&name).await?;
    Ok((StatusCode::ACCEPTED, shown(status)))
}

pub async fn clear(
    State(service): State<Service>,
    Path(name): Path<ClientName>,
) -> Result<Answer<ClientStatus>, Problem> {
    Ok(shown(service.clear_client(&name).await?))
}

// ------------------------------------------------------------------ the log

/// Who follows logs at the moment. A cheap handle.
#[derive(Debug, Clone)]
pub struct Followers {
    room: Arc<Semaphore>,
    /// The host ends, and waits for nobody who follows a log.
    ending: CancellationToken,
}

impl Followers {
    /// Nobody yet.
    pub fn until(ending: CancellationToken) -> Self {
        Self {
            room: Arc::new(Semaphore::new(FOLLOWERS_MAX)),
            ending,
        }
    }

    /// Whose end all of them share.
    pub(super) fn ending(&self) -> &CancellationToken {
        &self.ending
    }

    /// A place for one more.
    pub(super) fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let taken = Arc::clone(&self.room).try_acquire_owned();
        taken.map_err(|_| {
            let problem = format!("{FOLLOWERS_MAX} logs are followed already");
            Problem::new(Kind::Busy, problem)
        })
    }
}

/// What a client has printed, as it was printed: escape sequences are in it.
pub async fn log(
    State(service): State<Service>,
    Extension(followers): Extension<Followers>,
    Path(name): Path<ClientName>,
    query: Query,
) -> Result<Response, Problem> {
    let query = query.only(&["tail", "from", "follow"])?;
    let (from, follows) = (log_from(&query)?, follows(&query)?);
    let native = Arc::clone(service.native());
    let Some(piece) = native.log(&name, from, LOG_MAX_BYTES).await else {
        return Err(crate::service::Error::not_found("client", &name).into());
    };
    let from = [(LOG_FROM, HeaderValue::from(piece.from))];
    if !follows {
        let next = [(LOG_NEXT, HeaderValue::from(piece.next))];
        return Ok((log_headers(), from, next, piece.bytes).into_response());
    }
    let body = follow(native, name, piece, &followers)?;
    Ok((log_headers(), from, body).into_response())
}

fn log_from(query: &Query) -> Result<LogFrom, Problem> {
    match (query.number("tail")?, query.number("from")?) {
        (Some(_), Some(_)) => Err(Problem::bad_field("from", "goes without tail")),
        (None, Some(place)) => Ok(LogFrom::Place(place)),
        (None, None) => Ok(LogFrom::Tail(LOG_TAIL_BYTES)),
        (Some(tail), None) if tail <= LOG_MAX_BYTES => Ok(LogFrom::Tail(tail)),
        (Some(_), None) => Err(Problem::bad_field(
            "tail",
            format!("is 0 to {LOG_MAX_BYTES} bytes"),
        )),
    }
}

/// Whether the query says `follow=true`.
pub(super) fn follows(query: &Query) -> Result<bool, Problem> {
    let spell = |follows| match follows {
        true => "true",
        false => "false",
    };
    Ok(query
        .word("follow", &[true, false], spell)?
        .unwrap_or_default())
}

/// A client prints what strangers wrote: it is text, whatever it looks like.
fn log_headers() -> [(HeaderName, HeaderValue); 3] {
    [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
    ]
}

/// This piece and all that follow, without a gap. A task of its own feeds it, so
/// that a reader that stalls is noticed.
fn follow(
    native: Arc<dyn Clients>,
    name: ClientName,
    first: LogPiece,
    followers: &Followers,
) -> Result<Body, Problem> {
    let (place, ending) = (followers.place()?, followers.ending.clone());
    let (send, receive) = mpsc::channel(1);
    tokio::spawn(async move {
        let _place = place;
        tokio::select! {
            () = feed(native, name, first, send) => {}
            () = ending.cancelled() => {}
            () = tokio::time::sleep(FOLLOW_TIME) => {}
        }
    });
    let pieces = stream::unfold(receive, |mut receive: mpsc::Receiver<Bytes>| async {
        let piece = receive.recv().await?;
        Some((Ok::<_, Infallible>(piece), receive))
    });
    Ok(Body::from_stream(pieces))
}

/// Ends when the client or the reader has gone, and where a piece of the log was
/// dropped before it was read: the reader finds out where it goes on.
async fn feed(
    native: Arc<dyn Clients>,
    name: ClientName,
    first: LogPiece,
    send: mpsc::Sender<Bytes>,
) {
    let mut piece = first;
    loop {
        let next = piece.next;
        if !piece.bytes.is_empty() && send.send_timeout(piece.bytes, FOLLOW_STALL).await.is_err() {
            return;
        }
        tokio::select! {
            () = native.log_grown(&name, next) => {}
            () = send.closed() => return,
        }
        tokio::time::sleep(FOLLOW_PAUSE).await;
        match native.log(&name, LogFrom::Place(next), LOG_MAX_BYTES).await {
            Some(more) if more.from == next => piece = more,
            Some(_) | None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use axum::http::Request;
    use http_body_util::BodyExt;
    use serde_json::{Value, json};
    use tower::ServiceExt;

    use super::{super::tests, *};
    use crate::service::fake::FakeClients;

    struct Rig {
        api: axum::Router,
        native: Arc<FakeClients>,
        ending: CancellationToken,
        _data: tempfile::TempDir,
    }

    async fn rig() -> Rig {
        let (native, ending) = (Arc::new(FakeClients::default()), CancellationToken::new());
        let data = tempfile::tempdir().unwrap();
        let clients: Arc<dyn Clients> = Arc::<FakeClients>::clone(&native);
        let (api, _) = tests::api_of(data.path(), clients, ending.clone()).await;
        Rig {
            api,
            native,
            ending,
            _data: data,
        }
    }

    impl Rig {
        async fn ask(&self, line: &str, body: &str) -> Response {
            let request: Request<Body> = tests::request(line, body.to_owned());
            self.api.clone().oneshot(request).await.unwrap()
        }

        async fn json(&self, line: &str, body: &str) -> (u16, Value) {
            let response = self.ask(line, body).await;
            let status = response.status().as_u16();
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            (status, serde_json::from_slice(&bytes).unwrap())
        }

        async fn start(&self, name: &str) {
            let body = json!({"name": name}).to_string();
            assert_eq!(self.json("POST /clients", &body).await.0, 201);
        }
    }

    fn header(response: &Response, name: &str) -> String {
        let value = response.headers().get(name).unwrap();
        value.to_str().unwrap().to_owned()
    }

    fn names(list: &Value) -> Vec<&str> {
        let items = list.get("items").unwrap().as_array().unwrap();
        items
            .iter()
            .filter_map(|item| item.get("name")?.as_str())
            .collect()
    }

    #[tokio::test]
    async fn a_client_is_started_listed_and_ended() {
        let rig = rig().await;
        let body = r#"{"name":"小明@1","parameters":{"log_level":"debug"}}"#;
        let started = rig.ask("POST /clients", body).await;
        assert_eq!(started.status(), StatusCode::CREATED);
        let location = header(&started, "location");
        assert_eq!(location, "clients/%E5%B0%8F%E6%98%8E@1");
        rig.start("b").await;
        rig.native.becomes("b", Phase::Running);

        let (_, all) = rig.json("GET /clients", "").await;
        assert_eq!(names(&all), ["b", "小明@1"]);
        let (_, some) = rig.json("GET /clients?phase=running", "").await;
        assert_eq!(names(&some), ["b"]);
        let (status, shown) = rig.json(&format!("GET /{location}"), "").await;
        assert_eq!(status, 200);
        let parameters = shown.get("parameters").unwrap();
        assert_eq!(*parameters, json!({"log_level": "debug"}));

        let (status, shown) = rig.json("DELETE /clients/b", "").await;
        assert_eq!(
            (status, shown.get("phase").unwrap()),
            (202, &json!("stopping"))
        );
        rig.native.ends("b");
        for line in ["GET", "DELETE"] {
            assert_eq!(rig.json(&format!("{line} /clients/b"), "").await.0, 404);
        }
    }

    #[tokio::test]
    async fn a_client_that_is_there_is_named_with_its_state() {
        let rig = rig().await;
        rig.start("a").await;
        rig.native.becomes("a", Phase::Listening);
        let (status, problem) = rig.json("POST /clients", r#"{"name":"a"}"#).await;
        assert_eq!(status, 409);
        let detail = problem.get("detail").unwrap().as_str().unwrap();
        assert!(
            detail.starts_with("a is there already: it is listening"),
            "{detail}"
        );
    }

    #[tokio::test]
    async fn a_client_is_restarted_and_cleared() {
        let rig = rig().await;
        rig.start("a").await;
        let (status, shown) = rig.json("POST /clients/a/restart", "").await;
        assert_eq!((status, shown.get("restarts").unwrap()), (202, &json!(1)));
        assert_eq!(rig.json("POST /clients/a/clear", "").await.0, 409);
        rig.native.becomes("a", Phase::Failed);
        let (status, shown) = rig.json("POST /clients/a/clear", "").await;
        assert_eq!(
            (status, shown.get("phase").unwrap()),
            (200, &json!("spawned"))
        );
        for line in ["POST /clients/x/restart", "POST /clients/x/clear"] {
            assert_eq!(rig.json(line, "").await.0, 404, "{line}");
        }
    }

    #[tokio::test]
    async fn a_log_is_text_with_the_place_where_it_goes_on() {
        let rig = rig().await;
        rig.start("a").await;
        rig.native.prints("a", "one\ntwo\n");
        let response = rig.ask("GET /clients/a/log", "").await;
        for (name, value) in [
            ("content-type", "text/plain; charset=utf-8"),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("x-log-from", "0"),
            ("x-log-next", "8"),
        ] {
            assert_eq!(header(&response, name), value);
        }
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "one\ntwo\n");
        let rest = rig.ask("GET /clients/a/log?from=4", "").await;
        assert_eq!(header(&rest, "x-log-from"), "4");
        let rest = rest.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(rest, "two\n");
        let none = rig.ask("GET /clients/x/log", "").await;
        assert_eq!(none.status(), StatusCode::NOT_FOUND);
    }

    async fn next(body: &mut Body) -> Option<Bytes> {
        let frame = tokio::time::timeout(Duration::from_secs(5), body.frame()).await;
        frame
            .unwrap()
            .map(|frame| frame.unwrap().into_data().unwrap())
    }

    #[tokio::test]
    async fn a_log_is_followed_until_the_client_is_gone() {
        let rig = rig().await;
        rig.start("a").await;
        rig.native.prints("a", "one\n");
        let mut body = rig
            .ask("GET /clients/a/log?follow=true", "")
            .await
            .into_body();
        assert_eq!(next(&mut body).await.unwrap(), "one\n");
        rig.native.prints("a", "two\n");
        assert_eq!(next(&mut body).await.unwrap(), "two\n");
        rig.native.ends("a");
        assert_eq!(next(&mut body).await, None);
    }

    #[tokio::test]
    async fn a_host_that_ends_waits_for_nobody_who_follows_a_log() {
        let rig = rig().await;
        rig.start("a").await;
        let mut body = rig
            .ask("GET /clients/a/log?follow=true", "")
            .await
            .into_body();
        rig.ending.cancel();
        assert_eq!(next(&mut body).await, None);
    }

    #[tokio::test]
    async fn so_many_follow_and_no_more_until_one_has_gone() {
        let rig = rig().await;
        rig.start("a").await;
        let line = "GET /clients/a/log?follow=true";
        let mut bodies = Vec::new();
        for _ in 0..FOLLOWERS_MAX {
            bodies.push(rig.ask(line, "").await.into_body());
        }
        let refused = rig.ask(line, "").await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        bodies.pop();
        let again = async {
            while rig.ask(line, "").await.status() != StatusCode::OK {
                tokio::task::yield_now().await;
            }
        };
        let again = tokio::time::timeout(Duration::from_secs(5), again);
        again.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_reads_nothing_keeps_no_place() {
        let rig = rig().await;
        rig.start("a").await;
        let line = "GET /clients/a/log?follow=true";
        let mut body = rig.ask(line, "").await.into_body();
        for _ in 0..3 {
            rig.native.prints("a", "much\n");
            tokio::time::sleep(FOLLOW_STALL * 2).await;
        }
        assert!(next(&mut body).await.is_some(), "what was sent before");
        assert_eq!(next(&mut body).await, None);
    }
}
