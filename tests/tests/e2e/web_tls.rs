//! Requests of bots by https. The certificates in `fixtures/tls` are for `localhost`,
//! by an authority that nobody else knows.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use wxhost_tests::{Context, Host, Result, check, guests, host::Settings};

fn fixture(name: &str) -> PathBuf {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/tls");
    PathBuf::from(fixtures).join(name)
}

fn acceptor() -> Result<TlsAcceptor> {
    let certificate = CertificateDer::from_pem_file(fixture("cert.pem"))?;
    let key = PrivateKeyDer::from_pem_file(fixture("key.pem"))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Answers whoever trusts the certificate. Its port.
async fn site() -> Result<u16> {
    let acceptor = acceptor()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Who doesn't trust it hangs up: that is what is tested.
            drop(answer(&acceptor, stream).await);
        }
    });
    Ok(port)
}

async fn answer(acceptor: &TlsAcceptor, stream: TcpStream) -> Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret")
        .await?;
    stream.shutdown().await?;
    Ok(())
}

/// What the probe is answered by this address, on a host with these settings.
async fn fetched(settings: Settings, url: &str) -> Result<String> {
    let host = Host::with(settings.unpaced()).await?;
    let options = json!({"manifest": {"allowed_hosts": [url]}});
    let probe = guests::bytes("probe")?;
    host.api()?
        .deploy_with("probe", probe, &options)
        .await?
        .ok()?;
    host.bind("*", "probe").await?;
    let client = host.wehub("wxid_a")?.login().await?;
    let asked = client
        .text_from("wxid_bob", &format!("web.fetch GET {url}"))
        .await?;
    let text = asked.ok()?.texts().concat();
    host.end().await?;
    Ok(text)
}

#[tokio::test]
async fn only_whom_this_machine_trusts_is_spoken_to() -> Result<()> {
    let port = site().await?;
    let authority = fixture("ca.pem");
    let authority = authority.to_str().context("the path is no text")?;
    let trusting = || Settings::default().env("SSL_CERT_FILE", authority);
    let named = format!("https://localhost:{port}");
    assert_eq!(fetched(trusting(), &named).await?, "ok 200 secret");
    // The certificate is another name's, or of an authority that is not known.
    let address = format!("https://127.0.0.1:{port}");
    for (settings, url) in [(trusting(), &address), (Settings::default(), &named)] {
        let refused = fetched(settings, url).await?;
        check!(refused.starts_with("err unreachable"), "{url}: {refused}");
        check!(refused.contains("TLS"), "{url}: {refused}");
    }
    Ok(())
}
