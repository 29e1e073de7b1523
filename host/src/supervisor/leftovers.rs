//! Processes that got away: those of a host that was killed, and those that left the
//! group of their client. The former are found in the groups that the host has written
//! down, and all by their environment.

use std::{
    collections::HashSet,
    fs,
    io::Read,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    thread::sleep,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
};

use super::{
    environment::{CLIENT, CLIENTS_OF, START},
    proc, starts,
};
use crate::domain::{ClientName, client::Places};

/// How often it is looked again for what was started meanwhile.
const ROUNDS_MAX: u32 = 5;
/// How long a killed process is given to be gone.
const PAUSE: Duration = Duration::from_millis(10);
/// How much of an environment is read.
const ENVIRONMENT_MAX_BYTES: u64 = 256 * 1024;
/// How many ended clients are looked for in one pass. The others wait for the next.
const DUE_MAX: usize = 256;

type Due = (ClientName, oneshot::Sender<()>);

/// Kills what clients have left. Those that end together share a pass over all
/// processes.
#[derive(Debug)]
pub struct Leftovers(mpsc::Sender<Due>);

impl Leftovers {
    /// For the clients that live in this directory. Ends when it is dropped.
    pub fn start(tmpdir: PathBuf) -> Self {
        let (asks, due) = mpsc::channel(DUE_MAX);
        tokio::spawn(kill_due(tmpdir, due));
        Self(asks)
    }

    /// Kills the processes of a client, and waits until this is done.
    pub async fn kill(&self, name: ClientName) {
        let (done, killed) = oneshot::channel();
        if self.0.send((name, done)).await.is_ok() {
            let _ = killed.await;
        }
    }
}

async fn kill_due(tmpdir: PathBuf, mut asked: mpsc::Receiver<Due>) {
    let mut due = Vec::new();
    while asked.recv_many(&mut due, DUE_MAX).await > 0 {
        let names = due.iter().map(|(name, _)| name.as_str().to_owned());
        let (tmpdir, names) = (tmpdir.clone(), names.collect());
        let _ = spawn_blocking(move || kill_marked(&tmpdir, Some(&names))).await;
        for (_, done) in due.drain(..) {
            let _ = done.send(());
        }
    }
}

/// Kills the processes of all clients that live here, those of an earlier host too.
/// Says how many there were. Blocks.
pub fn kill_all(places: &Places) -> usize {
    let mut all = rounds(|| starts::kill_all(places));
    starts::clear(places);
    all += kill_marked(&places.tmpdir, None);
    all
}

/// Kills what says by its environment that it belongs to one of these clients, or to
/// any of this directory.
fn kill_marked(tmpdir: &Path, names: Option<&HashSet<String>>) -> usize {
    let own = std::process::id();
    rounds(|| {
        let others = proc::pids().filter(|pid| *pid != own);
        others
            .filter(|pid| proc::kill_if(*pid, || is_marked(*pid, tmpdir, names)))
            .count()
    })
}

/// Until nothing is found any more.
fn rounds(kill: impl Fn() -> usize) -> usize {
    let mut all = 0;
    for _ in 0..ROUNDS_MAX {
        let killed = kill();
        if killed == 0 {
            break;
        }
        all += killed;
        sleep(PAUSE);
    }
    all
}

/// Whether a process says by its environment that it belongs to one of these clients,
/// or to any of this directory. Blocks.
fn is_marked(pid: u32, tmpdir: &Path, names: Option<&HashSet<String>>) -> bool {
    mark_of(pid, tmpdir).is_some_and(|mark| {
        names.is_none_or(|names| mark.client.is_some_and(|name| names.contains(&name)))
    })
}

/// Whose a process of this directory says to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Which client's.
    client: Option<String>,
    /// Which start's.
    pub start: Option<String>,
}

/// What a process says by its environment; none when it does not name this directory.
/// Blocks.
pub fn mark_of(pid: u32, tmpdir: &Path) -> Option<Mark> {
    let mut environment = Vec::new();
    let file = fs::File::open(proc::path(pid, "environ")).ok()?;
    let mut limited = file.take(ENVIRONMENT_MAX_BYTES);
    limited.read_to_end(&mut environment).ok()?;
    let value = |variable: &str| {
        let mut all = environment.split(|byte| *byte == 0);
        all.find_map(|it| it.strip_prefix(variable.as_bytes())?.strip_prefix(b"="))
    };
    let text = |variable| String::from_utf8(value(variable)?.to_vec()).ok();
    let is_here = value(CLIENTS_OF) == Some(tmpdir.as_os_str().as_bytes());
    is_here.then(|| Mark {
        client: text(CLIENT),
        start: text(START),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::domain::client::ClientPolicy;
    use std::{
        os::unix::process::CommandExt,
        process::{Child, Command, Stdio},
    };

    /// A process that says it belongs to this client.
    fn of(tmpdir: &Path, name: &str) -> Child {
        let mut command = Command::new("sleep");
        let command = command.arg("60").env(CLIENTS_OF, tmpdir).env(CLIENT, name);
        command.spawn().unwrap()
    }

    #[tokio::test]
    async fn only_those_of_the_client_are_killed() {
        let data = tempfile::tempdir().unwrap();
        let places = ClientPolicy::default().places(data.path());
        let dir = places.tmpdir.clone();
        let (mut one, mut two) = (of(&dir, "a1"), of(&dir, "a12"));
        let mut other = of(Path::new("/elsewhere"), "a1");
        let name = ClientName::try_from("a1").unwrap();
        Leftovers::start(dir).kill(name).await;
        one.wait().unwrap();
        assert!(two.try_wait().unwrap().is_none());
        assert!(kill_all(&places) >= 1);
        two.wait().unwrap();
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }

    /// A group whose processes say nothing of whose they are, as Perl's do that have
    /// another `$0`; with the id of one that is not its leader.
    fn nameless_group() -> (Child, u32) {
        let perl = Command::new("perl").args(["-e", "1"]).status().is_ok();
        let words = match perl {
            true => [
                "perl",
                "-e",
                "$| = 1; $0 = 'wxclient(a1)'; my $pid = fork; if ($pid) { print \"$pid\\n\" } sleep 60",
            ],
            false => ["sh", "-c", "sleep 60 & echo $!; exec sleep 60"],
        };
        let mut command = Command::new(words[0]);
        let command = command.args(&words[1..]).process_group(0);
        let mut leader = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let output = leader.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
        (leader, line.trim().parse().unwrap())
    }

    fn places(data: &Path) -> Places {
        let places = ClientPolicy::default().places(data);
        starts::prepare(&places).unwrap();
        places
    }

    #[test]
    fn a_group_is_found_that_says_no_more_whose_it_is() {
        let data = tempfile::tempdir().unwrap();
        let places = places(data.path());
        let (mut leader, fork) = nameless_group();
        let name = ClientName::try_from("a1").unwrap();
        starts::note(&places, &name, leader.id());
        leader.kill().unwrap();
        leader.wait().unwrap();
        assert!(proc::stat(fork).is_some());
        assert_eq!(kill_all(&places), 1);
        assert_eq!(kill_all(&places), 0);
    }

    #[test]
    fn a_group_that_was_forgotten_is_left_alone() {
        let data = tempfile::tempdir().unwrap();
        let places = places(data.path());
        let (mut leader, _) = nameless_group();
        let name = ClientName::try_from("a1").unwrap();
        starts::note(&places, &name, leader.id());
        starts::forget(&places, &name);
        assert_eq!(kill_all(&places), 0);
        starts::note(&places, &name, leader.id());
        assert_eq!(kill_all(&places), 2);
        leader.wait().unwrap();
    }
}
