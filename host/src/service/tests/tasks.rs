//! How tasks end, and what happens when nobody says so.

use super::*;
use crate::domain::{Task, TaskId, task::Delivery};

const RESULT_MS: u64 = 120_000;

async fn submit(rig: &Rig, submission: Submission) -> TaskId {
    let id = AccountId::try_from("wxid_a").unwrap();
    let (tasks, _) = rig.service.submit(&id, submission).await.unwrap();
    tasks.first().unwrap().id.clone()
}

fn one() -> Submission {
    asked(vec![Action::text("wxid_bob", "hi")], None)
}

async fn task(rig: &Rig, id: &TaskId) -> Task {
    rig.service.task(id).await.unwrap()
}

async fn result(rig: &Rig, id: &TaskId) -> Result<(), Error> {
    let account = id.account.clone();
    rig.service
        .report_result(account, id.clone(), Outcome::Done, Bytes::new())
        .await
}

#[tokio::test]
async fn a_task_whose_result_does_not_come_is_unknown_until_it_comes_all_the_same() {
    let rig = quiet_rig().await;
    rig.log_in("wxid_a", None).await.unwrap();
    let id = submit(&rig, one()).await;
    assert!(matches!(rig.next("wxid_a").await, Next::Task(_)));
    rig.pass(RESULT_MS - 1).await;
    assert_eq!(task(&rig, &id).await.state, TaskState::HandedOut);
    rig.pass(1).await;
    assert_eq!(task(&rig, &id).await.state, TaskState::Unknown);
    assert_eq!(rig.next("wxid_a").await, Next::Nothing);
    result(&rig, &id).await.unwrap();
    assert_eq!(task(&rig, &id).await.state, TaskState::Done);
    assert!(result(&rig, &id).await.is_err());
}

#[tokio::test]
async fn a_task_that_must_be_done_is_handed_out_three_times() {
    let rig = quiet_rig().await;
    rig.log_in("wxid_a", None).await.unwrap();
    let submission = Submission {
        delivery: Delivery::AtLeastOnce,
        ..one()
    };
    let id = submit(&rig, submission).await;
    for _ in 0..3 {
        assert!(matches!(rig.next("wxid_a").await, Next::Task(_)));
        rig.pass(RESULT_MS).await;
    }
    assert_eq!(rig.next("wxid_a").await, Next::Nothing);
    let task = task(&rig, &id).await;
    assert_eq!((task.state, task.tries), (TaskState::Unknown, 3));
}

#[tokio::test]
async fn a_late_result_keeps_a_task_from_being_done_again() {
    let rig = quiet_rig().await;
    rig.log_in("wxid_a", None).await.unwrap();
    let submission = Submission {
        delivery: Delivery::AtLeastOnce,
        ..one()
    };
    let id = submit(&rig, submission).await;
    rig.next("wxid_a").await;
    rig.pass(RESULT_MS).await;
    assert_eq!(task(&rig, &id).await.state, TaskState::Queued);
    result(&rig, &id).await.unwrap();
    assert_eq!(rig.next("wxid_a").await, Next::Nothing);
    assert_eq!(task(&rig, &id).await.state, TaskState::Done);
}

#[tokio::test]
async fn what_no_client_takes_in_time_expires() {
    let rig = quiet_rig().await;
    rig.log_in("wxid_a", None).await.unwrap();
    let submission = || Submission {
        expires_in_ms: Some(5_000),
        ..one()
    };
    let id = submit(&rig, submission()).await;
    rig.pass(5_000).await;
    assert_eq!(task(&rig, &id).await.state, TaskState::Expired);
    // Also when the client comes before the alarm does.
    let id = submit(&rig, submission()).await;
    rig.clock.fetch_add(5_000, Ordering::SeqCst);
    assert_eq!(rig.next("wxid_a").await, Next::Nothing);
    assert_eq!(task(&rig, &id).await.state, TaskState::Expired);
}

#[tokio::test]
async fn only_what_is_queued_is_called_off() {
    let rig = quiet_rig().await;
    rig.log_in("wxid_a", None).await.unwrap();
    let (first, second) = (submit(&rig, one()).await, submit(&rig, one()).await);
    rig.service.cancel(&first).await.unwrap();
    assert!(matches!(
        rig.service.cancel(&first).await,
        Err(Error::Conflict(_))
    ));
    let Next::Task(taken) = rig.next("wxid_a").await else {
        panic!("the second waits");
    };
    assert_eq!(taken.id, second);
    assert!(matches!(
        rig.service.cancel(&second).await,
        Err(Error::Conflict(_))
    ));
}

#[tokio::test]
async fn a_bot_hears_how_its_task_ended() {
    let rig = rig(None).await;
    rig.log_in("wxid_a", None).await.unwrap();
    let calls = rig.bot.calls.load(Ordering::SeqCst);
    // What a bot asks for at a login is queued.
    let Next::Task(task) = rig.next("wxid_a").await else {
        panic!("the bot asked for a task");
    };
    rig.pass(RESULT_MS).await;
    assert_eq!(rig.bot.calls.load(Ordering::SeqCst), calls + 1);
    let key = EventKey::new(&format!("task-ended-{}", task.id.number.0));
    let record = rig.service.event(&task.id.account, &key).await.unwrap();
    assert_eq!(record.outcome, EventOutcome::Handled);
}

#[tokio::test]
async fn a_task_has_ended_even_if_its_bot_can_not_be_told() {
    let rig = rig(None).await;
    rig.log_in("wxid_a", None).await.unwrap();
    let Next::Task(asked) = rig.next("wxid_a").await else {
        panic!("the bot asked for a task");
    };
    let calls = || rig.bot.calls.load(Ordering::SeqCst);
    let before = calls();
    rig.bot.busy.store(true, Ordering::SeqCst);
    result(&rig, &asked.id).await.unwrap();
    assert_eq!(task(&rig, &asked.id).await.state, TaskState::Done);
    rig.bot.busy.store(false, Ordering::SeqCst);
    rig.pass(30_000).await;
    assert_eq!(calls(), before + 1, "it is told later");
    rig.pass(RESULT_MS).await;
    assert_eq!(calls(), before + 1, "and once");
}

#[tokio::test]
async fn how_a_task_ended_is_no_other_bot_s_business() {
    let rig = rig(None).await;
    rig.log_in("wxid_a", None).await.unwrap();
    let Next::Task(asked) = rig.next("wxid_a").await else {
        panic!("the bot asked for a task");
    };
    let other: crate::domain::HandlerName = "other".try_into().unwrap();
    let component = Bytes::from_static(b"another bot");
    rig.service
        .deploy(Deploy::of(other.clone(), component))
        .await
        .unwrap();
    rig.service.bind(Scope::All, other).await.unwrap();
    let calls = rig.bot.calls.load(Ordering::SeqCst);
    result(&rig, &asked.id).await.unwrap();
    assert_eq!(rig.bot.calls.load(Ordering::SeqCst), calls);
}

#[tokio::test]
async fn an_account_whose_alarms_can_not_be_answered_holds_up_nobody_else() {
    let rig = rig(None).await;
    for id in ["wxid_a", "wxid_b"] {
        rig.log_in(id, None).await.unwrap();
    }
    rig.bot.busy.store(true, Ordering::SeqCst);
    // What a's bot asked for expires and can't be told; b's task only expires.
    for _ in 0..4 {
        let hundred = Submission {
            expires_in_ms: Some(1_000),
            ..asked(vec![Action::text("wxid_bob", "hi"); 100], None)
        };
        submit(&rig, hundred).await;
    }
    let b = AccountId::try_from("wxid_b").unwrap();
    let soon = Submission {
        expires_in_ms: Some(1_001),
        ..one()
    };
    let (tasks, _) = rig.service.submit(&b, soon).await.unwrap();
    rig.pass(1_001).await;
    for _ in 0..3 {
        rig.pass(1_000).await;
    }
    let id = &tasks.first().unwrap().id;
    assert_eq!(task(&rig, id).await.state, TaskState::Expired);
}

#[tokio::test]
async fn a_session_ends_even_if_the_bot_can_not_be_told() {
    let rig = rig(None).await;
    rig.bot.busy.store(true, Ordering::SeqCst);
    rig.log_in("wxid_a", None).await.unwrap();
    rig.log_out("wxid_a").await;
    let id = AccountId::try_from("wxid_a").unwrap();
    let account = rig.service.account(&id).await.unwrap();
    assert_eq!(account.session, None);
    assert_eq!(account.last_logout.unwrap().reason, "bye");
}

#[tokio::test]
async fn a_task_that_did_not_reach_its_client_is_queued_as_before() {
    let rig = quiet_rig().await;
    rig.log_in("wxid_a", None).await.unwrap();
    let id = submit(&rig, one()).await;
    let before = task(&rig, &id).await;
    let Next::Task(lost) = rig.next("wxid_a").await else {
        unreachable!("one waits")
    };
    rig.service.not_delivered(&lost).await.unwrap();
    assert_eq!(task(&rig, &id).await, before);
    // The time for the try that was none passes.
    rig.pass(RESULT_MS - 1).await;
    let Next::Task(again) = rig.next("wxid_a").await else {
        unreachable!("it waits again")
    };
    rig.pass(1).await;
    assert_eq!(task(&rig, &id).await, *again);
    result(&rig, &id).await.unwrap();
    rig.service.not_delivered(&again).await.unwrap();
    assert_eq!(task(&rig, &id).await.state, TaskState::Done);
}

#[tokio::test]
async fn a_process_that_was_replaced_or_said_goodbye_gets_no_more_work() {
    let rig = rig(None).await;
    rig.service.unbind(Scope::All).await.unwrap();
    rig.log_in("wxid_a", None).await.unwrap();
    submit(&rig, one()).await;
    let other = Reporter {
        client_session: "another".to_owned(),
        ..reporter()
    };
    let id = AccountId::try_from("wxid_a").unwrap();
    let account = rig.service.account(&id).await.unwrap();
    assert_ne!(account.session.unwrap().client_session, "another");
    assert_eq!(
        rig.service.next_task(&id, &other).await.unwrap(),
        Next::Nothing
    );
    rig.log_out("wxid_a").await;
    assert_eq!(rig.next("wxid_a").await, Next::Nothing);
}
