//! The client's own API (section 4). It answers in `running` only; before, whoever
//! asks waits.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::to_bytes,
    extract::{Request, State as Shared},
    http::{Method, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use wxhost_tests::wehub::upload;

use crate::{client::Client, hooks, people, query::Query, send};

/// How long `check_event` waits (section 4).
const LONG_POLL: Duration = Duration::from_secs(30);
/// By what somebody can be looked for.
const PROPERTIES: [&str; 8] = [
    "id",
    "uid",
    "account",
    "name",
    "markname",
    "displayname",
    "sex",
    "category",
];
/// What answers to GET alone.
const GET_ONLY: [&str; 4] = [
    "get_user_info",
    "get_friend_info",
    "get_group_info",
    "get_group_basic_info",
];

/// The routes.
pub fn router(client: Arc<Client>) -> Router {
    Router::new().fallback(answer).with_state(client)
}

async fn answer(Shared(client): Shared<Arc<Client>>, request: Request) -> Response {
    let Some(name) = request.uri().path().strip_prefix("/openwx/") else {
        return no_such_api();
    };
    let name = name.to_owned();
    if let Some(hook) = name.strip_prefix("stub_") {
        return hooks::answer(&client, hook, request).await;
    }
    client.until_running().await;
    if GET_ONLY.contains(&name.as_str()) && request.method() != Method::GET {
        return (StatusCode::FORBIDDEN, "api only support GET").into_response();
    }
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let query = Query::read(head.uri.query(), content_type(&head.headers), &body);
    let method = head.method.as_str();
    client.keep_call(|| json!({"name": name, "method": method, "query": query.to_json()}));
    call(&client, &name, &query).await
}

/// The type that a request says its body is of.
pub fn content_type(headers: &axum::http::HeaderMap) -> &str {
    let value = headers.get(CONTENT_TYPE);
    value.and_then(|it| it.to_str().ok()).unwrap_or_default()
}

fn no_such_api() -> Response {
    let body = json!({"code": -1, "status": "api not found"});
    (StatusCode::FORBIDDEN, Json(body)).into_response()
}

async fn call(client: &Arc<Client>, name: &str, query: &Query) -> Response {
    let people = &client.people;
    let value = match name {
        "get_user_info" => people.me.clone(),
        "get_friend_info" => json!(people.friends),
        "get_group_info" => json!(people.groups),
        "get_group_basic_info" => people.groups.iter().map(without_members).collect(),
        "search_friend" => search(&people.friends, query),
        "search_group" => search(&people.groups, query),
        "send_friend_message" => send_to(client, &people.friends, query).await,
        "send_group_message" => send_to(client, &people.groups, query).await,
        "consult" => consult(client, query).await,
        "upload_media" => upload_media(client, query),
        "create_group" => match query.get("friends") {
            Some(_) => json!({"code": 0, "group_id": "@@new", "status": "success"}),
            None => empty("friends"),
        },
        "revoke_message" | "accept_friend_request" => done(query, &["id"]),
        "invite_friend" => of_group(client, query, &["friends"]),
        "kick_group_member" => of_group(client, query, &["members"]),
        "set_group_displayname" => of_group(client, query, &["new_displayname"]),
        "set_markname" | "set_friend_markname" => done(query, &["new_markname"]),
        "stick" => done(query, &["id", "op"]),
        "make_friend" => done(query, &["id"]),
        "check_event" => check_event(client).await,
        "get_client_info" => facts(client, "success"),
        "stop_client" => stop(client),
        "get_avatar" => return ([(CONTENT_TYPE, "image/jpg")], upload::code(0)).into_response(),
        _ => return no_such_api(),
    };
    Json(value).into_response()
}

fn without_members(group: &Value) -> Value {
    let mut group = group.clone();
    if let Some(fields) = group.as_object_mut() {
        fields.remove("member");
    }
    group
}

fn unknown() -> Value {
    json!({"code": 100, "id": null, "status": "object not found"})
}

fn empty(name: &str) -> Value {
    json!({"code": 200, "status": format!("{name} is empty")})
}

/// What needs these parameters and otherwise goes well.
fn done(query: &Query, names: &[&str]) -> Value {
    match names.iter().find(|name| query.get(name).is_none()) {
        Some(name) => empty(name),
        None => json!({"code": 0, "status": "success"}),
    }
}

fn of_group(client: &Client, query: &Query, names: &[&str]) -> Value {
    match client.people.group(&query.among(&PROPERTIES)) {
        Some(_) => done(query, names),
        None => unknown(),
    }
}

fn search(all: &[Value], query: &Query) -> Value {
    let wanted = query.among(&PROPERTIES);
    let found: Vec<_> = all.iter().filter(|it| people::has(it, &wanted)).collect();
    match found.is_empty() {
        true => json!({"code": 100, "status": "object not found"}),
        false => json!(found),
    }
}

fn what_of(query: &Query) -> Vec<send::What> {
    let text = query
        .get("content")
        .map(str::to_owned)
        .map(send::What::Text);
    let media = query.get("media_path").or(query.get("media_id"));
    let media = media.map(str::to_owned).map(send::What::Media);
    text.into_iter().chain(media).collect()
}

async fn send_to(client: &Arc<Client>, all: &[Value], query: &Query) -> Value {
    let what = what_of(query);
    if what.is_empty() {
        // As observed: an id without content is never answered.
        std::future::pending::<()>().await;
    }
    let everybody = query.get("id") == Some("@all");
    let wanted = query.among(&PROPERTIES);
    let found = all
        .iter()
        .filter(|it| everybody || people::has(it, &wanted));
    let places: Vec<_> = found.map(|it| it["id"].clone()).collect();
    if places.is_empty() {
        return unknown();
    }
    let later = everybody || query.get("async").is_some_and(|it| it != "0");
    let sending = {
        let client = Arc::clone(client);
        async move { send_all(&client, &places, &what).await }
    };
    if !later {
        return sending.await;
    }
    tokio::spawn(sending);
    match everybody {
        true => json!({"code": 0, "id": 0, "status": "request already executed"}),
        false => json!({"code": 0, "status": "request already in execution"}),
    }
}

async fn send_all(client: &Arc<Client>, places: &[Value], what: &[send::What]) -> Value {
    let mut last = unknown();
    for place in places {
        for what in what {
            last = send::carry_out(client, place, what, "api").await;
        }
    }
    last
}

/// Asks somebody and waits for the answer, which nobody gives here.
async fn consult(client: &Arc<Client>, query: &Query) -> Value {
    let mut answer = send_to(client, &client.people.friends, query).await;
    if answer["code"] == 0 {
        let wait_s = query.number("timeout").unwrap_or(30);
        sleep(Duration::from_secs(wait_s)).await;
        answer["reply_status"] = "reply timeout".into();
    }
    answer
}

fn upload_media(client: &Client, query: &Query) -> Value {
    let Some(path) = query.get("media_path") else {
        return empty("media_path");
    };
    match std::fs::metadata(path) {
        Ok(file) => json!({
            "code": 0,
            "media_ext": "bin",
            "media_id": format!("@crypt_{}:5", client.next_id()),
            "media_mime": "application/octet-stream",
            "media_mtime": client.started_s,
            "media_name": path.rsplit('/').next(),
            "media_path": path,
            "media_size": file.len(),
            "status": "success",
        }),
        Err(error) => json!({"code": 201, "status": error.to_string()}),
    }
}

async fn check_event(client: &Arc<Client>) -> Value {
    let more = client.reported.notified();
    let mut events = client.take_events();
    if events.is_empty() {
        let _ = timeout(LONG_POLL, more).await;
        events = client.take_events();
    }
    Value::Array(events)
}

fn facts(client: &Client, status: &str) -> Value {
    json!({
        "account": client.account(),
        "code": 0,
        "pid": std::process::id(),
        "port": client.environment.port,
        "runtime": crate::client::now_s() - client.started_s,
        "starttime": client.started_s,
        "status": status,
        "version": "1.4.6",
    })
}

fn stop(client: &Arc<Client>) -> Value {
    let farewell = Duration::from_millis(client.arguments.farewell_ms);
    let ending = Arc::clone(client);
    tokio::spawn(async move {
        sleep(farewell).await;
        ending.ending.notify_one();
    });
    let id = std::process::id();
    facts(
        client,
        &format!("success, client({id}) will stop in 3 seconds"),
    )
}
