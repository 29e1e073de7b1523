//! What goes wrong on demand, and how the stub is ended.

use std::{
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use rustix::process::getppid;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::sleep,
};
use wxhost_tests::Result;

use crate::{client::Client, life::every};

/// How long a process lives that is left behind, in s: longer than any test.
const LEFT_S: &str = "900";
/// In how big pieces memory is taken, in MiB, and how long between two.
const LEAK_STEP_MB: usize = 16;
const LEAK_PAUSE: Duration = Duration::from_millis(20);

/// What happens at once.
pub fn begin(client: &Arc<Client>) -> Result<()> {
    let arguments = &client.arguments;
    println!(
        "{} begins as process {}",
        client.account(),
        std::process::id()
    );
    for number in 0..arguments.print_lines {
        println!("line {number} of {}: {}", client.account(), "x".repeat(64));
    }
    if arguments.leave_child {
        left().spawn()?;
    }
    if arguments.leave_escaped_child {
        left().process_group(0).spawn()?;
    }
    if let Some(ms) = arguments.crash_after_ms {
        let code = arguments.exit_code;
        tokio::spawn(async move {
            sleep(Duration::from_millis(ms)).await;
            eprintln!("about to end with {code}");
            std::process::exit(code.into());
        });
    }
    Ok(())
}

/// A process that does not end with its parent.
fn left() -> Command {
    let mut command = Command::new("sleep");
    command.arg(LEFT_S).stdin(Stdio::null());
    command
}

/// What happens once the client is logged in.
pub async fn once_running(client: &Arc<Client>) {
    let mut kept = Vec::new();
    for _ in 0..client.arguments.leak_memory_mb.div_ceil(LEAK_STEP_MB) {
        kept.push(vec![1_u8; LEAK_STEP_MB * 1024 * 1024]);
        sleep(LEAK_PAUSE).await;
    }
    std::mem::forget(kept);
}

/// Ends when the parent is another than the controller (section 2).
pub async fn end_without_parent(client: Arc<Client>) {
    let Some(wanted) = client.environment.controller_pid else {
        return;
    };
    let mut ticks = every(client.arguments.parent_check_ms);
    loop {
        ticks.tick().await;
        let parent = getppid().map(|pid| pid.as_raw_nonzero().get());
        if parent != Some(wanted) {
            eprintln!("the parent is {parent:?} and not {wanted}: ending");
            client.ending.notify_one();
            return;
        }
    }
}

/// Ends at SIGTERM, but not at SIGINT unless somebody sits at the terminal.
pub async fn end_when_told(client: Arc<Client>) {
    let (Ok(mut term), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return;
    };
    loop {
        let told = tokio::select! {
            _ = term.recv() => !client.arguments.ignore_term,
            _ = interrupt.recv() => std::io::IsTerminal::is_terminal(&std::io::stdin()),
        };
        if told {
            client.ending.notify_one();
        }
    }
}
