//! How requests are read: strictly, and with every error a problem document
//! that names the part of the request at fault.

use std::time::Duration;

use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::request::Parts,
};
use bytes::Bytes;
use serde::de::{
    DeserializeOwned, IntoDeserializer,
    value::{self, StringDeserializer},
};

use crate::{
    domain::Bucket,
    edge::error::{Kind, Problem},
};

/// How many items a page has when nobody says.
pub const LIMIT_DEFAULT: usize = 100;
/// How many items a page can have. Bounds the memory of one answer.
pub const LIMIT_MAX: usize = 1000;

/// The one variable part of the path.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<T, S> FromRequestParts<S> for Path<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let mut named = PathParts::of(parts, state).await?;
        Ok(Self(named.read()?))
    }
}

/// The two variable parts of the path.
#[derive(Debug)]
pub struct Path2<A, B>(pub A, pub B);

impl<A, B, S> FromRequestParts<S> for Path2<A, B>
where
    A: DeserializeOwned,
    B: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let mut named = PathParts::of(parts, state).await?;
        Ok(Self(named.read()?, named.read()?))
    }
}

/// A bucket, and a key in it where the path has one.
#[derive(Debug)]
pub struct BucketPath {
    /// The bucket: that of an account, or the one that all accounts share.
    pub bucket: Bucket,
    /// The key; empty, which no key is, where the path has none.
    pub key: String,
}

impl<S: Send + Sync> FromRequestParts<S> for BucketPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let mut named = PathParts::of(parts, state).await?;
        let account = match named.is_next("account") {
            true => Some(named.read()?),
            false => None,
        };
        let handler = named.read()?;
        let key = match named.is_next("key") {
            true => named.read()?,
            false => String::new(),
        };
        let bucket = Bucket { account, handler };
        Ok(Self { bucket, key })
    }
}

/// Parts of the path with their names, which axum's own reading loses when the
/// text is fine but the value is not.
struct PathParts(std::vec::IntoIter<(String, String)>);

impl PathParts {
    async fn of<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let axum::extract::Path(pairs): axum::extract::Path<Vec<_>> =
            axum::extract::Path::from_request_parts(parts, state).await?;
        Ok(Self(pairs.into_iter()))
    }

    fn is_next(&self, name: &str) -> bool {
        let next = self.0.as_slice().first();
        next.is_some_and(|(next, _)| next == name)
    }

    fn read<T: DeserializeOwned>(&mut self) -> Result<T, Problem> {
        let part = self.0.next();
        let (name, text) =
            part.ok_or_else(|| Problem::internal("a route has too few variable parts"))?;
        let text: StringDeserializer<value::Error> = text.into_deserializer();
        T::deserialize(text).map_err(|error| Problem::bad_field(name, error))
    }
}

/// How long a body may take: a component over a slow line.
const BODY_TIME: Duration = Duration::from_secs(120);

/// The whole body, up to the limit of its route.
#[derive(Debug)]
pub struct Body(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let reading = Bytes::from_request(request, state);
        match tokio::time::timeout(BODY_TIME, reading).await {
            Ok(bytes) => Ok(Self(bytes?)),
            Err(_) => {
                let seconds = BODY_TIME.as_secs();
                let problem = format!("did not come within {seconds} s");
                Err(Problem::bad_field("body", problem))
            }
        }
    }
}

/// A JSON body. Its media type is not insisted on: the path says what it is.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T, S> FromRequest<S> for Json<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Body(bytes) = Body::from_request(request, state).await?;
        read_json(&bytes).map(Self)
    }
}

/// A JSON body that may be left out.
#[derive(Debug)]
pub struct OptionalJson<T>(pub T);

impl<T, S> FromRequest<S> for OptionalJson<T>
where
    T: DeserializeOwned + Default,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Body(bytes) = Body::from_request(request, state).await?;
        match bytes.is_empty() {
            true => Ok(Self(T::default())),
            false => read_json(&bytes).map(Self),
        }
    }
}

/// What a JSON body says.
pub fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = field_of(&error.path().to_string(), &error.inner().to_string());
        bad_json(field, error.inner())
    })?;
    json.end().map_err(|error| bad_json(None, &error))?;
    Ok(value)
}

fn bad_json(field: Option<String>, error: &serde_json::Error) -> Problem {
    match field {
        Some(field) => Problem::bad_field(field, error),
        None => Problem::new(
            Kind::BadRequest,
            format!("the body is not as it must be: {error}"),
        ),
    }
}

/// Which field an error of serde is about. The path ends at what contains a
/// missing or unknown field; the text names the field itself.
pub fn field_of(path: &str, text: &str) -> Option<String> {
    let path = path.trim_end_matches('?').trim_matches('.');
    let named = ["missing field `", "unknown field `"]
        .iter()
        .find_map(|start| text.strip_prefix(start))
        .and_then(|rest| rest.split_once('`'))
        .map(|(name, _)| name);
    match (path, named) {
        ("", None) => None,
        ("", Some(name)) => Some(name.to_owned()),
        (path, Some(name)) if last_part(path) != name => Some(format!("{path}.{name}")),
        (path, _) => Some(path.to_owned()),
    }
}

fn last_part(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(_, last)| last)
}

/// The query's parameters, each at most once.
#[derive(Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(pairs)| Self(pairs))
            .map_err(|error| Problem::new(Kind::BadRequest, error.to_string()))
    }
}

impl Query {
    /// Refuses every parameter but these, and any that comes twice. A misspelt
    /// one would otherwise quietly list too much.
    pub fn only(self, names: &[&str]) -> Result<Self, Problem> {
        for (i, (name, _)) in self.0.iter().enumerate() {
            if !names.contains(&name.as_str()) {
                let known = names.join(", ");
                return Err(Problem::bad_field(
                    name,
                    format!("is not known here: there are {known}"),
                ));
            }
            if self.0.iter().skip(i + 1).any(|(other, _)| other == name) {
                return Err(Problem::bad_field(name, "can be given once only"));
            }
        }
        Ok(self)
    }

    /// The text of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }

    /// Where the page begins.
    pub fn after(&self) -> Option<&str> {
        self.get("after")
    }

    /// How many items the page shall have at most.
    pub fn limit(&self) -> Result<usize, Problem> {
        match self.number("limit")? {
            None => Ok(LIMIT_DEFAULT),
            Some(number) => match usize::try_from(number) {
                Ok(limit @ 1..=LIMIT_MAX) => Ok(limit),
                _ => Err(Problem::bad_field("limit", format!("is 1 to {LIMIT_MAX}"))),
            },
        }
    }

    /// A parameter that is a number.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        self.get(name)
            .map(|text| text.parse())
            .transpose()
            .map_err(|_| Problem::bad_field(name, "is no whole number"))
    }

    /// A parameter that is one of a few words.
    pub fn word<T: Copy>(
        &self,
        name: &str,
        choices: &[T],
        spell: impl Fn(T) -> &'static str,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let found = choices
            .iter()
            .copied()
            .find(|choice| spell(*choice) == text);
        found.map(Some).ok_or_else(|| {
            let words: Vec<_> = choices.iter().map(|choice| spell(*choice)).collect();
            Problem::bad_field(name, format!("is one of {}", words.join(", ")))
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::{domain::TaskState, edge::control::wire::BindRequest};

    fn query(pairs: &[(&str, &str)]) -> Query {
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        Query(pairs.iter().map(owned).collect())
    }

    #[test]
    fn a_limit_has_bounds() {
        assert_eq!(query(&[]).limit(), Ok(LIMIT_DEFAULT));
        assert_eq!(query(&[("limit", "1000")]).limit(), Ok(1000));
        for bad in ["0", "1001", "-1", "x", "", "99999999999999999999999"] {
            assert!(query(&[("limit", bad)]).limit().is_err(), "{bad}");
        }
    }

    #[test]
    fn unknown_and_repeated_parameters_are_refused() {
        assert!(query(&[("limit", "1")]).only(&["limit"]).is_ok());
        assert!(query(&[("limits", "1")]).only(&["limit"]).is_err());
        let twice = query(&[("limit", "1"), ("limit", "2")]);
        assert!(twice.only(&["limit"]).is_err());
    }

    #[test]
    fn an_unknown_word_is_answered_with_the_known_ones() {
        let problem = query(&[("state", "over")])
            .word("state", &TaskState::ALL, TaskState::as_str)
            .unwrap_err();
        let shown = format!("{problem:?}");
        assert!(
            shown.contains("queued, handed-out, done, failed, unknown, expired, cancelled"),
            "{shown}"
        );
    }

    #[test]
    fn a_bad_body_names_its_field() {
        for (body, field) in [
            (r#"{"handler":"echo","x":1}"#, Some("x")),
            (r#"{}"#, Some("handler")),
            (r#"{"handler":7}"#, Some("handler")),
            (r#"{"handler":"No!"}"#, Some("handler")),
            (r#"{"handler":"echo"} more"#, None),
            (r#"[]"#, Some("handler")),
            ("{", None),
            ("", None),
        ] {
            let problem = read_json::<BindRequest>(body.as_bytes()).unwrap_err();
            let shown = format!("{problem:?}");
            let wanted = format!("field: {:?}", field.map(str::to_owned));
            assert!(shown.contains(&wanted) || body == "[]", "{body}: {shown}");
        }
    }

    #[test]
    fn the_path_of_a_field_is_not_said_twice() {
        assert_eq!(field_of(".", "expected value"), None);
        assert_eq!(field_of("?", "expected value"), None);
        assert_eq!(field_of(".", "missing field `a`"), Some("a".into()));
        assert_eq!(
            field_of("a.b", "unknown field `b`, expected"),
            Some("a.b".into())
        );
        assert_eq!(field_of("a", "missing field `b`"), Some("a.b".into()));
        assert_eq!(field_of("a[0]", "invalid type"), Some("a[0]".into()));
    }
}
