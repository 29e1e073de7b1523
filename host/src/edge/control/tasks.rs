//! Tasks: asking for them, and what became of them.

use axum::{
    Json as Answer,
    extract::State,
    http::{HeaderMap, StatusCode},
};

use super::{
    actions,
    input::{Body, Path, Query},
    wire::{List, Tasks},
};
use crate::{
    domain::{AccountId, Task, TaskId, TaskNumber, TaskState, ports::TaskFilter},
    edge::error::Problem,
    service::{Error, IDEMPOTENCY_KEY_MAX_BYTES, Service, Submission},
};

/// The caller's own name for a request, with which it can be sent again safely.
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

pub async fn submit(
    State(service): State<Service>,
    Path(account): Path<AccountId>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<(StatusCode, Answer<Tasks>), Problem> {
    let key = idempotency_key(&headers)?;
    let submission = Submission {
        actions: actions::read(&body)?,
        idempotency_key: key,
        ..Submission::default()
    };
    let (tasks, repeat) = service.submit(&account, submission).await?;
    let status = if repeat {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    Ok((status, Answer(Tasks { tasks })))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut given = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = given.next() else {
        return Ok(None);
    };
    let bad = |problem: String| Err(Problem::bad_field(IDEMPOTENCY_KEY, problem));
    if given.next().is_some() {
        return bad("can be given once only".to_owned());
    }
    match value.to_str() {
        Ok(text) if (1..=IDEMPOTENCY_KEY_MAX_BYTES).contains(&text.len()) => {
            Ok(Some(text.to_owned()))
        }
        _ => bad(format!(
            "has 1 to {IDEMPOTENCY_KEY_MAX_BYTES} characters of ASCII"
        )),
    }
}

pub async fn show(
    State(service): State<Service>,
    Path(id): Path<String>,
) -> Result<Answer<Task>, Problem> {
    // What is no task id is the id of no task.
    let id: TaskId = id.parse().map_err(|_| Error::not_found("task", &id))?;
    Ok(Answer(service.task(&id).await?))
}

pub async fn list(
    State(service): State<Service>,
    Path(account): Path<AccountId>,
    query: Query,
) -> Result<Answer<List<Task, TaskNumber>>, Problem> {
    let query = query.only(&["state", "before", "limit"])?;
    let filter = TaskFilter {
        state: query.word("state", &TaskState::ALL, TaskState::as_str)?,
        before: query.number("before")?.map(TaskNumber),
    };
    let limit = query.limit()?;
    let items = service.tasks(&account, filter, limit).await?;
    let more = items.last().filter(|_| items.len() >= limit);
    let next = more.map(|task| task.id.number);
    Ok(Answer(List { items, next }))
}
