//! Waiting for tasks to end.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Args;

use super::{client::Client, failure::Failure, output::harmless};
use crate::domain::{Task, TaskState};

/// How long to wait when nobody says: clients ask for tasks every second or so.
const TIMEOUT_DEFAULT_SECS: u64 = 30;
/// The pause before the first look. Each pause is longer than the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Whether to wait, and for how long.
#[derive(Debug, Default, Args)]
pub struct Wait {
    /// Wait until it has ended
    #[arg(long)]
    pub wait: bool,
    /// How long to wait at most
    #[arg(long, value_name = "SECONDS", default_value_t = TIMEOUT_DEFAULT_SECS, requires = "wait")]
    timeout: u64,
}

/// Waits until all of the tasks have ended or the time is over, if it was asked
/// to, and brings them up to date. The exit status says whether all were done.
pub async fn wait(client: &Client, wait: &Wait, tasks: &mut [Task]) -> Result<ExitCode, Failure> {
    if !wait.wait {
        return Ok(ExitCode::SUCCESS);
    }
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    while tasks.iter().any(|task| !task.state.is_final()) {
        if start.elapsed() >= Duration::from_secs(wait.timeout) {
            eprintln!("not ended after {} s; it still may", wait.timeout);
            break;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        look(client, tasks).await?;
    }
    Ok(code(tasks))
}

async fn look(client: &Client, tasks: &mut [Task]) -> Result<(), Failure> {
    for task in tasks.iter_mut().filter(|task| !task.state.is_final()) {
        let id = task.id.to_string();
        let now: Task = client.get(&["tasks", &id], &[]).await?.read()?;
        if now.state != task.state {
            eprintln!("{} {}", harmless(&id), now.state.as_str());
        }
        *task = now;
    }
    Ok(())
}

fn code(tasks: &[Task]) -> ExitCode {
    match tasks.iter().all(|task| task.state == TaskState::Done) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
