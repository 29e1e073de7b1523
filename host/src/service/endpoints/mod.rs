//! Endpoints: who may ask them, and what becomes of what they ask for.
//!
//! What an endpoint asked for before it answered is durable before its client gets the
//! answer; what it asked for after that, once it has returned. Nothing of a call that
//! failed is kept that is not by then.

mod failures;
mod token;

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::BoxFuture;

pub(super) use self::{failures::Failures, token::first_token};
use super::{
    Error, Service,
    error::failure_of,
    measured::{note_call, note_made, note_uncalled},
};
use crate::domain::{
    AccountId, Action, Deployment, Digest, FailureKind, HandlerName, Task, TaskId, TaskNumber,
    endpoint,
    ports::{
        CallFailure, Commit, Committed, EndpointEffects, Enqueue, Enqueued, Visit, VisitError,
        Visited,
    },
    task::Origin,
};

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
        let visited = match self.0.runtime.visit(visit).await {
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
        self.keep_asked(&asked, effects).await?;
        go_on();
        let service = self.clone();
        self.0
            .calls
            .spawn(async move { service.see_to_the_rest(&asked, rest).await });
        Ok(response)
    }

    async fn see_to_the_rest(
        &self,
        asked: &Asked,
        rest: BoxFuture<'static, Result<EndpointEffects, Box<CallFailure>>>,
    ) {
        match rest.await {
            Ok(effects) => {
                if let Err(error) = self.keep_asked(asked, effects).await {
                    tracing::warn!(
                        handler = %asked.deployment.handler, %error,
                        "what an endpoint asked for after it had answered is lost"
                    );
                }
                note_call(&asked.deployment, "ok", None);
                self.judge(&asked.deployment, false);
            }
            Err(failure) => {
                self.judge(&asked.deployment, true);
                self.note_failure(asked, *failure);
            }
        }
    }

    /// Why a client gets no answer. What the guest said is for those who run it.
    fn unanswered(&self, asked: &Asked, error: VisitError) -> Error {
        let error = match error {
            VisitError::Call(error) => {
                note_uncalled(&asked.deployment, &error);
                error
            }
            VisitError::BodyTooLarge(bytes) => return Error::BodyTooLarge(bytes),
            VisitError::BodyTooSlow(ms) => return Error::BodyTooSlow(ms),
            VisitError::Ending => return Error::Draining,
        };
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
    async fn keep_asked(&self, asked: &Asked, effects: EndpointEffects) -> Result<(), Error> {
        let EndpointEffects {
            tasks,
            shared,
            lines,
        } = effects;
        self.log_question(&asked.deployment, &asked.request, lines);
        let tasks = by_account(tasks);
        for (account, tasks) in &tasks {
            self.check_queue(account, tasks.len()).await?;
        }
        if let Some(shared) = shared {
            let commit = Commit {
                shared: Some(shared),
                ..Commit::default()
            };
            self.commit_as(AccountId::endpoint(), commit).await?;
        }
        for (account, tasks) in tasks {
            self.queue_for(&asked.deployment.handler, account, tasks)
                .await?;
        }
        Ok(())
    }

    /// Commits under a name that no account has. Several of these at once are no harm:
    /// each is decided on top of the one before.
    async fn commit_as(&self, nobody: AccountId, commit: Commit) -> Result<(), Error> {
        let store = &self.0.store;
        let epoch = store.own(&nobody, false).await?;
        match store.commit(&nobody, epoch, commit).await? {
            Committed::Ok => Ok(()),
            Committed::SharedMoved => Err(Error::Busy {
                reason: "another request changed what this one had read in the endpoint's \
                         bucket: make it again"
                    .to_owned(),
            }),
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
