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
        AccountId, HandlerName, Label,
        handler::{
            ActFor, BadHostRule, CallLimit, DeployChange, HostRule, Instances, Manifest,
            ManifestChange, Schedule, Scope, Used, Version, WhenFailing, sorted,
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

/// What a version is granted. What none of these names is as handler.toml says, or as the
/// version before was.
#[derive(Args, Default)]
#[command(
    next_help_heading = "What it is granted (else as handler.toml says, or as the version before)"
)]
struct GrantArgs {
    /// The messages that the account itself writes
    #[arg(long, overrides_with = "no_own_messages")]
    own_messages: bool,
    /// Takes --own-messages back
    #[arg(long, overrides_with = "own_messages")]
    no_own_messages: bool,
    /// A bucket that all its accounts have in common, beside one for each
    #[arg(long, overrides_with = "no_shared_bucket")]
    shared_bucket: bool,
    /// Takes --shared-bucket back
    #[arg(long, overrides_with = "shared_bucket")]
    no_shared_bucket: bool,
    /// Calls over HTTP to this host, such as https://api.example.com; may be given
    /// several times, and all that are given replace those of before.
    /// `https://*.example.com` is every name below it, `https://*` every host of the
    /// Internet. This machine and private networks need an address, or a name with its
    /// port: http://127.0.0.1:8080
    #[arg(long, value_name = "RULE", value_parser = host_rule)]
    allow_host: Vec<HostRule>,
    /// No host any more
    #[arg(long, conflicts_with = "allow_host")]
    no_allow_host: bool,
    /// Is called at these times, for each of its accounts; may be given several times, and
    /// all that are given replace those of before.
    /// CRON: minute, hour, day of the month, month, day of the week. ZONE: IANA's name,
    /// UTC if it is left out
    #[arg(long, value_name = "NAME=CRON[@ZONE]", value_parser = Schedule::parse)]
    schedule: Vec<Schedule>,
    /// No schedule any more
    #[arg(long, conflicts_with = "schedule")]
    no_schedule: bool,
    /// Of an endpoint: anybody may call it, without a token
    #[arg(long, overrides_with = "no_public")]
    public: bool,
    /// Takes --public back: its callers need a token
    #[arg(long, overrides_with = "public")]
    no_public: bool,
    /// Of an endpoint: it may act for this account, or for all with '*' (in quotes); may
    /// be given several times, and all that are given replace those of before
    #[arg(long, value_name = "ID|*", value_parser = scope)]
    act_for: Vec<Scope>,
    /// For nobody any more
    #[arg(long, conflicts_with = "act_for")]
    no_act_for: bool,
    /// What becomes of an account's events while it is paused there since it keeps
    /// failing: pass-by (unless told), or wait
    #[arg(long, value_name = "pass-by|wait", value_parser = when_failing)]
    when_failing: Option<WhenFailing>,
    /// What one of its calls may use, such as cpu_ms=200, in place of the host's setting;
    /// may be given several times, and others stay. At most what the host's limits.ceiling
    /// allows
    #[arg(long, value_name = "NAME=VALUE", value_parser = limit)]
    limit: Vec<(CallLimit, u64)>,
    /// None of the limits of before stays
    #[arg(long)]
    no_limit: bool,
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
    /// Accounts that have this label, whenever they get or lose it; may be given several
    /// times
    #[arg(
        long, value_name = "LABEL", value_parser = parse::label,
        conflicts_with_all = ["percent", "to_account"]
    )]
    to_label: Vec<Label>,
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
        let labels: BTreeSet<_> = self.to_label.into_iter().collect();
        let labels = Some(labels).filter(|labels| !labels.is_empty());
        if self.percent.is_none() && accounts.is_none() && labels.is_none() {
            return match self.failures_percent {
                None => Ok(None),
                Some(_) => Err(Failure::Usage(
                    "--failures-percent goes with --percent, --to-account or --to-label".to_owned(),
                )),
            };
        }
        Ok(Some(RolloutRequest {
            version: None,
            percent: self.percent,
            accounts,
            labels,
            failures_percent: self.failures_percent,
        }))
    }
}

impl GrantArgs {
    /// What is given, and nothing else.
    fn change(self) -> Result<ManifestChange, Failure> {
        let act_for = listed(self.act_for, self.no_act_for);
        let act_for = act_for.map(|ids| ActFor::new(ids.into_iter().collect()));
        let act_for = act_for.transpose();
        Ok(ManifestChange {
            own_messages: said(self.own_messages, self.no_own_messages),
            shared_bucket: said(self.shared_bucket, self.no_shared_bucket),
            allowed_hosts: listed(self.allow_host, self.no_allow_host).map(sorted),
            schedules: listed(self.schedule, self.no_schedule),
            public: said(self.public, self.no_public),
            act_for: act_for.map_err(|problem| Failure::Usage(format!("--act-for {problem}")))?,
            when_failing: self.when_failing,
            no_limits: self.no_limit,
            limits: self.limit.into_iter().collect(),
            instances: self.instances,
        })
    }
}

/// What two flags say, one of which takes back what the other gives.
fn said(yes: bool, no: bool) -> Option<bool> {
    (yes || no).then_some(yes)
}

/// The whole list; none when nothing is said about it.
fn listed<T>(items: Vec<T>, none: bool) -> Option<Vec<T>> {
    (none || !items.is_empty()).then_some(items)
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
            manifest: wanted.manifest,
            grants: self.grants.change()?,
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        grants: GrantArgs,
    }

    fn change(words: &[&str]) -> ManifestChange {
        let words = std::iter::once(&"deploy").chain(words);
        Line::try_parse_from(words)
            .unwrap()
            .grants
            .change()
            .unwrap()
    }

    #[test]
    fn flags_change_what_they_name_and_nothing_else() {
        assert!(change(&[]).is_empty());
        let public = change(&["--no-public", "--limit", "cpu_ms=9"]);
        let wanted = ManifestChange {
            public: Some(false),
            limits: [("cpu_ms".parse().unwrap(), 9)].into_iter().collect(),
            ..ManifestChange::default()
        };
        assert_eq!(public, wanted);
        let none = change(&[
            "--no-allow-host",
            "--no-schedule",
            "--no-act-for",
            "--no-limit",
        ]);
        let wanted = ManifestChange {
            allowed_hosts: Some(Vec::new()),
            schedules: Some(Vec::new()),
            act_for: Some(ActFor::default()),
            no_limits: true,
            ..ManifestChange::default()
        };
        assert_eq!(none, wanted);
        // The last word counts.
        let last = change(&["--no-own-messages", "--own-messages"]);
        assert_eq!(last.own_messages, Some(true));
    }
}
