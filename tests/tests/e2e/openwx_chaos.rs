//! Clients and their host are killed at random while messages flow: never two
//! processes for one name, never a message of one account at another, and nothing
//! left behind.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use tokio::{sync::watch, task::JoinSet, time::sleep};
use wxhost_tests::{
    Context, Host, Result, check,
    host::Settings,
    openwx::{Stub, process},
    poll,
};

use crate::openwx_clients::SOON;

/// How many kills there are, unless `WXHOST_CLIENT_KILLS` says otherwise.
const KILLS: u64 = 30;
/// How many accounts there are.
const ACCOUNTS: u64 = 6;
/// The host itself is the victim of every so many kills.
const HOST_EVERY: u64 = 10;
/// How long all of it may take: a minute, and some time for each kill.
const ALL_MAX: Duration = Duration::from_secs(60);
const KILL_MAX: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_at_random_mix_nothing_up_and_leave_nothing_behind() -> Result<()> {
    let kills = std::env::var("WXHOST_CLIENT_KILLS").map_or(Ok(KILLS), |kills| kills.parse())?;
    let time = ALL_MAX + KILL_MAX * u32::try_from(kills)?;
    poll::within("the whole test", time, killed_and_checked(kills)).await
}

fn name(number: u64) -> String {
    format!("acct-{number}")
}

async fn killed_and_checked(kills: u64) -> Result<()> {
    let settings = Settings::default()
        .unpaced()
        .clients(20)?
        .template(
            "default",
            &["--cookie-login", "--step-ms", "5", "--send-ms", "1"],
        )?
        .set("openwx.restart.wait_min_ms", 20)
        .set("openwx.restart.wait_max_ms", 100)
        .set("openwx.restart.tries_max", 1_000_000);
    let mut host = Host::with(settings).await?;
    host.serve_guest("*", "echo").await?;
    for number in 0..ACCOUNTS {
        host.openwx()?.start(&name(number)).await?;
    }
    let (stop, stopped) = watch::channel(false);
    let mut writers = JoinSet::new();
    let ports = host.ports()?.first..=host.ports()?.last;
    for port in ports {
        writers.spawn(write(port, stopped.clone()));
    }
    let mut random = Random(0x5eed_0001);
    for kill in 1..=kills {
        sleep(Duration::from_millis(random.below(120))).await;
        match kill % HOST_EVERY {
            0 => restart(&mut host).await.context(format!("kill {kill}"))?,
            _ => kill_one(&host, &mut random).await?,
        }
        once_each(&host).context(format!("after kill {kill}"))?;
    }
    for number in 0..ACCOUNTS {
        host.until_phase(&name(number), "running").await?;
    }
    stop.send_replace(true);
    let mut heard = 0;
    while let Some(written) = writers.join_next().await {
        heard += written?;
    }
    let sent = nothing_mixed_up(&host)?;
    check!(heard > 0 && sent > 0, "{heard} messages, {sent} answers");
    no_zombies(&host).await?;
    eprintln!("{heard} messages and {sent} answers over {kills} kills, none mixed up");
    host.end().await
}

/// Somebody writes to whoever listens on this port, again and again.
async fn write(port: u16, stopped: watch::Receiver<bool>) -> u64 {
    let stub = Stub::at(port);
    let mut heard = 0;
    while !*stopped.borrow() {
        let said = stub.receive("@f1", "for {account}");
        match tokio::time::timeout(SOON, said).await {
            Ok(Ok(_)) => heard += 1,
            _ => sleep(Duration::from_millis(50)).await,
        }
        sleep(Duration::from_millis(5)).await;
    }
    heard
}

async fn kill_one(host: &Host, random: &mut Random) -> Result<()> {
    let status = host.client(&name(random.below(ACCOUNTS))).await?;
    if let Some(pid) = status["pid"].as_u64() {
        process::kill9(u32::try_from(pid)?)?;
    }
    Ok(())
}

async fn restart(host: &mut Host) -> Result<()> {
    host.kill9().await?;
    host.start_again().await
}

/// No name has two processes, and each process was told one name.
fn once_each(host: &Host) -> Result<()> {
    let mut names: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for pid in process::of_folder(host.home()) {
        let variables = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let text = String::from_utf8_lossy(&variables).into_owned();
        let account = text
            .split('\0')
            .find_map(|it| it.strip_prefix("MOJO_WEIXIN_ACCOUNT="));
        if let Some(account) = account {
            names.entry(account.to_owned()).or_default().push(pid);
        }
    }
    for (account, pids) in names {
        let alive: Vec<_> = pids
            .into_iter()
            .filter(|pid| process::is_alive(*pid))
            .collect();
        check!(alive.len() <= 1, "{account} has the processes {alive:?}");
    }
    for number in 0..ACCOUNTS {
        let mark = host.client_dir(&name(number)).join("stub_twice");
        check!(!mark.exists(), "two processes of {} met", name(number));
    }
    Ok(())
}

/// What each account has sent names it: nobody got the answer of another.
fn nothing_mixed_up(host: &Host) -> Result<usize> {
    let mut count = 0;
    for number in 0..ACCOUNTS {
        let account = name(number);
        let file = host.client_dir(&account).join("stub_sent.jsonl");
        for line in std::fs::read_to_string(&file).unwrap_or_default().lines() {
            // The last line of a process that was killed may be half of one.
            let Ok(sent) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            let content = sent["content"].as_str().unwrap_or_default();
            check!(
                content == format!("for {account}"),
                "{account} has sent {content:?}"
            );
            check!(sent["account"] == account.as_str(), "{account}: {sent}");
            count += 1;
        }
    }
    Ok(count)
}

async fn no_zombies(host: &Host) -> Result<()> {
    let pid = host.pid()?;
    poll::until(
        "no process waits to be asked how it ended",
        SOON,
        async || Ok(process::zombies_of(pid).is_empty().then_some(())),
    )
    .await
}

/// The same numbers in every run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
