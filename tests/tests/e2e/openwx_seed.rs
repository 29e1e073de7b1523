//! The examples of the seed document for the controller API, as people run them:
//! with curl, host and port aside.

use std::process::Output;

use serde_json::{Value, json};
use tokio::process::Command;
use wxhost_tests::{
    Context, Host, Result, check,
    host::Settings,
    openwx::{Openwx, Recorder, Stub, process},
    wehub::upload,
};

/// What curl prints for a URL of the seed.
async fn curl(openwx: &Openwx, url: &str) -> Result<Vec<u8>> {
    let url = url.replace("127.0.0.1:2000", openwx.address());
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--noproxy", "*", &url]);
    let output = curl.output().await;
    let Output { status, stdout, .. } =
        output.context("curl can't be run: install it (apt-get install curl)")?;
    check!(status.success(), "curl {url}: {status}");
    Ok(stdout)
}

async fn json_of(openwx: &Openwx, url: &str) -> Result<Value> {
    Ok(serde_json::from_slice(&curl(openwx, url).await?)?)
}

#[tokio::test]
async fn the_examples_of_the_seed_work_as_written() -> Result<()> {
    let host = Host::with(Settings::default().clients(10)?).await?;
    let openwx = host.openwx()?;
    let ask = async |url: &str| json_of(&openwx, url).await;
    let started = ask("http://127.0.0.1:2000/openwx/start_client?client=weixin_client_01").await?;
    let (pid, port) = (started["pid"].clone(), started["port"].clone());
    let wanted = json!({"account": "weixin_client_01", "client": "weixin_client_01", "code": 0,
                        "pid": pid, "port": port, "status": "success"});
    assert_eq!(started, wanted);
    assert_eq!(port, host.ports()?.first);
    let id = u32::try_from(pid.as_u64().unwrap_or_default())?;
    assert_eq!(process::facts(id).map(|it| it.parent), Some(host.pid()?));

    let stub = Stub::up(host.ports()?.first).await?;
    openwx.until_code("weixin_client_01").await?;
    let checked = ask("http://127.0.0.1:2000/openwx/check_client?client=weixin_client_01").await?;
    let state = &checked["client"][0];
    for (field, value) in [
        ("account", "weixin_client_01"),
        ("state", "scaning"),
        ("os", "linux"),
        ("log_level", "info"),
    ] {
        assert_eq!(state[field], value, "{state}");
    }
    assert_eq!((&state["pid"], &state["port"]), (&pid, &port));
    assert_eq!(state["plugin"][0]["name"], "Mojo::Weixin::Plugin::Openwx");

    let image = curl(
        &openwx,
        "http://127.0.0.1:2000/openwx/get_qrcode?client=weixin_client_01",
    )
    .await?;
    check!(image == upload::code(0), "another image than the client's");

    stub.scan().await?;
    openwx.until_state("weixin_client_01", "running").await?;
    let me = ask("http://127.0.0.1:2000/openwx/get_user_info?client=weixin_client_01").await?;
    assert_eq!(me["account"], "weixin_client_01");
    let sent = ask("http://127.0.0.1:2000/openwx/send_friend_message?client=weixin_client_01&id=filehelper&content=hello").await?;
    assert_eq!(
        (&sent["code"], &sent["status"]),
        (&json!(0), &json!("success"))
    );
    assert_eq!(stub.sent().await?[0]["content"], "hello");

    let stopped = ask("http://127.0.0.1:2000/openwx/stop_client?client=weixin_client_01").await?;
    assert_eq!(stopped, wanted);
    openwx.until_gone("weixin_client_01").await?;
    check!(!process::is_alive(id), "the process is still there");
    host.end().await
}

#[tokio::test]
async fn the_second_example_hands_its_parameters_on() -> Result<()> {
    let host = Host::with(Settings::default().clients(10)?).await?;
    let openwx = host.openwx()?;
    let url = "http://127.0.0.1:2000/openwx/start_client?client=weixin_client_01&log_level=debug";
    let started = json_of(&openwx, url).await?;
    assert_eq!(started["log_level"], "debug");
    let stub = Stub::up(host.ports()?.first).await?;
    assert_eq!(stub.environment().await?["MOJO_WEIXIN_LOG_LEVEL"], "debug");
    openwx.until_state("weixin_client_01", "scaning").await?;
    let all = json_of(&openwx, "http://127.0.0.1:2000/openwx/check_client").await?;
    assert_eq!(all["client"][0]["log_level"], "debug");
    assert_eq!(all["client"].as_array().map(Vec::len), Some(1));
    host.end().await
}

#[tokio::test]
async fn the_code_is_told_to_be_an_image_that_nobody_keeps() -> Result<()> {
    let host = Host::with(Settings::default().clients(10)?).await?;
    let openwx = host.openwx()?;
    openwx.start("123").await?;
    let reply = openwx.until_code("123").await?;
    assert_eq!(reply.header("content-type"), "image/jpg");
    assert_eq!(reply.header("cache-control"), "no-cache");
    assert_eq!(reply.header("content-length"), reply.body.len().to_string());
    host.end().await
}

#[tokio::test]
async fn every_account_reports_with_its_own_name() -> Result<()> {
    let recorder = Recorder::start().await?;
    let settings = Settings::default()
        .clients(10)?
        .set("openwx.post_api", recorder.url("/post_message"));
    let host = Host::with(settings).await?;
    let openwx = host.openwx()?;
    for name in ["weixin_client_01", "weixin_client_02"] {
        let stub = openwx.log_in(name).await?;
        stub.receive("@f1", &format!("hello {name}")).await?;
        let seen = recorder
            .until("the message", |seen| {
                seen.body["content"] == format!("hello {name}")
            })
            .await?;
        assert_eq!(seen.target, format!("/post_message?client={name}"));
        assert_eq!(seen.method, "POST");
    }
    host.end().await
}

#[tokio::test]
async fn the_template_of_the_seed_is_written_where_it_is_missing() -> Result<()> {
    let host = Host::with(
        Settings::default()
            .clients(10)?
            .command("perl", &["perl", "{template_path}"]),
    )
    .await?;
    let openwx = host.openwx()?;
    // Without Mojo::Weixin it can't run; that it is there is what counts.
    let _ = openwx.try_start("a1", &[("template", "perl")]).await?;
    let template = host
        .data()
        .join("openwx/mojo_weixin_controller_template.pl");
    let text = std::fs::read_to_string(&template)?;
    for line in [
        "use Mojo::Weixin;",
        "MOJO_WEIXIN_PLUGIN_OPENWX_PORT",
        "$client->run();",
    ] {
        check!(text.contains(line), "{line} is not in {text}");
    }
    openwx.stop("a1").await?;
    openwx.until_gone("a1").await?;
    std::fs::write(&template, "exit 0; # mine")?;
    let _ = openwx.try_start("a2", &[("template", "perl")]).await?;
    assert_eq!(std::fs::read_to_string(&template)?, "exit 0; # mine");
    openwx.stop("a2").await?;
    host.end().await
}
