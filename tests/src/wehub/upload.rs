//! Uploads as WeHub's Qt makes them (protocol page, section 6): a quoted boundary
//! with `.` and `=`, `Content-Type` before `Content-Disposition`, and no space
//! before `filename`.

use serde_json::Value;

use super::{RawAnswer, WehubClient};
use crate::{Context, Result, check, http::Connection};

/// The boundary of the fixtures.
const BOUNDARY: &str = "boundary_.oOo._OTg2Ng==MzU3Mg==MjEwNzE=";
/// The header of the fixtures.
pub const CONTENT_TYPE: &str =
    "multipart/form-data; boundary=\"boundary_.oOo._OTg2Ng==MzU3Mg==MjEwNzE=\"";
/// Two uploads of login codes, of the same session: the second replaces the first.
const CODES: [&[u8]; 2] = [
    include_bytes!("../../fixtures/wehub/upload-qr-1.multipart"),
    include_bytes!("../../fixtures/wehub/upload-qr-2.multipart"),
];

/// One part of an upload.
#[derive(Debug, Clone, Copy)]
pub enum Part<'a> {
    /// A name and its text.
    Text(&'a str, &'a str),
    /// The file: its name, the type that is said, and its bytes.
    File(&'a str, &'a str, &'a [u8]),
}

/// A whole body of these parts.
pub fn body(parts: &[Part<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for part in parts {
        let (head, content) = match part {
            Part::Text(name, text) => (
                format!(
                    "Content-Type: text/plain\r\nContent-Disposition: form-data; name=\"{name}\""
                ),
                text.as_bytes(),
            ),
            Part::File(name, mime, bytes) => (
                format!(
                    "Content-Type: {mime}\r\n\
                     Content-Disposition: form-data; name=\"file\";filename=\"{name}\""
                ),
                *bytes,
            ),
        };
        body.extend_from_slice(format!("--{BOUNDARY}\r\n{head}\r\n\r\n").as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

/// The image of a login code; each number is another one.
pub fn code(number: usize) -> Vec<u8> {
    let upload = CODES.get(number % 2).copied().unwrap_or_default();
    let begin = crate::http::find(upload, b"\x89PNG").unwrap_or_default();
    let end = crate::http::find(upload, b"IEND").map_or(upload.len(), |at| at + 8);
    let mut image = upload.get(begin..end).unwrap_or_default().to_vec();
    // What follows a PNG's end is no part of the picture.
    image.extend_from_slice(&(number / 2).to_be_bytes());
    image
}

impl WehubClient {
    /// Uploads a file that was asked for.
    pub async fn upload_file(&self, file_index: &str, name: &str, bytes: &[u8]) -> Result<Value> {
        let parts = [
            Part::Text("file_index", file_index),
            Part::File(name, "image/jpeg", bytes),
        ];
        self.upload(&body(&parts)).await
    }

    /// Uploads the code of a QR login, as the new process does before anybody has
    /// scanned it.
    pub async fn upload_code(&self, session: &str, number: usize) -> Result<Value> {
        let image = code(number);
        let parts = [
            Part::Text("qr_session_id", session),
            Part::File("6a0b.png", "image/jpeg", &image),
            Part::Text("machine_id", &self.identity.machine_id),
        ];
        self.upload(&body(&parts)).await
    }

    /// Uploads any body and takes the answer apart.
    pub async fn upload(&self, body: &[u8]) -> Result<Value> {
        let answer = self.upload_raw(body, CONTENT_TYPE).await?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        check!(answer.status == 200, "HTTP {}: {text}", answer.status);
        let ack: Value = serde_json::from_slice(&answer.body).context(&text)?;
        check!(ack["ack_type"] == "upload_file_ack", "{text}");
        check!(
            ack["error_code"].is_i64() && ack["error_reason"].is_string(),
            "{text}"
        );
        check!(ack["file_index"].is_string(), "{text}");
        Ok(ack)
    }

    /// Uploads any bytes under any content type.
    pub async fn upload_raw(&self, body: &[u8], content_type: &str) -> Result<RawAnswer> {
        let target = self.target.beside("upload");
        let head = format!("Content-Type: {content_type}\r\n");
        let mut request = target.head("POST", &head, body.len()).into_bytes();
        request.extend_from_slice(body);
        let mut connection = Connection::open(&target.address).await?;
        Ok(RawAnswer::of(&mut connection, &request).await?)
    }

    /// Logs in as a process does whose code was scanned.
    pub async fn login_by_qr(self, session: &str) -> Result<Self> {
        let mut data = self.identity.login_data(None);
        if let Some(fields) = data.as_object_mut() {
            fields.insert("qr_session_id".to_owned(), session.into());
        }
        self.report("login", data).await?.ok()?;
        Ok(self)
    }
}

/// Insists that an upload was taken.
pub fn taken(ack: &Value) -> Result<()> {
    check!(ack["error_code"] == 0, "not taken: {ack}");
    Ok(())
}

/// Insists that an upload was refused, with a reason that names this.
pub fn refused(ack: &Value, name: &str) -> Result<()> {
    check!(ack["error_code"] != 0, "taken: {ack}");
    let reason = ack["error_reason"].as_str().unwrap_or_default();
    check!(reason.contains(name), "{name} is not named: {ack}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_made_as_qt_makes_them() {
        let made = body(&[
            Part::Text("qr_session_id", "QR-SESSION-1"),
            Part::File("6a0b.png", "image/jpeg", &code(0)[..code(0).len() - 8]),
            Part::Text("machine_id", "DESKTOP-AB12_4888"),
        ]);
        assert!(made == CODES[0]);
    }

    #[test]
    fn every_code_is_another() {
        let codes: std::collections::HashSet<_> = (0..12).map(code).collect();
        assert_eq!(codes.len(), 12);
    }
}
