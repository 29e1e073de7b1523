//! The answers to WeHub (sections 1, 2 and 7), as JSON. Field order is that
//! of the protocol page: some client may look for text rather than parse.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::tasks::WireTask;
use crate::domain::TaskId;

/// The `error_code` of an answer. The protocol knows 0 alone, for success; the
/// others are this host's, and a client shows them with the `error_reason`.
pub mod code {
    /// Success.
    pub const OK: i32 = 0;
    /// The request is not as the protocol has it. The same never gets better.
    pub const BAD_REQUEST: i32 = 1;
    /// No such `appid` here.
    pub const UNKNOWN_APPID: i32 = 2;
    /// The account may not log in here, or has not.
    pub const NOT_ADMITTED: i32 = 3;
    /// The host has no room for this now: the same can be sent again.
    pub const BUSY: i32 = 4;
    /// The host failed.
    pub const HOST_FAILURE: i32 = 5;
    /// No such task, or it has ended already.
    pub const UNKNOWN_TASK: i32 = 6;
    /// An upload or a QR session that nobody asked for here, or for what has ended.
    pub const NOT_ASKED: i32 = 7;
}

/// Sent if an answer can't be made: none of ours can fail to be, but WeHub stops
/// reporting when it gets no JSON.
const LAST_RESORT: &[u8] =
    br#"{"error_code":5,"error_reason":"no answer could be made","ack_type":"common_ack","data":{"reply_task_list":[]}}"#;

#[derive(Serialize)]
struct Ack<'a, D> {
    error_code: i32,
    error_reason: &'a str,
    ack_type: &'static str,
    data: D,
}

#[derive(Serialize)]
struct UploadAck<'a> {
    error_code: i32,
    error_reason: &'a str,
    ack_type: &'static str,
    file_index: &'a str,
}

/// `{}`, where an answer has nothing to say.
#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct Tasks<'a> {
    reply_task_list: &'a [WireTask<'a>],
}

#[derive(Serialize)]
struct LoginData<'a> {
    signature: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    option: Option<LoginOption>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extension_protocol: Option<Extension<'a>>,
}

#[derive(Serialize)]
struct LoginOption {
    flag_report_contact: u32,
}

#[derive(Serialize)]
struct Extension<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    param: &'a WebSocketOffer,
}

/// Where a client may go on over a WebSocket instead (section 2).
#[derive(Debug, Serialize)]
pub struct WebSocketOffer {
    /// The address.
    pub ws_url: String,
    /// How often the client shall give a sign of life, in s.
    pub heartbeat_interval: u32,
}

#[derive(Serialize)]
struct LogoutData {
    exit_wehub: u8,
    exit_wechat: u8,
}

#[derive(Serialize)]
struct PulledTask<'a> {
    task_id: String,
    task_data: &'a WireTask<'a>,
}

/// Answers any report, a heartbeat and a task's result, with tasks to carry out
/// at once (section 1).
pub fn common_ack(tasks: &[WireTask<'_>]) -> Bytes {
    success(
        "common_ack",
        Tasks {
            reply_task_list: tasks,
        },
    )
}

/// Answers an admitted login (section 2). `signature` is none when the login had
/// no nonce; `report_contact` are the bits of `flag_report_contact`.
pub(crate) fn login_ack(
    signature: Option<&str>,
    report_contact: u32,
    websocket: Option<&WebSocketOffer>,
) -> Bytes {
    let data = LoginData {
        signature: signature.unwrap_or(""),
        option: Some(LoginOption {
            flag_report_contact: report_contact,
        }),
        extension_protocol: websocket.map(|param| Extension {
            kind: "websocket",
            param,
        }),
    };
    success("login_ack", data)
}

/// Refuses a login. Signed all the same: WeHub looks at the signature first
/// (section 2), and would show that as the reason.
pub fn login_refusal(signature: Option<&str>, code: i32, reason: &str) -> Bytes {
    let data = LoginData {
        signature: signature.unwrap_or(""),
        option: None,
        extension_protocol: None,
    };
    ack("login_ack", code, reason, data)
}

/// Answers a logout, and says what ends on the client's machine (section 7):
/// WeHub, and the WeChat process that it drives.
pub(crate) fn logout_ack(exit_wehub: bool, exit_wechat: bool) -> Bytes {
    let data = LogoutData {
        exit_wehub: exit_wehub.into(),
        exit_wechat: exit_wechat.into(),
    };
    success("logout_ack", data)
}

/// Answers an action that this host does not know in a component's words. `data`
/// is a JSON object; a list of tasks is added where it has none, since WeHub
/// looks for one (section 1).
pub(crate) fn own_ack(code: i32, reason: &str, data: &str) -> Bytes {
    let mut fields: BTreeMap<String, &RawValue> = serde_json::from_str(data).unwrap_or_default();
    if let Ok(none) = serde_json::from_str("[]") {
        fields.entry("reply_task_list".to_owned()).or_insert(none);
    }
    ack("common_ack", code, reason, fields)
}

/// Answers a pull: one task at most (section 1).
pub fn pull_task_ack(task: Option<(&TaskId, &WireTask<'_>)>) -> Bytes {
    match task {
        None => success("pull_task_ack", Nothing {}),
        Some((id, task)) => success(
            "pull_task_ack",
            PulledTask {
                task_id: id.to_string(),
                task_data: task,
            },
        ),
    }
}

/// Answers an upload (section 6); `file_index` is empty for QR codes.
pub(crate) fn upload_file_ack(code: i32, reason: &str, file_index: &str) -> Bytes {
    json(&UploadAck {
        error_code: code,
        error_reason: reason,
        ack_type: "upload_file_ack",
        file_index,
    })
}

/// Refuses whatever was asked, with the `ack_type` that belongs to the action,
/// as far as it is known. For logins see [`login_refusal`] too.
pub fn refusal(action: Option<&str>, code: i32, reason: &str) -> Bytes {
    match action {
        Some("login") => login_refusal(None, code, reason),
        Some("logout") => ack("logout_ack", code, reason, Nothing {}),
        Some("pull_task") => ack("pull_task_ack", code, reason, Nothing {}),
        _ => ack(
            "common_ack",
            code,
            reason,
            Tasks {
                reply_task_list: &[],
            },
        ),
    }
}

fn success(ack_type: &'static str, data: impl Serialize) -> Bytes {
    ack(ack_type, code::OK, "", data)
}

fn ack(ack_type: &'static str, code: i32, reason: &str, data: impl Serialize) -> Bytes {
    json(&Ack {
        error_code: code,
        error_reason: reason,
        ack_type,
        data,
    })
}

fn json(answer: &impl Serialize) -> Bytes {
    match serde_json::to_vec(answer) {
        Ok(bytes) => bytes.into(),
        Err(_) => Bytes::from_static(LAST_RESORT),
    }
}
