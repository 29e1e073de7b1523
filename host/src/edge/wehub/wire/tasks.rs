//! The tasks that WeHub carries out (section 5), made of actions.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::units::{Unit, units};
use crate::domain::{
    Action, ClientKind,
    action::{Refused, Segment},
};

/// What task 14 has reported: friends 1, groups 2, public accounts 4.
const ALL_CONTACTS: u32 = 7;

/// A task as it is sent: `{"task_type": …, "task_dict": {…}}`. Made by [`task`].
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct WireTask<'a>(Form<'a>);

#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum Form<'a> {
    Ours { task_type: u32, task_dict: Dict<'a> },
    AsGiven(&'a RawValue),
}

/// The fields of a task, in the order of the protocol page.
#[derive(Debug, Clone)]
struct Dict<'a>(Vec<(&'static str, Value<'a>)>);

#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum Value<'a> {
    Number(u32),
    Text(&'a str),
    Made(String),
    Texts(&'a [String]),
    Mentions(Vec<&'a str>),
    Units(Vec<Unit<'a>>),
}

impl Serialize for Dict<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a Option<String>> for Value<'a> {
    fn from(text: &'a Option<String>) -> Self {
        Self::Text(text.as_deref().unwrap_or(""))
    }
}

impl<'a> From<&'a Vec<String>> for Value<'a> {
    fn from(texts: &'a Vec<String>) -> Self {
        Self::Texts(texts)
    }
}

/// Says whether an account driven by WeHub can take this on. What passes here,
/// [`task`] converts: refuse the rest before it is queued.
pub fn check(action: &Action) -> Result<(), Refused> {
    action.check(ClientKind::Wehub)?;
    task(action).map(|_| ())
}

/// The task for an action. Fails only for what [`Action::check`] refuses, for a
/// friend request's ticket that WeHub never made, and for raw JSON that is no
/// task: [`check`] finds all three.
pub fn task(action: &Action) -> Result<WireTask<'_>, Refused> {
    match action {
        Action::Raw { json } => raw_task(json),
        Action::Send {
            conversation,
            segments,
        } => send(conversation, segments),
        Action::AcceptFriend { ticket } => accept_friend(ticket),
        Action::StartLogin { login } => Ok(made(
            200,
            [("qrcode_session_id", Value::Text(login.as_str()))],
        )),
        _ => group_task(action)
            .or_else(|| contact_task(action))
            .or_else(|| tag_task(action))
            .map_or_else(|| unsupported("do that"), Ok),
    }
}

fn made<'a, const N: usize>(
    task_type: u32,
    task_dict: [(&'static str, Value<'a>); N],
) -> WireTask<'a> {
    WireTask(Form::Ours {
        task_type,
        task_dict: Dict(task_dict.into()),
    })
}

/// Both fields about mentions are always there, so that nothing rests on what a
/// client takes their absence for.
fn send<'a>(conversation: &'a String, segments: &'a [Segment]) -> Result<WireTask<'a>, Refused> {
    let message = units(segments)?;
    let at_style = u32::from(!message.mentions.is_empty());
    let dict = [
        ("wxid_to", conversation.into()),
        ("msg_list", Value::Units(message.units)),
        ("at_list", Value::Mentions(message.mentions)),
        ("at_style", Value::Number(at_style)),
    ];
    Ok(made(1, dict))
}

/// The ticket is what reports.rs made of a request: `["v1","v2"]`.
fn accept_friend(ticket: &str) -> Result<WireTask<'_>, Refused> {
    match serde_json::from_str::<(String, String)>(ticket) {
        Ok((v1, v2)) => Ok(made(13, [("v1", Value::Made(v1)), ("v2", Value::Made(v2))])),
        Err(_) => invalid("ticket", "is not the ticket of a friend request"),
    }
}

/// Tasks about groups, files and money.
fn group_task(action: &Action) -> Option<WireTask<'_>> {
    use Action as A;
    Some(match action {
        A::Kick { group, user } => made(2, [("room_wxid", group.into()), ("wxid", user.into())]),
        A::Invite { group, user, add } => {
            let flag = Value::Number(u32::from(*add));
            let (group, user) = (group.into(), user.into());
            made(3, [("room_wxid", group), ("wxid", user), ("flag", flag)])
        }
        A::RefreshGroups { groups } => made(4, [("room_wxid_list", groups.into())]),
        A::RenameMe { group, name } => made(
            7,
            [("room_wxid", group.into()), ("room_nickname", name.into())],
        ),
        A::LeaveGroup { group } => made(8, [("room_wxid", group.into())]),
        A::Announce { group, text } => {
            made(10, [("room_wxid", group.into()), ("msg", text.into())])
        }
        A::CreateGroup { name: None, users } => made(17, [("member_list", users.into())]),
        A::RenameGroup { group, name } => made(
            18,
            [("room_wxid", group.into()), ("room_name", name.into())],
        ),
        A::AcceptInvitation { url } => made(19, [("invite_url", url.into())]),
        _ => return None,
    })
}

/// Tasks about people, their files and their money.
fn contact_task(action: &Action) -> Option<WireTask<'_>> {
    use Action as A;
    Some(match action {
        A::AddFriend {
            user,
            group,
            greeting,
        } => {
            let (group, user) = (group.into(), user.into());
            made(
                5,
                [
                    ("room_wxid", group),
                    ("wxid", user),
                    ("msg", greeting.into()),
                ],
            )
        }
        A::Remark { user, name } => made(6, [("wxid", user.into()), ("remark_name", name.into())]),
        A::Download { file } => made(9, [("file_index", file.into())]),
        A::AcceptTransfer { sender, transfer } => made(
            11,
            [
                ("wxid_from", sender.into()),
                ("transferid", transfer.into()),
            ],
        ),
        A::RemoveFriend { user } => made(12, [("wxid_delete", user.into())]),
        A::RefreshContacts => made(14, [("flag_report_contact", Value::Number(ALL_CONTACTS))]),
        A::CheckFriend { user } => made(15, [("wxid", user.into())]),
        A::RefreshUser { user } => made(16, [("wxid", user.into())]),
        _ => return None,
    })
}

fn tag_task(action: &Action) -> Option<WireTask<'_>> {
    use Action as A;
    let (tag, users, op_code) = match action {
        A::AddTag { tag, users } => (tag, users.as_slice(), 1),
        A::RemoveTag { tag, users } => (tag, users.as_slice(), 2),
        A::DeleteTag { tag } => (tag, [].as_slice(), 3),
        A::RenameTag { tag, to } => {
            return Some(made(
                101,
                [("old_tag_name", tag.into()), ("new_tag_name", to.into())],
            ));
        }
        _ => return None,
    };
    let dict = [
        ("tag_name", tag.into()),
        ("wxid_list", Value::Texts(users)),
        ("op_code", Value::Number(op_code)),
    ];
    Some(made(100, dict))
}

/// What a task has to be for WeHub to take it for one.
#[derive(Deserialize)]
struct TaskShape<'a> {
    task_type: i64,
    #[serde(borrow)]
    task_dict: &'a RawValue,
}

fn raw_task(json: &str) -> Result<WireTask<'_>, Refused> {
    let given = as_given("json", json)?;
    match serde_json::from_str::<TaskShape<'_>>(given.get()) {
        // What these two upload is taken only if the host knows that it was asked for.
        Ok(TaskShape { task_type: 9, .. }) => invalid("json", "task 9 is the action `download`"),
        Ok(TaskShape { task_type: 200, .. }) => {
            invalid("json", "task 200 is for POST /api/v1/logins")
        }
        Ok(shape) if shape.task_dict.get().starts_with('{') => Ok(WireTask(Form::AsGiven(given))),
        _ => invalid(
            "json",
            "needs a whole number `task_type` and an object `task_dict`",
        ),
    }
}

/// Somebody's JSON object, to be passed on as it is.
pub(super) fn as_given<'a>(field: &'static str, json: &'a str) -> Result<&'a RawValue, Refused> {
    match serde_json::from_str::<&RawValue>(json) {
        Ok(given) if given.get().starts_with('{') => Ok(given),
        _ => invalid(field, "is no JSON object"),
    }
}

pub(super) fn invalid<T>(field: &'static str, problem: &str) -> Result<T, Refused> {
    Err(Refused::Invalid {
        field,
        problem: problem.to_owned(),
    })
}

pub(super) fn unsupported<T>(what: &'static str) -> Result<T, Refused> {
    Err(Refused::Unsupported {
        client: ClientKind::Wehub,
        what,
    })
}
