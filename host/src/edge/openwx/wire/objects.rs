//! The people and groups in reports and answers (section 3).

use std::borrow::Cow;

use serde::Deserialize;

use super::{messages::name, report::ANYWHERE};
use crate::{
    domain::{
        Group, Member, User,
        contact::{Region, Sex},
    },
    edge::loose::Loose,
    service::ContactReport,
};

/// What the clients call the category of public accounts.
const OFFICIAL: &str = "公众号";

/// A friend, the account itself, or a member of a group.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct WireUser<'a> {
    #[serde(borrow)]
    id: Loose<'a>,
    uid: Loose<'a>,
    name: Loose<'a>,
    account: Loose<'a>,
    markname: Loose<'a>,
    displayname: Loose<'a>,
    /// Of members only: the name set for this group.
    display: Loose<'a>,
    sex: Loose<'a>,
    province: Loose<'a>,
    city: Loose<'a>,
    signature: Loose<'a>,
    category: Loose<'a>,
}

/// A group, with its members where the client gives them.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct WireGroup<'a> {
    #[serde(borrow)]
    id: Loose<'a>,
    name: Loose<'a>,
    displayname: Loose<'a>,
    member: Loose<'a>,
}

/// Friends, which the clients have in one list with public accounts.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Friends {
    /// The people.
    pub users: Vec<User>,
    /// The public accounts.
    pub officials: Vec<User>,
}

/// These are all there are, of what is given.
pub(crate) fn everybody(
    friends: Option<Friends>,
    groups: Option<Vec<(Group, Vec<Member>)>>,
) -> ContactReport {
    let (users, officials) = friends.map(|all| (all.users, all.officials)).unzip();
    let ids = |members: &[Member]| members.iter().map(|it| it.user.id.clone()).collect();
    let with_ids = |groups: &Vec<(Group, Vec<Member>)>| {
        let groups = groups.iter();
        groups
            .map(|(group, members)| (group.clone(), ids(members)))
            .collect()
    };
    ContactReport::Snapshot {
        users,
        officials,
        groups: groups.as_ref().map(with_ids),
        members: groups
            .into_iter()
            .flatten()
            .map(|(group, members)| (group.id, members))
            .collect(),
    }
}

impl WireUser<'_> {
    /// None when there is no id that can be one: nobody is meant.
    pub(super) fn user(&self, is_friend: Option<bool>) -> Option<User> {
        let region = Region {
            country: String::new(),
            province: name(self.province),
            city: name(self.city),
        };
        Some(User {
            id: id(self.id)?,
            nickname: first([self.name, self.displayname]).unwrap_or_default(),
            remark: first([self.markname]),
            account_name: first([self.account]),
            sex: sex(self.sex),
            region: (region != Region::default()).then_some(region),
            avatar_url: None,
            signature: first([self.signature]),
            is_friend,
        })
    }

    pub(super) fn member(&self) -> Option<Member> {
        Some(Member {
            user: self.user(None)?,
            group_nickname: first([self.display]),
        })
    }

    /// What lasts when the id changes.
    pub(super) fn uid(&self) -> Option<String> {
        first([self.uid])
    }

    fn is_official(&self) -> bool {
        name(self.category) == OFFICIAL
    }
}

impl WireGroup<'_> {
    /// None when there is no id that can be one: no group is meant.
    pub(super) fn read(&self) -> Option<(Group, Vec<Member>)> {
        let members: Vec<Member> = objects::<WireUser<'_>>(self.member)
            .iter()
            .filter_map(WireUser::member)
            .collect();
        let group = Group {
            id: id(self.id)?,
            name: first([self.name, self.displayname]).unwrap_or_default(),
            owner: None,
            member_count: u32::try_from(members.len()).unwrap_or(u32::MAX),
            avatar_url: None,
        };
        Some((group, members))
    }
}

/// The user in an answer of `get_user_info`.
pub(crate) fn own_user(answer: &[u8]) -> Option<User> {
    let text = std::str::from_utf8(answer).ok()?;
    let found: Loose<'_> = serde_json::from_str(text).ok()?;
    object::<WireUser<'_>>(found)?.user(None)
}

/// The friends in an answer of `get_friend_info`; none when it is no list.
pub(crate) fn friends(answer: &[u8]) -> Option<Friends> {
    Some(sorted(&list(answer)?))
}

/// The groups in an answer of `get_group_info`; none when it is no list.
pub(crate) fn groups(answer: &[u8]) -> Option<Vec<(Group, Vec<Member>)>> {
    let groups = list::<WireGroup<'_>>(answer)?;
    Some(groups.iter().filter_map(WireGroup::read).collect())
}

/// Tells people from public accounts.
pub(super) fn sorted(all: &[WireUser<'_>]) -> Friends {
    let mut sorted = Friends::default();
    for told in all {
        let kind = match told.is_official() {
            true => &mut sorted.officials,
            false => &mut sorted.users,
        };
        kind.extend(told.user(Some(true)));
    }
    sorted
}

fn list<'a, T: Deserialize<'a>>(answer: &'a [u8]) -> Option<Vec<T>> {
    let text = std::str::from_utf8(answer).ok()?;
    let found: Loose<'_> = serde_json::from_str(text).ok()?;
    found.list(ANYWHERE).ok().flatten()?;
    Some(objects(found))
}

/// The objects of a list, one level of lists within it included, since clients
/// differ in that. What is no object is left out.
pub(super) fn objects<'a, T: Deserialize<'a>>(found: Loose<'a>) -> Vec<T> {
    let entries = found.list(ANYWHERE).ok().flatten().unwrap_or_default();
    let flat = entries.into_iter().flat_map(|entry| {
        let within = entry.list(ANYWHERE).ok().flatten();
        within.unwrap_or_else(|| vec![entry])
    });
    flat.filter_map(object).collect()
}

/// An object with these fields, if it is one.
pub(super) fn object<'a, T: Deserialize<'a>>(found: Loose<'a>) -> Option<T> {
    found.object(ANYWHERE).ok().flatten()
}

/// An id, if it can be one.
pub(super) fn id(field: Loose<'_>) -> Option<String> {
    field.listed_id(ANYWHERE).ok().flatten()
}

/// A person's sex, in any of the clients' words.
pub(super) fn sex(field: Loose<'_>) -> Sex {
    match field.text(ANYWHERE).unwrap_or(Cow::Borrowed("")).as_ref() {
        "1" | "male" | "男" => Sex::Male,
        "2" | "female" | "女" => Sex::Female,
        _ => Sex::Unknown,
    }
}

/// The first of these texts that says something.
fn first<const N: usize>(fields: [Loose<'_>; N]) -> Option<String> {
    fields.into_iter().map(name).find(|text| !text.is_empty())
}
