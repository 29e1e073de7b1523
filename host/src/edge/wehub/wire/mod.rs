//! WeHub's JSON: a callback body becomes domain values, domain values become
//! an answer. Pure: no HTTP, no store, no clock.
//!
//! Liberal when reading: every field but `action` may be missing, null or of a
//! neighbouring type, and what is unknown survives as it came. Strict when
//! writing: exactly the fields and types that the protocol page shows.

mod answers;
mod contacts;
mod envelope;
mod messages;
mod reports;
mod request;
mod tasks;
mod units;
mod xml;

#[cfg(test)]
mod tests;

pub(crate) use answers::{
    WebSocketOffer, code, common_ack, login_ack, login_refusal, logout_ack, own_ack, pull_task_ack,
    refusal, upload_file_ack,
};
pub(crate) use envelope::{parse, sender};
pub(crate) use request::{Incoming, LoginRequest, Report, Request};
pub(crate) use tasks::{WireTask, check, task};
