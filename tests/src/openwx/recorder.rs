//! Somebody's own server, to which clients report (`post_api`) or that they ask what
//! to do (`poll_api`).

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    body::to_bytes,
    extract::{Request, State},
    http::{StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{Result, poll};

/// How long it waits for a request that must come.
const SEEN_MAX: Duration = Duration::from_secs(20);

/// A server that keeps what comes. It ends when this is dropped.
#[derive(Debug)]
pub struct Recorder {
    address: String,
    inner: Arc<Mutex<Inner>>,
    serving: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Inner {
    seen: Vec<Seen>,
    answer: Value,
    redirect: Option<String>,
}

/// A request that came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// `GET` or `POST`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The body; null when it is no JSON.
    pub body: Value,
}

impl Recorder {
    /// Begins to listen.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let inner = Arc::new(Mutex::new(Inner {
            answer: json!({}),
            ..Inner::default()
        }));
        let router = Router::new().fallback(keep).with_state(Arc::clone(&inner));
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            inner,
            serving,
        })
    }

    /// Its address with this path and query.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers everything with this from now on.
    pub fn answer(&self, answer: Value) {
        self.inner().answer = answer;
    }

    /// Answers the next request with a redirection.
    pub fn redirect_next(&self, url: &str) {
        self.inner().redirect = Some(url.to_owned());
    }

    /// What has come.
    pub fn seen(&self) -> Vec<Seen> {
        self.inner().seen.clone()
    }

    /// Waits for a request like this.
    pub async fn until(&self, what: &str, like: impl Fn(&Seen) -> bool) -> Result<Seen> {
        poll::until(what, SEEN_MAX, async || {
            Ok(self.seen().into_iter().find(|seen| like(seen)))
        })
        .await
    }

    /// Waits for an event of this name.
    pub async fn until_event(&self, name: &str) -> Result<Seen> {
        let what = format!("the event {name} is reported");
        self.until(&what, |seen| seen.body["event"] == name).await
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn keep(State(inner): State<Arc<Mutex<Inner>>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
    inner.seen.push(Seen {
        method: head.method.to_string(),
        target: head.uri.to_string(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    });
    match inner.redirect.take() {
        Some(url) => (StatusCode::FOUND, [(LOCATION, url)]).into_response(),
        None => Json(inner.answer.clone()).into_response(),
    }
}
