//! Questions about the callback itself: asked of the component that is bound to
//! it, one after the other.
//!
//! All of them share one key-value store, and what one wrote the next must read:
//! so there is one lock from asking to writing. A component that fails decides
//! nothing; what rules then is for the caller.

mod places;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Mutex, MutexGuard};

use self::places::Places;
use super::{
    Error, Service,
    deliver::over_the_limit,
    failures::{failure_log, kept_failure},
    measured::{note_call, note_uncalled},
};
use crate::domain::{
    AccountId, Deployment, FailureId, FailureKind, Login, LoginId,
    callback::{
        ActionAnswer, Exits, LoginAttempt, LoginDecision, LogoutNotice, Question, UnknownCall,
        Verdict,
    },
    ports::{Answer, Ask, CallError, CallFailure, Commit, Committed, Epoch, StoreError},
};

/// How long a question waits for those before it. With the time of the call itself
/// (15 s at most) and of what follows an admitted login, it stays near the 30 s
/// after which WeHub gives up.
const WAIT: Duration = Duration::from_secs(5);

/// What became of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked<T> {
    /// No component is bound to the callback.
    Nobody,
    /// The component decided this, and what it wrote is durable.
    Decided(T),
    /// The component failed. It was logged; nothing that it wrote is kept.
    Failed,
}

impl<T> Asked<T> {
    fn and_then<U>(self, as_asked: impl FnOnce(T) -> Option<U>) -> Asked<U> {
        match self {
            Self::Nobody => Asked::Nobody,
            Self::Decided(verdict) => match as_asked(verdict) {
                Some(verdict) => Asked::Decided(verdict),
                None => Asked::Failed,
            },
            Self::Failed => Asked::Failed,
        }
    }
}

/// Where questions are asked one after the other.
#[derive(Debug, Default)]
pub(super) struct Desk {
    held: Mutex<Held>,
    places: Places,
    failed: AtomicU64,
}

/// What is known while this host asks.
#[derive(Debug, Default)]
struct Held {
    /// The epoch under which this host writes; none before the first question.
    epoch: Option<Epoch>,
}

impl Service {
    /// Whether a component decides about the callback.
    pub fn has_callback(&self) -> bool {
        self.0.catalogue.now().callback().is_some()
    }

    /// How many questions the components bound to the callback failed at since the
    /// host started.
    pub fn callback_failures(&self) -> u64 {
        self.0.desk.failed.load(Ordering::Relaxed)
    }

    /// Decides whether an account may log in. Fills in what this host knows of the
    /// account and of the QR login that the attempt names.
    pub async fn decide_login(
        &self,
        attempt: LoginAttempt,
        qr_login: Option<LoginId>,
    ) -> Result<Asked<LoginDecision>, Error> {
        let Some(component) = self.callback_handler() else {
            return Ok(Asked::Nobody);
        };
        let service = self.clone();
        self.detached(async move {
            let attempt = service.informed(attempt, qr_login).await?;
            let asked = service.ask(component, Question::Login(attempt)).await?;
            Ok(asked.and_then(|verdict| match verdict {
                Verdict::Login(decision) => Some(decision),
                _ => None,
            }))
        })
        .await
    }

    /// Decides what ends after a logout; none for what the settings say.
    pub async fn decide_logout(&self, notice: LogoutNotice) -> Result<Asked<Option<Exits>>, Error> {
        let asked = self.decide(Question::Logout(notice)).await?;
        Ok(asked.and_then(|verdict| match verdict {
            Verdict::Logout(exits) => Some(exits),
            _ => None,
        }))
    }

    /// Decides what is answered to an unknown action; none for what happens
    /// without a component.
    pub async fn decide_unknown(
        &self,
        call: UnknownCall,
    ) -> Result<Asked<Option<ActionAnswer>>, Error> {
        let asked = self.decide(Question::UnknownAction(call)).await?;
        Ok(asked.and_then(|verdict| match verdict {
            Verdict::UnknownAction(answer) => Some(answer),
            _ => None,
        }))
    }

    async fn decide(&self, question: Question) -> Result<Asked<Verdict>, Error> {
        let Some(component) = self.callback_handler() else {
            return Ok(Asked::Nobody);
        };
        let service = self.clone();
        self.detached(async move { service.ask(component, question).await })
            .await
    }

    fn callback_handler(&self) -> Option<Arc<Deployment>> {
        self.0.catalogue.now().callback().cloned()
    }

    async fn informed(
        &self,
        mut attempt: LoginAttempt,
        qr_login: Option<LoginId>,
    ) -> Result<LoginAttempt, Error> {
        attempt.known = self.0.store.account(&attempt.account).await?.is_some();
        attempt.qr_session = match qr_login {
            Some(id) => {
                let login = self.0.store.login(&id).await?;
                login.is_some_and(|it| vouches(&it, &attempt.account))
            }
            None => false,
        };
        Ok(attempt)
    }

    /// Asks, and writes what the component wrote.
    async fn ask(
        &self,
        component: Arc<Deployment>,
        question: Question,
    ) -> Result<Asked<Verdict>, Error> {
        let (account, known) = asker(&question);
        let _place = self.0.desk.places.take(account, known)?;
        let mut held = self.0.desk.held().await?;
        let about = named(&question);
        let ask = Ask {
            component: Arc::clone(&component),
            question,
        };
        let asking = Asking {
            component: &component,
            about,
        };
        let asked = self.0.runtime.ask(ask).await;
        if let Err(error) = &asked {
            note_uncalled(&component, error);
        }
        match asked {
            Ok(answer) => self.keep(&mut held, &asking, answer).await,
            Err(CallError::Failed(failure)) => {
                note_call(&component, failure.kind.as_str(), Some(&failure.used));
                Ok(self.failed(&mut held, &asking, *failure).await)
            }
            Err(busy @ CallError::Busy { .. }) => Err(Error::Busy {
                reason: busy.to_string(),
            }),
            Err(unloaded @ CallError::Unloaded(_)) => {
                let failure = no_fault_of_its(unloaded.to_string());
                Ok(self.failed(&mut held, &asking, failure).await)
            }
            Err(CallError::Store(error)) => Err(error.into()),
        }
    }

    /// Makes the writes durable; only then the verdict holds.
    async fn keep(
        &self,
        held: &mut Held,
        asking: &Asking<'_>,
        answer: Answer,
    ) -> Result<Asked<Verdict>, Error> {
        let Answer {
            verdict,
            key_values,
            used,
            lines,
            ..
        } = answer;
        self.log_question(asking.component, &asking.about, lines);
        if key_values.is_empty() {
            note_call(asking.component, "ok", Some(&used));
            return Ok(Asked::Decided(verdict));
        }
        let commit = Commit {
            key_values,
            ..Commit::default()
        };
        match self.commit_held(held, commit).await {
            Ok(()) => {
                note_call(asking.component, "ok", Some(&used));
                Ok(Asked::Decided(verdict))
            }
            Err(Error::Store(error @ StoreError::TooLarge { .. })) => {
                note_call(asking.component, FailureKind::Effects.as_str(), Some(&used));
                let failure = over_the_limit(error.to_string());
                Ok(self.failed(held, asking, failure).await)
            }
            Err(error) => Err(error),
        }
    }

    async fn commit_held(&self, held: &mut Held, commit: Commit) -> Result<(), Error> {
        let (store, account) = (&self.0.store, AccountId::callback());
        let epoch = match held.epoch {
            Some(epoch) => epoch,
            None => *held.epoch.insert(store.own(&account, false).await?),
        };
        match store.commit(&account, epoch, commit.into()).await? {
            Committed::Ok => Ok(()),
            Committed::Duplicate(_)
            | Committed::Fenced
            | Committed::LoginMoved
            | Committed::SharedMoved => Err(Error::Host(
                "another host has taken over the callback's store".to_owned(),
            )),
        }
    }

    /// Keeps the failure. Where it can't be kept, the answer is the same.
    async fn failed(
        &self,
        held: &mut Held,
        asking: &Asking<'_>,
        mut failure: CallFailure,
    ) -> Asked<Verdict> {
        let Asking { component, about } = asking;
        let failures = self.0.desk.failed.fetch_add(1, Ordering::Relaxed) + 1;
        self.log_question(component, about, std::mem::take(&mut failure.lines));
        let now_ms = self.0.store.now();
        let failure = kept_failure(component, None, about.clone(), failure, now_ms);
        tracing::warn!(
            failure = failure.id.as_ref().map(FailureId::as_str),
            handler = %component.handler,
            kind = ?failure.kind,
            reason = failure.reason(),
            output = failure.output,
            failures,
            "the callback component failed and decides nothing: \
             wehub.callback_failure says what becomes of a login"
        );
        let log = failure_log(&failure);
        let commit = Commit {
            failure: Some(failure),
            ..Commit::default()
        };
        match self.commit_held(held, commit).await {
            Ok(()) => self.append_log(log),
            Err(error) => tracing::warn!(%error, "the failure could not be kept"),
        }
        Asked::Failed
    }
}

/// A question that is asked.
struct Asking<'a> {
    component: &'a Deployment,
    /// What it is called in logs and failures.
    about: String,
}

/// What a question is called: its kind and whom it is about, as keys of events are.
fn named(question: &Question) -> String {
    let kind = match question {
        Question::Login(_) => "login",
        Question::Logout(_) => "logout",
        Question::UnknownAction(_) => "unknown-action",
    };
    format!("{kind}-{}", asker(question).0)
}

/// Whom a question is about, and whether this host knows them. Only logins are
/// asked about before somebody has come in.
fn asker(question: &Question) -> (&AccountId, bool) {
    match question {
        Question::Login(attempt) => (&attempt.account, attempt.known),
        Question::Logout(notice) => (&notice.account, true),
        Question::UnknownAction(call) => (&call.account, true),
    }
}

/// Whether a QR login speaks for an account: it was asked for here, and waits for
/// somebody or has ended with this one. A name that was used is no pass for others.
fn vouches(login: &Login, account: &AccountId) -> bool {
    let waits_for_it = match &login.account {
        Some(winner) => winner == account,
        None => !login.state.is_final(),
    };
    waits_for_it && !login.foreign
}

fn no_fault_of_its(message: String) -> CallFailure {
    CallFailure::new(FailureKind::Host, message)
}

impl Desk {
    /// Waits for those who asked before.
    async fn held(&self) -> Result<MutexGuard<'_, Held>, Error> {
        if let Ok(held) = self.held.try_lock() {
            return Ok(held);
        }
        tokio::time::timeout(WAIT, self.held.lock())
            .await
            .map_err(|_| Error::Busy {
                reason: format!(
                    "the callback was asked too much to decide within {} s",
                    WAIT.as_secs()
                ),
            })
    }
}

#[cfg(test)]
mod tests;
