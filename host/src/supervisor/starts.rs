//! Which groups of processes there are, written down for the next host: should this
//! one be killed, it finds in them what got away.
//!
//! A program may overwrite its environment (Perl does, when `$0` is set), and then
//! says no more whose it is. Its group it keeps.

use std::{collections::HashMap, fs, io, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::proc::{self, Stat};
use crate::{
    domain::{ClientName, client::Places},
    files,
};

/// The directory of these files, among those of the clients: no client's name begins
/// with a dot.
const STARTS: &str = ".starts";
/// Another value than before says that the machine was started anew.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A group, by its leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Group {
    /// Its id, which is the leader's.
    id: u32,
    /// Its session, which none of its processes can leave without leaving it.
    session: u32,
    /// When the leader was started, in ticks since the machine was.
    started: u64,
    /// Since when these ticks are counted.
    boot: String,
}

/// Makes the directory. Blocks.
pub fn prepare(places: &Places) -> io::Result<()> {
    files::private_dir(&dir(places))
}

/// Writes down that this process, which was not reaped yet, leads a client's group.
/// Not durable: with the machine the processes end. Blocks.
pub fn note(places: &Places, name: &ClientName, leader: u32) {
    let path = dir(places).join(name.as_str());
    let noted = of_leader(leader).and_then(|group| {
        let text = serde_json::to_vec(&group).map_err(io::Error::other)?;
        fs::write(&path, text)
    });
    if let Err(error) = noted {
        let path = path.display();
        tracing::warn!(%path, %error, "a client's group is not known to the next host");
    }
}

/// A client's processes have ended. Blocks.
pub fn forget(places: &Places, name: &ClientName) {
    let _ = fs::remove_file(dir(places).join(name.as_str()));
}

/// Kills what is left of the groups that an earlier host has written down. Says how
/// many processes there were. Blocks.
pub fn kill_all(places: &Places) -> usize {
    let boot = boot_id().unwrap_or_default();
    let mut groups = noted(places);
    groups.retain(|group| group.boot == boot);
    let all: HashMap<u32, Stat> = proc::all().into_iter().map(|it| (it.pid, it)).collect();
    let left = all
        .values()
        .filter(|process| groups.iter().any(|group| group.has(process, &all)));
    left.filter(|seen| proc::kill_if(seen.pid, || is_same(seen)))
        .count()
}

/// Forgets all groups. Blocks.
pub fn clear(places: &Places) {
    for entry in fs::read_dir(dir(places)).into_iter().flatten().flatten() {
        let _ = fs::remove_file(entry.path());
    }
}

impl Group {
    /// Whether a process belongs to it. As long as the leader or another one of it
    /// lives, its id is given to no other group; once all have ended, it may be.
    fn has(&self, process: &Stat, all: &HashMap<u32, Stat>) -> bool {
        if process.ended
            || process.group != self.id
            || process.session != self.session
            || process.started < self.started
            || process.pid == std::process::id()
        {
            return false;
        }
        match all.get(&self.id) {
            Some(leader) => leader.started == self.started,
            None => self.is_orphan(process, all),
        }
    }

    /// Whether a process has no parent that could have started another group of this
    /// id, such as a shell: it was taken in by the system, or its parent was.
    fn is_orphan(&self, process: &Stat, all: &HashMap<u32, Stat>) -> bool {
        all.get(&process.parent).is_none_or(|parent| {
            parent.pid == 1 || parent.group == self.id || parent.session != self.session
        })
    }
}

fn dir(places: &Places) -> PathBuf {
    places.tmpdir.join("clients").join(STARTS)
}

fn of_leader(pid: u32) -> io::Result<Group> {
    let stat = proc::stat(pid).ok_or(io::ErrorKind::NotFound)?;
    Ok(Group {
        id: pid,
        session: stat.session,
        started: stat.started,
        boot: boot_id()?,
    })
}

fn boot_id() -> io::Result<String> {
    fs::read_to_string(BOOT_ID).map(|it| it.trim().to_owned())
}

/// The groups that were written down. What was cut off when the host was killed
/// counts for nothing.
fn noted(places: &Places) -> Vec<Group> {
    let entries = fs::read_dir(dir(places)).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| serde_json::from_slice(&fs::read(entry.path()).ok()?).ok())
        .collect()
}

fn is_same(seen: &Stat) -> bool {
    proc::stat(seen.pid).is_some_and(|it| (it.started, it.group) == (seen.started, seen.group))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn process(pid: u32, parent: u32, group: u32, started: u64) -> Stat {
        Stat {
            pid,
            parent,
            group,
            session: 5,
            ended: false,
            ticks: 0,
            started,
        }
    }

    /// Which of these processes belong to the group 7 of session 5, whose leader was
    /// started at 100.
    fn of_group(all: &[Stat]) -> Vec<u32> {
        let group = Group {
            id: 7,
            session: 5,
            started: 100,
            boot: String::new(),
        };
        let by_id = all.iter().map(|it| (it.pid, *it)).collect();
        let has = all.iter().filter(|it| group.has(it, &by_id));
        has.map(|it| it.pid).collect()
    }

    #[test]
    fn a_group_has_its_leader_and_what_came_of_it() {
        let (leader, worker) = (process(7, 1, 7, 100), process(8, 7, 7, 110));
        assert_eq!(of_group(&[leader, worker]), [7, 8]);
        let (orphan, its_child) = (process(8, 1, 7, 110), process(9, 8, 7, 120));
        assert_eq!(of_group(&[orphan, its_child]), [8, 9]);
    }

    #[test]
    fn another_group_that_has_its_id_by_now_is_not_meant() {
        let (leader, worker) = (process(7, 4, 7, 200), process(8, 7, 7, 210));
        assert_eq!(of_group(&[leader, worker]), [0; 0]);
        let (shell, job) = (process(4, 1, 4, 50), process(9, 4, 7, 210));
        assert_eq!(of_group(&[shell, job]), [0; 0]);
        let elsewhere = Stat {
            session: 6,
            ..process(9, 1, 7, 210)
        };
        assert_eq!(of_group(&[elsewhere, process(10, 1, 7, 90)]), [0; 0]);
    }
}
