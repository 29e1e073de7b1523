//! Server-sent events, as they come in pieces.

/// The longest event that is read, in bytes: a line of a log is far shorter.
const EVENT_MAX_BYTES: usize = 8 * 1024 * 1024;

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// Its data.
    pub data: String,
}

/// Reads events. What it does not know is passed over: comments, ids, times to wait.
#[derive(Debug, Default)]
pub struct Events {
    rest: Vec<u8>,
    name: String,
    data: String,
}

/// Something that is no event goes on and on.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLong;

impl Events {
    /// The events that are whole with these bytes.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut whole = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.rest.len() + self.data.len() + piece.len() > EVENT_MAX_BYTES {
                return Err(TooLong);
            }
            self.rest.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.rest);
                whole.extend(
                    self.line(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n'])),
                );
            }
        }
        Ok(whole)
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let event = Event {
                name: std::mem::take(&mut self.name),
                data: std::mem::take(&mut self.data),
            };
            return (!event.data.is_empty()).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" if self.data.is_empty() => value.clone_into(&mut self.data),
            "data" => {
                self.data.push('\n');
                self.data.push_str(value);
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_whole_however_they_come() {
        let text =
            ": hello\n\nevent: line\r\ndata: {\"a\":1}\r\n\r\nid: 7\n\ndata: x\ndata: 微\n\n";
        let event = |name: &str, data: &str| Event {
            name: name.to_owned(),
            data: data.to_owned(),
        };
        let expected = vec![event("line", "{\"a\":1}"), event("", "x\n微")];
        assert_eq!(
            Events::default().take(text.as_bytes()),
            Ok(expected.clone())
        );
        let mut slow = Events::default();
        let each = text.bytes().map(|byte| slow.take(&[byte]));
        let all: Result<Vec<_>, _> = each.collect();
        assert_eq!(all.map(|all| all.concat()), Ok(expected));
    }

    proptest::proptest! {
        #[test]
        fn pieces_make_no_difference(
            text in "(event: |data: |:|\\PC|\\n|\\r\\n){0,60}",
            length in 1usize..20,
        ) {
            let mut slow = Events::default();
            let pieces = text.as_bytes().chunks(length);
            let events: Result<Vec<_>, _> = pieces.map(|piece| slow.take(piece)).collect();
            proptest::prop_assert_eq!(
                events.map(|events| events.concat()),
                Events::default().take(text.as_bytes())
            );
        }
    }

    #[test]
    fn what_never_ends_is_not_kept() {
        let mut events = Events::default();
        assert_eq!(events.take(&vec![b'x'; EVENT_MAX_BYTES + 1]), Err(TooLong));
    }
}
