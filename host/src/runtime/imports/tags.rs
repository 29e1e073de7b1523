//! `wxhost:bot/tags`: tags that the client keeps for its contacts.

use super::{CallState, Started};
use crate::{
    domain::Action,
    runtime::{bindings::wxhost::bot::tags::Host, state::Acts},
};

impl<E: Acts> Host for CallState<E> {
    fn add(&mut self, tag: String, users: Vec<String>) -> Started {
        self.start(Action::AddTag { tag, users })
    }

    fn remove(&mut self, tag: String, users: Vec<String>) -> Started {
        self.start(Action::RemoveTag { tag, users })
    }

    fn delete(&mut self, tag: String) -> Started {
        self.start(Action::DeleteTag { tag })
    }

    fn rename(&mut self, tag: String, to: String) -> Started {
        self.start(Action::RenameTag { tag, to })
    }
}
