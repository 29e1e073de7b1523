//! What an endpoint is called for, and the moment when it answers.

use std::{future::Future, sync::Arc, time::Duration};

use hyper::Response;
use tokio::sync::oneshot;
use wasmtime::{
    StoreContextMut,
    component::{Linker, Resource},
};
use wasmtime_wasi_http::p2::{
    bindings::http::types::ErrorCode,
    body::HyperOutgoingBody,
    types::{HostOutgoingResponse, HostResponseOutparam},
};

use super::line::Line;
use crate::{
    domain::{
        AccountId, ClientKind, Deployment, Usage, endpoint::EndpointPolicy, handler::FailureKind,
        ports::EndpointEffects,
    },
    runtime::{
        Limits,
        buckets::Which,
        convert, requests,
        state::{Acts, CallState, Errand, Stopped},
    },
};

/// How a guest answers, as the crate links it.
const SET: &str = "[static]response-outparam.set";

/// A request that an endpoint answers.
pub struct EndpointErrand {
    endpoint: Arc<Deployment>,
    is_trial: bool,
    actor: Option<(AccountId, ClientKind)>,
    /// Stands for the account that it has not.
    nobody: AccountId,
    line: Arc<Line>,
    head: Option<oneshot::Sender<Head>>,
}

/// What a guest has answered, and asked for before that.
pub struct Head {
    pub response: Response<HyperOutgoingBody>,
    pub effects: EndpointEffects,
    /// Lets the guest go on.
    pub go_on: oneshot::Sender<()>,
}

impl EndpointErrand {
    pub fn new(
        endpoint: Arc<Deployment>,
        is_trial: bool,
        line: Arc<Line>,
        head: oneshot::Sender<Head>,
    ) -> Self {
        Self {
            endpoint,
            is_trial,
            actor: None,
            nobody: AccountId::endpoint(),
            line,
            head: Some(head),
        }
    }

    /// For a component that is only instantiated.
    pub fn nobodys() -> Self {
        let (head, _) = oneshot::channel();
        Self::new(convert::nameless(), true, Arc::default(), head)
    }

    /// Whether it has answered.
    pub fn has_answered(&self) -> bool {
        self.head.is_none()
    }

    /// From now on it acts for this account, or for nobody.
    pub fn acts_for(&mut self, actor: Option<(AccountId, ClientKind)>) {
        self.actor = actor;
    }
}

impl Errand for EndpointErrand {
    fn deployment(&self) -> &Arc<Deployment> {
        &self.endpoint
    }

    fn account(&self) -> &AccountId {
        &self.nobody
    }

    fn is_trial(&self) -> bool {
        self.is_trial
    }

    fn bucket_max(&self, limits: &Limits) -> Usage {
        limits.buckets().shared
    }

    /// It is the only one that it has: no account could be confused with another.
    fn may_share(&self) -> bool {
        true
    }

    fn default_bucket(&self) -> Which {
        Which::Shared
    }

    fn wall(&self, limits: &Limits, policy: &EndpointPolicy) -> Duration {
        match self.is_trial {
            true => limits.call_wall(),
            false => Duration::from_millis(policy.wall_ms),
        }
    }
}

impl Acts for EndpointErrand {
    fn actor(&self) -> Option<(&AccountId, ClientKind)> {
        self.actor
            .as_ref()
            .map(|(account, client)| (account, *client))
    }

    fn conversation(&self) -> Option<String> {
        None
    }
}

impl CallState<EndpointErrand> {
    /// What it asked for since the last time.
    pub fn take_endpoint_effects(&mut self) -> EndpointEffects {
        EndpointEffects {
            tasks: self.take_tasks(),
            shared: self.take_shared(),
            lines: self.output.take_lines(),
        }
    }
}

/// Puts what is done at an answer in the place of what the crate does: what the guest
/// asked for goes with it, and the guest goes on once that is durable.
pub fn take_heads(linker: &mut Linker<CallState<EndpointErrand>>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    linker
        .instance(requests::TYPES)?
        .func_wrap_async(SET, set)?;
    linker.allow_shadowing(false);
    Ok(())
}

type Answered = Result<Resource<HostOutgoingResponse>, ErrorCode>;
type Setting<'a> = Box<dyn Future<Output = wasmtime::Result<()>> + Send + 'a>;

fn set(
    mut store: StoreContextMut<'_, CallState<EndpointErrand>>,
    (param, answered): (Resource<HostResponseOutparam>, Answered),
) -> Setting<'_> {
    Box::new(async move {
        let state = store.data_mut();
        state.table().delete(param)?;
        let response = match answered {
            Ok(response) => state.table().delete(response)?,
            // What the guest says itself about its failure.
            Err(ErrorCode::InternalError(Some(reason))) => return Err(refused(reason)),
            Err(code) => return Err(refused(format!("it answered with an error: {code:?}"))),
        };
        if response.status.is_informational() {
            let status = response.status;
            return Err(refused(format!("it answered {status}, which is no answer")));
        }
        let effects = state.take_endpoint_effects();
        let (go_on, may_go_on) = oneshot::channel();
        let head = Head {
            response: response.try_into()?,
            effects,
            go_on,
        };
        state.call.line.answer();
        let Some(taker) = state.call.head.take() else {
            return Ok(());
        };
        // Whoever waited is gone, or could not keep what it asked for: the call is over.
        taker.send(head).map_err(|_| Stopped::Gone)?;
        may_go_on.await.map_err(|_| Stopped::Gone)?;
        Ok(())
    })
}

fn refused(message: String) -> wasmtime::Error {
    Stopped::Limit(FailureKind::Refused, message).into()
}
