//! Every kind of message (section 4).

use super::*;
use crate::domain::{
    Message, User,
    event::{Content, File, Link},
};

fn message(name: &str) -> Message {
    let report = report(name);
    assert_same(&report.contacts, &ContactReport::None);
    assert_eq!(report.repeats_within, None);
    match report.event {
        Event {
            what: Happening::Message(message),
            key,
            ..
        } => {
            assert_eq!(key.as_str(), format!("msg-{}", message.id));
            *message
        }
        other => panic!("{name}: {other:?}"),
    }
}

fn file(id: &str) -> File {
    File {
        id: id.to_owned(),
        ..File::default()
    }
}

/// A private message from a friend.
fn from_friend(id: &str, content: Content) -> Message {
    Message {
        id: id.to_owned(),
        conversation: "wxid_friend01".to_owned(),
        author: "wxid_friend01".to_owned(),
        author_name: String::new(),
        group: None,
        mentions: Vec::new(),
        outgoing: false,
        content,
    }
}

fn in_group(message: Message) -> Message {
    Message {
        conversation: GROUP.to_owned(),
        group: Some(GROUP.to_owned()),
        ..message
    }
}

fn own(message: Message) -> Message {
    Message {
        author: ME.to_owned(),
        outgoing: true,
        ..message
    }
}

fn text(text: &str) -> Message {
    from_friend("6100000000000000001", Content::Text(text.to_owned()))
}

#[test]
fn text_in_private() {
    assert_eq!(message("msg-01-text-private"), text("你好, hello 😀"));
    let event = report("msg-01-text-private").event;
    assert_eq!(event.at_ms, 1_574_064_000_124);
    assert_eq!(event.facts, []);
}

#[test]
fn text_of_the_account_itself_belongs_to_the_other_s_conversation() {
    assert_eq!(message("msg-01-text-own"), own(text("自己发的")));
}

#[test]
fn text_in_a_group_with_a_mention() {
    let expected = Message {
        mentions: vec![ME.to_owned()],
        ..in_group(text("@Bill 在吗"))
    };
    assert_eq!(message("msg-01-text-group-mention"), expected);
}

#[test]
fn a_group_is_known_by_its_id_when_the_room_is_not_named() {
    let data = format!(r#"{{"msg":{{"msg_id":"1","wxid_from":"a","wxid_to":"{GROUP}"}}}}"#);
    match try_report("report_new_msg", &data).unwrap().event.what {
        Happening::Message(message) => {
            assert_eq!(message.conversation, GROUP);
            assert_eq!(message.group.as_deref(), Some(GROUP));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn numbers_as_strings_and_the_other_way_round() {
    assert_eq!(message("msg-01-neighbour-types"), text("数字成字符串"));
    let event = report("msg-01-neighbour-types").event;
    assert_eq!(event.at_ms, 1_574_064_000_124);
}

#[test]
fn an_image() {
    let expected = Content::Image(file("3053020100044c304a0201"));
    assert_eq!(
        message("msg-03-image"),
        from_friend("6100000000000000003", expected)
    );
}

#[test]
fn voice() {
    let expected = Content::Voice(file("4166303733643135"));
    assert_eq!(
        message("msg-34-voice"),
        from_friend("6100000000000000034", expected)
    );
    let xml = "<msg><voicemsg voicelength=\"2100\"/></msg>".to_owned();
    assert_eq!(report("msg-34-voice").event.facts, [("raw-msg", xml)]);
}

#[test]
fn a_card() {
    let expected = Content::Card {
        user: User {
            nickname: "名片".to_owned(),
            ..User::unknown("wxid_friend05")
        },
        xml: Some("<msg username=\"wxid_friend05\" nickname=\"名片\"/>".to_owned()),
    };
    assert_eq!(
        message("msg-42-card"),
        from_friend("6100000000000000042", expected)
    );
    assert_eq!(report("msg-42-card").event.facts, []);
}

#[test]
fn a_video() {
    let expected = Content::Video(file("306b0201000464306202"));
    let expected = in_group(from_friend("6100000000000000043", expected));
    assert_eq!(message("msg-43-video"), expected);
}

#[test]
fn an_emoji() {
    let expected = Content::Sticker(File {
        url: Some("http://emoji.example/1.gif".to_owned()),
        ..File::default()
    });
    assert_eq!(
        message("msg-47-emoji"),
        from_friend("6100000000000000047", expected)
    );
}

#[test]
fn a_link() {
    let expected = Content::Link(Link {
        title: "标题".to_owned(),
        description: "副标题".to_owned(),
        url: "http://httpd.apache.org/".to_owned(),
        ..Link::default()
    });
    assert_eq!(
        message("msg-49-link"),
        from_friend("6100000000000000049", expected)
    );
}

#[test]
fn an_invitation_to_a_group() {
    let expected = Content::GroupInvitation {
        url:
            "https://support.weixin.qq.com/cgi-bin/mmsupport-bin/addchatroombyinvite?ticket=AbC%3D"
                .to_owned(),
        title: "邀请你加入群聊".to_owned(),
        description: String::new(),
    };
    let expected = from_friend("6100000000000000049", expected);
    assert_eq!(message("msg-49-group-invitation"), expected);
}

#[test]
fn a_mini_program() {
    let expected = Content::MiniProgram {
        title: String::new(),
        xml: "<msg><appmsg><type>33</type></appmsg></msg>".to_owned(),
        cover: Some(file("aa01")),
    };
    let expected = from_friend("6100000000000004901", expected);
    assert_eq!(message("msg-4901-mini-program"), expected);

    let titled = r#"{"msg":{"msg_id":"1","msg_type":4901,"raw_msg":"<appmsg><title>T</title>"}}"#;
    match try_report("report_new_msg", titled).unwrap().event.what {
        Happening::Message(message) => assert_eq!(
            message.content,
            Content::MiniProgram {
                title: "T".to_owned(),
                xml: "<appmsg><title>T</title>".to_owned(),
                cover: None,
            }
        ),
        other => panic!("{other:?}"),
    }
}

fn transfer(state: &str) -> Message {
    let content = Content::Transfer {
        id: "1000050001201911".to_owned(),
        state: state.to_owned(),
    };
    from_friend("6100000000000004902", content)
}

#[test]
fn transfers() {
    assert_eq!(message("msg-4902-transfer-offered"), transfer("offered"));
    assert_eq!(
        message("msg-4902-transfer-accepted"),
        own(transfer("accepted"))
    );
    let other = r#"{"msg":{"msg_id":"1","msg_type":4902,"transferid":"t","paysubtype":4}}"#;
    match try_report("report_new_msg", other).unwrap().event.what {
        Happening::Message(message) => assert!(
            matches!(&message.content, Content::Transfer { state, .. } if state == "4"),
            "{message:?}"
        ),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file() {
    let expected = Content::Document(File {
        name: Some("报价.pdf".to_owned()),
        size: Some(48_213),
        ..file("bb02")
    });
    assert_eq!(
        message("msg-4903-file"),
        from_friend("6100000000000004903", expected)
    );
}

#[test]
fn a_notice() {
    let expected = Content::Notice("xxx邀请yyy加入了群聊".to_owned());
    let expected = in_group(from_friend("6100000000000010000", expected));
    assert_eq!(message("msg-10000-notice"), expected);
}

#[test]
fn an_unknown_kind_is_kept_as_it_came() {
    let text = String::from_utf8(fixture("msg-777-unknown-kind").to_vec()).unwrap();
    let start = text.find("\"msg\": ").unwrap() + "\"msg\": ".len();
    let end = text.rfind("\n }\n}").unwrap();
    let expected = Content::Raw(text[start..end].to_owned());
    let expected = from_friend("6100000000000000777", expected);
    assert_eq!(message("msg-777-unknown-kind"), expected);
}

#[test]
fn a_time_that_can_t_be_is_left_to_the_caller() {
    for time in [
        "null",
        "0",
        "-1",
        "1574064000",
        "\"\"",
        "99999999999999999999",
        "9e15",
    ] {
        let data = format!(r#"{{"msg":{{"msg_id":"1","msg_timestamp":{time}}}}}"#);
        assert_eq!(
            try_report("report_new_msg", &data).unwrap().event.at_ms,
            0,
            "{time}"
        );
    }
    let data = r#"{"msg":{"msg_id":"1","msg_timestamp":1.574064000124e+12}}"#;
    let event = try_report("report_new_msg", data).unwrap().event;
    assert_eq!(event.at_ms, 1_574_064_000_124);
}

#[test]
fn an_id_beyond_any_integer_keeps_its_digits() {
    let data = r#"{"msg":{"msg_id":123456789012345678901234567890}}"#;
    let event = try_report("report_new_msg", data).unwrap().event;
    assert_eq!(event.key.as_str(), "msg-123456789012345678901234567890");
}
