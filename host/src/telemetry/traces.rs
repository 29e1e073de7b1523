//! Traces: what the host does about an event, step by step, for a collector that speaks
//! OTLP over HTTP.
//!
//! Only spans of [`TARGET`] go out, and they are made for that: they name handlers,
//! versions and outcomes, and neither accounts nor what anybody wrote. A collector that
//! does not answer harms nobody: what waits for it is bounded, the rest is dropped.

use std::{
    fs, io,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData, SpanExporter,
    },
};
use serde::{Deserialize, Serialize};
use tracing::Subscriber;
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};
use url::{Host, Url};

/// The target of spans that go out.
pub const TARGET: &str = "wxhost::trace";

/// How many spans wait to be sent. An event has about five, of some hundred bytes.
const QUEUE_MAX: usize = 4096;
/// How many are sent at a time.
const BATCH_MAX: usize = 512;
/// How long they wait for others.
const DELAY: Duration = Duration::from_secs(1);
/// How long the collector may take for an answer.
const EXPORT_MAX: Duration = Duration::from_secs(5);
/// How long the last ones may take to be sent when the host ends.
const END_MAX: Duration = Duration::from_secs(3);
/// How much of the collector's answer is read: it says next to nothing.
const ANSWER_MAX_BYTES: usize = 64 * 1024;
/// How many bytes the file with headers may have.
const HEADERS_MAX_BYTES: u64 = 64 * 1024;
/// The path of the traces below the endpoint (OTLP specification, OTLP/HTTP request).
const PATH: &str = "v1/traces";
/// The variable that all programs with OpenTelemetry know.
const ENDPOINT_VARIABLE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Settings of the traces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Otlp {
    /// Where the collector is: `http://127.0.0.1:4318`. None for what the variable
    /// `OTEL_EXPORTER_OTLP_ENDPOINT` says, or no traces.
    pub endpoint: Option<String>,
    /// A file with headers that the collector wants, such as a token: one `name: value`
    /// a line.
    pub headers_file: Option<PathBuf>,
    /// Which share of events is traced, 0 to 1.
    pub sample: f64,
}

impl Default for Otlp {
    fn default() -> Self {
        Self {
            endpoint: None,
            headers_file: None,
            sample: 1.0,
        }
    }
}

impl Otlp {
    /// Says which setting can't work, and why.
    pub fn check(&self) -> Result<(), String> {
        if !(0.0..=1.0).contains(&self.sample) {
            let sample = self.sample;
            return Err(format!(
                "telemetry.otlp.sample: takes 0 to 1, this is {sample}"
            ));
        }
        match &self.endpoint {
            Some(endpoint) => url_of(endpoint).map(drop),
            None => Ok(()),
        }
    }

    /// Where traces go; none when nobody wants them.
    fn wanted(&self) -> Result<Option<Url>, String> {
        let variable = || std::env::var(ENDPOINT_VARIABLE).ok();
        let endpoint = self.endpoint.clone().or_else(variable);
        let endpoint = endpoint.filter(|it| !it.is_empty());
        endpoint.as_deref().map(url_of).transpose()
    }
}

/// The address that traces are sent to.
fn url_of(endpoint: &str) -> Result<Url, String> {
    let unfit = |problem: &str| {
        format!("telemetry.otlp.endpoint ({ENDPOINT_VARIABLE}): {problem}: http://127.0.0.1:4318")
    };
    let mut url = Url::parse(endpoint).map_err(|error| unfit(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(unfit("takes an http or https address"));
    }
    let path = url.path().trim_end_matches('/');
    if !path.ends_with(PATH) {
        let path = format!("{path}/{PATH}");
        url.set_path(&path);
    }
    Ok(url)
}

/// What sends the spans; when it ends, those that still wait.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Begins to send, if somebody wants traces. Spans wait until then; the sending
    /// itself needs the runtime that calls this.
    pub fn start(config: &Otlp) -> Result<Option<Self>, String> {
        let Some(url) = config.wanted()? else {
            return Ok(None);
        };
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_endpoint(url.as_str())
            .with_timeout(EXPORT_MAX)
            .with_headers(headers(config.headers_file.as_ref())?.into_iter().collect())
            .with_http_client(Client::new(&url)?)
            .build()
            .map_err(|error| format!("telemetry.otlp: {error}"))?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE_MAX)
            .with_max_export_batch_size(BATCH_MAX)
            .with_scheduled_delay(DELAY)
            .build();
        let processor = BatchSpanProcessor::builder(Told::new(exporter))
            .with_batch_config(batches)
            .build();
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource = Resource::builder()
            .with_service_name("wxhost")
            .with_attribute(version);
        let sampler = Sampler::TraceIdRatioBased(config.sample);
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .with_sampler(Sampler::ParentBased(Box::new(sampler)))
            .with_resource(resource.build())
            .build();
        Ok(Some(Self(provider)))
    }

    /// What takes the spans in.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let tracer = self.0.tracer("wxhost");
        tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(|it| it.is_span() && it.target() == TARGET))
    }

    /// Sends what still waits, for a while.
    pub async fn end(self) {
        let end = move || self.0.shutdown_with_timeout(END_MAX);
        match tokio::task::spawn_blocking(end).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last traces were not sent"),
            Err(error) => tracing::warn!(%error, "the last traces were not sent"),
        }
    }
}

/// The headers in the file, by name.
fn headers(file: Option<&PathBuf>) -> Result<Vec<(String, String)>, String> {
    let Some(path) = file else {
        return Ok(Vec::new());
    };
    let setting = "telemetry.otlp.headers_file";
    let at = |what: &dyn std::fmt::Display| format!("{setting}: {}: {what}", path.display());
    let file = fs::File::open(path).map_err(|error| at(&error))?;
    let mut text = String::new();
    let mut bounded = io::Read::take(file, HEADERS_MAX_BYTES);
    io::Read::read_to_string(&mut bounded, &mut text).map_err(|error| at(&error))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    // Which line it is, and not what stands there: that is a secret.
    let pair = |(index, line): (usize, &str)| {
        let pair = line.split_once(':');
        let pair = pair.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
        pair.ok_or_else(|| at(&format!("line {}: takes `name: value`", index + 1)))
    };
    lines.enumerate().map(pair).collect()
}

/// Says once that the collector does not take the spans, and once that it does again.
#[derive(Debug)]
struct Told<E> {
    to: E,
    fails: AtomicBool,
}

impl<E> Told<E> {
    fn new(to: E) -> Self {
        let fails = AtomicBool::new(false);
        Self { to, fails }
    }
}

impl<E: SpanExporter> SpanExporter for Told<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let result = self.to.export(batch).await;
        let failed = self.fails.swap(result.is_err(), Ordering::Relaxed);
        match &result {
            Err(error) if !failed => tracing::warn!(
                %error,
                "the collector does not take the traces (telemetry.otlp.endpoint): they are lost \
                 until it does"
            ),
            Ok(()) if failed => tracing::info!("the collector takes the traces again"),
            _ => {}
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.to.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.to.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.to.set_resource(resource);
    }
}

/// Speaks HTTP by the client that is there already, on the host's runtime: those who
/// ask are threads of their own.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    runtime: tokio::runtime::Handle,
}

impl Client {
    fn new(url: &Url) -> Result<Self, String> {
        // Already chosen is fine: it is the only one here.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .timeout(EXPORT_MAX)
            .redirect(reqwest::redirect::Policy::none());
        if is_loopback(url) {
            builder = builder.no_proxy();
        }
        let http = builder.build();
        let http = http.map_err(|error| format!("telemetry.otlp: {error}"))?;
        let runtime = tokio::runtime::Handle::current();
        Ok(Self { http, runtime })
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let sent = exchange(self.http.clone(), request);
        self.runtime.spawn(sent).await?
    }
}

async fn exchange(
    http: reqwest::Client,
    request: reqwest::Request,
) -> Result<Response<Bytes>, HttpError> {
    // Its address may hold a token.
    let bare = reqwest::Error::without_url;
    let mut answer = http.execute(request).await.map_err(bare)?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(bare)? {
        if body.len() + chunk.len() > ANSWER_MAX_BYTES {
            return Err("the collector's answer is too long".into());
        }
        body.extend_from_slice(&chunk);
    }
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = answer.status();
    *response.headers_mut() = std::mem::take(answer.headers_mut());
    Ok(response)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn otlp(endpoint: &str) -> Otlp {
        Otlp {
            endpoint: Some(endpoint.to_owned()),
            ..Otlp::default()
        }
    }

    #[test]
    fn traces_go_below_the_endpoint() {
        for (endpoint, url) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://a.com/otlp/", "https://a.com/otlp/v1/traces"),
            ("https://a.com/v1/traces", "https://a.com/v1/traces"),
        ] {
            assert_eq!(url_of(endpoint).unwrap().as_str(), url);
        }
    }

    #[test]
    fn settings_are_checked() {
        assert_eq!(Otlp::default().check(), Ok(()));
        for bad in ["127.0.0.1:4318", "ftp://a.com", ""] {
            let problem = otlp(bad).check().unwrap_err();
            assert!(problem.starts_with("telemetry.otlp.endpoint"), "{problem}");
        }
        for sample in [-0.1, 1.1, f64::NAN] {
            let config = Otlp {
                sample,
                ..Otlp::default()
            };
            assert!(config.check().is_err(), "{sample}");
        }
    }

    #[test]
    fn headers_come_from_a_file_and_are_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("headers");
        fs::write(&path, "authorization: Bearer a:b\n\n x-team : shop\n").unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let found = headers(Some(&path)).unwrap();
        let wanted = [pair("authorization", "Bearer a:b"), pair("x-team", "shop")];
        assert_eq!(found, wanted);
        fs::write(&path, "hush-hush").unwrap();
        let problem = headers(Some(&path)).unwrap_err();
        assert!(
            problem.contains("line 1") && !problem.contains("hush"),
            "{problem}"
        );
    }
}
