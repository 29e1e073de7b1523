use super::*;
use crate::{
    domain::{
        Action,
        action::{FileSource, Refused, Segment},
        ports::ApiAnswer,
    },
    service::Outcome,
};

fn calls(action: &Action) -> Vec<String> {
    let names = |user: &str| (user == "@m").then(|| "M".to_owned());
    match work(action, names).unwrap() {
        Work::Calls(calls) => calls.iter().map(shown).collect(),
        other => panic!("{other:?}"),
    }
}

fn shown(call: &Call) -> String {
    let parameters = call.parameters.iter();
    let parameters: Vec<_> = parameters.map(|(k, v)| format!("{k}={v}")).collect();
    format!("{}?{}", call.path, parameters.join("&"))
}

fn read(json: Value) -> Action {
    serde_json::from_value(json).unwrap()
}

#[test]
fn every_action_is_a_call_or_unsupported() {
    for (action, call) in [
        (
            json!({"action": "recall", "message": "7"}),
            "revoke_message?id=7",
        ),
        (
            json!({"action": "stick", "conversation": "@f", "on": true}),
            "stick?id=@f&op=1",
        ),
        (
            json!({"action": "create-group", "name": "G", "users": ["@a", "@b"]}),
            "create_group?friends=@a,@b&displayname=G",
        ),
        (
            json!({"action": "create-group", "users": ["@a", "@b"]}),
            "create_group?friends=@a,@b",
        ),
        (
            json!({"action": "invite", "group": "@@g", "user": "@a"}),
            "invite_friend?id=@@g&friends=@a",
        ),
        (
            json!({"action": "kick", "group": "@@g", "user": "@a"}),
            "kick_group_member?id=@@g&members=@a",
        ),
        (
            json!({"action": "rename-group", "group": "@@g", "name": "N"}),
            "set_group_displayname?id=@@g&new_displayname=N",
        ),
        (
            json!({"action": "remark", "user": "@a", "name": "R"}),
            "set_markname?id=@a&new_markname=R",
        ),
        (
            json!({"action": "add-friend", "user": "@a", "group": "@@g", "greeting": "hi"}),
            "make_friend?id=@a&verify=hi",
        ),
        (
            json!({"action": "raw", "json": "{\"path\":\"consult\",\"params\":{\"id\":\"@f\",\"timeout\":3}}"}),
            "consult?id=@f&timeout=3",
        ),
    ] {
        let action = read(action);
        assert_eq!(check(&action), Ok(()));
        assert_eq!(calls(&action), [call]);
    }
    for other in [
        json!({"action": "accept-transfer", "sender": "@a", "transfer": "1"}),
        json!({"action": "invite", "group": "@@g", "user": "@a", "add": true}),
        json!({"action": "accept-invitation", "url": "http://h/"}),
        json!({"action": "kick", "user": "@a"}),
        json!({"action": "rename-me", "group": "@@g", "name": "N"}),
        json!({"action": "announce", "group": "@@g", "text": "t"}),
        json!({"action": "leave-group", "group": "@@g"}),
        json!({"action": "remove-friend", "user": "@a"}),
        json!({"action": "check-friend", "user": "@a"}),
        json!({"action": "refresh-user", "user": "@a"}),
        json!({"action": "add-tag", "tag": "t", "users": ["@a"]}),
        json!({"action": "delete-tag", "tag": "t"}),
    ] {
        let refused = check(&read(other)).unwrap_err();
        assert!(matches!(refused, Refused::Unsupported { .. }), "{refused}");
    }
}

#[test]
fn a_message_is_one_call_per_text_and_file() {
    let url = |url: &str| FileSource::Url(url.to_owned());
    let text = |text: &str| Segment::Text(text.to_owned());
    let send = Action::Send {
        conversation: "@@g".to_owned(),
        segments: vec![
            Segment::Mention("@m".to_owned()),
            text("look"),
            Segment::Image(url("http://h/1.png")),
            Segment::Mention("@x".to_owned()),
        ],
    };
    assert_eq!(check(&send), Ok(()));
    assert_eq!(
        calls(&send),
        [
            "send_group_message?id=@@g&content=@M look",
            "send_group_message?id=@@g&media_path=http://h/1.png",
            "send_group_message?id=@@g&content=@@x ",
        ]
    );
    assert_eq!(
        calls(&Action::text("filehelper", "a&b")),
        ["send_friend_message?id=filehelper&content=a&b"]
    );
    assert!(check(&Action::text("@all", "hi")).is_err());
}

#[test]
fn no_file_is_fetched_from_this_machine() {
    let own = "http://127.0.0.1:3000/openwx/send_friend_message?id=@f&content=x";
    let source = || FileSource::Url(own.to_owned());
    for segment in [
        Segment::Image(source()),
        Segment::Sticker(source()),
        Segment::Voice(source()),
        Segment::Video(source()),
        Segment::Document(source()),
    ] {
        let send = Action::Send {
            conversation: "@f".to_owned(),
            segments: vec![Segment::Text("look".to_owned()), segment],
        };
        let refused = check(&send).unwrap_err().to_string();
        assert!(refused.starts_with("url: names this machine"), "{refused}");
    }
    let json = json!({"path": "send_friend_message", "params": {"media_path": own}}).to_string();
    assert!(check(&Action::Raw { json }).is_err());
}

#[test]
fn raw_calls_reach_no_further_than_the_api() {
    let raw = |json: Value| {
        check(&Action::Raw {
            json: json.to_string(),
        })
    };
    assert_eq!(raw(json!({"path": "get_client_info"})), Ok(()));
    for bad in [
        json!({}),
        json!({"path": ""}),
        json!({"path": "../x"}),
        json!({"path": "stop_client"}),
        json!({"path": "a", "params": []}),
        json!({"path": "a", "params": {"x": [1]}}),
        json!({"path": "a", "more": 1}),
        json!({"path": "upload_media", "params": {"media_path": "/etc/passwd"}}),
    ] {
        assert!(raw(bad.clone()).is_err(), "{bad}");
    }
    let ticket = "whatever".to_owned();
    assert!(check(&Action::AcceptFriend { ticket }).is_err());
}

#[test]
fn an_answer_s_code_says_how_it_went() {
    let answer = |status: u16, body: &str| ApiAnswer {
        status,
        mime: String::new(),
        body: body.to_owned().into(),
    };
    let Ok(Work::Calls(calls)) = work(&Action::text("@f", "hi"), |_| None).map(|it| match it {
        Work::Calls(calls) => Work::Calls(calls),
        other => panic!("{other:?}"),
    }) else {
        panic!("refused");
    };
    let of = |status, body| outcome(&calls[0], &answer(status, body));
    assert_eq!(
        of(200, r#"{"code":0,"id":"1:@f","status":"success"}"#),
        Outcome::Done
    );
    assert_eq!(of(200, r#"{"code":"0"}"#), Outcome::Done);
    assert_eq!(
        of(200, r#"{"code":100,"id":null,"status":"object not found"}"#),
        Outcome::Failed("code 100: object not found".to_owned())
    );
    assert!(matches!(of(200, r#"{"code":1205}"#), Outcome::Failed(_)));
    assert!(matches!(of(200, "fine"), Outcome::Unknown(_)));
    assert!(matches!(of(500, "oops"), Outcome::Unknown(_)));
    assert_eq!(
        of(403, "no\nmore"),
        Outcome::Failed("HTTP 403: no".to_owned())
    );
    assert_eq!(outcome(&user_info(), &answer(200, "[]")), Outcome::Done);
}

#[test]
fn lists_are_read_as_they_come() {
    assert_eq!(
        own_user(br#"{"id":"@me","name":"N"}"#).unwrap().nickname,
        "N"
    );
    assert!(own_user(br#"{"code":100}"#).is_none());
    assert_eq!(friends(br#"[{"id":"@f"},{}]"#).unwrap().users.len(), 1);
    assert_eq!(
        groups(br#"[{"id":"@@g","member":[{"id":"@m"}]}]"#)
            .unwrap()
            .len(),
        1
    );
    assert!(friends(br#"{"code":100,"status":"object not found"}"#).is_none());
    assert!(groups(b"\xff").is_none());
}

#[test]
fn what_asks_wechat_may_take_long_for_bots_too() {
    let slow = |action: &Action| match work(action, |_| None) {
        Ok(Work::Calls(calls)) => calls.iter().all(|call| call.slow),
        other => panic!("{other:?}"),
    };
    assert!(slow(&Action::text("@f", "hi")));
    assert!(slow(&Action::Recall {
        message: "1".to_owned()
    }));
    assert!(slow(&Action::Remark {
        user: "@f".to_owned(),
        name: "F".to_owned()
    }));
    assert!(!user_info().slow);
}
