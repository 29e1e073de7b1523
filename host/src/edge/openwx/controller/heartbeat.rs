//! Asks `openwx.poll_api` what to do (seed: the controller's own heartbeat; section
//! 5). Its answer is a redirection to the controller API, which is carried out here:
//! so a server elsewhere can command a host that it can't reach.
//!
//! Only what the answer names at this host's own addresses is done. Nothing is ever
//! fetched from where else it points.

use std::{net::SocketAddr, time::Duration};

use axum::{body::Body, extract::Request};
use reqwest::{Response, Url, header, redirect};
use tokio::task::JoinSet;

use super::{Openwx, PREFIX, asked::Asked, own::Api};
use crate::edge::{linger, loopback::spare_proxies};

/// How long an answer may take: the other side holds it back until there is
/// something to do.
const ANSWER_TIME: Duration = Duration::from_secs(60);
/// How long a connection may take.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// Commands under way that are passed on to clients: one that a client blocks takes up to
/// ten minutes, and with the shortest interval the host would gather hundreds.
const PASSED_ON_MAX: usize = 16;
/// Commands under way that the host carries out itself. They take seconds, and have room
/// of their own: among them is the end of a client that blocks.
const OWN_MAX: usize = 16;
/// The longest wait after errors.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// What came of a question.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// Nothing is to be done.
    Nothing,
    /// This, on the host's own controller API: what follows `/openwx`.
    Do(String),
    /// Something that is not done.
    Strange(String),
}

impl Openwx {
    /// Asks `openwx.poll_api` what to do until the host ends. `own` are the addresses
    /// that serve the controller API.
    pub(crate) async fn heartbeat(self, own: Vec<SocketAddr>) {
        let Some(poll_api) = self.policy().poll_api.clone() else {
            return;
        };
        let url = match Url::parse(poll_api.expose()) {
            Ok(url) => url,
            // Addresses are checked with the settings.
            Err(error) => return tracing::error!(%error, "openwx.poll_api is not asked"),
        };
        let asking = match http(&url) {
            Ok(http) => Asking { http, url, own },
            Err(error) => return tracing::error!(%error, "openwx.poll_api is not asked"),
        };
        let pause = Duration::from_secs(self.policy().poll_interval);
        let (mut failures, mut complained) = (0u32, false);
        let mut commands = Commands::default();
        loop {
            let trouble = match asking.ask().await {
                Ok(Told::Do(command)) => commands.begin(&self, command).await.err(),
                Ok(Told::Nothing) => None,
                Ok(Told::Strange(what)) => Some(what),
                Err(error) => Some(error.without_url().to_string()),
            };
            failures = trouble.as_ref().map_or(0, |_| failures.saturating_add(1));
            match trouble {
                Some(trouble) if !complained => {
                    tracing::warn!(trouble, "openwx.poll_api is of no use now");
                    complained = true;
                }
                Some(_) => {}
                None => complained = false,
            }
            tokio::time::sleep(wait(pause, failures)).await;
        }
    }

    /// Carries a command out as if somebody with the token had sent it.
    async fn obey(&self, request: Request) {
        let path = request.uri().path().to_owned();
        let answer = self.carry_out(Asked::of(request, self)).await;
        let status = answer.status().as_u16();
        tracing::info!(path, status, "a command of openwx.poll_api was carried out");
        // A client is done with its answer only when somebody has read it.
        linger::throw_away(answer.into_body()).await;
    }
}

/// Commands under way, beside the questions: a client that blocks shall not keep the
/// host from hearing of its end. They end with this.
#[derive(Debug, Default)]
struct Commands {
    passed_on: JoinSet<()>,
    own: JoinSet<()>,
}

impl Commands {
    /// Begins to carry out a command. Says why it is not.
    async fn begin(&mut self, openwx: &Openwx, command: String) -> Result<(), String> {
        let request = Request::get(&command).body(Body::empty());
        let request = request.map_err(|_| "it redirects to what can't be read".to_owned())?;
        while self.passed_on.try_join_next().is_some() {}
        while self.own.try_join_next().is_some() {}
        let path = request.uri().path().trim_start_matches('/');
        let is_own = matches!(Api::of(request.method(), path), Ok(Some(_)));
        let commands = match is_own {
            true => &mut self.own,
            false if self.passed_on.len() < PASSED_ON_MAX => &mut self.passed_on,
            false => {
                return Err(format!(
                    "{PASSED_ON_MAX} of its commands are being passed on to clients already: one \
                     more is not carried out"
                ));
            }
        };
        if is_own && commands.len() >= OWN_MAX {
            let _ = commands.join_next().await;
        }
        let openwx = openwx.clone();
        commands.spawn(async move { openwx.obey(request).await });
        Ok(())
    }
}

/// How long to wait after an answer: longer after each failure in a row.
fn wait(pause: Duration, failures: u32) -> Duration {
    let longer = 2u32.saturating_pow(failures);
    pause.saturating_mul(longer).min(WAIT_MAX.max(pause))
}

fn http(url: &Url) -> Result<reqwest::Client, reqwest::Error> {
    // Somebody else may have done so before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder()
        .redirect(redirect::Policy::none())
        .timeout(ANSWER_TIME)
        .connect_timeout(CONNECT_TIME);
    spare_proxies(builder, url).build()
}

/// What is asked, and where its answers may point.
struct Asking {
    http: reqwest::Client,
    url: Url,
    own: Vec<SocketAddr>,
}

impl Asking {
    async fn ask(&self) -> Result<Told, reqwest::Error> {
        let answer = self.http.get(self.url.clone()).send().await;
        match answer {
            // Nothing came while it was held back.
            Err(error) if error.is_timeout() && !error.is_connect() => Ok(Told::Nothing),
            answer => Ok(self.told(&answer?)),
        }
    }

    fn told(&self, answer: &Response) -> Told {
        let status = answer.status();
        if status.is_redirection() {
            let location = answer.headers().get(header::LOCATION);
            let location = location.and_then(|value| value.to_str().ok());
            return self.command(location.unwrap_or_default());
        }
        match status.is_success() {
            true => Told::Nothing,
            false => Told::Strange(format!("it answers with HTTP {}", status.as_u16())),
        }
    }

    /// What a redirection to this address means.
    fn command(&self, location: &str) -> Told {
        let Ok(url) = Url::parse(location) else {
            return Told::Strange("it redirects to what is no absolute address".to_owned());
        };
        let below = url.path().strip_prefix(PREFIX);
        let below = below.filter(|below| below.starts_with('/'));
        match below {
            Some(below) if self.is_own(&url) => Told::Do(match url.query() {
                Some(query) => format!("{below}?{query}"),
                None => below.to_owned(),
            }),
            // Its query may hold secrets.
            _ => Told::Strange(format!(
                "it redirects to {}{}, which is not this host's {PREFIX}/…",
                url.host_str().unwrap_or("nowhere"),
                url.path()
            )),
        }
    }

    fn is_own(&self, url: &Url) -> bool {
        let port = url.port_or_known_default();
        let host = url.host_str().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let ip = bare.parse::<std::net::IpAddr>().ok();
        url.scheme() == "http"
            && self.own.iter().any(|own| {
                let here = own.ip().is_loopback() || own.ip().is_unspecified();
                let this_machine = host == "localhost" || ip.is_some_and(|ip| ip.is_loopback());
                Some(own.port()) == port && (ip == Some(own.ip()) || here && this_machine)
            })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn asking() -> Asking {
        let url = Url::parse("http://away.example/poll").unwrap();
        Asking {
            http: http(&url).unwrap(),
            url,
            own: vec![
                SocketAddr::from(([127, 0, 0, 1], 2000)),
                SocketAddr::from(([10, 0, 0, 7], 2001)),
            ],
        }
    }

    #[test]
    fn a_redirection_to_the_controller_is_a_command() {
        for (location, command) in [
            (
                "http://127.0.0.1:2000/openwx/start_client?client=a&log_level=info",
                "/start_client?client=a&log_level=info",
            ),
            ("http://localhost:2000/openwx/check_client", "/check_client"),
            ("http://10.0.0.7:2001/openwx/a/b?x=%2F", "/a/b?x=%2F"),
        ] {
            let told = asking().command(location);
            assert_eq!(told, Told::Do(command.to_owned()), "{location}");
        }
    }

    #[test]
    fn a_redirection_elsewhere_is_not() {
        for location in [
            "",
            "/openwx/check_client",
            "http://127.0.0.1:2001/openwx/check_client",
            "http://localhost:2001/openwx/check_client",
            "http://127.0.0.1:2000/api/v1/accounts",
            "http://127.0.0.1:2000/openwx",
            "http://127.0.0.1:2000/openwxx/check_client",
            "http://127.0.0.1:2000/openwx/../api/v1/accounts",
            "https://127.0.0.1:2000/openwx/check_client",
            "http://away.example/openwx/check_client",
            "http://10.0.0.7:2000/openwx/check_client",
            "file:///openwx/check_client",
        ] {
            let told = asking().command(location);
            assert!(matches!(told, Told::Strange(_)), "{location}: {told:?}");
        }
    }

    #[test]
    fn what_is_refused_is_told_without_its_query() {
        let told = asking().command("http://away.example/a?key=hush");
        let Told::Strange(text) = told else {
            return assert_eq!(told, Told::Nothing);
        };
        assert!(
            !text.contains("hush") && text.contains("away.example/a"),
            "{text}"
        );
    }

    #[test]
    fn failures_are_waited_for_longer_and_longer() {
        let pause = Duration::from_secs(5);
        assert_eq!(wait(pause, 0), pause);
        assert_eq!(wait(pause, 1), 2 * pause);
        assert_eq!(wait(pause, 40), WAIT_MAX);
        assert_eq!(wait(2 * WAIT_MAX, 3), 2 * WAIT_MAX);
    }
}
