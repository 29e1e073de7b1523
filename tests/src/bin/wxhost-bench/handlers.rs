//! What handlers cost: hostile ones beside a well-behaved one, deploying, and many of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tokio::time::Instant;
use wxhost_tests::{
    Context, Error, Host, Result, WehubClient, component::with_module, guests, http::Target,
    load::Stop,
};

use crate::{
    Plan, speed,
    table::{Aim, Table},
};

/// How many hostile guests run at the same time.
const HOSTILE: usize = 8;
/// By how much the p99 of a well-behaved account may grow meanwhile.
const BESIDE_AIM: Aim = Aim::AtMost(3.0);
/// From the request to deploy to the new version's first answer, in ms.
const DEPLOY_AIM: Aim = Aim::AtMost(100.0);
/// How long the hostile ones run before others are measured beside them.
const SETTLED: Duration = Duration::from_secs(1);

/// Measures all three.
pub async fn measure(plan: Plan, table: &mut Table) -> Result<()> {
    beside_hostile(plan, table).await?;
    deploys(plan, table).await?;
    many(plan, table).await
}

/// One account alone, then while eight others' bots compute without end.
async fn beside_hostile(plan: Plan, table: &mut Table) -> Result<()> {
    let host = Host::unpaced().await?;
    host.serve_guest("*", "echo").await?;
    let target = Target::parse(&host.callback_url()?)?;
    speed::log_in(target.clone(), 0, 1).await?;
    let mut load = speed::messages(target, 0, 1);
    load.connections = 1;
    load.stop = Stop::After(plan.warm_up);
    load.run().await?.flawless()?;
    load.stop = Stop::After(plan.round * plan.rounds);
    let alone = load.run().await?.flawless()?;

    eprintln!("the same beside {HOSTILE} endless loops");
    let stop = Arc::new(AtomicBool::new(false));
    let mut hostile = Vec::new();
    for number in 0..HOSTILE {
        let account = format!("wxid_hostile{number}");
        let client = host.wehub(&account)?.login().await?;
        host.serve_guest(&account, "endless-loop").await?;
        hostile.push(tokio::spawn(keep_busy(client, Arc::clone(&stop))));
    }
    tokio::time::sleep(SETTLED).await;
    let beside = load.run().await?.flawless()?;
    stop.store(true, Ordering::Relaxed);
    let mut failed = 0;
    for busy in hostile {
        failed += busy.await??;
    }
    wxhost_tests::check!(failed > 0, "no hostile bot was called");

    let (before, after) = (alone.latency_ms(0.99), beside.latency_ms(0.99));
    table.row("one account alone: p99".to_owned(), before, "ms", None);
    let name = format!("one account beside {HOSTILE} endless loops: p99");
    table.row(name, after, "ms", None);
    let name = format!("one account beside {HOSTILE} endless loops: p50");
    table.row(name, beside.latency_ms(0.50), "ms", None);
    let name = format!("beside {HOSTILE} endless loops: p99 of that alone");
    table.row(name, after / before, "", Some(BESIDE_AIM));
    host.end().await
}

/// Sends one message after the other; gives how many there were.
async fn keep_busy(client: WehubClient, stop: Arc<AtomicBool>) -> Result<u32> {
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        client.text_from("wxid_friend01", "loop").await?.silent()?;
        sent += 1;
    }
    Ok::<_, Error>(sent)
}

/// The same component again and again as another version: it is compiled once.
async fn deploys(plan: Plan, table: &mut Table) -> Result<()> {
    let host = Host::unpaced().await?;
    host.serve_guest("*", "echo").await?;
    let client = host.wehub("wxid_a")?.login().await?;
    let (api, echo) = (host.api()?, guests::bytes("echo")?);
    let mut took = Vec::new();
    for number in 0..plan.deploys {
        let options = json!({"manifest": {"own_messages": number % 2 == 0}});
        let began = Instant::now();
        let deploy = api.deploy_with("echo", echo.clone(), &options).await?;
        client.text_from("wxid_bob", "hello").await?.says("hello")?;
        took.push(began.elapsed().as_secs_f64() * 1000.0);
        wxhost_tests::check!(deploy.ok()?["change"] == "replaced", "no new version");
    }
    took.sort_by(f64::total_cmp);
    let median = took.get(took.len() / 2).context("no deployment")?;
    let name = "deploying what is compiled, to its first answer".to_owned();
    table.row(name, *median, "ms", Some(DEPLOY_AIM));
    host.end().await
}

/// Many handlers, each with a component of its own.
async fn many(plan: Plan, table: &mut Table) -> Result<()> {
    let mut host = Host::unpaced().await?;
    host.serve_guest("*", "echo").await?;
    let empty_bytes = restarted(&mut host).await?;
    let (api, echo, count) = (host.api()?, guests::bytes("echo")?, plan.handlers);
    eprintln!("deploying {count} handlers");
    let began = Instant::now();
    for number in 0..count {
        let module = format!("(module (func (result i32) i32.const {number}))");
        let module = wat::parse_str(module).context("the module")?;
        let component = with_module(&echo, &module, 0)?;
        api.deploy(&format!("bench-{number}"), component)
            .await?
            .ok()?;
    }
    let each_ms = began.elapsed().as_secs_f64() * 1000.0 / f64::from(count);
    table.row(
        format!("{count} handlers: deploying each"),
        each_ms,
        "ms",
        None,
    );
    let full_bytes = restarted(&mut host).await?;
    let start_s = host.started_in()?.as_secs_f64();
    table.row(format!("{count} handlers: start"), start_s, "s", None);
    let each_kib = (full_bytes as f64 - empty_bytes as f64) / f64::from(count) / 1024.0;
    table.row(
        format!("{count} handlers: memory of each"),
        each_kib,
        "KiB",
        None,
    );
    host.end().await
}

/// Starts it again, and gives the memory that it has then.
async fn restarted(host: &mut Host) -> Result<u64> {
    wxhost_tests::check!(host.terminate().await?.success(), "the host ended badly");
    host.start_again().await?;
    host.memory_bytes()
}
