//! One error for all of this crate: text for the person who reads the test's
//! outcome. What it prints is the same in both formats, so that a test which
//! returns it reads well.

use std::fmt;

/// Why something did not go as it must.
#[derive(Clone)]
pub struct Error(String);

/// Short for results with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error that says this.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Keeps the whole chain of causes, which many libraries leave out of their text.
impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        Self(text)
    }
}

/// Says what was being done when an error came.
pub trait Context<T> {
    /// Puts `what` before the error's text.
    fn context(self, what: impl fmt::Display) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|error| Error(format!("{what}: {}", error.into())))
    }
}

impl<T> Context<T> for Option<T> {
    fn context(self, what: impl fmt::Display) -> Result<T> {
        self.ok_or_else(|| Error(what.to_string()))
    }
}

/// Returns with an [`Error`] of this text.
#[macro_export]
macro_rules! fail {
    ($($text:tt)*) => { return Err($crate::Error::new(format!($($text)*))) };
}

/// Returns with an [`Error`] of this text unless the condition holds.
#[macro_export]
macro_rules! check {
    ($condition:expr, $($text:tt)*) => { if !$condition { $crate::fail!($($text)*) } };
}
