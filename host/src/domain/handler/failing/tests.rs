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

/// A person who writes to the account.
fn person(number: u32) -> Source {
    said(&format!("p{number}"), &format!("p{number}"))
}

/// Somebody who writes somewhere.
fn said(conversation: &str, person: &str) -> Source {
    Source {
        conversation: Some(conversation.to_owned()),
        person: Some(person.to_owned()),
    }
}

fn limit(failures_in_a_row: u32) -> FailingPolicy {
    FailingPolicy {
        failures_in_a_row,
        ..FailingPolicy::default()
    }
}

/// It fails for these, one after the other.
fn fails(failing: &mut Failing, bot: &Deployment, sources: &[Source]) -> Begun {
    let policy = FailingPolicy::default();
    let mut begun = Begun::default();
    for source in sources {
        begun = failing.failed(bot, source, &policy, "boom", (0.0, 0));
    }
    begun
}

#[test]
fn pauses_double_up_to_the_longest() {
    let (policy, bot) = (FailingPolicy::default(), bot("faq", 1));
    let mut failing = fresh(&bot);
    for number in 0..4 {
        let begun = failing.failed(&bot, &person(number), &policy, "boom", (0.0, 0));
        assert_eq!(begun, Begun::default());
        assert!(!failing.holds(&bot, 0));
    }
    let mut now_ms = 0;
    for (number, seconds) in (4..).zip([10, 20, 40, 80, 160, 320, 600, 600]) {
        let begun = failing.failed(&bot, &person(number), &policy, "boom\nat f", (0.0, now_ms));
        let pause = begun.account.unwrap();
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
fn one_conversation_pauses_alone_and_longer_each_time() {
    let (policy, bot) = (FailingPolicy::default(), bot("faq", 1));
    let (mut failing, poison) = (fresh(&bot), person(1));
    let whose = poison.conversation.as_deref();
    fails(&mut failing, &bot, &vec![poison.clone(); 4]);
    let mut now_ms = 0;
    for seconds in [10, 20, 40] {
        assert!(!failing.holds_in(&bot, whose, now_ms));
        let begun = failing.failed(&bot, &poison, &policy, "boom", (0.0, now_ms));
        assert_eq!(begun.account, None);
        let pause = begun.conversation.unwrap();
        assert_eq!(pause.until_ms - now_ms, seconds * 1_000);
        assert!(failing.holds_in(&bot, whose, pause.until_ms - 1));
        assert!(!failing.holds_in(&bot, Some("p2"), pause.until_ms - 1));
        assert_eq!(failing.held_until(&bot, Some("p2"), now_ms), None);
        // Others go well meanwhile, which is no reason to call it there.
        failing.succeeded(Some("p2"), now_ms);
        failing.passes_by(whose, now_ms);
        assert_eq!(failing.failures, 0);
        now_ms = pause.until_ms;
    }
    assert_eq!(failing.of(whose).unwrap().passed_by, 3);
    assert_eq!(failing.passed_by, 0);
    failing.succeeded(whose, now_ms);
    assert!(failing.is_over());
}

#[test]
fn a_pause_of_the_account_takes_two_people_in_two_conversations() {
    let bot = bot("faq", 1);
    let (x, y) = ("wxid_x", "wxid_y");
    let alone = [
        // One person, in private and in groups.
        [said(x, x), said("g1", x), said("g2", x)],
        // Many in one group.
        [said("g1", x), said("g1", y), said("g1", "wxid_z")],
    ];
    for sources in alone {
        let mut failing = fresh(&bot);
        let sources: Vec<_> = sources.iter().cycle().take(30).cloned().collect();
        let begun = fails(&mut failing, &bot, &sources);
        assert_eq!((begun.account, failing.pause), (None, None));
    }
    // What belongs to no conversation, such as timers that somebody had it set.
    let mut failing = fresh(&bot);
    let nobody = Source::default();
    let begun = fails(
        &mut failing,
        &bot,
        &[vec![said(x, x); 4], vec![nobody; 9]].concat(),
    );
    assert_eq!((begun.account, failing.failures), (None, 4));
    assert!(!failing.holds_in(&bot, None, 1) && !failing.holds_in(&bot, Some(x), 1));

    let begun = fails(&mut failing, &bot, &[said("g1", y)]);
    assert!(begun.account.is_some() && failing.holds_in(&bot, Some("g9"), 1));

    // A group's own event comes first, of which nobody is known: people count as ever.
    let renamed = Source {
        conversation: Some("g1".to_owned()),
        person: None,
    };
    let sources = [vec![renamed], vec![said(x, x); 3], vec![said("g2", y)]].concat();
    assert!(fails(&mut fresh(&bot), &bot, &sources).account.is_some());
}

#[test]
fn who_pauses_alone_does_not_lengthen_the_account_s_pause() {
    let (policy, bot) = (FailingPolicy::default(), bot("faq", 1));
    let mut failing = fresh(&bot);
    let poison = person(1);
    fails(
        &mut failing,
        &bot,
        &[vec![poison.clone(); 5], vec![person(2)]].concat(),
    );
    let pause = failing.pause.unwrap();
    assert_eq!(failing.conversations.len(), 2);
    let begun = failing.failed(&bot, &poison, &policy, "boom", (0.0, pause.until_ms));
    assert_eq!((begun.account, failing.pause), (None, Some(pause)));
    assert!(begun.conversation.is_some());
    // It goes well for others: only who pauses alone still counts.
    failing.succeeded(Some("p3"), pause.until_ms);
    assert_eq!((failing.pause, failing.conversations.len()), (None, 1));
}

#[test]
fn two_who_have_the_account_pause_together_are_soon_paused_alone() {
    let (bot, mut now_ms) = (bot("faq", 1), 0);
    let mut failing = fresh(&bot);
    let mut pauses = 0;
    for _ in 0..20 {
        let policy = FailingPolicy::default();
        for who in [1, 1, 1, 1, 2] {
            let who = person(who);
            if !failing.holds_in(&bot, who.conversation.as_deref(), now_ms) {
                let begun = failing.failed(&bot, &who, &policy, "boom", (0.0, now_ms));
                pauses += u32::from(begun.account.is_some());
            }
        }
        now_ms = failing.pause.map_or(now_ms + 1_000, |it| it.until_ms);
        failing.succeeded(Some("p3"), now_ms);
    }
    assert!(pauses <= 2, "{pauses}");
}

#[test]
fn conversations_are_forgotten_when_too_many_fail_or_they_did_long_ago() {
    let (policy, bot) = (limit(0), bot("faq", 1));
    let mut failing = fresh(&bot);
    let many = u32::try_from(CONVERSATIONS_MAX).unwrap() + 1;
    for number in [(0..many).collect(), vec![1]].concat() {
        failing.failed(&bot, &person(number), &policy, "boom", (0.0, 5));
    }
    assert_eq!(failing.conversations.len(), CONVERSATIONS_MAX);
    assert_eq!(failing.of(Some("p0")), None);
    assert_eq!(failing.conversations.last().unwrap().failures, 2);
    failing.succeeded(Some("p9"), 3_600_000);
    assert_eq!(failing.conversations.len(), CONVERSATIONS_MAX - 1);
    failing.succeeded(Some("p9"), 3_600_005);
    assert!(failing.is_over());
}

#[test]
fn where_too_many_fail_one_that_pauses_is_not_the_first_to_be_forgotten() {
    let (policy, bot) = (limit(2), bot("faq", 1));
    let mut failing = fresh(&bot);
    let many = u32::try_from(CONVERSATIONS_MAX).unwrap() + 1;
    for number in [vec![0, 0], (1..many).collect()].concat() {
        failing.failed(&bot, &person(number), &policy, "boom", (0.0, 5));
    }
    assert_eq!(failing.conversations.len(), CONVERSATIONS_MAX);
    assert!(failing.of(Some("p0")).unwrap().pause.is_some());
    assert_eq!(failing.of(Some("p1")), None);
}

#[test]
fn another_version_begins_anew_and_what_waits_still_waits() {
    let policy = limit(1);
    let (old, new) = (bot("faq", 1), bot("faq", 2));
    let mut failing = fresh(&old);
    failing.waiting.add(7);
    failing.failed(&old, &person(1), &policy, "boom", (0.5, 0));
    let begun = failing.failed(&old, &person(2), &policy, "boom", (0.5, 0));
    assert!(begun.account.is_some());
    assert!(failing.holds(&old, 1) && !failing.holds(&new, 1));
    assert!(!failing.holds(&bot("echo", 1), 1));
    let begun = failing.failed(&new, &person(1), &policy, "boom", (0.0, 5));
    let pause = begun.conversation.unwrap();
    assert_eq!((pause.pauses, pause.since_ms), (1, 5));
    assert_eq!((failing.pause, failing.conversations.len()), (None, 1));
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
    for who in [person(1), person(2), Source::default()] {
        failing.failed(&bot("faq", 3), &who, &limit(2), "boom", (1.0, 5));
        let json = serde_json::to_string(&failing).unwrap();
        assert_eq!(serde_json::from_str::<Failing>(&json).unwrap(), failing);
    }
    let little = r#"{"account":"a","handler":"faq","version":1}"#;
    assert!(serde_json::from_str::<Failing>(little).unwrap().is_over());
}

#[test]
fn a_pause_of_a_record_of_before_goes_on() {
    let before = r#"{"account":"a","handler":"faq","version":1,"failures":5,"reason":"boom",
        "pause":{"since_ms":0,"until_ms":9,"pauses":1}}"#;
    let mut failing: Failing = serde_json::from_str(before).unwrap();
    let bot = bot("faq", 1);
    assert!(failing.holds_in(&bot, Some("p1"), 8));
    let begun = fails(&mut failing, &bot, &[person(1)]);
    assert_eq!(begun.account.unwrap().pauses, 2);
}

/// What the property test knows of an account, by other means.
#[derive(Debug, Default)]
struct Model {
    /// Of each conversation that fails: failures, and until when it pauses.
    own: std::collections::BTreeMap<u8, (u32, Millis)>,
    /// Who has failed since the last call that went well, as far as it counts.
    run: Vec<u8>,
    until_ms: Millis,
    waiting: Vec<u64>,
}

#[derive(Debug, Clone)]
enum Step {
    /// An event of this conversation comes after so many ms, and its call fails or not.
    Comes(u8, u64, bool),
    Waits(u64),
    Runs,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u8..4, 0u64..30_000, proptest::bool::weighted(0.8))
            .prop_map(|(who, after, fails)| Step::Comes(who, after, fails)),
        1 => (0u64..1000).prop_map(Step::Waits),
        1 => Just(Step::Runs),
    ]
}

impl Model {
    /// Pauses of the account and of the conversation that a failure begins.
    fn fails(&mut self, who: u8, limit: u32) -> (bool, bool) {
        let (failures, until_ms) = self.own.entry(who).or_default();
        *failures += 1;
        let own = limit > 0 && *failures >= limit;
        if *until_ms > 0 {
            return (false, own);
        }
        self.run.push(who);
        let several = self.run.iter().any(|it| Some(it) != self.run.first());
        let account = limit > 0 && several && self.run.len() >= limit as usize;
        (account, own)
    }

    fn holds(&self, who: u8, now_ms: Millis) -> bool {
        let own = self.own.get(&who).is_some_and(|(_, until)| now_ms < *until);
        own || now_ms < self.until_ms
    }
}

proptest! {
    #[test]
    fn whatever_happens_pauses_have_an_end_and_concern_who_fails(
        limit_set in 0u32..7,
        people in 1u8..4,
        steps in proptest::collection::vec(step(), 0..80),
    ) {
        let (policy, bot) = (limit(limit_set), bot("faq", 1));
        let (mut failing, mut now_ms) = (fresh(&bot), 1_000u64);
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Comes(who, after, fails) => {
                    let who = who % people;
                    now_ms += after;
                    let source = person(who.into());
                    let whose = source.conversation.as_deref();
                    prop_assert_eq!(failing.holds_in(&bot, whose, now_ms), model.holds(who, now_ms));
                    if model.holds(who, now_ms) {
                        continue;
                    }
                    if !fails {
                        failing.succeeded(whose, now_ms);
                        let all_failed = model.until_ms > 0;
                        model.own.remove(&who);
                        model.own.retain(|_, (failures, until)| {
                            *until > 0 || *failures > 1 || !all_failed
                        });
                        model.run.clear();
                        model.until_ms = 0;
                        continue;
                    }
                    let (account, own) = model.fails(who, limit_set);
                    let begun = failing.failed(&bot, &source, &policy, "x", (0.5, now_ms));
                    prop_assert_eq!(begun.account.is_some(), account);
                    prop_assert_eq!(begun.conversation.is_some(), own);
                    for pause in begun.account.iter().chain(&begun.conversation) {
                        let ms = pause.until_ms - now_ms;
                        prop_assert!((8_000..=600_000).contains(&ms), "{}", ms);
                    }
                    model.until_ms = begun.account.map_or(model.until_ms, |it| it.until_ms);
                    if let (Some(pause), Some(own)) = (begun.conversation, model.own.get_mut(&who)) {
                        own.1 = pause.until_ms;
                    }
                }
                Step::Waits(bytes) => {
                    failing.waiting.add(bytes);
                    model.waiting.push(bytes);
                }
                Step::Runs => {
                    if let Some(bytes) = model.waiting.pop() {
                        failing.waiting.remove(bytes);
                    }
                }
            }
            // One alone never pauses the account.
            prop_assert!(people > 1 || failing.pause.is_none());
            prop_assert_eq!(failing.failures as usize, model.run.len());
            prop_assert_eq!(failing.conversations.len(), model.own.len());
            prop_assert_eq!(failing.waiting.events as usize, model.waiting.len());
            prop_assert_eq!(failing.waiting.bytes, model.waiting.iter().sum::<u64>());
            let over = model.own.is_empty() && model.run.is_empty() && model.waiting.is_empty();
            prop_assert_eq!(failing.is_over(), over);
        }
    }

    #[test]
    fn whatever_one_conversation_does_others_are_served(
        steps in proptest::collection::vec((0u64..700_000, proptest::bool::weighted(0.9)), 0..60),
    ) {
        let (policy, bot) = (FailingPolicy::default(), bot("faq", 1));
        let (mut failing, mut now_ms, poison) = (fresh(&bot), 0u64, person(1));
        for (after, fails) in steps {
            now_ms += after;
            prop_assert!(!failing.holds_in(&bot, Some("p2"), now_ms));
            let whose = poison.conversation.as_deref();
            match failing.holds_in(&bot, whose, now_ms) {
                true => failing.passes_by(whose, now_ms),
                false if fails => {
                    failing.failed(&bot, &poison, &policy, "x", (0.0, now_ms));
                }
                false => failing.succeeded(whose, now_ms),
            }
            prop_assert_eq!(failing.pause, None);
        }
    }
}
