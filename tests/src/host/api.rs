//! A small client of the control API.

use std::time::Duration;

use reqwest::{
    Client, Method,
    header::{CONTENT_TYPE, HeaderMap},
    multipart::{Form, Part},
};
use serde_json::{Value, json};

use crate::{Context, Result, check, fail, openwx::escaped};

/// How long one answer may take. Deploying a large component is the longest.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// How long a deployment may take: the engine of another language compiles for minutes on a
/// machine that runs other tests too.
const DEPLOY_MAX: Duration = Duration::from_secs(600);
/// How many entries a page of a listing has that is read to its end.
const PAGE: usize = 1000;

/// The control API of one host.
#[derive(Debug, Clone)]
pub struct Api {
    http: Client,
    base: String,
    token: Option<String>,
}

/// An answer that is no JSON.
#[derive(Debug, Clone)]
pub struct File {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    headers: HeaderMap,
}

impl File {
    /// The value of a header; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// What the API answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The request, for messages.
    pub request: String,
    /// The status.
    pub status: u16,
    /// The content type; empty when there is none.
    pub content_type: String,
    /// The body; null when it is empty.
    pub body: Value,
}

impl Api {
    /// A client of the host at this address.
    pub fn new(http: Client, address: &str, token: Option<&str>) -> Self {
        Self {
            http,
            base: format!("http://{address}/api/v1"),
            token: token.map(str::to_owned),
        }
    }

    /// The same client with another token, or none.
    pub fn with_token(&self, token: Option<&str>) -> Self {
        Self {
            token: token.map(str::to_owned),
            ..self.clone()
        }
    }

    /// Reads.
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.request(Method::GET, path, None).await?.ok()
    }

    /// Reads a file.
    pub async fn file(&self, path: &str) -> Result<File> {
        let request = self.http.get(format!("{}{path}", self.base));
        let token = self.token.as_deref().unwrap_or_default();
        let response = request
            .timeout(ANSWER_MAX)
            .bearer_auth(token)
            .send()
            .await?;
        Ok(File {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await?.to_vec(),
        })
    }

    /// Puts JSON.
    pub async fn put(&self, path: &str, body: &Value) -> Result<Value> {
        self.request(Method::PUT, path, Some(body)).await?.ok()
    }

    /// Posts JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.request(Method::POST, path, Some(body)).await?.ok()
    }

    /// Deletes.
    pub async fn delete(&self, path: &str) -> Result<()> {
        let answer = self.request(Method::DELETE, path, None).await?;
        check!(answer.status == 204, "{answer:?} is no 204");
        Ok(())
    }

    /// Any request with a JSON body or none.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer> {
        let bytes = body.map(|body| body.to_string().into_bytes());
        self.raw(method, path, bytes, &[]).await
    }

    /// Any request with these bytes and headers.
    pub async fn raw(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        headers: &[(&str, &str)],
    ) -> Result<Answer> {
        let name = format!("{method} {path}");
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        request = request.timeout(ANSWER_MAX);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        for (key, value) in headers {
            request = request.header(*key, *value);
        }
        Answer::read(name, request.send().await?).await
    }

    /// Deploys a component.
    pub async fn deploy(&self, name: &str, component: Vec<u8>) -> Result<Answer> {
        let path = format!("/handlers/{name}");
        self.raw(Method::PUT, &path, Some(component), &[]).await
    }

    /// Deploys a component with something to say about it.
    pub async fn deploy_with(
        &self,
        name: &str,
        component: Vec<u8>,
        options: &Value,
    ) -> Result<Answer> {
        let path = format!("/handlers/{name}");
        let form = Form::new()
            .text("options", options.to_string())
            .part("component", Part::bytes(component));
        let mut request = self.http.put(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let request = request.timeout(DEPLOY_MAX).multipart(form);
        Answer::read(format!("PUT {path}"), request.send().await?).await
    }

    /// Asks for tasks of an account: one action, or `{"tasks": […]}`.
    pub async fn ask(&self, account: &str, body: &Value, key: Option<&str>) -> Result<Answer> {
        let path = format!("/accounts/{account}/tasks");
        let headers: Vec<_> = key
            .map(|key| ("Idempotency-Key", key))
            .into_iter()
            .collect();
        let body = Some(body.to_string().into_bytes());
        self.raw(Method::POST, &path, body, &headers).await
    }

    /// Asks for a text and returns the task's id.
    pub async fn send_text(&self, account: &str, to: &str, text: &str) -> Result<String> {
        let action = json!({"action": "send", "conversation": to, "segments": [{"text": text}]});
        let answer = self.ask(account, &action, None).await?;
        check!(answer.status == 202, "{answer:?} is no 202");
        let id = answer.body.pointer("/tasks/0/id").and_then(Value::as_str);
        Ok(id.context("the answer names no task")?.to_owned())
    }

    /// One task.
    pub async fn task(&self, id: &str) -> Result<Value> {
        self.get(&format!("/tasks/{id}")).await
    }

    /// All entries of a listing, page by page. `by` is the parameter that takes
    /// a page's `next`: `after`, or `before` for tasks.
    pub async fn list(&self, path: &str, by: &str) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self
                .get(&format!("{path}?limit={PAGE}{cursor}"))
                .await
                .context(path)?;
            let items = page.get("items").and_then(Value::as_array);
            all.extend_from_slice(items.context(format!("{path} has no items"))?);
            cursor = match page.get("next") {
                Some(Value::String(next)) => format!("&{by}={}", escaped(next)),
                Some(Value::Number(next)) => format!("&{by}={next}"),
                _ => return Ok(all),
            };
        }
    }

    /// All tasks of an account, newest first.
    pub async fn tasks(&self, account: &str) -> Result<Vec<Value>> {
        self.list(&format!("/accounts/{account}/tasks"), "before")
            .await
    }

    /// All events of an account, ordered by key.
    pub async fn events(&self, account: &str) -> Result<Vec<Value>> {
        self.list(&format!("/accounts/{account}/events"), "after")
            .await
    }

    /// The latest failures of an account's bot, newest first.
    pub async fn failures(&self, account: &str) -> Result<Vec<Value>> {
        let page = self.get(&format!("/accounts/{account}/failures")).await?;
        let items = page.get("items").and_then(Value::as_array);
        Ok(items.context("the failures have no items")?.clone())
    }

    /// A value of a handler's store for an account, as text.
    pub async fn value(&self, account: &str, handler: &str, key: &str) -> Result<Option<String>> {
        let path = format!("/accounts/{account}/kv/{handler}");
        let entries = self.list(&path, "after").await?;
        let entry = entries.iter().find(|entry| entry["key"] == key);
        let value = entry.and_then(|entry| entry["value_base64"].as_str());
        value.map(text_of_base64).transpose()
    }

    /// All that can be seen of the host, to tell whether something changed.
    pub async fn snapshot(&self) -> Result<Value> {
        let accounts = self.list("/accounts", "after").await?;
        let mut details = Vec::new();
        for account in &accounts {
            let id = account["id"].as_str().context("an account has no id")?;
            let contacts = format!("/accounts/{id}/contacts");
            details.push(json!({
                "tasks": self.tasks(id).await?,
                "events": self.events(id).await?,
                "failures": self.failures(id).await?,
                "contacts": self.list(&contacts, "after").await?,
            }));
        }
        Ok(json!({
            "handlers": self.get("/handlers").await?,
            "bindings": self.get("/bindings").await?,
            "accounts": accounts,
            "details": details,
        }))
    }
}

impl Answer {
    async fn read(request: String, response: reqwest::Response) -> Result<Self> {
        let content_type = response.headers().get(CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        let status = response.status().as_u16();
        let bytes = response.bytes().await?;
        let body = match bytes.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&bytes)
                .context(format!("{request}: the answer's body is no JSON"))?,
        };
        Ok(Self {
            request,
            status,
            content_type,
            body,
        })
    }

    /// The body of an answer that says all is well.
    pub fn ok(self) -> Result<Value> {
        check!(
            (200..300).contains(&self.status),
            "{}: {} {}",
            self.request,
            self.status,
            self.body
        );
        Ok(self.body)
    }

    /// The detail of a problem (RFC 9457) of this status and kind.
    pub fn problem(&self, status: u16, slug: &str) -> Result<&str> {
        check!(
            self.status == status,
            "{self:?} has not the status {status}"
        );
        check!(
            self.content_type.starts_with("application/problem+json"),
            "{self:?} is of another content type"
        );
        let text = |field: &str| self.body[field].as_str().unwrap_or_default();
        let kind = text("type");
        check!(
            kind == "about:blank" || kind == format!("urn:wxhost:problem:{slug}"),
            "{self:?} is not of type {slug}"
        );
        check!(
            self.body["status"] == status,
            "{self:?} tells another status"
        );
        check!(!text("title").is_empty(), "{self:?} has no title");
        match text("detail") {
            "" => fail!("{self:?} has no detail"),
            _ => Ok(self.body["detail"].as_str().unwrap_or_default()),
        }
    }
}

/// Standard base64 with padding, of text.
fn text_of_base64(text: &str) -> Result<String> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let digit = ALPHABET.iter().position(|known| *known == byte);
        let digit = digit.context(format!("{text} is no base64"))?;
        bits = (bits << 6) | u32::try_from(digit)?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xFF)?);
        }
    }
    Ok(String::from_utf8(bytes)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop")]
    use super::*;

    #[test]
    fn base64_reads_back() {
        for (base64, text) in [
            ("", ""),
            ("MQ==", "1"),
            ("MTI=", "12"),
            ("MTIz", "123"),
            ("5L2g", "你"),
        ] {
            assert_eq!(text_of_base64(base64).unwrap(), text);
        }
        assert!(text_of_base64("*").is_err());
    }

    #[test]
    fn a_cursor_survives_a_query() {
        assert_eq!(escaped("msg-1 你&"), "msg-1%20%E4%BD%A0%26");
    }
}
