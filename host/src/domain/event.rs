//! What happened to an account, in words common to both kinds of clients.
//!
//! Its JSON is what `invoke` takes: what is left out is empty.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{AccountId, EventKey, Group, Millis, TaskId, TaskState, User};

/// Something that happened to an account.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What makes two deliveries the same event.
    pub key: EventKey,
    /// Whose event.
    pub account: AccountId,
    /// When, by the client's clock if it told, else by ours.
    pub at_ms: Millis,
    /// What.
    pub what: Happening,
    /// Particulars that have no field, by name.
    pub facts: Vec<(&'static str, String)>,
    /// The client's JSON, whole. Shared, never copied.
    pub raw: Bytes,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Happening {
    /// The client logged in.
    Login(User),
    /// The client logged out, and why.
    Logout(String),
    /// A message.
    Message(Box<Message>),
    /// Somebody wants to be a friend.
    FriendRequest(FriendRequest),
    /// Somebody became a friend.
    FriendAdded {
        /// Who.
        user: User,
        /// What the person wrote when asking.
        greeting: String,
    },
    /// Somebody is no friend any more.
    FriendRemoved(String),
    /// The account is in a new group.
    GroupJoined(Group),
    /// The account is no longer in a group.
    GroupLeft(String),
    /// A group has another name.
    GroupRenamed {
        /// Which group.
        group: String,
        /// Its name now.
        name: String,
        /// Its name before.
        previous: Option<String>,
    },
    /// People came to or left a group.
    MembersChanged {
        /// Which group.
        group: String,
        /// Who came.
        joined: Vec<String>,
        /// Who left.
        left: Vec<String>,
    },
    /// The members of these groups were read.
    MembersReported(Vec<String>),
    /// The contact list was read: how many of each.
    ContactsReported {
        /// Friends.
        users: u32,
        /// Groups.
        groups: u32,
        /// Public accounts.
        officials: u32,
    },
    /// These contacts have changed.
    ContactsUpdated(Vec<String>),
    /// A person's details were read.
    UserInfo {
        /// Who.
        user: User,
        /// The groups that both are in.
        groups: Vec<String>,
    },
    /// A friendship was checked.
    FriendChecked {
        /// Whom.
        user: String,
        /// `normal`, `blocked-me`, `deleted-me`, or the client's own word.
        state: String,
    },
    /// A file that a bot asked for is there, or will not come.
    FileReady {
        /// The file; with type, size and address when it is there.
        file: File,
        /// Why it will not come.
        failure: Option<String>,
    },
    /// A task of the account that a bot asked for has ended.
    TaskEnded {
        /// Which task.
        task: TaskId,
        /// How.
        state: TaskState,
        /// Why it failed.
        reason: Option<String>,
    },
    /// A timer of the bot's came due, or one of its schedules did.
    Timer {
        /// The timer's name, or `schedule:` and the schedule's.
        id: String,
        /// What was set with it.
        payload: String,
    },
    /// Anything else, by the client's name for it.
    Other(String),
}

/// A message that came in, or that the account itself sent elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Message {
    /// The message's own id.
    pub id: String,
    /// The group, or the other person: where to answer.
    pub conversation: String,
    /// Who wrote it.
    pub author: String,
    /// The author's name as far as it is known.
    pub author_name: String,
    /// Some when it was said in a group.
    pub group: Option<String>,
    /// Everybody who is mentioned.
    pub mentions: Vec<String>,
    /// The account itself wrote it.
    pub outgoing: bool,
    /// What it holds.
    pub content: Content,
}

/// What a message holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Content {
    /// Words.
    Text(String),
    /// A picture.
    Image(File),
    /// Spoken words.
    Voice(File),
    /// A film.
    Video(File),
    /// Any other file.
    Document(File),
    /// A sticker, emoji or GIF.
    Sticker(File),
    /// A link with a preview.
    Link(Link),
    /// An invitation to join a group.
    GroupInvitation {
        /// What to give back to accept it.
        url: String,
        /// The headline.
        title: String,
        /// The text below.
        description: String,
    },
    /// A mini program's card.
    MiniProgram {
        /// The headline, when it is known.
        title: String,
        /// The card as XML.
        xml: String,
        /// The picture on it.
        cover: Option<File>,
    },
    /// Somebody's contact card.
    Card {
        /// Whom, as far as the card tells.
        user: User,
        /// The card as XML.
        xml: Option<String>,
    },
    /// Money.
    Transfer {
        /// What to give back to accept it.
        id: String,
        /// `offered`, `accepted`, or the client's own word.
        state: String,
    },
    /// A grey line written by the service.
    Notice(String),
    /// A message was taken back.
    Recalled(String),
    /// Anything else, as the client's JSON.
    Raw(String),
}

/// A file, with what is known before its bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    /// What the client calls it; empty when it keeps none.
    pub id: String,
    /// The name its sender gave it.
    pub name: Option<String>,
    /// Its type.
    pub mime: Option<String>,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// Where to read the bytes.
    pub url: Option<String>,
}

/// A link with a preview.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Link {
    /// The headline.
    pub title: String,
    /// The text below.
    pub description: String,
    /// Where it leads.
    pub url: String,
    /// The picture beside it.
    pub thumbnail_url: Option<String>,
    /// The app that shared it (Openwx).
    pub app_name: Option<String>,
}

/// Somebody wants to be a friend.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FriendRequest {
    /// What to give back to accept it. Opaque outside of the edge that made it.
    pub ticket: String,
    /// Who, as far as the request tells.
    pub user: User,
    /// What the person wrote.
    pub greeting: String,
    /// How the person found the account.
    pub source: String,
}

impl Default for Message {
    fn default() -> Self {
        Self {
            id: String::new(),
            conversation: String::new(),
            author: String::new(),
            author_name: String::new(),
            group: None,
            mentions: Vec::new(),
            outgoing: false,
            content: Content::Text(String::new()),
        }
    }
}

impl Happening {
    /// The conversation that it belongs to: the group, or the other person.
    pub fn conversation(&self) -> Option<&str> {
        match self {
            Self::Message(message) => Some(&message.conversation),
            Self::FriendRequest(request) => Some(&request.user.id),
            Self::FriendAdded { user, .. } | Self::UserInfo { user, .. } => Some(&user.id),
            Self::FriendRemoved(user) | Self::FriendChecked { user, .. } => Some(user),
            Self::GroupJoined(group) => Some(&group.id),
            Self::GroupLeft(group)
            | Self::GroupRenamed { group, .. }
            | Self::MembersChanged { group, .. } => Some(group),
            Self::Login(_)
            | Self::Logout(_)
            | Self::MembersReported(_)
            | Self::ContactsReported { .. }
            | Self::ContactsUpdated(_)
            | Self::FileReady { .. }
            | Self::TaskEnded { .. }
            | Self::Timer { .. }
            | Self::Other(_) => None,
        }
    }
}

impl Event {
    /// The conversation that an answer to this event goes to.
    pub fn answers_to(&self) -> Option<&str> {
        match &self.what {
            Happening::Message(message) => Some(&message.conversation),
            _ => None,
        }
    }

    /// True for what the account itself wrote: a bot that answers such messages
    /// talks to itself until WeChat bans the account.
    pub fn is_own_message(&self) -> bool {
        matches!(&self.what, Happening::Message(message) if message.outgoing)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use serde_json::json;

    use super::*;

    #[test]
    fn what_happened_is_written_with_what_matters_only() {
        let text = json!({"message": {"author": "wxid_bob", "content": {"text": "hello"}}});
        let Happening::Message(message) = serde_json::from_value(text).unwrap() else {
            unreachable!("a message was written");
        };
        assert_eq!(message.content, Content::Text("hello".to_owned()));
        assert_eq!((message.author.as_str(), message.group), ("wxid_bob", None));
        for written in [
            json!({"login": {"id": "wxid_a"}}),
            json!({"friend-request": {"ticket": "t", "greeting": "it is me"}}),
            json!({"members-changed": {"group": "g", "joined": ["a"], "left": []}}),
            json!({"other": "report_of_tomorrow"}),
        ] {
            let what: Happening = serde_json::from_value(written.clone()).unwrap();
            let again = serde_json::to_value(&what).unwrap();
            assert_eq!(
                serde_json::from_value::<Happening>(again).unwrap(),
                what,
                "{written}"
            );
        }
    }

    #[test]
    fn what_is_unknown_is_named() {
        for (written, word) in [
            (json!({"mesage": {}}), "mesage"),
            (json!({"message": {"txt": "hello"}}), "txt"),
            (json!({"message": {"content": {"song": "la"}}}), "song"),
        ] {
            let problem = serde_json::from_value::<Happening>(written).unwrap_err();
            assert!(problem.to_string().contains(word), "{problem}");
        }
    }
}
