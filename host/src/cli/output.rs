//! What people read: tables, facts, times and sizes.
//!
//! Names in here come from strangers, so that nothing of them reaches the
//! terminal that could steer it.

use std::{
    env,
    io::{self, IsTerminal},
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use unicode_width::UnicodeWidthStr;

use crate::domain::{Millis, TaskState};

/// The space between two columns.
const GAP: usize = 2;

/// What a command prints to stdout, and how the process ends.
#[derive(Debug, PartialEq)]
pub struct Printed {
    /// The text, with its last line break.
    pub text: String,
    /// How the process ends.
    pub code: ExitCode,
}

impl Printed {
    /// Something that went well.
    pub fn ok(text: impl Into<String>) -> Self {
        let mut text = text.into();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        Self {
            text,
            code: ExitCode::SUCCESS,
        }
    }
}

/// How text is set off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// As it is.
    Plain,
    /// Headings.
    Bold,
    /// Went well.
    Green,
    /// Still open.
    Yellow,
    /// Went badly.
    Red,
}

impl Paint {
    /// How a task's state is set off.
    pub fn of(state: TaskState) -> Self {
        match state {
            TaskState::Done => Self::Green,
            TaskState::Queued | TaskState::HandedOut => Self::Yellow,
            TaskState::Failed | TaskState::Expired => Self::Red,
            TaskState::Unknown | TaskState::Cancelled => Self::Plain,
        }
    }

    fn code(self) -> Option<&'static str> {
        Some(match self {
            Self::Plain => return None,
            Self::Bold => "1",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Red => "31",
        })
    }
}

/// Whether colours are in place, and what time it is.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    colours: bool,
    now_ms: Millis,
}

impl Style {
    /// For what goes to stdout now. <https://no-color.org> is respected.
    pub fn of_stdout() -> Self {
        let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            colours: io::stdout().is_terminal() && !unwanted,
            now_ms: now.map_or(0, |now| Millis::try_from(now.as_millis()).unwrap_or(0)),
        }
    }

    /// Without colours, at this time.
    pub fn plain(now_ms: Millis) -> Self {
        Self {
            colours: false,
            now_ms,
        }
    }

    /// Whether colours are in place.
    pub fn colours(&self) -> bool {
        self.colours
    }

    /// The text set off like this.
    pub fn paint(&self, text: &str, paint: Paint) -> String {
        match paint.code().filter(|_| self.colours && !text.is_empty()) {
            Some(code) => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            None => text.to_owned(),
        }
    }

    /// How long ago that was.
    pub fn ago(&self, at_ms: Millis) -> String {
        let span = span(self.now_ms.abs_diff(at_ms) / 1000);
        match span {
            None => "just now".to_owned(),
            Some(span) if at_ms > self.now_ms => format!("in {span}"),
            Some(span) => format!("{span} ago"),
        }
    }

    /// For how long something goes on that began then.
    pub fn age(&self, at_ms: Millis) -> String {
        let span = span(self.now_ms.saturating_sub(at_ms) / 1000);
        span.unwrap_or_else(|| "0 s".to_owned())
    }

    /// How long ago that was, and when in UTC.
    pub fn when(&self, at_ms: Millis) -> String {
        match timestamp(at_ms) {
            Some(time) => format!("{} ({time})", self.ago(at_ms)),
            None => self.ago(at_ms),
        }
    }

    /// When that was in UTC, for what is told as it happens.
    pub fn time(&self, at_ms: Millis) -> String {
        timestamp(at_ms).map_or_else(|| self.ago(at_ms), |time| time.to_string())
    }
}

fn timestamp(at_ms: Millis) -> Option<jiff::Timestamp> {
    let second = i64::try_from(at_ms / 1000).ok()?;
    jiff::Timestamp::from_second(second).ok()
}

fn span(seconds: u64) -> Option<String> {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    Some(match seconds {
        0 => return None,
        _ if seconds < MINUTE => format!("{seconds} s"),
        _ if seconds < HOUR => format!("{} min", seconds / MINUTE),
        _ if seconds < 2 * DAY => format!("{} h", seconds / HOUR),
        _ => format!("{} days", seconds / DAY),
    })
}

/// A size in the unit that suits it.
pub fn size(bytes: u64) -> String {
    const KIB: u64 = 1024;
    const MIB: u64 = 1024 * KIB;
    let tenths = |unit: u64| format!("{}.{}", bytes / unit, bytes % unit * 10 / unit);
    match bytes {
        _ if bytes < KIB => format!("{bytes} bytes"),
        _ if bytes < MIB => format!("{} KiB", tenths(KIB)),
        _ => format!("{} MiB", tenths(MIB)),
    }
}

/// The text without anything that could steer a terminal.
pub fn harmless(text: &str) -> String {
    let steers = |c: char| {
        // Control characters, and those that turn the direction of writing.
        c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.replace(steers, "\u{fffd}")
}

/// The text as one word of a shell that means nothing else there, for commands
/// that people copy.
pub fn quoted(text: &str) -> String {
    format!("'{}'", harmless(text).replace('\'', r"'\''"))
}

/// Like [`quoted`], but without quotes where they change nothing.
pub fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.@".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => quoted(text),
    }
}

/// One cell of a table.
#[derive(Debug)]
pub struct Cell {
    text: String,
    paint: Paint,
}

impl Cell {
    /// A cell that is set off.
    pub fn new(text: impl AsRef<str>, paint: Paint) -> Self {
        Self {
            text: harmless(text.as_ref()),
            paint,
        }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Paint::Plain)
    }
}

/// Rows under headings, in aligned columns.
#[derive(Debug)]
pub struct Table<const N: usize> {
    rows: Vec<[Cell; N]>,
}

impl<const N: usize> Table<N> {
    /// A table with these headings.
    pub fn new(headings: [&str; N]) -> Self {
        Self {
            rows: vec![headings.map(|heading| Cell::new(heading, Paint::Bold))],
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: [Cell; N]) {
        self.rows.push(cells);
    }

    /// The table as text, a line each row.
    pub fn show(&self, style: &Style) -> String {
        let mut widths = [0; N];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.text.width().max(*width);
            }
        }
        self.rows
            .iter()
            .map(|row| line(row, &widths, style))
            .collect()
    }
}

fn line(row: &[Cell], widths: &[usize], style: &Style) -> String {
    let mut line = String::new();
    let mut owed = 0;
    for (cell, width) in row.iter().zip(widths) {
        // Spaces are owed until there is something to align: none end a line.
        if !cell.text.is_empty() {
            line.push_str(&" ".repeat(owed));
            line.push_str(&style.paint(&cell.text, cell.paint));
            owed = 0;
        }
        owed += width - cell.text.width() + GAP;
    }
    line.push('\n');
    line
}

/// What is known of one thing: a label and a value each line. A value of
/// several lines goes on below itself.
pub fn facts(facts: &[(&str, String)], style: &Style) -> String {
    let width = facts.iter().map(|(label, _)| label.width()).max();
    let column = width.unwrap_or(0) + GAP;
    let mut text = String::new();
    for (label, value) in facts {
        let mut lines = value.lines().map(harmless);
        let pad = " ".repeat(column - label.width());
        let first = lines.next().unwrap_or_default();
        let label = style.paint(label, Paint::Bold);
        text.push_str(format!("{label}{pad}{first}").trim_end());
        text.push('\n');
        for line in lines {
            text.push_str(format!("{}{line}", " ".repeat(column)).trim_end());
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_795_175_313_000;

    #[test]
    fn columns_are_aligned_by_what_the_eye_sees() {
        let mut table = Table::new(["ID", "NAME", "STATE"]);
        table.row(["wxid_a".into(), "小明".into(), "online".into()]);
        table.row(["b".into(), "".into(), "offline".into()]);
        table.row(["c".into(), "Bob".into(), "".into()]);
        assert_eq!(
            table.show(&Style::plain(NOW)),
            "ID      NAME  STATE\n\
             wxid_a  小明  online\n\
             b             offline\n\
             c       Bob\n"
        );
    }

    #[test]
    fn colours_do_not_move_columns() {
        let style = Style {
            colours: true,
            now_ms: NOW,
        };
        let mut table = Table::new(["A", "B"]);
        table.row([Cell::new("done", Paint::Green), "x".into()]);
        assert_eq!(
            table.show(&style),
            "\u{1b}[1mA\u{1b}[0m     \u{1b}[1mB\u{1b}[0m\n\u{1b}[32mdone\u{1b}[0m  x\n"
        );
    }

    #[test]
    fn strangers_names_do_not_steer_the_terminal() {
        let cell = Cell::from("a\u{1b}[2Jb\nc\u{202e}d");
        assert_eq!(cell.text, "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d");
    }

    #[test]
    fn a_strangers_name_is_one_word_of_a_command() {
        assert_eq!(quoted("wxid_a"), "'wxid_a'");
        let evil = quoted("a'; rm -r ~\u{1b}\u{7}\n");
        assert_eq!(evil, "'a'\\''; rm -r ~\u{fffd}\u{fffd}\u{fffd}'");
        for (text, expected) in [
            ("1@chatroom", "1@chatroom"),
            ("gh_x-1.2", "gh_x-1.2"),
            ("", "''"),
            ("$(x)", "'$(x)'"),
            ("a`x`", "'a`x`'"),
            ("a'b", r"'a'\''b'"),
        ] {
            assert_eq!(word(text), expected);
        }
    }

    #[test]
    fn times_are_told_from_now() {
        let style = Style::plain(NOW);
        for (seconds, told) in [
            (0, "just now"),
            (1, "1 s ago"),
            (59, "59 s ago"),
            (60, "1 min ago"),
            (3 * 60 + 59, "3 min ago"),
            (60 * 60, "1 h ago"),
            (47 * 60 * 60, "47 h ago"),
            (48 * 60 * 60, "2 days ago"),
        ] {
            assert_eq!(style.ago(NOW - seconds * 1000), told);
        }
        // Two machines' clocks differ.
        assert_eq!(style.ago(NOW + 90_000), "in 1 min");
        assert_eq!(style.when(NOW - 60_000), "1 min ago (2026-11-20T11:47:33Z)");
        assert_eq!(style.when(Millis::MAX), style.ago(Millis::MAX));
    }

    #[test]
    fn sizes_have_the_unit_that_suits_them() {
        assert_eq!(size(0), "0 bytes");
        assert_eq!(size(1023), "1023 bytes");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(12 * 1024 * 1024 - 1), "11.9 MiB");
    }

    #[test]
    fn a_fact_of_several_lines_goes_on_below_itself() {
        let text = facts(
            &[
                ("id", "a".into()),
                ("imports", "x\ny".into()),
                ("none", String::new()),
            ],
            &Style::plain(NOW),
        );
        assert_eq!(text, "id       a\nimports  x\n         y\nnone\n");
    }
}
