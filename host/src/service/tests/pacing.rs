//! Holding back: the pace of an account, and a bot that talks to another.

use super::*;
use crate::domain::{Pause, Task};

async fn paced() -> Rig {
    let policies = Policies {
        pacing: PacingPolicy {
            jitter_percent: 0,
            ..PacingPolicy::default()
        },
        ..Policies::default()
    };
    let rig = rig_with(None, policies).await;
    rig.log_in("wxid_a", None).await.unwrap();
    // What the bot asked for at the login.
    assert!(matches!(rig.next("wxid_a").await, Next::Task(_)));
    rig.clock.fetch_add(60_000, Ordering::SeqCst);
    rig
}

async fn say(rig: &Rig, number: usize) -> Vec<Task> {
    rig.service
        .deliver(said(&number.to_string()))
        .await
        .unwrap()
}

async fn outcome(rig: &Rig, number: usize) -> EventOutcome {
    let id = AccountId::try_from("wxid_a").unwrap();
    let key = said(&number.to_string()).event.key;
    rig.service.event(&id, &key).await.unwrap().outcome
}

async fn pauses(rig: &Rig) -> Vec<Pause> {
    let id = AccountId::try_from("wxid_a").unwrap();
    rig.service
        .all_pauses(&id)
        .await
        .unwrap()
        .into_values()
        .collect()
}

#[tokio::test]
async fn what_goes_beyond_the_pace_waits_in_order() {
    let rig = paced().await;
    for number in 0..5 {
        assert_eq!(say(&rig, number).await.len(), 1, "{number}");
    }
    for number in 5..8 {
        assert_eq!(say(&rig, number).await.len(), 0, "{number}");
    }
    // Sent again, a report is answered as before.
    assert_eq!(say(&rig, 4).await.len(), 1);
    assert_eq!(say(&rig, 5).await.len(), 0);

    let mut numbers = Vec::new();
    for _ in 0..3 {
        let Next::Wait(ms) = rig.next("wxid_a").await else {
            panic!("it has to wait");
        };
        rig.clock.fetch_add(ms, Ordering::SeqCst);
        let Next::Task(task) = rig.next("wxid_a").await else {
            panic!("its time has come");
        };
        numbers.push(task.id.number);
    }
    assert!(numbers.is_sorted());
    assert_eq!(rig.next("wxid_a").await, Next::Nothing);
}

#[tokio::test]
async fn an_answer_overtakes_a_task_of_others_but_no_earlier_answer() {
    let rig = paced().await;
    let id = AccountId::try_from("wxid_a").unwrap();
    let waiting = asked(vec![Action::text("wxid_bob", "first")], None);
    rig.service.submit(&id, waiting).await.unwrap();
    for number in 0..5 {
        assert_eq!(say(&rig, number).await.len(), 1, "{number}");
    }
    assert_eq!(say(&rig, 5).await.len(), 0);
    // There is room again, but the one before still waits.
    rig.clock.fetch_add(60_000, Ordering::SeqCst);
    assert_eq!(say(&rig, 6).await.len(), 0);
    for _ in 0..3 {
        assert!(matches!(rig.next("wxid_a").await, Next::Task(_)));
    }
    assert_eq!(say(&rig, 7).await.len(), 1);
}

#[tokio::test]
async fn a_bot_that_talks_to_a_bot_pauses_there_until_its_time_is_over() {
    let rig = paced().await;
    for number in 0..10 {
        say(&rig, number).await;
        rig.clock.fetch_add(1_000, Ordering::SeqCst);
    }
    assert_eq!(say(&rig, 10).await.len(), 0);
    assert_eq!(outcome(&rig, 9).await, EventOutcome::Handled);
    assert_eq!(outcome(&rig, 10).await, EventOutcome::Paused);
    let pause = pauses(&rig).await.pop().unwrap();
    assert_eq!(pause.until_ms - pause.since_ms, 600_000);

    rig.clock.fetch_add(599_000, Ordering::SeqCst);
    say(&rig, 11).await;
    assert_eq!(outcome(&rig, 11).await, EventOutcome::Paused);
    rig.clock.fetch_add(1_000, Ordering::SeqCst);
    say(&rig, 12).await;
    assert_eq!(outcome(&rig, 12).await, EventOutcome::Handled);
    assert_eq!(pauses(&rig).await, []);
}
