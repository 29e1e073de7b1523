//! Calls of a client's API (protocol section 4), for the host itself.

use std::{error::Error, time::Duration};

use bytes::Bytes;
use form_urlencoded::Serializer;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response,
    body::Incoming,
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::timeout;

use crate::domain::ports::{API_ANSWER_MAX_BYTES, ApiAnswer, ApiCall, CallFault};

/// How long connecting may take: on one machine it is done at once, unless nobody
/// takes connections.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// The paths that refuse a POST begin with these.
const ONLY_GET: [&str; 3] = ["get_", "check_event", "search_"];

/// Calls clients. Each call has a connection of its own: one that is kept might be
/// that of an earlier process.
#[derive(Debug, Clone)]
pub struct Api(Client<HttpConnector, Full<Bytes>>);

impl Api {
    /// One for all clients.
    pub fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_MAX));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .retry_canceled_requests(false)
            .build(connector);
        Self(client)
    }

    /// Calls whoever listens on this port.
    pub async fn call(&self, port: u16, call: &ApiCall) -> Result<ApiAnswer, CallFault> {
        let request = request(port, call)?;
        match timeout(call.time, self.answer(request)).await {
            Ok(answer) => answer,
            Err(_) => {
                let ms = call.time.as_millis();
                let problem = format!("no answer to {} within {ms} ms", call.path);
                Err(CallFault::Unanswered(problem))
            }
        }
    }

    async fn answer(&self, request: Request<Full<Bytes>>) -> Result<ApiAnswer, CallFault> {
        let response = self.0.request(request).await.map_err(|error| {
            let problem = told(&error);
            match error.is_connect() {
                true => CallFault::Unreached(problem),
                false => CallFault::Unanswered(problem),
            }
        })?;
        read(response).await
    }
}

async fn read(response: Response<Incoming>) -> Result<ApiAnswer, CallFault> {
    let status = response.status().as_u16();
    let mime = response.headers().get(CONTENT_TYPE);
    let mime = mime.and_then(|it| it.to_str().ok()).unwrap_or_default();
    let mime = mime.to_owned();
    let body = Limited::new(response.into_body(), API_ANSWER_MAX_BYTES);
    let body = body.collect().await;
    let body = body.map_err(|error| CallFault::Unanswered(told(error.as_ref())))?;
    Ok(ApiAnswer {
        status,
        mime,
        body: body.to_bytes(),
    })
}

fn request(port: u16, call: &ApiCall) -> Result<Request<Full<Bytes>>, CallFault> {
    let form = Serializer::new(String::new())
        .extend_pairs(&call.parameters)
        .finish();
    let mut url = format!("http://127.0.0.1:{port}/openwx/{}", call.path);
    let only_get = ONLY_GET.iter().any(|it| call.path.starts_with(it));
    let request = Request::builder().header(HOST, format!("127.0.0.1:{port}"));
    let request = if only_get {
        if !form.is_empty() {
            url.push('?');
            url.push_str(&form);
        }
        request.method(Method::GET).uri(url).body(Full::default())
    } else {
        request
            .method(Method::POST)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .uri(url)
            .body(Full::from(form))
    };
    request.map_err(|error| CallFault::Unfit(format!("{}: {error}", call.path)))
}

/// An error with what lies behind it.
fn told(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut behind = error.source();
    while let Some(error) = behind {
        text = format!("{text}: {error}");
        behind = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    fn call(path: &str, time_ms: u64) -> ApiCall {
        ApiCall {
            path: path.to_owned(),
            parameters: vec![("content".to_owned(), "a b&好".to_owned())],
            time: Duration::from_millis(time_ms),
        }
    }

    /// Answers one call with these bytes, and gives back what was asked.
    async fn asked(path: &str, answer: &'static str) -> (String, Result<ApiAnswer, CallFault>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = vec![0; 4096];
            let read = stream.read(&mut bytes).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(bytes.get(..read).unwrap()).into_owned()
        });
        let answer = Api::new().call(port, &call(path, 2_000)).await;
        (served.await.unwrap(), answer)
    }

    #[tokio::test]
    async fn what_changes_something_is_posted_as_a_form() {
        let answer =
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
        let (asked, answer) = asked("send_friend_message", answer).await;
        assert!(asked.starts_with("POST /openwx/send_friend_message HTTP/1.1\r\n"));
        assert!(
            asked.ends_with("\r\n\r\ncontent=a+b%26%E5%A5%BD"),
            "{asked}"
        );
        let answer = answer.unwrap();
        assert_eq!(
            (answer.status, answer.mime.as_str()),
            (200, "application/json")
        );
        assert_eq!(answer.body, "{}");
    }

    #[tokio::test]
    async fn what_only_reads_is_a_get() {
        let answer = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
        let (asked, answer) = asked("search_friend", answer).await;
        assert!(asked.starts_with("GET /openwx/search_friend?content=a+b%26%E5%A5%BD HTTP/1.1"));
        assert_eq!(answer.unwrap().status, 404);
    }

    #[tokio::test]
    async fn a_client_that_is_not_reached_has_done_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let fault = Api::new().call(port, &call("stick", 2_000)).await;
        assert!(matches!(fault, Err(CallFault::Unreached(_))), "{fault:?}");
    }

    #[tokio::test]
    async fn what_is_too_long_for_an_address_is_not_tried_again() {
        let mut long = call("get_user_info", 2_000);
        long.parameters = vec![("x".to_owned(), "y".repeat(70_000))];
        let fault = Api::new().call(9, &long).await;
        assert!(matches!(fault, Err(CallFault::Unfit(_))), "{fault:?}");
    }

    #[tokio::test]
    async fn of_a_client_that_does_not_answer_nothing_is_known() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let fault = Api::new().call(port, &call("stick", 50)).await;
        assert!(matches!(fault, Err(CallFault::Unanswered(_))), "{fault:?}");
        let (_, cut_off) = asked("stick", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await;
        assert!(
            matches!(cut_off, Err(CallFault::Unanswered(_))),
            "{cut_off:?}"
        );
    }
}
