//! Handlers: deploying, looking at and removing them.

use std::fmt::Display;

use axum::{Json as Answer, extract::State, http::StatusCode};

use super::{
    deploy::Deployment,
    input::{Json, OptionalJson, Path, Path2, Query},
    wire::{
        DeployView, HandlerView, InvokeRequest, InvokeView, List, ReplayRequest, ReplayView,
        RollbackRequest, RolloutRequest, TokenView,
    },
};
use crate::{
    domain::{
        AccountId, Handler, HandlerName,
        handler::{DeployChange, Failing, Reaches, Version},
    },
    edge::error::Problem,
    service::{ChangeRollout, Deploy, Service},
};

pub async fn list(
    State(service): State<Service>,
    query: Query,
) -> Result<Answer<List<HandlerView>>, Problem> {
    query.only(&[])?;
    let paused = service.paused_accounts().await?;
    let all = service.handlers().into_iter();
    let views = all.map(|(handler, bound)| {
        let score = service.score(&handler.name);
        let keys = service.config_keys(&handler.name);
        let mut view = HandlerView::new(&handler, keys, bound, score);
        view.paused_accounts = Some(paused.get(&handler.name).copied().unwrap_or_default());
        view
    });
    Ok(Answer(List::whole(views)))
}

pub async fn show(
    State(service): State<Service>,
    Path(name): Path<HandlerName>,
) -> Result<Answer<HandlerView>, Problem> {
    let (handler, _) = service.handler(&name)?;
    let paused = service.paused_accounts().await?;
    let mut view = view(&service, &handler);
    view.paused_accounts = Some(paused.get(&name).copied().unwrap_or_default());
    Ok(Answer(view))
}

/// The handler with what is bound to it. Somebody may have removed it by now: what
/// was done to it was done all the same.
fn view(service: &Service, handler: &Handler) -> HandlerView {
    let bound = service.handler(&handler.name);
    let bound = bound.map_or_else(|_| Vec::new(), |(_, bound)| bound);
    let keys = service.config_keys(&handler.name);
    HandlerView::new(handler, keys, bound, service.score(&handler.name))
}

/// The handler as a change has left it, and how many accounts it reaches.
async fn changed(service: &Service, handler: &Handler) -> HandlerView {
    let mut view = view(service, handler);
    view.reaches = reached(service, handler).await;
    view
}

/// How many accounts it reaches, if it serves any.
async fn reached(service: &Service, handler: &Handler) -> Option<Reaches> {
    if handler.is_endpoint() || handler.is_callback() {
        return None;
    }
    counted(&handler.name, service.reaches(&handler.name).await)
}

/// What can't be counted of a handler is left out: the change was made all the same.
pub(super) fn counted<T>(handler: &HandlerName, reached: Result<T, impl Display>) -> Option<T> {
    match reached {
        Ok(reached) => Some(reached),
        Err(error) => {
            tracing::warn!(%handler, %error, "whom it reaches was not counted");
            None
        }
    }
}

pub async fn reaches(
    State(service): State<Service>,
    Path(name): Path<HandlerName>,
    query: Query,
) -> Result<Answer<Reaches>, Problem> {
    query.only(&[])?;
    Ok(Answer(service.reaches(&name).await?))
}

pub async fn deploy(
    State(service): State<Service>,
    Path(name): Path<HandlerName>,
    Deployment { component, options }: Deployment,
) -> Result<(StatusCode, Answer<DeployView>), Problem> {
    let to = options.rollout.map(RolloutRequest::share).transpose();
    let deploy = Deploy {
        name: name.clone(),
        component,
        manifest: options.manifest,
        grants: options.grants,
        config: options.config,
        by: options.by,
        note: options.note,
        to: to.map_err(|problem| Problem::bad_field("rollout", problem))?,
    };
    let done = service.deploy(deploy).await?;
    let status = match done.change {
        DeployChange::Created => StatusCode::CREATED,
        DeployChange::Replaced | DeployChange::RolledOut | DeployChange::Unchanged => {
            StatusCode::OK
        }
    };
    let bound = service.handler(&name);
    let bound = bound.map_or_else(|_| Vec::new(), |(_, bound)| bound);
    let reaches = reached(&service, &done.handler).await;
    let mut view = DeployView::new(done, service.config_keys(&name), bound);
    view.handler.reaches = reaches;
    Ok((status, Answer(view)))
}

pub async fn invoke(
    State(service): State<Service>,
    Path(name): Path<HandlerName>,
    Json(request): Json<InvokeRequest>,
) -> Result<Answer<InvokeView>, Problem> {
    let invoked = service.invoke(request.of(name)).await?;
    Ok(Answer(invoked.into()))
}

pub async fn token(
    State(service): State<Service>,
    Path(name): Path<HandlerName>,
) -> Result<Answer<TokenView>, Problem> {
    let token = service.new_endpoint_token(&name).await?;
    Ok(Answer(TokenView {
        token: token.expose().to_owned(),
    }))
}

pub async fn replay(
    State(service): State<Service>,
    Path(name): Path<HandlerName>,
    Json(request): Json<ReplayRequest>,
) -> Result<Answer<ReplayView>, Problem> {
    let replayed = service.replay(request.of(name)).await?;
    Ok(Answer(replayed.into()))
}

pub async fn pauses(
    State(service): State<Service>,
    Path(name): Path<HandlerName>,
    query: Query,
) -> Result<Answer<List<Failing>>, Problem> {
    let query = query.only(&["after", "limit"])?;
    let (after, limit) = (query.after(), query.limit()?);
    let page = service.handler_pauses(&name, after, limit).await?;
    Ok(Answer(List::of(page, |failing| failing)))
}

pub async fn resume(
    State(service): State<Service>,
    Path2(name, account): Path2<HandlerName, AccountId>,
) -> Result<Answer<Failing>, Problem> {
    Ok(Answer(service.resume_handler(&name, &account).await?))
}

pub async fn versions(
    State(service): State<Service>,
    Path(name): Path<HandlerName>,
) -> Result<Answer<List<Version>>, Problem> {
    Ok(Answer(List::whole(service.versions(&name).await?)))
}

pub async fn rollback(
    State(service): State<Service>,
    Path(name): Path<HandlerName>,
    OptionalJson(request): OptionalJson<RollbackRequest>,
) -> Result<Answer<HandlerView>, Problem> {
    let handler = service.roll_back(&name, request.to).await?;
    Ok(Answer(changed(&service, &handler).await))
}

pub async fn promote(
    State(service): State<Service>,
    Path(name): Path<HandlerName>,
) -> Result<Answer<HandlerView>, Problem> {
    let handler = service.promote(&name).await?;
    Ok(Answer(changed(&service, &handler).await))
}

pub async fn rollout(
    State(service): State<Service>,
    Path(name): Path<HandlerName>,
    Json(request): Json<RolloutRequest>,
) -> Result<Answer<HandlerView>, Problem> {
    let version = request.version;
    let share = request.share();
    let (to, failures_percent) = share.map_err(|problem| Problem::bad_field("rollout", problem))?;
    let change = ChangeRollout {
        version,
        to,
        failures_percent,
    };
    let handler = service.roll_out(&name, change).await?;
    Ok(Answer(changed(&service, &handler).await))
}

pub async fn remove(
    State(service): State<Service>,
    Path(name): Path<HandlerName>,
) -> Result<StatusCode, Problem> {
    service.remove_handler(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}
