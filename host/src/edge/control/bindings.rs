//! Bindings: which handler serves which accounts.

use axum::{Json as Answer, extract::State, http::StatusCode};

use super::{
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
    let reaches = counted(&service, &binding).await;
    Ok(Answer(BoundView {
        account: binding.account,
        handler: binding.handler,
        reaches,
    }))
}

/// How many accounts a binding reaches. What can't be counted is left out: it was made all
/// the same.
async fn counted(service: &Service, binding: &Binding) -> Option<Reached> {
    if binding.account == Scope::Callback {
        return None;
    }
    match service.reached_by(binding).await {
        Ok(reached) => Some(reached),
        Err(error) => {
            tracing::warn!(handler = %binding.handler, %error, "whom it reaches was not counted");
            None
        }
    }
}

pub async fn remove(
    State(service): State<Service>,
    Path(account): Path<Scope>,
) -> Result<StatusCode, Problem> {
    service.unbind(account).await?;
    Ok(StatusCode::NO_CONTENT)
}
