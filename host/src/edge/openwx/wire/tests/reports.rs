use super::*;
use crate::{
    domain::{
        Contact, Group, Member, Message, User,
        client::NativeState,
        event::{Content, File, Link},
        ports::ContactChange,
    },
    service::{ContactReport, REPEATED_WITHIN},
};

fn message(body: &Value) -> Message {
    match told(body).event.what {
        Happening::Message(message) => *message,
        other => panic!("{other:?}"),
    }
}

fn media(fields: Value) -> Content {
    let media = with(friend_message(), json!({"format": "media"}));
    message(&with(media, fields)).content
}

fn changes(body: &Value) -> Vec<ContactChange> {
    match told(body).contacts {
        ContactReport::Changes(changes) => changes,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_text_of_a_friend() {
    let told = told(&friend_message());
    assert_eq!(told.event.key.as_str(), "msg-777");
    assert_eq!(told.event.at_ms, 1_795_175_313_000);
    assert_eq!(told.repeats_within, None);
    assert_eq!(told.about, About::Message);
    assert!(told.event.facts.contains(&("sender-uid", "222".to_owned())));
    assert_eq!(
        message(&friend_message()),
        Message {
            id: "777".to_owned(),
            conversation: "@f1".to_owned(),
            author: "@f1".to_owned(),
            author_name: "好友1".to_owned(),
            group: None,
            mentions: Vec::new(),
            outgoing: false,
            content: Content::Text("ping 你好".to_owned()),
        }
    );
}

#[test]
fn own_messages_are_outgoing_and_of_whom_they_went_to() {
    let own = json!({
        "post_type": "send_message", "class": "send", "sender_id": "@me",
        "receiver_id": "@f1", "from": "api"
    });
    let own = message(&with(friend_message(), own));
    assert!(own.outgoing);
    assert_eq!(
        (own.conversation.as_str(), own.author.as_str()),
        ("@f1", "@me")
    );
    let in_group = json!({"class": "send", "sender_id": "@me"});
    let in_group = message(&with(group_message(), in_group));
    assert!(in_group.outgoing);
    assert_eq!(in_group.conversation, "@@g1");
}

#[test]
fn a_group_s_message_is_answered_in_the_group() {
    let said = message(&group_message());
    assert_eq!(said.conversation, "@@g1");
    assert_eq!(said.group.as_deref(), Some("@@g1"));
    assert_eq!(
        (said.author.as_str(), said.author_name.as_str()),
        ("@f1", "群名片")
    );
    let notice = json!({"type": "group_notice", "content": "A 邀请 B"});
    let notice = message(&with(group_message(), notice));
    assert_eq!(notice.content, Content::Notice("A 邀请 B".to_owned()));
}

#[test]
fn what_says_of_no_conversation_is_no_message_and_survives() {
    let lost = with(friend_message(), json!({"sender_id": null}));
    assert_eq!(
        told(&lost).event.what,
        Happening::Other("receive_message".to_owned())
    );
    let lost = with(group_message(), json!({"group_id": ""}));
    assert!(matches!(told(&lost).event.what, Happening::Other(_)));
}

#[test]
fn without_an_id_a_message_is_known_by_its_content_for_a_while() {
    let told = told(&with(friend_message(), json!({"id": null})));
    assert!(told.event.key.as_str().starts_with("message-"));
    assert_eq!(told.repeats_within, Some(REPEATED_WITHIN));
}

#[test]
fn numbers_come_as_texts_and_the_other_way_round() {
    let odd = json!({"id": 777, "time": "1795175313", "content": 12, "sender_uid": 222});
    let told = told(&with(friend_message(), odd));
    assert_eq!(told.event.key.as_str(), "msg-777");
    assert_eq!(told.event.at_ms, 1_795_175_313_000);
}

#[test]
fn media_are_told_apart_by_type_and_fetched_by_path() {
    let picture = json!({
        "media_path": "/tmp/c/1.jpg", "media_id": "m1", "media_mime": "image/jpeg",
        "media_name": "1.jpg", "media_size": "1024", "media_ext": "jpg", "media_data": "AAAA"
    });
    assert_eq!(
        media(picture),
        Content::Image(File {
            id: "/tmp/c/1.jpg".to_owned(),
            name: Some("1.jpg".to_owned()),
            mime: Some("image/jpeg".to_owned()),
            size: Some(1024),
            url: None,
        })
    );
    let of = |mime: &str| media(json!({"media_id": "m1", "media_mime": mime}));
    assert!(matches!(of("image/gif"), Content::Sticker(file) if file.id == "m1"));
    assert!(matches!(of("audio/mp3"), Content::Voice(_)));
    assert!(matches!(of("video/mp4"), Content::Video(_)));
    assert!(matches!(of("application/pdf"), Content::Document(_)));
    assert!(matches!(
        media(json!({"media_ext": "png"})),
        Content::Image(_)
    ));
    assert!(matches!(media(json!({})), Content::Document(_)));
}

#[test]
fn the_other_formats() {
    let content = |fields| message(&with(friend_message(), fields)).content;
    let app = json!({
        "format": "app", "app_title": "t", "app_desc": "d", "app_url": "http://h/", "app_name": "n"
    });
    assert_eq!(
        content(app),
        Content::Link(Link {
            title: "t".to_owned(),
            description: "d".to_owned(),
            url: "http://h/".to_owned(),
            thumbnail_url: None,
            app_name: Some("n".to_owned()),
        })
    );
    let revoke = json!({"format": "revoke", "revoke_id": 776});
    assert_eq!(content(revoke), Content::Recalled("776".to_owned()));
    let card = json!({"format": "card", "card_id": "@c", "card_name": "C", "card_sex": "male"});
    match content(card) {
        Content::Card { user, xml: None } => {
            assert_eq!((user.id.as_str(), user.nickname.as_str()), ("@c", "C"));
        }
        other => panic!("{other:?}"),
    }
    let unknown = with(friend_message(), json!({"format": "hologram"}));
    assert_eq!(message(&unknown).content, Content::Raw(unknown.to_string()));
}

#[test]
fn what_the_client_says_of_itself() {
    let state = |name: &str, params| match parse(&bytes(&event(name, params)), &me()).unwrap() {
        Report::State(state) => state,
        other => panic!("{other:?}"),
    };
    let change = |to: &str| state("state_change", json!(["init", to]));
    assert_eq!(change("scaning"), Some(NativeState::Scaning));
    assert_eq!(change("running"), Some(NativeState::Running));
    assert_eq!(change("dreaming"), None);
    assert_eq!(state("login", json!([1])), Some(NativeState::Updating));
    assert_eq!(state("login", json!(["0"])), Some(NativeState::Updating));
    assert_eq!(state("login", json!([-1, "no"])), None);
    assert_eq!(state("stop", json!([])), Some(NativeState::Stop));
}

#[test]
fn a_code_s_image_is_base64_in_lines() {
    let code = |params| match parse(&bytes(&event("input_qrcode", params)), &me()).unwrap() {
        Report::Code(image) => image,
        other => panic!("{other:?}"),
    };
    let image = code(json!(["/tmp/q.jpg", "aGVs\nbG8=\n", null])).unwrap();
    assert_eq!(image.as_ref(), b"hello");
    assert_eq!(code(json!(["/tmp/q.jpg"])), None);
    assert_eq!(code(json!(["/tmp/q.jpg", "?"])), None);
    assert_eq!(code(json!(["/tmp/q.jpg", "A".repeat(3 << 20)])), None);
}

#[test]
fn friends_come_and_go() {
    let friend = json!([{"id": "@f", "name": "F", "markname": "R", "uid": 5, "sex": "female"}]);
    let body = event("new_friend", friend.clone());
    match told(&body).event.what {
        Happening::FriendAdded { user, greeting } => {
            assert_eq!((user.id.as_str(), user.display_name()), ("@f", "R"));
            assert_eq!((user.is_friend, greeting.as_str()), (Some(true), ""));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(told(&body).about, About::Contacts);
    assert_eq!(told(&body).event.facts, [("uid", "5".to_owned())]);
    assert!(matches!(
        &changes(&body)[..],
        [ContactChange::Put(Contact::User(_))]
    ));
    let lost = event("lose_friend", friend);
    assert_eq!(changes(&lost), [ContactChange::Remove("@f".to_owned())]);
    assert_eq!(
        told(&body).event.key.kind(),
        told(&lost).event.key.kind(),
        "who comes again after leaving is new"
    );
}

#[test]
fn groups_and_their_members_come_and_go() {
    let group = json!({"id": "@@g", "name": "G", "member": [{"id": "@m", "display": "M"}]});
    let joined = event("new_group", json!([group]));
    match &changes(&joined)[..] {
        [
            ContactChange::Put(Contact::Group(put)),
            ContactChange::PutMember(of, member),
        ] => {
            assert_eq!((put.name.as_str(), put.member_count), ("G", 1));
            assert_eq!((of.as_str(), member.display_name()), ("@@g", "M"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        happened("lose_group", json!([group])),
        Happening::GroupLeft("@@g".to_owned())
    );
    let moved = |joined: &[&str], left: &[&str]| Happening::MembersChanged {
        group: "@@g".to_owned(),
        joined: joined.iter().map(|&id| id.to_owned()).collect(),
        left: left.iter().map(|&id| id.to_owned()).collect(),
    };
    let params = json!([{"id": "@m"}, group]);
    assert_eq!(
        happened("new_group_member", params.clone()),
        moved(&["@m"], &[])
    );
    assert_eq!(happened("lose_group_member", params), moved(&[], &["@m"]));
}

#[test]
fn properties_change() {
    let group = json!({"id": "@@g", "name": "old"});
    let renamed = event(
        "group_property_change",
        json!([group, "name", "old", "new"]),
    );
    assert_eq!(
        told(&renamed).event.what,
        Happening::GroupRenamed {
            group: "@@g".to_owned(),
            name: "new".to_owned(),
            previous: Some("old".to_owned()),
        }
    );
    match &changes(&renamed)[..] {
        [ContactChange::Put(Contact::Group(group))] => assert_eq!(group.name, "new"),
        other => panic!("{other:?}"),
    }
    let updated = |id: &str| Happening::ContactsUpdated(vec![id.to_owned()]);
    let friend = json!([{"id": "@f"}, "markname", "", "R"]);
    assert_eq!(happened("friend_property_change", friend), updated("@f"));
    let other = json!([{"id": "@@g"}, "owner", "", ""]);
    assert_eq!(happened("group_property_change", other), updated("@@g"));
    let member = json!([{"id": "@m"}, "display", "", "M"]);
    assert_eq!(
        happened("group_member_property_change", member),
        updated("@m")
    );
}

#[test]
fn lists_replace_what_was_known() {
    let friends = json!([{"id": "@f", "name": "F"}, {"id": "@o", "category": "公众号"}, 7, null]);
    for params in [friends.clone(), json!([friends])] {
        let told = told(&event("update_friend", params));
        assert_eq!(
            told.event.what,
            Happening::ContactsReported {
                users: 1,
                groups: 0,
                officials: 1
            }
        );
        match told.contacts {
            ContactReport::Snapshot {
                users: Some(users),
                groups: None,
                officials: Some(officials),
                ..
            } => assert_eq!(
                (users[0].id.as_str(), officials[0].id.as_str()),
                ("@f", "@o")
            ),
            other => panic!("{other:?}"),
        }
    }
    let groups = json!([{"id": "@@g", "name": "G", "member": [{"id": "@m", "name": "M"}]}]);
    let member = Member {
        user: User {
            nickname: "M".to_owned(),
            ..User::unknown("@m")
        },
        group_nickname: None,
    };
    let group = Group {
        id: "@@g".to_owned(),
        name: "G".to_owned(),
        member_count: 1,
        ..Group::default()
    };
    assert_eq!(
        told(&event("update_group", groups)).contacts,
        ContactReport::Snapshot {
            users: None,
            groups: Some(vec![(group, vec!["@m".to_owned()])]),
            officials: None,
            members: vec![("@@g".to_owned(), vec![member])],
        }
    );
}

#[test]
fn a_friend_request_s_ticket_is_all_that_accepting_takes() {
    let request = json!(["@s", "Stranger", "hi, \"it's\" me", "v4_000"]);
    let Happening::FriendRequest(request) = happened("friend_request", request) else {
        panic!("no friend request");
    };
    assert_eq!(request.greeting, "hi, \"it's\" me");
    assert_eq!(request.user.nickname, "Stranger");
    let accept = crate::domain::Action::AcceptFriend {
        ticket: request.ticket,
    };
    assert_eq!(check(&accept), Ok(()));
    let Ok(Work::Calls(calls)) = work(&accept, |_| None) else {
        panic!("no call");
    };
    assert_eq!(calls[0].path, "accept_friend_request");
    let told: Vec<_> = calls[0]
        .parameters
        .iter()
        .map(|(name, value)| (name.as_ref(), value.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("id", "@s"),
            ("displayname", "Stranger"),
            ("ticket", "v4_000")
        ]
    );
}

#[test]
fn what_is_unknown_survives_under_its_name() {
    let unknown = told(&event("new_moon", json!(["full", 3, {"a": 1}])));
    assert_eq!(unknown.event.what, Happening::Other("new_moon".to_owned()));
    assert_eq!(
        unknown.event.facts,
        [("param-1", "full".to_owned()), ("param-2", "3".to_owned())]
    );
    for nobody in [json!([]), json!([7]), json!(null), json!({"id": ""})] {
        assert_eq!(
            happened("new_friend", nobody),
            Happening::Other("new_friend".to_owned())
        );
    }
    let strange = told(&json!({"post_type": "dream"}));
    assert_eq!(strange.event.what, Happening::Other("dream".to_owned()));
    assert!(parse(&Bytes::from_static(b"[]"), &me()).is_err());
    assert!(matches!(told(&json!({})).event.what, Happening::Other(_)));
}
