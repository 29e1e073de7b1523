//! Collects each part's own settings: defaults, then a TOML file, then
//! environment variables (`WXHOST_WEHUB__REPORT_CONTACT=3`), then flags.
//! Everything is read and checked before anything is opened.

use std::path::{Path, PathBuf};

use figment::{
    Figment,
    providers::{Env, Format, Toml},
};
use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        client::ClientPolicy, endpoint::EndpointPolicy, file::FilePolicy, login::LoginPolicy,
        pacing::PacingPolicy, record::RecordPolicy, task::TaskPolicy,
    },
    edge, guestlog, runtime,
    service::Policies,
    store, telemetry, vault,
};

/// Where everything lasting is kept when nobody says.
pub const DATA_DEFAULT: &str = "wxhost-data";

/// Variables of the same prefix that belong to the command line.
const NOT_SETTINGS: [&str; 3] = ["url", "token", "config"];

/// All settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where everything lasting is kept. Made when it is missing, for this user
    /// only.
    pub data: PathBuf,
    /// The HTTP server.
    pub server: edge::server::Config,
    /// The WeHub callback.
    pub wehub: edge::wehub::Config,
    /// Openwx clients, and the controller API for them.
    pub openwx: ClientPolicy,
    /// How long tasks wait.
    pub tasks: TaskPolicy,
    /// When QR logins are given up.
    pub logins: LoginPolicy,
    /// How files are taken and kept.
    pub files: FilePolicy,
    /// How fast accounts write, and when a bot talks to another bot.
    pub pacing: PacingPolicy,
    /// What is recorded to be replayed.
    pub record: RecordPolicy,
    /// What one call of a guest may use.
    pub limits: runtime::Limits,
    /// What guests' requests to other systems may use.
    pub egress: runtime::egress::Config,
    /// What calls of endpoints may take beside what every call may.
    pub endpoints: EndpointPolicy,
    /// The logs of handlers.
    pub handler_logs: guestlog::Config,
    /// The secrets that handlers are given.
    pub secrets: vault::Config,
    /// What is counted and measured.
    pub metrics: edge::metrics::Config,
    /// The store.
    pub store: store::Config,
    /// The log.
    pub log: telemetry::Config,
    /// What goes elsewhere: traces.
    pub telemetry: telemetry::Telemetry,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: DATA_DEFAULT.into(),
            server: Default::default(),
            wehub: Default::default(),
            openwx: Default::default(),
            tasks: Default::default(),
            logins: Default::default(),
            files: Default::default(),
            pacing: Default::default(),
            record: Default::default(),
            limits: Default::default(),
            egress: Default::default(),
            endpoints: Default::default(),
            handler_logs: Default::default(),
            secrets: Default::default(),
            metrics: Default::default(),
            store: Default::default(),
            log: Default::default(),
            telemetry: Default::default(),
        }
    }
}

/// Why the settings can't be used: which one, and what would be right.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file or a variable can't be read as settings.
    #[error("{0}")]
    Unreadable(Box<figment::Error>),
    /// The file is not there.
    #[error("{}: there is no such file", .0.display())]
    NoFile(PathBuf),
    /// A setting is out of its bounds.
    #[error("{0}")]
    Unfit(String),
}

impl Config {
    /// Reads the settings and checks them.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let mut figment = Figment::new();
        if let Some(file) = file {
            if !file.is_file() {
                return Err(ConfigError::NoFile(file.to_owned()));
            }
            figment = figment.merge(Toml::file_exact(file));
        }
        let environment = Env::prefixed("WXHOST_").ignore(&NOT_SETTINGS).split("__");
        let config: Self = figment
            .merge(environment)
            .extract()
            .map_err(|error| ConfigError::Unreadable(Box::new(error)))?;
        config.check()?;
        Ok(config)
    }

    /// What rules the use cases.
    pub fn policies(&self) -> Policies {
        Policies {
            data: self.data.clone(),
            tasks: self.tasks.clone(),
            logins: self.logins.clone(),
            files: self.files.clone(),
            pacing: self.pacing.clone(),
            clients: self.openwx.clone(),
            buckets: self.limits.buckets(),
            failing: self.limits.failing(),
            record: self.record.clone(),
            calls: self.limits.bounds(),
        }
    }

    /// Says which setting can't work, and why.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.tasks.check().map_err(ConfigError::Unfit)?;
        self.logins.check().map_err(ConfigError::Unfit)?;
        self.files.check().map_err(ConfigError::Unfit)?;
        self.pacing.check().map_err(ConfigError::Unfit)?;
        self.record.check().map_err(ConfigError::Unfit)?;
        self.limits.check().map_err(ConfigError::Unfit)?;
        self.egress.check().map_err(ConfigError::Unfit)?;
        self.endpoints.check().map_err(ConfigError::Unfit)?;
        self.handler_logs.check().map_err(ConfigError::Unfit)?;
        self.openwx.check().map_err(ConfigError::Unfit)?;
        self.openwx
            .check_served_at(self.server.listen)
            .map_err(ConfigError::Unfit)?;
        self.telemetry.otlp.check().map_err(ConfigError::Unfit)?;
        self.metrics
            .check_served_at(self.server.listen)
            .map_err(ConfigError::Unfit)?;
        self.wehub.check().map_err(ConfigError::Unfit)?;
        self.server.check().map_err(ConfigError::Unfit)
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::result_large_err,
        reason = "a test fails by panicking"
    )]
    use figment::Jail;

    use super::*;

    fn load(jail: &mut Jail, toml: &str) -> Result<Config, String> {
        jail.create_file("wxhost.toml", toml).unwrap();
        Config::load(Some(Path::new("wxhost.toml"))).map_err(|error| error.to_string())
    }

    #[test]
    fn the_environment_goes_before_the_file_and_the_file_before_defaults() {
        Jail::expect_with(|jail| {
            jail.set_env("WXHOST_LIMITS__CALL_CPU_MS", "70");
            jail.set_env("WXHOST_WEHUB__PATH_SECRET", "1234567890123456");
            jail.set_env("WXHOST_TOKEN", "not a setting");
            let config = load(jail, "[limits]\ncall_cpu_ms = 60\ncall_wall_ms = 600").unwrap();
            assert_eq!(config.limits.call_cpu_ms, 70);
            assert_eq!(config.limits.call_wall_ms, 600);
            assert_eq!(
                config.limits.call_handles,
                Config::default().limits.call_handles
            );
            assert!(config.wehub.path_secret.unwrap().is("1234567890123456"));
            Ok(())
        });
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_it() {
        Jail::expect_with(|jail| {
            let error = load(jail, "[limits]\ncall_cpu_mss = 60").unwrap_err();
            assert!(error.contains("call_cpu_mss"), "{error}");
            Ok(())
        });
        Jail::expect_with(|jail| {
            jail.set_env("WXHOST_LIMIT__X", "1");
            let error = load(jail, "").unwrap_err();
            assert!(error.contains("limit"), "{error}");
            Ok(())
        });
    }

    #[test]
    fn the_defaults_are_fit() {
        Config::default().check().unwrap();
    }

    #[test]
    fn secrets_are_not_shown_with_the_settings() {
        Jail::expect_with(|jail| {
            let toml =
                "[[wehub.app]]\nappid = \"a\"\nsecret_key = \"hush-hush\"\naccounts = [\"*\"]";
            let config = load(jail, toml).unwrap();
            assert!(!format!("{config:?}").contains("hush-hush"));
            assert!(
                !serde_json::to_string(&config)
                    .unwrap()
                    .contains("hush-hush")
            );
            Ok(())
        });
    }
}
