//! Tasks from the queue: asked for, taken by the client, ended.

use bytes::Bytes;

use super::{
    Error, Reply, Service,
    deliver::{Reporter, Settling},
    measured::{note_ended, note_made},
    turn::Turn,
};
use crate::domain::{
    AccountId, Action, Alarm, ClientKind, Digest, Event, EventKey, HandlerName, Happening, LoginId,
    Millis, Task, TaskId, TaskState,
    ports::{Commit, Enqueue, Enqueued, LoginChange, TaskFilter},
    task::{Delivery, Origin, TRIES_MAX},
};

/// How many tasks one request may ask for.
pub const SUBMIT_MAX: usize = 100;
/// How many tasks may wait for one account's client. A client that is gone for
/// long is not worth more, and the store is not for hoarding.
pub const QUEUE_MAX: usize = 10_000;
/// The longest idempotency key, in bytes.
pub const IDEMPOTENCY_KEY_MAX_BYTES: usize = 256;
/// How many tasks that are of no use any more are ended while the client waits
/// for its next one. Their alarms end the rest.
const EXPIRED_AT_ONCE: usize = 8;

/// When a bot is told that could not be called when its task ended, in ms.
const TELL_AGAIN_MS: u64 = 30_000;

/// How long after the last call of a task its end is written, in ms: a store that
/// fails is tried a few times.
const TOLD_WITHIN_MS: u64 = 60_000;

/// Why a task is unknown whose result did not come.
const NO_RESULT: &str = "the client did not tell how it went";
/// Why a task is handed out once more.
const NO_RESULT_YET: &str = "the client did not tell how it went: it is handed out again";
/// Why a task has expired.
const TOO_LATE: &str = "no client took it in time";

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

/// How a task ended, in its client's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// It failed, and why.
    Failed(String),
    /// The client does not tell, and why.
    Unknown(String),
}

impl Outcome {
    fn parts(self) -> (TaskState, Option<String>) {
        match self {
            Self::Done => (TaskState::Done, None),
            Self::Failed(reason) => (TaskState::Failed, Some(reason)),
            Self::Unknown(reason) => (TaskState::Unknown, Some(reason)),
        }
    }
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
        self.check_ready()?;
        let account = self.account(id).await?;
        check_count(submission.actions.len())?;
        check_key(submission.idempotency_key.as_deref())?;
        for action in &submission.actions {
            (self.0.check)(account.client, action)?;
        }
        self.check_queue(id, submission.actions.len()).await?;
        let request = digest(&submission)?;
        let now_ms = self.0.store.now();
        let tasks = self.new_tasks(id, &submission, now_ms);
        let mut commit = Commit {
            tasks,
            ..Commit::default()
        };
        self.await_outcomes(id, &mut commit, now_ms).await?;
        let enqueue = Enqueue {
            idempotency_key: submission.idempotency_key,
            request,
            tasks: commit.tasks.clone(),
            files: commit.files,
            alarms: commit.alarms,
        };
        let tasks = commit.tasks;
        match self.0.store.enqueue(id, enqueue).await? {
            Enqueued::Ok => {
                note_made(&tasks);
                self.0.links.wake(id);
                Ok((tasks, false))
            }
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
        self.check_queue_below(QUEUE_MAX, "tasks", id, more).await
    }

    /// Refuses when so many more would make the account's queue longer than this, which
    /// such tasks may fill.
    pub(super) async fn check_queue_below(
        &self,
        max: usize,
        such: &str,
        id: &AccountId,
        more: usize,
    ) -> Result<(), Error> {
        if more == 0 {
            return Ok(());
        }
        let waiting = self.0.store.queued(id, max).await?;
        if waiting + more > max {
            let reason = format!(
                "{waiting} tasks wait for {id}, {such} may fill its queue up to {max}: its \
                 client takes none"
            );
            return Err(Error::Busy { reason });
        }
        Ok(())
    }

    fn new_tasks(&self, account: &AccountId, asked: &Submission, now_ms: Millis) -> Vec<Task> {
        let expires_ms = asked.expires_in_ms.map(|ms| now_ms.saturating_add(ms));
        let new = |action: &Action| Task {
            delivery: asked.delivery,
            expires_ms,
            ..Task::queued(self.new_id(account), action.clone(), Origin::Api, now_ms)
        };
        asked.actions.iter().map(new).collect()
    }

    /// The id of a new task.
    pub(super) fn new_id(&self, account: &AccountId) -> TaskId {
        TaskId {
            account: account.clone(),
            number: self.0.store.reserve(1),
        }
    }

    /// Adds what the new tasks of a commit need besides: their files are awaited,
    /// and those that can expire are looked at by then.
    pub(super) async fn await_outcomes(
        &self,
        account: &AccountId,
        commit: &mut Commit,
        now_ms: Millis,
    ) -> Result<(), Error> {
        for task in &commit.tasks {
            if let Some(at_ms) = task.expires_ms {
                commit.alarms.push((at_ms, Alarm::Task(task.id.clone())));
            }
        }
        self.ask_for_files(account, commit, now_ms).await
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
        let (service, id) = (self.clone(), id.clone());
        self.detached(async move {
            let mut turn = service.turn(&id.account).await?;
            let mut task = service.task(&id).await?;
            if task.state != TaskState::Queued {
                let state = task.state.as_str();
                let problem = format!("only what is queued can be called off: {id} is {state}");
                return Err(Error::Conflict(problem));
            }
            let reason = Some("called off".to_owned());
            task.end(TaskState::Cancelled, reason, service.0.store.now());
            service.ended(&mut turn, task.clone(), Bytes::new()).await?;
            Ok(task)
        })
        .await
    }

    /// Hands the next queued task to the account's client, when the pace allows
    /// it. It is handed out before the client has it: one that gets lost on the way
    /// is not repeated.
    pub async fn next_task(&self, account: &AccountId, reporter: &Reporter) -> Result<Next, Error> {
        self.heard(account);
        // Clients ask every few seconds: most of the time this is all.
        if self.0.store.next_queued(account).await?.is_none() {
            return Ok(Next::Nothing);
        }
        let (service, account) = (self.clone(), account.clone());
        let client_session = reporter.client_session.clone();
        self.detached(async move { service.next_in_turn(&account, &client_session).await })
            .await
    }

    async fn next_in_turn(&self, account: &AccountId, client_session: &str) -> Result<Next, Error> {
        let mut turn = self.turn(account).await?;
        let session = turn.account.as_ref().and_then(|it| it.session.as_ref());
        // A process that was replaced, or has said goodbye, gets no more work.
        if !session.is_some_and(|it| it.may_be_of("", client_session)) {
            return Ok(Next::Nothing);
        }
        for _ in 0..EXPIRED_AT_ONCE {
            let Some(task) = self.0.store.next_queued(account).await? else {
                return Ok(Next::Nothing);
            };
            let now_ms = self.0.store.now();
            if task.expires_ms.is_some_and(|at| at <= now_ms) {
                self.expired(&mut turn, task, now_ms).await?;
                continue;
            }
            match self.may_send(&mut turn, &task.action, now_ms) {
                0 => return self.hand_out(&mut turn, task, now_ms).await,
                wait_ms => return Ok(Next::Wait(wait_ms)),
            }
        }
        Ok(Next::Wait(1))
    }

    async fn hand_out(
        &self,
        turn: &mut Turn,
        mut task: Task,
        now_ms: Millis,
    ) -> Result<Next, Error> {
        let login = match &task.action {
            Action::StartLogin { login } => match self.dispatch(login, now_ms).await? {
                Some(change) => Some(change),
                None => {
                    let reason = Some("the login waits for it no longer".to_owned());
                    task.end(TaskState::Cancelled, reason, now_ms);
                    self.ended(turn, task, Bytes::new()).await?;
                    return Ok(Next::Wait(1));
                }
            },
            _ => None,
        };
        task.hand_out(now_ms);
        let due_ms = now_ms.saturating_add(self.result_ms(turn, &task.action));
        let commit = Commit {
            alarms: vec![(due_ms, Alarm::Task(task.id.clone()))],
            tasks: vec![task.clone()],
            login,
            ..Commit::default()
        };
        self.commit(turn, &task.id.account, commit.into()).await?;
        Ok(Next::Task(Box::new(task)))
    }

    /// How long the client may take to tell how a task went. The host itself carries
    /// out those of Openwx clients, call by call, and knows each call's limit: before
    /// they are over, nothing is unknown.
    fn result_ms(&self, turn: &Turn, action: &Action) -> Millis {
        let policies = &self.0.policies;
        let kind = turn.account.as_ref().map(|account| account.client);
        let calls_ms = match kind {
            Some(ClientKind::Openwx) => (action.calls_max() as u64)
                .saturating_mul(policies.clients.slow_answer_ms)
                .saturating_add(TOLD_WITHIN_MS),
            Some(ClientKind::Wehub) | None => 0,
        };
        policies.tasks.result_ms.max(calls_ms)
    }

    /// A task that was handed out did not reach its client whole: it waits in the
    /// queue as before, for whoever asks next. Not the login by QR code, which its
    /// agent has begun as far as the login knows: its deadline ends it.
    pub async fn not_delivered(&self, task: &Task) -> Result<(), Error> {
        if task.is_urgent() {
            return Ok(());
        }
        let (service, id, tries) = (self.clone(), task.id.clone(), task.tries);
        self.detached(async move { service.take_back(&id, tries).await })
            .await
    }

    /// Unless something else has become of it since this try.
    async fn take_back(&self, id: &TaskId, tries: u32) -> Result<(), Error> {
        let turn = self.turn(&id.account).await?;
        let mut task = self.task(id).await?;
        if task.state != TaskState::HandedOut || task.tries != tries {
            return Ok(());
        }
        task.take_back();
        self.put_task(&turn, task, Box::default()).await
    }

    /// A task's time may be up: for waiting in the queue, or for its result.
    pub(super) async fn task_overdue(&self, id: &TaskId) -> Result<(), Error> {
        let mut turn = self.turn(&id.account).await?;
        let Some(mut task) = self.0.store.task(id).await? else {
            return Ok(());
        };
        let now_ms = self.0.store.now();
        let over = |at: Option<Millis>| at.is_some_and(|at| at <= now_ms);
        let result_ms = self.result_ms(&turn, &task.action);
        let due_ms = task.handed_out_ms.map(|at| at.saturating_add(result_ms));
        match task.state {
            TaskState::Queued if over(task.expires_ms) => {
                self.expired(&mut turn, task, now_ms).await
            }
            TaskState::HandedOut if over(due_ms) => {
                if task.delivery == Delivery::AtLeastOnce && task.tries < TRIES_MAX {
                    return self.queue_again(&turn, task).await;
                }
                task.end(TaskState::Unknown, Some(NO_RESULT.to_owned()), now_ms);
                self.ended(&mut turn, task, Bytes::new()).await
            }
            // The bot could not be told by then.
            state if state.is_final() => self.tell_bot_once(&mut turn, task).await,
            _ => Ok(()),
        }
    }

    async fn queue_again(&self, turn: &Turn, mut task: Task) -> Result<(), Error> {
        task.state = TaskState::Queued;
        task.reason = Some(NO_RESULT_YET.to_owned());
        let account = task.id.account.clone();
        let commit = Commit {
            tasks: vec![task],
            ..Commit::default()
        };
        self.commit(turn, &account, commit.into()).await?;
        self.0.links.wake(&account);
        Ok(())
    }

    async fn expired(&self, turn: &mut Turn, mut task: Task, now_ms: Millis) -> Result<(), Error> {
        task.end(TaskState::Expired, Some(TOO_LATE.to_owned()), now_ms);
        self.ended(turn, task, Bytes::new()).await
    }

    /// The client tells how a task ended. The bot that asked for it is told; the
    /// tasks that it asks for then are queued.
    pub async fn report_result(
        &self,
        account: AccountId,
        task: TaskId,
        outcome: Outcome,
        raw: Bytes,
    ) -> Result<(), Error> {
        let service = self.clone();
        self.detached(async move {
            service
                .report_result_in_turn(account, task, outcome, raw)
                .await
        })
        .await
    }

    async fn report_result_in_turn(
        &self,
        account: AccountId,
        id: TaskId,
        outcome: Outcome,
        raw: Bytes,
    ) -> Result<(), Error> {
        let mut turn = self.turn(&account).await?;
        self.heard(&account);
        let mut task = self.awaiting_result(&account, &id).await?;
        let late = task.state == TaskState::Unknown;
        let (state, reason) = outcome.parts();
        task.end(state, reason, self.0.store.now());
        if late {
            // Whoever asked for it was told that it is unknown.
            return self.put_task(&turn, task, Box::default()).await;
        }
        self.ended(&mut turn, task, raw).await
    }

    /// Writes a task that has ended, and tells whoever asked for it.
    pub(super) async fn ended(&self, turn: &mut Turn, task: Task, raw: Bytes) -> Result<(), Error> {
        let (action, state) = (task.action.name(), task.state);
        self.write_ended(turn, task, raw).await?;
        note_ended(action, state);
        Ok(())
    }

    async fn write_ended(&self, turn: &mut Turn, task: Task, raw: Bytes) -> Result<(), Error> {
        match &task.origin {
            Origin::Api | Origin::Endpoint { .. } => {
                self.put_task(turn, task, Box::default()).await
            }
            Origin::Login(login) => {
                let login = self.agent_failed(login, &task).await?;
                let also = Commit {
                    login,
                    ..Commit::default()
                };
                self.put_task(turn, task, also.into()).await
            }
            Origin::Bot { handler, .. } => {
                let handler = handler.clone();
                match self.tell_bot(turn, &task, handler, true, raw).await {
                    Err(Error::Busy { .. } | Error::Host(_)) => self.tell_later(turn, task).await,
                    told => told,
                }
            }
        }
    }

    /// A task has ended whether its bot can be told or not: it is told later.
    async fn tell_later(&self, turn: &Turn, task: Task) -> Result<(), Error> {
        let at_ms = self.0.store.now().saturating_add(TELL_AGAIN_MS);
        let also = Commit {
            alarms: vec![(at_ms, Alarm::Task(task.id.clone()))],
            ..Commit::default()
        };
        self.put_task(turn, task, also.into()).await
    }

    /// Tells the bot of a task that has ended, unless it was told.
    async fn tell_bot_once(&self, turn: &mut Turn, task: Task) -> Result<(), Error> {
        let Origin::Bot { handler, .. } = &task.origin else {
            return Ok(());
        };
        let key = ended_key(&task);
        let told = self.0.store.event(&task.id.account, &key);
        if task.went_with_an_answer() || told.await?.is_some() {
            return Ok(());
        }
        let handler = handler.clone();
        self.tell_bot(turn, &task, handler, false, Bytes::new())
            .await
    }

    async fn put_task(&self, turn: &Turn, task: Task, mut also: Box<Commit>) -> Result<(), Error> {
        let account = task.id.account.clone();
        also.tasks.push(task);
        self.commit(turn, &account, also).await.map(drop)
    }

    /// Tells the bot that asked for a task how it ended, and, if that is to be
    /// written too, writes it in the same commit.
    async fn tell_bot(
        &self,
        turn: &mut Turn,
        task: &Task,
        handler: HandlerName,
        write: bool,
        raw: Bytes,
    ) -> Result<(), Error> {
        let client = turn
            .account
            .as_ref()
            .map_or(ClientKind::Wehub, |it| it.client);
        let event = Event {
            key: ended_key(task),
            account: task.id.account.clone(),
            at_ms: self.0.store.now(),
            what: Happening::TaskEnded {
                task: task.id.clone(),
                state: task.state,
                reason: task.reason.clone(),
            },
            facts: Vec::new(),
            raw,
        };
        let settling = Settling {
            event,
            client,
            repeats_within: None,
            reply: Reply::Queue,
            only: Some(handler),
            also: Box::new(Commit {
                tasks: write.then(|| task.clone()).into_iter().collect(),
                ..Commit::default()
            }),
        };
        self.settle(turn, settling).await.map(drop)
    }

    /// A task of this account whose result can be told: one that the client has,
    /// or had before its time was up.
    async fn awaiting_result(&self, account: &AccountId, id: &TaskId) -> Result<Task, Error> {
        // Another account's task is as unknown as one that never was.
        let task = match id.account == *account {
            true => self.0.store.task(id).await?,
            false => None,
        };
        let Some(task) = task else {
            return Err(Error::WrongTask(format!(
                "{id} was never given to this account"
            )));
        };
        match task.state {
            TaskState::HandedOut => Ok(task),
            TaskState::Queued if task.tries > 0 => Ok(task),
            // Its time was up, which is no reason not to know better.
            TaskState::Unknown if task.tries > 0 => Ok(task),
            TaskState::Queued => Err(Error::WrongTask(format!("{id} was not handed out yet"))),
            state => Err(Error::WrongTask(format!(
                "{id} has ended before as {}",
                state.as_str()
            ))),
        }
    }

    /// The login as it is when the agent's client takes its task; none when it does
    /// not wait for that.
    async fn dispatch(&self, id: &LoginId, now_ms: Millis) -> Result<Option<LoginChange>, Error> {
        let Some(mut login) = self.0.store.login(id).await? else {
            return Ok(None);
        };
        Ok(login.dispatched(now_ms).then(|| self.change_of(login)))
    }
}

/// The key of the event that a task has ended.
fn ended_key(task: &Task) -> EventKey {
    EventKey::new(&format!("task-ended-{}", task.id.number.0))
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
fn digest(asked: &Submission) -> Result<Digest, Error> {
    let all = (&asked.actions, asked.delivery, asked.expires_in_ms);
    let text = serde_json::to_vec(&all).map_err(|error| Error::Host(error.to_string()))?;
    Ok(Digest::of(&text))
}
