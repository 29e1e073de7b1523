//! QR codes in a terminal: read from the image that a client uploaded, drawn
//! anew with half blocks, so that they are crisp whatever the image's size.
//!
//! The image comes from a stranger: it is read within limits, and what can't be
//! read is no failure but shown in another way.

use std::io::Cursor;

use image::{ImageReader, Limits, error::ImageError};
use qrcode::{Color, EcLevel, QrCode};
use rqrr::PreparedImage;

/// The widest and highest image that is looked at, in pixels. WeChat's codes have
/// a few hundred.
const SIDE_MAX_PIXELS: u32 = 4096;
/// How much memory reading an image may take: an image of the largest size with
/// four bytes a pixel.
const DECODE_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// The light border that scanners need, in modules (ISO/IEC 18004, section 5.3.8).
const QUIET: usize = 4;
/// White on black, from the fixed part of the palette: themes change the rest.
const WHITE_ON_BLACK: &str = "\u{1b}[38;5;231;48;5;16m";
/// As the terminal was before.
const RESET: &str = "\u{1b}[0m";

/// Why an image gives no code.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is no image that can be read.
    #[error("the image can't be read: {0}")]
    Image(#[from] ImageError),
    /// There is none in it that can be read.
    #[error("no QR code is found in the image")]
    NoCode,
    /// It says more than a code can hold.
    #[error("the code can't be drawn: {0}")]
    Undrawable(String),
}

/// What the first code in this PNG or JPEG says.
pub fn read(image: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let mut reader = ImageReader::new(Cursor::new(image))
        .with_guessed_format()
        .map_err(ImageError::IoError)?;
    reader.limits(limits());
    let grey = reader.decode()?.into_luma8();
    let (width, height) = (grey.width() as usize, grey.height() as usize);
    let pixels = grey.into_raw();
    let pixel = |x: usize, y: usize| pixels.get(y * width + x).copied().unwrap_or(u8::MAX);
    first_code(width, height, pixel).ok_or(Unreadable::NoCode)
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_MAX_PIXELS);
    limits.max_image_height = Some(SIDE_MAX_PIXELS);
    limits.max_alloc = Some(DECODE_MAX_BYTES);
    limits
}

fn first_code(
    width: usize,
    height: usize,
    pixel: impl FnMut(usize, usize) -> u8,
) -> Option<Vec<u8>> {
    let mut image = PreparedImage::prepare_from_greyscale(width, height, pixel);
    image.detect_grids().into_iter().find_map(|grid| {
        let mut content = Vec::new();
        grid.decode_to(&mut content).ok().map(|_| content)
    })
}

/// A code as it is drawn: modules that are light or dark, without the border.
#[derive(Debug)]
pub struct Drawing {
    light: Vec<bool>,
    side: usize,
}

impl Drawing {
    /// A code that says this. It is as small as can be: nothing gets dirty on a
    /// screen, so that little has to be corrected.
    pub fn of(content: &[u8]) -> Result<Self, Unreadable> {
        let code = QrCode::with_error_correction_level(content, EcLevel::L)
            .map_err(|error| Unreadable::Undrawable(error.to_string()))?;
        let side = code.width();
        let light = code.into_colors();
        Ok(Self {
            light: light.into_iter().map(|it| it == Color::Light).collect(),
            side,
        })
    }

    /// How many columns of a terminal it takes.
    pub fn columns(&self) -> usize {
        self.side + 2 * QUIET
    }

    /// How many lines it takes: each has two rows of modules.
    pub fn lines(&self) -> usize {
        self.columns().div_ceil(2)
    }

    /// The drawing, with a line break after each line. Light modules are drawn,
    /// dark ones left out: right on dark terminals even without colours, and with
    /// them on all.
    pub fn show(&self, colours: bool) -> String {
        let line = |y: usize| {
            let blocks: String = (0..self.columns()).map(|x| self.block(x, 2 * y)).collect();
            match colours {
                true => format!("{WHITE_ON_BLACK}{blocks}{RESET}\n"),
                false => format!("{blocks}\n"),
            }
        };
        (0..self.lines()).map(line).collect()
    }

    fn block(&self, x: usize, y: usize) -> char {
        match (self.is_light(x, y), self.is_light(x, y + 1)) {
            (true, true) => '█',
            (true, false) => '▀',
            (false, true) => '▄',
            (false, false) => ' ',
        }
    }

    /// The module here, counted from the corner of the border.
    fn is_light(&self, x: usize, y: usize) -> bool {
        let inside = |at: usize| at.checked_sub(QUIET).filter(|at| *at < self.side);
        match (inside(x), inside(y)) {
            (Some(x), Some(y)) => self.light.get(y * self.side + x).is_none_or(|it| *it),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use proptest::prelude::*;

    use super::*;

    const CODES: [&[u8]; 2] = [
        include_bytes!("testdata/qr-1.png"),
        include_bytes!("testdata/qr-2.png"),
    ];
    /// How many pixels a module has in the picture of a screen.
    const PIXELS: usize = 4;

    /// What a scanner before the screen reads, of a drawing without colours.
    fn scan(drawn: &str) -> Vec<u8> {
        let rows: Vec<Vec<bool>> = drawn.lines().flat_map(rows).collect();
        let side = rows.first().unwrap().len();
        let pixel = |x: usize, y: usize| {
            let module = rows.get(y / PIXELS).and_then(|row| row.get(x / PIXELS));
            if *module.unwrap() { 255 } else { 0 }
        };
        first_code(side * PIXELS, rows.len() * PIXELS, pixel).unwrap()
    }

    /// The two rows of modules that a line shows.
    fn rows(line: &str) -> [Vec<bool>; 2] {
        let row = |lit: [char; 2]| line.chars().map(|block| lit.contains(&block)).collect();
        [row(['█', '▀']), row(['█', '▄'])]
    }

    #[test]
    fn the_codes_of_a_client_can_be_scanned_from_the_screen() {
        let [first, second] = CODES.map(|image| read(image).unwrap());
        assert_ne!(first, second);
        for content in [first, second] {
            let drawing = Drawing::of(&content).unwrap();
            let drawn = drawing.show(false);
            assert_eq!(drawn.lines().count(), drawing.lines());
            assert!(
                drawn
                    .lines()
                    .all(|line| line.chars().count() == drawing.columns())
            );
            assert!(drawing.lines() <= 24, "fits a small terminal");
            assert_eq!(scan(&drawn), content);
        }
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let drawing = Drawing::of(b"https://weixin.qq.com/x/a").unwrap();
        let coloured = drawing.show(true);
        assert!(
            coloured
                .lines()
                .all(|line| line.starts_with(WHITE_ON_BLACK) && line.ends_with(RESET))
        );
        let bare = coloured.replace(WHITE_ON_BLACK, "").replace(RESET, "");
        assert_eq!(bare, drawing.show(false));
    }

    #[test]
    fn a_code_has_its_border_on_every_side() {
        let drawing = Drawing::of(b"a").unwrap();
        let shown = drawing.show(false);
        let rows: Vec<Vec<bool>> = shown.lines().flat_map(rows).collect();
        let (side, quiet) = (drawing.columns(), QUIET..QUIET + drawing.side);
        for (y, row) in rows.iter().enumerate() {
            for x in 0..side {
                let inside = quiet.contains(&x) && quiet.contains(&y);
                assert!(inside || *row.get(x).unwrap(), "{x} {y}");
            }
        }
    }

    #[test]
    fn what_is_no_image_or_has_no_code_says_so() {
        for (bytes, expected) in [(&b""[..], true), (b"<html>", true), (b"\x89PNG\r\n", true)] {
            let error = read(bytes).unwrap_err();
            assert_eq!(matches!(error, Unreadable::Image(_)), expected, "{error}");
        }
        let mut blank = Cursor::new(Vec::new());
        image::GrayImage::from_pixel(64, 64, image::Luma([255]))
            .write_to(&mut blank, image::ImageFormat::Png)
            .unwrap();
        let nothing = read(blank.get_ref());
        assert!(matches!(nothing, Err(Unreadable::NoCode)));
    }

    #[test]
    fn an_image_that_claims_to_be_huge_is_not_read() {
        let mut bytes = CODES.first().unwrap().to_vec();
        // Width and height of the first chunk; its checksum is of no matter here.
        bytes
            .get_mut(16..24)
            .unwrap()
            .copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
        assert!(matches!(read(&bytes), Err(Unreadable::Image(_))));
    }

    #[test]
    fn more_than_a_code_can_hold_is_refused() {
        assert!(matches!(
            Drawing::of(&[0; 3000]),
            Err(Unreadable::Undrawable(_))
        ));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn whatever_a_code_says_can_be_scanned(text in "[ -~]{1,120}") {
            let drawing = Drawing::of(text.as_bytes()).unwrap();
            prop_assert_eq!(scan(&drawing.show(false)), text.into_bytes());
        }

        #[test]
        fn a_broken_image_is_an_error_and_no_panic(at in 0usize..600, byte: u8) {
            for code in CODES {
                let mut bytes = code.to_vec();
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
                let _ = read(&bytes);
            }
        }
    }
}
