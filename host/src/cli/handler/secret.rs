//! `wxhost handler secret …`: what only the bot may know. A value comes from stdin or
//! a prompt, never from an argument, which other users of the machine could see.

use std::io::{self, IsTerminal, Read};

use clap::{Args, Subcommand};

use super::config::{entries, query, table, whose};
use crate::{
    cli::{
        client::Client,
        failure::Failure,
        output::{Printed, Style, harmless},
        parse,
    },
    domain::{AccountId, HandlerName, Secret, handler::SECRET_MAX_BYTES},
    edge::control::wire::{ConfigItemView, List},
};

/// `wxhost handler secret`.
#[derive(Args)]
pub struct SecretArgs {
    #[command(subcommand)]
    command: SecretCommand,
}

#[derive(Subcommand)]
enum SecretCommand {
    /// Set a secret: from stdin without its last line break, or asked for at a terminal
    Set(Named),
    /// List the secrets' keys
    List {
        /// Which handler
        #[arg(value_parser = parse::handler_name)]
        name: HandlerName,
        /// Those of this account only
        #[arg(long, value_name = "ID", value_parser = parse::account)]
        account: Option<AccountId>,
    },
    /// Remove a secret
    Remove(Named),
}

/// Which secret.
#[derive(Args)]
struct Named {
    /// Which handler
    #[arg(value_parser = parse::handler_name)]
    name: HandlerName,
    /// Under which key the bot reads it
    key: String,
    /// For this account only: goes before what is set for all
    #[arg(long, value_name = "ID", value_parser = parse::account)]
    account: Option<AccountId>,
}

impl SecretArgs {
    /// Asks the host.
    pub async fn run(self, client: &Client, style: &Style, json: bool) -> Result<Printed, Failure> {
        match self.command {
            SecretCommand::Set(named) => named.set(client, json).await,
            SecretCommand::Remove(named) => named.remove(client, json).await,
            SecretCommand::List { name, account } => {
                list(client, style, json, &name, account.as_ref()).await
            }
        }
    }
}

impl Named {
    fn path(&self) -> [&str; 4] {
        ["handlers", self.name.as_str(), "secrets", &self.key]
    }

    fn done(&self, what: &str) -> Printed {
        let whose = whose(&self.name, self.account.as_ref());
        Printed::ok(format!(
            "{what} the secret {} of {whose}",
            harmless(&self.key)
        ))
    }

    async fn set(self, client: &Client, json: bool) -> Result<Printed, Failure> {
        let secret = ask()?;
        let query = query(self.account.as_ref());
        let reply = client.put_secret(&self.path(), &query, &secret).await?;
        Ok(match json {
            true => Printed::ok(reply.text),
            false => self.done("set"),
        })
    }

    async fn remove(self, client: &Client, json: bool) -> Result<Printed, Failure> {
        let query = query(self.account.as_ref());
        let reply = client.delete_query(&self.path(), &query).await?;
        Ok(match json {
            true => Printed::ok(reply.text),
            false => self.done("removed"),
        })
    }
}

async fn list(
    client: &Client,
    style: &Style,
    json: bool,
    name: &HandlerName,
    account: Option<&AccountId>,
) -> Result<Printed, Failure> {
    let reply = entries(client, name, account).await?;
    let mut list: List<ConfigItemView> = reply.read()?;
    list.items.retain(|item| item.secret);
    if json {
        return Ok(Printed::ok(super::encode(&list)?));
    }
    if list.items.is_empty() {
        let whose = whose(name, account);
        return Ok(Printed::ok(format!(
            "{whose} has no secrets: `wxhost handler secret set {name} KEY`"
        )));
    }
    Ok(Printed::ok(table(&list.items, style)))
}

/// The value: what somebody types unseen, or all of stdin.
fn ask() -> Result<Secret, Failure> {
    let failed = |error: io::Error| Failure::Usage(format!("the secret can't be read: {error}"));
    if io::stdin().is_terminal() {
        let typed = rpassword::prompt_password("secret: ").map_err(failed)?;
        return Ok(typed.into());
    }
    // One byte more than is taken, and a line break: what is too long is not cut.
    let most = SECRET_MAX_BYTES as u64 + 3;
    let mut text = String::new();
    let mut stdin = io::stdin().lock().take(most);
    stdin.read_to_string(&mut text).map_err(failed)?;
    Ok(without_last_break(&text).into())
}

/// What `echo` adds is no part of a secret; a key of several lines keeps all others.
fn without_last_break(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_break_at_the_end_is_no_part_of_it() {
        for (text, secret) in [
            ("a\n", "a"),
            ("a\r\n", "a"),
            ("a", "a"),
            ("a\n\n", "a\n"),
            ("-\nb\n-\n", "-\nb\n-"),
            (" a ", " a "),
            ("\n", ""),
        ] {
            assert_eq!(without_last_break(text), secret, "{text:?}");
        }
    }
}
