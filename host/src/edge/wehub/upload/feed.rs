//! The body on its way to the parser of forms, within bounds.
//!
//! The parser takes whatever it can get and keeps it until it finds a boundary or
//! the end of a part's headers. So it gets a little at a time, and an error when
//! it has got much without giving anything back.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::{Stream, stream};

use crate::edge::body::{BodyError, Deadline, next_piece};

/// How much the parser gets at a time.
const SLICE_BYTES: usize = 64 * 1024;
/// How much the parser may have got since it last gave something back: what stands
/// before the first boundary, or a part's headers. Both have some hundred bytes.
const LEAD_MAX_BYTES: usize = 2 * SLICE_BYTES;
/// How long an upload may take in all: 200 MiB over a slow line. WeHub's own 30 s
/// begin when it has sent everything.
const READ_TIME: Duration = Duration::from_secs(10 * 60);

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

/// How much the parser has got since it last gave something back.
#[derive(Debug, Clone, Default)]
pub struct Lead(Arc<AtomicUsize>);

impl Lead {
    /// The parser has given something back.
    pub fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn grow(&self, bytes: usize) -> Result<(), FeedError> {
        match self.0.fetch_add(bytes, Ordering::Relaxed) > LEAD_MAX_BYTES {
            true => Err(FeedError::Endless),
            false => Ok(()),
        }
    }
}

/// The body in slices.
pub fn feed(body: &mut Body, lead: Lead) -> impl Stream<Item = Result<Bytes, FeedError>> + Send {
    let feed = Feed {
        body,
        piece: Bytes::new(),
        lead,
        deadline: Deadline::after(READ_TIME),
    };
    stream::try_unfold(feed, |mut feed| async move {
        Ok(feed.next().await?.map(|slice| (slice, feed)))
    })
}

struct Feed<'a> {
    body: &'a mut Body,
    /// What came and was not passed on yet.
    piece: Bytes,
    lead: Lead,
    deadline: Deadline,
}

impl Feed<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>, FeedError> {
        // The parser looks at what it has only when there is no more at once.
        tokio::task::yield_now().await;
        while self.piece.is_empty() {
            match next_piece(self.body, self.deadline).await? {
                Some(piece) => self.piece = piece,
                None => return Ok(None),
            }
        }
        let slice = self.piece.split_to(self.piece.len().min(SLICE_BYTES));
        self.lead.grow(slice.len())?;
        Ok(Some(slice))
    }
}
