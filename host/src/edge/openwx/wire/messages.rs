//! One message of any format.

use bytes::Bytes;
use serde::Deserialize;

use super::{
    objects::sex,
    report::{ANYWHERE, About, Report, Told},
};
use crate::{
    domain::{
        AccountId, EventKey, Happening, Message, Millis, User,
        contact::Region,
        event::{Content, File, Link},
    },
    edge::loose::{At, BadRequest, CONTENT_MAX_BYTES, Loose, plausible_ms},
};

/// The fields of all formats together.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Fields<'a> {
    #[serde(borrow)]
    post_type: Loose<'a>,
    id: Loose<'a>,
    #[serde(rename = "type")]
    kind: Loose<'a>,
    class: Loose<'a>,
    format: Loose<'a>,
    content: Loose<'a>,
    time: Loose<'a>,
    from: Loose<'a>,
    sender: Loose<'a>,
    sender_id: Loose<'a>,
    sender_uid: Loose<'a>,
    sender_name: Loose<'a>,
    sender_account: Loose<'a>,
    sender_markname: Loose<'a>,
    sender_category: Loose<'a>,
    receiver_id: Loose<'a>,
    receiver_uid: Loose<'a>,
    group: Loose<'a>,
    group_id: Loose<'a>,
    group_uid: Loose<'a>,
    media_path: Loose<'a>,
    media_id: Loose<'a>,
    media_mime: Loose<'a>,
    media_name: Loose<'a>,
    media_size: Loose<'a>,
    media_ext: Loose<'a>,
    app_title: Loose<'a>,
    app_desc: Loose<'a>,
    app_url: Loose<'a>,
    app_name: Loose<'a>,
    revoke_id: Loose<'a>,
    card_id: Loose<'a>,
    card_name: Loose<'a>,
    card_account: Loose<'a>,
    card_sex: Loose<'a>,
    card_province: Loose<'a>,
    card_city: Loose<'a>,
    card_avatar: Loose<'a>,
}

/// Reads a message. One that does not say where it was said is no message, since
/// nobody could answer it: it survives under its name.
pub(super) fn read(
    fields: &Fields<'_>,
    account: &AccountId,
    body: &Bytes,
) -> Result<Report, BadRequest> {
    let Some(message) = fields.message(body)? else {
        let name = fields.post_type.name(ANYWHERE).unwrap_or_default();
        return Ok(Report::of(&name, account, body));
    };
    let id = message.id.clone();
    let what = Happening::Message(Box::new(message));
    let mut told = Told::of("message", what, account, body);
    told.about = About::Message;
    told.event.at_ms = fields.at_ms();
    told.event.facts = fields.facts();
    if !id.is_empty() {
        told.event.key = EventKey::new(&format!("msg-{id}"));
        told.repeats_within = None;
    }
    Ok(Report::Told(Box::new(told)))
}

impl Fields<'_> {
    fn message(&self, body: &Bytes) -> Result<Option<Message>, BadRequest> {
        let outgoing = self.is_outgoing();
        let group = self.group()?;
        let author = self.sender_id.id(At::Root("sender_id"))?.into_owned();
        let other = match outgoing {
            true => self.receiver_id.id(At::Root("receiver_id"))?.into_owned(),
            false => author.clone(),
        };
        let conversation = group.clone().unwrap_or(other);
        if conversation.is_empty() {
            return Ok(None);
        }
        Ok(Some(Message {
            id: self.id.id(At::Root("id"))?.into_owned(),
            conversation,
            group,
            outgoing,
            author,
            author_name: self.author_name(),
            // The clients' texts show names, and names are no ids.
            mentions: Vec::new(),
            content: self.content(body)?,
        }))
    }

    fn is_outgoing(&self) -> bool {
        name(self.class) == "send" || name(self.post_type) == "send_message"
    }

    /// The group it was said in. What says that it is of a group and not of which is
    /// of nobody: it must not be answered to its author.
    fn group(&self) -> Result<Option<String>, BadRequest> {
        let id = self.group_id.some_id(At::Root("group_id"))?;
        let of_group = name(self.kind).starts_with("group");
        Ok(id.or_else(|| of_group.then(String::new)))
    }

    /// As the conversation shows it.
    fn author_name(&self) -> String {
        [self.sender, self.sender_markname, self.sender_name]
            .into_iter()
            .map(name)
            .find(|name| !name.is_empty())
            .unwrap_or_default()
    }

    /// The clients count in seconds.
    fn at_ms(&self) -> Millis {
        let told = self.time.number(ANYWHERE).ok().flatten();
        plausible_ms(told.map(|secs| secs.saturating_mul(1000)))
    }

    fn content(&self, body: &Bytes) -> Result<Content, BadRequest> {
        if name(self.kind) == "group_notice" {
            return self.text().map(Content::Notice);
        }
        Ok(match name(self.format).as_str() {
            "text" => Content::Text(self.text()?),
            "media" => self.media()?,
            "app" => Content::Link(self.link()?),
            "revoke" => Content::Recalled(self.revoke_id.handle(At::Root("revoke_id"))?),
            "card" => self.card()?,
            "" if self.content.raw().is_some() => Content::Text(self.text()?),
            _ => as_it_came(body),
        })
    }

    fn text(&self) -> Result<String, BadRequest> {
        let text = self.content.content(At::Root("content"))?;
        Ok(text.into_owned())
    }

    fn media(&self) -> Result<Content, BadRequest> {
        let file = File {
            id: self.file_id()?,
            name: some_name(self.media_name),
            mime: some_name(self.media_mime),
            size: self.media_size.number(ANYWHERE).ok().flatten(),
            url: None,
        };
        let mime = name(self.media_mime).to_ascii_lowercase();
        let ext = name(self.media_ext).to_ascii_lowercase();
        let kind = mime.split('/').next().unwrap_or_default();
        Ok(match (kind, mime.as_str(), ext.as_str()) {
            (_, "image/gif", _) | ("", _, "gif") => Content::Sticker(file),
            ("image", ..) | ("", _, "jpg" | "jpeg" | "png") => Content::Image(file),
            ("audio", ..) | ("", _, "mp3" | "amr" | "wav") => Content::Voice(file),
            ("video", ..) | ("", _, "mp4") => Content::Video(file),
            _ => Content::Document(file),
        })
    }

    /// What the file is fetched by: where the client keeps it, else its name with
    /// the service.
    fn file_id(&self) -> Result<String, BadRequest> {
        let path = self.media_path.handle(At::Root("media_path"))?;
        match path.is_empty() {
            true => self.media_id.handle(At::Root("media_id")),
            false => Ok(path),
        }
    }

    fn link(&self) -> Result<Link, BadRequest> {
        let content =
            |field: Loose<'_>, at| field.content(At::Root(at)).map(|text| text.into_owned());
        Ok(Link {
            title: content(self.app_title, "app_title")?,
            description: content(self.app_desc, "app_desc")?,
            url: content(self.app_url, "app_url")?,
            thumbnail_url: None,
            app_name: some_name(self.app_name),
        })
    }

    fn card(&self) -> Result<Content, BadRequest> {
        let region = Region {
            country: String::new(),
            province: name(self.card_province),
            city: name(self.card_city),
        };
        let user = User {
            nickname: name(self.card_name),
            account_name: some_name(self.card_account),
            sex: sex(self.card_sex),
            region: (region != Region::default()).then_some(region),
            avatar_url: self.card_avatar.address(ANYWHERE).ok().flatten(),
            ..User::unknown(self.card_id.id(At::Root("card_id"))?)
        };
        Ok(Content::Card { user, xml: None })
    }

    /// What lasts longer than the ids, and who sent it by which way.
    fn facts(&self) -> Vec<(&'static str, String)> {
        let facts = [
            ("sender-uid", self.sender_uid),
            ("sender-name", self.sender_name),
            ("sender-account", self.sender_account),
            ("sender-markname", self.sender_markname),
            ("sender-category", self.sender_category),
            ("receiver-uid", self.receiver_uid),
            ("group-name", self.group),
            ("group-uid", self.group_uid),
            ("sent-from", self.from),
        ];
        let told = facts.map(|(fact, value)| (fact, name(value)));
        told.into_iter()
            .filter(|(_, value)| !value.is_empty())
            .collect()
    }
}

/// A text of minor weight: none when it is no text.
pub(super) fn name(field: Loose<'_>) -> String {
    field.name(ANYWHERE).unwrap_or_default()
}

fn some_name(field: Loose<'_>) -> Option<String> {
    Some(name(field)).filter(|name| !name.is_empty())
}

/// What is too long to be kept is in the event's own JSON.
fn as_it_came(body: &Bytes) -> Content {
    let json = std::str::from_utf8(body).unwrap_or_default().trim();
    Content::Raw(match json.len() > CONTENT_MAX_BYTES {
        true => "{}".to_owned(),
        false => json.to_owned(),
    })
}
