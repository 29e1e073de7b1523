//! The body on its way to the parser of forms, within bounds.
//!
//! The parser takes whatever it can get and keeps it until it finds a boundary or
//! the end of a part's headers. So it gets a little at a time, and an error when
//! it has got much without giving anything back.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::{Stream, stream};

use crate::edge::body::{BodyError, Deadline, next_piece};

/// How much the parser gets at a time.
const SLICE_BYTES: usize = 16 * 1024;
/// How much the parser may have got since it last gave something back: what stands
/// before the first boundary, or a part's headers. Both have some hundred bytes.
const LEAD_MAX_BYTES: usize = 2 * SLICE_BYTES;
/// How long an upload may take in all: 200 MiB over a slow line. WeHub's own 30 s
/// begin when it has sent everything.
const READ_TIME: Duration = Duration::from_secs(10 * 60);
/// How long it may take until it is known that somebody waits for it, and how long
/// one may take in all that nobody awaits: the names come first and have some
/// hundred bytes, and strangers shall not hold places.
const UNASKED_TIME: Duration = Duration::from_secs(10);

/// Why the parser gets no more.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub enum FeedError {
    /// The body can't be read.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// Neither boundary nor headers end.
    #[error(
        "neither a boundary nor the end of a part's headers came within {LEAD_MAX_BYTES} bytes"
    )]
    Endless,
}

impl FeedError {
    /// What the parser was told, if it says that its input failed.
    pub fn behind(error: &multer::Error) -> Option<Self> {
        error.source()?.downcast_ref().copied()
    }
}

/// How the reading of a form goes on, as far as its body has to know.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// How much the parser has got since it last gave something back.
    lead: AtomicUsize,
    awaited: AtomicBool,
}

impl Progress {
    /// The parser has given something back.
    pub fn goes_on(&self) {
        self.0.lead.store(0, Ordering::Relaxed);
    }

    /// Somebody waits for this upload.
    pub fn awaited(&self) {
        self.0.awaited.store(true, Ordering::Relaxed);
    }

    fn lead(&self, bytes: usize) -> Result<(), FeedError> {
        match self.0.lead.fetch_add(bytes, Ordering::Relaxed) > LEAD_MAX_BYTES {
            true => Err(FeedError::Endless),
            false => Ok(()),
        }
    }
}

/// The body in slices.
pub fn feed(
    body: &mut Body,
    progress: Progress,
) -> impl Stream<Item = Result<Bytes, FeedError>> + Send {
    let feed = Feed {
        body,
        piece: Bytes::new(),
        progress,
        awaited: Deadline::after(READ_TIME),
        unasked: Deadline::after(UNASKED_TIME),
    };
    stream::try_unfold(feed, |mut feed| async move {
        Ok(feed.next().await?.map(|slice| (slice, feed)))
    })
}

struct Feed<'a> {
    body: &'a mut Body,
    /// What came and was not passed on yet.
    piece: Bytes,
    progress: Progress,
    awaited: Deadline,
    unasked: Deadline,
}

impl Feed<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>, FeedError> {
        // The parser looks at what it has only when there is no more at once.
        tokio::task::yield_now().await;
        while self.piece.is_empty() {
            let deadline = match self.progress.0.awaited.load(Ordering::Relaxed) {
                true => self.awaited,
                false => self.unasked,
            };
            match next_piece(self.body, deadline).await? {
                Some(piece) => self.piece = piece,
                None => return Ok(None),
            }
        }
        let slice = self.piece.split_to(self.piece.len().min(SLICE_BYTES));
        self.progress.lead(slice.len())?;
        Ok(Some(slice))
    }
}
