//! `wxhost launch HOST PROGRAM [ARGUMENTS]`, for the host itself and shown to nobody:
//! becomes the program, in a way that it is killed when the host ends.
//!
//! The system lets only a process ask this for itself, and between starting one and
//! its program nothing but unsafe code could run in the host. Nothing else is set up
//! before: this is run for every start of a client.

use std::{
    env,
    ffi::OsString,
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// The word that asks for it.
const LAUNCH: &str = "launch";
/// How a shell says that a program could not be run.
const NOT_RUN: u8 = 126;

/// A program to become.
#[derive(Debug)]
pub struct Launch {
    host: i32,
    program: OsString,
    arguments: Vec<OsString>,
}

/// What the command line asks for, if it is this.
pub fn asked() -> Option<Launch> {
    parsed(env::args_os().skip(1))
}

fn parsed(mut words: impl Iterator<Item = OsString>) -> Option<Launch> {
    words.next().filter(|word| word == LAUNCH)?;
    Some(Launch {
        host: words.next()?.to_str()?.parse().ok()?,
        program: words.next()?,
        arguments: words.collect(),
    })
}

impl Launch {
    /// Becomes the program. Returns only if that fails.
    pub fn run(self) -> ExitCode {
        if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
            eprintln!("wxhost: the host's end could not be waited for: {error}");
            return NOT_RUN.into();
        }
        // The host may have ended before.
        if getppid().is_none_or(|parent| parent.as_raw_pid() != self.host) {
            return NOT_RUN.into();
        }
        let error = Command::new(&self.program).args(&self.arguments).exec();
        let program = self.program.display();
        eprintln!("wxhost: {program} could not be run: {error}");
        NOT_RUN.into()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn of(line: &str) -> Option<Launch> {
        parsed(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn only_a_whole_launch_is_one() {
        let launch = of("launch 7 /bin/perl a.pl -x").unwrap();
        assert_eq!((launch.host, launch.arguments.len()), (7, 2));
        assert_eq!(launch.program, "/bin/perl");
        for line in ["", "serve", "launch", "launch 7", "launch x /bin/perl"] {
            assert!(of(line).is_none(), "{line}");
        }
    }
}
