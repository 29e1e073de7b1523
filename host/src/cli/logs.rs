//! The log of a handler, read from the host's API as it grows.

use std::{collections::VecDeque, time::Instant};

use super::{
    client::{Client, Download},
    failure::Failure,
    sse::{Event, Events},
};
use crate::{
    domain::{HandlerName, handler::LogLine},
    edge::control::logs::{LINE, MISSED, Missed},
};

/// What a log that is followed has.
#[derive(Debug, PartialEq)]
pub enum Said {
    /// A line.
    Line(LogLine),
    /// So many lines came faster than they were read.
    Missed(u64),
}

/// Reads a log, and goes on where it was when the host was away.
#[derive(Debug, Default)]
pub struct LogReader {
    /// The order of the last line: the host goes on after it.
    last: Option<u64>,
    /// When the host gave the last sign of itself.
    seen: Option<Instant>,
}

impl LogReader {
    /// Whether there was a line yet.
    pub fn has_begun(&self) -> bool {
        self.last.is_some()
    }

    /// When the host gave the last sign of itself; none before the first.
    pub fn seen(&self) -> Option<Instant> {
        self.seen
    }

    /// Asks for what came after the last line, and for all that comes.
    pub async fn open(
        &self,
        client: &Client,
        handler: &HandlerName,
        query: &[(&str, &str)],
    ) -> Result<Answer, Failure> {
        let after = self.last.map(|last| last.to_string());
        let mut query = query.to_vec();
        query.push(("follow", "true"));
        query.extend(after.as_deref().map(|after| ("after", after)));
        let path = ["handlers", handler.as_str(), "logs"];
        Ok(Answer {
            download: client.events(&path, &query).await?,
            events: Events::default(),
            ready: VecDeque::new(),
        })
    }

    /// The next in this answer; none once the host has ended it.
    pub async fn next(&mut self, answer: &mut Answer) -> Result<Option<Said>, Failure> {
        loop {
            if let Some(said) = answer.ready.pop_front() {
                if let Said::Line(line) = &said {
                    self.last = self.last.max(Some(line.order));
                }
                return Ok(Some(said));
            }
            let Some(bytes) = answer.download.next().await? else {
                return Ok(None);
            };
            self.seen = Some(Instant::now());
            let strange = |why: &str| answer.download.strange(why);
            let whole = answer.events.take(&bytes);
            for event in whole.map_err(|_| strange("an event without an end"))? {
                let said = read(&event).map_err(|error| strange(&error.to_string()))?;
                answer.ready.extend(said);
            }
        }
    }
}

/// What the host sends to somebody who follows.
pub struct Answer {
    download: Download,
    events: Events,
    /// What has come and is not read yet: as much as came in one piece.
    ready: VecDeque<Said>,
}

/// None of what is not known here.
fn read(event: &Event) -> Result<Option<Said>, serde_json::Error> {
    match event.name.as_str() {
        LINE => Ok(Some(Said::Line(serde_json::from_str(&event.data)?))),
        MISSED => {
            let missed: Missed = serde_json::from_str(&event.data)?;
            Ok(Some(Said::Missed(missed.lines)))
        }
        _ => Ok(None),
    }
}

/// Lines that nobody will see.
pub fn missed(lines: u64) -> String {
    match lines {
        1 => "1 line came faster than it was read".to_owned(),
        lines => format!("{lines} lines came faster than they were read"),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn lines_and_what_was_missed_are_read_and_the_rest_is_passed_over() {
        let event = |name: &str, data: &str| Event {
            name: name.to_owned(),
            data: data.to_owned(),
        };
        let line = r#"{"at_ms":1,"order":7,"account":null,"version":2,"event":"msg-1","level":"warn","context":"","text":"a"}"#;
        let Some(Said::Line(line)) = read(&event(LINE, line)).unwrap() else {
            unreachable!("a line was sent");
        };
        assert_eq!((line.order, line.text.as_str()), (7, "a"));
        let missed = read(&event(MISSED, r#"{"lines":3}"#)).unwrap();
        assert_eq!(missed, Some(Said::Missed(3)));
        assert_eq!(read(&event("else", "{}")).unwrap(), None);
        assert!(read(&event(LINE, "{}")).is_err());
    }
}
