//! Builds the project and puts it on the host, if it builds and links.

use std::{env, path::PathBuf};

use crate::{
    cli::{
        client::Client,
        failure::Failure,
        handler::encode,
        project::{Project, World, build},
    },
    domain::HandlerName,
    edge::control::wire::{BindRequest, DeployOptions, DeployView},
};

/// What came of it.
#[derive(Debug)]
pub struct Deployed {
    /// The handler.
    pub name: HandlerName,
    /// What to say about it.
    pub told: String,
}

/// Builds and deploys. Whatever fails leaves what serves as it is.
pub async fn rebuild(manifest: PathBuf, client: &Client) -> Result<Deployed, Failure> {
    // Read anew: it may be what has changed.
    let project = Project::open(Some(&manifest))?;
    let toml = &project.toml;
    if toml.world != World::Bot {
        return Err(Failure::Usage(format!(
            "a chat is for bots: handler.toml says `world = {:?}`",
            toml.world.as_str()
        )));
    }
    let built = build::build(&project).await?;
    let mut told = built.told();
    let options = DeployOptions {
        manifest: Some(toml.manifest().map_err(Failure::Usage)?),
        config: toml.config(),
        ..DeployOptions::default()
    };
    let name = toml.name.clone();
    let reply = client
        .deploy(name.as_str(), built.component, &options)
        .await?;
    let done: DeployView = reply.read()?;
    let request = BindRequest {
        handler: name.clone(),
    };
    client.put(&["bindings", "*"], encode(&request)?).await?;
    told.push_str(&format!("; version {} serves", done.deployed.number));
    for key in &toml.secrets {
        told.push_str(&secret(client, &name, key).await?);
    }
    Ok(Deployed { name, told })
}

/// Sets a secret from this environment, so that it is in no file of the project.
async fn secret(client: &Client, name: &HandlerName, key: &str) -> Result<String, Failure> {
    let variable = variable(key);
    let Ok(value) = env::var(&variable) else {
        return Ok(format!(
            "\nthe secret {key} is not set: start this with the variable {variable}"
        ));
    };
    let path = ["handlers", name.as_str(), "secrets", key];
    client.put_secret(&path, &[], &value.into()).await?;
    Ok(String::new())
}

/// The variable that a secret's value is taken from here.
fn variable(key: &str) -> String {
    let letter = |c: char| match c.is_ascii_alphanumeric() {
        true => c.to_ascii_uppercase(),
        false => '_',
    };
    key.chars().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_s_variable_is_one() {
        assert_eq!(variable("api-key.1"), "API_KEY_1");
    }
}
