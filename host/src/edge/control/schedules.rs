//! Timers and schedules: what bots are going to be called for, and calling them now.

use axum::{Json as Answer, extract::State, http::StatusCode};

use super::{
    input::{Json, OptionalJson, Path, Path2, Query},
    wire::{FireRequest, FireTimerRequest, List},
};
use crate::{
    domain::{
        AccountId, HandlerName, Timer,
        handler::{Fired, ScheduleView},
    },
    edge::error::Problem,
    service::Service,
};

pub async fn timers(
    State(service): State<Service>,
    Path(id): Path<AccountId>,
    query: Query,
) -> Result<Answer<List<Timer>>, Problem> {
    let query = query.only(&["after", "limit"])?;
    let page = service.timers(&id, query.after(), query.limit()?).await?;
    Ok(Answer(List::of(page, |timer| timer)))
}

pub async fn fire_timer(
    State(service): State<Service>,
    Path(id): Path<AccountId>,
    Json(request): Json<FireTimerRequest>,
) -> Result<StatusCode, Problem> {
    let FireTimerRequest { handler, timer } = request;
    service.fire_timer(&id, &handler, &timer).await?;
    Ok(StatusCode::ACCEPTED)
}

pub async fn list(
    State(service): State<Service>,
    Path(name): Path<HandlerName>,
    query: Query,
) -> Result<Answer<List<ScheduleView>>, Problem> {
    query.only(&[])?;
    Ok(Answer(List::whole(service.schedules(&name).await?)))
}

pub async fn fire(
    State(service): State<Service>,
    Path2(name, schedule): Path2<HandlerName, String>,
    OptionalJson(request): OptionalJson<FireRequest>,
) -> Result<(StatusCode, Answer<Fired>), Problem> {
    let fired = service
        .fire_schedule(&name, &schedule, request.account)
        .await?;
    Ok((StatusCode::ACCEPTED, Answer(fired)))
}
