//! Decides about the callback with something of its own to say at every question,
//! and tells in the key-value store and back what it was asked.
use wxhost_sdk::{
    Error,
    callback::{
        Admission, Answer, Callback, Exits, LoginAttempt, LoginDecision, LogoutNotice, UnknownCall,
    },
    kv,
};

wxhost_sdk::callback!(Talkative);

struct Talkative;

impl Callback for Talkative {
    /// Refuses who says a name that begins with "no", with what it knows of the
    /// attempt; fills its store for one called "hoarder"; lets all others report
    /// everything.
    fn login(attempt: LoginAttempt) -> Result<LoginDecision, Error> {
        let LoginAttempt { listed, known, .. } = attempt;
        if attempt.nickname.starts_with("no") {
            let count = kv::increment("refused", 1)?;
            return Ok(LoginDecision::Refuse(format!(
                "refused {count}: listed {listed}, known {known}, from {}",
                attempt.local_ips.join(" ")
            )));
        }
        if attempt.nickname == "hoarder" {
            return hoard();
        }
        let report_contact = attempt.nickname.strip_prefix("bits ");
        Ok(LoginDecision::Admit(Admission {
            report_contact: report_contact.map(str::parse).transpose()?,
            websocket: Some(false),
        }))
    }

    /// WeHub goes, WeChat stays.
    fn logout(_: LogoutNotice) -> Result<Option<Exits>, Error> {
        Ok(Some(Exits {
            exit_client: true,
            exit_wechat: false,
        }))
    }

    fn unknown_action(call: UnknownCall) -> Result<Option<Answer>, Error> {
        Ok((call.action != "report_for_the_bot").then(|| Answer {
            error_code: 7,
            error_reason: format!("{} of {}", call.action, call.account),
            data: r#"{"seen": true}"#.to_owned(),
        }))
    }
}

/// Writes until the store takes no more, and refuses with how far it came.
fn hoard() -> Result<LoginDecision, Error> {
    let value = "x".repeat(60_000);
    for number in 0.. {
        let stored = kv::get("hoarded")?.unwrap_or_default();
        if let Err(error) = kv::set(&format!("hoard-{stored}{number}"), &value) {
            kv::set("hoarded", &format!("{stored}h"))?;
            return Ok(LoginDecision::Refuse(format!("{number}: {error}")));
        }
    }
    Ok(LoginDecision::admit())
}
