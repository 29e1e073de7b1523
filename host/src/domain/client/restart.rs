//! When a client whose process has ended is started again.

use serde::{Deserialize, Serialize};

use super::Parameters;
use crate::domain::Millis;

/// After how many codes that nobody scanned a client ends by itself, unless it was
/// started with another `qrcode_count_max` (protocol section 2).
const CODES_MAX: u32 = 10;

/// How many codes a client shows at most before it ends by itself.
pub fn codes_max(parameters: &Parameters) -> u32 {
    let given = parameters.get("qrcode_count_max");
    let given = given.and_then(|it| it.parse::<f64>().ok());
    // A client that is to show none shows one before it counts.
    given.map_or(CODES_MAX, |count| (count as u32).max(1))
}

/// How a client is started again after its process ended by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RestartPolicy {
    /// How long the first wait is, in ms. Each one after it is twice as long.
    pub wait_min_ms: u64,
    /// How long a wait may get, in ms.
    pub wait_max_ms: u64,
    /// How long a process must have been up for what was before to be forgotten, in
    /// ms.
    pub forgiven_ms: u64,
    /// How often in a row it is started again. Then it has failed.
    pub tries_max: u32,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            wait_min_ms: 1_000,
            wait_max_ms: 300_000,
            forgiven_ms: 600_000,
            tries_max: 20,
        }
    }
}

impl RestartPolicy {
    /// Says which setting can't work, and why.
    pub fn check(&self) -> Result<(), String> {
        if self.wait_min_ms == 0 {
            return Err("openwx.restart.wait_min_ms: must be more than 0".to_owned());
        }
        match self.wait_max_ms >= self.wait_min_ms {
            true => Ok(()),
            false => Err(
                "openwx.restart.wait_max_ms: can't be less than openwx.restart.wait_min_ms"
                    .to_owned(),
            ),
        }
    }
}

/// How often a client's process has ended by itself in a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Crashes(u32);

/// What follows an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is started again after so many ms.
    Again(Millis),
    /// It is not started again: so often in a row it has ended.
    GiveUp(u32),
}

impl Crashes {
    /// A process has ended by itself that was up for so long. `chance` is from 0 to
    /// 1: it makes a wait up to half as long again, so that clients that ended
    /// together do not come back together.
    pub fn note(&mut self, policy: &RestartPolicy, up_ms: Millis, chance: f64) -> Verdict {
        if up_ms >= policy.forgiven_ms {
            self.0 = 0;
        }
        if self.0 >= policy.tries_max {
            return Verdict::GiveUp(self.0);
        }
        let doubled = 2u64.saturating_pow(self.0);
        self.0 += 1;
        let wait_ms = policy.wait_min_ms.saturating_mul(doubled);
        let more = wait_ms.min(policy.wait_max_ms) as f64 * chance.clamp(0.0, 1.0) / 2.0;
        Verdict::Again(
            wait_ms
                .saturating_add(more as Millis)
                .min(policy.wait_max_ms),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn policy() -> impl Strategy<Value = RestartPolicy> {
        (1..100_000u64, 0..1_000_000u64, 1..u64::MAX, 0..100u32).prop_map(
            |(wait_min_ms, more_ms, forgiven_ms, tries_max)| RestartPolicy {
                wait_min_ms,
                wait_max_ms: wait_min_ms + more_ms,
                forgiven_ms,
                tries_max,
            },
        )
    }

    proptest! {
        #[test]
        fn a_wait_doubles_within_its_bounds_and_chance_adds_half_at_most(
            policy in policy(),
            chance in -1.0..2.0f64,
        ) {
            let mut crashes = Crashes::default();
            let mut base_ms = policy.wait_min_ms;
            for _ in 0..policy.tries_max {
                let verdict = crashes.note(&policy, 0, chance);
                let Verdict::Again(wait_ms) = verdict else {
                    return Err(TestCaseError::fail(format!("{verdict:?}")));
                };
                let longest_ms = base_ms.saturating_add(base_ms / 2);
                prop_assert!(wait_ms >= base_ms.min(policy.wait_max_ms));
                prop_assert!(wait_ms <= longest_ms.min(policy.wait_max_ms));
                base_ms = base_ms.saturating_mul(2);
            }
        }

        #[test]
        fn after_so_many_ends_in_a_row_it_is_given_up_and_stays_so(policy in policy()) {
            let mut crashes = Crashes::default();
            for _ in 0..policy.tries_max {
                let verdict = crashes.note(&policy, policy.forgiven_ms - 1, 0.5);
                prop_assert!(matches!(verdict, Verdict::Again(_)));
            }
            for _ in 0..3 {
                let verdict = crashes.note(&policy, 0, 0.5);
                prop_assert_eq!(verdict, Verdict::GiveUp(policy.tries_max));
            }
        }

        #[test]
        fn what_was_before_a_long_life_is_forgotten(policy in policy(), ends in 0..200u32) {
            prop_assume!(policy.tries_max > 0);
            let mut crashes = Crashes::default();
            for _ in 0..ends {
                crashes.note(&policy, 0, 0.0);
            }
            let verdict = crashes.note(&policy, policy.forgiven_ms, 0.0);
            prop_assert_eq!(verdict, Verdict::Again(policy.wait_min_ms));
        }
    }

    #[test]
    fn a_client_may_be_told_how_many_codes_it_shows() {
        let with = |text: &str| {
            let given = ("qrcode_count_max".to_owned(), text.to_owned());
            codes_max(&Parameters::from([given]))
        };
        assert_eq!(codes_max(&Parameters::new()), 10);
        for (text, count) in [("3", 3), ("20", 20), ("2.5", 2), ("0", 1), ("x", 10)] {
            assert_eq!(with(text), count, "{text}");
        }
        assert_eq!(with("9999999999"), u32::MAX);
    }

    #[test]
    fn odd_settings_and_chances_are_survived() {
        let policy = RestartPolicy {
            wait_min_ms: u64::MAX,
            wait_max_ms: 5,
            ..RestartPolicy::default()
        };
        let mut crashes = Crashes::default();
        for chance in [f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(crashes.note(&policy, 0, chance), Verdict::Again(5));
        }
    }
}
