//! What the controller answers itself.

use axum::body::Body;
use bytes::Bytes;

use super::{fake::One, rig, rig_with};
use crate::domain::{
    client::{NativeState, Phase, ProcessEnd},
    ports::{ClientFileError, StartError},
};

fn ended() -> ProcessEnd {
    ProcessEnd {
        at_ms: 1,
        reason: "exit code 7".to_owned(),
    }
}

fn state_file(text: &'static str) -> impl FnOnce(&mut One) {
    move |one| one.state_file = Ok(Bytes::from_static(text.as_bytes()))
}

#[tokio::test]
async fn without_clients_the_answers_are_those_of_the_seeds_controller() {
    let rig = rig().await;
    let not_found = r#"{"code":1,"status":"client not found"}"#;
    let not_exists = r#"{"code":1,"status":"client not exists"}"#;
    for (path, answer) in [
        ("check_client", r#"{"client":[],"code":0}"#),
        ("check_client?client=nope", not_exists),
        ("check_client?client=", not_exists),
        ("start_client", not_found),
        ("start_client?client=", not_found),
        ("stop_client", not_found),
        ("stop_client?client=", not_found),
        ("stop_client?client=nope", not_exists),
        ("get_qrcode?client=", not_found),
        ("get_qrcode?client=nope", not_exists),
        ("get_user_info", not_found),
        ("get_user_info?client=", not_found),
        ("get_user_info?client=nope", not_exists),
        ("some/deeper/path?client=nope", not_exists),
    ] {
        let got = rig.get(path).await;
        assert_eq!((got.status.as_u16(), got.text()), (200, answer), "{path}");
        assert_eq!(got.headers["content-type"], "application/json", "{path}");
    }
}

#[tokio::test]
async fn there_is_nothing_at_the_root() {
    let rig = rig().await;
    for path in ["/openwx", "/openwx/"] {
        let mut request = rig.request("GET ").body(Body::empty()).unwrap();
        *request.uri_mut() = path.parse().unwrap();
        let got = rig.send(request).await;
        assert_eq!(got.status, 403, "{path}");
        assert_eq!(got.text(), r#"{"code":-1,"status":"api not found"}"#);
    }
}

#[tokio::test]
async fn a_client_is_started_once() {
    let rig = rig().await;
    let got = rig.get("start_client?client=a1").await;
    let object = |status: &str| {
        format!(
            r#"{{"account":"a1","client":"a1","code":0,"pid":23985,"port":3001,"status":"{status}"}}"#
        )
    };
    assert_eq!(got.text(), object("success"));
    let got = rig.get("start_client?client=a1&http_debug=1").await;
    assert_eq!(got.text(), object("client already exists"));
    assert_eq!(rig.clients.count(), 1);
}

#[tokio::test]
async fn a_start_of_a_client_that_waits_gives_it_a_process() {
    let rig = rig().await;
    rig.clients.add("a1", |one| {
        one.status.phase = Phase::Waiting;
        one.status.last_end = Some(ended());
        one.status.pid = None;
        one.status.port = None;
    });
    let got = rig.get("start_client?client=a1").await;
    assert_eq!(
        got.text(),
        r#"{"account":"a1","client":"a1","code":0,"pid":4711,"port":3999,"status":"success"}"#
    );
}

#[tokio::test]
async fn a_client_that_the_host_has_yet_to_start_is_said_to_wait_and_can_be_started() {
    let rig = rig().await;
    rig.clients.add("a1", |one| {
        one.status.phase = Phase::Waiting;
        one.status.reason = Some("no port".to_owned());
        one.status.next_start_ms = Some(1_795_175_323_000);
        one.status.pid = None;
    });
    let got = rig.get("check_client?client=a1").await.json();
    let status = got["client"][0]["status"].as_str().unwrap();
    assert!(status.contains("waits for its start since"), "{status}");
    assert!(
        status.contains("(no port) and is started again at 2026"),
        "{status}"
    );
    let got = rig
        .get("start_client?client=a1&log_level=warn")
        .await
        .json();
    assert_eq!(
        (&got["status"], &got["log_level"]),
        (&"success".into(), &"warn".into())
    );
}

#[tokio::test]
async fn parameters_are_echoed_as_texts() {
    let rig = rig().await;
    let path = "start_client?client=p2&log_level=debug&http_debug=1&_=17&log_head=x\
                &post_api=http%3A%2F%2Fh%3A1%2Fcb%3Fa%3D1";
    let got = rig.get(path).await;
    let expected = r#"{"account":"p2","client":"p2","code":0,"http_debug":"1","log_level":"debug","pid":23985,"port":3001,"post_api":"http://h:1/cb?a=1","status":"success"}"#;
    assert_eq!(got.text(), expected);
}

#[tokio::test]
async fn a_start_takes_its_parameters_from_a_form_too() {
    let rig = rig().await;
    let got = rig
        .post_form("start_client?http_debug=1", "client=a1&log_level=info")
        .await;
    let json = got.json();
    assert_eq!(json["client"], "a1");
    assert_eq!(
        (&json["http_debug"], &json["log_level"]),
        (&"1".into(), &"info".into())
    );
    let multipart =
        "--x\r\nContent-Disposition: form-data; name=\"client\"\r\n\r\n小明\r\n--x--\r\n";
    let got = rig
        .post("start_client", "multipart/form-data; boundary=x", multipart)
        .await;
    assert_eq!(got.json()["client"], "小明");
}

#[tokio::test]
async fn a_parameter_never_takes_the_place_of_a_result() {
    let change = |it: &mut crate::domain::client::ClientPolicy| {
        it.parameters = ["code", "status", "pid", "port"].map(str::to_owned).into();
    };
    let rig = rig_with(change).await;
    let got = rig
        .get("start_client?client=a1&code=9&status=x&pid=1&port=2")
        .await;
    assert_eq!(
        got.text(),
        r#"{"account":"a1","client":"a1","code":0,"pid":23985,"port":3001,"status":"success"}"#
    );
}

#[tokio::test]
async fn what_can_not_be_is_refused_with_its_field_and_the_cure() {
    let rig = rig().await;
    let long = format!("client={}", "x".repeat(65));
    for (query, code, status, reason) in [
        ("client=..%2Fx", 1, "client not valid", "client: "),
        ("client=.x", 1, "client not valid", "client: "),
        (long.as_str(), 1, "client not valid", "client: "),
        ("client=a%00", 1, "client not valid", "client: "),
        (
            "client=a&client=b",
            1,
            "client not valid",
            "client: is given twice",
        ),
        ("client=a&fast=1", 3, "failure", "fast: "),
        (
            "client=a&http_debug=1&http_debug=2",
            3,
            "failure",
            "http_debug: is given twice",
        ),
        (
            "client=a&qrcode_path=%2Fetc%2Fpasswd",
            3,
            "failure",
            "qrcode_path: ",
        ),
        ("client=a&load=system('id')", 3, "failure", "load: "),
        ("client=a&template=none", 3, "failure", "template: "),
        ("client=a&account=b", 3, "failure", "account: "),
    ] {
        let got = rig.get(&format!("start_client?{query}")).await;
        let json = got.json();
        assert_eq!(got.status, 200, "{query}");
        assert_eq!(
            (json["code"].as_i64(), json["status"].as_str()),
            (Some(code), Some(status))
        );
        assert!(
            got.reason().starts_with(reason),
            "{query}: {}",
            got.reason()
        );
    }
    assert_eq!(rig.clients.count(), 0);
}

#[tokio::test]
async fn paths_lie_in_the_clients_own_directory() {
    let rig = rig().await;
    let got = rig
        .get("start_client?client=a1&qrcode_path=codes/qr.jpg")
        .await;
    let path = rig.data.path().join("openwx/clients/a1/codes/qr.jpg");
    assert_eq!(got.json()["qrcode_path"], path.to_str().unwrap());
}

#[tokio::test]
async fn a_start_that_fails_says_why() {
    let rig = rig_with(|it| it.max_clients = 1).await;
    for (refusal, answer) in [
        (StartError::NoPort, (2, "no available port")),
        (
            StartError::Spawn("boom".to_owned()),
            (4, "client pid not ok"),
        ),
        (StartError::Template("boom".to_owned()), (3, "failure")),
    ] {
        *rig.clients.refuse.lock().unwrap() = Some(refusal);
        let got = rig.get("start_client?client=a1").await;
        let json = got.json();
        assert_eq!(
            (
                json["code"].as_i64().unwrap(),
                json["status"].as_str().unwrap()
            ),
            answer
        );
        assert!(!got.reason().is_empty());
    }
    *rig.clients.refuse.lock().unwrap() = None;
    assert_eq!(rig.get("start_client?client=a1").await.code(), 0);
    let got = rig.get("start_client?client=a2").await;
    assert_eq!(
        (got.code(), &got.json()["status"]),
        (5, &"max clients exceed".into())
    );
    // One that runs is no further one.
    let again = rig.get("start_client?client=a1").await;
    assert_eq!(again.json()["status"], "client already exists");
}

#[tokio::test]
async fn only_get_and_post_start_and_only_get_stops() {
    let rig = rig().await;
    for method in ["HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let got = rig.ask(&format!("{method} start_client?client=a1")).await;
        assert_eq!(got.status, 405, "{method}");
        assert_eq!(got.headers["allow"], "GET, POST");
    }
    assert_eq!(rig.clients.count(), 0);
    rig.clients.add("a1", |_| {});
    let got = rig.ask("HEAD stop_client?client=a1").await;
    assert_eq!(got.status, 405);
    rig.clients
        .change("a1", |one| assert_eq!(one.status.phase, Phase::Running));
}

#[tokio::test]
async fn a_client_is_stopped_until_it_has_ended() {
    let rig = rig().await;
    rig.get("start_client?client=a1").await;
    let object =
        r#"{"account":"a1","client":"a1","code":0,"pid":23985,"port":3001,"status":"success"}"#;
    for _ in 0..2 {
        assert_eq!(rig.get("stop_client?client=a1").await.text(), object);
    }
    let list = rig.get("check_client").await.json();
    assert_eq!(list["client"][0]["state"], "stop");
    assert_eq!(list["client"][0]["pid"], 23985);
}

#[tokio::test]
async fn a_state_file_is_shown_whole_with_what_the_host_knows() {
    let rig = rig().await;
    let file = r#"{"account":"other","state":"running","pid":1,"port":9,"log_path":null,"plugin":[{"name":"X","priority":98}]}"#;
    rig.clients.add("a1", state_file(file));
    let expected = r#"{"client":[{"account":"a1","log_path":null,"pid":23985,"plugin":[{"name":"X","priority":98}],"port":3001,"state":"running"}],"code":0}"#;
    assert_eq!(rig.get("check_client?client=a1").await.text(), expected);
    assert_eq!(rig.get("check_client").await.text(), expected);
}

#[tokio::test]
async fn one_unreadable_state_file_spoils_its_own_entry_only() {
    let rig = rig().await;
    rig.clients.add("a1", state_file("{\"state\":\"runn"));
    rig.clients.add("a2", state_file("[1]"));
    rig.clients.add("a3", state_file(r#"{"state":"scaning"}"#));
    rig.clients.add("a4", |one| {
        one.state_file = Err(ClientFileError::Unreadable("disk".to_owned()));
        one.status.state = None;
    });
    let list = rig.get("check_client").await.json();
    let list = list["client"].as_array().unwrap().clone();
    let broken = r#"{"account":"a1","client":"a1","code":1,"pid":23985,"port":3001,"state":"running","status":"client state file read error"}"#;
    assert_eq!(list[0].to_string(), broken);
    assert_eq!(list[2]["state"], "scaning");
    let states: Vec<_> = list.iter().map(|it| it["code"].as_i64()).collect();
    assert_eq!(states, [Some(1), Some(1), None, Some(1)]);
    let single = rig.get("check_client?client=a1").await;
    let error = r#"{"code":1,"status":"client state file read error"}"#;
    assert_eq!(single.text(), error);
}

#[tokio::test]
async fn a_client_without_a_process_says_what_became_of_it() {
    let rig = rig().await;
    for (name, phase) in [
        ("w", Phase::Waiting),
        ("f", Phase::Failed),
        ("s", Phase::Stopped),
    ] {
        rig.clients.add(name, |one| {
            one.status.phase = phase;
            one.status.pid = None;
            one.status.port = None;
            one.status.reason = Some("exit code 7".to_owned());
            one.status.next_start_ms = Some(1_795_175_323_000);
            one.state_file = Ok(Bytes::from_static(br#"{"state":"running"}"#));
        });
        let got = rig.get(&format!("check_client?client={name}")).await.json();
        let entry = &got["client"][0];
        assert_eq!(
            (&entry["state"], &entry["code"]),
            (&"stop".into(), &0.into())
        );
        let status = entry["status"].as_str().unwrap();
        assert!(
            status.contains("2026-11-20T") && status.contains("exit code 7"),
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_hundred_clients_are_listed_in_order() {
    let rig = rig().await;
    for number in 0..100 {
        let name = format!("c{number:03}");
        rig.clients.add(&name, state_file(r#"{"state":"running"}"#));
    }
    let list = rig.get("check_client").await.json();
    let list = list["client"].as_array().unwrap().clone();
    assert_eq!(list.len(), 100);
    assert!(list.is_sorted_by_key(|it| it["account"].as_str().unwrap().to_owned()));
}

#[tokio::test]
async fn a_code_is_an_image_and_all_codes_are_a_list() {
    let rig = rig().await;
    rig.clients.add("a1", |one| {
        one.code = Ok(Bytes::from_static(b"\xff\xd8\xff"));
        one.status.state.as_mut().unwrap().state = NativeState::Scaning;
    });
    rig.clients.add("a2", |_| {});
    let got = rig.get("get_qrcode?client=a1").await;
    assert_eq!(got.headers["content-type"], "image/jpg");
    assert_eq!(got.headers["cache-control"], "no-cache");
    assert_eq!(&got.body[..], b"\xff\xd8\xff");
    assert_eq!(got.headers["x-content-type-options"], "nosniff");
    rig.clients.add("a3", |one| {
        one.code = Ok(Bytes::from_static(b"wxuin=1; wxsid=2"))
    });
    assert_eq!(rig.get("get_qrcode?client=a3").await.status, 404);
    let none = rig.get("get_qrcode?client=a2").await;
    assert_eq!((none.status.as_u16(), none.text()), (404, ""));
    let all = rig.get("get_qrcode").await;
    let expected = r#"{"client":[{"client":"a1","qrcode":"/9j/"}],"code":0}"#;
    assert_eq!(all.text(), expected);
    rig.clients
        .change("a1", |one| one.code = Err(ClientFileError::Outside));
    assert_eq!(rig.get("get_qrcode?client=a1").await.status, 404);
}
