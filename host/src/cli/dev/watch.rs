//! Tells when a project's sources change.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use notify::{Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::{sync::mpsc, time::timeout};

use crate::cli::failure::Failure;

/// For how long nothing may change before it is built: editors write several files.
const QUIET: Duration = Duration::from_millis(200);

/// Folders that hold what is made, not what is written.
const MADE: [&str; 4] = ["target", "node_modules", "__pycache__", "dist"];

/// Watches until it is dropped.
#[derive(Debug)]
pub struct Watcher {
    changed: mpsc::Receiver<()>,
    /// Something has changed that was not told yet: whoever waits may give up meanwhile.
    is_pending: bool,
    dir: PathBuf,
    system: RecommendedWatcher,
}

impl Watcher {
    /// Watches a project's folder: its files, and the folders in it that hold sources.
    pub fn start(dir: &Path) -> Result<Self, Failure> {
        let dir = dir
            .canonicalize()
            .map_err(|error| Failure::local(dir.display(), error))?;
        let (tell, changed) = mpsc::channel(1);
        let root = dir.clone();
        let told = move |event: notify::Result<Event>| {
            let is_change = event.is_ok_and(|event| {
                let kind = matches!(
                    event.kind,
                    EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_)
                );
                kind && event.paths.iter().any(|path| is_source(&root, path))
            });
            if is_change {
                // Full: it has been told already.
                let _ = tell.try_send(());
            }
        };
        let failed = |error: notify::Error| Failure::local("watching the sources", error);
        // A link may lead to all of the disk.
        let config = Config::default().with_follow_symlinks(false);
        let mut system = RecommendedWatcher::new(told, config).map_err(failed)?;
        system
            .watch(&dir, RecursiveMode::NonRecursive)
            .map_err(failed)?;
        let mut watcher = Self {
            changed,
            is_pending: false,
            dir,
            system,
        };
        watcher.watch_folders()?;
        Ok(watcher)
    }

    /// Watches the folders that hold sources, with those that were made since, or made anew
    /// under the same name. To watch one twice is no harm.
    fn watch_folders(&mut self) -> Result<(), Failure> {
        for folder in folders(&self.dir) {
            match self.system.watch(&folder, RecursiveMode::Recursive) {
                // It went away meanwhile.
                Err(_) if !folder.is_dir() => {}
                watched => {
                    watched.map_err(|error| Failure::local("watching the sources", error))?
                }
            }
        }
        Ok(())
    }

    /// Waits until something has changed, and then for a while nothing more. Nothing is
    /// lost when it is given up. From then on folders that are new are watched, too: what
    /// changes in them while somebody builds is told.
    pub async fn changed(&mut self) -> Result<(), Failure> {
        if !self.is_pending && self.changed.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        self.is_pending = true;
        while let Ok(Some(())) = timeout(QUIET, self.changed.recv()).await {}
        self.is_pending = false;
        self.watch_folders()
    }
}

fn folders(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths
        .filter(|path| path.is_dir() && !path.is_symlink() && is_source(dir, path))
        .collect()
}

/// Whether a change of this file in the project's folder is one of the bot. What building
/// writes is none.
fn is_source(dir: &Path, path: &Path) -> bool {
    let made = |part: &OsStr| {
        let part = part.to_string_lossy();
        MADE.contains(&part.as_ref()) || (part.starts_with('.') && part.len() > 1)
    };
    // The folder itself may have one of these names, or lie below one.
    let inside = path.strip_prefix(dir).unwrap_or(path);
    if inside.iter().any(made) {
        return false;
    }
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    !matches!(extension, "wasm" | "new" | "lock" | "swp" | "pyc")
        && !name.ends_with('~')
        && name != "package-lock.json"
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn what_is_made_is_no_source() {
        let dir = Path::new("/.home/dist");
        for source in ["src/lib.rs", "handler.toml", "src", "wxhost"] {
            assert!(is_source(dir, &dir.join(source)), "{source}");
        }
        for made in [
            "hello.wasm",
            "target",
            ".wxhost",
            "Cargo.lock",
            "src/.a.swp",
            "lib/__pycache__/a/b",
        ] {
            assert!(!is_source(dir, &dir.join(made)), "{made}");
        }
    }

    #[tokio::test]
    async fn changes_are_told_once_they_are_over() {
        let dir = tempfile::tempdir().unwrap();
        let project = dir.path().join("project");
        fs::create_dir_all(project.join("src")).unwrap();
        let mut watcher = Watcher::start(&project).unwrap();
        fs::write(project.join("src/a.rs"), "1").unwrap();
        fs::write(project.join("handler.toml"), "1").unwrap();
        changed(&mut watcher).await;
    }

    async fn changed(watcher: &mut Watcher) {
        let told = timeout(Duration::from_secs(10), watcher.changed()).await;
        told.unwrap().unwrap();
    }

    #[tokio::test]
    async fn folders_that_are_made_later_are_watched() {
        let dir = tempfile::tempdir().unwrap();
        let mut watcher = Watcher::start(dir.path()).unwrap();
        let folder = dir.path().join("lib");
        // Made, then made anew, as version control does.
        for _ in 0..2 {
            fs::create_dir_all(folder.join("deep")).unwrap();
            changed(&mut watcher).await;
            fs::write(folder.join("deep/a.rs"), "1").unwrap();
            changed(&mut watcher).await;
            fs::remove_dir_all(&folder).unwrap();
            changed(&mut watcher).await;
        }
    }
}
