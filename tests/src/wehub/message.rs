//! Messages that a simulated client reports (protocol page, section 4).

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

/// One message. Reporting it twice is a repeat.
#[derive(Debug, Clone)]
pub struct Message {
    fields: Value,
}

impl Message {
    /// A message from a friend to the account.
    pub fn private(account: &str, friend: &str, kind: u32, more: Value) -> Self {
        Self::new("", friend, account, kind, more)
    }

    /// A message in a group.
    pub fn in_group(group: &str, author: &str, kind: u32, more: Value) -> Self {
        Self::new(group, author, group, kind, more)
    }

    /// A message that the account itself sent to a friend.
    pub fn own(account: &str, friend: &str, kind: u32, more: Value) -> Self {
        Self::new("", account, friend, kind, more)
    }

    fn new(room: &str, from: &str, to: &str, kind: u32, more: Value) -> Self {
        let mut fields = json!({
            "msg_id": next_id(),
            "msg_timestamp": now_ms(),
            "msg_type": kind,
            "room_wxid": room,
            "wxid_from": from,
            "wxid_to": to,
        });
        if let (Some(fields), Value::Object(more)) = (fields.as_object_mut(), more) {
            fields.extend(more);
        }
        Self { fields }
    }

    /// Its `msg_id`.
    pub fn id(&self) -> &str {
        self.fields["msg_id"].as_str().unwrap_or_default()
    }

    /// The key under which the host records it as an event.
    pub fn event_key(&self) -> String {
        format!("msg-{}", self.id())
    }

    /// The data of its report.
    pub fn data(&self) -> Value {
        json!({ "msg": self.fields })
    }
}

/// Ids as WeChat's: 19 digits, never the same twice.
fn next_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // The first id of a process is the time in ns, so that two processes, which
    // may report to the same data, don't meet.
    let _ = NEXT.compare_exchange(
        0,
        now_ms() * 1_000_000,
        Ordering::Relaxed,
        Ordering::Relaxed,
    );
    NEXT.fetch_add(1, Ordering::Relaxed).to_string()
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_19_digits_and_unique() {
        let ids: std::collections::HashSet<_> = (0..1000).map(|_| next_id()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.len() == 19));
    }
}
