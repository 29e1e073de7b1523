//! Which host the commands are for, and what proves that we may use it.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::Args;
use reqwest::Url;

use super::failure::Failure;
use crate::{
    app::ADDRESS_FILE,
    config::DATA_DEFAULT,
    edge::{auth, loopback::is_loopback},
};

/// Which host, by its address or by its data directory.
#[derive(Args)]
#[command(next_help_heading = "Which host")]
pub struct Target {
    /// The host's address [default: what DIR/address says]
    #[arg(long, global = true, env = "WXHOST_URL", value_name = "URL")]
    pub url: Option<String>,
    /// The admin token [default: what DIR/admin-token says]. Others on this machine can see
    /// arguments, so rather use the variable
    #[arg(
        long,
        global = true,
        env = "WXHOST_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    pub token: Option<String>,
    /// The host's data directory [default: ./wxhost-data]
    #[arg(long, global = true, env = "WXHOST_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
}

impl Target {
    fn data(&self) -> &Path {
        self.data.as_deref().unwrap_or(Path::new(DATA_DEFAULT))
    }

    /// Where the host is.
    pub fn base(&self) -> Result<Url, Failure> {
        match given(&self.url) {
            Some(url) => parse(url),
            None => self.running(),
        }
    }

    /// Where the host of this data directory said that it listens.
    fn running(&self) -> Result<Url, Failure> {
        let path = self.data().join(ADDRESS_FILE);
        let text = fs::read_to_string(&path).map_err(|error| Failure::Unreachable {
            address: format!("the host of {}", self.data().display()),
            why: format!("{}: {error}", path.display()),
        })?;
        let text = text.trim();
        parse(&text.parse().map_or(text.to_owned(), reachable))
    }

    /// The token to show to the host there. The one in the data directory
    /// leaves this machine never: it is this machine's.
    pub fn token(&self, base: &Url) -> Result<String, Failure> {
        if let Some(token) = given(&self.token) {
            return Ok(token.to_owned());
        }
        if given(&self.url).is_some() && !is_loopback(base) {
            return Err(Failure::Usage(format!(
                "{base} is another machine, so it has another token: give it with WXHOST_TOKEN \
                 or --token"
            )));
        }
        auth::read(self.data()).map_err(|error| {
            Failure::Usage(format!(
                "no token: {error}. Give it with WXHOST_TOKEN or --token, or say with --data \
                 where the host keeps its data"
            ))
        })
    }
}

/// An empty variable means none.
fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// A host that listens everywhere is asked at home.
fn reachable(mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        let home = if address.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        };
        address.set_ip(home);
    }
    address.to_string()
}

fn parse(text: &str) -> Result<Url, Failure> {
    let with_scheme = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let bad = || {
        Failure::Usage(format!(
            "`{text}` is no address of a host, such as http://127.0.0.1:2000"
        ))
    };
    let url = Url::parse(&with_scheme).map_err(|_| bad())?;
    let usable = matches!(url.scheme(), "http" | "https") && url.host().is_some();
    if usable { Ok(url) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn target(url: Option<&str>, data: &Path) -> Target {
        Target {
            url: url.map(str::to_owned),
            token: None,
            data: Some(data.to_owned()),
        }
    }

    #[test]
    fn the_data_directory_says_where_the_host_is() {
        let dir = tempfile::tempdir().unwrap();
        let here = target(None, dir.path());
        assert!(matches!(here.base(), Err(Failure::Unreachable { .. })));
        for (written, expected) in [
            ("127.0.0.1:40123\n", "http://127.0.0.1:40123/"),
            ("0.0.0.0:2000", "http://127.0.0.1:2000/"),
            ("[::]:2000", "http://[::1]:2000/"),
        ] {
            fs::write(dir.path().join(ADDRESS_FILE), written).unwrap();
            assert_eq!(here.base().unwrap().as_str(), expected);
        }
    }

    #[test]
    fn an_address_is_taken_with_and_without_a_scheme() {
        for (given, expected) in [
            ("localhost:2000", "http://localhost:2000/"),
            ("https://bots.example/wx", "https://bots.example/wx"),
        ] {
            assert_eq!(parse(given).unwrap().as_str(), expected);
        }
        for bad in ["ftp://a", "http://", "a b"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_local_token_is_not_sent_to_another_machine() {
        let dir = tempfile::tempdir().unwrap();
        auth::AdminToken::load_or_create(dir.path()).unwrap();
        for (url, sent) in [
            ("http://127.0.0.1:1", true),
            ("http://[::1]:1", true),
            ("http://localhost:1", true),
            ("http://127.0.0.1.evil.example", false),
            ("http://10.0.0.1", false),
        ] {
            let target = target(Some(url), dir.path());
            let base = target.base().unwrap();
            assert_eq!(target.token(&base).is_ok(), sent, "{url}");
        }
    }
}
