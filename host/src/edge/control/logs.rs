//! The logs of handlers: read, and followed as server-sent events.

use std::{convert::Infallible, time::Duration};

use axum::{
    Extension, Json as Answer,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::{
    clients::{Followers, follows},
    input::{LIMIT_DEFAULT, LIMIT_MAX, Path, Query},
    wire::List,
};
use crate::{
    domain::{
        AccountId, HandlerName,
        handler::{LogLevel, LogLine},
        ports::{Followed, LogFollower, LogQuery},
    },
    edge::error::Problem,
    service::Service,
};

/// The media type of server-sent events.
const EVENT_STREAM: &str = "text/event-stream";
/// What the last event's id was, for whoever follows on.
const LAST_EVENT_ID: &str = "last-event-id";
/// The event that is a line: its data is a [`LogLine`], its id the line's order.
pub const LINE: &str = "line";
/// The event that says how many lines were missed: its data is a [`Missed`].
pub const MISSED: &str = "missed";
/// How often something is sent when nothing is said, so that both sides see whether the
/// other is still there.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a follower may take to read what was sent before.
const STALL: Duration = Duration::from_secs(30);
/// How many lines may wait to be sent: those beyond wait with the log, which counts them.
const WAITING_MAX: usize = 16;

/// How many lines a follower was too slow for, of all that the handler's log got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// How many.
    pub lines: u64,
}

/// The last lines, and with `follow=true` (or `Accept: text/event-stream`) all that come.
pub async fn log(
    State(service): State<Service>,
    Extension(followers): Extension<Followers>,
    Path(handler): Path<HandlerName>,
    headers: HeaderMap,
    query: Query,
) -> Result<Response, Problem> {
    let query = query.only(&["account", "lines", "level", "follow", "after"])?;
    let follows = match query.get("follow") {
        Some(_) => follows(&query)?,
        None => wants_events(&headers),
    };
    let asked = LogQuery {
        after: after(&headers, &query)?,
        ..asked(handler, &query)?
    };
    if !follows {
        let lines = service.handler_log(asked).await?;
        return Ok(Answer(List::<LogLine>::whole(lines)).into_response());
    }
    let place = followers.place()?;
    let (lines, follower) = service.follow_handler_log(asked).await?;
    let (send, receive) = mpsc::channel(WAITING_MAX);
    let ending = followers.ending().clone();
    tokio::spawn(async move {
        let _place = place;
        tokio::select! {
            _ = feed(lines, follower, send) => {}
            () = ending.cancelled() => {}
        }
    });
    let pieces = stream::unfold(receive, |mut receive: mpsc::Receiver<Bytes>| async {
        let piece = receive.recv().await?;
        Some((Ok::<_, Infallible>(piece), receive))
    });
    Ok((event_headers(), Body::from_stream(pieces)).into_response())
}

fn asked(handler: HandlerName, query: &Query) -> Result<LogQuery, Problem> {
    let account = query.get("account").map(AccountId::try_from).transpose();
    let level = query.word("level", &LogLevel::ALL, LogLevel::as_str)?;
    let lines = match query.number("lines")? {
        None => LIMIT_DEFAULT,
        Some(lines) => usize::try_from(lines)
            .ok()
            .filter(|lines| *lines <= LIMIT_MAX)
            .ok_or_else(|| Problem::bad_field("lines", format!("is 0 to {LIMIT_MAX}")))?,
    };
    Ok(LogQuery {
        handler,
        after: None,
        account: account.map_err(|error| Problem::bad_field("account", error))?,
        level: level.unwrap_or(LogLevel::Trace),
        lines,
    })
}

/// After which line: as a browser says that follows again, or in the query.
fn after(headers: &HeaderMap, query: &Query) -> Result<Option<u64>, Problem> {
    let last = headers.get(LAST_EVENT_ID).and_then(|it| it.to_str().ok());
    match query.number("after")? {
        Some(after) => Ok(Some(after)),
        None => Ok(last.and_then(|last| last.parse().ok())),
    }
}

fn wants_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let mut types = accepted.filter_map(|value| value.to_str().ok());
    types.any(|types| types.contains(EVENT_STREAM))
}

fn event_headers() -> [(HeaderName, HeaderValue); 3] {
    let accel = HeaderName::from_static("x-accel-buffering");
    [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream; charset=utf-8"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // nginx would keep the lines until there are many.
        (accel, HeaderValue::from_static("no")),
    ]
}

/// Sends lines until nobody reads them, or the log ends: then there is nothing more to
/// give.
async fn feed(
    lines: Vec<LogLine>,
    mut follower: Box<dyn LogFollower>,
    send: mpsc::Sender<Bytes>,
) -> Option<()> {
    // The answer begins at once, also where nothing was said yet.
    pass(&send, Bytes::from_static(b": follows\n\n")).await?;
    for line in lines {
        pass(&send, line_event(&line)?).await?;
    }
    loop {
        let next = tokio::select! {
            next = tokio::time::timeout(HEARTBEAT, follower.next()) => next,
            () = send.closed() => return None,
        };
        let piece = match next {
            Err(_) => Bytes::from_static(b": heartbeat\n\n"),
            Ok(Some(Followed::Line(line))) => line_event(&line)?,
            Ok(Some(Followed::Missed(lines))) => event(MISSED, &Missed { lines })?,
            Ok(None) => return None,
        };
        pass(&send, piece).await?;
    }
}

async fn pass(send: &mpsc::Sender<Bytes>, piece: Bytes) -> Option<()> {
    send.send_timeout(piece, STALL).await.ok()
}

fn line_event(line: &LogLine) -> Option<Bytes> {
    let event = event(LINE, line)?;
    Some(
        [format!("id: {}\n", line.order).as_bytes(), &event]
            .concat()
            .into(),
    )
}

/// An event as it is sent. JSON has no line breaks outside of its texts, where they are
/// escaped.
fn event(name: &str, data: &impl Serialize) -> Option<Bytes> {
    let data = serde_json::to_string(data).ok()?;
    Some(format!("event: {name}\ndata: {data}\n\n").into())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn an_event_has_one_line_of_data() {
        let missed = event(MISSED, &Missed { lines: 3 }).unwrap();
        assert_eq!(missed, "event: missed\ndata: {\"lines\":3}\n\n");
        let text = event(LINE, &"a\n\nevent: line\r").unwrap();
        assert_eq!(text, "event: line\ndata: \"a\\n\\nevent: line\\r\"\n\n");
    }

    #[test]
    fn events_are_asked_for_by_their_media_type() {
        let mut headers = HeaderMap::new();
        assert!(!wants_events(&headers));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        assert!(!wants_events(&headers));
        headers.append(
            header::ACCEPT,
            HeaderValue::from_static("text/html, text/event-stream;q=0.9"),
        );
        assert!(wants_events(&headers));
    }
}
