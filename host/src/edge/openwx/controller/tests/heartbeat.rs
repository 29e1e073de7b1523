//! The controller's own heartbeat.

use std::{net::SocketAddr, time::Duration};

use super::{
    native::{Manner, Native},
    rig_with,
};

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
