//! `wxhost handler failures`: how a handler failed.

use clap::Args;

use crate::{
    cli::{
        client::Client,
        failure::Failure,
        output::{Printed, Style, Table, facts, harmless, size},
        parse,
    },
    domain::{Failure as GuestFailure, FailureId, HandlerName, id::BadId},
    edge::control::{
        input::LIMIT_DEFAULT,
        wire::{FailureItem, List},
    },
};

/// `wxhost handler failures`.
#[derive(Args)]
pub struct FailuresArgs {
    /// Whose
    #[arg(value_parser = parse::handler_name)]
    name: HandlerName,
    /// This one in full, with its backtrace and what was said before it
    #[arg(value_parser = failure_id, conflicts_with_all = ["limit", "before"])]
    id: Option<FailureId>,
    /// How many at most (1 to 1000)
    #[arg(long, value_name = "N", default_value_t = LIMIT_DEFAULT)]
    limit: usize,
    /// Begin after the one with this id
    #[arg(long, value_name = "ID", value_parser = failure_id)]
    before: Option<FailureId>,
}

fn failure_id(text: &str) -> Result<FailureId, BadId> {
    text.try_into()
}

impl FailuresArgs {
    /// Asks the host.
    pub async fn run(self, client: &Client, style: &Style, json: bool) -> Result<Printed, Failure> {
        let path = ["handlers", self.name.as_str(), "failures"];
        if let Some(id) = &self.id {
            let [handlers, name, failures] = path;
            let path = [handlers, name, failures, id.as_str()];
            let reply = client.get(&path, &[]).await?;
            return Ok(Printed::ok(match json {
                true => reply.text,
                false => about(&reply.read()?, style),
            }));
        }
        let limit = self.limit.to_string();
        let mut query = vec![("limit", limit.as_str())];
        let before = self.before.as_ref();
        query.extend(before.map(|before| ("before", before.as_str())));
        let reply = client.get(&path, &query).await?;
        Ok(Printed::ok(match json {
            true => reply.text,
            false => table(&self.name, &reply.read()?, style),
        }))
    }
}

fn table(name: &HandlerName, list: &List<FailureItem, FailureId>, style: &Style) -> String {
    if list.items.is_empty() {
        return format!("{name} has not failed lately");
    }
    let mut table = Table::new([
        "ID", "WHEN", "ACCOUNT", "VERSION", "KIND", "EVENT", "REASON",
    ]);
    for item in &list.items {
        let account = item.account.as_ref();
        table.row([
            item.id.as_str().into(),
            style.ago(item.at_ms).into(),
            account.map_or("none", |account| account.as_str()).into(),
            item.version.to_string().into(),
            item.kind.as_str().into(),
            item.event.as_str().into(),
            item.reason.as_str().into(),
        ]);
    }
    let mut text = table.show(style);
    if let Some(next) = &list.next {
        text.push_str(&format!("there are more: add --before {next}\n"));
    }
    text
}

fn about(failure: &GuestFailure, style: &Style) -> String {
    let id = failure.id.as_ref().map(ToString::to_string);
    let account = failure.account.as_ref().map(ToString::to_string);
    let mut known = vec![
        ("id", id.unwrap_or_default()),
        ("when", style.when(failure.at_ms)),
        ("handler", failure.handler.to_string()),
        ("version", failure.version.to_string()),
        ("digest", failure.digest.to_string()),
        ("account", account.unwrap_or_else(|| "none".to_owned())),
        ("event", harmless(&failure.event)),
        ("kind", failure.kind.as_str().to_owned()),
        ("used", used(failure)),
        ("message", lines(&failure.message)),
    ];
    if !failure.output.is_empty() {
        known.push(("output", lines(&failure.output)));
    }
    facts(&known, style)
}

/// What it used, of how much where that is known.
fn used(failure: &GuestFailure) -> String {
    let used = &failure.used;
    let (wall_ms, memory) = (used.wall_us / 1000, size(used.memory_bytes));
    match &failure.limits {
        None => format!(
            "{wall_ms} ms, computing {} ms\n{memory} of memory\n{} host calls",
            used.cpu_ms, used.host_calls
        ),
        Some(limits) => format!(
            "{wall_ms} of {} ms, computing {} of {} ms\n{memory} of {} of memory\n\
             {} of {} host calls",
            limits.wall_ms,
            used.cpu_ms,
            limits.cpu_ms,
            size(limits.memory_bytes),
            used.host_calls,
            limits.host_calls
        ),
    }
}

fn lines(text: &str) -> String {
    let lines: Vec<_> = text.trim_end().lines().map(harmless).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::domain::{
        Digest, FailureKind,
        handler::{LimitsInForce, Used, VersionNumber},
    };

    #[test]
    fn a_failure_says_what_it_used_of_what_it_may() {
        let failure = GuestFailure {
            id: Some("f-abc".try_into().unwrap()),
            account: Some("wxid_a".try_into().unwrap()),
            event: "msg-1".into(),
            handler: "echo".try_into().unwrap(),
            version: VersionNumber(3),
            digest: Digest::of(b""),
            kind: FailureKind::CpuTime,
            message: "too long\n  0: run\u{1b}\n".into(),
            output: String::new(),
            used: Used {
                wall_us: 12_345,
                cpu_ms: 10,
                memory_bytes: 2 * 1024 * 1024,
                host_calls: 7,
            },
            limits: Some(LimitsInForce {
                wall_ms: 5000,
                cpu_ms: 500,
                memory_bytes: 64 * 1024 * 1024,
                host_calls: 100,
            }),
            at_ms: 0,
        };
        let text = about(&failure, &Style::plain(0));
        assert!(text.starts_with("id       f-abc\n"), "{text}");
        assert!(
            text.contains("12 of 5000 ms, computing 10 of 500 ms"),
            "{text}"
        );
        assert!(text.contains("2.0 MiB of 64.0 MiB of memory"), "{text}");
        assert!(text.contains("7 of 100 host calls"), "{text}");
        assert!(text.contains("0: run\u{fffd}"), "{text}");
    }
}
