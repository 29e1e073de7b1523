//! How a command fails: what the person reads, and the exit status.

use std::{fmt, process::ExitCode};

use crate::edge::error::{Document, TYPE_PREFIX};

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub enum Failure {
    /// The arguments make no sense, which shows only now.
    Usage(String),
    /// No host answered.
    Unreachable {
        /// Who was asked.
        address: String,
        /// What happened instead.
        why: String,
    },
    /// The host refused, or failed at it.
    Refused(Document),
    /// Something on this machine went wrong.
    Local {
        /// What was being written.
        what: String,
        /// What happened.
        why: String,
    },
    /// Whoever answered is no host of ours, or of another version.
    Strange {
        /// Who was asked.
        address: String,
        /// What came.
        what: String,
    },
}

impl Failure {
    /// A file or an output that could not be written.
    pub fn local(what: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self::Local {
            what: what.to_string(),
            why: why.to_string(),
        }
    }

    /// Whether what was asked for does not exist, or not any more.
    pub fn is_not_found(&self) -> bool {
        self.slug() == Some("not-found")
    }

    /// Whether asking again later may help: the host starts again, or is busy.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. }) || matches!(self.slug(), Some("busy" | "store"))
    }

    /// Whether the host has no room now.
    pub fn is_busy(&self) -> bool {
        self.slug() == Some("busy")
    }

    fn slug(&self) -> Option<&str> {
        match self {
            Self::Refused(document) => Some(document.kind.trim_start_matches(TYPE_PREFIX)),
            _ => None,
        }
    }

    /// How the process ends.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Refused(_) | Self::Local { .. } | Self::Strange { .. } => 1,
            Self::Usage(_) => 2,
            Self::Unreachable { .. } => 3,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) => f.write_str(text),
            Self::Unreachable { address, why } => write!(
                f,
                "{address} can't be reached ({why})\n  start a host with `wxhost serve`, or say \
                 where it is with --url or --data"
            ),
            Self::Refused(document) => refused(f, document),
            Self::Local { what, why } => write!(f, "{what}: {why}"),
            Self::Strange { address, what } => write!(
                f,
                "{address} gave no answer of wxhost ({what})\n  look whether the address is right \
                 and the host is of the same version"
            ),
        }
    }
}

fn refused(f: &mut fmt::Formatter<'_>, document: &Document) -> fmt::Result {
    f.write_str(&document.detail)?;
    if let Some(field) = &document.field
        && !document.detail.contains(field.as_str())
    {
        write!(f, " (in `{field}`)")?;
    }
    match cure(document.kind.trim_start_matches(TYPE_PREFIX)) {
        Some(cure) => write!(f, "\n  {cure}"),
        None => Ok(()),
    }
}

/// What to do about it, where a command of ours is the answer.
fn cure(slug: &str) -> Option<&'static str> {
    Some(match slug {
        "unauthorized" => {
            "its token stands in the file `admin-token` of its data directory: give it with \
             WXHOST_TOKEN or --token, or name the directory with --data"
        }
        "not-found" => {
            "see what there is with `wxhost handler list`, `wxhost account list`, \
             `wxhost login list`, `wxhost client list` or `wxhost task list ACCOUNT`"
        }
        "in-use" => "unbind it with `wxhost handler unbind --account ACCOUNT`",
        "no-agent" => "see who is online with `wxhost account list`",
        "key-reused" => "use another --idempotency-key for another request",
        "busy" | "store" => "try again in a moment",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(slug: &str, detail: &str, field: Option<&str>) -> Failure {
        Failure::Refused(Document {
            kind: format!("{TYPE_PREFIX}{slug}"),
            title: String::new(),
            status: 400,
            detail: detail.to_owned(),
            field: field.map(str::to_owned),
        })
    }

    #[test]
    fn a_refusal_says_what_where_and_the_cure() {
        let busy = document("busy", "no room", None);
        assert_eq!(busy.to_string(), "no room\n  try again in a moment");
        let named = document("invalid-action", "text: can't be empty", Some("text"));
        assert_eq!(named.to_string(), "text: can't be empty");
        let elsewhere = document("unsupported-action", "can't do it", Some("action"));
        assert_eq!(elsewhere.to_string(), "can't do it (in `action`)");
    }

    #[test]
    fn what_may_pass_is_told_from_what_stays() {
        for (slug, passes) in [("busy", true), ("store", true), ("not-found", false)] {
            let failure = document(slug, "", None);
            assert_eq!(failure.may_pass(), passes, "{slug}");
            assert_eq!(failure.is_not_found(), slug == "not-found");
        }
        let away = Failure::Unreachable {
            address: String::new(),
            why: String::new(),
        };
        assert!(away.may_pass() && !away.is_not_found());
        assert!(!Failure::local("a.png", "no room").may_pass());
    }

    #[test]
    fn an_unreachable_host_is_named_with_the_way_to_start_one() {
        let text = Failure::Unreachable {
            address: "http://127.0.0.1:2000/".into(),
            why: "connection refused".into(),
        }
        .to_string();
        assert!(text.contains("http://127.0.0.1:2000/"), "{text}");
        assert!(text.contains("`wxhost serve`"), "{text}");
    }
}
