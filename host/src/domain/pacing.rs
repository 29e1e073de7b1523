//! How fast an account may write, and when a bot talks to another bot. Pure: the
//! caller brings the time and the chance.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::{Action, HandlerName, Millis, action::Segment};

/// The span that all rates here are for.
const MINUTE_MS: u64 = 60_000;
/// Conversations that are kept in mind per account: far more than anybody writes
/// to within a minute.
const CONVERSATIONS_MAX: usize = 1_000;
/// How many times the guard's budget a conversation may have in all, whoever
/// writes between: several bots in one group are each other's strangers.
const CROWD_FACTOR: usize = 3;

/// How fast accounts write, and how long a bot may answer the same peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PacingPolicy {
    /// How many messages an account sends a minute; 0 for no limit.
    pub account_per_minute: u32,
    /// How many of them may go out at once after a rest.
    pub account_burst: u32,
    /// How many messages go to one conversation a minute; 0 for no limit.
    pub conversation_per_minute: u32,
    /// How many of them may go out at once after a rest.
    pub conversation_burst: u32,
    /// By how much of the time between two messages one goes out later at the most,
    /// at random, in percent: a steady beat is a machine's.
    pub jitter_percent: u32,
    /// How many answers a bot gives the same peer in one conversation within a
    /// minute before it is taken for talking to another bot; 0 for no limit.
    pub guard_replies: u32,
    /// How long the bot then pauses in that conversation, in ms.
    pub guard_pause_ms: u64,
}

impl Default for PacingPolicy {
    fn default() -> Self {
        Self {
            account_per_minute: 20,
            account_burst: 5,
            conversation_per_minute: 15,
            conversation_burst: 5,
            jitter_percent: 50,
            guard_replies: 10,
            guard_pause_ms: 600_000,
        }
    }
}

/// No rate is higher: beyond it the time between two messages is no whole
/// millisecond.
const PER_MINUTE_MAX: u32 = 60_000;

impl PacingPolicy {
    /// Nothing is held back.
    pub fn unlimited() -> Self {
        Self {
            account_per_minute: 0,
            conversation_per_minute: 0,
            guard_replies: 0,
            ..Self::default()
        }
    }

    /// Says which setting can't work, and why.
    pub fn check(&self) -> Result<(), String> {
        if self.account_burst == 0 || self.conversation_burst == 0 {
            return Err(
                "pacing.account_burst, pacing.conversation_burst: must be more than 0".to_owned(),
            );
        }
        if self.account_per_minute.max(self.conversation_per_minute) > PER_MINUTE_MAX {
            return Err(format!(
                "pacing.account_per_minute, pacing.conversation_per_minute: at most \
                 {PER_MINUTE_MAX}; 0 for no limit"
            ));
        }
        match self.jitter_percent > 100 {
            true => Err("pacing.jitter_percent: at most 100".to_owned()),
            false => Ok(()),
        }
    }

    fn account(&self) -> Rate {
        Rate::new(self.account_per_minute, self.account_burst)
    }

    fn conversation(&self) -> Rate {
        Rate::new(self.conversation_per_minute, self.conversation_burst)
    }
}

/// So many a minute, and so many at once.
#[derive(Debug, Clone, Copy)]
struct Rate {
    /// Ms from one to the next; 0 for no limit.
    interval_ms: u64,
    /// How far ahead of the beat a burst may be.
    ahead_ms: u64,
}

impl Rate {
    fn new(per_minute: u32, burst: u32) -> Self {
        let interval_ms = match per_minute {
            0 => 0,
            rate => MINUTE_MS.div_ceil(u64::from(rate)),
        };
        Self {
            interval_ms,
            ahead_ms: interval_ms.saturating_mul(u64::from(burst.saturating_sub(1))),
        }
    }
}

/// The beat of one account or conversation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Beat {
    /// When the next message would be due if they went out evenly.
    due_ms: Millis,
    /// By how much later it goes out, by chance. A burst knows no chance.
    late_ms: u64,
}

impl Beat {
    fn wait_ms(self, rate: Rate, now_ms: Millis) -> u64 {
        if rate.interval_ms == 0 {
            return 0;
        }
        let due_ms = self.due_ms.saturating_add(self.late_ms);
        due_ms.saturating_sub(rate.ahead_ms.saturating_add(now_ms))
    }

    fn take(&mut self, rate: Rate, messages: u32, lateness: f64, now_ms: Millis) {
        let even = rate.interval_ms.saturating_mul(u64::from(messages));
        self.due_ms = self.due_ms.max(now_ms).saturating_add(even);
        self.late_ms = 0;
        if self.wait_ms(rate, now_ms) > 0 {
            self.late_ms = (rate.interval_ms as f64 * lateness) as u64;
        }
    }
}

/// What an account has sent lately.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pace {
    account: Beat,
    conversations: HashMap<String, Beat>,
}

impl Pace {
    /// How long this action has to wait, in ms; 0 when it may go out now.
    pub fn wait_ms(&self, policy: &PacingPolicy, action: &Action, now_ms: Millis) -> u64 {
        let Some(sent) = Sent::of(action) else {
            return 0;
        };
        let account = self.account.wait_ms(policy.account(), now_ms);
        let beat = sent.conversation.and_then(|id| self.conversations.get(id));
        let conversation = beat.map_or(0, |it| it.wait_ms(policy.conversation(), now_ms));
        account.max(conversation)
    }

    /// Counts an action that goes out now. `chance` is anything from 0 to 1.
    pub fn take(&mut self, policy: &PacingPolicy, action: &Action, chance: f64, now_ms: Millis) {
        let Some(sent) = Sent::of(action) else {
            return;
        };
        let lateness = chance.clamp(0.0, 1.0) * f64::from(policy.jitter_percent) / 100.0;
        if policy.account_per_minute > 0 {
            self.account
                .take(policy.account(), sent.messages, lateness, now_ms);
        }
        let Some(id) = sent
            .conversation
            .filter(|_| policy.conversation_per_minute > 0)
        else {
            return;
        };
        if self.conversations.len() >= CONVERSATIONS_MAX {
            self.conversations.retain(|_, beat| beat.due_ms > now_ms);
        }
        if self.conversations.len() < CONVERSATIONS_MAX || self.conversations.contains_key(id) {
            let beat = self.conversations.entry(id.to_owned()).or_default();
            beat.take(policy.conversation(), sent.messages, lateness, now_ms);
        }
    }

    /// True when nothing it knows matters any more.
    pub fn is_rested(&self, now_ms: Millis) -> bool {
        let rested = |beat: &Beat| beat.due_ms <= now_ms;
        rested(&self.account) && self.conversations.values().all(rested)
    }
}

/// What an action counts for.
struct Sent<'a> {
    conversation: Option<&'a str>,
    messages: u32,
}

impl<'a> Sent<'a> {
    fn of(action: &'a Action) -> Option<Self> {
        match action {
            Action::Send {
                conversation,
                segments,
            } => Some(Self {
                conversation: Some(conversation),
                messages: messages(segments),
            }),
            // It may send anything to anybody.
            Action::Raw { .. } => Some(Self {
                conversation: None,
                messages: 1,
            }),
            _ => None,
        }
    }
}

/// How many messages these pieces become: text and mentions that follow each
/// other are one.
fn messages(segments: &[Segment]) -> u32 {
    let is_text = |segment: &Segment| matches!(segment, Segment::Text(_) | Segment::Mention(_));
    let groups = segments.chunk_by(|a, b| is_text(a) && is_text(b)).count();
    u32::try_from(groups.max(1)).unwrap_or(u32::MAX)
}

// ------------------------------------------------------------- the loop guard

/// A bot that is silent in one conversation, since it seemed to talk to another
/// bot there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// Where.
    pub conversation: String,
    /// Which bot.
    pub handler: HandlerName,
    /// Since when.
    pub since_ms: Millis,
    /// Until when, unless somebody lifts it before.
    pub until_ms: Millis,
    /// Why.
    pub reason: String,
}

/// What a bot has answered lately, by conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guard {
    streaks: HashMap<String, Streak>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Streak {
    /// Who is being answered.
    author: String,
    /// Since the author is the same, when answers were given.
    replies: VecDeque<Millis>,
    /// Whoever was answered, when answers were given.
    all: VecDeque<Millis>,
    /// Answers whose own report, as a message of the account, is still to come.
    unreported: usize,
}

impl Guard {
    /// Somebody wrote. Another author than the one who is being answered is a sign
    /// that this is no talk of two bots; so is the account itself, unless what it
    /// wrote was the bot's.
    pub fn heard(&mut self, conversation: &str, author: &str, outgoing: bool) {
        let Some(streak) = self.streaks.get_mut(conversation) else {
            return;
        };
        if outgoing && streak.unreported > 0 {
            streak.unreported -= 1;
        } else if outgoing {
            streak.replies.clear();
            streak.all.clear();
        } else if streak.author != author {
            author.clone_into(&mut streak.author);
            streak.replies.clear();
        }
    }

    /// Whether the bot may answer once more.
    pub fn allows(&mut self, policy: &PacingPolicy, conversation: &str, now_ms: Millis) -> bool {
        let budget = policy.guard_replies as usize;
        let Some(streak) = self.streaks.get_mut(conversation).filter(|_| budget > 0) else {
            return true;
        };
        streak.forget(now_ms);
        streak.replies.len() < budget && streak.all.len() < budget.saturating_mul(CROWD_FACTOR)
    }

    /// The bot answered.
    pub fn replied(
        &mut self,
        policy: &PacingPolicy,
        conversation: &str,
        author: &str,
        now_ms: Millis,
    ) {
        if policy.guard_replies == 0 {
            return;
        }
        if self.streaks.len() >= CONVERSATIONS_MAX {
            self.streaks.retain(|_, streak| !streak.is_over(now_ms));
        }
        if self.streaks.len() >= CONVERSATIONS_MAX && !self.streaks.contains_key(conversation) {
            return;
        }
        let streak = self.streaks.entry(conversation.to_owned()).or_default();
        streak.forget(now_ms);
        author.clone_into(&mut streak.author);
        streak.replies.push_back(now_ms);
        streak.all.push_back(now_ms);
        streak.unreported += 1;
    }

    /// Somebody lifted the pause: the count begins anew.
    pub fn lifted(&mut self, conversation: &str) {
        self.streaks.remove(conversation);
    }

    /// True when nothing it knows matters any more.
    pub fn is_rested(&self, now_ms: Millis) -> bool {
        self.streaks.values().all(|streak| streak.is_over(now_ms))
    }
}

impl Streak {
    fn forget(&mut self, now_ms: Millis) {
        let old = |at: &Millis| at.saturating_add(MINUTE_MS) <= now_ms;
        for times in [&mut self.replies, &mut self.all] {
            while times.front().is_some_and(old) {
                times.pop_front();
            }
        }
        self.unreported = self.unreported.min(self.all.len());
    }

    fn is_over(&self, now_ms: Millis) -> bool {
        let last = self.all.back();
        last.is_none_or(|at| at.saturating_add(MINUTE_MS) <= now_ms)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy() -> PacingPolicy {
        PacingPolicy::default()
    }

    fn text(conversation: &str) -> Action {
        Action::text(conversation, "hello")
    }

    #[test]
    fn a_burst_goes_out_at_once_and_the_rest_at_the_pace() {
        let (mut pace, policy) = (Pace::default(), policy());
        for to in ["a", "b", "c", "d", "e"] {
            assert_eq!(pace.wait_ms(&policy, &text(to), 0), 0, "{to}");
            pace.take(&policy, &text(to), 0.0, 0);
        }
        assert_eq!(pace.wait_ms(&policy, &text("f"), 0), 3_000);
        assert_eq!(pace.wait_ms(&policy, &text("f"), 2_999), 1);
        assert_eq!(pace.wait_ms(&policy, &text("f"), 3_000), 0);
        let other = Action::RefreshContacts;
        assert_eq!(pace.wait_ms(&policy, &other, 0), 0);
    }

    #[test]
    fn chance_makes_what_has_to_wait_wait_longer_and_no_burst_smaller() {
        let (mut pace, policy) = (Pace::default(), policy());
        for to in ["a", "b", "c", "d", "e"] {
            assert_eq!(pace.wait_ms(&policy, &text(to), 0), 0, "{to}");
            pace.take(&policy, &text(to), 1.0, 0);
        }
        assert_eq!(pace.wait_ms(&policy, &text("f"), 0), 4_500);
    }

    #[test]
    fn a_message_of_many_pieces_counts_for_all_of_them() {
        let word = || Segment::Text("a".into());
        let link = || Segment::Card("wxid_a".into());
        assert_eq!(messages(&[]), 1);
        assert_eq!(messages(&[word(), Segment::Mention("a".into()), word()]), 1);
        assert_eq!(messages(&[word(), link(), link(), word()]), 4);
    }

    #[test]
    fn no_limit_is_no_limit() {
        let (mut pace, policy) = (Pace::default(), PacingPolicy::unlimited());
        for _ in 0..10_000 {
            assert_eq!(pace.wait_ms(&policy, &text("a"), 0), 0);
            pace.take(&policy, &text("a"), 1.0, 0);
        }
        assert!(pace.is_rested(0));
    }

    #[test]
    fn two_bots_are_stopped_and_a_busy_person_is_not() {
        let (mut guard, policy) = (Guard::default(), policy());
        for at in 0..10 {
            guard.heard("bot", "bot", false);
            assert!(guard.allows(&policy, "bot", at));
            guard.replied(&policy, "bot", "bot", at);
            guard.heard("bot", "me", true);
        }
        assert!(!guard.allows(&policy, "bot", 10));
        assert!(guard.allows(&policy, "person", 10));
        // The oldest answer is a minute old.
        assert!(guard.allows(&policy, "bot", 60_000));
    }

    #[test]
    fn a_word_of_the_account_s_owner_or_of_somebody_else_begins_anew() {
        let policy = policy();
        for (author, outgoing) in [("me", true), ("carol", false)] {
            let mut guard = Guard::default();
            for at in 0..10 {
                guard.replied(&policy, "group", "bob", at);
                // The bot's own words come back as the account's.
                guard.heard("group", "me", true);
            }
            assert!(!guard.allows(&policy, "group", 10));
            guard.heard("group", author, outgoing);
            assert!(guard.allows(&policy, "group", 10), "{author}");
        }
    }

    #[test]
    fn a_crowd_of_bots_is_stopped_too() {
        let (mut guard, policy) = (Guard::default(), policy());
        for at in 0..30 {
            let author = if at % 2 == 0 { "bob" } else { "carol" };
            guard.heard("group", author, false);
            assert!(guard.allows(&policy, "group", at), "{at}");
            guard.replied(&policy, "group", author, at);
        }
        assert!(!guard.allows(&policy, "group", 30));
    }

    fn any_policy() -> impl Strategy<Value = PacingPolicy> {
        (1..200_u32, 1..20_u32, 1..200_u32, 1..20_u32, 0..=100_u32).prop_map(
            |(
                account_per_minute,
                account_burst,
                conversation_per_minute,
                conversation_burst,
                jitter_percent,
            )| {
                PacingPolicy {
                    account_per_minute,
                    account_burst,
                    conversation_per_minute,
                    conversation_burst,
                    jitter_percent,
                    ..PacingPolicy::default()
                }
            },
        )
    }

    proptest! {
        /// Sends whenever it may, whatever the steps of time and the chances.
        #[test]
        fn no_minute_has_more_than_its_rate_and_a_burst(
            policy in any_policy(),
            steps in prop::collection::vec((0..5_000_u64, 0.0..1.0_f64, 0..3_usize), 1..300),
        ) {
            let (mut pace, mut now) = (Pace::default(), 0);
            let mut sent: Vec<(u64, usize)> = Vec::new();
            for (step, chance, to) in steps {
                now += step;
                let action = text(["a", "b", "c"].get(to).copied().unwrap_or("a"));
                if pace.wait_ms(&policy, &action, now) == 0 {
                    pace.take(&policy, &action, chance, now);
                    sent.push((now, to));
                }
            }
            let most = |per_minute: u32, burst: u32| (per_minute + burst) as usize;
            for (i, &(from, _)) in sent.iter().enumerate() {
                let minute = sent.iter().skip(i).take_while(|(at, _)| *at < from + MINUTE_MS);
                let minute: Vec<_> = minute.collect();
                prop_assert!(
                    minute.len() <= most(policy.account_per_minute, policy.account_burst)
                );
                for conversation in 0..3 {
                    let to = minute.iter().filter(|(_, to)| *to == conversation).count();
                    let rate = policy.conversation_per_minute;
                    prop_assert!(to <= most(rate, policy.conversation_burst));
                }
            }
        }

        /// Nothing waits for ever: whoever waits as long as told may send.
        #[test]
        fn waiting_as_long_as_told_is_enough(
            policy in any_policy(),
            chances in prop::collection::vec(0.0..1.0_f64, 1..100),
        ) {
            let (mut pace, mut now) = (Pace::default(), 0);
            for chance in chances {
                now += pace.wait_ms(&policy, &text("a"), now);
                prop_assert_eq!(pace.wait_ms(&policy, &text("a"), now), 0);
                pace.take(&policy, &text("a"), chance, now);
            }
            // At the even pace with the longest stretch, and no slower.
            let slowest = policy.account().interval_ms.max(policy.conversation().interval_ms);
            prop_assert!(now <= 100 * (2 * slowest + 1));
        }

        /// The guard never lets more through than its budget within a minute,
        /// and by itself opens again.
        #[test]
        fn a_talk_of_two_bots_stays_within_the_budget(
            budget in 1..20_u32,
            steps in prop::collection::vec(0..20_000_u64, 1..200),
        ) {
            let policy = PacingPolicy { guard_replies: budget, ..PacingPolicy::default() };
            let (mut guard, mut now) = (Guard::default(), 0);
            let mut replies: Vec<u64> = Vec::new();
            for step in steps {
                now += step;
                guard.heard("bot", "bot", false);
                if guard.allows(&policy, "bot", now) {
                    guard.replied(&policy, "bot", "bot", now);
                    replies.push(now);
                }
                let minute = replies.iter().filter(|&&at| at + MINUTE_MS > now);
                prop_assert!(minute.count() <= budget as usize);
            }
            prop_assert!(guard.allows(&policy, "bot", now + MINUTE_MS));
            prop_assert!(guard.is_rested(now + MINUTE_MS));
        }
    }
}
