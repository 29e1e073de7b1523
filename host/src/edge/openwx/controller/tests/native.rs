//! A client's API: a port that takes requests byte by byte and gives the answer that
//! a test wants.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// The client.
#[derive(Clone)]
pub struct Native {
    pub port: u16,
    /// What it was sent, a request each.
    pub requests: Arc<Mutex<Vec<Vec<u8>>>>,
    pub connections: Arc<AtomicUsize>,
    /// How many requests it has taken the head of.
    pub began: Arc<AtomicUsize>,
}

/// How it answers.
#[derive(Clone, Copy)]
pub enum Manner {
    /// With these bytes, when the whole request is there.
    Answers(&'static str),
    /// Not at all.
    Blocks,
    /// It closes the connection once it has the request's head.
    HangsUp,
    /// With these bytes, and it closes the connection.
    BreaksOff(&'static str),
    /// With so many bytes.
    Streams(usize),
}

pub const OK: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{\"code\":0}";

impl Native {
    pub async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let native = Self {
            port: listener.local_addr().unwrap().port(),
            requests: Arc::default(),
            connections: Arc::default(),
            began: Arc::default(),
        };
        let it = native.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                it.connections.fetch_add(1, Ordering::SeqCst);
                let it = it.clone();
                tokio::spawn(async move { it.serve(stream, manner).await });
            }
        });
        native
    }

    /// The only request that it was sent.
    pub fn request(&self) -> String {
        let requests = self.requests.lock().unwrap();
        assert_eq!(requests.len(), 1);
        String::from_utf8(requests[0].clone()).unwrap()
    }

    async fn serve(&self, mut stream: TcpStream, manner: Manner) {
        let mut bytes = Vec::new();
        loop {
            while !is_whole(&bytes) {
                if has_head(&bytes) && matches!(manner, Manner::HangsUp) {
                    return;
                }
                if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                    return;
                }
            }
            self.began.fetch_add(1, Ordering::SeqCst);
            self.requests
                .lock()
                .unwrap()
                .push(std::mem::take(&mut bytes));
            match manner {
                Manner::Answers(text) => stream.write_all(text.as_bytes()).await.unwrap(),
                Manner::Blocks => tokio::time::sleep(Duration::from_secs(3600)).await,
                Manner::HangsUp => return,
                Manner::BreaksOff(text) => {
                    stream.write_all(text.as_bytes()).await.unwrap();
                    return;
                }
                Manner::Streams(length) => {
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                    stream.write_all(head.as_bytes()).await.unwrap();
                    let piece = vec![b'y'; 64 * 1024];
                    let mut left = length;
                    while left > 0 {
                        let some = left.min(piece.len());
                        if stream.write_all(&piece[..some]).await.is_err() {
                            return;
                        }
                        left -= some;
                    }
                }
            }
        }
    }
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(4)
        .position(|it| it == b"\r\n\r\n")
        .map(|at| at + 4)
}

fn has_head(bytes: &[u8]) -> bool {
    head_end(bytes).is_some()
}

fn is_whole(bytes: &[u8]) -> bool {
    let Some(end) = head_end(bytes) else {
        return false;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    if head.contains("transfer-encoding: chunked") {
        return bytes.ends_with(b"0\r\n\r\n");
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    bytes.len() >= end + length.unwrap_or(0)
}
