//! Everything that is no message (section 3).

use super::*;
use crate::domain::{
    Contact, Group, Member, User,
    contact::{Region, Sex},
    event::FriendRequest,
    ports::ContactChange::{self, Put, PutMember, Remove, RemoveMember},
};

/// The event, and the changes of contacts.
fn told(name: &str) -> (Happening, Vec<ContactChange>) {
    let report = report(name);
    assert_eq!(report.event.at_ms, 0);
    assert_eq!(report.repeats_within, Some(REPEATED_WITHIN));
    let changes = match report.contacts {
        ContactReport::None => Vec::new(),
        ContactReport::Changes(changes) => changes,
        snapshot @ ContactReport::Snapshot { .. } => panic!("{snapshot:?}"),
    };
    (report.event.what, changes)
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn hangzhou(id: &str, nickname: &str, sex: Sex, avatar_url: &str) -> User {
    User {
        nickname: nickname.to_owned(),
        sex,
        region: Some(Region {
            country: "CN".to_owned(),
            province: "Zhejiang".to_owned(),
            city: "Hangzhou".to_owned(),
        }),
        avatar_url: (!avatar_url.is_empty()).then(|| avatar_url.to_owned()),
        ..User::unknown(id)
    }
}

fn group(name: &str, member_count: u32) -> Group {
    Group {
        id: GROUP.to_owned(),
        name: name.to_owned(),
        owner: some(ME),
        member_count,
        avatar_url: None,
    }
}

fn put_member(id: &str, nickname: &str, group_nickname: &str) -> ContactChange {
    let user = User {
        nickname: nickname.to_owned(),
        ..User::unknown(id)
    };
    PutMember(
        GROUP.to_owned(),
        Member {
            user,
            group_nickname: some(group_nickname),
        },
    )
}

#[test]
fn the_contact_list() {
    let report = report("report_contact");
    let counts = Happening::ContactsReported {
        users: 2,
        groups: 1,
        officials: 1,
    };
    assert_eq!(report.event.what, counts);
    let friend01 = User {
        is_friend: Some(true),
        ..hangzhou(
            "wxid_friend01",
            "好友1",
            Sex::Male,
            "http://img.example/1.jpg",
        )
    };
    let friend02 = User {
        account_name: some("alias2"),
        is_friend: Some(true),
        ..hangzhou(
            "wxid_friend02",
            "好友2",
            Sex::Female,
            "http://img.example/2.jpg",
        )
    };
    let group = Group {
        avatar_url: some("http://img.example/g.jpg"),
        ..group("客户群 1", 3)
    };
    let official = User {
        nickname: "公众号".to_owned(),
        ..User::unknown("gh_7ec28ec1ef37")
    };
    let members = [ME, "wxid_friend01", "wxid_friend02"].map(str::to_owned);
    assert_same(
        &report.contacts,
        &ContactReport::Snapshot {
            users: Some(vec![friend01, friend02]),
            groups: Some(vec![(group, members.to_vec())]),
            officials: Some(vec![official]),
            members: Vec::new(),
        },
    );
}

#[test]
fn a_contact_list_says_nothing_about_the_kinds_it_leaves_out() {
    let data = r#"{"friend_list":[null,{},{"wxid":""}],"group_list":null}"#;
    let report = try_report("report_contact", data).unwrap();
    let expected = ContactReport::Snapshot {
        users: Some(Vec::new()),
        groups: None,
        officials: None,
        members: Vec::new(),
    };
    assert_same(&report.contacts, &expected);
}

/// The friends of a report with these entries.
fn friends(entries: &str) -> Vec<User> {
    let data = format!(r#"{{"friend_list":[{entries}]}}"#);
    match try_report("report_contact", &data).unwrap().contacts {
        ContactReport::Snapshot {
            users: Some(users), ..
        } => users,
        other => panic!("{other:?}"),
    }
}

#[test]
fn names_that_are_too_long_are_cut_and_addresses_left_out() {
    let name = format!("x{}", "好".repeat(200));
    let (short, long) = ("a".repeat(2048), "a".repeat(2049));
    let users = friends(&format!(
        r#"{{"wxid":"a","nickname":"{name}","remark_name":"{name}","head_img":"{short}"}},
           {{"wxid":"b","head_img":"{long}"}}"#
    ));
    let [a, b] = users.as_slice() else {
        panic!("{users:?}")
    };
    assert_eq!(a.nickname, format!("x{}", "好".repeat(170)));
    assert_eq!(a.remark.as_ref(), Some(&a.nickname));
    assert_eq!((&a.avatar_url, &b.avatar_url), (&Some(short), &None));
}

#[test]
fn half_a_character_costs_a_name_that_character_alone() {
    for (escaped, expected) in [
        (r"a\ud83d", "a\u{fffd}"),
        (r"\ude00\ud83d\ud83d\ude00b", "\u{fffd}\u{fffd}\u{1f600}b"),
        (r"\ud83d\n\\ud83d\u4f60", "\u{fffd}\n\\ud83d你"),
        (r"\ud83d\\\ude00", "\u{fffd}\\\u{fffd}"),
    ] {
        let users = friends(&format!(r#"{{"wxid":"a","nickname":"{escaped}"}}"#));
        assert_eq!(users[0].nickname, expected, "{escaped}");
    }
}

#[test]
fn entries_whose_id_can_be_none_are_left_out() {
    let long = "x".repeat(257);
    let users = friends(&format!(
        r#"{{"wxid":"\ud83d"}},{{"wxid":"a"}},{{"wxid":"{long}"}}"#
    ));
    assert_eq!(users.len(), 1);
    let data = format!(r#"{{"wxid":"{GROUP}","memberInfo_list":[{{"wxid":"{long}"}}]}}"#);
    let group = try_report("report_new_room", &data).unwrap();
    assert!(matches!(group.contacts, ContactReport::Changes(changes) if changes.len() == 1));
    let data = format!(r#"{{"update_list":[{{"wxid":"{long}"}},{{"wxid":"a"}}]}}"#);
    let updates = try_report("report_contact_update", &data).unwrap();
    assert!(matches!(updates.contacts, ContactReport::Changes(changes) if changes.len() == 1));
    let error = try_report("report_user_info", &format!(r#"{{"wxid":"{long}"}}"#));
    assert_eq!(
        error.unwrap_err().to_string(),
        "data.wxid: is longer than 256 bytes"
    );
}

#[test]
fn updated_contacts() {
    let friend = User {
        is_friend: Some(true),
        ..hangzhou(
            "wxid_friend03",
            "好友3",
            Sex::Unknown,
            "http://img.example/3.jpg",
        )
    };
    assert_eq!(
        told("report_contact_update"),
        (
            Happening::ContactsUpdated(vec!["wxid_friend03".to_owned(), GROUP.to_owned()]),
            vec![
                Put(Contact::User(friend)),
                Put(Contact::Group(group("改名后的群", 4)))
            ],
        )
    );
}

#[test]
fn updates_of_strangers_public_accounts_and_enterprise_groups() {
    let data =
        r#"{"update_list":[{"wxid":"a","is_friend":0},{"wxid":"gh_1"},{"wxid":"1@im.chatroom"}]}"#;
    let group = Group {
        id: "1@im.chatroom".to_owned(),
        ..Group::default()
    };
    let expected = vec![
        Remove("a".to_owned()),
        Put(Contact::Official(User::unknown("gh_1"))),
        Put(Contact::Group(group)),
    ];
    let report = try_report("report_contact_update", data).unwrap();
    assert_same(&report.contacts, &ContactReport::Changes(expected));
}

#[test]
fn a_new_friend() {
    let user = User {
        nickname: "Jerry".to_owned(),
        account_name: some("jerry"),
        is_friend: Some(true),
        ..User::unknown("wxid_friend09")
    };
    let what = Happening::FriendAdded {
        user: user.clone(),
        greeting: "你好".to_owned(),
    };
    assert_eq!(
        told("report_new_friend"),
        (what, vec![Put(Contact::User(user))])
    );
}

#[test]
fn a_friend_request() {
    let expected = FriendRequest {
        ticket: r#"["v1_0a9b@stranger","v2_77ff@stranger"]"#.to_owned(),
        user: User::unknown("wxid_friend09"),
        greeting: "我是 Jerry".to_owned(),
        source: String::new(),
    };
    let (what, changes) = told("report_friend_add_request");
    assert_eq!(what, Happening::FriendRequest(expected));
    assert_eq!(changes, []);
}

#[test]
fn a_friend_request_with_nothing_in_it_has_no_ticket() {
    match try_report("report_friend_add_request", "{}")
        .unwrap()
        .event
        .what
    {
        Happening::FriendRequest(request) => assert_eq!(request.ticket, ""),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_friend_and_a_group_that_are_gone() {
    let friend = "wxid_friend02".to_owned();
    assert_eq!(
        told("report_friend_removed"),
        (
            Happening::FriendRemoved(friend.clone()),
            vec![Remove(friend)]
        )
    );
    let group = GROUP.to_owned();
    assert_eq!(
        told("report_room_removed"),
        (Happening::GroupLeft(group.clone()), vec![Remove(group)])
    );
}

#[test]
fn a_new_group() {
    let group = group("", 2);
    let changes = vec![
        Put(Contact::Group(group.clone())),
        put_member("wxid_friend01", "好友1", "群名片1"),
        put_member("wxid_friend02", "好友2", "群名片2"),
    ];
    assert_eq!(
        told("report_new_room"),
        (Happening::GroupJoined(group), changes)
    );
}

#[test]
fn the_members_of_a_group() {
    let changes = vec![
        Put(Contact::Group(group("客户群 1", 3))),
        put_member("wxid_friend01", "好友1", "群名片1"),
        put_member("wxid_friend02", "好友2", "群名片2"),
    ];
    let what = Happening::MembersReported(vec![GROUP.to_owned()]);
    assert_eq!(told("report_room_member_info"), (what, changes));
}

#[test]
fn members_that_come_and_go() {
    let id = "wxid_friend03".to_owned();
    let what = Happening::MembersChanged {
        group: GROUP.to_owned(),
        joined: vec![id.clone()],
        left: Vec::new(),
    };
    let member = Member {
        user: User::unknown(id.as_str()),
        group_nickname: None,
    };
    let changes = vec![PutMember(GROUP.to_owned(), member)];
    assert_eq!(told("report_room_member_change"), (what, changes));

    let data = format!(r#"{{"room_wxid":"{GROUP}","wxid_list":["a"],"flag":"0"}}"#);
    let left = try_report("report_room_member_change", &data).unwrap();
    let changes = vec![RemoveMember(GROUP.to_owned(), "a".to_owned())];
    assert_same(&left.contacts, &ContactReport::Changes(changes));
}

#[test]
fn details_of_a_stranger_and_of_a_friend() {
    let user = User {
        account_name: some("alias4"),
        is_friend: Some(false),
        ..hangzhou("wxid_friend04", "好友4", Sex::Male, "")
    };
    let what = Happening::UserInfo {
        user,
        groups: vec![GROUP.to_owned()],
    };
    assert_eq!(told("report_user_info"), (what, Vec::new()));

    let friend = try_report("report_user_info", r#"{"wxid":"a","is_friend":true}"#).unwrap();
    let user = User {
        is_friend: Some(true),
        ..User::unknown("a")
    };
    let changes = vec![Put(Contact::User(user))];
    assert_same(&friend.contacts, &ContactReport::Changes(changes));
}

#[test]
fn checked_friendships() {
    let state = |data: &str| match try_report("report_zoom_check_status", data)
        .unwrap()
        .event
        .what
    {
        Happening::FriendChecked { user, state } => (user, state),
        other => panic!("{other:?}"),
    };
    for (result, expected) in [
        ("0", "normal"),
        ("\"1\"", "blocked-me"),
        ("2", "deleted-me"),
        ("9", "9"),
    ] {
        let data = format!(r#"{{"wxid":"a","result":{result}}}"#);
        assert_eq!(state(&data), ("a".to_owned(), expected.to_owned()));
    }
    let what = Happening::FriendChecked {
        user: "wxid_friend02".to_owned(),
        state: "deleted-me".to_owned(),
    };
    assert_eq!(told("report_zoom_check_status"), (what, Vec::new()));
}

#[test]
fn an_unknown_action_survives() {
    let what = Happening::Other("report_something_new".to_owned());
    assert_eq!(told("unknown-action"), (what.clone(), Vec::new()));
    let odd = try_report("report_something_new", "[1,\"\\ud800\"]").unwrap();
    assert_eq!(odd.event.what, what);
}

#[test]
fn the_same_body_is_the_same_event_and_another_is_not() {
    let key = |name: &str| report(name).event.key;
    let first = key("report_room_removed");
    assert_eq!(first, key("report_room_removed"));
    assert_eq!(first.as_str().len(), "report_room_removed-".len() + 32);
    let digest = blake3::hash(&fixture("report_room_removed")).to_hex();
    assert_eq!(
        first.as_str(),
        format!("report_room_removed-{}", &digest[..32])
    );
    let other = try_report("report_room_removed", r#"{"wxid_removed":"1@chatroom"}"#).unwrap();
    assert_ne!(first, other.event.key);
}
