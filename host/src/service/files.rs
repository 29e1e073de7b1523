//! Files of messages.

use super::{Error, Service};
use crate::domain::AccountId;

impl Service {
    /// A file may not have come.
    pub(super) async fn file_overdue(&self, _: &AccountId, _: &str) -> Result<(), Error> {
        Ok(())
    }
}
