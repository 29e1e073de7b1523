//! The controller's own heartbeat.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{
    native::{Manner, Native},
    rig_with,
};
use crate::domain::{ClientName, client::Phase, ports::Clients};

#[tokio::test]
async fn a_redirection_of_poll_api_is_carried_out_here() {
    const COMMAND: &str = "HTTP/1.1 302 Found\r\nLocation: \
                           http://127.0.0.1:2000/openwx/start_client?client=a1\r\n\
                           Content-Length: 0\r\n\r\n";
    let away = Native::start(Manner::Answers(COMMAND)).await;
    let poll_api = format!("http://127.0.0.1:{}/poll?key=1", away.port);
    let rig = rig_with(|it| it.poll_api = Some(poll_api.into())).await;
    let own = vec![SocketAddr::from(([127, 0, 0, 1], 2000))];
    let beating = tokio::spawn(rig.openwx.clone().heartbeat(own));
    let started = async {
        while rig.clients.count() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), started)
        .await
        .unwrap();
    assert!(away.request().starts_with("GET /poll?key=1 HTTP/1.1\r\n"));
    beating.abort();
}

/// A server that commands this, then that, then nothing. Each question comes on a
/// connection of its own.
async fn commands(paths: [&'static str; 2]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut paths = paths.into_iter();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            let answer = match paths.next() {
                Some(path) => format!(
                    "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:2000/openwx/{path}\r\n\
                     Connection: close\r\nContent-Length: 0\r\n\r\n"
                ),
                None => "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n".to_owned(),
            };
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    port
}

#[tokio::test]
async fn a_client_that_blocks_does_not_keep_the_host_from_ending_it() {
    let blocks = Native::start(Manner::Blocks).await;
    let port = commands(["get_user_info?client=a1", "stop_client?client=a1"]).await;
    let rig = rig_with(|it| {
        it.poll_api = Some(format!("http://127.0.0.1:{port}/poll").into());
        it.poll_interval = 1;
    })
    .await;
    rig.clients.add("a1", |one| {
        one.status.port = Some(blocks.port);
    });
    let own = vec![SocketAddr::from(([127, 0, 0, 1], 2000))];
    let beating = tokio::spawn(rig.openwx.clone().heartbeat(own));
    let name = ClientName::try_from("a1").unwrap();
    let stopped = async {
        while rig.clients.status(&name).unwrap().phase != Phase::Stopping {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), stopped)
        .await
        .unwrap();
    assert_eq!(blocks.requests.lock().unwrap().len(), 1, "it was asked");
    beating.abort();
}
