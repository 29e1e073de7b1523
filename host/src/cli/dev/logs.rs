//! What the bot logs and prints, followed by the host's own API: the host's log has only what
//! bots log.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinHandle},
    time::sleep,
};

use crate::{
    cli::{
        client::Client,
        failure::Failure,
        logs::{LogReader, Said, missed},
    },
    domain::{HandlerName, Millis, handler::LogLine},
    edge::control::input::LIMIT_MAX,
};

/// How many lines may wait to be shown; those beyond wait with the host, which counts them.
const WAITING_MAX: usize = 100;
/// The pause before a log is followed on.
const PAUSE: Duration = Duration::from_millis(300);

/// Follows the log of one handler, from its beginning on.
#[derive(Debug)]
pub struct Logs {
    since_ms: Millis,
    followed: Option<(HandlerName, AbortHandle)>,
    send: mpsc::Sender<String>,
    receive: mpsc::Receiver<String>,
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.end();
    }
}

impl Logs {
    /// Follows nothing yet. What was said before now is not shown.
    pub fn new() -> Self {
        let (send, receive) = mpsc::channel(WAITING_MAX);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let since_ms = now.map_or(0, |now| Millis::try_from(now.as_millis()).unwrap_or(0));
        Self {
            since_ms,
            followed: None,
            send,
            receive,
        }
    }

    /// Follows this handler's log from now on, in place of another one.
    pub fn follow(&mut self, client: &Arc<Client>, handler: &HandlerName) {
        if self.followed.as_ref().is_some_and(|(it, _)| it == handler) {
            return;
        }
        self.end();
        let teller = Teller {
            client: Arc::clone(client),
            handler: handler.clone(),
            since_ms: self.since_ms,
            log: LogReader::default(),
            send: self.send.clone(),
        };
        let task: JoinHandle<()> = tokio::spawn(teller.run());
        self.followed = Some((handler.clone(), task.abort_handle()));
    }

    fn end(&mut self) {
        if let Some((_, task)) = self.followed.take() {
            task.abort();
        }
    }

    /// The next line, as it is shown; for ever none while nothing is followed.
    pub async fn next(&mut self) -> String {
        match self.receive.recv().await {
            Some(line) => line,
            None => std::future::pending().await,
        }
    }
}

struct Teller {
    client: Arc<Client>,
    handler: HandlerName,
    /// Lines of before are of another session.
    since_ms: Millis,
    log: LogReader,
    send: mpsc::Sender<String>,
}

impl Teller {
    /// Until nobody wants to see it. The host that is asked ends with us, and says so itself.
    async fn run(mut self) {
        while !self.send.is_closed() {
            if let Err(failure) = self.tell().await
                && !failure.may_pass()
            {
                let told = format!("what the bot logs can't be followed: {failure}");
                let _ = self.send.send(told).await;
                return;
            }
            sleep(PAUSE).await;
        }
    }

    async fn tell(&mut self) -> Result<(), Failure> {
        let lines = LIMIT_MAX.to_string();
        let query = [("lines", lines.as_str())];
        let answer = self.log.open(&self.client, &self.handler, &query);
        let mut answer = answer.await?;
        while let Some(said) = self.log.next(&mut answer).await? {
            let text = match said {
                Said::Line(line) if line.at_ms < self.since_ms => continue,
                Said::Line(line) => shown(&line),
                Said::Missed(lines) => missed(lines),
            };
            if self.send.send(text).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// A line with how grave it is, and where in the bot it comes from.
fn shown(line: &LogLine) -> String {
    let context = match line.context.as_str() {
        "" => String::new(),
        context => format!("{context}: "),
    };
    let text: Vec<_> = line.text.lines().collect();
    format!("[{}] {context}{}", line.level, text.join("\n    "))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_says_where_it_comes_from() {
        let told = |context: &str, text: &str| {
            let line = json!({
                "at_ms": 0, "account": null, "version": 1, "event": "msg-1", "level": "info",
                "context": context, "text": text,
            });
            shown(&serde_json::from_value(line).unwrap())
        };
        assert_eq!(told("bot", "hi"), "[info] bot: hi");
        assert_eq!(told("", "hi"), "[info] hi");
        assert_eq!(told("stdout", "a\nb"), "[info] stdout: a\n    b");
    }
}
