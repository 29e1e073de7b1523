//! The client of our own control API.

use std::{error::Error, time::Duration};

use bytes::Bytes;
use reqwest::{
    Method, RequestBuilder, Response, StatusCode, Url,
    multipart::{Form, Part},
    redirect,
};
use serde::de::DeserializeOwned;

use super::{failure::Failure, target::Target};
use crate::{
    domain::Secret,
    edge::{control::wire::DeployOptions, error::Document, loopback::spare_proxies},
};

/// How long to wait for a connection. The host is near, or not there.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// How long a request may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// How long a deployment may take: large components are compiled for a while.
const DEPLOY_LIMIT: Duration = Duration::from_secs(120);
/// How long a file may take: the largest over a slow line.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(60 * 60);
/// How long an answer may take that goes on as something happens: the host ends it
/// before.
const FOLLOW_LIMIT: Duration = Duration::from_secs(15 * 60);
/// How long events may be followed without a break.
const EVENTS_LIMIT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long there may be no sign of a host that sends events: it gives one each 15 s.
const EVENTS_STALL_LIMIT: Duration = Duration::from_secs(45);
/// How long a file may rest between two pieces.
const STALL_LIMIT: Duration = Duration::from_secs(30);

/// Asks one host.
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: String,
}

/// An answer that is no error.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its JSON as it came; empty where there is nothing to say.
    pub text: String,
    address: String,
}

impl Reply {
    /// What the JSON says.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(&self.text).map_err(|error| Failure::Strange {
            address: self.address.clone(),
            what: error.to_string(),
        })
    }
}

/// An answer that is no JSON, read piece by piece.
#[derive(Debug)]
pub struct Download {
    response: Response,
    address: String,
    stall: Duration,
}

impl Download {
    /// A header's text.
    pub fn header(&self, name: &str) -> Option<String> {
        let value = self.response.headers().get(name)?;
        value.to_str().ok().map(str::to_owned)
    }

    /// The next bytes, or none at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let why = match tokio::time::timeout(self.stall, self.response.chunk()).await {
            Ok(Ok(piece)) => return Ok(piece),
            Ok(Err(error)) => root_cause(&error),
            Err(_) => format!("nothing more came for {} s", self.stall.as_secs()),
        };
        Err(Failure::Unreachable {
            address: self.address.clone(),
            why,
        })
    }

    /// All of it, if it is no larger than this.
    pub async fn whole(mut self, max_bytes: usize) -> Result<Vec<u8>, Failure> {
        let mut whole = Vec::new();
        while let Some(piece) = self.next().await? {
            if whole.len() + piece.len() > max_bytes {
                return Err(self.strange(&format!("more than {max_bytes} bytes")));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }

    /// What came is not what it must be.
    pub fn strange(&self, what: &str) -> Failure {
        Failure::Strange {
            address: self.address.clone(),
            what: what.to_owned(),
        }
    }
}

impl Client {
    /// A client of this host. Asks nothing yet.
    pub fn new(target: &Target) -> Result<Self, Failure> {
        let base = target.base()?;
        let token = target.token(&base)?;
        let http = http(&base).map_err(|error| Failure::Usage(root_cause(&error)))?;
        Ok(Self { http, base, token })
    }

    /// Reads something.
    pub async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Reply, Failure> {
        self.send(self.request(Method::GET, path)?.query(query))
            .await
    }

    /// Puts JSON somewhere.
    pub async fn put(&self, path: &[&str], json: String) -> Result<Reply, Failure> {
        self.put_query(path, &[], json).await
    }

    /// The same with a query.
    pub async fn put_query(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        json: String,
    ) -> Result<Reply, Failure> {
        let request = self.request(Method::PUT, path)?.query(query);
        self.send(json_body(request, json)).await
    }

    /// Changes a part of something.
    pub async fn patch(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        json: String,
    ) -> Result<Reply, Failure> {
        let request = self.request(Method::PATCH, path)?.query(query);
        self.send(json_body(request, json)).await
    }

    /// Puts a secret somewhere, as it is.
    pub async fn put_secret(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        secret: &Secret,
    ) -> Result<Reply, Failure> {
        let request = self.request(Method::PUT, path)?.query(query);
        let request = request.header("Content-Type", "text/plain; charset=utf-8");
        self.send(request.body(secret.expose().to_owned())).await
    }

    /// Uploads a component.
    pub async fn deploy(
        &self,
        name: &str,
        component: Vec<u8>,
        options: &DeployOptions,
    ) -> Result<Reply, Failure> {
        let options = serde_json::to_string(options);
        let options = options.map_err(|error| Failure::Usage(error.to_string()))?;
        let form = Form::new()
            .text("options", options)
            .part("component", Part::bytes(component));
        let request = self.request(Method::PUT, &["handlers", name])?;
        let request = request.timeout(DEPLOY_LIMIT).multipart(form);
        self.send(request).await
    }

    /// Asks for something; with a key, asking again does not do it twice.
    pub async fn post(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        json: String,
        idempotency_key: Option<&str>,
    ) -> Result<Reply, Failure> {
        let request = self.request(Method::POST, path)?.query(query);
        let mut request = json_body(request, json);
        if let Some(key) = idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        self.send(request).await
    }

    /// Removes something.
    pub async fn delete(&self, path: &[&str]) -> Result<Reply, Failure> {
        self.delete_query(path, &[]).await
    }

    /// The same with a query.
    pub async fn delete_query(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Reply, Failure> {
        let request = self.request(Method::DELETE, path)?.query(query);
        self.send(request).await
    }

    /// Reads what is no JSON. What comes is read by the caller.
    pub async fn download(&self, path: &[&str]) -> Result<Download, Failure> {
        self.download_query(path, &[]).await
    }

    /// Reads a part of what is no JSON.
    pub async fn download_query(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Download, Failure> {
        let limits = (DOWNLOAD_LIMIT, STALL_LIMIT);
        self.open(path, query, limits).await
    }

    /// Reads what goes on as something happens, which may be nothing for long.
    pub async fn follow(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Download, Failure> {
        let limits = (FOLLOW_LIMIT, FOLLOW_LIMIT);
        self.open(path, query, limits).await
    }

    /// Reads server-sent events, for as long as the host sends any: it sends something
    /// now and then.
    pub async fn events(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Download, Failure> {
        let limits = (EVENTS_LIMIT, EVENTS_STALL_LIMIT);
        self.open(path, query, limits).await
    }

    async fn open(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        (in_all, stall): (Duration, Duration),
    ) -> Result<Download, Failure> {
        let request = self.request(Method::GET, path)?.query(query);
        Ok(Download {
            response: self.answer(request.timeout(in_all)).await?,
            address: self.base.to_string(),
            stall,
        })
    }

    fn request(&self, method: Method, path: &[&str]) -> Result<RequestBuilder, Failure> {
        let url = endpoint(&self.base, path)?;
        Ok(self.http.request(method, url).bearer_auth(&self.token))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Reply, Failure> {
        let response = self.answer(request).await?;
        let status = response.status();
        let text = response.text().await.map_err(|error| self.failed(&error))?;
        Ok(Reply {
            status,
            text,
            address: self.base.to_string(),
        })
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|error| self.failed(&error))?;
        match response.status().is_success() {
            true => Ok(response),
            false => Err(self.refused(response).await),
        }
    }

    async fn refused(&self, response: Response) -> Failure {
        let status = response.status();
        let text = response.text().await.unwrap_or_default();
        match serde_json::from_str::<Document>(&text) {
            Ok(document) => Failure::Refused(document),
            Err(_) => Failure::Strange {
                address: self.base.to_string(),
                what: format!("status {status}"),
            },
        }
    }

    fn failed(&self, error: &reqwest::Error) -> Failure {
        if error.is_builder() {
            return Failure::Usage(root_cause(error));
        }
        let why = if error.is_timeout() && !error.is_connect() {
            "no answer in time; it may still be at work".to_owned()
        } else {
            root_cause(error)
        };
        Failure::Unreachable {
            address: self.base.to_string(),
            why,
        }
    }
}

fn http(base: &Url) -> reqwest::Result<reqwest::Client> {
    // Fails only when there is one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // The token is for this address and no other.
    let mut builder = spare_proxies(reqwest::Client::builder(), base)
        .connect_timeout(CONNECT_LIMIT)
        .timeout(REQUEST_LIMIT)
        .redirect(redirect::Policy::none());
    if base.scheme() == "http" {
        // Spares reading the machine's certificates, which may not even be there.
        builder = builder.tls_certs_only([]);
    }
    builder.build()
}

fn endpoint(base: &Url, path: &[&str]) -> Result<Url, Failure> {
    // An address leaves these out however they are written, and so would name
    // something else.
    if let Some(dots) = path.iter().find(|part| matches!(**part, "." | "..")) {
        return Err(Failure::Usage(format!(
            "{dots:?} can't be part of an address, so what is called so can't be named here"
        )));
    }
    let mut url = base.clone();
    let segments = url.path_segments_mut();
    segments
        .map_err(|()| Failure::Usage(format!("{base} is no address of a host")))?
        .pop_if_empty()
        .extend(["api", "v1"])
        .extend(path);
    Ok(url)
}

fn json_body(request: RequestBuilder, json: String) -> RequestBuilder {
    request
        .header("Content-Type", "application/json")
        .body(json)
}

fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn ids_are_one_part_of_the_path_whatever_they_hold() {
        let base = Url::parse("http://h:1/wx/").unwrap();
        let url = endpoint(&base, &["accounts", "a?b/c%@chatroom 微"]).unwrap();
        assert_eq!(
            url.as_str(),
            "http://h:1/wx/api/v1/accounts/a%3Fb%2Fc%25@chatroom%20%E5%BE%AE"
        );
    }

    #[test]
    fn dots_name_nothing_rather_than_something_else() {
        let base = Url::parse("http://h:1/").unwrap();
        for dots in [".", ".."] {
            let url = endpoint(&base, &["handlers", "echo", "shared", dots]);
            assert!(matches!(url, Err(Failure::Usage(_))), "{url:?}");
        }
    }

    #[tokio::test]
    async fn a_host_that_is_not_there_is_named() {
        let target = Target {
            // Port 1 is nobody's.
            url: Some("http://127.0.0.1:1".into()),
            token: Some("x".into()),
            data: Some(PathBuf::new()),
        };
        let asked = Client::new(&target).unwrap().get(&["handlers"], &[]).await;
        let Err(Failure::Unreachable { address, .. }) = asked else {
            unreachable!("{asked:?}");
        };
        assert_eq!(address, "http://127.0.0.1:1/");
    }
}
