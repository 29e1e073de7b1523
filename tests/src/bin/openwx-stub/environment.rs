//! What the controller tells a client (protocol page for Openwx, section 2).

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use wxhost_tests::{Context, Result};

/// How long a client waits between two heartbeats that was told nothing.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// The environment, as far as a client reads it.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The client's name.
    pub account: String,
    /// Whose child it has to be.
    pub controller_pid: Option<i32>,
    /// Where its API listens.
    pub port: u16,
    /// Where it reports to.
    pub post_api: Option<String>,
    /// Where it asks what to do.
    pub poll_api: Option<String>,
    /// How long it waits between two such questions.
    pub poll_interval: Duration,
    /// Whether it reports events at all.
    pub post_event: bool,
    /// Where its files are.
    pub tmpdir: PathBuf,
    /// The file with its state.
    pub state_path: PathBuf,
    /// The file with the code to scan.
    pub qrcode_path: PathBuf,
    /// The file with its process id.
    pub pid_path: PathBuf,
    /// The file that lets it log in again without a scan.
    pub cookie_path: PathBuf,
    /// All of it.
    pub all: BTreeMap<String, String>,
}

impl Environment {
    /// Reads these variables.
    pub fn read(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let all: BTreeMap<_, _> = variables.into_iter().collect();
        let text = |name: &str| {
            let value = all.get(&format!("MOJO_WEIXIN_{name}"));
            value.filter(|value| !value.is_empty()).cloned()
        };
        let account = text("ACCOUNT").context("MOJO_WEIXIN_ACCOUNT is not set")?;
        let tmpdir = PathBuf::from(text("TMPDIR").unwrap_or_else(|| "/tmp".to_owned()));
        let file = |name: &str, default: String| {
            text(name).map_or_else(|| tmpdir.join(default), PathBuf::from)
        };
        let port = text("PLUGIN_OPENWX_PORT").context("no MOJO_WEIXIN_PLUGIN_OPENWX_PORT")?;
        let seconds = text("PLUGIN_OPENWX_POLL_INTERVAL").and_then(|it| it.parse().ok());
        Ok(Self {
            controller_pid: text("CONTROLLER_PID").and_then(|it| it.parse().ok()),
            port: port.parse().context(format!("the port {port}"))?,
            post_api: text("PLUGIN_OPENWX_POST_API"),
            poll_api: text("PLUGIN_OPENWX_POLL_API"),
            poll_interval: seconds.map_or(POLL_INTERVAL, Duration::from_secs),
            post_event: text("PLUGIN_OPENWX_POST_EVENT").is_none_or(|it| it != "0"),
            state_path: file("STATE_PATH", format!("mojo_weixin_state_{account}.json")),
            qrcode_path: file("QRCODE_PATH", format!("mojo_weixin_qrcode_{account}.jpg")),
            pid_path: file("PID_PATH", format!("mojo_weixin_pid_{account}.pid")),
            cookie_path: file("COOKIE_PATH", format!("mojo_weixin_cookie_{account}.dat")),
            tmpdir,
            account,
            all,
        })
    }

    /// The value of a start parameter, as it was handed on.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let name = format!("MOJO_WEIXIN_{}", name.to_uppercase());
        self.all.get(&name).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop")]
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Environment> {
        Environment::read(
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned())),
        )
    }

    #[test]
    fn files_lie_in_the_directory_unless_they_are_named() {
        let told = read(&[
            ("MOJO_WEIXIN_ACCOUNT", "a1"),
            ("MOJO_WEIXIN_PLUGIN_OPENWX_PORT", "3000"),
            ("MOJO_WEIXIN_TMPDIR", "/d"),
            ("MOJO_WEIXIN_PID_PATH", "/d/p"),
            ("MOJO_WEIXIN_PLUGIN_OPENWX_POST_EVENT", "0"),
        ])
        .unwrap();
        assert_eq!(
            told.state_path,
            PathBuf::from("/d/mojo_weixin_state_a1.json")
        );
        assert_eq!(told.pid_path, PathBuf::from("/d/p"));
        assert!(!told.post_event);
        assert_eq!(told.poll_interval, POLL_INTERVAL);
    }

    #[test]
    fn a_client_without_name_or_port_does_not_begin() {
        assert!(read(&[("MOJO_WEIXIN_ACCOUNT", "a1")]).is_err());
        let unnamed = [("MOJO_WEIXIN_PLUGIN_OPENWX_PORT", "3000")];
        assert!(read(&unnamed).is_err());
    }
}
