//! A request to the controller: its parameters, wherever they stand, and itself as
//! it came, but for our token, which no client may see.

use std::{
    collections::VecDeque,
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    extract::Request,
    http::{HeaderMap, HeaderValue, header, request::Parts, uri::PathAndQuery},
};
use bytes::Bytes;
use futures_util::stream;
use hyper::body::{Frame, SizeHint};
use multer::Multipart;

use super::{
    Openwx,
    answer::Answer,
    door::{Door, TOKEN},
};
use crate::{
    domain::{ClientName, client::check_media},
    edge::body::{BodyError, BodyReader, Deadline, next_piece},
};

/// How much of a form is read to find `client` in it. More is not held.
pub(super) const FORM_MAX_BYTES: usize = 1024 * 1024;
/// How long that may take.
const FORM_TIME: Duration = Duration::from_secs(60);
/// How much of a form is read to find a token in it. Whoever sends it may be anybody:
/// so much is not counted (see `body`).
pub(super) const STRANGER_MAX_BYTES: usize = 64 * 1024;
/// How long that may take.
const STRANGER_TIME: Duration = Duration::from_secs(5);
/// The longest boundary (RFC 2046, section 5.1.1).
const BOUNDARY_MAX_BYTES: usize = 70;
/// The parameter that names the client.
pub(super) const CLIENT: &str = "client";
/// The parameter that names a file to send: a path, unless it is an address.
const MEDIA: &str = "media_path";
/// What the names of calls hold that take it.
const SENDING: [&str; 3] = ["send_", "upload_media", "consult"];

/// Names and values, decoded, in their order.
pub(super) type Pairs = Vec<(String, String)>;

/// A request that is being understood.
pub(super) struct Asked<'a> {
    openwx: &'a Openwx,
    parts: Parts,
    body: Body,
    query: Pairs,
    /// What was found in the body, once it was looked at.
    form: Option<Form>,
    /// Whether one of our tokens was found.
    has_token: bool,
}

/// What the beginning of a body says.
#[derive(Debug, Default)]
struct Form {
    pairs: Pairs,
    /// Whether there is more than was read, or it could not be read.
    partial: bool,
    /// Our token stands in it and can't be taken out.
    holds_token: bool,
}

/// How a body holds parameters.
enum Kind {
    Urlencoded,
    Multipart(String),
}

impl<'a> Asked<'a> {
    /// A request whose path begins below `/openwx`. Our token is taken out of its
    /// header and its query.
    pub(super) fn of(request: Request, openwx: &'a Openwx) -> Self {
        let (mut parts, body) = request.into_parts();
        let door = &openwx.controller().door;
        let mut has_token = take_from_headers(&mut parts.headers, door);
        has_token |= take_from_query(&mut parts, door);
        let query = parts.uri.query().unwrap_or_default();
        let query = form_urlencoded::parse(query.as_bytes());
        Self {
            openwx,
            body,
            query: query.into_owned().collect(),
            form: None,
            has_token,
            parts,
        }
    }

    /// Lets in whom the settings allow.
    pub(super) async fn admit(&mut self) -> Result<(), Answer> {
        if !self.openwx.controller().door.asks_for_token() {
            return self.openwx.controller().door.check_origin(&self.parts);
        }
        if !self.has_token {
            self.look_for_token().await?;
        }
        match self.has_token {
            true => Ok(()),
            false => Err(Answer::forbidden(
                "send the header `Authorization: Bearer TOKEN` or the parameter token=TOKEN \
                 (the token is in the file openwx-token in the host's data directory)",
            )),
        }
    }

    /// Only a form can have it now.
    async fn look_for_token(&mut self) -> Result<(), Answer> {
        if let Some(kind) = kind(&self.parts)
            && !self.body.is_end_stream()
        {
            let strangers = &self.openwx.controller().strangers;
            let bounds = (STRANGER_MAX_BYTES, Deadline::after(STRANGER_TIME));
            let form = self.read_form(kind, strangers, bounds).await?;
            // What follows is looked at once it is known who asks.
            self.form = (!form.partial).then_some(form);
        }
        Ok(())
    }

    /// The method and headers, and the path below `/openwx`.
    pub(super) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// What the path says below `/openwx/`.
    pub(super) fn path(&self) -> &str {
        let path = self.parts.uri.path();
        path.strip_prefix('/').unwrap_or(path)
    }

    /// A parameter of the query, else of what was read of the form.
    pub(super) async fn value(&mut self, name: &str) -> Result<Option<String>, Answer> {
        let of = |pairs: &Pairs| {
            let found = pairs.iter().find(|(it, _)| it == name);
            found.map(|(_, value)| value.clone())
        };
        match of(&self.query) {
            None => Ok(of(&self.form().await?.pairs)),
            found => Ok(found),
        }
    }

    /// The value of `client`, if there is one: in the query, else in the form.
    pub(super) async fn client(&mut self) -> Result<Option<String>, Answer> {
        if let Some(client) = only(&self.query, CLIENT).map_err(Answer::bad_client)? {
            return Ok(Some(client.to_owned()));
        }
        let form = self.form().await?;
        let client = only(&form.pairs, CLIENT).map_err(Answer::bad_client)?;
        match client {
            None if form.partial => Err(Answer::no_client().because(format!(
                "client: is not in the query, nor can it be found in the first {FORM_MAX_BYTES} \
                 bytes of the form: put it into the query"
            ))),
            client => Ok(client.map(str::to_owned)),
        }
    }

    /// The client that is named, which must be.
    pub(super) async fn named_client(&mut self) -> Result<ClientName, Answer> {
        let client = self.client().await?.unwrap_or_default();
        if client.is_empty() {
            return Err(Answer::no_client());
        }
        ClientName::try_from(client).map_err(Answer::bad_client)
    }

    /// All parameters but `client` and `token`.
    pub(super) async fn parameters(&mut self) -> Result<Pairs, Answer> {
        let form = self.form().await?;
        if form.partial {
            return Err(Answer::failure(format!(
                "body: can't be read as a form of at most {FORM_MAX_BYTES} bytes: send it whole, \
                 or put the parameters into the query"
            )));
        }
        let all = self
            .query
            .iter()
            .chain(self.form.iter().flat_map(|it| &it.pairs));
        Ok(all
            .filter(|(name, _)| name != CLIENT && name != TOKEN)
            .cloned()
            .collect())
    }

    /// Looks into the body before it is passed on: our token may be there as well.
    pub(super) async fn look(&mut self) -> Result<(), Answer> {
        self.form().await.map(drop)
    }

    /// Looks into the body, and refuses to have a client send a file of this machine
    /// that does not lie in its directory, which few requests are asked for.
    pub(super) async fn check_media(
        &mut self,
        dir: impl Fn() -> Result<PathBuf, Answer>,
    ) -> Result<(), Answer> {
        let sends = is_sending(self.path());
        let hides = hides_form(&self.parts) && !self.body.is_end_stream();
        let partial = self.form().await?.partial;
        if sends && (partial || hides) {
            return Err(Answer::failure(format!(
                "body: must be one form of at most {FORM_MAX_BYTES} bytes that can be read, \
                 since it may hold {MEDIA}, unless openwx.local_media is set"
            )));
        }
        let form = self.form.iter().flat_map(|form| &form.pairs);
        let all = self.query.iter().chain(form);
        for (_, value) in all.filter(|(name, _)| name == MEDIA) {
            check_media(value, &dir()?).map_err(|problem| {
                Answer::failure(format!(
                    "{MEDIA}: {problem}; files of this machine are sent by their paths only when \
                     openwx.local_media is set, others by an http or https address"
                ))
            })?;
        }
        Ok(())
    }

    /// The request, to be passed on. Refused when our token would go with it.
    pub(super) fn into_request(self) -> Result<(Parts, Body), Answer> {
        match self.form.is_some_and(|form| form.holds_token) {
            true => Err(Answer::forbidden(
                "token: can't be in a multipart form that is passed on to a client: put it into \
                 the query or a header",
            )),
            false => Ok((self.parts, self.body)),
        }
    }

    /// The parameters in the body. What was read of it is put back.
    async fn form(&mut self) -> Result<&Form, Answer> {
        if self.form.is_none() {
            let form = match kind(&self.parts) {
                Some(kind) if !self.body.is_end_stream() => {
                    let forms = &self.openwx.controller().forms;
                    let bounds = (FORM_MAX_BYTES, Deadline::after(FORM_TIME));
                    self.read_form(kind, forms, bounds).await?
                }
                _ => Form::default(),
            };
            self.form = Some(form);
        }
        Ok(self.form.get_or_insert_default())
    }

    async fn read_form(
        &mut self,
        kind: Kind,
        room: &BodyReader,
        bounds: (usize, Deadline),
    ) -> Result<Form, Answer> {
        let head = Head::read(&mut self.body, room, bounds).await;
        let mut head = head.map_err(|error| unread(&error))?;
        let door = &self.openwx.controller().door;
        let is_ours = |name: &str, value: &str| name == TOKEN && door.knows(value);
        let form = match kind {
            Kind::Urlencoded => {
                let (pairs, taken) = take_from_form(&mut head, is_ours);
                self.has_token |= taken > 0;
                shorten(&mut self.parts, taken);
                Form {
                    pairs,
                    partial: !head.is_whole,
                    holds_token: false,
                }
            }
            Kind::Multipart(boundary) => {
                let form = read_multipart(&head, boundary, is_ours).await;
                self.has_token |= form.holds_token;
                form
            }
        };
        let rest = std::mem::take(&mut self.body);
        self.body = Body::new(head.before(rest));
        Ok(form)
    }
}

fn unread(error: &BodyError) -> Answer {
    let reason = format!("body: {error}");
    match error {
        BodyError::NoRoom => Answer::busy(reason),
        error => Answer::failure(reason).http(error.status()),
    }
}

/// The value of the only pair of this name.
fn only<'p>(pairs: &'p Pairs, name: &str) -> Result<Option<&'p str>, &'static str> {
    let mut values = pairs.iter().filter(|(it, _)| it == name);
    let first = values.next().map(|(_, value)| value.as_str());
    match values.next() {
        Some(_) => Err("is given twice: give it once"),
        None => Ok(first),
    }
}

/// Whether a client may take this path for a call that sends: it decodes it, and knows
/// some by further names.
fn is_sending(path: &str) -> bool {
    let path = percent_decode(path);
    SENDING.iter().any(|name| path.contains(name))
}

fn percent_decode(path: &str) -> String {
    // A + is no space here, and in no name that matters.
    let pairs = path.replace('&', "%26").replace('=', "%3D");
    let decoded = form_urlencoded::parse(pairs.as_bytes()).next();
    decoded.map_or_else(String::new, |(name, _)| name.into_owned())
}

/// Whether a client may find a form in the body where none is found here.
fn hides_form(parts: &Parts) -> bool {
    let kinds = parts.headers.get_all(header::CONTENT_TYPE);
    let is_form = |kind: &HeaderValue| {
        let kind = String::from_utf8_lossy(kind.as_bytes()).to_ascii_lowercase();
        kind.contains("form") || kind.contains("multipart")
    };
    let several = kinds.iter().count() > 1;
    several || kind(parts).is_none() && kinds.iter().any(is_form)
}

fn kind(parts: &Parts) -> Option<Kind> {
    let value = parts.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = value.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Some(Kind::Urlencoded);
    }
    let boundary = multer::parse_boundary(value).ok()?;
    (boundary.len() <= BOUNDARY_MAX_BYTES).then_some(Kind::Multipart(boundary))
}

/// Takes our tokens out of the headers. True when one of them lets the caller in.
fn take_from_headers(headers: &mut HeaderMap, door: &Door) -> bool {
    if headers
        .get_all(header::REFERER)
        .iter()
        .any(|page| door.knows_page(page))
    {
        headers.remove(header::REFERER);
    }
    let given: Vec<HeaderValue> = headers
        .get_all(header::AUTHORIZATION)
        .iter()
        .cloned()
        .collect();
    if !given.iter().any(|value| door.knows_bearer(value)) {
        return false;
    }
    headers.remove(header::AUTHORIZATION);
    for value in given.into_iter().filter(|value| !door.knows_bearer(value)) {
        headers.append(header::AUTHORIZATION, value);
    }
    true
}

/// Takes our tokens out of the query. True when there were any.
fn take_from_query(parts: &mut Parts, door: &Door) -> bool {
    let query = parts.uri.query().unwrap_or_default();
    let kept = without(query.as_bytes(), |name, value| {
        name == TOKEN && door.knows(value)
    });
    let Some(kept) = kept else {
        return false;
    };
    let kept = String::from_utf8(kept).unwrap_or_default();
    let path = parts.uri.path();
    let left = match kept.is_empty() {
        true => path.to_owned(),
        false => format!("{path}?{kept}"),
    };
    // Less of what was fit is fit; if it were not, nothing of the query stays.
    let left = left.parse().unwrap_or(PathAndQuery::from_static("/"));
    parts.uri = left.into();
    true
}

/// The pairs at the beginning of a form, without our tokens, which are taken out of
/// it as well; and how many bytes that took away.
fn take_from_form(head: &mut Head, is_ours: impl Fn(&str, &str) -> bool) -> (Pairs, usize) {
    let length = head.bytes.len();
    if let Some(kept) = without(&head.bytes, is_ours) {
        head.bytes = kept.into();
    }
    let read = match head.is_whole {
        true => &head.bytes[..],
        // The last pair goes on in what was not read.
        false => {
            let end = head.bytes.iter().rposition(|&byte| byte == b'&');
            head.bytes.get(..end.unwrap_or(0)).unwrap_or_default()
        }
    };
    let pairs = form_urlencoded::parse(read).into_owned().collect();
    (pairs, length - head.bytes.len())
}

/// The announced length is so much less.
fn shorten(parts: &mut Parts, taken: usize) {
    let length = parts.headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if let Some(length) = length
        && taken > 0
    {
        let left = HeaderValue::from(length.saturating_sub(taken as u64));
        parts.headers.insert(header::CONTENT_LENGTH, left);
    }
}

/// What is left of encoded pairs without some of them, byte for byte; none when all
/// of them are left.
fn without(pairs: &[u8], unwanted: impl Fn(&str, &str) -> bool) -> Option<Vec<u8>> {
    let stays = |raw: &&[u8]| {
        let pair = form_urlencoded::parse(raw).next();
        !pair.is_some_and(|(name, value)| unwanted(&name, &value))
    };
    let all = || pairs.split(|&byte| byte == b'&');
    if all().all(|raw| stays(&raw)) {
        return None;
    }
    Some(all().filter(stays).collect::<Vec<_>>().join(&b'&'))
}

/// The fields of a form that are no files, as far as they were read.
async fn read_multipart(
    head: &Head,
    boundary: String,
    is_ours: impl Fn(&str, &str) -> bool,
) -> Form {
    let bytes = Ok::<_, std::convert::Infallible>(head.bytes.clone());
    let mut parts = Multipart::new(stream::iter([bytes]), boundary);
    let mut form = Form::default();
    loop {
        let field = match parts.next_field().await {
            Ok(Some(field)) => field,
            Ok(None) => return form,
            Err(_) => break,
        };
        let name = field.name().unwrap_or_default().to_owned();
        let is_file = field.file_name().is_some() && name != MEDIA;
        if is_file || name.is_empty() {
            continue;
        }
        let Ok(value) = field.text().await else {
            break;
        };
        form.holds_token |= is_ours(&name, &value);
        form.pairs.push((name, value));
    }
    form.partial = true;
    form
}

/// The beginning of a body.
struct Head {
    bytes: Bytes,
    /// What came with the last of it.
    more: Bytes,
    is_whole: bool,
}

impl Head {
    async fn read(
        body: &mut Body,
        room: &BodyReader,
        (mut left, deadline): (usize, Deadline),
    ) -> Result<Self, BodyError> {
        let mut gathered = room.gather();
        let mut more = Bytes::new();
        let mut is_whole = false;
        while more.is_empty() && !is_whole {
            match next_piece(body, deadline).await? {
                Some(mut piece) => {
                    more = piece.split_off(piece.len().min(left));
                    left -= piece.len();
                    gathered.push(&piece)?;
                }
                None => is_whole = true,
            }
        }
        Ok(Self {
            bytes: gathered.finish(),
            more,
            is_whole,
        })
    }

    /// The whole body again.
    fn before(self, rest: Body) -> Replayed {
        let first = [self.bytes, self.more].into_iter();
        Replayed {
            first: first.filter(|piece| !piece.is_empty()).collect(),
            rest,
        }
    }
}

/// A body that was read in part, from its beginning.
struct Replayed {
    first: VecDeque<Bytes>,
    rest: Body,
}

impl HttpBody for Replayed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.first.pop_front() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            None => Pin::new(&mut self.rest).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let first: usize = self.first.iter().map(Bytes::len).sum();
        let (first, rest) = (first as u64, self.rest.size_hint());
        let mut all = SizeHint::new();
        if let Some(upper) = rest.upper() {
            all.set_upper(upper.saturating_add(first));
        }
        all.set_lower(rest.lower().saturating_add(first));
        all
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use http_body_util::BodyExt;
    use proptest::prelude::*;

    use super::*;

    fn is_ours(name: &str, value: &str) -> bool {
        name == TOKEN && value == "hush"
    }

    fn head(bytes: &[u8]) -> Head {
        Head {
            bytes: Bytes::copy_from_slice(bytes),
            more: Bytes::new(),
            is_whole: true,
        }
    }

    #[test]
    fn our_token_is_taken_out_and_the_rest_keeps_its_bytes() {
        for (given, left) in [
            ("token=hush", Some("")),
            ("a=%e4&token=hush&b=+", Some("a=%e4&b=+")),
            ("%74oken=h%75sh&&a", Some("&a")),
            ("token=hush&token=other", Some("token=other")),
            ("token=other&a=b", None),
            ("", None),
        ] {
            let kept = without(given.as_bytes(), is_ours);
            assert_eq!(kept.as_deref(), left.map(str::as_bytes), "{given}");
        }
    }

    #[test]
    fn a_pair_that_goes_on_in_what_was_not_read_is_not_believed() {
        let mut cut = Head {
            is_whole: false,
            ..head(b"a=1&client=na")
        };
        let (pairs, _) = take_from_form(&mut cut, is_ours);
        assert_eq!(pairs, [("a".to_owned(), "1".to_owned())]);
        assert_eq!(&cut.bytes[..], b"a=1&client=na");
    }

    #[tokio::test]
    async fn a_multipart_form_is_read_as_far_as_it_goes() {
        let part = |name: &str, text: &str| {
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
        };
        let begun = part("client", "a1") + &part("token", "hush") + &part("media", "xxxx");
        for (text, partial, count) in [
            (format!("{begun}--b--\r\n"), false, 3),
            (begun.clone(), true, 2),
            ("no form".to_owned(), true, 0),
        ] {
            let form = read_multipart(&head(text.as_bytes()), "b".to_owned(), is_ours).await;
            assert_eq!((form.partial, form.pairs.len()), (partial, count), "{text}");
            assert_eq!(form.holds_token, count > 0);
        }
    }

    #[tokio::test]
    async fn what_was_read_is_put_back_byte_for_byte() {
        let room = BodyReader::new(FORM_MAX_BYTES);
        for size in [0, 1, FORM_MAX_BYTES - 1, FORM_MAX_BYTES, FORM_MAX_BYTES + 7] {
            let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            let pieces: Vec<_> = bytes.chunks(100_000).map(<[u8]>::to_vec).collect();
            let pieces = pieces.into_iter().map(Ok::<_, std::io::Error>);
            let mut body = Body::from_stream(stream::iter(pieces));
            let bounds = (FORM_MAX_BYTES, Deadline::after(FORM_TIME));
            let head = Head::read(&mut body, &room, bounds).await.unwrap();
            assert_eq!(head.is_whole, size <= FORM_MAX_BYTES, "{size}");
            let replayed = head.before(body).collect().await.unwrap().to_bytes();
            assert_eq!(replayed, bytes);
        }
    }

    proptest! {
        #[test]
        fn no_query_keeps_our_token(
            pairs in prop::collection::vec("(token|t%6fken|client|[a-z%&=+]{0,4})=(hush|h%75sh|[a-z%]{0,4})", 0..6)
        ) {
            let query = pairs.join("&");
            let kept = without(query.as_bytes(), is_ours);
            let left = kept.as_deref().unwrap_or(query.as_bytes());
            let ours = form_urlencoded::parse(left).any(|(name, value)| is_ours(&name, &value));
            prop_assert!(!ours);
            // And nothing else goes.
            let all: Vec<_> = form_urlencoded::parse(query.as_bytes())
                .filter(|(name, value)| !is_ours(name, value))
                .collect();
            prop_assert_eq!(form_urlencoded::parse(left).collect::<Vec<_>>(), all);
        }
    }
}
