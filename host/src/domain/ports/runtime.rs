//! What runs bots.

use std::{collections::HashSet, fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::store::{KeyValueWrite, SharedChange, StoreError};
use crate::domain::{
    Account, AccountId, Action, ClientKind, Digest, Event, TaskId, TaskNumber, TimerChange,
    callback::{Question, Verdict},
    endpoint,
    handler::{Deployment, FailureKind, LimitsInForce, Line, Used},
};

/// What a component is, as found on deploy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// The world it was built for.
    pub world: String,
    /// What it imports, sorted.
    pub imports: Vec<String>,
    /// How long compiling took, in ms; 0 when it had been compiled before.
    pub compile_ms: u64,
}

/// Components that are of use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InUse {
    /// Those that serve.
    pub serving: HashSet<Digest>,
    /// Those that may serve again, and those that serve.
    pub kept: HashSet<Digest>,
}

/// Why a component can't be deployed. The text is for the bot's author.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ComponentError {
    /// The bytes are no component that this host runs, and why.
    #[error("{0}")]
    Unfit(String),
    /// The component is fit, but the host failed to take it in.
    #[error("the host could not take the component in: {0}")]
    Host(String),
    /// Other components are being compiled: trying again later helps.
    #[error("{0}")]
    Busy(String),
}

/// One call of a bot.
#[derive(Debug, Clone)]
pub struct Call {
    /// Which bot, with its configuration.
    pub bot: Arc<Deployment>,
    /// The kind of client that drives the account.
    pub client: ClientKind,
    /// The account, when it has logged in before.
    pub me: Option<Arc<Account>>,
    /// What happened.
    pub event: Arc<Event>,
    /// Whether it is tried out only: nothing that can't be undone is done for it.
    pub is_trial: bool,
}

/// What a bot asked for during a call that succeeded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effects {
    /// Tasks in order: number and action. Each was checked against the client.
    pub tasks: Vec<(TaskNumber, Action)>,
    /// Writes to its store, one per key.
    pub key_values: Vec<KeyValueWrite>,
    /// Changes of its timers, one per name.
    pub timers: Vec<TimerChange>,
    /// What it read in the bucket that the handler's accounts share, and writes to it;
    /// none when it did neither.
    pub shared: Option<SharedChange>,
    /// The end of what it logged or printed, as text.
    pub output: String,
    /// All of it that there was room for, line by line.
    pub lines: Vec<Line>,
    /// What the call used.
    pub used: Used,
}

/// One question to a component that decides about the callback.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Which component, with its configuration.
    pub component: Arc<Deployment>,
    /// What is asked.
    pub question: Question,
}

/// What a component decided. Nothing of it holds before its writes are durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The verdict, of the same case as the question, and checked.
    pub verdict: Verdict,
    /// Writes to its store, one per key.
    pub key_values: Vec<KeyValueWrite>,
    /// The end of what it logged or printed, as text.
    pub output: String,
    /// All of it that there was room for, line by line.
    pub lines: Vec<Line>,
    /// What the call used.
    pub used: Used,
}

/// One request to an endpoint.
#[derive(Debug)]
pub struct Visit {
    /// Which endpoint, with its configuration.
    pub endpoint: Arc<Deployment>,
    /// The request as the guest gets it.
    pub request: endpoint::Request,
    /// Ends the call when its client has gone.
    pub gone: CancellationToken,
    /// Ends the call when the host ends.
    pub ending: CancellationToken,
}

/// What a call leaves that came to its end before it was over, by no fault of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CutShort {
    /// What the endpoint said that was not told before, line by line.
    pub lines: Vec<Line>,
    /// What the call used.
    pub used: Used,
}

/// What an endpoint has answered, while its response goes on.
pub struct Visited {
    /// The response. Dropping its body before its end ends the call; a call that fails
    /// breaks it off.
    pub response: endpoint::Response,
    /// What the endpoint asked for before it answered. The response holds only once that
    /// is durable.
    pub effects: EndpointEffects,
    /// Lets the endpoint go on, once what it asked for is durable. Dropping it ends the
    /// call.
    pub go_on: Box<dyn FnOnce() + Send>,
    /// The rest of the call.
    pub rest: BoxFuture<'static, VisitEnd>,
}

/// How the call of an endpoint ended that had answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VisitEnd {
    /// As it should: what the endpoint asked for since it answered, and what it used in
    /// all.
    Well(EndpointEffects, Used),
    /// The endpoint failed, or the host did.
    Failed(Box<CallFailure>),
    /// By its client, which left, kept it waiting or sent too much. It says nothing of
    /// the endpoint.
    ByClient(CutShort),
    /// The host ends.
    Ending(CutShort),
}

/// What an endpoint asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointEffects {
    /// Tasks in order, of any account that it may act for. Each was checked against the
    /// account's client.
    pub tasks: Vec<(TaskId, Action)>,
    /// What it read in its handler's bucket and writes to it; none when it did neither.
    pub shared: Option<SharedChange>,
    /// What it logged and printed, line by line.
    pub lines: Vec<Line>,
}

/// Why a request to an endpoint came to nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum VisitError {
    /// The endpoint failed, or could not be called.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Its client is at fault, or has gone.
    #[error("{0}")]
    ByClient(ClientFault, CutShort),
    /// The host is ending.
    #[error("the host is ending")]
    Ending(CutShort),
}

/// What clients do that ends a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientFault {
    /// It waits for the answer no more.
    #[error("the client has gone")]
    Gone,
    /// The request's body is longer than it may be.
    #[error("the body has more than {0} bytes (endpoints.request_bytes)")]
    BodyTooLarge(u64),
    /// The request's body does not come on, in so many ms that this setting allows.
    #[error("the body does not come on within {0} ms ({1})")]
    BodyTooSlow(u64, &'static str),
    /// The request's body broke off: its client is gone, or sends what is none.
    #[error("the body broke off")]
    BodyBroken,
}

/// A call that failed: nothing that was asked for happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallFailure {
    /// How.
    pub kind: FailureKind,
    /// What the guest or the engine said.
    pub message: String,
    /// The end of what the guest logged or printed, as text.
    pub output: String,
    /// All of it that there was room for, line by line.
    pub lines: Vec<Line>,
    /// What the call used.
    pub used: Used,
    /// What it was allowed to use; none where nothing was called.
    pub limits: Option<LimitsInForce>,
}

impl CallFailure {
    /// Of a call that said nothing and used nothing.
    pub fn new(kind: FailureKind, message: String) -> Self {
        Self {
            kind,
            message,
            output: String::new(),
            lines: Vec::new(),
            used: Used::default(),
            limits: None,
        }
    }
}

/// Why a call came to nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// The guest failed: this event is settled as failed.
    #[error("the component failed: {}", .0.message)]
    Failed(Box<CallFailure>),
    /// The host has no room for the call now: nothing ran, the event can come
    /// again.
    #[error("the host is busy: no room for another call within {waited_ms} ms")]
    Busy {
        /// How long it waited for room.
        waited_ms: u64,
    },
    /// The component could not be loaded when the host started, or was dropped:
    /// nothing ran, the event can come again.
    #[error("the component {0} is not loaded: deploy the handler again")]
    Unloaded(Digest),
    /// The store failed while the guest read from it: nothing of the call
    /// happened, the event can come again.
    #[error(transparent)]
    Store(StoreError),
}

/// Runs bots.
#[async_trait]
pub trait Runtime: Send + Sync + fmt::Debug {
    /// Compiles a component, checks that it fits a world of ours, links and starts,
    /// and keeps it. Compiling again is cheap.
    async fn take_in(&self, bytes: Bytes) -> Result<Component, ComponentError>;

    /// Calls it once with an event that asks for nothing. Whatever it does about it
    /// is dropped.
    async fn try_out(&self, deployment: Arc<Deployment>) -> Result<Used, CallError>;

    /// Makes a kept component ready to be called.
    async fn prepare(&self, digest: Digest) -> Result<(), ComponentError>;

    /// Drops components from memory that do not serve, and from disk that are not
    /// kept, unless they did at the time of the call before: an event may just have
    /// chosen its bot.
    async fn retain(&self, components: &InUse);

    /// Drops the instance that is kept for this account: its last call has not come to
    /// what the guest was told. A runtime that keeps none has nothing to do.
    fn forget_instance(&self, _: &AccountId) {}

    /// Drops each instance that is kept for an account which something else serves now,
    /// be it the same version with another configuration. A runtime that keeps none has
    /// nothing to do.
    fn forget_unserved(&self, _: &(dyn Fn(&AccountId) -> Option<Arc<Deployment>> + Sync)) {}

    /// Calls a bot within its limits: in a fresh instance, or in the one that was kept
    /// for the account, if its version asks for that.
    async fn call(&self, call: Call) -> Result<Effects, CallError>;

    /// Asks a component that decides about the callback, in a fresh instance,
    /// within the same limits.
    async fn ask(&self, ask: Ask) -> Result<Answer, CallError>;

    /// Has an endpoint answer a request, in a fresh instance. Returns with the head of
    /// the response; dropping the future before that ends the call.
    async fn visit(&self, visit: Visit) -> Result<Visited, VisitError> {
        // A runtime without endpoints.
        Err(CallError::Unloaded(visit.endpoint.version.digest).into())
    }
}
