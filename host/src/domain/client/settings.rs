//! The settings under `[openwx]`: those of the seed's controller under its names, and
//! ours.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    ApiUrl, ParameterPolicy, RestartPolicy,
    parameters::{self, check_parameter_name},
};

/// The longest time that can be set: a day. Longer ones are slips of the unit.
const MAX_WAIT: Duration = Duration::from_secs(24 * 60 * 60);
/// Less of a log tells nothing.
const LOG_MIN_BYTES: u64 = 16 * 1024;
/// More of a log per client than that fills disks: 100 clients have a terabyte.
const LOG_MAX_BYTES: u64 = 10 * 1024 * 1024 * 1024;
/// With less memory no client would start: Mojo-Weixin alone takes 60 MB.
const MEMORY_MIN_BYTES: u64 = 8 * 1024 * 1024;
/// The longest name of a template.
const TEMPLATE_NAME_MAX_CHARS: usize = 64;

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
    pub post_api: Option<ApiUrl>,
    /// An address that the host asks again and again for what it shall do: it
    /// answers with a redirection to the controller API.
    pub poll_api: Option<ApiUrl>,
    /// How long the host waits between two questions to `poll_api`, in s.
    pub poll_interval: u64,
    /// How many clients may run, or wait to be started again, at the same time.
    pub max_clients: usize,
    /// Where clients have their directories; `openwx` in the data directory.
    pub tmpdir: Option<PathBuf>,
    /// The file with the host's process id; in `tmpdir`.
    pub pid_path: Option<PathBuf>,
    /// The file that lists the clients that have a process, for people's scripts; in
    /// `tmpdir`.
    pub backend_path: Option<PathBuf>,
    /// How often it is looked at what clients use, and at files that nobody told of, in
    /// s.
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
    /// Whether those who use the controller API may have clients send files of this
    /// machine, by their paths. Else those in a client's own directory only.
    pub local_media: bool,
    /// Whether reports go to a `post_api` and to the host as well.
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
    /// The same for what is known to be slow: sending, long polls, and what asks WeChat.
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
    /// After how many such questions in a row without an answer it is killed.
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
            local_media: false,
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
        self.check_ports()?;
        self.check_times()?;
        self.check_amounts()?;
        self.check_addresses()?;
        self.check_texts()?;
        self.check_names()?;
        self.restart.check()?;
        let ms = MAX_WAIT.as_millis() as u64;
        within("restart.wait_max_ms", self.restart.wait_max_ms, 1, ms)
    }

    /// Says why the controller API can't be served to everybody here, when
    /// `host` is what the host itself listens on.
    pub fn check_served_at(&self, host: SocketAddr) -> Result<(), String> {
        if let Some(address) = self.listen.iter().find(|it| **it == host) {
            return Err(format!(
                "openwx.listen: server.listen serves {address} already: leave it out here"
            ));
        }
        let mut all = self.listen.iter().chain([&host]);
        match all.find(|address| !address.ip().is_loopback()) {
            Some(address) if self.auth == Auth::None => Err(format!(
                "openwx.auth: takes `none` only while server.listen and openwx.listen are \
                 loopback addresses, and {address} is none: take `token`"
            )),
            _ => Ok(()),
        }
    }

    fn check_ports(&self) -> Result<(), String> {
        if self.backend_start_port == 0 || self.backend_end_port < self.backend_start_port {
            return Err(
                "openwx.backend_start_port, openwx.backend_end_port: the first must be more than \
                 0 and not beyond the second"
                    .to_owned(),
            );
        }
        let ports = usize::from(self.backend_end_port - self.backend_start_port) + 1;
        match self.max_clients {
            0 => Err("openwx.max_clients: must be more than 0".to_owned()),
            max if max > ports => Err(format!(
                "openwx.max_clients: {max} clients need as many ports, and \
                 openwx.backend_start_port to openwx.backend_end_port are {ports}"
            )),
            _ => Ok(()),
        }
    }

    fn check_times(&self) -> Result<(), String> {
        let (s, ms) = (MAX_WAIT.as_secs(), MAX_WAIT.as_millis() as u64);
        within("poll_interval", self.poll_interval, 1, s)?;
        within("check_interval", self.check_interval, 1, s)?;
        within("answer_ms", self.answer_ms, 100, ms)?;
        within("slow_answer_ms", self.slow_answer_ms, self.answer_ms, ms)?;
        within("stop_ms", self.stop_ms, 1, ms)?;
        within("probe_ms", self.probe_ms, 100, ms)
    }

    fn check_amounts(&self) -> Result<(), String> {
        within("probes_max", self.probes_max.into(), 1, 1_000)?;
        within(
            "log_bytes_max",
            self.log_bytes_max,
            LOG_MIN_BYTES,
            LOG_MAX_BYTES,
        )?;
        match self.memory_bytes_max {
            0 => Ok(()),
            bytes => within("memory_bytes_max", bytes, MEMORY_MIN_BYTES, u64::MAX),
        }
    }

    fn check_addresses(&self) -> Result<(), String> {
        for (name, url) in [("post_api", &self.post_api), ("poll_api", &self.poll_api)] {
            let url = url.as_ref().map(ApiUrl::expose);
            let checked = url.map_or(Ok(()), parameters::check_url);
            checked.map_err(|problem| format!("openwx.{name}: {problem}"))?;
        }
        let mut seen = BTreeSet::new();
        match self.listen.iter().find(|address| !seen.insert(*address)) {
            Some(twice) => Err(format!("openwx.listen: {twice} is given twice")),
            None => Ok(()),
        }
    }

    fn check_texts(&self) -> Result<(), String> {
        let of = |name: &'static str| move |problem| format!("openwx.{name}: {problem}");
        if let Some(level) = &self.log_level {
            parameters::check_log_level(level).map_err(of("log_level"))?;
        }
        if let Some(encoding) = &self.log_encoding {
            parameters::check_encoding(encoding).map_err(of("log_encoding"))?;
        }
        let paths = [
            ("tmpdir", &self.tmpdir),
            ("pid_path", &self.pid_path),
            ("backend_path", &self.backend_path),
            ("log_path", &self.log_path),
            ("template_path", &self.template_path),
        ];
        let empty = |path: &Option<PathBuf>| path.as_ref().is_some_and(|it| it.as_os_str() == "");
        match paths.into_iter().find(|(_, path)| empty(path)) {
            Some((name, _)) => Err(format!("openwx.{name}: is empty: leave it out")),
            None => Ok(()),
        }
    }

    fn check_names(&self) -> Result<(), String> {
        for name in &self.parameters {
            check_parameter_name(name)
                .map_err(|problem| format!("openwx.parameters: {name:?}: {problem}"))?;
        }
        for name in &self.environment {
            check_variable(name)
                .map_err(|problem| format!("openwx.environment: {name:?}: {problem}"))?;
        }
        for (name, template) in &self.template {
            check_template(name, template)
                .map_err(|problem| format!("openwx.template.{name}: {problem}"))?;
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

fn within(name: &str, value: u64, least: u64, most: u64) -> Result<(), String> {
    match (least..=most).contains(&value) {
        true => Ok(()),
        false => Err(format!(
            "openwx.{name}: is {value} and must be from {least} to {most}"
        )),
    }
}

/// A variable that a client may get from the host's environment.
fn check_variable(name: &str) -> Result<(), String> {
    let odd = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    if name.is_empty() || name.contains(odd) || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("takes names of variables: letters, digits and _".to_owned());
    }
    if name.starts_with("MOJO_WEIXIN_") {
        return Err("is what the host tells a client: set it by a parameter".to_owned());
    }
    match name.starts_with("LD_") {
        true => Err("would change which code runs: put it into the template's command".to_owned()),
        false => Ok(()),
    }
}

fn check_template(name: &str, template: &Template) -> Result<(), String> {
    let odd = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if name.is_empty() || name.len() > TEMPLATE_NAME_MAX_CHARS || name.contains(odd) {
        return Err(format!(
            "a template's name has 1 to {TEMPLATE_NAME_MAX_CHARS} letters, digits and - _ ."
        ));
    }
    match template.command.first() {
        None => return Err("command: is empty: it takes a program and its arguments".to_owned()),
        Some(program) if program.trim().is_empty() => {
            return Err("command: its first text is the program, and empty".to_owned());
        }
        Some(_) => {}
    }
    match template.command.iter().any(|text| text.contains('\0')) {
        true => Err("command: holds a zero character".to_owned()),
        false => Ok(()),
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

    /// Where what a client prints is kept: not where the client itself puts files. No
    /// client's name begins with a dot.
    pub fn log_dir(&self, name: &super::ClientName) -> PathBuf {
        self.tmpdir.join("clients/.logs").join(name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(change: impl FnOnce(&mut ClientPolicy)) -> ClientPolicy {
        let mut policy = ClientPolicy::default();
        change(&mut policy);
        policy
    }

    fn template(command: &[&str]) -> Template {
        Template {
            command: command.iter().map(|&text| text.to_owned()).collect(),
        }
    }

    /// The setting is refused by its name.
    fn refused(name: &str, change: impl FnOnce(&mut ClientPolicy)) {
        let problem = policy(change).check().err().unwrap_or_default();
        assert!(
            problem.contains(&format!("openwx.{name}")),
            "{name}: {problem}"
        );
    }

    #[test]
    fn the_defaults_are_those_of_the_seed() {
        let policy = ClientPolicy::default();
        assert_eq!(policy.check(), Ok(()));
        assert_eq!(policy.backend_start_port, 3000);
        assert_eq!((policy.poll_interval, policy.check_interval), (5, 5));
        assert_eq!(policy.max_clients, 100);
    }

    #[test]
    fn bounds_that_can_not_work_are_refused_by_name() {
        refused("backend_start_port", |it| it.backend_start_port = 0);
        refused("backend_end_port", |it| it.backend_end_port = 2999);
        refused("max_clients", |it| it.max_clients = 0);
        refused("max_clients", |it| it.backend_end_port = 3050);
        refused("poll_interval", |it| it.poll_interval = 0);
        refused("check_interval", |it| it.check_interval = 0);
        refused("answer_ms", |it| it.answer_ms = 35);
        refused("slow_answer_ms", |it| it.slow_answer_ms = 30_000);
        refused("stop_ms", |it| it.stop_ms = 0);
        refused("probe_ms", |it| it.probe_ms = u64::MAX);
        refused("probes_max", |it| it.probes_max = 0);
        refused("log_bytes_max", |it| it.log_bytes_max = 8);
        refused("memory_bytes_max", |it| it.memory_bytes_max = 512);
        refused("restart.wait_min_ms", |it| it.restart.wait_min_ms = 0);
        refused("restart.wait_max_ms", |it| it.restart.wait_max_ms = 1);
        refused("restart.wait_max_ms", |it| {
            it.restart.wait_max_ms = u64::MAX
        });
        assert_eq!(policy(|it| it.memory_bytes_max = 0).check(), Ok(()));
    }

    #[test]
    fn texts_are_what_they_are_meant_to_be() {
        refused("post_api", |it| it.post_api = Some("h:1".into()));
        refused("poll_api", |it| it.poll_api = Some("http://u:p@h/".into()));
        refused("log_level", |it| it.log_level = Some("loud".to_owned()));
        refused("log_encoding", |it| {
            it.log_encoding = Some("a b".to_owned())
        });
        refused("tmpdir", |it| it.tmpdir = Some("".into()));
        refused("template_path", |it| it.template_path = Some("".into()));
    }

    #[test]
    fn keys_in_addresses_are_not_shown_with_the_settings() {
        let set = policy(|it| {
            it.post_api = Some("http://h/cb?key=hush".into());
            it.poll_api = Some("http://h/poll?hush".into());
        });
        assert_eq!(set.check(), Ok(()));
        for shown in [
            format!("{set:?}"),
            serde_json::to_string(&set).unwrap_or_default(),
        ] {
            assert!(
                shown.contains("http://h/cb?key=") && !shown.contains("hush"),
                "{shown}"
            );
        }
    }

    #[test]
    fn nothing_takes_the_place_of_what_the_host_tells_a_client() {
        for name in [
            "account",
            "plugin_openwx_port",
            "controller_pid",
            "A",
            "a1",
            "",
        ] {
            refused("parameters", |it| it.parameters.push(name.to_owned()));
        }
        for name in ["MOJO_WEIXIN_PORT", "LD_PRELOAD", "", "A B", "A=B", "1A"] {
            refused("environment", |it| it.environment.push(name.to_owned()));
        }
        let fit = policy(|it| {
            it.parameters.push("nickname".to_owned());
            it.environment.push("TZ".to_owned());
        });
        assert_eq!(fit.check(), Ok(()));
    }

    #[test]
    fn a_template_has_a_name_and_a_program() {
        let add = |name: &'static str, command: &'static [&'static str]| {
            move |it: &mut ClientPolicy| {
                drop(it.template.insert(name.to_owned(), template(command)))
            }
        };
        refused("template.a", add("a", &[]));
        refused("template.a", add("a", &[" ", "x"]));
        refused("template.a", add("a", &["perl", "x\0"]));
        refused("template.", add("", &["perl"]));
        refused("template.a b", add("a b", &["perl"]));
        let fit = policy(add("own-2.x", &["perl", "{data}/own.pl"]));
        assert_eq!(fit.check(), Ok(()));
    }

    #[test]
    fn no_token_is_asked_for_on_this_machine_only() {
        let here = SocketAddr::from(([127, 0, 0, 1], 2000));
        let everywhere = SocketAddr::from(([0, 0, 0, 0], 2000));
        let open = policy(|it| it.auth = Auth::None);
        assert_eq!(open.check_served_at(here), Ok(()));
        for (policy, host) in [
            (open.clone(), everywhere),
            (
                policy(|it| {
                    it.auth = Auth::None;
                    it.listen.push(SocketAddr::from(([10, 0, 0, 1], 2000)));
                }),
                here,
            ),
        ] {
            let problem = policy.check_served_at(host).err().unwrap_or_default();
            assert!(problem.starts_with("openwx.auth"), "{problem}");
        }
        assert_eq!(ClientPolicy::default().check_served_at(everywhere), Ok(()));
    }

    #[test]
    fn an_address_is_listened_on_once() {
        let here = SocketAddr::from(([127, 0, 0, 1], 2000));
        let twice = policy(|it| it.listen = vec![here, here]);
        assert!(twice.check().is_err());
        let same = policy(|it| it.listen = vec![here]);
        assert!(same.check_served_at(here).is_err());
    }
}
