//! The files: two for each handler and account, of which the older one goes when the
//! newer one is full.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::UNIX_EPOCH,
};

use super::{
    Clock, Config,
    queue::{Place, lost_line},
};
use crate::{
    domain::{AccountId, HandlerName, Millis, handler::LogLine, ports::LogQuery},
    files::private_dir,
};

/// How the names of files end that are written to.
const NEWER: &str = ".log";
/// And of those before them.
const OLDER: &str = ".1.log";
/// The name of a file for no account. No account's has a `+` in it.
const NOBODY: &str = "+callback";
/// The longest name of a file that says whose it is; others have a digest.
const STEM_MAX_BYTES: usize = 200;
/// What a file takes on disk: whole blocks.
const BLOCK_BYTES: u64 = 4096;
/// How much is read for one question, in bytes: a handler may have a file for each of
/// many accounts.
const READ_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// How many orders a line's moment has: so many lines of one ms have orders of that ms.
const ORDERS_PER_MS: u64 = 1_000;
/// How far ahead of its clock a host may have counted that wrote more than that, in ms.
const COUNTED_AHEAD_MS: Millis = 10_000;
/// Of a line that is too long for a file, what is kept: the eighth part, since a
/// character may become six in JSON.
const LONG_LINE_PART: usize = 8;

/// All files, and what is known of them.
#[derive(Debug)]
pub struct Files {
    dir: PathBuf,
    file_bytes_max: u64,
    disk_bytes_max: u64,
    known: HashMap<HandlerName, HashMap<String, Known>>,
    /// What all of them take.
    bytes: u64,
    /// The order of the line that was kept last.
    last_order: u64,
    /// The disk took nothing the last time.
    failing: bool,
}

/// What is known of the two files of a place.
#[derive(Debug, Clone, Default)]
struct Known {
    newer_bytes: u64,
    older_bytes: u64,
    last_ms: Millis,
    /// The order of its last line; none before this host has written one.
    last_order: Option<u64>,
    /// How many lines could not be written.
    lost_lines: u64,
    /// The newer one may end within a line: an earlier host was killed, or the disk was
    /// full.
    torn: bool,
}

impl Known {
    fn bytes(&self) -> u64 {
        let blocks = |bytes: u64| bytes.next_multiple_of(BLOCK_BYTES);
        blocks(self.newer_bytes) + blocks(self.older_bytes)
    }
}

/// What a handler has, ordered by how much that is.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kept {
    bytes: u64,
    handler: HandlerName,
    /// When each place was written to last, its name and its bytes.
    newest_first: Vec<(Millis, String, u64)>,
}

impl Kept {
    fn of((handler, files): (&HandlerName, &HashMap<String, Known>)) -> Self {
        let places = files.iter();
        let mut newest_first: Vec<_> = places
            .map(|(stem, known)| (known.last_ms, stem.clone(), known.bytes()))
            .collect();
        newest_first.sort_unstable_by(|a, b| b.cmp(a));
        Self {
            bytes: files.values().map(Known::bytes).sum(),
            handler: handler.clone(),
            newest_first,
        }
    }
}

impl Files {
    /// What an earlier host has left goes on.
    pub fn open(dir: PathBuf, config: &Config, clock: &Clock) -> io::Result<Self> {
        private_dir(&dir)?;
        let mut files = Self {
            known: HashMap::new(),
            bytes: 0,
            last_order: 0,
            file_bytes_max: config.account_bytes_max / 2,
            disk_bytes_max: config.disk_bytes_max,
            failing: false,
            dir,
        };
        for handler in fs::read_dir(&files.dir)?.flatten() {
            let name = handler.file_name();
            let name = name.to_str().and_then(|it| HandlerName::try_from(it).ok());
            if let Some(name) = name {
                let known = found(&handler.path());
                files.bytes += known.values().map(Known::bytes).sum::<u64>();
                files.known.insert(name, known);
            }
        }
        let places = files.known.values().flat_map(HashMap::values);
        let last_ms = places.map(|known| known.last_ms).max().unwrap_or_default();
        // An earlier host may have counted on beyond its clock, and the clock may have been
        // put back since.
        let last_ms = last_ms.max(clock()).saturating_add(COUNTED_AHEAD_MS);
        files.last_order = last_ms.saturating_mul(ORDERS_PER_MS);
        files.make_room();
        Ok(files)
    }

    /// The order of the next line. It goes with the clock, so that it grows over restarts as
    /// well without being written anywhere else than in the lines.
    pub fn next_order(&mut self, now_ms: Millis) -> u64 {
        let by_clock = now_ms.saturating_mul(ORDERS_PER_MS);
        self.last_order = by_clock.max(self.last_order.saturating_add(1));
        self.last_order
    }

    /// Adds lines to a file. What the disk does not take is lost, and counted.
    pub fn append(&mut self, place: &Place, lines: &[Arc<LogLine>]) {
        self.make_room();
        let stem = stem(place.account.as_ref());
        let known = self.known.entry(place.handler.clone()).or_default();
        let mut now = known.get(&stem).cloned().unwrap_or_default();
        let before = now.bytes();
        let dir = self.dir.join(place.handler.as_str());
        let bytes = encoded(&now, lines, place.account.as_ref(), self.file_bytes_max);
        let last_ms = lines.last().map_or(now.last_ms, |line| line.at_ms);
        now.last_ms = now.last_ms.max(last_ms);
        let last_order = lines.last().map(|line| line.order);
        now.last_order = last_order.or(now.last_order);
        match written(&dir, &stem, &mut now, &bytes, self.file_bytes_max) {
            Ok(()) => {
                (now.lost_lines, now.torn) = (0, false);
                self.failing = false;
            }
            Err(error) => {
                now.lost_lines += lines.len() as u64;
                now.torn = true;
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(%error, "what handlers log can't be kept");
                }
            }
        }
        self.bytes = (self.bytes + now.bytes()).saturating_sub(before);
        known.insert(stem, now);
    }

    /// A handler's log goes.
    pub fn remove(&mut self, handler: &HandlerName) {
        let known = self.known.remove(handler).unwrap_or_default();
        let bytes: u64 = known.values().map(Known::bytes).sum();
        self.bytes = self.bytes.saturating_sub(bytes);
        match fs::remove_dir_all(self.dir.join(handler.as_str())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%handler, %error, "the handler's log can't be removed");
            }
            _ => {}
        }
    }

    /// Removes what was not written to for longest of the handlers that have most, if there
    /// is no room for one more place that is full: a tenth, so that it is not looked for
    /// each time. Handlers that say little keep what they said.
    fn make_room(&mut self) {
        let full = Known {
            newer_bytes: self.file_bytes_max,
            older_bytes: self.file_bytes_max,
            ..Known::default()
        };
        let allowed = self.disk_bytes_max.saturating_sub(full.bytes());
        if self.bytes <= allowed {
            return;
        }
        let mut largest: BinaryHeap<_> = self.known.iter().map(Kept::of).collect();
        let enough = allowed / 10 * 9;
        while self.bytes > enough {
            let Some(mut most) = largest.pop() else {
                return;
            };
            if let Some((_, stem, bytes)) = most.newest_first.pop() {
                self.forget(&most.handler, &stem);
                most.bytes = most.bytes.saturating_sub(bytes);
                largest.push(most);
            }
        }
    }

    fn forget(&mut self, handler: &HandlerName, stem: &str) {
        let dir = self.dir.join(handler.as_str());
        for end in [NEWER, OLDER] {
            // What is not there needs no removing; what can't be removed is looked at
            // again by the next host.
            let _ = fs::remove_file(dir.join(format!("{stem}{end}"))).is_ok();
        }
        let Some(files) = self.known.get_mut(handler) else {
            return;
        };
        let known = files.remove(stem).unwrap_or_default();
        self.bytes = self.bytes.saturating_sub(known.bytes());
        if files.is_empty() {
            self.known.remove(handler);
            let _ = fs::remove_dir(dir).is_ok();
        }
    }

    /// The last lines that are asked for, the oldest first.
    pub fn read(&self, query: &LogQuery) -> io::Result<Vec<LogLine>> {
        let Some(known) = self.known.get(&query.handler) else {
            return Ok(Vec::new());
        };
        let dir = self.dir.join(query.handler.as_str());
        if let Some(account) = &query.account {
            return match known.contains_key(&stem(Some(account))) {
                true => last_lines(&dir, &stem(Some(account)), query),
                false => Ok(Vec::new()),
            };
        }
        let mut newest: Vec<_> = known.iter().collect();
        newest.sort_unstable_by_key(|(_, known)| Reverse(known.last_ms));
        let (mut lines, mut read_bytes): (Vec<LogLine>, u64) = (Vec::new(), 0);
        for (stem, known) in newest {
            let oldest_ms = lines.first().map_or(0, |line| line.at_ms);
            let by_time = query.after.is_none();
            let enough = by_time && lines.len() >= query.lines && known.last_ms < oldest_ms;
            if enough || read_bytes > READ_BYTES_MAX {
                break;
            }
            let last = known.last_order.zip(query.after);
            if last.is_some_and(|(last, after)| last <= after) {
                continue;
            }
            read_bytes += known.newer_bytes + known.older_bytes;
            lines.extend(last_lines(&dir, stem, query)?);
            // Stable: lines of one moment stay as they were said.
            match by_time {
                true => lines.sort_by_key(|line| line.at_ms),
                false => lines.sort_by_key(|line| line.order),
            }
            lines.drain(..lines.len().saturating_sub(query.lines));
        }
        Ok(lines)
    }
}

/// The name of the files for an account. No two accounts have the same, whatever the
/// file system makes of letters that it does not know.
fn stem(account: Option<&AccountId>) -> String {
    let Some(account) = account else {
        return NOBODY.to_owned();
    };
    let mut stem = String::new();
    for byte in account.as_str().bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'@' => {
                stem.push(char::from(byte));
            }
            _ => stem.push_str(&format!("%{byte:02X}")),
        }
    }
    match stem.len() <= STEM_MAX_BYTES {
        true => stem,
        false => format!("+{}", blake3::hash(account.as_str().as_bytes()).to_hex()),
    }
}

/// The files of a handler that are there.
fn found(dir: &Path) -> HashMap<String, Known> {
    let mut all: HashMap<String, Known> = HashMap::new();
    for file in fs::read_dir(dir).into_iter().flatten().flatten() {
        let (name, Ok(about)) = (file.file_name(), file.metadata()) else {
            continue;
        };
        let Some(name) = name.to_str().filter(|_| about.is_file()) else {
            continue;
        };
        let written = about.modified().ok();
        let written = written.and_then(|it| it.duration_since(UNIX_EPOCH).ok());
        let last_ms = written.map_or(0, |it| u64::try_from(it.as_millis()).unwrap_or(0));
        if let Some(stem) = name.strip_suffix(OLDER) {
            all.entry(stem.to_owned()).or_default().older_bytes = about.len();
        } else if let Some(stem) = name.strip_suffix(NEWER) {
            let known = all.entry(stem.to_owned()).or_default();
            (known.newer_bytes, known.last_ms) = (about.len(), last_ms);
            known.torn = true;
        }
    }
    all
}

/// The lines as they are written, with what is to be said before them.
fn encoded(
    known: &Known,
    lines: &[Arc<LogLine>],
    account: Option<&AccountId>,
    file_bytes_max: u64,
) -> Vec<Vec<u8>> {
    let mut all = Vec::with_capacity(lines.len() + 1);
    if known.torn {
        // What was torn stays a line of its own.
        all.push(b"\n".to_vec());
    }
    if known.lost_lines > 0 {
        let at_ms = lines.first().map_or(known.last_ms, |line| line.at_ms);
        let order = lines.first().map_or(0, |line| line.order);
        let lost = lost_line(known.lost_lines, at_ms, account.cloned());
        all.extend(encode(&LogLine { order, ..lost }));
    }
    let limit = usize::try_from(file_bytes_max).unwrap_or(usize::MAX);
    for line in lines {
        match encode(line) {
            Some(bytes) if bytes.len() > limit => {
                let mut short = LogLine::clone(line);
                let end = short.text.floor_char_boundary(limit / LONG_LINE_PART / 2);
                short.text.truncate(end);
                short.text.push_str(" […]");
                let end = short
                    .context
                    .floor_char_boundary(limit / LONG_LINE_PART / 4);
                short.context.truncate(end);
                all.extend(encode(&short));
            }
            bytes => all.extend(bytes),
        }
    }
    all
}

/// A line is plain data, which can always be written.
fn encode(line: &LogLine) -> Option<Vec<u8>> {
    let mut bytes = serde_json::to_vec(line).ok()?;
    bytes.push(b'\n');
    Some(bytes)
}

/// Writes lines, beginning a new file wherever one is full.
fn written(
    dir: &Path,
    stem: &str,
    known: &mut Known,
    lines: &[Vec<u8>],
    file_bytes_max: u64,
) -> io::Result<()> {
    let mut rest = lines;
    while !rest.is_empty() {
        let mut piece = Vec::new();
        let mut taken = 0;
        for line in rest {
            let bytes = known.newer_bytes + (piece.len() + line.len()) as u64;
            if bytes > file_bytes_max {
                break;
            }
            piece.extend_from_slice(line);
            taken += 1;
        }
        if taken > 0 {
            add(dir, stem, known, &piece)?;
        }
        rest = rest.get(taken..).unwrap_or_default();
        if !rest.is_empty() {
            if known.newer_bytes == 0 {
                // A line that fits into no file: there is none so long.
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            turn(dir, stem, known)?;
        }
    }
    Ok(())
}

fn add(dir: &Path, stem: &str, known: &mut Known, bytes: &[u8]) -> io::Result<()> {
    let path = dir.join(format!("{stem}{NEWER}"));
    let mut options = fs::OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    let mut file = match options.open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            private_dir(dir)?;
            options.open(&path)?
        }
        opened => opened?,
    };
    let added = file.write_all(bytes);
    known.newer_bytes = match (&added, file.metadata()) {
        (_, Ok(about)) => about.len(),
        (Ok(()), Err(_)) => known.newer_bytes + bytes.len() as u64,
        (Err(_), Err(_)) => known.newer_bytes,
    };
    added
}

/// Begins a new file.
fn turn(dir: &Path, stem: &str, known: &mut Known) -> io::Result<()> {
    let path = |end: &str| dir.join(format!("{stem}{end}"));
    match fs::rename(path(NEWER), path(OLDER)) {
        Ok(()) => known.older_bytes = known.newer_bytes,
        // Somebody has removed it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    known.newer_bytes = 0;
    Ok(())
}

/// The last lines of one place, the oldest first.
fn last_lines(dir: &Path, stem: &str, query: &LogQuery) -> io::Result<Vec<LogLine>> {
    let mut lines = Vec::new();
    for end in [NEWER, OLDER] {
        let bytes = match fs::read(dir.join(format!("{stem}{end}"))) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for line in bytes.rsplit(|byte| *byte == b'\n') {
            if lines.len() >= query.lines {
                break;
            }
            // What was torn, or written by somebody else, is no line.
            if let Ok(line) = serde_json::from_slice::<LogLine>(line)
                && query.takes(&line)
            {
                lines.push(line);
            }
        }
    }
    lines.reverse();
    Ok(lines)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn no_account_names_a_file_elsewhere_and_no_two_the_same() {
        let long = "微".repeat(85);
        let longer = format!("{long}a");
        let ids = [
            "wxid_a",
            "1@chatroom",
            ".",
            "..",
            "a.1",
            "a",
            "A%2E",
            "a%2E1",
            "+callback",
            &long,
            &longer,
            "微信",
        ];
        let mut stems: Vec<_> = ids
            .iter()
            .map(|id| stem(Some(&AccountId::try_from(*id).unwrap())))
            .collect();
        assert!(stems.iter().all(|it| it.len() <= STEM_MAX_BYTES));
        assert!(stems.iter().all(|it| !it.contains(['.', '/'])), "{stems:?}");
        assert_eq!(stems.first().unwrap(), "wxid_a");
        stems.push(stem(None));
        stems.sort_unstable();
        stems.dedup();
        assert_eq!(stems.len(), ids.len() + 1);
    }
}
