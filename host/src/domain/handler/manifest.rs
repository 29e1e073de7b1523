//! What a version may do beyond answering, and when it is called: the part of
//! `handler.toml` that goes with the component.

use serde::{Deserialize, Serialize};

use super::host_rule::{HostRule, deserialize_rules};

/// What a version was granted, and when it is called. Nothing unless it says so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Manifest {
    /// Whether it gets the messages that the account itself wrote.
    #[serde(skip_serializing_if = "is_false")]
    pub own_messages: bool,
    /// Whether it may open the bucket `shared`, which all accounts of the handler
    /// have in common.
    #[serde(skip_serializing_if = "is_false")]
    pub shared_bucket: bool,
    /// Whom it may call over HTTP: sorted, each once, at most `HOST_RULES_MAX`.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "deserialize_rules"
    )]
    pub allowed_hosts: Vec<HostRule>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}
