//! `report_new_msg`: one message of any kind (section 4).

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;

use super::{
    request::{DATA, Report},
    xml,
};
use crate::{
    domain::{
        AccountId, Event, EventKey, Happening, Message, Millis, User,
        action::is_group,
        event::{Content, File, Link},
    },
    edge::loose::{At, BadRequest, CONTENT_MAX_BYTES, Loose, plausible_ms},
    service::ContactReport,
};

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Data<'a> {
    #[serde(borrow)]
    msg: Loose<'a>,
}

/// The fields of all kinds together.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Fields<'a> {
    #[serde(borrow)]
    msg_id: Loose<'a>,
    msg_timestamp: Loose<'a>,
    msg_type: Loose<'a>,
    room_wxid: Loose<'a>,
    wxid_from: Loose<'a>,
    wxid_to: Loose<'a>,
    msg: Loose<'a>,
    #[serde(rename = "atUserList")]
    at_user_list: Loose<'a>,
    file_index: Loose<'a>,
    file_name: Loose<'a>,
    file_size: Loose<'a>,
    raw_msg: Loose<'a>,
    emoji_url: Loose<'a>,
    link_title: Loose<'a>,
    link_desc: Loose<'a>,
    link_url: Loose<'a>,
    link_img_url: Loose<'a>,
    sub_type: Loose<'a>,
    transferid: Loose<'a>,
    paysubtype: Loose<'a>,
}

/// Reads the `data` of a `report_new_msg`.
pub(super) fn read(
    data: Data<'_>,
    account: &AccountId,
    body: &Bytes,
) -> Result<Report, BadRequest> {
    let at = DATA.field("msg");
    let fields: Fields<'_> = data
        .msg
        .object(at)?
        .ok_or_else(|| BadRequest::new(at, "is missing"))?;
    let json = data.msg.raw().map_or("", |raw| raw.get());
    let reader = Reader { fields, at, json };
    let message = reader.message(account)?;
    Ok(Report {
        event: Event {
            key: EventKey::new(&format!("msg-{}", message.id)),
            account: account.clone(),
            at_ms: reader.at_ms()?,
            facts: reader.facts(&message.content)?,
            what: Happening::Message(Box::new(message)),
            raw: body.clone(),
        },
        contacts: ContactReport::None,
        repeats_within: None,
    })
}

struct Reader<'a, 'p> {
    fields: Fields<'a>,
    at: At<'p>,
    /// The message as it came.
    json: &'a str,
}

impl<'a> Reader<'a, '_> {
    fn message(&self, account: &AccountId) -> Result<Message, BadRequest> {
        let id = self.id()?;
        let from = self.fields.wxid_from.id(self.at.field("wxid_from"))?;
        let to = self.fields.wxid_to.id(self.at.field("wxid_to"))?;
        let group = self.group(&from, &to)?;
        let mentions = self.fields.at_user_list.ids(self.at.field("atUserList"))?;
        let outgoing = from == account.as_str();
        let other = if outgoing { &to } else { &from };
        Ok(Message {
            id,
            conversation: group.clone().unwrap_or_else(|| other.to_string()),
            group,
            outgoing,
            author: from.into_owned(),
            author_name: String::new(),
            mentions: mentions.unwrap_or_default(),
            content: self.content()?,
        })
    }

    /// The room, or what its id shows to be one when the room is not named: an
    /// answer meant for a group must not go to its author, nor the other way round.
    fn group(&self, from: &str, to: &str) -> Result<Option<String>, BadRequest> {
        let room = self.fields.room_wxid.some_id(self.at.field("room_wxid"))?;
        let group = || [to, from].into_iter().find(|id| is_group(id));
        Ok(room.or_else(|| group().map(str::to_owned)))
    }

    /// Without an id a message that comes twice would be answered twice.
    fn id(&self) -> Result<String, BadRequest> {
        let at = self.at.field("msg_id");
        self.fields
            .msg_id
            .some_id(at)?
            .ok_or_else(|| BadRequest::new(at, "is missing or empty"))
    }

    fn at_ms(&self) -> Result<Millis, BadRequest> {
        let told = self.fields.msg_timestamp;
        let told = told.number(self.at.field("msg_timestamp"))?;
        Ok(plausible_ms(told))
    }

    fn content(&self) -> Result<Content, BadRequest> {
        let kind = self.fields.msg_type.text(self.at.field("msg_type"))?;
        Ok(match kind.as_ref() {
            "1" => Content::Text(self.fields.msg.content(self.at.field("msg"))?.into_owned()),
            "3" => Content::Image(self.file()?),
            "34" => Content::Voice(self.file()?),
            "42" => self.card()?,
            "43" => Content::Video(self.file()?),
            "47" => Content::Sticker(self.sticker()?),
            "49" => self.link()?,
            "4901" => self.mini_program()?,
            "4902" => self.transfer()?,
            "4903" => Content::Document(self.document()?),
            "10000" => Content::Notice(self.raw_msg()?.into_owned()),
            _ => Content::Raw(self.as_it_came()?),
        })
    }

    fn as_it_came(&self) -> Result<String, BadRequest> {
        match self.json.len() > CONTENT_MAX_BYTES {
            true => Err(BadRequest::new(
                self.at,
                format!("is longer than {CONTENT_MAX_BYTES} bytes"),
            )),
            false => Ok(self.json.to_owned()),
        }
    }

    fn raw_msg(&self) -> Result<Cow<'a, str>, BadRequest> {
        self.fields.raw_msg.content(self.at.field("raw_msg"))
    }

    fn file(&self) -> Result<File, BadRequest> {
        Ok(File {
            id: self.fields.file_index.handle(self.at.field("file_index"))?,
            ..File::default()
        })
    }

    fn sticker(&self) -> Result<File, BadRequest> {
        Ok(File {
            url: self
                .fields
                .emoji_url
                .some_content(self.at.field("emoji_url"))?,
            ..File::default()
        })
    }

    fn document(&self) -> Result<File, BadRequest> {
        Ok(File {
            name: self
                .fields
                .file_name
                .some_content(self.at.field("file_name"))?,
            size: self.fields.file_size.number(self.at.field("file_size"))?,
            ..self.file()?
        })
    }

    fn card(&self) -> Result<Content, BadRequest> {
        let xml = self.raw_msg()?;
        let attribute = |name| xml::attribute(&xml, "msg", name).unwrap_or_default();
        Ok(Content::Card {
            user: User {
                nickname: attribute("nickname"),
                ..User::unknown(attribute("username"))
            },
            xml: (!xml.is_empty()).then(|| xml.into_owned()),
        })
    }

    fn link(&self) -> Result<Content, BadRequest> {
        let title = self
            .fields
            .link_title
            .content(self.at.field("link_title"))?
            .into_owned();
        let description = self
            .fields
            .link_desc
            .content(self.at.field("link_desc"))?
            .into_owned();
        let url = self
            .fields
            .link_url
            .content(self.at.field("link_url"))?
            .into_owned();
        let sub_type = self.fields.sub_type.text(self.at.field("sub_type"))?;
        if sub_type == "5" && is_group_invitation(&url) {
            return Ok(Content::GroupInvitation {
                url,
                title,
                description,
            });
        }
        let thumbnail = self.fields.link_img_url;
        Ok(Content::Link(Link {
            title,
            description,
            url,
            thumbnail_url: thumbnail.some_content(self.at.field("link_img_url"))?,
            app_name: None,
        }))
    }

    fn mini_program(&self) -> Result<Content, BadRequest> {
        let xml = self.raw_msg()?.into_owned();
        let cover = self.file()?;
        Ok(Content::MiniProgram {
            title: xml::text(&xml, "title").unwrap_or_default(),
            xml,
            cover: (!cover.id.is_empty()).then_some(cover),
        })
    }

    fn transfer(&self) -> Result<Content, BadRequest> {
        let state = self.fields.paysubtype.name(self.at.field("paysubtype"))?;
        Ok(Content::Transfer {
            id: self.fields.transferid.handle(self.at.field("transferid"))?,
            state: match state.as_str() {
                "1" => "offered".to_owned(),
                "3" => "accepted".to_owned(),
                _ => state,
            },
        })
    }

    /// The XML of the kinds whose content doesn't hold it already.
    fn facts(&self, content: &Content) -> Result<Vec<(&'static str, String)>, BadRequest> {
        if matches!(
            content,
            Content::Card { .. }
                | Content::MiniProgram { .. }
                | Content::Notice(_)
                | Content::Raw(_)
        ) {
            return Ok(Vec::new());
        }
        let xml = self.raw_msg()?;
        Ok(match xml.is_empty() {
            true => Vec::new(),
            false => vec![("raw-msg", xml.into_owned())],
        })
    }
}

/// True for the address in an invitation. The host is WeChat's own, so that a
/// link of a stranger's can't pass for one.
fn is_group_invitation(url: &str) -> bool {
    let after_scheme = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    let Some((host, path)) = after_scheme.and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    host.eq_ignore_ascii_case("support.weixin.qq.com") && path.contains("addchatroombyinvite")
}

#[cfg(test)]
mod tests {
    use super::is_group_invitation;

    #[test]
    fn only_wechat_s_own_host_invites() {
        for url in [
            "https://support.weixin.qq.com/cgi-bin/mmsupport-bin/addchatroombyinvite?ticket=A",
            "http://Support.Weixin.QQ.com/addchatroombyinvite",
        ] {
            assert!(is_group_invitation(url), "{url}");
        }
        for url in [
            "",
            "https://support.weixin.qq.com",
            "https://support.weixin.qq.com/other",
            "https://evil.example/support.weixin.qq.com/addchatroombyinvite",
            "https://support.weixin.qq.com@evil.example/addchatroombyinvite",
            "https://support.weixin.qq.com.evil.example/addchatroombyinvite",
            "https://evil.example?x=support.weixin.qq.com/addchatroombyinvite",
            "ftp://support.weixin.qq.com/addchatroombyinvite",
        ] {
            assert!(!is_group_invitation(url), "{url}");
        }
    }
}
