//! Simulated WeHub processes for people: logs accounts in, reports what friends
//! write, shows the answers as a chat, and carries out tasks.

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::Parser;
use tokio::{signal::ctrl_c, sync::mpsc, time::sleep};
use wxhost_tests::{
    Context, Result, WehubClient,
    chat::{Face, Screen},
    wehub::{Ack, Identity},
};

/// Simulates WeHub processes that report to a wxhost.
///
/// Without a script each line on standard input is a message: "hello" from the
/// friend to the first account, "wxid_a < hello" to the account named, and
/// "wxid_a < wxid_ann: hello" from somebody else.
#[derive(Parser)]
struct Arguments {
    /// The callback URL.
    #[arg(long, default_value = "http://127.0.0.1:2000/wehub/callback")]
    url: String,
    /// The customer id.
    #[arg(long)]
    appid: String,
    /// The secret key, to check that the host knows it.
    #[arg(long, env = "WEHUB_SECRET_KEY", hide_env_values = true)]
    secret_key: String,
    /// An account, as WXID or WXID=NICKNAME. Can be given more than once.
    #[arg(long = "account", required = true)]
    accounts: Vec<String>,
    /// Who writes, unless a line says otherwise.
    #[arg(long, default_value = "wxid_friend1")]
    friend: String,
    /// How many friends each account reports after the login.
    #[arg(long, default_value_t = 3)]
    contacts: usize,
    /// A file with messages, as on standard input. Ends when it is through.
    #[arg(long)]
    script: Option<PathBuf>,
    /// Seconds between two questions for tasks.
    #[arg(long, default_value_t = 2)]
    poll_s: u64,
}

/// One account and how it is shown.
struct Account {
    client: WehubClient,
    face: Face,
}

/// A line of a script.
#[derive(Debug, PartialEq)]
struct Line<'a> {
    account: Option<&'a str>,
    speaker: Option<&'a str>,
    text: &'a str,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let screen = Screen::stdout();
    let mut accounts = Vec::new();
    for (place, account) in arguments.accounts.iter().enumerate() {
        accounts.push(Arc::new(log_in(&arguments, account, place).await?));
    }
    for account in accounts.clone() {
        let pause = Duration::from_secs(arguments.poll_s.max(1));
        tokio::spawn(async move {
            if let Err(error) = carry_out(&screen, &account, pause).await {
                screen.note(&format!("{}: {error}", account.client.wxid()));
            }
        });
    }
    tokio::select! {
        outcome = converse(&arguments, &screen, &accounts) => outcome?,
        interrupted = ctrl_c() => interrupted?,
    }
    for account in &accounts {
        account.client.logout().await?;
    }
    Ok(())
}

async fn log_in(arguments: &Arguments, account: &str, place: usize) -> Result<Account> {
    let (wxid, nickname) = account.split_once('=').unwrap_or((account, account));
    let identity = Identity::new(&arguments.appid, &arguments.secret_key, wxid);
    let client = WehubClient::new(&arguments.url, identity)?;
    let client = client.called(nickname).login().await?;
    client.report_contact(arguments.contacts).await?.ok()?;
    let face = Face::new(nickname, place);
    Ok(Account { client, face })
}

/// Reads and reports messages until there are no more.
async fn converse(arguments: &Arguments, screen: &Screen, accounts: &[Arc<Account>]) -> Result<()> {
    if let Some(script) = &arguments.script {
        let text = tokio::fs::read_to_string(script).await;
        for line in text.context(script.display())?.lines() {
            say(arguments, screen, accounts, line).await?;
        }
        return Ok(());
    }
    let mut lines = typed_lines();
    while let Some(line) = lines.recv().await {
        say(arguments, screen, accounts, &line).await?;
    }
    Ok(())
}

/// Lines of standard input. A thread of its own reads them, which nobody needs
/// to wait for at the end.
fn typed_lines() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let lines = std::io::stdin().lines().map_while(std::result::Result::ok);
        for line in lines {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

async fn say(
    arguments: &Arguments,
    screen: &Screen,
    accounts: &[Arc<Account>],
    line: &str,
) -> Result<()> {
    if line.trim().is_empty() {
        return Ok(());
    }
    let line = Line::read(line);
    let account = accounts
        .iter()
        .find(|account| line.account.is_none_or(|id| account.client.wxid() == id))
        .context(format!("no account {:?} was given", line.account))?;
    let speaker = line.speaker.unwrap_or(&arguments.friend);
    screen.heard(&account.face, speaker, line.text);
    let ack = account.client.text_from(speaker, line.text).await?;
    show(screen, account, &ack);
    Ok(())
}

/// Asks for tasks, shows them, and says that they are done.
async fn carry_out(screen: &Screen, account: &Account, pause: Duration) -> Result<()> {
    loop {
        let ack = account.client.pull_task().await?;
        show(screen, account, &ack);
        match &ack.task_id {
            Some(id) => account.client.task_result(id, None).await?.ok()?,
            None => {
                sleep(pause).await;
                continue;
            }
        };
    }
}

fn show(screen: &Screen, account: &Account, ack: &Ack) {
    if ack.error_code != 0 {
        let Ack {
            error_code,
            error_reason,
            ..
        } = ack;
        screen.note(&format!("refused ({error_code}): {error_reason}"));
    }
    for task in &ack.tasks {
        screen.said(&account.face, &task.summary());
    }
}

impl<'a> Line<'a> {
    fn read(line: &'a str) -> Self {
        let (account, rest) = match line.split_once('<') {
            Some((account, rest)) if is_id(account.trim()) => (Some(account.trim()), rest.trim()),
            _ => (None, line.trim()),
        };
        let (speaker, text) = match rest.split_once(':') {
            Some((speaker, text)) if account.is_some() && is_id(speaker) => {
                (Some(speaker), text.trim())
            }
            _ => (None, rest),
        };
        Self {
            account,
            speaker,
            text,
        }
    }
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_who_writes_to_whom() {
        let line = |account, speaker, text| Line {
            account,
            speaker,
            text,
        };
        assert_eq!(Line::read("hi: all"), line(None, None, "hi: all"));
        assert_eq!(Line::read("1 is < 2"), line(None, None, "1 is < 2"));
        let read = Line::read("wxid_a < hello you");
        assert_eq!(read, line(Some("wxid_a"), None, "hello you"));
        let read = Line::read("wxid_a < wxid_ann: hello");
        assert_eq!(read, line(Some("wxid_a"), Some("wxid_ann"), "hello"));
    }
}
