//! Tasks from the queue: asked for, taken by the client, ended.

use bytes::Bytes;

use super::{
    Error, Reply, Service,
    deliver::{Also, Reporter, Settling},
};
use crate::domain::{
    AccountId, Action, Digest, Event, EventKey, Happening, Task, TaskId, TaskState,
    ports::{Commit, Enqueue, Enqueued, TaskFilter},
    task::{Delivery, Origin},
};

/// How many tasks one request may ask for.
pub const SUBMIT_MAX: usize = 100;
/// How many tasks may wait for one account's client. A client that is gone for
/// long is not worth more, and the store is not for hoarding.
pub const QUEUE_MAX: usize = 10_000;
/// The longest idempotency key, in bytes.
pub const IDEMPOTENCY_KEY_MAX_BYTES: usize = 256;

/// Tasks that somebody asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Submission {
    /// What to do, in order.
    pub actions: Vec<Action>,
    /// What happens when a result does not come.
    pub delivery: Delivery,
    /// After how many ms they are of no use any more unless a client has them.
    pub expires_in_ms: Option<u64>,
    /// The caller's own name for this request: asked again, it gives the same tasks.
    pub idempotency_key: Option<String>,
}

/// What an account's client is to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// This.
    Task(Box<Task>),
    /// Something, after so many ms.
    Wait(u64),
    /// Nothing.
    Nothing,
}

impl Service {
    /// Queues tasks for an account. True when the same was asked for before and
    /// these are the tasks it made then.
    pub async fn submit(
        &self,
        id: &AccountId,
        submission: Submission,
    ) -> Result<(Vec<Task>, bool), Error> {
        let Submission {
            actions,
            idempotency_key,
            ..
        } = submission;
        self.check_ready()?;
        let account = self.account(id).await?;
        check_count(actions.len())?;
        check_key(idempotency_key.as_deref())?;
        for action in &actions {
            (self.0.check)(account.client, action)?;
        }
        self.check_queue(id, actions.len()).await?;
        let request = digest(&actions)?;
        let tasks = self.new_tasks(id, actions);
        let enqueue = Enqueue {
            idempotency_key,
            request,
            tasks: tasks.clone(),
            files: Vec::new(),
            alarms: Vec::new(),
        };
        match self.0.store.enqueue(id, enqueue).await? {
            Enqueued::Ok => Ok((tasks, false)),
            Enqueued::KeyReused => Err(Error::KeyReused),
            Enqueued::Duplicate(numbers) => {
                let mut former = Vec::with_capacity(numbers.len());
                for number in numbers {
                    let id = TaskId {
                        account: id.clone(),
                        number,
                    };
                    former.extend(self.0.store.task(&id).await?);
                }
                Ok((former, true))
            }
        }
    }

    /// Refuses when so many more do not fit into the account's queue.
    pub(super) async fn check_queue(&self, id: &AccountId, more: usize) -> Result<(), Error> {
        let waiting = self.0.store.queued(id, QUEUE_MAX).await?;
        if waiting + more > QUEUE_MAX {
            let reason = format!(
                "{waiting} tasks wait for {id}, at most {QUEUE_MAX} may: its client takes none"
            );
            return Err(Error::Busy { reason });
        }
        Ok(())
    }

    fn new_tasks(&self, account: &AccountId, actions: Vec<Action>) -> Vec<Task> {
        let now_ms = self.0.store.now();
        let new = |action| {
            let number = self.0.store.reserve(1);
            Task::queued(
                TaskId {
                    account: account.clone(),
                    number,
                },
                action,
                Origin::Api,
                now_ms,
            )
        };
        actions.into_iter().map(new).collect()
    }

    /// One task.
    pub async fn task(&self, id: &TaskId) -> Result<Task, Error> {
        self.0
            .store
            .task(id)
            .await?
            .ok_or_else(|| Error::not_found("task", id))
    }

    /// Tasks of an account, newest first.
    pub async fn tasks(
        &self,
        id: &AccountId,
        filter: TaskFilter,
        limit: usize,
    ) -> Result<Vec<Task>, Error> {
        self.account(id).await?;
        Ok(self.0.store.tasks(id, filter, limit).await?)
    }

    /// Calls a task off that no client has yet.
    pub async fn cancel(&self, id: &TaskId) -> Result<Task, Error> {
        Err(Error::Conflict(format!("{id} can't be called off")))
    }

    /// Hands the next queued task to the account's client. It is handed out
    /// before the client has it: one that gets lost on the way is not repeated.
    pub async fn next_task(&self, account: &AccountId, reporter: &Reporter) -> Result<Next, Error> {
        let _ = reporter;
        Ok(match self.pull(account).await? {
            Some(task) => Next::Task(Box::new(task)),
            None => Next::Nothing,
        })
    }

    async fn pull(&self, account: &AccountId) -> Result<Option<Task>, Error> {
        // Clients ask every few seconds: most of the time this is all.
        if self.0.store.next_queued(account).await?.is_none() {
            return Ok(None);
        }
        let (service, account) = (self.clone(), account.clone());
        self.detached(async move {
            let turn = service.turn(&account).await?;
            let Some(mut task) = service.0.store.next_queued(&account).await? else {
                return Ok(None);
            };
            task.hand_out(service.0.store.now());
            let commit = Commit {
                tasks: vec![task.clone()],
                ..Commit::default()
            };
            service.commit(&turn, &account, commit).await?;
            Ok(Some(task))
        })
        .await
    }

    /// The client tells how a task ended. The bot that asked for it is told; the
    /// tasks that it asks for then are queued.
    pub async fn report_result(
        &self,
        reporter: Reporter,
        account: AccountId,
        task: TaskId,
        failure: Option<String>,
        raw: Bytes,
    ) -> Result<(), Error> {
        let service = self.clone();
        self.detached(async move {
            service
                .report_result_in_turn(reporter, account, task, failure, raw)
                .await
        })
        .await
    }

    async fn report_result_in_turn(
        &self,
        reporter: Reporter,
        account: AccountId,
        id: TaskId,
        failure: Option<String>,
        raw: Bytes,
    ) -> Result<(), Error> {
        let turn = self.turn(&account).await?;
        let mut task = self.handed_out(&account, &id).await?;
        let now_ms = self.0.store.now();
        let state = if failure.is_some() {
            TaskState::Failed
        } else {
            TaskState::Done
        };
        task.end(state, failure.clone(), now_ms);
        if task.origin == Origin::Api {
            let commit = Commit {
                tasks: vec![task],
                ..Commit::default()
            };
            self.commit(&turn, &account, commit).await?;
            return Ok(());
        }
        let event = Event {
            key: EventKey::new(&format!("task-ended-{}", id.number.0)),
            account,
            at_ms: now_ms,
            what: Happening::TaskEnded {
                task: id,
                state,
                reason: failure,
            },
            facts: Vec::new(),
            raw,
        };
        let settling = Settling {
            event,
            client: reporter.client,
            repeats_within: None,
            reply: Reply::Queue,
            also: Also {
                tasks: vec![task],
                ..Also::default()
            },
        };
        self.settle(&turn, settling).await.map(drop)
    }

    /// A task of this account that waits for its result.
    async fn handed_out(&self, account: &AccountId, id: &TaskId) -> Result<Task, Error> {
        // Another account's task is as unknown as one that never was.
        let task = match id.account == *account {
            true => self.0.store.task(id).await?,
            false => None,
        };
        match task {
            Some(task) if task.state == TaskState::HandedOut => Ok(task),
            Some(task) if task.state == TaskState::Queued => {
                Err(Error::WrongTask(format!("{id} was not handed out yet")))
            }
            Some(task) => Err(Error::WrongTask(format!(
                "{id} has ended before as {}",
                task.state.as_str()
            ))),
            None => Err(Error::WrongTask(format!(
                "{id} was never given to this account"
            ))),
        }
    }
}

fn check_count(count: usize) -> Result<(), Error> {
    if count == 0 || count > SUBMIT_MAX {
        let problem = format!("1 to {SUBMIT_MAX} tasks are taken at a time, these are {count}");
        return Err(Error::BadRequest {
            field: "tasks",
            problem,
        });
    }
    Ok(())
}

fn check_key(key: Option<&str>) -> Result<(), Error> {
    match key {
        Some(key) if key.is_empty() || key.len() > IDEMPOTENCY_KEY_MAX_BYTES => {
            let problem = format!("has 1 to {IDEMPOTENCY_KEY_MAX_BYTES} bytes");
            Err(Error::BadRequest {
                field: "Idempotency-Key",
                problem,
            })
        }
        Some(_) | None => Ok(()),
    }
}

/// Tells a repeated request from another one under the same key.
fn digest(actions: &[Action]) -> Result<Digest, Error> {
    let text = serde_json::to_vec(actions).map_err(|error| Error::Host(error.to_string()))?;
    Ok(Digest::of(&text))
}
