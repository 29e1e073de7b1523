//! Failures of handlers.

use axum::{Json as Answer, extract::State};

use super::{
    input::{Path, Path2, Query},
    wire::{FailureItem, List},
};
use crate::{
    domain::{Failure, FailureId, HandlerName},
    edge::error::Problem,
    service::Service,
};

pub async fn list(
    State(service): State<Service>,
    Path(handler): Path<HandlerName>,
    query: Query,
) -> Result<Answer<List<FailureItem, FailureId>>, Problem> {
    let query = query.only(&["before", "limit"])?;
    let limit = query.limit()?;
    let before = query.get("before").map(FailureId::try_from).transpose();
    let before = before.map_err(|error| Problem::bad_field("before", error))?;
    let failures = service
        .handler_failures(&handler, before.as_ref(), limit)
        .await?;
    let items: Vec<_> = failures.into_iter().filter_map(FailureItem::of).collect();
    let next = items.last().filter(|_| items.len() >= limit);
    let next = next.map(|item| item.id.clone());
    Ok(Answer(List { items, next }))
}

pub async fn show(
    State(service): State<Service>,
    Path2(handler, id): Path2<HandlerName, FailureId>,
) -> Result<Answer<Failure>, Problem> {
    Ok(Answer(service.handler_failure(&handler, &id).await?))
}
