//! Alarms: what has to be looked at when its time has come, even after a restart.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{AccountId, HandlerName, LoginId, TaskId, timer::ScheduleDue};

/// Something to look at. An alarm says when, not what to do: whoever answers it
/// looks at how things stand by then, so one too many is no harm.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alarm {
    /// A task may have waited too long, for its client or for its result.
    Task(TaskId),
    /// A file may not have come.
    File(AccountId, String),
    /// A login may be over.
    Login(LoginId),
    /// A timer of an account may be due: whose, and its name.
    Timer(AccountId, HandlerName, String),
    /// A schedule came due for an account.
    Schedule(ScheduleDue),
    /// Events of an account may have waited long enough for its handler, which failed.
    Waiting(AccountId, HandlerName),
}

/// What an alarm is for. Each kind is looked at by itself, so that bots that take long
/// when they are woken hold up nobody's deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AlarmKind {
    /// What may not have come in time.
    Deadline,
    /// A bot that wants to be called.
    Wakeup,
}

impl AlarmKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Deadline, Self::Wakeup];
}

impl Alarm {
    /// What it is for.
    pub fn kind(&self) -> AlarmKind {
        match self {
            Self::Task(_) | Self::File(..) | Self::Login(_) => AlarmKind::Deadline,
            Self::Timer(..) | Self::Schedule(_) | Self::Waiting(..) => AlarmKind::Wakeup,
        }
    }

    /// The handler that it wakes.
    pub fn handler(&self) -> Option<&HandlerName> {
        match self {
            Self::Timer(_, handler, _) | Self::Waiting(_, handler) => Some(handler),
            Self::Schedule(due) => Some(&due.handler),
            Self::Task(_) | Self::File(..) | Self::Login(_) => None,
        }
    }
}

impl fmt::Display for Alarm {
    /// Two alarms have the same text only if they are the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task(id) => write!(f, "task/{id}"),
            // No account id has a slash.
            Self::File(account, file) => write!(f, "file/{account}/{file}"),
            Self::Login(id) => write!(f, "login/{id}"),
            Self::Timer(account, handler, id) => write!(f, "timer/{account}/{handler}/{id}"),
            Self::Waiting(account, handler) => write!(f, "waiting/{account}/{handler}"),
            Self::Schedule(due) => write!(
                f,
                "schedule/{}/{}/{}/{}",
                due.account, due.handler, due.due_ms, due.schedule
            ),
        }
    }
}
