//! What handlers say, and how they fail: kept, followed, listed, and in nobody's way.

use std::{
    fs,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use wxhost_tests::{Context, Host, Result, check, guests, host::Settings, http, poll};

/// How soon a line is there that was said.
const SOON: Duration = Duration::from_secs(10);
/// How long a well-behaved account may wait while others flood the log.
const PROMPT: Duration = Duration::from_secs(2);

fn items(list: &Value) -> Vec<Value> {
    list["items"].as_array().cloned().unwrap_or_default()
}

/// The lines of a handler's log, each as `LEVEL CONTEXT: TEXT`.
async fn lines(host: &Host, handler: &str, query: &str) -> Result<Vec<String>> {
    let path = format!("/handlers/{handler}/logs{query}");
    let list = host.api()?.get(&path).await?;
    let word = |line: &Value, field: &str| line[field].as_str().unwrap_or_default().to_owned();
    let line = |line: &Value| {
        let (level, context) = (word(line, "level"), word(line, "context"));
        format!("{level} {context}: {}", word(line, "text"))
    };
    Ok(items(&list).iter().map(line).collect())
}

#[tokio::test]
async fn what_a_bot_says_is_kept_by_account_and_over_restarts() -> Result<()> {
    let mut host = Host::unpaced().await?;
    host.serve_guest("*", "probe").await?;
    let a = host.wehub("wxid_a")?.login().await?;
    for text in [
        "log.debug a detail",
        "log.stdout printed",
        "log.stderr printed too",
        "log.error it is broken",
    ] {
        a.text_from("wxid_bob", text).await?.says("ok")?;
    }
    let b = host.wehub("wxid_b")?.login().await?;
    b.text_from("wxid_bob", "log.warn of b").await?.says("ok")?;
    let of_a = [
        "debug probe: a detail",
        "info stdout: printed",
        "warn stderr: printed too",
        "error probe: it is broken",
    ];
    assert_eq!(lines(&host, "probe", "?account=wxid_a").await?, of_a);
    let all = lines(&host, "probe", "").await?;
    assert_eq!(all.len(), 5, "{all:?}");
    assert_eq!(
        lines(&host, "probe", "?level=warn&lines=2").await?,
        ["error probe: it is broken", "warn probe: of b"]
    );
    let list = host.api()?.get("/handlers/probe/logs?lines=1").await?;
    let line = &items(&list)[0];
    assert_eq!(
        (&line["account"], &line["version"]),
        (&json!("wxid_b"), &json!(1))
    );
    check!(line["at_ms"].as_u64() > Some(0), "{line}");
    check!(line["event"].as_str() > Some("msg-"), "{line}");

    // What is only tried says nothing here.
    let said = json!({"message": {"author": "x", "content": {"text": "log.info trial"}}});
    let request = json!({"event": said});
    let invoked = host.api()?.post("/handlers/probe/invoke", &request).await?;
    check!(
        invoked["output"].to_string().contains("trial"),
        "it is shown"
    );
    host.terminate().await?;
    host.start_again().await?;
    assert_eq!(lines(&host, "probe", "?account=wxid_a").await?, of_a);
    assert_eq!(lines(&host, "probe", "").await?.len(), 5);

    let shown = host.cli(&[
        "handler", "logs", "probe", "--lines", "2", "--level", "warn",
    ]);
    let shown = String::from_utf8_lossy(&shown.await?.stdout).into_owned();
    check!(shown.contains("warn wxid_b  probe: of b"), "{shown}");
    assert_eq!(shown.lines().count(), 2, "{shown}");

    host.api()?.delete("/bindings/*").await?;
    host.api()?.delete("/handlers/probe").await?;
    let folder = host.data().join("logs/handlers/probe");
    poll::until("the log is gone", SOON, async || {
        Ok((!folder.exists()).then_some(()))
    })
    .await?;
    let api = host.api()?;
    let gone = api
        .request(Method::GET, "/handlers/probe/logs", None)
        .await?;
    gone.problem(404, "not-found")?;
    host.end().await
}

#[tokio::test]
async fn bad_questions_name_their_field() -> Result<()> {
    let host = Host::unpaced().await?;
    host.serve_guest("*", "echo").await?;
    let api = host.api()?;
    for (query, field) in [
        ("?lines=1001", "lines"),
        ("?level=loud", "level"),
        ("?account=%2A", "account"),
        ("?follow=yes", "follow"),
        ("?tail=1", "tail"),
    ] {
        let path = format!("/handlers/echo/logs{query}");
        let answer = api.request(Method::GET, &path, None).await?;
        let detail = answer.problem(400, "bad-request")?;
        check!(detail.contains(field), "{detail}");
    }
    let nobody = api.with_token(None);
    let answer = nobody.request(Method::GET, "/handlers/echo/logs?follow=true", None);
    assert_eq!(answer.await?.status, 401);
    host.end().await
}

/// Follows a handler's log over a connection of its own.
struct Following {
    line: TcpStream,
    text: Vec<u8>,
}

impl Following {
    async fn begin(host: &Host, handler: &str, query: &str) -> Result<Self> {
        let mut line = TcpStream::connect(host.address()?).await?;
        let request = format!(
            "GET /api/v1/handlers/{handler}/logs{query} HTTP/1.1\r\nHost: x\r\n\
             Accept: text/event-stream\r\nAuthorization: Bearer {}\r\n\r\n",
            host.token()?
        );
        line.write_all(request.as_bytes()).await?;
        let text = Vec::new();
        let mut following = Self { line, text };
        following.until(": follows").await?;
        Ok(following)
    }

    async fn until(&mut self, needle: &str) -> Result<()> {
        poll::within(needle, SOON, async {
            while http::find(&self.text, needle.as_bytes()).is_none() {
                check!(self.line.read_buf(&mut self.text).await? > 0, "it ends");
            }
            Ok(())
        })
        .await
    }

    /// Everything that comes until the end.
    async fn rest(mut self) -> Result<String> {
        poll::within("the end", SOON, async {
            while self.line.read_buf(&mut self.text).await? > 0 {}
            Ok(())
        })
        .await?;
        Ok(String::from_utf8_lossy(&self.text).into_owned())
    }
}

#[tokio::test]
async fn a_log_is_followed_until_the_host_ends() -> Result<()> {
    let mut host = Host::unpaced().await?;
    host.serve_guest("*", "probe").await?;
    let a = host.wehub("wxid_a")?.login().await?;
    let b = host.wehub("wxid_b")?.login().await?;
    a.text_from("wxid_bob", "log.info before")
        .await?
        .says("ok")?;
    let mut following = Following::begin(&host, "probe", "?account=wxid_a").await?;
    following.until("\"text\":\"before\"").await?;
    b.text_from("wxid_bob", "log.info not his")
        .await?
        .says("ok")?;
    a.text_from("wxid_bob", "log.error after")
        .await?
        .says("ok")?;
    following.until("\"text\":\"after\"").await?;
    // Whoever goes on says after which line.
    let api = host.api()?;
    let log = api.get("/handlers/probe/logs?account=wxid_a").await?;
    let order = &log["items"][0]["order"];
    let path = format!("/handlers/probe/logs?account=wxid_a&after={order}");
    let since = api.get(&path).await?;
    let since: Vec<_> = since["items"].as_array().into_iter().flatten().collect();
    assert_eq!(since.len(), 1, "{since:?}");
    assert_eq!(since[0]["text"], "after");
    host.signal_end()?;
    let all = following.rest().await?;
    check!(
        host.wait().await?.success(),
        "the host waits for no follower"
    );
    check!(all.contains("content-type: text/event-stream"), "{all}");
    let place = |text: &str| all.find(&format!("\"text\":\"{text}\""));
    check!(place("before") < place("after"), "{all}");
    assert_eq!(place("not his"), None);
    check!(all.contains("event: line\ndata: {\"at_ms\":"), "{all}");
    // The last piece of a body that ends as it should.
    check!(all.ends_with("0\r\n\r\n"), "{all}");
    host.end().await
}

#[tokio::test]
async fn the_command_line_follows_until_the_handler_is_gone() -> Result<()> {
    let host = Host::unpaced().await?;
    host.serve_guest("*", "probe").await?;
    let a = host.wehub("wxid_a")?.login().await?;
    a.text_from("wxid_bob", "log.info one").await?.says("ok")?;
    let mut command = host.command(&["handler", "logs", "probe", "-f", "--json"]);
    command.env("WXHOST_URL", format!("http://{}", host.address()?));
    command.env("WXHOST_TOKEN", host.token()?);
    let mut following = command.stdout(Stdio::piped()).spawn()?;
    let mut out = following.stdout.take().context("no stdout")?;
    let mut text = Vec::new();
    let mut until = async |needle: &str| -> Result<()> {
        poll::within(needle, SOON, async {
            while http::find(&text, needle.as_bytes()).is_none() {
                check!(out.read_buf(&mut text).await? > 0, "it ends");
            }
            Ok(())
        })
        .await
    };
    until("\"text\":\"one\"").await?;
    a.text_from("wxid_bob", "log.info two").await?.says("ok")?;
    until("\"text\":\"two\"").await?;
    host.api()?.delete("/bindings/*").await?;
    host.api()?.delete("/handlers/probe").await?;
    let status = poll::within("it ends", SOON, async { Ok(following.wait().await?) });
    check!(status.await?.success(), "it is no failure");
    for line in String::from_utf8_lossy(&text).lines() {
        let line: Value = serde_json::from_str(line)?;
        assert_eq!(line["account"], "wxid_a");
    }
    host.end().await
}

/// The only failure of a handler, from the list and in full.
async fn the_failure(host: &Host, handler: &str) -> Result<(Value, Value)> {
    let list = host
        .api()?
        .get(&format!("/handlers/{handler}/failures"))
        .await?;
    let [item] = items(&list).try_into().ok().context(&list)?;
    let id = item["id"].as_str().context("it has no id")?;
    let path = format!("/handlers/{handler}/failures/{id}");
    let whole = host.api()?.get(&path).await?;
    assert_eq!(whole["id"], item["id"]);
    Ok((item, whole))
}

#[tokio::test]
async fn a_trap_is_found_by_its_id_with_the_names_of_functions() -> Result<()> {
    let mut host = Host::unpaced().await?;
    let a = host.wehub("wxid_a")?.login().await?;
    host.serve_guest("wxid_a", "trap").await?;
    let message = a.text("wxid_bob", "hi");
    a.deliver(&message).await?.silent()?;
    let (item, whole) = the_failure(&host, "trap").await?;
    assert_eq!(item["kind"], "trap");
    assert_eq!(item["account"], "wxid_a");
    assert_eq!(item["event"], message.event_key());
    assert_eq!(item["version"], 1);
    check!(item.get("output").is_none(), "a list is short: {item}");
    let text = whole["message"].as_str().unwrap_or_default();
    check!(text.contains("wasm backtrace"), "{text}");
    check!(text.contains("rust_panic"), "it names functions: {text}");
    check!(text.contains("on-event"), "{text}");
    check!(
        whole["output"].to_string().contains("trapped on purpose"),
        "{whole}"
    );
    assert_eq!(whole["limits"]["cpu_ms"], 500);
    check!(whole["used"]["memory_bytes"].as_u64() > Some(0), "{whole}");

    // The same id everywhere.
    let id = item["id"].as_str().unwrap_or_default();
    check!(host.log().contains(id), "the host's log names it");
    let of_account = host.api()?.failures("wxid_a").await?;
    assert_eq!(of_account[0]["id"], id);
    let said = lines(&host, "trap", "?account=wxid_a").await?;
    check!(
        said.iter().any(|line| line.contains("trapped on purpose")),
        "{said:?}"
    );
    let last = said.last().cloned().unwrap_or_default();
    check!(
        last.starts_with(&format!("error wxhost: failure {id}: trap: ")),
        "{last}"
    );

    let listed = host.cli(&["handler", "failures", "trap"]).await?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    check!(listed.contains(id) && listed.contains("trap"), "{listed}");
    let shown = host.cli(&["handler", "failures", "trap", id]).await?;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    check!(
        shown.contains("on-event") && shown.contains("of 500 ms"),
        "{shown}"
    );

    host.terminate().await?;
    host.start_again().await?;
    assert_eq!(the_failure(&host, "trap").await?.1, whole);
    let unknown = "/handlers/trap/failures/f-nothing";
    let unknown = host.api()?.request(Method::GET, unknown, None).await?;
    unknown.problem(404, "not-found")?;
    host.end().await
}

#[tokio::test]
async fn a_bots_own_functions_are_named_where_they_are_not_inlined() -> Result<()> {
    let host = Host::unpaced().await?;
    let a = host.wehub("wxid_a")?.login().await?;
    host.serve_guest("wxid_a", "endless-recursion").await?;
    a.text_from("wxid_bob", "hi").await?.silent()?;
    let (item, whole) = the_failure(&host, "endless-recursion").await?;
    let reason = item["reason"].as_str().unwrap_or_default();
    check!(reason.contains("call stack exhausted"), "{reason}");
    let text = whole["message"].as_str().unwrap_or_default();
    check!(
        text.contains("endless_recursion") && text.contains("::dive"),
        "{text}"
    );
    host.end().await
}

#[tokio::test]
async fn failures_are_listed_page_by_page_the_newest_first() -> Result<()> {
    let host = Host::unpaced().await?;
    let api = host.api()?;
    for account in ["wxid_a", "wxid_b"] {
        let client = host.wehub(account)?.login().await?;
        host.serve_guest(account, "effects-then-err").await?;
        for _ in 0..3 {
            client.text_from("wxid_bob", "hi").await?.silent()?;
        }
    }
    let path = "/handlers/effects-then-err/failures";
    let whole = items(&api.get(path).await?);
    assert_eq!(whole.len(), 6);
    assert_eq!(whole[0]["account"], "wxid_b");
    assert_eq!(whole[0]["reason"], "refused on purpose");
    check!(
        whole.is_sorted_by_key(|it| std::cmp::Reverse(it["at_ms"].as_u64())),
        "newest first"
    );
    let first = api.get(&format!("{path}?limit=4")).await?;
    let next = first["next"].as_str().context("there are more")?;
    let second = api.get(&format!("{path}?limit=4&before={next}")).await?;
    assert_eq!([items(&first), items(&second)].concat(), whole);
    assert_eq!(second["next"], Value::Null);
    host.end().await
}

#[tokio::test]
async fn a_script_that_fails_says_where() -> Result<()> {
    let host = Host::unpaced().await?;
    host.serve_guest("*", "faq").await?;
    host.configure("faq", json!({"fallback": "no idea"}))
        .await?;
    let a = host.wehub("wxid_a")?.login().await?;
    // What it counts is no number.
    let path = "/accounts/wxid_a/kv/faq/asked.wxid_bob";
    host.api()?.put(path, &json!({"text": "many"})).await?;
    a.text_from("wxid_bob", "why?").await?.silent()?;
    let (item, whole) = the_failure(&host, "faq").await?;
    assert_eq!(item["kind"], "refused");
    let text = whole["message"].as_str().unwrap_or_default();
    check!(text.contains("HostError: kv.increment"), "{text}");
    let stack = text
        .lines()
        .any(|line| line.contains("onEvent") || line.contains("handler"));
    check!(stack, "its stack: {text}");
    host.end().await
}

#[tokio::test]
async fn a_callback_component_is_seen_too() -> Result<()> {
    let host = Host::unpaced().await?;
    host.deploy("callback-trap", &guests::path("callback-trap")?)
        .await?;
    let scope = "/bindings/*callback";
    host.api()?
        .put(scope, &json!({"handler": "callback-trap"}))
        .await?;
    host.wehub("wxid_a")?.login().await?;
    let (item, whole) = the_failure(&host, "callback-trap").await?;
    assert_eq!(
        (&item["kind"], &item["account"]),
        (&json!("trap"), &Value::Null)
    );
    assert_eq!(item["event"], "login-wxid_a");
    let text = whole["message"].as_str().unwrap_or_default();
    check!(text.contains("login"), "it names its functions: {text}");
    let said = lines(&host, "callback-trap", "").await?;
    check!(
        said.iter().any(|line| line.contains("trapped on purpose")),
        "{said:?}"
    );
    let last = said.last().cloned().unwrap_or_default();
    check!(
        last.contains(item["id"].as_str().context("no id")?),
        "{last}"
    );
    host.end().await
}

fn bytes_below(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(about) if about.is_dir() => bytes_below(&entry.path()),
        Ok(about) => about.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

/// Writes 1 GiB each time it is asked, half of it as lines and half to stdout, from
/// several accounts, while somebody else wants to be answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_log_harms_nobody() -> Result<()> {
    const ACCOUNT_BYTES: u64 = 64 * 1024;
    const DISK_BYTES: u64 = 256 * 1024;
    const FLOODERS: usize = 4;
    let settings = Settings::default()
        .unpaced()
        .limit("call_wall_ms", 1500)
        .limit("call_cpu_ms", 300)
        .set("handler_logs.account_bytes_max", ACCOUNT_BYTES)
        .set("handler_logs.disk_bytes_max", DISK_BYTES);
    let host = Host::with(settings).await?;
    host.serve_guest("*", "probe").await?;
    let good = host.wehub("wxid_good")?.login().await?;
    good.text_from("wxid_bob", "log.info at first")
        .await?
        .says("ok")?;
    let mut floods = tokio::task::JoinSet::new();
    for number in 0..FLOODERS {
        let account = format!("wxid_{number}");
        let client = host.wehub(&account)?.login().await?;
        host.serve_guest(&account, "log-flooder").await?;
        floods.spawn(async move {
            for _ in 0..3 {
                client.text_from("wxid_bob", "flood").await?.silent()?;
            }
            Result::Ok(())
        });
    }
    let (mut longest, mut most) = (Duration::ZERO, 0);
    let logs = host.data().join("logs");
    for number in 0u64.. {
        let text = format!("log.warn still there {number}");
        let sent = Instant::now();
        good.text_from("wxid_bob", &text).await?.says("ok")?;
        longest = longest.max(sent.elapsed());
        most = most.max(bytes_below(&logs));
        match floods.try_join_next() {
            Some(done) => done??,
            None if floods.is_empty() => break,
            None => {}
        }
    }
    check!(longest < PROMPT, "somebody waited for {longest:?}");
    check!(most <= DISK_BYTES, "the logs took {most} bytes");
    let said = lines(&host, "probe", "?account=wxid_good").await?;
    let heard = said
        .iter()
        .filter(|line| line.starts_with("warn probe: still there"));
    check!(heard.count() > 1, "nobody pushed out its lines: {said:?}");
    let flood = lines(&host, "log-flooder", "?lines=1000").await?;
    check!(
        flood.iter().any(|line| line.contains("were dropped")),
        "it is said"
    );
    check!(
        flood.iter().any(|line| line.contains("failure f-")),
        "{}",
        flood.len()
    );
    host.end().await
}

#[tokio::test]
async fn a_full_disk_stops_no_bot_and_is_said_once() -> Result<()> {
    let host = Host::unpaced().await?;
    host.serve_guest("*", "probe").await?;
    let a = host.wehub("wxid_a")?.login().await?;
    a.text_from("wxid_bob", "log.info one").await?.says("ok")?;
    assert_eq!(lines(&host, "probe", "").await?.len(), 1);
    // A file where its directory was: nothing can be written.
    let dir = host.data().join("logs/handlers/probe");
    fs::remove_dir_all(&dir)?;
    fs::write(&dir, "")?;
    for number in 0..3 {
        let text = format!("log.info lost {number}");
        a.text_from("wxid_bob", &text).await?.says("ok")?;
    }
    let noted = "what handlers log can't be kept";
    poll::until("the host says so", SOON, async || {
        Ok(host.log().contains(noted).then_some(()))
    })
    .await?;
    // Answers once all that was said before has come to the disk, and fails at it too.
    let api = host.api()?;
    let unread = api
        .request(Method::GET, "/handlers/probe/logs", None)
        .await?;
    assert_eq!(unread.status, 500);
    fs::remove_file(&dir)?;
    a.text_from("wxid_bob", "log.info two").await?.says("ok")?;
    let kept = poll::until("it goes on", SOON, async || {
        let kept = lines(&host, "probe", "").await?;
        Ok((kept.len() > 1).then_some(kept))
    })
    .await?;
    check!(kept[0].contains("3 lines lost"), "{kept:?}");
    assert_eq!(kept[1], "info probe: two");
    assert_eq!(host.log().matches(noted).count(), 1);
    host.end().await
}
