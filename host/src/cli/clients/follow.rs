//! Follows a client until it is logged in, and shows each of its codes.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use super::brief;
use crate::{
    cli::{
        client::Client,
        failure::Failure,
        handler::encode,
        output::{Printed, Style, word},
        screen::Screen,
        watch::{AWAY_MAX, Form, watch},
    },
    domain::{
        ClientName, Login, LoginId,
        client::{ClientStatus, Phase},
    },
    edge::control::{input::LIMIT_MAX, wire::List},
};

/// The pause between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// Follows a client. Succeeds once it is logged in.
pub async fn follow(
    client: &Client,
    style: &Style,
    json: bool,
    name: &ClientName,
) -> Result<Printed, Failure> {
    let mut watched = Watched {
        client,
        name,
        style,
        json,
        screen: Screen::of_stdout(style),
        revision: 0,
        told: String::new(),
    };
    let code = watched.until_over().await?;
    Ok(Printed {
        code,
        ..Printed::ok("")
    })
}

struct Watched<'a> {
    client: &'a Client,
    name: &'a ClientName,
    style: &'a Style,
    json: bool,
    screen: Screen<std::io::Stdout>,
    revision: u64,
    told: String,
}

impl Watched<'_> {
    async fn until_over(&mut self) -> Result<ExitCode, Failure> {
        let mut seen: Option<Instant> = None;
        loop {
            match self.look().await {
                Ok(Some(code)) => return Ok(code),
                Ok(None) => seen = Some(Instant::now()),
                Err(failure) if failure.may_pass() && is_recent(seen) => {}
                Err(failure) => return Err(failure),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// How it ends, if it has.
    async fn look(&mut self) -> Result<Option<ExitCode>, Failure> {
        let path = ["clients", self.name.as_str()];
        let status: ClientStatus = self.client.get(&path, &[]).await?.read()?;
        self.tell(&status)?;
        if let Some(code) = end(status.phase) {
            return Ok(Some(code));
        }
        if !self.json
            && status.code.is_some()
            && let Some(login) = self.login().await?
        {
            let form = Form::Text(*self.style);
            // Whether anybody logged in by it shows in the client.
            watch(self.client, &login, form, &mut self.screen).await?;
        }
        Ok(None)
    }

    fn tell(&mut self, status: &ClientStatus) -> Result<(), Failure> {
        let revision = std::mem::replace(&mut self.revision, status.revision);
        if self.json {
            return match revision == status.revision {
                true => Ok(()),
                false => self.screen.say(&[encode(status)?]),
            };
        }
        let line = line(status);
        if self.told == line {
            return Ok(());
        }
        let time = self.style.time(status.since_ms);
        self.screen.say(&[format!("{time}  {line}")])?;
        self.told = line;
        Ok(())
    }

    /// The login that the client's codes belong to.
    async fn login(&self) -> Result<Option<LoginId>, Failure> {
        let limit = LIMIT_MAX.to_string();
        let query = [("state", "awaiting-scan"), ("limit", limit.as_str())];
        let reply = self.client.get(&["logins"], &query).await?;
        Ok(login_of(self.name, reply.read()?))
    }
}

/// The newest of its logins: an earlier one may not have been ended yet.
fn login_of(name: &ClientName, list: List<Login>) -> Option<LoginId> {
    let logins = list.items.into_iter();
    let own = logins.filter(|login| login.client.as_ref() == Some(name));
    let newest = own.max_by_key(|login| login.made_ms);
    newest.map(|login| login.id)
}

fn line(status: &ClientStatus) -> String {
    let (name, brief) = (&status.name, brief(status));
    let line = match (status.phase, status.state) {
        (Phase::Spawned | Phase::Listening, Some(seen)) => {
            format!("{name} is {brief} ({})", seen.state.as_str())
        }
        _ => format!("{name} is {brief}"),
    };
    match status.phase.is_over() {
        true => format!("{line}; see `wxhost client log {}`", word(name.as_str())),
        false => line,
    }
}

fn end(phase: Phase) -> Option<ExitCode> {
    match phase {
        Phase::Running => Some(ExitCode::SUCCESS),
        Phase::Failed | Phase::Stopped | Phase::Stopping => Some(ExitCode::FAILURE),
        Phase::Spawned | Phase::Listening | Phase::Waiting => None,
    }
}

/// A host that never answered is not waited for.
fn is_recent(seen: Option<Instant>) -> bool {
    seen.is_some_and(|seen| seen.elapsed() < AWAY_MAX)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::{super::tests::client, *};
    use crate::domain::client::{NativeState, StateSeen, StateSource};

    #[test]
    fn a_client_is_followed_until_it_is_logged_in_or_over() {
        for phase in Phase::ALL {
            let expected = match phase {
                Phase::Running => Some(ExitCode::SUCCESS),
                Phase::Spawned | Phase::Listening | Phase::Waiting => None,
                _ => Some(ExitCode::FAILURE),
            };
            assert_eq!(end(phase), expected, "{phase:?}");
        }
    }

    #[test]
    fn where_a_client_stands_is_told_in_a_line() {
        let mut status = client(Phase::Listening);
        assert_eq!(line(&status), "rose is listening");
        status.state = Some(StateSeen {
            state: NativeState::Scaning,
            at_ms: 0,
            source: StateSource::Report,
        });
        assert_eq!(line(&status), "rose is listening (scaning)");
        status.phase = Phase::Failed;
        status.reason = Some("it ended 21 times".to_owned());
        assert_eq!(
            line(&status),
            "rose is failed: it ended 21 times; see `wxhost client log rose`"
        );
    }

    #[test]
    fn the_login_is_the_clients_own_and_newest() {
        let login = |id: &str, client: &str, made_ms| {
            Login::of_client(id.try_into().unwrap(), client.try_into().unwrap(), made_ms)
        };
        let list = || {
            List::whole([
                Login::foreign("qr-0".try_into().unwrap(), 9),
                login("qr-1", "a", 9),
                login("qr-3", "rose", 1),
                login("qr-2", "rose", 2),
            ])
        };
        let of = |name: &str| login_of(&name.try_into().unwrap(), list());
        assert_eq!(of("rose").unwrap().as_str(), "qr-2");
        assert_eq!(of("b"), None);
    }
}
