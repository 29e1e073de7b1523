//! The reports that are no messages. Unknown ones too become events, under the name
//! that the client gave them.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;

use super::{
    messages::name,
    objects::{self, Friends, WireGroup, WireUser, everybody, id, object, sorted},
    report::{ANYWHERE, About, Report, Told},
};
use crate::{
    domain::{
        AccountId, Contact, Group, Happening, Member, User, client::NativeState,
        event::FriendRequest, ports::ContactChange,
    },
    edge::loose::Loose,
    service::ContactReport,
};

/// How large the image of a code may be, in bytes. Those of the service have some 40
/// KiB.
const CODE_MAX_BYTES: usize = 1024 * 1024;

/// The parameters of an event whose meaning is not known here.
const PARAMETERS: [&str; 4] = ["param-1", "param-2", "param-3", "param-4"];

/// What an event says: what happened, and what it changes.
struct Said {
    what: Happening,
    contacts: ContactReport,
    about: About,
}

impl Said {
    fn contacts(what: Happening, changes: Vec<ContactChange>) -> Self {
        Self {
            what,
            contacts: ContactReport::Changes(changes),
            about: About::Contacts,
        }
    }

    fn all(what: Happening, contacts: ContactReport) -> Self {
        Self {
            what,
            contacts,
            about: About::Contacts,
        }
    }

    fn other(what: Happening) -> Self {
        Self {
            what,
            contacts: ContactReport::None,
            about: About::Other,
        }
    }
}

/// The parameters of an event.
struct Params<'a> {
    whole: Loose<'a>,
    entries: Vec<Loose<'a>>,
}

impl<'a> Params<'a> {
    fn get(&self, index: usize) -> Loose<'a> {
        self.entries.get(index).copied().unwrap_or_default()
    }

    fn user(&self, index: usize) -> Option<User> {
        object::<WireUser<'_>>(self.get(index))?.user(None)
    }

    fn member(&self, index: usize) -> Option<Member> {
        object::<WireUser<'_>>(self.get(index))?.member()
    }

    fn group(&self, index: usize) -> Option<(Group, Vec<Member>)> {
        object::<WireGroup<'_>>(self.get(index))?.read()
    }

    fn text(&self, index: usize) -> String {
        name(self.get(index))
    }
}

/// Reads an event.
pub(super) fn read(event: &str, whole: Loose<'_>, account: &AccountId, body: &Bytes) -> Report {
    // One that is no list stands for itself.
    let entries = whole.list(ANYWHERE).unwrap_or(Some(vec![whole]));
    let entries = entries.unwrap_or_default();
    let params = Params { whole, entries };
    if let Some(report) = of_client(event, &params) {
        return report;
    }
    let Some(said) = said(event, &params) else {
        return unknown(event, &params, account, body);
    };
    let mut told = Told::of(event, said.what, account, body);
    told.contacts = said.contacts;
    told.about = said.about;
    told.event.facts = facts(&params);
    Report::Told(Box::new(told))
}

/// What the client says about itself rather than about its account.
fn of_client(event: &str, params: &Params<'_>) -> Option<Report> {
    Some(match event {
        "login" => Report::State(match params.text(0).as_str() {
            "0" | "1" => Some(NativeState::Updating),
            _ => None,
        }),
        "stop" => Report::State(Some(NativeState::Stop)),
        "state_change" => Report::State(NativeState::of(&params.text(1))),
        "input_qrcode" => Report::Code(image(params.get(1))),
        _ => return None,
    })
}

/// The image of a code: base64, broken into lines or not.
fn image(field: Loose<'_>) -> Option<Bytes> {
    let text = field.text(ANYWHERE).ok()?;
    if text.len() > CODE_MAX_BYTES * 2 {
        return None;
    }
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let image = BASE64_STANDARD.decode(digits).ok()?;
    (1..=CODE_MAX_BYTES)
        .contains(&image.len())
        .then(|| image.into())
}

/// None for what is not known here, or does not say whom it is about.
fn said(event: &str, params: &Params<'_>) -> Option<Said> {
    match event {
        "new_friend" => params.user(0).map(new_friend),
        "lose_friend" => params.user(0).map(lose_friend),
        "new_group" => params.group(0).map(new_group),
        "lose_group" => params.group(0).map(lose_group),
        "new_group_member" | "lose_group_member" => member_moved(event, params),
        "group_property_change" => params.group(0).map(|it| group_changed(it, params)),
        "group_member_property_change" => member_changed(params),
        "friend_property_change" => params.user(0).map(friend_changed),
        "user_property_change" | "update_user" => params.user(0).map(own_details),
        "update_friend" => Some(all_friends(sorted(&objects::objects(params.whole)))),
        "update_group" => Some(all_groups(params)),
        "friend_request" => friend_request(params),
        _ => None,
    }
}

fn unknown(event: &str, params: &Params<'_>, account: &AccountId, body: &Bytes) -> Report {
    let mut report = Report::of(event, account, body);
    if let Report::Told(told) = &mut report {
        told.event.facts = facts(params);
        let simple = |(at, fact): (usize, &&'static str)| (*fact, params.text(at));
        let simple = PARAMETERS.iter().enumerate().map(simple);
        told.event
            .facts
            .extend(simple.filter(|(_, value)| !value.is_empty()));
    }
    report
}

/// What lasts when ids change.
fn facts(params: &Params<'_>) -> Vec<(&'static str, String)> {
    let uid = object::<WireUser<'_>>(params.get(0)).and_then(|it| it.uid());
    uid.map(|uid| ("uid", uid)).into_iter().collect()
}

fn new_friend(user: User) -> Said {
    let user = friend(user);
    let put = ContactChange::Put(Contact::User(user.clone()));
    let what = Happening::FriendAdded {
        user,
        greeting: String::new(),
    };
    Said::contacts(what, vec![put])
}

fn friend(user: User) -> User {
    User {
        is_friend: Some(true),
        ..user
    }
}

fn lose_friend(user: User) -> Said {
    let remove = ContactChange::Remove(user.id.clone());
    Said::contacts(Happening::FriendRemoved(user.id), vec![remove])
}

fn friend_changed(user: User) -> Said {
    let what = Happening::ContactsUpdated(vec![user.id.clone()]);
    Said::contacts(what, vec![ContactChange::Put(Contact::User(friend(user)))])
}

fn own_details(user: User) -> Said {
    let what = Happening::UserInfo {
        user,
        groups: Vec::new(),
    };
    Said::all(what, ContactReport::None)
}

fn new_group((group, members): (Group, Vec<Member>)) -> Said {
    let changes = put_group(&group, members);
    Said::contacts(Happening::GroupJoined(group), changes)
}

fn lose_group((group, _): (Group, Vec<Member>)) -> Said {
    let remove = ContactChange::Remove(group.id.clone());
    Said::contacts(Happening::GroupLeft(group.id), vec![remove])
}

/// A group and its members as changes.
pub(crate) fn put_group(group: &Group, members: Vec<Member>) -> Vec<ContactChange> {
    let put = ContactChange::Put(Contact::Group(group.clone()));
    let members = members
        .into_iter()
        .map(|member| ContactChange::PutMember(group.id.clone(), member));
    std::iter::once(put).chain(members).collect()
}

fn member_moved(event: &str, params: &Params<'_>) -> Option<Said> {
    let (member, group) = (params.member(0)?, group_id(params.get(1))?);
    let user = member.user.id.clone();
    let (joined, left, change) = match event {
        "new_group_member" => (
            vec![user],
            Vec::new(),
            ContactChange::PutMember(group.clone(), member),
        ),
        _ => (
            Vec::new(),
            vec![user.clone()],
            ContactChange::RemoveMember(group.clone(), user),
        ),
    };
    let what = Happening::MembersChanged {
        group,
        joined,
        left,
    };
    Some(Said::contacts(what, vec![change]))
}

/// The id of a group that is given as an object or by its id.
fn group_id(found: Loose<'_>) -> Option<String> {
    match object::<WireGroup<'_>>(found) {
        Some(group) => group.read().map(|(group, _)| group.id),
        None => id(found),
    }
}

/// A group has another property: `[group, property, old, new]`.
fn group_changed((group, members): (Group, Vec<Member>), params: &Params<'_>) -> Said {
    let property = params.text(1);
    if !matches!(property.as_str(), "name" | "displayname") {
        let what = Happening::ContactsUpdated(vec![group.id.clone()]);
        return Said::contacts(what, put_group(&group, members));
    }
    let (previous, name) = (params.text(2), params.text(3));
    let group = Group {
        name: name.clone(),
        ..group
    };
    let what = Happening::GroupRenamed {
        group: group.id.clone(),
        name,
        previous: Some(previous).filter(|name| !name.is_empty()),
    };
    Said::contacts(what, put_group(&group, members))
}

/// A member has another property. Of which group some clients say, and some don't.
fn member_changed(params: &Params<'_>) -> Option<Said> {
    let member = params.member(0)?;
    let what = Happening::ContactsUpdated(vec![member.user.id.clone()]);
    let group = group_id(params.get(4));
    let change = group.map(|group| ContactChange::PutMember(group, member));
    Some(Said::contacts(what, change.into_iter().collect()))
}

fn all_friends(friends: Friends) -> Said {
    let what = Happening::ContactsReported {
        users: count(friends.users.len()),
        groups: 0,
        officials: count(friends.officials.len()),
    };
    Said::all(what, everybody(Some(friends), None))
}

fn all_groups(params: &Params<'_>) -> Said {
    let groups = objects::objects::<WireGroup<'_>>(params.whole);
    let groups: Vec<_> = groups.iter().filter_map(WireGroup::read).collect();
    let what = Happening::ContactsReported {
        users: 0,
        groups: count(groups.len()),
        officials: 0,
    };
    Said::all(what, everybody(None, Some(groups)))
}

fn count(entries: usize) -> u32 {
    u32::try_from(entries).unwrap_or(u32::MAX)
}

/// Somebody wants to be a friend: `[id, display name, greeting, ticket]`. All but the
/// greeting is needed to accept.
fn friend_request(params: &Params<'_>) -> Option<Said> {
    let id = id(params.get(0))?;
    let nickname = params.text(1);
    let ticket = params.get(3).handle(ANYWHERE).unwrap_or_default();
    let request = FriendRequest {
        // Empty when there is nothing to give back, so that accepting fails at once.
        ticket: match ticket.is_empty() {
            true => String::new(),
            false => serde_json::json!([id, nickname, ticket]).to_string(),
        },
        greeting: params.text(2),
        source: String::new(),
        user: User {
            nickname,
            ..User::unknown(id)
        },
    };
    Some(Said::other(Happening::FriendRequest(request)))
}
