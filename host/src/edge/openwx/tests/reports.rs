use axum::response::Redirect;

use super::*;
use crate::domain::client::{NativeState, Replies};

#[tokio::test]
async fn one_text_goes_with_the_answer_and_two_go_by_calls() {
    let rig = rig().await;
    rig.running("s1").await;
    let (status, one) = rig.report("key-s1", message("1", "1")).await;
    assert_eq!((status, one), (StatusCode::OK, json!({"reply": "text 1"})));
    let (_, again) = rig.report("key-s1", message("1", "1")).await;
    assert_eq!(again, json!({"reply": "text 1"}));
    let (_, two) = rig.report("key-s1", message("2", "2")).await;
    assert_eq!(two, json!({}));
    let sent = async || (rig.native.asked().len() == 2).then(|| rig.native.asked());
    let sent = until("two calls", sent).await;
    assert_eq!(
        sent,
        [
            "send_friend_message?id=@f&content=text 1",
            "send_friend_message?id=@f&content=text 2"
        ]
    );
}

#[tokio::test]
async fn answers_go_by_calls_where_that_is_wanted() {
    let rig = rig_with(ClientPolicy {
        replies: Replies::Queued,
        ..ClientPolicy::default()
    })
    .await;
    rig.running("s1").await;
    let (_, answer) = rig.report("key-s1", message("1", "1")).await;
    assert_eq!(answer, json!({}));
    let sent = async || (rig.native.asked().len() == 1).then_some(());
    until("a call", sent).await;
}

#[tokio::test]
async fn strangers_and_earlier_processes_are_refused() {
    let rig = rig().await;
    rig.running("s2").await;
    for key in ["", "nonsense", "key-s1"] {
        let (status, answer) = rig.report(key, message("1", "1")).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert_eq!(answer["code"], -1);
    }
    let (status, _) = rig.report("key-s2", "no JSON").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(!rig.heard_of("1"));
}

#[tokio::test]
async fn own_messages_reach_no_bot() {
    let rig = rig().await;
    rig.running("s1").await;
    let own = json!({
        "post_type": "send_message", "type": "friend_message", "class": "send",
        "format": "text", "id": "9", "content": "1", "sender_id": "@me", "receiver_id": "@f"
    });
    let (_, answer) = rig.report("key-s1", own.to_string()).await;
    assert_eq!(answer, json!({}));
    assert!(!rig.heard_of("9"));
}

#[tokio::test]
async fn states_are_told_and_whom_a_client_lists_at_its_login_is_no_news() {
    let rig = rig().await;
    rig.native.set(Some("s1"), Phase::Listening, |_| {});
    let event = |name: &str, params: Value| {
        json!({"post_type": "event", "event": name, "params": params}).to_string()
    };
    let friend = event("new_friend", json!([{"id": "@n", "name": "N"}]));
    for body in [
        event("state_change", json!(["confirming", "updating"])),
        event("login", json!([1])),
        friend.clone(),
        event("state_change", json!(["updating", "running"])),
    ] {
        let (status, answer) = rig.report("key-s1", body).await;
        assert_eq!((status, answer), (StatusCode::OK, json!({})));
    }
    let told = rig.native.told.lock().unwrap().clone();
    assert_eq!(
        told,
        [
            NativeState::Updating,
            NativeState::Updating,
            NativeState::Running
        ]
    );
    assert!(rig.account().await.is_none());
    rig.running("s1").await;
    assert!(!rig.heard_of("friend"));
    rig.report("key-s1", friend).await;
    assert!(rig.heard_of("friend"));
}

#[tokio::test]
async fn a_report_goes_to_the_user_s_address_and_nowhere_else() {
    let elsewhere = Arc::new(Mutex::new(0));
    let counts = Arc::clone(&elsewhere);
    let router = axum::Router::new()
        .route(
            "/cb",
            axum::routing::post(|| async { Redirect::temporary("/other") }),
        )
        .route(
            "/other",
            axum::routing::any(move || async move { *counts.lock().unwrap() += 1 }),
        );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let rig = rig_with(ClientPolicy {
        tee: true,
        post_api: Some(format!("http://127.0.0.1:{port}/cb").into()),
        ..ClientPolicy::default()
    })
    .await;
    rig.running("s1").await;
    let (status, _) = rig.report("key-s1", message("1", "0")).await;
    assert_eq!(status, StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(*elsewhere.lock().unwrap(), 0);
    server.abort();
}

#[tokio::test]
async fn a_user_s_own_program_hears_the_same_and_its_answer_is_passed_back() {
    let heard = Arc::new(Mutex::new(Vec::<String>::new()));
    let noted = Arc::clone(&heard);
    let users = move |uri: axum::http::Uri, body: String| async move {
        noted.lock().unwrap().push(format!("{uri} {}", body.len()));
        axum::Json(json!({"reply": "the user's"}))
    };
    let router = axum::Router::new().route("/cb", axum::routing::post(users));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let rig = rig_with(ClientPolicy {
        tee: true,
        post_api: Some(format!("http://127.0.0.1:{port}/cb?a=1").into()),
        ..ClientPolicy::default()
    })
    .await;
    rig.running("s1").await;
    let body = message("1", "1");
    let (status, theirs) = rig.report("key-s1", body.clone()).await;
    assert_eq!(
        (status, theirs),
        (StatusCode::OK, json!({"reply": "the user's"}))
    );
    assert_eq!(
        *heard.lock().unwrap(),
        [format!("/cb?a=1&client=c {}", body.len())]
    );
    let sent = async || (rig.native.asked().len() == 1).then_some(());
    until("the bot's own answer", sent).await;
    server.abort();
    let (status, nothing) = rig.report("key-s1", message("2", "0")).await;
    assert_eq!((status, nothing), (StatusCode::OK, json!({})));
}
