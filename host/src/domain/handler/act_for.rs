//! For which accounts an endpoint may act.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Scope;
use crate::domain::AccountId;

/// How many accounts a version can list. For more there is `*`.
pub const ACT_FOR_MAX: usize = 1_000;

/// Accounts by their ids, or `*` for all. Nobody unless it says so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeSet<Scope>")]
pub struct ActFor(BTreeSet<Scope>);

impl ActFor {
    /// These.
    pub fn new(scopes: BTreeSet<Scope>) -> Result<Self, String> {
        let is_whom = |scope: &Scope| matches!(scope, Scope::All | Scope::Account(_));
        if !scopes.iter().all(is_whom) {
            return Err("takes ids of accounts, or * for all of them".to_owned());
        }
        if scopes.len() > ACT_FOR_MAX {
            let count = scopes.len();
            return Err(format!(
                "takes {ACT_FOR_MAX} accounts at most, these are {count}; * stands for all"
            ));
        }
        Ok(Self(scopes))
    }

    /// Whether there is nobody.
    pub fn is_nobody(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this account is among them.
    pub fn has(&self, account: &AccountId) -> bool {
        let named = || self.0.contains(&Scope::Account(account.clone()));
        self.0.contains(&Scope::All) || named()
    }

    /// Each, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }
}

impl TryFrom<BTreeSet<Scope>> for ActFor {
    type Error = String;

    fn try_from(scopes: BTreeSet<Scope>) -> Result<Self, String> {
        Self::new(scopes)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn read(text: &str) -> Result<ActFor, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn an_endpoint_acts_for_those_who_are_named_and_for_nobody_else() {
        let id = |text: &str| AccountId::try_from(text).unwrap();
        let some = read(r#"["wxid_a", "wxid_b"]"#).unwrap();
        assert!(some.has(&id("wxid_a")) && !some.has(&id("wxid_c")));
        assert!(read(r#"["*"]"#).unwrap().has(&id("wxid_c")));
        let nobody = ActFor::default();
        assert!(nobody.is_nobody() && !nobody.has(&id("wxid_a")));
        let written = serde_json::to_string(&some).unwrap();
        assert_eq!(written, r#"["wxid_a","wxid_b"]"#);
    }

    #[test]
    fn what_is_no_account_is_refused() {
        assert!(read(r#"["*callback"]"#).unwrap_err().contains("or * for"));
        assert!(read(r#"["a b"]"#).is_err());
        let many: Vec<_> = (0..=ACT_FOR_MAX).map(|n| format!("wxid_{n}")).collect();
        let many = serde_json::to_string(&many).unwrap();
        assert!(read(&many).unwrap_err().contains("1000 accounts at most"));
    }
}
