//! What people tell a bot: entries for all accounts and for one, and secrets, which
//! nothing gives back but the bot's own configuration.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use wxhost_tests::{
    Context, Host, Result, check,
    host::{Answer, Settings},
};

/// Long enough to be found wherever it is.
const SECRET: &str = "s3cret-value-for-all-4411";
const OWN_SECRET: &str = "s3cret-value-of-one-7702";

/// A host whose accounts are served by the probe.
async fn host() -> Result<Host> {
    let host = Host::unpaced().await?;
    host.serve_guest("*", "probe").await?;
    Ok(host)
}

/// What the bot answers an account to this.
async fn asked(host: &Host, account: &str, text: &str, answer: &str) -> Result<()> {
    let client = host.wehub(account)?.login().await?;
    client.text_from("wxid_bob", text).await?.says(answer)?;
    Ok(())
}

async fn put_secret(host: &Host, path: &str, secret: &str) -> Result<Answer> {
    let path = format!("/handlers/probe/secrets/{path}");
    let body = Some(secret.as_bytes().to_vec());
    host.api()?.raw(Method::PUT, &path, body, &[]).await
}

/// Runs the CLI with this as its stdin.
async fn piped(host: &Host, arguments: &[&str], stdin: &str) -> Result<Output> {
    let mut command = host.command(arguments);
    command.env("WXHOST_URL", format!("http://{}", host.address()?));
    command.env("WXHOST_TOKEN", host.token()?);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let mut pipe = child.stdin.take().context("a pipe")?;
    pipe.write_all(stdin.as_bytes()).await?;
    drop(pipe);
    Ok(child.wait_with_output().await?)
}

/// Every file below, but the key's, as bytes.
fn files(dir: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            let bytes = fs::read(&path)?;
            found.push((path, bytes));
        }
    }
    Ok(found)
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|it| it == text.as_bytes())
}

/// No file of the host's, its log among them, holds one of the secrets.
fn check_files(host: &Host) -> Result<()> {
    let all = files(host.home())?;
    check!(
        all.len() > 5,
        "these are not the host's files: {}",
        all.len()
    );
    for (path, bytes) in all {
        for secret in [SECRET, OWN_SECRET] {
            check!(!holds(&bytes, secret), "{} holds {secret}", path.display());
        }
    }
    Ok(())
}

fn key_file(host: &Host) -> PathBuf {
    host.home().join("data.key")
}

#[tokio::test]
async fn single_entries_change_without_a_new_version_and_outlive_the_host() -> Result<()> {
    let mut host = host().await?;
    let api = host.api()?;
    let path = "/handlers/probe/config";
    host.configure("probe", json!({"tone": "kind", "city": "Bern"}))
        .await?;
    let patch = json!({"tone": "curt", "city": null, "day": "Monday", "never": null});
    let answer = api.request(Method::PATCH, path, Some(&patch)).await?.ok()?;
    assert_eq!(answer, json!({"keys": ["day", "tone"]}));
    asked(&host, "wxid_a", "config.get-all", "ok day=Monday,tone=curt").await?;

    let listed = api.get(path).await?;
    let items = listed["items"].as_array().context("items")?;
    assert_eq!(items.len(), 2, "{listed}");
    assert_eq!(items[0]["value"], "Monday");
    check!(items[0]["changed_ms"].as_u64() > Some(0), "{listed}");
    assert_eq!(api.get("/handlers/probe").await?["version"], 1);
    let versions = api.get("/handlers/probe/versions").await?;
    assert_eq!(versions["items"].as_array().map(Vec::len), Some(1));

    for bad in [
        json!({"n": 1}),
        json!(["a"]),
        json!({"": "x"}),
        json!({"a\nb": "x"}),
    ] {
        let answer = api.request(Method::PATCH, path, Some(&bad)).await?;
        answer.problem(400, "bad-request")?;
    }
    let large = json!({"k": "x".repeat(256 * 1024)});
    let answer = api.request(Method::PUT, path, Some(&large)).await?;
    check!(
        answer.problem(400, "bad-request")?.contains("262144"),
        "{answer:?}"
    );

    host.kill9().await?;
    host.start_again().await?;
    assert_eq!(host.api()?.get(path).await?, listed);
    asked(&host, "wxid_a", "config.get-all", "ok day=Monday,tone=curt").await?;
    host.end().await
}

#[tokio::test]
async fn accounts_see_their_own_values_and_nobody_else_s() -> Result<()> {
    let mut host = host().await?;
    let api = host.api()?;
    host.configure("probe", json!({"tone": "kind", "city": "Bern"}))
        .await?;
    let path = "/handlers/probe/config?account=wxid_a";
    let own = json!({"city": "Basel", "team": "red"});
    let keys = api.put(path, &own).await?;
    assert_eq!(keys, json!({"keys": ["city", "team"]}));
    host.deploy("other", &wxhost_tests::guests::path("probe")?)
        .await?;
    host.bind("wxid_c", "other").await?;
    host.configure("other", json!({"foreign": "yes"})).await?;
    put_secret(&host, "token?account=wxid_b", OWN_SECRET)
        .await?
        .ok()?;

    let of_a = "ok city=Basel,team=red,tone=kind";
    let of_b = format!("ok city=Bern,token={OWN_SECRET},tone=kind");
    for _ in 0..2 {
        asked(&host, "wxid_a", "config.get-all", of_a).await?;
        asked(&host, "wxid_b", "config.get-all", &of_b).await?;
        asked(&host, "wxid_c", "config.get-all", "ok foreign=yes").await?;
        asked(&host, "wxid_d", "config.get-all", "ok city=Bern,tone=kind").await?;
        asked(&host, "wxid_a", "config.get token", "ok -").await?;
        host.terminate().await?;
        host.start_again().await?;
    }

    // What an account has of its own stays while something else serves it.
    host.bind("wxid_a", "other").await?;
    asked(&host, "wxid_a", "config.get-all", "ok foreign=yes").await?;
    host.bind("wxid_a", "probe").await?;
    asked(&host, "wxid_a", "config.get-all", of_a).await?;
    let api = host.api()?;
    api.put(path, &json!({})).await?;
    asked(&host, "wxid_a", "config.get-all", "ok city=Bern,tone=kind").await?;

    // A handler takes the entries of all scopes with it.
    api.delete("/bindings/*").await?;
    api.delete("/bindings/wxid_a").await?;
    api.delete("/handlers/probe").await?;
    host.serve_guest("*", "probe").await?;
    asked(&host, "wxid_b", "config.get-all", "ok").await?;
    host.end().await
}

#[tokio::test]
async fn a_secret_reaches_the_bot_and_nothing_else() -> Result<()> {
    let mut host = host().await?;
    check!(!key_file(&host).exists(), "there is a key and no secret");
    let set = put_secret(&host, "token", SECRET).await?;
    assert_eq!((set.status, &set.body), (204, &Value::Null), "{set:?}");
    put_secret(&host, "token?account=wxid_a", OWN_SECRET)
        .await?
        .ok()?;
    host.configure("probe", json!({"tone": "kind"})).await?;
    let mode = fs::metadata(key_file(&host))?.permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let mut answers = Vec::new();
    for _ in 0..2 {
        asked(
            &host,
            "wxid_a",
            "config.get token",
            &format!("ok {OWN_SECRET}"),
        )
        .await?;
        asked(
            &host,
            "wxid_b",
            "config.get-all",
            &format!("ok token={SECRET},tone=kind"),
        )
        .await?;
        let api = host.api()?;
        for path in [
            "/handlers",
            "/handlers/probe",
            "/handlers/probe/config",
            "/handlers/probe/config?account=wxid_a",
            "/handlers/probe/versions",
            "/bindings",
            "/accounts",
            "/clients",
        ] {
            answers.push(api.get(path).await?.to_string());
        }
        let name = "/handlers/probe/secrets/token";
        let shown = api.request(Method::GET, name, None).await?;
        shown.problem(405, "method-not-allowed")?;
        host.terminate().await?;
        host.start_again().await?;
    }
    for answer in &answers {
        check!(!answer.contains("s3cret-value"), "{answer}");
    }
    check!(
        answers.iter().any(|it| it.contains(r#""secret":true"#)),
        "{answers:?}"
    );

    // What is plain can become a secret, and a secret is never overwritten by the way.
    let api_now = host.api()?;
    let path = "/handlers/probe/config";
    for (method, body) in [
        (Method::PUT, json!({"token": "x"})),
        (Method::PATCH, json!({"token": null})),
    ] {
        let answer = api_now.request(method, path, Some(&body)).await?;
        answer.problem(409, "conflict")?;
    }
    put_secret(&host, "tone", "grim").await?.ok()?;
    api_now.delete("/handlers/probe/secrets/token").await?;
    let gone = "/handlers/probe/secrets/token";
    let answer = api_now.request(Method::DELETE, gone, None).await?;
    answer.problem(404, "not-found")?;
    asked(&host, "wxid_b", "config.get-all", "ok tone=grim").await?;
    for (secret, slug, status) in [
        (String::new(), "bad-request", 400),
        ("x".repeat(64 * 1024 + 1), "too-large", 413),
    ] {
        put_secret(&host, "k", &secret)
            .await?
            .problem(status, slug)?;
    }
    host.end().await
}

#[tokio::test]
async fn no_file_holds_a_secret() -> Result<()> {
    let settings = Settings::default().set("log.level", "debug");
    let mut host = Host::with(settings).await?;
    host.serve_guest("*", "probe").await?;
    put_secret(&host, "token", SECRET).await?.ok()?;
    put_secret(&host, "token?account=wxid_a", OWN_SECRET)
        .await?
        .ok()?;
    let set = ["handler", "secret", "set", "probe", "more"];
    let output = piped(&host, &set, &format!("{SECRET}\n")).await?;
    check!(output.status.success(), "{output:?}");
    check!(!holds(&output.stdout, SECRET), "{output:?}");
    // Used by the bot, which says nothing of it: a token in a request would be so.
    asked(&host, "wxid_a", "config.get never", "ok -").await?;
    check_files(&host)?;
    host.terminate().await?;
    check_files(&host)?;
    host.start_again().await?;
    asked(&host, "wxid_b", "config.get never", "ok -").await?;
    check_files(&host)?;
    let token = format!("ok {SECRET}");
    asked(&host, "wxid_b", "config.get more", &token).await?;
    host.end().await
}

#[tokio::test]
async fn a_lost_or_foreign_key_is_said_and_overwrites_nothing() -> Result<()> {
    let mut host = host().await?;
    put_secret(&host, "token", SECRET).await?.ok()?;
    host.configure("probe", json!({"tone": "kind"})).await?;
    let key = key_file(&host);
    let right = fs::read(&key)?;
    // Another key, as good as any: that of another host.
    let other = host_with_key().await?;
    for wrong in [None, Some(other), Some(b"nonsense".to_vec())] {
        host.terminate().await?;
        match &wrong {
            None => fs::remove_file(&key)?,
            Some(bytes) => fs::write(&key, bytes)?,
        }
        fs::metadata(&key).map_or(Ok(()), |_| {
            fs::set_permissions(&key, fs::Permissions::from_mode(0o600))
        })?;
        host.start_again().await?;
        check!(
            host.log().contains("secrets can't be read"),
            "{}",
            host.log()
        );
        let listed = host.api()?.get("/handlers/probe/config").await?;
        assert_eq!(listed["items"][0]["unreadable"], true, "{listed}");
        asked(&host, "wxid_a", "config.get tone", "ok kind").await?;
        let client = host.wehub("wxid_a")?.login().await?;
        for text in ["config.get token", "config.get-all"] {
            let answer = client.text_from("wxid_bob", text).await?;
            let said = format!("{answer:?}");
            check!(said.contains("can't be read"), "{said}");
        }
        let refused = put_secret(&host, "more", "x").await?;
        let problem = refused.problem(409, "conflict")?;
        check!(problem.contains("data.key"), "{problem}");
        check!(problem.contains("token"), "{problem}");
        assert_eq!(fs::read(&key).ok(), wrong);
    }
    host.terminate().await?;
    fs::write(&key, &right)?;
    host.start_again().await?;
    asked(&host, "wxid_a", "config.get token", &format!("ok {SECRET}")).await?;

    // Without the key there is a way on: remove what can't be read, and set it anew.
    host.terminate().await?;
    fs::remove_file(&key)?;
    host.start_again().await?;
    host.api()?.delete("/handlers/probe/secrets/token").await?;
    put_secret(&host, "token", OWN_SECRET).await?.ok()?;
    asked(
        &host,
        "wxid_a",
        "config.get token",
        &format!("ok {OWN_SECRET}"),
    )
    .await?;
    check!(fs::read(&key)? != right, "the key is the former one");
    host.end().await
}

/// The key that another host has made.
async fn host_with_key() -> Result<Vec<u8>> {
    let host = host().await?;
    put_secret(&host, "token", SECRET).await?.ok()?;
    let key = fs::read(key_file(&host))?;
    host.end().await?;
    Ok(key)
}

#[tokio::test]
async fn a_key_that_others_can_read_or_that_lies_with_the_data_is_refused() -> Result<()> {
    let mut host = host().await?;
    put_secret(&host, "token", SECRET).await?.ok()?;
    host.terminate().await?;
    let key = key_file(&host);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644))?;
    let data = host.data().display().to_string();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data", data.as_str()];
    let output = host.run_alone(&serve).await?;
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    check!(!output.status.success(), "{complaint}");
    check!(complaint.contains("chmod 600"), "{complaint}");

    let inside = host.data().join("key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
    let mut command = host.command(&serve);
    command.env("WXHOST_SECRETS__KEY_FILE", inside);
    let output = command.output().await?;
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    check!(!output.status.success(), "{complaint}");
    check!(complaint.contains("data directory"), "{complaint}");

    host.start_again().await?;
    asked(&host, "wxid_a", "config.get token", &format!("ok {SECRET}")).await?;
    host.end().await
}

#[tokio::test]
async fn the_command_line_sets_single_entries_and_secrets() -> Result<()> {
    let host = host().await?;
    let run = async |arguments: &[&str]| -> Result<String> {
        let output = host.cli(arguments).await?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        check!(output.status.success(), "{arguments:?}: {output:?}");
        Ok(said)
    };
    let config = ["handler", "config", "probe"];
    let with = |more: &[&'static str]| [&config[..], more].concat();
    run(&with(&["tone=kind", "city=Bern"])).await?;
    let said = run(&with(&["day=Monday", "--unset", "city"])).await?;
    check!(said.contains("day, tone"), "{said}");
    run(&with(&["--account", "wxid_a", "tone=curt"])).await?;
    asked(&host, "wxid_a", "config.get-all", "ok day=Monday,tone=curt").await?;
    let output = piped(&host, &with(&["--replace", "--file", "-"]), r#"{"a": "1"}"#).await?;
    check!(output.status.success(), "{output:?}");
    asked(&host, "wxid_b", "config.get-all", "ok a=1").await?;

    let set = ["handler", "secret", "set", "probe", "token"];
    let output = piped(&host, &set, &format!("{SECRET}\n")).await?;
    check!(output.status.success(), "{output:?}");
    asked(&host, "wxid_b", "config.get token", &format!("ok {SECRET}")).await?;
    let own = [&set[..], &["--account", "wxid_a"]].concat();
    piped(&host, &own, OWN_SECRET).await?;
    asked(
        &host,
        "wxid_a",
        "config.get token",
        &format!("ok {OWN_SECRET}"),
    )
    .await?;
    let listed = run(&["handler", "secret", "list", "probe"]).await?;
    check!(
        listed.contains("token") && !listed.contains(SECRET),
        "{listed}"
    );
    check!(!listed.contains("a "), "a plain entry is listed: {listed}");
    let shown = run(&config).await?;
    check!(
        shown.contains("token") && !shown.contains(SECRET),
        "{shown}"
    );
    run(&[
        "handler",
        "secret",
        "remove",
        "probe",
        "token",
        "--account",
        "wxid_a",
    ])
    .await?;
    asked(&host, "wxid_a", "config.get token", &format!("ok {SECRET}")).await?;

    let argument = host
        .cli(&[&set[..], &["in-the-arguments"]].concat())
        .await?;
    check!(
        !argument.status.success(),
        "a secret is taken as an argument"
    );
    host.end().await
}
