//! `wxhost handler logs`: what a handler logs and prints.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use clap::{Args, builder::PossibleValuesParser};

use super::encode;
use crate::{
    cli::{
        client::Client,
        failure::Failure,
        logs::{LogReader, Said, missed},
        output::{Paint, Printed, Style, harmless},
        parse,
        watch::AWAY_MAX,
    },
    domain::{
        AccountId, HandlerName,
        handler::{LogLevel, LogLine},
    },
    edge::control::{
        input::{LIMIT_DEFAULT, LIMIT_MAX},
        wire::List,
    },
};

/// The pause before a log is followed on.
const PAUSE: Duration = Duration::from_secs(1);

/// `wxhost handler logs`.
#[derive(Args)]
pub struct LogsArgs {
    /// Whose
    #[arg(value_parser = parse::handler_name)]
    name: HandlerName,
    /// Go on as more is said; with --json a line of JSON each
    #[arg(short, long)]
    follow: bool,
    /// Of this account only
    #[arg(long, value_name = "ID", value_parser = parse::account)]
    account: Option<AccountId>,
    /// How many lines to begin with (0 to 1000)
    #[arg(long, value_name = "N", default_value_t = LIMIT_DEFAULT, alias = "tail")]
    lines: usize,
    /// Only what is at least so grave
    #[arg(long, value_parser = PossibleValuesParser::new(LogLevel::ALL.map(LogLevel::as_str)))]
    level: Option<String>,
}

impl LogsArgs {
    /// Asks the host.
    pub async fn run(self, client: &Client, style: &Style, json: bool) -> Result<Printed, Failure> {
        if self.follow {
            return self.follow(client, style, json).await;
        }
        let lines = self.lines.to_string();
        let reply = client.get(&self.path(), &self.query(&lines)).await?;
        if json {
            return Ok(Printed::ok(reply.text));
        }
        let list: List<LogLine> = reply.read()?;
        if list.items.is_empty() {
            return Ok(Printed::ok("nothing was logged or printed lately"));
        }
        let shown = list.items.iter().map(|line| self.shown(line, style));
        Ok(Printed::ok(shown.collect::<String>()))
    }

    fn path(&self) -> [&str; 3] {
        ["handlers", self.name.as_str(), "logs"]
    }

    fn query<'a>(&'a self, lines: &'a str) -> Vec<(&'a str, &'a str)> {
        let mut query = vec![("lines", lines)];
        let account = self.account.as_ref();
        query.extend(account.map(|account| ("account", account.as_str())));
        query.extend(self.level.as_deref().map(|level| ("level", level)));
        query
    }

    /// Until the handler or the reader is gone, or the host is for long.
    async fn follow(&self, client: &Client, style: &Style, json: bool) -> Result<Printed, Failure> {
        let mut told = Told {
            args: self,
            style,
            json,
            log: LogReader::default(),
        };
        loop {
            // What was said while the host was away comes first.
            let lines = match told.log.has_begun() {
                true => LIMIT_MAX,
                false => self.lines,
            };
            let ended = told.once(client, lines).await;
            let seen = told.log.seen();
            match ended {
                Ok(Ended::Unread) => return Ok(Printed::ok("")),
                Ok(Ended::ByHost) => {}
                Err(failure) if failure.is_not_found() && seen.is_some() => {
                    return Ok(Printed::ok(""));
                }
                Err(failure) if failure.may_pass() && is_recent(seen) => {}
                Err(failure) => return Err(failure),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn shown(&self, line: &LogLine, style: &Style) -> String {
        let mut words = vec![style.time(line.at_ms)];
        words.push(style.paint(line.level.as_str(), paint(line.level)));
        if self.account.is_none() {
            words.extend(line.account.as_ref().map(|it| harmless(it.as_str())));
        }
        let context = match line.context.as_str() {
            "" => String::new(),
            context => format!("{}: ", harmless(context)),
        };
        // A text of several lines goes on below itself.
        let tame = |text: &str| {
            let parts: Vec<_> = text.split('\t').map(harmless).collect();
            parts.join("\t")
        };
        let text: Vec<_> = line.text.lines().map(tame).collect();
        format!("{}  {context}{}\n", words.join(" "), text.join("\n    "))
    }
}

fn paint(level: LogLevel) -> Paint {
    match level {
        LogLevel::Trace | LogLevel::Debug | LogLevel::Info => Paint::Plain,
        LogLevel::Warn => Paint::Yellow,
        LogLevel::Error | LogLevel::Critical => Paint::Red,
    }
}

/// A host that was there a moment ago may be starting again.
fn is_recent(seen: Option<Instant>) -> bool {
    seen.is_some_and(|seen| seen.elapsed() < AWAY_MAX)
}

/// Why following came to an end.
enum Ended {
    /// The reader has seen enough (`| head`).
    Unread,
    /// The host has ended, or cut the answer off.
    ByHost,
}

struct Told<'a> {
    args: &'a LogsArgs,
    style: &'a Style,
    json: bool,
    log: LogReader,
}

impl Told<'_> {
    async fn once(&mut self, client: &Client, lines: usize) -> Result<Ended, Failure> {
        let lines = lines.to_string();
        let query = self.args.query(&lines);
        let mut answer = self.log.open(client, &self.args.name, &query).await?;
        while let Some(said) = self.log.next(&mut answer).await? {
            match said {
                Said::Line(line) if !print(&self.text(&line)?)? => return Ok(Ended::Unread),
                Said::Line(_) => {}
                Said::Missed(lines) => eprintln!("{}", missed(lines)),
            }
        }
        Ok(Ended::ByHost)
    }

    fn text(&self, line: &LogLine) -> Result<String, Failure> {
        match self.json {
            true => Ok(encode(line)? + "\n"),
            false => Ok(self.args.shown(line, self.style)),
        }
    }
}

/// False when nobody reads any more.
fn print(text: &str) -> Result<bool, Failure> {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::local("stdout", error)),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::domain::handler::VersionNumber;

    fn args(account: Option<&str>) -> LogsArgs {
        LogsArgs {
            name: "echo".try_into().unwrap(),
            follow: false,
            account: account.map(|it| it.try_into().unwrap()),
            lines: 9,
            level: None,
        }
    }

    fn line(context: &str, text: &str) -> LogLine {
        LogLine {
            at_ms: 0,
            order: 1,
            account: Some("wxid_a".try_into().unwrap()),
            version: VersionNumber(1),
            event: "msg-1".into(),
            level: LogLevel::Warn,
            context: context.into(),
            text: text.into(),
        }
    }

    #[test]
    fn a_line_does_not_steer_the_terminal_and_goes_on_below_itself() {
        let style = Style::plain(0);
        assert_eq!(
            args(None).shown(&line("stderr", "a\u{1b}[2J\tb\nc\r"), &style),
            "1970-01-01T00:00:00Z warn wxid_a  stderr: a\u{fffd}[2J\tb\n    c\u{fffd}\n"
        );
        assert_eq!(
            args(Some("wxid_a")).shown(&line("", "a"), &style),
            "1970-01-01T00:00:00Z warn  a\n"
        );
    }
}
