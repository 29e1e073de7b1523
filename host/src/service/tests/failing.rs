//! A handler that keeps failing for an account, with a clock that the test sets.

use super::*;
use crate::domain::{
    HandlerName, Millis,
    handler::{Failing, FailingPolicy, Manifest, WhenFailing},
};

fn a() -> AccountId {
    "wxid_a".try_into().unwrap()
}

fn bot() -> HandlerName {
    "bot".try_into().unwrap()
}

/// A host whose bot breaks, and has been told what becomes of events then.
async fn broken(when_failing: WhenFailing, failing: FailingPolicy) -> Rig {
    let policies = Policies {
        pacing: PacingPolicy::unlimited(),
        failing,
        ..Policies::default()
    };
    let rig = rig_with(None, policies).await;
    rig.deploy_as(b"waits", when_failing).await;
    rig.bot.breaks.store(true, Ordering::SeqCst);
    rig
}

impl Rig {
    async fn deploy_as(&self, component: &'static [u8], when_failing: WhenFailing) {
        let deploy = Deploy {
            manifest: Some(Manifest {
                when_failing,
                ..Manifest::default()
            }),
            ..Deploy::of(bot(), Bytes::from_static(component))
        };
        self.service.deploy(deploy).await.unwrap();
    }

    /// These messages come, each from another person, and are answered so many times.
    async fn say(&self, numbers: impl IntoIterator<Item = u32>) -> usize {
        let mut answers = 0;
        for number in numbers {
            answers += self.say_in(&format!("wxid_{number}"), [number]).await;
        }
        answers
    }

    /// These messages come from one person.
    async fn say_in(&self, person: &str, numbers: impl IntoIterator<Item = u32>) -> usize {
        let mut answers = 0;
        for number in numbers {
            let mut delivery = said(&number.to_string());
            if let Happening::Message(message) = &mut delivery.event.what {
                message.conversation = person.to_owned();
                message.author = person.to_owned();
            }
            answers += self.service.deliver(delivery).await.unwrap().len();
        }
        answers
    }

    fn saw(&self) -> Vec<String> {
        std::mem::take(&mut *self.bot.saw.lock().unwrap())
    }

    async fn became(&self, number: u32) -> EventOutcome {
        let key = EventKey::new(&format!("msg-{number}"));
        self.service.event(&a(), &key).await.unwrap().outcome
    }

    async fn failing(&self) -> Option<Failing> {
        self.service.failing(&a()).await.unwrap()
    }

    async fn until(&self) -> Millis {
        self.failing().await.unwrap().pause.unwrap().until_ms
    }

    /// The pause ends.
    async fn pause_ends(&self) {
        let until_ms = self.until().await;
        self.clock.store(until_ms, Ordering::SeqCst);
    }

    fn mends(&self) {
        self.bot.breaks.store(false, Ordering::SeqCst);
    }

    /// What goes on in the background comes to its end.
    async fn background(&self) {
        while !self.service.0.calls.is_empty() {
            tokio::task::yield_now().await;
        }
    }
}

fn keys(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    let key = |number| format!("msg-{number}");
    numbers.into_iter().map(key).collect()
}

#[tokio::test]
async fn after_five_failures_events_pass_by_until_one_goes_well() {
    let rig = broken(WhenFailing::PassBy, FailingPolicy::default()).await;
    assert_eq!(rig.say(1..=8).await, 0);
    assert_eq!(rig.saw(), keys(1..=5));
    assert_eq!(rig.became(5).await, EventOutcome::Failed);
    assert_eq!(rig.became(6).await, EventOutcome::PassedBy);
    let failing = rig.failing().await.unwrap();
    assert_eq!((failing.failures, failing.passed_by), (5, 3));
    assert_eq!(failing.reason, "boom");
    // One is tried, and brings a longer pause.
    rig.pause_ends().await;
    let before_ms = rig.service.now();
    rig.say(9..=10).await;
    assert_eq!(rig.saw(), keys(9..=9));
    let pause_ms = rig.until().await - before_ms;
    assert!((16_000..=20_000).contains(&pause_ms), "{pause_ms}");
    // What the client says again stays as it was.
    rig.mends();
    rig.pause_ends().await;
    assert_eq!(rig.say([10]).await, 0);
    assert_eq!(rig.say(11..=12).await, 2);
    assert_eq!(rig.saw(), keys(11..=12));
    assert_eq!(rig.failing().await, None);
}

#[tokio::test]
async fn a_call_that_goes_well_between_begins_the_count_anew() {
    let rig = broken(WhenFailing::PassBy, FailingPolicy::default()).await;
    rig.say(1..=4).await;
    rig.mends();
    rig.say([5]).await;
    rig.bot.breaks.store(true, Ordering::SeqCst);
    rig.say(6..=9).await;
    assert_eq!(rig.saw(), keys(1..=9));
    assert_eq!(rig.failing().await.unwrap().failures, 4);
}

#[tokio::test]
async fn one_person_s_poison_pauses_nobody_else() {
    let rig = broken(WhenFailing::PassBy, FailingPolicy::default()).await;
    rig.say_in("wxid_poison", 1..=7).await;
    assert_eq!(rig.saw(), keys(1..=5));
    assert_eq!(rig.became(7).await, EventOutcome::PassedBy);
    rig.mends();
    assert_eq!(rig.say(8..=9).await, 2);
    let rig = rig.restart().await;
    let failing = rig.failing().await.unwrap();
    assert_eq!((failing.pause, failing.failures), (None, 0));
    let own = failing.of(Some("wxid_poison")).unwrap();
    assert_eq!((own.failures, own.passed_by), (5, 2));
    assert_eq!(rig.say_in("wxid_poison", [10]).await, 0);
    let paused = rig.service.paused_accounts().await.unwrap();
    assert_eq!(paused.get(&bot()), Some(&1));
    // One is tried, and goes well.
    rig.saw();
    let until_ms = own.pause.unwrap().until_ms;
    rig.clock.store(until_ms, Ordering::SeqCst);
    assert_eq!(rig.say_in("wxid_poison", 11..=12).await, 2);
    assert_eq!(rig.failing().await, None);
}

#[tokio::test]
async fn what_waits_of_one_conversation_holds_up_nobody_else() {
    let rig = broken(WhenFailing::Wait, FailingPolicy::default()).await;
    rig.say_in("wxid_poison", 1..=7).await;
    rig.mends();
    assert_eq!(rig.say([8]).await, 1);
    assert_eq!(rig.became(7).await, EventOutcome::Waiting);
    let rig = rig.restart().await;
    assert_eq!(rig.say([9]).await, 1);
    // Others are paused as well, for a shorter time: they wait, and come before.
    rig.clock.fetch_add(1_000, Ordering::SeqCst);
    rig.bot.breaks.store(true, Ordering::SeqCst);
    rig.say(11..=16).await;
    rig.mends();
    rig.saw();
    let failing = rig.failing().await.unwrap();
    assert_eq!(failing.waiting.events, 3);
    let own = failing.of(Some("wxid_poison")).unwrap().pause.unwrap();
    let mut until_ms = [own.until_ms, failing.pause.unwrap().until_ms];
    until_ms.sort();
    rig.clock.store(until_ms[1], Ordering::SeqCst);
    rig.pass(0).await;
    assert_eq!(rig.saw(), [keys(6..=7), keys([16])].concat());
    assert_eq!(rig.failing().await, None);
}

#[tokio::test]
async fn what_is_poison_is_tried_alone_and_its_conversation_stays_in_order() {
    let rig = broken(WhenFailing::Wait, FailingPolicy::default()).await;
    rig.say_in("wxid_poison", 1..=7).await;
    let own = async || {
        let failing = rig.failing().await.unwrap();
        failing.of(Some("wxid_poison")).unwrap().pause.unwrap()
    };
    rig.clock.store(own().await.until_ms, Ordering::SeqCst);
    rig.pass(0).await;
    assert_eq!(rig.saw(), keys(1..=6));
    assert_eq!(rig.became(6).await, EventOutcome::Failed);
    assert_eq!(own().await.pauses, 2);
    rig.mends();
    assert_eq!(rig.say([8]).await, 1);
    rig.clock.store(own().await.until_ms, Ordering::SeqCst);
    // The alarm has not been answered yet: it does not overtake what waits.
    assert_eq!(rig.say_in("wxid_poison", [9]).await, 0);
    rig.pass(0).await;
    assert_eq!(rig.saw(), keys([8, 7, 9]));
    assert_eq!(rig.failing().await, None);
}

#[tokio::test]
async fn a_pause_outlives_a_restart_and_so_does_the_count() {
    let rig = broken(WhenFailing::PassBy, FailingPolicy::default()).await;
    rig.say(1..=3).await;
    let rig = rig.restart().await;
    rig.say(4..=6).await;
    let rig = rig.restart().await;
    rig.say(7..=8).await;
    assert_eq!(rig.saw(), keys(1..=5));
    assert_eq!(rig.failing().await.unwrap().passed_by, 3);
}

#[tokio::test]
async fn what_waits_is_run_in_order_and_once_when_the_pause_ends() {
    let rig = broken(WhenFailing::Wait, FailingPolicy::default()).await;
    rig.say(1..=8).await;
    // Said again while it waits.
    rig.say([7]).await;
    assert_eq!(rig.saw(), keys(1..=5));
    assert_eq!(rig.became(7).await, EventOutcome::Waiting);
    assert_eq!(rig.failing().await.unwrap().waiting.events, 3);
    let rig = rig.restart().await;
    rig.mends();
    rig.pause_ends().await;
    rig.pass(0).await;
    assert_eq!(rig.saw(), keys(6..=8));
    assert_eq!(rig.became(7).await, EventOutcome::Handled);
    assert_eq!(rig.failing().await, None);
    // Their answers are in the queue, in order, and not repeated.
    assert_eq!(rig.say([6, 7, 8]).await, 0);
    let tasks = rig.service.tasks(&a(), Default::default(), 99).await;
    assert_eq!(tasks.unwrap().len(), 3);
    rig.pass(60_000).await;
    assert_eq!(rig.saw(), keys([]));
}

#[tokio::test]
async fn what_is_new_does_not_overtake_what_waits() {
    let rig = broken(WhenFailing::Wait, FailingPolicy::default()).await;
    rig.say(1..=6).await;
    rig.mends();
    rig.pause_ends().await;
    // The alarm has not been answered yet.
    assert_eq!(rig.say([7]).await, 0);
    rig.pass(0).await;
    assert_eq!(rig.saw(), keys(1..=7));
    assert_eq!(rig.say([8]).await, 1);
}

#[tokio::test]
async fn one_that_waits_is_tried_and_the_others_wait_on() {
    let rig = broken(WhenFailing::Wait, FailingPolicy::default()).await;
    rig.say(1..=8).await;
    rig.pause_ends().await;
    rig.pass(0).await;
    assert_eq!(rig.saw(), keys(1..=6));
    assert_eq!(rig.became(6).await, EventOutcome::Failed);
    assert_eq!(rig.failing().await.unwrap().waiting.events, 2);
    rig.mends();
    rig.pause_ends().await;
    rig.pass(0).await;
    assert_eq!(rig.saw(), keys(7..=8));
}

#[tokio::test]
async fn when_too_many_wait_the_oldest_passes_by() {
    let policy = FailingPolicy {
        waiting_events: 2,
        ..FailingPolicy::default()
    };
    let rig = broken(WhenFailing::Wait, policy).await;
    rig.say(1..=9).await;
    let failing = rig.failing().await.unwrap();
    assert_eq!((failing.waiting.events, failing.passed_by), (2, 2));
    assert_eq!(rig.became(7).await, EventOutcome::PassedBy);
    assert_eq!(rig.became(8).await, EventOutcome::Waiting);
    rig.mends();
    rig.pause_ends().await;
    rig.pass(0).await;
    assert_eq!(rig.saw(), [keys(1..=5), keys(8..=9)].concat());
}

#[tokio::test]
async fn an_event_that_is_too_large_to_wait_passes_by() {
    let policy = FailingPolicy {
        waiting_bytes: 10,
        ..FailingPolicy::default()
    };
    let rig = broken(WhenFailing::Wait, policy).await;
    rig.say(1..=6).await;
    assert_eq!(rig.became(6).await, EventOutcome::PassedBy);
    assert_eq!(rig.failing().await.unwrap().waiting.events, 0);
}

#[tokio::test]
async fn somebody_can_end_a_pause() {
    let rig = broken(WhenFailing::Wait, FailingPolicy::default()).await;
    let nothing = rig.service.resume_handler(&bot(), &a()).await;
    assert!(matches!(nothing, Err(Error::NotFound { .. })));
    rig.say(1..=7).await;
    rig.mends();
    let ended = rig.service.resume_handler(&bot(), &a()).await.unwrap();
    assert_eq!(ended.waiting.events, 2);
    rig.pass(0).await;
    assert_eq!(rig.saw(), keys(1..=7));
    let again = rig.service.resume_handler(&bot(), &a()).await;
    assert!(matches!(again, Err(Error::NotFound { .. })));
    // The same of one conversation.
    rig.bot.breaks.store(true, Ordering::SeqCst);
    rig.say_in("wxid_poison", 11..=16).await;
    rig.mends();
    rig.service.resume_handler(&bot(), &a()).await.unwrap();
    assert!(rig.service.resume_handler(&bot(), &a()).await.is_err());
    rig.pass(0).await;
    assert_eq!(rig.say_in("wxid_poison", [17]).await, 1);
    assert_eq!(rig.saw(), keys(11..=17));
}

#[tokio::test]
async fn a_new_version_or_configuration_ends_pauses_at_once() {
    let rig = broken(WhenFailing::Wait, FailingPolicy::default()).await;
    rig.say(1..=7).await;
    assert_eq!(
        rig.service.paused_accounts().await.unwrap().get(&bot()),
        Some(&1)
    );
    rig.deploy_as(b"better", WhenFailing::Wait).await;
    rig.background().await;
    rig.mends();
    rig.pass(0).await;
    assert_eq!(rig.saw(), keys(1..=7));
    assert_eq!(
        rig.service.paused_accounts().await.unwrap().get(&bot()),
        None
    );

    rig.bot.breaks.store(true, Ordering::SeqCst);
    rig.say(11..=17).await;
    let entries = [("k".to_owned(), Some("v".to_owned()))].into();
    let other = AccountId::try_from("wxid_b").unwrap();
    let of_other = Clone::clone(&entries);
    let changed = rig
        .service
        .change_config(&bot(), Some(other), of_other)
        .await;
    changed.unwrap();
    rig.background().await;
    assert!(rig.failing().await.unwrap().pause.is_some());
    let changed = rig.service.change_config(&bot(), None, entries).await;
    changed.unwrap();
    rig.background().await;
    rig.mends();
    rig.pass(0).await;
    assert_eq!(rig.saw(), keys(11..=17));
}

#[tokio::test]
async fn what_waits_goes_to_whoever_serves_by_then_or_to_nobody() {
    let rig = broken(WhenFailing::Wait, FailingPolicy::default()).await;
    rig.say(1..=6).await;
    rig.mends();
    let other: HandlerName = "other".try_into().unwrap();
    let deploy = Deploy::of(other.clone(), Bytes::from_static(b"other"));
    rig.service.deploy(deploy).await.unwrap();
    rig.service
        .bind(Scope::Account(a()), other.clone())
        .await
        .unwrap();
    rig.background().await;
    rig.pass(0).await;
    assert_eq!(rig.saw(), keys(1..=6));
    assert_eq!(rig.became(6).await, EventOutcome::Handled);

    rig.bot.breaks.store(true, Ordering::SeqCst);
    rig.service.unbind(Scope::Account(a())).await.unwrap();
    rig.background().await;
    rig.say(11..=16).await;
    rig.service.unbind(Scope::All).await.unwrap();
    rig.background().await;
    rig.pass(0).await;
    assert_eq!(rig.saw(), keys(11..=15));
    assert_eq!(rig.became(16).await, EventOutcome::Unhandled);
    assert_eq!(rig.failing().await, None);
}

#[tokio::test]
async fn the_same_content_that_comes_again_while_it_waits_is_two_events() {
    let rig = broken(WhenFailing::Wait, FailingPolicy::default()).await;
    rig.say(1..=5).await;
    let left = || {
        let what = Happening::FriendRemoved("wxid_bob".to_owned());
        delivery("removed-1", what, Some(REPEATED_WITHIN))
    };
    // Longer than the pause, so it fails again, and pauses longer.
    rig.service.deliver(left()).await.unwrap();
    rig.service.deliver(left()).await.unwrap();
    assert_eq!(rig.failing().await.unwrap().waiting.events, 1);
    rig.clock.fetch_add(60_000, Ordering::SeqCst);
    rig.service.deliver(left()).await.unwrap();
    assert_eq!(rig.failing().await.unwrap().waiting.events, 2);
    rig.mends();
    rig.pass(0).await;
    let twice = ["removed-1".to_owned(), "removed-1".to_owned()];
    assert_eq!(rig.saw(), [keys(1..=5), twice.to_vec()].concat());
    assert_eq!(rig.failing().await, None);
}

#[tokio::test]
async fn a_timer_waits_with_the_others() {
    let rig = broken(WhenFailing::Wait, FailingPolicy::default()).await;
    rig.mends();
    let due_ms = rig.service.now() + 5;
    *rig.bot.timers.lock().unwrap() = vec![TimerChange::Put {
        timer: crate::domain::Timer {
            handler: bot(),
            id: "t".to_owned(),
            due_ms,
            payload: "p".to_owned(),
        },
        instead_of_ms: None,
    }];
    rig.log_in("wxid_a", None).await.unwrap();
    rig.bot.breaks.store(true, Ordering::SeqCst);
    rig.say(1..=6).await;
    rig.pass(5).await;
    assert_eq!(rig.failing().await.unwrap().waiting.events, 2);
    assert_eq!(rig.service.timers(&a(), None, 9).await.unwrap().items, []);
    rig.mends();
    rig.pause_ends().await;
    rig.pass(0).await;
    let saw = rig.saw();
    assert!(saw.last().unwrap().starts_with("timer-bot:t-"), "{saw:?}");
    assert_eq!(rig.bot.fired.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_host_without_room_is_no_failure_of_the_bot() {
    let rig = broken(WhenFailing::PassBy, FailingPolicy::default()).await;
    rig.say(1..=4).await;
    rig.bot.busy.store(true, Ordering::SeqCst);
    for number in 5..=9 {
        let busy = rig.service.deliver(said(&number.to_string())).await;
        assert!(matches!(busy, Err(Error::Busy { .. })));
    }
    rig.bot.busy.store(false, Ordering::SeqCst);
    assert_eq!(rig.failing().await.unwrap().failures, 4);
    let off = FailingPolicy {
        failures_in_a_row: 0,
        ..FailingPolicy::default()
    };
    let rig = broken(WhenFailing::PassBy, off).await;
    rig.say(1..=9).await;
    assert_eq!(rig.saw().len(), 9);
    assert_eq!(rig.failing().await, None);
}
