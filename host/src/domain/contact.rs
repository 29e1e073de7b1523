//! Whom an account knows: friends, groups and their members, public accounts.

use serde::{Deserialize, Serialize};

/// A person's sex as the person set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sex {
    /// Not set or not reported.
    #[default]
    Unknown,
    /// Male.
    Male,
    /// Female.
    Female,
}

/// Where a person says to live. Empty where nothing is known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Region {
    /// Country, as the client writes it.
    pub country: String,
    /// Province.
    pub province: String,
    /// City.
    pub city: String,
}

/// A person or a public account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The id to write to.
    pub id: String,
    /// The name the person chose.
    #[serde(default)]
    pub nickname: String,
    /// The name the account gave the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    /// The searchable account name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_name: Option<String>,
    /// The person's sex.
    #[serde(default)]
    pub sex: Sex,
    /// Where the person says to live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// The address of the person's picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    /// The line under the name (Openwx).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// Whether the person is a friend, when the client said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_friend: Option<bool>,
}

impl User {
    /// A person of whom nothing but the id is known.
    pub fn unknown(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            ..Self::default()
        }
    }

    /// The name to show: what the account calls the person, else the person's own.
    pub fn display_name(&self) -> &str {
        match &self.remark {
            Some(remark) if !remark.is_empty() => remark,
            _ => &self.nickname,
        }
    }
}

/// A person as a member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Who.
    pub user: User,
    /// The name set for this group only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_nickname: Option<String>,
}

impl Member {
    /// The name that the group shows.
    pub fn display_name(&self) -> &str {
        match &self.group_nickname {
            Some(name) if !name.is_empty() => name,
            _ => self.user.display_name(),
        }
    }
}

/// A group, without its members.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The id to write to.
    pub id: String,
    /// The group's name; may be empty.
    #[serde(default)]
    pub name: String,
    /// Who owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// How many members, as the client said.
    #[serde(default)]
    pub member_count: u32,
    /// The address of the group's picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
}

/// Which kind of contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContactKind {
    /// A friend.
    User,
    /// A group.
    Group,
    /// A public account.
    Official,
}

impl ContactKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::User, Self::Group, Self::Official];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Official => "official",
        }
    }
}

/// Somebody or something that the account can write to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Contact {
    /// A friend.
    User(User),
    /// A group.
    Group(Group),
    /// A public account.
    Official(User),
}

impl Contact {
    /// The id to write to.
    pub fn id(&self) -> &str {
        match self {
            Self::User(user) | Self::Official(user) => &user.id,
            Self::Group(group) => &group.id,
        }
    }

    /// Which kind.
    pub fn kind(&self) -> ContactKind {
        match self {
            Self::User(_) => ContactKind::User,
            Self::Group(_) => ContactKind::Group,
            Self::Official(_) => ContactKind::Official,
        }
    }

    /// True when a name, remark or account name contains the (lower case) text.
    pub fn matches(&self, lower_case: &str) -> bool {
        let hit = |name: &str| name.to_lowercase().contains(lower_case);
        match self {
            Self::Group(group) => hit(&group.name),
            Self::User(user) | Self::Official(user) => {
                hit(&user.nickname)
                    || user.remark.as_deref().is_some_and(hit)
                    || user.account_name.as_deref().is_some_and(hit)
            }
        }
    }
}
