//! The stub client itself, without a host: it keeps the contract that the other tests
//! build on.

use std::{process::Stdio, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use wxhost_tests::{
    Context, Result, check,
    openwx::{Ports, Recorder, Stub, binary, process},
    poll,
};

use crate::openwx_clients::SOON;

/// A stub that this process has started, as a controller would.
struct Native {
    child: Child,
    stub: Stub,
    dir: TempDir,
    _ports: Ports,
}

impl Native {
    fn start(recorder: &Recorder, arguments: &[&str]) -> Result<Self> {
        Self::child_of(std::process::id(), recorder, arguments)
    }

    fn child_of(controller: u32, recorder: &Recorder, arguments: &[&str]) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let ports = Ports::block(1)?;
        let child = Command::new(binary()?)
            .args(arguments)
            .env("MOJO_WEIXIN_ACCOUNT", "a1")
            .env("MOJO_WEIXIN_CONTROLLER_PID", controller.to_string())
            .env("MOJO_WEIXIN_TMPDIR", dir.path())
            .env("MOJO_WEIXIN_PLUGIN_OPENWX_PORT", ports.first.to_string())
            .env(
                "MOJO_WEIXIN_PLUGIN_OPENWX_POST_API",
                recorder.url("/cb?client=a1"),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let stub = Stub::at(ports.first);
        Ok(Self {
            child,
            stub,
            dir,
            _ports: ports,
        })
    }

    fn state(&self) -> Result<Value> {
        let file = self.dir.path().join("mojo_weixin_state_a1.json");
        Ok(serde_json::from_slice(&std::fs::read(file)?)?)
    }

    fn has(&self, file: &str) -> bool {
        self.dir.path().join(file).exists()
    }

    async fn until_state(&self, state: &str) -> Result<()> {
        poll::until(state, SOON, async || {
            Ok(self
                .state()
                .is_ok_and(|it| it["state"] == state)
                .then_some(()))
        })
        .await
    }

    fn term(&self) -> Result<()> {
        let id = self.child.id().context("it has ended")?;
        let id = i32::try_from(id)
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        let term = rustix::process::Signal::TERM;
        Ok(rustix::process::kill_process(id.context("an id")?, term)?)
    }

    async fn ends(&mut self) -> Result<Option<i32>> {
        poll::within("it ends", SOON, async {
            Ok(self.child.wait().await?.code())
        })
        .await
    }
}

fn told(recorder: &Recorder) -> Vec<Value> {
    let bodies = recorder.seen().into_iter().map(|seen| seen.body);
    bodies
        .map(|body| json!([body["event"], body["params"]]))
        .collect()
}

#[tokio::test]
async fn it_reports_from_start_to_stop_in_the_order_that_was_observed() -> Result<()> {
    let recorder = Recorder::start().await?;
    let mut native = Native::start(&recorder, &[])?;
    native.until_state("scaning").await?;
    recorder.until_event("input_qrcode").await?;
    let shown = std::fs::read(native.dir.path().join("mojo_weixin_qrcode_a1.jpg"))?;
    check!(shown.starts_with(b"\x89PNG"), "no image");
    native.stub.scan().await?;
    native.until_state("running").await?;
    check!(
        !native.has("mojo_weixin_qrcode_a1.jpg"),
        "the code is still there"
    );
    // Its state file says so before its report does.
    let running = json!(["state_change", ["updating", "running"]]);
    poll::until("it has told that it runs", SOON, async || {
        Ok(told(&recorder).contains(&running).then_some(()))
    })
    .await?;
    native.term()?;
    assert_eq!(native.ends().await?, Some(0));
    check!(
        !native.has("mojo_weixin_pid_a1.pid"),
        "its pid file is still there"
    );
    let all = told(&recorder);
    let steps: Vec<_> = all
        .iter()
        .filter(|it| it[0] == "state_change")
        .map(|it| it[1].clone())
        .collect();
    let order = [
        "init",
        "loading",
        "scaning",
        "confirming",
        "updating",
        "running",
        "stop",
    ];
    let wanted: Vec<_> = order.windows(2).map(|pair| json!(pair)).collect();
    assert_eq!(steps, wanted);
    let place = |name: &str| all.iter().position(|it| it[0] == name);
    check!(
        place("input_qrcode") < place("login") && place("login") < place("new_friend"),
        "{all:?}"
    );
    assert_eq!(all.last().map(|it| it[0].clone()), Some("stop".into()));
    assert_eq!(
        all.iter()
            .find(|it| it[0] == "login")
            .map(|it| it[1].clone()),
        Some(json!([1]))
    );
    Ok(())
}

#[tokio::test]
async fn with_a_cookie_it_needs_no_scan_and_says_so() -> Result<()> {
    let recorder = Recorder::start().await?;
    let native = Native::start(&recorder, &["--cookie-login"])?;
    native.until_state("running").await?;
    let login = recorder.until_event("login").await?;
    assert_eq!(login.body["params"], json!([0]));
    check!(
        told(&recorder).iter().all(|it| it[0] != "input_qrcode"),
        "it showed a code"
    );
    Ok(())
}

#[tokio::test]
async fn it_does_what_an_answer_asks_and_reports_its_own_words() -> Result<()> {
    let recorder = Recorder::start().await?;
    recorder.answer(json!({"reply": "pong", "media": "http://127.0.0.1:9/x.png"}));
    let native = Native::start(&recorder, &["--cookie-login"])?;
    native.until_state("running").await?;
    let heard = native.stub.receive_in("@@g1", "@f2", "ping 你好").await?;
    assert_eq!(heard.answer["reply"], "pong");
    let sent = native.stub.until_sent(2).await?;
    check!(sent.iter().all(|it| it["to"] == "@@g1"), "{sent:?}");
    let own = recorder
        .until("its own words", |it| it.body["post_type"] == "send_message")
        .await?;
    assert_eq!(
        (&own.body["class"], &own.body["from"], &own.body["code"]),
        (&json!("send"), &json!("code"), &json!(""))
    );
    let heard = recorder
        .until("the message", |it| it.body["class"] == "recv")
        .await?;
    for field in [
        "id",
        "sender",
        "sender_id",
        "sender_uid",
        "receiver_id",
        "group",
        "group_id",
        "group_uid",
        "time",
    ] {
        check!(!heard.body[field].is_null(), "{field} in {}", heard.body);
    }
    Ok(())
}

#[tokio::test]
async fn its_api_is_silent_until_it_runs() -> Result<()> {
    let recorder = Recorder::start().await?;
    let native = Native::start(&recorder, &[])?;
    native.until_state("scaning").await?;
    let stub = Stub::up(native.stub.port).await?;
    let asked = tokio::spawn({
        let stub = stub.clone();
        async move { stub.get("get_user_info").await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    check!(!asked.is_finished(), "it answers while it waits for a scan");
    stub.scan().await?;
    assert_eq!(asked.await??.json()?["account"], "a1");
    Ok(())
}

#[tokio::test]
async fn ten_codes_are_enough() -> Result<()> {
    let recorder = Recorder::start().await?;
    let mut native = Native::start(&recorder, &["--code-ms", "30"])?;
    assert_eq!(native.ends().await?, Some(0));
    let codes = told(&recorder)
        .into_iter()
        .filter(|it| it[0] == "input_qrcode");
    assert_eq!(codes.count(), 10);
    recorder.until_event("stop").await?;
    Ok(())
}

#[tokio::test]
async fn faults_come_as_they_were_asked_for() -> Result<()> {
    let recorder = Recorder::start().await?;
    let mut crash = Native::start(&recorder, &["--crash-after-ms", "50", "--exit-code", "7"])?;
    assert_eq!(crash.ends().await?, Some(7));
    check!(crash.has("mojo_weixin_pid_a1.pid"), "it tidied up");

    let half = Native::start(&recorder, &["--half-state"])?;
    Stub::up(half.stub.port).await?;
    check!(
        half.has("mojo_weixin_state_a1.json") && half.state().is_err(),
        "a whole state file"
    );

    let stale = Native::start(&recorder, &["--stale-state"])?;
    Stub::up(stale.stub.port).await?;
    let state = stale.state()?;
    assert_eq!(
        (&state["state"], &state["pid"]),
        (&json!("running"), &json!(1))
    );

    let stubborn = Native::start(&recorder, &["--ignore-term"])?;
    Stub::up(stubborn.stub.port).await?;
    stubborn.term()?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    check!(
        process::is_alive(stubborn.child.id().context("it has ended")?),
        "it ended"
    );

    let mut orphan = Native::child_of(1, &recorder, &[])?;
    assert_eq!(orphan.ends().await?, Some(0), "another is its parent");
    Ok(())
}
