//! Openwx: what tests and the stub client share, and what tests say to a host that
//! runs such clients.

pub mod base64;
pub mod pattern;
