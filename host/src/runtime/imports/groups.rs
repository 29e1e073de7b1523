//! `wxhost:bot/groups`: groups.

use super::{CallState, Started};
use crate::{
    domain::Action,
    runtime::{
        bindings::wxhost::bot::groups::{Host, InviteBy},
        state::Acts,
    },
};

impl<E: Acts> Host for CallState<E> {
    fn create(&mut self, name: Option<String>, users: Vec<String>) -> Started {
        self.start(Action::CreateGroup { name, users })
    }

    fn invite(&mut self, group: String, users: Vec<String>, by: InviteBy) -> Started {
        let add = matches!(by, InviteBy::Adding);
        self.start_each(users, |user| Action::Invite {
            group: group.clone(),
            user,
            add,
        })
    }

    fn accept_invitation(&mut self, url: String) -> Started {
        self.start(Action::AcceptInvitation { url })
    }

    fn kick(&mut self, group: String, users: Vec<String>) -> Started {
        self.start_each(users, |user| Action::Kick {
            group: Some(group.clone()),
            user,
        })
    }

    fn kick_everywhere(&mut self, user: String) -> Started {
        self.start(Action::Kick { group: None, user })
    }

    fn rename(&mut self, group: String, name: String) -> Started {
        self.start(Action::RenameGroup { group, name })
    }

    fn rename_me(&mut self, group: String, name: String) -> Started {
        self.start(Action::RenameMe { group, name })
    }

    fn announce(&mut self, group: String, text: String) -> Started {
        self.start(Action::Announce { group, text })
    }

    fn leave(&mut self, group: String) -> Started {
        self.start(Action::LeaveGroup { group })
    }

    fn refresh(&mut self, groups: Vec<String>) -> Started {
        self.start(Action::RefreshGroups { groups })
    }
}
