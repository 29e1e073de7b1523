//! What only tests ask for, below `/openwx/stub_…`. Answers in every state.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use md5::{Digest, Md5};
use rustix::process::{getpgrp, getppid};
use serde_json::{Value, json};
use tokio::{sync::Notify, time::sleep};
use wxhost_tests::openwx::pattern;

use crate::{
    api::content_type,
    client::Client,
    query::Query,
    report::{self, event, receive, tell},
};

/// In how big pieces a slow body comes, in bytes.
const PIECE_BYTES: usize = 1000;

/// How long after its first half a body is cut off.
const CUT_PAUSE: Duration = Duration::from_millis(50);

/// Answers a hook.
pub async fn answer(client: &Arc<Client>, name: &str, request: Request) -> Response {
    let (head, body) = request.into_parts();
    match name {
        "echo" => return echo(&head, body).await.into_response(),
        "mirror" => {
            return ([(header::CONTENT_TYPE, content_type(&head.headers))], body).into_response();
        }
        _ => {}
    }
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let query = Query::read(head.uri.query(), content_type(&head.headers), &body);
    match name {
        "bytes" => bytes(&query),
        "slow" => slow(&query),
        "cut" => cut(&query),
        "headers" => headers(&query),
        "silent" => std::future::pending().await,
        "crash" => std::process::exit(3),
        "print" => print(&query),
        "stop" => told(&client.ending),
        "scan" => told(&client.scanned),
        "new_code" => told(&client.next_code),
        "sent" => Json(client.sent()).into_response(),
        "calls" => Json(client.calls()).into_response(),
        "reports" => Json(client.reports()).into_response(),
        "environment" => Json(&client.environment.all).into_response(),
        "facts" => Json(facts(client)).into_response(),
        "receive" => hear(client, &query).await,
        "report" => inject(client, &body).await,
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Prints a line.
fn print(query: &Query) -> Response {
    println!("{}", query.get("text").unwrap_or_default());
    Json(json!({"code": 0})).into_response()
}

fn told(whom: &Notify) -> Response {
    whom.notify_one();
    Json(json!({"code": 0})).into_response()
}

/// The request as it came: its line, its headers, and what its body was.
async fn echo(head: &axum::http::request::Parts, body: Body) -> Json<Value> {
    let (mut length, mut digest, mut whole) = (0, Md5::new(), true);
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) => {
                length += piece.len();
                digest.update(&piece);
            }
            Err(_) => whole = false,
        }
    }
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = head.headers.iter();
    let headers: Vec<_> = headers
        .map(|(name, value)| json!([name.as_str(), text(value)]))
        .collect();
    Json(json!({
        "method": head.method.as_str(),
        "target": head.uri.to_string(),
        "headers": headers,
        "bytes": length,
        "md5": pattern::hex(&digest.finalize()),
        "whole": whole,
    }))
}

/// A body of so many bytes that can be told from any other.
fn bytes(query: &Query) -> Response {
    let body = pattern::bytes(size(query));
    let kind = query.get("type").unwrap_or("application/octet-stream");
    ([(header::CONTENT_TYPE, kind.to_owned())], body).into_response()
}

fn size(query: &Query) -> usize {
    query
        .number("size")
        .and_then(|it| usize::try_from(it).ok())
        .unwrap_or(10_000)
}

/// The same, piece by piece with a pause before each.
fn slow(query: &Query) -> Response {
    let pause = Duration::from_millis(query.number("ms").unwrap_or(100));
    let whole = pattern::bytes(size(query));
    let pieces: Vec<_> = whole
        .chunks(PIECE_BYTES)
        .map(Bytes::copy_from_slice)
        .collect();
    let pieces = stream::iter(pieces).then(move |piece| async move {
        sleep(pause).await;
        Ok::<_, Infallible>(piece)
    });
    Body::from_stream(pieces).into_response()
}

/// A body that ends before it is as long as was said.
fn cut(query: &Query) -> Response {
    let size = size(query);
    let half = Bytes::from(pattern::bytes(size / 2));
    let pieces = stream::iter([Ok(half), Err(std::io::Error::other("cut off"))]);
    // Its own turn for each, else the first would never leave.
    let pieces = pieces.then(|piece| async {
        sleep(CUT_PAUSE).await;
        piece
    });
    (
        [(header::CONTENT_LENGTH, size.to_string())],
        Body::from_stream(pieces),
    )
        .into_response()
}

/// An answer with the status and the headers that the query has: `code=418`,
/// `h=Set-Cookie:a=b`.
fn headers(query: &Query) -> Response {
    let code = query.number("code").and_then(|it| u16::try_from(it).ok());
    let status = code
        .and_then(|it| StatusCode::from_u16(it).ok())
        .unwrap_or_default();
    let mut headers = HeaderMap::new();
    let pair = query.get("h").and_then(|text| text.split_once(':'));
    if let Some((name, value)) = pair
        && let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value))
    {
        headers.insert(name, value);
    }
    (status, headers, "with headers").into_response()
}

fn facts(client: &Client) -> Value {
    let raw = |pid: Option<rustix::process::Pid>| pid.map(|pid| pid.as_raw_nonzero().get());
    json!({
        "account": client.account(),
        "pid": std::process::id(),
        "parent": raw(getppid()),
        "group": raw(Some(getpgrp())),
        "port": client.environment.port,
        "state": client.now().as_str(),
        "cwd": std::env::current_dir().ok(),
        "tmpdir": client.environment.tmpdir,
        "arguments": std::env::args().skip(1).collect::<Vec<_>>(),
    })
}

/// Somebody writes to the account. Gives the report's answer, and the message's id.
/// `{account}` stands for its name: whoever writes may not know who is there now.
async fn hear(client: &Arc<Client>, query: &Query) -> Response {
    client.until_running().await;
    let sender = query.get("sender").unwrap_or("@f1");
    let (Some(sender), content) = (
        client.people.friend(&[("id", sender)]),
        query.get("content").unwrap_or_default(),
    ) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let group = query
        .get("group")
        .map(|id| client.people.group(&[("id", id)]));
    if group == Some(None) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let content = content.replace("{account}", client.account());
    let mut message = report::text(client, sender, group.flatten(), &content);
    if let Some(id) = query.get("message_id") {
        message["id"] = id.into();
    }
    let id = message["id"].clone();
    let answer = receive(client, message).await;
    Json(json!({"id": id, "answer": answer})).into_response()
}

/// Reports what the body holds, as it is; an array is an event's name and its
/// parameters.
async fn inject(client: &Arc<Client>, body: &[u8]) -> Response {
    let report: Value = match serde_json::from_slice(body) {
        Ok(Value::Array(named)) => match named.split_first() {
            Some((Value::String(name), params)) => event(name, json!(params)),
            _ => return StatusCode::BAD_REQUEST.into_response(),
        },
        Ok(report) => report,
        Err(_) => return StatusCode::BAD_REQUEST.into_response(),
    };
    let answer = match report["post_type"] == "receive_message" {
        true => receive(client, report).await,
        false => tell(client, report).await,
    };
    Json(json!({"answer": answer})).into_response()
}
