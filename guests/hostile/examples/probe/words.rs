//! The words of a command.
use wxhost_sdk::Error;

/// What is still to be read.
pub struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    pub fn new(text: &'a str) -> Self {
        Self(text.trim())
    }

    /// The next word; the name is for the error when there is none.
    pub fn word(&mut self, name: &str) -> Result<&'a str, Error> {
        let (word, rest) = self
            .0
            .split_once(char::is_whitespace)
            .unwrap_or((self.0, ""));
        self.0 = rest.trim_start();
        if word.is_empty() {
            return Err(format!("the command lacks {name}").into());
        }
        Ok(word)
    }

    /// The next word; none when it is "-" or there is none.
    pub fn option(&mut self) -> Option<&'a str> {
        self.word("").ok().filter(|word| *word != "-")
    }

    /// The next word as a number.
    pub fn number<N: TryFrom<u64>>(&mut self, name: &str) -> Result<N, Error> {
        let number: u64 = self.word(name)?.parse()?;
        N::try_from(number).map_err(|_| format!("{name} is too big").into())
    }

    /// All the other words.
    pub fn list(self) -> Vec<String> {
        self.0.split_whitespace().map(str::to_owned).collect()
    }

    /// All the other text as it is.
    pub fn rest(self) -> &'a str {
        self.0
    }
}
