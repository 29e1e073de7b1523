//! `wxhost handler deploy`: a component goes up, and what became of it is shown.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::PathBuf,
    time::Instant,
};

use clap::Args;

use super::{about, encode, entry, followup, reached, scope, unreadable, versions};
use crate::{
    cli::{
        client::Client,
        failure::Failure,
        output::{Printed, Style, size},
        parse,
        project::{HandlerToml, Project},
    },
    domain::{
        AccountId, HandlerName,
        handler::{
            ActFor, BadHostRule, CallLimit, DeployChange, HostRule, Instances, Manifest, Schedule,
            Scope, Used, Version, WhenFailing, sorted,
        },
    },
    edge::control::wire::{DeployOptions, DeployView, HandlerView, RolloutRequest},
};

/// `wxhost handler deploy`.
#[derive(Args)]
pub struct DeployArgs {
    /// Lower case letters, digits and hyphens [default: what handler.toml says]
    #[arg(value_parser = parse::handler_name)]
    name: Option<HandlerName>,
    /// The component, a .wasm file [default: what handler.toml says]
    file: Option<PathBuf>,
    /// The project: its handler.toml or the folder with it. Read when no FILE is given [default:
    /// the nearest handler.toml, here or above]
    #[arg(long, value_name = "PATH")]
    manifest: Option<PathBuf>,
    /// Sets an entry of its configuration in the same step; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = entry)]
    config: Vec<(String, String)>,
    /// Whom to bind it to, in place of what handler.toml says: an id, label:NAME, or '*' (in
    /// quotes) for all that have no binding of their own; may be given several times
    #[arg(long, value_name = "ID|*")]
    account: Vec<String>,
    /// Binds it to nobody
    #[arg(long, conflicts_with = "account")]
    no_bind: bool,
    /// A word about this version, shown by `versions`
    #[arg(long, default_value = "")]
    note: String,
    /// Who deploys it [default: your name on this machine]
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
    #[command(flatten)]
    to: ShareArgs,
    #[command(flatten)]
    grants: GrantArgs,
}

/// What a version is granted. Without any of these: what handler.toml says, or the
/// version before was.
#[derive(Args)]
#[command(
    next_help_heading = "What it is granted (as handler.toml says, or as the version before)"
)]
struct GrantArgs {
    /// The messages that the account itself writes
    #[arg(long)]
    own_messages: bool,
    /// A bucket that all its accounts have in common, beside one for each
    #[arg(long)]
    shared_bucket: bool,
    /// Calls over HTTP to this host, such as https://api.example.com; may be given
    /// several times. `https://*.example.com` is every name below it, `https://*` every
    /// host of the Internet. This machine and private networks need an address, or a
    /// name with its port: http://127.0.0.1:8080
    #[arg(long, value_name = "RULE", value_parser = host_rule)]
    allow_host: Vec<HostRule>,
    /// Is called at these times, for each of its accounts; may be given several times.
    /// CRON: minute, hour, day of the month, month, day of the week. ZONE: IANA's name,
    /// UTC if it is left out
    #[arg(long, value_name = "NAME=CRON[@ZONE]", value_parser = Schedule::parse)]
    schedule: Vec<Schedule>,
    /// Of an endpoint: anybody may call it, without a token
    #[arg(long)]
    public: bool,
    /// Of an endpoint: it may act for this account, or for all with '*' (in quotes); may
    /// be given several times
    #[arg(long, value_name = "ID|*", value_parser = scope)]
    act_for: Vec<Scope>,
    /// What becomes of an account's events while it is paused there since it keeps
    /// failing: pass-by (unless told), or wait
    #[arg(long, value_name = "pass-by|wait", value_parser = when_failing)]
    when_failing: Option<WhenFailing>,
    /// What one of its calls may use, such as cpu_ms=200, in place of the host's setting;
    /// may be given several times. At most what the host's limits.ceiling allows
    #[arg(long, value_name = "NAME=VALUE", value_parser = limit)]
    limit: Vec<(CallLimit, u64)>,
    /// Which instances its events run in. per-account: an account's next event may find
    /// what this one has left in the bot's memory
    #[arg(long, value_name = "fresh|per-account", value_parser = instances)]
    instances: Option<Instances>,
}

fn when_failing(text: &str) -> Result<WhenFailing, &'static str> {
    let found = WhenFailing::ALL.into_iter().find(|it| it.as_str() == text);
    found.ok_or("takes pass-by or wait")
}

fn limit(text: &str) -> Result<(CallLimit, u64), String> {
    let (name, value) = text.split_once('=').ok_or("a limit is NAME=VALUE")?;
    let value = value
        .parse()
        .map_err(|_| format!("{name}: {value:?} is no whole number"))?;
    Ok((name.parse()?, value))
}

fn instances(text: &str) -> Result<Instances, &'static str> {
    match text {
        "fresh" => Ok(Instances::Fresh),
        "per-account" => Ok(Instances::PerAccount),
        _ => Err("takes fresh or per-account"),
    }
}

fn host_rule(text: &str) -> Result<HostRule, BadHostRule> {
    text.parse()
}

/// Whom a version serves.
#[derive(Args)]
#[command(next_help_heading = "Whom it serves at first (everybody if nothing is given)")]
pub struct ShareArgs {
    /// So many of a hundred accounts; always the same ones, and more as it grows
    #[arg(long, value_name = "1-100", value_parser = clap::value_parser!(u8).range(1..=100))]
    percent: Option<u8>,
    /// This account; may be given several times
    #[arg(long, value_name = "ID", value_parser = parse::account, conflicts_with = "percent")]
    to_account: Vec<AccountId>,
    /// Goes back by itself when more of its calls fail, in percent
    #[arg(long, value_name = "0-100", value_parser = clap::value_parser!(u8).range(0..=100))]
    failures_percent: Option<u8>,
}

/// Who we are: as the environment says, else by the user's id.
fn user() -> String {
    let names = ["USER", "LOGNAME"].into_iter();
    let mut named = names.filter_map(|name| env::var(name).ok());
    let uid = uzers::get_current_uid();
    named
        .find(|name| !name.is_empty())
        .or_else(|| {
            let user = uzers::get_user_by_uid(uid)?;
            Some(user.name().to_string_lossy().into_owned())
        })
        .unwrap_or_else(|| format!("uid {uid}"))
}

impl ShareArgs {
    /// None when it is to serve everybody.
    pub fn request(self) -> Result<Option<RolloutRequest>, Failure> {
        let accounts: BTreeSet<_> = self.to_account.into_iter().collect();
        let accounts = Some(accounts).filter(|ids| !ids.is_empty());
        if self.percent.is_none() && accounts.is_none() {
            return match self.failures_percent {
                None => Ok(None),
                Some(_) => Err(Failure::Usage(
                    "--failures-percent goes with --percent or --to-account".to_owned(),
                )),
            };
        }
        Ok(Some(RolloutRequest {
            version: None,
            percent: self.percent,
            accounts,
            failures_percent: self.failures_percent,
        }))
    }
}

impl GrantArgs {
    /// What is given goes before what the file says; none when neither says anything.
    fn over(self, file: Option<Manifest>) -> Result<Option<Manifest>, Failure> {
        let is_given = file.is_some();
        let mut manifest = file.unwrap_or_default();
        manifest.own_messages |= self.own_messages;
        manifest.shared_bucket |= self.shared_bucket;
        manifest.public |= self.public;
        if !self.act_for.is_empty() {
            let act_for = ActFor::new(self.act_for.into_iter().collect());
            manifest.act_for =
                act_for.map_err(|problem| Failure::Usage(format!("--act-for {problem}")))?;
        }
        if !self.allow_host.is_empty() {
            manifest.allowed_hosts = sorted(self.allow_host);
        }
        if !self.schedule.is_empty() {
            manifest.schedules = self.schedule;
        }
        if !self.limit.is_empty() {
            let limits = manifest.limits.iter().chain(self.limit);
            manifest.limits = limits.collect();
        }
        manifest.instances = self.instances.unwrap_or(manifest.instances);
        manifest.when_failing = self.when_failing.unwrap_or(manifest.when_failing);
        let is_said = is_given || self.instances.is_some() || self.when_failing.is_some();
        Ok((is_said || manifest != Manifest::default()).then_some(manifest))
    }
}

/// What handler.toml says, or as much of it as there is without one.
#[derive(Default)]
struct Wanted {
    name: Option<HandlerName>,
    component: Vec<u8>,
    manifest: Option<Manifest>,
    config: BTreeMap<String, String>,
    accounts: Vec<String>,
    secrets: BTreeSet<String>,
}

impl Wanted {
    fn of(toml: HandlerToml) -> Result<Self, Failure> {
        Ok(Self {
            manifest: Some(toml.manifest().map_err(Failure::Usage)?),
            config: toml.config(),
            name: Some(toml.name),
            component: Vec::new(),
            accounts: toml.accounts.0,
            secrets: toml.secrets,
        })
    }
}

impl DeployArgs {
    /// Deploys it, and binds it to whom it is for.
    pub async fn run(self, client: &Client, style: &Style, json: bool) -> Result<Printed, Failure> {
        let mut wanted = self.wanted()?;
        let name = self.name.or(wanted.name).ok_or_else(|| {
            Failure::Usage("no name is given, and there is no handler.toml".to_owned())
        })?;
        wanted.config.extend(self.config);
        let accounts = match (self.no_bind, self.account.is_empty()) {
            (true, _) => Vec::new(),
            (false, true) => wanted.accounts,
            (false, false) => self.account,
        };
        let options = DeployOptions {
            manifest: self.grants.over(wanted.manifest)?,
            config: wanted.config,
            by: self.by.unwrap_or_else(user),
            note: self.note,
            rollout: self.to.request()?,
        };
        let start = Instant::now();
        let reply = match client
            .deploy(name.as_str(), wanted.component, &options)
            .await
        {
            Ok(reply) => reply,
            Err(failure) => {
                return Err(followup::named_in(failure, client, &name, &wanted.secrets).await);
            }
        };
        let took = start.elapsed();
        let bound = followup::bind(client, &name, &accounts).await?;
        // With what it is bound to now: the answer is from before that.
        let mut done: DeployView = reply.read()?;
        if !bound.is_empty() {
            let now = client.get(&["handlers", name.as_str()], &[]).await?;
            done.handler = now.read()?;
            done.handler.reaches = followup::reaches(client, &name).await?;
        }
        let warnings = reached::warnings(&done.handler);
        if json {
            let text = reached::warned(encode(&done)?, &warnings, json);
            return Ok(Printed::ok(text));
        }
        let mut text = format!(
            "{} in {:.1} s ({})\n{}",
            headline(&done),
            took.as_secs_f64(),
            how(done.compile_ms, &done.tried),
            about(&of_version(done.handler, &done.deployed), style)
        );
        if let Some(token) = &done.token {
            text.push_str(&super::token::shown(token));
        }
        for line in bound {
            text.push_str(&line);
        }
        let missing = followup::missing(client, &name, &wanted.secrets).await?;
        text.push_str(&followup::how_to_set(&name, &missing));
        Ok(Printed::ok(reached::warned(text, &warnings, json)))
    }

    /// What is to be deployed: the file, or the project.
    fn wanted(&self) -> Result<Wanted, Failure> {
        let project = match (&self.manifest, &self.file) {
            (None, Some(_)) => None,
            (manifest, _) => Some(Project::open(manifest.as_deref())?),
        };
        let component = match (&self.file, &project) {
            (Some(file), _) => fs::read(file).map_err(|error| unreadable(file, &error))?,
            (None, Some(project)) => project.read_component()?,
            (None, None) => Vec::new(),
        };
        let wanted = project.map(|it| Wanted::of(it.toml)).transpose()?;
        Ok(Wanted {
            component,
            ..wanted.unwrap_or_default()
        })
    }
}

/// The handler with the facts of this version, which may serve some only.
fn of_version(handler: HandlerView, version: &Version) -> HandlerView {
    let version = version.clone();
    HandlerView {
        version: version.number,
        digest: version.digest,
        size_bytes: version.size_bytes,
        world: version.world,
        imports: version.imports,
        manifest: version.manifest,
        deployed_ms: version.deployed_ms,
        by: version.by,
        note: version.note,
        ..handler
    }
}

fn headline(done: &DeployView) -> String {
    let (name, number) = (&done.handler.name, done.deployed.number);
    match done.change {
        DeployChange::Created => format!("deployed {name}, version {number}"),
        DeployChange::Replaced => format!("replaced {name}: version {number} serves"),
        DeployChange::RolledOut => {
            let rollout = done.handler.rollout.as_ref();
            let whom = rollout.map(|it| versions::shared(&done.handler, it));
            let whom = whom.unwrap_or_else(|| "some".to_owned());
            format!("deployed {name}: version {number} serves {whom}")
        }
        DeployChange::Unchanged => format!("{name} is unchanged: version {number} is the same"),
    }
}

/// What the host did with it, for how long.
fn how(compile_ms: u64, tried: &Used) -> String {
    let compiled = match compile_ms {
        0 => "compiled before".to_owned(),
        ms => format!("compiled in {:.1} s", ms as f64 / 1000.0),
    };
    format!(
        "{compiled}; tried out in {:.1} ms with {}",
        tried.wall_us as f64 / 1000.0,
        size(tried.memory_bytes)
    )
}
