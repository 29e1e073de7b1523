//! Processes of clients: started, watched, started again, ended, and nothing left
//! behind.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use wxhost_tests::{
    Context, Host, Result, check,
    host::Settings,
    openwx::{Stub, process},
    poll,
};

use crate::openwx_clients::{SOON, log_of, until_another};

/// How long a client may outlive its host (section 2: it looks every 5 s).
const OUTLIVED_MAX: Duration = Duration::from_secs(6);
/// How long it may outlive a host that was killed when it does not look: the system
/// ends it at once, and takes a moment for many.
const ENDED_WITH_HOST_MAX: Duration = Duration::from_secs(2);
/// How many clients are up when the host is killed.
const MANY: u32 = 20;

fn number(value: &Value, name: &str) -> Result<u32> {
    let number = value[name]
        .as_u64()
        .context(format!("no {name} in {value}"))?;
    Ok(u32::try_from(number)?)
}

#[tokio::test]
async fn each_step_has_its_time() -> Result<()> {
    let settings = Settings::default()
        .clients(10)?
        .template("default", &["--slow-bind-ms", "700"])?;
    let host = Host::with(settings).await?;
    let openwx = host.openwx()?;
    let started = openwx.start("a1").await?;
    let spawned = host.client("a1").await?;
    assert_eq!(spawned["phase"], "spawned");
    assert_eq!(
        (&spawned["pid"], &spawned["port"]),
        (&json!(started.pid), &json!(started.port))
    );
    check!(spawned["listening_ms"].is_null(), "{spawned}");
    let listening = host.until_phase("a1", "listening").await?;
    check!(listening["running_ms"].is_null(), "{listening}");
    Stub::at(started.port).scan().await?;
    let running = host.until_phase("a1", "running").await?;
    let time = |name: &str| {
        running[name]
            .as_u64()
            .context(format!("{name} in {running}"))
    };
    check!(time("spawned_ms")? <= time("listening_ms")?, "{running}");
    check!(time("listening_ms")? <= time("running_ms")?, "{running}");
    assert_eq!(running["state"]["state"], "running");
    host.end().await
}

#[tokio::test]
async fn a_client_that_never_listens_is_no_listening_one() -> Result<()> {
    let settings = Settings::default()
        .clients(10)?
        .template("default", &["--no-bind"])?;
    let host = Host::with(settings).await?;
    let openwx = host.openwx()?;
    openwx.start("a1").await?;
    openwx.until_state("a1", "scaning").await?;
    let status = host.client("a1").await?;
    assert_eq!(status["phase"], "spawned");
    check!(status["listening_ms"].is_null(), "{status}");
    host.end().await
}

#[tokio::test]
async fn a_state_file_of_an_earlier_process_counts_for_nothing() -> Result<()> {
    let settings = Settings::default()
        .clients(10)?
        .template("default", &["--stale-state"])?;
    let host = Host::with(settings).await?;
    let openwx = host.openwx()?;
    let started = openwx.start("a1").await?;
    Stub::up(started.port).await?;
    // Longer than the host takes to look at it.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let status = host.client("a1").await?;
    assert_eq!(status["phase"], "listening", "{status}");
    let answer = openwx.check("a1").await?;
    check!(
        !answer.to_string().contains("\"state\":\"running\""),
        "{answer}"
    );
    host.end().await
}

#[tokio::test]
async fn what_a_process_left_is_not_told_of_the_next() -> Result<()> {
    let settings = Settings::default()
        .clients(10)?
        .template("default", &["--slow-bind-ms", "3000", "--step-ms", "1500"])?;
    let host = Host::with(settings).await?;
    let openwx = host.openwx()?;
    let dir = host.client_dir("a1");
    std::fs::create_dir_all(&dir)?;
    let stale = json!({"account": "a1", "pid": 1, "state": "running", "start_time": "1477273654"});
    std::fs::write(dir.join("mojo_weixin_state_a1.json"), stale.to_string())?;
    std::fs::write(dir.join("mojo_weixin_qrcode_a1.jpg"), "an old code")?;
    openwx.start("a1").await?;
    let answer = openwx.check("a1").await?;
    check!(!answer.to_string().contains("running"), "{answer}");
    assert_eq!(openwx.get("get_qrcode?client=a1").await?.status, 404);
    assert_eq!(host.client("a1").await?["phase"], "spawned");
    host.end().await
}

#[tokio::test]
async fn a_crash_is_started_again() -> Result<()> {
    let host = Host::with(Settings::default().clients(10)?).await?;
    let openwx = host.openwx()?;
    openwx.log_in("a1").await?;
    for kill in 1..=2 {
        let pid = number(&host.client("a1").await?, "pid")?;
        process::kill9(pid)?;
        let status = until_another(&host, "a1", pid).await?;
        host.until_phase("a1", "running").await?;
        check!(
            status["restarts"].as_u64().is_some_and(|it| it >= kill),
            "{status}"
        );
        check!(
            status["last_end"]["reason"]
                .as_str()
                .is_some_and(|it| !it.is_empty()),
            "{status}"
        );
    }
    check!(
        !host.client_dir("a1").join("stub_twice").exists(),
        "two at a time"
    );
    host.end().await
}

#[tokio::test]
async fn who_ends_too_often_has_failed_until_somebody_clears_it() -> Result<()> {
    let settings = Settings::default()
        .clients(10)?
        .template("default", &["--crash-after-ms", "50", "--exit-code", "9"])?
        .set("openwx.restart.tries_max", 3)
        .set("openwx.restart.wait_min_ms", 50);
    let mut host = Host::with(settings).await?;
    let openwx = host.openwx()?;
    openwx.start("a1").await?;
    let failed = host.until_phase("a1", "failed").await?;
    assert_eq!(failed["restarts"], 3, "{failed}");
    check!(
        failed["reason"].as_str().is_some_and(|it| !it.is_empty()),
        "{failed}"
    );
    check!(
        failed["last_end"]["reason"]
            .as_str()
            .is_some_and(|it| it.contains('9')),
        "{failed}"
    );
    check!(failed["pid"].is_null(), "{failed}");
    check!(
        log_of(&host, "a1").await?.matches("about to end").count() == 4,
        "the log"
    );

    // It stays so, also after a restart of the host.
    check!(host.terminate().await?.success(), "an orderly end");
    host.start_again().await?;
    let after = host.client("a1").await?;
    assert_eq!(
        (&after["phase"], &after["reason"]),
        (&json!("failed"), &failed["reason"])
    );
    let cleared = host.api()?.post("/clients/a1/clear", &json!({})).await?;
    check!(cleared["phase"] != "failed", "{cleared}");
    host.until_phase("a1", "failed").await?;
    let started = host.openwx()?.try_start("a1", &[]).await?;
    assert_eq!(started["status"], "success", "a start clears as well");
    host.end().await
}

#[tokio::test]
async fn a_wait_shows_when_it_ends() -> Result<()> {
    let settings = Settings::default()
        .clients(10)?
        .template("default", &["--crash-after-ms", "50"])?
        .set("openwx.restart.wait_min_ms", 60_000);
    let host = Host::with(settings).await?;
    let openwx = host.openwx()?;
    openwx.start("a1").await?;
    // What the process has left behind is seen to before the wait begins.
    let waiting = poll::until("it waits until then", SOON, async || {
        let status = host.client("a1").await?;
        Ok(status["next_start_ms"].is_u64().then_some(status))
    })
    .await?;
    assert_eq!(waiting["phase"], "waiting");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let next = waiting["next_start_ms"].as_u64().context("next_start_ms")?;
    let wait = i128::from(next) - i128::try_from(now.as_millis())?;
    check!((50_000..=91_000).contains(&wait), "it waits {wait} ms");
    // Somebody who does not want to wait has it started at once.
    host.api()?.post("/clients/a1/restart", &json!({})).await?;
    host.until_phase("a1", "waiting").await?;
    openwx.stop("a1").await?;
    openwx.until_gone("a1").await?;
    host.end().await
}

#[tokio::test]
async fn a_start_of_a_client_that_waits_is_not_put_off() -> Result<()> {
    let settings = Settings::default()
        .clients(10)?
        .set("openwx.restart.wait_min_ms", 60_000);
    let host = Host::with(settings).await?;
    let openwx = host.openwx()?;
    let former = openwx.start("a1").await?;
    Stub::up(former.port).await?;
    process::kill9(former.pid)?;
    host.until_phase("a1", "waiting").await?;
    let began = Instant::now();
    let again = openwx.start("a1").await?;
    check!(began.elapsed() < SOON, "only after {:?}", began.elapsed());
    check!(again.pid != former.pid, "{}", again.answer);
    let facts = Stub::up(again.port).await?.facts().await?;
    assert_eq!(
        (&facts["pid"], &facts["account"]),
        (&json!(again.pid), &json!("a1"))
    );
    let status = host.client("a1").await?;
    check!(status["next_start_ms"].is_null(), "{status}");
    assert_eq!(process::of_folder(host.home()), [again.pid]);
    host.end().await
}

#[tokio::test]
async fn who_ends_as_it_should_is_not_started_again() -> Result<()> {
    let mut host = Host::with(Settings::default().clients(10)?).await?;
    let openwx = host.openwx()?;
    let stub = openwx.log_in("a1").await?;
    stub.stop().await?;
    let ended = host.until_phase("a1", "stopped").await?;
    assert_eq!(ended["restarts"], 0, "{ended}");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(host.client("a1").await?["phase"], "stopped");
    check!(host.terminate().await?.success(), "an orderly end");
    host.start_again().await?;
    assert_eq!(host.client("a1").await?["phase"], "stopped");
    let again = host.openwx()?.try_start("a1", &[]).await?;
    assert_eq!(again["status"], "success");
    host.end().await
}

#[tokio::test]
async fn ten_codes_that_nobody_scans_are_the_end() -> Result<()> {
    let settings = Settings::default()
        .clients(10)?
        .template("default", &["--code-ms", "60"])?
        .template("silent", &["--code-ms", "250", "--silent-end"])?;
    let host = Host::with(settings).await?;
    let openwx = host.openwx()?;
    openwx.start("a1").await?;
    let silent = [("template", "silent")];
    openwx.start_with("a2", &silent).await?;
    let three = [("template", "silent"), ("qrcode_count_max", "3")];
    openwx.start_with("a3", &three).await?;
    for (name, reason) in [
        ("a1", "it stopped by itself"),
        ("a2", "none of the 10 codes"),
        ("a3", "none of the 3 codes"),
    ] {
        let ended = host.until_phase(name, "stopped").await?;
        let told = ended["reason"].as_str().unwrap_or_default();
        check!(told.starts_with(reason), "{name}: {ended}");
        assert_eq!(ended["last_end"]["reason"], told, "{name}");
        assert_eq!(ended["restarts"], 0, "{ended}");
    }
    host.end().await
}

#[tokio::test]
async fn who_ends_while_codes_are_left_is_started_again() -> Result<()> {
    let settings = Settings::default().clients(10)?.template(
        "default",
        &["--code-ms", "250", "--codes", "3", "--silent-end"],
    )?;
    let host = Host::with(settings).await?;
    let started = host.openwx()?.start("a1").await?;
    let status = until_another(&host, "a1", started.pid).await?;
    check!(status["last_end"]["reason"].is_string(), "{status}");
    host.end().await
}

#[tokio::test]
async fn a_client_that_stopped_answering_is_started_again() -> Result<()> {
    let settings = Settings::default()
        .clients(10)?
        .template("default", &["--hang-once", "--cookie-login"])?
        .set("openwx.probe_ms", 300)
        .set("openwx.probes_max", 2);
    let host = Host::with(settings).await?;
    let openwx = host.openwx()?;
    let started = openwx.start("a1").await?;
    openwx.until_state("a1", "running").await?;
    let status = until_another(&host, "a1", started.pid).await?;
    check!(status["last_end"]["reason"].is_string(), "{status}");
    host.until_phase("a1", "running").await?;
    let answered = openwx.json("get_user_info?client=a1").await?;
    assert_eq!(answered["account"], "a1");
    host.end().await
}

#[tokio::test]
async fn nobody_is_probed_during_a_scan() -> Result<()> {
    let settings = Settings::default()
        .clients(10)?
        .set("openwx.probe_ms", 200)
        .set("openwx.probes_max", 1);
    let host = Host::with(settings).await?;
    let openwx = host.openwx()?;
    let started = openwx.start("a1").await?;
    openwx.until_state("a1", "scaning").await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let status = host.client("a1").await?;
    assert_eq!(
        (&status["pid"], &status["restarts"]),
        (&json!(started.pid), &json!(0))
    );
    host.end().await
}

#[tokio::test]
async fn who_takes_too_much_memory_is_started_again() -> Result<()> {
    let settings = Settings::default()
        .clients(10)?
        .template("default", &["--leak-memory-mb", "256", "--cookie-login"])?
        .set("openwx.memory_bytes_max", 96 * 1024 * 1024);
    let host = Host::with(settings).await?;
    let openwx = host.openwx()?;
    let started = openwx.start("a1").await?;
    let status = until_another(&host, "a1", started.pid).await?;
    let reason = status["last_end"]["reason"].as_str().unwrap_or_default();
    check!(reason.contains("memory"), "{status}");
    host.end().await
}

#[tokio::test]
async fn what_a_client_uses_is_sampled() -> Result<()> {
    let host = Host::with(Settings::default().clients(10)?).await?;
    host.openwx()?.start("a1").await?;
    let usage = poll::until("its usage is known", SOON, async || {
        let usage = host.client("a1").await?["usage"].clone();
        Ok(usage.is_object().then_some(usage))
    })
    .await?;
    let bytes = usage["rss_bytes"].as_u64().unwrap_or_default();
    check!((100_000..100_000_000).contains(&bytes), "{usage}");
    host.end().await
}

#[tokio::test]
async fn a_child_that_is_left_behind_is_ended() -> Result<()> {
    for (argument, how) in [
        ("--leave-child", "stop"),
        ("--leave-child", "kill"),
        ("--leave-escaped-child", "stop"),
        ("--leave-escaped-child", "kill"),
    ] {
        let settings = Settings::default()
            .clients(10)?
            .template("default", &[argument])?;
        let host = Host::with(settings).await?;
        let openwx = host.openwx()?;
        let started = openwx.start("a1").await?;
        Stub::up(started.port).await?;
        assert_eq!(process::of_folder(host.home()).len(), 2, "it and its child");
        match how {
            "stop" => drop(openwx.stop("a1").await?),
            _ => {
                process::kill9(started.pid)?;
                let status = until_another(&host, "a1", started.pid).await?;
                Stub::up(u16::try_from(number(&status, "port")?)?).await?;
                let left = process::of_folder(host.home());
                check!(left.len() == 2, "{argument}, {how}: {left:?}");
                openwx.stop("a1").await?;
            }
        }
        openwx.until_gone("a1").await?;
        host.until_no_client(OUTLIVED_MAX)
            .await
            .context(format!("{argument}, {how}"))?;
        host.end().await?;
    }
    Ok(())
}

/// A script's piece that starts a process elsewhere which writes its id into this file
/// of the data directory.
fn hides(environment: &str, file: &str) -> String {
    format!("{environment} setsid sh -c 'echo $$ > {{data}}/{file}; exec sleep 600' & ")
}

async fn hidden(host: &Host, file: &str) -> Result<u32> {
    let file = host.data().join(file);
    poll::until("it has hidden", SOON, async || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        Ok(text.trim().parse::<u32>().ok())
    })
    .await
}

#[tokio::test]
async fn a_process_that_hides_ends_with_its_client_all_the_same() -> Result<()> {
    // The last forks faster than it can be looked for, but not for ever.
    let script = [
        "cd /; ".to_owned(),
        hides("env -i", "nameless"),
        hides("env WX_CLIENT=a2", "false"),
        hides(
            "env -i WX_CLIENTS_OF=\"$WX_CLIENTS_OF\" WX_CLIENT=a2",
            "forged",
        ),
        hides(
            "env -i WX_CLIENTS_OF=\"$WX_CLIENTS_OF\" WX_CLIENT=gone",
            "stale",
        ),
        "setsid sh -c 'f() { [ $1 -gt 0 ] && f $(($1 - 1)) & }; f 50000' & ".to_owned(),
        "exec sleep 600".to_owned(),
    ];
    let settings = Settings::default()
        .clients(10)?
        .command("hider", &["sh", "-c", &script.concat()]);
    let host = Host::with(settings).await?;
    let openwx = host.openwx()?;
    let other = openwx.start("a2").await?;
    let started = openwx.try_start("a1", &[("template", "hider")]).await?;
    check!(started["code"] == 0, "{started}");
    let mut all = Vec::new();
    for file in ["nameless", "false", "forged", "stale"] {
        all.push(hidden(&host, file).await?);
    }
    openwx.stop("a1").await?;
    openwx.until_gone("a1").await?;
    poll::until("all have ended and were reaped", SOON, async || {
        let proc = |pid: &u32| std::path::PathBuf::from(format!("/proc/{pid}"));
        let gone = all.iter().all(|pid| !proc(pid).exists());
        let left = process::of_folder(host.home());
        Ok((gone && left == [other.pid]).then_some(()))
    })
    .await?;
    check!(!host.client_dir("a1").exists(), "its directory is gone");
    host.end().await
}

#[tokio::test]
async fn a_tree_that_hides_ends_with_the_host() -> Result<()> {
    // The host is handed the inner one only when the outer one has ended.
    let script = "cd /; env -i setsid sh -c 'echo $$ > {data}/outer; setsid sleep 600 & \
                  echo $! > {data}/inner; wait; :' & exec sleep 600";
    let settings = Settings::default()
        .clients(10)?
        .command("hider", &["sh", "-c", script]);
    let mut host = Host::with(settings).await?;
    let started = host.openwx()?;
    let started = started.try_start("a1", &[("template", "hider")]).await?;
    check!(started["code"] == 0, "{started}");
    let all = [hidden(&host, "outer").await?, hidden(&host, "inner").await?];
    check!(host.terminate().await?.success(), "an orderly end");
    let left: Vec<u32> = all
        .into_iter()
        .filter(|it| process::is_alive(*it))
        .collect();
    for pid in &left {
        process::kill9(*pid)?;
    }
    assert_eq!(left, [0; 0], "they outlived the host");
    host.start_again().await?;
    host.end().await
}

#[tokio::test]
async fn a_template_that_is_missing_or_broken_is_said_so() -> Result<()> {
    let settings = Settings::default()
        .clients(10)?
        .command("gone", &["/no/such/program"])
        .command("folder", &["/tmp"]);
    let host = Host::with(settings).await?;
    let openwx = host.openwx()?;
    for name in ["unknown", "gone", "folder"] {
        let answer = openwx.try_start("a1", &[("template", name)]).await?;
        check!(answer["code"] != 0, "{name}: {answer}");
        check!(
            answer["status"].as_str().is_some_and(|it| it.len() > 5),
            "{name}: {answer}"
        );
    }
    assert_eq!(openwx.start("a1").await?.port, host.ports()?.first);
    host.end().await
}

#[tokio::test]
async fn clients_are_back_after_a_restart_of_the_host() -> Result<()> {
    let mut host = Host::with(Settings::default().clients(10)?).await?;
    let openwx = host.openwx()?;
    let stub = openwx.log_in_with("a1", &[("log_level", "warn")]).await?;
    openwx.start("a2").await?;
    openwx.start("a3").await?;
    openwx.stop("a3").await?;
    let former = number(&stub.facts().await?, "pid")?;
    check!(host.terminate().await?.success(), "an orderly end");
    check!(!process::is_alive(former), "the client outlived its host");
    host.until_no_client(Duration::from_secs(1)).await?;
    let pid_file = host
        .data()
        .join("openwx/mojo_weixin_controller_process.pid");
    check!(!pid_file.exists(), "the host's pid file is still there");
    check!(
        !host
            .client_dir("a1")
            .join("mojo_weixin_pid_a1.pid")
            .exists(),
        "a client's pid file"
    );

    host.start_again().await?;
    let openwx = host.openwx()?;
    // Its cookie lets the first in; the second waits for a scan again.
    let entry = openwx.until_state("a1", "running").await?;
    assert_eq!(entry["log_level"], "warn");
    openwx.until_state("a2", "scaning").await?;
    assert_eq!(openwx.check("a3").await?["status"], "client not exists");
    assert_eq!(
        std::fs::read_to_string(&pid_file)?.trim(),
        host.pid()?.to_string()
    );
    host.end().await
}

#[tokio::test]
async fn clients_that_are_told_to_end_with_their_host_are_back() -> Result<()> {
    // Some say that they stop, as their contract wants it, and one says nothing.
    let settings = Settings::default()
        .clients(10)?
        .command("mute", &["sleep", "600"])
        .set("server.drain_ms", 3_000);
    let mut host = Host::with(settings).await?;
    let openwx = host.openwx()?;
    let logged_in = openwx.log_in("a1").await?;
    let mut pids = vec![number(&logged_in.facts().await?, "pid")?];
    pids.push(openwx.start("a2").await?.pid);
    openwx.until_state("a2", "scaning").await?;
    let mute = openwx.try_start("a3", &[("template", "mute")]).await?;
    pids.push(number(&mute, "pid")?);

    // The end of the host takes as long as this request, which is half sent.
    let mut line = TcpStream::connect(host.address()?).await?;
    let request = format!(
        "POST /api/v1/clients HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\
         Expect: 100-continue\r\n\r\n",
        host.token()?
    );
    line.write_all(request.as_bytes()).await?;
    // Now it is being read.
    let mut word = [0; 12];
    poll::within("the host asks for the body", SOON, async {
        line.read_exact(&mut word).await?;
        Ok(())
    })
    .await?;
    assert_eq!(&word, b"HTTP/1.1 100");
    let home = host.home().to_owned();
    // As a service manager does: to all at once, in any order.
    for pid in &pids {
        process::terminate(*pid)?;
    }
    host.signal_end()?;
    poll::until("the clients have ended", SOON, async || {
        Ok(process::of_folder(&home).is_empty().then_some(()))
    })
    .await?;
    let began = Instant::now();
    let another = async {
        while process::of_folder(&home).is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        status = host.wait() => check!(status?.success(), "an orderly end"),
        () = another => wxhost_tests::fail!("a client was started while the host ended"),
    }
    check!(
        began.elapsed() > Duration::from_secs(1),
        "nothing held it up"
    );

    host.start_again().await?;
    let openwx = host.openwx()?;
    openwx.until_state("a1", "running").await?;
    openwx.until_state("a2", "scaning").await?;
    let status = poll::until("it has a process", SOON, async || {
        let status = host.client("a3").await?;
        Ok(status["pid"].is_u64().then_some(status))
    })
    .await?;
    assert_eq!(status["restarts"], 0, "{status}");
    host.end().await
}

#[tokio::test]
async fn no_client_outlives_a_host_that_is_killed_and_all_are_back() -> Result<()> {
    // They neither look for their parent nor end when they are told to: it is the
    // system that has to end them, before another host comes.
    let deaf = ["--parent-check-ms", "600000", "--ignore-term"];
    let settings = Settings::default()
        .clients(40)?
        .template("default", &deaf)?;
    let mut host = Host::with(settings).await?;
    let openwx = host.openwx()?;
    for number in 0..MANY {
        openwx.start(&format!("a{number}")).await?;
    }
    for number in 0..MANY {
        openwx.until_state(&format!("a{number}"), "scaning").await?;
    }
    let before = process::of_folder(host.home());
    assert_eq!(before.len(), MANY as usize);
    host.kill9().await?;
    let began = Instant::now();
    host.until_no_client(ENDED_WITH_HOST_MAX).await?;
    eprintln!("{MANY} clients gone {:?} after their host", began.elapsed());

    host.start_again().await?;
    let openwx = host.openwx()?;
    for number in 0..MANY {
        openwx.until_state(&format!("a{number}"), "scaning").await?;
    }
    let after = process::of_folder(host.home());
    assert_eq!(after.len(), MANY as usize);
    check!(
        after.iter().all(|pid| !before.contains(pid)),
        "an old one is still there"
    );
    host.end().await
}

#[tokio::test]
async fn who_has_no_port_when_the_host_begins_is_started_once_there_is_one() -> Result<()> {
    let mut host = Host::with(Settings::default().clients(1)?).await?;
    let stub = host.openwx()?.log_in("a1").await?;
    check!(host.terminate().await?.success(), "an orderly end");
    let taken = std::net::TcpListener::bind(("127.0.0.1", stub.port))?;
    host.start_again().await?;
    let waiting = poll::until("the trouble is told", SOON, async || {
        let status = host.client("a1").await?;
        let reason = status["reason"].as_str().unwrap_or_default();
        Ok(reason.contains("port").then_some(status))
    })
    .await?;
    check!(waiting["pid"].is_null(), "{waiting}");
    assert_eq!(waiting["phase"], "waiting", "{waiting}");
    check!(waiting["next_start_ms"].is_u64(), "{waiting}");
    drop(taken);
    let running = host.until_phase("a1", "running").await?;
    assert_eq!(running["port"], stub.port, "{running}");
    host.end().await
}

#[tokio::test]
async fn clients_that_do_not_want_to_end_end_with_the_host() -> Result<()> {
    let settings = Settings::default().clients(10)?.template(
        "default",
        &[
            "--ignore-term",
            "--leave-child",
            "--parent-check-ms",
            "600000",
        ],
    )?;
    let mut host = Host::with(settings).await?;
    let openwx = host.openwx()?;
    for name in ["a1", "a2"] {
        Stub::up(openwx.start(name).await?.port).await?;
    }
    let began = Instant::now();
    check!(host.terminate().await?.success(), "an orderly end");
    check!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    host.until_no_client(Duration::from_secs(1)).await?;
    host.start_again().await?;
    host.kill9().await?;
    // Their children are nobody's any more: the next host ends what it finds.
    host.start_again().await?;
    for name in ["a1", "a2"] {
        host.openwx()?.until_state(name, "scaning").await?;
    }
    assert_eq!(process::of_folder(host.home()).len(), 4);
    host.end().await
}

#[tokio::test]
async fn the_control_api_and_the_cli_know_clients() -> Result<()> {
    let host = Host::with(
        Settings::default()
            .clients(10)?
            .template("other", &["--cookie-login"])?,
    )
    .await?;
    let api = host.api()?;
    let body = json!({"name": "a1", "template": "other", "parameters": {"log_level": "warn"}});
    let started = api.post("/clients", &body).await?;
    assert_eq!(
        (&started["name"], &started["template"]),
        (&json!("a1"), &json!("other"))
    );
    host.until_phase("a1", "running").await?;
    let again = api.request(Method::POST, "/clients", Some(&body)).await?;
    assert_eq!(again.status, 409, "{again:?}");
    let all = api.get("/clients").await?;
    assert_eq!(all["items"][0]["name"], "a1");
    let bad = api
        .request(Method::POST, "/clients", Some(&json!({"name": "../x"})))
        .await?;
    check!((400..500).contains(&bad.status), "{bad:?}");
    let former = number(&host.client("a1").await?, "pid")?;
    api.post("/clients/a1/restart", &json!({})).await?;
    until_another(&host, "a1", former).await?;
    let not_over = api
        .request(Method::POST, "/clients/a1/clear", Some(&json!({})))
        .await?;
    assert_eq!(not_over.status, 409);

    let cli = async |arguments: &[&str]| -> Result<String> {
        let output = host.cli(arguments).await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        check!(output.status.success(), "{arguments:?}: {output:?}");
        Ok(text)
    };
    check!(
        cli(&["client", "start", "a2"]).await?.contains("a2"),
        "start"
    );
    check!(cli(&["client", "list"]).await?.contains("a2"), "list");
    check!(cli(&["client", "show", "a1"]).await?.contains("a1"), "show");
    check!(
        cli(&["client", "log", "a1"])
            .await?
            .contains("a1 begins as process"),
        "log"
    );
    cli(&["client", "restart", "a2"]).await?;
    cli(&["client", "stop", "a2"]).await?;
    host.openwx()?.until_gone("a2").await?;
    let gone = api.request(Method::DELETE, "/clients/a1", None).await?;
    check!((200..300).contains(&gone.status), "{gone:?}");
    host.openwx()?.until_gone("a1").await?;
    let unknown = api.request(Method::GET, "/clients/a1", None).await?;
    unknown.problem(404, "not-found")?;
    host.end().await
}

#[tokio::test]
async fn a_start_that_is_watched_shows_the_code_and_ends_with_the_login() -> Result<()> {
    let settings = Settings::default()
        .clients(10)?
        .template("default", &["--scan-after-ms", "2500"])?;
    let host = Host::with(settings).await?;
    let output = host.cli(&["client", "start", "rose", "--watch"]).await?;
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    check!(output.status.success(), "{output:?}");
    check!(shown.contains('█') && shown.contains("rose"), "{shown}");
    assert_eq!(host.client("rose").await?["phase"], "running");
    host.end().await
}
