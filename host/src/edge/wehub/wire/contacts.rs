//! The people and groups in reports (section 3).

use serde::Deserialize;

use crate::{
    domain::{
        Contact, Group, Member, User,
        action::is_group,
        contact::{Region, Sex},
        ports::ContactChange,
    },
    edge::loose::{At, BadRequest, Loose, each},
};

/// A user, public account or member: their fields together.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct WireUser<'a> {
    #[serde(borrow)]
    pub(super) wxid: Loose<'a>,
    wx_alias: Loose<'a>,
    nickname: Loose<'a>,
    remark_name: Loose<'a>,
    head_img: Loose<'a>,
    sex: Loose<'a>,
    country: Loose<'a>,
    province: Loose<'a>,
    city: Loose<'a>,
    is_friend: Loose<'a>,
    /// Of members only.
    room_nickname: Loose<'a>,
}

/// A group with whatever list of members its report has.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct WireGroup<'a> {
    #[serde(borrow)]
    pub(super) wxid: Loose<'a>,
    /// The same, in answers to task 4.
    room_wxid: Loose<'a>,
    name: Loose<'a>,
    owner_wxid: Loose<'a>,
    member_count: Loose<'a>,
    head_img: Loose<'a>,
    member_wxid_list: Loose<'a>,
    #[serde(rename = "memberInfo_list")]
    member_info_list: Loose<'a>,
}

impl WireUser<'_> {
    /// None when there is no id that can be one: nobody is meant.
    pub(super) fn read(&self, at: At<'_>) -> Result<Option<User>, BadRequest> {
        let Some(id) = self.wxid.listed_id(at.field("wxid"))? else {
            return Ok(None);
        };
        Ok(Some(User {
            id,
            nickname: self.nickname.name(at.field("nickname"))?,
            remark: self.remark_name.some_name(at.field("remark_name"))?,
            account_name: self.wx_alias.some_name(at.field("wx_alias"))?,
            sex: self.sex(at)?,
            region: self.region(at)?,
            avatar_url: self.head_img.address(at.field("head_img"))?,
            signature: None,
            is_friend: self.is_friend(at)?,
        }))
    }

    fn member(&self, at: At<'_>) -> Result<Option<Member>, BadRequest> {
        let Some(user) = self.read(at)? else {
            return Ok(None);
        };
        let group_nickname = self.room_nickname.some_name(at.field("room_nickname"))?;
        Ok(Some(Member {
            user,
            group_nickname,
        }))
    }

    fn sex(&self, at: At<'_>) -> Result<Sex, BadRequest> {
        Ok(match self.sex.text(at.field("sex"))?.as_ref() {
            "1" => Sex::Male,
            "2" => Sex::Female,
            _ => Sex::Unknown,
        })
    }

    fn region(&self, at: At<'_>) -> Result<Option<Region>, BadRequest> {
        let region = Region {
            country: self.country.name(at.field("country"))?,
            province: self.province.name(at.field("province"))?,
            city: self.city.name(at.field("city"))?,
        };
        Ok((region != Region::default()).then_some(region))
    }

    fn is_friend(&self, at: At<'_>) -> Result<Option<bool>, BadRequest> {
        Ok(match self.is_friend.text(at.field("is_friend"))?.as_ref() {
            "" => None,
            "0" => Some(false),
            _ => Some(true),
        })
    }
}

impl WireGroup<'_> {
    /// None when there is no id that can be one: no group is meant. A missing count is that of
    /// the members who came along.
    pub(super) fn read(&self, at: At<'_>, members: usize) -> Result<Option<Group>, BadRequest> {
        let id = match self.wxid.listed_id(at.field("wxid"))? {
            Some(id) => Some(id),
            None => self.room_wxid.listed_id(at.field("room_wxid"))?,
        };
        let Some(id) = id else {
            return Ok(None);
        };
        let told = self.member_count.number(at.field("member_count"))?;
        let count = told.unwrap_or(members as u64);
        Ok(Some(Group {
            id,
            name: self.name.name(at.field("name"))?,
            owner: self.owner_wxid.listed_id(at.field("owner_wxid"))?,
            member_count: u32::try_from(count).unwrap_or(u32::MAX),
            avatar_url: self.head_img.address(at.field("head_img"))?,
        }))
    }

    /// With the ids of its members.
    pub(super) fn with_ids(&self, at: At<'_>) -> Result<Option<(Group, Vec<String>)>, BadRequest> {
        let ids = self.member_wxid_list.ids(at.field("member_wxid_list"))?;
        let ids = ids.unwrap_or_default();
        Ok(self.read(at, ids.len())?.map(|group| (group, ids)))
    }

    /// With its members' details.
    pub(super) fn with_members(
        &self,
        at: At<'_>,
    ) -> Result<Option<(Group, Vec<Member>)>, BadRequest> {
        let list_at = at.field("memberInfo_list");
        let members = each(self.member_info_list, list_at, WireUser::member)?;
        let members = members.unwrap_or_default();
        Ok(self.read(at, members.len())?.map(|group| (group, members)))
    }
}

/// A group and its members as changes.
pub(super) fn put_group(group: &Group, members: Vec<Member>) -> Vec<ContactChange> {
    let put = ContactChange::Put(Contact::Group(group.clone()));
    let members = members
        .into_iter()
        .map(|member| ContactChange::PutMember(group.id.clone(), member));
    std::iter::once(put).chain(members).collect()
}

/// Reads an entry of `update_list`, which can be anybody or a group; which, the
/// id tells (section 1).
pub(super) fn update(entry: Loose<'_>, at: At<'_>) -> Result<Option<ContactChange>, BadRequest> {
    let Some(user) = entry.object::<WireUser<'_>>(at)? else {
        return Ok(None);
    };
    let Some(id) = user.wxid.listed_id(at.field("wxid"))? else {
        return Ok(None);
    };
    if is_group(&id) {
        let group = entry.object::<WireGroup<'_>>(at)?.unwrap_or_default();
        return Ok(group
            .read(at, 0)?
            .map(Contact::Group)
            .map(ContactChange::Put));
    }
    Ok(user.read(at)?.map(|user| match user.is_friend {
        // No friend any more is no contact any more.
        Some(false) => ContactChange::Remove(user.id),
        _ => put_user(user),
    }))
}

/// Somebody as a contact: a friend, or a public account by its id (section 1).
pub(super) fn put_user(user: User) -> ContactChange {
    ContactChange::Put(match user.id.starts_with("gh_") {
        true => Contact::Official(user),
        false => Contact::User(user),
    })
}
