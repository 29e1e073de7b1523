//! Trying a bot without effect, as the control API has it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::KeyValueView;
use crate::{
    domain::{
        AccountId, Action, ClientKind, HandlerName, Happening, Millis, TimerChange,
        handler::{FailureKind, Used, VersionNumber},
        ports::CallFailure,
    },
    service::{Invoke, Invoked},
};

/// An event for a bot to be tried with.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InvokeRequest {
    /// What is said to have happened, e.g. `{"message": {"author": "wxid_bob",
    /// "content": {"text": "hello"}}}`.
    pub event: Happening,
    /// For whom; somebody who has nothing if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// Which version; the one that serves the account if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionNumber>,
    /// The kind of client, if the account is not known: `wehub` unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientKind>,
    /// The client's JSON, which a bot may read.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub raw: Value,
}

impl InvokeRequest {
    /// The same for the service.
    pub fn of(self, handler: HandlerName) -> Invoke {
        let raw = match self.raw {
            Value::Null => "{}".to_owned(),
            raw => raw.to_string(),
        };
        Invoke {
            handler,
            version: self.version,
            account: self.account,
            client: self.client.unwrap_or(ClientKind::Wehub),
            what: self.event,
            raw: raw.into(),
        }
    }
}

/// What a bot would have done.
#[derive(Debug, Serialize, Deserialize)]
pub struct InvokeView {
    /// Which version was called.
    pub version: VersionNumber,
    /// What it would have had the client do, in order.
    pub actions: Vec<Action>,
    /// What it would have written to its store.
    pub key_values: Vec<WriteView>,
    /// What it would have written to the bucket that its accounts share.
    pub shared: Vec<WriteView>,
    /// The timers that it would have set or cancelled.
    pub timers: Vec<TimerView>,
    /// Why it failed, if it did: then it has asked for nothing.
    pub failure: Option<FailureView>,
    /// What it logged and printed.
    pub output: String,
    /// What the call used.
    pub used: Used,
}

/// A write to a bot's store: `value_base64` is left out where the key goes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum WriteView {
    /// It is this from then on.
    Put(KeyValueView),
    /// It goes.
    Delete {
        /// Which.
        key: String,
    },
}

/// A change of a timer.
#[derive(Debug, Serialize, Deserialize)]
pub struct TimerView {
    /// Its name.
    pub id: String,
    /// When it would come due; none when it would be cancelled.
    pub due_ms: Option<Millis>,
    /// What the bot would get back with it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub payload: String,
}

/// How a call failed.
#[derive(Debug, Serialize, Deserialize)]
pub struct FailureView {
    /// How.
    pub kind: FailureKind,
    /// What the guest or the engine said, with the guest's backtrace.
    pub message: String,
}

impl From<(String, Option<Vec<u8>>)> for WriteView {
    fn from((key, value): (String, Option<Vec<u8>>)) -> Self {
        match value {
            Some(value) => Self::Put(KeyValueView::from((key, value))),
            None => Self::Delete { key },
        }
    }
}

impl From<TimerChange> for TimerView {
    fn from(change: TimerChange) -> Self {
        match change {
            TimerChange::Put { timer, .. } => Self {
                id: timer.id,
                due_ms: Some(timer.due_ms),
                payload: timer.payload,
            },
            TimerChange::Remove { id, .. } => Self {
                id,
                due_ms: None,
                payload: String::new(),
            },
        }
    }
}

fn writes(writes: impl IntoIterator<Item = (String, Option<Vec<u8>>)>) -> Vec<WriteView> {
    writes.into_iter().map(WriteView::from).collect()
}

impl From<Invoked> for InvokeView {
    fn from(Invoked { bot, outcome }: Invoked) -> Self {
        let version = bot.version.number;
        match outcome {
            Ok(effects) => Self {
                version,
                actions: effects
                    .tasks
                    .into_iter()
                    .map(|(_, action)| action)
                    .collect(),
                key_values: writes(effects.key_values.into_iter().map(|it| (it.key, it.value))),
                shared: writes(effects.shared.into_iter().flat_map(|it| it.writes)),
                timers: effects.timers.into_iter().map(TimerView::from).collect(),
                failure: None,
                output: effects.output,
                used: effects.used,
            },
            Err(CallFailure {
                kind,
                message,
                output,
                used,
                ..
            }) => Self {
                version,
                actions: Vec::new(),
                key_values: Vec::new(),
                shared: Vec::new(),
                timers: Vec::new(),
                failure: Some(FailureView { kind, message }),
                output,
                used,
            },
        }
    }
}
