//! What an account can be asked to do, and which kind of client can do it.
//!
//! The serde form of [`Action`] is the control API's: see the README.

use serde::{Deserialize, Serialize};

use super::{ClientKind, LoginId};

/// How many pieces one message may have.
pub const SEGMENTS_MAX: usize = 100;
/// How long one text may be, in bytes. WeChat cuts at about 16 KiB.
pub const TEXT_MAX_BYTES: usize = 16 * 1024;
/// How many people or groups one action may name.
pub const TARGETS_MAX: usize = 500;
/// How long an id, name or address may be, in bytes.
pub const FIELD_MAX_BYTES: usize = 4 * 1024;
/// How long one raw task or card may be, in bytes.
pub const RAW_MAX_BYTES: usize = 64 * 1024;

/// One thing that an account shall do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// Write to a user or a group.
    Send {
        /// Whom to write to.
        conversation: String,
        /// What, piece by piece.
        segments: Vec<Segment>,
    },
    /// Take back a message that the account sent.
    Recall {
        /// Which message.
        message: String,
    },
    /// Keep a conversation at the top of the list, or no longer.
    Stick {
        /// Which conversation.
        conversation: String,
        /// At the top or not.
        on: bool,
    },
    /// Fetch a file from the client.
    Download {
        /// What the client calls it.
        file: String,
    },
    /// Accept money.
    AcceptTransfer {
        /// Who offered it.
        sender: String,
        /// Which transfer.
        transfer: String,
    },
    /// Create a group.
    CreateGroup {
        /// Its name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Its members, without the account itself.
        users: Vec<String>,
    },
    /// Bring somebody into a group.
    Invite {
        /// Which group.
        group: String,
        /// Whom.
        user: String,
        /// At once rather than by invitation (up to 40 members).
        #[serde(default)]
        add: bool,
    },
    /// Accept an invitation to a group.
    AcceptInvitation {
        /// The address that came with the invitation.
        url: String,
    },
    /// Remove somebody from a group, or from every group.
    Kick {
        /// Which group; none for every group.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
        /// Whom.
        user: String,
    },
    /// Give a group another name.
    RenameGroup {
        /// Which group.
        group: String,
        /// Its name from now on.
        name: String,
    },
    /// Set the account's own name in a group.
    RenameMe {
        /// Which group.
        group: String,
        /// The account's name there from now on.
        name: String,
    },
    /// Publish an announcement in a group.
    Announce {
        /// Which group.
        group: String,
        /// What.
        text: String,
    },
    /// Leave a group.
    LeaveGroup {
        /// Which group.
        group: String,
    },
    /// Have the client read the members of groups.
    RefreshGroups {
        /// Which groups.
        groups: Vec<String>,
    },
    /// Accept a friend request.
    AcceptFriend {
        /// What came with the request.
        ticket: String,
    },
    /// Ask a member of a group to be a friend.
    AddFriend {
        /// Whom.
        user: String,
        /// Of which group.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
        /// With which words.
        #[serde(default)]
        greeting: String,
    },
    /// End a friendship.
    RemoveFriend {
        /// Whom.
        user: String,
    },
    /// Check whether a friend dropped the account.
    CheckFriend {
        /// Whom.
        user: String,
    },
    /// Set the name that the account has for a person.
    Remark {
        /// For whom.
        user: String,
        /// The name.
        name: String,
    },
    /// Read a person's details.
    RefreshUser {
        /// Whose.
        user: String,
    },
    /// Read the contact list again.
    RefreshContacts,
    /// Fetch a person's picture.
    FetchAvatar {
        /// Whose.
        user: String,
        /// The group, when the person is no friend.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
    },
    /// Put a tag on people.
    AddTag {
        /// Which tag.
        tag: String,
        /// Whom.
        users: Vec<String>,
    },
    /// Take a tag from people.
    RemoveTag {
        /// Which tag.
        tag: String,
        /// Whom.
        users: Vec<String>,
    },
    /// Delete a tag.
    DeleteTag {
        /// Which tag.
        tag: String,
    },
    /// Give a tag another name.
    RenameTag {
        /// Which tag.
        tag: String,
        /// Its name from now on.
        to: String,
    },
    /// Start another client and log it in by a QR code. Only the host asks for it.
    StartLogin {
        /// Which login.
        login: LoginId,
    },
    /// A task in the client's own JSON.
    Raw {
        /// A JSON object as text.
        json: String,
    },
}

/// A piece of an outgoing message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Segment {
    /// Words.
    Text(String),
    /// Mentions a member of the group.
    Mention(String),
    /// Mentions everybody in the group.
    MentionAll,
    /// A picture.
    Image(FileSource),
    /// A GIF.
    Sticker(FileSource),
    /// Spoken words.
    Voice(FileSource),
    /// A film.
    Video(FileSource),
    /// Any other file.
    Document(FileSource),
    /// A link with a preview.
    Link(LinkCard),
    /// A mini program's card.
    MiniProgram(MiniProgramCard),
    /// Somebody's contact card.
    Card(String),
    /// Says which message this one answers.
    Quote(String),
    /// A message unit in the client's own JSON.
    Raw(String),
}

/// Where the bytes of a file to send come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileSource {
    /// A file that the host holds.
    Held(String),
    /// An address that the client can read.
    Url(String),
}

/// A link to send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkCard {
    /// The headline.
    pub title: String,
    /// The text below.
    #[serde(default)]
    pub description: String,
    /// Where it leads.
    pub url: String,
    /// The picture beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbnail_url: Option<String>,
}

/// A mini program's card to send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MiniProgramCard {
    /// The card as XML, as it came in a message.
    pub xml: String,
    /// The address of its picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cover_url: Option<String>,
}

/// Why an action can't be taken on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// This kind of client can't do it.
    #[error("a {} client can't {what}", client.as_str())]
    Unsupported {
        /// The kind of client.
        client: ClientKind,
        /// What it can't do, as a verb phrase.
        what: &'static str,
    },
    /// A field is empty, too long, or out of place.
    #[error("{field}: {problem}")]
    Invalid {
        /// Which field.
        field: &'static str,
        /// What is wrong with it, and what is right.
        problem: String,
    },
}

impl Action {
    /// A text to one conversation.
    pub fn text(conversation: impl Into<String>, text: impl Into<String>) -> Self {
        Self::Send {
            conversation: conversation.into(),
            segments: vec![Segment::Text(text.into())],
        }
    }

    /// The text and the address of a picture or file that this writes to the
    /// conversation, if it writes no more than a text, or a text and then a file: so
    /// much fits into the answer to an Openwx report.
    pub fn as_reply(&self, to: &str) -> Option<(&str, Option<&str>)> {
        let Self::Send {
            conversation,
            segments,
        } = self
        else {
            return None;
        };
        if conversation != to {
            return None;
        }
        match segments.as_slice() {
            [Segment::Text(text)] => Some((text, None)),
            [Segment::Text(text), file] => file.url().map(|url| (text.as_str(), Some(url))),
            _ => None,
        }
    }

    /// How many calls of its API it may take an Openwx client: a message goes out part
    /// by part, and people and groups are read one after the other.
    pub fn calls_max(&self) -> usize {
        match self {
            Self::Send { segments, .. } => segments.len(),
            Self::RefreshContacts => 2,
            _ => 1,
        }
    }

    /// What the file is called that this asks the client for, if it asks for one.
    pub fn awaited_file(&self) -> Option<String> {
        match self {
            Self::Download { file } => Some(file.clone()),
            Self::FetchAvatar { user, .. } => Some(format!("avatar-{user}")),
            _ => None,
        }
    }

    /// The action's name, as in its JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Send { .. } => "send",
            Self::Recall { .. } => "recall",
            Self::Stick { .. } => "stick",
            Self::Download { .. } => "download",
            Self::AcceptTransfer { .. } => "accept-transfer",
            Self::CreateGroup { .. } => "create-group",
            Self::Invite { .. } => "invite",
            Self::AcceptInvitation { .. } => "accept-invitation",
            Self::Kick { .. } => "kick",
            Self::RenameGroup { .. } => "rename-group",
            Self::RenameMe { .. } => "rename-me",
            Self::Announce { .. } => "announce",
            Self::LeaveGroup { .. } => "leave-group",
            Self::RefreshGroups { .. } => "refresh-groups",
            Self::AcceptFriend { .. } => "accept-friend",
            Self::AddFriend { .. } => "add-friend",
            Self::RemoveFriend { .. } => "remove-friend",
            Self::CheckFriend { .. } => "check-friend",
            Self::Remark { .. } => "remark",
            Self::RefreshUser { .. } => "refresh-user",
            Self::RefreshContacts => "refresh-contacts",
            Self::FetchAvatar { .. } => "fetch-avatar",
            Self::AddTag { .. } => "add-tag",
            Self::RemoveTag { .. } => "remove-tag",
            Self::DeleteTag { .. } => "delete-tag",
            Self::RenameTag { .. } => "rename-tag",
            Self::StartLogin { .. } => "start-login",
            Self::Raw { .. } => "raw",
        }
    }

    /// Says whether an account driven by this kind of client can take this on:
    /// the client can do it, and every field is there and within its bounds.
    pub fn check(&self, client: ClientKind) -> Result<(), Refused> {
        self.check_support(client)?;
        self.check_fields(client)
    }

    /// The table of what each kind of client can do (protocol pages: WeHub
    /// section 5, Openwx section 4).
    fn check_support(&self, client: ClientKind) -> Result<(), Refused> {
        use ClientKind::{Openwx, Wehub};
        let what = match (client, self) {
            (Wehub, Self::Recall { .. }) => "take back messages",
            (Wehub, Self::Stick { .. }) => "keep conversations at the top",
            (Wehub, Self::FetchAvatar { .. }) => "fetch pictures of people",
            (Wehub, Self::CreateGroup { name: Some(_), .. }) => {
                "name a group while creating it: rename it when it is there"
            }
            (Openwx, Self::AcceptTransfer { .. }) => "accept transfers",
            (Openwx, Self::Invite { add: true, .. }) => "add members without an invitation",
            (Openwx, Self::AcceptInvitation { .. }) => "accept invitations to groups",
            (Openwx, Self::Kick { group: None, .. }) => "remove somebody from every group at once",
            (Openwx, Self::RenameMe { .. }) => "set the account's name in a group",
            (Openwx, Self::Announce { .. }) => "publish announcements",
            (Openwx, Self::LeaveGroup { .. }) => "leave groups",
            (Openwx, Self::RemoveFriend { .. }) => "remove friends",
            (Openwx, Self::CheckFriend { .. }) => "check friendships",
            (Openwx, Self::RefreshUser { .. }) => "read one person's details",
            (
                Openwx,
                Self::AddTag { .. }
                | Self::RemoveTag { .. }
                | Self::DeleteTag { .. }
                | Self::RenameTag { .. },
            ) => "keep tags",
            (_, Self::Send { segments, .. }) => {
                return segments
                    .iter()
                    .try_for_each(|segment| segment.check_support(client));
            }
            _ => return Ok(()),
        };
        Err(Refused::Unsupported { client, what })
    }

    fn check_fields(&self, client: ClientKind) -> Result<(), Refused> {
        match self {
            Self::Send {
                conversation,
                segments,
            } => {
                required("conversation", conversation)?;
                count("segments", segments.len(), SEGMENTS_MAX)?;
                segments
                    .iter()
                    .try_for_each(|segment| segment.check_fields(conversation))
            }
            Self::Recall { message } => required("message", message),
            Self::Stick { conversation, .. } => required("conversation", conversation),
            Self::Download { file } => required("file", file),
            Self::AcceptTransfer { sender, transfer } => {
                required("sender", sender)?;
                required("transfer", transfer)
            }
            Self::CreateGroup { users, .. } => {
                if users.len() < 2 {
                    return invalid("users", "a group needs at least two besides the account");
                }
                targets("users", users)
            }
            Self::Invite { group, user, .. } => {
                required("group", group)?;
                required("user", user)
            }
            Self::AcceptInvitation { url } => address("url", url),
            Self::Kick { group, user } => {
                group
                    .iter()
                    .try_for_each(|group| required("group", group))?;
                required("user", user)
            }
            Self::RenameGroup { group, name } | Self::RenameMe { group, name } => {
                required("group", group)?;
                required("name", name)
            }
            Self::Announce { group, text } => {
                required("group", group)?;
                words("text", text)
            }
            Self::LeaveGroup { group } => required("group", group),
            Self::RefreshGroups { groups } => targets("groups", groups),
            Self::AcceptFriend { ticket } => required("ticket", ticket),
            Self::AddFriend {
                user,
                group,
                greeting,
            } => {
                required("user", user)?;
                if client == ClientKind::Openwx && group.is_none() {
                    return invalid("group", "an openwx client adds friends out of a group");
                }
                group
                    .iter()
                    .try_for_each(|group| required("group", group))?;
                bounded("greeting", greeting, FIELD_MAX_BYTES)
            }
            Self::RemoveFriend { user }
            | Self::CheckFriend { user }
            | Self::RefreshUser { user } => required("user", user),
            Self::Remark { user, name } => {
                required("user", user)?;
                bounded("name", name, FIELD_MAX_BYTES)
            }
            Self::RefreshContacts => Ok(()),
            Self::FetchAvatar { user, .. } => required("user", user),
            Self::AddTag { tag, users } | Self::RemoveTag { tag, users } => {
                required("tag", tag)?;
                targets("users", users)
            }
            Self::DeleteTag { tag } => required("tag", tag),
            Self::RenameTag { tag, to } => {
                required("tag", tag)?;
                required("to", to)
            }
            Self::StartLogin { .. } => invalid(
                "action",
                "QR logins are started with POST /api/v1/logins, not as a task",
            ),
            Self::Raw { json } => raw_json("json", json),
        }
    }
}

impl Segment {
    /// The address of the file that this sends, if it sends one by its address.
    pub fn url(&self) -> Option<&str> {
        match self {
            Self::Image(FileSource::Url(url))
            | Self::Sticker(FileSource::Url(url))
            | Self::Voice(FileSource::Url(url))
            | Self::Video(FileSource::Url(url))
            | Self::Document(FileSource::Url(url)) => Some(url),
            _ => None,
        }
    }

    fn check_support(&self, client: ClientKind) -> Result<(), Refused> {
        use ClientKind::{Openwx, Wehub};
        let what = match (client, self) {
            (_, Self::MentionAll) => "mention everybody",
            (_, Self::Quote(_)) => "answer one particular message",
            (Wehub, Self::Voice(_)) => "send voice",
            (Openwx, Self::Link(_)) => "send links with a preview",
            (Openwx, Self::MiniProgram(_)) => "send mini programs",
            (Openwx, Self::Card(_)) => "send contact cards",
            (Openwx, Self::Raw(_)) => "send raw message units",
            (
                _,
                Self::Image(FileSource::Held(_))
                | Self::Sticker(FileSource::Held(_))
                | Self::Voice(FileSource::Held(_))
                | Self::Video(FileSource::Held(_))
                | Self::Document(FileSource::Held(_)),
            ) => "send files that the host holds: give a url",
            _ => return Ok(()),
        };
        Err(Refused::Unsupported { client, what })
    }

    fn check_fields(&self, conversation: &str) -> Result<(), Refused> {
        match self {
            Self::Text(text) => words("text", text),
            Self::Mention(user) if !is_group(conversation) => {
                let _ = user;
                invalid("mention", "people can be mentioned in groups only")
            }
            Self::Mention(user) => required("mention", user),
            Self::MentionAll => Ok(()),
            Self::Image(source) => source.check("image"),
            Self::Sticker(source) => source.check("sticker"),
            Self::Voice(source) => source.check("voice"),
            Self::Video(source) => source.check("video"),
            Self::Document(source) => source.check("document"),
            Self::Link(link) => {
                address("link.url", &link.url)?;
                bounded("link.title", &link.title, FIELD_MAX_BYTES)?;
                bounded("link.description", &link.description, FIELD_MAX_BYTES)
            }
            Self::MiniProgram(card) => bounded("mini-program.xml", &card.xml, RAW_MAX_BYTES),
            Self::Card(user) => required("card", user),
            Self::Quote(message) => required("quote", message),
            Self::Raw(json) => raw_json("raw", json),
        }
    }
}

impl FileSource {
    fn check(&self, field: &'static str) -> Result<(), Refused> {
        match self {
            Self::Held(id) => required(field, id),
            Self::Url(url) => address(field, url),
        }
    }
}

/// True for the id of a group: WeHub's end in `@chatroom` or `@im.chatroom`
/// (protocol page, section 1), Openwx's begin with `@@` (section 3).
pub fn is_group(conversation: &str) -> bool {
    conversation.ends_with("@chatroom")
        || conversation.ends_with("@im.chatroom")
        || conversation.starts_with("@@")
}

fn invalid<T>(field: &'static str, problem: impl Into<String>) -> Result<T, Refused> {
    Err(Refused::Invalid {
        field,
        problem: problem.into(),
    })
}

fn bounded(field: &'static str, text: &str, max_bytes: usize) -> Result<(), Refused> {
    if text.len() > max_bytes {
        return invalid(
            field,
            format!("has {} bytes, at most {max_bytes} are taken", text.len()),
        );
    }
    Ok(())
}

fn required(field: &'static str, text: &str) -> Result<(), Refused> {
    if text.trim().is_empty() {
        return invalid(field, "can't be empty");
    }
    bounded(field, text, FIELD_MAX_BYTES)
}

fn words(field: &'static str, text: &str) -> Result<(), Refused> {
    if text.is_empty() {
        return invalid(field, "can't be empty");
    }
    bounded(field, text, TEXT_MAX_BYTES)
}

fn address(field: &'static str, url: &str) -> Result<(), Refused> {
    if !(url.starts_with("http://") || url.starts_with("https://")) {
        return invalid(field, "is no http or https address");
    }
    bounded(field, url, FIELD_MAX_BYTES)
}

fn count(field: &'static str, count: usize, max: usize) -> Result<(), Refused> {
    match count {
        0 => invalid(field, "can't be empty"),
        _ if count > max => invalid(
            field,
            format!("has {count} entries, at most {max} are taken"),
        ),
        _ => Ok(()),
    }
}

fn targets(field: &'static str, ids: &[String]) -> Result<(), Refused> {
    count(field, ids.len(), TARGETS_MAX)?;
    ids.iter().try_for_each(|id| required(field, id))
}

fn raw_json(field: &'static str, json: &str) -> Result<(), Refused> {
    bounded(field, json, RAW_MAX_BYTES)?;
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(json) {
        Ok(_) => Ok(()),
        Err(error) => invalid(field, format!("is no JSON object: {error}")),
    }
}
