//! The file of an upload while it comes in: in memory as long as it can be a QR
//! code, on disk when it is larger.

use bytes::Bytes;

use super::refusal::Refusal;
use crate::{
    domain::ports::{BlobError, BlobWriter, Room},
    service::Service,
};

/// The largest image of a QR code; WeChat's have some 10 KB. Up to this size files
/// are kept in memory until it is known what they are.
pub const CODE_MAX_BYTES: usize = 512 * 1024;
/// How much of a file's name is kept, in bytes: what file systems allow.
const NAME_MAX_BYTES: usize = 255;

/// A file that comes in.
pub struct Content {
    /// The name that its sender gave it.
    pub name: Option<String>,
    held: Vec<u8>,
    spilled: Option<Box<dyn BlobWriter>>,
    room: Room,
}

impl Content {
    /// Nothing so far.
    pub fn new(name: Option<&str>, room: Room) -> Self {
        Self {
            name: name.and_then(shown_name),
            held: Vec::new(),
            spilled: None,
            room,
        }
    }

    /// Adds to it.
    pub async fn push(&mut self, piece: Bytes, service: &Service) -> Result<(), Refusal> {
        if let Some(writer) = &mut self.spilled {
            return writer
                .write(piece)
                .await
                .map_err(|error| self.refuse(error));
        }
        if self.held.len() + piece.len() <= CODE_MAX_BYTES {
            self.held.extend_from_slice(&piece);
            return Ok(());
        }
        let mut writer = service.new_file(self.room);
        let held = std::mem::take(&mut self.held).into();
        for piece in [held, piece] {
            let written = writer.write(piece).await;
            written.map_err(|error| self.refuse(error))?;
        }
        self.spilled = Some(writer);
        Ok(())
    }

    /// True when it is too large for a QR code.
    pub fn is_spilled(&self) -> bool {
        self.spilled.is_some()
    }

    /// As a QR code.
    pub fn into_image(self) -> Result<Bytes, Refusal> {
        match self.spilled {
            None => Ok(self.held.into()),
            Some(_) => Err(too_large_a_code()),
        }
    }

    /// As a file, for which there is room.
    pub async fn into_file(self, service: &Service) -> Result<Box<dyn BlobWriter>, Refusal> {
        if let Some(writer) = self.spilled {
            return Ok(writer);
        }
        let mut writer = service.new_file(Room::Made);
        writer.write(self.held.into()).await?;
        Ok(writer)
    }

    fn refuse(&self, error: BlobError) -> Refusal {
        match (error, self.room) {
            (BlobError::Full, Room::Free) => Refusal::bad(
                "file",
                "came before its file_index, and there is no room for such files: send \
                 file_index first",
            ),
            (error, _) => error.into(),
        }
    }
}

/// What is said of an image that no QR code has.
pub fn too_large_a_code() -> Refusal {
    let problem = format!("the image of a QR code has at most {CODE_MAX_BYTES} bytes");
    Refusal::bad("file", problem)
}

/// A file's name as text to show: it never becomes a path, and can't mislead who
/// reads it in a log.
fn shown_name(name: &str) -> Option<String> {
    let mut shown = String::new();
    for c in name.chars().filter(|c| !c.is_control()) {
        if shown.len() + c.len_utf8() > NAME_MAX_BYTES {
            break;
        }
        shown.push(c);
    }
    (!shown.is_empty()).then_some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_text_of_bounded_length() {
        for (name, expected) in [
            ("a.png", Some("a.png")),
            ("../../etc/evil.png", Some("../../etc/evil.png")),
            ("a\r\n\0b", Some("ab")),
            ("\x1b", None),
            ("", None),
        ] {
            assert_eq!(shown_name(name).as_deref(), expected, "{name:?}");
        }
        let long = shown_name(&"你".repeat(100)).unwrap_or_default();
        assert_eq!(long, "你".repeat(85));
    }
}
