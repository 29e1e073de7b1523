//! `handler.toml`: what a handler is called, what it may do and whom it serves. Read by
//! the command line alone; the host gets what it says with the component.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Deserializer, de};
use serde_json::{Value, json};

use super::{accounts::Accounts, component::World};
use crate::{
    cli::failure::Failure,
    domain::{
        HandlerName,
        handler::{HostRule, Manifest, Schedule, check_config_key, sorted},
    },
};

/// How large the file may be: one that is larger is another file.
const FILE_MAX_BYTES: u64 = 1024 * 1024;

/// The file, as it is written. What is not known is an error that names the line.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandlerToml {
    /// Under which name it is deployed.
    pub name: HandlerName,
    /// What it is for.
    #[serde(default)]
    pub world: World,
    /// The component, from the file's folder.
    pub component: PathBuf,
    /// Whom it is bound to when it is deployed.
    #[serde(default)]
    pub accounts: Accounts,
    /// Whether it gets what the account itself wrote.
    #[serde(default)]
    own_messages: bool,
    /// Whether it may open the bucket that its accounts share.
    #[serde(default)]
    shared_bucket: bool,
    /// Whom it may call over HTTP.
    #[serde(default)]
    allowed_hosts: Vec<HostRule>,
    /// The keys of the secrets that it reads.
    #[serde(default)]
    pub secrets: BTreeSet<String>,
    /// Entries of its configuration.
    #[serde(default)]
    pub config: BTreeMap<String, Text>,
    /// What one call may use.
    limits: Option<toml::Table>,
    /// Whether each call gets a fresh instance.
    instances: Option<String>,
    /// What becomes of an account's events while the bot is paused there.
    when_failing: Option<String>,
    /// Of an endpoint: whether anybody may call it.
    public: Option<bool>,
    /// Of an endpoint: for which accounts it may act.
    act_for: Option<Vec<String>>,
    /// When it is called without anything having happened.
    #[serde(default)]
    schedules: Vec<Schedule>,
    /// How it is built.
    #[serde(default)]
    pub build: Build,
}

/// `[build]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Build {
    /// A line for the shell that makes the component, in place of what the kind of
    /// project is built with.
    pub command: Option<String>,
}

/// A value of the configuration, which is text for the bot. Numbers and switches may be
/// written without quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(pub String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => Ok(Self(text)),
            toml::Value::Integer(number) => Ok(Self(number.to_string())),
            toml::Value::Float(number) => Ok(Self(number.to_string())),
            toml::Value::Boolean(on) => Ok(Self(on.to_string())),
            other => Err(de::Error::custom(format!(
                "a value of the configuration is text, not {}: write it in quotes",
                other.type_str()
            ))),
        }
    }
}

impl HandlerToml {
    /// Reads and checks the file.
    pub fn read(file: &Path) -> Result<Self, Failure> {
        let problem = |problem: String| Failure::Usage(format!("{}: {problem}", file.display()));
        let size = fs::metadata(file).map_err(|error| problem(error.to_string()))?;
        if size.len() > FILE_MAX_BYTES {
            return Err(problem(format!("has more than {FILE_MAX_BYTES} bytes")));
        }
        let text = fs::read_to_string(file).map_err(|error| problem(error.to_string()))?;
        Self::parse(&text).map_err(problem)
    }

    /// Reads and checks its text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let read: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        for key in read.secrets.iter().chain(read.config.keys()) {
            check_config_key(key)?;
        }
        if let Some(key) = read.secrets.iter().find(|it| read.config.contains_key(*it)) {
            return Err(format!(
                "secrets: {key:?} stands in [config] too, where everybody can read it: it is one \
                 or the other"
            ));
        }
        read.manifest()?;
        Ok(read)
    }

    /// What goes with the component.
    pub fn manifest(&self) -> Result<Manifest, String> {
        let manifest = self.limited()?;
        let schedules = manifest.check_schedules();
        schedules.map_err(|problem| format!("schedules{problem}"))?;
        Ok(manifest)
    }

    /// Limits and the like are the host's own words: what this version does not know, it names.
    fn limited(&self) -> Result<Manifest, String> {
        let fields = [
            ("own_messages", Some(json!(self.own_messages))),
            ("shared_bucket", Some(json!(self.shared_bucket))),
            (
                "allowed_hosts",
                Some(json!(sorted(self.allowed_hosts.clone()))),
            ),
            ("schedules", Some(json!(self.schedules))),
            ("limits", self.limits.as_ref().map(|it| json!(it))),
            ("instances", self.instances.as_ref().map(|it| json!(it))),
            (
                "when_failing",
                self.when_failing.as_ref().map(|it| json!(it)),
            ),
            ("public", self.public.as_ref().map(|it| json!(it))),
            ("act_for", self.act_for.as_ref().map(|it| json!(it))),
        ];
        let fields = fields.into_iter();
        let json: serde_json::Map<_, _> = fields
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect();
        serde_path_to_error::deserialize(Value::Object(json)).map_err(|error| {
            let (path, problem) = (error.path().to_string(), error.inner().to_string());
            match path.as_str() {
                "." => problem,
                path => format!("{path}: {problem}"),
            }
        })
    }

    /// The configuration, as texts.
    pub fn config(&self) -> BTreeMap<String, String> {
        let texts = self.config.iter();
        texts
            .map(|(key, text)| (key.clone(), text.0.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test fails by panicking"
    )]
    use super::*;

    const WHOLE: &str = r#"
name = "concierge"
world = "bot"
component = "concierge.wasm"
instances = "per-account"
when_failing = "wait"
accounts = ["wxid_a", "label:shop"]
own_messages = true
shared_bucket = true
allowed_hosts = ["https://b.example", "https://a.example"]
secrets = ["api_key"]

[config]
greeting = "hello"
times = 3
loud = true

[[schedules]]
name = "daily"
cron = "0 8 * * *"
zone = "Asia/Shanghai"

[build]
command = "make"

[limits]
cpu_ms = 200
"#;

    #[test]
    fn the_file_is_read() {
        let read = HandlerToml::parse(WHOLE).unwrap();
        assert_eq!(read.name.as_str(), "concierge");
        assert_eq!(read.accounts.0, ["wxid_a", "label:shop"]);
        let config = read.config();
        assert_eq!(config["greeting"], "hello");
        assert_eq!(
            (config["times"].as_str(), config["loud"].as_str()),
            ("3", "true")
        );
        let manifest = read.manifest().unwrap();
        assert!(manifest.own_messages && manifest.shared_bucket);
        let hosts: Vec<_> = manifest
            .allowed_hosts
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(hosts, ["https://a.example", "https://b.example"]);
        assert_eq!(manifest.schedules.len(), 1);
        assert!(!manifest.instances.are_fresh() && !manifest.limits.is_empty());
        assert_eq!(manifest.when_failing.as_str(), "wait");
        assert_eq!(read.build.command.as_deref(), Some("make"));
    }

    #[test]
    fn what_is_left_out_is_not_granted() {
        let read = HandlerToml::parse("name = \"a\"\ncomponent = \"a.wasm\"").unwrap();
        assert_eq!(read.manifest().unwrap(), Manifest::default());
        assert_eq!(read.world, World::Bot);
        assert!(read.accounts.0.is_empty());
    }

    #[test]
    fn an_error_names_what_is_wrong_and_where() {
        let minimal = "name = \"a\"\ncomponent = \"a.wasm\"\n";
        for (more, words) in [
            ("acounts = \"all\"", &["line 3", "acounts", "accounts"][..]),
            ("world = \"game\"", &["line 3", "game", "callback"]),
            ("allowed_hosts = [\"ftp://x\"]", &["line 3", "ftp"]),
            (
                "secrets = [\"k\"]\n[config]\nk = \"v\"",
                &["secrets", "\"k\""],
            ),
            ("[config]\nk = [1]", &["text", "array"]),
            (
                "[[schedules]]\nname = \"d\"\ncron = \"0 8\"",
                &["schedules[0].cron"],
            ),
            ("[limits]\nno_such_limit = 1", &["limits", "no_such_limit"]),
            ("instances = \"few\"", &["instances", "per-account"]),
            ("[build]\ncomand = \"x\"", &["comand", "command"]),
        ] {
            let problem = HandlerToml::parse(&format!("{minimal}{more}")).unwrap_err();
            for word in words {
                assert!(problem.contains(word), "{more}: {problem}");
            }
        }
        let problem = HandlerToml::parse("name = \"A b\"\ncomponent = \"x\"").unwrap_err();
        assert!(
            problem.contains("line 1") && problem.contains("lower case"),
            "{problem}"
        );
        let problem = HandlerToml::parse("name = \"a\"").unwrap_err();
        assert!(problem.contains("component"), "{problem}");
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}") {
            let _ = HandlerToml::parse(&text);
        }

        #[test]
        fn texts_of_the_configuration_come_out_as_they_are(value in ".{0,40}") {
            let table: toml::Table = [("k".to_owned(), value.clone().into())].into_iter().collect();
            let config: toml::Table = [("config".to_owned(), table.into())].into_iter().collect();
            let text = format!("name = \"a\"\ncomponent = \"a\"\n{config}");
            let read = HandlerToml::parse(&text).unwrap();
            proptest::prop_assert_eq!(&read.config()["k"], &value);
        }
    }
}
