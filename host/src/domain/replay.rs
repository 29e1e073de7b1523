//! What differs between what a bot did and what it would do.

use serde::{Deserialize, Serialize};

use super::Action;

/// How an action stands to what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sign {
    /// It was sent, and would be again.
    Same,
    /// It was sent, and would not be again.
    Sent,
    /// It was not sent, and would be.
    WouldSend,
}

/// One action of both, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// How it stands.
    pub sign: Sign,
    /// The action.
    pub action: Action,
}

/// How what a bot would do compares with what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It would send the same.
    Same,
    /// It would send something else.
    Differs,
    /// It would fail.
    Fails,
}

impl Verdict {
    /// Of a call that went well.
    pub fn of(all: &[Difference]) -> Self {
        match all.iter().all(|it| it.sign == Sign::Same) {
            true => Self::Same,
            false => Self::Differs,
        }
    }
}

/// What was sent beside what would be: what both have in the same order is the same.
/// Takes time by the product of both lengths, which `limits.call_tasks` bounds.
pub fn differences(sent: &[Action], now: &[Action]) -> Vec<Difference> {
    let common = common(sent, now);
    let told = |sign: Sign, action: &Action| Difference {
        sign,
        action: action.clone(),
    };
    let (mut all, mut before, mut after) = (Vec::new(), sent.iter(), now.iter());
    for (at, place) in common {
        let gone = at - (sent.len() - before.len());
        let come = place - (now.len() - after.len());
        all.extend(before.by_ref().take(gone).map(|it| told(Sign::Sent, it)));
        all.extend(
            after
                .by_ref()
                .take(come)
                .map(|it| told(Sign::WouldSend, it)),
        );
        all.extend(before.next().map(|it| told(Sign::Same, it)));
        after.next();
    }
    all.extend(before.map(|it| told(Sign::Sent, it)));
    all.extend(after.map(|it| told(Sign::WouldSend, it)));
    all
}

/// The places of a longest common subsequence, in both.
fn common(one: &[Action], other: &[Action]) -> Vec<(usize, usize)> {
    let width = other.len() + 1;
    // How long the longest is from each pair of places to the ends, row by row.
    let mut lengths = vec![0usize; width * (one.len() + 1)];
    let at = |lengths: &[usize], i: usize, j: usize| {
        lengths.get(i * width + j).copied().unwrap_or_default()
    };
    for (i, a) in one.iter().enumerate().rev() {
        for (j, b) in other.iter().enumerate().rev() {
            let length = match a == b {
                true => at(&lengths, i + 1, j + 1) + 1,
                false => at(&lengths, i + 1, j).max(at(&lengths, i, j + 1)),
            };
            if let Some(place) = lengths.get_mut(i * width + j) {
                *place = length;
            }
        }
    }
    let (mut found, mut i, mut j) = (Vec::new(), 0, 0);
    while let (Some(a), Some(b)) = (one.get(i), other.get(j)) {
        if a == b {
            found.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if at(&lengths, i + 1, j) >= at(&lengths, i, j + 1) {
            i += 1;
        } else {
            j += 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn actions(texts: &[u8]) -> Vec<Action> {
        let text = |it: &u8| Action::text("wxid_b", it.to_string());
        texts.iter().map(text).collect()
    }

    fn signs(sent: &[u8], now: &[u8]) -> String {
        let sign = |it: &Difference| match it.sign {
            Sign::Same => '=',
            Sign::Sent => '-',
            Sign::WouldSend => '+',
        };
        differences(&actions(sent), &actions(now))
            .iter()
            .map(sign)
            .collect()
    }

    #[test]
    fn what_stays_is_found_between_what_goes_and_comes() {
        assert_eq!(signs(&[], &[]), "");
        assert_eq!(signs(&[1, 2], &[1, 2]), "==");
        assert_eq!(signs(&[1], &[2]), "-+");
        assert_eq!(signs(&[1, 2, 3], &[2, 4]), "-=-+");
        assert_eq!(signs(&[1, 2], &[2, 1]).matches('=').count(), 1);
    }

    proptest! {
        #[test]
        fn both_can_be_read_from_the_difference(
            sent in proptest::collection::vec(0u8..4, 0..12),
            now in proptest::collection::vec(0u8..4, 0..12),
        ) {
            let (sent, now) = (actions(&sent), actions(&now));
            let told = differences(&sent, &now);
            let without = |sign: Sign| -> Vec<Action> {
                let kept = told.iter().filter(|it| it.sign != sign);
                kept.map(|it| it.action.clone()).collect()
            };
            prop_assert_eq!(without(Sign::WouldSend), sent.clone());
            prop_assert_eq!(without(Sign::Sent), now.clone());
            let all_same = told.iter().all(|it| it.sign == Sign::Same);
            prop_assert_eq!(all_same, sent == now);
        }
    }
}
