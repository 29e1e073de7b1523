use std::fmt;

use crate::bindings::wasi::{config, keyvalue};
use crate::model::Failure;

/// Why a bot failed. The host shows it to the people who run the bot and undoes
/// all that the call asked for.
///
/// `?` makes one of whatever can be a boxed error: what the host's functions
/// refuse with, errors of the standard library and of other crates, text.
///
/// ```
/// use wxhost_sdk::prelude::*;
///
/// fn age(text: &str) -> Result<u8, Error> {
///     let age = text.trim().parse()?;
///     if age < 18 { Err("too young".into()) } else { Ok(age) }
/// }
/// # assert_eq!(age("17").unwrap_err().to_string(), "too young");
/// ```
pub struct Error(Box<dyn std::error::Error>);

impl Error {
    /// What the host refused with, when that was the reason.
    pub fn failure(&self) -> Option<&Failure> {
        self.0.downcast_ref()
    }

    /// The host's code for it, e.g. "unsupported", when the host refused.
    pub fn code(&self) -> Option<&str> {
        self.failure().map(|failure| failure.code.as_str())
    }
}

impl<E> From<E> for Error
where
    Box<dyn std::error::Error>: From<E>,
{
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The generated types print themselves as Rust code: write words instead.
        if let Some(Failure { code, message, .. }) = self.failure() {
            write!(f, "{code}: {message}")
        } else if let Some(error) = self.0.downcast_ref::<keyvalue::store::Error>() {
            f.write_str("keyvalue: ")?;
            f.write_str(match error {
                keyvalue::store::Error::NoSuchStore => "no such store",
                keyvalue::store::Error::AccessDenied => "access denied",
                keyvalue::store::Error::Other(reason) => reason,
            })
        } else if let Some(error) = self.0.downcast_ref::<config::store::Error>() {
            let (config::store::Error::Upstream(reason) | config::store::Error::Io(reason)) = error;
            write!(f, "config: {reason}")
        } else {
            write_chain(f, &*self.0)
        }
    }
}

fn write_chain(f: &mut fmt::Formatter<'_>, error: &dyn std::error::Error) -> fmt::Result {
    write!(f, "{error}")?;
    let mut source = error.source();
    while let Some(cause) = source {
        write!(f, ": {cause}")?;
        source = cause.source();
    }
    Ok(())
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
