//! Short forms, and methods for the types of [`model`](crate::model).

use crate::bindings::wasi::{clocks::wall_clock, random};
use crate::chat;
use crate::model::{Contact, Content, Event, Failure, Happening, Message, Segment, TaskId};

/// Sends text to a user or a group. To answer where the event came from, use
/// `chat::reply`.
pub fn send_text(conversation: &str, text: &str) -> Result<TaskId, Failure> {
    chat::send(conversation, &[Segment::from(text)])
}

/// Milliseconds since 1970-01-01T00:00:00Z, as in all of the package.
pub fn now() -> u64 {
    let now = wall_clock::now();
    now.seconds * 1000 + u64::from(now.nanoseconds / 1_000_000)
}

/// A random number below `limit`; 0 when that is 0.
pub fn random(limit: u64) -> u64 {
    random::random::get_random_u64()
        .checked_rem(limit)
        .unwrap_or(0)
}

impl Event {
    /// The message, if this is one that somebody else wrote.
    pub fn message(&self) -> Option<&Message> {
        match &self.what {
            Happening::Message(message) if !message.outgoing => Some(message),
            _ => None,
        }
    }

    /// The text, if this is a message of words that somebody else wrote.
    pub fn text(&self) -> Option<&str> {
        self.message().and_then(Message::text)
    }
}

impl Message {
    /// What it says, if it is made of words.
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it was said in a group.
    pub fn in_group(&self) -> bool {
        self.group.is_some()
    }
}

impl Content {
    /// In a few English words what it is, e.g. "a picture".
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Text(_) => "words",
            Self::Image(_) => "a picture",
            Self::Voice(_) => "a voice message",
            Self::Video(_) => "a video",
            Self::Document(_) => "a file",
            Self::Sticker(_) => "a sticker",
            Self::Link(_) => "a link",
            Self::GroupInvitation(_) => "an invitation to a group",
            Self::MiniProgram(_) => "a mini program",
            Self::Location(_) => "a place",
            Self::Card(_) => "a contact card",
            Self::Transfer(_) => "a transfer",
            Self::Notice(_) => "a notice",
            Self::Recalled(_) => "a message taken back",
            Self::Raw(_) => "something unknown",
        }
    }
}

impl Contact {
    /// The id to write to.
    pub fn id(&self) -> &str {
        match self {
            Self::User(user) | Self::Official(user) => &user.id,
            Self::Group(group) => &group.id,
        }
    }

    /// The name it shows: of a person, the account's name for that person if
    /// there is one.
    pub fn name(&self) -> &str {
        match self {
            Self::User(user) | Self::Official(user) => {
                user.remark.as_deref().unwrap_or(&user.nickname)
            }
            Self::Group(group) => &group.name,
        }
    }
}

impl From<&str> for Segment {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Segment {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
