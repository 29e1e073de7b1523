//! JSON that is pasted over many lines: collected until it is whole, rather than said to the
//! bot line by line.

use serde::de::IgnoredAny;

use super::line::Line;

/// How large what is pasted may be, as a fixture in a file.
pub const PASTE_MAX_BYTES: usize = super::FIXTURE_MAX_BYTES as usize;

/// What a line is.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// By itself, or the end of what was pasted.
    Line(Line),
    /// More has to come.
    More,
    /// What was pasted is given up; then there may be something to do.
    GivenUp(Line),
}

/// What was pasted so far.
#[derive(Debug, Default)]
pub struct Paste {
    text: String,
    /// It is larger than may be: the rest is read, and dropped.
    is_too_large: bool,
    /// How many brackets are open.
    depth: i64,
    in_string: bool,
    is_escaped: bool,
}

impl Paste {
    /// Whether more has to come.
    pub fn is_under_way(&self) -> bool {
        !self.text.is_empty()
    }

    /// Takes a line as it was read, with its line break.
    pub fn take(&mut self, text: &str) -> Heard {
        if !self.is_under_way() {
            return match begins(text) {
                false => Heard::Line(Line::read(text)),
                true => {
                    self.add(text);
                    Heard::More
                }
            };
        }
        // A very long line comes in pieces.
        let begins_line = self.is_too_large || self.text.ends_with('\n');
        let trimmed = text.trim();
        if begins_line && (trimmed.is_empty() || trimmed.starts_with('/')) {
            // No line of JSON begins so.
            *self = Self::default();
            return Heard::GivenUp(Line::read(text));
        }
        self.add(text);
        match self.depth {
            1.. => Heard::More,
            _ => Heard::Line(self.whole()),
        }
    }

    fn add(&mut self, text: &str) {
        for c in text.chars() {
            self.follow(c);
        }
        self.is_too_large |= self.text.len() + text.len() > PASTE_MAX_BYTES;
        if !self.is_too_large {
            self.text.push_str(text);
        }
    }

    /// Follows the brackets. What is no JSON may mislead it: then serde says what is wrong.
    fn follow(&mut self, c: char) {
        if std::mem::take(&mut self.is_escaped) {
            return;
        }
        match c {
            '\\' => self.is_escaped = self.in_string,
            '"' => self.in_string = !self.in_string,
            // No text of JSON goes on in the next line: it has no end.
            '\n' => self.in_string = false,
            '{' | '[' if !self.in_string => self.depth += 1,
            '}' | ']' if !self.in_string => self.depth -= 1,
            _ => {}
        }
    }

    fn whole(&mut self) -> Line {
        let Self {
            text, is_too_large, ..
        } = std::mem::take(self);
        match is_too_large {
            true => Line::Wrong(format!(
                "what was pasted is larger than {} MiB: put it into a file, and say less of it",
                PASTE_MAX_BYTES / (1024 * 1024)
            )),
            false => Line::Json(text),
        }
    }
}

/// Whether this is the begin of JSON that goes on. What is wrong already does not.
fn begins(text: &str) -> bool {
    let is_open = || {
        let read = serde_json::from_str::<IgnoredAny>(text);
        read.is_err_and(|error| error.is_eof())
    };
    text.trim_start().starts_with('{') && is_open()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    /// What becomes of these lines.
    fn heard(paste: &mut Paste, text: &str) -> Vec<Heard> {
        let lines = text.split_inclusive('\n');
        lines.map(|line| paste.take(line)).collect()
    }

    #[test]
    fn lines_that_belong_together_are_one() {
        let text = "{\n  \"a\": \"}\\\"{\",\n\t\"b\": [1, {}]\n}\n";
        let mut paste = Paste::default();
        let mut heard = heard(&mut paste, text);
        let last = heard.pop();
        assert_eq!(heard, [Heard::More, Heard::More, Heard::More]);
        assert_eq!(last, Some(Heard::Line(Line::Json(text.to_owned()))));
        assert_eq!(
            paste.take("hello\n"),
            Heard::Line(Line::Say("hello".into()))
        );
    }

    #[test]
    fn what_is_no_json_is_told_at_once() {
        let mut paste = Paste::default();
        for text in ["{hello}\n", "{\"a\": 1} x\n", "{\"a\": 1}\n"] {
            let json = Line::Json(text.trim().to_owned());
            assert_eq!(paste.take(text), Heard::Line(json), "{text}");
        }
    }

    #[test]
    fn an_empty_line_or_a_command_gives_up() {
        for (text, then) in [
            ("\n", Line::Empty),
            (" /cancel \n", Line::Cancel),
            ("/quit\n", Line::Quit),
        ] {
            let mut paste = Paste::default();
            assert_eq!(paste.take("{ \"a\":\n"), Heard::More);
            assert!(paste.is_under_way());
            assert_eq!(paste.take(text), Heard::GivenUp(then));
            assert!(!paste.is_under_way());
        }
    }

    #[test]
    fn what_is_too_large_is_read_to_its_end_and_refused() {
        let mut paste = Paste::default();
        assert_eq!(paste.take("{\"a\": [\n"), Heard::More);
        let line = format!("\"{}\",\n", "x".repeat(1024 * 1024));
        for _ in 0..17 {
            assert_eq!(paste.take(&line), Heard::More);
        }
        assert!(paste.text.len() <= PASTE_MAX_BYTES);
        assert_eq!(paste.take("1]\n"), Heard::More);
        let last = paste.take("}\n");
        let Heard::Line(Line::Wrong(why)) = &last else {
            unreachable!("{last:?}");
        };
        assert!(why.contains("16 MiB"), "{why}");
    }

    #[test]
    fn a_line_in_pieces_is_one() {
        let mut paste = Paste::default();
        assert_eq!(paste.take("{\"a\": \"x"), Heard::More);
        // Within a text, this is neither a command nor the end.
        assert_eq!(paste.take("/y"), Heard::More);
        let whole = Line::Json("{\"a\": \"x/y\"}\n".to_owned());
        assert_eq!(paste.take("\"}\n"), Heard::Line(whole));
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(|it| json!(it)),
            any::<i64>().prop_map(|it| json!(it)),
            "\\PC*|[\\\\\"{}\\[\\]/]*".prop_map(|it| json!(it)),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(|it| json!(it)),
                prop::collection::btree_map(".*", inner, 0..4)
                    .prop_map(|it| Value::Object(it.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_object_is_whole_at_its_last_line(
            fields in prop::collection::btree_map("\\PC*", json_value(), 1..4),
        ) {
            let value = Value::Object(fields.into_iter().collect::<Map<_, _>>());
            let text = serde_json::to_string_pretty(&value).unwrap() + "\n";
            let mut heard = heard(&mut Paste::default(), &text);
            let last = heard.pop();
            prop_assert!(heard.iter().all(|it| *it == Heard::More), "{heard:?}");
            prop_assert_eq!(last, Some(Heard::Line(Line::Json(text))));
        }

        #[test]
        fn whatever_is_typed_is_heard(lines in prop::collection::vec("\\PC*\n?", 0..20)) {
            let mut paste = Paste::default();
            for line in lines {
                paste.take(&line);
            }
        }
    }
}
