//! The answers of a real controller (`fixtures/openwx/observed.md`), row by row, and
//! what it does wrong done right.

use reqwest::Method;
use serde_json::{Value, json};
use wxhost_tests::{
    Context, Host, Result, check,
    host::{DEAD_PROXY, Settings},
    http::{Connection, Target},
    openwx::{Stub, base64, escaped, process},
    poll,
    wehub::upload,
};

use crate::openwx_clients::SOON;

async fn usual() -> Result<Host> {
    Host::with(Settings::default().clients(10)?).await
}

fn not_found() -> Value {
    json!({"code": 1, "status": "client not found"})
}

fn not_exists() -> Value {
    json!({"code": 1, "status": "client not exists"})
}

#[tokio::test]
async fn answers_are_json_with_sorted_keys_and_a_length() -> Result<()> {
    let host = usual().await?;
    let openwx = host.openwx()?;
    let reply = openwx.get("check_client").await?;
    assert_eq!(reply.text(), r#"{"client":[],"code":0}"#);
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.header("content-length"), "22");
    openwx.start("a1").await?;
    let again = openwx.get("start_client?client=a1").await?.text();
    let order = ["account", "client", "code", "pid", "port", "status"];
    let places: Vec<_> = order.map(|key| again.find(&format!("\"{key}\":"))).into();
    check!(places.is_sorted() && !places.contains(&None), "{again}");
    host.end().await
}

#[tokio::test]
async fn who_is_asked_for_must_be_named_and_known() -> Result<()> {
    let host = usual().await?;
    let openwx = host.openwx()?;
    for path in ["check_client?client=nope", "check_client?client="] {
        assert_eq!(openwx.json(path).await?, not_exists(), "{path}");
    }
    for path in [
        "start_client",
        "stop_client",
        "get_user_info",
        "send_friend_message",
    ] {
        for query in ["", "?client="] {
            let answer = openwx.json(&format!("{path}{query}")).await?;
            assert_eq!(answer, not_found(), "{path}{query}");
        }
    }
    assert_eq!(openwx.json("get_qrcode?client=").await?, not_found());
    for path in [
        "stop_client",
        "get_qrcode",
        "get_user_info",
        "send_friend_message",
    ] {
        let answer = openwx.json(&format!("{path}?client=nope")).await?;
        assert_eq!(answer, not_exists(), "{path}");
    }
    host.end().await
}

#[tokio::test]
async fn a_client_is_started_once() -> Result<()> {
    let host = usual().await?;
    let openwx = host.openwx()?;
    let first = openwx.start_with("a1", &[("log_level", "warn")]).await?;
    let mut wanted = first.answer.clone();
    wanted["status"] = "client already exists".into();
    for more in [
        &[][..],
        &[("log_level", "debug")],
        &[("emoji_to_text", "0")],
    ] {
        assert_eq!(openwx.try_start("a1", more).await?, wanted);
    }
    Stub::up(first.port).await?;
    assert_eq!(process::of_folder(host.home()), [first.pid]);
    assert_eq!(host.ports()?.taken(), [first.port]);
    host.end().await
}

#[tokio::test]
async fn parameters_come_back_as_text_and_override_nothing() -> Result<()> {
    let host = Host::with(Settings::default().clients(10)?.set(
        "openwx.parameters",
        "[\"code\", \"status\", \"pid\", \"port\"]",
    ))
    .await?;
    let openwx = host.openwx()?;
    let post_api = "http://127.0.0.1:9/cb?a=1&client=old";
    let given = [
        ("log_level", "debug"),
        ("qrcode_count_max", "7"),
        ("post_api", post_api),
        ("code", "9"),
        ("status", "mine"),
        ("pid", "1"),
        ("port", "2"),
    ];
    let started = openwx.start_with("a1", &given).await?;
    assert_eq!(started.answer["log_level"], "debug");
    assert_eq!(started.answer["qrcode_count_max"], "7");
    assert_eq!(started.answer["post_api"], post_api);
    assert_eq!(started.answer["code"], 0);
    check!(started.pid > 2 && started.port > 2, "{}", started.answer);
    let environment = Stub::up(started.port).await?.environment().await?;
    assert_eq!(environment["MOJO_WEIXIN_QRCODE_COUNT_MAX"], "7");
    assert_eq!(environment["MOJO_WEIXIN_CODE"], "9");
    host.end().await
}

#[tokio::test]
async fn what_is_private_is_not_echoed() -> Result<()> {
    let host = usual().await?;
    let openwx = host.openwx()?;
    let started = openwx
        .try_start("a1", &[("log_head", "x"), ("_y", "1")])
        .await?;
    check!(
        started.get("log_head").is_none() && started.get("_y").is_none(),
        "{started}"
    );
    host.end().await
}

#[tokio::test]
async fn as_many_clients_run_as_are_allowed_and_no_more() -> Result<()> {
    let host = Host::with(
        Settings::default()
            .clients(10)?
            .set("openwx.max_clients", 2),
    )
    .await?;
    let openwx = host.openwx()?;
    openwx.start("a1").await?;
    let second = openwx.start("a2").await?;
    let refused = openwx.try_start("a3", &[]).await?;
    assert_eq!(
        (&refused["code"], &refused["status"]),
        (&json!(5), &json!("max clients exceed"))
    );
    // One that runs already is not one more.
    let again = openwx.try_start("a2", &[]).await?;
    assert_eq!(again["status"], "client already exists");
    assert_eq!(again["pid"], second.pid);
    openwx.stop("a2").await?;
    openwx.until_gone("a2").await?;
    openwx.start("a3").await?;
    host.end().await
}

#[tokio::test]
async fn a_port_range_that_is_full_is_said_so() -> Result<()> {
    let host = Host::with(Settings::default().clients(3)?).await?;
    let openwx = host.openwx()?;
    let first = host.ports()?.first;
    let others = std::net::TcpListener::bind(("127.0.0.1", first))?;
    assert_eq!(openwx.start("a1").await?.port, first + 1);
    openwx.start("a2").await?;
    let refused = openwx.try_start("a3", &[]).await?;
    assert_eq!(
        (&refused["code"], &refused["status"]),
        (&json!(2), &json!("no available port"))
    );
    assert_eq!(refused["client"], "a3");
    assert_eq!(openwx.check("a3").await?, not_exists());
    openwx.stop("a1").await?;
    openwx.until_gone("a1").await?;
    assert_eq!(openwx.start("a3").await?.port, first + 1);
    drop(others);
    host.end().await
}

#[tokio::test]
async fn a_client_that_was_stopped_is_known_until_its_end() -> Result<()> {
    let settings = Settings::default()
        .clients(10)?
        .template("default", &["--ignore-term"])?;
    let host = Host::with(settings).await?;
    let openwx = host.openwx()?;
    let started = openwx.start("a1").await?;
    Stub::up(started.port).await?;
    let stopped = openwx.stop("a1").await?;
    assert_eq!(stopped, started.answer);
    assert_eq!(host.client("a1").await?["phase"], "stopping");
    assert_eq!(openwx.check_all().await?.len(), 1);
    openwx.until_gone("a1").await?;
    check!(!process::is_alive(started.pid), "it lives on");
    assert_eq!(openwx.stop("a1").await?, not_exists());
    host.end().await
}

#[tokio::test]
async fn other_methods_than_get_reach_the_client_itself() -> Result<()> {
    let settings = Settings::default()
        .clients(10)?
        .template("default", &["--farewell-ms", "100"])?;
    let host = Host::with(settings).await?;
    let openwx = host.openwx()?;
    let stub = openwx.log_in("a1").await?;
    let head = openwx
        .request(Method::HEAD, "start_client?client=a2", &[], Vec::new())
        .await?;
    check!(head.body.is_empty(), "HEAD has a body");
    assert_eq!(openwx.check("a2").await?, not_exists());
    let answer = openwx
        .post("stop_client?client=a1", "text/plain", Vec::new())
        .await?
        .json()?;
    let pid = stub.facts().await?["pid"].clone();
    assert_eq!(
        answer["status"],
        format!("success, client({pid}) will stop in 3 seconds")
    );
    // It has ended as it should, so it is not started again.
    let ended = host.until_phase("a1", "stopped").await?;
    assert_eq!(ended["restarts"], 0, "{ended}");
    host.end().await
}

#[tokio::test]
async fn a_start_may_be_posted() -> Result<()> {
    let host = usual().await?;
    let openwx = host.openwx()?;
    let form = "application/x-www-form-urlencoded";
    let body = b"client=a1&log_level=warn".to_vec();
    let answer = openwx.post("start_client", form, body).await?.json()?;
    assert_eq!(
        (&answer["status"], &answer["log_level"]),
        (&json!("success"), &json!("warn"))
    );
    host.end().await
}

#[tokio::test]
async fn what_is_no_api_is_refused() -> Result<()> {
    let host = usual().await?;
    for path in ["/openwx", "/openwx/"] {
        let target = Target {
            address: host.address()?.to_owned(),
            path: path.to_owned(),
        };
        let mut connection = Connection::open(&target.address).await?;
        let reply = connection
            .exchange(target.head("GET", "", 0).as_bytes())
            .await?;
        assert_eq!(reply.status, 403, "{path}");
        assert_eq!(reply.body, br#"{"code":-1,"status":"api not found"}"#);
    }
    host.end().await
}

#[tokio::test]
async fn a_further_address_serves_the_controller_alone() -> Result<()> {
    let settings = Settings::default().clients(10)?;
    let spare = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = spare.local_addr()?.to_string();
    drop(spare);
    let host = Host::with(settings.set("openwx.listen", format!("[{address:?}]"))).await?;
    let openwx = wxhost_tests::openwx::Openwx::new(&address, None);
    assert_eq!(
        openwx.get("check_client").await?.text(),
        r#"{"client":[],"code":0}"#
    );
    for path in ["/foo", "/api/v1/accounts", "/readyz", "/wehub/callback"] {
        let (status, body) = wxhost_tests::http::get(&address, path).await?;
        assert_eq!(
            (status, body.as_str()),
            (403, r#"{"code":-1,"status":"api not found"}"#),
            "{path}"
        );
    }
    host.end().await
}

#[tokio::test]
async fn a_state_file_that_can_t_be_read_spoils_one_entry() -> Result<()> {
    let settings = Settings::default()
        .clients(10)?
        .template("half", &["--half-state"])?
        .template("none", &["--no-state"])?;
    let host = Host::with(settings).await?;
    let openwx = host.openwx()?;
    openwx.start("good").await?;
    for name in ["half", "none"] {
        let started = openwx.start_with(name, &[("template", name)]).await?;
        Stub::up(started.port).await?;
        let error = json!({"code": 1, "status": "client state file read error"});
        assert_eq!(openwx.check(name).await?, error, "{name}");
    }
    openwx.until_state("good", "scaning").await?;
    let all = openwx.check_all().await?;
    check!(
        all.iter()
            .any(|it| it["account"] == "good" && it["state"] == "scaning" && it["port"].is_u64()),
        "{all:?}"
    );
    check!(all.len() <= 3, "{all:?}");
    host.end().await
}

#[tokio::test]
async fn check_client_tells_all_of_every_client() -> Result<()> {
    let host = usual().await?;
    let openwx = host.openwx()?;
    let mut ports = Vec::new();
    for name in ["a1", "a2", "客户端"] {
        ports.push(openwx.start(name).await?.port);
        openwx.until_state(name, "scaning").await?;
    }
    let all = openwx.check_all().await?;
    let names: Vec<_> = all
        .iter()
        .map(|it| it["account"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(names, ["a1", "a2", "客户端"]);
    let told: Vec<_> = all
        .iter()
        .map(|it| it["port"].as_u64().unwrap_or_default())
        .collect();
    assert_eq!(
        told,
        ports
            .iter()
            .map(|port| u64::from(*port))
            .collect::<Vec<_>>()
    );
    check!(
        all.iter()
            .all(|it| it["plugin"].is_array() && it["start_time"].is_string()),
        "{all:?}"
    );
    host.end().await
}

#[tokio::test]
async fn there_is_a_code_only_while_one_is_to_be_scanned() -> Result<()> {
    let host = usual().await?;
    let openwx = host.openwx()?;
    let stub = openwx.log_in("a1").await?;
    let reply = openwx.get("get_qrcode?client=a1").await?;
    assert_eq!((reply.status, reply.body.len()), (404, 0));
    drop(stub);
    host.end().await
}

#[tokio::test]
async fn without_a_name_all_codes_are_shown() -> Result<()> {
    let host = usual().await?;
    let openwx = host.openwx()?;
    for name in ["a1", "a2"] {
        openwx.start(name).await?;
        openwx.until_code(name).await?;
    }
    let all = openwx.json("get_qrcode").await?;
    for (place, name) in ["a1", "a2"].into_iter().enumerate() {
        let entry = &all["client"][place];
        check!(entry.to_string().contains(name), "{all}");
        let code = entry["qrcode"].as_str().unwrap_or_default();
        let wanted: String = base64::lines(&upload::code(0)).split('\n').collect();
        assert_eq!(code, wanted, "{name}");
    }
    host.end().await
}

#[tokio::test]
async fn names_are_checked() -> Result<()> {
    let host = usual().await?;
    let openwx = host.openwx()?;
    let long = "x".repeat(65);
    for name in [
        "../x",
        "a/b",
        ".hidden",
        "a b",
        "a\nb",
        "a%b",
        "a\"b",
        long.as_str(),
    ] {
        let answer = openwx.try_start(name, &[]).await?;
        check!(answer["code"] != 0, "{name:?} was taken: {answer}");
        check!(
            answer["status"]
                .as_str()
                .is_some_and(|text| text.len() > 10),
            "{name:?}: {answer}"
        );
        check!(openwx.check(name).await?["code"] == 1, "{name:?} is known");
    }
    let twice = openwx.json("start_client?client=a1&client=a2").await?;
    check!(
        twice["client"]
            .as_str()
            .is_none_or(|name| !name.contains("ARRAY")),
        "{twice}"
    );
    for name in ["a", "客户端", "Ünïcode-1_2.3@x", &"x".repeat(64)] {
        openwx.start(name).await?;
        assert_eq!(openwx.until_state(name, "scaning").await?["account"], *name);
        openwx.stop(name).await?;
        openwx.until_gone(name).await?;
    }
    assert_eq!(process::of_folder(host.home()), Vec::<u32>::new());
    host.end().await
}

#[tokio::test]
async fn report_addresses_name_their_client() -> Result<()> {
    let host = usual().await?;
    let openwx = host.openwx()?;
    let table = [
        ("http://h:1/cb", "http://h:1/cb?client=p2"),
        ("http://h:1/cb?a=1&b=2", "http://h:1/cb?a=1&b=2&client=p2"),
        (
            "http://h:1/cb?client=old&b=2",
            "http://h:1/cb?b=2&client=p2",
        ),
        ("http://h:1/cb?b=2#frag", "http://h:1/cb?b=2&client=p2#frag"),
        ("http://h:1", "http://h:1?client=p2"),
    ];
    for (given, becomes) in table {
        let started = openwx
            .start_with("p2", &[("post_api", given), ("poll_api", given)])
            .await?;
        let environment = Stub::up(started.port).await?.environment().await?;
        for name in ["POST_API", "POLL_API"] {
            let name = format!("MOJO_WEIXIN_PLUGIN_OPENWX_{name}");
            assert_eq!(environment[&name], becomes, "{given}");
        }
        openwx.stop("p2").await?;
        openwx.until_gone("p2").await?;
    }
    host.end().await
}

#[tokio::test]
async fn clients_started_in_a_row_have_ports_of_their_own_at_once() -> Result<()> {
    let settings = Settings::default()
        .clients(20)?
        .template("default", &["--slow-bind-ms", "1500"])?;
    let host = Host::with(settings).await?;
    let openwx = host.openwx()?;
    let mut ports = Vec::new();
    for number in 0..12 {
        ports.push(openwx.start(&format!("a{number}")).await?.port);
    }
    let first = host.ports()?.first;
    assert_eq!(ports, (first..first + 12).collect::<Vec<_>>());
    for (number, port) in ports.into_iter().enumerate() {
        let facts = Stub::up(port).await?.facts().await?;
        assert_eq!(facts["account"], format!("a{number}"), "port {port}");
    }
    host.end().await
}

#[tokio::test]
async fn starts_at_the_same_time_start_one_process_per_name() -> Result<()> {
    let host = Host::with(Settings::default().clients(20)?).await?;
    let mut starts = tokio::task::JoinSet::new();
    for number in 0..30 {
        let openwx = host.openwx()?;
        starts.spawn(async move { openwx.try_start(&format!("a{}", number % 5), &[]).await });
    }
    let mut fresh = 0;
    while let Some(started) = starts.join_next().await {
        let answer = started??;
        assert_eq!(answer["code"], 0, "{answer}");
        fresh += u32::from(answer["status"] == "success");
    }
    assert_eq!(fresh, 5);
    assert_eq!(process::of_folder(host.home()).len(), 5);
    host.end().await
}

#[tokio::test]
async fn a_token_is_asked_for() -> Result<()> {
    let settings = Settings::default().clients(10)?.set("openwx.auth", "token");
    let host = Host::with(settings).await?;
    let openwx = host.openwx()?;
    let token = host.token()?.to_owned();
    for other in [None, Some("wrong")] {
        let stranger = openwx.with_token(other);
        for path in [
            "check_client",
            "start_client?client=a1",
            "get_user_info?client=a1",
            "get_qrcode",
        ] {
            assert_eq!(
                stranger.get(path).await?.status,
                403,
                "{path} with {other:?}"
            );
        }
    }
    assert_eq!(openwx.json("check_client").await?["code"], 0);
    let stranger = openwx.with_token(None);
    let path = format!("start_client?client=a1&token={}", escaped(&token));
    let started = stranger.json(&path).await?;
    assert_eq!(started["status"], "success");
    check!(!started.to_string().contains(&token), "the token is echoed");
    let form = format!("client=a1&token={}", escaped(&token)).into_bytes();
    let mime = "application/x-www-form-urlencoded";
    let checked = stranger.post("start_client", mime, form).await?.json()?;
    assert_eq!(checked["status"], "client already exists");
    let stub = Stub::at(host.ports()?.first);
    let environment = poll::until("it listens", SOON, async || {
        Ok(stub.environment().await.ok())
    })
    .await?;
    check!(
        !environment.to_string().contains(&token),
        "the client knows the token"
    );
    host.end().await
}

#[tokio::test]
async fn without_a_token_only_this_machine_is_served() -> Result<()> {
    let settings = Settings::default()
        .clients(10)?
        .set("openwx.listen", "[\"0.0.0.0:0\"]");
    let refused = Host::with(settings).await;
    let complaint = refused
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    check!(complaint.contains("openwx.auth"), "{complaint}");
    Ok(())
}

#[tokio::test]
async fn paths_and_code_stay_in_the_clients_own_directory() -> Result<()> {
    let host = usual().await?;
    let openwx = host.openwx()?;
    for (name, value) in [
        ("load", "system('touch /tmp/x')"),
        ("load", "ShowMsg; die"),
        ("tmpdir", "/tmp"),
        ("tmpdir", ".."),
        ("qrcode_path", "/etc/passwd"),
        ("qrcode_path", "../../admin-token"),
        ("state_path", "/etc/passwd"),
        ("pid_path", "a/../../../b"),
        ("cookie_path", "/root/x"),
        ("log_path", "/tmp/x.log"),
        ("media_dir", "/"),
        ("ua_debug_3", "1"),
        ("no-such", "1"),
        ("PATH", "/tmp"),
        ("perl5opt", "-d"),
    ] {
        let answer = openwx.try_start("a1", &[(name, value)]).await?;
        check!(answer["code"] != 0, "{name}={value} was taken: {answer}");
        let reason = answer["reason"].as_str().unwrap_or_default();
        check!(reason.contains(name), "{name}={value}: {answer}");
        assert_eq!(openwx.check("a1").await?, not_exists(), "{name}={value}");
    }
    let inside = host.client_dir("a1").join("my.png");
    let inside = inside.display().to_string();
    for path in ["my.png", inside.as_str()] {
        openwx.start_with("a1", &[("qrcode_path", path)]).await?;
        openwx.until_code("a1").await.context(path)?;
        openwx.stop("a1").await?;
        openwx.until_gone("a1").await?;
    }
    host.end().await
}

#[tokio::test]
async fn a_link_out_of_the_directory_is_not_followed() -> Result<()> {
    let host = usual().await?;
    let openwx = host.openwx()?;
    openwx.start("a1").await?;
    openwx.until_code("a1").await?;
    let code = host.client_dir("a1").join("mojo_weixin_qrcode_a1.jpg");
    std::fs::remove_file(&code)?;
    std::os::unix::fs::symlink(host.data().join("admin-token"), &code)?;
    let reply = openwx.get("get_qrcode?client=a1").await?;
    check!(
        reply.status == 404,
        "a file from elsewhere was served: {}",
        reply.status
    );
    host.end().await
}

#[tokio::test]
async fn nothing_leaks_from_one_environment_into_another() -> Result<()> {
    let settings = Settings::default()
        .clients(10)?
        .env("MOJO_WEIXIN_INHERITED", "from the host")
        .env("SECRET_OF_THE_HOST", "x")
        .env("PASSED_ON", "yes")
        .env("LANG", "C.UTF-8")
        .env("PERL5LIB", "/perl")
        .env("http_proxy", "http://127.0.0.1:9")
        .set("openwx.environment", "[\"PASSED_ON\"]");
    let host = Host::with(settings).await?;
    let openwx = host.openwx()?;
    openwx
        .start_with(
            "a1",
            &[("ua_retry_times", "77"), ("qrcode_count_max", "33")],
        )
        .await?;
    let second = openwx.start("a2").await?;
    let stub = Stub::up(second.port).await?;
    let environment = stub.environment().await?;
    let text = environment.to_string();
    let values: Vec<_> = environment.as_object().into_iter().flatten().collect();
    for leak in ["77", "33", "from the host"] {
        check!(
            values.iter().all(|(_, value)| **value != leak),
            "{leak} in {text}"
        );
    }
    for leak in [
        "INHERITED",
        "SECRET_OF_THE_HOST",
        "WXHOST_WEHUB",
        host.token()?,
    ] {
        check!(!text.contains(leak), "{leak} in {text}");
    }
    for name in ["PATH", "LANG", "PERL5LIB", "http_proxy", "PASSED_ON"] {
        check!(environment[name].is_string(), "{name} is missing in {text}");
    }
    assert_eq!(environment["MOJO_WEIXIN_ACCOUNT"], "a2");
    assert_eq!(
        environment["MOJO_WEIXIN_CONTROLLER_PID"],
        host.pid()?.to_string()
    );
    let dir = host.client_dir("a2");
    assert_eq!(environment["MOJO_WEIXIN_TMPDIR"], dir.display().to_string());
    assert_eq!(
        environment["MOJO_WEIXIN_STATE_PATH"],
        dir.join("mojo_weixin_state_a2.json").display().to_string()
    );
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&dir)?.permissions().mode() & 0o777, 0o700);
    let facts = stub.facts().await?;
    assert_eq!(facts["group"], second.pid, "a group of its own");
    assert_eq!(facts["parent"], host.pid()?);
    host.end().await
}

#[tokio::test]
async fn the_heartbeat_makes_the_host_and_its_clients_call_themselves() -> Result<()> {
    let ours = wxhost_tests::openwx::Recorder::start().await?;
    let theirs = wxhost_tests::openwx::Recorder::start().await?;
    let settings = Settings::default()
        .clients(10)?
        .set("openwx.poll_api", ours.url("/poll"))
        .set("openwx.poll_interval", 1)
        .env("http_proxy", DEAD_PROXY);
    let host = Host::with(settings).await?;
    let openwx = host.openwx()?;
    ours.until("the host asks", |seen| seen.target.starts_with("/poll"))
        .await?;
    ours.redirect_next(&format!(
        "http://{}/openwx/start_client?client=by-poll",
        host.address()?
    ));
    poll::until("the client is started", SOON, async || {
        Ok((openwx.check("by-poll").await?["code"] == 0).then_some(()))
    })
    .await?;
    let more = [
        ("poll_api", theirs.url("/theirs")),
        ("poll_interval", "1".to_owned()),
    ];
    let more = more.each_ref().map(|(name, value)| (*name, value.as_str()));
    let stub = openwx.log_in_with("a1", &more).await?;
    theirs
        .until("the client asks", |seen| seen.target == "/theirs?client=a1")
        .await?;
    theirs.redirect_next(&format!(
        "http://127.0.0.1:{}/openwx/send_friend_message?id=@f1&content=polled",
        stub.port
    ));
    assert_eq!(stub.until_sent(1).await?[0]["content"], "polled");
    host.end().await
}
