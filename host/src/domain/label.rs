//! Labels: short words that people give accounts, to say of many at once what serves
//! them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{AccountId, HandlerName, id::BadId};

/// The longest label.
pub const LABEL_MAX_CHARS: usize = 32;
/// How many labels an account may have: what serves it is looked up by each.
pub const ACCOUNT_LABELS_MAX: usize = 16;
/// How many accounts may have labels: all are in memory.
pub const LABELLED_ACCOUNTS_MAX: usize = 100_000;
/// What stands before a label where an account's id could stand. No id begins so.
pub const LABEL_PREFIX: &str = "label:";

/// A label: lower case letters, digits and hyphens.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(Arc<str>);

/// The labels of one account.
pub type Labels = BTreeSet<Label>;

/// An account with its labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Labelled {
    /// Which account. It may never have logged in.
    pub account: AccountId,
    /// What it is called.
    pub labels: Labels,
}

/// Two labels of one account that are bound to different handlers: which of them would
/// serve it?
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{account} would have the label {}, which is bound to {}, and the label {}, which is bound \
     to {}: take one of them away, or bind both to the same handler",
    one.0, one.1, other.0, other.1
)]
pub struct Torn {
    /// Whose labels they are.
    pub account: AccountId,
    /// A label and what it is bound to.
    pub one: (Label, HandlerName),
    /// The other one.
    pub other: (Label, HandlerName),
}

impl Label {
    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Label {
    type Error = BadId;

    fn try_from(text: &str) -> Result<Self, BadId> {
        let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if text.is_empty() || text.len() > LABEL_MAX_CHARS || !text.chars().all(ok) {
            return Err(BadId(
                "a label has 1 to 32 characters: lower case letters, digits and hyphens",
            ));
        }
        if text.starts_with('-') || text.ends_with('-') {
            return Err(BadId("a label can't begin or end with a hyphen"));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for Label {
    type Error = BadId;

    fn try_from(text: String) -> Result<Self, BadId> {
        Self::try_from(text.as_str())
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.0.as_ref().to_owned()
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Label({})", self.0)
    }
}

/// What serves an account with these labels. All that are bound are bound to the same
/// handler ([`check`]).
pub fn serving<'a>(
    labels: &Labels,
    bound: &'a BTreeMap<Label, HandlerName>,
) -> Option<&'a HandlerName> {
    labels.iter().find_map(|label| bound.get(label))
}

/// Refuses labels of an account that are bound to different handlers.
pub fn check(
    account: &AccountId,
    labels: &Labels,
    bound: &BTreeMap<Label, HandlerName>,
) -> Result<(), Torn> {
    let mut pairs = labels.iter().filter_map(|label| bound.get_key_value(label));
    let Some(one) = pairs.next() else {
        return Ok(());
    };
    let owned = |(label, handler): (&Label, &HandlerName)| (label.clone(), handler.clone());
    match pairs.find(|(_, handler)| *handler != one.1) {
        None => Ok(()),
        Some(other) => Err(Torn {
            account: account.clone(),
            one: owned(one),
            other: owned(other),
        }),
    }
}

/// Refuses more labels than one account may have.
pub fn check_count(labels: &Labels) -> Result<(), String> {
    match labels.len() <= ACCOUNT_LABELS_MAX {
        true => Ok(()),
        false => Err(format!(
            "an account has at most {ACCOUNT_LABELS_MAX} labels, these are {}",
            labels.len()
        )),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn labels(text: &str) -> Labels {
        let words = text.split_whitespace();
        words.map(|word| word.try_into().unwrap()).collect()
    }

    fn bound(pairs: &[(&str, &str)]) -> BTreeMap<Label, HandlerName> {
        let pair = |(label, handler): &(&str, &str)| {
            ((*label).try_into().unwrap(), (*handler).try_into().unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn labels_are_short_words() {
        for good in ["shop", "a", "desk-3", &"x".repeat(32)] {
            assert_eq!(Label::try_from(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "Shop",
            "-a",
            "a-",
            "a b",
            "a/b",
            "商店",
            "label:a",
            &"x".repeat(33),
        ] {
            assert!(Label::try_from(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_bound_to_a_label_serves_who_has_it() {
        let bound = bound(&[("shop", "faq"), ("test", "faq")]);
        let faq = "faq".try_into().unwrap();
        assert_eq!(serving(&labels("a shop"), &bound), Some(&faq));
        assert_eq!(serving(&labels("shop test"), &bound), Some(&faq));
        assert_eq!(serving(&labels("a b"), &bound), None);
    }

    #[test]
    fn labels_that_are_bound_to_different_handlers_are_refused_by_name() {
        let bound = bound(&[("shop", "faq"), ("test", "echo"), ("z", "faq")]);
        let account = "wxid_a".try_into().unwrap();
        assert_eq!(check(&account, &labels("shop z other"), &bound), Ok(()));
        let text = check(&account, &labels("other shop test"), &bound).unwrap_err();
        let text = text.to_string();
        for word in ["wxid_a", "shop", "faq", "test", "echo"] {
            assert!(text.contains(word), "{text}");
        }
    }

    #[test]
    fn an_account_has_so_many_labels_at_most() {
        let many = |count: usize| (0..count).map(|n| format!("l{n}").try_into().unwrap());
        assert!(check_count(&many(16).collect()).is_ok());
        assert!(check_count(&many(17).collect()).is_err());
    }
}
