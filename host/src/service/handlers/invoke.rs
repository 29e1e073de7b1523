//! Trying a bot without effect: it is called with an event that somebody made up,
//! and what it asks for is shown, not done.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    domain::{
        AccountId, ClientKind, Deployment, Event, EventKey, HandlerName, Happening, Message,
        Millis,
        endpoint::MOUNT,
        handler::VersionNumber,
        ports::{Call, CallFailure, Effects},
    },
    service::{Error, Service, catalogue::UnderWay, error::failure_of},
};

/// An event for a bot to be tried with.
#[derive(Debug, Clone)]
pub struct Invoke {
    /// Which handler.
    pub handler: HandlerName,
    /// Which version of it; none for the one that serves the account.
    pub version: Option<VersionNumber>,
    /// For whom. One that is known has its contacts and what the bot keeps for it; none
    /// for somebody who has nothing.
    pub account: Option<AccountId>,
    /// The kind of client, if the account is not known.
    pub client: ClientKind,
    /// What is said to have happened.
    pub what: Happening,
    /// The client's JSON, which a bot may read.
    pub raw: Bytes,
}

impl Invoke {
    fn whose(&self) -> AccountId {
        self.account.clone().unwrap_or_else(AccountId::trial)
    }
}

/// What a bot would have done.
#[derive(Debug, Clone)]
pub struct Invoked {
    /// What was called.
    pub bot: Arc<Deployment>,
    /// What it asked for, or how it failed.
    pub outcome: Result<Effects, CallFailure>,
}

impl Service {
    /// Calls a bot, and shows what it asks for. Nothing is committed, and the account's
    /// turn is not taken: its own events go on meanwhile.
    pub async fn invoke(&self, invoke: Invoke) -> Result<Invoked, Error> {
        let whose = invoke.account.as_ref();
        let (bot, in_use) = self
            .bot_to_try(&invoke.handler, invoke.version, whose)
            .await?;
        let me = match &invoke.account {
            Some(id) => self.0.store.account(id).await?.map(Arc::new),
            None => None,
        };
        let client = me.as_ref().map_or(invoke.client, |account| account.client);
        let is_other_version = invoke.version.is_some();
        let mut event = made_up(invoke, self.0.store.now());
        if me.is_some() {
            self.name_author(&mut event).await?;
        }
        let call = Call {
            bot: Arc::clone(&bot),
            client,
            me,
            event: Arc::new(event),
            is_trial: true,
        };
        let outcome = match self.0.runtime.call(call).await {
            Ok(effects) => Ok(effects),
            Err(error) => Err(failure_of(error)?),
        };
        drop(in_use);
        if is_other_version {
            self.retain_after_trial().await;
        }
        Ok(Invoked { bot, outcome })
    }

    /// A version that serves nobody does not stay in memory. While somebody deploys they
    /// see to it.
    pub(super) async fn retain_after_trial(&self) {
        if let Ok(_changing) = self.0.catalogue.changing.try_lock() {
            self.retain_components().await;
        }
    }

    /// What is to be tried for an account: this version, or the one that serves it. Its
    /// component stays loaded as long as the other is held.
    pub(in crate::service) async fn bot_to_try(
        &self,
        handler: &HandlerName,
        version: Option<VersionNumber>,
        account: Option<&AccountId>,
    ) -> Result<(Arc<Deployment>, UnderWay<'_>), Error> {
        let whose = account.cloned().unwrap_or_else(AccountId::trial);
        let entry = self.entry(handler)?;
        let handler = &entry.handler;
        if handler.is_callback() {
            return Err(Error::Conflict(format!(
                "{} decides about the callback: only bots can be invoked",
                handler.name
            )));
        }
        if handler.is_endpoint() {
            return Err(Error::Conflict(format!(
                "{name} is an endpoint: ask it by HTTP, at {MOUNT}{name}/",
                name = handler.name
            )));
        }
        let bot = match version {
            None => {
                let deployed = self.0.catalogue.now();
                let found = deployed.deployment_by(&handler.name, &whose).cloned();
                found.ok_or_else(|| Error::not_found("handler", &handler.name))?
            }
            Some(number) => {
                let version = self.version(handler, number).await?;
                let config = entry.config.of(&whose);
                Arc::new(handler.deployment(&Arc::new(version), config))
            }
        };
        let in_use = self.0.catalogue.deploying(bot.version.digest);
        self.0.runtime.prepare(bot.version.digest).await?;
        Ok((bot, in_use))
    }
}

fn made_up(invoke: Invoke, now_ms: Millis) -> Event {
    let account = invoke.whose();
    let mut what = invoke.what;
    if let Happening::Message(message) = &mut what {
        complete(message, now_ms);
    }
    Event {
        key: EventKey::new(&format!("invoked-{now_ms}")),
        account,
        at_ms: now_ms,
        what,
        facts: Vec::new(),
        raw: invoke.raw,
    }
}

/// Fills in what follows from the rest: a message of a person is answered there, one in
/// a group in the group.
fn complete(message: &mut Message, now_ms: Millis) {
    if message.id.is_empty() {
        message.id = now_ms.to_string();
    }
    if message.conversation.is_empty() {
        let group = message.group.as_ref();
        message.conversation = group.unwrap_or(&message.author).clone();
    }
}
