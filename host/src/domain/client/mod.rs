//! Native clients that the host starts and watches: Openwx, one process per
//! account (seed document and protocol page on Openwx).
//!
//! Pure: what a client is, what may be told to it, and when it is started again.

mod api_url;
mod parameters;
mod report_url;
mod restart;
mod settings;

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{AccountId, Digest, Millis, id::BadId};

pub use api_url::ApiUrl;
pub use parameters::{BadParameter, ParameterPolicy, Parameters, VALUE_MAX_BYTES, check_media};
pub use report_url::{escaped, merged_url, report_url};
pub use restart::{Crashes, RestartPolicy, Verdict, codes_max};
pub use settings::{Auth, ClientPolicy, Places, Replies, TEMPLATE_DEFAULT, Template};

/// How many characters a client's name may have.
pub const NAME_MAX_CHARS: usize = 64;
/// How many bytes: with what is put before and behind it, it names files, and those
/// have at most 255.
pub const NAME_MAX_BYTES: usize = 192;

/// The name of an Openwx client. It is the account's id, and part of paths,
/// addresses and variables, so what it can hold is narrow.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientName(Arc<str>);

impl ClientName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Letters and digits but for those that show nothing, or look like others that they
/// are a form of: two names that look the same would be taken for each other.
fn is_visible_letter(c: char) -> bool {
    let blank = matches!(c, '\u{115f}' | '\u{1160}' | '\u{3164}');
    let form = matches!(c, '\u{2100}'..='\u{218f}' | '\u{ff00}'..='\u{ffef}');
    c.is_alphanumeric() && !blank && !form
}

impl TryFrom<&str> for ClientName {
    type Error = BadId;

    fn try_from(text: &str) -> Result<Self, BadId> {
        let odd = |c: char| !(is_visible_letter(c) || matches!(c, '-' | '_' | '.' | '@'));
        let long = text.chars().count() > NAME_MAX_CHARS || text.len() > NAME_MAX_BYTES;
        if text.is_empty() || long || text.starts_with('.') || text.contains(odd) {
            return Err(BadId(
                "a client's name has 1 to 64 characters (at most 192 bytes): letters, digits and \
                 - _ . @, and does not begin with a dot",
            ));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for ClientName {
    type Error = BadId;

    fn try_from(text: String) -> Result<Self, BadId> {
        Self::try_from(text.as_str())
    }
}

impl From<ClientName> for String {
    fn from(name: ClientName) -> Self {
        name.as_str().to_owned()
    }
}

impl TryFrom<&AccountId> for ClientName {
    type Error = BadId;

    fn try_from(account: &AccountId) -> Result<Self, BadId> {
        Self::try_from(account.as_str())
    }
}

impl TryFrom<&ClientName> for AccountId {
    type Error = BadId;

    fn try_from(name: &ClientName) -> Result<Self, BadId> {
        Self::try_from(name.as_str())
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One process of a client: another one of the same name has another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StartId(Arc<str>);

impl StartId {
    /// A new one.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes)?;
        Ok(Self(format!("{:016x}", u64::from_ne_bytes(bytes)).into()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a client says about itself (seed, "客户端运行状态介绍").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NativeState {
    /// It has begun.
    Init,
    /// It loads its plugins.
    Loading,
    /// It waits for a code to be scanned. Spelt as the clients spell it.
    Scaning,
    /// The code was scanned; it waits for the button on the phone.
    Confirming,
    /// It reads its contacts.
    Updating,
    /// It is logged in, and its API answers.
    Running,
    /// It ends.
    Stop,
}

impl NativeState {
    /// All of them, in the order of a client's life.
    pub const ALL: [Self; 7] = [
        Self::Init,
        Self::Loading,
        Self::Scaning,
        Self::Confirming,
        Self::Updating,
        Self::Running,
        Self::Stop,
    ];

    /// The clients' own word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Loading => "loading",
            Self::Scaning => "scaning",
            Self::Confirming => "confirming",
            Self::Updating => "updating",
            Self::Running => "running",
            Self::Stop => "stop",
        }
    }

    /// The state of this word; none for words of a later version.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// Where the host stands with a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Its process was started.
    Spawned,
    /// Its port takes connections. It may wait for a scan, and answer nothing.
    Listening,
    /// It is logged in.
    Running,
    /// It was told to end.
    Stopping,
    /// It has ended by itself, or with the host before, and is started again in a while.
    Waiting,
    /// It ended too often: it is not started again before somebody clears it.
    Failed,
    /// It has ended as it should and is not started again.
    Stopped,
}

impl Phase {
    /// All of them, in the order of a client's life.
    pub const ALL: [Self; 7] = [
        Self::Spawned,
        Self::Listening,
        Self::Running,
        Self::Stopping,
        Self::Waiting,
        Self::Failed,
        Self::Stopped,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spawned => "spawned",
            Self::Listening => "listening",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }

    /// Whether it is not started again by itself.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Failed | Self::Stopped)
    }

    /// Whether there is a process.
    pub fn is_alive(self) -> bool {
        matches!(
            self,
            Self::Spawned | Self::Listening | Self::Running | Self::Stopping
        )
    }
}

/// Where a client's word about its state came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StateSource {
    /// Its state file.
    File,
    /// A report.
    Report,
}

/// What a client said about itself last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateSeen {
    /// Which state.
    pub state: NativeState,
    /// Since when, as far as the host saw.
    pub at_ms: Millis,
    /// Where it said so.
    pub source: StateSource,
}

/// What a client's process uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessUsage {
    /// Memory in bytes (resident).
    pub rss_bytes: u64,
    /// Time on a processor since the sample before, in thousandths of one core.
    pub cpu_permille: u32,
    /// When this was read.
    pub at_ms: Millis,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessEnd {
    /// When.
    pub at_ms: Millis,
    /// How, and why as far as it is known.
    pub reason: String,
}

/// Everything that is known of a client that the host looks after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientStatus {
    /// Its name.
    pub name: ClientName,
    /// Rises with each change that somebody may wait for.
    pub revision: u64,
    /// By which template its process is started.
    pub template: String,
    /// What it was started with, as it was given.
    pub parameters: BTreeMap<String, String>,
    /// Where it stands.
    pub phase: Phase,
    /// Since when.
    pub since_ms: Millis,
    /// Why, when there is something to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Which process, as long as there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<StartId>,
    /// Its process id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The port of its API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// When this process was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spawned_ms: Option<Millis>,
    /// When its port took connections first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listening_ms: Option<Millis>,
    /// When it was logged in first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_ms: Option<Millis>,
    /// What it said about itself last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateSeen>,
    /// The code that it shows to be scanned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Digest>,
    /// How often it was started again since somebody started it.
    pub restarts: u32,
    /// When it is started again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_start_ms: Option<Millis>,
    /// How its process before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_end: Option<ProcessEnd>,
    /// What its process uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<ProcessUsage>,
}

impl ClientStatus {
    /// Whether the host has yet to start it, since it began itself. One that waits after
    /// its process has ended knows how that was.
    pub fn is_awaited(&self) -> bool {
        self.phase == Phase::Waiting && self.last_end.is_none()
    }
}

/// A client that somebody wants to run, as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Its name.
    pub name: ClientName,
    /// By which template its process is started.
    pub template: String,
    /// What it is started with, as it was given and checked.
    pub parameters: BTreeMap<String, String>,
    /// When it was asked for.
    pub asked_ms: Millis,
    /// Why it is not started again: none while it is to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<Over>,
}

/// Why a client is not started again by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Over {
    /// It ended too often, rather than as it should.
    pub failed: bool,
    /// Since when.
    pub at_ms: Millis,
    /// Why.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_letters_of_any_script_that_can_be_seen() {
        for name in ["a1", "小明", "Ünal", "-x", "имя.2", "@a_b", "がぎ"] {
            assert!(ClientName::try_from(name).is_ok(), "{name}");
        }
        for name in [
            "",
            ".a",
            "a b",
            "a/b",
            "\u{115f}",
            "a\u{1160}",
            "\u{3164}",
            "a\u{ffa0}",
            "ａ１",
            "ﾅ",
            "\u{212a}",
            "\u{2160}",
            "e\u{301}",
            "a\u{200d}b",
            "a\u{202e}b",
        ] {
            assert!(ClientName::try_from(name).is_err(), "{name:?}");
        }
    }
}
