//! One process and its group: learning of its end, and ending it.
//!
//! The group's id is the process's. It is sure to mean this group as long as the
//! process has not been reaped, so whatever is sent to the group goes out before.

use std::{
    io,
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    process::{Child, ExitStatus},
};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::io::{Interest, unix::AsyncFd};

use super::orphans;

/// A process that was started and not yet reaped. Dropped, it is killed.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Readable once it has ended.
    end: OwnedFd,
    reaped: bool,
    /// Says till then that it is no orphan.
    known: Option<orphans::Child>,
}

impl Process {
    /// Takes charge of a child that leads a group of its own.
    pub fn new(mut child: Child) -> io::Result<Self> {
        let opened = pid_of(&child).and_then(|pid| Ok(pidfd_open(pid, PidfdFlags::NONBLOCK)?));
        match opened {
            Ok(end) => Ok(Self {
                child,
                end,
                reaped: false,
                known: None,
            }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// It is known as this one of the host's children until it was reaped.
    pub fn known_as(mut self, child: orphans::Child) -> Self {
        self.known = Some(child);
        self
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended, without reaping it.
    #[expect(
        deprecated,
        reason = "it is unsound for descriptors that may be closed meanwhile, and its successor is \
                  unsafe: this one is owned"
    )]
    pub async fn ended(&self) -> io::Result<()> {
        let end = AsyncFd::with_interest(self.end.try_clone()?, Interest::READABLE)?;
        end.readable().await.map(drop)
    }

    /// Tells its whole group to end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends its whole group.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Ends what is left of the group of a process that has ended, and reaps it.
    pub fn reap(mut self) -> io::Result<ExitStatus> {
        self.kill();
        let status = self.child.wait()?;
        self.reaped = true;
        Ok(status)
    }

    fn signal(&self, signal: Signal) {
        if let Ok(pid) = pid_of(&self.child)
            && !self.reaped
        {
            // A group that is no more has ended.
            let _ = kill_process_group(pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.reaped {
            self.kill();
            let _ = self.child.wait();
        }
    }
}

fn pid_of(child: &Child) -> io::Result<Pid> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| io::Error::other("the process has no id"))
}

/// How a process ended, in words.
pub fn words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it exited with code {code}"),
        (None, Some(number)) => {
            let name = signal_name(number);
            format!("it was ended by signal {number}{name}")
        }
        (None, None) => format!("it ended: {status}"),
    }
}

fn signal_name(number: i32) -> &'static str {
    match number {
        2 => " (INT)",
        4 => " (ILL)",
        6 => " (ABRT)",
        7 => " (BUS)",
        9 => " (KILL)",
        11 => " (SEGV)",
        13 => " (PIPE)",
        15 => " (TERM)",
        24 => " (XCPU)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use std::{os::unix::process::CommandExt, process::Command};

    fn started(script: &str) -> Process {
        let mut command = Command::new("sh");
        let command = command.args(["-c", script]).process_group(0);
        Process::new(command.spawn().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn the_end_of_a_process_is_learned_of_and_put_into_words() {
        let process = started("exit 3");
        process.ended().await.unwrap();
        let status = process.reap().unwrap();
        assert_eq!(words(status), "it exited with code 3");
        let process = started("sleep 60");
        process.kill();
        process.ended().await.unwrap();
        let status = process.reap().unwrap();
        assert_eq!(words(status), "it was ended by signal 9 (KILL)");
    }

    #[tokio::test]
    async fn a_process_takes_its_group_along() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!("sleep 60 & echo $! > {}; exit 0", file.display());
        let process = started(&script);
        process.ended().await.unwrap();
        process.reap().unwrap();
        let pid = std::fs::read_to_string(file).unwrap();
        let left = std::path::Path::new("/proc").join(pid.trim());
        for _ in 0..100 {
            let stat = std::fs::read_to_string(left.join("stat")).unwrap_or_default();
            if stat.is_empty() || stat.contains(") Z ") {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        unreachable!("the child lives on");
    }
}
