//! The edge to WeHub, a Windows helper that calls us with events and carries
//! out the tasks in our answers.
//!
//! "Section" in these docs means a section of the protocol page for WeHub.

mod address;
mod admission;
mod callback;
mod decide;
mod signature;
mod socket;
mod ticket;
mod upload;
pub(crate) mod wire;

pub use admission::Config;
pub(crate) use callback::Callback;
pub(crate) use socket::{Offers, Sockets};
pub(crate) use ticket::TicketKey;
pub use ticket::TicketKeyError;
pub(crate) use upload::Uploads;
