//! A request on its way to an endpoint: what of it the guest gets.

use axum::{body::Body, extract::Request};
use http::{
    HeaderMap, HeaderName, HeaderValue, Uri, header,
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body_util::BodyExt;

use crate::{
    domain::{
        HandlerName,
        endpoint::{self, BrokenOff, MOUNT, PREFIX_HEADER, TRIAL_HEADER},
    },
    edge::{
        auth::{HostTokens, bearer_of},
        error::Problem,
        hop::drop_hop_by_hop,
    },
};

/// The parameter that a token may come in.
const TOKEN: &str = "token";
/// What tokens of this host begin with that it made itself.
const OF_THIS_HOST: [&str; 4] = ["wxh_", "wxo_", "wxm_", "wxe_"];
/// Says by which protocol a proxy in front was asked.
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Which endpoint, and what is asked of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Path {
    /// The endpoint.
    pub name: HandlerName,
    /// The path below it, as it came: nothing of it is decoded or resolved, here or
    /// later, so that it leads nowhere else.
    pub below: String,
}

impl Path {
    /// Reads `/x/NAME/…`.
    pub fn of(path: &str) -> Option<Self> {
        let rest = path.strip_prefix(MOUNT)?;
        let end = rest.find('/').unwrap_or(rest.len());
        let (name, below) = rest.split_at(end);
        Some(Self {
            name: name.try_into().ok()?,
            below: match below {
                "" => "/".to_owned(),
                below => below.to_owned(),
            },
        })
    }
}

/// The request as the guest gets it.
pub fn request(
    request: Request,
    path: &Path,
    query: Option<String>,
    base_path: &str,
) -> Result<endpoint::Request, Problem> {
    let (mut parts, body) = request.into_parts();
    parts.uri = uri(&parts.uri, &parts.headers, path, query)?;
    drop_hop_by_hop(&mut parts.headers);
    // Endpoints have one origin with each other and the API: none is this one's alone.
    parts.headers.remove(header::COOKIE);
    parts.headers.remove(TRIAL_HEADER);
    let prefix = format!("{base_path}{MOUNT}{}", path.name);
    // Paths of settings and names of handlers are ASCII.
    if let Ok(prefix) = HeaderValue::from_str(&prefix) {
        parts.headers.insert(PREFIX_HEADER, prefix);
    }
    parts.extensions.clear();
    Ok(http::Request::from_parts(parts, streamed(body)))
}

fn streamed(body: Body) -> endpoint::Body {
    body.map_err(|error| BrokenOff(error.to_string()))
        .boxed_unsync()
}

fn uri(
    asked: &Uri,
    headers: &HeaderMap,
    path: &Path,
    query: Option<String>,
) -> Result<Uri, Problem> {
    let unfit = |field: &str| Problem::bad_field(field.to_owned(), "can't be passed on");
    let target = match query {
        Some(query) => format!("{}?{query}", path.below),
        None => path.below.clone(),
    };
    let target = PathAndQuery::try_from(target).map_err(|_| unfit("path"))?;
    Uri::builder()
        .scheme(scheme(headers))
        .authority(authority(asked, headers).ok_or_else(|| unfit("Host"))?)
        .path_and_query(target)
        .build()
        .map_err(|_| unfit("path"))
}

fn scheme(headers: &HeaderMap) -> Scheme {
    match headers.get(FORWARDED_PROTO).map(HeaderValue::as_bytes) {
        Some(b"https") => Scheme::HTTPS,
        _ => Scheme::HTTP,
    }
}

/// Whom the client asked, without a user.
fn authority(asked: &Uri, headers: &HeaderMap) -> Option<Authority> {
    let authority = match asked.authority() {
        Some(authority) => authority.clone(),
        None => {
            let host = headers.get(header::HOST);
            let host = host.map_or(Some("localhost"), |host| host.to_str().ok())?;
            Authority::try_from(host).ok()?
        }
    };
    (!authority.as_str().contains('@')).then_some(authority)
}

/// Takes the token out of the headers if it is the right one.
pub fn take_token(headers: &mut HeaderMap, is_right: impl Fn(&str) -> bool) -> bool {
    let values = headers.get_all(header::AUTHORIZATION);
    let found = values.iter().filter_map(bearer_of).any(is_right);
    if found {
        headers.remove(header::AUTHORIZATION);
    }
    found
}

/// Whoever sends a token of this host to the wrong place has not given it to a guest.
pub fn drop_tokens_of_this_host(headers: &mut HeaderMap, tokens: &HostTokens) {
    let values = headers.get_all(header::AUTHORIZATION);
    if values
        .iter()
        .filter_map(bearer_of)
        .any(|it| is_ours(it, tokens))
    {
        headers.remove(header::AUTHORIZATION);
    }
}

/// Tokens that somebody wrote into a file by hand begin with anything.
fn is_ours(token: &str, tokens: &HostTokens) -> bool {
    OF_THIS_HOST.iter().any(|it| token.starts_with(it)) || tokens.verify(token)
}

/// The query without tokens of this host.
pub fn without_tokens_of_this_host(query: &str, tokens: &HostTokens) -> Option<String> {
    let is_ours = |pair: &&str| {
        let mut decoded = form_urlencoded::parse(pair.as_bytes());
        decoded.any(|(name, token)| name == TOKEN && is_ours(&token, tokens))
    };
    let rest: Vec<_> = query.split('&').filter(|pair| !is_ours(pair)).collect();
    (!rest.is_empty()).then(|| rest.join("&"))
}

/// The tokens in a query, and what is left of it without them.
pub fn split_tokens(query: Option<&str>) -> (Vec<String>, Option<String>) {
    let Some(query) = query else {
        return (Vec::new(), None);
    };
    let mut tokens = Vec::new();
    let mut rest = Vec::new();
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some((TOKEN, token)) => tokens.push(token.to_owned()),
            _ => rest.push(pair),
        }
    }
    let rest = (!rest.is_empty()).then(|| rest.join("&"));
    (tokens, rest)
}
