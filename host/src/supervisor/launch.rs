//! Starting a client's process: a port, a directory, an environment, and the process
//! itself.

use std::{
    env, io,
    os::{fd::OwnedFd, unix::process::CommandExt},
    process::{Command, Stdio},
    sync::Arc,
    time::{Instant, SystemTime},
};

use super::{
    Setup,
    environment::{Environment, Told},
    files::{Paths, Writer},
    ports::Port,
    process::Process,
    starts,
    template::{self, CommandLine},
};
use crate::domain::{
    client::{StartId, Wanted},
    ports::StartError,
};

/// The name of the hidden command that runs a client's command line so that it ends
/// with the host.
const LAUNCH: &str = "launch";

/// A process that was just started.
#[derive(Debug)]
pub struct Launched {
    /// The process.
    pub process: Process,
    /// What it prints.
    pub output: OwnedFd,
    /// What the rest of the host knows of it.
    pub facts: Facts,
}

/// What is known of a process from its start on.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Which start it was.
    pub start: StartId,
    /// The digest of the key that it reports with.
    pub key: blake3::Hash,
    /// The port of its API.
    pub port: Arc<Port>,
    /// Where its files lie.
    pub paths: Paths,
    /// Which files are its own.
    pub writer: Writer,
}

/// Starts a process for this client. Blocks: for the thread that starts processes.
pub fn launch(setup: &Setup, wanted: &Wanted) -> Result<Launched, StartError> {
    let port = setup.ports.take().ok_or(StartError::NoPort)?;
    let name = &wanted.name;
    let line = template::command_line(&setup.policy, &setup.places, &wanted.template, name)?;
    let paths = Paths::new(&setup.places.client_dir(name), name, &wanted.parameters);
    let dir = paths.dir.display();
    let unready = |error| StartError::Spawn(format!("{dir}: {error}"));
    paths.prepare().map_err(unready)?;
    let start = StartId::random().map_err(refused)?;
    let key = random_key().map_err(refused)?;
    let told = Told {
        policy: &setup.policy,
        tmpdir: &setup.places.tmpdir,
        base_url: &setup.base_url,
        name,
        parameters: &wanted.parameters,
        paths: &paths,
        port: port.number(),
        key: &key,
        start: &start,
    };
    let (since, began) = (SystemTime::now(), Instant::now());
    let environment = told.environment(env::vars_os());
    let (process, output) = spawn(setup, &line, environment, &paths, &start).map_err(refused)?;
    let pid = process.id();
    starts::note(&setup.places, name, pid);
    let facts = Facts {
        start,
        key: blake3::hash(key.as_bytes()),
        port,
        paths,
        writer: Writer { pid, since, began },
    };
    Ok(Launched {
        process,
        output,
        facts,
    })
}

fn refused(error: impl std::fmt::Display) -> StartError {
    StartError::Spawn(error.to_string())
}

/// 128 random bits.
fn random_key() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

fn spawn(
    setup: &Setup,
    line: &CommandLine,
    environment: Environment,
    paths: &Paths,
    id: &StartId,
) -> io::Result<(Process, OwnedFd)> {
    let (output, printed) = io::pipe()?;
    let mut command = match &setup.launcher {
        Some(launcher) => {
            let mut command = Command::new(launcher);
            let host = std::process::id().to_string();
            command.arg(LAUNCH).arg(host).arg(&line.program);
            command
        }
        None => Command::new(&line.program),
    };
    command
        .args(&line.arguments)
        .env_clear()
        .envs(environment)
        .current_dir(&paths.dir)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(printed.try_clone()?)
        .stderr(printed);
    let start = || Process::new(command.spawn()?);
    let process = setup.children.start(id, start)?;
    Ok((process, output.into()))
}
