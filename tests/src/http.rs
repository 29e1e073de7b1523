//! HTTP/1.1 as far as a simulated client needs it: one keep-alive connection,
//! one request at a time, answers with a `Content-Length`. Written out so that
//! a load generator costs little beside what it measures, and so that a test
//! can send what no HTTP library would.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{Context, Result};

/// How long an answer's head may be, in bytes.
const HEAD_MAX_BYTES: usize = 16 * 1024;
/// How long an answer's body may be, in bytes.
const BODY_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Where requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Host and port.
    pub address: String,
    /// The path, with its slash.
    pub path: String,
}

impl Target {
    /// Reads an `http://host:port/path` address.
    pub fn parse(url: &str) -> Result<Self> {
        let rest = url
            .strip_prefix("http://")
            .context(format!("the address {url} does not begin with http://"))?;
        let (address, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, "/"),
        };
        let address = match address.contains(':') {
            true => address.to_owned(),
            false => format!("{address}:80"),
        };
        Ok(Self {
            address,
            path: path.to_owned(),
        })
    }

    /// The address beside this one: with another last part of the path.
    pub fn beside(&self, last: &str) -> Self {
        let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        Self {
            address: self.address.clone(),
            path: format!("{folder}/{last}"),
        }
    }

    /// A whole request with a JSON body.
    pub fn post(&self, body: &[u8]) -> Vec<u8> {
        let mut request = self
            .head("POST", "Content-Type: application/json\r\n", body.len())
            .into_bytes();
        request.extend_from_slice(body);
        request
    }

    /// The head of a request whose body will have `length` bytes. `more` is
    /// further header lines, each with its line end.
    pub fn head(&self, method: &str, more: &str, length: usize) -> String {
        let Self { address, path } = self;
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{more}Content-Length: {length}\r\n\r\n"
        )
    }
}

/// An answer. Lies in its connection's buffer until the next request.
#[derive(Debug, Clone, Copy)]
pub struct Reply<'a> {
    /// The status.
    pub status: u16,
    /// Status line and header lines.
    pub head: &'a [u8],
    /// The body.
    pub body: &'a [u8],
}

impl Reply<'_> {
    /// The value of a header; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        header(self.head, name).unwrap_or_default()
    }
}

/// One connection that is kept.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Length of the answer at the buffer's start that was given out.
    taken: usize,
}

/// Where an answer's parts are in the buffer.
struct Layout {
    status: u16,
    head: usize,
    whole: usize,
}

impl Connection {
    /// Connects.
    pub async fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(4096),
            taken: 0,
        })
    }

    /// Sends a whole request and reads the whole answer.
    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<Reply<'_>> {
        self.send(request).await?;
        self.receive().await
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Says that nothing more will be sent.
    pub async fn finish_sending(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Reads one whole answer.
    pub async fn receive(&mut self) -> io::Result<Reply<'_>> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let layout = loop {
            match layout(&self.buffer)? {
                Some(layout) if self.buffer.len() >= layout.whole => break layout,
                _ => self.read_more().await?,
            }
        };
        self.taken = layout.whole;
        let answer = self.buffer.get(..layout.whole).unwrap_or_default();
        let (head, body) = answer.split_at(layout.head);
        Ok(Reply {
            status: layout.status,
            head,
            body,
        })
    }

    async fn read_more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 if self.buffer.is_empty() => Err(io::ErrorKind::ConnectionAborted.into()),
            0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the connection ended within an answer",
            )),
            _ => Ok(()),
        }
    }
}

/// Where `needle` begins.
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

fn layout(buffer: &[u8]) -> io::Result<Option<Layout>> {
    let Some(end) = find(buffer, b"\r\n\r\n") else {
        return match buffer.len() > HEAD_MAX_BYTES {
            true => Err(bad("the answer's head is too long")),
            false => Ok(None),
        };
    };
    let head_length = end + 4;
    let head = buffer.get(..head_length).unwrap_or_default();
    let length = header(head, "content-length")
        .and_then(|text| text.parse::<usize>().ok())
        .filter(|length| *length <= BODY_MAX_BYTES)
        .ok_or_else(|| bad("the answer has no Content-Length that makes sense"))?;
    Ok(Some(Layout {
        status: status(head).ok_or_else(|| bad("the answer is no HTTP/1.1"))?,
        head: head_length,
        whole: head_length + length,
    }))
}

fn status(head: &[u8]) -> Option<u16> {
    let rest = head.strip_prefix(b"HTTP/1.1 ")?;
    std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok()
}

fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    head.split(|byte| *byte == b'\n').skip(1).find_map(|line| {
        let (key, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":")?;
        key.eq_ignore_ascii_case(name.as_bytes())
            .then(|| std::str::from_utf8(value).ok().map(str::trim))?
    })
}

fn bad(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// A GET of `path`: status and body.
pub async fn get(address: &str, path: &str) -> Result<(u16, String)> {
    let target = Target {
        address: address.to_owned(),
        path: path.to_owned(),
    };
    let mut connection = Connection::open(address).await?;
    let request = target.head("GET", "", 0);
    let reply = connection.exchange(request.as_bytes()).await?;
    let body = String::from_utf8_lossy(reply.body).into_owned();
    Ok((reply.status, body))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop")]
    use super::*;

    #[test]
    fn an_address_has_its_parts() {
        let target = Target::parse("http://127.0.0.1:2000/wehub/callback").unwrap();
        assert_eq!(target.address, "127.0.0.1:2000");
        assert_eq!(target.path, "/wehub/callback");
        assert_eq!(Target::parse("http://host").unwrap().address, "host:80");
        assert!(Target::parse("https://host/").is_err());
    }

    #[test]
    fn an_answer_is_whole_only_with_its_body() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-TYPE: a/b\r\nContent-Length: 3\r\n\r\nabc";
        let found = layout(answer).unwrap().unwrap();
        assert_eq!((found.status, found.whole), (200, answer.len()));
        assert_eq!(header(answer, "content-type"), Some("a/b"));
        assert!(layout(b"HTTP/1.1 200 OK\r\nContent-").unwrap().is_none());
        assert!(layout(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
