//! The WeHub callback endpoint: what the protocol page calls the server.

mod admission;
mod callback;
