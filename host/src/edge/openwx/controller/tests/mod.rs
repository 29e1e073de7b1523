//! The controller API, request by request as in `observed.md`.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod door;
mod fake;
mod heartbeat;
mod native;
mod own;
mod pass;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use self::fake::Fake;
use super::{Door, Openwx, PREFIX};
use crate::{
    blobs,
    domain::{Action, client::ClientPolicy, file::FilePolicy, ports::Clients},
    edge::{
        auth::{AdminToken, ControllerToken},
        tests::NoRuntime,
    },
    service::{Policies, Service},
    store,
};

const ADMIN: &str = "wxh_0123456789abcdef0123456789abcdef";

/// A controller with clients that a test makes up.
struct Rig {
    clients: Arc<Fake>,
    openwx: Openwx,
    /// The controller's own token.
    token: String,
    data: tempfile::TempDir,
}

/// What came back.
#[derive(Debug)]
struct Got {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Got {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json");
        serde_json::from_slice(&self.body).unwrap()
    }

    fn code(&self) -> i64 {
        self.json()["code"].as_i64().unwrap()
    }

    fn reason(&self) -> String {
        self.json()["reason"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

async fn rig() -> Rig {
    rig_with(|_| {}).await
}

async fn rig_with(change: impl FnOnce(&mut ClientPolicy)) -> Rig {
    let data = tempfile::tempdir().unwrap();
    let mut policy = ClientPolicy::default();
    change(&mut policy);
    let clients = Arc::new(Fake::default());
    let native: Arc<dyn Clients> = Arc::clone(&clients) as _;
    let check = |client, action: &Action| action.check(client);
    let service = Service::start(
        store::in_memory(Arc::new(|| 1)),
        Arc::new(NoRuntime),
        blobs::open(&FilePolicy::default(), data.path()).unwrap(),
        native,
        Arc::new(crate::domain::ports::NoVault),
        check,
        Policies {
            data: data.path().to_owned(),
            clients: policy.clone(),
            ..Policies::default()
        },
    );
    let own = ControllerToken::load_or_create(data.path()).unwrap();
    let token = std::fs::read_to_string(data.path().join("openwx-token")).unwrap();
    let door = Door::new(policy.auth, AdminToken::of(ADMIN), own, None);
    Rig {
        openwx: Openwx::new(&policy, service.await.unwrap(), door),
        token: token.trim().to_owned(),
        clients,
        data,
    }
}

impl Rig {
    fn router(&self) -> Router {
        self.openwx.routes()
    }

    /// A request, written `METHOD path?query`, with the token.
    fn request(&self, line: &str) -> axum::http::request::Builder {
        let (method, path) = line.split_once(' ').unwrap();
        Request::builder()
            .method(method)
            .uri(format!("{PREFIX}/{path}"))
            .header("Authorization", format!("Bearer {}", self.token))
    }

    async fn send(&self, request: Request<Body>) -> Got {
        let response = self.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Got {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    async fn ask(&self, line: &str) -> Got {
        self.send(self.request(line).body(Body::empty()).unwrap())
            .await
    }

    async fn get(&self, path: &str) -> Got {
        self.ask(&format!("GET {path}")).await
    }

    async fn post(&self, path: &str, kind: &str, body: impl Into<Body>) -> Got {
        let request = self.request(&format!("POST {path}"));
        let request = request.header("Content-Type", kind).body(body.into());
        self.send(request.unwrap()).await
    }

    async fn post_form(&self, path: &str, form: impl Into<Body>) -> Got {
        self.post(path, "application/x-www-form-urlencoded", form)
            .await
    }
}
