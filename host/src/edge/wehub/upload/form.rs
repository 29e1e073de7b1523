//! A form, read part by part: which file of whom it is, and the file. Liberal in
//! the order of parts and headers, strict in number and size.

use axum::{
    body::{Body, HttpBody},
    http::{HeaderMap, header},
};
use multer::{Field, Multipart};

use super::{
    content::{Content, too_large_a_code},
    feed::{Progress, feed},
    places::Seat,
    refusal::Refusal,
};
use crate::{
    domain::{FileRequest, LoginId, ports::Room},
    edge::body::BodyError,
    service::Service,
};

/// How many parts a form may have; WeHub's have three.
const PARTS_MAX: usize = 16;
/// The longest `file_index`; WeHub's have some hundred bytes.
const FILE_INDEX_MAX_BYTES: usize = 4096;
/// The longest of all other texts.
const TEXT_MAX_BYTES: usize = 256;
/// The longest boundary (RFC 2046, section 5.1.1).
const BOUNDARY_MAX_BYTES: usize = 70;
/// What a body may have beside its file: its other parts, and all the headers.
pub const OVERHEAD_BYTES: u64 = 64 * 1024;

/// What was uploaded.
pub enum Upload {
    /// A file that an account's client was asked for.
    File(Box<FileRequest>, Content),
    /// A QR code.
    Code {
        /// For which login.
        login: LoginId,
        /// By which process; empty when it does not say.
        machine_id: String,
        /// The image.
        image: Content,
    },
}

/// A form as far as it is read.
pub struct Form<'a> {
    service: &'a Service,
    /// Whether codes are taken for sessions that nobody asked for here.
    foreign: bool,
    progress: Progress,
    parts: usize,
    file_index: Option<String>,
    login: Option<String>,
    machine_id: Option<String>,
    request: Option<FileRequest>,
    content: Option<Content>,
}

impl<'a> Form<'a> {
    /// Nothing so far.
    pub fn new(service: &'a Service, foreign: bool) -> Self {
        Self {
            service,
            foreign,
            progress: Progress::default(),
            parts: 0,
            file_index: None,
            login: None,
            machine_id: None,
            request: None,
            content: None,
        }
    }

    /// What the client calls the file, once it has said so.
    pub fn file_index(&self) -> &str {
        self.file_index.as_deref().unwrap_or_default()
    }

    /// Reads the form to its closing boundary. What is not awaited is refused
    /// before its file is read, if the parts come in this order.
    pub async fn read(
        &mut self,
        seat: &mut Seat,
        headers: &HeaderMap,
        body: &mut Body,
    ) -> Result<Upload, Refusal> {
        let boundary = boundary(headers)?;
        let mut form = Multipart::new(feed(body, self.progress.clone()), boundary);
        while let Some(part) = self.part(&mut form).await? {
            let name = part.name().unwrap_or_default().to_owned();
            match name.as_str() {
                "file" => self.take_file(part, seat).await?,
                "file_index" => self.take_file_index(part, seat).await?,
                "qr_session_id" | "qrcode_session_id" => {
                    let id = self.text(part, "qr_session_id", TEXT_MAX_BYTES).await?;
                    once(&mut self.login, id, "qr_session_id")?;
                    self.expect_code(seat).await?;
                }
                "machine_id" => {
                    let id = self.text(part, "machine_id", TEXT_MAX_BYTES).await?;
                    once(&mut self.machine_id, id, "machine_id")?;
                }
                // Unknown ones are read past, within the bound of a text.
                _ => drop(self.bytes(part, "body", FILE_INDEX_MAX_BYTES).await?),
            }
        }
        self.made_of_parts()
    }

    /// What the parts are together, if that makes sense.
    fn made_of_parts(&mut self) -> Result<Upload, Refusal> {
        let both = "stands beside qr_session_id: send one of them";
        let neither = "is missing: the form has neither it nor a qr_session_id";
        let no_file = "is missing: the form has no part of this name";
        let upload = match (self.request.take(), self.login.take(), self.content.take()) {
            (Some(_), Some(_), _) => return Err(Refusal::bad("file_index", both)),
            (None, None, _) => return Err(Refusal::bad("file_index", neither)),
            (_, _, None) => return Err(Refusal::bad("file", no_file)),
            (Some(request), None, Some(content)) => Upload::File(Box::new(request), content),
            (None, Some(login), Some(image)) => Upload::Code {
                login: LoginId::try_from(login)
                    .map_err(|error| Refusal::bad("qr_session_id", error.to_string()))?,
                machine_id: self.machine_id.take().unwrap_or_default(),
                image,
            },
        };
        Ok(upload)
    }

    async fn part<'r>(&mut self, form: &mut Multipart<'r>) -> Result<Option<Field<'r>>, Refusal> {
        let part = form.next_field().await;
        let part = part.map_err(|error| Refusal::of_form(&error, self.parts))?;
        self.progress.goes_on();
        self.parts += usize::from(part.is_some());
        match self.parts > PARTS_MAX {
            true => Err(Refusal::bad(
                "body",
                format!("has more than {PARTS_MAX} parts"),
            )),
            false => Ok(part),
        }
    }

    async fn take_file_index(&mut self, part: Field<'_>, seat: &mut Seat) -> Result<(), Refusal> {
        let index = self.text(part, "file_index", FILE_INDEX_MAX_BYTES).await?;
        once(&mut self.file_index, index, "file_index")?;
        if let Some(index) = &self.file_index
            && self.request.is_none()
        {
            let request = self.service.awaited(index).await?;
            seat.is_awaited(&request)?;
            self.request = Some(request);
            self.progress.awaited();
        }
        Ok(())
    }

    /// Refuses a code before it is read that nobody waits for.
    async fn expect_code(&mut self, seat: &mut Seat) -> Result<(), Refusal> {
        // What makes no sense is told of when the form is whole.
        let id = match self.login.as_deref().map(LoginId::try_from) {
            Some(Ok(id)) if self.request.is_none() => id,
            _ => return Ok(()),
        };
        if self.service.awaits_code(&id, self.foreign).await? {
            seat.code_is_awaited()?;
            self.progress.awaited();
        }
        Ok(())
    }

    async fn take_file(&mut self, mut part: Field<'_>, seat: &mut Seat) -> Result<(), Refusal> {
        if self.content.is_some() {
            return Err(Refusal::bad("file", "is there twice: send one at a time"));
        }
        seat.file_begins()?;
        let room = match self.request {
            Some(_) => Room::Made,
            None => Room::Free,
        };
        let mut content = Content::new(part.file_name(), room);
        while let Some(piece) = self.piece(&mut part).await? {
            content.push(piece, self.service).await?;
            if content.is_spilled() && self.login.is_some() {
                return Err(too_large_a_code());
            }
        }
        self.content = Some(content);
        Ok(())
    }

    /// The text of a part; none when it is empty, which some client may send for
    /// what it has not.
    async fn text(
        &mut self,
        part: Field<'_>,
        field: &'static str,
        max_bytes: usize,
    ) -> Result<Option<String>, Refusal> {
        let bytes = self.bytes(part, field, max_bytes).await?;
        let text = String::from_utf8(bytes).map_err(|_| Refusal::bad(field, "is no UTF-8"))?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    async fn bytes(
        &mut self,
        mut part: Field<'_>,
        field: &'static str,
        max_bytes: usize,
    ) -> Result<Vec<u8>, Refusal> {
        let mut bytes = Vec::new();
        while let Some(piece) = self.piece(&mut part).await? {
            if bytes.len() + piece.len() > max_bytes {
                let problem = format!("a text of this form has at most {max_bytes} bytes");
                return Err(Refusal::bad(field, problem));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    async fn piece(&mut self, part: &mut Field<'_>) -> Result<Option<bytes::Bytes>, Refusal> {
        let piece = part.chunk().await;
        let piece = piece.map_err(|error| Refusal::of_form(&error, self.parts))?;
        self.progress.goes_on();
        Ok(piece)
    }
}

/// Refuses a body that says it is larger than any may be.
pub fn check_announced(body: &Body, file_bytes_max: u64) -> Result<(), Refusal> {
    let max_bytes = file_bytes_max.saturating_add(OVERHEAD_BYTES);
    if body.size_hint().lower() > max_bytes {
        let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
        return Err(BodyError::TooLarge(max_bytes).into());
    }
    Ok(())
}

/// Sets what may come once only.
fn once(
    slot: &mut Option<String>,
    text: Option<String>,
    field: &'static str,
) -> Result<(), Refusal> {
    match (&slot, text) {
        (Some(_), Some(_)) => Err(Refusal::bad(field, "is there twice")),
        (_, None) => Ok(()),
        (None, text) => {
            *slot = text;
            Ok(())
        }
    }
}

/// The boundary, which Qt puts in quotes.
fn boundary(headers: &HeaderMap) -> Result<String, Refusal> {
    let bad = |problem: &str| Refusal::bad("Content-Type", problem);
    let value = headers
        .get(header::CONTENT_TYPE)
        .ok_or_else(|| bad("is missing: an upload is multipart/form-data with a boundary"))?;
    let value = value.to_str().map_err(|_| bad("is no ASCII"))?;
    let boundary = multer::parse_boundary(value).map_err(|error| match error {
        multer::Error::NoBoundary => bad("has no boundary"),
        _ => bad("an upload is multipart/form-data with a boundary"),
    })?;
    match boundary.len() {
        1..=BOUNDARY_MAX_BYTES => Ok(boundary),
        _ => Err(bad("the boundary has 1 to 70 characters")),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn of(value: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
        boundary(&headers).ok()
    }

    #[test]
    fn boundaries_of_every_client_are_read() {
        let qt = include_str!("../testdata/content-type.txt").trim();
        let expected = "boundary_.oOo._OTg2Ng==MzU3Mg==MjEwNzE=";
        assert_eq!(of(qt).as_deref(), Some(expected));
        for (value, expected) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            ("multipart/form-data;boundary=abc", Some("abc")),
            (
                "Multipart/Form-Data; charset=utf-8; Boundary=\"a b\"",
                Some("a b"),
            ),
            (
                "multipart/form-data; boundary=------------------------d74496d66958873e",
                Some("------------------------d74496d66958873e"),
            ),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=\"\"", None),
            ("multipart/mixed; boundary=abc", None),
            ("application/json", None),
        ] {
            assert_eq!(of(value).as_deref(), expected, "{value}");
        }
        let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
        assert_eq!(of(&long), None);
        assert!(boundary(&HeaderMap::new()).is_err());
    }
}
