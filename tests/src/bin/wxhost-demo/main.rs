//! The demo behind `make demo`: a host with two simulated accounts and two
//! different bots, a conversation whose every answer is checked, further accounts
//! that log in by QR code, one of them with a native client that the host starts, and
//! then a host that keeps serving, with what to try next.

#![allow(
    clippy::indexing_slicing,
    reason = "a field that a JSON value does not have reads as null"
)]

mod native;
mod next;
mod scan;
mod script;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use serde_json::json;
use tokio::{signal::ctrl_c, time::sleep};
use wxhost_tests::{
    Host, Result, WehubClient,
    chat::{Face, Screen},
    check, fail, guests,
    host::Settings,
    poll,
    wehub::Ack,
};

/// Where the demo's host keeps its things.
const FOLDER: &str = "demo-data";
/// How long the conversation may take in all.
const CONVERSATION_MAX: Duration = Duration::from_secs(120);
/// How many native clients there can be: for people to try.
const CLIENTS: u16 = 20;
/// The pause between two lines, so that one can read along.
const PAUSE: Duration = Duration::from_millis(350);
/// How often the accounts ask for tasks while the host keeps serving.
const POLL: Duration = Duration::from_secs(1);

/// An account, its client and how it is shown.
pub struct Player {
    client: WehubClient,
    face: Face,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match demo().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the demo failed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn demo() -> Result<()> {
    let once = env::var("DEMO_ONCE").is_ok_and(|value| value == "1");
    let screen = Screen::stdout();
    let host = Host::at(&fresh_folder()?, settings()?).await?;
    let pause = if once { Duration::ZERO } else { PAUSE };
    let conversation = conversation(&host, &screen, pause);
    let players = poll::within("the conversation", CONVERSATION_MAX, conversation).await?;
    screen.note("\nEvery answer was as expected.");
    if !once {
        next::print(&host)?;
        tokio::select! {
            outcome = keep_serving(&screen, &players) => outcome?,
            interrupted = ctrl_c() => interrupted?,
        }
        screen.note("\nEnding the host …");
    }
    host.end().await
}

/// WebSockets are offered; whoever does not take the offer stays with HTTP. Native
/// clients are stubs.
fn settings() -> Result<Settings> {
    let settings = Settings::default().clients(CLIENTS)?;
    Ok(settings.report_contact(7).set("wehub.websocket", true))
}

/// An empty folder for the demo. One that holds something else is left alone.
fn fresh_folder() -> Result<PathBuf> {
    let folder = Path::new(FOLDER);
    if folder.exists() {
        let ours = folder.join("wxhost.toml").is_file() || fs::read_dir(folder)?.next().is_none();
        check!(
            ours,
            "./{FOLDER} is there and not of an earlier demo: move it away"
        );
        fs::remove_dir_all(folder)?;
    }
    Ok(folder.to_owned())
}

async fn conversation(host: &Host, screen: &Screen, pause: Duration) -> Result<Vec<Player>> {
    screen.note(&format!("wxhost serves on {}.", host.address()?));
    host.serve_guest("*", "echo").await?;
    let second = second_bot(host).await?;
    screen.note(&format!(
        "Rose's bot is echo, Max's is {second}. Both accounts log in.\n"
    ));
    let mut players = vec![
        log_in(host, "wxid_rose", "Rose", 0).await?,
        log_in(host, "wxid_max", "Max", 1).await?,
    ];
    for line in script::lines(second) {
        say(screen, &players, &line).await?;
        sleep(pause).await;
    }
    let [rose, ..] = players.as_slice() else {
        fail!("nobody plays");
    };
    task_from_outside(host, screen, rose).await?;
    let scan = scan::Scan {
        host,
        screen,
        pause,
    };
    let lily = scan.play(rose).await?;
    let hello = lily.client.text_from("wxid_ann", "Hello, Lily").await?;
    hello.says("Hello, Lily")?;
    scan.play_native().await?;
    players.push(lily);
    Ok(players)
}

/// The JavaScript bot where it could be built, else one in Rust.
async fn second_bot(host: &Host) -> Result<&'static str> {
    let bot = match guests::path("faq") {
        Ok(_) => "faq",
        Err(_) => "probe",
    };
    host.serve_guest("wxid_max", bot).await?;
    let config = json!({
        "faq.opening hours": "We are open from 9 to 18.",
        "faq.price": "A tea is 12 yuan.",
        "faq.营业时间": "每天 9 点到 18 点。",
        "fallback": "I don't know. Ask for the opening hours, or a price.",
    });
    host.configure(bot, config).await?;
    Ok(bot)
}

async fn log_in(host: &Host, wxid: &str, name: &str, place: usize) -> Result<Player> {
    let client = host.wehub(wxid)?.called(name).login().await?;
    client.report_contact(3).await?.silent()?;
    let face = Face::new(name, place);
    Ok(Player { client, face })
}

/// Somebody writes, and the answer must be the expected one.
async fn say(screen: &Screen, players: &[Player], line: &script::Line) -> Result<()> {
    let Some(player) = players.get(line.player) else {
        fail!("nobody plays account {}", line.player);
    };
    let client = &player.client;
    screen.heard(&player.face, line.speaker, line.text);
    let speaker = format!("wxid_{}", line.speaker.to_lowercase());
    let ack = match line.group {
        None => client.text_from(&speaker, line.text).await?,
        Some(group) => client.group_text(group, &speaker, line.text).await?,
    };
    show(screen, player, &ack);
    ack.says(line.answer)?.to(line.group.unwrap_or(&speaker))?;
    Ok(())
}

/// Another program asks for a message through the control API; the account's
/// client fetches it and reports that it is done.
async fn task_from_outside(host: &Host, screen: &Screen, player: &Player) -> Result<()> {
    screen.note("\nAnother program has Rose write, through the control API:");
    let text = "Your parcel is here.";
    let api = host.api()?;
    let id = api.send_text("wxid_rose", "wxid_ann", text).await?;
    let ack = player.client.pull_task().await?;
    show(screen, player, &ack);
    ack.says(text)?.to("wxid_ann")?;
    player.client.task_result(&id, None).await?.ok()?;
    let task = api.task(&id).await?;
    let done = task.get("state").is_some_and(|state| state == "done");
    check!(done, "this task is not done: {task}");
    screen.note(&format!("The task {id} is done."));
    Ok(())
}

/// The accounts go on carrying out what they are asked to.
async fn keep_serving(screen: &Screen, players: &[Player]) -> Result<()> {
    loop {
        for player in players {
            let ack = player.client.pull_task().await?;
            show(screen, player, &ack);
            if let Some(id) = &ack.task_id {
                player.client.task_result(id, None).await?.ok()?;
            }
        }
        sleep(POLL).await;
    }
}

fn show(screen: &Screen, player: &Player, ack: &Ack) {
    for task in &ack.tasks {
        screen.said(&player.face, &task.summary());
    }
}
