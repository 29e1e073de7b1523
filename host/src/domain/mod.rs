//! What wxhost is about, free of HTTP, WebAssembly, storage engines and the
//! peers' formats: types, rules, and the ports that the outside fills in.
//!
//! Types that people see through the control API and that the store keeps
//! derive serde: this is *our* one canonical form of them. The formats of
//! WeHub and Openwx never appear here.

pub mod account;
pub mod action;
pub mod alarm;
pub mod bucket;
pub mod callback;
pub mod client;
pub mod contact;
pub mod endpoint;
pub mod event;
pub mod file;
pub mod handler;
pub mod id;
pub mod label;
pub mod login;
pub mod pacing;
pub mod ports;
pub mod record;
pub mod replay;
pub mod secret;
pub mod task;
pub mod timer;

pub use account::{Account, ClientKind, Logout, Session};
pub use action::Action;
pub use alarm::{Alarm, AlarmKind};
pub use bucket::{Bucket, Usage};
pub use client::ClientName;
pub use contact::{Contact, ContactKind, Group, Member, User};
pub use event::{Event, Happening, Message};
pub use file::FileRequest;
pub use handler::{Binding, Deployment, Failure, FailureKind, Handler};
pub use id::{AccountId, Digest, EventKey, FailureId, HandlerName, LoginId, TaskId, TaskNumber};
pub use label::{Label, Labelled, Labels};
pub use login::{Login, LoginState};
pub use pacing::Pause;
pub use record::{KeptEvent, Recorded, RecordedEvent, WaitingEvent};
pub use secret::Secret;
pub use task::{Task, TaskState};
pub use timer::{Timer, TimerChange};

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Millis = u64;
