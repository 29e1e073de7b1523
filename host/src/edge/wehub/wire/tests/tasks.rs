//! Every task of section 5 that an action covers.

use serde_json::{Value, json};

use super::*;
use crate::domain::{
    Action,
    action::{FileSource, LinkCard, MiniProgramCard, Segment},
};
use crate::edge::wehub::wire::{check, task};

/// The task of an action written as in the control API.
fn made(action: Value) -> (u64, Value) {
    let action: Action = serde_json::from_value(action).unwrap();
    check(&action).unwrap();
    let mut made = serde_json::to_value(task(&action).unwrap()).unwrap();
    let fields = made.as_object_mut().unwrap();
    assert_eq!(
        fields.keys().collect::<Vec<_>>(),
        ["task_dict", "task_type"]
    );
    (
        fields["task_type"].as_u64().unwrap(),
        fields["task_dict"].take(),
    )
}

#[test]
fn tasks_about_groups() {
    for (action, expected) in [
        (
            json!({"action": "kick", "group": "g", "user": "u"}),
            (2, json!({"room_wxid": "g", "wxid": "u"})),
        ),
        (
            json!({"action": "kick", "user": "u"}),
            (2, json!({"room_wxid": "", "wxid": "u"})),
        ),
        (
            json!({"action": "invite", "group": "g", "user": "u"}),
            (3, json!({"room_wxid": "g", "wxid": "u", "flag": 0})),
        ),
        (
            json!({"action": "invite", "group": "g", "user": "u", "add": true}),
            (3, json!({"room_wxid": "g", "wxid": "u", "flag": 1})),
        ),
        (
            json!({"action": "refresh-groups", "groups": ["g", "h"]}),
            (4, json!({"room_wxid_list": ["g", "h"]})),
        ),
        (
            json!({"action": "rename-me", "group": "g", "name": "n"}),
            (7, json!({"room_wxid": "g", "room_nickname": "n"})),
        ),
        (
            json!({"action": "leave-group", "group": "g"}),
            (8, json!({"room_wxid": "g"})),
        ),
        (
            json!({"action": "announce", "group": "g", "text": "t"}),
            (10, json!({"room_wxid": "g", "msg": "t"})),
        ),
        (
            json!({"action": "create-group", "users": ["u", "v"]}),
            (17, json!({"member_list": ["u", "v"]})),
        ),
        (
            json!({"action": "rename-group", "group": "g", "name": "n"}),
            (18, json!({"room_wxid": "g", "room_name": "n"})),
        ),
        (
            json!({"action": "accept-invitation", "url": "https://a.example/"}),
            (19, json!({"invite_url": "https://a.example/"})),
        ),
    ] {
        assert_eq!(made(action), expected);
    }
}

#[test]
fn tasks_about_people_files_and_money() {
    for (action, expected) in [
        (
            json!({"action": "add-friend", "user": "u", "group": "g", "greeting": "hi"}),
            (5, json!({"room_wxid": "g", "wxid": "u", "msg": "hi"})),
        ),
        (
            json!({"action": "add-friend", "user": "u"}),
            (5, json!({"room_wxid": "", "wxid": "u", "msg": ""})),
        ),
        (
            json!({"action": "remark", "user": "u", "name": "n"}),
            (6, json!({"wxid": "u", "remark_name": "n"})),
        ),
        (
            json!({"action": "download", "file": "f"}),
            (9, json!({"file_index": "f"})),
        ),
        (
            json!({"action": "accept-transfer", "sender": "u", "transfer": "t"}),
            (11, json!({"wxid_from": "u", "transferid": "t"})),
        ),
        (
            json!({"action": "remove-friend", "user": "u"}),
            (12, json!({"wxid_delete": "u"})),
        ),
        (
            json!({"action": "accept-friend", "ticket": "[\"a\",\"b\"]"}),
            (13, json!({"v1": "a", "v2": "b"})),
        ),
        (
            json!({"action": "refresh-contacts"}),
            (14, json!({"flag_report_contact": 7})),
        ),
        (
            json!({"action": "check-friend", "user": "u"}),
            (15, json!({"wxid": "u"})),
        ),
        (
            json!({"action": "refresh-user", "user": "u"}),
            (16, json!({"wxid": "u"})),
        ),
    ] {
        assert_eq!(made(action), expected);
    }
}

#[test]
fn tasks_about_tags() {
    let tag = |users: Value, op_code: u32| {
        (
            100,
            json!({"tag_name": "t", "wxid_list": users, "op_code": op_code}),
        )
    };
    for (action, expected) in [
        (
            json!({"action": "add-tag", "tag": "t", "users": ["u"]}),
            tag(json!(["u"]), 1),
        ),
        (
            json!({"action": "remove-tag", "tag": "t", "users": ["u"]}),
            tag(json!(["u"]), 2),
        ),
        (
            json!({"action": "delete-tag", "tag": "t"}),
            tag(json!([]), 3),
        ),
        (
            json!({"action": "rename-tag", "tag": "t", "to": "u"}),
            (101, json!({"old_tag_name": "t", "new_tag_name": "u"})),
        ),
    ] {
        assert_eq!(made(action), expected);
    }
}

fn sent(conversation: &str, segments: Vec<Segment>) -> Value {
    let action = Action::Send {
        conversation: conversation.to_owned(),
        segments,
    };
    check(&action).unwrap();
    let sent = serde_json::to_value(task(&action).unwrap()).unwrap();
    assert_eq!(sent["task_type"], 1);
    assert_eq!(sent["task_dict"]["wxid_to"], conversation);
    sent["task_dict"].clone()
}

fn words(text: &str) -> Segment {
    Segment::Text(text.to_owned())
}

fn at(user: &str) -> Segment {
    Segment::Mention(user.to_owned())
}

#[test]
fn every_kind_of_message_unit() {
    let url = || FileSource::Url("http://a.example/x".to_owned());
    let dict = sent(
        "wxid_a",
        vec![
            words("t"),
            Segment::Image(url()),
            Segment::Sticker(url()),
            Segment::Video(url()),
            Segment::Document(url()),
            Segment::Link(LinkCard {
                title: "T".to_owned(),
                description: "D".to_owned(),
                url: "http://a.example/".to_owned(),
                thumbnail_url: None,
            }),
            Segment::MiniProgram(MiniProgramCard {
                xml: "<msg/>".to_owned(),
                cover_url: Some("http://a.example/c".to_owned()),
            }),
            Segment::Card("wxid_b".to_owned()),
            Segment::Raw(" {\"msg_type\": 99}".to_owned()),
        ],
    );
    assert_eq!(
        dict["msg_list"],
        json!([
            {"msg_type": 1, "msg": "t"},
            {"msg_type": 3, "msg": "http://a.example/x"},
            {"msg_type": 47, "msg": "http://a.example/x"},
            {"msg_type": 43, "video_url": "http://a.example/x"},
            {"msg_type": 43, "video_url": "http://a.example/x"},
            {"msg_type": 49, "link_url": "http://a.example/", "link_title": "T", "link_desc": "D", "link_img_url": ""},
            {"msg_type": 4901, "raw_msg": "<msg/>", "cover_url": "http://a.example/c"},
            {"msg_type": 42, "wxid_card": "wxid_b"},
            {"msg_type": 99},
        ])
    );
}

#[test]
fn words_and_mentions_make_one_text() {
    let dict = sent(
        GROUP,
        vec![at("a"), words(" and "), at("b"), words(": "), words("hi")],
    );
    assert_eq!(
        dict["msg_list"],
        json!([{"msg_type": 1, "msg": "{$@} and {$@}: hi"}])
    );
    assert_eq!(dict["at_list"], json!(["a", "b"]));
    assert_eq!(dict["at_style"], 1);
}

#[test]
fn a_picture_between_parts_the_text() {
    let picture = Segment::Image(FileSource::Url("http://a.example/".to_owned()));
    let dict = sent(GROUP, vec![words("x"), picture, at("a")]);
    assert_eq!(dict["msg_list"][0]["msg"], "x");
    assert_eq!(dict["msg_list"][2]["msg"], "{$@}");
    assert_eq!(dict["at_list"], json!(["a"]));
}

#[test]
fn a_placeholder_that_somebody_wrote_is_no_mention() {
    let dict = sent(
        GROUP,
        vec![words("{$@}{$"), words("@}"), at("a"), words("{$@}")],
    );
    let text = "{\u{200b}$@}{\u{200b}$@}{$@}{\u{200b}$@}";
    assert_eq!(dict["msg_list"], json!([{"msg_type": 1, "msg": text}]));

    let untouched = sent(GROUP, vec![words("{$@}")]);
    assert_eq!(
        untouched["msg_list"],
        json!([{"msg_type": 1, "msg": "{$@}"}])
    );
    assert_eq!(untouched["at_style"], 0);
}

#[test]
fn a_raw_task_goes_out_as_given() {
    let given = r#"{ "task_dict": {"x": 1e5},  "task_type": 77, "more": null }"#;
    let action = Action::Raw {
        json: format!("\n{given} "),
    };
    check(&action).unwrap();
    assert_eq!(
        serde_json::to_string(&task(&action).unwrap()).unwrap(),
        given
    );
}

#[test]
fn what_wehub_can_t_be_asked_is_refused() {
    let raw = |json: &str| json!({"action": "raw", "json": json});
    for (action, reason) in [
        (
            raw("{}"),
            "json: needs a whole number `task_type` and an object `task_dict`",
        ),
        (
            raw(r#"{"task_type":"1","task_dict":{}}"#),
            "json: needs a whole number `task_type` and an object `task_dict`",
        ),
        (
            raw(r#"{"task_type":1,"task_dict":[]}"#),
            "json: needs a whole number `task_type` and an object `task_dict`",
        ),
        (raw("[]"), "json: is no JSON object"),
        (
            json!({"action": "accept-friend", "ticket": "v1"}),
            "ticket: is not the ticket of a friend request",
        ),
        (
            json!({"action": "accept-friend", "ticket": "[\"a\"]"}),
            "ticket: is not the ticket of a friend request",
        ),
    ] {
        let action: Action = serde_json::from_value(action).unwrap();
        assert_eq!(task(&action).unwrap_err().to_string(), reason);
        assert!(check(&action).is_err());
    }
    for unsupported in [
        json!({"action": "recall", "message": "m"}),
        json!({"action": "stick", "conversation": "c", "on": true}),
        json!({"action": "fetch-avatar", "user": "u"}),
        json!({"action": "create-group", "name": "n", "users": ["u", "v"]}),
        json!({"action": "send", "conversation": "c", "segments": ["mention-all"]}),
        json!({"action": "send", "conversation": "c", "segments": [{"quote": "m"}]}),
        json!({"action": "send", "conversation": "c", "segments": [{"voice": {"url": "http://a.example/"}}]}),
        json!({"action": "send", "conversation": "c", "segments": [{"image": {"held": "f"}}]}),
    ] {
        let action: Action = serde_json::from_value(unsupported).unwrap();
        assert!(task(&action).is_err(), "{action:?}");
        assert!(check(&action).is_err(), "{action:?}");
    }
}
