//! Trying a bot without effect, as the control API has it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::KeyValueView;
use crate::{
    domain::{
        AccountId, Action, ClientKind, HandlerName, Happening,
        handler::{FailureKind, Used, VersionNumber},
        ports::{CallFailure, KeyValueWrite},
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

/// How a call failed.
#[derive(Debug, Serialize, Deserialize)]
pub struct FailureView {
    /// How.
    pub kind: FailureKind,
    /// What the guest or the engine said, with the guest's backtrace.
    pub message: String,
}

impl From<KeyValueWrite> for WriteView {
    fn from(KeyValueWrite { key, value, .. }: KeyValueWrite) -> Self {
        match value {
            Some(value) => Self::Put(KeyValueView::from((key, value))),
            None => Self::Delete { key },
        }
    }
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
                key_values: effects
                    .key_values
                    .into_iter()
                    .map(WriteView::from)
                    .collect(),
                failure: None,
                output: effects.output,
                used: effects.used,
            },
            Err(CallFailure {
                kind,
                message,
                output,
                used,
            }) => Self {
                version,
                actions: Vec::new(),
                key_values: Vec::new(),
                failure: Some(FailureView { kind, message }),
                output,
                used,
            },
        }
    }
}
