//! The settings under `[openwx]`: those of the seed's controller under its names, and
//! ours.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{ParameterPolicy, RestartPolicy};

/// How Openwx clients are run. Durations of the seed's names are in seconds, as
/// there; ours say their unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientPolicy {
    /// Further addresses that serve the controller API, and nothing else. The host's
    /// own address serves it too.
    pub listen: Vec<SocketAddr>,
    /// The first port that clients are given.
    pub backend_start_port: u16,
    /// The last one.
    pub backend_end_port: u16,
    /// Where clients report to that name no other address; none for the host.
    pub post_api: Option<String>,
    /// An address that the host asks again and again for what it shall do: it
    /// answers with a redirection to the controller API.
    pub poll_api: Option<String>,
    /// How long the host waits between two questions to `poll_api`, in s.
    pub poll_interval: u64,
    /// How many clients may run.
    pub max_clients: usize,
    /// Where clients have their directories; `openwx` in the data directory.
    pub tmpdir: Option<PathBuf>,
    /// The file with the host's process id; in `tmpdir`.
    pub pid_path: Option<PathBuf>,
    /// The file that lists the clients, for people's scripts; in `tmpdir`.
    pub backend_path: Option<PathBuf>,
    /// How often clients are looked at whose files say nothing, in s.
    pub check_interval: u64,
    /// What clients log, unless they are started with something else.
    pub log_level: Option<String>,
    /// Where clients log to; none for the log that the host keeps.
    pub log_path: Option<PathBuf>,
    /// How clients encode what they log.
    pub log_encoding: Option<String>,
    /// The program of the default template; in `tmpdir`. Written when it is missing.
    pub template_path: Option<PathBuf>,
    /// Who may use the controller API.
    pub auth: Auth,
    /// Report to the host and to a `post_api` as well.
    pub tee: bool,
    /// How a bot's answers reach the client.
    pub replies: Replies,
    /// How clients are started, by name.
    pub template: BTreeMap<String, Template>,
    /// Further parameters that `start_client` takes.
    pub parameters: Vec<String>,
    /// Further variables of the host's environment that clients get.
    pub environment: Vec<String>,
    /// How long a client may take to begin its answer to what is passed on, in ms.
    pub answer_ms: u64,
    /// The same for what is known to be slow: sending, and long polls.
    pub slow_answer_ms: u64,
    /// How long a client may take to end after it was told to, in ms.
    pub stop_ms: u64,
    /// How many bytes of a client's log are kept.
    pub log_bytes_max: u64,
    /// How much memory a client may use, in bytes: with more it is started again. 0
    /// for as much as it likes.
    pub memory_bytes_max: u64,
    /// How often a client that is logged in is asked whether it still answers, in ms.
    pub probe_ms: u64,
    /// How many such questions in a row it may leave unanswered.
    pub probes_max: u32,
    /// How clients are started again that ended by themselves.
    pub restart: RestartPolicy,
}

/// Who may use the controller API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// Whoever has the token.
    #[default]
    Token,
    /// Everybody on this machine.
    None,
}

/// How a bot's answers reach an Openwx client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Replies {
    /// In the answer to the report where one text is all there is to say, else by
    /// calls.
    #[default]
    Answer,
    /// By calls always, so that their outcome is known.
    Queued,
}

/// How a client is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// The program and its arguments. `{data}`, `{tmpdir}`, `{template_path}`,
    /// `{client}` and `{dir}` (the client's directory) stand for what they say.
    pub command: Vec<String>,
}

impl Default for ClientPolicy {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            backend_start_port: 3000,
            backend_end_port: u16::MAX,
            post_api: None,
            poll_api: None,
            poll_interval: 5,
            max_clients: 100,
            tmpdir: None,
            pid_path: None,
            backend_path: None,
            check_interval: 5,
            log_level: None,
            log_path: None,
            log_encoding: None,
            template_path: None,
            auth: Auth::Token,
            tee: false,
            replies: Replies::Answer,
            template: BTreeMap::new(),
            parameters: Vec::new(),
            environment: Vec::new(),
            answer_ms: 35_000,
            slow_answer_ms: 120_000,
            stop_ms: 5_000,
            log_bytes_max: 8 * 1024 * 1024,
            memory_bytes_max: 1024 * 1024 * 1024,
            probe_ms: 30_000,
            probes_max: 3,
            restart: RestartPolicy::default(),
        }
    }
}

/// The name of the template that is taken when none is named.
pub const TEMPLATE_DEFAULT: &str = "default";

impl ClientPolicy {
    /// Says which setting can't work, and why.
    pub fn check(&self) -> Result<(), String> {
        if self.backend_start_port == 0 || self.backend_end_port < self.backend_start_port {
            return Err(
                "openwx.backend_start_port, openwx.backend_end_port: the first must be more than \
                 0 and not beyond the second"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// The command line of a template.
    pub fn command(&self, template: &str) -> Option<Vec<String>> {
        match self.template.get(template) {
            Some(template) => Some(template.command.clone()),
            None if template == TEMPLATE_DEFAULT => {
                Some(vec!["perl".to_owned(), "{template_path}".to_owned()])
            }
            None => None,
        }
    }

    /// Where everything lies, below this data directory.
    pub fn places(&self, data: &Path) -> Places {
        let tmpdir = self.tmpdir.clone().unwrap_or_else(|| data.join("openwx"));
        let or =
            |path: &Option<PathBuf>, name: &str| path.clone().unwrap_or_else(|| tmpdir.join(name));
        Places {
            data: data.to_owned(),
            pid_path: or(&self.pid_path, "mojo_weixin_controller_process.pid"),
            backend_path: or(&self.backend_path, "mojo_weixin_controller_backend.dat"),
            template_path: or(&self.template_path, "mojo_weixin_controller_template.pl"),
            tmpdir,
        }
    }

    /// What may be told to a client.
    pub fn parameter_policy(&self) -> ParameterPolicy {
        ParameterPolicy::with(&self.parameters)
    }
}

/// Where the files of clients and of the controller lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The host's data directory.
    pub data: PathBuf,
    /// Where clients have their directories.
    pub tmpdir: PathBuf,
    /// The file with the host's process id.
    pub pid_path: PathBuf,
    /// The file that lists the clients.
    pub backend_path: PathBuf,
    /// The program of the default template.
    pub template_path: PathBuf,
}

impl Places {
    /// A client's own directory.
    pub fn client_dir(&self, name: &super::ClientName) -> PathBuf {
        self.tmpdir.join("clients").join(name.as_str())
    }
}
