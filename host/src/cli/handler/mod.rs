//! `wxhost handler …`: deploying bots and saying whom they serve.

mod config;
mod deploy;
mod failures;
mod followup;
mod invoke;
mod logs;
mod pauses;
mod reached;
mod replay;
mod schedules;
mod secret;
mod token;
mod versions;

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use clap::{Args, Subcommand};

use self::{
    config::ConfigArgs,
    deploy::DeployArgs,
    failures::FailuresArgs,
    invoke::InvokeArgs,
    logs::LogsArgs,
    pauses::{PausesArgs, ResumeArgs},
    schedules::FireArgs,
    secret::SecretArgs,
    versions::{RollbackArgs, RolloutArgs},
};
use super::{
    client::Client,
    failure::Failure,
    output::{Printed, Style, Table, facts, harmless, size},
    parse,
};
use crate::{
    domain::{
        HandlerName,
        handler::{
            CALLBACK_WORLD, HostRule, Manifest, Reach, Reached, Scope, VersionNumber, WhenFailing,
        },
        id::BadId,
    },
    edge::control::wire::{BindRequest, BoundView, HandlerView, List, RolloutView},
};

/// How much of a digest tables show: enough to tell two apart.
const DIGEST_SHOWN_CHARS: usize = 12;

const EXAMPLES: &str = "\
Examples:
  wxhost handler deploy                          what handler.toml says, here or above
  wxhost handler deploy echo target/wasm32-wasip2/release/echo.wasm
  wxhost handler deploy faq faq.wasm --percent 10  a new version for one account in ten
  wxhost handler invoke faq --text price?          what it would do
  wxhost handler invoke faq --replay wxid_a --version 7  what it would have said to the last events
  wxhost handler promote faq                     and then for all
  wxhost handler rollback faq                    or back to the version before
  wxhost handler deploy faq faq.wasm --schedule 'daily=0 8 * * 1-5@Asia/Shanghai'
  wxhost handler deploy faq faq.wasm --limit cpu_ms=1000 --limit memory_bytes=134217728
  wxhost handler fire faq daily --account wxid_a   the same now, for one account
  wxhost handler bind echo --account '*'         every account without a bot of its own
  wxhost handler bind faq --account wxid_a       one account
  wxhost handler bind faq --account label:shop   those with a label that have no bot of their own
  wxhost handler bind gatekeeper --callback      decides who may log in
  wxhost handler deploy hook webhook.wasm --act-for wxid_a  an endpoint, at /x/hook/
  wxhost handler token hook                      a new token for those who call it
  wxhost handler config faq greeting='Hello!'    what the bot reads as its configuration
  wxhost handler config faq city=Bern --account wxid_a  and something else for one account
  wxhost handler logs faq -f --account wxid_a    what it says, as it says it
  wxhost handler failures faq                    how it failed; with an ID, one in full
  wxhost handler secret set faq api-key          asked for, or from stdin; never shown again";

/// `wxhost handler`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct HandlerArgs {
    #[command(subcommand)]
    command: HandlerCommand,
    /// Print the API's JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum HandlerCommand {
    /// Upload a component under a name; what the name is bound to runs it from then on
    ///
    /// Without NAME and FILE it is the project's that we are in: handler.toml says what goes
    /// with the component, and to whom it is bound. Answers once it has been compiled, linked,
    /// started and called with an event that asks for nothing. Whatever fails before that
    /// changes nothing.
    Deploy(DeployArgs),
    /// Call a bot with an event that you make up, or with recorded ones, and show what it
    /// would do: nothing is done
    Invoke(InvokeArgs),
    /// List the versions that can be gone back to, newest first
    Versions {
        /// Which
        #[arg(value_parser = parse::handler_name)]
        name: HandlerName,
    },
    /// Go back: a rollout ends, else the version before serves again
    ///
    /// What bots have written to their buckets stays as it is: an older version must
    /// be able to read it.
    Rollback(RollbackArgs),
    /// Have a newer version serve some accounts, or more of them
    Rollout(RolloutArgs),
    /// Have the version that serves some serve everybody
    Promote {
        /// Which
        #[arg(value_parser = parse::handler_name)]
        name: HandlerName,
    },
    /// List the schedules of the versions that serve, with their next and last times
    Schedules {
        /// Whose
        #[arg(value_parser = parse::handler_name)]
        name: HandlerName,
    },
    /// Fire a schedule now, for every account that has it or for one
    ///
    /// Its own times stay as they are.
    Fire(FireArgs),
    /// Make a new token for the callers of an endpoint; the one before is worth nothing then
    Token {
        /// Which
        #[arg(value_parser = parse::handler_name)]
        name: HandlerName,
    },
    /// List the accounts and conversations for which a handler is paused, since it keeps
    /// failing there
    Pauses(PausesArgs),
    /// Have a handler called for an account and all its conversations again, although it
    /// kept failing there
    ///
    /// Events that have waited come first.
    Resume(ResumeArgs),
    /// List what is deployed
    List,
    /// Show one handler
    Show {
        /// Which
        #[arg(value_parser = parse::handler_name)]
        name: HandlerName,
    },
    /// Remove a handler that serves nobody, with its versions, configuration and secrets
    ///
    /// What it keeps for accounts stays: see `wxhost kv`.
    Remove {
        /// Which
        #[arg(value_parser = parse::handler_name)]
        name: HandlerName,
    },
    /// Let a handler serve an account, those with a label, all others, or the callback
    Bind {
        /// Which
        #[arg(value_parser = parse::handler_name)]
        name: HandlerName,
        #[command(flatten)]
        whom: Whom,
    },
    /// Take away what an account or the callback is bound to
    Unbind {
        #[command(flatten)]
        whom: Whom,
    },
    /// Set single entries of a handler's configuration, or list them when none is given
    ///
    /// A change needs no deployment and takes effect with the next event.
    Config(ConfigArgs),
    /// Show what a handler logs and prints; with --follow, as it comes
    ///
    /// The newest lines of each of its accounts are kept, those of failed calls too. What
    /// is said while a bot is tried out (`deploy`, `invoke`) is not.
    Logs(LogsArgs),
    /// List how a handler failed, newest first, or show one failure in full
    Failures(FailuresArgs),
    /// What only the bot may know: set, listed by key, removed, and never shown
    Secret(SecretArgs),
}

/// Whom a handler serves.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Whom {
    /// An account's id, label:NAME for all with a label, or '*' (in quotes) for all others
    #[arg(long, value_name = "ID|label:NAME|*", value_parser = scope)]
    account: Option<Scope>,
    /// The callback itself: who may log in, and what is answered to what no bot knows
    #[arg(long)]
    callback: bool,
}

impl Whom {
    fn scope(self) -> Scope {
        // One of the two is given: what is no account is the callback.
        self.account.unwrap_or(Scope::Callback)
    }
}

fn scope(text: &str) -> Result<Scope, BadId> {
    text.to_owned().try_into()
}

/// A key and its value, as an argument.
pub(super) fn entry(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("an entry is KEY=VALUE"),
    }
}

impl HandlerArgs {
    /// Asks the host.
    pub(super) async fn run(self, client: &Client, style: &Style) -> Result<Printed, Failure> {
        let json = self.json;
        match self.command {
            HandlerCommand::Deploy(deploy) => deploy.run(client, style, json).await,
            HandlerCommand::Invoke(invoke) => invoke.run(client, style, json).await,
            HandlerCommand::Versions { name } => {
                versions::versions(client, style, json, &name).await
            }
            HandlerCommand::Rollback(rollback) => rollback.run(client, style, json).await,
            HandlerCommand::Rollout(rollout) => rollout.run(client, style, json).await,
            HandlerCommand::Promote { name } => versions::promote(client, style, json, &name).await,
            HandlerCommand::Schedules { name } => {
                schedules::schedules(client, style, json, &name).await
            }
            HandlerCommand::Fire(fire) => fire.run(client, json).await,
            HandlerCommand::Token { name } => token::renew(client, json, &name).await,
            HandlerCommand::Pauses(pauses) => pauses.run(client, style, json).await,
            HandlerCommand::Resume(resume) => resume.run(client, json).await,
            HandlerCommand::List => list(client, style, json).await,
            HandlerCommand::Show { name } => show(client, style, json, &name).await,
            HandlerCommand::Remove { name } => remove(client, json, &name).await,
            HandlerCommand::Bind { name, whom } => bind(client, json, name, whom.scope()).await,
            HandlerCommand::Unbind { whom } => unbind(client, json, whom.scope()).await,
            HandlerCommand::Config(config) => config.run(client, style, json).await,
            HandlerCommand::Logs(logs) => logs.run(client, style, json).await,
            HandlerCommand::Failures(failures) => failures.run(client, style, json).await,
            HandlerCommand::Secret(secret) => secret.run(client, style, json).await,
        }
    }
}

fn unreadable(file: &Path, error: &io::Error) -> Failure {
    Failure::Usage(format!("{}: {error}", file.display()))
}

async fn list(client: &Client, style: &Style, json: bool) -> Result<Printed, Failure> {
    let reply = client.get(&["handlers"], &[]).await?;
    if json {
        return Ok(Printed::ok(reply.text));
    }
    let list: List<HandlerView> = reply.read()?;
    if list.items.is_empty() {
        return Ok(Printed::ok(
            "nothing is deployed yet: `wxhost handler deploy NAME FILE`",
        ));
    }
    let mut table = Table::new(["NAME", "DIGEST", "SIZE", "WORLD", "DEPLOYED", "SERVES"]);
    for handler in &list.items {
        let digest = handler.digest.to_string();
        table.row([
            handler.name.as_str().into(),
            digest.get(..DIGEST_SHOWN_CHARS).unwrap_or(&digest).into(),
            size(handler.size_bytes).into(),
            handler.world.as_str().into(),
            style.ago(handler.deployed_ms).into(),
            serves(handler).into(),
        ]);
    }
    Ok(Printed::ok(table.show(style)))
}

async fn show(
    client: &Client,
    style: &Style,
    json: bool,
    name: &HandlerName,
) -> Result<Printed, Failure> {
    let reply = client.get(&["handlers", name.as_str()], &[]).await?;
    if json {
        return Ok(Printed::ok(reply.text));
    }
    let handler: HandlerView = reply.read()?;
    let named = facts(&[("name", name.to_string())], style);
    Ok(Printed::ok(format!("{named}{}", about(&handler, style))))
}

/// The handler, and the version that serves some of its accounts with what differs there.
fn about(handler: &HandlerView, style: &Style) -> String {
    let mut text = about_serving(handler, style);
    if let Some(rollout) = &handler.rollout {
        text.push_str("\nthe version of the rollout\n");
        text.push_str(&about_newer(rollout, style));
    }
    text
}

fn about_newer(newer: &RolloutView, style: &Style) -> String {
    let mut known = vec![
        ("version", version(newer.version, &newer.by, &newer.note)),
        ("digest", newer.digest.to_string()),
    ];
    // A host of before does not tell: that is not the same as none.
    if !newer.world.is_empty() {
        known.extend([
            ("world", newer.world.clone()),
            ("size", size(newer.size_bytes)),
            ("deployed", style.when(newer.deployed_ms)),
            ("imports", or_none(newer.imports.join("\n"))),
            ("granted", or_none(granted(&newer.manifest))),
        ]);
    }
    known.push(("serves", versions::share(newer)));
    facts(&known, style)
}

fn or_none(text: String) -> String {
    match text.is_empty() {
        true => "none".to_owned(),
        false => text,
    }
}

fn about_serving(handler: &HandlerView, style: &Style) -> String {
    let serves = if let Some(path) = &handler.path {
        endpoint(handler, path)
    } else if handler.bindings.is_empty() {
        let scope = match handler.world.as_str() {
            CALLBACK_WORLD => "--callback",
            _ => "--account '*'",
        };
        format!("nobody yet: `wxhost handler bind {} {scope}`", handler.name)
    } else {
        reached::bindings(handler)
    };
    let mut known = vec![
        (
            "version",
            version(handler.version, &handler.by, &handler.note),
        ),
        ("digest", handler.digest.to_string()),
        ("world", handler.world.clone()),
        ("size", size(handler.size_bytes)),
        ("deployed", style.when(handler.deployed_ms)),
        ("imports", or_none(handler.imports.join("\n"))),
        ("config", or_none(handler.config_keys.join("\n"))),
        ("granted", or_none(granted(&handler.manifest))),
        ("serves", serves),
    ];
    if let Some(count) = handler.paused_accounts.filter(|count| *count > 0) {
        let list = format!("`wxhost handler pauses {}`", handler.name);
        known.push(("paused", format!("for {count} accounts: {list}")));
    }
    if let Some(rollout) = &handler.rollout {
        known.push((
            "rollout",
            format!(
                "version {} serves {}; {} of its {} calls failed, at most {} % may",
                rollout.version,
                versions::share(rollout),
                rollout.failures,
                rollout.calls,
                rollout.failures_percent
            ),
        ));
    }
    if let Some(returned) = &handler.returned {
        let (number, when) = (returned.version, style.ago(returned.at_ms));
        known.push((
            "returned",
            format!("version {number}, {when}: {}", returned.reason),
        ));
    }
    facts(&known, style)
}

/// Where an endpoint answers, and whom.
fn endpoint(handler: &HandlerView, path: &str) -> String {
    let whom = match handler.manifest.public {
        true => "anybody",
        false => "whoever has its token",
    };
    format!("{path} of this host, to {whom}")
}

/// Whom it serves, and for how many it is paused, in a table.
fn serves(handler: &HandlerView) -> String {
    if let Some(path) = &handler.path {
        return path.clone();
    }
    let serves = scopes(&handler.bindings, ", ");
    match handler.paused_accounts {
        None | Some(0) => serves,
        Some(count) => format!("{serves} (paused for {count})"),
    }
}

fn version(number: VersionNumber, by: &str, note: &str) -> String {
    let mut words = vec![number.to_string()];
    if !by.is_empty() {
        words.push(format!("by {}", harmless(by)));
    }
    if !note.is_empty() {
        words.push(format!("({})", harmless(note)));
    }
    words.join(" ")
}

/// What the version may do beyond answering.
fn granted(manifest: &Manifest) -> String {
    let grants = [
        (manifest.own_messages, "own messages"),
        (manifest.shared_bucket, "shared bucket"),
        (
            !manifest.instances.are_fresh(),
            "an instance kept per account",
        ),
    ];
    let mut granted: Vec<_> = grants
        .into_iter()
        .filter(|(has, _)| *has)
        .map(|(_, name)| name.to_owned())
        .chain(manifest.allowed_hosts.iter().map(allowed))
        .collect();
    let schedules = manifest.schedules.iter();
    granted.extend(schedules.map(|it| format!("schedule {} ({} {})", it.name, it.cron, it.zone)));
    let act_for = manifest.act_for.iter().cloned().map(String::from);
    granted.extend(act_for.map(|id| format!("act for {}", harmless(&id))));
    if manifest.when_failing == WhenFailing::Wait {
        granted.push("events wait while it keeps failing".to_owned());
    }
    let limits = manifest.limits.iter();
    granted.extend(limits.map(|(limit, value)| format!("limit {limit}={value}")));
    granted.join("\n")
}

/// A rule, and that it reaches further than its text says at first sight.
fn allowed(rule: &HostRule) -> String {
    match rule.reach() {
        Reach::Internal => format!("{rule} (reaches private addresses)"),
        Reach::Public | Reach::Listed => rule.to_string(),
    }
}

fn scopes(scopes: &[Scope], between: &str) -> String {
    let words: Vec<String> = scopes.iter().cloned().map(String::from).collect();
    words.join(between)
}

/// Whom a scope means, in a sentence.
fn whom(scope: &Scope) -> String {
    match scope {
        Scope::All => "every account that has no binding of its own or by a label".to_owned(),
        Scope::Callback => "the callback itself".to_owned(),
        Scope::Label(label) => {
            format!("every account with the label {label} that has no binding of its own")
        }
        Scope::Account(id) => harmless(id.as_str()),
    }
}

async fn remove(client: &Client, json: bool, name: &HandlerName) -> Result<Printed, Failure> {
    let reply = client.delete(&["handlers", name.as_str()]).await?;
    if json {
        return Ok(Printed::ok(reply.text));
    }
    Ok(Printed::ok(format!("removed {name}")))
}

async fn bind(
    client: &Client,
    json: bool,
    handler: HandlerName,
    account: Scope,
) -> Result<Printed, Failure> {
    let mut done = format!("{handler} serves {} from now on", whom(&account));
    let path = ["bindings", &String::from(account.clone())];
    let reply = client.put(&path, encode(&BindRequest { handler })?).await?;
    let reached = reply.read::<BoundView>()?.reaches;
    if let Some(reached) = reached {
        done.push_str(&format!(" ({})", reached::of_scope(&account, reached)));
    }
    let nobody = reached.filter(Reached::is_nobody);
    let warnings: Vec<_> = nobody
        .map(|_| reached::unreached(&account))
        .into_iter()
        .collect();
    let text = if json { reply.text } else { done };
    Ok(Printed::ok(reached::warned(text, &warnings, json)))
}

async fn unbind(client: &Client, json: bool, account: Scope) -> Result<Printed, Failure> {
    let done = format!("took away the binding of {}", whom(&account));
    let reply = client.delete(&["bindings", &String::from(account)]).await?;
    Ok(Printed::ok(if json { reply.text } else { done }))
}

/// The text of a file, or of stdin for `-`.
pub(super) fn read_text(file: &Path) -> io::Result<String> {
    if file.as_os_str() != "-" {
        return fs::read_to_string(file);
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

/// JSON of what can always be JSON: the error is there for the types' sake.
pub(super) fn encode(value: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::Usage(error.to_string()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::domain::{
        Digest, Handler,
        handler::{Rollout, Share, Version},
    };

    fn handler(bindings: Vec<Scope>) -> HandlerView {
        let handler = Handler {
            version: Version {
                size_bytes: 2048,
                imports: vec!["wxhost:bot/chat@0.1.0".into(), "wasi:config/store".into()],
                ..Version::example(b"x")
            },
            ..Handler::example("echo")
        };
        HandlerView::new(&handler, Vec::new(), bindings, None)
    }

    #[test]
    fn a_handler_that_serves_nobody_says_how_to_bind_it() {
        let text = about(&handler(vec![]), &Style::plain(0));
        assert!(
            text.contains("serves    nobody yet: `wxhost handler bind echo --account '*'`\n"),
            "{text}"
        );
    }

    #[test]
    fn a_handler_is_shown_in_full() {
        let text = about(&handler(vec![Scope::All]), &Style::plain(0));
        let digest = Digest::of(b"x");
        assert_eq!(
            text,
            format!(
                "version   1\n\
                 digest    {digest}\n\
                 world     wxhost:bot/bot@0.1.0\n\
                 size      2.0 KiB\n\
                 deployed  just now (1970-01-01T00:00:00Z)\n\
                 imports   wxhost:bot/chat@0.1.0\n          wasi:config/store\n\
                 config    none\n\
                 granted   none\n\
                 serves    *\n"
            )
        );
    }

    #[test]
    fn a_rollout_shows_what_differs_in_its_version() {
        let newer = Version {
            number: VersionNumber(2),
            manifest: Manifest {
                own_messages: true,
                ..Manifest::default()
            },
            note: "new prices".to_owned(),
            ..Version::example(b"new")
        };
        let handler = Handler {
            rollout: Some(Rollout {
                version: newer,
                to: Share::Percent(10),
                failures_percent: 20,
                began_ms: 0,
            }),
            ..Handler::example("echo")
        };
        let view = HandlerView::new(&handler, Vec::new(), vec![Scope::All], None);
        let text = about(&view, &Style::plain(0));
        let (old, new) = text.split_once("\nthe version of the rollout\n").unwrap();
        assert!(old.contains("granted   none\n"), "{text}");
        assert!(new.contains("version   2 (new prices)\n"), "{text}");
        assert!(new.contains("granted   own messages\n"), "{text}");
        assert!(new.contains(&Digest::of(b"new").to_string()), "{text}");
        assert!(new.ends_with("serves    10 % of the accounts\n"), "{text}");
    }

    #[test]
    fn a_rule_that_reaches_private_addresses_says_so() {
        for (rule, shown) in [
            ("https://a.com", "https://a.com"),
            ("https://*", "https://*"),
            ("http://10.0.0.7", "http://10.0.0.7"),
            (
                "https://a.com:8443",
                "https://a.com:8443 (reaches private addresses)",
            ),
            (
                "http://localhost",
                "http://localhost (reaches private addresses)",
            ),
        ] {
            assert_eq!(allowed(&rule.parse().unwrap()), shown);
        }
    }

    #[test]
    fn an_entry_keeps_what_follows_the_first_sign() {
        assert_eq!(entry("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(entry("a="), Ok(("a".into(), String::new())));
        assert!(entry("=b").is_err());
        assert!(entry("a").is_err());
    }
}
