//! What the clients say and hear, by the bodies of a real one.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod calls;
mod reports;
mod robust;

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::domain::{AccountId, Happening};

fn me() -> AccountId {
    "a1".try_into().unwrap()
}

fn bytes(body: &Value) -> Bytes {
    body.to_string().into()
}

/// The event that a report becomes.
fn told(body: &Value) -> Told {
    match parse(&bytes(body), &me()).unwrap() {
        Report::Told(told) => {
            assert_eq!(told.event.account, me());
            assert_eq!(told.event.raw, bytes(body));
            *told
        }
        other => panic!("{other:?}"),
    }
}

fn event(name: &str, params: Value) -> Value {
    json!({"post_type": "event", "event": name, "params": params})
}

fn happened(name: &str, params: Value) -> Happening {
    told(&event(name, params)).event.what
}

/// As a real client has it.
fn friend_message() -> Value {
    json!({
        "class": "recv", "content": "ping 你好", "format": "text", "id": "777",
        "post_type": "receive_message", "receiver": "我", "receiver_account": "me",
        "receiver_id": "@me", "receiver_markname": "", "receiver_name": "我",
        "receiver_uid": 111, "sender": "好友1", "sender_account": "f1acc",
        "sender_category": "好友", "sender_id": "@f1", "sender_markname": "",
        "sender_name": "好友1", "sender_uid": "222", "time": 1_795_175_313,
        "type": "friend_message"
    })
}

fn with(mut body: Value, fields: Value) -> Value {
    let more = fields.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(more);
    body
}

fn group_message() -> Value {
    let group = json!({
        "type": "group_message", "sender": "群名片", "group": "群1", "group_id": "@@g1",
        "group_name": "群1", "group_uid": "333"
    });
    with(friend_message(), group)
}
