//! Decides who may log in: the accounts of a list. Whoever is refused again and
//! again is locked out for a while, and then is not even looked up.
//!
//! Its configuration: `allow` (ids separated by commas or spaces, `*` for
//! everybody), `refusals` within `window-minutes` that lock an account (5 within
//! 10), and `lock-minutes` (60).
mod policy;

use policy::{Record, Rules, Verdict};
use wxhost_sdk::{
    Error,
    callback::{Callback, LoginAttempt, LoginDecision},
    config, kv, log, now, random,
};

/// How many old records are looked at when a new one is made: more than one, so
/// that strangers under ever new names don't fill the store for long.
const SWEPT_AT_ONCE: usize = 20;

wxhost_sdk::callback!(Gatekeeper);

struct Gatekeeper;

impl Callback for Gatekeeper {
    fn login(attempt: LoginAttempt) -> Result<LoginDecision, Error> {
        let rules = Rules::read(config::get)?;
        let account = attempt.account.as_str();
        let stored = kv::get(account)?;
        let record = stored.as_deref().map(Record::read).unwrap_or_default();
        let (verdict, next) = rules.judge(account, &record, now());
        if next != record {
            keep(account, stored.is_none(), &next);
        }
        Ok(match verdict {
            Verdict::Admit => LoginDecision::admit(),
            Verdict::Refuse(reason) => {
                log::warn(format_args!("{account} was refused: {reason}"));
                LoginDecision::Refuse(reason)
            }
        })
    }
}

/// The verdict holds even if the record can't be kept: strangers can fill the
/// store, and must not get in by it.
fn keep(account: &str, is_new: bool, record: &Record) {
    let swept = if is_new { sweep() } else { Ok(()) };
    let kept = swept.and_then(|()| match record.is_empty() {
        true => kv::delete(account),
        false => kv::set(account, &record.to_text()),
    });
    if let Err(error) = kept {
        log::warn(format_args!("{account}: not counted: {error}"));
    }
}

/// Deletes some records that are of no use any more.
fn sweep() -> Result<(), Error> {
    let bucket = kv::bucket()?;
    let keys = bucket.list_keys(None)?.keys;
    let from = usize::try_from(random(keys.len() as u64))?;
    let now = now();
    for key in keys
        .iter()
        .cycle()
        .skip(from)
        .take(SWEPT_AT_ONCE.min(keys.len()))
    {
        let record = kv::get(key)?.as_deref().map(Record::read);
        if record.is_some_and(|it| it.is_over(now)) {
            kv::delete(key)?;
        }
    }
    Ok(())
}
