//! When a client whose process has ended is started again.

use serde::{Deserialize, Serialize};

use crate::domain::Millis;

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
