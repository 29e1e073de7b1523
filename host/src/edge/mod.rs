//! Where the outside speaks to wxhost: one module per peer.

pub mod auth;
pub mod body;
pub mod control;
pub mod error;
pub mod linger;
pub mod server;
pub mod wehub;
