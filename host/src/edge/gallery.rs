//! Whether the image of a QR code is one: it is shown to people later, so nothing
//! else may pass. What its sender calls it does not count.

use std::{io::Cursor, sync::Arc};

use bytes::Bytes;
use image::{ImageFormat, ImageReader, Limits};
use tokio::sync::Semaphore;

use crate::domain::{Digest, login::QrImage};

/// How many images are decoded at a time: each takes memory and a core.
const DECODED_MAX: usize = 2;
/// How wide and high an image may be, in pixels. QR codes have a few hundred.
const SIDE_MAX: u32 = 4096;
/// What decoding one may take, in bytes: an image of that size with four bytes a
/// pixel.
const DECODED_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Looks at images, a few at a time.
#[derive(Debug)]
pub(crate) struct Gallery(Arc<Semaphore>);

impl Default for Gallery {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(DECODED_MAX)))
    }
}

impl Gallery {
    /// What is known of an image; none when it is no PNG or JPEG image.
    pub async fn look(&self, bytes: &Bytes) -> Option<QrImage> {
        // It is never closed.
        let place = Arc::clone(&self.0).acquire_owned().await.ok();
        let shared = bytes.clone();
        let looking = tokio::task::spawn_blocking(move || {
            let _place = place;
            mime(&shared)
        });
        // A decoder that panics has met no image either.
        let mime = looking.await.ok().flatten()?;
        Some(QrImage {
            digest: Digest::of(bytes),
            mime: mime.to_owned(),
            size_bytes: bytes.len() as u64,
        })
    }
}

/// The type of an image that can be decoded in full.
fn mime(bytes: &[u8]) -> Option<&'static str> {
    let format = image::guess_format(bytes).ok()?;
    let mime = match format {
        ImageFormat::Png => "image/png",
        ImageFormat::Jpeg => "image/jpeg",
        _ => return None,
    };
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(DECODED_MAX_BYTES);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    reader.decode().ok()?;
    Some(mime)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn encoded(side: u32, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let image = image::GrayImage::new(side, 1);
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn only_whole_images_of_moderate_size_pass() {
        let png = encoded(64, ImageFormat::Png);
        assert_eq!(mime(&png), Some("image/png"));
        assert_eq!(mime(&encoded(64, ImageFormat::Jpeg)), Some("image/jpeg"));
        assert_eq!(
            mime(&encoded(SIDE_MAX, ImageFormat::Png)),
            Some("image/png")
        );
        assert_eq!(mime(&encoded(SIDE_MAX + 1, ImageFormat::Png)), None);
        for cut in 0..png.len() - 12 {
            assert_eq!(mime(png.get(..cut).unwrap()), None, "{cut}");
        }
        for other in [
            &b"GIF89a\x01\0\x01\0"[..],
            b"<svg/>",
            b"",
            b"\xff\xd8\xff\xd9",
        ] {
            assert_eq!(mime(other), None);
        }
    }
}
