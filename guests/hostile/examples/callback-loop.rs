//! Decides about the callback, and never comes to an end with a login.
use std::hint::black_box;
use wxhost_sdk::{
    Error,
    callback::{Callback, LoginAttempt, LoginDecision},
};

wxhost_sdk::callback!(Endless);

struct Endless;

impl Callback for Endless {
    fn login(_: LoginAttempt) -> Result<LoginDecision, Error> {
        loop {
            black_box(());
        }
    }
}
