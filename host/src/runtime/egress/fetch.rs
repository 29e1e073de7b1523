//! One request on a connection of its own.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use hyper::{Request, Response, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Place, Refusal,
    body::{Held, Received, Sent},
    request::{Admitted, HEADERS_MAX},
    resolve,
};
use crate::domain::handler::Scheme;

/// How long one of several addresses may take before the next is tried.
const ADDRESS_TIME: Duration = Duration::from_secs(3);

impl Admitted {
    /// Waits for a place, looks the name up, connects to what was checked, asks, and
    /// waits for the head of the response.
    pub(super) async fn exchange(
        &self,
        request: Request<Sent>,
    ) -> Result<Response<Received>, Refusal> {
        let handler = &self.deployment.handler;
        let place = Arc::new(self.egress.place(handler, self.until).await?);
        let addresses = resolve::addresses(&self.target, &place).await?;
        let stream = self.connect(&addresses).await?;
        let origin = &self.target.origin;
        match origin.scheme {
            Scheme::Http => self.ask(stream, request, place).await,
            Scheme::Https => {
                let stream = self.egress.tls.connect(&origin.host, stream).await?;
                self.ask(stream, request, place).await
            }
        }
    }

    async fn connect(&self, addresses: &[IpAddr]) -> Result<TcpStream, Refusal> {
        let port = self.target.origin.port;
        let mut problem = io::Error::from(io::ErrorKind::TimedOut);
        for (index, address) in addresses.iter().enumerate() {
            let connecting = TcpStream::connect((*address, port));
            let connected = match index + 1 == addresses.len() {
                // The last has all the time that is left.
                true => connecting.await,
                false => timeout(ADDRESS_TIME, connecting)
                    .await
                    .unwrap_or(Err(io::ErrorKind::TimedOut.into())),
            };
            match connected {
                Ok(stream) => return Ok(stream),
                Err(error) => problem = error,
            }
        }
        Err(self.unreachable(&problem.to_string()))
    }

    async fn ask<S>(
        &self,
        stream: S,
        request: Request<Sent>,
        place: Arc<Place>,
    ) -> Result<Response<Received>, Refusal>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let config = &self.egress.config;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(config.header_bytes_max as usize)
            .max_headers(HEADERS_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.failed(&error))?;
        // Its errors come out of the request and of the body as well.
        let connection = AbortOnDropHandle::new(tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::trace!(%error, "a connection of a bot has ended badly");
            }
        }));
        let asked = sender.send_request(request).await;
        let response = asked.map_err(|error| self.failed(&error))?;
        let held = Held { place, connection };
        let (until, time_ms) = (self.until, self.time_ms);
        Ok(response
            .map(|body| Received::new(body, config.response_bytes_max, until, time_ms, held)))
    }

    fn failed(&self, error: &hyper::Error) -> Refusal {
        if error.is_parse_too_large() {
            let bytes_max = self.egress.config.header_bytes_max;
            return Refusal::TooLarge("the response's head", bytes_max, "header_bytes_max");
        }
        self.unreachable(&error.to_string())
    }

    fn unreachable(&self, problem: &str) -> Refusal {
        Refusal::Unreachable(format!("{}: {problem}", self.target.origin))
    }
}
