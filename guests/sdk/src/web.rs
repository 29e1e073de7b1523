//! Requests to other systems over HTTP, where a rule of the deployment allows them
//! (`--allow-host`).
//!
//! What they do can't be undone: if the bot fails afterwards, or the host ends before
//! the call's effects are durable, the event comes again and with it the request. Ask
//! for what may be asked for twice, or send a key that the event's id makes:
//!
//! ```no_run
//! use wxhost_sdk::{prelude::*, web};
//!
//! fn order(event: &Event) -> Result<(), Error> {
//!     let request = web::post("https://shop.example.com/orders", "{}")
//!         .header("content-type", "application/json")
//!         .header("idempotency-key", &event.id);
//!     let response = web::fetch(&request)?;
//!     if !response.is_success() {
//!         return Err(format!("the shop answered {}", response.status).into());
//!     }
//!     chat::reply(&response.text())?;
//!     Ok(())
//! }
//! ```
//!
//! Redirects are not followed: the response is the 3xx. Its codes of failure are
//! "denied", "bad-request", "unreachable", "timeout", "too-large" and "too-many".

use std::borrow::Cow;

pub use crate::bindings::wxhost::bot::web::{Request, Response, fetch};

/// A request for what is there.
pub fn get(url: &str) -> Request {
    request("GET", url)
}

/// A request that hands something over.
pub fn post(url: &str, body: impl Into<Vec<u8>>) -> Request {
    Request {
        body: body.into(),
        ..request("POST", url)
    }
}

/// A request with this method, e.g. "PUT". Its other parts are fields.
pub fn request(method: &str, url: &str) -> Request {
    Request {
        method: method.to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout_ms: None,
    }
}

impl Request {
    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same, but given up after so many milliseconds.
    #[must_use]
    pub fn timeout_ms(mut self, ms: u32) -> Self {
        self.timeout_ms = Some(ms);
        self
    }
}

impl Response {
    /// Whether the status is from 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body as text; what is none is replaced by `U+FFFD`.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_put_together() {
        let request = post("https://a.com", "body").header("a", "1").timeout_ms(5);
        assert_eq!(
            (request.method.as_str(), &request.body[..]),
            ("POST", &b"body"[..])
        );
        assert_eq!(request.headers, [("a".to_owned(), "1".to_owned())]);
        assert_eq!(request.timeout_ms, Some(5));
        assert!(get("https://a.com").body.is_empty());
    }

    #[test]
    fn responses_are_read() {
        let response = Response {
            status: 204,
            headers: vec![("location".to_owned(), "/x".to_owned())],
            body: b"a\xff".to_vec(),
        };
        assert!(response.is_success());
        assert_eq!(response.header("Location"), Some("/x"));
        assert_eq!(response.header("date"), None);
        assert_eq!(response.text(), "a\u{fffd}");
    }
}
