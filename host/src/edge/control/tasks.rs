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
    domain::{
        AccountId, Millis, Task, TaskId, TaskNumber, TaskState, ports::TaskFilter, task::Delivery,
    },
    edge::error::Problem,
    service::{Error, IDEMPOTENCY_KEY_MAX_BYTES, Service, Submission},
};

/// The caller's own name for a request, with which it can be sent again safely.
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
/// The shortest time after which a task can be of no use, in ms: clients ask for
/// tasks every second or so.
const EXPIRES_MIN_MS: u64 = 1_000;
/// The longest, in ms: thirty days.
const EXPIRES_MAX_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

pub async fn submit(
    State(service): State<Service>,
    Path(account): Path<AccountId>,
    query: Query,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<(StatusCode, Answer<Tasks>), Problem> {
    let query = query.only(&["delivery", "expires_in_ms"])?;
    let submission = Submission {
        delivery: delivery(&query)?,
        expires_in_ms: expires_in_ms(&query)?,
        idempotency_key: idempotency_key(&headers)?,
        actions: actions::read(&body)?,
    };
    let (tasks, repeat) = service.submit(&account, submission).await?;
    let status = if repeat {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    Ok((status, Answer(Tasks { tasks })))
}

fn delivery(query: &Query) -> Result<Delivery, Problem> {
    let given = query.word("delivery", &Delivery::ALL, Delivery::as_str)?;
    Ok(given.unwrap_or_default())
}

fn expires_in_ms(query: &Query) -> Result<Option<Millis>, Problem> {
    match query.number("expires_in_ms")? {
        Some(given) if !(EXPIRES_MIN_MS..=EXPIRES_MAX_MS).contains(&given) => {
            let problem = format!("is {EXPIRES_MIN_MS} to {EXPIRES_MAX_MS}");
            Err(Problem::bad_field("expires_in_ms", problem))
        }
        given => Ok(given),
    }
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
    Ok(Answer(service.task(&task_id(&id)?).await?))
}

pub async fn cancel(
    State(service): State<Service>,
    Path(id): Path<String>,
) -> Result<Answer<Task>, Problem> {
    Ok(Answer(service.cancel(&task_id(&id)?).await?))
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

fn task_id(text: &str) -> Result<TaskId, Error> {
    // What is no task id is the id of no task.
    text.parse().map_err(|_| Error::not_found("task", text))
}
