//! The command line: its arguments, and a client of our own control API.
//!
//! `serve` starts a host and `config` looks at its settings; `new`, `build` and `dev` are
//! for projects of bots, and `dev` starts a host of its own. Everything else asks a running
//! host over HTTP, as any other program could; nothing in here touches the host's data.

pub mod account;
pub mod client;
pub mod clients;
mod contacts;
pub mod dev;
pub mod failure;
pub mod file;
pub mod handler;
pub mod kv;
mod labels;
pub mod launch;
pub mod login;
mod logs;
pub mod output;
mod parse;
mod pauses;
pub mod project;
pub mod qr;
mod screen;
mod serve;
mod sse;
pub mod target;
pub mod task;
mod timers;
mod wait;
mod watch;

use std::{env, io::Write, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use client::Client;
use failure::Failure;
use output::{Printed, Style};
use target::Target;

const EXAMPLES: &str = "\
Examples:
  wxhost new hello --lang python                  begin a bot; also rust and js
  wxhost dev                                      try it out, in its folder
  wxhost serve                                    start a host on this machine
  wxhost handler deploy echo echo.wasm            put a bot on it
  wxhost handler bind echo --account '*'          let it serve all accounts
  wxhost account list                             see who is logged in
  wxhost login start --watch                      log another account in by QR code
  wxhost client start rose --watch                start an Openwx client and scan its code
  wxhost task send wxid_a --to wxid_b --text hi   have an account write to somebody

Exit status: 0 done; 1 the host refused or failed; 2 wrong usage; 3 no host reached.";

/// Runs many WeChat accounts, each with a sandboxed bot of its own.
#[derive(Parser)]
#[command(name = "wxhost", version, about, after_help = EXAMPLES)]
pub struct Cli {
    /// Which host the commands are for.
    #[command(flatten)]
    pub target: Target,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Reads the command line of this process; ends it, with a word why, when it is wrong.
    pub fn of_process() -> Self {
        Self::parse_from(labels::with_minus(env::args_os()))
    }
}

/// What `wxhost` can be told to do.
#[derive(Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one for the process")]
pub enum Command {
    /// Start a host and keep it running until it is told to end (SIGTERM or Ctrl-C)
    Serve(Serve),
    /// Make a project: a bot that builds at once, with a test
    New(project::NewArgs),
    /// Build the component of the project that we are in
    Build(project::BuildArgs),
    /// Try out the project that we are in: a chat in the terminal, built anew as files change
    Dev(dev::DevArgs),
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// What is asked of a running host
    #[command(flatten)]
    Client(ClientCommand),
}

/// `wxhost serve`. The data directory is [`Target::data`].
#[derive(Debug, Args)]
pub struct Serve {
    /// The configuration, a TOML file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to listen; goes before the configuration. Port 0 takes any free one
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<std::net::SocketAddr>,
}

/// `wxhost config …`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say whether the configuration is right, and show what is in force, without starting anything
    Check {
        /// The configuration, a TOML file
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Show the settings in force as JSON instead of TOML
        #[arg(long)]
        json: bool,
    },
}

/// What is asked of a running host.
#[derive(Subcommand)]
pub enum ClientCommand {
    /// Deploy bots, configure them, and say which accounts they serve
    Handler(handler::HandlerArgs),
    /// Look at accounts
    Account(account::AccountArgs),
    /// Have accounts do something, and see what became of it
    Task(task::TaskArgs),
    /// Log accounts in by QR code
    Login(login::LoginArgs),
    /// Start Openwx clients and look after them
    Client(clients::ClientsArgs),
    /// Fetch files of messages
    File(file::FileArgs),
    /// Look at what bots keep, export it, and change it
    Kv(kv::KvArgs),
}

impl ClientCommand {
    async fn run(self, client: &Client, style: &Style) -> Result<Printed, Failure> {
        match self {
            Self::Handler(args) => args.run(client, style).await,
            Self::Account(args) => args.run(client, style).await,
            Self::Task(args) => args.run(client, style).await,
            Self::Login(args) => args.run(client, style).await,
            Self::Client(args) => args.run(client, style).await,
            Self::File(args) => args.run(client).await,
            Self::Kv(args) => args.run(client, style).await,
        }
    }
}

/// Does what the command line says.
pub fn main(cli: Cli) -> ExitCode {
    match cli.command {
        Command::Serve(Serve { config, listen }) => {
            let overrides = serve::Overrides {
                data: cli.target.data,
                listen,
            };
            serve::serve(config.as_deref(), overrides)
        }
        Command::Config(ConfigCommand::Check { config, json }) => {
            serve::check(config.as_deref(), json)
        }
        Command::New(new) => told(new.run()),
        Command::Build(build) => wait_for(async { told(build.run().await) }),
        Command::Dev(dev) => wait_for(async {
            let ended = dev.run().await;
            told(ended.map(|()| Printed::ok("")))
        }),
        Command::Client(command) => wait_for(run(&cli.target, command)),
    }
}

fn wait_for(command: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does what was asked of the host, prints what came of it, and says how the
/// process shall end.
pub async fn run(target: &Target, command: ClientCommand) -> ExitCode {
    let outcome = match Client::new(target) {
        Ok(client) => command.run(&client, &Style::of_stdout()).await,
        Err(failure) => Err(failure),
    };
    told(outcome)
}

/// Prints what came of a command, and says how the process shall end.
fn told(outcome: Result<Printed, Failure>) -> ExitCode {
    match outcome {
        Ok(printed) => {
            // A reader that has seen enough (`| head`) is no failure of ours.
            let _ = std::io::stdout().write_all(printed.text.as_bytes());
            printed.code
        }
        Err(failure) => {
            // The host's words may quote a stranger's.
            for line in format!("error: {failure}").lines() {
                eprintln!("{}", output::harmless(line));
            }
            failure.code()
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use clap::CommandFactory;

    /// Whether these words are taken.
    fn taken(line: &str) -> bool {
        let words = line.split_whitespace().map(Into::into);
        Cli::try_parse_from(labels::with_minus(words)).is_ok()
    }

    #[test]
    fn the_arguments_are_well_made() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_documented_form_is_taken() {
        for line in [
            "wxhost serve",
            "wxhost serve --config a.toml --data d --listen 127.0.0.1:0",
            "wxhost config check",
            "wxhost config check --config a.toml",
            "wxhost new hello",
            "wxhost new hello --lang python",
            "wxhost new hook --lang js --world endpoint",
            "wxhost new --update",
            "wxhost build --manifest dir",
            "wxhost dev --keep",
            "wxhost handler deploy",
            "wxhost handler deploy --manifest p/handler.toml --no-bind --config a=b",
            "wxhost handler deploy --account wxid_a --account label:shop",
            "wxhost handler deploy echo echo.wasm",
            "wxhost account label wxid_a +shop -test --json",
            "wxhost account label wxid_a -test +shop --data d",
            "wxhost account label --json wxid_a -- -test",
            "wxhost handler list --json",
            "wxhost handler show echo",
            "wxhost handler remove echo",
            "wxhost handler bind echo --account *",
            "wxhost handler unbind --account wxid_a",
            "wxhost handler config echo",
            "wxhost handler config echo a=b c=d=e --file c.json",
            "wxhost account list --url http://h:1 --token t",
            "wxhost --data d account show wxid_a",
            "wxhost task send wxid_a --to wxid_b --text hi --mention wxid_c --mention wxid_d",
            "wxhost task send wxid_a --action - --idempotency-key k --wait --timeout 5",
            "wxhost task show wxid_a-1 --wait",
            "wxhost task list wxid_a --state handed-out --json",
            "wxhost task send wxid_a --to wxid_b --text hi --at-least-once --expires-in 10m",
            "wxhost task cancel wxid_a-1",
            "wxhost account pauses wxid_a",
            "wxhost account resume wxid_a 1@chatroom",
            "wxhost account contacts wxid_a --kind group --limit 5 --after x",
            "wxhost account groups wxid_a --json",
            "wxhost account file wxid_a f-1",
            "wxhost login start",
            "wxhost login start --agent wxid_a --note hello --watch --json",
            "wxhost login start --machine PC_1",
            "wxhost login list --state awaiting-scan",
            "wxhost login show qr-1",
            "wxhost login qr qr-1 --out code.png",
            "wxhost login watch qr-1 --json",
            "wxhost login cancel qr-1",
            "wxhost client start rose --template t --param a=b --param c=d=e --watch",
            "wxhost client start 小明@1 --json",
            "wxhost client stop rose --wait",
            "wxhost client list --phase failed --json",
            "wxhost client show rose",
            "wxhost client watch rose --json",
            "wxhost client log rose -f --tail 10",
            "wxhost client restart rose",
            "wxhost client clear rose",
            "wxhost kv list echo --account wxid_a --limit 5 --after x --json",
            "wxhost kv get echo --shared a/b",
            "wxhost kv set echo --account wxid_a k v",
            "wxhost kv set echo --shared k -",
            "wxhost kv delete echo --shared k",
            "wxhost kv delete echo --account wxid_a --all",
            "wxhost kv export echo --shared",
        ] {
            assert!(taken(line), "{line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "wxhost",
            "wxhost serve --listen nowhere",
            "wxhost serve --json",
            "wxhost new",
            "wxhost new Hello",
            "wxhost new hello --update",
            "wxhost new hello --lang cobol",
            "wxhost new hello --world game",
            "wxhost handler deploy --no-bind --account wxid_a",
            "wxhost handler deploy Echo echo.wasm",
            "wxhost handler bind echo",
            "wxhost handler config echo novalue",
            "wxhost account show *",
            "wxhost task send wxid_a",
            "wxhost task send wxid_a --to wxid_b",
            "wxhost task send wxid_a --text hi",
            "wxhost task send wxid_a --mention wxid_b --action -",
            "wxhost task send wxid_a --to wxid_b --text hi --action -",
            "wxhost task send wxid_a --to wxid_b --text hi --timeout 5",
            "wxhost task show 17",
            "wxhost task list wxid_a --state over",
            "wxhost task send wxid_a --to wxid_b --text hi --expires-in soon",
            "wxhost task cancel 17",
            "wxhost account contacts wxid_a --kind foe",
            "wxhost account resume wxid_a",
            "wxhost login start --agent wxid_a --machine PC_1",
            "wxhost login list --state over",
            "wxhost login show a/b",
            "wxhost file get abc --out a.jpg",
            "wxhost client start ../rose",
            "wxhost client start rose --param novalue",
            "wxhost client list --phase over",
            "wxhost client log rose --follow --json",
            "wxhost client log rose --tail -1",
            "wxhost kv list echo",
            "wxhost kv list echo --account wxid_a --shared",
            "wxhost kv delete echo --shared",
            "wxhost kv delete echo --shared k --all",
            "wxhost kv set echo --shared k",
        ] {
            assert!(!taken(line), "{line}");
        }
    }

    #[test]
    fn a_token_from_the_environment_is_not_shown_in_help() {
        let mut command = Cli::command();
        command.build();
        let token = command.get_arguments().find(|arg| arg.get_id() == "token");
        assert!(token.unwrap().is_hide_env_values_set());
    }
}
