//! A client's files: its state, the code it shows, and others in its directory. What
//! an earlier process has left counts for nothing.

use std::{
    fs,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Map, Value};

use super::inside::{self, Inside};
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

/// How the files are usually called that tell of a client and that nobody is given as
/// one of the files it has fetched.
const USUAL: [&str; 4] = [
    "mojo_weixin_state_",
    "mojo_weixin_qrcode_",
    "mojo_weixin_pid_",
    "mojo_weixin_cookie_",
];

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
    /// The log that it keeps itself, if it is told to.
    log: Option<PathBuf>,
    /// Where it puts what it fetches, if it is told where.
    media: Option<PathBuf>,
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
            log: parameters.get("log_path").map(|given| dir.join(given)),
            media: parameters.get("media_dir").map(|given| dir.join(given)),
        }
    }

    /// Makes the directories. Blocks.
    pub fn prepare(&self) -> io::Result<()> {
        files::private_dir(&self.dir)?;
        let inside = Inside::of(&self.dir)?;
        let parents = [&self.state, &self.code, &self.pid, &self.cookie].map(|it| it.parent());
        for dir in parents.into_iter().flatten().chain([self.tmpdir.as_path()]) {
            inside.make_dirs(self.way(dir)?)?;
        }
        let log = self.log.as_deref().and_then(Path::parent);
        for dir in log.into_iter().chain(self.media.as_deref()) {
            // Elsewhere it is not the host's to make.
            if let Ok(way) = self.way(dir) {
                inside.make_dirs(way)?;
            }
        }
        self.clear();
        Ok(())
    }

    /// Removes what tells of a process that is no more. Blocks.
    pub fn clear(&self) {
        let Ok(inside) = Inside::of(&self.dir) else {
            return;
        };
        for path in [&self.state, &self.code, &self.pid] {
            let _ = self.way(path).and_then(|way| inside.remove(way));
        }
    }

    /// The way to something in the directory.
    fn way<'a>(&self, path: &'a Path) -> io::Result<&'a Path> {
        let way = path.strip_prefix(&self.dir);
        way.map_err(|_| io::Error::other("it lies outside of the client's directory"))
    }

    /// What this process has written as its state. Blocks.
    pub fn read_state(&self, writer: Writer) -> Result<StateFile, ClientFileError> {
        let (at, bytes) = self.read(&self.state, writer, STATE_MAX_BYTES)?;
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
        let (_, bytes) = self.read(&self.code, writer, CODE_MAX_BYTES)?;
        match bytes.is_empty() {
            true => Err(ClientFileError::Missing),
            false => Ok(bytes),
        }
    }

    /// Opens a file in the client's directory by the path that the client gave: one
    /// that it has fetched, none that tells of the client itself. Blocks.
    pub fn open(&self, path: &str) -> Result<(u64, Box<dyn BlobReader>), ClientFileError> {
        let path = self.dir.join(path);
        let whole = fs::canonicalize(&self.dir).map_err(unread)?;
        let way = path
            .strip_prefix(&self.dir)
            .or_else(|_| path.strip_prefix(whole));
        let way = way.map_err(|_| ClientFileError::Outside)?;
        if self.tells_of_client(way) {
            return Err(ClientFileError::Outside);
        }
        let inside = Inside::of(&self.dir).map_err(unread)?;
        let file = inside.open(way).map_err(unread)?;
        let size_bytes = file.metadata().map_err(unread)?.len();
        Ok((size_bytes, Box::new(Reader(Some(file)))))
    }

    /// Earlier processes may have used the usual names.
    fn tells_of_client(&self, way: &Path) -> bool {
        let path = self.dir.join(way);
        let known = [&self.state, &self.code, &self.pid, &self.cookie];
        let mut known = known.into_iter().chain(&self.log);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        known.any(|it| *it == path) || USUAL.iter().any(|usual| name.starts_with(usual))
    }

    /// Whether anything is left with which the account can log in without a scan, or
    /// may be. Blocks.
    pub fn can_log_in_again(&self) -> bool {
        let is_gone = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
        let cookie = fs::symlink_metadata(&self.cookie);
        let names = || fs::read_dir(&self.dir).into_iter().flatten().flatten();
        !cookie.is_err_and(is_gone)
            || names().any(|entry| entry.file_name().to_string_lossy().contains("cookie"))
    }

    /// Reads a whole file that this process has written.
    fn read(
        &self,
        path: &Path,
        writer: Writer,
        max_bytes: u64,
    ) -> Result<(SystemTime, Bytes), ClientFileError> {
        let inside = Inside::of(&self.dir).map_err(unread)?;
        let opened = self.way(path).and_then(|way| inside.open(way));
        let file = opened.map_err(unread)?;
        let at = file.metadata().and_then(|it| it.modified());
        let at = at.map_err(unread)?;
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

fn unread(error: io::Error) -> ClientFileError {
    match error.kind() {
        io::ErrorKind::NotFound => ClientFileError::Missing,
        _ if inside::is_odd(&error) => ClientFileError::Outside,
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
        for path in [&paths.cookie, &paths.state, &paths.pid, &paths.code] {
            fs::write(path, "secret").unwrap();
            let refused = paths.open(path.to_str().unwrap()).map(|(size, _)| size);
            assert_eq!(refused, Err(ClientFileError::Outside), "{path:?}");
        }
        let gone = paths.open("gone").map(|(size, _)| size);
        assert_eq!(gone, Err(ClientFileError::Missing));
    }

    #[test]
    fn a_link_that_the_client_made_leads_nobody_out() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::create_dir(&victim).unwrap();
        fs::write(victim.join("precious"), "p").unwrap();
        let own = dir.path().join("a1");
        fs::create_dir(&own).unwrap();
        std::os::unix::fs::symlink(&victim, own.join("sub")).unwrap();
        let name = ClientName::try_from("a1").unwrap();
        let given = Parameters::from([("pid_path".to_owned(), "sub/precious".to_owned())]);
        let paths = Paths::new(&own, &name, &given);
        assert!(paths.prepare().is_err());
        paths.clear();
        assert!(victim.join("precious").exists());
    }

    #[test]
    fn directories_of_a_log_and_of_media_are_made_without_following_links() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("a1");
        let name = ClientName::try_from("a1").unwrap();
        let prepare = |log: &str, media: &str| {
            let given = [("log_path", log), ("media_dir", media)];
            let given = given.map(|(name, path)| (name.to_owned(), path.to_owned()));
            Paths::new(&own, &name, &Parameters::from(given)).prepare()
        };
        prepare("logs/new/a.log", "in/media").unwrap();
        for dir in ["logs", "logs/new", "in", "in/media"] {
            let mode = fs::metadata(own.join(dir)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{dir}");
        }
        assert!(!own.join("logs/new/a.log").exists());
        symlink(root.path(), own.join("sub")).unwrap();
        assert!(prepare("sub/x/a.log", "m").is_err());
        assert!(prepare("a.log", "sub/m").is_err());
        let elsewhere = root.path().join("x/a.log");
        prepare(elsewhere.to_str().unwrap(), "m").unwrap();
        assert!(!root.path().join("x").exists() && !root.path().join("m").exists());
    }

    #[test]
    fn whoever_has_a_cookie_can_log_in_again() {
        let (_dir, paths, _) = client();
        fs::write(paths.dir.join("photo.jpg"), "photo").unwrap();
        assert!(!paths.can_log_in_again());
        fs::write(paths.dir.join("old_cookie"), "c").unwrap();
        assert!(paths.can_log_in_again());
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
