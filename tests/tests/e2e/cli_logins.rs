//! QR logins on the command line, and what else it asks for beside messages.

use std::{process::Output, time::Duration};

use serde_json::Value;
use wxhost_tests::{Context, Host, Result, check, host::Settings, poll, wehub::upload::taken};

use crate::cli::{json_of, printed, text};

/// How long a client waits for a task at the most.
const SOON: Duration = Duration::from_secs(10);

/// What a command that the host refused wrote to stderr.
async fn complaint(host: &Host, arguments: &[&str]) -> Result<String> {
    let Output { status, stderr, .. } = host.cli(arguments).await?;
    check!(status.code() == Some(1), "{arguments:?}: {status}");
    Ok(text(&stderr))
}

#[tokio::test]
async fn a_login_is_started_shown_and_given_up() -> Result<()> {
    let host = Host::start().await?;
    let nobody = complaint(&host, &["login", "start"]).await?;
    check!(nobody.contains("wxhost account list"), "{nobody}");
    host.wehub("wxid_agent")?.login().await?;

    let start = ["login", "start", "--agent", "wxid_agent", "--note", "Rose"];
    let login = json_of(&host, &start).await?;
    let id = login["id"].as_str().context("the login has no id")?;
    let list = printed(&host, &["login", "list", "--state", "requested"]).await?;
    check!(list.contains(id) && list.contains("Rose"), "{list}");
    let shown = printed(&host, &["login", "show", id]).await?;
    check!(
        shown.contains("wxid_agent is asked to start a client"),
        "{shown}"
    );
    let early = complaint(&host, &["login", "qr", id]).await?;
    check!(early.contains("no code now: it is requested"), "{early}");

    let gone = printed(&host, &["login", "cancel", id]).await?;
    check!(gone.contains("failed"), "{gone}");
    let again = printed(&host, &["login", "cancel", id]).await?;
    assert_eq!(again, gone, "what has ended stays as it is");
    host.end().await
}

#[tokio::test]
async fn watching_ends_with_the_login_and_tells_how() -> Result<()> {
    let host = Host::with(Settings::default().set("logins.upload_ms", 1_500)).await?;
    host.wehub("wxid_agent")?.login().await?;
    let watched = host.cli(&["login", "start", "--watch"]).await?;
    let told = text(&watched.stdout);
    check!(watched.status.code() == Some(1), "{told}");
    check!(
        told.contains("requested: ") && told.contains("expired: "),
        "{told}"
    );

    let list = json_of(&host, &["login", "list"]).await?;
    let id = list["items"][0]["id"].as_str().context("no login")?;
    let again = host.cli(&["login", "watch", id, "--json"]).await?;
    let line: Value = serde_json::from_slice(&again.stdout)?;
    assert_eq!(line["state"], "expired");
    assert_eq!(again.status.code(), Some(1));
    host.end().await
}

#[tokio::test]
async fn a_task_is_called_off_while_nobody_has_it() -> Result<()> {
    let host = Host::start().await?;
    let a = host.wehub("wxid_a")?.login().await?;
    let send = ["task", "send", "wxid_a", "--to", "wxid_b", "--text", "hi"];
    let send = [&send[..], &["--at-least-once", "--expires-in", "10m"]].concat();
    let sent = json_of(&host, &send).await?;
    let task = &sent["tasks"][0];
    assert_eq!(task["delivery"], "at-least-once");
    let waits = |name: &str| task[name].as_u64().context(format!("no {name}"));
    assert_eq!(waits("expires_ms")? - waits("made_ms")?, 600_000);

    let id = task["id"].as_str().context("a task's id")?;
    let gone = printed(&host, &["task", "cancel", id]).await?;
    check!(gone.contains("cancelled"), "{gone}");
    check!(
        a.pull_task().await?.task_id.is_none(),
        "it went out all the same"
    );
    complaint(&host, &["task", "cancel", id]).await?;
    host.end().await
}

#[tokio::test]
async fn an_account_that_pauses_nowhere_says_so() -> Result<()> {
    let host = Host::start().await?;
    host.wehub("wxid_a")?.login().await?;
    let none = printed(&host, &["account", "pauses", "wxid_a"]).await?;
    check!(none.contains("pauses nowhere"), "{none}");
    complaint(&host, &["account", "resume", "wxid_a", "wxid_b"]).await?;
    let shown = printed(&host, &["account", "show", "wxid_a"]).await?;
    check!(!shown.contains("paused"), "{shown}");
    for list in ["contacts", "groups"] {
        let items = json_of(&host, &["account", list, "wxid_a"]).await?;
        assert_eq!(items["items"], Value::Array(Vec::new()), "{list}");
    }
    host.end().await
}

#[tokio::test]
async fn a_watched_login_shows_each_code_and_ends_with_the_account() -> Result<()> {
    let host = Host::start().await?;
    let agent = host.wehub("wxid_agent")?.login().await?;
    let scanned = async {
        let ack = poll::until("the task to start a client", SOON, async || {
            let ack = agent.pull_task().await?;
            Ok(ack.task_id.is_some().then_some(ack))
        });
        let ack = ack.await?;
        let id = ack.tasks[0].text("qrcode_session_id").to_owned();
        let new = host.wehub("wxid_new")?;
        for number in 0..2 {
            taken(&new.upload_code(&id, number).await?)?;
            // It looks once a second.
            tokio::time::sleep(Duration::from_millis(1_500)).await;
        }
        new.login_by_qr(&id).await?;
        Ok(())
    };
    let watched = printed(&host, &["login", "start", "--watch"]);
    let (shown, ()) = tokio::try_join!(watched, scanned)?;
    for word in ["dispatched", "awaiting-scan", "succeeded", "wxid_new"] {
        check!(shown.contains(word), "{word} is not in {shown}");
    }
    // Two codes, which differ.
    let edges = shown.matches("▄▄▄▄▄ █").count();
    check!(edges >= 4, "{edges} edges of codes in {shown}");
    host.end().await
}
