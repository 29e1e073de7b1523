//! Lines for the people who run the bot. All take whatever can be displayed:
//! `log::info("hello")`, `log::warn(format_args!("{n} left"))`.

use std::fmt::Display;

use crate::bindings::wasi::logging::logging;

pub use logging::Level;

/// What only helps to find a mistake.
pub fn debug(message: impl Display) {
    write(Level::Debug, "bot", message);
}

/// What is good to know.
pub fn info(message: impl Display) {
    write(Level::Info, "bot", message);
}

/// What should be looked at.
pub fn warn(message: impl Display) {
    write(Level::Warn, "bot", message);
}

/// What went wrong.
pub fn error(message: impl Display) {
    write(Level::Error, "bot", message);
}

/// Any level, and a word for the part of the bot that speaks.
pub fn write(level: Level, context: &str, message: impl Display) {
    logging::log(level, context, &message.to_string());
}
