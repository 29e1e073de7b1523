//! How many accounts a handler reaches. Counted with a bound, since there may be very many,
//! and what people want to know is whether it is nobody.

use serde::{Deserialize, Serialize};

use super::Scope;

/// How many accounts something reaches. An account is known once it has logged in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// How many that are known.
    pub known: usize,
    /// How many of them are logged in.
    pub logged_in: usize,
    /// There may be more: not all were looked at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub or_more: bool,
}

impl Reached {
    /// Whether it is nobody that is known.
    pub fn is_nobody(&self) -> bool {
        self.known == 0 && !self.or_more
    }

    /// Counts an account.
    pub fn add(&mut self, is_logged_in: bool) {
        self.known += 1;
        self.logged_in += usize::from(is_logged_in);
    }
}

/// How many accounts a handler reaches by what it is bound to, and a version of it that
/// serves some.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaches {
    /// By each of its bindings; by the first of very many.
    pub scopes: Vec<ScopeReached>,
    /// Of them, by the version that serves some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Reached>,
}

impl Reaches {
    /// How many it reaches by this binding.
    pub fn by(&self, scope: &Scope) -> Option<Reached> {
        let found = self.scopes.iter().find(|it| it.account == *scope);
        found.map(|it| it.reached)
    }
}

/// How many accounts a binding reaches: those that no other one goes before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeReached {
    /// What is bound.
    pub account: Scope,
    /// How many accounts that is.
    #[serde(flatten)]
    pub reached: Reached,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_not_all_looked_at_is_not_nobody() {
        let mut reached = Reached::default();
        assert!(reached.is_nobody());
        reached.or_more = true;
        assert!(!reached.is_nobody());
    }

    #[test]
    fn it_is_shown_by_binding() {
        let mut reached = Reached::default();
        reached.add(true);
        reached.add(false);
        let reaches = Reaches {
            scopes: vec![ScopeReached {
                account: Scope::All,
                reached,
            }],
            rollout: None,
        };
        let shown = json!({"scopes": [{"account": "*", "known": 2, "logged_in": 1}]});
        assert_eq!(serde_json::to_value(&reaches).unwrap(), shown);
        assert_eq!(serde_json::from_value::<Reaches>(shown).unwrap(), reaches);
        assert_eq!(reaches.by(&Scope::All), Some(reached));
        assert_eq!(reaches.by(&Scope::Callback), None);
    }
}
