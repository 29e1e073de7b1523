//! A handler that keeps failing for one account pauses there, longer each time, until a
//! call succeeds. Pure: the caller brings the time and the chance.

use serde::{Deserialize, Serialize};

use super::{Deployment, VersionNumber};
use crate::domain::{AccountId, HandlerName, Millis};

/// How much of a failure's first line is kept as the reason, in characters.
const REASON_MAX_CHARS: usize = 200;
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
    /// Calls in a row that failed.
    #[serde(default)]
    pub failures: u32,
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
}

/// A pause of a handler for one account.
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
            reason: String::new(),
            pause: None,
            passed_by: 0,
            waiting: Waits::default(),
        }
    }

    /// Whether these failures are this bot's.
    pub fn is_of(&self, bot: &Deployment) -> bool {
        self.handler == bot.handler && self.version == bot.version.number
    }

    /// Whether this bot is not to be called now. Once the pause has ended it may be, and
    /// what becomes of that call ends the pauses or brings a longer one.
    pub fn holds(&self, bot: &Deployment, now_ms: Millis) -> bool {
        let pauses = self.pause.is_some_and(|pause| now_ms < pause.until_ms);
        pauses && self.is_of(bot)
    }

    /// A call of this bot failed. Gives the pause that begins with it, if one does.
    pub fn failed(
        &mut self,
        bot: &Deployment,
        policy: &FailingPolicy,
        reason: &str,
        chance: f64,
        now_ms: Millis,
    ) -> Option<FailingPause> {
        if !self.is_of(bot) {
            let waiting = self.waiting;
            *self = Self::new(bot, &self.account);
            self.waiting = waiting;
        }
        self.failures = self.failures.saturating_add(1);
        let first = reason.lines().next().unwrap_or_default();
        self.reason = first.chars().take(REASON_MAX_CHARS).collect();
        let begins = policy.failures_in_a_row > 0 && self.failures >= policy.failures_in_a_row;
        if !begins {
            return None;
        }
        let pauses = self.pause.map_or(0, |pause| pause.pauses).saturating_add(1);
        self.pause = Some(FailingPause {
            since_ms: self.pause.map_or(now_ms, |pause| pause.since_ms),
            until_ms: now_ms.saturating_add(policy.pause_ms(pauses, chance)),
            pauses,
        });
        self.pause
    }

    /// A call went well, or somebody wants it tried anew: nothing counts any more. What
    /// waits still waits.
    pub fn ends(&mut self) {
        self.failures = 0;
        self.reason = String::new();
        self.pause = None;
        self.passed_by = 0;
    }

    /// Whether there is nothing to be kept.
    pub fn is_over(&self) -> bool {
        self.failures == 0 && self.waiting.events == 0
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::{
        Handler,
        handler::{Configuration, Version},
    };

    fn bot(name: &str, number: u32) -> Deployment {
        let handler = Handler::example(name);
        let version = Version {
            number: VersionNumber(number),
            ..handler.version.clone()
        };
        handler.deployment(&Arc::new(version), Configuration::default())
    }

    fn fresh(bot: &Deployment) -> Failing {
        Failing::new(bot, &"wxid_a".try_into().unwrap())
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let (policy, bot) = (FailingPolicy::default(), bot("faq", 1));
        let mut failing = fresh(&bot);
        for _ in 0..4 {
            assert_eq!(failing.failed(&bot, &policy, "boom", 0.0, 0), None);
            assert!(!failing.holds(&bot, 0));
        }
        let mut now_ms = 0;
        for seconds in [10, 20, 40, 80, 160, 320, 600, 600] {
            let pause = failing
                .failed(&bot, &policy, "boom\nat f", 0.0, now_ms)
                .unwrap();
            assert_eq!(pause.until_ms - now_ms, seconds * 1_000);
            assert!(failing.holds(&bot, pause.until_ms - 1));
            assert!(!failing.holds(&bot, pause.until_ms));
            now_ms = pause.until_ms;
        }
        assert_eq!(
            (failing.reason.as_str(), failing.pause.unwrap().since_ms),
            ("boom", 0)
        );
        failing.ends();
        assert!(failing.is_over() && !failing.holds(&bot, now_ms));
    }

    #[test]
    fn another_version_begins_anew_and_what_waits_still_waits() {
        let policy = FailingPolicy {
            failures_in_a_row: 1,
            ..FailingPolicy::default()
        };
        let (old, new) = (bot("faq", 1), bot("faq", 2));
        let mut failing = fresh(&old);
        failing.waiting.add(7);
        failing.failed(&old, &policy, "boom", 0.5, 0).unwrap();
        assert!(failing.holds(&old, 1) && !failing.holds(&new, 1));
        assert!(!failing.holds(&bot("echo", 1), 1));
        let pause = failing.failed(&new, &policy, "boom", 0.0, 5).unwrap();
        assert_eq!((pause.pauses, pause.since_ms), (1, 5));
        assert_eq!(
            failing.waiting,
            Waits {
                events: 1,
                bytes: 7
            }
        );
    }

    #[test]
    fn a_record_of_the_store_reads_back() {
        let mut failing = fresh(&bot("faq", 3));
        let policy = FailingPolicy {
            failures_in_a_row: 1,
            ..FailingPolicy::default()
        };
        failing.failed(&bot("faq", 3), &policy, "boom", 1.0, 5);
        let json = serde_json::to_string(&failing).unwrap();
        assert_eq!(serde_json::from_str::<Failing>(&json).unwrap(), failing);
        let little = r#"{"account":"a","handler":"faq","version":1}"#;
        assert!(serde_json::from_str::<Failing>(little).unwrap().is_over());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Fails(u64, f64),
        Succeeds,
        Waits(u64),
        Runs,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0u64..100_000, 0.0..=1.0).prop_map(|(after, chance)| Step::Fails(after, chance)),
            1 => Just(Step::Succeeds),
            1 => (0u64..1000).prop_map(Step::Waits),
            1 => Just(Step::Runs),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_pauses_have_an_end_and_counts_are_right(
            limit in 0u32..7,
            steps in proptest::collection::vec(step(), 0..60),
        ) {
            let policy = FailingPolicy { failures_in_a_row: limit, ..FailingPolicy::default() };
            let bot = bot("faq", 1);
            let (mut failing, mut now_ms, mut in_a_row) = (fresh(&bot), 1_000u64, 0u32);
            let mut waiting: Vec<u64> = Vec::new();
            for step in steps {
                match step {
                    Step::Fails(after, chance) => {
                        // Nobody calls it while it pauses.
                        let until = failing.pause.map_or(0, |pause| pause.until_ms);
                        now_ms = until.max(now_ms + after);
                        prop_assert!(!failing.holds(&bot, now_ms));
                        in_a_row += 1;
                        let before = failing.pause;
                        let pause = failing.failed(&bot, &policy, "x", chance, now_ms);
                        prop_assert_eq!(pause.is_some(), limit > 0 && in_a_row >= limit);
                        if let Some(pause) = pause {
                            let ms = pause.until_ms - now_ms;
                            prop_assert!((8_000..=600_000).contains(&ms), "{}", ms);
                            prop_assert_eq!(pause.pauses, in_a_row - limit + 1);
                            prop_assert!(before.is_none_or(|it| it.since_ms == pause.since_ms));
                        }
                    }
                    Step::Succeeds => {
                        failing.ends();
                        in_a_row = 0;
                    }
                    Step::Waits(bytes) => {
                        failing.waiting.add(bytes);
                        waiting.push(bytes);
                    }
                    Step::Runs => {
                        if let Some(bytes) = waiting.pop() {
                            failing.waiting.remove(bytes);
                        }
                    }
                }
                prop_assert_eq!(failing.failures, in_a_row);
                prop_assert_eq!(failing.waiting.events as usize, waiting.len());
                prop_assert_eq!(failing.waiting.bytes, waiting.iter().sum::<u64>());
                prop_assert_eq!(failing.is_over(), in_a_row == 0 && waiting.is_empty());
            }
        }
    }
}
