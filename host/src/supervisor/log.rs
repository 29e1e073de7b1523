//! What a client's processes print, kept in two files of bounded size. What can't be
//! kept is counted, and the log says so later.

use std::{
    fs,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use tokio::sync::watch;

use super::{inside::open_plain, locked};
use crate::{
    domain::ports::{LogFrom, LogPiece},
    files,
};

/// The file that is written to.
const NEWER: &str = "console.log";
/// The one before it.
const OLDER: &str = "console.1.log";
/// The smallest file, whatever the settings say: less than a page is no log.
const FILE_MIN_BYTES: u64 = 4096;
/// How much of the last line is told when a process ends.
const LAST_LINE_MAX_CHARS: usize = 200;
/// How much of a line is kept for that: as many characters, and some colours.
const LAST_LINE_MAX_BYTES: usize = 1024;

/// A client's log. A place in it is how many bytes were written before.
#[derive(Debug)]
pub struct Log {
    dir: PathBuf,
    file_max_bytes: u64,
    inner: Mutex<Option<Inner>>,
    end: watch::Sender<u64>,
    /// How many bytes were dropped before they came here.
    dropped_bytes: AtomicU64,
    lines: Mutex<Lines>,
}

/// Writes as much as is taken at once. Another one stands for a disk in tests.
type WriteOnce = fn(&mut fs::File, &[u8]) -> io::Result<usize>;

/// The last lines that were printed.
#[derive(Debug, Default)]
struct Lines {
    /// The last one that is whole and not empty.
    whole: Vec<u8>,
    /// What was printed of the one after it.
    begun: Vec<u8>,
}

#[derive(Debug)]
struct Inner {
    /// Where the older file begins.
    older: u64,
    /// Where the newer one begins, and the older one ends.
    newer: u64,
    /// Where it ends.
    end: u64,
    /// The newer file, when it could be opened.
    file: Option<fs::File>,
    /// How many bytes could not be kept since the last that could.
    lost_bytes: u64,
    write_once: WriteOnce,
}

impl Log {
    /// The log in this directory. Nothing is read or made before it is used.
    pub fn new(dir: PathBuf, bytes_max: u64) -> Self {
        Self {
            dir,
            file_max_bytes: (bytes_max / 2).max(FILE_MIN_BYTES),
            inner: Mutex::default(),
            end: watch::Sender::new(0),
            dropped_bytes: AtomicU64::new(0),
            lines: Mutex::default(),
        }
    }

    /// Adds what was printed. Blocks for the disk.
    pub fn write(&self, bytes: &[u8]) {
        locked(&self.lines).note(bytes);
        let mut inner = locked(&self.inner);
        let inner = inner.get_or_insert_with(|| Inner::found(&self.dir));
        inner.lost_bytes += self.dropped_bytes.swap(0, Ordering::Relaxed);
        inner.write(&self.dir, self.file_max_bytes, bytes);
        self.end.send_replace(inner.end);
    }

    /// Stands still, as a disk may, while this is held.
    #[cfg(test)]
    pub fn stall(&self) -> impl Drop + '_ {
        locked(&self.inner)
    }

    /// It goes on in this file, on a disk that takes what this says.
    #[cfg(test)]
    fn goes_on(&self, file: Option<fs::File>, write_once: WriteOnce) {
        let mut inner = locked(&self.inner);
        let inner = inner.get_or_insert_with(|| Inner::found(&self.dir));
        inner.file = file;
        inner.write_once = write_once;
    }

    /// So many bytes that were printed are not given to it. Waits for nothing.
    pub fn drops(&self, bytes: usize) {
        self.dropped_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A piece of it, at most so long. Blocks for the disk.
    pub fn read(&self, from: LogFrom, max_bytes: u64) -> io::Result<LogPiece> {
        let mut inner = locked(&self.inner);
        let inner = inner.get_or_insert_with(|| Inner::found(&self.dir));
        let (oldest, end) = (inner.older, inner.end);
        let mut from = match from {
            LogFrom::Tail(bytes) => inner.line_behind(&self.dir, end.saturating_sub(bytes))?,
            // The log has begun anew since.
            LogFrom::Place(place) if place > end => oldest,
            LogFrom::Place(place) => place,
        };
        from = from.clamp(oldest, end);
        let to = from.saturating_add(max_bytes).min(end);
        let bytes = inner.between(&self.dir, from, to)?;
        Ok(LogPiece {
            from,
            next: from + bytes.len() as u64,
            bytes,
        })
    }

    /// Waits until it goes on beyond this place.
    pub async fn grown(&self, place: u64) {
        let mut end = self.end.subscribe();
        // The sender is in `self`.
        let _ = end.wait_for(|end| *end > place).await;
    }

    /// The last line that was printed since this was asked before.
    pub fn take_last_line(&self) -> Option<String> {
        let Lines { whole, begun } = std::mem::take(&mut *locked(&self.lines));
        let line = match is_blank(&begun) {
            true => whole,
            false => begun,
        };
        let text = String::from_utf8_lossy(&line);
        let plain = text.trim().chars().filter(|c| !c.is_control());
        let line: String = plain.take(LAST_LINE_MAX_CHARS).collect();
        (!line.is_empty()).then_some(line)
    }
}

impl Lines {
    /// A line may come in several pieces.
    fn note(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LAST_LINE_MAX_BYTES.saturating_sub(self.begun.len());
            self.begun.extend(piece.iter().take(room));
            if piece.ends_with(b"\n") {
                if !is_blank(&self.begun) {
                    std::mem::swap(&mut self.whole, &mut self.begun);
                }
                self.begun.clear();
            }
        }
    }
}

fn is_blank(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

impl Inner {
    /// What an earlier host has left goes on.
    fn found(dir: &Path) -> Self {
        let size = |name| {
            let found = fs::symlink_metadata(dir.join(name));
            found.map_or(0, |it| if it.is_file() { it.len() } else { 0 })
        };
        let newer = size(OLDER);
        Self {
            older: 0,
            newer,
            end: newer + size(NEWER),
            file: None,
            lost_bytes: 0,
            write_once: |file, bytes| file.write(bytes),
        }
    }

    fn write(&mut self, dir: &Path, file_max_bytes: u64, bytes: &[u8]) {
        let note = match self.lost_bytes {
            0 => String::new(),
            lost => format!("[wxhost: {lost} bytes were not kept: the disk took no more]\n"),
        };
        if let Err(error) = self.append(dir, file_max_bytes, note.as_bytes()) {
            return self.lose(bytes.len(), &error);
        }
        self.lost_bytes = 0;
        if self.was_removed() {
            self.begin_anew(dir);
        }
        let before = self.end;
        if let Err(error) = self.append(dir, file_max_bytes, bytes) {
            let kept = (self.end - before) as usize;
            self.lose(bytes.len().saturating_sub(kept), &error);
        }
    }

    /// Begins a new file.
    fn turn(&mut self, dir: &Path) -> io::Result<()> {
        match fs::rename(dir.join(NEWER), dir.join(OLDER)) {
            Ok(()) => self.older = self.newer,
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.begin_anew(dir),
            Err(error) => return Err(error),
        }
        self.file = None;
        self.newer = self.end;
        Ok(())
    }

    /// Somebody has removed the file: what is before it is not followed by what comes.
    fn begin_anew(&mut self, dir: &Path) {
        let _ = fs::remove_file(dir.join(OLDER));
        self.file = None;
        (self.older, self.newer) = (self.end, self.end);
    }

    /// Whether the file that is open has no name any more.
    fn was_removed(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let data = self.file.as_ref().and_then(|file| file.metadata().ok());
        data.is_some_and(|data| data.nlink() == 0)
    }

    /// Counts each byte as it is written: a disk may become full within a write. No
    /// file becomes larger than it may.
    fn append(&mut self, dir: &Path, file_max_bytes: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.end - self.newer >= file_max_bytes {
                self.turn(dir)?;
            }
            let room = file_max_bytes.saturating_sub(self.end - self.newer) as usize;
            let piece = bytes.get(..room).unwrap_or(bytes);
            let write_once = self.write_once;
            let written = match write_once(self.file(dir)?, piece) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.end += written as u64;
            bytes = bytes.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    fn file(&mut self, dir: &Path) -> io::Result<&mut fs::File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                files::private_dir(dir)?;
                let mut options = fs::OpenOptions::new();
                let options = options.append(true).create(true);
                let options = std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
                open_plain(options, &dir.join(NEWER))?
            }
        };
        Ok(self.file.insert(file))
    }

    fn lose(&mut self, bytes: usize, error: &io::Error) {
        if self.lost_bytes == 0 {
            tracing::warn!(%error, "what a client prints can't be kept");
        }
        self.lost_bytes += bytes as u64;
        // The file may have been removed: it is opened anew.
        self.file = None;
    }

    /// The beginning of the first line that begins at this place or later.
    fn line_behind(&self, dir: &Path, place: u64) -> io::Result<u64> {
        if place <= self.older {
            return Ok(self.older);
        }
        let mut at = place - 1;
        while at < self.end {
            let piece = self.between(dir, at, (at + FILE_MIN_BYTES).min(self.end))?;
            if piece.is_empty() {
                break;
            }
            if let Some(found) = piece.iter().position(|byte| *byte == b'\n') {
                return Ok(at + found as u64 + 1);
            }
            at += piece.len() as u64;
        }
        Ok(place)
    }

    fn between(&self, dir: &Path, from: u64, to: u64) -> io::Result<Bytes> {
        let mut bytes = Vec::new();
        let older_to = to.min(self.newer);
        if from < older_to {
            let skip = from - self.older;
            read_at(&dir.join(OLDER), skip, older_to - from, &mut bytes)?;
        }
        let newer_from = from.max(self.newer);
        if newer_from < to {
            let skip = newer_from - self.newer;
            read_at(&dir.join(NEWER), skip, to - newer_from, &mut bytes)?;
        }
        Ok(bytes.into())
    }
}

fn read_at(path: &Path, skip: u64, max_bytes: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut file = match open_plain(fs::OpenOptions::new().read(true), path) {
        Ok(file) => file,
        // Somebody has removed it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    file.seek(SeekFrom::Start(skip))?;
    file.take(max_bytes).read_to_end(bytes).map(drop)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    /// A log of two files with 4096 bytes each.
    fn log() -> (tempfile::TempDir, Log) {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::new(dir.path().join("log"), 0);
        (dir, log)
    }

    fn text(log: &Log, from: LogFrom, max_bytes: u64) -> String {
        let piece = log.read(from, max_bytes).unwrap();
        assert_eq!(piece.next, piece.from + piece.bytes.len() as u64);
        String::from_utf8(piece.bytes.to_vec()).unwrap()
    }

    #[test]
    fn what_was_printed_is_read_from_a_place_or_from_the_end() {
        let (_dir, log) = log();
        assert_eq!(text(&log, LogFrom::Place(0), 100), "");
        log.write(b"one\ntwo\n");
        log.write(b"three\n");
        assert_eq!(text(&log, LogFrom::Place(0), 100), "one\ntwo\nthree\n");
        assert_eq!(text(&log, LogFrom::Place(4), 3), "two");
        assert_eq!(text(&log, LogFrom::Place(14), 100), "");
        let anew = "one\ntwo\nthree\n";
        assert_eq!(text(&log, LogFrom::Place(99), 100), anew);
        assert_eq!(text(&log, LogFrom::Tail(6), 100), "three\n");
        assert_eq!(text(&log, LogFrom::Tail(8), 100), "three\n");
        assert_eq!(text(&log, LogFrom::Tail(99), 100), "one\ntwo\nthree\n");
    }

    #[test]
    fn two_files_of_bounded_size_are_kept_and_places_rise() {
        let (dir, log) = log();
        let line = format!("{}\n", "x".repeat(99));
        for _ in 0..200 {
            log.write(line.as_bytes());
        }
        let kept: Vec<_> = fs::read_dir(dir.path().join("log")).unwrap().collect();
        assert_eq!(kept.len(), 2);
        let size = |name| {
            fs::metadata(dir.path().join("log").join(name))
                .unwrap()
                .len()
        };
        assert!(size(NEWER) <= FILE_MIN_BYTES && size(OLDER) == FILE_MIN_BYTES);
        let piece = log.read(LogFrom::Place(0), u64::MAX).unwrap();
        assert_eq!(piece.next, 20_000);
        assert_eq!(piece.from, 20_000 - size(NEWER) - size(OLDER));
        assert_eq!(text(&log, LogFrom::Tail(5_000), u64::MAX).len(), 5_000);
        log.write(&[b'x'; 3 * FILE_MIN_BYTES as usize]);
        assert!(size(NEWER) <= FILE_MIN_BYTES && size(OLDER) == FILE_MIN_BYTES);
    }

    #[test]
    fn a_file_that_somebody_has_removed_does_not_grow_on() {
        let (dir, log) = log();
        let dir = dir.path().join("log");
        log.write(&[b'x'; FILE_MIN_BYTES as usize + 1]);
        fs::remove_file(dir.join(NEWER)).unwrap();
        log.write(&[b'y'; FILE_MIN_BYTES as usize]);
        log.write(b"z");
        let size = |name| fs::metadata(dir.join(name)).unwrap().len();
        assert_eq!((size(OLDER), size(NEWER)), (FILE_MIN_BYTES, 1));
        let kept = text(&log, LogFrom::Place(0), u64::MAX);
        assert!(kept.starts_with('y') && kept.ends_with('z'), "{kept}");
    }

    #[test]
    fn what_was_dropped_before_is_noted_too() {
        let (_dir, log) = log();
        log.drops(7);
        log.write(b"kept\n");
        let noted = text(&log, LogFrom::Place(0), 100);
        assert!(
            noted.starts_with("[wxhost: 7 bytes were not kept"),
            "{noted}"
        );
    }

    #[test]
    fn a_log_goes_on_where_an_earlier_host_has_ended() {
        let (dir, log) = log();
        log.write(b"one\n");
        let log = Log::new(dir.path().join("log"), 0);
        log.write(b"two\n");
        assert_eq!(text(&log, LogFrom::Place(0), 100), "one\ntwo\n");
    }

    #[test]
    fn a_full_disk_is_noted_once_it_takes_more() {
        let (_dir, log) = log();
        for text in ["lost\n", "lost too\n"] {
            let full = fs::OpenOptions::new().append(true).open("/dev/full");
            log.goes_on(Some(full.unwrap()), |file, bytes| file.write(bytes));
            log.write(text.as_bytes());
        }
        assert_eq!(log.take_last_line().unwrap(), "lost too");
        assert_eq!(text(&log, LogFrom::Place(0), 100), "");
        log.write(b"kept\n");
        assert_eq!(
            text(&log, LogFrom::Place(0), 100),
            "[wxhost: 14 bytes were not kept: the disk took no more]\nkept\n"
        );
    }

    /// A disk with room for ten bytes.
    fn ten_bytes(file: &mut fs::File, bytes: &[u8]) -> io::Result<usize> {
        let room = 10_u64.saturating_sub(file.metadata()?.len()) as usize;
        match room {
            0 => Err(io::ErrorKind::StorageFull.into()),
            room => file.write(bytes.get(..room).unwrap_or(bytes)),
        }
    }

    #[test]
    fn what_a_disk_took_before_it_was_full_is_not_counted_as_lost() {
        let (dir, log) = log();
        log.goes_on(None, ten_bytes);
        log.write(b"0123456789lost");
        log.write(b"lost too");
        let kept = fs::read(dir.path().join("log").join(NEWER)).unwrap();
        assert_eq!(kept, b"0123456789");
        assert_eq!(text(&log, LogFrom::Place(0), 100), "0123456789");
        log.goes_on(None, |file, bytes| file.write(bytes));
        log.write(b"\nkept\n");
        let note = "[wxhost: 12 bytes were not kept: the disk took no more]\n";
        let whole = format!("0123456789{note}\nkept\n");
        assert_eq!(text(&log, LogFrom::Place(0), 200), whole);
        let end = whole.len() as u64;
        assert_eq!(log.read(LogFrom::Place(end), 1).unwrap().next, end);
    }

    #[test]
    fn a_link_in_its_place_leads_nowhere() {
        let (dir, log) = log();
        let (dir, elsewhere) = (dir.path().join("log"), dir.path().join("elsewhere"));
        fs::create_dir(&dir).unwrap();
        fs::write(&elsewhere, "").unwrap();
        std::os::unix::fs::symlink(&elsewhere, dir.join(NEWER)).unwrap();
        log.write(b"lost\n");
        assert_eq!(fs::read(&elsewhere).unwrap(), b"");
        fs::remove_file(dir.join(NEWER)).unwrap();
        log.write(b"kept\n");
        assert!(text(&log, LogFrom::Place(0), 100).ends_with("kept\n"));
    }

    #[test]
    fn a_pipe_in_its_place_holds_nobody_up() {
        let (dir, log) = log();
        let dir = dir.path().join("log");
        fs::create_dir(&dir).unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(dir.join(NEWER))
            .status();
        assert!(made.unwrap().success());
        log.write(b"lost\n");
        assert_eq!(text(&log, LogFrom::Place(0), 100), "");
    }

    #[test]
    fn a_directory_that_can_not_be_made_only_costs_the_log() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        let log = Log::new(dir.path().join("file/log"), 0);
        log.write(b"lost\n");
        fs::remove_file(dir.path().join("file")).unwrap();
        log.write(b"kept\n");
        assert!(text(&log, LogFrom::Place(0), 100).ends_with("kept\n"));
    }

    #[tokio::test]
    async fn whoever_follows_is_woken_by_more() {
        let (_dir, log) = log();
        log.write(b"one\n");
        log.grown(3).await;
        let (_, ()) = tokio::join!(log.grown(4), async { log.write(b"two\n") });
    }

    #[test]
    fn the_last_line_is_plain_and_short() {
        let (_dir, log) = log();
        log.write(b"first\n\x1b[31mCan't locate Mojo/Weixin.pm\x1b[0m\n \n");
        let line = log.take_last_line().unwrap();
        assert_eq!(line, "[31mCan't locate Mojo/Weixin.pm[0m");
        assert_eq!(log.take_last_line(), None);
        for piece in ["first\nCan't lo", "cate", " it\n", " \n"] {
            log.write(piece.as_bytes());
        }
        assert_eq!(log.take_last_line().unwrap(), "Can't locate it");
        log.write(b"whole\nbegun");
        assert_eq!(log.take_last_line().unwrap(), "begun");
        log.write("好".repeat(999).as_bytes());
        assert_eq!(log.take_last_line().unwrap().chars().count(), 200);
    }
}
