//! What the domain needs from outside: a store, a place for files, a runtime for
//! bots, and what starts and watches native clients.

mod blobs;
mod clients;
mod logs;
mod runtime;
mod store;
mod vault;

pub use blobs::{Blob, BlobError, BlobReader, BlobWriter, Blobs, Room, Stored};
pub use clients::*;
pub use logs::{CallLog, Followed, GuestLogs, LogError, LogFollower, LogQuery};
pub use runtime::{
    Answer, Ask, Call, CallError, CallFailure, ClientFault, Component, ComponentError, CutShort,
    Effects, EndpointEffects, InUse, Runtime, Visit, VisitEnd, VisitError, Visited,
};
pub use store::*;
#[cfg(test)]
pub(crate) use vault::NoVault;
pub use vault::{Place, Vault, VaultError};

use super::{Action, ClientKind, action::Refused};

/// Says whether an action can be put into the words of this kind of client.
/// The edge knows; service and runtime ask before they take an action on.
pub type ActionCheck = fn(ClientKind, &Action) -> Result<(), Refused>;
