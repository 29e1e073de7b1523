//! Where the outside speaks to wxhost: one module per peer.

pub(crate) mod auth;
pub(crate) mod body;
pub(crate) mod control;
pub(crate) mod endpoints;
pub(crate) mod error;
mod gallery;
mod hop;
pub(crate) mod keyfile;
pub(crate) mod linger;
pub(crate) mod loopback;
pub(crate) mod loose;
pub mod metrics;
pub(crate) mod openwx;
pub(crate) mod server;
#[cfg(test)]
mod tests;
mod unread;
pub(crate) mod websocket;
pub(crate) mod wehub;
