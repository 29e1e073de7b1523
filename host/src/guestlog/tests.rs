//! What is kept, what is told, and what has a bound.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, time::Duration};

use super::*;
use crate::domain::{
    AccountId,
    handler::{Line, LogLevel, VersionNumber},
    ports,
};

const SMALL: Config = Config {
    account_bytes_max: 8 * 1024,
    disk_bytes_max: 64 * 1024,
};

fn open_at(data: &Path) -> DiskLogs {
    DiskLogs::open(&SMALL, data, Arc::new(|| 7)).unwrap()
}

fn id(text: &str) -> AccountId {
    text.try_into().unwrap()
}

fn name(text: &str) -> HandlerName {
    text.try_into().unwrap()
}

fn said(handler: &str, account: &str, at_ms: Millis, texts: &[&str]) -> CallLog {
    let line = |text: &&str| Line {
        at_ms,
        level: match text.starts_with('!') {
            true => LogLevel::Error,
            false => LogLevel::Info,
        },
        context: String::new(),
        text: (*text).to_owned(),
    };
    CallLog {
        handler: name(handler),
        account: (!account.is_empty()).then(|| id(account)),
        version: VersionNumber(3),
        event: "msg-1".to_owned(),
        lines: texts.iter().map(line).collect(),
    }
}

fn all_of(handler: &str) -> LogQuery {
    LogQuery {
        handler: name(handler),
        account: None,
        level: LogLevel::Trace,
        after: None,
        lines: 1000,
    }
}

fn of(handler: &str, account: &str) -> LogQuery {
    LogQuery {
        account: Some(id(account)),
        ..all_of(handler)
    }
}

async fn texts(logs: &DiskLogs, query: LogQuery) -> Vec<String> {
    let lines = logs.read(query).await.unwrap().into_iter();
    lines.map(|line| line.text).collect()
}

fn bytes_below(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata().unwrap() {
        about if about.is_dir() => bytes_below(&entry.path()),
        about => about.len(),
    };
    entries.map(size).sum()
}

#[tokio::test]
async fn lines_are_read_by_account_level_and_number_and_survive_the_host() {
    let data = tempfile::tempdir().unwrap();
    let logs = open_at(data.path());
    logs.append(said("echo", "a", 1, &["one", "!two"]));
    logs.append(said("echo", "b", 2, &["three"]));
    logs.append(said("echo", "a", 3, &["four\nfive\u{1b}"]));
    logs.append(said("gate", "", 4, &["who"]));
    let everything = ["one", "!two", "three", "four\nfive\u{1b}"];
    assert_eq!(texts(&logs, all_of("echo")).await, everything);
    logs.close().await;
    logs.append(said("echo", "a", 9, &["too late"]));

    let logs = open_at(data.path());
    assert_eq!(texts(&logs, all_of("echo")).await, everything);
    assert_eq!(texts(&logs, all_of("gate")).await, ["who"]);
    let last = LogQuery {
        lines: 2,
        ..of("echo", "a")
    };
    assert_eq!(texts(&logs, last).await, ["!two", "four\nfive\u{1b}"]);
    let grave = LogQuery {
        level: LogLevel::Warn,
        ..all_of("echo")
    };
    assert_eq!(texts(&logs, grave).await, ["!two"]);
    let none = LogQuery {
        lines: 0,
        ..all_of("echo")
    };
    assert!(texts(&logs, none).await.is_empty());
    assert!(texts(&logs, all_of("nobody")).await.is_empty());
    logs.append(said("echo", "a", 5, &["on"]));
    assert_eq!(texts(&logs, of("echo", "a")).await.last().unwrap(), "on");
    logs.close().await;
}

#[tokio::test]
async fn an_account_keeps_its_newest_lines_and_no_more_than_its_share() {
    let data = tempfile::tempdir().unwrap();
    let logs = open_at(data.path());
    for number in 0..200 {
        let text = format!("{number} {}", "x".repeat(100));
        logs.append(said("echo", "a", number, &[&text]));
        if number % 20 == 0 {
            logs.0.queue.written().await;
        }
    }
    let kept = texts(&logs, of("echo", "a")).await;
    assert!(kept.last().unwrap().starts_with("199 "));
    assert!(!kept.iter().any(|text| text.starts_with("0 ")));
    assert!(kept.len() > 10, "{}", kept.len());
    assert!(bytes_below(data.path()) <= SMALL.account_bytes_max);
    let long = "\u{1}".repeat(100_000);
    logs.append(said("echo", "a", 300, &[&long, "after"]));
    let kept = texts(&logs, of("echo", "a")).await;
    assert_eq!(kept.last().unwrap(), "after");
    assert!(bytes_below(data.path()) <= SMALL.account_bytes_max);
    logs.close().await;
}

#[tokio::test]
async fn the_oldest_logs_go_when_all_of_them_take_too_much() {
    let data = tempfile::tempdir().unwrap();
    let logs = open_at(data.path());
    for number in 0..40u64 {
        logs.append(said("echo", &format!("a{number}"), number, &["x"]));
        logs.append(said("echo", "always", number, &["x"]));
        logs.0.queue.written().await;
    }
    // Each takes a block.
    assert!(texts(&logs, of("echo", "a0")).await.is_empty());
    assert_eq!(texts(&logs, of("echo", "a39")).await, ["x"]);
    assert_eq!(texts(&logs, of("echo", "always")).await.len(), 40);
    let files = fs::read_dir(data.path().join("logs/handlers/echo")).unwrap();
    assert!(files.count() <= 16);
    logs.close().await;
}

#[tokio::test]
async fn whoever_says_too_much_at_once_pushes_out_nobody_else() {
    let data = tempfile::tempdir().unwrap();
    // Nobody writes: what waits is what counts.
    let queue = Queue::new(8 * 1024, Arc::new(|| 7));
    let flood = "x".repeat(1000);
    for number in 0..100 {
        queue.put(said("echo", "loud", number, &[&flood]));
    }
    queue.put(said("echo", "quiet", 1, &["heard"]));
    queue.close();
    let round = queue.take().unwrap();
    let mut said: Vec<_> = round.said.into_iter().collect();
    said.sort_by_key(|(place, _)| place.account.clone());
    let lines: Vec<Vec<String>> = said
        .into_iter()
        .map(|(_, said)| said.lines().map(|line| line.text).collect())
        .collect();
    let [loud, quiet] = lines.as_slice() else {
        unreachable!("{lines:?}");
    };
    assert!(loud.first().unwrap().contains("lines lost"), "{loud:?}");
    assert!(loud.len() < 9);
    assert_eq!(quiet, &["heard"]);
    assert!(queue.take().is_none());
    drop(data);
}

#[tokio::test]
async fn a_disk_that_takes_nothing_is_said_in_the_log_later() {
    let data = tempfile::tempdir().unwrap();
    let logs = open_at(data.path());
    let dir = data.path().join("logs/handlers");
    // A file in the place of the directory.
    fs::write(dir.join("echo"), "").unwrap();
    logs.append(said("echo", "a", 1, &["one", "two"]));
    logs.0.queue.written().await;
    fs::remove_file(dir.join("echo")).unwrap();
    logs.append(said("echo", "a", 2, &["three"]));
    let kept = texts(&logs, of("echo", "a")).await;
    let [lost, three] = kept.as_slice() else {
        unreachable!("{kept:?}");
    };
    assert!(lost.starts_with("2 lines lost"), "{lost}");
    assert_eq!(three, "three");
    logs.close().await;
}

#[tokio::test]
async fn what_was_torn_spoils_no_line_after_it() {
    let data = tempfile::tempdir().unwrap();
    let logs = open_at(data.path());
    logs.append(said("echo", "a", 1, &["one"]));
    logs.close().await;
    let file = data.path().join("logs/handlers/echo/a.log");
    let mut bytes = fs::read(&file).unwrap();
    bytes.extend_from_slice(b"{\"at_ms\":2,\"acc");
    fs::write(&file, bytes).unwrap();
    let logs = open_at(data.path());
    logs.append(said("echo", "a", 3, &["three"]));
    assert_eq!(texts(&logs, of("echo", "a")).await, ["one", "three"]);
    logs.close().await;
}

#[tokio::test]
async fn followers_miss_nothing_in_between_and_are_told_what_they_missed() {
    let data = tempfile::tempdir().unwrap();
    let logs = open_at(data.path());
    logs.append(said("echo", "a", 1, &["before"]));
    let (lines, mut follower) = logs.follow(of("echo", "a")).await.unwrap();
    assert_eq!(lines.len(), 1);
    logs.append(said("echo", "b", 2, &["another's"]));
    logs.append(said("echo", "a", 3, &["after"]));
    let next = follower.next().await.unwrap();
    let ports::Followed::Line(line) = next else {
        unreachable!("{next:?}");
    };
    assert_eq!(line.text, "after");
    for number in 0..3000 {
        logs.append(said("echo", "a", number, &["much"]));
        if number % 20 == 0 {
            logs.0.queue.written().await;
        }
    }
    logs.0.queue.written().await;
    let next = follower.next().await.unwrap();
    assert!(matches!(next, ports::Followed::Missed(_)), "{next:?}");
    logs.close().await;
    let over = async { while follower.next().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(5), over)
        .await
        .unwrap();
    let (_, mut late) = logs.follow(of("echo", "a")).await.unwrap();
    assert_eq!(late.next().await, None);
}

#[tokio::test]
async fn a_handlers_log_goes_with_it() {
    let data = tempfile::tempdir().unwrap();
    let logs = open_at(data.path());
    logs.append(said("echo", "a", 1, &["one"]));
    logs.append(said("faq", "a", 1, &["other"]));
    logs.0.queue.written().await;
    let (_, mut follower) = logs.follow(all_of("echo")).await.unwrap();
    logs.append(said("echo", "a", 2, &["two"]));
    logs.remove(&name("echo"));
    assert_eq!(follower.next().await, None);
    assert!(texts(&logs, all_of("echo")).await.is_empty());
    assert_eq!(texts(&logs, all_of("faq")).await, ["other"]);
    assert!(!data.path().join("logs/handlers/echo").exists());
    logs.close().await;
}

#[test]
fn settings_that_can_not_work_are_refused_by_name() {
    assert_eq!(Config::default().check(), Ok(()));
    let small = Config {
        account_bytes_max: 1,
        ..Config::default()
    };
    let problem = small.check().unwrap_err();
    assert!(problem.starts_with("handler_logs.account_bytes_max"));
    let tight = Config {
        disk_bytes_max: 256 * 1024,
        ..Config::default()
    };
    let problem = tight.check().unwrap_err();
    assert!(problem.starts_with("handler_logs.disk_bytes_max"));
}

#[tokio::test]
async fn whoever_goes_on_gets_what_was_kept_since_whenever_it_was_said() {
    let data = tempfile::tempdir().unwrap();
    let logs = open_at(data.path());
    logs.append(said("echo", "a", 100, &["first"]));
    let told = logs.read(all_of("echo")).await.unwrap();
    let after = |order| LogQuery {
        after: Some(order),
        ..all_of("echo")
    };
    let told = told.last().unwrap().order;
    assert_eq!(texts(&logs, after(told)).await, [""; 0]);
    // Calls that began before and took longer.
    logs.append(said("echo", "b", 90, &["slow"]));
    assert_eq!(texts(&logs, after(told)).await, ["slow"]);
    logs.append(said("echo", "a", 50, &["slower", "!and so on"]));
    let since = ["slow", "slower", "!and so on"];
    assert_eq!(texts(&logs, after(told)).await, since);
    let (lines, mut follower) = logs.follow(after(told)).await.unwrap();
    assert_eq!(lines.len(), 3);
    logs.append(said("echo", "b", 1, &["next"]));
    let Some(ports::Followed::Line(next)) = follower.next().await else {
        unreachable!("it follows no more");
    };
    assert!(next.text == "next" && lines.iter().all(|line| line.order < next.order));
    logs.close().await;
    // The clock stands still, and the count goes on.
    let logs = open_at(data.path());
    logs.append(said("echo", "a", 2, &["later"]));
    assert_eq!(texts(&logs, after(next.order)).await, ["later"]);
    // By time, as ever.
    let all = ["next", "later", "slower", "!and so on", "slow", "first"];
    assert_eq!(texts(&logs, all_of("echo")).await, all);
}
