//! The reports that are no messages (section 3). Unknown actions too become
//! events, under the name that the client gave them.

use bytes::Bytes;
use serde::Deserialize;

use super::{
    contacts::{self, WireGroup, WireUser, put_group, put_user},
    request::{DATA, Report},
    xml,
};
use crate::{
    domain::{
        AccountId, Contact, Group, Happening, Member, User, event::FriendRequest,
        ports::ContactChange,
    },
    edge::loose::{At, BadRequest, Loose, each},
    service::ContactReport,
};

/// What a report says: the event and its facts, and what it changes.
struct Told {
    what: Happening,
    facts: Vec<(&'static str, String)>,
    contacts: ContactReport,
}

impl From<Happening> for Told {
    fn from(what: Happening) -> Self {
        Self {
            what,
            facts: Vec::new(),
            contacts: ContactReport::None,
        }
    }
}

impl Told {
    fn changing(what: Happening, changes: Vec<ContactChange>) -> Self {
        Self {
            contacts: ContactReport::Changes(changes),
            ..what.into()
        }
    }
}

/// Reads the `data` of any report but `report_new_msg`.
pub(super) fn read(
    action: &str,
    data: Loose<'_>,
    account: &AccountId,
    body: &Bytes,
) -> Result<Report, BadRequest> {
    let told = match action {
        "report_contact" => fields::<ContactList<'_>>(data)?.told(),
        "report_contact_update" => fields::<Updates<'_>>(data)?.told(),
        "report_new_friend" => fields::<NewFriend<'_>>(data)?.told(),
        "report_friend_add_request" => fields::<FriendAddRequest<'_>>(data)?.told(),
        "report_friend_removed" => fields::<Removed<'_>>(data)?.told(Happening::FriendRemoved),
        "report_new_room" => new_room(&fields(data)?),
        "report_room_removed" => fields::<Removed<'_>>(data)?.told(Happening::GroupLeft),
        "report_room_member_info" => fields::<MemberInfo<'_>>(data)?.told(),
        "report_room_member_change" => fields::<MemberChange<'_>>(data)?.told(),
        "report_user_info" => user_info(data),
        "report_zoom_check_status" => fields::<ZoomCheck<'_>>(data)?.told(),
        unknown => Ok(Happening::Other(unknown.to_owned()).into()),
    }?;
    Ok(Report {
        contacts: told.contacts,
        ..Report::of(action, account, told.what, told.facts, body)
    })
}

fn fields<'a, T: Deserialize<'a> + Default>(data: Loose<'a>) -> Result<T, BadRequest> {
    data.object(DATA).map(Option::unwrap_or_default)
}

/// An id that the report is about, and is nothing without.
fn subject(id: Loose<'_>, at: At<'_>) -> Result<String, BadRequest> {
    id.some_id(at)?.ok_or_else(|| nameless(at))
}

fn nameless(at: At<'_>) -> BadRequest {
    BadRequest::new(at, "is missing or empty")
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ContactList<'a> {
    #[serde(borrow)]
    friend_list: Loose<'a>,
    group_list: Loose<'a>,
    public_list: Loose<'a>,
}

impl ContactList<'_> {
    fn told(&self) -> Result<Told, BadRequest> {
        let users = each(self.friend_list, DATA.field("friend_list"), friend)?;
        let groups = each(
            self.group_list,
            DATA.field("group_list"),
            WireGroup::with_ids,
        )?;
        let officials = each(self.public_list, DATA.field("public_list"), WireUser::read)?;
        let what = Happening::ContactsReported {
            users: count(users.as_ref()),
            groups: count(groups.as_ref()),
            officials: count(officials.as_ref()),
        };
        Ok(Told {
            contacts: ContactReport::Snapshot {
                users,
                groups,
                officials,
                members: Vec::new(),
            },
            ..what.into()
        })
    }
}

/// Whoever is in the list of friends is one, unless the client says otherwise.
fn friend(user: &WireUser<'_>, at: At<'_>) -> Result<Option<User>, BadRequest> {
    Ok(user.read(at)?.map(|user| User {
        is_friend: user.is_friend.or(Some(true)),
        ..user
    }))
}

fn count<T>(list: Option<&Vec<T>>) -> u32 {
    u32::try_from(list.map_or(0, Vec::len)).unwrap_or(u32::MAX)
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Updates<'a> {
    #[serde(borrow)]
    update_list: Loose<'a>,
}

impl Updates<'_> {
    fn told(&self) -> Result<Told, BadRequest> {
        let at = DATA.field("update_list");
        let entries = self.update_list.list(at)?.unwrap_or_default();
        let mut changes = Vec::with_capacity(entries.len());
        for (index, entry) in entries.into_iter().enumerate() {
            changes.extend(contacts::update(entry, at.entry(index))?);
        }
        let ids = changes.iter().filter_map(changed_id).collect();
        Ok(Told::changing(Happening::ContactsUpdated(ids), changes))
    }
}

fn changed_id(change: &ContactChange) -> Option<String> {
    match change {
        ContactChange::Put(contact) => Some(contact.id().to_owned()),
        ContactChange::Remove(id) => Some(id.clone()),
        ContactChange::PutMember(..) | ContactChange::RemoveMember(..) => None,
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct NewFriend<'a> {
    #[serde(borrow)]
    fans_wxid: Loose<'a>,
    nickname: Loose<'a>,
    wx_alias: Loose<'a>,
    head_img: Loose<'a>,
    notice_word: Loose<'a>,
    sourceusername: Loose<'a>,
    sourcenickname: Loose<'a>,
}

impl NewFriend<'_> {
    fn told(&self) -> Result<Told, BadRequest> {
        let user = User {
            nickname: self.nickname.name(DATA.field("nickname"))?,
            account_name: self.wx_alias.some_name(DATA.field("wx_alias"))?,
            avatar_url: self.head_img.address(DATA.field("head_img"))?,
            is_friend: Some(true),
            ..User::unknown(subject(self.fans_wxid, DATA.field("fans_wxid"))?)
        };
        let put = ContactChange::Put(Contact::User(user.clone()));
        let greeting = self.notice_word.field(DATA.field("notice_word"))?;
        Ok(Told {
            facts: self.sources()?,
            ..Told::changing(Happening::FriendAdded { user, greeting }, vec![put])
        })
    }

    /// Who brought the two together.
    fn sources(&self) -> Result<Vec<(&'static str, String)>, BadRequest> {
        let username = self
            .sourceusername
            .listed_id(DATA.field("sourceusername"))?;
        let nickname = self
            .sourcenickname
            .some_name(DATA.field("sourcenickname"))?;
        let username = username.map(|text| ("source-username", text));
        let nickname = nickname.map(|text| ("source-nickname", text));
        Ok(username.into_iter().chain(nickname).collect())
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct FriendAddRequest<'a> {
    #[serde(borrow)]
    v1: Loose<'a>,
    v2: Loose<'a>,
    notice_word: Loose<'a>,
    raw_msg: Loose<'a>,
}

impl FriendAddRequest<'_> {
    fn told(&self) -> Result<Told, BadRequest> {
        let xml = self.raw_msg.content(DATA.field("raw_msg"))?;
        let attribute = |name| xml::attribute(&xml, "msg", name).unwrap_or_default();
        let request = FriendRequest {
            ticket: self.ticket()?,
            user: User {
                nickname: attribute("fromnickname"),
                ..User::unknown(attribute("fromusername"))
            },
            greeting: self.notice_word.field(DATA.field("notice_word"))?,
            // WeChat's number for the way: by search, out of a group, by card, ….
            source: attribute("scene"),
        };
        let fact = (!xml.is_empty()).then(|| ("raw-msg", xml.into_owned()));
        Ok(Told {
            facts: fact.into_iter().collect(),
            ..Happening::FriendRequest(request).into()
        })
    }

    /// Both halves in one text (read again for task 13). Empty when there is
    /// nothing to give back, so that accepting fails at once.
    fn ticket(&self) -> Result<String, BadRequest> {
        let v1 = self.v1.handle(DATA.field("v1"))?;
        let v2 = self.v2.handle(DATA.field("v2"))?;
        if v1.is_empty() && v2.is_empty() {
            return Ok(String::new());
        }
        Ok(serde_json::json!([v1, v2]).to_string())
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Removed<'a> {
    #[serde(borrow)]
    wxid_removed: Loose<'a>,
}

impl Removed<'_> {
    fn told(&self, what: impl Fn(String) -> Happening) -> Result<Told, BadRequest> {
        let id = subject(self.wxid_removed, DATA.field("wxid_removed"))?;
        let remove = ContactChange::Remove(id.clone());
        Ok(Told::changing(what(id), vec![remove]))
    }
}

fn new_room(room: &WireGroup<'_>) -> Result<Told, BadRequest> {
    subject(room.wxid, DATA.field("wxid"))?;
    let (group, members) = room
        .with_members(DATA)?
        .ok_or_else(|| nameless(DATA.field("wxid")))?;
    let changes = put_group(&group, members);
    Ok(Told::changing(Happening::GroupJoined(group), changes))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct MemberInfo<'a> {
    #[serde(borrow)]
    room_data_list: Loose<'a>,
}

impl MemberInfo<'_> {
    fn told(&self) -> Result<Told, BadRequest> {
        let at = DATA.field("room_data_list");
        let rooms: Vec<(Group, Vec<Member>)> =
            each(self.room_data_list, at, WireGroup::with_members)?.unwrap_or_default();
        let ids = rooms.iter().map(|(group, _)| group.id.clone()).collect();
        let changes = rooms
            .into_iter()
            .flat_map(|(group, members)| put_group(&group, members))
            .collect();
        Ok(Told::changing(Happening::MembersReported(ids), changes))
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct MemberChange<'a> {
    #[serde(borrow)]
    room_wxid: Loose<'a>,
    wxid_list: Loose<'a>,
    flag: Loose<'a>,
}

impl MemberChange<'_> {
    fn told(&self) -> Result<Told, BadRequest> {
        let group = subject(self.room_wxid, DATA.field("room_wxid"))?;
        let ids = self.wxid_list.ids(DATA.field("wxid_list"))?;
        let ids = ids.unwrap_or_default();
        let flag = self.flag.text(DATA.field("flag"))?;
        let (joined, left) = match flag.as_ref() {
            "1" => (ids, Vec::new()),
            "0" => (Vec::new(), ids),
            // To guess would add or remove the wrong people.
            _ => return Err(BadRequest::new(DATA.field("flag"), "is neither 0 nor 1")),
        };
        let changes = member_changes(&group, &joined, &left);
        let what = Happening::MembersChanged {
            group,
            joined,
            left,
        };
        Ok(Told::changing(what, changes))
    }
}

fn member_changes(group: &str, joined: &[String], left: &[String]) -> Vec<ContactChange> {
    let put = joined.iter().map(|id| {
        let member = Member {
            user: User::unknown(id.as_str()),
            group_nickname: None,
        };
        ContactChange::PutMember(group.to_owned(), member)
    });
    let remove = left
        .iter()
        .map(|id| ContactChange::RemoveMember(group.to_owned(), id.clone()));
    put.chain(remove).collect()
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RoomList<'a> {
    #[serde(borrow)]
    room_list: Loose<'a>,
}

/// `head_img_data` is not taken along: it is large, and in the event's JSON.
fn user_info(data: Loose<'_>) -> Result<Told, BadRequest> {
    let told: WireUser<'_> = fields(data)?;
    subject(told.wxid, DATA.field("wxid"))?;
    let user = told
        .read(DATA)?
        .ok_or_else(|| nameless(DATA.field("wxid")))?;
    let rooms = fields::<RoomList<'_>>(data)?.room_list;
    let groups = rooms.ids(DATA.field("room_list"))?.unwrap_or_default();
    let contacts = match user.is_friend {
        Some(true) => ContactReport::Changes(vec![put_user(user.clone())]),
        _ => ContactReport::None,
    };
    Ok(Told {
        contacts,
        ..Happening::UserInfo { user, groups }.into()
    })
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ZoomCheck<'a> {
    #[serde(borrow)]
    wxid: Loose<'a>,
    result: Loose<'a>,
}

impl ZoomCheck<'_> {
    fn told(&self) -> Result<Told, BadRequest> {
        let user = subject(self.wxid, DATA.field("wxid"))?;
        let result = self.result.name(DATA.field("result"))?;
        let state = match result.as_str() {
            "0" => "normal",
            "1" => "blocked-me",
            "2" => "deleted-me",
            other => other,
        }
        .to_owned();
        Ok(Happening::FriendChecked { user, state }.into())
    }
}
