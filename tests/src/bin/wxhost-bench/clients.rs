//! What native clients cost: what is passed on to them, asking for their states,
//! starting many, and looking after them while nothing happens.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use wxhost_tests::{
    Context, Error, Host, Result, check,
    host::Settings,
    http::{Connection, Target},
    openwx::process,
};

use crate::{
    Plan,
    table::{Aim, Table},
};

/// How many connections ask at the same time. Each asks another client, directly as
/// well as passed on, so that no client is what holds them up.
const CONNECTIONS: u32 = 8;
/// How much of a call's speed is left when it is passed on.
const PASSED_ON_AIM: Aim = Aim::AtLeast(0.5);
/// What starting them all may take of the host's own time, in s.
const STARTS_AIM: Aim = Aim::AtMost(3.0);
/// What looking after them may take of one core, in percent.
const IDLE_AIM: Aim = Aim::AtMost(1.0);
/// How long the host rests before its idle time is measured: what the starts have
/// left to do is done by then.
const REST: Duration = Duration::from_secs(3);

/// Measures as many as the plan says.
pub async fn measure(plan: Plan, table: &mut Table) -> Result<()> {
    let count = plan.clients;
    let settings = Settings::default()
        .clients(u16::try_from(count)?)?
        .template("default", &["--cookie-login"])?
        .set("openwx.check_interval", 5)
        .set("openwx.max_clients", count);
    let host = Host::with(settings).await?;
    eprintln!("starting {count} clients");
    start_all(&host, count, table).await?;
    idle(&host, plan, table).await?;
    passed_on(&host, plan, table).await?;
    states(&host, plan, table).await?;
    host.end().await
}

async fn start_all(host: &Host, count: u32, table: &mut Table) -> Result<()> {
    let openwx = host.openwx()?;
    let before_s = process::cpu_s(host.pid()?)?;
    let began = Instant::now();
    let mut ports = Vec::new();
    for number in 0..count {
        ports.push(openwx.start(&name(number)).await?.port);
    }
    let wall_s = began.elapsed().as_secs_f64();
    let own_s = process::cpu_s(host.pid()?)? - before_s;
    ports.sort_unstable();
    ports.dedup();
    check!(ports.len() == count as usize, "{} ports", ports.len());
    let known = host.api()?.get("/clients").await?;
    let known = known["items"].as_array().map_or(0, Vec::len);
    check!(known == count as usize, "{known} clients are known");
    table.row(
        format!("{count} clients started: the host's own time"),
        own_s,
        "s",
        Some(STARTS_AIM),
    );
    table.row(
        format!("{count} clients started: in all"),
        wall_s,
        "s",
        None,
    );
    for number in 0..count {
        host.until_phase(&name(number), "running").await?;
    }
    Ok(())
}

fn name(number: u32) -> String {
    format!("bench-{number:03}")
}

async fn idle(host: &Host, plan: Plan, table: &mut Table) -> Result<()> {
    sleep(REST).await;
    let (before_s, began) = (process::cpu_s(host.pid()?)?, Instant::now());
    sleep(plan.idle).await;
    let own_s = process::cpu_s(host.pid()?)? - before_s;
    let percent = 100.0 * own_s / began.elapsed().as_secs_f64();
    let name = format!("{} idle clients: of a core", plan.clients);
    table.row(name, percent, "%", Some(IDLE_AIM));
    Ok(())
}

/// The same questions both ways: as many connections, all kept, to the same clients.
async fn passed_on(host: &Host, plan: Plan, table: &mut Table) -> Result<()> {
    let (mut direct, mut through) = (Vec::new(), Vec::new());
    for number in 0..CONNECTIONS.min(plan.clients) {
        let name = name(number);
        let port = host.client(&name).await?["port"].as_u64();
        let address = format!("127.0.0.1:{}", port.context("no port")?);
        // Both are asked the same, letter for letter.
        let path = format!("get_user_info?client={name}");
        direct.push(target(&address, &path));
        through.push(target(host.address()?, &path));
    }
    for targets in [&direct, &through] {
        per_second(targets, plan.warm_up).await?;
    }
    let (mut directly, mut passed) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        directly.push(per_second(&direct, plan.round).await?);
        passed.push(per_second(&through, plan.round).await?);
    }
    let (directly, passed) = (median(directly), median(passed));
    table.row("get_user_info: directly".to_owned(), directly, "/s", None);
    table.row("get_user_info: passed on".to_owned(), passed, "/s", None);
    let name = "get_user_info: of the direct way".to_owned();
    table.row(name, passed / directly, "", Some(PASSED_ON_AIM));
    Ok(())
}

async fn states(host: &Host, plan: Plan, table: &mut Table) -> Result<()> {
    let one = format!("check_client?client={}", name(0));
    for (what, path) in [("one client", one.as_str()), ("all", "check_client")] {
        let target = target(host.address()?, path);
        let rate = per_second(&[target], plan.round).await?;
        let name = match what {
            "all" => format!("check_client: all {}", plan.clients),
            _ => format!("check_client: {what}"),
        };
        table.row(name, 1000.0 / rate, "ms", None);
    }
    Ok(())
}

fn target(address: &str, path: &str) -> Target {
    Target {
        address: address.to_owned(),
        path: format!("/openwx/{path}"),
    }
}

/// How often these are answered in this time, over one connection each.
async fn per_second(targets: &[Target], time: Duration) -> Result<f64> {
    let began = Instant::now();
    let mut asking = Vec::new();
    for target in targets {
        let (target, until) = (target.clone(), began + time);
        asking.push(tokio::spawn(async move { ask(&target, until).await }));
    }
    let mut count = 0.0;
    for asked in asking {
        count += asked.await??;
    }
    Ok(count / began.elapsed().as_secs_f64())
}

async fn ask(target: &Target, until: Instant) -> Result<f64> {
    let mut connection = Connection::open(&target.address).await?;
    let request = target.head("GET", "", 0);
    let mut count = 0.0;
    while Instant::now() < until {
        let reply = connection.exchange(request.as_bytes()).await?;
        check!(reply.status == 200, "HTTP {} for {target:?}", reply.status);
        count += 1.0;
    }
    Ok::<_, Error>(count)
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}
