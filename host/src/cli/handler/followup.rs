//! What comes with a deployment: whom the handler is bound to, and which of its secrets
//! are not set yet.

use std::collections::{BTreeMap, BTreeSet};

use super::{config::entries, encode};
use crate::{
    cli::{client::Client, failure::Failure, output::harmless},
    domain::{Binding, HandlerName, handler::Reaches},
    edge::control::wire::{BindRequest, ConfigItemView, List},
};

/// Binds a handler to these scopes, and says of each what has changed. What else it is
/// bound to stays.
pub async fn bind(
    client: &Client,
    name: &HandlerName,
    scopes: &[String],
) -> Result<Vec<String>, Failure> {
    if scopes.is_empty() {
        return Ok(Vec::new());
    }
    let bound: List<Binding> = client.get(&["bindings"], &[]).await?.read()?;
    let bound = bound.items.into_iter();
    let bound: BTreeMap<String, HandlerName> =
        bound.map(|it| (it.account.into(), it.handler)).collect();
    let mut lines = Vec::new();
    for scope in scopes {
        let former = bound.get(scope).filter(|it| *it != name);
        if former.is_none() && bound.contains_key(scope) {
            continue;
        }
        let request = BindRequest {
            handler: name.clone(),
        };
        let put = client.put(&["bindings", scope], encode(&request)?).await;
        put.map_err(|failure| unbound(failure, name, scope))?;
        if let Some(former) = former {
            let scope = harmless(scope);
            lines.push(format!("{scope} was served by {former} before\n"));
        }
    }
    if lines.is_empty() {
        // Nothing to say, but the caller shows the handler as it is now.
        lines.push(String::new());
    }
    Ok(lines)
}

/// How many accounts it reaches now that it is bound.
pub async fn reaches(client: &Client, name: &HandlerName) -> Result<Option<Reaches>, Failure> {
    let path = ["handlers", name.as_str(), "reaches"];
    match client.get(&path, &[]).await {
        Ok(reply) => Ok(Some(reply.read()?)),
        // A host of before does not count.
        Err(failure) if failure.is_not_found() => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn unbound(failure: Failure, name: &HandlerName, scope: &str) -> Failure {
    match failure {
        Failure::Refused(mut document) => {
            let (scope, why) = (harmless(scope), &document.detail);
            document.detail = format!("{name} is deployed, but can't be bound to {scope}: {why}");
            Failure::Refused(document)
        }
        other => other,
    }
}

/// Which of these secrets are not set for all accounts.
pub async fn missing(
    client: &Client,
    name: &HandlerName,
    secrets: &BTreeSet<String>,
) -> Result<Vec<String>, Failure> {
    if secrets.is_empty() {
        return Ok(Vec::new());
    }
    let set = match entries(client, name, None).await {
        Ok(reply) => reply.read::<List<ConfigItemView>>()?.items,
        // It was never deployed: it has none.
        Err(failure) if failure.is_not_found() => Vec::new(),
        Err(failure) => return Err(failure),
    };
    let is_set = |key: &&String| set.iter().any(|it| it.secret && it.key == **key);
    Ok(secrets.iter().filter(|key| !is_set(key)).cloned().collect())
}

/// How secrets that are missing are set; empty when none is.
pub fn how_to_set(name: &HandlerName, missing: &[String]) -> String {
    let mut text = String::new();
    for key in missing {
        let key = harmless(key);
        text.push_str(&format!(
            "the secret {key} is not set yet: `wxhost handler secret set {name} {key}`\n"
        ));
    }
    text
}

/// A refused deployment, with the secrets that were missing: one of them may be why.
pub async fn named_in(
    failure: Failure,
    client: &Client,
    name: &HandlerName,
    secrets: &BTreeSet<String>,
) -> Failure {
    let Failure::Refused(mut document) = failure else {
        return failure;
    };
    // The refusal is what matters: what can't be asked is left out.
    let missing = missing(client, name, secrets).await.unwrap_or_default();
    if !missing.is_empty() {
        let keys: Vec<_> = missing.iter().map(|key| harmless(key)).collect();
        document.detail.push_str(&format!(
            "\nsecrets that are not set: {}. They are set once it is deployed, so it must bear \
             to be called without them",
            keys.join(", ")
        ));
    }
    Failure::Refused(document)
}
