//! Labels of accounts.

use axum::{Json as Answer, extract::State};

use super::{
    input::{Json, Path},
    wire::{LabelsChange, LabelsView},
};
use crate::{
    domain::AccountId,
    edge::error::Problem,
    service::{ChangeLabels, Service},
};

pub async fn show(
    State(service): State<Service>,
    Path(account): Path<AccountId>,
) -> Result<Answer<LabelsView>, Problem> {
    let labels = service.labels(&account);
    Ok(Answer(LabelsView { labels }))
}

pub async fn replace(
    State(service): State<Service>,
    Path(account): Path<AccountId>,
    Json(request): Json<LabelsView>,
) -> Result<Answer<LabelsView>, Problem> {
    let change = ChangeLabels {
        to: Some(request.labels),
        ..ChangeLabels::default()
    };
    let labels = service.change_labels(account, change).await?;
    Ok(Answer(LabelsView { labels }))
}

pub async fn change(
    State(service): State<Service>,
    Path(account): Path<AccountId>,
    Json(request): Json<LabelsChange>,
) -> Result<Answer<LabelsView>, Problem> {
    let change = ChangeLabels {
        to: None,
        add: request.add,
        remove: request.remove,
    };
    let labels = service.change_labels(account, change).await?;
    Ok(Answer(LabelsView { labels }))
}
