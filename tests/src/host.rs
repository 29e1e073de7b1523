//! The real `wxhost` binary as a child process.

mod api;
mod settings;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

pub use api::{Answer, Api, File};
pub use settings::{APPID, COMPILE_MS, SECRET_KEY, Settings};

use crate::{
    Context, Error, Result, check, fail, guests, http,
    openwx::{Openwx, Ports, process},
    poll,
    wehub::{Identity, WehubClient},
};

/// A proxy that nobody serves: what is meant for this machine does not go that way.
pub const DEAD_PROXY: &str = "http://127.0.0.1:9";
/// How long the host may take to be ready. It is short; loaded machines are not.
const START_MAX: Duration = Duration::from_secs(30);
/// How long it may take to end: what runs has 5 s, then the store closes.
const END_MAX: Duration = Duration::from_secs(20);
/// How long a client may take from one phase to the next.
const PHASE_MAX: Duration = Duration::from_secs(30);
/// How long something of a client may be left after the host's end: as long as the
/// system needs to clear up.
const CLIENTS_END_MAX: Duration = Duration::from_secs(2);
/// Becomes a program that is not ended when a file becomes larger than it may.
const BEARS_FULL_DISKS: &str = "trap '' XFSZ; exec \"$0\" \"$@\"";
/// How long one command of the CLI may take.
const COMMAND_MAX: Duration = Duration::from_secs(60);

/// A host: its folder, and its process while it runs. The process is killed
/// when this is dropped; its log is printed then, unless [`Host::end`] was
/// reached.
#[derive(Debug)]
pub struct Host {
    home: Home,
    settings: Settings,
    binary: PathBuf,
    process: Option<Process>,
    passed: bool,
}

/// Where the host keeps its things.
#[derive(Debug)]
enum Home {
    Temporary(TempDir),
    Kept(PathBuf),
}

/// A host that is ready.
#[derive(Debug)]
struct Process {
    child: Child,
    address: String,
    token: String,
    started_in: Duration,
    http: reqwest::Client,
}

impl Host {
    /// Starts a host with the usual settings in a new folder.
    pub async fn start() -> Result<Self> {
        Self::with(Settings::default()).await
    }

    /// Starts a host whose accounts write as fast as they are asked to.
    pub async fn unpaced() -> Result<Self> {
        Self::with(Settings::default().unpaced()).await
    }

    /// Starts a host with these settings in a new folder.
    pub async fn with(settings: Settings) -> Result<Self> {
        let mut host = Self::stopped(settings)?;
        host.start_again().await?;
        Ok(host)
    }

    /// Starts a host with these settings in a folder that stays.
    pub async fn at(folder: &Path, settings: Settings) -> Result<Self> {
        fs::create_dir_all(folder).context(folder.display())?;
        let folder = folder.canonicalize()?;
        let mut host = Self::prepared(Home::Kept(folder), settings)?;
        host.start_again().await?;
        Ok(host)
    }

    /// A host that is not started, in a new folder.
    pub fn stopped(settings: Settings) -> Result<Self> {
        Self::prepared(Home::Temporary(tempfile::tempdir()?), settings)
    }

    fn prepared(home: Home, settings: Settings) -> Result<Self> {
        let host = Self {
            home,
            settings,
            binary: binary()?,
            process: None,
            passed: false,
        };
        fs::write(host.config_path(), host.settings.to_toml())?;
        Ok(host)
    }

    /// Starts it on what it has: after [`Host::kill9`] or [`Host::terminate`].
    pub async fn start_again(&mut self) -> Result<()> {
        check!(self.process.is_none(), "the host runs already");
        let began = Instant::now();
        let _ = fs::remove_file(self.data().join("address"));
        let mut child = self
            .serve_command()
            .spawn()
            .context(self.binary.display())?;
        let address = self.until_ready(&mut child).await?;
        let token = self.data().join("admin-token");
        let token = fs::read_to_string(&token).context(token.display())?;
        self.process = Some(Process {
            child,
            address,
            token: token.trim().to_owned(),
            started_in: began.elapsed(),
            http: http_client(),
        });
        Ok(())
    }

    /// `wxhost serve` as this host is started, with its log in a file.
    fn serve_command(&self) -> Command {
        let mut program = Command::new(&self.binary);
        if self.settings.bears_full_disks {
            program = Command::new("sh");
            program.args(["-c", BEARS_FULL_DISKS]).arg(&self.binary);
        }
        let mut command = self.prepared_command(program, &["serve", "--listen", "127.0.0.1:0"]);
        command.arg("--data").arg(self.data());
        command.arg("--config").arg(self.config_path());
        command.envs(self.settings.environment());
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.log_path());
        command.stderr(log.map_or_else(|_| Stdio::null(), Stdio::from));
        command.stdout(Stdio::null());
        command
    }

    async fn until_ready(&self, child: &mut Child) -> Result<String> {
        let file = self.data().join("address");
        poll::until("the host is ready", START_MAX, async || {
            if let Some(status) = child.try_wait()? {
                fail!("the host ended with {status}:\n{}", self.log());
            }
            let Ok(address) = fs::read_to_string(&file) else {
                return Ok(None);
            };
            let Ok(address) = address.trim().parse::<SocketAddr>() else {
                return Ok(None);
            };
            let address = address.to_string();
            let ready = http::get(&address, "/readyz").await;
            Ok(matches!(ready, Ok((200, _))).then_some(address))
        })
        .await
        .map_err(|error| Error::new(format!("{error}\n{}", self.log())))
    }

    /// Ends the process as a power cut would, as far as one process can tell.
    pub async fn kill9(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the host does not run")?;
        process.child.start_kill()?;
        process.child.wait().await?;
        Ok(())
    }

    /// Asks the process to end. See [`Host::wait`].
    pub fn signal_end(&self) -> Result<()> {
        let id = self.process()?.child.id().context("the host has ended")?;
        let id = i32::try_from(id).ok().and_then(Pid::from_raw);
        kill_process(id.context("no process has this id")?, Signal::TERM)?;
        Ok(())
    }

    /// Waits for the process to end.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        let mut process = self.process.take().context("the host does not run")?;
        poll::within("the host ends", END_MAX, async {
            Ok(process.child.wait().await?)
        })
        .await
    }

    /// Ends the process in order and says how it ended.
    pub async fn terminate(&mut self) -> Result<ExitStatus> {
        self.signal_end()?;
        self.wait().await
    }

    /// The end of a test: the host ends well, and its log holds no panic and no
    /// secret.
    pub async fn end(mut self) -> Result<()> {
        if self.process.is_some() {
            let token = self.token()?.to_owned();
            let status = self.terminate().await?;
            check!(status.success(), "the host ended with {status}");
            if self.settings.ports.is_some() {
                self.until_no_client(CLIENTS_END_MAX).await?;
            }
            self.check_log(&token)?;
        }
        self.passed = true;
        Ok(())
    }

    fn check_log(&self, token: &str) -> Result<()> {
        let log = self.log();
        for secret in self.settings.secrets().chain([token]) {
            check!(!log.contains(secret), "the log holds the secret {secret}");
        }
        check!(!log.contains("panicked at"), "something panicked");
        Ok(())
    }

    /// Where everything of this host is.
    pub fn home(&self) -> &Path {
        match &self.home {
            Home::Temporary(dir) => dir.path(),
            Home::Kept(dir) => dir,
        }
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.home().join("data")
    }

    /// Its configuration file.
    pub fn config_path(&self) -> PathBuf {
        self.home().join("wxhost.toml")
    }

    /// The file with what it writes to stderr.
    pub fn log_path(&self) -> PathBuf {
        self.home().join("wxhost.log")
    }

    /// What it has written to stderr so far.
    pub fn log(&self) -> String {
        fs::read(self.log_path())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The binary that runs.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    fn process(&self) -> Result<&Process> {
        self.process.as_ref().context("the host does not run")
    }

    /// The address it listens on.
    pub fn address(&self) -> Result<&str> {
        Ok(&self.process()?.address)
    }

    /// The admin token that it made.
    pub fn token(&self) -> Result<&str> {
        Ok(&self.process()?.token)
    }

    /// How long the last start took, from the spawn until it was ready.
    pub fn started_in(&self) -> Result<Duration> {
        Ok(self.process()?.started_in)
    }

    /// The memory that its process holds, in bytes (`VmRSS`).
    pub fn memory_bytes(&self) -> Result<u64> {
        let id = self.process()?.child.id().context("the host has ended")?;
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib = kib.context("the process tells no VmRSS")?;
        Ok(kib.trim().parse::<u64>()? * 1024)
    }

    /// The URL that a WeHub process is given.
    pub fn callback_url(&self) -> Result<String> {
        let secret = self.settings.path_secret.as_deref();
        let secret = secret.map_or(String::new(), |secret| format!("{secret}/"));
        Ok(format!("http://{}/wehub/{secret}callback", self.address()?))
    }

    /// A WeHub process for this account. It has not logged in.
    pub fn wehub(&self, wxid: &str) -> Result<WehubClient> {
        let (appid, secret_key) = self.settings.first_app();
        let identity = Identity::new(appid, secret_key, wxid);
        WehubClient::new(&self.callback_url()?, identity)
    }

    /// A client of its control API with the admin token.
    pub fn api(&self) -> Result<Api> {
        let process = self.process()?;
        Ok(Api::new(
            process.http.clone(),
            &process.address,
            Some(&process.token),
        ))
    }

    /// Its controller API, with the admin token.
    pub fn openwx(&self) -> Result<Openwx> {
        let process = self.process()?;
        Ok(Openwx::new(&process.address, Some(&process.token)))
    }

    /// The ports that its clients are given.
    pub fn ports(&self) -> Result<&Ports> {
        let ports = self.settings.ports.as_deref();
        ports.context("this host was given no ports for clients")
    }

    /// The id of its process.
    pub fn pid(&self) -> Result<u32> {
        let id = self.process()?.child.id();
        id.context("the host has ended")
    }

    /// The folder of one of its clients.
    pub fn client_dir(&self, name: &str) -> PathBuf {
        self.data().join("openwx/clients").join(name)
    }

    /// Where a client's log is kept.
    pub fn client_log_dir(&self, name: &str) -> PathBuf {
        self.data().join("openwx/clients/.logs").join(name)
    }

    /// What the control API tells of a client.
    pub async fn client(&self, name: &str) -> Result<Value> {
        self.api()?.get(&format!("/clients/{name}")).await
    }

    /// Waits until the host stands so with a client.
    pub async fn until_phase(&self, name: &str, phase: &str) -> Result<Value> {
        let what = format!("{name} is {phase}");
        let mut last = Value::Null;
        let found = poll::until(&what, PHASE_MAX, async || {
            last = self.client(name).await?;
            Ok((last["phase"] == phase).then(|| last.clone()))
        });
        found.await.context(&last)
    }

    /// Waits until no process of a client is there any more, however it was left, and
    /// nobody listens on a client's port.
    pub async fn until_no_client(&self, limit: Duration) -> Result<()> {
        let folder = self.home().to_owned();
        let mut left = (Vec::new(), Vec::new());
        let gone = poll::until("no client is left", limit, async || {
            left = (process::of_folder(&folder), self.ports()?.taken());
            Ok((left.0.is_empty() && left.1.is_empty()).then_some(()))
        });
        gone.await.context(format!("processes and ports: {left:?}"))
    }

    /// Deploys a component from a file.
    pub async fn deploy(&self, name: &str, component: &Path) -> Result<Value> {
        let bytes = fs::read(component).context(component.display())?;
        self.api()?.deploy(name, bytes).await?.ok()
    }

    /// Binds an account, or `*`, to a handler.
    pub async fn bind(&self, account: &str, handler: &str) -> Result<Value> {
        let body = json!({ "handler": handler });
        self.api()?
            .put(&format!("/bindings/{account}"), &body)
            .await
    }

    /// Sets the whole configuration of a handler.
    pub async fn configure(&self, handler: &str, config: Value) -> Result<Value> {
        let path = format!("/handlers/{handler}/config");
        self.api()?.put(&path, &config).await
    }

    /// Deploys the guest of this name under its own name and binds the account,
    /// or `*`, to it.
    pub async fn serve_guest(&self, account: &str, guest: &str) -> Result<()> {
        self.deploy(guest, &guests::path(guest)?).await?;
        self.bind(account, guest).await?;
        Ok(())
    }

    /// Runs the CLI against this host as its user would.
    pub async fn cli(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = self.command(arguments);
        command.env("WXHOST_URL", format!("http://{}", self.address()?));
        command.env("WXHOST_TOKEN", self.token()?);
        command.env("http_proxy", DEAD_PROXY);
        run(command).await
    }

    /// Runs the binary with nothing but these arguments.
    pub async fn run_alone(&self, arguments: &[&str]) -> Result<Output> {
        run(self.command(arguments)).await
    }

    /// The binary with these arguments, in the host's folder, without settings
    /// from this process's environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.prepared_command(Command::new(&self.binary), arguments)
    }

    fn prepared_command(&self, mut command: Command, arguments: &[&str]) -> Command {
        let inherited = std::env::vars_os().map(|(name, _)| name);
        for name in inherited.filter(|name| name.to_string_lossy().starts_with("WXHOST_")) {
            command.env_remove(name);
        }
        command.args(arguments).current_dir(self.home());
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

/// A client for plain HTTP. It wants a TLS provider even so.
fn http_client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

impl Drop for Host {
    fn drop(&mut self) {
        if !self.passed {
            eprintln!("---- log of the host\n{}----", self.log());
        }
    }
}

async fn run(mut command: Command) -> Result<Output> {
    let what = format!("{:?}", command.as_std());
    poll::within(&what, COMMAND_MAX, async { Ok(command.output().await?) }).await
}

fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("WXHOST_BIN") {
        return Ok(path.into());
    }
    let dir = guests::profile_dir()?;
    let path = dir.join("wxhost");
    let release = if dir.ends_with("release") {
        " --release"
    } else {
        ""
    };
    check!(
        path.is_file(),
        "there is no {}: `cargo build -p wxhost{release}` builds it",
        path.display()
    );
    Ok(path)
}
