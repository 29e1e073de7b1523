//! Handlers: deploying, looking at, configuring and removing them.

use std::collections::BTreeMap;

use axum::{Json as Answer, extract::State, http::StatusCode};

use super::{
    input::{Body, Json, Path, Query},
    wire::{ConfigKeys, HandlerView, List},
};
use crate::{domain::HandlerName, edge::error::Problem, service::Service};

pub async fn list(
    State(service): State<Service>,
    query: Query,
) -> Result<Answer<List<HandlerView>>, Problem> {
    query.only(&[])?;
    let all = service.handlers().into_iter();
    let views = all.map(|(handler, bound)| HandlerView::new(&handler, bound));
    Ok(Answer(List::whole(views)))
}

pub async fn show(
    State(service): State<Service>,
    Path(name): Path<HandlerName>,
) -> Result<Answer<HandlerView>, Problem> {
    let (handler, bound) = service.handler(&name)?;
    Ok(Answer(HandlerView::new(&handler, bound)))
}

pub async fn deploy(
    State(service): State<Service>,
    Path(name): Path<HandlerName>,
    Body(component): Body,
) -> Result<(StatusCode, Answer<HandlerView>), Problem> {
    let (handler, new) = service.deploy(name, component).await?;
    // Somebody may have removed it again by now; it was deployed all the same.
    let bound = service
        .handler(&handler.name)
        .map_or_else(|_| Vec::new(), |(_, bound)| bound);
    let status = if new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Answer(HandlerView::new(&handler, bound))))
}

pub async fn remove(
    State(service): State<Service>,
    Path(name): Path<HandlerName>,
) -> Result<StatusCode, Problem> {
    service.remove_handler(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn configure(
    State(service): State<Service>,
    Path(name): Path<HandlerName>,
    Json(config): Json<BTreeMap<String, String>>,
) -> Result<Answer<ConfigKeys>, Problem> {
    let keys = service.configure(&name, config).await?;
    Ok(Answer(ConfigKeys { keys }))
}
