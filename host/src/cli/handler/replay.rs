//! `wxhost handler invoke --replay`: what a version would do about recorded events, and
//! how that differs from what was sent.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use super::encode;
use crate::{
    cli::{
        client::Client,
        failure::Failure,
        output::{Printed, Style, harmless},
    },
    domain::{
        AccountId, HandlerName,
        handler::VersionNumber,
        replay::{Difference, Sign, Verdict},
    },
    edge::control::wire::{ReplayRequest, ReplayView, ReplayedView},
};

/// After how long a host is asked again that has no room: as it says itself.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long it may have none. Replays take turns, so this is long enough for a dozen.
const BUSY_MAX: Duration = Duration::from_secs(5 * 60);

/// How the process ends when anything differs or fails.
const DIFFERS: u8 = 1;

/// Which recorded events are to be run.
pub struct Wanted {
    /// Against which handler.
    pub name: HandlerName,
    /// Whose.
    pub account: AccountId,
    /// How many of the last.
    pub last: usize,
    /// Against which version.
    pub version: Option<VersionNumber>,
}

/// Asks the host until all were run.
pub async fn replay(
    wanted: Wanted,
    client: &Client,
    style: &Style,
    json: bool,
) -> Result<Printed, Failure> {
    let path = ["handlers", wanted.name.as_str(), "replay"];
    let mut whole: Option<ReplayView> = None;
    loop {
        let request = ReplayRequest {
            account: wanted.account.clone(),
            last: wanted.last,
            version: wanted.version,
            after: whole.as_ref().and_then(|view| view.next),
        };
        let view = page(client, &path, &encode(&request)?).await?;
        let whole = match &mut whole {
            None => whole.insert(view),
            Some(whole) => {
                whole.items.extend(view.items);
                whole.next = view.next;
                whole
            }
        };
        if whole.next.is_none() {
            let text = match json {
                true => encode(whole)?,
                false => shown(whole, &wanted.account, style)?,
            };
            return Ok(Printed {
                code: code(whole),
                ..Printed::ok(text)
            });
        }
    }
}

/// Asks for some of the events, until the host has room for that.
async fn page(client: &Client, path: &[&str], request: &str) -> Result<ReplayView, Failure> {
    let began = Instant::now();
    loop {
        let body = request.to_owned();
        match client.post(path, &[], body, None).await {
            Ok(reply) => return reply.read(),
            Err(failure) if failure.is_busy() && began.elapsed() < BUSY_MAX => {}
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

fn count(view: &ReplayView, verdict: Verdict) -> usize {
    let items = view.items.iter();
    items.filter(|it| it.verdict == verdict).count()
}

fn code(view: &ReplayView) -> ExitCode {
    match count(view, Verdict::Same) == view.items.len() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(DIFFERS),
    }
}

fn shown(view: &ReplayView, account: &AccountId, style: &Style) -> Result<String, Failure> {
    if view.items.is_empty() {
        return Ok(format!(
            "nothing is recorded of {} yet",
            harmless(account.as_str())
        ));
    }
    let mut lines = Vec::new();
    for item in &view.items {
        lines.push(headline(item, style));
        for difference in &item.actions {
            lines.extend(line(difference)?);
        }
        if let Some(failure) = &item.failure {
            let text: Vec<_> = failure.message.lines().map(harmless).collect();
            lines.push(format!("           {}", text.join("\n           ")));
        }
    }
    lines.push(format!(
        "{} events against version {}: {} same, {} differ, {} fail; nothing of it was done",
        view.items.len(),
        view.version,
        count(view, Verdict::Same),
        count(view, Verdict::Differs),
        count(view, Verdict::Fails),
    ));
    Ok(lines.join("\n"))
}

fn headline(item: &ReplayedView, style: &Style) -> String {
    let verdict = match item.verdict {
        Verdict::Same => "same   ",
        Verdict::Differs => "differs",
        Verdict::Fails => "fails  ",
    };
    let outcome = encode(&item.outcome).unwrap_or_default();
    let without = match item.without_raw {
        true => ", recorded without the client's JSON",
        false => "",
    };
    format!(
        "{verdict}  {} ({}, {} by {} {}{without})",
        harmless(item.key.as_str()),
        style.ago(item.at_ms),
        outcome.trim_matches('"'),
        item.handler,
        item.version,
    )
}

fn line(difference: &Difference) -> Result<Option<String>, Failure> {
    let sign = match difference.sign {
        Sign::Same => return Ok(None),
        Sign::Sent => "- sent      ",
        Sign::WouldSend => "+ would send",
    };
    let action = harmless(&encode(&difference.action)?);
    Ok(Some(format!("         {sign} {action}")))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::domain::{Action, EventKey, ports::EventOutcome};

    fn item(verdict: Verdict, actions: Vec<Difference>) -> ReplayedView {
        ReplayedView {
            key: EventKey::new("msg-1"),
            at_ms: 0,
            handler: "faq".try_into().unwrap(),
            version: VersionNumber(1),
            outcome: EventOutcome::Handled,
            verdict,
            actions,
            failure: None,
            without_raw: false,
        }
    }

    #[test]
    fn what_differs_is_shown_and_what_is_the_same_is_counted() {
        let told = |sign, text: &str| Difference {
            sign,
            action: Action::text("wxid_b", text),
        };
        let differs = vec![
            told(Sign::Same, "hello"),
            told(Sign::Sent, "10"),
            told(Sign::WouldSend, "12\u{1b}"),
        ];
        let view = ReplayView {
            version: VersionNumber(2),
            items: vec![item(Verdict::Same, vec![]), item(Verdict::Differs, differs)],
            next: None,
        };
        let account = "wxid_a".try_into().unwrap();
        let text = shown(&view, &account, &Style::plain(60_000)).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert!(
            text.starts_with("same     msg-1 (1 min ago, handled by faq 1)\n"),
            "{text}"
        );
        assert!(text.contains("- sent       {\"action\":\"send\""), "{text}");
        assert!(
            text.contains("+ would send {") && !text.contains('\u{1b}'),
            "{text}"
        );
        assert!(
            text.contains("2 events against version 2: 1 same, 1 differ, 0 fail"),
            "{text}"
        );
        assert_eq!(code(&view), ExitCode::from(1));
        let none = ReplayView {
            version: VersionNumber(2),
            items: vec![],
            next: None,
        };
        assert_eq!(code(&none), ExitCode::SUCCESS);
        let text = shown(&none, &account, &Style::plain(0)).unwrap();
        assert_eq!(text, "nothing is recorded of wxid_a yet");
    }
}
