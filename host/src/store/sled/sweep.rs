//! Finds what has had its time, a stretch of the tables per call.

use std::ops::Bound;

use sled::{Db, IVec};

use super::read::Read;
use crate::{
    domain::{Millis, ports::StoreError},
    store::codec::{self, Aged, Table},
};

/// How many records one call looks at: some ms of reading.
const EXAMINED_MAX: usize = 4096;

/// How many removals go to the writer at a time, so that commits get their turn
/// in between.
pub const FORGOTTEN_AT_ONCE: usize = 256;

/// The tables that are swept, those next to each other together: events, tasks, failures,
/// requests, logins, files and pauses; where handlers' failures are; recorded events.
const SWEPT: [(Table, Table); 3] = [
    (Table::Event, Table::Pause),
    (Table::HandlerFailure, Table::HandlerFailure),
    (Table::Recorded, Table::Recorded),
];

/// A stretch of the tables.
#[derive(Debug)]
pub struct Stretch {
    /// Records that are over: key, and value as it was found.
    pub over: Vec<(IVec, IVec)>,
    /// The last key looked at; none at the end of the tables.
    pub last: Option<IVec>,
}

/// Looks at the records after this key, or at the first ones.
pub fn look(db: &Db, after: Option<IVec>, before_ms: Millis) -> Result<Stretch, StoreError> {
    let mut over = Vec::new();
    let mut last = None;
    let items = SWEPT
        .into_iter()
        .flat_map(|tables| rest_of(db, tables, &after));
    for (count, item) in items.enumerate() {
        if count >= EXAMINED_MAX {
            return Ok(Stretch { over, last });
        }
        let (key, value) = item.map_err(super::failed)?;
        if is_over(db, &key, &value, before_ms)? {
            over.push((key.clone(), value));
        }
        last = Some(key);
    }
    Ok(Stretch { over, last: None })
}

/// What is left of these tables after this key.
fn rest_of(
    db: &Db,
    (first, last): (Table, Table),
    after: &Option<IVec>,
) -> impl Iterator<Item = sled::Result<(IVec, IVec)>> + use<> {
    let begin = codec::table(first).into_bytes();
    let end = codec::table(last).after_all();
    let start = match after {
        Some(key) if key.as_ref() >= end.as_slice() => Bound::Excluded(end.clone()),
        Some(key) if key.as_ref() >= begin.as_slice() => Bound::Excluded(key.to_vec()),
        _ => Bound::Included(begin),
    };
    // sled panics at a range whose ends are the same and both left out.
    let is_past = start == Bound::Excluded(end.clone());
    let items = (!is_past).then(|| db.range((start, Bound::Excluded(end))));
    items.into_iter().flatten()
}

fn is_over(db: &Db, key: &IVec, value: &IVec, before_ms: Millis) -> Result<bool, StoreError> {
    let found = Ok((key.clone(), value.clone()));
    let Some((key, value)) = Read(db).whole(found)? else {
        return Ok(false);
    };
    match codec::decode::<Aged>(&key, &value) {
        Ok(record) => Ok(record.is_over(before_ms)),
        Err(error) => {
            // It must not keep all others from being forgotten.
            tracing::warn!(%error, "sweep passes over a record");
            Ok(false)
        }
    }
}
