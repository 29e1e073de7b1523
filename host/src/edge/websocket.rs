//! WebSocket (RFC 6455) as far as a server needs it that keeps thousands of
//! idle connections: the handshake, frames to messages, messages to frames.
//!
//! Written out because of memory: between two messages a connection has no
//! buffer at all, and a message grows within the bounds of request bodies.
//! What the usual libraries keep per connection grows with the largest message
//! and stays so. The tests speak to it with one of them.

use std::{io, time::Duration};

use axum::http::{HeaderMap, HeaderValue, header};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use sha1::{Digest, Sha1};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};

use super::body::{BodyError, BodyReader, Gathered};

/// How much is read at a time: on the stack, so that it costs nobody memory who
/// sends nothing.
const PIECE_BYTES: usize = 16 * 1024;
/// The longest payload of a frame that is no message (section 5.5).
const CONTROL_MAX_BYTES: u64 = 125;
/// How long the last words may take in all, usually.
pub(crate) const PARTING_TIME: Duration = Duration::from_secs(10);
/// Who sends nothing for so long has heard them, or is gone.
const PARTING_STALL: Duration = Duration::from_secs(2);
/// What a client's key is hashed with (section 1.3).
const ACCEPT_SALT: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The version that everybody speaks.
const VERSION: &str = "13";

/// What comes from a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A whole message. Whether it is UTF-8 is for its reader to see.
    Text(Bytes),
    /// To be answered with a pong of the same payload.
    Ping(Vec<u8>),
    /// A sign of life.
    Pong,
    /// The client ends the connection, for this reason if it gives one.
    Close(Option<u16>),
}

/// Why a connection is ended: a code of section 7.4.1, and words for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Close {
    /// The code; none answers a close without one.
    pub code: Option<u16>,
    /// The reason, shorter than 123 bytes.
    pub reason: &'static str,
}

impl Close {
    /// With this code and reason.
    pub(crate) const fn new(code: u16, reason: &'static str) -> Self {
        Self {
            code: Some(code),
            reason,
        }
    }
}

/// What the client does is against the protocol.
const fn broken(reason: &'static str) -> Close {
    Close::new(1002, reason)
}

impl From<BodyError> for Close {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge(_) => Self::new(1009, "the message is too large"),
            _ => Self::new(1013, "there is no room for a large message now: try again"),
        }
    }
}

/// The answer to a handshake's key, or what is wrong with the handshake.
pub(crate) fn accept(headers: &HeaderMap) -> Result<HeaderValue, &'static str> {
    if !names(headers, header::CONNECTION, "upgrade")
        || !names(headers, header::UPGRADE, "websocket")
    {
        return Err("this address takes WebSocket connections only");
    }
    if !names(headers, header::SEC_WEBSOCKET_VERSION, VERSION) {
        return Err("Sec-WebSocket-Version: 13 is the one that is spoken here");
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY);
    let key = key.ok_or("Sec-WebSocket-Key: is missing")?;
    let digest = Sha1::new()
        .chain_update(key.as_bytes())
        .chain_update(ACCEPT_SALT)
        .finalize();
    HeaderValue::try_from(BASE64_STANDARD.encode(digest)).map_err(|_| "Sec-WebSocket-Key: is odd")
}

/// Whether a header that is a list of names has this one.
fn names(headers: &HeaderMap, header: header::HeaderName, name: &str) -> bool {
    let values = headers.get_all(header);
    let mut texts = values.iter().filter_map(|value| value.to_str().ok());
    texts.any(|text| {
        let mut parts = text.split(',').map(str::trim);
        parts.any(|part| part.eq_ignore_ascii_case(name))
    })
}

/// A message to the client, as it goes over the wire.
pub(crate) fn text(payload: &[u8]) -> Vec<u8> {
    frame(op::TEXT, payload)
}

/// The answer to a ping.
pub(crate) fn pong(payload: &[u8]) -> Vec<u8> {
    frame(op::PONG, payload)
}

/// The last frame.
fn close(close: Close) -> Vec<u8> {
    let mut payload = Vec::new();
    if let Some(code) = close.code {
        payload.extend_from_slice(&code.to_be_bytes());
        payload.extend_from_slice(close.reason.as_bytes());
    }
    frame(op::CLOSE, &payload)
}

/// Says the last words and waits, for so long at most, until the client has heard them:
/// one that is still sending when the connection goes sees a reset instead.
pub(crate) async fn part(mut stream: TcpStream, words: Close, time: Duration) {
    let parting = async {
        stream.write_all(&close(words)).await?;
        stream.shutdown().await?;
        while let Ok(Ok(1..)) = timeout(PARTING_STALL, throw_away(&stream)).await {}
        io::Result::Ok(())
    };
    // Nobody is left to tell when it fails.
    let _ = timeout(time, parting).await;
}

async fn throw_away(stream: &TcpStream) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        match stream.try_read(&mut [0; PIECE_BYTES]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
    }
}

/// A frame of a server is whole and not masked (section 5.1).
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.len() + 10);
    bytes.push(FINAL | opcode);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ ..=125), _) => bytes.push(length),
        (_, Ok(length)) => {
            bytes.push(126);
            bytes.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            bytes.push(127);
            bytes.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(payload);
    bytes
}

/// The bit of a message's last frame.
const FINAL: u8 = 0x80;
/// The bits that only extensions set. None is spoken here.
const RESERVED: u8 = 0x70;
/// The bit of a frame that is masked, as a client's has to be.
const MASKED: u8 = 0x80;

/// What a frame is (section 5.2).
mod op {
    pub const MORE: u8 = 0;
    pub const TEXT: u8 = 1;
    pub const BINARY: u8 = 2;
    pub const CLOSE: u8 = 8;
    pub const PING: u8 = 9;
    pub const PONG: u8 = 10;
}

/// What a frame begins with.
#[derive(Debug, Clone, Copy)]
struct Header {
    last: bool,
    opcode: u8,
    mask: [u8; 4],
    /// Of the payload.
    length: u64,
    /// Of the header itself.
    bytes: usize,
}

impl Header {
    /// The header at the beginning of these bytes, when it is whole.
    fn read(bytes: &[u8]) -> Result<Option<Self>, Close> {
        let Some((&[first, second], rest)) = bytes.split_first_chunk() else {
            return Ok(None);
        };
        if first & RESERVED != 0 {
            return Err(broken("a frame of an extension that was not agreed on"));
        }
        if second & MASKED == 0 {
            return Err(broken("a frame without a mask"));
        }
        let Some((length, rest)) = length(second & !MASKED, rest) else {
            return Ok(None);
        };
        let header = rest.split_first_chunk().map(|(mask, payload)| Self {
            last: first & FINAL != 0,
            opcode: first & !(FINAL | RESERVED),
            mask: *mask,
            length,
            bytes: bytes.len() - payload.len(),
        });
        Ok(header)
    }

    fn is_control(&self) -> bool {
        self.opcode >= op::CLOSE
    }
}

/// The payload's length, and what follows it.
fn length(short: u8, rest: &[u8]) -> Option<(u64, &[u8])> {
    match short {
        126 => {
            let (length, rest) = rest.split_first_chunk()?;
            Some((u16::from_be_bytes(*length).into(), rest))
        }
        127 => {
            let (length, rest) = rest.split_first_chunk()?;
            Some((u64::from_be_bytes(*length), rest))
        }
        short => Some((short.into(), rest)),
    }
}

/// Makes messages of what a client sends. Empty while nothing is under way.
#[derive(Debug)]
pub(crate) struct Frames {
    bodies: BodyReader,
    /// What was read and not looked at yet: at most one piece, and a frame's
    /// beginning before it.
    unread: Vec<u8>,
    /// The frame of a message that is being read.
    part: Option<Part>,
    /// The message so far.
    message: Option<Gathered>,
    /// What was read may hold another frame.
    more: bool,
}

/// The rest of a frame of a message.
#[derive(Debug, Clone, Copy)]
struct Part {
    left: u64,
    mask: [u8; 4],
    last: bool,
}

impl Frames {
    /// Nothing read yet but these bytes; messages are bounded as these bodies are.
    pub(crate) fn new(bodies: BodyReader, read: &[u8]) -> Self {
        Self {
            bodies,
            unread: read.to_vec(),
            part: None,
            message: None,
            more: !read.is_empty(),
        }
    }

    /// Whether something has begun to come that is not whole.
    pub(crate) fn is_midway(&self) -> bool {
        !self.unread.is_empty() || self.part.is_some() || self.message.is_some()
    }

    /// Whether there may be something to take without reading.
    pub(crate) fn may_have(&self) -> bool {
        self.more
    }

    /// Waits for bytes and reads some. Loses none when it is given up.
    pub(crate) async fn fill(&mut self, stream: &TcpStream) -> io::Result<()> {
        loop {
            stream.readable().await?;
            match self.read_now(stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
        }
    }

    fn read_now(&mut self, stream: &TcpStream) -> io::Result<()> {
        let mut piece = [0; PIECE_BYTES];
        match stream.try_read(&mut piece)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.push(piece.get(..count).unwrap_or_default());
                Ok(())
            }
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        self.more = true;
    }

    /// What is whole by now. After a refusal nothing more can be understood.
    pub(crate) fn take(&mut self) -> Result<Option<Frame>, Close> {
        let taken = self.take_whole()?;
        self.more = taken.is_some() && !self.unread.is_empty();
        if self.unread.is_empty() {
            self.unread = Vec::new();
        }
        Ok(taken)
    }

    fn take_whole(&mut self) -> Result<Option<Frame>, Close> {
        loop {
            if let Some(part) = self.part {
                match self.gather(part)? {
                    Gathering::Waits => return Ok(None),
                    Gathering::Goes => continue,
                    Gathering::Whole(bytes) => return Ok(Some(Frame::Text(bytes))),
                }
            }
            let Some(header) = Header::read(&self.unread)? else {
                return Ok(None);
            };
            if header.is_control() {
                return self.control(header);
            }
            self.begin(header)?;
        }
    }

    /// A frame that is no message, when it is whole. It may come between the
    /// frames of a message.
    fn control(&mut self, header: Header) -> Result<Option<Frame>, Close> {
        if !header.last || header.length > CONTROL_MAX_BYTES {
            return Err(broken("a control frame that is too long or in parts"));
        }
        // At most 125.
        let whole = header.bytes + header.length as usize;
        if self.unread.len() < whole {
            return Ok(None);
        }
        let mut payload: Vec<u8> = self.unread.drain(..whole).skip(header.bytes).collect();
        unmask(&mut payload, header.mask);
        match header.opcode {
            op::PING => Ok(Some(Frame::Ping(payload))),
            op::PONG => Ok(Some(Frame::Pong)),
            op::CLOSE => {
                let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                Ok(Some(Frame::Close(code)))
            }
            _ => Err(broken("a frame of an unknown kind")),
        }
    }

    /// A frame of a message begins.
    fn begin(&mut self, header: Header) -> Result<(), Close> {
        match (header.opcode, &self.message) {
            (op::TEXT, None) => self.message = Some(self.bodies.gather()),
            (op::MORE, Some(_)) => {}
            (op::BINARY, _) => return Err(Close::new(1003, "only text frames are taken")),
            (op::MORE, None) => return Err(broken("a message that has no beginning")),
            (op::TEXT, Some(_)) => return Err(broken("a message within a message")),
            _ => return Err(broken("a frame of an unknown kind")),
        }
        if let Some(message) = &self.message {
            message.check(header.length)?;
        }
        self.unread.drain(..header.bytes);
        self.part = Some(Part {
            left: header.length,
            mask: header.mask,
            last: header.last,
        });
        Ok(())
    }

    /// Moves what there is of a frame to its message.
    fn gather(&mut self, mut part: Part) -> Result<Gathering, Close> {
        let left = usize::try_from(part.left).unwrap_or(usize::MAX);
        let count = left.min(self.unread.len());
        if let (Some(message), Some(piece)) = (&mut self.message, self.unread.get_mut(..count)) {
            unmask(piece, part.mask);
            message.push(piece)?;
        }
        self.unread.drain(..count);
        part.left -= count as u64;
        part.mask.rotate_left(count % 4);
        self.part = (part.left > 0).then_some(part);
        Ok(match (self.part, part.last) {
            (Some(_), _) => Gathering::Waits,
            (None, false) => Gathering::Goes,
            (None, true) => {
                let message = self.message.take();
                Gathering::Whole(message.map(Gathered::finish).unwrap_or_default())
            }
        })
    }
}

/// How far a message is.
enum Gathering {
    /// Its frame is not whole.
    Waits,
    /// Another frame of it follows.
    Goes,
    /// It is whole.
    Whole(Bytes),
}

fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    for (byte, key) in bytes.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use proptest::prelude::*;

    use super::*;

    const MAX_BYTES: usize = 300_000;
    const MASK: [u8; 4] = [1, 2, 3, 250];

    fn frames() -> Frames {
        Frames::new(BodyReader::new(MAX_BYTES), b"")
    }

    /// A frame as a client sends it.
    fn sent(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = frame(first & 0x0f, payload);
        let header = bytes.len() - payload.len();
        let mut masked = bytes.split_off(header);
        unmask(&mut masked, MASK);
        *bytes.get_mut(0).unwrap() = first;
        *bytes.get_mut(1).unwrap() |= MASKED;
        bytes.extend(MASK);
        bytes.extend(masked);
        bytes
    }

    /// All that is taken of these bytes when they come in such pieces.
    fn taken(bytes: &[u8], piece: usize) -> Result<Vec<Frame>, Close> {
        let (mut frames, mut all) = (frames(), Vec::new());
        for piece in bytes.chunks(piece) {
            frames.push(piece);
            while let Some(frame) = frames.take()? {
                all.push(frame);
            }
            assert!(!frames.may_have());
        }
        Ok(all)
    }

    fn refused(bytes: &[u8]) -> u16 {
        taken(bytes, 7).unwrap_err().code.unwrap()
    }

    #[test]
    fn a_message_can_come_in_frames_with_a_ping_between() {
        let mut bytes = sent(op::TEXT, b"hel");
        bytes.extend(sent(FINAL | op::PING, b"there?"));
        bytes.extend(sent(op::MORE, b""));
        bytes.extend(sent(FINAL | op::MORE, b"lo"));
        bytes.extend(sent(FINAL | op::CLOSE, &[0x03, 0xe8, b'!']));
        for piece in [1, 3, 1000] {
            let expected = vec![
                Frame::Ping(b"there?".to_vec()),
                Frame::Text(Bytes::from_static(b"hello")),
                Frame::Close(Some(1000)),
            ];
            assert_eq!(taken(&bytes, piece), Ok(expected), "{piece}");
        }
    }

    #[test]
    fn what_is_against_the_protocol_ends_it() {
        assert_eq!(refused(&sent(FINAL | op::BINARY, b"x")), 1003);
        assert_eq!(refused(&sent(FINAL | op::MORE, b"x")), 1002);
        assert_eq!(refused(&sent(FINAL | 3, b"x")), 1002);
        assert_eq!(refused(&sent(FINAL | 11, b"x")), 1002);
        assert_eq!(refused(&sent(FINAL | 0x40 | op::TEXT, b"x")), 1002);
        assert_eq!(refused(&sent(op::PING, b"x")), 1002);
        assert_eq!(refused(&sent(FINAL | op::PING, &[0; 126])), 1002);
        assert_eq!(refused(&frame(op::TEXT, b"x")), 1002);
        let twice = [sent(op::TEXT, b"x"), sent(op::TEXT, b"x")].concat();
        assert_eq!(refused(&twice), 1002);
    }

    #[test]
    fn what_is_too_large_is_refused_before_it_comes() {
        let header = |length: u64| {
            let mut bytes = vec![FINAL | op::TEXT, MASKED | 127];
            bytes.extend(length.to_be_bytes());
            bytes.extend(MASK);
            bytes
        };
        assert_eq!(taken(&header(MAX_BYTES as u64), 5), Ok(Vec::new()));
        assert_eq!(refused(&header(MAX_BYTES as u64 + 1)), 1009);
        assert_eq!(refused(&header(u64::MAX)), 1009);
        let parts = [
            sent(op::TEXT, &vec![b'x'; MAX_BYTES]),
            sent(FINAL | op::MORE, b"x"),
        ];
        assert_eq!(refused(&parts.concat()), 1009);
    }

    #[test]
    fn nothing_is_kept_between_two_messages() {
        let mut frames = frames();
        frames.push(&sent(FINAL | op::TEXT, &vec![b'x'; 200_000]));
        assert!(frames.is_midway());
        let message = frames.take().unwrap();
        assert!(matches!(message, Some(Frame::Text(text)) if text.len() == 200_000));
        assert!(!frames.is_midway() && !frames.may_have());
        assert_eq!(frames.unread.capacity(), 0);
    }

    #[test]
    fn large_messages_share_the_memory_of_bodies() {
        let bodies = BodyReader::new(MAX_BYTES);
        let mut frames = Frames::new(bodies.clone(), b"");
        let large = sent(FINAL | op::TEXT, &vec![b'x'; 100_000]);
        let elsewhere = bodies.hold_all();
        frames.push(&sent(FINAL | op::TEXT, &[b'x'; 60_000]));
        assert!(frames.take().unwrap().is_some(), "a small one needs none");
        frames.push(&large);
        assert_eq!(frames.take().unwrap_err().code, Some(1013));
        drop(elsewhere);
        let mut frames = Frames::new(bodies.clone(), &large);
        let message = frames.take().unwrap();
        assert!(bodies.hold_all().is_none(), "it counts while it is handled");
        drop(message);
        assert!(bodies.hold_all().is_some());
    }

    #[test]
    fn a_handshake_is_answered_as_the_rfc_has_it() {
        let mut headers = HeaderMap::new();
        assert!(accept(&headers).is_err());
        for (name, value) in [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            assert!(accept(&headers).is_err());
            headers.insert(name, HeaderValue::from_static(value));
        }
        assert_eq!(accept(&headers).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 0..6),
            cut in 1_usize..50,
            piece in 1_usize..600,
        ) {
            let mut bytes = Vec::new();
            for message in &messages {
                let (first, rest) = message.split_at(cut.min(message.len()));
                bytes.extend(sent(op::TEXT, first));
                bytes.extend(sent(FINAL | op::MORE, rest));
            }
            let expected: Vec<_> = messages.into_iter().map(|it| Frame::Text(it.into())).collect();
            prop_assert_eq!(taken(&bytes, piece), Ok(expected));
        }

        #[test]
        fn no_bytes_are_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = taken(&bytes, 13);
        }
    }
}
