//! What WeHub says and hears, by the fixtures in `testdata/`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod answers;
mod malformed;
mod messages;
mod reports;
mod robust;
mod sessions;
mod tasks;

use std::fmt::Debug;

use bytes::Bytes;

use super::{Incoming, Report, Request, parse};
use crate::domain::{AccountId, Event, Happening};
use crate::edge::loose::BadRequest;
use crate::service::{ContactReport, REPEATED_WITHIN};

/// The account of all fixtures.
const ME: &str = "wxid_p9597egc5j1c21";
const GROUP: &str = "8680025352@chatroom";

macro_rules! fixtures {
    ($($name:literal),* $(,)?) => {
        /// Every fixture by name.
        const FIXTURES: &[(&str, &str)] = &[$(
            ($name, include_str!(concat!("../../testdata/", $name, ".json")))
        ),*];
    };
}

fixtures!(
    "heartbeat-misspelt",
    "login",
    "login-after-qr",
    "login-without-nonce",
    "logout",
    "msg-01-neighbour-types",
    "msg-01-text-group-mention",
    "msg-01-text-own",
    "msg-01-text-private",
    "msg-03-image",
    "msg-10000-notice",
    "msg-34-voice",
    "msg-42-card",
    "msg-43-video",
    "msg-47-emoji",
    "msg-49-group-invitation",
    "msg-49-link",
    "msg-4901-mini-program",
    "msg-4902-transfer-accepted",
    "msg-4902-transfer-offered",
    "msg-4903-file",
    "msg-777-unknown-kind",
    "pull_task",
    "report_contact",
    "report_contact_update",
    "report_friend_add_request",
    "report_friend_removed",
    "report_new_friend",
    "report_new_room",
    "report_room_member_change",
    "report_room_member_info",
    "report_room_removed",
    "report_task_result-done",
    "report_task_result-failed",
    "report_user_info",
    "report_zoom_check_status",
    "unknown-action",
);

fn fixture(name: &str) -> Bytes {
    let (_, text) = FIXTURES.iter().find(|(n, _)| *n == name).expect(name);
    Bytes::from_static(text.as_bytes())
}

fn request(name: &str) -> Request {
    let request = parse(&fixture(name)).expect(name);
    assert_eq!(request.appid, "app-7f3a");
    assert_eq!(request.account, me());
    request
}

fn report(name: &str) -> Report {
    match request(name).action {
        Incoming::Report(report) => {
            assert_eq!(report.event.raw, fixture(name));
            assert_eq!(report.event.account, me());
            report
        }
        other => panic!("{name}: {other:?}"),
    }
}

fn me() -> AccountId {
    ME.try_into().unwrap()
}

/// Compares what is no more than passed on, and so is not made to be compared.
#[track_caller]
fn assert_same<T: Debug>(found: &T, expected: &T) {
    assert_eq!(format!("{found:#?}"), format!("{expected:#?}"));
}

/// A body of this action with this `data`.
fn body(action: &str, data: &str) -> Bytes {
    format!(r#"{{"action":"{action}","appid":"app","wxid":"{ME}","data":{data}}}"#).into()
}

fn try_report(action: &str, data: &str) -> Result<Report, BadRequest> {
    match parse(&body(action, data))?.action {
        Incoming::Report(report) => Ok(report),
        other => panic!("{action}: {other:?}"),
    }
}
