//! What arguments are read with, when several commands take the same.

use crate::domain::{AccountId, HandlerName, Label, id::BadId};

/// An account's id.
pub fn account(text: &str) -> Result<AccountId, BadId> {
    text.try_into()
}

/// An account's label.
pub fn label(text: &str) -> Result<Label, BadId> {
    text.try_into()
}

/// A handler's name.
pub fn handler_name(text: &str) -> Result<HandlerName, BadId> {
    text.try_into()
}
