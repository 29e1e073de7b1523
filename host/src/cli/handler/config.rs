//! `wxhost handler config`: what people tell a bot, for all of its accounts or for one.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use clap::Args;

use super::{encode, entry, read_text, unreadable};
use crate::{
    cli::{
        client::{Client, Reply},
        failure::Failure,
        output::{Printed, Style, Table, harmless},
        parse,
    },
    domain::{AccountId, HandlerName},
    edge::control::wire::{ConfigItemView, ConfigKeys, List},
};

/// What is shown of a secret.
const DOTS: &str = "••••••";
/// How much of a value a table shows, in characters. `--json` shows all of it.
const VALUE_SHOWN_CHARS: usize = 60;

/// `wxhost handler config`.
#[derive(Args)]
pub struct ConfigArgs {
    /// Which
    #[arg(value_parser = parse::handler_name)]
    name: HandlerName,
    /// Sets one entry; goes before the file's
    #[arg(value_name = "KEY=VALUE", value_parser = entry)]
    entries: Vec<(String, String)>,
    /// For this account only: its entries go before those for all
    #[arg(long, value_name = "ID", value_parser = parse::account)]
    account: Option<AccountId>,
    /// Removes one entry; may be given several times
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
    /// What is given is all there is: other entries go, secrets stay
    #[arg(long, conflicts_with = "unset")]
    replace: bool,
    /// A file with a JSON object of texts, or - for stdin
    #[arg(long, value_name = "JSON")]
    file: Option<PathBuf>,
}

/// The address of a handler's configuration, and whose entries are meant.
pub fn query(account: Option<&AccountId>) -> Vec<(&str, &str)> {
    let id = account.iter().map(|id| ("account", id.as_str()));
    id.collect()
}

impl ConfigArgs {
    /// Shows or changes it.
    pub async fn run(self, client: &Client, style: &Style, json: bool) -> Result<Printed, Failure> {
        let nothing = self.entries.is_empty() && self.unset.is_empty() && self.file.is_none();
        if nothing && !self.replace {
            return self.list(client, style, json).await;
        }
        let reply = self.change(client).await?;
        if json {
            return Ok(Printed::ok(reply.text));
        }
        let keys = reply.read::<ConfigKeys>()?.keys;
        let whose = whose(&self.name, self.account.as_ref());
        Ok(Printed::ok(match keys.len() {
            0 => format!("{whose} has no configuration now"),
            _ => format!("{whose} is configured with {}", harmless(&keys.join(", "))),
        }))
    }

    async fn list(&self, client: &Client, style: &Style, json: bool) -> Result<Printed, Failure> {
        let reply = entries(client, &self.name, self.account.as_ref()).await?;
        if json {
            return Ok(Printed::ok(reply.text));
        }
        let list: List<ConfigItemView> = reply.read()?;
        if list.items.is_empty() {
            let (name, whose) = (&self.name, whose(&self.name, self.account.as_ref()));
            return Ok(Printed::ok(format!(
                "{whose} has no configuration: `wxhost handler config {name} KEY=VALUE`"
            )));
        }
        Ok(Printed::ok(table(&list.items, style)))
    }

    async fn change(&self, client: &Client) -> Result<Reply, Failure> {
        let mut plain = match &self.file {
            Some(file) => read_object(file)?,
            None => BTreeMap::new(),
        };
        plain.extend(self.entries.iter().cloned());
        let both = |key: &&String| plain.contains_key(*key);
        if let Some(key) = self.unset.iter().find(both) {
            let problem = format!("{} is set and unset", harmless(key));
            return Err(Failure::Usage(problem));
        }
        let path = ["handlers", self.name.as_str(), "config"];
        let query = query(self.account.as_ref());
        if self.replace {
            return client.put_query(&path, &query, encode(&plain)?).await;
        }
        let mut changes: BTreeMap<_, _> = plain.iter().map(|(key, it)| (key, Some(it))).collect();
        let unset: BTreeSet<_> = self.unset.iter().collect();
        changes.extend(unset.into_iter().map(|key| (key, None)));
        client.patch(&path, &query, encode(&changes)?).await
    }
}

/// The handler, and the account if one is meant, in a sentence.
pub fn whose(name: &HandlerName, account: Option<&AccountId>) -> String {
    match account {
        Some(id) => format!("{name} for {}", harmless(id.as_str())),
        None => name.to_string(),
    }
}

/// Asks for the entries of one scope.
pub async fn entries(
    client: &Client,
    name: &HandlerName,
    account: Option<&AccountId>,
) -> Result<Reply, Failure> {
    let path = ["handlers", name.as_str(), "config"];
    client.get(&path, &query(account)).await
}

/// Entries, one in a line.
pub fn table(items: &[ConfigItemView], style: &Style) -> String {
    let mut table = Table::new(["KEY", "VALUE", "CHANGED"]);
    for item in items {
        table.row([
            harmless(&item.key).as_str().into(),
            shown(item).as_str().into(),
            style.ago(item.changed_ms).into(),
        ]);
    }
    table.show(style)
}

fn shown(item: &ConfigItemView) -> String {
    match &item.value {
        None if item.unreadable => "unreadable: the host's log says why".to_owned(),
        None => DOTS.to_owned(),
        Some(text) => {
            let text = harmless(text);
            match text.char_indices().nth(VALUE_SHOWN_CHARS) {
                Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
                None => text,
            }
        }
    }
}

fn read_object(file: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let text = read_text(file).map_err(|error| unreadable(file, &error))?;
    serde_json::from_str(&text).map_err(|error| {
        Failure::Usage(format!(
            "{} is no JSON object of texts: {error}",
            file.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(key: &str, value: Option<&str>) -> ConfigItemView {
        ConfigItemView {
            key: key.to_owned(),
            value: value.map(str::to_owned),
            secret: value.is_none(),
            unreadable: false,
            changed_ms: 0,
        }
    }

    #[test]
    fn entries_do_not_steer_the_terminal_and_long_ones_are_cut() {
        let items = [
            item("a\u{1b}[2J\nb", Some("x\u{7}")),
            item("long", Some(&"甲".repeat(70))),
            item("token", None),
        ];
        let text = table(&items, &Style::plain(0));
        assert!(text.contains("a\u{fffd}[2J\u{fffd}b"), "{text}");
        assert!(text.contains("x\u{fffd}"), "{text}");
        let cut = format!("{}…", "甲".repeat(VALUE_SHOWN_CHARS));
        assert!(text.contains(&cut), "{text}");
        assert!(text.contains(DOTS), "{text}");
    }
}
