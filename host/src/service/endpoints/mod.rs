//! Endpoints: who may ask them, and what becomes of what they ask for.
//!
//! What an endpoint asked for before it answered is durable before its client gets the
//! answer; what it asked for after that, once it has returned. Nothing of a call that
//! failed is kept that is not by then.
//!
//! What a client does says nothing of a version: a call that ends by its client, or waits
//! for it at a deadline, is counted and not judged.

mod failures;
mod token;

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::BoxFuture;

pub(super) use self::{failures::Failures, token::first_token};
use super::{
    Error, Service,
    error::failure_of,
    measured::{LOST, note_call, note_made, note_uncalled},
    tasks::QUEUE_MAX,
};
use crate::domain::{
    AccountId, Action, Deployment, Digest, FailureKind, HandlerName, Task, TaskId, TaskNumber,
    endpoint,
    ports::{
        CallError, Commit, Committed, EndpointEffects, Enqueue, Enqueued, Visit, VisitEnd,
        VisitError, Visited,
    },
    task::Origin,
};

/// Endpoints add to an account's queue up to this many tasks that wait in it: whoever may
/// ask one could else fill it, and the account's own bot would find no room.
const QUEUED_MAX: usize = 1_000;
const _: () = assert!(QUEUED_MAX * 2 <= QUEUE_MAX);
/// The outcome of a visit that its client ended, or that waited for its client when its
/// time was over.
const BY_CLIENT: &str = "client";
/// The outcome of a visit that the host's end ended.
const ENDING: &str = "ending";

/// An endpoint that somebody wants to ask.
#[derive(Debug, Clone)]
pub struct Entrance {
    deployment: Arc<Deployment>,
    token: Option<Digest>,
}

impl Entrance {
    /// Whether anybody may ask it.
    pub fn is_public(&self) -> bool {
        self.deployment.version.manifest.public
    }

    /// Whether this is its token. Takes the same time whatever differs.
    pub fn admits(&self, token: &str) -> bool {
        self.token.is_some_and(|digest| token::is(digest, token))
    }
}

/// A request that an endpoint was asked.
#[derive(Debug, Clone)]
struct Asked {
    deployment: Arc<Deployment>,
    /// Its name in failures and logs: requests have none of their own.
    request: String,
}

/// Why what an endpoint asked for is not durable, or not all of it.
struct NotKept {
    outcome: &'static str,
    error: Error,
}

impl NotKept {
    /// Something was durable before: nobody may take it for undone.
    fn half_done(self) -> Self {
        Self {
            error: Error::HalfDone,
            ..self
        }
    }
}

impl From<Error> for NotKept {
    fn from(error: Error) -> Self {
        let outcome = match error {
            Error::Busy { .. } => "busy",
            _ => "store",
        };
        Self { outcome, error }
    }
}

/// Counts a visit whose client leaves before it has an answer.
struct Unanswered<'a>(Option<&'a Deployment>);

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(deployment) = self.0 {
            note_call(deployment, BY_CLIENT, None);
        }
    }
}

impl Service {
    /// The endpoint of this name. What is no endpoint looks like what is not there.
    pub fn endpoint(&self, name: &HandlerName) -> Result<Entrance, Error> {
        let deployed = self.0.catalogue.now();
        let entry = deployed.handlers.get(name);
        let entry = entry.filter(|entry| entry.handler.is_endpoint());
        let entry = entry.ok_or_else(|| Error::not_found("endpoint", name))?;
        Ok(Entrance {
            deployment: Arc::clone(entry.deployment_for_request()),
            token: entry.handler.token,
        })
    }

    /// Has an endpoint answer. Dropping the future, or the response's body before its
    /// end, ends the call.
    pub async fn visit(
        &self,
        entrance: &Entrance,
        request: endpoint::Request,
    ) -> Result<endpoint::Response, Error> {
        self.check_ready()?;
        let asked = self.asked(Arc::clone(&entrance.deployment));
        let visit = Visit {
            endpoint: Arc::clone(&asked.deployment),
            request,
            ending: self.0.ending.clone(),
        };
        let mut unanswered = Unanswered(Some(&asked.deployment));
        let visited = self.0.runtime.visit(visit).await;
        unanswered.0 = None;
        drop(unanswered);
        let visited = match visited {
            Ok(visited) => visited,
            Err(error) => return Err(self.unanswered(&asked, error)),
        };
        let service = self.clone();
        self.detached(async move { service.answer(asked, visited).await })
            .await
    }

    fn asked(&self, deployment: Arc<Deployment>) -> Asked {
        // Numbers that rise over the life of the store.
        let TaskNumber(number) = self.0.store.reserve(1);
        Asked {
            deployment,
            request: format!("request-{number}"),
        }
    }

    /// Makes durable what was asked for; only then the answer holds.
    async fn answer(&self, asked: Asked, visited: Visited) -> Result<endpoint::Response, Error> {
        let Visited {
            response,
            effects,
            go_on,
            rest,
        } = visited;
        if let Err(NotKept { outcome, error }) = self.keep_asked(&asked, effects).await {
            note_call(&asked.deployment, outcome, None);
            return Err(error);
        }
        go_on();
        let service = self.clone();
        self.0
            .calls
            .spawn(async move { service.see_to_the_rest(&asked, rest).await });
        Ok(response)
    }

    async fn see_to_the_rest(&self, asked: &Asked, rest: BoxFuture<'static, VisitEnd>) {
        let deployment = &asked.deployment;
        match rest.await {
            VisitEnd::Well(effects, used) => {
                let outcome = match self.keep_asked(asked, effects).await {
                    Ok(()) => "ok",
                    Err(NotKept { outcome, error }) => {
                        tracing::warn!(
                            handler = %deployment.handler, %error,
                            "what an endpoint asked for after it had answered is lost"
                        );
                        outcome
                    }
                };
                note_call(deployment, outcome, Some(&used));
                self.judge(deployment, false);
            }
            VisitEnd::Failed(failure) => {
                self.judge(deployment, true);
                self.note_failure(asked, *failure);
            }
            VisitEnd::ByClient => note_call(deployment, BY_CLIENT, None),
            VisitEnd::Ending => note_call(deployment, ENDING, None),
        }
    }

    /// Why a client gets no answer. What the guest said is for those who run it.
    fn unanswered(&self, asked: &Asked, error: VisitError) -> Error {
        let (outcome, error) = match error {
            VisitError::Call(error) => return self.uncalled(asked, error),
            VisitError::BodyTooLarge(bytes) => (BY_CLIENT, Error::BodyTooLarge(bytes)),
            VisitError::BodyTooSlow(ms, setting) => (BY_CLIENT, Error::BodyTooSlow(ms, setting)),
            VisitError::BodyBroken => {
                let problem = "it broke off".to_owned();
                let field = "body";
                (BY_CLIENT, Error::BadRequest { field, problem })
            }
            VisitError::Ending => (ENDING, Error::Draining),
        };
        note_call(&asked.deployment, outcome, None);
        error
    }

    fn uncalled(&self, asked: &Asked, error: CallError) -> Error {
        note_uncalled(&asked.deployment, &error);
        let failure = match failure_of(error) {
            Ok(failure) => failure,
            Err(error) => return error,
        };
        let name = asked.deployment.handler.clone();
        let late = failure.kind == FailureKind::WallClock;
        self.judge(&asked.deployment, true);
        self.note_failure(asked, failure);
        match late {
            true => Error::EndpointLate(name),
            false => Error::EndpointFailed(name),
        }
    }

    /// Makes durable what an endpoint asked for: first its writes, which may come to
    /// nothing, then its tasks, account by account.
    async fn keep_asked(&self, asked: &Asked, effects: EndpointEffects) -> Result<(), NotKept> {
        let EndpointEffects {
            tasks,
            shared,
            lines,
        } = effects;
        self.log_question(&asked.deployment, &asked.request, lines);
        let tasks = by_account(tasks);
        for (account, tasks) in &tasks {
            let for_whom = "endpoints' tasks";
            self.check_queue_below(QUEUED_MAX, for_whom, account, tasks.len())
                .await?;
        }
        let mut is_begun = false;
        if let Some(shared) = shared {
            let commit = Commit {
                shared: Some(shared),
                ..Commit::default()
            };
            self.commit_shared(commit).await?;
            is_begun = true;
        }
        for (account, tasks) in tasks {
            let queued = self.queue_for(&asked.deployment.handler, account, tasks);
            if let Err(error) = queued.await {
                let not_kept = NotKept::from(error);
                if !is_begun {
                    return Err(not_kept);
                }
                tracing::error!(
                    handler = %asked.deployment.handler, request = asked.request,
                    error = %not_kept.error,
                    "a part of what a request to an endpoint asked for is done, not the rest"
                );
                return Err(not_kept.half_done());
            }
            is_begun = true;
        }
        Ok(())
    }

    /// Makes an endpoint's writes durable, unless what it had read is another by now.
    async fn commit_shared(&self, commit: Commit) -> Result<(), NotKept> {
        match self.commit_as(AccountId::endpoint(), commit).await? {
            true => Ok(()),
            false => Err(NotKept {
                outcome: LOST,
                error: Error::Busy {
                    reason: "another request changed what this one had read in the endpoint's \
                             bucket: make it again"
                        .to_owned(),
                },
            }),
        }
    }

    /// Commits under a name that no account has; not if a shared bucket has moved. Several
    /// of these at once are no harm: each is decided on top of the one before.
    async fn commit_as(&self, nobody: AccountId, commit: Commit) -> Result<bool, Error> {
        let store = &self.0.store;
        let epoch = store.own(&nobody, false).await?;
        match store.commit(&nobody, epoch, commit.into()).await? {
            Committed::Ok => Ok(true),
            Committed::SharedMoved => Ok(false),
            Committed::Duplicate(_) | Committed::Fenced | Committed::LoginMoved => {
                let problem = "another host writes for the endpoints".to_owned();
                Err(Error::Host(problem))
            }
        }
    }

    /// Queues one account's tasks, all or none.
    async fn queue_for(
        &self,
        handler: &HandlerName,
        account: AccountId,
        tasks: Vec<(TaskId, Action)>,
    ) -> Result<(), Error> {
        let now_ms = self.0.store.now();
        let origin = || Origin::Endpoint {
            handler: handler.clone(),
        };
        let task = |(id, action)| Task::queued(id, action, origin(), now_ms);
        let mut commit = Commit {
            tasks: tasks.into_iter().map(task).collect(),
            ..Commit::default()
        };
        self.await_outcomes(&account, &mut commit, now_ms).await?;
        let enqueue = Enqueue {
            idempotency_key: None,
            request: Digest::of(b""),
            tasks: commit.tasks,
            files: commit.files,
            alarms: commit.alarms,
        };
        let made = enqueue.tasks.clone();
        match self.0.store.enqueue(&account, enqueue).await? {
            Enqueued::Ok => {
                note_made(&made);
                self.0.links.wake(&account);
                Ok(())
            }
            // There is no key that could have been used.
            Enqueued::Duplicate(_) | Enqueued::KeyReused => Err(Error::KeyReused),
        }
    }
}

fn by_account(tasks: Vec<(TaskId, Action)>) -> BTreeMap<AccountId, Vec<(TaskId, Action)>> {
    let mut sorted: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (id, action) in tasks {
        let account = id.account.clone();
        sorted.entry(account).or_default().push((id, action));
    }
    sorted
}
