//! `make bench`: what the host costs beside a bare handler, all in one run on
//! one machine, so that the ratios carry over where the figures do not.

#![allow(
    clippy::indexing_slicing,
    reason = "a field that a JSON value does not have reads as null"
)]

mod accounts;
mod beside;
mod clients;
mod contacts;
mod handlers;
mod instances;
mod native;
mod sockets;
mod speed;
mod table;

use std::{path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};
use wxhost_tests::{Context, Result};

use table::Table;

/// Measures the host and prints one table.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// A smoke run: short rounds, few accounts. Its figures mean nothing.
    #[arg(long, global = true)]
    quick: bool,
    /// Writes the table as JSON too.
    #[arg(long, global = true)]
    json: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Serves the bare handler that the host is held against.
    #[command(hide = true)]
    Native,
    /// Measures the WebSockets alone.
    Sockets,
    /// Measures a large contact report alone.
    Contacts,
    /// Measures native clients alone.
    Clients,
    /// Measures a well-behaved account beside hostile guests alone.
    Beside,
    /// Measures handlers alone: deploying, and a thousand of them.
    Handlers,
    /// Measures fresh instances against kept ones alone.
    Instances,
    /// Keeps a host with one bot busy, for a profiler to look at.
    Busy {
        /// Which guest answers: `echo` or `faq`.
        #[arg(long, default_value = "echo")]
        guest: String,
        /// For how long, in seconds.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// A setting of the host, such as `store.backend=memory`.
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
    },
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How often each is measured, in turns.
    pub rounds: u32,
    /// How long each time.
    pub round: Duration,
    /// How long each is warmed up before.
    pub warm_up: Duration,
    /// How many accounts are many.
    pub many_accounts: u32,
    /// How many WebSockets are open at a time.
    pub sockets: u32,
    /// How many tasks are pushed over them.
    pub pushes: u32,
    /// How many native clients run at a time.
    pub clients: u32,
    /// How long they are left alone.
    pub idle: Duration,
    /// How many handlers are deployed at a time.
    pub handlers: u32,
    /// How often one is replaced.
    pub deploys: u32,
}

impl Plan {
    const FULL: Self = Self {
        rounds: 3,
        round: Duration::from_secs(5),
        warm_up: Duration::from_secs(2),
        many_accounts: 100_000,
        sockets: 10_000,
        pushes: 4_000,
        clients: 100,
        idle: Duration::from_secs(20),
        handlers: 1_000,
        deploys: 21,
    };
    const QUICK: Self = Self {
        rounds: 3,
        round: Duration::from_millis(300),
        warm_up: Duration::from_millis(200),
        many_accounts: 2_000,
        sockets: 1_000,
        pushes: 400,
        clients: 20,
        idle: Duration::from_secs(3),
        handlers: 20,
        deploys: 5,
    };
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut runtime = match &arguments.command {
        // The handler has all cores, as the host has; the generator has one.
        Some(Command::Native) => tokio::runtime::Builder::new_multi_thread(),
        Some(_) | None => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = runtime.enable_all().build()?;
    match &arguments.command {
        Some(Command::Native) => runtime.block_on(native::serve()),
        Some(Command::Busy {
            guest,
            seconds,
            set,
        }) => {
            let time = Duration::from_secs(*seconds);
            runtime.block_on(speed::busy(guest, time, set))
        }
        Some(_) | None => runtime.block_on(bench(&arguments)),
    }
}

async fn bench(arguments: &Arguments) -> Result<()> {
    let plan = if arguments.quick {
        Plan::QUICK
    } else {
        Plan::FULL
    };
    let mut table = Table::default();
    let all = arguments.command.is_none();
    if all {
        speed::measure(plan, &mut table).await?;
        accounts::measure(plan, &mut table).await?;
    }
    if all || matches!(arguments.command, Some(Command::Contacts)) {
        contacts::measure(plan, &mut table).await?;
    }
    if all || matches!(arguments.command, Some(Command::Sockets)) {
        sockets::measure(plan, &mut table).await?;
    }
    if all || matches!(arguments.command, Some(Command::Clients)) {
        clients::measure(plan, &mut table).await?;
    }
    if all || matches!(arguments.command, Some(Command::Beside)) {
        beside::measure(plan, &mut table).await?;
    }
    if all || matches!(arguments.command, Some(Command::Handlers)) {
        handlers::measure(plan, &mut table).await?;
    }
    if all || matches!(arguments.command, Some(Command::Instances)) {
        instances::measure(plan, &mut table).await?;
    }
    table.print();
    if let Some(file) = &arguments.json {
        std::fs::write(file, table.to_json(arguments.quick)).context(file.display())?;
    }
    Ok(())
}
