//! QR logins, from the request to the account.

use super::*;
use crate::domain::{Login, LoginId, LoginState, login::QrImage};

const UPLOAD_MS: u64 = 60_000;

fn any() -> LoginRequest {
    LoginRequest::default()
}

async fn upload(rig: &Rig, id: &LoginId, code: u8, foreign: bool) -> Result<Login, Error> {
    let bytes = Bytes::from(vec![code; 10]);
    let image = QrImage {
        digest: Digest::of(&bytes),
        mime: "image/png".to_owned(),
        size_bytes: 10,
    };
    let machine = "pc-new".to_owned();
    rig.service
        .qr_uploaded(id.clone(), machine, image, bytes, foreign)
        .await
}

async fn state(rig: &Rig, id: &LoginId) -> LoginState {
    rig.service.qr_login(id).await.unwrap().state
}

async fn reason(rig: &Rig, id: &LoginId) -> String {
    let login = rig.service.qr_login(id).await.unwrap();
    login.steps.last().unwrap().reason.clone()
}

#[tokio::test]
async fn from_the_request_over_two_codes_to_the_account() {
    let rig = quiet_rig().await;
    rig.log_in("agent", None).await.unwrap();
    let login = rig.service.start_login(any()).await.unwrap();
    assert_eq!(login.state, LoginState::Requested);

    let Next::Task(task) = rig.next("agent").await else {
        panic!("the agent has a task");
    };
    let asked = Action::StartLogin {
        login: login.id.clone(),
    };
    assert_eq!(task.action, asked);
    assert_eq!(state(&rig, &login.id).await, LoginState::Dispatched);
    let done = rig.service.report_result(
        "agent".try_into().unwrap(),
        task.id,
        Outcome::Done,
        Bytes::new(),
    );
    done.await.unwrap();

    for code in [1, 2, 2] {
        upload(&rig, &login.id, code, false).await.unwrap();
    }
    let (shown, image) = rig.service.qr_image(&login.id).await.unwrap();
    assert_eq!((shown.generation, image), (2, Bytes::from(vec![2; 10])));

    let account = rig.log_in("new", Some(login.id.as_str())).await.unwrap();
    assert_eq!(account.session.unwrap().qr_login, Some(login.id.clone()));
    let ended = rig.service.qr_login(&login.id).await.unwrap();
    assert_eq!(ended.state, LoginState::Succeeded);
    assert_eq!(ended.account.unwrap().as_str(), "new");
    assert!(matches!(
        rig.service.qr_image(&login.id).await,
        Err(Error::NotFound { .. })
    ));
    // The new account can start further ones in turn.
    let request = LoginRequest {
        agent: Some("new".try_into().unwrap()),
        ..any()
    };
    rig.service.start_login(request).await.unwrap();
}

#[tokio::test]
async fn with_no_agent_there_the_answer_says_so_at_once() {
    let rig = quiet_rig().await;
    assert!(matches!(
        rig.service.start_login(any()).await,
        Err(Error::NoAgent(_))
    ));
    rig.log_in("agent", None).await.unwrap();
    for (machine, found) in [("pc-agent", true), ("pc-other", false)] {
        let request = LoginRequest {
            machine: Some(machine.to_owned()),
            ..any()
        };
        assert_eq!(rig.service.start_login(request).await.is_ok(), found);
    }
    // It was not heard of for long: its process is gone without a goodbye.
    rig.clock.fetch_add(120_000, Ordering::SeqCst);
    let error = rig.service.start_login(any()).await.unwrap_err();
    assert!(matches!(error, Error::NoAgent(_)), "{error}");
}

#[tokio::test]
async fn each_wait_of_a_login_ends() {
    let rig = quiet_rig().await;
    rig.log_in("agent", None).await.unwrap();
    let not_taken = rig.service.start_login(any()).await.unwrap();
    rig.pass(UPLOAD_MS).await;
    assert_eq!(state(&rig, &not_taken.id).await, LoginState::Expired);
    assert!(reason(&rig, &not_taken.id).await.contains("did not take"));
    assert_eq!(rig.next("agent").await, Next::Nothing);

    let not_uploaded = rig.service.start_login(any()).await.unwrap();
    assert!(matches!(rig.next("agent").await, Next::Task(_)));
    rig.pass(UPLOAD_MS).await;
    assert_eq!(state(&rig, &not_uploaded.id).await, LoginState::Expired);

    assert!(matches!(rig.next("agent").await, Next::Nothing));
    let not_scanned = rig.service.start_login(any()).await.unwrap();
    rig.next("agent").await;
    upload(&rig, &not_scanned.id, 1, false).await.unwrap();
    rig.pass(UPLOAD_MS).await;
    assert_eq!(state(&rig, &not_scanned.id).await, LoginState::AwaitingScan);
    rig.pass(10 * 60_000).await;
    assert_eq!(state(&rig, &not_scanned.id).await, LoginState::Expired);
    assert!(
        reason(&rig, &not_scanned.id)
            .await
            .contains("nobody scanned")
    );
    assert!(matches!(
        upload(&rig, &not_scanned.id, 2, false).await,
        Err(Error::NotAsked { .. })
    ));
}

#[tokio::test]
async fn one_code_too_many_ends_a_login_and_is_refused() {
    let rig = quiet_rig().await;
    rig.log_in("agent", None).await.unwrap();
    let login = rig.service.start_login(any()).await.unwrap();
    for code in 0..10 {
        upload(&rig, &login.id, code, false).await.unwrap();
    }
    assert!(matches!(
        upload(&rig, &login.id, 10, false).await,
        Err(Error::NotAsked { .. })
    ));
    assert_eq!(state(&rig, &login.id).await, LoginState::Expired);
}

#[tokio::test]
async fn the_last_agent_logs_out_before_it_took_the_task() {
    let rig = quiet_rig().await;
    rig.log_in("agent", None).await.unwrap();
    let login = rig.service.start_login(any()).await.unwrap();
    rig.log_out("agent").await;
    assert_eq!(state(&rig, &login.id).await, LoginState::Failed);
    assert!(reason(&rig, &login.id).await.contains("logged out"));
    let task = rig.service.task(&login.task.unwrap()).await.unwrap();
    assert_eq!(task.state, TaskState::Cancelled);
}

#[tokio::test]
async fn another_agent_takes_over_from_one_that_logs_out() {
    let rig = quiet_rig().await;
    rig.log_in("first", None).await.unwrap();
    let login = rig.service.start_login(any()).await.unwrap();
    rig.log_in("second", None).await.unwrap();
    rig.log_out("first").await;
    assert!(matches!(rig.next("second").await, Next::Task(_)));
    let login = rig.service.qr_login(&login.id).await.unwrap();
    assert_eq!(login.state, LoginState::Dispatched);
    assert_eq!(login.agent.unwrap().as_str(), "second");
}

#[tokio::test]
async fn two_accounts_log_in_out_of_one_session_and_the_first_has_it() {
    let rig = quiet_rig().await;
    rig.log_in("agent", None).await.unwrap();
    let login = rig.service.start_login(any()).await.unwrap();
    rig.log_in("first", Some(login.id.as_str())).await.unwrap();
    let second = rig.log_in("second", Some(login.id.as_str())).await.unwrap();
    assert_eq!(second.session.unwrap().qr_login, None);
    let login = rig.service.qr_login(&login.id).await.unwrap();
    assert_eq!(login.account.unwrap().as_str(), "first");
    // Its own client may log in again as often as it likes.
    let again = rig.log_in("first", Some(login.id.as_str())).await.unwrap();
    assert_eq!(again.session.unwrap().qr_login, Some(login.id));
}

#[tokio::test]
async fn a_session_started_by_hand_is_taken_only_where_allowed() {
    let rig = quiet_rig().await;
    let id = LoginId::try_from("by-hand").unwrap();
    assert!(matches!(
        upload(&rig, &id, 1, false).await,
        Err(Error::NotAsked { .. })
    ));
    // Whether the account may log in does not hang on the session.
    let account = rig.log_in("early", Some("by-hand")).await.unwrap();
    assert_eq!(account.session.unwrap().qr_login, None);
    let login = upload(&rig, &id, 1, true).await.unwrap();
    assert!(login.foreign);
    rig.log_in("new", Some("by-hand")).await.unwrap();
    assert_eq!(state(&rig, &id).await, LoginState::Succeeded);
}

#[tokio::test]
async fn a_client_that_can_not_start_another_fails_the_login() {
    let rig = quiet_rig().await;
    rig.log_in("agent", None).await.unwrap();
    let login = rig.service.start_login(any()).await.unwrap();
    let Next::Task(task) = rig.next("agent").await else {
        panic!("the agent has a task");
    };
    let failure = Outcome::Failed("no room".to_owned());
    let agent = "agent".try_into().unwrap();
    let told = rig
        .service
        .report_result(agent, task.id, failure, Bytes::new());
    told.await.unwrap();
    assert_eq!(state(&rig, &login.id).await, LoginState::Failed);
    assert!(reason(&rig, &login.id).await.contains("no room"));
}

#[tokio::test]
async fn a_login_is_called_off_with_its_task() {
    let rig = quiet_rig().await;
    rig.log_in("agent", None).await.unwrap();
    let login = rig.service.start_login(any()).await.unwrap();
    let login = rig.service.cancel_login(&login.id).await.unwrap();
    assert_eq!(login.state, LoginState::Failed);
    assert_eq!(rig.next("agent").await, Next::Nothing);
    let listed = rig.service.qr_logins(Some(LoginState::Failed), None, 10);
    assert_eq!(listed.await.unwrap(), [login]);
}

#[tokio::test]
async fn logins_are_listed_newest_first_and_in_pages() {
    let rig = quiet_rig().await;
    rig.log_in("agent", None).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..3 {
        rig.clock.fetch_add(1, Ordering::SeqCst);
        ids.push(rig.service.start_login(any()).await.unwrap().id);
    }
    ids.reverse();
    let page = rig.service.qr_logins(None, None, 2).await.unwrap();
    let shown: Vec<_> = page.into_iter().map(|login| login.id).collect();
    assert_eq!(shown, ids[..2]);
    let page = rig.service.qr_logins(None, Some(&ids[1]), 2).await.unwrap();
    let shown: Vec<_> = page.into_iter().map(|login| login.id).collect();
    assert_eq!(shown, ids[2..]);
}
