//! Watching the files of clients: one watcher of the system's for all of them, and a
//! slow look at each for what it may miss.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};
use tokio::{sync::Notify, task::spawn_blocking, time::sleep};

use super::{
    Shared,
    files::{self, Look, Paths, StateFile, Writer},
    launch::Facts,
    locked,
    slot::{Slot, Word},
};
use crate::domain::{Digest, ports::ClientFileError};

/// How long a file is left alone after it was written to: whoever writes it may not
/// be done.
const SETTLES_AFTER: Duration = Duration::from_millis(20);
/// When a file that was half written is looked at again.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// How often in a row: then it is broken.
const AGAIN_MAX: u32 = 20;

type Waiting = Arc<Mutex<HashMap<PathBuf, Arc<Notify>>>>;

/// Tells of changed files.
#[derive(Debug)]
pub struct Watcher {
    /// What is to be watched. Each start of a client asks for two directories at most,
    /// and ends that with itself.
    asks: mpsc::Sender<Ask>,
    waiting: Waiting,
}

/// What the watcher's thread is to do: in the order in which it was asked, so that a
/// process's end does not end what the next one asks for.
#[derive(Debug)]
enum Ask {
    /// Watch these, and say so: what changed before is looked at then.
    Watch(BTreeSet<PathBuf>, Arc<Notify>),
    /// Don't any more.
    Unwatch(BTreeSet<PathBuf>),
}

/// Files that are watched until this is dropped.
#[derive(Debug)]
struct Watched<'a> {
    watcher: &'a Watcher,
    files: [PathBuf; 2],
    changed: Arc<Notify>,
}

impl Watcher {
    /// Asks the system to tell of changed files. That blocks, so it has a thread of its
    /// own. Where it can't be done, files are looked at now and then only.
    pub fn start() -> Self {
        let waiting = Waiting::default();
        let (asks, asked) = mpsc::channel();
        let known = Arc::clone(&waiting);
        let thread = thread::Builder::new().name("watcher".to_owned());
        if let Err(error) = thread.spawn(move || watch_what_is_asked(known, &asked)) {
            tracing::warn!(%error, "files are looked at now and then only");
        }
        Self { asks, waiting }
    }

    fn watch(&self, paths: &Paths) -> Watched<'_> {
        let watched = Watched {
            watcher: self,
            files: [paths.state.clone(), paths.code.clone()],
            changed: Arc::new(Notify::new()),
        };
        for file in &watched.files {
            let changed = Arc::clone(&watched.changed);
            locked(&self.waiting).insert(file.clone(), changed);
        }
        let changed = Arc::clone(&watched.changed);
        // There is nobody to take it where the system tells of nothing.
        let _ = self.asks.send(Ask::Watch(watched.dirs(), changed));
        watched
    }
}

impl Watched<'_> {
    fn dirs(&self) -> BTreeSet<PathBuf> {
        let dirs = self.files.iter().filter_map(|file| file.parent());
        dirs.map(Path::to_owned).collect()
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        for file in &self.files {
            locked(&self.watcher.waiting).remove(file);
        }
        let _ = self.watcher.asks.send(Ask::Unwatch(self.dirs()));
    }
}

/// Does what is asked, until nobody can ask any more.
fn watch_what_is_asked(waiting: Waiting, asked: &mpsc::Receiver<Ask>) {
    let told = move |event: notify::Result<Event>| {
        if let Ok(event) = event {
            tell(&waiting, &event);
        }
    };
    let mut system = match notify::recommended_watcher(told) {
        Ok(system) => system,
        Err(error) => {
            tracing::warn!(%error, "files are looked at now and then only");
            return;
        }
    };
    for ask in asked {
        match ask {
            Ask::Watch(dirs, changed) => {
                watch_all(&mut system, &dirs);
                changed.notify_one();
            }
            Ask::Unwatch(dirs) => {
                for dir in dirs {
                    // It may have gone with the directory.
                    let _ = system.unwatch(&dir);
                }
            }
        }
    }
}

fn watch_all(system: &mut RecommendedWatcher, dirs: &BTreeSet<PathBuf>) {
    for dir in dirs {
        if let Err(error) = system.watch(dir, RecursiveMode::NonRecursive) {
            tracing::warn!(%error, "a client's files are looked at now and then only");
        }
    }
}

/// That a file was read is no change, and we read them ourselves.
fn tell(waiting: &Waiting, event: &Event) {
    if let EventKind::Access(kind) = event.kind
        && kind != AccessKind::Close(AccessMode::Write)
    {
        return;
    }
    let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    for changed in event.paths.iter().filter_map(|path| waiting.get(path)) {
        changed.notify_one();
    }
}

/// What was seen of a process's files.
#[derive(Debug, Default)]
struct Seen {
    state: Option<Look>,
    code: Option<Look>,
    /// How often in a row a file was half written.
    halves: u32,
}

/// What is new in them.
#[derive(Debug, Default)]
struct News {
    state: Option<StateFile>,
    /// The code, or that there is none any more.
    code: Option<Option<Digest>>,
    half: bool,
}

/// Tells a client's slot of what its process writes into its files, for ever.
pub async fn follow(shared: Arc<Shared>, slot: Arc<Slot>, facts: Facts) {
    let every = shared.setup.check_interval();
    let watched = shared.watcher.watch(&facts.paths);
    let (mut seen, mut told) = (Seen::default(), true);
    loop {
        let (paths, writer) = (facts.paths.clone(), facts.writer);
        let looked = spawn_blocking(move || {
            let news = seen.look(&paths, writer, told);
            (seen, news)
        });
        let Ok((after, news)) = looked.await else {
            return;
        };
        seen = after;
        let again = news.half && seen.halves < AGAIN_MAX;
        pass_on(&shared, &slot, &facts, news);
        tokio::select! {
            () = watched.changed.notified() => {
                sleep(SETTLES_AFTER).await;
                told = true;
            }
            () = sleep(AGAIN_AFTER), if again => told = true,
            () = sleep(every), if !again => told = false,
        }
    }
}

fn pass_on(shared: &Shared, slot: &Slot, facts: &Facts, news: News) {
    let word = news
        .state
        .and_then(|file| Word::of_file(&file, shared.now()));
    if let Some(word) = word {
        slot.heard(&facts.start, word);
    }
    if let Some(code) = news.code {
        slot.shows(code);
    }
}

impl Seen {
    /// Reads what looks different from before, or all when there was word of a
    /// change: two writes within a few ms may look the same. Blocks.
    fn look(&mut self, paths: &Paths, writer: Writer, told: bool) -> News {
        let mut news = News::default();
        let state = files::look(&paths.state);
        if told || state != self.state {
            match paths.read_state(writer) {
                Ok(file) => news.state = Some(file),
                Err(ClientFileError::Unreadable(_)) => news.half = true,
                Err(ClientFileError::Missing | ClientFileError::Outside) => {}
            }
        }
        let code = files::look(&paths.code);
        if told || code != self.code {
            let digest = paths.read_code(writer).map(|bytes| Digest::of(&bytes));
            news.code = Some(digest.ok());
        }
        (self.state, self.code) = (state, code);
        self.halves = match news.half {
            true => self.halves.saturating_add(1),
            false => 0,
        };
        news
    }
}
