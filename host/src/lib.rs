//! wxhost runs many WeChat accounts, each with a sandboxed bot of its own.
//!
//! Start reading at `app.rs`, which builds the parts and wires them, and at
//! `service/deliver.rs`, which is the way of an event. ARCHITECTURE.md has the
//! diagram and the invariants.

pub mod app;
mod blobs;
pub mod cli;
pub mod config;
pub mod domain;
pub mod edge;
mod files;
pub mod guestlog;
pub mod metrics;
pub mod runtime;
pub mod service;
pub mod store;
pub mod supervisor;
pub mod telemetry;
pub mod vault;
