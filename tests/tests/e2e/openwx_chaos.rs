//! Clients and their host are killed at random while messages flow: never two
//! processes for one name, never a message of one account at another, and nothing
//! left behind.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use wxhost_tests::{
    Context, Host, Result, check,
    host::Settings,
    openwx::{Openwx, Stub, process},
    poll,
};

use crate::openwx_clients::SOON;

/// How many kills there are, unless `WXHOST_CLIENT_KILLS` says otherwise.
const KILLS: u64 = 30;
/// How many accounts there are.
const ACCOUNTS: u64 = 6;
/// How many ports they share. A few that are not given back, and one client has none.
const PORTS: u16 = 8;
/// The host itself is the victim of every so many kills.
const HOST_EVERY: u64 = 10;
/// After so many kills it is looked for processes that nobody asked how they ended.
/// Not only after the host's own: with it its children are gone.
const ZOMBIES_EVERY: u64 = 3;
/// How long a process may wait to be asked that.
const ZOMBIE_MAX: Duration = Duration::from_secs(3);
/// How long all of it may take: a minute and a half, and some time for each kill.
const ALL_MAX: Duration = Duration::from_secs(90);
const KILL_MAX: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_at_random_mix_nothing_up_and_leave_nothing_behind() -> Result<()> {
    let kills = std::env::var("WXHOST_CLIENT_KILLS").map_or(Ok(KILLS), |kills| kills.parse())?;
    let time = ALL_MAX + KILL_MAX * u32::try_from(kills)?;
    let both = async {
        for replies in ["answer", "queued"] {
            killed_and_checked(replies, kills / 2)
                .await
                .context(format!("openwx.replies = {replies}"))?;
        }
        Ok(())
    };
    poll::within("the whole test", time, both).await
}

fn name(number: u64) -> String {
    format!("acct-{number}")
}

async fn started(replies: &str) -> Result<Host> {
    let settings = Settings::default()
        .unpaced()
        .clients(PORTS)?
        .template(
            "default",
            &["--cookie-login", "--step-ms", "5", "--send-ms", "1"],
        )?
        .set("openwx.replies", replies)
        .set("openwx.restart.wait_min_ms", 20)
        .set("openwx.restart.wait_max_ms", 100)
        .set("openwx.restart.tries_max", 1_000_000);
    let host = Host::with(settings).await?;
    host.serve_guest("*", "echo").await?;
    for number in 0..ACCOUNTS {
        host.openwx()?.start(&name(number)).await?;
    }
    Ok(host)
}

async fn killed_and_checked(replies: &str, kills: u64) -> Result<()> {
    let mut host = started(replies).await?;
    let traffic = Traffic::begin(&host)?;
    let mut random = Random(0x5eed_0001);
    for kill in 1..=kills {
        sleep(Duration::from_millis(random.below(120))).await;
        match kill % HOST_EVERY {
            0 => restart(&mut host, &traffic).await,
            _ => kill_one(&host, &mut random).await,
        }
        .context(format!("kill {kill}"))?;
        once_each(&host).context(format!("after kill {kill}"))?;
        if kill % ZOMBIES_EVERY == 0 {
            no_zombies(&host).await?;
        }
    }
    all_run(&host).await?;
    let (heard, asked) = traffic.end().await?;
    let sent = nothing_mixed_up(&host, replies)?;
    check!(
        heard > 0 && asked > 0 && sent > 0,
        "{heard} messages, {asked} questions, {sent} answers"
    );
    no_zombies(&host).await?;
    eprintln!(
        "{replies}: {heard} messages, {sent} answers and {asked} questions over {kills} kills, \
         none mixed up"
    );
    host.end().await
}

/// Everybody who writes to the accounts and asks them through the host.
struct Traffic {
    stop: watch::Sender<bool>,
    host: watch::Sender<Openwx>,
    writers: JoinSet<u64>,
    askers: JoinSet<Result<u64>>,
}

impl Traffic {
    fn begin(host: &Host) -> Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let (sender, openwx) = watch::channel(host.openwx()?);
        let (mut writers, mut askers) = (JoinSet::new(), JoinSet::new());
        for port in host.ports()?.first..=host.ports()?.last {
            writers.spawn(write(port, stopped.clone()));
        }
        for number in 0..ACCOUNTS {
            askers.spawn(ask(name(number), openwx.clone(), stopped.clone()));
        }
        Ok(Self {
            stop,
            host: sender,
            writers,
            askers,
        })
    }

    /// How many messages were heard, and how many questions answered.
    async fn end(mut self) -> Result<(u64, u64)> {
        self.stop.send_replace(true);
        let (mut heard, mut asked) = (0, 0);
        while let Some(written) = self.writers.join_next().await {
            heard += written?;
        }
        while let Some(answered) = self.askers.join_next().await {
            asked += answered??;
        }
        Ok((heard, asked))
    }
}

/// Somebody writes to whoever listens on this port, again and again.
async fn write(port: u16, stopped: watch::Receiver<bool>) -> u64 {
    let stub = Stub::at(port);
    let mut heard = 0;
    while !*stopped.borrow() {
        let said = stub.receive("@f1", "for {account}");
        match timeout(SOON, said).await {
            Ok(Ok(_)) => heard += 1,
            _ => sleep(Duration::from_millis(50)).await,
        }
        sleep(Duration::from_millis(5)).await;
    }
    heard
}

/// Somebody asks an account through the host who it is, again and again: it is that
/// one that answers, or nobody.
async fn ask(
    account: String,
    openwx: watch::Receiver<Openwx>,
    stopped: watch::Receiver<bool>,
) -> Result<u64> {
    let mut answered = 0;
    while !*stopped.borrow() {
        let current = openwx.borrow().clone();
        let path = format!("stub_facts?client={account}");
        // A connection that breaks is one of the host that was killed.
        if let Ok(Ok(reply)) = timeout(SOON, current.get(&path)).await {
            match reply.status {
                200 => {
                    let facts = reply.json()?;
                    check!(facts["account"] == account.as_str(), "{account}: {facts}");
                    answered += 1;
                }
                status => check!(
                    matches!(status, 502 | 504),
                    "{account}: HTTP {status}: {}",
                    reply.text()
                ),
            }
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(answered)
}

async fn kill_one(host: &Host, random: &mut Random) -> Result<()> {
    let status = host.client(&name(random.below(ACCOUNTS))).await?;
    if let Some(pid) = status["pid"].as_u64() {
        process::kill9(u32::try_from(pid)?)?;
    }
    Ok(())
}

/// The next host gives all ports anew, and has no children yet: what the former one
/// has left shows before its end alone.
async fn restart(host: &mut Host, traffic: &Traffic) -> Result<()> {
    all_run(host).await?;
    no_zombies(host).await?;
    host.kill9().await?;
    host.start_again().await?;
    traffic.host.send_replace(host.openwx()?);
    Ok(())
}

/// Each account has a process again, and so a port.
async fn all_run(host: &Host) -> Result<()> {
    for number in 0..ACCOUNTS {
        host.until_phase(&name(number), "running").await?;
    }
    Ok(())
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
fn nothing_mixed_up(host: &Host, replies: &str) -> Result<usize> {
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
            let by_call = sent["from"] == "api";
            check!(by_call || replies == "answer", "no call was made: {sent}");
            count += 1;
        }
    }
    Ok(count)
}

/// Whoever is one now is none in a moment.
async fn no_zombies(host: &Host) -> Result<()> {
    let pid = host.pid()?;
    let (seen, began) = (process::zombies_of(pid), Instant::now());
    loop {
        let now = process::zombies_of(pid);
        let left: Vec<_> = seen.iter().filter(|it| now.contains(it)).collect();
        if left.is_empty() {
            return Ok(());
        }
        check!(
            began.elapsed() < ZOMBIE_MAX,
            "{left:?} still wait to be asked how they ended"
        );
        sleep(Duration::from_millis(20)).await;
    }
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
