//! `wxhost handler pauses` and `resume`: for whom a handler is paused, since it keeps
//! failing there.

use clap::Args;

use crate::{
    cli::{
        client::Client,
        failure::Failure,
        output::{Printed, Style, Table, harmless, quoted},
        parse,
    },
    domain::{
        AccountId, HandlerName,
        handler::{Failing, FailingConversation, FailingPause},
    },
    edge::control::{input::LIMIT_DEFAULT, wire::List},
};

/// `wxhost handler pauses`.
#[derive(Args)]
pub struct PausesArgs {
    /// Whose
    #[arg(value_parser = parse::handler_name)]
    name: HandlerName,
    /// How many at most (1 to 1000)
    #[arg(long, value_name = "N", default_value_t = LIMIT_DEFAULT)]
    limit: usize,
    /// Begin after this account
    #[arg(long, value_name = "ID")]
    after: Option<String>,
}

/// `wxhost handler resume`.
#[derive(Args)]
pub struct ResumeArgs {
    /// Which
    #[arg(value_parser = parse::handler_name)]
    name: HandlerName,
    /// For this account
    #[arg(long, value_name = "ID", value_parser = parse::account)]
    account: AccountId,
}

impl PausesArgs {
    /// Asks the host.
    pub async fn run(self, client: &Client, style: &Style, json: bool) -> Result<Printed, Failure> {
        let limit = self.limit.to_string();
        let mut query = vec![("limit", limit.as_str())];
        query.extend(self.after.as_deref().map(|after| ("after", after)));
        let path = ["handlers", self.name.as_str(), "pauses"];
        let reply = client.get(&path, &query).await?;
        if json {
            return Ok(Printed::ok(reply.text));
        }
        Ok(Printed::ok(table(&reply.read()?, &self.name, style)))
    }
}

impl ResumeArgs {
    /// Asks the host.
    pub async fn run(self, client: &Client, json: bool) -> Result<Printed, Failure> {
        let path = [
            "handlers",
            self.name.as_str(),
            "pauses",
            self.account.as_str(),
        ];
        let reply = client.delete(&path).await?;
        if json {
            return Ok(Printed::ok(reply.text));
        }
        Ok(Printed::ok(resumed(&reply.read()?)))
    }
}

fn table(list: &List<Failing>, name: &HandlerName, style: &Style) -> String {
    let mut text = match list.items.is_empty() {
        true => format!("{name} is paused for nobody\n"),
        false => rows(list, name, style),
    };
    if let Some(next) = &list.next {
        text.push_str(&format!(
            "there may be more: add --after {}\n",
            quoted(next)
        ));
    }
    text
}

/// One row for the account where it is paused or events wait, one for each conversation
/// in which it is paused alone.
fn rows(list: &List<Failing>, name: &HandlerName, style: &Style) -> String {
    let mut table = Table::new([
        "ACCOUNT",
        "CONVERSATION",
        "VERSION",
        "FAILURES",
        "SINCE",
        "TRIED AGAIN",
        "PASSED BY",
        "WAITING",
        "REASON",
    ]);
    for failing in &list.items {
        let paused = |it: &&FailingConversation| it.pause.is_some();
        let alone: Vec<_> = failing.conversations.iter().filter(paused).collect();
        let (account, version) = (failing.account.as_str(), failing.version.to_string());
        let (since, until) = times(failing.pause, style);
        if failing.pause.is_some() || failing.waiting.events > 0 || alone.is_empty() {
            table.row([
                account.into(),
                "(all)".into(),
                version.clone().into(),
                failing.failures.to_string().into(),
                since.into(),
                until.into(),
                failing.passed_by.to_string().into(),
                failing.waiting.events.to_string().into(),
                failing.reason.as_str().into(),
            ]);
        }
        for one in alone {
            let (since, until) = times(one.pause, style);
            table.row([
                account.into(),
                one.conversation.as_deref().unwrap_or("(none)").into(),
                version.clone().into(),
                one.failures.to_string().into(),
                since.into(),
                until.into(),
                one.passed_by.to_string().into(),
                "".into(),
                one.reason.as_str().into(),
            ]);
        }
    }
    let hint = format!("try one now: `wxhost handler resume {name} --account ID`\n");
    table.show(style) + &hint
}

/// Since when a pause is, and when one is tried again.
fn times(pause: Option<FailingPause>, style: &Style) -> (String, String) {
    let pause = pause.map(|it| (style.ago(it.since_ms), style.ago(it.until_ms)));
    pause.unwrap_or_default()
}

/// What a pause was that somebody has ended.
fn resumed(failing: &Failing) -> String {
    let account = harmless(failing.account.as_str());
    let handler = &failing.handler;
    let waiting = match failing.waiting.events {
        0 => String::new(),
        1 => "; the event that has waited comes first".to_owned(),
        count => format!("; the {count} events that have waited come first"),
    };
    format!("{handler} is called for {account} again{waiting}")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::domain::handler::{FailingPause, VersionNumber, Waits};

    fn failing(reason: &str) -> Failing {
        Failing {
            account: "wxid_a".try_into().unwrap(),
            handler: "faq".try_into().unwrap(),
            version: VersionNumber(3),
            failures: 6,
            reason: reason.to_owned(),
            pause: Some(FailingPause {
                since_ms: 0,
                until_ms: 120_000,
                pauses: 2,
            }),
            passed_by: 4,
            waiting: Waits {
                events: 2,
                bytes: 9,
            },
            alone: None,
            conversations: vec![FailingConversation {
                conversation: Some("wxid_bob".to_owned()),
                failures: 5,
                reason: "bang".to_owned(),
                failed_ms: 50_000,
                pause: Some(FailingPause {
                    since_ms: 50_000,
                    until_ms: 70_000,
                    pauses: 1,
                }),
                passed_by: 3,
            }],
        }
    }

    #[test]
    fn a_pause_says_when_it_is_tried_again_and_how_to_do_it_now() {
        let (list, name) = (List::whole([failing("boom")]), "faq".try_into().unwrap());
        assert_eq!(
            table(&list, &name, &Style::plain(60_000)),
            "ACCOUNT  CONVERSATION  VERSION  FAILURES  SINCE      TRIED AGAIN  PASSED BY  WAITING  REASON\n\
             wxid_a   (all)         3        6         1 min ago  in 1 min     4          2        boom\n\
             wxid_a   wxid_bob      3        5         10 s ago   in 10 s      3                   bang\n\
             try one now: `wxhost handler resume faq --account ID`\n"
        );
        let none = table(&List::whole([]), &name, &Style::plain(0));
        assert_eq!(none, "faq is paused for nobody\n");
        assert_eq!(
            resumed(&failing("boom")),
            "faq is called for wxid_a again; the 2 events that have waited come first"
        );
    }

    #[test]
    fn a_guest_s_words_do_not_steer_the_terminal() {
        let list = List {
            items: vec![failing("a\u{1b}[2J\n")],
            next: Some("a\u{1b}".to_owned()),
        };
        let text = table(&list, &"faq".try_into().unwrap(), &Style::plain(0));
        assert!(!text.contains('\u{1b}'), "{text:?}");
        assert_eq!(text.lines().count(), 5);
    }
}
