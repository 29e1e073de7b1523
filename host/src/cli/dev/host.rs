//! A host of one's own: `wxhost serve` as a child, for this machine only, that ends with us.

use std::{
    env,
    ffi::OsString,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Stdio, id},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStderr, Command},
    time::{sleep, timeout},
};

use crate::{
    app::ADDRESS_FILE,
    cli::{client::Client, failure::Failure, target::Target},
    edge::{auth, keyfile},
    files,
};

/// How long it may take to listen: it opens a store, and compiles nothing.
const START_MAX: Duration = Duration::from_secs(30);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// How long it may take to end before it is killed.
const END_MAX: Duration = Duration::from_secs(10);

/// The folder is for this user alone.
const PRIVATE: u32 = 0o700;

/// The customer id of the pretended client.
pub const APPID: &str = "wxhost-dev";

/// A host that runs. It is killed when this is dropped.
#[derive(Debug)]
pub struct Host {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    /// Its address, such as `127.0.0.1:40123`.
    pub address: String,
    /// The part of its callback's path that nobody else knows.
    pub path_secret: String,
    data: PathBuf,
}

/// Without pace and without pauses, so that an answer shows at once and so does each
/// failure, and with as much time to compile as a busy machine needs. What the bot says is
/// followed apart from the host's log.
///
/// Its callback answers to whoever knows its path: other users of this machine reach the
/// port too, and the bot has the developer's secrets.
fn settings(secret: &str, path_secret: &str) -> String {
    format!(
        "[wehub]\npath_secret = {path_secret:?}\n\
         [[wehub.app]]\nappid = {APPID:?}\nsecret_key = {secret:?}\naccounts = [\"*\"]\n\
         [pacing]\naccount_per_minute = 0\nconversation_per_minute = 0\nguard_replies = 0\n\
         [limits]\ncompile_ms = 600000\nfailures_in_a_row = 0\n\
         [log]\nlevel = \"warn,wxhost::guest=off\"\nformat = \"json\"\n"
    )
}

impl Host {
    /// Starts one that keeps its things in this folder: those of the last time, or none.
    pub async fn start(folder: &Path, keep: bool) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::local(folder.display(), error);
        let (data, config) = (folder.join("data"), folder.join("wxhost.toml"));
        if !keep && folder.is_dir() {
            fs::remove_dir_all(folder).map_err(failed)?;
        }
        files::private_dir(folder).map_err(failed)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(PRIVATE)).map_err(failed)?;
        // Only this process and its child ever see them: the file is for this user alone.
        let (secret, path_secret) = (word().map_err(failed)?, word().map_err(failed)?);
        let text = settings(&secret, &path_secret);
        files::write_durably_blocking(&config, text.as_bytes()).map_err(failed)?;
        let _ = fs::remove_file(data.join(ADDRESS_FILE));
        let mut child = serve(&data, &config)?.spawn().map_err(failed)?;
        let log = child
            .stderr
            .take()
            .ok_or_else(|| failed(io::Error::other("no log")))?;
        let mut host = Self {
            child,
            log: BufReader::new(log).lines(),
            address: String::new(),
            path_secret,
            data,
        };
        host.until_it_listens().await?;
        Ok(host)
    }

    async fn until_it_listens(&mut self) -> Result<(), Failure> {
        let began = Instant::now();
        let file = self.data.join(ADDRESS_FILE);
        while began.elapsed() < START_MAX {
            if let Ok(Some(status)) = self.child.try_wait() {
                let said = self.rest_of_log().await;
                return Err(Failure::local(
                    "the host",
                    format!("ended ({status}): {said}"),
                ));
            }
            match fs::read_to_string(&file) {
                Ok(address) if !address.trim().is_empty() => {
                    self.address = address.trim().to_owned();
                    return Ok(());
                }
                _ => sleep(PAUSE).await,
            }
        }
        Err(Failure::local("the host", "does not listen"))
    }

    async fn rest_of_log(&mut self) -> String {
        let mut said = Vec::new();
        while let Ok(Some(line)) = self.log.next_line().await {
            said.push(line);
        }
        said.join("\n")
    }

    /// A client of its API.
    pub fn client(&self) -> Result<Client, Failure> {
        let token = auth::read(&self.data);
        let token = token.map_err(|error| Failure::local("the host's token", error))?;
        Client::new(&Target {
            url: Some(format!("http://{}", self.address)),
            token: Some(token),
            data: None,
        })
    }

    /// The next line of its log; none when it has ended.
    pub async fn logged(&mut self) -> Option<String> {
        let line = self.log.next_line().await.ok().flatten()?;
        Some(told(&line))
    }

    /// Ends it.
    pub async fn end(mut self) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
            // It may have ended by itself: then there is nothing to tell.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        if timeout(END_MAX, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

/// 32 characters that nobody can guess.
fn word() -> io::Result<String> {
    Ok(format!("{:032x}", u128::from_ne_bytes(keyfile::random()?)))
}

/// This binary as a host, in a way that it is killed when we are, and does not hear of
/// Ctrl-C before we do.
fn serve(data: &Path, config: &Path) -> Result<Command, Failure> {
    let binary = env::current_exe().map_err(|error| Failure::local("this program", error))?;
    let mut command = Command::new(&binary);
    command.arg("launch").arg(id().to_string()).arg(&binary);
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(data);
    command.arg("--config").arg(config);
    // Settings of this environment are for other hosts.
    let names = env::vars_os().map(|(name, _)| name);
    for name in names.filter(is_setting) {
        command.env_remove(name);
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    Ok(command)
}

fn is_setting(name: &OsString) -> bool {
    // What a bot under test does is not for the collector of real hosts.
    name.to_string_lossy().starts_with("WXHOST_") || name == "OTEL_EXPORTER_OTLP_ENDPOINT"
}

/// A line of the host's log, as it is shown.
fn told(line: &str) -> String {
    let Ok(Value::Object(mut fields)) = serde_json::from_str(line) else {
        return format!("host: {line}");
    };
    let mut take = |name: &str| match fields.remove(name) {
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let (level, message) = (take("level").to_lowercase(), take("message"));
    for name in ["timestamp", "target", "account", "handler"] {
        take(name);
    }
    let mut text = format!("host: [{level}] {message}");
    for (name, value) in fields {
        text.push_str(&format!(" {name}={value}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_s_log_is_told_as_such() {
        let line = r#"{"level":"WARN","message":"slow","ms":7,"target":"wxhost::store"}"#;
        assert_eq!(told(line), "host: [warn] slow ms=7");
        assert_eq!(told("no json"), "host: no json");
    }

    #[test]
    fn its_settings_are_such() {
        let text = settings("s", "p");
        let read: toml::Table = toml::from_str(&text).unwrap_or_default();
        assert!(read.contains_key("pacing"), "{read:?}");
        let wehub = read.get("wehub").and_then(toml::Value::as_table);
        let secret = wehub.and_then(|it| it.get("path_secret"));
        assert_eq!(secret.and_then(toml::Value::as_str), Some("p"), "{read:?}");
    }

    #[test]
    fn nobody_guesses_its_words() {
        let words = [word().unwrap_or_default(), word().unwrap_or_default()];
        assert_eq!(words.each_ref().map(String::len), [32, 32]);
        assert_ne!(words[0], words[1]);
    }

    #[test]
    fn settings_of_other_hosts_are_not_its_own() {
        for name in ["WXHOST_URL", "OTEL_EXPORTER_OTLP_ENDPOINT"] {
            assert!(is_setting(&name.into()), "{name}");
        }
        assert!(!is_setting(&"PATH".into()));
    }
}
