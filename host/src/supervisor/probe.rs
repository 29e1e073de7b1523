//! Asking a client whether it is there: whether its port takes connections, and once
//! it is logged in, whether it still answers.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use tokio::{net::TcpStream, task::spawn_blocking, time::sleep};

use super::{
    Shared,
    launch::Facts,
    listener::{self, Listener},
    slot::Slot,
};
use crate::domain::{
    client::{ClientStatus, NativeState},
    ports::ApiCall,
};

/// The first wait for a port. Each one after it is twice as long.
const WAIT_MIN: Duration = Duration::from_millis(50);
/// The longest. Nothing is passed on to the client before.
const WAIT_MAX: Duration = Duration::from_millis(250);
/// The wait while another program listens: finding that out costs more.
const WAIT_OTHER: Duration = Duration::from_secs(1);
/// How long an answer may take at most.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// The shortest time between two questions, whatever the settings say.
const PROBE_MIN: Duration = Duration::from_millis(10);
/// What is asked: it costs the client next to nothing.
const QUESTION: &str = "get_client_info";

/// Tells the slot when the client's port takes connections, and is done then. Another
/// program that was there first does not count.
pub async fn listening(shared: Arc<Shared>, slot: Arc<Slot>, facts: Facts) {
    let (port, group) = (facts.port.number(), facts.writer.pid);
    let mut wait = WAIT_MIN;
    let mut is_told = false;
    loop {
        while !is_open(port).await {
            sleep(wait).await;
            wait = (wait * 2).min(WAIT_MAX);
        }
        match spawn_blocking(move || listener::of(port, group)).await {
            Ok(Listener::Ours) => return slot.listening(shared.now()),
            Ok(Listener::Other(pid)) if !is_told => {
                is_told = true;
                let client = &slot.name;
                tracing::warn!(%client, port, pid, "another program listens on a client's port");
            }
            Ok(Listener::Other(_) | Listener::Nobody) | Err(_) => {}
        }
        sleep(WAIT_OTHER).await;
    }
}

/// A connection to a port that nobody listens on may meet itself.
async fn is_open(port: u16) -> bool {
    match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
        Ok(stream) => stream.local_addr().is_ok_and(|own| own.port() != port),
        Err(_) => false,
    }
}

/// Has a client killed that is logged in and leaves too many questions in a row
/// unanswered. While it waits for a scan it answers nothing, and is asked nothing.
pub async fn answering(shared: Arc<Shared>, slot: Arc<Slot>, facts: Facts) {
    let port = facts.port.number();
    let policy = &shared.setup.policy;
    let every = Duration::from_millis(policy.probe_ms).max(PROBE_MIN);
    let mut missed = 0;
    loop {
        if slot.when(is_running).await.is_none() {
            return;
        }
        sleep(every).await;
        if !slot.status().is_some_and(|status| is_running(&status)) {
            missed = 0;
            continue;
        }
        let question = ApiCall {
            path: QUESTION.to_owned(),
            parameters: Vec::new(),
            time: every.min(ANSWER_MAX),
        };
        missed = match shared.api.call(port, &question).await {
            Ok(_) => 0,
            Err(_) => missed + 1,
        };
        if missed >= policy.probes_max.max(1) {
            let reason = format!("it left {missed} questions in a row unanswered");
            slot.kill(&facts.start, reason);
            return;
        }
    }
}

fn is_running(status: &ClientStatus) -> bool {
    let state = status.state.map(|seen| seen.state);
    state == Some(NativeState::Running)
}
