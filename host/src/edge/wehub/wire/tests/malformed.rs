//! Bodies that are not as the protocol has it: refused with the field's path.

use super::*;

/// What is said about a body, in one line.
fn fault(body: impl Into<Bytes>) -> String {
    parse(&body.into()).unwrap_err().to_string()
}

fn fault_in(action: &str, data: &str) -> String {
    let error = parse(&body(action, data)).unwrap_err();
    assert_eq!(error.action.as_deref(), Some(action));
    error.to_string()
}

#[test]
fn what_is_no_json_object() {
    for body in [
        "",
        " ",
        "x",
        "null",
        "1",
        "\"{}\"",
        "[]",
        "[{\"action\":\"login\"}]",
    ] {
        assert_eq!(fault(body), "body: is no JSON object", "{body}");
    }
    assert_eq!(fault(&b"{\"action\":\"\xff\"}"[..]), "body: is not UTF-8");
    for body in [
        "{",
        "{\"action\"",
        "{\"action\":\"login\",}",
        "{}x",
        "{\"a\":tru}",
    ] {
        assert!(fault(body).starts_with("body: is broken JSON: "), "{body}");
    }
}

#[test]
fn an_action_that_is_none() {
    for (action, problem) in [
        ("null", "is missing"),
        ("1", "is no string"),
        ("{}", "is no string"),
        ("\"\"", "is empty"),
        ("\"\\ud800\"", "holds an escape that is no character"),
    ] {
        let body = format!(r#"{{"action":{action},"appid":"a","wxid":"w"}}"#);
        let error = parse(&body.into()).unwrap_err();
        assert_eq!(error.to_string(), format!("action: {problem}"));
        assert_eq!(error.action, None);
    }
    assert_eq!(fault("{}"), "action: is missing");
    let long = format!(r#"{{"action":"{}"}}"#, "x".repeat(101));
    assert_eq!(fault(long), "action: is longer than 100 bytes");
}

#[test]
fn nobody_is_meant() {
    for action in [
        "login",
        "pull_task",
        "heartbeat",
        "report_new_msg",
        "unknown",
    ] {
        for (rest, field) in [
            ("", "appid"),
            (r#","wxid":"w""#, "appid"),
            (r#","appid":"","wxid":"w""#, "appid"),
            (r#","appid":"a""#, "wxid"),
            (r#","appid":"a","wxid":null"#, "wxid"),
        ] {
            let error = parse(&format!(r#"{{"action":"{action}"{rest}}}"#).into()).unwrap_err();
            assert_eq!(error.to_string(), format!("{field}: is missing or empty"));
            assert_eq!(error.action.as_deref(), Some(action));
        }
    }
    assert_eq!(
        fault(r#"{"action":"login","appid":"a","wxid":"a b"}"#),
        "wxid: an account id has no spaces, slashes or control characters"
    );
    assert_eq!(
        fault(r#"{"action":"login","appid":{},"wxid":"w"}"#),
        "appid: is an object, not text"
    );
}

#[test]
fn data_of_another_type() {
    for action in [
        "login",
        "logout",
        "report_new_msg",
        "report_contact",
        "report_task_result",
    ] {
        assert_eq!(
            fault_in(action, "\"x\""),
            "data: is a string, not an object"
        );
        assert_eq!(fault_in(action, "[]"), "data: is a list, not an object");
        assert_eq!(fault_in(action, "1"), "data: is a number, not an object");
    }
}

#[test]
fn messages_that_are_none() {
    let fault = |data| fault_in("report_new_msg", data);
    assert_eq!(fault("{}"), "data.msg: is missing");
    assert_eq!(fault("null"), "data.msg: is missing");
    assert_eq!(
        fault(r#"{"msg":"hi"}"#),
        "data.msg: is a string, not an object"
    );
    assert_eq!(
        fault(r#"{"msg":{}}"#),
        "data.msg.msg_id: is missing or empty"
    );
}

#[test]
fn fields_of_a_message_beyond_tolerance() {
    let fault = |fields: &str| {
        let data = format!(r#"{{"msg":{{"msg_type":1,{fields}}}}}"#);
        fault_in("report_new_msg", &data)
    };
    for (fields, expected) in [
        (
            r#""msg_id":1.5"#,
            "data.msg.msg_id: is no whole number: 1.5",
        ),
        (
            r#""msg_id":1e400"#,
            "data.msg.msg_id: is no whole number: 1e400",
        ),
        (
            r#""msg_id":true"#,
            "data.msg.msg_id: is a boolean, not an id",
        ),
        (r#""msg_id":{}"#, "data.msg.msg_id: is an object, not text"),
        (
            r#""msg_id":"1","msg":{}"#,
            "data.msg.msg: is an object, not text",
        ),
        (
            r#""msg_id":"\ud800""#,
            "data.msg.msg_id: holds an escape that is no character",
        ),
        (
            r#""msg_id":"1","atUserList":"x""#,
            "data.msg.atUserList: is a string, not a list",
        ),
        (
            r#""msg_id":"1","atUserList":["a",{}]"#,
            "data.msg.atUserList[1]: is an object, not text",
        ),
        (
            r#""msg_id":"1","msg_timestamp":"soon""#,
            "data.msg.msg_timestamp: is no whole number: soon",
        ),
    ] {
        assert_eq!(fault(fields), expected);
    }
}

#[test]
fn messages_beyond_all_measure() {
    let long = "x".repeat(256 * 1024 + 1);
    for (kind, field) in [(1, "msg"), (10000, "raw_msg"), (49, "link_url")] {
        let data = format!(r#"{{"msg":{{"msg_id":1,"msg_type":{kind},"{field}":"{long}"}}}}"#);
        assert_eq!(
            fault_in("report_new_msg", &data),
            format!("data.msg.{field}: is longer than 262144 bytes")
        );
    }
    let data = format!(r#"{{"msg":{{"msg_id":1,"msg_type":99,"x":"{long}"}}}}"#);
    assert_eq!(
        fault_in("report_new_msg", &data),
        "data.msg: is longer than 262144 bytes"
    );
    let data = format!(r#"{{"msg":{{"msg_id":"{}"}}}}"#, "1".repeat(257));
    assert_eq!(
        fault_in("report_new_msg", &data),
        "data.msg.msg_id: is longer than 256 bytes"
    );
}

#[test]
fn fields_within_lists_are_named_by_their_place() {
    let data = r#"{"friend_list":[{"wxid":"a"},{"wxid":"b","nickname":[]}]}"#;
    assert_eq!(
        fault_in("report_contact", data),
        "data.friend_list[1].nickname: is a list, not text"
    );
    let data = r#"{"room_data_list":[{"room_wxid":"1@chatroom","memberInfo_list":["a"]}]}"#;
    assert_eq!(
        fault_in("report_room_member_info", data),
        "data.room_data_list[0].memberInfo_list[0]: is a string, not an object"
    );
}

#[test]
fn reports_about_nobody() {
    for (action, field) in [
        ("report_new_friend", "fans_wxid"),
        ("report_friend_removed", "wxid_removed"),
        ("report_room_removed", "wxid_removed"),
        ("report_new_room", "wxid"),
        ("report_room_member_change", "room_wxid"),
        ("report_user_info", "wxid"),
        ("report_zoom_check_status", "wxid"),
        ("report_task_result", "task_id"),
    ] {
        assert_eq!(
            fault_in(action, "{}"),
            format!("data.{field}: is missing or empty")
        );
    }
    assert_eq!(
        fault_in(
            "report_room_member_change",
            r#"{"room_wxid":"1@chatroom","flag":2}"#
        ),
        "data.flag: is neither 0 nor 1"
    );
}

#[test]
fn a_field_that_is_there_twice() {
    let fault = fault_in("report_new_msg", r#"{"msg":{"msg_id":"1","msg_id":"2"}}"#);
    assert!(
        fault.starts_with("data.msg: duplicate field `msg_id`"),
        "{fault}"
    );
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(&body("unknown", &nested(127))).is_ok());
    for depth in [128, 1_000_000] {
        assert_eq!(
            fault(body("unknown", &nested(depth))),
            "body: nests deeper than 128 levels"
        );
    }
    let brackets_in_text = format!("\"\\\"{}\"", "[".repeat(1000));
    assert!(parse(&body("unknown", &brackets_in_text)).is_ok());
}

#[test]
fn a_fault_is_short_and_shows_no_text_of_another_field() {
    let long = "9".repeat(100_000);
    for data in [
        format!(r#"{{"msg":{{"msg_id":{long}.5}}}}"#),
        format!(r#"{{"msg":{{"msg_id":"1","msg_timestamp":"x{long}"}}}}"#),
        format!(r#"{{"msg":"{long}"}}"#),
    ] {
        assert!(fault_in("report_new_msg", &data).chars().count() < 200);
    }
    assert_eq!(
        fault(format!("\"secret {long}\"")),
        "body: is no JSON object"
    );
}
