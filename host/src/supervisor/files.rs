//! A client's files: its state, the code it shows, and others in its directory. What
//! an earlier process has left counts for nothing.

use std::{
    fs,
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use rustix::{fs::OFlags, io::Errno};
use serde_json::{Map, Value};

use crate::{
    domain::{
        ClientName,
        client::{NativeState, Parameters},
        ports::{BlobError, BlobReader, ClientFileError},
    },
    files,
};

/// The largest state file that is read: a real one has 2 KiB.
const STATE_MAX_BYTES: u64 = 256 * 1024;
/// The largest image of a code. Logins take no larger one.
const CODE_MAX_BYTES: u64 = 512 * 1024;
/// How much of a file is read in one step.
const PIECE_BYTES: u64 = 256 * 1024;
/// How much older than its process a file may look: file systems take the time from
/// a clock that ticks every few ms.
pub const CLOCK_TICK: Duration = Duration::from_millis(20);

/// Where the files of a client lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Its own directory.
    pub dir: PathBuf,
    /// Where it puts files of its own.
    pub tmpdir: PathBuf,
    /// Its state.
    pub state: PathBuf,
    /// The code that it shows.
    pub code: PathBuf,
    /// Its process id.
    pub pid: PathBuf,
    /// What it logs in with without a scan.
    pub cookie: PathBuf,
}

/// A process that writes files.
#[derive(Debug, Clone, Copy)]
pub struct Writer {
    /// Its id.
    pub pid: u32,
    /// Since when it is there.
    pub since: SystemTime,
    /// The same by a clock that nobody sets.
    pub began: Instant,
}

impl Writer {
    /// Since when it is there, as the system's clock tells the time now: it may have
    /// been set back.
    fn since(&self) -> SystemTime {
        let by_now = SystemTime::now().checked_sub(self.began.elapsed());
        by_now.map_or(self.since, |by_now| by_now.min(self.since))
    }
}

/// A state file.
#[derive(Debug, Clone)]
pub struct StateFile {
    /// The state, if it is one that we know.
    pub state: Option<NativeState>,
    /// When it was written.
    pub at: SystemTime,
    /// The whole file.
    pub bytes: Bytes,
}

impl Paths {
    /// Those of a client with this directory, unless its parameters say otherwise.
    pub fn new(dir: &Path, name: &ClientName, parameters: &Parameters) -> Self {
        let or = |parameter: &str, usual: String| match parameters.get(parameter) {
            Some(given) if !given.is_empty() => dir.join(given),
            _ => dir.join(usual),
        };
        Self {
            dir: dir.to_owned(),
            tmpdir: match parameters.get("tmpdir") {
                Some(given) if !given.is_empty() => dir.join(given),
                _ => dir.to_owned(),
            },
            state: or("state_path", format!("mojo_weixin_state_{name}.json")),
            code: or("qrcode_path", format!("mojo_weixin_qrcode_{name}.jpg")),
            pid: or("pid_path", format!("mojo_weixin_pid_{name}.pid")),
            cookie: or("cookie_path", format!("mojo_weixin_cookie_{name}.dat")),
        }
    }

    /// Makes the directories. Blocks.
    pub fn prepare(&self) -> io::Result<()> {
        files::private_dir(&self.dir)?;
        let parents = [&self.state, &self.code, &self.pid, &self.cookie].map(|it| it.parent());
        let others = parents.into_iter().flatten().chain([self.tmpdir.as_path()]);
        for dir in others.filter(|dir| *dir != self.dir) {
            files::private_dir(dir)?;
        }
        self.clear();
        Ok(())
    }

    /// Removes what tells of a process that is no more. Blocks.
    pub fn clear(&self) {
        for path in [&self.state, &self.code, &self.pid] {
            let _ = fs::remove_file(path);
        }
    }

    /// What this process has written as its state. Blocks.
    pub fn read_state(&self, writer: Writer) -> Result<StateFile, ClientFileError> {
        let (at, bytes) = read(&self.state, writer, STATE_MAX_BYTES)?;
        let object: Map<String, Value> = serde_json::from_slice(&bytes).map_err(|error| {
            ClientFileError::Unreadable(format!("the state file is no JSON object: {error}"))
        })?;
        if object
            .get("pid")
            .is_some_and(|pid| !is_pid(pid, writer.pid))
        {
            return Err(ClientFileError::Missing);
        }
        let word = object.get("state").and_then(Value::as_str);
        Ok(StateFile {
            state: word.and_then(NativeState::of),
            at,
            bytes,
        })
    }

    /// The code that this process shows. Blocks.
    pub fn read_code(&self, writer: Writer) -> Result<Bytes, ClientFileError> {
        let (_, bytes) = read(&self.code, writer, CODE_MAX_BYTES)?;
        match bytes.is_empty() {
            true => Err(ClientFileError::Missing),
            false => Ok(bytes),
        }
    }

    /// Opens a file in the client's directory by the path that the client gave.
    /// Blocks.
    pub fn open(&self, path: &str) -> Result<(u64, Box<dyn BlobReader>), ClientFileError> {
        let path = fs::canonicalize(self.dir.join(path)).map_err(unread)?;
        let dir = fs::canonicalize(&self.dir).map_err(unread)?;
        if !path.starts_with(dir) {
            return Err(ClientFileError::Outside);
        }
        let file = open_plain(&path)?;
        let size_bytes = file.metadata().map_err(unread)?.len();
        Ok((size_bytes, Box::new(Reader(Some(file)))))
    }
}

/// Whether a state file's `pid` is this one. Clients of other makes may write it as
/// text; what is no number says nothing.
fn is_pid(value: &Value, pid: u32) -> bool {
    let number = match value {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_u64(),
    };
    number.is_none_or(|number| number == u64::from(pid))
}

/// Reads a whole file that this process has written.
fn read(
    path: &Path,
    writer: Writer,
    max_bytes: u64,
) -> Result<(SystemTime, Bytes), ClientFileError> {
    let file = open_plain(path)?;
    let at = file
        .metadata()
        .and_then(|it| it.modified())
        .map_err(unread)?;
    if at + CLOCK_TICK < writer.since() {
        return Err(ClientFileError::Missing);
    }
    let mut bytes = Vec::new();
    let mut limited = file.take(max_bytes + 1);
    limited.read_to_end(&mut bytes).map_err(unread)?;
    if bytes.len() as u64 > max_bytes {
        let problem = format!("it has more than {max_bytes} bytes");
        return Err(ClientFileError::Unreadable(problem));
    }
    Ok((at, bytes.into()))
}

/// Opens what is a file and nothing else: no link out of the directory, and nothing
/// that one may wait at for ever.
fn open_plain(path: &Path) -> Result<fs::File, ClientFileError> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits() as i32)
        .open(path);
    let file = opened.map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::LOOP) => ClientFileError::Outside,
        _ => unread(error),
    })?;
    match file.metadata().map_err(unread)?.is_file() {
        true => Ok(file),
        false => Err(ClientFileError::Outside),
    }
}

fn unread(error: io::Error) -> ClientFileError {
    match error.kind() {
        io::ErrorKind::NotFound => ClientFileError::Missing,
        _ => ClientFileError::Unreadable(error.to_string()),
    }
}

/// What a file looked like: as long as it looks the same, it needs no reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    inode: u64,
    modified: (i64, i64),
    size_bytes: u64,
}

/// What a file looks like now; none when there is none. Blocks.
pub fn look(path: &Path) -> Option<Look> {
    let found = fs::symlink_metadata(path).ok()?;
    Some(Look {
        inode: found.ino(),
        modified: (found.mtime(), found.mtime_nsec()),
        size_bytes: found.len(),
    })
}

/// A file, read piece by piece; none at its end.
struct Reader(Option<fs::File>);

#[async_trait]
impl BlobReader for Reader {
    async fn read(&mut self) -> Result<Option<Bytes>, BlobError> {
        let Some(mut file) = self.0.take() else {
            return Ok(None);
        };
        let work = move || {
            let mut bytes = Vec::new();
            (&mut file).take(PIECE_BYTES).read_to_end(&mut bytes)?;
            Ok::<_, io::Error>((file, Bytes::from(bytes)))
        };
        let read = tokio::task::spawn_blocking(work).await;
        let (file, bytes) = read
            .map_err(io::Error::other)
            .flatten()
            .map_err(|error| BlobError::Io(error.to_string()))?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.0 = Some(file);
        Ok(Some(bytes))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    /// The files of a client in a directory of its own, and its process, whose id is
    /// 7.
    fn client() -> (tempfile::TempDir, Paths, Writer) {
        let dir = tempfile::tempdir().unwrap();
        let name = ClientName::try_from("a1").unwrap();
        let paths = Paths::new(&dir.path().join("a1"), &name, &Parameters::new());
        paths.prepare().unwrap();
        let writer = Writer {
            pid: 7,
            since: SystemTime::now(),
            began: Instant::now(),
        };
        (dir, paths, writer)
    }

    fn state(text: &str) -> Result<Option<NativeState>, ClientFileError> {
        let (_dir, paths, writer) = client();
        fs::write(&paths.state, text).unwrap();
        paths.read_state(writer).map(|file| file.state)
    }

    #[test]
    fn a_state_file_counts_when_its_process_wrote_it() {
        let scaning = Ok(Some(NativeState::Scaning));
        assert_eq!(state(r#"{"state":"scaning","pid":7}"#), scaning);
        assert_eq!(state(r#"{"state":"scaning","pid":"7"}"#), scaning);
        assert_eq!(state(r#"{"state":"scaning","pid":null}"#), scaning);
        assert_eq!(state(r#"{"state":"scaning"}"#), scaning);
        assert_eq!(state(r#"{"state":"new word"}"#), Ok(None));
        let missing = Err(ClientFileError::Missing);
        assert_eq!(state(r#"{"state":"running","pid":8}"#), missing);
        assert_eq!(state(r#"{"state":"running","pid":"8"}"#), missing);
    }

    #[test]
    fn what_is_half_written_is_no_state() {
        for text in ["", "{\"state\":\"runn", "[]", "7"] {
            let error = state(text).unwrap_err();
            assert!(matches!(error, ClientFileError::Unreadable(_)), "{text}");
        }
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(STATE_MAX_BYTES as usize));
        assert!(state(&long).is_err());
    }

    #[test]
    fn a_file_of_an_earlier_process_is_none() {
        let (_dir, paths, writer) = client();
        fs::write(&paths.state, r#"{"state":"running"}"#).unwrap();
        fs::write(&paths.code, "image").unwrap();
        let earlier = writer.since - Duration::from_secs(5);
        for path in [&paths.state, &paths.code] {
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_modified(earlier).unwrap();
        }
        let missing = ClientFileError::Missing;
        assert_eq!(paths.read_state(writer).unwrap_err(), missing);
        assert_eq!(paths.read_code(writer).unwrap_err(), missing);
        // The clock was set back by an hour after the start.
        let writer = Writer {
            since: writer.since + Duration::from_secs(3600),
            began: writer.began - Duration::from_secs(6),
            ..writer
        };
        assert_eq!(paths.read_code(writer).unwrap(), "image");
        paths.clear();
        assert_eq!(paths.read_code(writer).unwrap_err(), missing);
    }

    #[test]
    fn a_link_a_directory_and_a_pipe_are_no_files() {
        let (_dir, paths, writer) = client();
        std::os::unix::fs::symlink("/etc/passwd", &paths.code).unwrap();
        let outside = ClientFileError::Outside;
        assert_eq!(paths.read_code(writer).unwrap_err(), outside);
        fs::create_dir(paths.dir.join("d")).unwrap();
        assert!(matches!(paths.open("d"), Err(ClientFileError::Outside)));
        let pipe = paths.dir.join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        assert!(matches!(paths.open("pipe"), Err(ClientFileError::Outside)));
    }

    #[tokio::test]
    async fn files_are_read_in_the_clients_own_directory_only() {
        let (dir, paths, _) = client();
        fs::write(dir.path().join("secret"), "s").unwrap();
        fs::write(paths.dir.join("photo.jpg"), "photo").unwrap();
        std::os::unix::fs::symlink(dir.path().join("secret"), paths.dir.join("link")).unwrap();
        let whole = paths.dir.join("photo.jpg").display().to_string();
        for path in ["photo.jpg", "./photo.jpg", &whole] {
            let (size, mut reader) = paths.open(path).unwrap();
            assert_eq!(size, 5);
            assert_eq!(reader.read().await.unwrap().unwrap(), "photo");
            assert_eq!(reader.read().await.unwrap(), None);
        }
        for path in ["../secret", "link", "/etc/passwd", "."] {
            let refused = paths.open(path).map(|(size, _)| size);
            assert_eq!(refused, Err(ClientFileError::Outside), "{path}");
        }
        let gone = paths.open("gone").map(|(size, _)| size);
        assert_eq!(gone, Err(ClientFileError::Missing));
    }

    #[test]
    fn parameters_say_where_files_lie_otherwise() {
        let name = ClientName::try_from("a1").unwrap();
        let given = Parameters::from([("state_path".to_owned(), "sub/s.json".to_owned())]);
        let paths = Paths::new(Path::new("/t/a1"), &name, &given);
        assert_eq!(paths.state, Path::new("/t/a1/sub/s.json"));
        assert_eq!(paths.code, Path::new("/t/a1/mojo_weixin_qrcode_a1.jpg"));
        assert_eq!(paths.tmpdir, Path::new("/t/a1"));
    }
}
