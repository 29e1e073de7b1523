//! Chat bots for wxhost.
//!
//! A bot is a function that is called once per event, each time in a fresh
//! sandbox. What it asks for (messages, writes) is collected while it runs and
//! made durable in one step after it returned `Ok`; if it fails, nothing of
//! that call happens.
//!
//! ```
//! use wxhost_sdk::prelude::*;
//!
//! wxhost_sdk::bot!(on_event);
//!
//! fn on_event(event: Event) -> Result<(), Error> {
//!     if event.text() == Some("ping") {
//!         chat::reply("pong")?;
//!     }
//!     Ok(())
//! }
//! ```
//!
//! Keep nothing in globals: it is gone with the next event, or may be, where the version was
//! deployed with `--instances per-account`. Use [`kv`].
#![warn(missing_docs)]

#[doc(hidden)]
pub mod bindings;
pub mod callback;
pub mod config;
pub mod endpoint;
mod error;
mod helpers;
pub mod kv;
pub mod log;
mod run;
pub mod timers;
pub mod web;

pub use bindings::wxhost::bot::{chat, contacts, context, friends, groups, model, tags};
pub use error::Error;
pub use helpers::{now, random, send_text};
#[doc(hidden)]
pub use run::run;

/// The interfaces of other packages, as they are.
pub mod wasi {
    pub use crate::bindings::wasi::clocks::wall_clock;
    pub use crate::bindings::wasi::config::store as config;
    pub use crate::bindings::wasi::keyvalue::{atomics, batch, store as keyvalue};
    pub use crate::bindings::wasi::logging::logging;
    pub use crate::bindings::wasi::random::random;
}

/// All that a bot usually needs: `use wxhost_sdk::prelude::*`.
pub mod prelude {
    pub use crate::model::{
        Contact, Content, Event, Failure, FileSource, Group, Happening, Member, Message, Segment,
        User,
    };
    pub use crate::{
        Error, chat, config, contacts, context, friends, groups, kv, log, now, random, send_text,
        tags, timers,
    };
}

/// Makes a function the bot: `bot!(on_event)`, where `on_event` takes an
/// [`Event`](model::Event) and returns `Result<(), Error>`. Once per crate, and
/// the crate's type must be `cdylib`.
#[macro_export]
macro_rules! bot {
    ($on_event:path) => {
        // First, so that a wrong signature is reported as such.
        const _: fn($crate::model::Event) -> ::core::result::Result<(), $crate::Error> = $on_event;
        const _: () = {
            struct Bot;
            impl $crate::bindings::exports::wxhost::bot::handler::Guest for Bot {
                fn on_event(
                    event: $crate::model::Event,
                ) -> ::core::result::Result<(), ::std::string::String> {
                    $crate::run($on_event, event)
                }
            }
            // Other systems' linkers don't take the name that it is exported
            // under, and there is nobody to call it.
            #[cfg(target_family = "wasm")]
            const _: () = {
                $crate::bindings::__export_handler! { Bot with_types_in $crate::bindings }
            };
        };
    };
}
