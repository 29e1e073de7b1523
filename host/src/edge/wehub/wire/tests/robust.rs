//! What holds for any body and any action.

use std::time::Instant;

use proptest::{prelude::*, sample::Index};
use serde_json::Value;

use super::*;
use crate::domain::{
    Action, ClientKind,
    action::{FileSource, LinkCard, MiniProgramCard, Segment},
};
use crate::edge::wehub::wire::{check, task};

/// Parses; what is refused is refused briefly.
fn try_parse(body: impl Into<Bytes>) {
    if let Err(error) = parse(&body.into()) {
        assert!(error.to_string().chars().count() < 300, "{error}");
    }
}

/// What a field may be replaced by.
fn odd_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(serde_json::json!({"a": [1]})),
        Just(serde_json::json!([null, 1, "x", {}, []])),
    ]
}

/// Every value in a tree that holds no others, in order.
fn places(value: &mut Value) -> Vec<&mut Value> {
    match value {
        Value::Object(fields) => fields.values_mut().flat_map(places).collect(),
        Value::Array(entries) => entries.iter_mut().flat_map(places).collect(),
        leaf => vec![leaf],
    }
}

proptest! {
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        try_parse(bytes);
    }

    #[test]
    fn any_json_text(text in "[\\[\\]{}:,\"\\\\u0-9a-f.e+ -]{0,200}") {
        try_parse(format!("{{\"action\":\"report_new_msg\",\"appid\":1,\"wxid\":1,\"data\":{{\"msg\":{text}}}}}"));
        try_parse(format!("{{{text}"));
    }

    #[test]
    fn fixtures_with_changed_bytes(
        fixture in 0..FIXTURES.len(),
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..8),
        cut in any::<Option<Index>>(),
    ) {
        let mut bytes = FIXTURES[fixture].1.as_bytes().to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        try_parse(bytes);
    }

    #[test]
    fn fixtures_with_changed_values(
        fixture in 0..FIXTURES.len(),
        changes in prop::collection::vec((any::<Index>(), odd_value()), 1..4),
    ) {
        let mut body: Value = serde_json::from_str(FIXTURES[fixture].1).unwrap();
        for (at, value) in changes {
            let mut places = places(&mut body);
            let at = at.index(places.len());
            *places[at] = value;
        }
        try_parse(body.to_string());
    }

    #[test]
    fn actions_that_pass_the_check_convert(action in action()) {
        prop_assert_eq!(action.check(ClientKind::Wehub), Ok(()));
        prop_assert_eq!(check(&action), Ok(()));
        let made = serde_json::to_value(task(&action).unwrap()).unwrap();
        prop_assert!(made["task_type"].is_u64() && made["task_dict"].is_object());
        if let Action::Send { segments, .. } = &action {
            mentions_fit(segments, &made["task_dict"])?;
        }
    }
}

/// As many placeholders as mentions, for the same people in the same order.
fn mentions_fit(segments: &[Segment], dict: &Value) -> Result<(), TestCaseError> {
    let wanted: Vec<&str> = segments
        .iter()
        .filter_map(|segment| match segment {
            Segment::Mention(user) => Some(user.as_str()),
            _ => None,
        })
        .collect();
    prop_assert_eq!(&dict["at_list"], &serde_json::json!(wanted));
    prop_assert_eq!(&dict["at_style"], i32::from(!wanted.is_empty()));
    let texts = dict["msg_list"].as_array().unwrap().iter();
    let placeholders: usize = texts
        .filter(|unit| unit["msg_type"] == 1)
        .map(|unit| unit["msg"].as_str().unwrap().matches("{$@}").count())
        .sum();
    if !wanted.is_empty() {
        prop_assert_eq!(placeholders, wanted.len());
    }
    Ok(())
}

fn name() -> impl Strategy<Value = String> {
    "[a-z你]{1,8}"
}

fn names() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(name(), 2..5)
}

fn url() -> impl Strategy<Value = String> {
    "https?://[a-z]{1,5}/[a-z\"]{0,5}"
}

fn source() -> impl Strategy<Value = FileSource> {
    url().prop_map(FileSource::Url)
}

fn segment() -> impl Strategy<Value = Segment> {
    prop_oneof![
        5 => r"[{$@}x]{1,9}".prop_map(Segment::Text),
        4 => name().prop_map(Segment::Mention),
        1 => source().prop_map(Segment::Image),
        1 => source().prop_map(Segment::Sticker),
        1 => source().prop_map(Segment::Video),
        1 => source().prop_map(Segment::Document),
        1 => name().prop_map(Segment::Card),
        1 => (name(), url()).prop_map(|(title, url)| Segment::Link(LinkCard {
            title,
            description: String::new(),
            url,
            thumbnail_url: None,
        })),
        1 => name().prop_map(|xml| Segment::MiniProgram(MiniProgramCard { xml, cover_url: None })),
        1 => Just(Segment::Raw(r#"{"msg_type":99}"#.to_owned())),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let group = || "[0-9]{1,9}@(im\\.)?chatroom";
    let segments = prop::collection::vec(segment(), 1..12);
    let ticket = (".{0,9}", ".{0,9}");
    prop_oneof![
        10 => (group(), segments).prop_map(|(conversation, segments)| Action::Send { conversation, segments }),
        1 => name().prop_map(|file| Action::Download { file }),
        1 => (name(), name()).prop_map(|(sender, transfer)| Action::AcceptTransfer { sender, transfer }),
        1 => names().prop_map(|users| Action::CreateGroup { name: None, users }),
        1 => (group(), name(), any::<bool>()).prop_map(|(group, user, add)| Action::Invite { group, user, add }),
        1 => url().prop_map(|url| Action::AcceptInvitation { url }),
        1 => (prop::option::of(group()), name()).prop_map(|(group, user)| Action::Kick { group, user }),
        1 => (group(), name()).prop_map(|(group, name)| Action::RenameGroup { group, name }),
        1 => (group(), name()).prop_map(|(group, name)| Action::RenameMe { group, name }),
        1 => (group(), name()).prop_map(|(group, text)| Action::Announce { group, text }),
        1 => group().prop_map(|group| Action::LeaveGroup { group }),
        1 => names().prop_map(|groups| Action::RefreshGroups { groups }),
        1 => ticket.prop_map(|pair| Action::AcceptFriend { ticket: serde_json::json!(pair).to_string() }),
        1 => (name(), prop::option::of(group()), name())
            .prop_map(|(user, group, greeting)| Action::AddFriend { user, group, greeting }),
        1 => name().prop_map(|user| Action::RemoveFriend { user }),
        1 => name().prop_map(|user| Action::CheckFriend { user }),
        1 => (name(), name()).prop_map(|(user, name)| Action::Remark { user, name }),
        1 => name().prop_map(|user| Action::RefreshUser { user }),
        1 => Just(Action::RefreshContacts),
        1 => (name(), names()).prop_map(|(tag, users)| Action::AddTag { tag, users }),
        1 => (name(), names()).prop_map(|(tag, users)| Action::RemoveTag { tag, users }),
        1 => name().prop_map(|tag| Action::DeleteTag { tag }),
        1 => (name(), name()).prop_map(|(tag, to)| Action::RenameTag { tag, to }),
        1 => Just(Action::Raw { json: r#"{"task_type":99,"task_dict":{}}"#.to_owned() }),
    ]
}

#[test]
fn ten_megabytes_of_contacts_are_read_in_a_moment() {
    let padding = "x".repeat(300);
    let friends: Vec<String> = (0..20_000)
        .map(|number| {
            format!(
                r#"{{"wxid":"wxid_{number}","wx_alias":"","nickname":"好友 \"{number}\"","remark_name":"r","head_img":"http://img.example/{padding}","sex":1,"country":"CN","province":"Zhejiang","city":"Hangzhou"}}"#
            )
        })
        .collect();
    let body = body(
        "report_contact",
        &format!(r#"{{"friend_list":[{}]}}"#, friends.join(",")),
    );
    let began = Instant::now();
    let report = match parse(&body).unwrap().action {
        Incoming::Report(report) => report,
        other => panic!("{other:?}"),
    };
    let took = began.elapsed();
    assert!(
        matches!(report.contacts, ContactReport::Snapshot { users: Some(users), .. } if users.len() == 20_000)
    );
    // A quarter of a second without optimisation; the bound is for a busy machine.
    assert!(took.as_secs() < 5, "{} bytes took {took:?}", body.len());
}
