//! What a client has printed, as text that does not steer the terminal.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use clap::Args;
use serde::Serialize;

use super::client_name;
use crate::{
    cli::{
        client::{Client, Download},
        failure::Failure,
        handler::encode,
        output::{Printed, harmless},
    },
    domain::ClientName,
    edge::control::clients::LOG_MAX_BYTES,
};

/// How many lines are shown when nobody says.
const LINES_DEFAULT: usize = 100;
/// The least that is fetched for the lines asked for, in bytes: some are long.
const FETCH_MIN_BYTES: u64 = 64 * 1024;
/// How long a line is taken to be, in bytes, when it is decided how much to fetch.
const LINE_BYTES: u64 = 256;
/// The longest line that is waited for while a log is followed, in bytes. What is
/// longer is printed in pieces.
const LINE_MAX_BYTES: usize = 64 * 1024;
/// The pause before a log is followed on.
const PAUSE: Duration = Duration::from_millis(500);

/// `wxhost client log`.
#[derive(Args)]
pub struct LogArgs {
    /// Whose
    #[arg(value_parser = client_name)]
    name: ClientName,
    /// Go on until the client is stopped
    #[arg(short, long, conflicts_with = "json")]
    follow: bool,
    /// How many lines to begin with; of at most the last 1 MiB
    #[arg(long, value_name = "LINES", default_value_t = LINES_DEFAULT)]
    tail: usize,
}

/// Prints it.
pub async fn print(client: &Client, json: bool, args: LogArgs) -> Result<Printed, Failure> {
    let bytes = (args.tail as u64).saturating_mul(LINE_BYTES);
    let bytes = bytes.clamp(FETCH_MIN_BYTES, LOG_MAX_BYTES).to_string();
    let log = client
        .download_query(&path(&args.name), &[("tail", &bytes)])
        .await?;
    let (from, next) = (place(&log, "x-log-from")?, place(&log, "x-log-next")?);
    let log = log.whole(LOG_MAX_BYTES as usize).await?;
    let shown = last_lines(&log, args.tail);
    if json {
        return piece(from + (log.len() - shown.len()) as u64, next, shown).map(Printed::ok);
    }
    let mut out = Lines::of_stdout();
    out.write(shown)?;
    if args.follow {
        follow(client, &args.name, next, &mut out).await?;
    }
    out.end()?;
    Ok(Printed::ok(""))
}

fn path(name: &ClientName) -> [&str; 3] {
    ["clients", name.as_str(), "log"]
}

fn place(log: &Download, header: &str) -> Result<u64, Failure> {
    let told = log.header(header).and_then(|text| text.parse().ok());
    told.ok_or_else(|| log.strange(&format!("a log without {header}")))
}

/// A piece of a log, as JSON.
#[derive(Serialize)]
struct Piece {
    /// Where it begins.
    from: u64,
    /// Where the rest begins.
    next: u64,
    /// What was printed; bytes that are no UTF-8 are replaced.
    text: String,
}

fn piece(from: u64, next: u64, bytes: &[u8]) -> Result<String, Failure> {
    encode(&Piece {
        from,
        next,
        text: String::from_utf8_lossy(bytes).into_owned(),
    })
}

/// The last lines; the one that is not whole yet counts.
fn last_lines(log: &[u8], lines: usize) -> &[u8] {
    let whole = log.strip_suffix(b"\n").unwrap_or(log);
    let mut breaks = whole
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, byte)| **byte == b'\n')
        .map(|(at, _)| at + 1);
    match lines.checked_sub(1) {
        None => &[],
        Some(more) => breaks.nth(more).map_or(log, |at| log.split_at(at).1),
    }
}

/// Until the client is no more. Each answer of the host ends after a while, and the
/// next goes on where it ended.
async fn follow<W: Write>(
    client: &Client,
    name: &ClientName,
    mut next: u64,
    out: &mut Lines<W>,
) -> Result<(), Failure> {
    loop {
        let from = next.to_string();
        let query = [("from", from.as_str()), ("follow", "true")];
        let mut log = match client.follow(&path(name), &query).await {
            Err(failure) if failure.is_not_found() => return Ok(()),
            log => log?,
        };
        let begins = place(&log, "x-log-from")?;
        if begins > next {
            let lost = begins - next;
            eprintln!("{lost} bytes were dropped by the host before they were read");
        }
        next = begins;
        while let Some(bytes) = log.next().await? {
            next += bytes.len() as u64;
            out.write(&bytes)?;
            if out.is_over {
                return Ok(());
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Prints whole lines: what is cut off in the middle of a character is none.
struct Lines<W> {
    out: W,
    /// Whether a terminal reads it, which must not be steered.
    is_terminal: bool,
    rest: Vec<u8>,
    /// The reader has seen enough (`| head`), which is no failure of ours.
    is_over: bool,
}

impl Lines<io::Stdout> {
    fn of_stdout() -> Self {
        Self {
            is_terminal: io::stdout().is_terminal(),
            out: io::stdout(),
            rest: Vec::new(),
            is_over: false,
        }
    }
}

impl<W: Write> Lines<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.rest.extend_from_slice(bytes);
        let end = match self.rest.iter().rposition(|byte| *byte == b'\n') {
            Some(last) => last + 1,
            None if self.rest.len() > LINE_MAX_BYTES => self.rest.len(),
            None => return Ok(()),
        };
        let whole: Vec<u8> = self.rest.drain(..end).collect();
        self.print(&whole)
    }

    /// What comes after the last line break is printed too.
    fn end(&mut self) -> Result<(), Failure> {
        let rest = std::mem::take(&mut self.rest);
        match rest.is_empty() {
            true => Ok(()),
            false => self.print(&rest).and_then(|()| self.print(b"\n")),
        }
    }

    fn print(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let printed = match self.is_terminal {
            true => self.out.write_all(tame(bytes).as_bytes()),
            false => self.out.write_all(bytes),
        };
        match printed.and_then(|()| self.out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.is_over = true,
            printed => printed.map_err(|error| Failure::local("stdout", error))?,
        }
        Ok(())
    }
}

/// The text without what could steer a terminal: colours go, and so does everything
/// else but line breaks and tabs.
fn tame(bytes: &[u8]) -> String {
    let text = without_colours(&String::from_utf8_lossy(bytes));
    let tame = |line: &str| {
        let parts: Vec<String> = line.split('\t').map(harmless).collect();
        parts.join("\t")
    };
    let lines: Vec<String> = text
        .split('\n')
        .map(|line| tame(line.strip_suffix('\r').unwrap_or(line)))
        .collect();
    lines.join("\n")
}

/// Colours are what clients print escape sequences for (ECMA-48, 8.3.117). They
/// would be noise in between.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        match rest.strip_prefix('m') {
            Some(rest) => plain.push_str(rest),
            None => {
                plain.push_str("\u{1b}[");
                plain.push_str(part);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn lines(is_terminal: bool) -> Lines<Vec<u8>> {
        Lines {
            out: Vec::new(),
            is_terminal,
            rest: Vec::new(),
            is_over: false,
        }
    }

    #[test]
    fn so_many_lines_are_shown() {
        for (log, count, shown) in [
            ("a\nb\nc\n", 2, "b\nc\n"),
            ("a\nb\nc", 2, "b\nc"),
            ("a\nb\nc\n", 3, "a\nb\nc\n"),
            ("a\nb\nc\n", 9, "a\nb\nc\n"),
            ("a\nb\n", 0, ""),
            ("\n\n", 1, "\n"),
            ("", 5, ""),
        ] {
            let lines = last_lines(log.as_bytes(), count);
            assert_eq!(String::from_utf8_lossy(lines), shown, "{log:?} {count}");
        }
    }

    #[test]
    fn what_a_client_prints_does_not_steer_the_terminal() {
        for (printed, shown) in [
            ("\u{1b}[32minfo\u{1b}[0m\tok\r\n", "info\tok\n"),
            ("\u{1b}[1;31mred\u{1b}[m\n", "red\n"),
            ("\u{1b}[2J\u{7}x\n", "\u{fffd}[2J\u{fffd}x\n"),
            ("\u{1b}]0;title\u{7}\n", "\u{fffd}]0;title\u{fffd}\n"),
            ("50%\r100%\n", "50%\u{fffd}100%\n"),
        ] {
            let mut out = lines(true);
            out.write(printed.as_bytes()).unwrap();
            assert_eq!(String::from_utf8_lossy(&out.out), shown);
        }
    }

    #[test]
    fn a_file_gets_the_bytes_as_they_are() {
        let mut out = lines(false);
        out.write(b"\x1b[32m\xff\n").unwrap();
        assert_eq!(out.out, b"\x1b[32m\xff\n");
    }

    #[test]
    fn a_character_that_comes_in_two_pieces_is_one() {
        let mut out = lines(true);
        for byte in "微信\n".bytes() {
            out.write(&[byte]).unwrap();
        }
        assert_eq!(String::from_utf8_lossy(&out.out), "微信\n");
    }

    #[test]
    fn a_line_without_an_end_is_printed_all_the_same() {
        let mut out = lines(true);
        out.write(b"prompt> ").unwrap();
        assert!(out.out.is_empty());
        out.end().unwrap();
        assert_eq!(out.out, b"prompt> \n");
        let mut long = lines(true);
        long.write(&vec![b'x'; LINE_MAX_BYTES + 1]).unwrap();
        assert_eq!(long.out.len(), LINE_MAX_BYTES + 1);
    }
}
