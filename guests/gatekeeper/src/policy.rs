//! Who is admitted and who is locked: pure, for its tests.

use wxhost_sdk::Error;

const MINUTE_MS: u64 = 60_000;

/// What the configuration says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    allow: Vec<String>,
    refusals: usize,
    window_ms: u64,
    lock_ms: u64,
}

/// What is remembered of an account that was refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Until when it is of use.
    until_ms: u64,
    /// The account is locked until then.
    locked: bool,
    /// When it was refused, as far as that counts.
    refused_ms: Vec<u64>,
}

/// What becomes of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may log in.
    Admit,
    /// It may not, and why.
    Refuse(String),
}

impl Rules {
    /// Reads the configuration with this function.
    pub fn read(get: impl Fn(&str) -> Result<Option<String>, Error>) -> Result<Self, Error> {
        let number = |key: &str, default: u64, max: u64| match get(key)? {
            None => Ok(default),
            Some(text) => match text.trim().parse() {
                Ok(number) if (1..=max).contains(&number) => Ok(number),
                _ => Err(Error::from(format!(
                    "{key}: takes 1 to {max}, not {text:?}"
                ))),
            },
        };
        let allow = get("allow")?.ok_or("allow: is missing; `*` admits every account")?;
        let separates = |c: char| c == ',' || c.is_whitespace();
        let ids = allow.split(separates).filter(|id| !id.is_empty());
        Ok(Self {
            allow: ids.map(str::to_owned).collect(),
            refusals: usize::try_from(number("refusals", 5, 100)?)?,
            window_ms: number("window-minutes", 10, 10_000)? * MINUTE_MS,
            lock_ms: number("lock-minutes", 60, 100_000)? * MINUTE_MS,
        })
    }

    /// What becomes of this account's login, and what to remember from then on.
    pub fn judge(&self, account: &str, record: &Record, now_ms: u64) -> (Verdict, Record) {
        if record.is_locked(now_ms) {
            let reason = locked(account, record.until_ms - now_ms);
            return (Verdict::Refuse(reason), record.clone());
        }
        if self.allow.iter().any(|id| id == "*" || id == account) {
            return (Verdict::Admit, Record::default());
        }
        let record = self.refused(record, now_ms);
        let reason = match record.locked {
            true => locked(account, self.lock_ms),
            false => format!("{account} may not log in here"),
        };
        (Verdict::Refuse(reason), record)
    }

    /// One more refusal, the last of which locks.
    fn refused(&self, record: &Record, now_ms: u64) -> Record {
        let counts = |at: &&u64| at.saturating_add(self.window_ms) > now_ms;
        let mut refused_ms: Vec<_> = record.refused_ms.iter().filter(counts).copied().collect();
        refused_ms.push(now_ms);
        let locked = refused_ms.len() >= self.refusals;
        if locked {
            // They led to this lock, and not to the next.
            refused_ms.clear();
        }
        let useful_ms = if locked { self.lock_ms } else { self.window_ms };
        Record {
            until_ms: now_ms.saturating_add(useful_ms),
            locked,
            refused_ms,
        }
    }
}

impl Record {
    /// Reads what `to_text` wrote. Anything else counts as nothing.
    pub fn read(text: &str) -> Self {
        let mut words = text.split(' ');
        let locked = words.next() == Some("locked");
        let mut times = words.map_while(|word| word.parse().ok());
        Self {
            until_ms: times.next().unwrap_or(0),
            locked,
            refused_ms: times.collect(),
        }
    }

    /// As it is stored.
    pub fn to_text(&self) -> String {
        let mut text = match self.locked {
            true => "locked".to_owned(),
            false => "refused".to_owned(),
        };
        for time in [self.until_ms].iter().chain(&self.refused_ms) {
            text.push_str(&format!(" {time}"));
        }
        text
    }

    /// Whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it is of no use any more.
    pub fn is_over(&self, now_ms: u64) -> bool {
        self.until_ms <= now_ms
    }

    fn is_locked(&self, now_ms: u64) -> bool {
        self.locked && !self.is_over(now_ms)
    }
}

fn locked(account: &str, left_ms: u64) -> String {
    let minutes = match left_ms.div_ceil(MINUTE_MS) {
        1 => "1 minute".to_owned(),
        minutes => format!("{minutes} minutes"),
    };
    format!("{account} is locked after too many refusals: try again in {minutes}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn rules(pairs: &[(&str, &str)]) -> Result<Rules, Error> {
        Rules::read(|key| {
            let found = pairs.iter().find(|(name, _)| *name == key);
            Ok(found.map(|(_, value)| (*value).to_owned()))
        })
    }

    fn refusal((verdict, record): (Verdict, Record)) -> (String, Record) {
        match verdict {
            Verdict::Refuse(reason) => (reason, record),
            Verdict::Admit => (String::new(), record),
        }
    }

    #[test]
    fn the_list_is_read_however_it_is_written() {
        let rules = rules(&[("allow", "wxid_a, wxid_b\nwxid_c,,")]).unwrap();
        for id in ["wxid_a", "wxid_b", "wxid_c"] {
            let judged = rules.judge(id, &Record::default(), 0);
            assert_eq!(judged, (Verdict::Admit, Record::default()), "{id}");
        }
        for id in ["wxid_d", "wxid", "", ","] {
            let (reason, _) = refusal(rules.judge(id, &Record::default(), 0));
            assert!(reason.contains("may not"), "{id}");
        }
    }

    #[test]
    fn a_star_admits_everybody() {
        let rules = rules(&[("allow", "*")]).unwrap();
        let (verdict, _) = rules.judge("wxid_a", &Record::default(), 0);
        assert_eq!(verdict, Verdict::Admit);
    }

    #[test]
    fn a_configuration_that_can_not_work_is_named() {
        let named = |pairs: &[(&str, &str)], key: &str| {
            let error = rules(pairs).unwrap_err().to_string();
            assert!(error.starts_with(key), "{error}");
        };
        named(&[], "allow");
        named(&[("allow", "*"), ("refusals", "0")], "refusals");
        named(&[("allow", "*"), ("window-minutes", "x")], "window-minutes");
        named(&[("allow", "*"), ("lock-minutes", "-1")], "lock-minutes");
    }

    #[test]
    fn repeated_refusals_lock_and_the_lock_ends() {
        let rules = rules(&[("allow", "wxid_a"), ("refusals", "3")]).unwrap();
        let mut record = Record::default();
        for now in [0, 1, 2] {
            let (reason, next) = refusal(rules.judge("wxid_b", &record, now));
            assert_eq!(reason.contains("in 60 minutes"), now == 2, "{reason}");
            record = Record::read(&next.to_text());
            assert_eq!(record, next);
        }
        // Locked before the list is looked at.
        let later = 59 * MINUTE_MS + 2;
        let (reason, same) = refusal(rules.judge("wxid_b", &record, later));
        assert!(reason.ends_with("in 1 minute"), "{reason}");
        assert_eq!(same, record);
        let opened = Rules {
            allow: vec!["*".to_owned()],
            ..rules.clone()
        };
        let (reason, _) = refusal(opened.judge("wxid_b", &record, later));
        assert!(reason.contains("locked"), "{reason}");

        let over = 60 * MINUTE_MS + 2;
        assert!(record.is_over(over));
        let (reason, next) = refusal(rules.judge("wxid_b", &record, over));
        assert!(reason.contains("may not"), "{reason}");
        assert_eq!(next.refused_ms, [over]);
        let (verdict, next) = opened.judge("wxid_b", &record, over);
        assert_eq!((verdict, next.is_empty()), (Verdict::Admit, true));
    }

    #[test]
    fn refusals_that_lie_back_further_do_not_count() {
        let rules = rules(&[("allow", ""), ("refusals", "2")]).unwrap();
        let mut record = Record::default();
        for minute in [0, 10, 20, 30] {
            let (reason, next) = refusal(rules.judge("wxid_b", &record, minute * MINUTE_MS));
            assert!(reason.contains("may not"), "{reason}");
            record = next;
        }
        let (reason, _) = refusal(rules.judge("wxid_b", &record, 39 * MINUTE_MS));
        assert!(reason.contains("locked"), "{reason}");
    }

    #[test]
    fn a_record_of_somebody_else_counts_as_nothing() {
        for text in ["", "x", "locked", "refused a b", "1 2 3"] {
            assert!(!Record::read(text).is_locked(1), "{text}");
        }
    }
}
