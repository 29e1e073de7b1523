//! Versions on the command line: what a deployment says, whom it reaches, and the way back
//! and forth.

use std::process::Stdio;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;
use wxhost_tests::{Context, Host, Result, check, guests};

use crate::cli::{complaint, json_of, printed, text};

/// The path of a guest, as an argument.
fn component(guest: &str) -> Result<String> {
    let path = guests::path(guest)?;
    Ok(path.to_str().context("a path in UTF-8")?.to_owned())
}

/// The value that follows this name at the begin of a line.
fn fact<'a>(text: &'a str, name: &str) -> Result<&'a str> {
    let mut values = text.lines().filter_map(|line| line.strip_prefix(name));
    let value = values.find(|rest| rest.starts_with(' ')).context(name)?;
    Ok(value.trim())
}

#[tokio::test]
async fn a_deployment_prints_the_facts_of_what_was_deployed() -> Result<()> {
    let host = Host::unpaced().await?;
    let (echo, probe) = (component("echo")?, component("probe")?);
    let deploy = ["handler", "deploy", "bot"];
    let first = [
        &deploy[..],
        &[&echo, "--account", "wxid_a", "--note", "the first"],
    ]
    .concat();
    let first = printed(&host, &first).await?;
    check!(first.starts_with("deployed bot, version 1 in "), "{first}");
    check!(first.contains("(compiled in "), "{first}");
    check!(first.contains("; tried out in "), "{first}");
    check!(fact(&first, "version")?.contains("(the first)"), "{first}");
    check!(fact(&first, "serves")?.starts_with("wxid_a"), "{first}");

    // Of a version that serves some, not of the one that serves the others.
    let second = [&deploy[..], &[&probe, "--percent", "50", "--own-messages"]].concat();
    let second = printed(&host, &second).await?;
    let versions = host.api()?.get("/handlers/bot/versions").await?;
    let made = &versions["items"][0];
    let text = |name: &str| made[name].as_str().unwrap_or_default().to_owned();
    assert_eq!(made["number"], 2);
    check!(fact(&second, "version")?.starts_with('2'), "{second}");
    assert_eq!(fact(&second, "digest")?, text("digest"));
    assert_eq!(fact(&second, "world")?, text("world"));
    assert_eq!(fact(&second, "granted")?, "own messages");
    check!(fact(&second, "size")?.ends_with("KiB"), "{second}");
    check!(!second.contains(fact(&first, "digest")?), "{second}");
    check!(fact(&second, "size")? != fact(&first, "size")?, "{second}");
    for import in made["imports"].as_array().into_iter().flatten() {
        let import = import.as_str().unwrap_or_default();
        check!(second.contains(import), "{import}: {second}");
    }
    // What is compiled already is not compiled again.
    let again = [&deploy[..], &[&probe, "--percent", "60", "--own-messages"]].concat();
    let again = printed(&host, &again).await?;
    check!(again.contains("(compiled before;"), "{again}");
    host.end().await
}

/// What a command printed that succeeded, and what it wrote to stderr.
async fn both(host: &Host, arguments: &[&str]) -> Result<(String, String)> {
    let output = host.cli(arguments).await?;
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    check!(output.status.success(), "{arguments:?}: {err}");
    Ok((out, err))
}

#[tokio::test]
async fn what_reaches_nobody_is_told_when_it_is_deployed() -> Result<()> {
    let host = Host::unpaced().await?;
    let (echo, probe) = (component("echo")?, component("probe")?);
    let typed = ["--account", "wxid_tpyo", "--account", "label:nobody"];
    let deploy = ["handler", "deploy", "bot"];
    let said = printed(&host, &[&deploy[..], &[&echo], &typed].concat()).await?;
    check!(
        said.contains("label:nobody (no account that is known)"),
        "{said}"
    );
    check!(said.contains("wxid_tpyo (not known yet)"), "{said}");
    check!(
        said.contains("warning: wxid_tpyo is not known yet"),
        "{said}"
    );
    check!(
        said.contains("warning: no account that is known has the label nobody"),
        "{said}"
    );

    // For scripts: numbers in the JSON, the warnings beside it.
    let json = [&deploy[..], &[&echo], &typed, &["--json"]].concat();
    let (json, warned) = both(&host, &json).await?;
    let json: Value = serde_json::from_str(&json)?;
    let nobody = json!([
        {"account": "label:nobody", "known": 0, "logged_in": 0},
        {"account": "wxid_tpyo", "known": 0, "logged_in": 0},
    ]);
    assert_eq!(json["reaches"]["scopes"], nobody);
    check!(warned.contains("warning: wxid_tpyo"), "{warned}");

    // Who is there is counted, by the binding that serves them.
    let a = host.wehub("wxid_a")?.login().await?;
    host.wehub("wxid_b")?.login().await?;
    a.logout().await?;
    let label = json!({"add": ["shop"]});
    let path = "/accounts/wxid_b/labels";
    let api = host.api()?;
    api.request(Method::PATCH, path, Some(&label)).await?.ok()?;
    let bind = ["handler", "bind", "bot", "--account"];
    let all = printed(&host, &[&bind[..], &["*"]].concat()).await?;
    check!(
        all.contains("(2 accounts, 1 logged in)") && !all.contains("warning"),
        "{all}"
    );
    let shop = printed(&host, &[&bind[..], &["label:shop"]].concat()).await?;
    check!(shop.contains("(1 account, 1 logged in)"), "{shop}");
    let none = printed(&host, &[&bind[..], &["label:none"]].concat()).await?;
    check!(
        none.contains("warning: no account that is known has the label none"),
        "{none}"
    );
    let again = printed(&host, &[&deploy[..], &[&echo]].concat()).await?;
    check!(again.contains("* (1 account, 0 logged in)"), "{again}");

    // A version that serves some.
    let to = |to: &'static [&'static str]| [&deploy[..], &[&probe], to].concat();
    let one = printed(&host, &to(&["--to-account", "wxid_b"])).await?;
    let headline = "version 2 serves 1 account (1 known, 1 logged in)";
    check!(
        one.contains(headline) && !one.contains("warning: version"),
        "{one}"
    );
    let typo = ["--to-account", "wxid_z"];
    let typo = [&["handler", "rollout", "bot"][..], &typo].concat();
    let typo = printed(&host, &typo).await?;
    check!(
        typo.contains("serves 1 account (none that is known)"),
        "{typo}"
    );
    let warning = "warning: version 2 serves nobody yet: the account that is listed is not known";
    check!(typo.contains(warning), "{typo}");
    let few = ["handler", "rollout", "bot", "--percent"];
    // Whom a percentage reaches is decided by a digest: 100 % are all, 1 % none of these.
    let few_of = |percent| [&few[..], &[percent]].concat();
    let all = json_of(&host, &few_of("100")).await?;
    let expected = json!({"known": 2, "logged_in": 1});
    assert_eq!(all["reaches"]["rollout"], expected, "{all}");
    let one = printed(&host, &few_of("1")).await?;
    check!(
        one.contains("warning: version 2 serves nobody yet"),
        "{one}"
    );
    let reaches = api.get("/handlers/bot/reaches").await?;
    assert_eq!(reaches["rollout"], json!({"known": 0, "logged_in": 0}));
    host.end().await
}

/// What the bot of this account answers: `echo` what it was told, `probe` who serves it.
async fn answers(host: &Host, account: &str) -> Result<String> {
    let client = host.wehub(account)?.login().await?;
    let ack = client.text_from("wxid_bob", "context.client-kind").await?;
    Ok(ack.ok()?.texts().join(" "))
}

/// The row of a version in `handler versions`.
fn row(table: &str, version: u32) -> Result<&str> {
    let number = version.to_string();
    let mut lines = table.lines();
    let found = lines.find(|line| line.split_whitespace().next() == Some(&number));
    found.context(format!("version {version} in {table}"))
}

#[tokio::test]
async fn versions_are_listed_rolled_out_promoted_and_rolled_back() -> Result<()> {
    let host = Host::unpaced().await?;
    let (echo, probe) = (component("echo")?, component("probe")?);
    let (old, new) = ("context.client-kind", "ok wehub");
    let run = async |line: &str| -> Result<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        printed(&host, &words).await
    };
    run(&format!(
        "handler deploy bot {echo} --account * --by mei --note first"
    ))
    .await?;
    for account in ["wxid_a", "wxid_b"] {
        assert_eq!(answers(&host, account).await?, old);
    }
    let deploy = format!("handler deploy bot {probe} --to-account wxid_a --note second --by jo");
    let said = run(&deploy).await?;
    check!(
        said.contains("version 2 serves 1 account (1 known, 1 logged in)"),
        "{said}"
    );
    assert_eq!(answers(&host, "wxid_a").await?, new);
    assert_eq!(answers(&host, "wxid_b").await?, old);
    let table = run("handler versions bot").await?;
    for (version, words) in [
        (1, ["mei", "the others", "first"]),
        (2, ["jo", "1 account", "second"]),
    ] {
        let row = row(&table, version)?;
        check!(words.iter().all(|word| row.contains(word)), "{row}");
    }
    let list = json_of(&host, &["handler", "versions", "bot"]).await?;
    assert_eq!(list["items"][0]["by"], "jo", "{list}");

    let said = run("handler rollout bot --percent 100 --failures-percent 5").await?;
    check!(
        said.contains("version 2 serves 100 % of the accounts (2 known"),
        "{said}"
    );
    check!(said.contains("at most 5 % may"), "{said}");
    assert_eq!(answers(&host, "wxid_b").await?, new);
    let said = run("handler rollback bot").await?;
    check!(
        said.starts_with("version 1 serves; what bots have written stays"),
        "{said}"
    );
    assert_eq!(answers(&host, "wxid_a").await?, old);
    let said = run("handler rollout bot --version 2 --percent 1").await?;
    check!(
        said.starts_with("version 2 serves 1 % of the accounts ("),
        "{said}"
    );
    let said = run("handler promote bot").await?;
    check!(said.starts_with("version 2 serves everybody\n"), "{said}");
    assert_eq!(answers(&host, "wxid_b").await?, new);
    let table = run("handler versions bot").await?;
    check!(row(&table, 2)?.contains(" yes "), "{table}");
    check!(row(&table, 1)?.contains(" no "), "{table}");
    run("handler rollback bot --to 1").await?;
    assert_eq!(answers(&host, "wxid_a").await?, old);
    let back = json_of(&host, &["handler", "rollback", "bot", "--to", "2"]).await?;
    assert_eq!(
        (&back["version"], &back["previous"]),
        (&json!(2), &json!(1))
    );

    for (line, word) in [
        ("handler rollback bot --to 2", "serves already"),
        ("handler rollback bot --to 9", "version"),
        ("handler promote bot", "no version of bot serves some"),
        ("handler rollout bot", "--percent"),
        ("handler versions nobody", "nobody"),
    ] {
        let words: Vec<&str> = line.split_whitespace().collect();
        let why = complaint(&host, &words).await?;
        check!(why.contains(word), "{line}: {why}");
    }
    host.end().await
}

/// The binary with these arguments for this host, and nobody's name in its environment.
fn nameless(host: &Host, arguments: &[&str]) -> Result<Command> {
    let mut command = host.command(arguments);
    command
        .env("WXHOST_URL", format!("http://{}", host.address()?))
        .env("WXHOST_TOKEN", host.token()?)
        .env_remove("USER")
        .env_remove("LOGNAME")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(command)
}

#[tokio::test]
async fn whoever_deploys_is_named_or_said_to_be_unknown() -> Result<()> {
    let host = Host::unpaced().await?;
    let api = host.api()?;
    // Who uploads without our command line need not say who they are.
    api.deploy("bot", guests::bytes("echo")?).await?.ok()?;
    let probe = component("probe")?;
    let deploy = ["handler", "deploy", "bot", &probe];
    let output = nameless(&host, &deploy)?.output().await?;
    check!(output.status.success(), "{}", text(&output.stderr));
    let mut named = nameless(&host, &[&deploy[..], &["--own-messages"]].concat())?;
    // Empty is as good as not there.
    let output = named.env("USER", "").env("LOGNAME", "mei").output().await?;
    check!(output.status.success(), "{}", text(&output.stderr));

    // As the system calls the user whose processes we are.
    let name = Command::new("id").arg("-un").output().await?;
    let name = text(&name.stdout);
    let versions = api.get("/handlers/bot/versions").await?;
    let by: Vec<_> = versions["items"].as_array().into_iter().flatten().collect();
    let by: Vec<_> = by.iter().map(|it| it["by"].as_str()).collect();
    assert_eq!(by, [Some("mei"), Some(name.trim()), None]);
    let table = printed(&host, &["handler", "versions", "bot"]).await?;
    check!(row(&table, 1)?.contains("unknown"), "{table}");
    check!(row(&table, 2)?.contains(name.trim()), "{table}");
    host.end().await
}
