//! Bindings: which handler serves which accounts.

use axum::{Json as Answer, extract::State, http::StatusCode};

use super::{
    input::{Json, Path, Query},
    wire::{BindRequest, List},
};
use crate::{
    domain::{Binding, handler::Scope},
    edge::error::Problem,
    service::Service,
};

pub async fn list(
    State(service): State<Service>,
    query: Query,
) -> Result<Answer<List<Binding>>, Problem> {
    query.only(&[])?;
    Ok(Answer(List::whole(service.bindings())))
}

pub async fn put(
    State(service): State<Service>,
    Path(account): Path<Scope>,
    Json(request): Json<BindRequest>,
) -> Result<Answer<Binding>, Problem> {
    Ok(Answer(service.bind(account, request.handler).await?))
}

pub async fn remove(
    State(service): State<Service>,
    Path(account): Path<Scope>,
) -> Result<StatusCode, Problem> {
    service.unbind(account).await?;
    Ok(StatusCode::NO_CONTENT)
}
