//! Where a login's code is shown: drawn on the terminal, one code in the place of
//! the former, or written to a file where it can't be drawn.

use std::{
    env,
    fs::{self, OpenOptions},
    io::{self, IsTerminal, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::{
    failure::Failure,
    output::{Style, harmless},
    qr::{self, Drawing},
};

/// How many random bytes the name of a file has that nobody else shall guess.
const RANDOM_BYTES: usize = 8;
/// Lines that stay free below a drawing, for the cursor.
const LINES_BELOW: usize = 1;

/// A code as the host gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// Which of the login's codes, as far as the host said.
    pub generation: Option<u32>,
    /// The image.
    pub image: Vec<u8>,
    /// Its type.
    pub mime: String,
}

impl Code {
    /// What the names of files with such images end in.
    fn extension(&self) -> &'static str {
        match self.mime.as_str() {
            "image/png" => "png",
            "image/jpeg" => "jpg",
            _ => "img",
        }
    }
}

/// What the output can show.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terminal {
    /// Whether it is one: what was drawn can be drawn over.
    pub is_terminal: bool,
    /// Whether colours are in place.
    pub colours: bool,
    /// How wide it is, when that is known.
    pub columns: Option<usize>,
    /// How high it is, when that is known.
    pub lines: Option<usize>,
}

impl Terminal {
    /// What stdout can show now.
    pub fn of_stdout(style: &Style) -> Self {
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
        let known = |length: u16| (length > 0).then_some(usize::from(length));
        let columns = size.and_then(|size| known(size.ws_col));
        Self {
            is_terminal: io::stdout().is_terminal(),
            colours: style.colours(),
            columns: columns.or_else(columns_told),
            lines: size.and_then(|size| known(size.ws_row)),
        }
    }

    /// The code drawn, or why it can't be.
    fn draw(&self, image: &[u8]) -> Result<(String, usize), String> {
        let drawing = qr::read(image).and_then(|content| Drawing::of(&content));
        let drawing = drawing.map_err(|error| error.to_string())?;
        let (columns, lines) = (drawing.columns(), drawing.lines());
        let too_small = |has: Option<usize>, needs: usize| has.is_some_and(|has| has < needs);
        if too_small(self.columns, columns) || too_small(self.lines, lines + LINES_BELOW) {
            let lines = lines + LINES_BELOW;
            return Err(format!(
                "the terminal is too small for it: {columns} columns and {lines} lines are needed"
            ));
        }
        Ok((drawing.show(self.colours), lines))
    }
}

/// What the shell says, where there is nothing else to ask.
fn columns_told() -> Option<usize> {
    env::var("COLUMNS").ok()?.parse().ok()
}

/// Lines of text with the current code below them.
#[derive(Debug)]
pub struct Screen<W> {
    out: W,
    terminal: Terminal,
    /// How many lines the code takes that stands at the end.
    drawn_lines: usize,
    kept: Option<Temporary>,
}

impl Screen<io::Stdout> {
    /// On stdout.
    pub fn of_stdout(style: &Style) -> Self {
        Self::new(io::stdout(), Terminal::of_stdout(style))
    }
}

impl<W: Write> Screen<W> {
    /// On this output.
    pub fn new(out: W, terminal: Terminal) -> Self {
        Self {
            out,
            terminal,
            drawn_lines: 0,
            kept: None,
        }
    }

    /// Adds lines in the place of the code, which is over with them.
    pub fn say(&mut self, lines: &[String]) -> Result<(), Failure> {
        self.erase()?;
        for line in lines {
            self.write(&format!("{}\n", harmless(line)))?;
        }
        self.flush()
    }

    /// Shows a code in the place of the former.
    pub fn show(&mut self, code: &Code) -> Result<(), Failure> {
        self.erase()?;
        match self.terminal.draw(&code.image) {
            Ok((drawing, lines)) => {
                self.write(&drawing)?;
                self.drawn_lines = lines;
            }
            Err(why) => self.keep(code, &why)?,
        }
        self.flush()
    }

    /// Leaves the file with the code, if there is one, to whoever reads this.
    pub fn leave(mut self) {
        if let Some(mut file) = self.kept.take() {
            file.is_left = true;
        }
    }

    fn keep(&mut self, code: &Code, why: &str) -> Result<(), Failure> {
        let file = Temporary::of(code)?;
        let path = file.path.display();
        let text = format!(
            "the code is in {path}: open it to scan it ({})\n",
            harmless(why)
        );
        self.write(&text)?;
        self.kept = Some(file);
        Ok(())
    }

    fn erase(&mut self) -> Result<(), Failure> {
        self.kept = None;
        let lines = std::mem::take(&mut self.drawn_lines);
        if lines > 0 && self.terminal.is_terminal {
            // Up, and away with everything below.
            self.write(&format!("\u{1b}[{lines}A\r\u{1b}[J"))?;
        }
        Ok(())
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        let written = self.out.write_all(text.as_bytes());
        written.map_err(|error| Failure::local("stdout", error))
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let flushed = self.out.flush();
        flushed.map_err(|error| Failure::local("stdout", error))
    }
}

/// A file for this user only, gone when it is dropped unless it is left.
#[derive(Debug)]
struct Temporary {
    path: PathBuf,
    is_left: bool,
}

impl Temporary {
    fn of(code: &Code) -> Result<Self, Failure> {
        let mut random = [0; RANDOM_BYTES];
        let seeded = getrandom::fill(&mut random).map_err(io::Error::other);
        let name = u64::from_ne_bytes(random);
        let name = format!("wxhost-qr-{name:016x}.{}", code.extension());
        let path = env::temp_dir().join(name);
        match seeded.and_then(|()| write_new(&path, &code.image)) {
            Ok(()) => Ok(Self {
                path,
                is_left: false,
            }),
            Err(error) => Err(Failure::local(path.display(), error)),
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_left {
            // What can't be removed is of no use any more all the same.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn code(image: &[u8]) -> Code {
        Code {
            generation: Some(1),
            image: image.to_vec(),
            mime: "image/png".to_owned(),
        }
    }

    fn real() -> Code {
        code(include_bytes!("testdata/qr-1.png"))
    }

    fn screen(terminal: Terminal) -> Screen<Vec<u8>> {
        Screen::new(Vec::new(), terminal)
    }

    fn text(screen: &Screen<Vec<u8>>) -> &str {
        std::str::from_utf8(&screen.out).unwrap()
    }

    #[test]
    fn a_code_takes_the_place_of_the_former() {
        let mut screen = screen(Terminal {
            is_terminal: true,
            ..Terminal::default()
        });
        screen.show(&real()).unwrap();
        let lines = text(&screen).lines().count();
        screen.say(&["code 2 is there".to_owned()]).unwrap();
        screen.show(&real()).unwrap();
        screen.say(&["over".to_owned()]).unwrap();
        let erased = format!("\u{1b}[{lines}A\r\u{1b}[J");
        assert_eq!(text(&screen).matches(&erased).count(), 2);
        assert!(text(&screen).ends_with(&format!("{erased}over\n")));
    }

    #[test]
    fn what_is_no_terminal_is_not_steered() {
        let mut screen = screen(Terminal::default());
        screen.show(&real()).unwrap();
        screen.show(&real()).unwrap();
        assert!(!text(&screen).contains('\u{1b}'));
    }

    fn kept(screen: &Screen<Vec<u8>>) -> PathBuf {
        screen.kept.as_ref().unwrap().path.clone()
    }

    #[test]
    fn what_does_not_fit_is_written_to_a_file_of_this_user() {
        for small in [(Some(20), None), (None, Some(10))] {
            let (columns, lines) = small;
            let mut screen = screen(Terminal {
                columns,
                lines,
                ..Terminal::default()
            });
            screen.show(&real()).unwrap();
            let path = kept(&screen);
            assert!(text(&screen).contains(&path.display().to_string()));
            assert!(text(&screen).contains("too small"), "{}", text(&screen));
            assert_eq!(fs::read(&path).unwrap(), real().image);
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o600);
            screen.say(&[]).unwrap();
            assert!(!path.exists(), "the code is over");
        }
    }

    #[test]
    fn what_is_no_code_is_kept_for_a_person_to_look_at() {
        let mut screen = screen(Terminal::default());
        screen.show(&code(b"no image")).unwrap();
        let path = kept(&screen);
        screen.leave();
        assert_eq!(fs::read(&path).unwrap(), b"no image");
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_stranger_s_words_do_not_steer_the_terminal() {
        let mut screen = screen(Terminal::default());
        screen.say(&["a\u{1b}[2Jb".to_owned()]).unwrap();
        assert_eq!(text(&screen), "a\u{fffd}[2Jb\n");
    }
}
