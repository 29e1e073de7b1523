//! Events in the future: the bot is called again with a timer's name and payload, also
//! when the host was down at the time. While the account is logged out timers wait.
//!
//! ```no_run
//! use std::time::Duration;
//! use wxhost_sdk::prelude::*;
//!
//! fn remind(event: Event) -> Result<(), Error> {
//!     if let Happening::Timer(timer) = &event.what {
//!         send_text(&timer.payload, "Your tea is ready")?;
//!     } else if let Some(message) = event.message() {
//!         timers::set("tea", Duration::from_secs(180), &message.conversation)?;
//!     }
//!     Ok(())
//! }
//! ```
//!
//! A schedule of the bot's version fires as a timer too; see [`schedule`].
use std::time::Duration;

use crate::bindings::wxhost::bot::timers;
use crate::model::{Failure, TimerFired};

pub use timers::{Timer, cancel, list_timers};

/// When a timer comes due: a [`Duration`] from now, or milliseconds since
/// 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// So long from now.
    After(Duration),
    /// At this time, in ms. One in the past is now.
    At(u64),
}

impl From<Duration> for When {
    fn from(after: Duration) -> Self {
        Self::After(after)
    }
}

impl From<u64> for When {
    fn from(at: u64) -> Self {
        Self::At(at)
    }
}

impl When {
    fn due(self) -> u64 {
        match self {
            Self::At(at) => at,
            Self::After(after) => {
                let ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
                crate::now().saturating_add(ms)
            }
        }
    }
}

/// Sets a timer, in place of the one of the same name.
pub fn set(id: &str, when: impl Into<When>, payload: &str) -> Result<(), Failure> {
    timers::set(id, when.into().due(), payload)
}

/// The name of the schedule that fired; none for a timer that the bot has set.
pub fn schedule(fired: &TimerFired) -> Option<&str> {
    fired.id.strip_prefix("schedule:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_told_from_a_timer() {
        let fired = |id: &str| TimerFired {
            id: id.to_owned(),
            payload: String::new(),
        };
        assert_eq!(schedule(&fired("schedule:daily")), Some("daily"));
        assert_eq!(schedule(&fired("daily")), None);
    }

    #[test]
    fn a_time_is_taken_as_it_is() {
        assert_eq!(When::from(7).due(), 7);
        assert_eq!(When::from(Duration::MAX), When::After(Duration::MAX));
    }
}
