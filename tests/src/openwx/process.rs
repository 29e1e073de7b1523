//! Facts about processes, as the system tells them (`/proc`).

use std::{fs, path::Path, thread, time::Duration};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};

use crate::{Context, Result};

/// How many ticks of a processor's time are a second (Linux: always).
const TICKS_PER_S: f64 = 100.0;
/// How often a process without an environment is looked at, a ms apart: some have none.
const LAID_OUT_TRIES: usize = 50;
/// The process that starts the kernel's own, which have no environment at all.
const KERNEL: u32 = 2;

/// What `/proc/PID/stat` tells of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its id.
    pub pid: u32,
    /// Its parent's.
    pub parent: u32,
    /// Its group's.
    pub group: u32,
    /// `Z` when it has ended and nobody has asked how.
    pub state: char,
    /// The processor's time that it has used, in ticks.
    pub ticks: u64,
}

/// A process; none when there is none of this id.
pub fn facts(pid: u32) -> Option<Facts> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, so what counts is behind its last bracket.
    let (_, rest) = text.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let mut times = fields.skip(8).map_while(|field| field.parse::<u64>().ok());
    Some(Facts {
        pid,
        parent,
        group,
        state,
        ticks: times.next()? + times.next()?,
    })
}

/// All processes.
pub fn all() -> Vec<Facts> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(facts).collect()
}

/// Whether there is such a process that has not ended.
pub fn is_alive(pid: u32) -> bool {
    facts(pid).is_some_and(|facts| facts.state != 'Z')
}

/// The processes whose environment has a variable of Openwx clients that names this
/// folder: the clients of a host, and whatever they have left behind.
pub fn of_folder(folder: &Path) -> Vec<u32> {
    let folder = folder.display().to_string();
    let names = |pid: u32| {
        let variables = environment(pid);
        variables.split(|byte| *byte == 0).any(|variable| {
            let variable = String::from_utf8_lossy(variable);
            variable.starts_with("MOJO_WEIXIN_") && variable.contains(&folder)
        })
    };
    let alive = all().into_iter().filter(|it| it.state != 'Z');
    alive.map(|it| it.pid).filter(|pid| names(*pid)).collect()
}

/// What a process was started with. One that is just being started has nothing yet: its
/// parent goes on before the system has laid its environment out.
fn environment(pid: u32) -> Vec<u8> {
    for _ in 0..LAID_OUT_TRIES {
        let starts = match fs::read(format!("/proc/{pid}/environ")) {
            Ok(variables) if !variables.is_empty() => return variables,
            Ok(_) => facts(pid).is_some_and(|it| it.state != 'Z' && it.parent != KERNEL),
            Err(_) => false,
        };
        if !starts {
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    Vec::new()
}

/// The children of this process that have ended and that it has not asked about.
pub fn zombies_of(parent: u32) -> Vec<u32> {
    let children = all().into_iter().filter(|it| it.parent == parent);
    children
        .filter(|it| it.state == 'Z')
        .map(|it| it.pid)
        .collect()
}

/// The processor's time that a process has used, in s.
pub fn cpu_s(pid: u32) -> Result<f64> {
    let facts = facts(pid).context(format!("there is no process {pid}"))?;
    Ok(facts.ticks as f64 / TICKS_PER_S)
}

/// Ends a process at once. One that has ended already is no error.
pub fn kill9(pid: u32) -> Result<()> {
    signal(pid, Signal::KILL)
}

/// Tells a process to end. One that has ended already is no error.
pub fn terminate(pid: u32) -> Result<()> {
    signal(pid, Signal::TERM)
}

fn signal(pid: u32, signal: Signal) -> Result<()> {
    let id = i32::try_from(pid).ok().and_then(Pid::from_raw);
    match kill_process(id.context("no process has this id")?, signal) {
        Err(error) if error != rustix::io::Errno::SRCH => Err(error.into()),
        _ => Ok(()),
    }
}

/// Limits how large a process's files may become, in bytes; none for as large as this
/// process's may.
pub fn limit_files(pid: u32, bytes: Option<u64>) -> Result<()> {
    let id = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let maximum = getrlimit(Resource::Fsize).maximum;
    let current = bytes.or(maximum);
    let id = id.context("no process has this id")?;
    prlimit(Some(id), Resource::Fsize, Rlimit { current, maximum })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop")]
    use super::*;

    #[test]
    fn this_process_is_told_of() {
        let me = facts(std::process::id()).unwrap();
        assert!(is_alive(me.pid) && me.parent > 0);
        assert!(all().contains(&Facts {
            ..facts(1).unwrap()
        }));
        assert_eq!(facts(u32::MAX), None);
    }

    #[test]
    fn an_end_that_nobody_asked_about_shows() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let me = std::process::id();
        while is_alive(child.id()) {
            std::thread::yield_now();
        }
        assert!(zombies_of(me).contains(&child.id()));
        child.wait().unwrap();
        assert!(!zombies_of(me).contains(&child.id()));
    }
}
