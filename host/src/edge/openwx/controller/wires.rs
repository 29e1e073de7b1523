//! Connections to clients. Whoever uses one drives it, in the same task: a task of its
//! own for each would wake another thread at every step of a request.
//!
//! They are kept for a moment under the process that they lead to, so that one to an
//! earlier process of the same port is never used.

use std::{
    collections::HashMap,
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    extract::Request,
    http,
};
use bytes::Bytes;
use hyper::{
    body::{Frame, Incoming, SizeHint},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::Instant};

use super::watched::Watched;
use crate::domain::{client::StartId, ports::Address};

/// How long a connection may take: it is to this machine.
const CONNECT_TIME: Duration = Duration::from_secs(1);
/// How long an idle connection is kept: less than the 5 s of Mojolicious, so that
/// none is used while the client closes it.
const IDLE_TIME: Duration = Duration::from_secs(2);
/// Idle connections to one client: as many as requests at a time, else some would be
/// closed and opened anew at each turn, until the machine has no ports left for more.
const IDLE_MAX: usize = super::seats::CLIENT_MAX;

/// What is sent to clients.
type Sent = Watched<Body, ()>;
type Connection = http1::Connection<TokioIo<TcpStream>, Sent>;

/// The idle connections. A cheap handle.
#[derive(Debug, Clone, Default)]
pub(super) struct Wires(Arc<Mutex<HashMap<StartId, Vec<Idle>>>>);

#[derive(Debug)]
struct Idle {
    wire: Wire,
    since: Instant,
}

/// One connection, which goes on while it is polled.
#[derive(Debug)]
struct Wire {
    sender: http1::SendRequest<Sent>,
    /// None once it has ended. A request that it has not taken by then is given back
    /// when it is dropped, and not before.
    connection: Option<Pin<Box<Connection>>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The client takes no connection: it has heard nothing.
    #[error("{0}")]
    Connect(io::Error),
    /// It went away, or does not speak HTTP.
    #[error("{0}")]
    Lost(hyper::Error),
}

impl Wires {
    /// Sends a request to this process. One that could not be begun on a connection
    /// that was kept is sent over another one; none is sent twice.
    pub(super) async fn send(
        &self,
        mut request: Request<Sent>,
        to: &Address,
    ) -> Result<http::Response<Answering>, Fault> {
        while let Some(mut wire) = self.take(&to.start) {
            let mut refused = match wire.send(request).await {
                Ok(response) => return Ok(self.answering(response, wire, to).await),
                Err(refused) => refused,
            };
            match refused.take_message() {
                Some(unsent) => request = unsent,
                None => return Err(Fault::Lost(refused.into_error())),
            }
        }
        let mut wire = Wire::open(to.port).await?;
        match wire.send(request).await {
            Ok(response) => Ok(self.answering(response, wire, to).await),
            Err(refused) => Err(Fault::Lost(refused.into_error())),
        }
    }

    async fn answering(
        &self,
        response: http::Response<Incoming>,
        wire: Wire,
        to: &Address,
    ) -> http::Response<Answering> {
        let (parts, body) = response.into_parts();
        let mut answering = Answering {
            body,
            wire: Some(wire),
            wires: self.clone(),
            start: to.start.clone(),
        };
        if answering.body.is_end_stream() {
            poll_fn(|context| {
                answering.give_back(context);
                Poll::Ready(())
            })
            .await;
        }
        http::Response::from_parts(parts, answering)
    }

    /// A connection that was kept and is still open.
    fn take(&self, start: &StartId) -> Option<Wire> {
        let mut context = Context::from_waker(Waker::noop());
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_process = kept.get_mut(start)?;
        while let Some(Idle { mut wire, since }) = of_process.pop() {
            if wire.goes_on(&mut context) && since.elapsed() < IDLE_TIME {
                return Some(wire);
            }
        }
        None
    }

    fn keep(&self, start: &StartId, wire: Wire) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.is_empty() {
            tokio::spawn(self.clone().forget_idle());
        }
        let of_process = kept.entry(start.clone()).or_default();
        if of_process.len() < IDLE_MAX {
            let since = Instant::now();
            of_process.push(Idle { wire, since });
        }
    }

    /// Closes what nobody uses any more, until nothing is kept.
    async fn forget_idle(self) {
        loop {
            tokio::time::sleep(IDLE_TIME).await;
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            for of_process in kept.values_mut() {
                of_process.retain(|idle| idle.since.elapsed() < IDLE_TIME);
            }
            kept.retain(|_, of_process| !of_process.is_empty());
            if kept.is_empty() {
                return;
            }
        }
    }
}

impl Wire {
    async fn open(port: u16) -> Result<Self, Fault> {
        let connecting = TcpStream::connect(("127.0.0.1", port));
        let connected = tokio::time::timeout(CONNECT_TIME, connecting).await;
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
        let stream = connected.map_err(late).flatten().map_err(Fault::Connect)?;
        stream.set_nodelay(true).map_err(Fault::Connect)?;
        let made = http1::Builder::new()
            .preserve_header_case(true)
            .handshake(TokioIo::new(stream))
            .await;
        let (sender, connection) = made.map_err(Fault::Lost)?;
        Ok(Self {
            sender,
            connection: Some(Box::pin(connection)),
        })
    }

    /// Does what can be done now.
    fn poll(&mut self, context: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && connection.as_mut().poll(context).is_ready()
        {
            self.connection = None;
        }
    }

    /// Whether it is open and good for another request.
    fn goes_on(&mut self, context: &mut Context<'_>) -> bool {
        self.poll(context);
        self.connection.is_some() && self.sender.is_ready()
    }

    /// Sends a request, and waits for the head of its answer.
    async fn send(
        &mut self,
        request: Request<Sent>,
    ) -> Result<http::Response<Incoming>, hyper::client::conn::TrySendError<Request<Sent>>> {
        let mut answer = pin!(self.sender.try_send_request(request));
        poll_fn(|context| {
            self.poll(context);
            answer.as_mut().poll(context)
        })
        .await
    }
}

/// The body of an answer, and the connection that it comes over.
#[derive(Debug)]
pub(super) struct Answering {
    body: Incoming,
    wire: Option<Wire>,
    wires: Wires,
    start: StartId,
}

impl Answering {
    /// The connection is kept for others, if it is good for another request.
    fn give_back(&mut self, context: &mut Context<'_>) {
        if let Some(mut wire) = self.wire.take()
            && wire.goes_on(context)
        {
            self.wires.keep(&self.start, wire);
        }
    }

    /// What has come, once the connection has done what it can.
    fn piece(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if polled.is_ready() {
            return polled;
        }
        if let Some(wire) = &mut self.wire {
            wire.poll(context);
        }
        Pin::new(&mut self.body).poll_frame(context)
    }
}

impl HttpBody for Answering {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let piece = std::task::ready!(self.piece(context));
        match &piece {
            Some(Err(_)) => self.wire = None,
            Some(Ok(_)) if !self.body.is_end_stream() => {}
            Some(Ok(_)) | None => self.give_back(context),
        }
        Poll::Ready(piece)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use http_body_util::BodyExt;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        time::timeout,
    };

    use super::*;
    use crate::{domain::ports::Lease, edge::openwx::controller::watched::Progress};

    const SOON: Duration = Duration::from_secs(5);

    #[derive(Debug)]
    struct NoLease;

    impl Lease for NoLease {}

    async fn client() -> (TcpListener, Address) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let address = Address {
            port,
            start: StartId::random().unwrap(),
            lease: Arc::new(NoLease),
        };
        (listener, address)
    }

    fn request() -> Request<Sent> {
        let body = Watched::new(Body::empty(), Progress::new(), ());
        Request::get("/openwx/x").body(body).unwrap()
    }

    /// Answers one request of this connection.
    async fn answer(stream: &mut TcpStream) {
        let mut head = [0; 1024];
        assert!(stream.read(&mut head).await.unwrap() > 0);
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        stream.write_all(answer).await.unwrap();
    }

    async fn ask(wires: &Wires, to: &Address) -> Bytes {
        let answer = timeout(SOON, wires.send(request(), to)).await.unwrap();
        let body = answer.unwrap().into_body().collect().await;
        body.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn a_connection_is_used_again_by_the_same_process_only() {
        let (listener, one) = client().await;
        let wires = Wires::default();
        let served = tokio::spawn(async move {
            let (mut first, _) = listener.accept().await.unwrap();
            answer(&mut first).await;
            answer(&mut first).await;
            let (mut second, _) = listener.accept().await.unwrap();
            answer(&mut second).await;
        });
        assert_eq!(&ask(&wires, &one).await[..], b"ok");
        assert_eq!(&ask(&wires, &one).await[..], b"ok");
        let next = Address {
            start: StartId::random().unwrap(),
            ..one
        };
        assert_eq!(&ask(&wires, &next).await[..], b"ok");
        served.await.unwrap();
    }

    #[tokio::test]
    async fn what_a_closed_connection_has_not_taken_is_given_back() {
        let (listener, to) = client().await;
        let mut wire = Wire::open(to.port).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let served = tokio::spawn(async move {
            answer(&mut stream).await;
        });
        let first = timeout(SOON, wire.send(request())).await.unwrap();
        first.unwrap();
        served.await.unwrap();
        // The client has closed it, and nobody has looked since.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let refused = timeout(SOON, wire.send(request())).await.unwrap();
        assert!(refused.is_err());
    }

    #[tokio::test]
    async fn a_request_goes_over_another_connection_when_the_one_kept_was_closed() {
        let (listener, to) = client().await;
        let wires = Wires::default();
        let served = tokio::spawn(async move {
            for _ in 0..20 {
                let (mut stream, _) = listener.accept().await.unwrap();
                answer(&mut stream).await;
            }
        });
        for _ in 0..20 {
            assert_eq!(&ask(&wires, &to).await[..], b"ok");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        served.await.unwrap();
    }
}
