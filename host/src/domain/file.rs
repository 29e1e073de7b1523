//! Files of messages: asked for with a task, uploaded by the client some time
//! later, or never (WeHub protocol page, section 6).

use serde::{Deserialize, Serialize};

use super::{AccountId, Digest, Millis, TaskId, task::Origin};

/// How long a client may take to upload a file, and how much the host keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FilePolicy {
    /// The largest file taken, in bytes.
    pub file_bytes_max: u64,
    /// What all kept files may have together, in bytes. The oldest go first. Files
    /// that come in may take half as much beside them, or one file of the largest
    /// size.
    pub disk_bytes_max: u64,
    /// How many uploads may be under way whose files come in.
    pub uploads_max: u32,
    /// How long a file may take to come after its task went out, in ms. Then it is
    /// asked for once more.
    pub upload_ms: u64,
}

impl Default for FilePolicy {
    fn default() -> Self {
        Self {
            file_bytes_max: 200 * 1024 * 1024,
            disk_bytes_max: 10 * 1024 * 1024 * 1024,
            uploads_max: 32,
            upload_ms: 60_000,
        }
    }
}

impl FilePolicy {
    /// Says which setting can't work, and why.
    pub fn check(&self) -> Result<(), String> {
        if self.uploads_max == 0 || self.upload_ms == 0 || self.file_bytes_max == 0 {
            return Err(
                "files.file_bytes_max, files.uploads_max, files.upload_ms: must be more than 0"
                    .to_owned(),
            );
        }
        match self.disk_bytes_max < self.file_bytes_max {
            true => Err("files.disk_bytes_max: must have room for files.file_bytes_max".to_owned()),
            false => Ok(()),
        }
    }
}

/// How often a file is asked for: WeHub's uploads get lost at times.
pub const TRIES_MAX: u32 = 2;

/// How long an upload may come after its request ended, in ms: so long nobody else
/// gets a file of its name. The longest that one may take.
pub const NAME_RESTS_MS: Millis = 10 * 60 * 1000;

/// Where a request for a file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileState {
    /// The client shall upload it.
    Asked,
    /// It is there.
    Ready,
    /// It did not come.
    Missing,
}

/// A file that an account's client was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRequest {
    /// Whose client.
    pub account: AccountId,
    /// What the client calls it.
    pub file: String,
    /// Where it stands.
    pub state: FileState,
    /// The latest task that asked for it.
    pub task: TaskId,
    /// Who wants it.
    pub origin: Origin,
    /// How often it was asked for.
    pub tries: u32,
    /// When it was asked for first.
    pub asked_ms: Millis,
    /// When this account's former request for it ended or was replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_ms: Option<Millis>,
    /// When it came, or was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<Millis>,
    /// Why it did not come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<FileContent>,
}

/// A file that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileContent {
    /// Its digest, by which it is read.
    pub digest: Digest,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its type, found in its content.
    pub mime: String,
    /// The name its sender gave it. Text to show, never a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl FileRequest {
    /// A file that this task asks for.
    pub fn asked(file: String, task: TaskId, origin: Origin, now_ms: Millis) -> Self {
        Self {
            account: task.account.clone(),
            file,
            state: FileState::Asked,
            task,
            origin,
            tries: 1,
            asked_ms: now_ms,
            former_ms: None,
            ended_ms: None,
            reason: None,
            content: None,
        }
    }

    /// It takes the place of this one, of the same account and name.
    pub fn replace(&mut self, former: Self) {
        self.former_ms = former.ended_ms.or(Some(self.asked_ms));
        if former.state == FileState::Asked && matches!(former.origin, Origin::Bot { .. }) {
            self.origin = former.origin;
        }
    }

    /// Until when an upload of this name may be a late one of this account's.
    pub fn named_until(&self) -> Option<Millis> {
        let last = self.ended_ms.max(self.former_ms)?;
        Some(last.saturating_add(NAME_RESTS_MS))
    }

    /// It came.
    pub fn ready(&mut self, content: FileContent, now_ms: Millis) {
        self.state = FileState::Ready;
        self.content = Some(content);
        self.reason = None;
        self.ended_ms = Some(now_ms);
    }

    /// It will not come.
    pub fn missing(&mut self, reason: impl Into<String>, now_ms: Millis) {
        self.state = FileState::Missing;
        self.reason = Some(reason.into());
        self.ended_ms = Some(now_ms);
    }
}
