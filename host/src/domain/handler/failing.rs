//! A handler that keeps failing for one account pauses there, longer each time, until a
//! call succeeds; one that fails in a single conversation pauses in that one alone. Pure:
//! the caller brings the time and the chance.

mod conversation;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::{Deployment, VersionNumber};
use crate::domain::{AccountId, HandlerName, Millis};

pub use conversation::{FailingConversation, Source};

/// How much of a failure's first line is kept as the reason, in characters.
const REASON_MAX_CHARS: usize = 200;
/// The same of a conversation's: there are many of them in one record.
const OWN_REASON_MAX_CHARS: usize = 60;
/// How many conversations of an account are watched that fail. Where more do, there are
/// so many people that the account's own count sees to it.
pub const CONVERSATIONS_MAX: usize = 64;
/// After so many pauses in a row the next is the longest in any case.
const DOUBLINGS_MAX: u32 = 32;
/// How much shorter a pause is by chance at the most, as a part of it: accounts that
/// began to fail at the same time are not tried again at the same time.
const JITTER: f64 = 0.2;

/// What becomes of the events of an account while its handler is paused there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFailing {
    /// They are settled, and no bot sees them: an answer in a chat is worth little when
    /// it comes minutes late, and many at once look like a machine's.
    #[default]
    PassBy,
    /// They are kept, and the bot gets them in order once it works again.
    Wait,
}

impl WhenFailing {
    /// Both.
    pub const ALL: [Self; 2] = [Self::PassBy, Self::Wait];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PassBy => "pass-by",
            Self::Wait => "wait",
        }
    }
}

/// When a handler pauses for an account, for how long, and how much may wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailingPolicy {
    /// After so many failures in a row; 0 for never.
    pub failures_in_a_row: u32,
    /// How long the first pause is at the most, in ms. Each further one is twice as long.
    pub pause_ms: u64,
    /// No pause is longer, in ms.
    pub pause_max_ms: u64,
    /// How many events of an account may wait.
    pub waiting_events: u32,
    /// How many bytes they may have together.
    pub waiting_bytes: u64,
}

impl Default for FailingPolicy {
    fn default() -> Self {
        Self {
            failures_in_a_row: 5,
            pause_ms: 10_000,
            pause_max_ms: 600_000,
            waiting_events: 200,
            waiting_bytes: 1024 * 1024,
        }
    }
}

impl FailingPolicy {
    fn pauses_after(&self, failures: u32) -> bool {
        self.failures_in_a_row > 0 && failures >= self.failures_in_a_row
    }

    /// The pause that comes after this one.
    fn next(&self, before: Option<FailingPause>, chance: f64, now_ms: Millis) -> FailingPause {
        let pauses = before.map_or(0, |pause| pause.pauses).saturating_add(1);
        FailingPause {
            since_ms: before.map_or(now_ms, |pause| pause.since_ms),
            until_ms: now_ms.saturating_add(self.pause_ms(pauses, chance)),
            pauses,
        }
    }

    /// How long the so-many-th pause in a row is, in ms. `chance` is anything from 0 to 1.
    fn pause_ms(&self, pauses: u32, chance: f64) -> u64 {
        let doublings = pauses.saturating_sub(1).min(DOUBLINGS_MAX);
        let whole = self.pause_ms.saturating_mul(1 << doublings);
        let whole = whole.min(self.pause_max_ms);
        whole.saturating_sub((whole as f64 * JITTER * chance.clamp(0.0, 1.0)) as u64)
    }
}

/// Events of an account that wait for its handler.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waits {
    /// How many.
    pub events: u32,
    /// Their bytes together.
    pub bytes: u64,
}

impl Waits {
    /// With one more.
    pub fn add(&mut self, bytes: u64) {
        self.events = self.events.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// With one less.
    pub fn remove(&mut self, bytes: u64) {
        self.events = self.events.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Whether that is all that may wait, and no more.
    pub fn fits(&self, policy: &FailingPolicy) -> bool {
        self.events <= policy.waiting_events && self.bytes <= policy.waiting_bytes
    }
}

/// How a handler fails for one account, from the first failure in a row on, and what
/// waits there. There is none where the last call went well and nothing waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failing {
    /// For whom.
    pub account: AccountId,
    /// Which handler.
    pub handler: HandlerName,
    /// Which version of it. Another one begins anew.
    pub version: VersionNumber,
    /// Calls in a row that failed, but for those that say something about their
    /// conversation only.
    #[serde(default)]
    pub failures: u32,
    /// Where they came from, as long as that may be one person or one conversation: no
    /// pause of the account comes of them. None when it is more, or nothing failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alone: Option<Source>,
    /// What the last of them said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The pause that came of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<FailingPause>,
    /// Events that no bot saw since the first pause in a row.
    #[serde(default)]
    pub passed_by: u64,
    /// Events that wait.
    #[serde(default)]
    pub waiting: Waits,
    /// Where it fails, [`CONVERSATIONS_MAX`] at the most, the last failure last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conversations: Vec<FailingConversation>,
}

/// The pauses that begin with a failure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Begun {
    /// For the whole account.
    pub account: Option<FailingPause>,
    /// In the conversation alone.
    pub conversation: Option<FailingPause>,
}

/// A pause of a handler, for one account or in one conversation of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailingPause {
    /// Since when the handler pauses, pauses before this one included.
    pub since_ms: Millis,
    /// Until when this one lasts. Then one event is tried.
    pub until_ms: Millis,
    /// Which in a row it is: 1 for the first.
    pub pauses: u32,
}

impl Failing {
    /// Of a bot that has not failed.
    pub fn new(bot: &Deployment, account: &AccountId) -> Self {
        Self {
            account: account.clone(),
            handler: bot.handler.clone(),
            version: bot.version.number,
            failures: 0,
            alone: None,
            reason: String::new(),
            pause: None,
            passed_by: 0,
            waiting: Waits::default(),
            conversations: Vec::new(),
        }
    }

    /// Whether these failures are this bot's.
    pub fn is_of(&self, bot: &Deployment) -> bool {
        self.handler == bot.handler && self.version == bot.version.number
    }

    /// Whether this bot is not to be called now for anything. Once the pause has ended it
    /// may be, and what becomes of that call ends the pauses or brings a longer one.
    pub fn holds(&self, bot: &Deployment, now_ms: Millis) -> bool {
        self.is_of(bot) && is_on(self.pause, now_ms)
    }

    /// Whether this bot is not to be called now for an event of this conversation.
    pub fn holds_in(&self, bot: &Deployment, conversation: Option<&str>, now_ms: Millis) -> bool {
        let own = self.of(conversation).and_then(|it| it.pause);
        self.holds(bot, now_ms) || (self.is_of(bot) && is_on(own, now_ms))
    }

    /// Until when this bot is not to be called for an event of this conversation; none
    /// when it may be.
    pub fn held_until(
        &self,
        bot: &Deployment,
        conversation: Option<&str>,
        now_ms: Millis,
    ) -> Option<Millis> {
        let own = self.of(conversation).and_then(|it| it.pause);
        let pauses = self.pause.into_iter().chain(own);
        let on = pauses.filter(|pause| self.is_of(bot) && is_on(Some(*pause), now_ms));
        on.map(|pause| pause.until_ms).max()
    }

    /// How it fails in this conversation.
    pub fn of(&self, conversation: Option<&str>) -> Option<&FailingConversation> {
        let mut all = self.conversations.iter();
        all.find(|it| it.conversation.as_deref() == conversation)
    }

    /// Whether it pauses, for the account or somewhere.
    pub fn has_pause(&self, now_ms: Millis) -> bool {
        let mut all = self.conversations.iter();
        self.pause.is_some() || all.any(|it| it.pause.is_some() && !it.is_stale(now_ms))
    }

    /// A call of this bot failed. Gives the pauses that begin with it.
    pub fn failed(
        &mut self,
        bot: &Deployment,
        source: &Source,
        policy: &FailingPolicy,
        reason: &str,
        (chance, now_ms): (f64, Millis),
    ) -> Begun {
        if !self.is_of(bot) {
            let waiting = self.waiting;
            *self = Self::new(bot, &self.account);
            self.waiting = waiting;
        }
        self.forget(now_ms);
        // What somebody's message led to, such as a timer, is everybody's: one person must
        // not cost others their timers.
        if source.conversation.is_none() {
            return Begun::default();
        }
        let first = reason.lines().next().unwrap_or_default();
        let shown = first.chars().filter(|it| !it.is_control());
        let reason: String = shown.take(REASON_MAX_CHARS).collect();
        let mut own = self.take(source);
        let keeps_failing = own.pause.is_some();
        own.failures = own.failures.saturating_add(1);
        own.failed_ms = now_ms;
        own.reason = reason.chars().take(OWN_REASON_MAX_CHARS).collect();
        let begins = policy.pauses_after(own.failures);
        let conversation = begins.then(|| policy.next(own.pause, chance, now_ms));
        own.pause = conversation.or(own.pause);
        self.conversations.push(own);
        let account = match keeps_failing {
            true => None,
            false => self.failed_for_account(source, policy, reason, (chance, now_ms)),
        };
        Begun {
            account,
            conversation,
        }
    }

    /// A failure that says something about more than its conversation.
    fn failed_for_account(
        &mut self,
        source: &Source,
        policy: &FailingPolicy,
        reason: String,
        (chance, now_ms): (f64, Millis),
    ) -> Option<FailingPause> {
        let first = match self.failures {
            0 => Some(source.clone()),
            _ => self.alone.take(),
        };
        let first = first.filter(|first| !first.is_another(source));
        // Of what nobody is known for there may be any number: it stands for nobody.
        self.alone = first.map(|first| match first.person {
            None => source.clone(),
            Some(_) => first,
        });
        self.failures = self.failures.saturating_add(1);
        self.reason = reason;
        if self.alone.is_some() || !policy.pauses_after(self.failures) {
            return None;
        }
        self.pause = Some(policy.next(self.pause, chance, now_ms));
        self.pause
    }

    /// What is known of a conversation, taken out; where too many fail, the one is
    /// forgotten that failed the longest ago, if there is one of those that do not pause.
    fn take(&mut self, source: &Source) -> FailingConversation {
        let all = &mut self.conversations;
        let known = all
            .iter()
            .position(|it| it.conversation == source.conversation);
        if let Some(place) = known {
            return all.remove(place);
        }
        if all.len() >= CONVERSATIONS_MAX {
            let unpaused = all.iter().position(|it| it.pause.is_none());
            all.remove(unpaused.unwrap_or_default());
        }
        FailingConversation::new(source.conversation.clone())
    }

    /// Forgets conversations that have not failed for long: nobody may ever write there
    /// again.
    fn forget(&mut self, now_ms: Millis) {
        self.conversations.retain(|it| !it.is_stale(now_ms));
    }

    /// A call went well for an event of this conversation: neither the account's failures
    /// nor its own count any more. Others that fail by themselves still do; where all did,
    /// it is over for those that failed once. Who failed more often may be one of two who
    /// had the account pause together: they are soon paused alone.
    pub fn succeeded(&mut self, conversation: Option<&str>, now_ms: Millis) {
        let all_failed = self.pause.is_some();
        self.begin_anew();
        self.conversations.retain(|it| {
            let is_other = it.conversation.as_deref() != conversation;
            let counts = it.pause.is_some() || it.failures > 1 || !all_failed;
            is_other && counts && !it.is_stale(now_ms)
        });
    }

    /// Somebody wants it tried anew: nothing counts any more. What waits still waits.
    pub fn ends(&mut self) {
        self.begin_anew();
        self.conversations.clear();
    }

    fn begin_anew(&mut self) {
        self.failures = 0;
        self.alone = None;
        self.reason = String::new();
        self.pause = None;
        self.passed_by = 0;
    }

    /// No bot sees an event of this conversation. It counts where the pause is.
    pub fn passes_by(&mut self, conversation: Option<&str>, now_ms: Millis) {
        let for_account = is_on(self.pause, now_ms);
        let mut all = self.conversations.iter_mut();
        let own = all.find(|it| !for_account && it.conversation.as_deref() == conversation);
        let count = own.map_or(&mut self.passed_by, |it| &mut it.passed_by);
        *count = count.saturating_add(1);
    }

    /// Whether there is nothing to be kept.
    pub fn is_over(&self) -> bool {
        self.failures == 0 && self.waiting.events == 0 && self.conversations.is_empty()
    }
}

fn is_on(pause: Option<FailingPause>, now_ms: Millis) -> bool {
    pause.is_some_and(|pause| now_ms < pause.until_ms)
}
