//! Login, logout, pulling tasks, heartbeats.

use super::*;
use crate::domain::{User, id::TaskNumber};
use crate::edge::wehub::wire::LoginRequest;

#[test]
fn a_login() {
    let request = request("login");
    assert_eq!(request.client_session, "cs-01");
    assert_same(
        &request.action,
        &Incoming::Login(LoginRequest {
            nickname: "Bill".to_owned(),
            alias: "mccbill".to_owned(),
            avatar_url: "http://img.example/b.jpg".to_owned(),
            client_version: "0.4.26".to_owned(),
            nonce: Some("helloworld".to_owned()),
            local_ips: vec!["192.168.0.104".to_owned(), "10.0.0.4".to_owned()],
            machine_id: "DESKTOP-AB12_4711".to_owned(),
            qr_session_id: None,
        }),
    );
}

fn login(body: &Bytes) -> LoginRequest {
    match parse(body).unwrap().action {
        Incoming::Login(login) => login,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_login_that_came_out_of_a_qr_session_under_either_name() {
    let id = Some("QR-SESSION-1".to_owned());
    assert_eq!(login(&fixture("login-after-qr")).qr_session_id, id);
    let other_name = body("login", r#"{"qrcode_session_id":"QR-SESSION-1"}"#);
    assert_eq!(login(&other_name).qr_session_id, id);
}

#[test]
fn a_login_of_an_old_client() {
    let expected = LoginRequest {
        nickname: "Bill".to_owned(),
        client_version: "0.1.9".to_owned(),
        ..LoginRequest::default()
    };
    assert_eq!(login(&fixture("login-without-nonce")), expected);
}

#[test]
fn an_empty_nonce_is_a_nonce() {
    assert_eq!(
        login(&body("login", r#"{"nonce":""}"#)).nonce.as_deref(),
        Some("")
    );
    assert_eq!(login(&body("login", r#"{"nonce":null}"#)).nonce, None);
    assert_eq!(
        login(&body("login", r#"{"nonce":77}"#)).nonce.as_deref(),
        Some("77")
    );
}

#[test]
fn a_logout() {
    let expected = Incoming::Logout {
        client_version: "0.4.26".to_owned(),
        machine_id: "DESKTOP-AB12_4711".to_owned(),
    };
    assert_same(&request("logout").action, &expected);
}

#[test]
fn logins_and_logouts_are_events() {
    let login = request("login").session_event(&fixture("login")).unwrap();
    let facts = [
        ("client-version", "0.4.26"),
        ("machine-id", "DESKTOP-AB12_4711"),
        ("local-ip", "192.168.0.104"),
        ("local-ip", "10.0.0.4"),
    ];
    assert_eq!(
        login.event.facts,
        facts.map(|(name, value)| (name, value.to_owned()))
    );
    assert_eq!(
        login.event.what,
        Happening::Login(User {
            nickname: "Bill".to_owned(),
            account_name: Some("mccbill".to_owned()),
            avatar_url: Some("http://img.example/b.jpg".to_owned()),
            ..User::unknown(ME)
        })
    );
    assert!(login.event.key.as_str().starts_with("login-"));
    assert_eq!(login.repeats_within, Some(REPEATED_WITHIN));

    let logout = request("logout").session_event(&fixture("logout")).unwrap();
    assert_eq!(logout.event.what, Happening::Logout(String::new()));
    assert!(logout.event.key.as_str().starts_with("logout-"));

    let pull = request("pull_task").session_event(&fixture("pull_task"));
    assert!(pull.is_none());
}

#[test]
fn a_pull() {
    assert_same(&request("pull_task").action, &Incoming::PullTask);
    let without_data = format!(r#"{{"action":"pull_task","appid":"app","wxid":"{ME}"}}"#);
    assert_same(
        &parse(&without_data.into()).unwrap().action,
        &Incoming::PullTask,
    );
}

#[test]
fn a_heartbeat_spelt_either_way() {
    assert_same(&request("heartbeat-misspelt").action, &Incoming::Heartbeat);
    assert_same(
        &parse(&body("heartbeat", "{}")).unwrap().action,
        &Incoming::Heartbeat,
    );
    let both = r#"{"action":"pull_task","atcion":"heartbeat","appid":"a","wxid":"w"}"#;
    assert_same(&parse(&both.into()).unwrap().action, &Incoming::PullTask);
}

/// The fixtures have no task id of this host's.
fn task_result(name: &str) -> Incoming {
    let text = String::from_utf8(fixture(name).to_vec()).unwrap();
    let text = text.replace("TASK-ID", &format!("{ME}-1795175313000123"));
    parse(&text.into()).unwrap().action
}

#[test]
fn results_of_tasks() {
    let task = crate::domain::TaskId {
        account: me(),
        number: TaskNumber(1_795_175_313_000_123),
    };
    assert_same(
        &task_result("report_task_result-done"),
        &Incoming::TaskResult {
            task: Some(task.clone()),
            done: true,
            reason: String::new(),
        },
    );
    assert_same(
        &task_result("report_task_result-failed"),
        &Incoming::TaskResult {
            task: Some(task),
            done: false,
            reason: "not a friend".to_owned(),
        },
    );
}

#[test]
fn a_result_of_a_task_that_was_never_ours() {
    match request("report_task_result-done").action {
        Incoming::TaskResult { task: None, .. } => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_result_is_one_of_two() {
    let read = |result: &str| {
        let data = format!(r#"{{"task_id":"{ME}-1"{result}}}"#);
        parse(&body("report_task_result", &data)).map(|request| match request.action {
            Incoming::TaskResult { done, .. } => done,
            other => panic!("{other:?}"),
        })
    };
    for (result, expected) in [("1", true), ("\"1\"", true), ("true", true)] {
        assert_eq!(read(&format!(r#","task_result":{result}"#)), Ok(expected));
    }
    for result in ["0", "\"0\"", "false"] {
        assert_eq!(read(&format!(r#","task_result":{result}"#)), Ok(false));
    }
    for result in ["null", "2", "-1", "\"\"", "\"maybe\"", "1.0"] {
        let error = read(&format!(r#","task_result":{result}"#)).unwrap_err();
        assert_eq!(error.to_string(), "data.task_result: is neither 0 nor 1");
    }
    assert!(read("").is_err());
}

#[test]
fn a_login_has_bounds() {
    for field in [
        "nickname",
        "wx_alias",
        "head_img",
        "local_ip",
        "machine_id",
        "nonce",
    ] {
        let long = body("login", &format!(r#"{{"{field}":"{}"}}"#, "x".repeat(4097)));
        let error = parse(&long).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("data.{field}: is longer than 4096 bytes")
        );
    }
    let broken = body("login", r#"{"nickname":"Bill \ud83d"}"#);
    assert_eq!(login(&broken).nickname, "Bill \u{fffd}");
}
