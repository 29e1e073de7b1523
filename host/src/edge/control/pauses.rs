//! Pauses of the loop guard: where bots are silent, and letting them speak again.

use axum::{Json as Answer, extract::State};

use super::{
    input::{Path, Path2, Query},
    wire::List,
};
use crate::{
    domain::{AccountId, Pause},
    edge::error::Problem,
    service::Service,
};

pub async fn list(
    State(service): State<Service>,
    Path(id): Path<AccountId>,
    query: Query,
) -> Result<Answer<List<Pause>>, Problem> {
    let query = query.only(&["after", "limit"])?;
    let page = service.pauses(&id, query.after(), query.limit()?).await?;
    Ok(Answer(List::of(page, |pause| pause)))
}

pub async fn lift(
    State(service): State<Service>,
    Path2(id, conversation): Path2<AccountId, String>,
) -> Result<Answer<Pause>, Problem> {
    Ok(Answer(service.lift_pause(&id, &conversation).await?))
}
