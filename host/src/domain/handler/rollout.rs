//! Rollouts: a new version serves a share of a handler's accounts first, and goes
//! back by itself when it fails too often there.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Version, VersionNumber};
use crate::domain::{AccountId, HandlerName, Label, Labels, Millis, label::ACCOUNT_LABELS_MAX};

/// How many accounts a rollout can list. For more there is a percentage.
pub const ACCOUNTS_MAX: usize = 1_000;
/// How many calls a version is judged by at least.
const CALLS_MIN: u64 = 20;
/// What a rollout allows unless it says otherwise, in percent of the calls.
pub const FAILURES_PERCENT: u8 = 20;

/// A version on its way to all accounts of its handler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// The version.
    pub version: Version,
    /// Whom it serves so far.
    pub to: Share,
    /// How many of its calls may fail, in percent, before it goes back.
    pub failures_percent: u8,
    /// Since when, in ms.
    pub began_ms: Millis,
}

/// A version that went back by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Return {
    /// Which.
    pub version: VersionNumber,
    /// Why.
    pub reason: String,
    /// When, in ms.
    pub at_ms: Millis,
}

/// Some of a handler's accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Share {
    /// So many of a hundred. An account that is in stays in when the share grows.
    Percent(u8),
    /// These.
    Accounts(BTreeSet<AccountId>),
    /// Those that have one of these labels at the time.
    Labels(BTreeSet<Label>),
}

impl Share {
    /// Says what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Percent(1..=100) => Ok(()),
            Self::Percent(percent) => Err(format!("percent: takes 1 to 100, this is {percent}")),
            Self::Accounts(ids) if ids.is_empty() || ids.len() > ACCOUNTS_MAX => Err(format!(
                "accounts: takes 1 to {ACCOUNTS_MAX} ids, these are {}",
                ids.len()
            )),
            Self::Accounts(_) => Ok(()),
            Self::Labels(labels) if labels.is_empty() || labels.len() > ACCOUNT_LABELS_MAX => {
                Err(format!(
                    "labels: takes 1 to {ACCOUNT_LABELS_MAX} labels, these are {}",
                    labels.len()
                ))
            }
            Self::Labels(_) => Ok(()),
        }
    }

    /// Whether the account is among them. Always the same answer for the same account, as
    /// long as its labels, in `labels`, are the same.
    pub fn reaches(
        &self,
        handler: &HandlerName,
        account: &AccountId,
        labels: &BTreeMap<AccountId, Labels>,
    ) -> bool {
        match self {
            Self::Percent(percent) => place(handler, account) < u64::from(*percent),
            Self::Accounts(ids) => ids.contains(account),
            Self::Labels(wanted) => {
                let own = labels.get(account);
                own.is_some_and(|own| !own.is_disjoint(wanted))
            }
        }
    }
}

/// Where an account stands among a hundred. Another place for each handler, so that
/// it is not always the same accounts that try what is new.
fn place(handler: &HandlerName, account: &AccountId) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(handler.as_str().as_bytes());
    hasher.update(b"/");
    hasher.update(account.as_str().as_bytes());
    let hash = hasher.finalize();
    let (bytes, _) = hash
        .as_bytes()
        .split_first_chunk()
        .unwrap_or((&[0; 8], &[]));
    u64::from_le_bytes(*bytes) % 100
}

/// How the calls of a version went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Score {
    /// Calls that ended, failures included.
    pub calls: u64,
    /// Calls that failed.
    pub failures: u64,
}

impl Score {
    /// Whether so many failed that the version goes back.
    pub fn fails(&self, failures_percent: u8) -> bool {
        self.calls >= CALLS_MIN && self.failures * 100 > self.calls * u64::from(failures_percent)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn id(number: u32) -> AccountId {
        format!("wxid_{number}").try_into().unwrap()
    }

    fn name(text: &str) -> HandlerName {
        text.try_into().unwrap()
    }

    /// Whether an account without labels is among them.
    fn reaches(share: &Share, handler: &str, number: u32) -> bool {
        share.reaches(&name(handler), &id(number), &BTreeMap::new())
    }

    #[test]
    fn a_share_is_about_as_large_as_it_says_and_grows_by_adding() {
        for percent in [1, 10, 50, 99, 100] {
            let reached = |percent: u8| {
                let share = Share::Percent(percent);
                (0..2_000).filter(move |n| reaches(&share, "faq", *n))
            };
            let count = reached(percent).count();
            let wanted = 20 * usize::from(percent);
            assert!(count.abs_diff(wanted) < 90, "{count} of {wanted}");
            let larger = Share::Percent(percent.saturating_add(1).min(100));
            assert!(reached(percent).all(|n| reaches(&larger, "faq", n)));
        }
    }

    #[test]
    fn handlers_begin_with_different_accounts() {
        let share = Share::Percent(10);
        let of = |handler: &str| {
            let all = 0..500;
            all.filter(|n| reaches(&share, handler, *n))
                .collect::<Vec<_>>()
        };
        assert_ne!(of("faq"), of("echo"));
    }

    #[test]
    fn a_list_reaches_those_on_it() {
        let share = Share::Accounts([id(1), id(2)].into());
        assert!(reaches(&share, "faq", 1));
        assert!(!reaches(&share, "faq", 3));
    }

    #[test]
    fn labels_reach_those_that_have_one_of_them() {
        let label = |text: &str| Label::try_from(text).unwrap();
        let share = Share::Labels([label("shop"), label("vip")].into());
        let labels = [
            (id(1), Labels::from([label("desk"), label("vip")])),
            (id(2), Labels::from([label("desk")])),
        ];
        let labels = labels.into();
        let of = |number| share.reaches(&name("faq"), &id(number), &labels);
        assert_eq!([of(1), of(2), of(3)], [true, false, false]);
    }

    #[test]
    fn shares_have_bounds() {
        for (share, fits) in [
            (Share::Percent(0), false),
            (Share::Percent(1), true),
            (Share::Percent(101), false),
            (Share::Accounts(BTreeSet::new()), false),
            (Share::Accounts((0..1_000).map(id).collect()), true),
            (Share::Accounts((0..1_001).map(id).collect()), false),
            (Share::Labels(BTreeSet::new()), false),
        ] {
            assert_eq!(share.check().is_ok(), fits, "{share:?}");
        }
    }

    #[test]
    fn a_version_is_judged_by_enough_calls() {
        let score = |calls, failures| Score { calls, failures };
        assert!(!score(19, 19).fails(20));
        assert!(score(20, 5).fails(20));
        assert!(!score(20, 4).fails(20));
        assert!(score(20, 1).fails(0));
    }
}
