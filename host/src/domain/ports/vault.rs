//! What keeps secrets from whoever can read the store.

use std::fmt;

use crate::domain::{
    HandlerName, Secret,
    handler::{ConfigScope, Sealed},
};

/// Where a secret belongs. Sealed for one place, it opens in no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Whose.
    pub handler: HandlerName,
    /// For whom.
    pub scope: ConfigScope,
    /// Under which key.
    pub key: String,
}

/// Why a secret can't be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// There is no key, and the secret was sealed with one.
    #[error("the key file {0} is not there")]
    NoKey(String),
    /// The key file can't be used.
    #[error("{0}")]
    BadKey(String),
    /// The secret was sealed with another key.
    #[error("the key in {0} is not the one that it was sealed with")]
    OtherKey(String),
    /// The bytes are not what was sealed for this place.
    #[error("it is damaged, or was sealed for another place")]
    Damaged,
}

/// Seals secrets for the store, and opens them again.
pub trait Vault: Send + Sync + fmt::Debug {
    /// Seals a secret for its place. May make the key, and so block for a moment.
    fn seal(&self, place: &Place, secret: &Secret) -> Result<Sealed, VaultError>;

    /// Opens what was sealed for this place.
    fn open(&self, place: &Place, sealed: &Sealed) -> Result<Secret, VaultError>;

    /// Where the key lies, for people.
    fn key_file(&self) -> String;
}

/// A vault without a key.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct NoVault;

#[cfg(test)]
impl Vault for NoVault {
    fn seal(&self, _: &Place, _: &Secret) -> Result<Sealed, VaultError> {
        Err(VaultError::NoKey(self.key_file()))
    }

    fn open(&self, _: &Place, _: &Sealed) -> Result<Secret, VaultError> {
        Err(VaultError::NoKey(self.key_file()))
    }

    fn key_file(&self) -> String {
        "nowhere".to_owned()
    }
}
