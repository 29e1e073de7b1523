//! What guests keep: the bucket of an account and a handler, and the one that all
//! accounts of a handler share. Both are shown and taken alike.

use axum::{
    Json as Answer,
    body::Body,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;

use super::{
    input::{BucketPath, Json, Query},
    wire::{BucketView, Emptied, EntryView, KeyValueView, ValueRequest},
};
use crate::{domain::Bucket, edge::error::Problem, service::Service};

/// Entries of an export that are held at a time. Large values make it fewer.
const EXPORTED_AT_ONCE: usize = 200;
const JSON_LINES: HeaderValue = HeaderValue::from_static("application/jsonl");

/// How a bucket is shown.
#[derive(Debug, Clone, Copy)]
enum Format {
    /// A page of it.
    Json,
    /// All of it, an entry a line.
    JsonLines,
}

impl Format {
    const ALL: [Self; 2] = [Self::Json, Self::JsonLines];

    fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::JsonLines => "jsonl",
        }
    }
}

pub async fn list(
    State(service): State<Service>,
    BucketPath { bucket, .. }: BucketPath,
    query: Query,
) -> Result<Response, Problem> {
    let query = query.only(&["after", "limit", "format"])?;
    let fill = service.bucket_fill(&bucket).await?;
    if let Some(Format::JsonLines) = query.word("format", &Format::ALL, Format::as_str)? {
        if query.get("limit").is_some() {
            let problem = "does not go with format=jsonl, which has everything";
            return Err(Problem::bad_field("limit", problem));
        }
        let after = query.after().map(str::to_owned);
        return Ok(export(service, bucket, after));
    }
    let page = service
        .bucket_page(&bucket, query.after(), query.limit()?)
        .await?;
    let view = BucketView {
        items: page.items.into_iter().map(KeyValueView::from).collect(),
        next: page.next,
        usage: fill.into(),
    };
    Ok(Answer(view).into_response())
}

/// Every entry, read as it is sent. An error on the way breaks the answer off, which
/// its missing end then shows.
fn export(service: Service, bucket: Bucket, after: Option<String>) -> Response {
    let pages = stream::try_unfold(Some(after), move |after| {
        let (service, bucket) = (service.clone(), bucket.clone());
        async move {
            let Some(after) = after else {
                return Ok(None);
            };
            let page = service
                .bucket_page(&bucket, after.as_deref(), EXPORTED_AT_ONCE)
                .await?;
            Ok::<_, ExportError>(Some((lines(page.items)?, page.next.map(Some))))
        }
    });
    let mut response = Body::from_stream(pages).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, JSON_LINES);
    response
}

type ExportError = Box<dyn std::error::Error + Send + Sync>;

fn lines(items: Vec<(String, Vec<u8>)>) -> Result<Bytes, ExportError> {
    let mut lines = Vec::new();
    for (key, value) in items {
        let value = ValueRequest::of(value);
        serde_json::to_writer(&mut lines, &EntryView { key, value })?;
        lines.push(b'\n');
    }
    Ok(lines.into())
}

pub async fn show(
    State(service): State<Service>,
    BucketPath { bucket, key }: BucketPath,
) -> Result<Answer<KeyValueView>, Problem> {
    let value = service.bucket_value(&bucket, &key).await?;
    Ok(Answer(KeyValueView::from((key, value))))
}

pub async fn put(
    State(service): State<Service>,
    BucketPath { bucket, key }: BucketPath,
    Json(request): Json<ValueRequest>,
) -> Result<StatusCode, Problem> {
    let value = request.into_bytes();
    let value = value.map_err(|(field, problem)| Problem::bad_field(field, problem))?;
    service.put_value(bucket, key, value).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn remove(
    State(service): State<Service>,
    BucketPath { bucket, key }: BucketPath,
) -> Result<StatusCode, Problem> {
    service.remove_value(bucket, key).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn empty(
    State(service): State<Service>,
    BucketPath { bucket, .. }: BucketPath,
) -> Result<Answer<Emptied>, Problem> {
    let removed = service.empty_bucket(bucket).await?;
    Ok(Answer(Emptied { removed }))
}
