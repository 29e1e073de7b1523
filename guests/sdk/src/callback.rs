//! Components that decide about the callback itself: who may log in, what ends
//! after a logout, what is answered to an unknown action.
//!
//! ```
//! use wxhost_sdk::{Error, callback::{Callback, LoginAttempt, LoginDecision}};
//!
//! wxhost_sdk::callback!(Friends);
//!
//! struct Friends;
//!
//! impl Callback for Friends {
//!     fn login(attempt: LoginAttempt) -> Result<LoginDecision, Error> {
//!         Ok(match attempt.listed || attempt.qr_session {
//!             true => LoginDecision::admit(),
//!             false => LoginDecision::Refuse("ask us first".to_owned()),
//!         })
//!     }
//! }
//! ```
//!
//! [`kv`](crate::kv), [`config`](crate::config), [`log`](crate::log) and
//! [`now`](crate::now) work as in a bot; all accounts share one store. What acts for
//! an account (`chat` and the like) is not there: such a component does not link.

use crate::error::Error;

pub use crate::bindings::callback::exports::wxhost::callback::handler::{
    Admission, Answer, Exits, LoginAttempt, LoginDecision, LogoutNotice, UnknownCall,
};

/// What decides. Whatever is left out is as the host's settings say.
pub trait Callback {
    /// Decides whether an account may log in.
    fn login(attempt: LoginAttempt) -> Result<LoginDecision, Error>;

    /// Decides what ends when an account has logged out.
    fn logout(_notice: LogoutNotice) -> Result<Option<Exits>, Error> {
        Ok(None)
    }

    /// Answers an action that the host does not know, or leaves it to the bot.
    fn unknown_action(_call: UnknownCall) -> Result<Option<Answer>, Error> {
        Ok(None)
    }
}

impl LoginDecision {
    /// Lets it log in, with all else as the host's settings say.
    pub fn admit() -> Self {
        Self::Admit(Admission {
            report_contact: None,
            websocket: None,
        })
    }
}

/// Makes a type the callback component: `callback!(Gatekeeper)`, where `Gatekeeper`
/// implements [`Callback`](crate::callback::Callback). Once per crate, and the
/// crate's type must be `cdylib`.
#[macro_export]
macro_rules! callback {
    ($callback:ty) => {
        // First, so that a missing implementation is reported as such.
        const _: fn(
            $crate::callback::LoginAttempt,
        )
            -> ::core::result::Result<$crate::callback::LoginDecision, $crate::Error> =
            <$callback as $crate::callback::Callback>::login;
        const _: () = {
            use $crate::callback::Callback as Decides;
            struct Component;
            impl $crate::bindings::callback::exports::wxhost::callback::handler::Guest
                for Component
            {
                fn login(
                    attempt: $crate::callback::LoginAttempt,
                ) -> ::core::result::Result<
                    $crate::callback::LoginDecision,
                    ::std::string::String,
                > {
                    $crate::run(<$callback as Decides>::login, attempt)
                }

                fn logout(
                    notice: $crate::callback::LogoutNotice,
                ) -> ::core::result::Result<
                    ::core::option::Option<$crate::callback::Exits>,
                    ::std::string::String,
                > {
                    $crate::run(<$callback as Decides>::logout, notice)
                }

                fn unknown_action(
                    call: $crate::callback::UnknownCall,
                ) -> ::core::result::Result<
                    ::core::option::Option<$crate::callback::Answer>,
                    ::std::string::String,
                > {
                    $crate::run(<$callback as Decides>::unknown_action, call)
                }
            }
            // As with `bot!`.
            #[cfg(target_family = "wasm")]
            const _: () = {
                $crate::bindings::callback::__export_callback! {
                    Component with_types_in $crate::bindings::callback
                }
            };
        };
    };
}
