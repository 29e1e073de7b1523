//! Conversations as lines for people to read.

use std::{env, io::IsTerminal};

/// Colours that tell accounts apart on light and dark ground (ANSI).
const COLOURS: [u8; 6] = [36, 33, 35, 32, 34, 31];

/// Where lines go.
#[derive(Debug, Clone, Copy)]
pub struct Screen {
    colours: bool,
}

/// How an account is shown.
#[derive(Debug, Clone)]
pub struct Face {
    /// Its name.
    pub name: String,
    /// Its place among the accounts shown, which gives its colour.
    pub place: usize,
}

impl Face {
    /// The account at this place.
    pub fn new(name: impl Into<String>, place: usize) -> Self {
        let name = name.into();
        Self { name, place }
    }
}

impl Screen {
    /// Standard output; in colours where it is a terminal and `NO_COLOR` is not set.
    pub fn stdout() -> Self {
        let wanted = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            colours: wanted && std::io::stdout().is_terminal(),
        }
    }

    /// Somebody writes to an account.
    pub fn heard(&self, face: &Face, speaker: &str, text: &str) {
        println!("{}", self.line(face, speaker, text, false));
    }

    /// The account answers.
    pub fn said(&self, face: &Face, text: &str) {
        println!("{}", self.line(face, &face.name, text, true));
    }

    /// Something else, not part of a conversation.
    pub fn note(&self, text: &str) {
        println!("{}", self.painted("2", text));
    }

    fn line(&self, face: &Face, speaker: &str, text: &str, answer: bool) -> String {
        let colour = COLOURS.get(face.place % COLOURS.len()).unwrap_or(&36);
        let account = self.painted(&colour.to_string(), &format!("{:<8}│", face.name));
        let name = format!(
            "{:>10}",
            if answer { "🤖 " } else { "" }.to_owned() + speaker
        );
        let name = match answer {
            true => self.painted(&format!("1;{colour}"), &name),
            false => name,
        };
        format!(
            "{account} {name}  {}",
            text.replace('\n', "\n         │             ")
        )
    }

    fn painted(&self, code: &str, text: &str) -> String {
        match self.colours {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colours_a_line_is_plain() {
        let screen = Screen { colours: false };
        let line = screen.line(&Face::new("Rose", 0), "Ann", "hello", false);
        assert_eq!(line, "Rose    │        Ann  hello");
        let coloured = Screen { colours: true };
        let line = coloured.line(&Face::new("Rose", 0), "Ann", "hello", false);
        assert!(line.starts_with("\x1b[36mRose"), "{line:?}");
    }
}
