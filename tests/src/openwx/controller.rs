//! What people's scripts say to the controller API.

use std::time::Duration;

use reqwest::{Client, Method, header::HeaderMap};
use serde_json::Value;

use super::Stub;
use crate::{Context, Result, check, poll};

/// How long one answer may take: longer than the host lets a client take.
const ANSWER_MAX: Duration = Duration::from_secs(180);
/// How long a client may take from one state to the next.
const STATE_MAX: Duration = Duration::from_secs(20);

/// The controller API of one host.
#[derive(Debug, Clone)]
pub struct Openwx {
    http: Client,
    address: String,
    token: Option<String>,
}

/// An answer of any kind.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    headers: HeaderMap,
}

/// A client that was started.
#[derive(Debug, Clone)]
pub struct Started {
    /// The process.
    pub pid: u32,
    /// The port of its API.
    pub port: u16,
    /// The whole answer.
    pub answer: Value,
}

impl Openwx {
    /// That of the host at this address.
    pub fn new(address: &str, token: Option<&str>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none());
        Self {
            http: http.build().unwrap_or_default(),
            address: address.to_owned(),
            token: token.map(str::to_owned),
        }
    }

    /// The same with another token, or none.
    pub fn with_token(&self, token: Option<&str>) -> Self {
        Self {
            token: token.map(str::to_owned),
            ..self.clone()
        }
    }

    /// Where it is.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// `GET /openwx/PATH`.
    pub async fn get(&self, path: &str) -> Result<Reply> {
        self.request(Method::GET, path, &[], Vec::new()).await
    }

    /// `POST /openwx/PATH`.
    pub async fn post(&self, path: &str, mime: &str, body: Vec<u8>) -> Result<Reply> {
        let headers = [("content-type", mime)];
        self.request(Method::POST, path, &headers, body).await
    }

    /// Any request below `/openwx/`.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Reply> {
        let url = format!("http://{}/openwx/{path}", self.address);
        let mut request = self.http.request(method, &url).timeout(ANSWER_MAX);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_empty() {
            request = request.body(body);
        }
        Reply::read(request.send().await.context(&url)?)
            .await
            .context(&url)
    }

    /// The JSON of `GET /openwx/PATH`.
    pub async fn json(&self, path: &str) -> Result<Value> {
        self.get(path).await?.json().context(path)
    }

    /// Starts a client, which must go well.
    pub async fn start(&self, name: &str) -> Result<Started> {
        self.start_with(name, &[]).await
    }

    /// Starts a client with parameters, which must go well.
    pub async fn start_with(&self, name: &str, more: &[(&str, &str)]) -> Result<Started> {
        let answer = self.try_start(name, more).await?;
        check!(answer["status"] == "success", "start {name}: {answer}");
        Started::read(answer)
    }

    /// Starts a client, and takes a refusal.
    pub async fn try_start(&self, name: &str, more: &[(&str, &str)]) -> Result<Value> {
        let mut path = format!("start_client?client={}", escaped(name));
        for (key, value) in more {
            path.push_str(&format!("&{}={}", escaped(key), escaped(value)));
        }
        self.json(&path).await
    }

    /// Stops a client.
    pub async fn stop(&self, name: &str) -> Result<Value> {
        self.json(&format!("stop_client?client={}", escaped(name)))
            .await
    }

    /// Asks for the state of one client.
    pub async fn check(&self, name: &str) -> Result<Value> {
        self.json(&format!("check_client?client={}", escaped(name)))
            .await
    }

    /// The states of all clients.
    pub async fn check_all(&self) -> Result<Vec<Value>> {
        let answer = self.json("check_client").await?;
        check!(answer["code"] == 0, "{answer}");
        Ok(answer["client"].as_array().context("no list")?.clone())
    }

    /// Waits until a client says that it is in this state.
    pub async fn until_state(&self, name: &str, state: &str) -> Result<Value> {
        let what = format!("{name} is {state}");
        poll::until(&what, STATE_MAX, async || {
            let answer = self.check(name).await?;
            let entry = &answer["client"][0];
            Ok((entry["state"] == state).then(|| entry.clone()))
        })
        .await
    }

    /// Waits until a client shows a code, and gives it.
    pub async fn until_code(&self, name: &str) -> Result<Reply> {
        let path = format!("get_qrcode?client={}", escaped(name));
        let what = format!("{name} shows a code");
        poll::until(&what, STATE_MAX, async || {
            let reply = self.get(&path).await?;
            Ok(
                (reply.status == 200 && reply.header("content-type") == "image/jpg")
                    .then_some(reply),
            )
        })
        .await
    }

    /// Waits until nothing is known of a client.
    pub async fn until_gone(&self, name: &str) -> Result<()> {
        let what = format!("{name} is forgotten");
        poll::until(&what, STATE_MAX, async || {
            let answer = self.check(name).await?;
            Ok((answer["status"] == "client not exists").then_some(()))
        })
        .await
    }

    /// Starts a client, has its code scanned, and waits until it is logged in.
    pub async fn log_in(&self, name: &str) -> Result<Stub> {
        self.log_in_with(name, &[]).await
    }

    /// The same with parameters.
    pub async fn log_in_with(&self, name: &str, more: &[(&str, &str)]) -> Result<Stub> {
        let started = self.start_with(name, more).await?;
        let stub = Stub::up(started.port).await?;
        stub.scan().await?;
        self.until_state(name, "running").await?;
        Ok(stub)
    }
}

impl Reply {
    async fn read(response: reqwest::Response) -> Result<Self> {
        Ok(Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await?.to_vec(),
        })
    }

    /// The value of a header; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.and_then(|it| it.to_str().ok()).unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        let what = || format!("HTTP {}: {:?}", self.status, self.text());
        serde_json::from_slice(&self.body).context(what())
    }
}

impl Started {
    fn read(answer: Value) -> Result<Self> {
        let number = |name: &str| {
            answer[name]
                .as_u64()
                .context(format!("no {name}: {answer}"))
        };
        Ok(Self {
            pid: u32::try_from(number("pid")?)?,
            port: u16::try_from(number("port")?)?,
            answer,
        })
    }
}

/// Text as it stands in a query.
pub fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes()
        .map(|byte| match plain(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}
