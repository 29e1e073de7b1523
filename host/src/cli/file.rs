//! `wxhost file …`: the files of messages, and what became of those that were
//! asked for.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    client::{Client, Download},
    failure::Failure,
    handler::encode,
    output::{Printed, Style, facts, size},
};
use crate::domain::{
    Digest, FileRequest,
    file::{FileContent, FileState},
    id::BadId,
};

const EXAMPLES: &str = "\
Examples:
  wxhost account file wxid_a FILE       whether a file that was asked for has come, and its digest
  wxhost file get DIGEST --out a.jpg    the file itself";

/// `wxhost file`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct FileArgs {
    #[command(subcommand)]
    command: FileCommand,
    /// Print what was written as JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum FileCommand {
    /// Fetch a file that a client has uploaded
    Get {
        /// Its digest, 64 hex digits
        #[arg(value_parser = digest)]
        digest: Digest,
        /// Where to write it, or - for stdout
        #[arg(long, value_name = "FILE|-")]
        out: PathBuf,
    },
}

fn digest(text: &str) -> Result<Digest, BadId> {
    text.to_owned().try_into()
}

impl FileArgs {
    /// Asks the host.
    pub(super) async fn run(self, client: &Client) -> Result<Printed, Failure> {
        let FileCommand::Get { digest, out } = self.command;
        let mut download = client.download(&["files", &digest.to_string()]).await?;
        if out.as_os_str() == "-" {
            copy(
                &mut download,
                digest,
                &mut io::stdout(),
                Path::new("stdout"),
            )
            .await?;
            return Ok(Printed::ok(""));
        }
        let got = Got {
            digest,
            mime: download.header("content-type"),
            size_bytes: fetch(&mut download, digest, &out).await?,
            file: out.display().to_string(),
        };
        Ok(Printed::ok(match self.json {
            true => encode(&got)?,
            false => format!("{} are in {}", size(got.size_bytes), got.file),
        }))
    }
}

/// A file that was fetched.
#[derive(Serialize)]
struct Got {
    digest: Digest,
    mime: Option<String>,
    size_bytes: u64,
    file: String,
}

/// Writes the file in whole or not at all.
async fn fetch(download: &mut Download, digest: Digest, out: &Path) -> Result<u64, Failure> {
    let mut partial = Partial::beside(out).map_err(|error| Failure::local(out.display(), error))?;
    let bytes = copy(download, digest, &mut partial.file, out).await?;
    let finished = partial.finish(out);
    finished.map_err(|error| Failure::local(out.display(), error))?;
    Ok(bytes)
}

/// Writes what comes piece by piece, and sees to it that it is the right thing.
async fn copy(
    download: &mut Download,
    digest: Digest,
    to: &mut impl Write,
    name: &Path,
) -> Result<u64, Failure> {
    let (mut hasher, mut bytes) = (blake3::Hasher::new(), 0);
    while let Some(piece) = download.next().await? {
        hasher.update(&piece);
        bytes += piece.len() as u64;
        let written = to.write_all(&piece);
        written.map_err(|error| Failure::local(name.display(), error))?;
    }
    match hasher.finalize().to_hex().as_str() == digest.to_string() {
        true => Ok(bytes),
        false => Err(download.strange("the file that came has another digest")),
    }
}

/// A file that is not whole yet, under another name. Gone unless it is finished.
struct Partial {
    file: File,
    path: PathBuf,
}

impl Partial {
    fn beside(out: &Path) -> io::Result<Self> {
        if fs::metadata(out).is_ok_and(|found| !found.is_file()) {
            return Err(io::Error::other("is there and no file"));
        }
        let mut name = out.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let path = out.with_file_name(name);
        let file = File::create_new(&path)?;
        Ok(Self { file, path })
    }

    fn finish(&mut self, out: &Path) -> io::Result<()> {
        self.file.flush()?;
        fs::rename(&self.path, out)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After the renaming there is none under this name.
        let _ = fs::remove_file(&self.path);
    }
}

/// What is known of a file that an account's client was asked for.
pub fn about(request: &FileRequest, style: &Style) -> String {
    let mut known = vec![
        ("account", request.account.to_string()),
        ("file", request.file.clone()),
        ("state", state(request.state).to_owned()),
        ("asked", style.when(request.asked_ms)),
        ("tries", request.tries.to_string()),
        ("task", request.task.to_string()),
    ];
    known.extend(request.ended_ms.map(|at_ms| ("ended", style.when(at_ms))));
    known.extend(request.reason.clone().map(|reason| ("reason", reason)));
    if let Some(content) = &request.content {
        known.extend(content_facts(content));
    }
    facts(&known, style)
}

fn content_facts(content: &FileContent) -> Vec<(&'static str, String)> {
    let mut known = vec![
        ("type", content.mime.clone()),
        ("size", size(content.size_bytes)),
        ("digest", content.digest.to_string()),
    ];
    known.extend(content.name.clone().map(|name| ("name", name)));
    let fetch = format!("`wxhost file get {} --out FILE`", content.digest);
    known.push(("fetch it", fetch));
    known
}

fn state(state: FileState) -> &'static str {
    match state {
        FileState::Asked => "asked: the client has not uploaded it yet",
        FileState::Ready => "ready",
        FileState::Missing => "missing",
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::domain::task::Origin;

    fn request() -> FileRequest {
        let task = "wxid_a-5".parse().unwrap();
        FileRequest::asked("f-1".to_owned(), task, Origin::Api, 0)
    }

    #[test]
    fn a_file_that_is_there_says_how_to_fetch_it() {
        let mut request = request();
        let content = FileContent {
            digest: Digest::of(b"x"),
            size_bytes: 1536,
            mime: "image/jpeg".to_owned(),
            name: None,
        };
        request.ready(content, 1000);
        let text = about(&request, &Style::plain(1000));
        assert!(text.contains("state     ready\n"), "{text}");
        assert!(text.contains("size      1.5 KiB\n"), "{text}");
        let fetch = format!("`wxhost file get {} --out FILE`", Digest::of(b"x"));
        assert!(text.contains(&fetch), "{text}");
    }

    #[test]
    fn a_file_that_did_not_come_says_why() {
        let mut request = request();
        request.missing("the client uploaded nothing", 1000);
        let text = about(&request, &Style::plain(1000));
        assert!(text.contains("the client uploaded nothing"), "{text}");
    }

    #[test]
    fn a_file_is_there_in_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("a.jpg");
        let mut partial = Partial::beside(&out).unwrap();
        partial.file.write_all(b"half").unwrap();
        drop(partial);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let mut partial = Partial::beside(&out).unwrap();
        partial.file.write_all(b"whole").unwrap();
        partial.finish(&out).unwrap();
        drop(partial);
        assert_eq!(fs::read(&out).unwrap(), b"whole");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(Partial::beside(dir.path()).is_err());
    }
}
