//! What the router does before it asks the service.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{path::Path, sync::Arc};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use http_body_util::BodyExt;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{
    BODY_MAX_BYTES, CONFIG_BODY_MAX_BYTES, DEPLOY_OPTIONS_MAX_BYTES, SECRET_MAX_BYTES, router,
};
use crate::edge::tests::NoRuntime;
use crate::{
    blobs,
    domain::{
        Action, Digest,
        file::FilePolicy,
        login::NOTE_MAX_BYTES,
        ports::{Clients, NoClients, Room},
    },
    edge::{auth::AdminToken, error::Document},
    service::{IDEMPOTENCY_KEY_MAX_BYTES, Policies, Service},
    store,
};

/// `limits.component_bytes`.
const COMPONENT_BYTES: u64 = 2 * 1024 * 1024;
const TOKEN: &str = "wxh_0123456789abcdef0123456789abcdef";

async fn api() -> Router {
    let data = tempfile::tempdir().unwrap();
    api_on(data.path()).await.0
}

/// With the files in this directory.
async fn api_on(data: &Path) -> (Router, Service) {
    api_of(data, Arc::new(NoClients), CancellationToken::new()).await
}

/// With the files in this directory and these clients.
pub async fn api_of(
    data: &Path,
    native: Arc<dyn Clients>,
    ending: CancellationToken,
) -> (Router, Service) {
    let store = store::in_memory(Arc::new(|| 1));
    let check = |client, action: &Action| action.check(client);
    let blobs = blobs::open(&FilePolicy::default(), data).unwrap();
    let policies = Policies {
        data: data.to_owned(),
        ..Policies::default()
    };
    let runtime = Arc::new(NoRuntime);
    let service = Service::start(
        store,
        runtime,
        blobs,
        native,
        Arc::new(crate::domain::ports::NoVault),
        check,
        policies,
    )
    .await
    .unwrap();
    let api = router(
        service.clone(),
        AdminToken::of(TOKEN),
        COMPONENT_BYTES,
        ending,
    );
    (Router::new().nest("/api/v1", api), service)
}

/// A request, written `METHOD PATH`, with the token.
pub fn request(line: &str, body: impl Into<Body>) -> Request<Body> {
    let (method, path) = line.split_once(' ').unwrap();
    Request::builder()
        .method(method)
        .uri(format!("/api/v1{path}"))
        .header("Authorization", format!("Bearer {TOKEN}"))
        .body(body.into())
        .unwrap()
}

/// Sends it and expects a problem document.
async fn problem(request: Request<Body>) -> (Document, HeaderMap) {
    let shown = format!("{} {}", request.method(), request.uri());
    let response = api().await.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let kind = parts
        .headers
        .get("content-type")
        .map(|v| v.to_str().unwrap());
    assert_eq!(kind, Some("application/problem+json"), "{shown}");
    let document: Document = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(document.status, parts.status.as_u16(), "{shown}");
    (document, parts.headers)
}

async fn slug(line: &str, body: impl Into<Body>) -> String {
    let (document, _) = problem(request(line, body)).await;
    document
        .kind
        .strip_prefix("urn:wxhost:problem:")
        .unwrap()
        .to_owned()
}

async fn field(line: &str, body: impl Into<Body>) -> Option<String> {
    problem(request(line, body)).await.0.field
}

#[tokio::test]
async fn nothing_is_shown_without_the_token() {
    for path in ["/handlers", "/nowhere", ""] {
        for value in [None, Some("Bearer wrong"), Some(TOKEN), Some("Basic eDp5")] {
            let mut request = request(&format!("GET {path}"), "");
            request.headers_mut().remove("Authorization");
            if let Some(value) = value {
                let headers = request.headers_mut();
                headers.insert("Authorization", value.parse().unwrap());
            }
            let (document, headers) = problem(request).await;
            assert_eq!(document.status, 401, "{path} {value:?}");
            assert_eq!(headers.get("www-authenticate").unwrap(), "Bearer");
        }
    }
}

#[tokio::test]
async fn the_scheme_is_read_in_any_case() {
    let mut request = request("GET /handlers", "");
    let value = format!("bearer {TOKEN}").parse().unwrap();
    request.headers_mut().insert("Authorization", value);
    let response = api().await.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn unknown_paths_are_problems() {
    for path in ["", "/nowhere", "/handlers/a/b/c", "/tasks", "/accounts/a/x"] {
        assert_eq!(
            slug(&format!("GET {path}"), "").await,
            "not-found",
            "{path}"
        );
    }
}

#[tokio::test]
async fn wrong_methods_are_problems_that_say_what_is_taken() {
    for line in [
        "POST /handlers",
        "PATCH /handlers/echo",
        "POST /handlers/echo/config",
        "GET /handlers/echo/secrets/token",
        "PUT /accounts/wxid_a/tasks",
        "POST /tasks/wxid_a-1",
        "PUT /logins",
        "PUT /clients",
        "GET /clients/a/restart",
        "POST /clients/a/log",
        "POST /logins/qr-1/qr",
        "GET /accounts/wxid_a/pauses/wxid_b",
    ] {
        let (document, headers) = problem(request(line, "")).await;
        assert_eq!(document.status, 405, "{line}");
        assert!(headers.contains_key("allow"), "{line}");
    }
}

#[tokio::test]
async fn bodies_have_limits() {
    let config = vec![b' '; CONFIG_BODY_MAX_BYTES + 1];
    assert_eq!(slug("PUT /handlers/echo/config", config).await, "too-large");
    let secret = vec![b'x'; SECRET_MAX_BYTES + 1];
    assert_eq!(
        slug("PUT /handlers/echo/secrets/k", secret).await,
        "too-large"
    );
    let tasks = vec![b' '; BODY_MAX_BYTES + 1];
    assert_eq!(
        slug("POST /accounts/wxid_a/tasks", tasks).await,
        "too-large"
    );
    // A component may be as large as the settings say, and come in a form.
    let component = |size: usize| vec![b' '; size];
    let most = COMPONENT_BYTES as usize + DEPLOY_OPTIONS_MAX_BYTES;
    let fits = component(most);
    assert_ne!(slug("PUT /handlers/echo", fits).await, "too-large");
    let large = component(most + 1);
    assert_eq!(slug("PUT /handlers/echo", large).await, "too-large");
}

#[tokio::test]
async fn bad_json_is_a_bad_request() {
    for (line, body) in [
        ("PUT /bindings/*", "{"),
        ("PUT /bindings/*", "[1"),
        ("PUT /handlers/echo/config", r#"["a"]"#),
        ("PUT /handlers/echo/config", r#"{"a":"b"} x"#),
        ("POST /accounts/wxid_a/tasks", "hello"),
        ("POST /accounts/wxid_a/tasks", ""),
        ("POST /logins", "{"),
        ("POST /logins", "7"),
        ("POST /logins", "{} {}"),
        ("POST /clients", ""),
        ("POST /clients", "a"),
    ] {
        assert_eq!(slug(line, body).await, "bad-request", "{line} {body}");
    }
}

#[tokio::test]
async fn bad_input_names_its_field() {
    let send = r#"{"action":"send","conversation":"c","segments":[{"text":7}]}"#;
    for (line, body, expected) in [
        ("PUT /bindings/*", r#"{"handler":"echo","to":"x"}"#, "to"),
        ("PUT /bindings/*", r#"{"handler":7}"#, "handler"),
        ("PUT /bindings/a%20b", r#"{"handler":"echo"}"#, "account"),
        ("PUT /handlers/echo/config", r#"{"limit":7}"#, "limit"),
        ("PATCH /handlers/echo/config", r#"{"limit":7}"#, "limit"),
        ("GET /handlers/echo/config?account=a%20b", "", "account"),
        ("GET /handlers/echo/config?acount=a", "", "acount"),
        ("PUT /handlers/echo/secrets/a%0A", "x", "key"),
        ("PUT /handlers/echo/secrets/k", "", "secret"),
        ("GET /handlers/Echo", "", "name"),
        ("GET /handlers?limit=7", "", "limit"),
        ("GET /accounts?limit=x", "", "limit"),
        ("GET /accounts?limit=0", "", "limit"),
        ("GET /accounts?limit=1001", "", "limit"),
        ("GET /accounts?limit=1&limit=2", "", "limit"),
        ("GET /accounts?afer=x", "", "afer"),
        ("GET /accounts/a%2Fb", "", "account"),
        ("GET /accounts/a%FF", "", "account"),
        ("GET /accounts/a%20b/kv/echo", "", "account"),
        ("GET /accounts/a/kv/Echo", "", "handler"),
        ("GET /accounts/a/tasks?state=over", "", "state"),
        ("GET /accounts/a/tasks?before=x", "", "before"),
        ("GET /accounts/a/contacts?kind=foe", "", "kind"),
        ("GET /accounts/a%20b/files/x", "", "account"),
        ("GET /files/..%2Fsecret", "", "digest"),
        ("POST /accounts/a/tasks", send, "segments[0].text"),
        ("POST /accounts/a/tasks?wait=1", send, "wait"),
        ("POST /accounts/a/tasks?delivery=maybe", send, "delivery"),
        (
            "POST /accounts/a/tasks?expires_in_ms=999",
            send,
            "expires_in_ms",
        ),
        (
            "POST /accounts/a/tasks?expires_in_ms=2592000001",
            send,
            "expires_in_ms",
        ),
        ("GET /accounts/a/groups?kind=user", "", "kind"),
        ("GET /accounts/a/pauses?limit=0", "", "limit"),
        ("DELETE /accounts/a%20b/pauses/c", "", "account"),
        ("GET /logins?state=over", "", "state"),
        ("GET /logins?after=a%20b", "", "after"),
        ("GET /logins?before=x", "", "before"),
        ("GET /logins/a%20b", "", "login"),
        ("GET /logins/a%20b/qr", "", "login"),
        ("DELETE /logins/a%20b", "", "login"),
        ("POST /logins?agent=wxid_a", "", "agent"),
        ("POST /logins", r#"{"agent":"a b"}"#, "agent"),
        ("POST /logins", r#"{"agents":"a"}"#, "agents"),
        ("POST /logins", r#"{"machine":""}"#, "machine"),
        ("POST /logins", r#"{"agent":"a","machine":"m"}"#, "machine"),
        ("POST /logins", r#"{"note":7}"#, "note"),
        ("GET /clients?phase=over", "", "phase"),
        ("GET /clients?limit=7", "", "limit"),
        ("GET /clients/.a", "", "client"),
        ("DELETE /clients/..%2Fa", "", "client"),
        ("POST /clients?watch=1", r#"{"name":"a"}"#, "watch"),
        ("POST /clients", "{}", "name"),
        ("POST /clients", r#"{"name":"../a"}"#, "name"),
        ("POST /clients", r#"{"name":"a","client":"a"}"#, "client"),
        (
            "POST /clients",
            r#"{"name":"a","template":"x"}"#,
            "template",
        ),
        (
            "POST /clients",
            r#"{"name":"a","parameters":{"poll_interval":7}}"#,
            "parameters.poll_interval",
        ),
        ("GET /clients/a/log?lines=7", "", "lines"),
        ("GET /clients/a/log?tail=1048577", "", "tail"),
        ("GET /clients/a/log?tail=1&from=2", "", "from"),
        ("GET /clients/a/log?from=-1", "", "from"),
        ("GET /clients/a/log?follow=yes", "", "follow"),
    ] {
        assert_eq!(field(line, body).await.as_deref(), Some(expected), "{line}");
    }
}

#[tokio::test]
async fn a_note_has_a_bound() {
    let body = |length| format!(r#"{{"note":"{}"}}"#, "x".repeat(length));
    let long = field("POST /logins", body(NOTE_MAX_BYTES + 1)).await;
    assert_eq!(long.as_deref(), Some("note"));
    let fits = field("POST /logins", body(NOTE_MAX_BYTES)).await;
    assert_eq!(fits, None);
}

#[tokio::test]
async fn what_an_unknown_account_has_is_not_found() {
    for line in [
        "GET /accounts/a/groups",
        "GET /accounts/a/pauses",
        "DELETE /accounts/a/pauses/1@chatroom",
    ] {
        assert_eq!(slug(line, "").await, "not-found", "{line}");
    }
}

#[tokio::test]
async fn an_idempotency_key_has_bounds() {
    for value in ["", &"x".repeat(IDEMPOTENCY_KEY_MAX_BYTES + 1), "schlüssel"] {
        let mut request = request("POST /accounts/a/tasks", "{}");
        let headers = request.headers_mut();
        headers.insert("Idempotency-Key", value.parse().unwrap());
        let (document, _) = problem(request).await;
        assert_eq!(
            document.field.as_deref(),
            Some("Idempotency-Key"),
            "{value}"
        );
    }
}

#[tokio::test]
async fn a_file_is_saved_not_shown_and_kept_for_good() {
    let data = tempfile::tempdir().unwrap();
    let (api, service) = api_on(data.path()).await;
    let page = b"<!DOCTYPE html><script>alert(1)</script>".repeat(10_000);
    let mut file = service.new_file(Room::Made);
    file.write(page.clone().into()).await.unwrap();
    let digest = file.finish().await.unwrap().digest;
    let line = format!("GET /files/{digest}");
    let response = api.clone().oneshot(request(&line, "")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let (parts, body) = response.into_parts();
    for (name, value) in [
        ("content-type", "text/html"),
        ("content-length", &page.len().to_string()),
        ("etag", &format!("\"{digest}\"")),
        ("cache-control", "private, max-age=31536000, immutable"),
        ("content-disposition", "attachment"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(parts.headers.get(name).unwrap(), value, "{name}");
    }
    assert_eq!(body.collect().await.unwrap().to_bytes(), page);

    let mut known = request(&line, "");
    let tag = parts.headers.get("etag").unwrap().clone();
    known.headers_mut().insert("If-None-Match", tag);
    let response = api.oneshot(known).await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn files_that_are_not_there_are_not_found() {
    let digest = Digest::of(b"gone");
    for line in [
        format!("GET /files/{digest}"),
        "GET /accounts/wxid_a/files/f".to_owned(),
    ] {
        assert_eq!(slug(&line, "").await, "not-found", "{line}");
    }
}
