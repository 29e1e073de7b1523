//! Places for questions, waiting or being asked: so many in all, and so few for
//! each account and for strangers that nobody keeps the others from being heard.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::Error;
use crate::domain::AccountId;

/// How many questions there may be. More at a time than a host has accounts is a
/// flood.
const PLACES_MAX: u32 = 4096;
/// How many of them may be logins of accounts that are not known: anybody with a
/// customer id can make up any number of names.
const STRANGERS_MAX: u32 = PLACES_MAX / 4;
/// How many of them may be about one account. A client asks one thing after the
/// other, and again when an answer is late.
const ACCOUNT_MAX: u32 = 8;

/// Who has places.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<Taken>);

/// Bounded by [`PLACES_MAX`].
#[derive(Debug, Default)]
struct Taken {
    all: u32,
    strangers: u32,
    by_account: HashMap<AccountId, u32>,
}

/// A place, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    places: &'a Places,
    account: AccountId,
    known: bool,
}

impl Places {
    /// Takes a place for a question about this account.
    pub(super) fn take(&self, account: &AccountId, known: bool) -> Result<Place<'_>, Error> {
        let mut taken = self.taken();
        if let Some(reason) = taken.refusal(account, known) {
            return Err(Error::Busy { reason });
        }
        taken.all += 1;
        taken.strangers += u32::from(!known);
        *taken.by_account.entry(account.clone()).or_default() += 1;
        Ok(Place {
            places: self,
            account: account.clone(),
            known,
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Counters: nothing between them can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Why there is no place; none when there is one.
    fn refusal(&self, account: &AccountId, known: bool) -> Option<String> {
        let its_own = self.by_account.get(account).copied().unwrap_or(0);
        let (max, who) = match () {
            () if its_own >= ACCOUNT_MAX => (ACCOUNT_MAX, "questions about this account"),
            () if !known && self.strangers >= STRANGERS_MAX => {
                (STRANGERS_MAX, "logins of unknown accounts")
            }
            () if self.all >= PLACES_MAX => (PLACES_MAX, "questions to the callback"),
            () => return None,
        };
        Some(format!("{max} {who} wait already: try again later"))
    }

    fn give_back(&mut self, account: &AccountId, known: bool) {
        self.all -= 1;
        self.strangers -= u32::from(!known);
        if let Some(count @ 2..) = self.by_account.get_mut(account) {
            *count -= 1;
            return;
        }
        self.by_account.remove(account);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.places.taken().give_back(&self.account, self.known);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn id(number: u32) -> AccountId {
        format!("wxid_{number}").as_str().try_into().unwrap()
    }

    #[test]
    fn one_account_has_a_few_places_and_leaves_the_others_theirs() {
        let places = Places::default();
        let mut taken: Vec<_> = (0..ACCOUNT_MAX)
            .map(|_| places.take(&id(1), true).unwrap())
            .collect();
        let refused = places.take(&id(1), true).unwrap_err();
        assert!(refused.to_string().contains("about this account"));
        let _other = places.take(&id(2), true).unwrap();
        taken.pop();
        taken.push(places.take(&id(1), true).unwrap());
        assert!(places.take(&id(1), false).is_err(), "known or not");
    }

    #[test]
    fn strangers_leave_most_places_to_those_who_are_known() {
        let places = Places::default();
        let strangers: Vec<_> = (0..STRANGERS_MAX)
            .map(|number| places.take(&id(number), false).unwrap())
            .collect();
        let refused = places.take(&id(PLACES_MAX), false).unwrap_err();
        assert!(refused.to_string().contains("unknown accounts"));
        let known: Vec<_> = (STRANGERS_MAX..PLACES_MAX)
            .map(|number| places.take(&id(number), true).unwrap())
            .collect();
        assert!(places.take(&id(PLACES_MAX), true).is_err(), "all are taken");
        drop((strangers, known));
        let taken = places.taken();
        assert_eq!((taken.all, taken.strangers), (0, 0));
        assert!(taken.by_account.is_empty());
    }
}
