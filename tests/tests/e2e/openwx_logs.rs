//! What clients print: kept within bounds, read, followed, and in nobody's way.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

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

/// How much of a log is kept in these tests, in bytes.
const LOG_BYTES_MAX: u64 = 256 * 1024;

#[tokio::test]
async fn what_a_client_prints_can_be_read_and_followed_and_has_a_bound() -> Result<()> {
    let settings = Settings::default()
        .clients(10)?
        .template("default", &["--print-lines", "20000"])?
        .set("openwx.log_bytes_max", LOG_BYTES_MAX);
    let host = Host::with(settings).await?;
    let openwx = host.openwx()?;
    let started = openwx.start("a1").await?;
    Stub::up(started.port).await?;
    poll::until("the last line is there", SOON, async || {
        let log = log_of(&host, "a1").await?;
        Ok(log.contains("line 19999 of a1").then_some(()))
    })
    .await?;
    let log = log_of(&host, "a1").await?;
    check!(!log.contains("line 0 of a1"), "the oldest lines are gone");

    let printed = host.cli(&["client", "log", "a1"]).await?;
    check!(printed.status.success(), "{printed:?}");
    check!(
        String::from_utf8_lossy(&printed.stdout).contains("line 19999 of a1"),
        "the CLI shows it"
    );
    host.end().await
}

#[tokio::test]
async fn a_log_is_followed_while_it_grows() -> Result<()> {
    let settings = Settings::default().clients(10)?;
    let host = Host::with(settings.template("default", &["--cookie-login"])?).await?;
    let started = host.openwx()?.start("a1").await?;
    Stub::up(started.port).await?;
    let mut line = TcpStream::connect(host.address()?).await?;
    let request = format!(
        "GET /api/v1/clients/a1/log?from=0&follow=true HTTP/1.1\r\nHost: x\r\n\
         Authorization: Bearer {}\r\n\r\n",
        host.token()?
    );
    line.write_all(request.as_bytes()).await?;
    let mut text = Vec::new();
    let mut until = async |needle: String| -> Result<()> {
        poll::within(&needle.clone(), SOON, async {
            while wxhost_tests::http::find(&text, needle.as_bytes()).is_none() {
                check!(line.read_buf(&mut text).await? > 0, "the log ends");
            }
            Ok(())
        })
        .await
    };
    until(format!("a1 begins as process {}", started.pid)).await?;
    process::kill9(started.pid)?;
    let status = until_another(&host, "a1", started.pid).await?;
    until(format!("a1 begins as process {}", status["pid"])).await?;
    host.end().await
}

#[tokio::test]
async fn a_full_disk_stops_nobody_and_the_log_says_what_is_lost() -> Result<()> {
    const PRINTED_BYTES: u64 = 10_000_000;
    /// Far more than any other file of a new host has.
    const ROOM_BYTES: u64 = 8 * 1024 * 1024;
    let script = format!(
        "until [ -e {{data}}/begin ]; do sleep 0.05; done; \
         head -c {PRINTED_BYTES} /dev/zero | tr '\\0' x; echo > {{data}}/printed; \
         until [ -e {{data}}/go-on ]; do sleep 0.05; done; echo; echo afterwards; exec sleep 600"
    );
    let settings = Settings::default()
        .clients(10)?
        .command("printer", &["sh", "-c", &script])
        .set("openwx.log_bytes_max", 8 * ROOM_BYTES)
        .bears_full_disks();
    let host = Host::with(settings).await?;
    let started = host.openwx()?;
    let started = started.try_start("a1", &[("template", "printer")]).await?;
    check!(started["code"] == 0, "{started}");
    let file = host.client_log_dir("a1").join("console.log");
    process::limit_files(host.pid()?, Some(ROOM_BYTES))?;
    fs::write(host.data().join("begin"), "")?;
    poll::until("all is printed", SOON, async || {
        Ok(host.data().join("printed").exists().then_some(()))
    })
    .await?;
    poll::until("the host has noticed", SOON, async || {
        let noticed = host.log().contains("what a client prints can't be kept");
        Ok(noticed.then_some(()))
    })
    .await?;
    assert_eq!(fs::metadata(&file)?.len(), ROOM_BYTES);
    process::limit_files(host.pid()?, None)?;
    fs::write(host.data().join("go-on"), "")?;
    let log = poll::until("the log goes on", SOON, async || {
        let log = String::from_utf8_lossy(&fs::read(&file)?).into_owned();
        Ok(log.ends_with("\nafterwards\n").then_some(log))
    })
    .await?;
    let (before, noted) = log
        .split_once("[wxhost: ")
        .context("no note of what is lost")?;
    let (lost, after) = noted
        .split_once(" bytes were not kept: the disk took no more]\n")
        .context("half a note")?;
    let kept = before.matches('x').count() + after.matches('x').count();
    assert_eq!(kept as u64 + lost.parse::<u64>()?, PRINTED_BYTES);
    let shown = log_of(&host, "a1").await?;
    check!(!shown.is_empty(), "nothing of it can be read");
    let status = host.client("a1").await?;
    assert_eq!(
        (&status["restarts"], &status["pid"]),
        (&0.into(), &started["pid"])
    );
    host.end().await
}

#[tokio::test]
async fn a_log_that_can_t_be_written_stops_nobody() -> Result<()> {
    let settings = Settings::default()
        .clients(10)?
        .template("default", &["--print-lines", "3000"])?;
    let host = Host::with(settings).await?;
    let openwx = host.openwx()?;
    // A link is not followed: where it leads is not the log's.
    let logs = host.client_log_dir("a1");
    fs::create_dir_all(&logs)?;
    let elsewhere = host.home().join("elsewhere");
    fs::write(&elsewhere, "")?;
    std::os::unix::fs::symlink(&elsewhere, logs.join("console.log"))?;
    let started = openwx.start("a1").await?;
    let stub = Stub::up(started.port).await?;
    stub.scan().await?;
    openwx.until_state("a1", "running").await?;
    assert_eq!(
        openwx.json("get_user_info?client=a1").await?["account"],
        "a1"
    );
    assert_eq!(host.client("a1").await?["restarts"], 0);
    assert_eq!(fs::metadata(&elsewhere)?.len(), 0);
    host.end().await
}

fn files_with(folder: &Path, text: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(&path, text)?);
        } else if wxhost_tests::http::find(&fs::read(&path).unwrap_or_default(), text.as_bytes())
            .is_some()
        {
            found.push(path);
        }
    }
    Ok(found)
}

#[tokio::test]
async fn a_log_is_at_no_time_larger_than_it_may_be() -> Result<()> {
    let settings = Settings::default()
        .clients(10)?
        .template("default", &["--print-lines", "40000"])?
        .set("openwx.log_bytes_max", LOG_BYTES_MAX);
    let host = Host::with(settings).await?;
    host.openwx()?.start("a1").await?;
    let mut most = 0;
    poll::until("the last line is there", SOON, async || {
        for _ in 0..20 {
            most = most.max(log_bytes(&host.client_log_dir("a1"))?);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let log = log_of(&host, "a1").await?;
        Ok(log.contains("line 39999 of a1").then_some(()))
    })
    .await?;
    most = most.max(log_bytes(&host.client_log_dir("a1"))?);
    check!(most <= LOG_BYTES_MAX, "{most} bytes on disk");
    check!(
        most > LOG_BYTES_MAX / 4,
        "no more than {most} bytes are kept"
    );
    host.end().await
}

/// The size of all files that hold what a client printed. One that is renamed
/// meanwhile may be missed, but never counts twice.
fn log_bytes(folder: &Path) -> Result<u64> {
    let mut files = std::collections::BTreeMap::new();
    // It is made with the first line.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        use std::os::unix::fs::MetadataExt;
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Ok(data) = entry.metadata()
            && name.contains(".log")
        {
            files.insert(data.ino(), data.len());
        }
    }
    Ok(files.values().sum())
}

#[tokio::test]
async fn a_log_whose_file_is_removed_goes_on() -> Result<()> {
    let host = Host::with(Settings::default().clients(10)?).await?;
    let started = host.openwx()?.start("a1").await?;
    let stub = Stub::up(started.port).await?;
    stub.print("before").await?;
    poll::until("it is kept", SOON, async || {
        Ok(log_of(&host, "a1").await?.contains("before").then_some(()))
    })
    .await?;
    for log in files_with(&host.client_log_dir("a1"), "before")? {
        fs::remove_file(log)?;
    }
    // What is printed just then may be lost with the file.
    poll::until("what comes later is kept", SOON, async || {
        stub.print("afterwards").await?;
        let log = log_of(&host, "a1").await?;
        Ok(log.contains("afterwards").then_some(()))
    })
    .await?;
    let on_disk = files_with(&host.client_log_dir("a1"), "afterwards")?;
    check!(!on_disk.is_empty(), "it is on no disk");
    assert_eq!(host.client("a1").await?["restarts"], 0);
    host.end().await
}
