//! Every answer, byte for byte.

use super::*;
use crate::domain::Action;
use crate::edge::wehub::wire::{
    WebSocketOffer, code, common_ack, login_ack, login_refusal, logout_ack, own_ack, pull_task_ack,
    refusal, task,
};

fn text(answer: Bytes) -> String {
    String::from_utf8(answer.to_vec()).unwrap()
}

#[test]
fn to_reports() {
    assert_eq!(
        text(common_ack(&[])),
        r#"{"error_code":0,"error_reason":"","ack_type":"common_ack","data":{"reply_task_list":[]}}"#
    );
    let hello = Action::text("wxid_a", "你好");
    let leave = Action::LeaveGroup {
        group: GROUP.to_owned(),
    };
    let tasks = [task(&hello).unwrap(), task(&leave).unwrap()];
    assert_eq!(
        text(common_ack(&tasks)),
        concat!(
            r#"{"error_code":0,"error_reason":"","ack_type":"common_ack","data":{"reply_task_list":["#,
            r#"{"task_type":1,"task_dict":{"wxid_to":"wxid_a","msg_list":[{"msg_type":1,"msg":"你好"}],"at_list":[],"at_style":0}},"#,
            r#"{"task_type":8,"task_dict":{"room_wxid":"8680025352@chatroom"}}]}}"#
        )
    );
}

#[test]
fn to_logins() {
    for (signature, shown) in [(Some("4B8D"), "4B8D"), (None, "")] {
        let expected = format!(
            r#"{{"error_code":0,"error_reason":"","ack_type":"login_ack","data":{{"signature":"{shown}","option":{{"flag_report_contact":7}}}}}}"#
        );
        assert_eq!(text(login_ack(signature, 7, None)), expected);
    }
    let offer = WebSocketOffer {
        ws_url: "ws://127.0.0.1:2000/wehub/ws/d3hpZF9h.mac".to_owned(),
        heartbeat_interval: 30,
    };
    assert_eq!(
        text(login_ack(Some("4B8D"), 3, Some(&offer))),
        concat!(
            r#"{"error_code":0,"error_reason":"","ack_type":"login_ack","data":{"signature":"4B8D","#,
            r#""option":{"flag_report_contact":3},"extension_protocol":{"type":"websocket","param":"#,
            r#"{"ws_url":"ws://127.0.0.1:2000/wehub/ws/d3hpZF9h.mac","heartbeat_interval":30}}}}"#
        )
    );
    assert_eq!(
        text(login_refusal(Some("4B8D"), code::NOT_ADMITTED, "no")),
        r#"{"error_code":3,"error_reason":"no","ack_type":"login_ack","data":{"signature":"4B8D"}}"#
    );
}

#[test]
fn to_logouts() {
    for (exits, data) in [
        ((true, true), r#"{"exit_wehub":1,"exit_wechat":1}"#),
        ((true, false), r#"{"exit_wehub":1,"exit_wechat":0}"#),
        ((false, false), r#"{"exit_wehub":0,"exit_wechat":0}"#),
    ] {
        assert_eq!(
            text(logout_ack(exits.0, exits.1)),
            format!(
                r#"{{"error_code":0,"error_reason":"","ack_type":"logout_ack","data":{data}}}"#
            )
        );
    }
}

#[test]
fn in_a_component_s_own_words() {
    for (given, data) in [
        ("{}", r#"{"reply_task_list":[]}"#),
        (
            r#"{"z": 18446744073709551616, "a": 1}"#,
            r#"{"a":1,"reply_task_list":[],"z":18446744073709551616}"#,
        ),
        (
            r#"{"reply_task_list":[{"task_type":8}]}"#,
            r#"{"reply_task_list":[{"task_type":8}]}"#,
        ),
    ] {
        assert_eq!(
            text(own_ack(7, "so", given)),
            format!(
                r#"{{"error_code":7,"error_reason":"so","ack_type":"common_ack","data":{data}}}"#
            )
        );
    }
}

#[test]
fn to_pulls() {
    let answer = |data: &str| {
        format!(r#"{{"error_code":0,"error_reason":"","ack_type":"pull_task_ack","data":{data}}}"#)
    };
    assert_eq!(text(pull_task_ack(None)), answer("{}"));
    let id = "wxid_a-17".parse().unwrap();
    let task = task(&Action::RefreshContacts).unwrap();
    let data = r#"{"task_id":"wxid_a-17","task_data":{"task_type":14,"task_dict":{"flag_report_contact":7}}}"#;
    assert_eq!(text(pull_task_ack(Some((&id, &task)))), answer(data));
}

#[test]
fn refusals_have_the_type_that_belongs_to_the_action() {
    for (action, ack_type, data) in [
        (Some("login"), "login_ack", r#"{"signature":""}"#),
        (Some("logout"), "logout_ack", "{}"),
        (Some("pull_task"), "pull_task_ack", "{}"),
        (
            Some("report_new_msg"),
            "common_ack",
            r#"{"reply_task_list":[]}"#,
        ),
        (Some("heartbeat"), "common_ack", r#"{"reply_task_list":[]}"#),
        (None, "common_ack", r#"{"reply_task_list":[]}"#),
    ] {
        assert_eq!(
            text(refusal(action, code::BUSY, "a \"b\"\n")),
            format!(
                r#"{{"error_code":4,"error_reason":"a \"b\"\n","ack_type":"{ack_type}","data":{data}}}"#
            )
        );
    }
}
