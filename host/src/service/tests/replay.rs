//! Recording events, and running them again.

use super::*;
use crate::domain::{
    HandlerName, Recorded,
    handler::VersionNumber,
    record::RecordPolicy,
    replay::{Sign, Verdict},
};

fn a() -> AccountId {
    "wxid_a".try_into().unwrap()
}

fn replay(last: usize) -> Replay {
    Replay {
        handler: HandlerName::try_from("bot").unwrap(),
        version: None,
        account: a(),
        last,
        after: None,
    }
}

async fn recording(events_per_account: u32) -> Rig {
    let policies = Policies {
        pacing: PacingPolicy::unlimited(),
        record: RecordPolicy {
            events_per_account,
            ..RecordPolicy::default()
        },
        ..Policies::default()
    };
    rig_with(None, policies).await
}

impl Rig {
    fn will_say(&self, text: &str) {
        *self.bot.says.lock().unwrap() = Some(text.to_owned());
    }

    async fn deliver_all(&self, numbers: std::ops::RangeInclusive<u32>) {
        for number in numbers {
            let delivery = said(&number.to_string());
            self.service.deliver(delivery).await.unwrap();
        }
    }

    async fn recorded(&self) -> Vec<Recorded> {
        self.service.0.store.recorded(&a()).await.unwrap()
    }
}

fn keys(recorded: &[Recorded]) -> Vec<String> {
    let key = |it: &Recorded| it.event.read().unwrap().key.as_str().to_owned();
    recorded.iter().map(key).collect()
}

#[tokio::test]
async fn the_last_events_are_recorded_over_restarts_too() {
    let rig = recording(3).await;
    rig.deliver_all(1..=4).await;
    let rig = rig.restart().await;
    rig.deliver_all(5..=5).await;
    let recorded = rig.recorded().await;
    assert_eq!(keys(&recorded), ["msg-3", "msg-4", "msg-5"]);
    let last = recorded.last().unwrap();
    assert_eq!((last.outcome, last.tasks.len()), (EventOutcome::Handled, 1));
    assert_eq!(last.version, VersionNumber(1));
    let rig = recording(0).await;
    rig.deliver_all(1..=2).await;
    assert_eq!(rig.recorded().await, []);
}

#[tokio::test]
async fn what_would_differ_is_told_and_nothing_is_done() {
    let rig = recording(50).await;
    rig.will_say("one");
    rig.deliver_all(1..=2).await;
    rig.will_say("two");
    rig.deliver_all(3..=3).await;
    let tasks = rig
        .service
        .tasks(&a(), Default::default(), 99)
        .await
        .unwrap();
    let replayed = rig.service.replay(replay(50)).await.unwrap();
    let verdicts: Vec<_> = replayed.events.iter().map(|it| it.verdict()).collect();
    assert_eq!(
        verdicts,
        [Verdict::Differs, Verdict::Differs, Verdict::Same]
    );
    let first = replayed.events.first().unwrap().result.as_ref().unwrap();
    let signs: Vec<_> = first.iter().map(|it| it.sign).collect();
    assert_eq!(signs, [Sign::Sent, Sign::WouldSend]);
    assert_eq!(replayed.next, None);
    // The same events, tasks and records as before.
    let again = rig
        .service
        .tasks(&a(), Default::default(), 99)
        .await
        .unwrap();
    assert_eq!(again, tasks);
    assert_eq!(keys(&rig.recorded().await), ["msg-1", "msg-2", "msg-3"]);
    let last = rig.service.replay(replay(1)).await.unwrap();
    let key = &last.events.first().unwrap().key;
    assert_eq!((last.events.len(), key.as_str()), (1, "msg-3"));
    let rest = Replay {
        after: Some(1),
        ..replay(50)
    };
    assert_eq!(rig.service.replay(rest).await.unwrap().events.len(), 1);
}

#[tokio::test]
async fn what_failed_is_recorded_and_what_would_fail_is_told() {
    let rig = recording(50).await;
    rig.bot.breaks.store(true, Ordering::SeqCst);
    rig.deliver_all(1..=6).await;
    let failed = rig.service.replay(replay(50)).await.unwrap();
    assert!(
        failed
            .events
            .iter()
            .all(|it| it.verdict() == Verdict::Fails)
    );
    let outcomes: Vec<_> = failed.events.iter().map(|it| it.outcome).collect();
    // Of the sixth no bot was asked: it passed by.
    assert_eq!(outcomes, [EventOutcome::Failed; 5]);
    rig.bot.breaks.store(false, Ordering::SeqCst);
    let mended = rig.service.replay(replay(50)).await.unwrap();
    assert!(
        mended
            .events
            .iter()
            .all(|it| it.verdict() == Verdict::Differs)
    );
}

#[tokio::test]
async fn what_can_not_be_replayed_is_said() {
    let rig = recording(50).await;
    let unknown = rig.service.replay(replay(50)).await;
    assert!(matches!(unknown, Err(Error::NotFound { .. })));
    rig.deliver_all(1..=1).await;
    for last in [0, 501] {
        let refused = rig.service.replay(replay(last)).await;
        assert!(matches!(
            refused,
            Err(Error::BadRequest { field: "last", .. })
        ));
    }
    let version = Replay {
        version: Some(VersionNumber(7)),
        ..replay(1)
    };
    let unknown = rig.service.replay(version).await;
    assert!(matches!(unknown, Err(Error::NotFound { .. })));
    let _one = rig.service.0.replaying.lock().await;
    let other = rig.service.replay(replay(1)).await;
    assert!(matches!(other, Err(Error::Busy { .. })));
}

#[tokio::test]
async fn what_a_record_comes_to_is_known() {
    let rig = recording(50).await;
    rig.deliver_all(1..=1).await;
    let recorded = rig.recorded().await.pop().unwrap();
    let bytes = serde_json::to_vec(&recorded).unwrap().len();
    // What ARCHITECTURE.md says of it, without the client's JSON.
    assert!((300..=450).contains(&bytes), "{bytes}");
}
