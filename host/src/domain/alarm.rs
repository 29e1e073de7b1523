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
            Self::Schedule(due) => write!(
                f,
                "schedule/{}/{}/{}/{}",
                due.account, due.handler, due.due_ms, due.schedule
            ),
        }
    }
}
