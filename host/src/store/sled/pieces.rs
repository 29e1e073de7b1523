//! Large values, kept in pieces.
//!
//! sled 0.34 writes a page of more than 128 KiB into a file of its own, which it
//! never fsyncs and often leaks. A page has up to 17 records, so no record may
//! be larger than this module makes them. A value in pieces leaves a short head in its place: the
//! byte [`HEAD`], a number of its own, and how many pieces there are. The number
//! is never used again, so pieces never change; they only come and go with
//! their head.

use sled::IVec;

use crate::{domain::ports::StoreError, store::codec};

/// The longest record that lies in one piece, and the length of pieces.
pub const PIECE_BYTES: usize = 4096;

/// The first byte of a head, where other records have their version.
const HEAD: u8 = 2;

/// Cuts an encoded value into the head and the pieces.
pub fn split(id: u64, value: &[u8]) -> (IVec, impl Iterator<Item = (IVec, IVec)>) {
    // Bounded by COMMIT_BYTES_MAX once the job is measured; larger is refused then.
    let count = u32::try_from(value.len().div_ceil(PIECE_BYTES)).unwrap_or(u32::MAX);
    let mut head = vec![HEAD];
    head.extend_from_slice(&id.to_be_bytes());
    head.extend_from_slice(&count.to_be_bytes());
    let pieces = (0..count)
        .zip(value.chunks(PIECE_BYTES))
        .map(move |(index, piece)| (key(id, index), IVec::from(piece)));
    (head.into(), pieces)
}

/// Whether a value lies in pieces.
pub fn is_head(value: &[u8]) -> bool {
    head(value).is_some()
}

/// The keys of a value's pieces; none when it lies in one.
pub fn keys(value: &[u8]) -> impl Iterator<Item = IVec> + use<> {
    let (id, count) = head(value).unwrap_or((0, 0));
    (0..count).map(move |index| key(id, index))
}

/// The whole value; none when a piece is gone, which happens when the value was
/// replaced since its head was read.
pub fn join(
    value: IVec,
    get: impl Fn(&IVec) -> Result<Option<IVec>, StoreError>,
) -> Result<Option<IVec>, StoreError> {
    if head(&value).is_none() {
        return Ok(Some(value));
    }
    let mut whole = Vec::new();
    for key in keys(&value) {
        match get(&key)? {
            Some(piece) => whole.extend_from_slice(&piece),
            None => return Ok(None),
        }
    }
    Ok(Some(whole.into()))
}

/// How many bytes a value has behind its version, without putting it together: all
/// its pieces but the last are of one length.
pub fn content_len(
    value: &IVec,
    get: impl Fn(&IVec) -> Result<Option<IVec>, StoreError>,
) -> Result<usize, StoreError> {
    let Some((id, count)) = head(value) else {
        return Ok(value.len().saturating_sub(1));
    };
    let before = count.saturating_sub(1);
    let last = get(&key(id, before))?.map_or(0, |piece| piece.len());
    Ok((before as usize * PIECE_BYTES + last).saturating_sub(1))
}

fn head(value: &[u8]) -> Option<(u64, u32)> {
    let (id, count) = value.strip_prefix(&[HEAD])?.split_first_chunk::<8>()?;
    let count = <[u8; 4]>::try_from(count).ok()?;
    Some((u64::from_be_bytes(*id), u32::from_be_bytes(count)))
}

fn key(id: u64, index: u32) -> IVec {
    codec::piece(id, index).into_bytes().into()
}
