//! `wxhost serve` and `wxhost config check`: the commands that are the host.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
};

use crate::{
    app,
    config::Config,
    telemetry::{self, Traces},
};

/// How long threads that still work may take once everything is closed.
const SHUTDOWN_MAX: Duration = Duration::from_secs(2);

/// Files that are open besides the connections: the store's, the log, the timers.
const FILES_BESIDES: u64 = 128;

/// Settings that flags override.
#[derive(Debug, Default)]
pub struct Overrides {
    /// `--data`.
    pub data: Option<PathBuf>,
    /// `--listen`.
    pub listen: Option<SocketAddr>,
}

/// Runs the host until it is told to end.
pub fn serve(file: Option<&Path>, overrides: Overrides) -> ExitCode {
    let config = match load(file, overrides) {
        Ok(config) => config,
        Err(problem) => return fail(&problem, 2),
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(problem) => return fail(&problem, 1),
    };
    let traces = match start_telemetry(&config, &runtime) {
        Ok(traces) => traces,
        Err(problem) => return fail(&problem, 2),
    };
    allow_many_sockets(sockets_max(&config));
    match run(runtime, config, traces) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => fail(&problem, 1),
    }
}

/// Says whether the settings are fit, and shows those in force.
pub fn check(file: Option<&Path>, json: bool) -> ExitCode {
    let config = match load(file, Overrides::default()) {
        Ok(config) => config,
        Err(problem) => return fail(&problem, 2),
    };
    let shown = match json {
        true => serde_json::to_string_pretty(&config).map_err(|error| error.to_string()),
        false => toml(&config),
    };
    match shown {
        Ok(text) => {
            println!("{}", text.trim_end());
            eprintln!("the configuration is fit");
            ExitCode::SUCCESS
        }
        Err(problem) => fail(&problem, 1),
    }
}

fn load(file: Option<&Path>, overrides: Overrides) -> Result<Config, String> {
    let mut config = Config::load(file).map_err(|error| error.to_string())?;
    config.data = overrides.data.unwrap_or(config.data);
    config.server.listen = overrides.listen.unwrap_or(config.server.listen);
    // What may be open to everybody depends on the address.
    config.check().map_err(|error| error.to_string())?;
    Ok(config)
}

/// How many connections there can be, of all kinds.
fn sockets_max(config: &Config) -> u64 {
    let upgraded = match config.wehub.websocket {
        true => config.wehub.sockets_max,
        false => 0,
    };
    u64::from(config.server.connections_max) + u64::from(upgraded)
}

/// Raises the limit of open files as far as the system lets us: every connection
/// is one.
fn allow_many_sockets(sockets_max: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let allowed = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let needed = sockets_max + FILES_BESIDES;
    if allowed.is_some_and(|allowed| allowed < needed) {
        tracing::warn!(
            allowed,
            needed,
            "the system allows fewer open files than server.connections_max and \
             wehub.sockets_max need: raise the limit (ulimit -n) or lower the settings"
        );
    }
}

fn runtime() -> Result<Runtime, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.map_err(|error| error.to_string())
}

/// Starts the log, and traces if somebody wants them.
fn start_telemetry(config: &Config, runtime: &Runtime) -> Result<Option<Traces>, String> {
    let _inside = runtime.enter();
    let traces = Traces::start(&config.telemetry.otlp)?;
    telemetry::start(&config.log, traces.as_ref())?;
    Ok(traces)
}

fn run(runtime: Runtime, config: Config, traces: Option<Traces>) -> Result<(), String> {
    let served = runtime.block_on(async {
        let end = told_to_end().map_err(|error| error.to_string())?;
        let served = app::serve(config, end).await;
        if let Some(traces) = traces {
            traces.end().await;
        }
        served.map_err(|error| error.to_string())
    });
    // What hangs in the kernel must not keep the process from ending.
    runtime.shutdown_timeout(SHUTDOWN_MAX);
    served
}

/// Done when the process is told to end, by a service manager or a person. A
/// second time ends it at once.
fn told_to_end() -> std::io::Result<impl Future<Output = ()>> {
    let (mut term, mut int) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        tokio::spawn(async move {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            tracing::warn!("told to end a second time: ending at once");
            std::process::exit(1);
        });
    })
}

fn toml(config: &Config) -> Result<String, String> {
    toml::to_string_pretty(config).map_err(|error| error.to_string())
}

fn fail(problem: &str, code: u8) -> ExitCode {
    eprintln!("error: {problem}");
    ExitCode::from(code)
}
