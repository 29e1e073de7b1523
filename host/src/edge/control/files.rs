//! Files that accounts' clients uploaded, by the digest of their content, and what
//! became of the requests for them.

use axum::{
    Json as Answer,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;

use super::input::{Path, Path2};
use crate::{
    domain::{AccountId, Digest, FileRequest, ports::Blob},
    edge::error::Problem,
    service::Service,
};

/// What is under a digest never changes; it is for its asker alone.
const CACHED: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");
/// A stranger's file is saved, not shown: a page of HTML would act for whoever
/// looks at it.
const SAVED: HeaderValue = HeaderValue::from_static("attachment");
const AS_SAID: HeaderValue = HeaderValue::from_static("nosniff");

pub async fn content(
    State(service): State<Service>,
    Path(digest): Path<Digest>,
    asked: HeaderMap,
) -> Result<Response, Problem> {
    let tag = header_value(&format!("\"{digest}\""))?;
    let blob = service.blob(digest).await?;
    let mut response = match asked.get(header::IF_NONE_MATCH) {
        Some(known) if *known == tag => StatusCode::NOT_MODIFIED.into_response(),
        Some(_) | None => whole(blob)?,
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, tag);
    headers.insert(header::CACHE_CONTROL, CACHED);
    headers.insert(header::CONTENT_DISPOSITION, SAVED);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, AS_SAID);
    Ok(response)
}

/// The bytes, read as they are sent. An error on the way cuts the answer off,
/// which its length then shows.
fn whole(blob: Blob) -> Result<Response, Problem> {
    let pieces = stream::try_unfold(blob.reader, |mut reader| async move {
        let piece = reader.read().await?;
        Ok::<_, crate::domain::ports::BlobError>(piece.map(|piece| (piece, reader)))
    });
    let mut response = Body::from_stream(pieces).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header_value(&blob.mime)?);
    headers.insert(header::CONTENT_LENGTH, blob.size_bytes.into());
    Ok(response)
}

fn header_value(text: &str) -> Result<HeaderValue, Problem> {
    HeaderValue::from_str(text).map_err(Problem::internal)
}

pub async fn request(
    State(service): State<Service>,
    Path2(account, file): Path2<AccountId, String>,
) -> Result<Answer<FileRequest>, Problem> {
    Ok(Answer(service.file_request(&account, &file).await?))
}
