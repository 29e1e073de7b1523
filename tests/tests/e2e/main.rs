//! The real `wxhost` binary, end to end: simulated WeHub clients on one side,
//! the control API and the CLI on the other.
//!
//! `make guests` and `cargo build -p wxhost` come first; `make test` does both.
#![allow(
    clippy::indexing_slicing,
    reason = "a test that finds no such field may stop"
)]

mod author;
mod backoff;
mod bad_input;
mod callback;
mod cli;
mod cli_logins;
mod cli_versions;
mod config;
mod contacts;
mod control;
mod cookbook;
mod dev;
mod durability;
mod endpoint;
mod endpoint_asks;
mod endpoint_foreign;
mod failing;
mod fixtures;
mod guests;
mod handlers;
mod hostile;
mod instances;
mod invoke;
mod keyvalue;
mod labels;
mod lifecycle;
mod login;
mod messages;
mod metrics;
mod openwx_answers;
mod openwx_bot;
mod openwx_chaos;
mod openwx_clients;
mod openwx_logs;
mod openwx_passing;
mod openwx_seed;
mod openwx_stub;
mod openwx_supervision;
mod pacing;
mod qr_login;
mod replay;
mod schedules;
mod seeing;
mod socket;
mod switching;
mod tasks;
mod timers;
mod traces;
mod uploads;
mod versions;
mod web;
mod web_tls;
