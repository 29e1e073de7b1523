//! `wxhost handler invoke`: what a bot would do.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use serde_json::Value;

use super::{encode, read_text, replay, unreadable};
use crate::{
    cli::{
        client::Client,
        failure::Failure,
        output::{Printed, Style, harmless, size},
        parse,
    },
    domain::{
        AccountId, ClientKind, HandlerName, Happening, Message, event::Content,
        handler::VersionNumber,
    },
    edge::control::wire::{InvokeRequest, InvokeView, REPLAY_LAST, WriteView},
};

/// Who says a text of which nobody said who.
const SOMEBODY: &str = "wxid_somebody";

/// `wxhost handler invoke`.
#[derive(Args)]
#[command(group(ArgGroup::new("what").required(true).args(["text", "event", "replay"])))]
pub struct InvokeArgs {
    /// Which
    #[arg(value_parser = parse::handler_name)]
    name: HandlerName,
    /// A message with this text
    #[arg(long)]
    text: Option<String>,
    /// Who says it
    #[arg(long, value_name = "USER", requires = "text", default_value = SOMEBODY)]
    from: String,
    /// In which group; privately if it is left out
    #[arg(long, value_name = "GROUP", requires = "text")]
    group: Option<String>,
    /// A file with an event as JSON, or - for stdin: {"message": {…}}, {"friend-request": {…}} …
    #[arg(long, value_name = "FILE")]
    event: Option<PathBuf>,
    /// The last recorded events of this account, one after the other: what would differ
    /// from what was sent. Ends with status 1 if anything would. Each sees the store as
    /// it is now
    #[arg(long, value_name = "ACCOUNT", value_parser = parse::account, conflicts_with_all = ["account", "client"])]
    replay: Option<AccountId>,
    /// How many of them (1 to 500)
    #[arg(long, value_name = "N", requires = "replay", default_value_t = REPLAY_LAST)]
    last: usize,
    /// For this account, with its contacts and what the bot keeps for it
    #[arg(long, value_name = "ID", value_parser = parse::account)]
    account: Option<AccountId>,
    /// Another version than the one that serves the account
    #[arg(long, value_name = "VERSION")]
    version: Option<u32>,
    /// The kind of client, if the account is not known: wehub (the default) or openwx
    #[arg(long, value_name = "KIND", value_parser = client_kind)]
    client: Option<ClientKind>,
}

fn client_kind(text: &str) -> Result<ClientKind, String> {
    let kind = serde_json::from_value(Value::String(text.to_owned()));
    kind.map_err(|_| "takes wehub or openwx".to_owned())
}

impl InvokeArgs {
    /// Asks the host.
    pub async fn run(self, client: &Client, style: &Style, json: bool) -> Result<Printed, Failure> {
        if let Some(account) = self.replay {
            let wanted = replay::Wanted {
                name: self.name,
                account,
                last: self.last,
                version: self.version.map(VersionNumber),
            };
            return replay::replay(wanted, client, style, json).await;
        }
        let path = ["handlers", self.name.as_str(), "invoke"];
        let request = InvokeRequest {
            event: self.happening()?,
            account: self.account.clone(),
            version: self.version.map(VersionNumber),
            client: self.client,
            raw: Value::Null,
        };
        let reply = client.post(&path, &[], encode(&request)?, None).await?;
        if json {
            return Ok(Printed::ok(reply.text));
        }
        Ok(Printed::ok(shown(&reply.read()?, style)?))
    }

    fn happening(&self) -> Result<Happening, Failure> {
        let Some(file) = &self.event else {
            return Ok(Happening::Message(Box::new(Message {
                author: self.from.clone(),
                group: self.group.clone(),
                content: Content::Text(self.text.clone().unwrap_or_default()),
                ..Message::default()
            })));
        };
        let text = read_text(file).map_err(|error| unreadable(file, &error))?;
        serde_json::from_str(&text)
            .map_err(|error| Failure::Usage(format!("{} is no event: {error}", file.display())))
    }
}

fn kept(write: &WriteView, note: &str) -> String {
    match write {
        WriteView::Put(value) => format!(
            "would keep  {} ({}{note})",
            harmless(&value.key),
            size(value.size_bytes as u64)
        ),
        WriteView::Delete { key } => format!("would drop  {}{note}", harmless(key)),
    }
}

fn shown(view: &InvokeView, style: &Style) -> Result<String, Failure> {
    let mut lines = Vec::new();
    for action in &view.actions {
        lines.push(format!("would do    {}", harmless(&encode(action)?)));
    }
    lines.extend(view.key_values.iter().map(|write| kept(write, "")));
    lines.extend(view.shared.iter().map(|write| kept(write, ", shared")));
    for timer in &view.timers {
        lines.push(match timer.due_ms {
            Some(due_ms) => format!(
                "would wait  for {} until {}",
                harmless(&timer.id),
                style.when(due_ms)
            ),
            None => format!("would not wait for {}", harmless(&timer.id)),
        });
    }
    if let Some(failure) = &view.failure {
        let kind = encode(&failure.kind)?;
        let text: Vec<_> = failure.message.lines().map(harmless).collect();
        lines.push(format!(
            "failed ({}): {}",
            kind.trim_matches('"'),
            text.join("\n")
        ));
    } else if lines.is_empty() {
        lines.push("would do nothing".to_owned());
    }
    for line in view.output.lines() {
        lines.push(format!("log         {}", harmless(line)));
    }
    lines.push(format!(
        "version {}, {:.1} ms, {}, {} host calls; nothing of it was done",
        view.version,
        view.used.wall_us as f64 / 1000.0,
        size(view.used.memory_bytes),
        view.used.host_calls
    ));
    Ok(lines.join("\n"))
}
