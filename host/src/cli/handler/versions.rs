//! `wxhost handler versions|rollback|promote|rollout`.

use clap::Args;

use super::{DIGEST_SHOWN_CHARS, about, deploy::ShareArgs, encode, reached};
use crate::{
    cli::{
        client::Client,
        failure::Failure,
        output::{Printed, Style, Table, harmless},
        parse,
    },
    domain::{
        HandlerName, Label,
        handler::{Share, Version, VersionNumber},
    },
    edge::control::wire::{HandlerView, List, RollbackRequest, RolloutRequest, RolloutView},
};

/// `wxhost handler rollback`.
#[derive(Args)]
pub struct RollbackArgs {
    /// Which
    #[arg(value_parser = parse::handler_name)]
    name: HandlerName,
    /// The version that is to serve again, instead of the one before
    #[arg(long, value_name = "VERSION")]
    to: Option<u32>,
}

/// `wxhost handler rollout`.
#[derive(Args)]
pub struct RolloutArgs {
    /// Which
    #[arg(value_parser = parse::handler_name)]
    name: HandlerName,
    /// A version that is kept, instead of the one that serves some already
    #[arg(long, value_name = "VERSION")]
    version: Option<u32>,
    #[command(flatten)]
    to: ShareArgs,
}

/// Lists the versions of a handler.
pub async fn versions(
    client: &Client,
    style: &Style,
    json: bool,
    name: &HandlerName,
) -> Result<Printed, Failure> {
    let reply = client
        .get(&["handlers", name.as_str(), "versions"], &[])
        .await?;
    if json {
        return Ok(Printed::ok(reply.text));
    }
    let list: List<Version> = reply.read()?;
    let handler = client.get(&["handlers", name.as_str()], &[]).await?;
    let handler: HandlerView = handler.read()?;
    let mut table = Table::new(["VERSION", "DIGEST", "DEPLOYED", "BY", "SERVES", "NOTE"]);
    for version in &list.items {
        let digest = version.digest.to_string();
        table.row([
            version.number.to_string().into(),
            digest.get(..DIGEST_SHOWN_CHARS).unwrap_or(&digest).into(),
            style.ago(version.deployed_ms).into(),
            by(version).into(),
            serves(&handler, version.number).into(),
            harmless(&version.note).into(),
        ]);
    }
    Ok(Printed::ok(table.show(style)))
}

/// Who deployed it, where that was told.
fn by(version: &Version) -> String {
    match version.by.as_str() {
        "" => "unknown".to_owned(),
        by => harmless(by),
    }
}

fn serves(handler: &HandlerView, number: VersionNumber) -> String {
    if number == handler.version {
        return match handler.rollout {
            Some(_) => "the others".to_owned(),
            None => "yes".to_owned(),
        };
    }
    match (&handler.rollout, &handler.returned) {
        (Some(rollout), _) if rollout.version == number => share(rollout),
        (_, Some(returned)) if returned.version == number => format!("no: {}", returned.reason),
        _ => "no".to_owned(),
    }
}

/// Whom a newer version serves.
pub fn share(rollout: &RolloutView) -> String {
    match &rollout.to {
        Share::Percent(percent) => format!("{percent} % of the accounts"),
        Share::Accounts(ids) if ids.len() == 1 => "1 account".to_owned(),
        Share::Accounts(ids) => format!("{} accounts", ids.len()),
        Share::Labels(labels) => {
            let labels: Vec<_> = labels.iter().map(Label::as_str).collect();
            format!("accounts with the label {}", labels.join(" or "))
        }
    }
}

/// Whom it serves, and how many accounts that is where it was counted.
pub fn shared(handler: &HandlerView, rollout: &RolloutView) -> String {
    let reached = handler.reaches.as_ref().and_then(|it| it.rollout);
    match reached {
        Some(reached) => format!("{} ({})", share(rollout), reached::known(reached)),
        None => share(rollout),
    }
}

impl RollbackArgs {
    /// Has an earlier version serve again.
    pub async fn run(self, client: &Client, style: &Style, json: bool) -> Result<Printed, Failure> {
        let request = RollbackRequest {
            to: self.to.map(VersionNumber),
        };
        let path = ["handlers", self.name.as_str(), "rollback"];
        let reply = client.post(&path, &[], encode(&request)?, None).await?;
        shown(&reply, style, json, |handler| {
            format!(
                "version {} serves; what bots have written stays as it is",
                handler.version
            )
        })
    }
}

impl RolloutArgs {
    /// Says whom a newer version serves.
    pub async fn run(self, client: &Client, style: &Style, json: bool) -> Result<Printed, Failure> {
        let Some(to) = self.to.request()? else {
            let problem =
                "give --percent, --to-account or --to-label; `promote` has it serve everybody";
            return Err(Failure::Usage(problem.to_owned()));
        };
        let request = RolloutRequest {
            version: self.version.map(VersionNumber),
            ..to
        };
        let path = ["handlers", self.name.as_str(), "rollout"];
        let reply = client.put(&path, encode(&request)?).await?;
        shown(&reply, style, json, |handler| match &handler.rollout {
            Some(rollout) => format!(
                "version {} serves {}",
                rollout.version,
                shared(handler, rollout)
            ),
            None => "no version serves some only".to_owned(),
        })
    }
}

/// Has the newer version serve everybody.
pub async fn promote(
    client: &Client,
    style: &Style,
    json: bool,
    name: &HandlerName,
) -> Result<Printed, Failure> {
    let path = ["handlers", name.as_str(), "promote"];
    let reply = client.post(&path, &[], String::new(), None).await?;
    shown(&reply, style, json, |handler| {
        format!("version {} serves everybody", handler.version)
    })
}

fn shown(
    reply: &crate::cli::client::Reply,
    style: &Style,
    json: bool,
    headline: impl Fn(&HandlerView) -> String,
) -> Result<Printed, Failure> {
    let handler: HandlerView = reply.read()?;
    let text = match json {
        true => reply.text.clone(),
        false => format!("{}\n{}", headline(&handler), about(&handler, style)),
    };
    let warnings = reached::warnings(&handler);
    Ok(Printed::ok(reached::warned(text, &warnings, json)))
}
