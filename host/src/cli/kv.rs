//! `wxhost kv …`: what bots keep.

use std::io::{self, IsTerminal, Read, Write};

use base64::{Engine, prelude::BASE64_STANDARD};
use clap::{Args, Subcommand};

use super::{
    client::{Client, Reply},
    failure::Failure,
    output::{Printed, Style, Table, harmless, quoted, size},
    parse,
};
use crate::{
    domain::{AccountId, HandlerName},
    edge::control::{
        input::LIMIT_DEFAULT,
        wire::{BucketView, Emptied, KeyValueView, ValueRequest},
    },
};

const EXAMPLES: &str = "\
Examples:
  wxhost kv list echo --account wxid_a              what the bot keeps for an account
  wxhost kv list echo --shared                      what all its accounts share
  wxhost kv get echo --account wxid_a greeting      the value, as it is
  wxhost kv set echo --shared mode quiet            seen by the bot's next call
  wxhost kv set echo --shared picture - < a.png     the value from the standard input
  wxhost kv export echo --account wxid_a > a.jsonl  all of it, an entry a line
  wxhost kv delete echo --account wxid_a --all      also what a handler has left that is
                                                    not deployed any more";

/// How much of a value a listing shows, in characters.
const SHOWN: usize = 60;

/// `wxhost kv`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct KvArgs {
    #[command(subcommand)]
    command: KvCommand,
    /// Print the API's JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum KvCommand {
    /// List what is in a bucket, and how full it is
    List {
        #[command(flatten)]
        bucket: BucketArgs,
        /// How many at most (1 to 1000)
        #[arg(long, value_name = "N", default_value_t = LIMIT_DEFAULT)]
        limit: usize,
        /// Begin after this key
        #[arg(long, value_name = "KEY")]
        after: Option<String>,
    },
    /// Print a value as it is
    Get {
        #[command(flatten)]
        bucket: BucketArgs,
        /// Which
        key: String,
    },
    /// Write a value; the bot's next call finds it
    Set {
        #[command(flatten)]
        bucket: BucketArgs,
        /// Under which key
        key: String,
        /// The value; - for the standard input
        value: String,
    },
    /// Remove a key, or all of them
    Delete {
        #[command(flatten)]
        bucket: BucketArgs,
        /// Which
        #[arg(required_unless_present = "all")]
        key: Option<String>,
        /// Empty the bucket
        #[arg(long, conflicts_with = "key")]
        all: bool,
    },
    /// Print every entry, one a line, as JSON
    Export {
        #[command(flatten)]
        bucket: BucketArgs,
    },
}

/// Which bucket.
#[derive(Debug, Args)]
struct BucketArgs {
    /// Which handler's
    #[arg(value_parser = parse::handler_name)]
    handler: HandlerName,
    #[command(flatten)]
    whose: Whose,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Whose {
    /// The bucket of this account
    #[arg(long, value_name = "ID", value_parser = parse::account)]
    account: Option<AccountId>,
    /// The bucket that all accounts of the handler share
    #[arg(long)]
    shared: bool,
}

impl BucketArgs {
    fn path<'a>(&'a self, key: Option<&'a str>) -> Vec<&'a str> {
        let handler = self.handler.as_str();
        let mut path = match &self.whose.account {
            Some(account) => vec!["accounts", account.as_str(), "kv", handler],
            None => vec!["handlers", handler, "shared"],
        };
        path.extend(key);
        path
    }
}

impl KvArgs {
    /// Asks the host.
    pub(super) async fn run(self, client: &Client, style: &Style) -> Result<Printed, Failure> {
        let json = self.json;
        match self.command {
            KvCommand::List {
                bucket,
                limit,
                after,
            } => {
                let limit = limit.to_string();
                let mut query = vec![("limit", limit.as_str())];
                query.extend(after.as_deref().map(|after| ("after", after)));
                let reply = client.get(&bucket.path(None), &query).await?;
                shown(json, &reply, |reply| Ok(table(&reply.read()?, style)))
            }
            KvCommand::Get { bucket, key } => get(client, &bucket, &key, json).await,
            KvCommand::Set { bucket, key, value } => {
                let body = body(&value)?;
                let reply = client.put(&bucket.path(Some(&key)), body).await?;
                let done = format!("{} is set", quoted(&key));
                shown(json, &reply, |_| Ok(done))
            }
            KvCommand::Delete { bucket, key, .. } => {
                let reply = client.delete(&bucket.path(key.as_deref())).await?;
                shown(json, &reply, |reply| deleted(reply, key.as_deref()))
            }
            KvCommand::Export { bucket } => export(client, &bucket).await,
        }
    }
}

fn shown(
    json: bool,
    reply: &Reply,
    text: impl FnOnce(&Reply) -> Result<String, Failure>,
) -> Result<Printed, Failure> {
    Ok(Printed::ok(match json {
        true => reply.text.clone(),
        false => text(reply)?,
    }))
}

/// The value's bytes, which may be no text.
async fn get(
    client: &Client,
    bucket: &BucketArgs,
    key: &str,
    json: bool,
) -> Result<Printed, Failure> {
    let reply = client.get(&bucket.path(Some(key)), &[]).await?;
    if json {
        return Ok(Printed::ok(reply.text));
    }
    let view: KeyValueView = reply.read()?;
    let value = BASE64_STANDARD.decode(&view.value_base64);
    let value = value.map_err(|error| Failure::local("value_base64", error))?;
    if io::stdout().is_terminal() {
        // A bot may keep what strangers wrote.
        return Ok(Printed::ok(harmless(&String::from_utf8_lossy(&value))));
    }
    print(&mut io::stdout(), &value)?;
    Ok(Printed::ok(""))
}

async fn export(client: &Client, bucket: &BucketArgs) -> Result<Printed, Failure> {
    let query = [("format", "jsonl")];
    let mut lines = client.download_query(&bucket.path(None), &query).await?;
    let mut stdout = io::stdout().lock();
    while let Some(piece) = lines.next().await? {
        print(&mut stdout, &piece)?;
    }
    Ok(Printed::ok(""))
}

fn print(to: &mut impl Write, bytes: &[u8]) -> Result<(), Failure> {
    let written = to.write_all(bytes).and_then(|()| to.flush());
    written.map_err(|error| Failure::local("the standard output", error))
}

fn body(value: &str) -> Result<String, Failure> {
    let bytes = match value {
        "-" => {
            let mut bytes = Vec::new();
            let read = io::stdin().lock().read_to_end(&mut bytes);
            read.map_err(|error| Failure::local("the standard input", error))?;
            bytes
        }
        text => text.as_bytes().to_vec(),
    };
    serde_json::to_string(&ValueRequest::of(bytes))
        .map_err(|error| Failure::Usage(error.to_string()))
}

fn deleted(reply: &Reply, key: Option<&str>) -> Result<String, Failure> {
    Ok(match key {
        Some(key) => format!("{} is gone", quoted(key)),
        None => {
            let emptied: Emptied = reply.read()?;
            format!("{} keys are gone", emptied.removed)
        }
    })
}

fn table(view: &BucketView, style: &Style) -> String {
    let mut table = Table::new(["KEY", "SIZE", "VALUE"]);
    for item in &view.items {
        table.row([
            item.key.as_str().into(),
            size(item.size_bytes as u64).into(),
            value(item).into(),
        ]);
    }
    let usage = &view.usage;
    let mut text = table.show(style);
    text.push_str(&format!(
        "{} keys of at most {}, {} of at most {}\n",
        usage.keys,
        usage.keys_max,
        size(usage.bytes),
        size(usage.bytes_max)
    ));
    if let Some(next) = &view.next {
        text.push_str(&format!("more with --after {}\n", quoted(next)));
    }
    text
}

fn value(item: &KeyValueView) -> String {
    let Some(text) = &item.text else {
        return "(no text)".to_owned();
    };
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.clone(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_listing_shows_what_there_is_and_how_full_it_is() {
        let view: BucketView = serde_json::from_value(serde_json::json!({
            "items": [
                {"key": "n", "text": "7", "value_base64": "Nw==", "size_bytes": 1},
                {"key": "a\u{1b}b", "value_base64": "/wAQ", "size_bytes": 3},
                {"key": "long", "text": "x".repeat(99), "value_base64": "", "size_bytes": 99},
            ],
            "next": "long",
            "usage": {"keys": 4, "keys_max": 10, "bytes": 2048, "bytes_max": 4096},
        }))
        .unwrap();
        let text = table(&view, &Style::plain(0));
        assert!(
            text.contains("4 keys of at most 10, 2.0 KiB of at most 4.0 KiB"),
            "{text}"
        );
        assert!(
            text.contains("(no text)") && text.contains("--after"),
            "{text}"
        );
        assert!(
            !text.contains('\u{1b}') && !text.contains(&"x".repeat(61)),
            "{text}"
        );
    }
}
