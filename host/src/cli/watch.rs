//! `wxhost login watch`: follows a QR login until it has ended, and shows each of
//! its codes. A login ends by itself, so that this does too.

use std::{
    io::Write,
    process::ExitCode,
    time::{Duration, Instant},
};

use super::{
    client::Client, failure::Failure, handler::encode, login::fetch_code, output::Style,
    screen::Screen,
};
use crate::domain::{Login, LoginId, LoginState, login::Step};

/// The pause between two looks. Codes change every minute or two, but whoever
/// has scanned one looks at the screen.
const PAUSE: Duration = Duration::from_secs(1);
/// For how long a host may be away or busy: as long as one takes to start again.
pub(super) const AWAY_MAX: Duration = Duration::from_secs(20);

/// Follows a login to its end. Succeeds if somebody logged in.
pub async fn watch<W: Write>(
    client: &Client,
    id: &LoginId,
    form: Form,
    screen: &mut Screen<W>,
) -> Result<ExitCode, Failure> {
    let mut progress = Progress::default();
    let mut seen: Option<Instant> = None;
    loop {
        match look(client, id, form, screen, &mut progress).await {
            Ok(state) if state.is_final() => return Ok(code(state)),
            Ok(_) => seen = Some(Instant::now()),
            Err(failure) if failure.may_pass() && is_recent(seen) => {}
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A host that never answered is not waited for.
fn is_recent(seen: Option<Instant>) -> bool {
    seen.is_some_and(|seen| seen.elapsed() < AWAY_MAX)
}

/// How what happens is told.
#[derive(Debug, Clone, Copy)]
pub enum Form {
    /// A line of JSON for each change: the login as it is by then.
    Json,
    /// A line of text for each state, and the codes.
    Text(Style),
}

fn code(state: LoginState) -> ExitCode {
    match state {
        LoginState::Succeeded => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

async fn look<W: Write>(
    client: &Client,
    id: &LoginId,
    form: Form,
    screen: &mut Screen<W>,
    progress: &mut Progress,
) -> Result<LoginState, Failure> {
    let reply = client.get(&["logins", id.as_str()], &[]).await?;
    let login: Login = reply.read()?;
    match form {
        Form::Json if progress.is_changed(&login) => {
            screen.say(&[encode(&login)?])?;
        }
        Form::Json => {}
        Form::Text(style) => {
            tell(&login, &style, screen, progress)?;
            show(client, &login, screen, progress).await?;
        }
    }
    Ok(login.state)
}

fn tell<W: Write>(
    login: &Login,
    style: &Style,
    screen: &mut Screen<W>,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let news = progress.news(login);
    if news.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = news.iter().map(|step| line(step, style)).collect();
    screen.say(&lines)
}

fn line(step: &Step, style: &Style) -> String {
    let (time, state) = (style.time(step.at_ms), step.state.as_str());
    format!("{time}  {state}: {}", step.reason)
}

async fn show<W: Write>(
    client: &Client,
    login: &Login,
    screen: &mut Screen<W>,
    progress: &mut Progress,
) -> Result<(), Failure> {
    if !progress.lacks_code(login) {
        return Ok(());
    }
    match fetch_code(client, &login.id).await {
        Ok(code) => {
            progress.code = code.generation.unwrap_or(login.generation);
            screen.show(&code)
        }
        // It was scanned or given up just now: the next look tells.
        Err(failure) if failure.is_not_found() => Ok(()),
        Err(failure) => Err(failure),
    }
}

/// What was told so far.
#[derive(Debug, Default)]
struct Progress {
    revision: u64,
    steps: usize,
    /// Which code stands on the screen; 0 for none.
    code: u32,
}

impl Progress {
    fn is_changed(&mut self, login: &Login) -> bool {
        let former = std::mem::replace(&mut self.revision, login.revision);
        former != login.revision
    }

    /// The steps that were not told yet. Telling them takes the code away.
    fn news<'a>(&mut self, login: &'a Login) -> &'a [Step] {
        let news = login.steps.get(self.steps..).unwrap_or_default();
        self.steps = login.steps.len();
        if !news.is_empty() {
            self.code = 0;
        }
        news
    }

    /// Whether there is a code that is not on the screen. A newer one than this
    /// look knows of may be there already.
    fn lacks_code(&self, login: &Login) -> bool {
        login.image.is_some() && self.code < login.generation
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::{
        collections::VecDeque,
        path::PathBuf,
        sync::{Arc, Mutex},
    };

    use axum::{Json, Router, extract::State, http::StatusCode, routing::get};

    use super::*;
    use crate::{
        cli::{qr, screen::Terminal, target::Target},
        domain::{
            Digest,
            login::{LoginPolicy, QrImage},
        },
        edge::error::{Document, TYPE_PREFIX},
    };

    const CODE: &[u8] = include_bytes!("testdata/qr-1.png");

    fn login() -> Login {
        Login::foreign("qr-1".try_into().unwrap(), 0)
    }

    fn upload(login: &mut Login, code: u8) {
        let image = QrImage {
            digest: Digest::of(&[code]),
            mime: "image/png".to_owned(),
            size_bytes: 1,
        };
        let policy = LoginPolicy::default();
        assert!(login.uploaded("PC_1", image, &policy, 1000).unwrap());
    }

    #[test]
    fn each_state_is_told_once_and_each_code_shown_once() {
        let (mut progress, mut login) = (Progress::default(), login());
        assert_eq!(progress.news(&login).len(), 1);
        assert!(!progress.lacks_code(&login), "there is none yet");
        for code in 1..=2 {
            upload(&mut login, code);
            assert_eq!(progress.news(&login).len(), 1);
            assert!(progress.lacks_code(&login));
            progress.code = login.generation;
            assert!(progress.news(&login).is_empty());
            assert!(!progress.lacks_code(&login));
        }
        login.succeeded("wxid_b".try_into().unwrap(), 2000).unwrap();
        let news = progress.news(&login);
        assert_eq!(
            line(news.first().unwrap(), &Style::plain(0)),
            "1970-01-01T00:00:02Z  succeeded: wxid_b has logged in"
        );
        assert!(!progress.lacks_code(&login));
    }

    /// What a host answers, look by look; none for a host that is busy.
    type Looks = Arc<Mutex<VecDeque<Option<Login>>>>;

    async fn answer(
        State(looks): State<Looks>,
    ) -> Result<Json<Login>, (StatusCode, Json<Document>)> {
        let look = looks.lock().unwrap().pop_front().flatten();
        look.map(Json).ok_or_else(|| refusal("busy", 503))
    }

    fn refusal(slug: &str, status: u16) -> (StatusCode, Json<Document>) {
        let document = Document {
            kind: format!("{TYPE_PREFIX}{slug}"),
            title: String::new(),
            status,
            detail: String::new(),
            field: None,
        };
        (StatusCode::from_u16(status).unwrap(), Json(document))
    }

    /// A host with one login and one code.
    async fn host(looks: impl IntoIterator<Item = Option<Login>>) -> Client {
        let looks: Looks = Arc::new(Mutex::new(looks.into_iter().collect()));
        let code = || async { ([("content-type", "image/png"), ("etag", "\"1\"")], CODE) };
        let app = Router::new()
            .route("/api/v1/logins/qr-1", get(answer))
            .route("/api/v1/logins/qr-1/qr", get(code))
            .with_state(looks);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        let target = Target {
            url: Some(address.to_string()),
            token: Some("x".to_owned()),
            data: Some(PathBuf::new()),
        };
        Client::new(&target).unwrap()
    }

    async fn watched(looks: Vec<Option<Login>>, form: Form) -> (Result<ExitCode, Failure>, String) {
        let client = host(looks).await;
        let mut out = Vec::new();
        let mut screen = Screen::new(&mut out, Terminal::default());
        let id = "qr-1".try_into().unwrap();
        let watched = watch(&client, &id, form, &mut screen).await;
        drop(screen);
        (watched, String::from_utf8(out).unwrap())
    }

    /// The life of a login that succeeds, as a host tells it.
    fn life() -> Vec<Option<Login>> {
        let mut login = login();
        let mut looks = vec![Some(login.clone())];
        upload(&mut login, 1);
        // Nothing new, and a host that is busy for a moment.
        looks.extend([Some(login.clone()), None, Some(login.clone())]);
        login.succeeded("wxid_b".try_into().unwrap(), 2000).unwrap();
        looks.push(Some(login));
        looks
    }

    #[tokio::test]
    async fn a_login_is_followed_to_its_end() {
        let (code, out) = watched(life(), Form::Text(Style::plain(0))).await;
        assert_eq!(code.unwrap(), ExitCode::SUCCESS);
        assert_eq!(out.matches("dispatched: ").count(), 1, "{out}");
        assert_eq!(out.matches("awaiting-scan: code 1 is there").count(), 1);
        assert!(out.ends_with("succeeded: wxid_b has logged in\n"), "{out}");
        let drawn = out.lines().filter(|line| line.starts_with('█')).count();
        let code = qr::Drawing::of(&qr::read(CODE).unwrap()).unwrap();
        assert_eq!(drawn, code.lines(), "drawn once: {out}");
    }

    #[tokio::test]
    async fn a_program_gets_a_line_for_each_change() {
        let (code, out) = watched(life(), Form::Json).await;
        assert_eq!(code.unwrap(), ExitCode::SUCCESS);
        let states: Vec<_> = out
            .lines()
            .map(|line| serde_json::from_str::<Login>(line).unwrap().state.as_str())
            .collect();
        assert_eq!(states, ["dispatched", "awaiting-scan", "succeeded"]);
    }

    #[tokio::test]
    async fn what_fails_or_is_not_there_is_no_success() {
        let mut failed = login();
        failed.failed("given up", 1);
        let (code, out) = watched(vec![Some(failed)], Form::Text(Style::plain(0))).await;
        assert_eq!(code.unwrap(), ExitCode::FAILURE);
        assert!(out.ends_with("failed: given up\n"), "{out}");
        // A host that never answered is not waited for.
        let (code, _) = watched(vec![], Form::Json).await;
        assert!(matches!(code, Err(Failure::Refused(_))));
    }

    #[test]
    fn in_json_every_change_is_told_once() {
        let (mut progress, mut login) = (Progress::default(), login());
        assert!(progress.is_changed(&login));
        assert!(!progress.is_changed(&login));
        upload(&mut login, 1);
        assert!(progress.is_changed(&login));
    }

    #[test]
    fn only_success_is_a_success() {
        for state in LoginState::ALL {
            let expected = match state {
                LoginState::Succeeded => ExitCode::SUCCESS,
                _ => ExitCode::FAILURE,
            };
            assert_eq!(code(state), expected);
        }
    }
}
