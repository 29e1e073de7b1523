//! A load generator that costs little beside what it measures: requests are
//! prepared once and patched, answers are looked at, not parsed.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::{
    Error, Result, check,
    http::{Connection, Reply, Target, find},
};

/// Stands for an account's number in a template: six digits.
pub const ACCOUNT: &str = "%ACCT%";
/// Stands for a message's id in a template: nineteen digits.
pub const MESSAGE_ID: &str = "%%%%MESSAGE--ID%%%%";

/// The longest latency that is told apart, in µs.
const LATENCY_MAX_US: u64 = 60_000_000;
/// Ids that one run may use; each run has a block of its own.
const IDS_PER_RUN: u64 = 10_000_000_000;

/// A request in which account and message id are patched.
#[derive(Debug, Clone)]
pub struct Template {
    bytes: Vec<u8>,
    accounts: Vec<usize>,
    ids: Vec<usize>,
}

/// What to send, how, and for how long.
#[derive(Debug, Clone)]
pub struct Load {
    /// Where to.
    pub target: Target,
    /// The body, with [`ACCOUNT`] and [`MESSAGE_ID`] in it.
    pub body: String,
    /// How many connections.
    pub connections: u32,
    /// Over how many accounts it is spread. Two connections never use the same
    /// account, if there are enough.
    pub accounts: u32,
    /// The first account's number.
    pub first_account: u32,
    /// When to stop.
    pub stop: Stop,
    /// What every answer must contain to be none of the errors.
    pub expect: &'static str,
}

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub enum Stop {
    /// After this time.
    After(Duration),
    /// When every account was used once.
    OncePerAccount,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Answers, errors included.
    pub requests: u64,
    /// Answers that were not as expected.
    pub errors: u64,
    /// The first of them.
    pub first_error: Option<String>,
    /// How long it took.
    pub elapsed: Duration,
    /// From a request's first byte to its answer's last, in µs.
    pub latency_us: Histogram<u64>,
}

impl Template {
    /// Prepares a request to this target.
    pub fn new(target: &Target, body: &str) -> Self {
        let bytes = target.post(body.as_bytes());
        Self {
            accounts: places(&bytes, ACCOUNT.as_bytes()),
            ids: places(&bytes, MESSAGE_ID.as_bytes()),
            bytes,
        }
    }

    /// The request for this account and message.
    pub fn patch(&mut self, account: u32, id: u64) -> &[u8] {
        for place in &self.accounts {
            write_digits(&mut self.bytes, *place, ACCOUNT.len(), account.into());
        }
        for place in &self.ids {
            write_digits(&mut self.bytes, *place, MESSAGE_ID.len(), id);
        }
        &self.bytes
    }
}

fn places(bytes: &[u8], mark: &[u8]) -> Vec<usize> {
    let windows = bytes.windows(mark.len()).enumerate();
    let marked = windows.filter(|(_, window)| *window == mark);
    marked.map(|(place, _)| place).collect()
}

fn write_digits(bytes: &mut [u8], place: usize, width: usize, number: u64) {
    let mut rest = number;
    let digits = bytes.get_mut(place..place + width).unwrap_or_default();
    for digit in digits.iter_mut().rev() {
        // A remainder of ten fits a byte.
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

impl Load {
    /// Runs it.
    pub async fn run(&self) -> Result<Measured> {
        static RUNS: AtomicU64 = AtomicU64::new(100_000_000);
        let first_id = RUNS.fetch_add(1, Ordering::Relaxed) * IDS_PER_RUN;
        let began = Instant::now();
        let mut connections = JoinSet::new();
        for number in 0..self.connections {
            connections.spawn(self.clone().connection(number, first_id, began));
        }
        let mut all = Measured::none()?;
        while let Some(outcome) = connections.join_next().await {
            all.add(outcome??)?;
        }
        all.elapsed = began.elapsed();
        Ok(all)
    }

    async fn connection(self, number: u32, first_id: u64, began: Instant) -> Result<Measured> {
        let mut connection = Connection::open(&self.target.address).await?;
        let mut template = Template::new(&self.target, &self.body);
        let mut measured = Measured::none()?;
        let mut account = number % self.accounts;
        let mut id = first_id + u64::from(number);
        loop {
            let sent = Instant::now();
            let request = template.patch(self.first_account + account, id);
            let reply = connection.exchange(request).await?;
            measured.record(&reply, self.expect, sent.elapsed())?;
            let next = account + self.connections;
            let done = match self.stop {
                Stop::After(time) => began.elapsed() >= time,
                Stop::OncePerAccount => next >= self.accounts,
            };
            if done {
                return Ok(measured);
            }
            account = match next < self.accounts {
                true => next,
                false => number % self.accounts,
            };
            id += u64::from(self.connections);
        }
    }
}

impl Measured {
    fn none() -> Result<Self> {
        let latency_us = Histogram::new_with_max(LATENCY_MAX_US, 3);
        Ok(Self {
            requests: 0,
            errors: 0,
            first_error: None,
            elapsed: Duration::ZERO,
            latency_us: latency_us.map_err(|error| Error::new(error.to_string()))?,
        })
    }

    fn record(&mut self, reply: &Reply<'_>, expect: &str, took: Duration) -> Result<()> {
        self.requests += 1;
        let micros = u64::try_from(took.as_micros())?.min(LATENCY_MAX_US);
        self.latency_us.saturating_record(micros);
        if reply.status != 200 || find(reply.body, expect.as_bytes()).is_none() {
            self.errors += 1;
            let text = || String::from_utf8_lossy(reply.body).into_owned();
            self.first_error.get_or_insert_with(text);
        }
        Ok(())
    }

    /// Adds what another connection or round measured; their times add up too.
    pub fn add(&mut self, other: Self) -> Result<()> {
        self.requests += other.requests;
        self.errors += other.errors;
        self.elapsed += other.elapsed;
        self.first_error = self.first_error.take().or(other.first_error);
        let added = self.latency_us.add(other.latency_us);
        added.map_err(|error| Error::new(error.to_string()))
    }

    /// Answers per second.
    pub fn per_second(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency that this share of the answers did not exceed, in ms.
    pub fn latency_ms(&self, share: f64) -> f64 {
        self.latency_us.value_at_quantile(share) as f64 / 1000.0
    }

    /// Insists that every answer was as expected.
    pub fn flawless(self) -> Result<Self> {
        let example = self.first_error.as_deref().unwrap_or_default();
        check!(
            self.errors == 0,
            "{} of {} answers were wrong, the first: {example}",
            self.errors,
            self.requests
        );
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test may stop"
    )]
    use super::*;
    use std::sync::Arc;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
        sync::Mutex,
    };

    #[test]
    fn the_marks_are_as_wide_as_what_replaces_them() {
        assert_eq!((ACCOUNT.len(), MESSAGE_ID.len()), (6, 19));
        let target = Target::parse("http://h:1/p").unwrap();
        let mut template = Template::new(&target, &format!("{ACCOUNT} {MESSAGE_ID} {ACCOUNT}"));
        let request = template.patch(42, 1_000_000_000_000_000_007).to_owned();
        let text = String::from_utf8(request).unwrap();
        assert!(
            text.ends_with("000042 1000000000000000007 000042"),
            "{text}"
        );
    }

    /// Answers every request with 200, and keeps the bodies.
    async fn stub(seen: Arc<Mutex<Vec<String>>>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(answer_all(stream, seen.clone()));
            }
        });
        address
    }

    async fn answer_all(mut stream: TcpStream, seen: Arc<Mutex<Vec<String>>>) {
        let mut buffer = vec![0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
            let body = text.split("\r\n\r\n").nth(1).unwrap().to_owned();
            seen.lock().await.push(body);
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            stream.write_all(answer).await.unwrap();
        }
    }

    #[tokio::test]
    async fn every_account_is_used_once_with_an_id_of_its_own() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let address = stub(seen.clone()).await;
        let load = Load {
            target: Target::parse(&format!("http://{address}/")).unwrap(),
            body: format!("{ACCOUNT} {MESSAGE_ID}"),
            connections: 4,
            accounts: 10,
            first_account: 100,
            stop: Stop::OncePerAccount,
            expect: "ok",
        };
        let measured = load.run().await.unwrap().flawless().unwrap();
        assert_eq!((measured.requests, measured.latency_us.len()), (10, 10));
        let mut bodies = seen.lock().await.clone();
        bodies.sort();
        let accounts: Vec<_> = bodies.iter().map(|body| &body[..6]).collect();
        let wanted: Vec<_> = (100..110).map(|n| format!("{n:06}")).collect();
        assert_eq!(accounts, wanted);
        let ids: std::collections::HashSet<_> = bodies.iter().map(|body| &body[7..]).collect();
        assert_eq!(ids.len(), 10);
    }
}
