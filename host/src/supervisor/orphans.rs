//! Children of the host that it has not started: what a client's processes start is
//! handed to the host when its own parent ends. Wherever such a process went and
//! whatever has become of its environment, it ends here.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, waitpid,
};
use tokio::{task::spawn_blocking, time::sleep};

use super::{leftovers, locked, proc, process::Process};
use crate::domain::client::StartId;

/// How often it is looked for them: so long may one outlive its client.
const EVERY: Duration = Duration::from_secs(1);
/// How often it is looked again for what was handed over meanwhile: a process that ends
/// hands over what it has started, so a tree takes a round for each level.
const ROUNDS_MAX: u32 = 100;
/// How long a killed process is given to be gone.
const PAUSE: Duration = Duration::from_millis(10);
/// Where the system lists the children of a thread, if it does.
const OF_THREAD: &str = "children";

/// The host's own children. Each leads the group of a client's start, or was there
/// before.
#[derive(Debug, Clone, Default)]
pub struct Children(Arc<Mutex<Known>>);

type Known = HashMap<u32, Option<StartId>>;

/// One of them, until this is dropped: after it was reaped.
#[derive(Debug)]
pub struct Child {
    pid: u32,
    children: Children,
}

impl Drop for Child {
    fn drop(&mut self) {
        locked(&self.children.0).remove(&self.pid);
    }
}

impl Children {
    /// Starts one, which is this start of a client. It is never taken for an orphan
    /// before it is known.
    pub fn start(
        &self,
        id: &StartId,
        start: impl FnOnce() -> io::Result<Process>,
    ) -> io::Result<Process> {
        let mut known = locked(&self.0);
        let process = start()?;
        let pid = process.id();
        known.insert(pid, Some(id.clone()));
        let children = self.clone();
        Ok(process.known_as(Child { pid, children }))
    }

    /// From now on the system hands orphans to this process, and they are looked for
    /// until the runtime ends. Needs tokio's runtime.
    pub fn adopt(&self, tmpdir: PathBuf) -> io::Result<()> {
        let before = children().into_iter().map(|pid| (pid, None));
        locked(&self.0).extend(before);
        set_child_subreaper(Some(getpid()))?;
        let known = self.clone();
        tokio::spawn(async move {
            loop {
                sleep(EVERY).await;
                let (known, tmpdir) = (known.clone(), tmpdir.clone());
                let _ = spawn_blocking(move || known.sweep(&tmpdir)).await;
            }
        });
        Ok(())
    }

    /// Ends all orphans that belong to no process of a client, and what these have
    /// started. Takes a second at most. Blocks.
    pub fn sweep(&self, tmpdir: &Path) {
        for _ in 0..ROUNDS_MAX {
            if self.sweep_once(tmpdir) == 0 {
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Reaps the orphans that have ended, and kills those that are in no client's
    /// group and do not say of which start that has a process they are: the others end
    /// with their client. Says how many were found: what they have started themselves
    /// is handed to the host only then. Blocks.
    fn sweep_once(&self, tmpdir: &Path) -> usize {
        // Held all the time, so that none is started meanwhile.
        let known = locked(&self.0);
        let orphans = children()
            .into_iter()
            .filter(|pid| !known.contains_key(pid));
        orphans
            .filter(|pid| end_orphan(*pid, &known, tmpdir))
            .count()
    }
}

/// Reaps an orphan that has ended, or kills one that belongs to no process of a client.
/// False when it is left alone.
fn end_orphan(pid: u32, known: &Known, tmpdir: &Path) -> bool {
    let Some(child) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return false;
    };
    match waitpid(Some(child), WaitOptions::NOHANG) {
        Ok(None) if belongs(pid, known, tmpdir) => false,
        Ok(None) => {
            tracing::warn!(pid, "a process that hid from its client was killed");
            // It was not reaped yet: this number means no other one.
            kill_process(child, Signal::KILL).is_ok()
        }
        Ok(Some(_)) => true,
        Err(_) => false,
    }
}

/// Whether an orphan belongs to a process of a client, or to nobody here.
fn belongs(pid: u32, known: &Known, tmpdir: &Path) -> bool {
    let group = proc::stat(pid).map(|it| it.group);
    if group.is_some_and(|group| known.contains_key(&group)) {
        return true;
    }
    match leftovers::mark_of(pid, tmpdir) {
        // A client's name alone anybody may have, and keep longer than the client.
        Some(mark) => {
            let mut starts = known.values().flatten();
            starts.any(|start| mark.start.as_deref() == Some(start.as_str()))
        }
        // The first process of all is handed what is not its clients', too.
        None => getpid().is_init(),
    }
}

/// All children of this process. Blocks.
fn children() -> Vec<u32> {
    let threads = fs::read_dir("/proc/self/task");
    let threads = threads.into_iter().flatten().flatten();
    let lists: Vec<String> = threads
        .filter_map(|thread| fs::read_to_string(thread.path().join(OF_THREAD)).ok())
        .collect();
    match lists.is_empty() {
        // Not every system has them.
        true => {
            let own = std::process::id();
            let all = proc::all().into_iter().filter(|it| it.parent == own);
            all.map(|it| it.pid).collect()
        }
        false => {
            let pids = lists.iter().flat_map(|list| list.split_whitespace());
            pids.filter_map(|pid| pid.parse().ok()).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use std::{os::unix::process::CommandExt, process::Command};

    #[test]
    fn a_child_is_known_until_it_was_reaped() {
        let known = Children::default();
        let start = || Process::new(Command::new("sleep").arg("60").process_group(0).spawn()?);
        let id = StartId::random().unwrap();
        let process = known.start(&id, start).unwrap();
        let pid = process.id();
        assert!(children().contains(&pid));
        assert!(locked(&known.0).contains_key(&pid));
        drop(process);
        assert!(!children().contains(&pid));
        assert!(!locked(&known.0).contains_key(&pid));
    }
}
