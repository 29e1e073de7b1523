//! QR logins: starting one, watching it, and the code to be scanned.

use axum::{
    Json as Answer,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;

use super::{
    input::{Body, Path, Query, read_json},
    wire::{List, LoginStart},
};
use crate::{
    domain::{Login, LoginId, LoginState, login::NOTE_MAX_BYTES},
    edge::error::{Kind, Problem},
    service::{LoginRequest, Service},
};

/// The longest `machine_id` that is looked for. WeHub makes it of a computer's
/// name, which Windows bounds to 63 bytes, and a process id.
const MACHINE_MAX_BYTES: usize = 256;

pub async fn start(
    State(service): State<Service>,
    query: Query,
    Body(body): Body,
) -> Result<
    (
        StatusCode,
        [(header::HeaderName, HeaderValue); 1],
        Answer<Login>,
    ),
    Problem,
> {
    query.only(&[])?;
    let login = service.start_login(request(&body)?).await?;
    // Relative to this request's own path, whatever a proxy put before it.
    let location = HeaderValue::try_from(format!("logins/{}", login.id));
    let location = location.map_err(Problem::internal)?;
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Answer(login),
    ))
}

/// What the body asks for. Without a body, any client will do.
fn request(body: &[u8]) -> Result<LoginRequest, Problem> {
    let start: LoginStart = match body {
        [] => LoginStart::default(),
        body => read_json(body)?,
    };
    check(&start)?;
    Ok(LoginRequest {
        agent: start.agent,
        machine: start.machine,
        note: start.note.unwrap_or_default(),
    })
}

fn check(start: &LoginStart) -> Result<(), Problem> {
    if start.note.as_ref().map_or(0, String::len) > NOTE_MAX_BYTES {
        let problem = format!("has at most {NOTE_MAX_BYTES} bytes");
        return Err(Problem::bad_field("note", problem));
    }
    let Some(machine) = &start.machine else {
        return Ok(());
    };
    if start.agent.is_some() {
        let problem = "names a client as agent does: give one of the two";
        return Err(Problem::bad_field("machine", problem));
    }
    match machine.len() {
        1..=MACHINE_MAX_BYTES => Ok(()),
        _ => Err(Problem::bad_field(
            "machine",
            format!("has 1 to {MACHINE_MAX_BYTES} bytes"),
        )),
    }
}

pub async fn list(
    State(service): State<Service>,
    query: Query,
) -> Result<Answer<List<Login>>, Problem> {
    let query = query.only(&["state", "after", "limit"])?;
    let state = query.word("state", &LoginState::ALL, LoginState::as_str)?;
    let after = query.after().map(LoginId::try_from).transpose();
    let after = after.map_err(|error| Problem::bad_field("after", error))?;
    let limit = query.limit()?;
    let items = service.qr_logins(state, after.as_ref(), limit).await?;
    let more = items.last().filter(|_| items.len() >= limit);
    let next = more.map(|login| login.id.to_string());
    Ok(Answer(List { items, next }))
}

pub async fn show(
    State(service): State<Service>,
    Path(id): Path<LoginId>,
) -> Result<Answer<Login>, Problem> {
    Ok(Answer(service.qr_login(&id).await?))
}

pub async fn cancel(
    State(service): State<Service>,
    Path(id): Path<LoginId>,
) -> Result<Answer<Login>, Problem> {
    Ok(Answer(service.cancel_login(&id).await?))
}

/// The image to be scanned, for a page or a program that shows it. It changes
/// every minute or two; its tag is the number of the code.
pub async fn code(
    State(service): State<Service>,
    Path(id): Path<LoginId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let login = service.qr_login(&id).await?;
    if login.image.is_none() {
        return Err(no_code(&login));
    }
    let (login, bytes) = service.qr_image(&id).await?;
    let tag = format!("\"{}\"", login.generation);
    match is_known(&headers, &tag) {
        true => Ok((StatusCode::NOT_MODIFIED, code_headers(&tag)?).into_response()),
        false => image(&login, &tag, bytes),
    }
}

fn no_code(login: &Login) -> Problem {
    let state = login.state.as_str();
    Problem::new(
        Kind::NotFound,
        format!("the login has no code now: it is {state}"),
    )
}

fn image(login: &Login, tag: &str, bytes: Bytes) -> Result<Response, Problem> {
    let image = login.image.as_ref().ok_or_else(|| no_code(login))?;
    let mime = HeaderValue::try_from(image.mime.as_str()).map_err(Problem::internal)?;
    let typed = [(header::CONTENT_TYPE, mime)];
    Ok((code_headers(tag)?, typed, bytes).into_response())
}

/// Whoever has the code can log in with it, so that it is kept nowhere.
fn code_headers(tag: &str) -> Result<[(header::HeaderName, HeaderValue); 3], Problem> {
    let tag = HeaderValue::try_from(tag).map_err(Problem::internal)?;
    Ok([
        (header::ETAG, tag),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
    ])
}

/// Whether the caller has the image with this tag (RFC 9110, section 13.1.2).
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let given = headers.get_all(header::IF_NONE_MATCH).iter();
    let tags = given
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim);
    tags.map(|known| known.strip_prefix("W/").unwrap_or(known))
        .any(|known| known == tag || known == "*")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use http_body_util::BodyExt;

    use super::*;
    use crate::domain::{Digest, TaskId, login::LoginPolicy, login::QrImage};

    fn login() -> Login {
        let task: TaskId = "agent-1".parse().unwrap();
        let (id, agent) = ("qr-1".try_into().unwrap(), task.account.clone());
        Login::requested(id, agent, task, "for Rose".to_owned(), 1)
    }

    fn with_code() -> Login {
        let mut login = login();
        let image = QrImage {
            digest: Digest::of(b"x"),
            mime: "image/png".to_owned(),
            size_bytes: 1,
        };
        let policy = LoginPolicy::default();
        assert!(login.uploaded("PC_1", image, &policy, 2).unwrap());
        login
    }

    #[test]
    fn a_login_looks_as_documented() {
        assert_eq!(
            serde_json::to_string(&login()).unwrap(),
            r#"{"id":"qr-1","revision":1,"state":"requested","generation":0,"agent":"agent","task":"agent-1","any_agent":false,"foreign":false,"note":"for Rose","steps":[{"state":"requested","at_ms":1,"reason":"agent is asked to start a client"}],"made_ms":1}"#
        );
    }

    #[test]
    fn a_login_of_a_client_names_the_client() {
        let (id, client) = ("qr-1".try_into().unwrap(), "rose".try_into().unwrap());
        let login = Login::of_client(id, client, 1);
        assert_eq!(
            serde_json::to_string(&login).unwrap(),
            r#"{"id":"qr-1","revision":1,"state":"dispatched","generation":0,"client":"rose","any_agent":false,"foreign":false,"steps":[{"state":"dispatched","at_ms":1,"reason":"the client rose waits for a scan"}],"made_ms":1}"#
        );
    }

    #[test]
    fn nothing_asked_for_is_any_client() {
        for body in ["", "{}", r#"{"agent":null}"#] {
            assert_eq!(request(body.as_bytes()), Ok(LoginRequest::default()));
        }
        let asked = request(br#"{"agent":"wxid_a","note":"for Rose"}"#).unwrap();
        assert_eq!(asked.agent, Some("wxid_a".try_into().unwrap()));
        assert_eq!(asked.note, "for Rose");
        let asked = request(br#"{"machine":"PC_1"}"#).unwrap();
        assert_eq!(asked.machine.as_deref(), Some("PC_1"));
    }

    #[tokio::test]
    async fn a_code_is_of_its_own_type_and_kept_nowhere() {
        let response = image(&with_code(), "\"1\"", Bytes::from_static(b"png")).unwrap();
        for (name, value) in [
            ("content-type", "image/png"),
            ("cache-control", "no-store"),
            ("etag", "\"1\""),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(response.headers().get(name).unwrap(), value);
        }
        assert_eq!(response.headers().get_all("content-type").iter().count(), 1);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "png");
    }

    #[test]
    fn without_a_code_the_state_is_said() {
        let problem = format!("{:?}", no_code(&login()));
        assert!(problem.contains("it is requested"), "{problem}");
    }

    #[test]
    fn a_code_that_the_caller_has_is_not_sent_again() {
        for (value, known) in [
            ("\"3\"", true),
            ("W/\"3\"", true),
            ("\"2\", \"3\"", true),
            ("*", true),
            ("\"2\"", false),
            ("3", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("if-none-match", value.parse().unwrap());
            assert_eq!(is_known(&headers, "\"3\""), known, "{value}");
        }
        assert!(!is_known(&HeaderMap::new(), "\"3\""));
    }
}
