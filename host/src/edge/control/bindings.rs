//! Bindings: which handler serves which accounts.

use axum::{Json as Answer, extract::State, http::StatusCode};

use super::{
    handlers::counted,
    input::{Json, Path, Query},
    wire::{BindRequest, BoundView, List},
};
use crate::{
    domain::{
        Binding,
        handler::{Reached, Scope},
    },
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
) -> Result<Answer<BoundView>, Problem> {
    let binding = service.bind(account, request.handler).await?;
    let reaches = reached(&service, &binding).await;
    Ok(Answer(BoundView {
        account: binding.account,
        handler: binding.handler,
        reaches,
    }))
}

/// How many accounts a binding reaches.
async fn reached(service: &Service, binding: &Binding) -> Option<Reached> {
    if binding.account == Scope::Callback {
        return None;
    }
    counted(&binding.handler, service.reached_by(binding).await)
}

pub async fn remove(
    State(service): State<Service>,
    Path(account): Path<Scope>,
) -> Result<StatusCode, Problem> {
    service.unbind(account).await?;
    Ok(StatusCode::NO_CONTENT)
}
