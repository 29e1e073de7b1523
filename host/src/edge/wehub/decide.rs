//! What a component bound to the callback decides, in WeHub's terms, and what
//! the settings say where it decides nothing.

use bytes::Bytes;

use super::{
    admission::{App, CallbackFailure, Refusal},
    callback::{Callback, action_name},
    wire::{self, Incoming, LoginRequest, Report, Request, code},
};
use crate::{
    domain::{
        AccountId, Happening, LoginId,
        callback::{self, Exits, LoginAttempt, LoginDecision, LogoutNotice, UnknownCall},
    },
    service::{Asked, Error, Reporter},
};

/// How much of a component's reason for a refusal is shown.
const REASON_MAX_CHARS: usize = 500;

/// What the answer to an admitted login says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// The bits of `flag_report_contact` (section 2).
    pub report_contact: u32,
    /// Whether a WebSocket is offered.
    pub websocket: bool,
}

/// A login that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    code: i32,
    reason: String,
}

impl Refused {
    /// The answer that says so.
    pub fn answer(&self, signature: Option<&str>) -> Bytes {
        wire::login_refusal(signature, self.code, &self.reason)
    }
}

impl Callback {
    /// Whether the sender may ask for this at all. Logins of known customers may
    /// when a component decides about them.
    pub(super) async fn admit(&self, request: &Request) -> Result<Result<&App, Refusal>, Error> {
        let (appid, account) = (&request.appid, &request.account);
        match request.action {
            Incoming::Login(_) if self.0.service.has_callback() => {
                Ok(self.0.config.app(appid).ok_or(Refusal::UnknownAppid))
            }
            _ => {
                let action = action_name(&request.action);
                self.trusts(action, appid, account).await
            }
        }
    }

    /// Whether what the account sends is taken apart whatever its size. When a
    /// component decides about logins, having come in is what counts, not the list.
    pub(super) async fn trusts(
        &self,
        action: &str,
        appid: &str,
        account: &AccountId,
    ) -> Result<Result<&App, Refusal>, Error> {
        if action == "login" || !self.0.service.has_callback() {
            return Ok(self.0.config.admit(appid, account));
        }
        let Some(app) = self.0.config.app(appid) else {
            return Ok(Err(Refusal::UnknownAppid));
        };
        let is_in = match action {
            // Told again whether to end, should the answer have been lost.
            "logout" => self.0.service.is_known(account, appid).await?,
            _ => self.0.service.has_session(account, appid).await?,
        };
        Ok(is_in.then_some(app).ok_or(Refusal::NotLoggedIn))
    }

    /// Whether an account may log in, and what it is told.
    pub(super) async fn decide_login(
        &self,
        login: &LoginRequest,
        report: &Report,
        reporter: &Reporter,
    ) -> Result<Result<Admission, Refused>, Error> {
        let (appid, account) = sender(report, reporter);
        let listed = self.0.config.admit(&appid, &account).map(drop);
        let attempt = LoginAttempt {
            appid: appid.clone(),
            account: account.clone(),
            nickname: login.nickname.clone(),
            alias: login.alias.clone(),
            client_version: login.client_version.clone(),
            machine_id: login.machine_id.clone(),
            client_session: reporter.client_session.clone(),
            local_ips: login.local_ips.clone(),
            qr_session: false,
            listed: listed.is_ok(),
            known: false,
        };
        let asked = self
            .0
            .service
            .decide_login(attempt, qr_login(login))
            .await?;
        let decided = match (asked, self.0.config.callback_failure) {
            (Asked::Decided(decision), _) => of_decision(decision),
            (Asked::Failed, CallbackFailure::Refuse) => Err(undecided()),
            (Asked::Nobody, _) | (Asked::Failed, CallbackFailure::Policy) => listed
                .map(|()| callback::Admission::default())
                .map_err(|refusal| not_listed(refusal, &appid, &account)),
        };
        if let Err(refused) = &decided {
            tracing::info!(appid, %account, reason = refused.reason, "a login was refused");
        }
        Ok(decided.map(|admission| self.with_settings(admission)))
    }

    fn with_settings(&self, admission: callback::Admission) -> Admission {
        let settings = &self.0.config;
        Admission {
            report_contact: admission.report_contact.unwrap_or(settings.report_contact),
            websocket: admission.websocket.unwrap_or(settings.websocket),
        }
    }

    /// What ends on the client's machine. A component that can't be asked changes
    /// nothing about the logout.
    pub(super) async fn decide_logout(
        &self,
        report: &Report,
        reporter: &Reporter,
    ) -> Result<Exits, Error> {
        let (appid, account) = sender(report, reporter);
        let by_settings = self.0.config.exits(&appid);
        let facts = &report.event.facts;
        let fact = |name: &str| {
            let found = facts.iter().find(|(known, _)| *known == name);
            found.map_or_else(String::new, |(_, value)| value.clone())
        };
        let notice = LogoutNotice {
            appid,
            account,
            client_version: fact("client-version"),
            machine_id: fact("machine-id"),
            client_session: reporter.client_session.clone(),
        };
        match self.0.service.decide_logout(notice).await {
            Ok(Asked::Decided(Some(exits))) => Ok(exits),
            Ok(Asked::Decided(None) | Asked::Failed | Asked::Nobody) | Err(Error::Busy { .. }) => {
                Ok(by_settings)
            }
            Err(error) => Err(error),
        }
    }

    /// The answer to an unknown action; none to go on as with any report.
    pub(super) async fn decide_unknown(
        &self,
        report: &Report,
        reporter: &Reporter,
    ) -> Result<Option<Bytes>, Error> {
        let Happening::Other(action) = &report.event.what else {
            return Ok(None);
        };
        let (appid, account) = sender(report, reporter);
        let call = UnknownCall {
            appid,
            account,
            action: action.clone(),
            body: report.event.raw.clone(),
        };
        match self.0.service.decide_unknown(call).await? {
            Asked::Decided(Some(answer)) => Ok(Some(wire::own_ack(
                answer.error_code,
                &answer.error_reason,
                &answer.data,
            ))),
            Asked::Decided(None) | Asked::Failed | Asked::Nobody => Ok(None),
        }
    }
}

fn sender(report: &Report, reporter: &Reporter) -> (String, AccountId) {
    let appid = reporter.appid.clone().unwrap_or_default();
    (appid, report.event.account.clone())
}

/// The QR login that it names, if that can be one of ours.
fn qr_login(login: &LoginRequest) -> Option<LoginId> {
    LoginId::try_from(login.qr_session_id.as_deref()?).ok()
}

fn of_decision(decision: LoginDecision) -> Result<callback::Admission, Refused> {
    match decision {
        LoginDecision::Admit(admission) => Ok(admission),
        LoginDecision::Refuse(reason) if reason.is_empty() => Err(Refused {
            code: code::NOT_ADMITTED,
            reason: "this account may not log in here".to_owned(),
        }),
        LoginDecision::Refuse(reason) => Err(Refused {
            code: code::NOT_ADMITTED,
            reason: reason.chars().take(REASON_MAX_CHARS).collect(),
        }),
    }
}

fn undecided() -> Refused {
    Refused {
        code: code::BUSY,
        reason: "nobody could decide about this login: try again later".to_owned(),
    }
}

fn not_listed(refusal: Refusal, appid: &str, account: &AccountId) -> Refused {
    Refused {
        code: code::NOT_ADMITTED,
        reason: refusal.reason(appid, account),
    }
}
