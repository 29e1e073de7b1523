//! Who may use the control API: whoever has the admin token. And whose token opens
//! the controller API for Openwx clients, or the metrics, and nothing else.
//!
//! Each token lies in a file that only the host's user can read, so that the
//! command line on the same machine finds it. In memory there is its digest
//! only. It has 256 random bits, hence a fast digest is enough and guessing
//! needs no brake.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::{
    error::{Kind, Problem},
    keyfile::{self, KeyFileError},
};

/// The admin token's file in the data directory.
pub const TOKEN_FILE: &str = "admin-token";
/// The file of the controller API's token.
pub const CONTROLLER_TOKEN_FILE: &str = "openwx-token";
/// The file of the token that reads metrics.
pub const METRICS_TOKEN_FILE: &str = "metrics-token";
/// What admin tokens begin with, so that one that leaked is recognised.
const PREFIX: &str = "wxh_";
/// What tokens of the controller API begin with.
const CONTROLLER_PREFIX: &str = "wxo_";
/// What tokens that read metrics begin with.
const METRICS_PREFIX: &str = "wxm_";
/// How many random bytes a token has.
const RANDOM_BYTES: usize = 32;
/// The shortest token taken from a file that somebody else wrote.
const TOKEN_MIN_CHARS: usize = 32;

/// The token that lets its bearer do everything. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AdminToken(Token);

/// The token that lets its bearer use the controller API. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ControllerToken(Token);

/// The token that lets its bearer read metrics. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MetricsToken(Token);

/// All tokens of this host that are no endpoint's. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct HostTokens {
    pub(crate) admin: AdminToken,
    pub(crate) controller: ControllerToken,
    pub(crate) metrics: MetricsToken,
}

impl HostTokens {
    /// Whether this is one of them. Takes the same time whatever differs.
    pub(crate) fn verify(&self, token: &str) -> bool {
        // Each is asked.
        self.admin.verify(token) | self.controller.verify(token) | self.metrics.verify(token)
    }

    /// Of these texts.
    #[cfg(test)]
    pub(crate) fn of(admin: &str, controller: &str, metrics: &str) -> Self {
        Self {
            admin: AdminToken::of(admin),
            controller: ControllerToken(Token::of(controller)),
            metrics: MetricsToken(Token::of(metrics)),
        }
    }
}

/// The digest of a token.
#[derive(Clone)]
struct Token(blake3::Hash);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file can't be used.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The file holds something else.
    #[error(
        "{} holds no token of at least {TOKEN_MIN_CHARS} characters in one line: delete it and \
         start the host again for a new one",
        .0.display()
    )]
    Malformed(PathBuf),
}

impl AdminToken {
    /// The token of this data directory. The first time it is made, so that
    /// the directory must exist.
    pub fn load_or_create(data: &Path) -> Result<Self, TokenError> {
        Token::load_or_create(data.join(TOKEN_FILE), PREFIX).map(Self)
    }

    /// The token with this text.
    #[cfg(test)]
    pub fn of(token: &str) -> Self {
        Self(Token::of(token))
    }

    /// Whether this is the token. Takes the same time whatever differs.
    pub fn verify(&self, token: &str) -> bool {
        self.0.verify(token)
    }
}

impl ControllerToken {
    /// The token of this data directory, made the first time.
    pub fn load_or_create(data: &Path) -> Result<Self, TokenError> {
        Token::load_or_create(data.join(CONTROLLER_TOKEN_FILE), CONTROLLER_PREFIX).map(Self)
    }

    /// Whether this is the token. Takes the same time whatever differs.
    pub fn verify(&self, token: &str) -> bool {
        self.0.verify(token)
    }
}

impl MetricsToken {
    /// The token of this data directory, made the first time.
    pub fn load_or_create(data: &Path) -> Result<Self, TokenError> {
        Token::load_or_create(data.join(METRICS_TOKEN_FILE), METRICS_PREFIX).map(Self)
    }

    /// Whether this is the token. Takes the same time whatever differs.
    pub fn verify(&self, token: &str) -> bool {
        self.0.verify(token)
    }
}

impl Token {
    fn load_or_create(path: PathBuf, prefix: &str) -> Result<Self, TokenError> {
        let text = keyfile::read_or_create(&path, || make(prefix))?;
        token_of(&text, path).map(|token| Self::of(&token))
    }

    fn of(token: &str) -> Self {
        Self(blake3::hash(token.as_bytes()))
    }

    fn verify(&self, token: &str) -> bool {
        // Equality of `blake3::Hash` is constant in time.
        blake3::hash(token.as_bytes()) == self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// The text of the token of this data directory, for a client on this machine.
/// Refused while anybody but the file's owner can read or write it.
pub fn read(data: &Path) -> Result<String, TokenError> {
    let path = data.join(TOKEN_FILE);
    token_of(&keyfile::read(&path)?, path)
}

fn token_of(text: &[u8], path: PathBuf) -> Result<String, TokenError> {
    let token = std::str::from_utf8(text).unwrap_or_default().trim();
    if token.len() < TOKEN_MIN_CHARS || !token.chars().all(|c| c.is_ascii_graphic()) {
        return Err(TokenError::Malformed(path));
    }
    Ok(token.to_owned())
}

fn make(prefix: &str) -> io::Result<Vec<u8>> {
    let bytes = keyfile::random::<RANDOM_BYTES>()?;
    Ok(format!("{prefix}{}\n", BASE64_URL_SAFE_NO_PAD.encode(bytes)).into_bytes())
}

/// Lets requests with the token through and answers all others with 401.
pub async fn require(
    State(token): State<AdminToken>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    match bearer(request.headers()) {
        Some(given) if token.verify(given) => Ok(next.run(request).await),
        Some(_) => Err(Problem::new(
            Kind::Unauthorized,
            "this is not the token of this host",
        )),
        None => Err(Problem::new(
            Kind::Unauthorized,
            "send the header `Authorization: Bearer TOKEN`",
        )),
    }
}

/// The token in the header `Authorization`, whosever it is.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    bearer_of(headers.get(header::AUTHORIZATION)?)
}

/// The token in one value of that header.
pub(crate) fn bearer_of(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_first_start_makes_a_token_that_later_ones_find() {
        let dir = tempfile::tempdir().unwrap();
        let made = AdminToken::load_or_create(dir.path()).unwrap();
        let text = read(dir.path()).unwrap();
        assert!(text.starts_with(PREFIX) && text.len() == 47, "{text}");
        assert!(made.verify(&text));
        let found = AdminToken::load_or_create(dir.path()).unwrap();
        assert!(found.verify(&text));
        let mode = fs::metadata(dir.path().join(TOKEN_FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o600);
    }

    #[test]
    fn the_controller_has_a_token_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let admin = AdminToken::load_or_create(dir.path()).unwrap();
        let own = ControllerToken::load_or_create(dir.path()).unwrap();
        let text = fs::read_to_string(dir.path().join(CONTROLLER_TOKEN_FILE)).unwrap();
        assert!(text.starts_with(CONTROLLER_PREFIX), "{text}");
        assert!(own.verify(text.trim()) && !admin.verify(text.trim()));
        assert!(!own.verify(&read(dir.path()).unwrap()));
    }

    #[test]
    fn two_hosts_have_two_tokens() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let token = AdminToken::load_or_create(one.path()).unwrap();
        AdminToken::load_or_create(two.path()).unwrap();
        assert!(!token.verify(&read(two.path()).unwrap()));
        assert!(!token.verify(""));
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_with_the_cure() {
        let dir = tempfile::tempdir().unwrap();
        AdminToken::load_or_create(dir.path()).unwrap();
        let path = dir.path().join(TOKEN_FILE);
        for mode in [0o640, 0o604, 0o644, 0o620] {
            set_mode(&path, mode);
            let error = AdminToken::load_or_create(dir.path()).unwrap_err();
            let text = error.to_string();
            assert!(
                text.contains(&format!("chmod 600 {}", path.display())),
                "{text}"
            );
        }
    }

    #[test]
    fn a_file_without_a_token_is_refused_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(TOKEN_FILE);
        for text in ["", "short", &"two words ".repeat(9)] {
            fs::write(&path, text).unwrap();
            set_mode(&path, 0o600);
            let refused = AdminToken::load_or_create(dir.path());
            assert!(matches!(refused, Err(TokenError::Malformed(_))), "{text:?}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn what_is_shown_for_debugging_is_no_secret() {
        let shown = format!("{:?}", AdminToken::of("wxh_secret"));
        assert_eq!(shown, "AdminToken(…)");
    }
}
