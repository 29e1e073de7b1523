//! What the system says about processes: whose they are, since when, and what they
//! use (proc(5)).

use std::{fs, path::PathBuf};

use rustix::process::{Pid, PidfdFlags, Signal, geteuid, pidfd_open, pidfd_send_signal};

/// A process, as it was when it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Its id.
    pub pid: u32,
    /// Its parent's.
    pub parent: u32,
    /// Its group, by the id of the group's leader.
    pub group: u32,
    /// Its session, likewise.
    pub session: u32,
    /// Whether it has ended, and its parent was not told yet.
    pub ended: bool,
    /// Its time on a processor, and that of its children that have ended, in ticks.
    pub ticks: u64,
    /// When it was started, in ticks since the machine was.
    pub started: u64,
}

/// All processes. Blocks for some µs for each.
pub fn all() -> Vec<Stat> {
    pids().filter_map(stat).collect()
}

/// The ids of all processes.
pub fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// One process; none when it is no more. Blocks.
pub fn stat(pid: u32) -> Option<Stat> {
    // A program's name may be any bytes.
    let text = fs::read(path(pid, "stat")).ok()?;
    parsed(pid, &String::from_utf8_lossy(&text))
}

/// How much memory a process uses, in bytes. Nothing when it is no more. Blocks.
pub fn rss_bytes(pid: u32) -> u64 {
    let status = fs::read(path(pid, "status")).unwrap_or_default();
    rss_of(&String::from_utf8_lossy(&status)).unwrap_or(0)
}

/// Kills a process of this user if this is true of it. It is held meanwhile, so that
/// its id means no other one when it is killed. Blocks.
pub fn kill_if(pid: u32, is_meant: impl FnOnce() -> bool) -> bool {
    let is_ours = || {
        use std::os::unix::fs::MetadataExt;
        let found = fs::metadata(path(pid, ""));
        found.is_ok_and(|it| it.uid() == geteuid().as_raw())
    };
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let held = raw.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    held.is_some_and(|held| {
        is_ours() && is_meant() && pidfd_send_signal(held, Signal::KILL).is_ok()
    })
}

/// One of the files about a process.
pub fn path(pid: u32, file: &str) -> PathBuf {
    format!("/proc/{pid}/{file}").into()
}

/// The program's name stands in brackets, and may hold some itself.
fn parsed(pid: u32, stat: &str) -> Option<Stat> {
    let (_, behind) = stat.rsplit_once(") ")?;
    // They are counted from 3 there.
    let fields: Vec<&str> = behind.split_whitespace().take(20).collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let id = |field| u32::try_from(number(field)?).ok();
    let ended = matches!(fields.first(), Some(&("Z" | "X")));
    let ticks = [14, 15, 16, 17].map(number);
    Some(Stat {
        pid,
        parent: id(4)?,
        group: id(5)?,
        session: id(6)?,
        ended,
        ticks: ticks
            .into_iter()
            .try_fold(0, |sum: u64, it| sum.checked_add(it?))?,
        started: number(22)?,
    })
}

fn rss_of(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn the_systems_words_are_read() {
        let stat = "7 (a) b (c) S 1 5 6 0 -1 4194304 99 0 0 0 120 30 5 4 20 0 1 0 900 8 7";
        let expected = Stat {
            pid: 7,
            parent: 1,
            group: 5,
            session: 6,
            ended: false,
            ticks: 159,
            started: 900,
        };
        assert_eq!(parsed(7, stat), Some(expected));
        let over = parsed(7, &stat.replace(" S ", " Z ")).unwrap();
        assert!(over.ended);
        let status = "Name:\tx\nVmRSS:\t    42 kB\nRssAnon:\t 7 kB\n";
        assert_eq!(rss_of(status), Some(42 * 1024));
        for odd in ["", "7 (a", "7 (a) S 1", "7 (a) S 1 5 -6"] {
            assert_eq!(parsed(7, odd), None);
            assert_eq!(rss_of(odd), None);
        }
    }

    #[test]
    fn our_own_process_is_found_and_uses_something() {
        let own = std::process::id();
        assert!(all().iter().any(|it| it.pid == own));
        assert!(rss_bytes(own) > 100_000);
        assert_eq!((rss_bytes(u32::MAX), stat(u32::MAX)), (0, None));
    }
}
