//! The way of a bot's author, with the commands of the guide: from an empty folder to an
//! answered message, in each language.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};
use wxhost_tests::{
    Context, Host, Result, check, fail, guests,
    host::{COMPILE_MS, Settings},
    poll,
};

/// How long a command of the guide may take: it fetches packages, and compiles them on a
/// machine that does other things too.
const COMMAND_MAX: Duration = Duration::from_secs(15 * 60);
/// How long a chat may take to say something.
const SAYS_WITHIN: Duration = Duration::from_secs(15 * 60);
/// Before the section of a language in the guide.
const SECTIONS: [(&str, &str); 4] = [
    ("rust", "### Five minutes in Rust\n"),
    ("js", "### Five minutes in JavaScript\n"),
    ("python", "### Five minutes in Python\n"),
    (
        "endpoint",
        "### An endpoint in Rust, JavaScript or Python\n",
    ),
];

/// The guide's own commands for a language, one in a line.
fn commands(lang: &str) -> Result<Vec<String>> {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests/README.md");
    let guide = fs::read_to_string(guide)?;
    let (_, title) = SECTIONS
        .into_iter()
        .find(|(it, _)| *it == lang)
        .context(lang)?;
    let (_, rest) = guide.split_once(title).context(title)?;
    let section = rest.split("\n### ").next().unwrap_or_default();
    let section = section.split("\n## ").next().unwrap_or_default();
    let lines = section.lines().filter_map(|line| line.strip_prefix("    "));
    Ok(lines.map(str::to_owned).collect())
}

/// The guide's commands for an endpoint in a language: up to those for the next one.
fn endpoint_commands(lang: &str) -> Result<Vec<String>> {
    let all = commands("endpoint")?;
    let begins = format!("wxhost new hook-{lang} ");
    let own = all
        .into_iter()
        .skip_while(|line| !line.starts_with(&begins));
    let is_next = |line: &str| line.starts_with("wxhost new ") && !line.starts_with(&begins);
    Ok(own.take_while(|line| !is_next(line)).collect())
}

/// A folder for a project, and what its commands are run with.
pub(crate) struct Desk<'a> {
    pub(crate) host: &'a Host,
    pub(crate) dir: PathBuf,
}

impl Desk<'_> {
    /// Runs a line of the guide in a shell, as its reader would, and tells what it printed.
    pub(crate) async fn run(&mut self, line: &str) -> Result<String> {
        if let Some(dir) = line.strip_prefix("cd ") {
            self.dir.push(dir);
            return Ok(String::new());
        }
        // Compilers leave the processor to the tests that look at the clock.
        let mut shell = self.command("nice")?;
        shell.args(["-n", "19", "sh", "-c", line]);
        let output = poll::within(line, COMMAND_MAX, async { Ok(shell.output().await?) }).await?;
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        check!(
            output.status.success(),
            "{line}: {}\n{out}\n{err}",
            output.status
        );
        Ok(out)
    }

    /// With the binary under test as `wxhost`, this host as the one that is meant, and what
    /// other tests compile shared.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Result<Command> {
        let bin = self.host.home().join("bin");
        if !bin.is_dir() {
            fs::create_dir(&bin)?;
            std::os::unix::fs::symlink(self.host.binary().canonicalize()?, bin.join("wxhost"))?;
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let target = guests::profile_dir()?.join("../author");
        let mut command = Command::new(program);
        command
            .current_dir(&self.dir)
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("WXHOST_URL", format!("http://{}", self.host.address()?))
            .env("WXHOST_TOKEN", self.host.token()?)
            .env("CARGO_TARGET_DIR", target)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        Ok(command)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Python's is the longest to compile.
fn patient() -> Settings {
    Settings::default()
        .unpaced()
        .limit("compile_ms", COMPILE_MS)
}

/// Follows the guide's section, and has the bot answer.
async fn follow(lang: &str) -> Result<()> {
    let host = Host::with(patient()).await?;
    let dir = host.home().to_owned();
    let mut desk = Desk { host: &host, dir };
    let commands = commands(lang)?;
    for needed in ["wxhost new", "wxhost build", "wxhost handler deploy"] {
        let there = commands.iter().any(|line| line.starts_with(needed));
        check!(there, "the guide has no {needed} for {lang}: {commands:?}");
    }
    for line in &commands {
        desk.run(line).await?;
    }
    let ann = host.wehub("wxid_a")?.login().await?;
    ann.text_from("wxid_ann", "hello").await?.says("Hello!")?;
    ann.text_from("wxid_ann", "ping").await?.says("pong 1")?;
    ann.text_from("wxid_ann", "ping").await?.says("pong 2")?;
    host.end().await
}

#[tokio::test]
async fn the_guide_leads_to_an_answer_in_rust() -> Result<()> {
    follow("rust").await
}

#[tokio::test]
async fn the_guide_leads_to_an_answer_in_javascript() -> Result<()> {
    follow("js").await
}

#[tokio::test]
async fn the_guide_leads_to_an_answer_in_python() -> Result<()> {
    follow("python").await
}

/// Follows the guide to an endpoint, and has an account say something.
async fn follow_to_an_endpoint(lang: &str) -> Result<()> {
    let host = Host::with(patient()).await?;
    let a = host.wehub("wxid_a")?.login().await?;
    let dir = host.home().to_owned();
    let mut desk = Desk { host: &host, dir };
    let mut token = String::new();
    let mut answer = String::new();
    for line in endpoint_commands(lang)? {
        let line = line.replace(
            "http://127.0.0.1:2000",
            &format!("http://{}", host.address()?),
        );
        let printed = desk.run(&line.replace("$TOKEN", &token)).await?;
        let mut words = printed.split_whitespace();
        if let Some(word) = words.find(|word| word.starts_with("wxe_")) {
            word.clone_into(&mut token);
        }
        answer = printed;
    }
    check!(!token.is_empty(), "the deployment prints the token");
    check!(answer.contains("wxid_a-"), "no task: {answer}");
    let task = a.pull_task().await?;
    task.says("The tea is ready.")?.to("wxid_friend")?;
    host.end().await
}

#[tokio::test]
async fn the_guide_leads_to_an_endpoint_in_rust() -> Result<()> {
    follow_to_an_endpoint("rust").await
}

#[tokio::test]
async fn the_guide_leads_to_an_endpoint_in_javascript() -> Result<()> {
    if !guests::runs_jco() {
        return Ok(());
    }
    follow_to_an_endpoint("js").await
}

#[tokio::test]
async fn the_guide_leads_to_an_endpoint_in_python() -> Result<()> {
    follow_to_an_endpoint("python").await
}

#[tokio::test]
async fn a_bot_in_python_greets_answers_and_remembers() -> Result<()> {
    let Some(concierge) = guests::python("concierge")? else {
        return Ok(());
    };
    let host = Host::with(patient()).await?;
    let dir = host.home().to_owned();
    let mut desk = Desk { host: &host, dir };
    let deploy = format!("wxhost handler deploy concierge {}", concierge.display());
    desk.run(&deploy).await?;
    host.bind("*", "concierge").await?;
    let config = json!({"greeting": "Hi {name}!", "answer.hours": "9 to 5"});
    host.configure("concierge", config).await?;
    let a = host.wehub("wxid_a")?.login().await?;
    let member = json!({"wxid": "wxid_new", "nickname": "Neu", "room_nickname": ""});
    let info = json!({"room_data_list": [{
        "room_wxid": "1@chatroom", "name": "shop", "owner_wxid": "wxid_a", "member_count": 2,
        "memberInfo_list": [member],
    }]});
    a.report("report_room_member_info", info).await?.ok()?;
    let joined = json!({
        "room_wxid": "1@chatroom", "owner_wxid": "wxid_a", "wxid_list": ["wxid_new"], "flag": 1,
    });
    a.report("report_room_member_change", joined)
        .await?
        .says("Hi Neu!")?;
    a.group_text("1@chatroom", "wxid_bob", "who is new?")
        .await?
        .says("Neu")?;
    a.text_from("wxid_bob", "Your HOURS?")
        .await?
        .says("9 to 5")?;
    let answers = host.api()?.value("wxid_a", "concierge", "answers").await?;
    assert_eq!(answers.as_deref(), Some("1"));
    host.end().await
}

/// A project that needs nothing to be built: its component is one of ours.
pub(crate) fn project(host: &Host, toml: &str) -> Result<PathBuf> {
    let dir = host.home().join("echo");
    fs::create_dir_all(dir.join("src"))?;
    fs::write(dir.join("handler.toml"), toml)?;
    fs::copy(guests::path("echo")?, dir.join("echo.wasm"))?;
    Ok(dir)
}

#[tokio::test]
async fn handler_toml_says_what_is_deployed_and_flags_go_before_it() -> Result<()> {
    let host = Host::start().await?;
    let toml = "name = \"echo\"\ncomponent = \"echo.wasm\"\naccounts = [\"wxid_a\"]\n\
                own_messages = true\nallowed_hosts = [\"https://a.example\"]\n\
                secrets = [\"key\"]\n[config]\ncount = true\nby-file = \"1\"\n\
                [limits]\ncpu_ms = 400\n\
                [[schedules]]\nname = \"daily\"\ncron = \"0 8 * * *\"\n";
    let dir = project(&host, toml)?;
    let mut desk = Desk { host: &host, dir };
    let said = desk.run("wxhost handler deploy").await?;
    check!(said.contains("deployed echo, version 1"), "{said}");
    check!(said.contains("serves    wxid_a"), "{said}");
    check!(
        said.contains("`wxhost handler secret set echo key`"),
        "{said}"
    );
    let api = host.api()?;
    let shown = api.get("/handlers/echo").await?;
    assert_eq!(shown["manifest"]["own_messages"], true);
    assert_eq!(shown["manifest"]["limits"]["cpu_ms"], 400);
    assert_eq!(shown["manifest"]["schedules"][0]["name"], "daily");
    let a = host.wehub("wxid_a")?.login().await?;
    a.text_from("wxid_bob", "hi").await?.says("hi")?;
    assert_eq!(
        host.api()?
            .value("wxid_a", "echo", "messages")
            .await?
            .as_deref(),
        Some("1")
    );

    // What people set under other keys stays, also where no new version comes of it.
    desk.run("wxhost handler config echo by-hand=2 by-file=3")
        .await?;
    desk.run("printf s | wxhost handler secret set echo key")
        .await?;
    let again = desk.run("wxhost handler deploy --config more=4").await?;
    check!(
        again.contains("is unchanged") && !again.contains("is not set"),
        "{again}"
    );
    let config = desk.run("wxhost handler config echo").await?;
    for entry in ["by-file  1", "by-hand  2", "more     4"] {
        check!(config.contains(entry), "{entry}: {config}");
    }
    let flags = "wxhost handler deploy --allow-host https://b.example --account wxid_b";
    let changed = desk.run(flags).await?;
    check!(changed.contains("https://b.example"), "{changed}");
    check!(!changed.contains("https://a.example"), "{changed}");
    check!(
        changed.contains("wxid_a (logged in)\n") && changed.contains("wxid_b"),
        "{changed}"
    );
    let json = desk
        .run("wxhost handler deploy --account wxid_c --json")
        .await?;
    let json: Value = serde_json::from_str(&json)?;
    assert_eq!(json["bindings"], json!(["wxid_a", "wxid_b", "wxid_c"]));
    let other = desk.run("wxhost handler deploy other --no-bind").await?;
    check!(other.contains("nobody yet"), "{other}");
    host.end().await
}

#[tokio::test]
async fn what_is_wrong_in_handler_toml_is_named() -> Result<()> {
    let host = Host::start().await?;
    let dir = project(
        &host,
        "name = \"echo\"\ncomponent = \"echo.wasm\"\nacounts = \"all\"\n",
    )?;
    let mut desk = Desk { host: &host, dir };
    let run = "wxhost handler deploy 2>&1 || true";
    let said = desk.run(run).await?;
    check!(
        said.contains("line 3") && said.contains("acounts"),
        "{said}"
    );
    project(
        &host,
        "name = \"echo\"\ncomponent = \"echo.wasm\"\nworld = \"callback\"\n",
    )?;
    let said = desk.run(run).await?;
    check!(
        said.contains("world bot") && said.contains("callback"),
        "{said}"
    );
    project(&host, "name = \"echo\"\ncomponent = \"none.wasm\"\n")?;
    let said = desk.run(run).await?;
    check!(
        said.contains("none.wasm") && said.contains("wxhost build"),
        "{said}"
    );
    project(
        &host,
        "name = \"echo\"\ncomponent = \"echo.wasm\"\nsecrets = [\"token\"]\n",
    )?;
    fs::copy(guests::path("fails-trial")?, desk.dir.join("echo.wasm"))?;
    let said = desk.run(run).await?;
    check!(
        said.contains("tried out") && said.contains("not set: token"),
        "{said}"
    );
    host.end().await
}

/// Builds a project where no program but ours is to be found.
fn alone(dir: &str) -> String {
    format!("(cd {dir}; PATH=$(dirname $(command -v wxhost)); wxhost build 2>&1 || true)")
}

#[tokio::test]
async fn a_missing_tool_is_named_with_what_brings_it() -> Result<()> {
    let host = Host::start().await?;
    let dir = host.home().to_owned();
    let mut desk = Desk { host: &host, dir };
    for (lang, cure) in [("js", "npm install"), ("python", "-m venv .venv")] {
        desk.run(&format!("wxhost new {lang}-bot --lang {lang}"))
            .await?;
        // Nothing but the shell's own programs is there.
        let said = desk.run(&alone(&format!("{lang}-bot"))).await?;
        check!(
            said.contains("is not there") && said.contains(cure),
            "{said}"
        );
    }
    // Packages are there, but not the tool that the build script runs.
    fs::create_dir(desk.dir.join("js-bot/node_modules"))?;
    for (environment, cure) in [
        ("NODE_ENV=", "run `npm install` in"),
        ("NODE_ENV=production", "run `npm install --include=dev` in"),
    ] {
        let line = format!("export {environment}; {}", alone("js-bot"));
        let said = desk.run(&line).await?;
        let missing = said.contains("componentize-qjs: is not there");
        check!(missing && said.contains(cure), "{said}");
    }
    desk.run("wxhost new rust-bot").await?;
    let said = desk.run(&alone("rust-bot")).await?;
    check!(said.contains("rustup target add wasm32-wasip2"), "{said}");
    host.end().await
}

/// `wxhost dev` with its stdin and stdout in our hands.
pub(crate) struct Chat {
    child: Child,
    typed: ChildStdin,
    shown: Lines<BufReader<ChildStdout>>,
}

impl Chat {
    pub(crate) fn start(desk: &Desk<'_>) -> Result<Self> {
        let mut command = desk.command("wxhost")?;
        command
            .arg("dev")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let typed = child.stdin.take().context("stdin")?;
        let shown = BufReader::new(child.stdout.take().context("stdout")?).lines();
        Ok(Self {
            child,
            typed,
            shown,
        })
    }

    pub(crate) async fn types(&mut self, line: &str) -> Result<()> {
        self.typed.write_all(format!("{line}\n").as_bytes()).await?;
        Ok(())
    }

    /// Waits for a line with these words.
    pub(crate) async fn shows(&mut self, words: &str) -> Result<String> {
        let mut before = Vec::new();
        let found = poll::within(words, SAYS_WITHIN, async {
            while let Some(line) = self.shown.next_line().await? {
                if line.contains(words) {
                    return Ok(Some(line));
                }
                before.push(line);
            }
            Ok(None)
        });
        match found.await {
            Ok(Some(line)) => Ok(line),
            _ => fail!("{words:?} is not among:\n{}", before.join("\n")),
        }
    }

    /// Ends it, and waits until it has.
    pub(crate) async fn quits(mut self) -> Result<()> {
        self.types("/quit").await?;
        let status = poll::within("the end", SAYS_WITHIN, async {
            Ok(self.child.wait().await?)
        });
        check!(status.await?.success(), "it ended badly");
        Ok(())
    }
}

#[tokio::test]
async fn a_bot_is_tried_out_in_a_chat() -> Result<()> {
    let host = Host::start().await?;
    // Building it is a copy, so that a change is seen at once.
    let toml = "name = \"echo\"\ncomponent = \"echo.wasm\"\n\
                [build]\ncommand = \"cp src/$(cat src/which) echo.wasm\"\n\
                [[schedules]]\nname = \"daily\"\ncron = \"0 8 * * *\"\n";
    let dir = project(&host, toml)?;
    for guest in ["echo", "trap", "probe"] {
        fs::copy(guests::path(guest)?, dir.join("src").join(guest))?;
    }
    fs::write(dir.join("src/which"), "echo")?;
    let desk = Desk { host: &host, dir };
    let mut chat = Chat::start(&desk)?;
    chat.shows("version 1 serves").await?;
    // It holds the author's secrets, and its callback's path is one.
    for (name, wanted) in [(".wxhost", 0o700), (".wxhost/wxhost.toml", 0o600)] {
        let mode = fs::metadata(desk.dir.join(name))?.permissions().mode();
        assert_eq!(mode & 0o7777, wanted, "{name}");
    }
    chat.types("good morning").await?;
    chat.shows("→ good morning").await?;
    chat.types("/group shop").await?;
    chat.shows("Ann in shop").await?;
    chat.types("hi all").await?;
    chat.shows("→ @wxid_ann hi all").await?;
    chat.types("/private Bob").await?;
    chat.types("/friend-request let me in").await?;
    chat.shows("(the bot does nothing)").await?;
    chat.types("/timer daily").await?;
    chat.shows("the schedule daily comes due").await?;
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/wehub");
    let fixture = fixtures.join("msg-01-text-private.json");
    chat.types(&format!("/fixture {}", fixture.display()))
        .await?;
    chat.shows("你好, hello 😀").await?;
    chat.types(r#"{"message": {"author": "wxid_x", "content": {"text": "an event"}}}"#)
        .await?;
    chat.shows("an event").await?;
    // As it stands in a file, over many lines.
    let pretty = json!({"message": {"author": "wxid_x", "content": {"text": "in { lines"}}});
    chat.types(&serde_json::to_string_pretty(&pretty)?).await?;
    chat.shows("in { lines").await?;
    chat.types("{\n  \"message\": {\n").await?;
    chat.shows("has no end: it is given up").await?;
    chat.types("and now?").await?;
    chat.shows("→ and now?").await?;
    chat.types("/nonsense").await?;
    chat.shows("/help").await?;

    // Folders that are made later are watched, too.
    fs::create_dir(desk.dir.join("lib"))?;
    chat.shows("version 1 serves").await?;
    fs::write(desk.dir.join("lib/words.txt"), "hello")?;
    chat.shows("version 1 serves").await?;

    // What does not build leaves the bot as it was; what does is there at once.
    fs::write(desk.dir.join("src/which"), "no-such-file")?;
    chat.shows("the version before goes on").await?;
    chat.types("still there?").await?;
    chat.shows("→ still there?").await?;
    fs::write(desk.dir.join("src/which"), "trap")?;
    chat.shows("version 2 serves").await?;
    chat.types("hello").await?;
    let failed = chat.shows("✗ the bot failed").await?;
    check!(failed.contains("trap"), "{failed}");
    // What a failed call said shows as well.
    chat.shows("[error] panic: trapped on purpose").await?;

    // What it logs, and what it prints.
    fs::write(desk.dir.join("src/which"), "probe")?;
    chat.shows("version 3 serves").await?;
    for (asked, shown) in [
        ("log.info a logged line", "[info] probe: a logged line"),
        ("log.stdout a printed line", "[info] stdout: a printed line"),
        ("log.stderr a line of woe", "[warn] stderr: a line of woe"),
    ] {
        chat.types(asked).await?;
        chat.shows(shown).await?;
    }
    chat.quits().await?;
    host.end().await
}
