//! The command line, as people and scripts use it.

use std::{fs, process::Output};

use serde_json::Value;
use wxhost_tests::{Context, Host, Result, check, guests, host::Settings};

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a command printed that succeeded.
pub(crate) async fn printed(host: &Host, arguments: &[&str]) -> Result<String> {
    let Output {
        status,
        stdout,
        stderr,
    } = host.cli(arguments).await?;
    check!(
        status.success(),
        "{arguments:?}: {status}\n{}",
        text(&stderr)
    );
    Ok(text(&stdout))
}

/// What a command printed with `--json`.
pub(crate) async fn json_of(host: &Host, arguments: &[&str]) -> Result<Value> {
    let arguments = [arguments, &["--json"]].concat();
    let printed = printed(host, &arguments).await?;
    serde_json::from_str(&printed).context(format!("{arguments:?} printed {printed}"))
}

/// What a command that failed wrote to stderr.
pub(crate) async fn complaint(host: &Host, arguments: &[&str]) -> Result<String> {
    let Output { status, stderr, .. } = host.cli(arguments).await?;
    check!(!status.success(), "{arguments:?} succeeded");
    let stderr = text(&stderr);
    check!(!stderr.contains("panicked"), "{arguments:?}: {stderr}");
    Ok(stderr)
}

#[tokio::test]
async fn handlers_are_deployed_bound_and_removed() -> Result<()> {
    let host = Host::start().await?;
    let echo = guests::path("echo")?;
    let echo = echo.to_str().context("a path in UTF-8")?;
    let deployed = json_of(&host, &["handler", "deploy", "echo", echo]).await?;
    assert_eq!(deployed["name"], "echo");
    check!(
        printed(&host, &["handler", "list"]).await?.contains("echo"),
        "the list"
    );
    assert_eq!(
        json_of(&host, &["handler", "list"]).await?["items"][0]["name"],
        "echo"
    );
    let shown = printed(&host, &["handler", "show", "echo"]).await?;
    check!(shown.contains("wxhost:bot"), "{shown}");
    let shown = json_of(&host, &["handler", "show", "echo"]).await?;
    assert_eq!(shown["digest"], deployed["digest"]);
    printed(&host, &["handler", "bind", "echo", "--account", "wxid_a"]).await?;
    let a = host.wehub("wxid_a")?.login().await?;
    a.text_from("wxid_bob", "hi").await?.says("hi")?;

    let used = complaint(&host, &["handler", "remove", "echo"]).await?;
    check!(used.contains("wxid_a"), "{used}");
    host.api()?.delete("/bindings/wxid_a").await?;
    printed(&host, &["handler", "remove", "echo"]).await?;
    let gone = complaint(&host, &["handler", "show", "echo"]).await?;
    check!(gone.contains("echo"), "{gone}");
    let unfit = host.home().join("unfit.wasm");
    fs::write(&unfit, "no component")?;
    let unfit = unfit.to_str().context("a path in UTF-8")?;
    let why = complaint(&host, &["handler", "deploy", "bad", unfit]).await?;
    check!(why.contains("component"), "{why}");
    let why = complaint(&host, &["handler", "deploy", "bad", "/no/such/file"]).await?;
    check!(why.contains("/no/such/file"), "{why}");
    host.end().await
}

#[tokio::test]
async fn accounts_and_tasks_are_shown_and_sent() -> Result<()> {
    let host = Host::start().await?;
    let a = host.wehub("wxid_a")?.called("Rose").login().await?;
    let list = printed(&host, &["account", "list"]).await?;
    check!(list.contains("wxid_a") && list.contains("Rose"), "{list}");
    assert_eq!(
        json_of(&host, &["account", "list"]).await?["items"][0]["id"],
        "wxid_a"
    );
    check!(
        printed(&host, &["account", "show", "wxid_a"])
            .await?
            .contains("Rose"),
        "shown"
    );
    assert_eq!(
        json_of(&host, &["account", "show", "wxid_a"]).await?["nickname"],
        "Rose"
    );

    let sent = json_of(
        &host,
        &[
            "task",
            "send",
            "wxid_a",
            "--to",
            "wxid_bob",
            "--text",
            "Hello there",
        ],
    )
    .await?;
    let id = sent["tasks"][0]["id"].as_str().context("a task's id")?;
    a.pull_task().await?.says("Hello there")?.to("wxid_bob")?;
    a.task_result(id, None).await?.ok()?;
    check!(
        printed(&host, &["task", "show", id])
            .await?
            .contains("done"),
        "the task is done"
    );
    assert_eq!(
        json_of(&host, &["task", "show", id]).await?["state"],
        "done"
    );
    check!(
        printed(&host, &["task", "list", "wxid_a"])
            .await?
            .contains(id),
        "listed"
    );
    let listed = json_of(&host, &["task", "list", "wxid_a"]).await?;
    assert_eq!(listed["items"][0]["id"], id);
    let unknown = complaint(
        &host,
        &["task", "send", "wxid_x", "--to", "wxid_bob", "--text", "hi"],
    )
    .await?;
    check!(unknown.contains("wxid_x"), "{unknown}");
    host.end().await
}

#[tokio::test]
async fn on_the_same_machine_it_needs_no_settings() -> Result<()> {
    let host = Host::start().await?;
    host.wehub("wxid_a")?.login().await?;
    let data = host.data();
    let data = data.to_str().context("a path in UTF-8")?;
    let listed = host.run_alone(&["account", "list", "--data", data]).await?;
    check!(listed.status.success(), "{}", text(&listed.stderr));
    check!(text(&listed.stdout).contains("wxid_a"), "{listed:?}");
    host.end().await
}

#[tokio::test]
async fn a_host_that_is_not_there_is_said_so() -> Result<()> {
    let host = Host::start().await?;
    let mut command = host.command(&["account", "list"]);
    command
        .env("WXHOST_URL", "http://127.0.0.1:1")
        .env("WXHOST_TOKEN", "x");
    let output = command.output().await?;
    check!(!output.status.success(), "nobody listens there");
    check!(text(&output.stderr).contains("127.0.0.1:1"), "{output:?}");
    let mut command = host.command(&["account", "list"]);
    command.env("WXHOST_URL", format!("http://{}", host.address()?));
    command.env("WXHOST_TOKEN", "wrong");
    let output = command.output().await?;
    check!(!output.status.success(), "the token is wrong");
    check!(text(&output.stderr).contains("token"), "{output:?}");
    host.end().await
}

#[tokio::test]
async fn a_configuration_is_checked() -> Result<()> {
    let host = Host::start().await?;
    let file = host.config_path();
    let file = file.to_str().context("a path in UTF-8")?;
    let good = host
        .run_alone(&["config", "check", "--config", file])
        .await?;
    check!(good.status.success(), "{}", text(&good.stderr));

    let bad = host.home().join("bad.toml");
    let path = bad.to_str().context("a path in UTF-8")?;
    let cases = [
        ("[wehub]\nreport_contcat = 3\n", "report_contcat"),
        ("[wehbu]\nreport_contact = 3\n", "wehbu"),
        ("[limits]\ncall_cpu_ms = \"soon\"\n", "call_cpu_ms"),
        ("[server]\nlisten = \"nowhere\"\n", "listen"),
        ("[[wehub.app]]\nsecret_key = \"k\"\n", "appid"),
        ("[wehub\n", "bad.toml"),
    ];
    for (config, word) in cases {
        fs::write(&bad, config)?;
        let data = host.home().join("other");
        let data = data.to_str().context("a path in UTF-8")?;
        let serve = [
            "serve",
            "--config",
            path,
            "--data",
            data,
            "--listen",
            "127.0.0.1:0",
        ];
        for arguments in [&["config", "check", "--config", path][..], &serve] {
            let output = host.run_alone(arguments).await?;
            let complaint = text(&output.stderr);
            check!(!output.status.success(), "{arguments:?} took {config}");
            check!(
                complaint.contains(word),
                "{config}: {complaint} without {word}"
            );
        }
    }
    let missing = host
        .run_alone(&["config", "check", "--config", "/no/such.toml"])
        .await?;
    check!(!missing.status.success(), "a file that is not there");
    check!(
        text(&missing.stderr).contains("/no/such.toml"),
        "{missing:?}"
    );
    host.end().await
}

#[tokio::test]
async fn the_environment_goes_before_the_file() -> Result<()> {
    let settings = Settings::default().report_contact(1);
    let host = Host::with(settings.env("WXHOST_WEHUB__REPORT_CONTACT", "6")).await?;
    let ack = host.wehub("wxid_a")?.try_login().await?;
    assert_eq!(ack.data["option"]["flag_report_contact"], 6);
    let mut command = host.command(&["config", "check"]);
    command.env("WXHOST_WEHUB__NO_SUCH_KEY", "1");
    let output = command.output().await?;
    check!(
        !output.status.success(),
        "an unknown key in the environment"
    );
    check!(
        text(&output.stderr).to_lowercase().contains("no_such_key"),
        "{output:?}"
    );
    host.end().await
}
