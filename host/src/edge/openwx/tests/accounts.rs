use super::*;
use crate::domain::{LoginState, client::ProcessEnd};

fn png(side: u32) -> Bytes {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let image = image::GrayImage::new(side, side);
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner().into()
}

#[tokio::test]
async fn contacts_that_could_not_be_read_at_first_are_read_later() {
    let rig = rig().await;
    let silent = Err(CallFault::Unanswered("no answer within 1 s".to_owned()));
    rig.native.next("get_friend_info", silent);
    // It waits for them.
    rig.running("s1").await;
    let contacts = rig.service.contacts(&account(), None, None, 10).await;
    assert_eq!(contacts.unwrap().items.len(), 2);
    let calls = rig.native.calls.lock().unwrap().clone();
    let asked = calls.iter().filter(|call| *call == "get_friend_info?");
    assert_eq!(asked.count(), 2, "{calls:?}");
}

#[tokio::test]
async fn contacts_of_a_session_that_has_ended_are_not_tried_again() {
    let rig = rig().await;
    let gone = || Err(CallFault::Unreached("refused".to_owned()));
    for _ in 0..9 {
        rig.native.next("get_friend_info", gone());
    }
    rig.native.set(Some("s1"), Phase::Running, |_| {});
    let left = || rig.native.script.lock().unwrap()["get_friend_info"].len();
    until("a try", async || (left() == 8).then_some(())).await;
    rig.native.forget();
    let driver = &rig.driver;
    let ended = async || rig.session().await.is_none().then_some(());
    until("the end of the session", ended).await;
    assert!(!driver.is_finished());
    // Longer than the first rest.
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    assert_eq!(left(), 8);
}

#[tokio::test]
async fn a_session_lasts_as_long_as_its_process_is_logged_in() {
    let rig = rig().await;
    rig.running("s1").await;
    let known = rig.account().await.unwrap();
    assert_eq!(
        (known.nickname.as_str(), known.alias.as_str()),
        ("Me", "me")
    );
    assert!(rig.heard_of("login"));
    let contacts = rig
        .service
        .contacts(&account(), None, None, 10)
        .await
        .unwrap();
    assert_eq!(contacts.items.len(), 2);
    let members = rig
        .service
        .members(&account(), "@@g", None, 10)
        .await
        .unwrap();
    assert_eq!(members.items[0].display_name(), "M");

    rig.native.set(None, Phase::Waiting, |status| {
        status.last_end = Some(ProcessEnd {
            at_ms: 1,
            reason: "killed by signal 9".to_owned(),
        });
    });
    let ended = async || rig.session().await.is_none().then_some(());
    until("the end of the session", ended).await;
    assert!(rig.heard_of("killed by signal 9"));
    rig.running("s2").await;
    rig.native.forget();
    let ended = async || rig.session().await.is_none().then_some(());
    until("the end of the session", ended).await;
}

#[tokio::test]
async fn sessions_that_an_earlier_host_left_are_ended() {
    let mut rig = rig().await;
    rig.running("s1").await;
    rig.driver.abort();
    rig.native.forget();
    rig.driver = tokio::spawn(rig.openwx.clone().drive());
    let ended = async || rig.session().await.is_none().then_some(());
    until("the end of the session", ended).await;
}

#[tokio::test]
async fn a_session_that_a_report_began_ends_with_its_process() {
    let rig = rig().await;
    for (start, phase) in [("s1", Some(Phase::Waiting)), ("s2", None)] {
        rig.native.set(Some(start), Phase::Listening, |_| {});
        let key = format!("key-{start}");
        rig.report(&key, message(&format!("m-{start}"), "hi")).await;
        let begun = async || (rig.session().await? == start).then_some(());
        match start {
            "s1" => until("a session", begun).await,
            // An account that is known has a session once it is logged in.
            _ => rig.running(start).await,
        }
        match phase {
            Some(phase) => rig.native.set(None, phase, |_| {}),
            None => rig.native.forget(),
        }
        let ended = async || rig.session().await.is_none().then_some(());
        until("the end of the session", ended).await;
    }
}

#[tokio::test]
async fn a_scan_in_the_same_process_is_another_session() {
    let rig = rig().await;
    for _ in 0..2 {
        rig.running("s1").await;
        rig.native.set(Some("s1"), Phase::Listening, |_| {});
        let ended = async || rig.session().await.is_none().then_some(());
        until("the end of the session", ended).await;
    }
    let told = async || {
        let heard = rig.bot.heard.lock().unwrap();
        let logouts = heard.iter().filter(|it| matches!(it, Happening::Logout(_)));
        (logouts.count() == 2).then_some(())
    };
    until("both of the logouts", told).await;
}

#[tokio::test]
async fn codes_of_file_and_report_are_one_login_which_the_session_ends() {
    let rig = rig().await;
    let (first, second) = (png(10), png(20));
    *rig.native.code.lock().unwrap() = first.clone();
    let digest = crate::domain::Digest::of(&first);
    rig.native.set(Some("s1"), Phase::Listening, |status| {
        status.code = Some(digest)
    });
    let login = async || rig.service.qr_logins(None, None, 10).await.unwrap().pop();
    until("a login", login).await;
    let code = |image: &Bytes| {
        use base64::Engine;
        let lines = base64::prelude::BASE64_STANDARD.encode(image);
        let (a, b) = lines.split_at(20);
        let params = json!(["/q.jpg", format!("{a}\n{b}\n"), null]);
        json!({"post_type": "event", "event": "input_qrcode", "params": params}).to_string()
    };
    for image in [&first, &second, &first] {
        let (status, answer) = rig.report("key-s1", code(image)).await;
        assert_eq!((status, answer), (StatusCode::OK, json!({})));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let second_shown = async || {
        let login = login().await.unwrap();
        (login.generation == 2).then_some(login)
    };
    let shown = until("the second code", second_shown).await;
    assert_eq!(shown.state, LoginState::AwaitingScan);
    assert_eq!(shown.client.as_ref().map(|it| it.as_str()), Some("c"));
    rig.running("s1").await;
    let over = rig.service.qr_login(&shown.id).await.unwrap();
    assert_eq!(over.state, LoginState::Succeeded);
    assert_eq!(over.account, Some(account()));
}

#[tokio::test]
async fn the_login_of_a_process_that_is_gone_has_failed() {
    let rig = rig().await;
    let image = png(10);
    *rig.native.code.lock().unwrap() = image.clone();
    let digest = crate::domain::Digest::of(&image);
    rig.native.set(Some("s1"), Phase::Listening, |status| {
        status.code = Some(digest)
    });
    let login = async || rig.service.qr_logins(None, None, 10).await.unwrap().pop();
    until("a login", login).await;
    rig.native.set(None, Phase::Failed, |status| {
        status.reason = Some("it ended too often".to_owned());
    });
    let failed = async || {
        login()
            .await
            .filter(|login| login.state == LoginState::Failed)
    };
    let failed = until("the end of the login", failed).await;
    let last = failed.steps.last().unwrap();
    assert_eq!(last.reason, "it ended too often");
}

#[tokio::test]
async fn what_is_no_image_is_no_code() {
    let rig = rig().await;
    let text = Bytes::from_static(b"<script>");
    *rig.native.code.lock().unwrap() = text.clone();
    let digest = crate::domain::Digest::of(&text);
    rig.native.set(Some("s1"), Phase::Listening, |status| {
        status.code = Some(digest)
    });
    rig.running("s1").await;
    assert!(
        rig.service
            .qr_logins(None, None, 10)
            .await
            .unwrap()
            .is_empty()
    );
}
