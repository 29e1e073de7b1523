//! What carries out an action: calls of the client's API (section 4).

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;
use serde_json::Value;

use super::media;
use crate::domain::{
    Action, ClientKind,
    action::{Refused, Segment, is_group},
};

/// What the clients take for everybody.
const EVERYBODY: &str = "@all";

/// What may take long: WeChat is asked, one request after the other, or something is
/// waited for. So does whatever sends.
const SLOW: [&str; 14] = [
    "accept_friend_request",
    "check_event",
    "consult",
    "create_group",
    "get_avatar",
    "invite_friend",
    "kick_group_member",
    "make_friend",
    "revoke_message",
    "set_friend_markname",
    "set_group_displayname",
    "set_markname",
    "stick",
    "upload_media",
];

/// Whether the client may take long to answer at this path below `/openwx/`.
pub(crate) fn is_slow(path: &str) -> bool {
    SLOW.contains(&path) || path.starts_with("send_")
}

/// What carrying out an action takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Work<'a> {
    /// These calls, in order, up to the first that fails.
    Calls(Vec<Call>),
    /// Reading all contacts.
    ReadContacts,
    /// Reading the members of these groups.
    ReadMembers(&'a [String]),
    /// Fetching the file that the client keeps here.
    FetchFile(&'a str),
    /// Fetching the picture that this call answers with.
    FetchPicture(Call),
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// Below `/openwx/`.
    pub path: Cow<'static, str>,
    /// What goes into the form.
    pub parameters: Vec<(Cow<'static, str>, String)>,
    /// The client may take long: it spaces what it sends, or asks the service.
    pub slow: bool,
    /// Whether its answer says by a code how it went. Else any answer will do.
    pub coded: bool,
}

impl Call {
    fn new<const N: usize>(path: &'static str, parameters: [(&'static str, &str); N]) -> Self {
        let own = |(name, value): (_, &str)| (Cow::Borrowed(name), value.to_owned());
        Self {
            path: path.into(),
            parameters: parameters.map(own).into(),
            slow: is_slow(path),
            coded: true,
        }
    }

    /// One whose answer is what was asked for.
    pub fn asking(path: &'static str) -> Self {
        Self {
            coded: false,
            ..Self::new(path, [])
        }
    }
}

/// Asks who is logged in.
pub(crate) fn user_info() -> Call {
    Call::asking("get_user_info")
}

/// Says whether an account driven by Openwx can take this on. What passes here,
/// [`work`] converts: refuse the rest before it is queued.
pub(crate) fn check(action: &Action) -> Result<(), Refused> {
    action.check(ClientKind::Openwx)?;
    work(action, |_| None).map(drop)
}

/// Whom an action mentions: their names are needed to carry it out.
pub(crate) fn mentioned(action: &Action) -> Vec<&str> {
    let segments = match action {
        Action::Send { segments, .. } => segments.as_slice(),
        _ => &[],
    };
    let mentioned = segments.iter().filter_map(|segment| match segment {
        Segment::Mention(user) => Some(user.as_str()),
        _ => None,
    });
    mentioned.collect()
}

/// What carries out an action. `name_of` knows how a group shows somebody. Fails
/// only for what [`Action::check`] refuses, for a friend request's ticket that no
/// client of this kind made, and for raw JSON that is no call: [`check`] finds all
/// three.
pub(crate) fn work<'a>(
    action: &'a Action,
    name_of: impl Fn(&str) -> Option<String>,
) -> Result<Work<'a>, Refused> {
    let call = match action {
        Action::Send {
            conversation,
            segments,
        } => return send(conversation, segments, name_of).map(Work::Calls),
        Action::Download { file } => return Ok(Work::FetchFile(file)),
        Action::FetchAvatar { user, group } => {
            return Ok(Work::FetchPicture(picture(user, group.as_deref())));
        }
        Action::RefreshContacts => return Ok(Work::ReadContacts),
        Action::RefreshGroups { groups } => return Ok(Work::ReadMembers(groups)),
        Action::AcceptFriend { ticket } => accept_friend(ticket)?,
        Action::Raw { json } => raw(json)?,
        Action::CreateGroup { name, users } => create_group(name.as_deref(), users)?,
        _ => simple(action).map_or_else(|| unsupported("do that"), Ok)?,
    };
    Ok(Work::Calls(vec![call]))
}

/// What is one call with the action's own fields.
fn simple(action: &Action) -> Option<Call> {
    use Action as A;
    Some(match action {
        A::Recall { message } => Call::new("revoke_message", [("id", message)]),
        A::Stick { conversation, on } => {
            let op = if *on { "1" } else { "0" };
            Call::new("stick", [("id", conversation), ("op", op)])
        }
        A::Invite { group, user, .. } => {
            Call::new("invite_friend", [("id", group), ("friends", user)])
        }
        A::Kick {
            group: Some(group),
            user,
        } => Call::new("kick_group_member", [("id", group), ("members", user)]),
        A::RenameGroup { group, name } => Call::new(
            "set_group_displayname",
            [("id", group), ("new_displayname", name)],
        ),
        A::Remark { user, name } => {
            Call::new("set_markname", [("id", user), ("new_markname", name)])
        }
        A::AddFriend { user, greeting, .. } => {
            Call::new("make_friend", [("id", user), ("verify", greeting)])
        }
        _ => return None,
    })
}

fn create_group(name: Option<&str>, users: &[String]) -> Result<Call, Refused> {
    if users.iter().any(|user| user.contains(',')) {
        return invalid("users", "an id with a comma can't be told to the client");
    }
    let mut call = Call::new("create_group", [("friends", &users.join(","))]);
    if let Some(name) = name {
        call.parameters
            .push(("displayname".into(), name.to_owned()));
    }
    Ok(call)
}

fn picture(user: &str, group: Option<&str>) -> Call {
    let mut call = Call::new("get_avatar", [("id", user)]);
    if let Some(group) = group {
        call.parameters.push(("group_id".into(), group.to_owned()));
    }
    Call {
        coded: false,
        ..call
    }
}

/// The ticket is what the friend request said (see `events`).
fn accept_friend(ticket: &str) -> Result<Call, Refused> {
    match serde_json::from_str::<[String; 3]>(ticket) {
        Ok([id, displayname, ticket]) => Ok(Call::new(
            "accept_friend_request",
            [
                ("id", &id),
                ("displayname", &displayname),
                ("ticket", &ticket),
            ],
        )),
        Err(_) => invalid("ticket", "is not from a friend request of this client"),
    }
}

/// Words and mentions that follow each other are one text; everything else is a
/// call of its own, so that it is known what went out when one fails.
fn send(
    conversation: &str,
    segments: &[Segment],
    name_of: impl Fn(&str) -> Option<String>,
) -> Result<Vec<Call>, Refused> {
    if conversation == EVERYBODY {
        return invalid(
            "conversation",
            "means everybody to the client: name one conversation",
        );
    }
    let mut calls = Vec::new();
    for run in segments.chunk_by(|a, b| is_wording(a) && is_wording(b)) {
        match run {
            [first, ..] if is_wording(first) => {
                let text = wording(run, &name_of);
                calls.push(message(conversation, "content", &text));
            }
            files => {
                for file in files {
                    let Some(url) = file.url() else {
                        return unsupported("send that");
                    };
                    check_media("url", url)?;
                    calls.push(message(conversation, "media_path", url));
                }
            }
        }
    }
    Ok(calls)
}

fn is_wording(segment: &Segment) -> bool {
    matches!(segment, Segment::Text(_) | Segment::Mention(_))
}

/// Whose name is not known is mentioned by id.
fn wording(run: &[Segment], name_of: impl Fn(&str) -> Option<String>) -> String {
    let mut text = String::new();
    for segment in run {
        match segment {
            Segment::Text(words) => text += words,
            Segment::Mention(user) => {
                let name = name_of(user).unwrap_or_else(|| user.clone());
                text += &format!("@{name} ");
            }
            _ => {}
        }
    }
    text
}

fn message(conversation: &str, what: &'static str, value: &str) -> Call {
    let path = match is_group(conversation) {
        true => "send_group_message",
        false => "send_friend_message",
    };
    Call::new(path, [("id", conversation), (what, value)])
}

/// A call in the client's own words.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    path: String,
    #[serde(default)]
    params: BTreeMap<String, Value>,
}

fn raw(json: &str) -> Result<Call, Refused> {
    let Ok(Raw { path, params }) = serde_json::from_str(json) else {
        return invalid(
            "json",
            "needs a text `path` and, if any, an object `params`",
        );
    };
    let odd = |c: char| !(c.is_ascii_lowercase() || c == '_');
    if path.is_empty() || path.contains(odd) {
        return invalid("json", "`path` has lower case letters and _ only");
    }
    if path == "stop_client" {
        return invalid("json", "clients are stopped with DELETE /api/v1/clients");
    }
    let mut parameters = Vec::with_capacity(params.len());
    for (name, value) in params {
        let value = plain(value)?;
        if name == "media_path" {
            check_media("json", &value)?;
        }
        parameters.push((name.into(), value));
    }
    Ok(Call {
        path: path.into(),
        parameters,
        // Nobody knows what it does.
        slow: true,
        coded: false,
    })
}

fn plain(value: Value) -> Result<String, Refused> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(bit) => Ok(u8::from(bit).to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            invalid("json", "`params` takes texts, numbers and booleans only")
        }
    }
}

fn check_media(field: &'static str, url: &str) -> Result<(), Refused> {
    media::check(url).or_else(|problem| invalid(field, problem))
}

fn invalid<T>(field: &'static str, problem: &str) -> Result<T, Refused> {
    Err(Refused::Invalid {
        field,
        problem: problem.to_owned(),
    })
}

fn unsupported<T>(what: &'static str) -> Result<T, Refused> {
    Err(Refused::Unsupported {
        client: ClientKind::Openwx,
        what,
    })
}
