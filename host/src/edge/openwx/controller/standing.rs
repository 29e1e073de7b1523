//! What is said of a client that has no process to ask.

use crate::domain::{
    Millis,
    client::{ClientStatus, Phase},
};

/// Why a client has no process, or soon has none, and since when; nothing for one
/// that can be asked.
pub(super) fn why_gone(client: &ClientStatus) -> Option<String> {
    let since = time(client.since_ms);
    let what = match client.phase {
        Phase::Spawned | Phase::Listening | Phase::Running => return None,
        Phase::Stopping => format!("is being stopped since {since}"),
        Phase::Waiting if client.is_awaited() => format!("waits for its start since {since}"),
        Phase::Waiting => format!("has ended at {since}"),
        Phase::Failed => format!("has failed at {since}"),
        Phase::Stopped => format!("has stopped at {since}"),
    };
    let reason = client.reason.as_deref().or_else(|| {
        let end = client.last_end.as_ref();
        end.map(|end| end.reason.as_str())
    });
    let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
    Some(format!("{what}{reason}{}", what_follows(client)))
}

fn what_follows(client: &ClientStatus) -> String {
    match (client.phase, client.next_start_ms) {
        (Phase::Waiting, Some(at_ms)) => format!(" and is started again at {}", time(at_ms)),
        (Phase::Failed, _) => " and is not started again: start it with start_client".to_owned(),
        _ => String::new(),
    }
}

fn time(at_ms: Millis) -> String {
    let second = i64::try_from(at_ms / 1000).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_second(second) {
        Ok(time) => time.to_string(),
        Err(_) => format!("{at_ms} ms"),
    }
}
