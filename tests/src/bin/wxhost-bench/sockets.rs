//! What WebSockets cost that are open and idle, and how soon a task reaches its
//! client over one of them.

use std::time::Duration;

use hdrhistogram::Histogram;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::time::{Instant, interval, sleep};
use wxhost_tests::{
    Ack, Context, Error, Host, Result, WehubClient, check,
    host::Settings,
    http::{Connection, Target},
    wehub::{Identity, Spelling, WehubSocket},
};

use crate::{
    Plan,
    speed::CONNECTIONS,
    table::{Aim, Table},
};

/// What one of them may hold of the host's memory, in KiB.
const MEMORY_AIM: Aim = Aim::AtMost(24.0);
/// How long the host rests before its memory is looked at.
const REST: Duration = Duration::from_secs(2);
/// One task is asked for each time: 200 a second, far from what the host can do.
const PUSH_EVERY: Duration = Duration::from_millis(5);
/// The longest latency that is told apart, in µs.
const LATENCY_MAX_US: u64 = 60_000_000;
/// Spreads the pushes over the sockets: a prime, so that all have their turn.
const STRIDE: usize = 7919;

/// Measures as many as the plan says.
pub async fn measure(plan: Plan, table: &mut Table) -> Result<()> {
    allow_many_files()?;
    let count = plan.sockets;
    let settings = Settings::default()
        .env("WXHOST_WEHUB__WEBSOCKET", "true")
        // Nobody is silent for too long, however long this takes.
        .env("WXHOST_WEHUB__HEARTBEAT_S", "600")
        .env("WXHOST_WEHUB__TICKET_S", "3600")
        .env("WXHOST_PACING__ACCOUNT_PER_MINUTE", "0")
        .env("WXHOST_PACING__CONVERSATION_PER_MINUTE", "0");
    let mut host = Host::with(settings).await?;
    eprintln!("logging {count} accounts in");
    let offered = log_in(&host, count).await?;
    // What the logins took is gone after a start; the addresses stay good.
    let former = host.address()?.to_owned();
    check!(host.terminate().await?.success(), "the host ended badly");
    host.start_again().await?;
    let address = host.address()?;
    let offered: Vec<_> = offered
        .into_iter()
        .map(|(identity, url)| (identity, url.replace(&former, address)))
        .collect();
    sleep(REST).await;
    let before_bytes = host.memory_bytes()?;

    eprintln!("opening {count} WebSockets");
    let began = Instant::now();
    let mut sockets = all(offered, |(identity, url): (Identity, String)| async move {
        WehubSocket::connect(&url, &identity).await
    })
    .await?;
    let rate = f64::from(count) / began.elapsed().as_secs_f64();
    table.row(format!("{count} WebSockets: opened"), rate, "/s", None);
    sleep(REST).await;
    let idle = each_kib(before_bytes, host.memory_bytes()?, count);
    let name = "memory of an idle WebSocket".to_owned();
    table.row(name, idle, "KiB", Some(MEMORY_AIM));

    eprintln!("pushing {} tasks", plan.pushes);
    let latency_us = push(&host, &mut sockets, plan.pushes).await?;
    for (name, share) in [("p50", 0.50), ("p99", 0.99)] {
        let ms = latency_us.value_at_quantile(share) as f64 / 1000.0;
        let name = format!("{count} WebSockets: push {name}");
        table.row(name, ms, "ms", None);
    }
    let sockets = all(sockets, |mut socket: WehubSocket| async move {
        socket.heartbeat(Spelling::Action).await?.ok()?;
        Ok(socket)
    })
    .await?;
    sleep(REST).await;
    let used = each_kib(before_bytes, host.memory_bytes()?, count);
    let name = "memory of a WebSocket, after the load".to_owned();
    table.row(name, used, "KiB", Some(MEMORY_AIM));
    drop(sockets);
    host.end().await
}

/// The accounts, and the addresses that they are offered.
async fn log_in(host: &Host, count: u32) -> Result<Vec<(Identity, String)>> {
    let clients = (0..count).map(|number| host.wehub(&format!("wxid_socket{number:06}")));
    let clients: Vec<_> = clients.collect::<Result<_>>()?;
    all(clients, |client: WehubClient| async move {
        let url = client.try_login().await?.ok()?.socket_url()?.to_owned();
        Ok((client.identity().clone(), url))
    })
    .await
}

/// What each of them costs, in KiB.
fn each_kib(before_bytes: u64, after_bytes: u64, count: u32) -> f64 {
    let more = after_bytes as f64 - before_bytes as f64;
    more / f64::from(count) / 1024.0
}

/// Does the same with all of these, as many at a time as there are connections
/// elsewhere in the bench. The outcomes have the order of the items.
async fn all<T, U, F>(
    items: Vec<T>,
    work: impl Fn(T) -> F + Copy + Send + 'static,
) -> Result<Vec<U>>
where
    T: Send + 'static,
    U: Send + 'static,
    F: Future<Output = Result<U>> + Send + 'static,
{
    let share = items.len().div_ceil(CONNECTIONS as usize).max(1);
    let mut items = items.into_iter();
    let mut workers = Vec::new();
    loop {
        let mine: Vec<_> = items.by_ref().take(share).collect();
        if mine.is_empty() {
            break;
        }
        workers.push(tokio::spawn(async move {
            let mut done = Vec::with_capacity(mine.len());
            for item in mine {
                done.push(work(item).await?);
            }
            Ok::<_, Error>(done)
        }));
    }
    let mut done = Vec::new();
    for worker in workers {
        done.extend(worker.await??);
    }
    Ok(done)
}

/// Asks for tasks at a steady rate: the time from when each was due to be asked
/// for until its frame is there, in µs.
async fn push(host: &Host, sockets: &mut [WehubSocket], pushes: u32) -> Result<Histogram<u64>> {
    let latency_us = Histogram::new_with_max(LATENCY_MAX_US, 3);
    let mut latency_us = latency_us.map_err(|error| Error::new(error.to_string()))?;
    let mut asking = Asking::open(host).await?;
    let mut ticks = interval(PUSH_EVERY);
    for number in 0..pushes as usize {
        let place = number * STRIDE % sockets.len();
        let socket = sockets.get_mut(place).context("a socket")?;
        let due = ticks.tick().await;
        let arriving = async {
            let pushed = socket.next_push().await?;
            Ok((pushed, due.elapsed()))
        };
        let account = format!("wxid_socket{place:06}");
        let ((), (pushed, took)) = tokio::try_join!(asking.ask(&account), arriving)?;
        latency_us.saturating_record(u64::try_from(took.as_micros())?);
        done(socket, &pushed).await?;
    }
    Ok(latency_us)
}

async fn done(socket: &mut WehubSocket, pushed: &Ack) -> Result<()> {
    let id = pushed.task_id.as_deref().context("a push without an id")?;
    socket.task_result(id, None).await?.ok()?;
    Ok(())
}

/// A connection to the control API.
struct Asking {
    connection: Connection,
    address: String,
    headers: String,
    body: String,
}

impl Asking {
    async fn open(host: &Host) -> Result<Self> {
        let address = host.address()?.to_owned();
        let token = host.token()?;
        let action =
            json!({"action": "send", "conversation": "wxid_bob", "segments": [{"text": "hi"}]});
        Ok(Self {
            connection: Connection::open(&address).await?,
            address,
            headers: format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"),
            body: action.to_string(),
        })
    }

    /// Asks for a text of this account.
    async fn ask(&mut self, account: &str) -> Result<()> {
        let target = Target {
            address: self.address.clone(),
            path: format!("/api/v1/accounts/{account}/tasks"),
        };
        let head = target.head("POST", &self.headers, self.body.len());
        let request = format!("{head}{}", self.body);
        let reply = self.connection.exchange(request.as_bytes()).await?;
        check!(reply.status == 202, "HTTP {} for a task", reply.status);
        Ok(())
    }
}

/// Every connection is an open file, here as in the host.
fn allow_many_files() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    Ok(setrlimit(Resource::Nofile, raised)?)
}
