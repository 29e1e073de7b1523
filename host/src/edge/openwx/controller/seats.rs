//! How many requests are passed on at the same time: a client that blocks holds up
//! its own callers, and nobody else's.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::domain::ClientName;

/// Requests that are passed on to one client at the same time. It carries them out
/// one after the other, a send each 3 s: more would not be answered in time.
pub(super) const CLIENT_MAX: usize = 64;
/// Requests that are passed on in all: sixteen clients that block altogether.
pub(super) const ALL_MAX: usize = 1024;

/// Who is being served. A cheap handle.
#[derive(Debug, Clone, Default)]
pub(super) struct Seats(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Only clients that have some.
    of: HashMap<ClientName, usize>,
}

/// A place of a request. Free again when this goes.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Seats,
    name: ClientName,
}

/// There is no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    /// Too much goes to this client.
    #[error(
        "{CLIENT_MAX} requests are being passed on to {0} already: wait for some of their answers"
    )]
    Client(ClientName),
    /// Too much goes to all clients.
    #[error("{ALL_MAX} requests are being passed on already: wait for some of their answers")]
    All,
}

impl Seats {
    /// Takes a place for a request to this client.
    pub(super) fn enter(&self, name: &ClientName) -> Result<Seat, Full> {
        let mut taken = self.lock();
        if taken.all >= ALL_MAX {
            return Err(Full::All);
        }
        let of_client = taken.of.entry(name.clone()).or_default();
        if *of_client >= CLIENT_MAX {
            return Err(Full::Client(name.clone()));
        }
        *of_client += 1;
        taken.all += 1;
        Ok(Seat {
            seats: self.clone(),
            name: name.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        taken.all = taken.all.saturating_sub(1);
        if let Some(left) = taken.of.get_mut(&self.name) {
            *left -= 1;
            if *left == 0 {
                taken.of.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn name(text: String) -> ClientName {
        text.try_into().unwrap()
    }

    #[test]
    fn one_client_can_not_take_the_places_of_others() {
        let seats = Seats::default();
        let (one, two) = (name("one".to_owned()), name("two".to_owned()));
        let mut taken: Vec<_> = (0..CLIENT_MAX)
            .map(|_| seats.enter(&one).unwrap())
            .collect();
        assert_eq!(seats.enter(&one).unwrap_err(), Full::Client(one.clone()));
        assert!(seats.enter(&two).is_ok());
        taken.pop();
        assert!(seats.enter(&one).is_ok());
    }

    #[test]
    fn all_of_them_have_a_bound_and_nothing_is_left_behind() {
        let seats = Seats::default();
        let taken: Vec<_> = (0..ALL_MAX)
            .map(|number| seats.enter(&name(format!("c{}", number % 100))).unwrap())
            .collect();
        assert_eq!(seats.enter(&name("x".to_owned())).unwrap_err(), Full::All);
        drop(taken);
        let left = seats.lock();
        assert!(left.all == 0 && left.of.is_empty());
    }
}
