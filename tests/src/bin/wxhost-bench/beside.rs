//! How a well-behaved account fares while eight hostile guests run: eight of each kind,
//! then one of each.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::time::{self, Duration};
use wxhost_tests::{
    Context, Error, Host, Result, WehubClient, guests,
    host::Settings,
    http::Target,
    load::{Load, Stop},
};

use crate::{
    Plan, speed,
    table::{Aim, Table},
};

/// How many hostile guests run at the same time.
const HOSTILE: usize = 8;
/// By how much the p99 of a well-behaved account may grow meanwhile.
const BESIDE_AIM: Aim = Aim::AtMost(3.0);
/// How long the hostile ones run before others are measured beside them.
const SETTLED: Duration = Duration::from_secs(1);
/// How often a guest is called that fails at once, in ms. Without it, eight clients in a
/// closed loop would be measured, which take the machine with well-behaved guests too.
const CALLED_EVERY: Duration = Duration::from_millis(20);

/// What the guests do to the host: compute, dive, take memory, call it, log, open
/// stores, ask for tasks, wait in it.
const KINDS: [&str; HOSTILE] = [
    "endless-loop",
    "endless-recursion",
    "memory-hoarder",
    "call-flooder",
    "log-flooder",
    "handle-hoarder",
    "task-flooder",
    "slow-host-call",
];

/// Measures each kind alone, and all together.
pub async fn measure(plan: Plan, table: &mut Table) -> Result<()> {
    // Nobody is paused, or an idle host would be measured.
    let settings = Settings::default()
        .unpaced()
        .limit("failures_in_a_row", 0)
        .limit("call_wall_ms", 2_000);
    let host = Host::with(settings).await?;
    host.serve_guest("*", "echo").await?;
    let target = Target::parse(&host.callback_url()?)?;
    speed::log_in(target.clone(), 0, 1).await?;
    let mut load = speed::messages(target, 0, 1);
    load.connections = 1;
    load.stop = Stop::After(plan.warm_up);
    load.run().await?.flawless()?;
    load.stop = Stop::After(plan.round);
    for (name, guest) in guests_of(KINDS) {
        host.api()?.deploy(name, guest?).await?.ok()?;
    }
    for kind in KINDS {
        let name = format!("one account beside {HOSTILE} of {kind}");
        beside(&host, &load, plan, table, (&name, [kind; HOSTILE])).await?;
    }
    let name = format!("one account beside one each of those {HOSTILE}");
    beside(&host, &load, plan, table, (&name, KINDS)).await?;
    for kind in KINDS {
        let failures = host
            .api()?
            .get(&format!("/handlers/{kind}/failures"))
            .await?;
        let listed = failures["items"].as_array().map_or(0, Vec::len);
        // One that only floods what it may flood comes to its end.
        wxhost_tests::check!(listed > 0 || kind == "log-flooder", "{kind} never failed");
    }
    host.end().await
}

fn guests_of(
    kinds: [&'static str; HOSTILE],
) -> impl Iterator<Item = (&'static str, Result<Vec<u8>>)> {
    kinds.into_iter().map(|kind| (kind, guests::bytes(kind)))
}

/// The account alone and beside these, in turns; the median of the rounds.
async fn beside(
    host: &Host,
    load: &Load,
    plan: Plan,
    table: &mut Table,
    (name, kinds): (&str, [&'static str; HOSTILE]),
) -> Result<()> {
    eprintln!("{name}");
    let (mut alone, mut besides, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let before = load.run().await?.flawless()?.latency_ms(0.99);
        let hostile = Hostile::start(host, kinds).await?;
        time::sleep(SETTLED).await;
        let after = load.run().await?.flawless()?.latency_ms(0.99);
        hostile.end().await?;
        alone.push(before);
        besides.push(after);
        ratios.push(after / before);
    }
    table.row(format!("{name}: p99"), median(besides)?, "ms", None);
    let ratio = median(ratios)?;
    table.row(
        format!("{name}: of its p99 alone"),
        ratio,
        "",
        Some(BESIDE_AIM),
    );
    Ok(())
}

fn median(mut figures: Vec<f64>) -> Result<f64> {
    figures.sort_by(f64::total_cmp);
    Ok(*figures.get(figures.len() / 2).context("no round")?)
}

/// Hostile accounts whose guests are called all the time.
struct Hostile {
    stop: Arc<AtomicBool>,
    busy: Vec<tokio::task::JoinHandle<Result<u32>>>,
}

impl Hostile {
    async fn start(host: &Host, kinds: [&'static str; HOSTILE]) -> Result<Self> {
        let (stop, mut busy) = (Arc::new(AtomicBool::new(false)), Vec::new());
        for (number, kind) in kinds.into_iter().enumerate() {
            let account = format!("wxid_hostile{number}");
            let client = host.wehub(&account)?.login().await?;
            host.bind(&account, kind).await?;
            busy.push(tokio::spawn(keep_busy(client, Arc::clone(&stop))));
        }
        Ok(Self { stop, busy })
    }

    /// Ends them, and sees that all were called.
    async fn end(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        for busy in self.busy {
            wxhost_tests::check!(busy.await?? > 0, "a hostile guest was not called");
        }
        Ok(())
    }
}

/// Sends one message after the other; gives how many there were.
async fn keep_busy(client: WehubClient, stop: Arc<AtomicBool>) -> Result<u32> {
    let mut sent = 0;
    let mut pace = time::interval(CALLED_EVERY);
    pace.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    while !stop.load(Ordering::Relaxed) {
        pace.tick().await;
        client.text_from("wxid_friend01", "go").await?;
        sent += 1;
    }
    Ok::<_, Error>(sent)
}
