//! A task: something that an account's client shall do, and what became of it.

use serde::{Deserialize, Serialize};

use super::{Action, EventKey, HandlerName, LoginId, Millis, TaskId};

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskState {
    /// Waits for the client to take it.
    Queued,
    /// The client has it and has not told yet how it went.
    HandedOut,
    /// The client said it is done.
    Done,
    /// The client said it failed.
    Failed,
    /// The client has or had it, and will not tell any more.
    Unknown,
    /// It waited too long to be of use.
    Expired,
    /// Somebody called it off before the client had it.
    Cancelled,
}

impl TaskState {
    /// All of them, in the order of a task's life.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::HandedOut,
        Self::Done,
        Self::Failed,
        Self::Unknown,
        Self::Expired,
        Self::Cancelled,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::HandedOut => "handed-out",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    /// True when nothing more will become of it.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::HandedOut)
    }
}

/// Who asked for a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// A bot, while it handled this event.
    Bot {
        /// The bot's handler.
        handler: HandlerName,
        /// The event's key.
        event: EventKey,
    },
    /// An endpoint, for whoever called it.
    Endpoint {
        /// Its handler.
        handler: HandlerName,
    },
    /// Somebody through the control API.
    Api,
    /// The host, for this QR login.
    Login(LoginId),
}

/// What happens to a task whose result does not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// It ends as unknown: nothing is done twice.
    #[default]
    AtMostOnce,
    /// It is handed out again, a few times: it may be done twice.
    AtLeastOnce,
}

impl Delivery {
    /// Both.
    pub const ALL: [Self; 2] = [Self::AtMostOnce, Self::AtLeastOnce];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AtMostOnce => "at-most-once",
            Self::AtLeastOnce => "at-least-once",
        }
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How often a task is handed out that has to be done at least once.
pub const TRIES_MAX: u32 = 3;

/// How long tasks wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaskPolicy {
    /// How long a client may take to tell how a task went, in ms. Then it is
    /// `unknown`, or handed out again if it has to be done at least once.
    pub result_ms: u64,
}

impl Default for TaskPolicy {
    fn default() -> Self {
        Self { result_ms: 120_000 }
    }
}

impl TaskPolicy {
    /// Says which setting can't work, and why.
    pub fn check(&self) -> Result<(), String> {
        match self.result_ms {
            0 => Err("tasks.result_ms: must be more than 0".to_owned()),
            _ => Ok(()),
        }
    }
}

/// Something that an account's client shall do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Its name.
    pub id: TaskId,
    /// What to do.
    pub action: Action,
    /// Who asked for it.
    pub origin: Origin,
    /// Where it stands.
    pub state: TaskState,
    /// What happens when its result does not come.
    #[serde(default, skip_serializing_if = "Delivery::is_default")]
    pub delivery: Delivery,
    /// How often it was handed out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tries: u32,
    /// When it is of no use any more unless a client has it by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<Millis>,
    /// Why it stands there, when there is something to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was asked for.
    pub made_ms: Millis,
    /// When the client got it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handed_out_ms: Option<Millis>,
    /// When it reached a final state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<Millis>,
}

/// Why tasks that travel in an answer end as unknown (protocol page, section 1:
/// such tasks have no id and WeHub never reports how they ended).
pub const SENT_IN_AN_ANSWER: &str =
    "sent in the answer to the event; the client reports no result for these";

impl Task {
    /// A task that waits in the queue.
    pub fn queued(id: TaskId, action: Action, origin: Origin, now_ms: Millis) -> Self {
        Self {
            id,
            action,
            origin,
            state: TaskState::Queued,
            delivery: Delivery::default(),
            tries: 0,
            expires_ms: None,
            reason: None,
            made_ms: now_ms,
            handed_out_ms: None,
            ended_ms: None,
        }
    }

    /// A task that goes out with the answer to the event that caused it.
    pub fn answered(id: TaskId, action: Action, origin: Origin, now_ms: Millis) -> Self {
        Self {
            state: TaskState::Unknown,
            reason: Some(SENT_IN_AN_ANSWER.to_owned()),
            handed_out_ms: Some(now_ms),
            ended_ms: Some(now_ms),
            ..Self::queued(id, action, origin, now_ms)
        }
    }

    /// True for what went out with the answer to an event: no result of it ever
    /// comes. It was never handed out by itself.
    pub fn went_with_an_answer(&self) -> bool {
        self.state == TaskState::Unknown && self.tries == 0
    }

    /// True for what goes out before all that waits: who logs in by QR code sits
    /// before a screen.
    pub fn is_urgent(&self) -> bool {
        matches!(self.action, Action::StartLogin { .. })
    }

    /// The client takes the task.
    pub fn hand_out(&mut self, now_ms: Millis) {
        self.state = TaskState::HandedOut;
        self.tries += 1;
        self.handed_out_ms = Some(now_ms);
    }

    /// The client did not get it after all: this try is none.
    pub fn take_back(&mut self) {
        self.state = TaskState::Queued;
        self.tries = self.tries.saturating_sub(1);
        self.handed_out_ms = None;
        self.reason = None;
    }

    /// The task has ended, in one of the final states.
    pub fn end(&mut self, state: TaskState, reason: Option<String>, now_ms: Millis) {
        self.state = state;
        self.reason = reason;
        self.ended_ms = Some(now_ms);
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}
