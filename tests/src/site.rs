//! Another system, for bots and endpoints to ask by HTTP.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::Result;

/// What begins each answer.
const OK: &str = "HTTP/1.1 200 OK\r\n";
/// How long between two bytes of `/dribble`.
const DROP: Duration = Duration::from_millis(50);

/// Reads the whole request and answers "you asked PATH", but for some paths:
///
/// - `/endless`, `/dribble`: a body without an end, as fast as it is taken or in drops
/// - `/drain`: reads whatever comes, and says nothing
/// - `/redirect`: somewhere else
/// - `/wait…`: once [`Site::release`] was called
#[derive(Debug)]
pub struct Site {
    address: String,
    counts: Arc<Counts>,
    gate: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Counts {
    asked: AtomicUsize,
    waiting: AtomicUsize,
    most_waiting: AtomicUsize,
}

impl Site {
    /// Listens on this machine until the test has ended.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let (gate, opened) = watch::channel(false);
        let counts = Arc::new(Counts::default());
        let counted = Arc::clone(&counts);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.asked.fetch_add(1, Ordering::Relaxed);
                let (counted, opened) = (Arc::clone(&counted), opened.clone());
                // A host that hangs up is what some tests are about.
                tokio::spawn(async move { drop(answer(stream, &counted, opened).await) });
            }
        });
        Ok(Self {
            address,
            counts,
            gate,
        })
    }

    /// Its scheme, address and port: what a rule for it is.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }

    /// Its address and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its port.
    pub fn port(&self) -> &str {
        self.address.rsplit(':').next().unwrap_or_default()
    }

    /// How many connections it has taken.
    pub fn asked(&self) -> usize {
        self.counts.asked.load(Ordering::Relaxed)
    }

    /// How many waited at the same time at the most.
    pub fn most_waiting(&self) -> usize {
        self.counts.most_waiting.load(Ordering::Relaxed)
    }

    /// Whoever waits is answered, and so is who comes later.
    pub fn release(&self) {
        self.gate.send_replace(true);
    }

    /// Whoever comes from now on waits again.
    pub fn hold(&self) {
        self.gate.send_replace(false);
    }
}

async fn answer(
    mut stream: TcpStream,
    counts: &Counts,
    opened: watch::Receiver<bool>,
) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    match path {
        "/endless" => {
            stream.write_all(format!("{OK}\r\n").as_bytes()).await?;
            loop {
                stream.write_all(&[b'x'; 65536]).await?;
            }
        }
        "/dribble" => {
            stream.write_all(OK.as_bytes()).await?;
            loop {
                tokio::time::sleep(DROP).await;
                stream.write_all(b"x").await?;
            }
        }
        "/drain" => {
            let mut bytes = vec![0; 65536];
            while stream.read(&mut bytes).await? > 0 {}
        }
        "/redirect" => {
            let text = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n\r\nelsewhere";
            stream.write_all(text.as_bytes()).await?;
        }
        _ => {
            // Whoever hangs up before all was said may cut off its own answer.
            let mut body = vec![0; content_length(&head)];
            stream.read_exact(&mut body).await?;
            if path.starts_with("/wait") {
                until_released(&mut stream, counts, opened).await?;
            }
            let text = format!("{OK}\r\nyou asked {path}");
            stream.write_all(text.as_bytes()).await?;
        }
    }
    Ok(())
}

/// How long the body is that comes with this head.
fn content_length(head: &str) -> usize {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = lengths
        .next()
        .and_then(|(_, value)| value.trim().parse().ok());
    length.unwrap_or(0)
}

/// Ends with an error when the one who waits hangs up.
async fn until_released(
    stream: &mut TcpStream,
    counts: &Counts,
    mut opened: watch::Receiver<bool>,
) -> Result<()> {
    let waiting = counts.waiting.fetch_add(1, Ordering::Relaxed) + 1;
    counts.most_waiting.fetch_max(waiting, Ordering::Relaxed);
    let released = tokio::select! {
        opened = opened.wait_for(|open| *open) => opened.map(drop).map_err(Into::into),
        more = stream.read_u8() => Err(crate::Error::new(format!("it hung up: {more:?}"))),
    };
    counts.waiting.fetch_sub(1, Ordering::Relaxed);
    released
}
