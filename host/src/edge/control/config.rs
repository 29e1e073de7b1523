//! The configuration of handlers, for all of their accounts or, with `?account=`, for
//! one. A secret goes in and never comes out.

use std::collections::BTreeMap;

use axum::{Json as Answer, extract::State, http::StatusCode};

use super::{
    input::{Body, Json, Path, Path2, Query},
    wire::{ConfigItemView, ConfigKeys, List},
};
use crate::{
    domain::{AccountId, HandlerName, Secret},
    edge::error::Problem,
    service::Service,
};

pub async fn list(
    State(service): State<Service>,
    Path(name): Path<HandlerName>,
    query: Query,
) -> Result<Answer<List<ConfigItemView>>, Problem> {
    let items = service.config(&name, account(query)?).await?.into_iter();
    Ok(Answer(List::whole(items.map(ConfigItemView::from))))
}

pub async fn replace(
    State(service): State<Service>,
    Path(name): Path<HandlerName>,
    query: Query,
    Json(plain): Json<BTreeMap<String, String>>,
) -> Result<Answer<ConfigKeys>, Problem> {
    let account = account(query)?;
    let keys = service.replace_config(&name, account, plain).await?;
    Ok(Answer(ConfigKeys { keys }))
}

pub async fn change(
    State(service): State<Service>,
    Path(name): Path<HandlerName>,
    query: Query,
    Json(changes): Json<BTreeMap<String, Option<String>>>,
) -> Result<Answer<ConfigKeys>, Problem> {
    let account = account(query)?;
    let keys = service.change_config(&name, account, changes).await?;
    Ok(Answer(ConfigKeys { keys }))
}

pub async fn put_secret(
    State(service): State<Service>,
    Path2(name, key): Path2<HandlerName, String>,
    query: Query,
    Body(bytes): Body,
) -> Result<StatusCode, Problem> {
    let account = account(query)?;
    // The error of UTF-8 would tell where in the secret it is.
    let text = std::str::from_utf8(&bytes);
    let secret = text.map_err(|_| Problem::bad_field("body", "is no text in UTF-8"))?;
    let secret = Secret::from(secret);
    service.put_secret(&name, account, key, secret).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn remove_secret(
    State(service): State<Service>,
    Path2(name, key): Path2<HandlerName, String>,
    query: Query,
) -> Result<StatusCode, Problem> {
    let account = account(query)?;
    service.remove_secret(&name, account, key).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whose entries are meant; none for all accounts.
fn account(query: Query) -> Result<Option<AccountId>, Problem> {
    let query = query.only(&["account"])?;
    let id = query.get("account").map(AccountId::try_from).transpose();
    id.map_err(|problem| Problem::bad_field("account", problem))
}
