//! `wxhost:bot/friends`: friends.

use super::{CallState, Started};
use crate::{
    domain::Action,
    runtime::{bindings::wxhost::bot::friends::Host, state::Acts},
};

impl<E: Acts> Host for CallState<E> {
    fn accept(&mut self, ticket: String) -> Started {
        self.start(Action::AcceptFriend { ticket })
    }

    fn add(&mut self, user: String, group: Option<String>, greeting: String) -> Started {
        self.start(Action::AddFriend {
            user,
            group,
            greeting,
        })
    }

    fn remove(&mut self, user: String) -> Started {
        self.start(Action::RemoveFriend { user })
    }

    fn check(&mut self, user: String) -> Started {
        self.start(Action::CheckFriend { user })
    }

    fn remark(&mut self, user: String, name: String) -> Started {
        self.start(Action::Remark { user, name })
    }

    fn refresh(&mut self, user: String) -> Started {
        self.start(Action::RefreshUser { user })
    }

    fn refresh_all(&mut self) -> Started {
        self.start(Action::RefreshContacts)
    }

    fn fetch_avatar(&mut self, user: String, group: Option<String>) -> Started {
        self.start(Action::FetchAvatar { user, group })
    }
}
