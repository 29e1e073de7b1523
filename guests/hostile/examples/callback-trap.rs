//! Decides about the callback: writes the key "never", then traps at every
//! question but that of a trial.
#![allow(clippy::panic, reason = "what this guest is for")]
use wxhost_sdk::{
    Error,
    callback::{Answer, Callback, Exits, LoginAttempt, LoginDecision, LogoutNotice, UnknownCall},
    kv,
};

wxhost_sdk::callback!(Trapping);

struct Trapping;

impl Callback for Trapping {
    fn login(_: LoginAttempt) -> Result<LoginDecision, Error> {
        kv::set("never", "to be seen")?;
        panic!("trapped on purpose")
    }

    fn logout(_: LogoutNotice) -> Result<Option<Exits>, Error> {
        panic!("trapped on purpose")
    }

    fn unknown_action(call: UnknownCall) -> Result<Option<Answer>, Error> {
        // So that it can be deployed.
        if call.action == "trial" {
            return Ok(None);
        }
        panic!("trapped on purpose")
    }
}
