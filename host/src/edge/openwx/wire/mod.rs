//! The clients' JSON: a report becomes domain values, an action becomes calls, an
//! answer becomes an outcome. Pure: no HTTP, no store, no clock.
//!
//! Liberal when reading: any field may be missing, null or of a neighbouring type,
//! and what is unknown survives as it came.

mod calls;
mod events;
mod media;
mod messages;
mod objects;
mod outcome;
mod report;

#[cfg(test)]
mod tests;

pub(crate) use calls::{Call, Work, check, is_slow, mentioned, user_info, work};
pub(crate) use events::put_group;
pub(crate) use objects::{everybody, friends, groups, own_user};
pub(crate) use outcome::outcome;
pub(crate) use report::{About, Report, Told, parse};
