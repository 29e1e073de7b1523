//! `wxhost dev`: a bot is tried out while it is written. A host of its own, a pretended
//! account, a chat in the terminal; what changes is built, and serves if it links.

mod account;
mod deploy;
mod host;
mod line;
mod logs;
mod news;
mod paste;
mod screen;
mod watch;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Args;
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinHandle, time::sleep};

use self::{
    account::{ACCOUNT, Account, Speaker},
    deploy::{Deployed, rebuild},
    host::Host,
    line::Line,
    logs::Logs,
    news::News,
    paste::{Heard, Paste},
    screen::{Screen, Tone},
    watch::Watcher,
};
use super::{
    client::Client,
    failure::Failure,
    project::{FILE, Project},
};
use crate::{
    domain::{HandlerName, Timer, handler::ScheduleView},
    edge::control::wire::List,
};

/// Who speaks at first.
const FIRST: &str = "Ann";
/// The group that there is when none was named.
const GROUP: &str = "friends";
/// The folder in the project where the host keeps its things.
const FOLDER: &str = ".wxhost";
/// How often tasks are taken, and what the bot did by itself is shown.
const PACE: Duration = Duration::from_millis(300);
/// For how long something that was asked for may take until it shows: an alarm rings four
/// times a second.
const SHOWS_WITHIN: Duration = Duration::from_secs(5);
/// Said when JSON is given up that has begun and has no end.
const PASTE_GIVEN_UP: &str = "the JSON that was begun has no end: it is given up";
/// How large a fixture may be.
const FIXTURE_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// `wxhost dev`.
#[derive(Args)]
#[command(after_help = line::HELP)]
pub struct DevArgs {
    /// The project: its handler.toml or the folder with it [default: the nearest handler.toml,
    /// here or above]
    #[arg(long, value_name = "PATH")]
    manifest: Option<PathBuf>,
    /// Goes on with what the bot kept the last time
    #[arg(long)]
    keep: bool,
}

impl DevArgs {
    /// Goes on until somebody ends it.
    pub async fn run(self) -> Result<(), Failure> {
        let project = Project::open(self.manifest.as_deref())?;
        let mut watcher = Watcher::start(&project.dir)?;
        let mut host = Host::start(&project.dir.join(FOLDER), self.keep).await?;
        let mut chat = Chat::open(&project.dir, &host).await?;
        let ended = tokio::select! {
            ended = chat.run(&mut watcher, &mut host) => ended,
            _ = tokio::signal::ctrl_c() => Ok(()),
        };
        host.end().await;
        ended
    }
}

/// A chat with a bot.
struct Chat {
    manifest: PathBuf,
    client: std::sync::Arc<Client>,
    account: Account,
    speaker: Speaker,
    /// The group of before, for `/group` without a name.
    group: String,
    screen: Screen,
    paste: Paste,
    news: News,
    logs: Logs,
    handler: Option<HandlerName>,
    /// A build under way.
    building: Option<JoinHandle<Result<Deployed, Failure>>>,
    /// Something changed since it began.
    is_stale: bool,
}

impl Chat {
    async fn open(dir: &Path, host: &Host) -> Result<Self, Failure> {
        Ok(Self {
            manifest: dir.join(FILE),
            client: std::sync::Arc::new(host.client()?),
            account: Account::new(host)?,
            speaker: Speaker {
                name: FIRST.to_owned(),
                group: None,
            },
            group: GROUP.to_owned(),
            screen: Screen::new(),
            paste: Paste::default(),
            news: News::default(),
            logs: Logs::new(),
            handler: None,
            building: None,
            is_stale: false,
        })
    }

    async fn run(&mut self, watcher: &mut Watcher, host: &mut Host) -> Result<(), Failure> {
        self.first_build(host).await;
        self.account.login().await?;
        let speaker = self.speaker.clone();
        self.account.know(&speaker).await?;
        self.screen
            .say(Tone::Dim, "type a message; /help lists the commands");
        self.screen.set_prompt(&self.speaker.shown());
        self.screen.ask();
        let mut typed = screen::typed();
        let mut ended = false;
        loop {
            tokio::select! {
                line = next(&mut typed), if !ended => match line {
                    Some(text) => match self.hear(&text) {
                        Some(Line::Quit) => return Ok(()),
                        Some(line) => self.obey(line).await,
                        None => {}
                    },
                    // What was asked for is still shown, and built.
                    None => {
                        ended = true;
                        self.check_paste_ended();
                    }
                },
                logged = host.logged() => match logged {
                    Some(line) => self.show_log(&line),
                    None => return Err(Failure::local("the host", "has ended")),
                },
                line = self.logs.next() => self.show_log(&line),
                watched = watcher.changed() => {
                    if let Err(failure) = watched {
                        self.screen.say(Tone::Bad, &failure.to_string());
                    }
                    self.build();
                }
                built = built(&mut self.building) => self.show_build(built),
                () = sleep(PACE) => {
                    self.carry_out().await?;
                    if ended && self.building.is_none() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Before anything is said, so that the bot hears it.
    async fn first_build(&mut self, host: &mut Host) {
        self.build();
        while self.building.is_some() {
            tokio::select! {
                built = built(&mut self.building) => self.show_build(built),
                Some(line) = host.logged() => self.show_log(&line),
            }
        }
    }

    fn build(&mut self) {
        if self.building.is_some() {
            self.is_stale = true;
            return;
        }
        self.screen.say(Tone::Dim, "building…");
        let (manifest, client) = (self.manifest.clone(), std::sync::Arc::clone(&self.client));
        let task = async move { rebuild(manifest, &client).await };
        self.building = Some(tokio::spawn(task));
    }

    fn show_build(&mut self, built: Result<Deployed, Failure>) {
        self.building = None;
        match built {
            Ok(deployed) => {
                self.logs.follow(&self.client, &deployed.name);
                self.handler = Some(deployed.name);
                self.screen.say(Tone::Dim, &deployed.told);
            }
            Err(failure) => {
                let after = match self.handler {
                    Some(_) => "\nthe version before goes on",
                    None => "\nthere is no bot yet: mend it, and it is built again",
                };
                self.screen.say(Tone::Bad, &format!("{failure}{after}"));
            }
        }
        if std::mem::take(&mut self.is_stale) {
            self.build();
        }
    }

    fn show_log(&self, line: &str) {
        self.screen.say(Tone::Dim, &format!("  {line}"));
    }

    /// What is to be done about a line; nothing while more of what is pasted has to come.
    fn hear(&mut self, text: &str) -> Option<Line> {
        match self.paste.take(text) {
            Heard::Line(line) => Some(line),
            Heard::More => {
                self.screen.set_prompt("…");
                self.screen.ask();
                None
            }
            Heard::GivenUp(Line::Cancel) => {
                self.screen.say(Tone::Dim, PASTE_GIVEN_UP);
                Some(Line::Empty)
            }
            Heard::GivenUp(line) => {
                self.screen.say(Tone::Bad, PASTE_GIVEN_UP);
                Some(line)
            }
        }
    }

    fn check_paste_ended(&self) {
        if self.paste.is_under_way() {
            self.screen.say(Tone::Bad, PASTE_GIVEN_UP);
        }
    }

    /// Does what a line says, and shows what the bot did about it.
    async fn obey(&mut self, line: Line) {
        if let Err(failure) = self.try_to_obey(line).await {
            self.screen.say(Tone::Bad, &failure.to_string());
        }
        self.screen.set_prompt(&self.speaker.shown());
        self.screen.ask();
    }

    async fn try_to_obey(&mut self, line: Line) -> Result<(), Failure> {
        match line {
            Line::Empty | Line::Quit => return Ok(()),
            Line::Cancel => {
                let problem = "nothing is being pasted".to_owned();
                return Err(Failure::Usage(problem));
            }
            Line::Say(text) => {
                let speaker = self.speaker.clone();
                self.account.say(&speaker, &text).await?;
            }
            Line::Group(name) => {
                self.group = name.unwrap_or_else(|| self.group.clone());
                self.speaker.group = Some(self.group.clone());
                return self.introduce().await;
            }
            Line::Private(name) => {
                self.speaker.group = None;
                self.speaker.name = name.unwrap_or_else(|| self.speaker.name.clone());
                return self.introduce().await;
            }
            Line::As(name) => {
                self.speaker.name = name;
                return self.introduce().await;
            }
            Line::FriendRequest(text) => {
                let name = self.speaker.name.clone();
                self.account.friend_request(&name, &text).await?;
            }
            Line::Join(name) => {
                let group = self.group.clone();
                self.account.join(&group, &name).await?;
            }
            Line::Timer(name) => return self.fire(name.as_deref()).await,
            Line::Fixture(file) => {
                let text = read_fixture(&file)?;
                return self.replay(&text).await;
            }
            Line::Json(text) => return self.replay(&text).await,
            Line::Restart => {
                self.build();
                return Ok(());
            }
            Line::Help => {
                self.screen.say(Tone::Dim, line::HELP);
                return Ok(());
            }
            Line::Wrong(problem) => return Err(Failure::Usage(problem)),
        }
        self.show_news(true).await
    }

    /// Whoever speaks now is somebody whom the account knows.
    async fn introduce(&mut self) -> Result<(), Failure> {
        let speaker = self.speaker.clone();
        self.account.know(&speaker).await?;
        let shown = format!("you are {} now", speaker.shown());
        self.screen.say(Tone::Dim, &shown);
        self.show_news(false).await
    }

    async fn show_news(&mut self, also_nothing: bool) -> Result<(), Failure> {
        let here = self.speaker.conversation();
        let seen = self.news.look(&self.client, &here).await?;
        for line in &seen.done {
            self.screen.say(Tone::Bot, line);
        }
        for line in &seen.failed {
            self.screen.say(Tone::Bad, line);
        }
        if also_nothing && seen.is_empty() {
            self.screen.say(Tone::Dim, "(the bot does nothing)");
        }
        Ok(())
    }

    /// Has a timer or a schedule come due: the one of this name, or the next.
    async fn fire(&mut self, name: Option<&str>) -> Result<(), Failure> {
        let handler = self.handler.clone();
        let handler = handler.ok_or_else(|| Failure::Usage("there is no bot yet".to_owned()))?;
        let name_is = |known: &str| name.is_none_or(|name| name == known);
        let timers = self
            .client
            .get(&["accounts", ACCOUNT, "timers"], &[])
            .await?;
        let timers: List<Timer> = timers.read()?;
        let timers = timers.items.into_iter();
        let timer = timers
            .filter(|it| name_is(&it.id))
            .min_by_key(|it| it.due_ms);
        let path = ["handlers", handler.as_str(), "schedules"];
        let schedules: List<ScheduleView> = self.client.get(&path, &[]).await?.read()?;
        let mut schedules = schedules
            .items
            .into_iter()
            .filter_map(|it| Some((it.next_ms?, it)));
        let schedule = schedules
            .by_ref()
            .filter(|(_, it)| {
                let name_of = it.schedule.name.as_str();
                name_is(name_of) || name == Some(&format!("schedule:{name_of}"))
            })
            .min_by_key(|(next_ms, _)| *next_ms);
        let fired = match (timer, schedule) {
            (Some(timer), schedule)
                if schedule
                    .as_ref()
                    .is_none_or(|(next_ms, _)| timer.due_ms <= *next_ms) =>
            {
                let body = json!({"handler": timer.handler, "timer": timer.id}).to_string();
                let path = ["accounts", ACCOUNT, "timers", "fire"];
                self.client.post(&path, &[], body, None).await?;
                format!("the timer {} comes due", timer.id)
            }
            (_, Some((_, it))) => {
                let name = it.schedule.name;
                let path = ["handlers", handler.as_str(), "schedules", &name, "fire"];
                let body = json!({ "account": ACCOUNT }).to_string();
                self.client.post(&path, &[], body, None).await?;
                format!("the schedule {name} comes due")
            }
            (_, None) => {
                let what = name.map_or_else(String::new, |name| format!(" called {name}"));
                return Err(Failure::Usage(format!(
                    "there is no timer or schedule{what}"
                )));
            }
        };
        self.screen.say(Tone::Dim, &fired);
        self.show_soon().await
    }

    /// Waits until what rings by itself shows, or not.
    async fn show_soon(&mut self) -> Result<(), Failure> {
        let (began, here) = (Instant::now(), self.speaker.conversation());
        while began.elapsed() < SHOWS_WITHIN {
            let seen = self.news.look(&self.client, &here).await?;
            if !seen.is_empty() {
                seen.done
                    .iter()
                    .for_each(|line| self.screen.say(Tone::Bot, line));
                seen.failed
                    .iter()
                    .for_each(|line| self.screen.say(Tone::Bad, line));
                return Ok(());
            }
            sleep(PACE).await;
        }
        self.screen.say(Tone::Dim, "(the bot does nothing)");
        Ok(())
    }

    /// A report of WeHub happens; of an event it is shown what the bot would do.
    async fn replay(&mut self, text: &str) -> Result<(), Failure> {
        let read: Value = serde_json::from_str(text)
            .map_err(|error| Failure::Usage(format!("that is no JSON: {error}")))?;
        if read.get("action").is_some() {
            self.account.replay(&read).await?;
            return self.show_news(true).await;
        }
        let handler = self.handler.clone();
        let handler = handler.ok_or_else(|| Failure::Usage("there is no bot yet".to_owned()))?;
        let path = ["handlers", handler.as_str(), "invoke"];
        let body = json!({ "event": read, "account": ACCOUNT }).to_string();
        let reply = self.client.post(&path, &[], body, None).await?;
        let shown: Value = reply.read()?;
        let shown = serde_json::to_string_pretty(&shown).unwrap_or_default();
        self.screen
            .say(Tone::Bot, &format!("it would do this:\n{shown}"));
        Ok(())
    }

    /// What the bot does by itself, or once a task has ended.
    async fn carry_out(&mut self) -> Result<(), Failure> {
        while self.account.carry_out().await? {}
        self.show_news(false).await
    }
}

/// The next line that was typed; none at the end.
async fn next(typed: &mut mpsc::Receiver<String>) -> Option<String> {
    typed.recv().await
}

/// Waits for the build under way, for ever if there is none.
async fn built(
    building: &mut Option<JoinHandle<Result<Deployed, Failure>>>,
) -> Result<Deployed, Failure> {
    let Some(task) = building else {
        return std::future::pending().await;
    };
    match task.await {
        Ok(built) => built,
        Err(error) => Err(Failure::local("the build", error)),
    }
}

fn read_fixture(file: &Path) -> Result<String, Failure> {
    let problem = |error: std::io::Error| Failure::Usage(format!("{}: {error}", file.display()));
    if fs::metadata(file).map_err(problem)?.len() > FIXTURE_MAX_BYTES {
        return Err(Failure::Usage(format!("{} is too large", file.display())));
    }
    fs::read_to_string(file).map_err(problem)
}
