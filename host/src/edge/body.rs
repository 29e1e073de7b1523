//! Request bodies: read in full, within bounds of size, time and memory.

use std::{future::Future, sync::Arc, time::Duration};

use axum::{
    body::{Body, HttpBody},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// Bodies up to this size are not counted: nearly all are smaller, and
/// `server.connections_max` bounds how many there are at a time.
const SMALL_BYTES: usize = 64 * 1024;
/// What larger bodies may hold together, from their first byte until nobody
/// needs them any more: eight of the largest that WeHub may send, or some
/// twenty contact reports of the usual 10 MB.
const HELD_MAX_BYTES: usize = 256 * 1024 * 1024;
/// Memory is counted in steps of this size: the semaphore counts in 32 bits.
const STEP_BYTES: usize = 1024;
/// How long a body may take in all: less than the 30 s that WeHub waits.
pub(crate) const READ_TIME: Duration = Duration::from_secs(25);
/// How long a body may rest between two pieces. A sender that is alive needs
/// far less, and one that is not shall not hold memory.
pub(crate) const STALL_TIME: Duration = Duration::from_secs(5);
/// How long a body waits for memory. Bodies that wait for each other end by it.
const MEMORY_WAIT: Duration = Duration::from_secs(5);

/// Why a body was not read: refusals of transport, in HTTP's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    /// It is larger than it may be.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// It did not come in time.
    #[error("the body did not come within {} s", .0.as_secs())]
    TooSlow(Duration),
    /// Nothing more came.
    #[error("nothing more of the body came for {} s", STALL_TIME.as_secs())]
    Stalled,
    /// Other bodies hold all the memory there is for bodies.
    #[error("there is no room for a large body now: send it again")]
    NoRoom,
    /// It ended before its end.
    #[error("the body ended early")]
    CutOff,
}

impl BodyError {
    /// The HTTP status that says so.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow(_) | Self::Stalled => StatusCode::REQUEST_TIMEOUT,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
            Self::CutOff => StatusCode::BAD_REQUEST,
        }
    }
}

impl IntoResponse for BodyError {
    fn into_response(self) -> Response {
        (self.status(), format!("{self}\n")).into_response()
    }
}

/// Reads bodies. A cheap handle; all of one kind share their bound of memory.
#[derive(Debug, Clone)]
pub(crate) struct BodyReader {
    /// The memory that is left, in steps.
    memory: Arc<Semaphore>,
    max_bytes: usize,
}

impl BodyReader {
    /// For bodies of at most this size.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            memory: Arc::new(Semaphore::new(HELD_MAX_BYTES / STEP_BYTES)),
            max_bytes,
        }
    }

    /// Reads a body in full. The memory of a large one is given back when the
    /// last clone of its bytes goes. What is refused is not read to its end.
    pub(crate) async fn read(&self, body: &mut Body) -> Result<Bytes, BodyError> {
        let deadline = Deadline::after(READ_TIME);
        let announced = body.size_hint();
        if announced.lower() > self.max_bytes as u64 {
            return Err(BodyError::TooLarge(self.max_bytes));
        }
        let announced = announced.upper().and_then(|size| size.try_into().ok());
        let largest = self.max_bytes.min(announced.unwrap_or(self.max_bytes));
        let first = next_piece(body, deadline).await?.unwrap_or_default();
        // Most bodies come in one piece, which is then not copied.
        if first.len() <= SMALL_BYTES.min(self.max_bytes) && body.is_end_stream() {
            return Ok(first);
        }
        let mut whole = Growing {
            gathered: self.gather(),
            largest,
            deadline,
        };
        whole.push(&first).await?;
        drop(first);
        while let Some(piece) = next_piece(body, deadline).await? {
            whole.push(&piece).await?;
        }
        Ok(whole.gathered.finish())
    }

    /// All the memory there is, if nobody has any of it.
    #[cfg(test)]
    pub(crate) fn hold_all(&self) -> Option<OwnedSemaphorePermit> {
        let all = u32::try_from(HELD_MAX_BYTES / STEP_BYTES).ok()?;
        Arc::clone(&self.memory).try_acquire_many_owned(all).ok()
    }

    /// For a body that comes in pieces some other way: nothing of it yet.
    pub(crate) fn gather(&self) -> Gathered {
        Gathered {
            reader: self.clone(),
            bytes: Vec::new(),
            held: None,
        }
    }
}

/// When a body has to be there in full.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    time: Duration,
    until: Instant,
}

impl Deadline {
    /// So long from now.
    pub(crate) fn after(time: Duration) -> Self {
        let until = Instant::now() + time;
        Self { time, until }
    }
}

/// The next bytes of a body, or none at its end.
pub(crate) async fn next_piece(
    body: &mut Body,
    deadline: Deadline,
) -> Result<Option<Bytes>, BodyError> {
    loop {
        let frame = in_time(STALL_TIME, deadline.until, body.frame());
        let frame = match frame.await {
            Ok(Some(frame)) => frame.map_err(|_| BodyError::CutOff)?,
            Ok(None) => return Ok(None),
            Err(TimeIsUp::All) => return Err(BodyError::TooSlow(deadline.time)),
            Err(TimeIsUp::This) => return Err(BodyError::Stalled),
        };
        // Anything else is trailers.
        if let Ok(piece) = frame.into_data() {
            return Ok(Some(piece));
        }
    }
}

/// Which time is up: that of the whole body, or of this step.
enum TimeIsUp {
    All,
    This,
}

async fn in_time<T>(
    step: Duration,
    deadline: Instant,
    work: impl Future<Output = T>,
) -> Result<T, TimeIsUp> {
    let until = Instant::now() + step;
    tokio::time::timeout_at(until.min(deadline), work)
        .await
        .map_err(|_| match until < deadline {
            true => TimeIsUp::This,
            false => TimeIsUp::All,
        })
}

/// What there is of a body, with the memory that it holds.
#[derive(Debug)]
pub(crate) struct Gathered {
    reader: BodyReader,
    bytes: Vec<u8>,
    held: Option<OwnedSemaphorePermit>,
}

impl Gathered {
    /// Adds a piece, if there is memory for it at once.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), BodyError> {
        if let Some(capacity) = self.wanted(piece.len(), self.reader.max_bytes)? {
            let steps = self.missing(capacity)?;
            let memory = Arc::clone(&self.reader.memory);
            let more = memory.try_acquire_many_owned(steps);
            self.grow(capacity, more.map_err(|_| BodyError::NoRoom)?);
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// Refuses what will be too large with so many bytes more.
    pub(crate) fn check(&self, more: u64) -> Result<(), BodyError> {
        let max_bytes = self.reader.max_bytes;
        match more.saturating_add(self.bytes.len() as u64) > max_bytes as u64 {
            true => Err(BodyError::TooLarge(max_bytes)),
            false => Ok(()),
        }
    }

    /// The bytes. The memory of a large body is given back with their last clone.
    pub(crate) fn finish(self) -> Bytes {
        match self.held {
            None => self.bytes.into(),
            Some(held) => Bytes::from_owner(Held {
                bytes: self.bytes,
                _held: held,
            }),
        }
    }

    /// How much room so many more bytes ask for, unless there is room: twice as
    /// much as now. What was announced but did not come takes no memory.
    fn wanted(&self, more: usize, largest: usize) -> Result<Option<usize>, BodyError> {
        self.check(more as u64)?;
        let length = self.bytes.len() + more;
        let twice = (2 * self.bytes.capacity()).clamp(SMALL_BYTES, largest.max(SMALL_BYTES));
        Ok((length > self.bytes.capacity()).then_some(length.max(twice)))
    }

    /// How many steps of memory are to be taken for this capacity.
    fn missing(&self, capacity: usize) -> Result<u32, BodyError> {
        if capacity <= SMALL_BYTES {
            return Ok(0);
        }
        let held = self
            .held
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = capacity.div_ceil(STEP_BYTES).saturating_sub(held);
        u32::try_from(missing).map_err(|_| BodyError::NoRoom)
    }

    fn grow(&mut self, capacity: usize, more: OwnedSemaphorePermit) {
        match &mut self.held {
            Some(held) => held.merge(more),
            None if more.num_permits() > 0 => self.held = Some(more),
            None => {}
        }
        self.bytes.reserve_exact(capacity - self.bytes.len());
    }
}

/// A body of several pieces that waits for memory when it needs more.
struct Growing {
    gathered: Gathered,
    /// How large it can become.
    largest: usize,
    deadline: Deadline,
}

impl Growing {
    async fn push(&mut self, piece: &[u8]) -> Result<(), BodyError> {
        if let Some(capacity) = self.gathered.wanted(piece.len(), self.largest)? {
            let steps = self.gathered.missing(capacity)?;
            let more = self.hold(steps).await?;
            self.gathered.grow(capacity, more);
        }
        self.gathered.bytes.extend_from_slice(piece);
        Ok(())
    }

    async fn hold(&self, steps: u32) -> Result<OwnedSemaphorePermit, BodyError> {
        let memory = Arc::clone(&self.gathered.reader.memory).acquire_many_owned(steps);
        match in_time(MEMORY_WAIT, self.deadline.until, memory).await {
            Ok(Ok(more)) => Ok(more),
            // It is never closed.
            Ok(Err(_)) | Err(_) => Err(BodyError::NoRoom),
        }
    }
}

/// The bytes of a large body, and the memory that they take.
struct Held {
    bytes: Vec<u8>,
    _held: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::{
        collections::VecDeque,
        pin::Pin,
        task::{Context, Poll},
    };

    use hyper::body::{Frame, SizeHint};

    use super::*;

    const MIB: usize = 1024 * 1024;

    /// Sends these pieces, rests so long after each but the last, and then ends
    /// or sends nothing more.
    struct Sender {
        pieces: VecDeque<usize>,
        rest: Duration,
        resting: Option<Pin<Box<tokio::time::Sleep>>>,
        ends: bool,
        announced: Option<u64>,
    }

    impl Sender {
        fn of(pieces: impl Into<VecDeque<usize>>) -> Self {
            Self {
                pieces: pieces.into(),
                rest: Duration::ZERO,
                resting: None,
                ends: true,
                announced: None,
            }
        }

        /// Announces a megabyte and sends 70 KB of it.
        fn stalling() -> Self {
            Self {
                ends: false,
                announced: Some(MIB as u64),
                ..Self::of([35_000, 35_000])
            }
        }
    }

    impl HttpBody for Sender {
        type Data = Bytes;
        type Error = axum::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
            if let Some(resting) = &mut self.resting {
                std::task::ready!(resting.as_mut().poll(context));
                self.resting = None;
            }
            let Some(piece) = self.pieces.pop_front() else {
                return match self.ends {
                    true => Poll::Ready(None),
                    false => Poll::Pending,
                };
            };
            if !self.rest.is_zero() {
                self.resting = Some(Box::pin(tokio::time::sleep(self.rest)));
            }
            Poll::Ready(Some(Ok(Frame::data(vec![b'x'; piece].into()))))
        }

        fn size_hint(&self) -> SizeHint {
            self.announced
                .map_or_else(SizeHint::default, SizeHint::with_exact)
        }
    }

    fn free(reader: &BodyReader) -> usize {
        reader.memory.available_permits() * STEP_BYTES
    }

    async fn read(reader: &BodyReader, sender: Sender) -> Result<Bytes, BodyError> {
        reader.read(&mut Body::new(sender)).await
    }

    #[tokio::test]
    async fn a_body_of_the_largest_size_is_read_and_no_larger_one() {
        let reader = BodyReader::new(100_000);
        for (pieces, expected) in [
            (vec![100_000], Ok(100_000)),
            (vec![60_000, 40_000], Ok(100_000)),
            (vec![100_001], Err(BodyError::TooLarge(100_000))),
            (vec![60_000, 40_001], Err(BodyError::TooLarge(100_000))),
            (vec![], Ok(0)),
        ] {
            let read = read(&reader, Sender::of(pieces.clone())).await;
            assert_eq!(read.map(|bytes| bytes.len()), expected, "{pieces:?}");
            let whole: usize = pieces.iter().sum();
            let read = reader.read(&mut Body::from(vec![b'x'; whole])).await;
            assert_eq!(read.map(|bytes| bytes.len()), expected, "{whole}");
        }
        assert_eq!(free(&reader), HELD_MAX_BYTES);
        let small = BodyReader::new(10);
        let read = small.read(&mut Body::from("12345678901")).await;
        assert_eq!(read, Err(BodyError::TooLarge(10)));
    }

    #[tokio::test]
    async fn a_large_body_counts_until_its_last_clone_goes() {
        let reader = BodyReader::new(32 * MIB);
        let large = read(&reader, Sender::of(vec![MIB; 10])).await.unwrap();
        let clone = large.clone();
        drop(large);
        assert!(free(&reader) <= HELD_MAX_BYTES - 10 * MIB);
        drop(clone);
        assert_eq!(free(&reader), HELD_MAX_BYTES);
        let small = read(&reader, Sender::of([30_000, 30_000])).await;
        assert_eq!(free(&reader), HELD_MAX_BYTES);
        assert_eq!(small.unwrap().len(), 60_000);
    }

    #[tokio::test(start_paused = true)]
    async fn stalling_senders_hold_little_and_not_for_long() {
        let reader = BodyReader::new(32 * MIB);
        let began = Instant::now();
        let stalling: Vec<_> = (0..100)
            .map(|_| {
                let reader = reader.clone();
                tokio::spawn(async move { read(&reader, Sender::stalling()).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(free(&reader) >= HELD_MAX_BYTES - 100 * 2 * 70_000);
        let report = read(&reader, Sender::of(vec![MIB; 10])).await;
        assert_eq!(report.unwrap().len(), 10 * MIB);
        for stalled in stalling {
            assert_eq!(stalled.await.unwrap(), Err(BodyError::Stalled));
        }
        assert_eq!(began.elapsed().as_secs(), STALL_TIME.as_secs());
        assert_eq!(free(&reader), HELD_MAX_BYTES);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_comes_by_drops_ends_in_time() {
        let reader = BodyReader::new(32 * MIB);
        let began = Instant::now();
        let slow = Sender {
            rest: Duration::from_secs(4),
            ..Sender::of(vec![10_000; 100])
        };
        assert_eq!(
            read(&reader, slow).await,
            Err(BodyError::TooSlow(READ_TIME))
        );
        assert_eq!(began.elapsed().as_secs(), READ_TIME.as_secs());
        assert_eq!(free(&reader), HELD_MAX_BYTES);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_waits_for_memory_a_little_and_no_longer() {
        let reader = BodyReader::new(32 * MIB);
        let mut held = Vec::new();
        for _ in 0..8 {
            held.push(read(&reader, Sender::of(vec![MIB; 32])).await.unwrap());
        }
        let began = Instant::now();
        let none = read(&reader, Sender::of([MIB])).await;
        assert_eq!(none, Err(BodyError::NoRoom));
        assert_eq!(began.elapsed().as_secs(), MEMORY_WAIT.as_secs());
        let small = read(&reader, Sender::of([1000, 1000])).await;
        assert_eq!(small.unwrap().len(), 2000);

        let waiting = read(&reader, Sender::of([MIB]));
        let giving = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            held.clear();
        };
        let (waited, ()) = tokio::join!(waiting, giving);
        assert_eq!(waited.unwrap().len(), MIB);
    }
}
