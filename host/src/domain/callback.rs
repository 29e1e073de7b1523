//! Questions about the callback endpoint itself that a component can decide, and
//! what it may decide: who may log in, what ends after a logout, what is answered
//! to an unknown action. Plain data; "section" means one of WeHub's protocol page.

use bytes::Bytes;

use super::{AccountId, Usage};

/// What the bucket of a callback component may come to. Strangers cause its writes,
/// so it is smaller than a bot's.
pub const BUCKET_MAX: Usage = Usage {
    keys: 10_000,
    bytes: 4 * 1024 * 1024,
};
/// The sum of all bits of `flag_report_contact` (section 2).
const REPORT_CONTACT_MAX: u32 = 7;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// May this account log in?
    Login(LoginAttempt),
    /// What ends, now that this account has logged out?
    Logout(LogoutNotice),
    /// What is answered to this?
    UnknownAction(UnknownCall),
}

/// What was decided. Of the same case as the question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// On a login.
    Login(LoginDecision),
    /// On a logout; none for what the settings say.
    Logout(Option<Exits>),
    /// On an unknown action; none for what happens without a callback component.
    UnknownAction(Option<ActionAnswer>),
}

/// An account wants to log in (section 2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginAttempt {
    /// The customer id, which is known.
    pub appid: String,
    /// The account.
    pub account: AccountId,
    /// The name the person chose.
    pub nickname: String,
    /// The searchable name.
    pub alias: String,
    /// The client's version.
    pub client_version: String,
    /// Which process on which machine.
    pub machine_id: String,
    /// The client's session.
    pub client_session: String,
    /// The client machine's own addresses.
    pub local_ips: Vec<String>,
    /// It came out of a QR login that was asked for here.
    pub qr_session: bool,
    /// The settings would admit it.
    pub listed: bool,
    /// It has logged in here before.
    pub known: bool,
}

/// What becomes of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginDecision {
    /// It may log in.
    Admit(Admission),
    /// It may not, and why.
    Refuse(String),
}

/// What an admitted client is told. None stands for what the settings say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Admission {
    /// The bits of `flag_report_contact` (section 2).
    pub report_contact: Option<u32>,
    /// Whether it is offered a WebSocket.
    pub websocket: Option<bool>,
}

/// An account has logged out (section 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutNotice {
    /// The customer id.
    pub appid: String,
    /// The account.
    pub account: AccountId,
    /// The client's version.
    pub client_version: String,
    /// Which process on which machine.
    pub machine_id: String,
    /// The client's session.
    pub client_session: String,
}

/// What ends on the client's machine after a logout (section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exits {
    /// The client: WeHub.
    pub client: bool,
    /// The WeChat process that it drives.
    pub wechat: bool,
}

/// A report with an action that this host does not know (section 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownCall {
    /// The customer id.
    pub appid: String,
    /// The account.
    pub account: AccountId,
    /// The action's name.
    pub action: String,
    /// The client's JSON, whole. Shared, never copied.
    pub body: Bytes,
}

/// An answer in the client's own words (section 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionAnswer {
    /// 0 for success.
    pub error_code: i32,
    /// Why not.
    pub error_reason: String,
    /// A JSON object.
    pub data: String,
}

impl Verdict {
    /// Says what of it can't be told to a client, and why.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Login(LoginDecision::Admit(admission)) => admission.check(),
            Self::UnknownAction(Some(answer)) => answer.check(),
            Self::Login(LoginDecision::Refuse(_)) | Self::Logout(_) | Self::UnknownAction(None) => {
                Ok(())
            }
        }
    }
}

impl Admission {
    fn check(&self) -> Result<(), String> {
        match self.report_contact {
            Some(bits) if bits > REPORT_CONTACT_MAX => Err(format!(
                "admission.report-contact: 1 friends, 2 groups, 4 public accounts, or a sum \
                 of these, not {bits}"
            )),
            _ => Ok(()),
        }
    }
}

impl ActionAnswer {
    fn check(&self) -> Result<(), String> {
        type Object<'a> = std::collections::BTreeMap<String, &'a serde_json::value::RawValue>;
        match serde_json::from_str::<Object<'_>>(&self.data) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("answer.data: is no JSON object: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(data: &str) -> Verdict {
        Verdict::UnknownAction(Some(ActionAnswer {
            error_code: 0,
            error_reason: String::new(),
            data: data.to_owned(),
        }))
    }

    fn admit(bits: u32) -> Verdict {
        Verdict::Login(LoginDecision::Admit(Admission {
            report_contact: Some(bits),
            websocket: None,
        }))
    }

    #[test]
    fn a_verdict_that_no_client_understands_is_refused_by_field() {
        assert_eq!(admit(7).check(), Ok(()));
        assert!(
            admit(8)
                .check()
                .is_err_and(|it| it.contains("report-contact"))
        );
        assert_eq!(answer(r#"{"a":[1]}"#).check(), Ok(()));
        for data in ["", "[]", "1", "{", r#"{"a":1} x"#] {
            let refused = answer(data).check();
            assert!(refused.is_err_and(|it| it.contains("data")), "{data}");
        }
    }
}
