//! `wxhost:bot/chat`: messages.

use super::{CallState, Started};
use crate::{
    domain::Action,
    runtime::{
        bindings::wxhost::bot::{chat::Host, model::Segment},
        convert,
        state::Acts,
    },
};

impl<E: Acts> Host for CallState<E> {
    fn reply(&mut self, text: String) -> Started {
        match self.call.conversation() {
            Some(conversation) => {
                let action = Action::text(conversation, text);
                self.start(action)
            }
            None => {
                self.enter()?;
                Ok(Err(convert::coded(
                    "bad-request",
                    "this event came from no conversation",
                )))
            }
        }
    }

    fn send(&mut self, conversation: String, segments: Vec<Segment>) -> Started {
        match convert::segments(segments) {
            Ok(segments) => self.start(Action::Send {
                conversation,
                segments,
            }),
            Err(failure) => {
                self.enter()?;
                Ok(Err(failure))
            }
        }
    }

    fn recall(&mut self, message: String) -> Started {
        self.start(Action::Recall { message })
    }

    fn stick(&mut self, conversation: String, on: bool) -> Started {
        self.start(Action::Stick { conversation, on })
    }

    fn download(&mut self, file: String) -> Started {
        self.start(Action::Download { file })
    }

    fn accept_transfer(&mut self, sender: String, transfer: String) -> Started {
        self.start(Action::AcceptTransfer { sender, transfer })
    }

    fn perform_raw(&mut self, json: String) -> Started {
        self.start(Action::Raw { json })
    }
}
