//! Passes requests on to the clients themselves, and their answers back: as they
//! come, both ways, without holding more than a piece of them.
//!
//! A connection is used again for the same process only, and its port is kept for it
//! until the answer has ended: nothing meant for one client can reach another.

use std::time::Duration;

use axum::{
    extract::Request,
    http::{
        HeaderMap, HeaderValue, StatusCode, Uri, Version, header,
        request::Parts,
        uri::{self, PathAndQuery},
    },
    response::Response,
};
use tokio::time::timeout;

use super::{
    Openwx, PREFIX,
    answer::Answer,
    asked::Asked,
    ferry::ferried,
    seats::{Seat, Seats},
    standing,
    watched::{Progress, REST_MAX, Watched},
    wires::{Answering, Fault, Wires},
};
use crate::{
    domain::{
        ClientName,
        client::{ClientPolicy, ClientStatus, Phase},
        ports::Address,
    },
    edge::{hop::drop_hop_by_hop, openwx::wire::is_slow},
};

/// How long a client that was just started is waited for to take connections. That it
/// does is found out within half of this.
const LISTEN_TIME: Duration = Duration::from_millis(500);
/// What waits for an answer of somebody in WeChat, as long as it is told.
const CONSULT: &str = "consult";
/// The longest `timeout` of a `consult` that is waited for.
const CONSULT_MAX: Duration = Duration::from_secs(600);
/// How long a client may take beyond the time that it was told.
const CONSULT_MORE: Duration = Duration::from_secs(5);

/// Speaks to clients. A cheap handle.
#[derive(Debug, Clone, Default)]
pub(super) struct Courier {
    wires: Wires,
    seats: Seats,
}

impl Courier {
    /// Without any connection yet.
    pub(super) fn new() -> Self {
        Self::default()
    }
}

impl Openwx {
    /// Passes a request on to the client that it names.
    pub(super) async fn pass(&self, mut asked: Asked<'_>) -> Result<Response, Answer> {
        let name = asked.named_client().await?;
        let native = self.service().native();
        let client = native.status(&name).ok_or_else(Answer::unknown_client)?;
        check_alive(&client)?;
        self.check_media(&name, &mut asked).await?;
        let address = self.address(&client).await?;
        let seat = self.controller().courier.seats.enter(&name);
        let seat = seat.map_err(|full| Answer::busy(full.to_string()))?;
        let told = match asked.path() == CONSULT {
            true => asked.value("timeout").await?,
            false => None,
        };
        let limit = answer_time(self.policy(), asked.path(), told.as_deref());
        let (parts, body) = asked.into_request()?;
        let progress = Progress::new();
        let body = Watched::new(body, progress.clone(), ());
        let request = outgoing(parts, body, address.port)
            .map_err(|error| Answer::failure(format!("can't be passed on: {error}")))?;
        let answer = self.controller().courier.wires.send(request, &address);
        match progress.limit(limit, answer).await {
            Some(Ok(response)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                let reason = "it wants to speak another protocol, which can't be passed on";
                Err(Answer::unreachable(&client, reason))
            }
            Some(Ok(response)) => Ok(handed_back(response, (address, seat))),
            Some(Err(_)) if progress.is_broken() => Err(Answer::failure(format!(
                "body: ended early, or nothing more of it came for {} s",
                REST_MAX.as_secs()
            ))
            .http(StatusCode::REQUEST_TIMEOUT)),
            Some(Err(error)) => Err(self.lost(&client, &error)),
            None => Err(self.silent(&client, limit)),
        }
    }

    /// Refuses to have a client send any file of this machine, unless that is allowed.
    async fn check_media(&self, name: &ClientName, asked: &mut Asked<'_>) -> Result<(), Answer> {
        if self.policy().local_media {
            return asked.look().await;
        }
        let dir = || {
            let dir = self.service().client_dir(name);
            dir.map_err(|error| Answer::refused(name, error))
        };
        asked.check_media(dir).await
    }

    /// Where the client listens. One that was just started is given a moment.
    async fn address(&self, client: &ClientStatus) -> Result<Address, Answer> {
        let (native, name) = (self.service().native(), &client.name);
        let listens = async {
            let mut revision = client.revision;
            loop {
                if let Some(address) = native.address(name) {
                    return Some(address);
                }
                let status = native.changed(name, revision).await?;
                if status.phase != Phase::Spawned {
                    return native.address(name);
                }
                revision = status.revision;
            }
        };
        let address = match client.phase {
            Phase::Spawned => timeout(LISTEN_TIME, listens).await.ok().flatten(),
            _ => native.address(name),
        };
        address.ok_or_else(|| {
            let reason = match client.phase {
                Phase::Spawned => "it was started and does not take connections yet",
                _ => "it has no process that takes connections",
            };
            Answer::unreachable(client, reason)
        })
    }

    fn lost(&self, client: &ClientStatus, error: &Fault) -> Answer {
        let now = self.service().native().status(&client.name);
        let gone = now.as_deref().and_then(standing::why_gone);
        let cause = root_cause(error);
        let reason = match (gone, matches!(error, Fault::Connect(_)), client.phase) {
            (Some(gone), _, _) => gone,
            (None, true, Phase::Spawned) => {
                format!("it was started and does not take connections yet ({cause})")
            }
            (None, true, _) => format!("it takes no connection ({cause})"),
            (None, false, _) => format!(
                "it went away before it answered, so that it is not known what it has done \
                 ({cause})"
            ),
        };
        Answer::unreachable(now.as_deref().unwrap_or(client), reason)
    }

    fn silent(&self, client: &ClientStatus, limit: Duration) -> Answer {
        let now = self.service().native().status(&client.name);
        let client = now.as_deref().unwrap_or(client);
        let state = client.state.map_or("unknown", |seen| seen.state.as_str());
        Answer::timeout(
            client,
            format!(
                "it did not answer for {} s, and may still do what it was asked to; its state is \
                 {state}, and only in `running` it answers",
                limit.as_secs()
            ),
        )
    }
}

fn check_alive(client: &ClientStatus) -> Result<(), Answer> {
    match client.phase {
        // Until it has ended it may answer.
        Phase::Spawned | Phase::Listening | Phase::Running | Phase::Stopping => Ok(()),
        Phase::Waiting | Phase::Failed | Phase::Stopped => {
            let reason = standing::why_gone(client).unwrap_or_default();
            Err(Answer::unreachable(client, reason))
        }
    }
}

/// How long the client may take to begin its answer. `timeout` is what it was told
/// itself, in s.
fn answer_time(policy: &ClientPolicy, path: &str, timeout: Option<&str>) -> Duration {
    let slow = Duration::from_millis(policy.slow_answer_ms);
    if path == CONSULT {
        let told = timeout.and_then(|text| text.parse().ok());
        let told = Duration::from_secs(told.unwrap_or(0)).min(CONSULT_MAX);
        return slow.max(told + CONSULT_MORE);
    }
    match is_slow(path) {
        true => slow,
        false => Duration::from_millis(policy.answer_ms),
    }
}

/// The request as the client gets it.
fn outgoing<B>(mut parts: Parts, body: B, port: u16) -> Result<Request<B>, axum::http::Error> {
    parts.uri = place(&parts.uri)?;
    parts.version = Version::HTTP_11;
    drop_hop_by_hop(&mut parts.headers);
    let host = HeaderValue::try_from(format!("127.0.0.1:{port}"))?;
    parts.headers.insert(header::HOST, host);
    Ok(Request::from_parts(parts, body))
}

/// What is asked for, as clients know it.
fn place(asked: &Uri) -> Result<Uri, axum::http::Error> {
    let path = asked.path_and_query().map_or("/", PathAndQuery::as_str);
    uri::Builder::new()
        .path_and_query(format!("{PREFIX}{path}"))
        .build()
}

/// The answer as the client gave it. Its port and its place in the queue are held
/// until it has ended.
fn handed_back(response: axum::http::Response<Answering>, held: (Address, Seat)) -> Response {
    let (mut parts, body) = response.into_parts();
    parts.version = Version::HTTP_11;
    drop_hop_by_hop(&mut parts.headers);
    estrange(&mut parts.headers);
    let body = Watched::new(body, Progress::new(), held);
    Response::from_parts(parts, ferried(body))
}

/// To a browser all that the host answers is of one site. What clients answer is kept
/// from acting as a page of it, and from leaving cookies that go to other clients.
fn estrange(headers: &mut HeaderMap) {
    headers.remove(header::SET_COOKIE);
    // A policy of the client's own holds as well.
    let sandbox = HeaderValue::from_static("sandbox");
    headers.append(header::CONTENT_SECURITY_POLICY, sandbox);
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_to_be_slow_has_more_time() {
        let policy = ClientPolicy::default();
        for (path, timeout, seconds) in [
            ("get_user_info", None, 35),
            ("get_user_info", Some("300"), 35),
            ("send_friend_message", None, 120),
            ("send_group_message", None, 120),
            ("check_event", None, 120),
            ("consult", None, 120),
            ("consult", Some("30"), 120),
            ("consult", Some("300"), 305),
            ("consult", Some("99999999"), 605),
            ("consult", Some("-1"), 120),
            ("a/send_friend_message", None, 35),
        ] {
            let time = answer_time(&policy, path, timeout);
            assert_eq!(time.as_secs(), seconds, "{path} {timeout:?}");
        }
    }
}
