//! How many uploads may be under way, and whose: who sends what nobody waits for
//! does not hold the places of those who are awaited.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit as Permit, Semaphore};

use super::refusal::Refusal;
use crate::domain::{AccountId, FileRequest};

/// How many uploads may be under way that did not get to their file yet. Each holds
/// what the parser keeps for it, some 50 KiB at most, and that for 10 s.
const UNNAMED_MAX: usize = 1024;
/// Which part of the places those may have together of whom it is not known that
/// they are awaited: half of them, and never none.
const STRANGERS_PART: usize = 2;

/// Whose file, and what its client calls it.
type Name = (AccountId, String);

/// The places of uploads. A cheap handle.
#[derive(Debug, Clone)]
pub struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    unnamed: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    places: Arc<Semaphore>,
    /// The requests whose files come in now.
    requests: Mutex<HashSet<Name>>,
}

impl Places {
    /// So many for files that come in.
    pub fn new(uploads_max: u32) -> Self {
        let places = uploads_max as usize;
        let semaphore = |places| Arc::new(Semaphore::new(places));
        Self(Arc::new(Inner {
            unnamed: semaphore(UNNAMED_MAX),
            strangers: semaphore((places / STRANGERS_PART).max(1)),
            places: semaphore(places),
            requests: Mutex::default(),
        }))
    }

    /// For an upload that begins.
    pub fn enter(&self) -> Result<Seat, Refusal> {
        Ok(Seat {
            unnamed: Some(take(&self.0.unnamed)?),
            stranger: None,
            place: None,
            request: None,
            places: self.clone(),
        })
    }

    fn requests(&self) -> MutexGuard<'_, HashSet<Name>> {
        let requests = self.0.requests.lock();
        requests.unwrap_or_else(PoisonError::into_inner)
    }
}

fn take(places: &Arc<Semaphore>) -> Result<Permit, Refusal> {
    let place = Arc::clone(places).try_acquire_owned();
    place.map_err(|_| Refusal::Busy)
}

/// What an upload holds of the places, given back when it is dropped.
#[derive(Debug)]
pub struct Seat {
    unnamed: Option<Permit>,
    stranger: Option<Permit>,
    place: Option<Permit>,
    request: Option<Name>,
    places: Places,
}

impl Seat {
    /// Its file begins, and maybe nobody waits for it.
    pub fn file_begins(&mut self) -> Result<(), Refusal> {
        if self.place.is_none() {
            self.stranger = Some(take(&self.places.0.strangers)?);
            self.sit()?;
        }
        Ok(())
    }

    /// It is the file of this request, of which one at a time comes in.
    pub fn is_awaited(&mut self, request: &FileRequest) -> Result<(), Refusal> {
        let name = (request.account.clone(), request.file.clone());
        if !self.places.requests().insert(name.clone()) {
            return Err(Refusal::UnderWay);
        }
        self.request = Some(name);
        self.stranger = None;
        self.sit()
    }

    /// It is the code of a login that waits for one.
    pub fn code_is_awaited(&mut self) -> Result<(), Refusal> {
        self.stranger = None;
        self.sit()
    }

    fn sit(&mut self) -> Result<(), Refusal> {
        if self.place.is_none() {
            self.place = Some(take(&self.places.0.places)?);
            self.unnamed = None;
        }
        Ok(())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(name) = self.request.take() {
            self.places.requests().remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::domain::task::Origin;

    fn request(file: &str) -> FileRequest {
        let task = "wxid_a-5".parse().unwrap();
        FileRequest::asked(file.to_owned(), task, Origin::Api, 0)
    }

    #[test]
    fn strangers_have_half_of_the_places_and_the_awaited_all() {
        let places = Places::new(4);
        let mut seats: Vec<_> = (0..5).map(|_| places.enter().unwrap()).collect();
        let begun: Vec<_> = seats
            .iter_mut()
            .map(|it| it.file_begins().is_ok())
            .collect();
        assert_eq!(begun, [true, true, false, false, false]);
        let named = |(n, seat): (usize, &mut Seat)| {
            let request = request(&n.to_string());
            seat.is_awaited(&request).is_ok()
        };
        let named: Vec<_> = seats.iter_mut().enumerate().map(named).collect();
        assert_eq!(named, [true, true, true, true, false]);
        seats.clear();
        assert_eq!(places.0.places.available_permits(), 4);
        assert_eq!(places.0.strangers.available_permits(), 2);
        assert_eq!(places.0.unnamed.available_permits(), UNNAMED_MAX);
        assert!(places.requests().is_empty());
    }

    #[test]
    fn a_request_has_one_upload_at_a_time() {
        let places = Places::new(4);
        let (mut one, mut two) = (places.enter().unwrap(), places.enter().unwrap());
        one.is_awaited(&request("f")).unwrap();
        assert!(matches!(
            two.is_awaited(&request("f")),
            Err(Refusal::UnderWay)
        ));
        two.is_awaited(&request("g")).unwrap();
        drop(one);
        let mut three = places.enter().unwrap();
        three.is_awaited(&request("f")).unwrap();
    }
}
