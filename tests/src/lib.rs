//! What the tests of wxhost are made of: the real binary as a child process,
//! simulated WeHub clients that speak its protocol, and a load generator.
//!
//! Nothing in here knows the host's code: it is held to its protocol pages and
//! its HTTP interface alone.

#![allow(
    clippy::indexing_slicing,
    reason = "a field that a JSON value does not have reads as null"
)]

pub mod chat;
pub mod component;
mod error;
pub mod guests;
pub mod host;
pub mod http;
pub mod load;
pub mod openwx;
pub mod poll;
pub mod site;
pub mod wehub;

pub use error::{Context, Error, Result};
pub use host::Host;
pub use site::Site;
pub use wehub::{Ack, WehubClient};
