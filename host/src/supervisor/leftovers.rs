//! Processes that got away: those of a host that was killed, and those that left the
//! group of their client. They are known by their environment.

use std::{
    ffi::OsStr,
    fs,
    io::Read,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::Path,
    thread::sleep,
    time::Duration,
};

use rustix::process::{Pid, PidfdFlags, Signal, geteuid, pidfd_open, pidfd_send_signal};

use super::environment::{CLIENT, CLIENTS_OF};
use crate::domain::ClientName;

/// How often it is looked again for what was started meanwhile.
const ROUNDS_MAX: u32 = 5;
/// How long a killed process is given to be gone.
const PAUSE: Duration = Duration::from_millis(10);
/// How much of an environment is read.
const ENVIRONMENT_MAX_BYTES: u64 = 256 * 1024;

/// Kills the processes of a client, or of all whose clients live in this directory.
/// Says how many there were. Blocks.
pub fn kill(tmpdir: &Path, name: Option<&ClientName>) -> usize {
    let mut marks = vec![mark(CLIENTS_OF, tmpdir.as_os_str())];
    marks.extend(name.map(|name| mark(CLIENT, OsStr::new(name.as_str()))));
    let mut all = 0;
    for _ in 0..ROUNDS_MAX {
        let killed = kill_marked(&marks);
        if killed == 0 {
            break;
        }
        all += killed;
        sleep(PAUSE);
    }
    all
}

fn mark(variable: &str, value: &OsStr) -> Vec<u8> {
    let mut mark = format!("{variable}=").into_bytes();
    mark.extend(value.as_bytes());
    mark
}

fn kill_marked(marks: &[Vec<u8>]) -> usize {
    let own = std::process::id() as i32;
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != own && kill_if_marked(*pid, marks).is_some())
        .count()
}

/// The process is held before it is looked at, so that its id means no other one when
/// it is killed.
fn kill_if_marked(pid: i32, marks: &[Vec<u8>]) -> Option<()> {
    let proc = Path::new("/proc").join(pid.to_string());
    if fs::metadata(&proc).ok()?.uid() != geteuid().as_raw() {
        return None;
    }
    let held = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    let file = fs::File::open(proc.join("environ")).ok()?;
    let mut environment = Vec::new();
    file.take(ENVIRONMENT_MAX_BYTES)
        .read_to_end(&mut environment)
        .ok()?;
    let has = |mark: &Vec<u8>| environment.split(|byte| *byte == 0).any(|it| it == mark);
    marks.iter().all(has).then_some(())?;
    pidfd_send_signal(held, Signal::KILL).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use std::process::{Child, Command};

    /// A process that says it belongs to this client.
    fn of(tmpdir: &Path, name: &str) -> Child {
        let mut command = Command::new("sleep");
        let command = command.arg("60").env(CLIENTS_OF, tmpdir).env(CLIENT, name);
        command.spawn().unwrap()
    }

    #[test]
    fn only_those_of_the_client_are_killed() {
        let dir = tempfile::tempdir().unwrap();
        let (mut one, mut two) = (of(dir.path(), "a1"), of(dir.path(), "a12"));
        let mut other = of(Path::new("/elsewhere"), "a1");
        let name = ClientName::try_from("a1").unwrap();
        assert_eq!(kill(dir.path(), Some(&name)), 1);
        one.wait().unwrap();
        assert!(two.try_wait().unwrap().is_none());
        assert!(kill(dir.path(), None) >= 1);
        two.wait().unwrap();
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
