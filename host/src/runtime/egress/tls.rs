//! TLS to other systems, by the certificates that this machine trusts.
//!
//! By rustls-platform-verifier, as reqwest does for the command line: certificates are
//! renewed with the system's, and whoever runs an authority of their own has it there
//! already. A list that is built in would grow old with the binary.

use std::{io, net::IpAddr, sync::Arc};

use rustls::{ClientConfig, crypto::ring, pki_types::ServerName};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::{net::TcpStream, sync::OnceCell};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::Refusal;
use crate::domain::handler::Host;

/// Read when it is needed first: a host whose bots ask for nothing needs no
/// certificates.
#[derive(Default)]
pub struct Tls(OnceCell<Arc<ClientConfig>>);

impl Tls {
    /// Speaks TLS on a connection to this host, whose certificate must be its own.
    pub async fn connect(
        &self,
        host: &Host,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, Refusal> {
        let config = self.0.get_or_try_init(read).await?;
        let connector = TlsConnector::from(Arc::clone(config));
        let connected = connector.connect(server_name(host)?, stream).await;
        connected.map_err(|error| Refusal::Unreachable(format!("{host}: TLS: {error}")))
    }
}

fn server_name(host: &Host) -> Result<ServerName<'static>, Refusal> {
    match host {
        Host::Address(address) => Ok(IpAddr::into(*address)),
        Host::Name(name) => ServerName::try_from(name.clone())
            .map_err(|_| Refusal::BadRequest(format!("url: {name} can have no certificate"))),
    }
}

async fn read() -> Result<Arc<ClientConfig>, Refusal> {
    // Files are read and parsed: not on a thread that others wait for.
    let config = tokio::task::spawn_blocking(config).await;
    let problem = match config.map_err(io::Error::other) {
        Ok(Ok(config)) => return Ok(Arc::new(config)),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    tracing::error!(error = %problem, "this machine's certificates can't be read");
    Err(Refusal::Unreachable(
        "the host can't read this machine's certificates: see its log".to_owned(),
    ))
}

fn config() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
