//! What is typed: words of the person who speaks, or a command.

use std::path::PathBuf;

/// All commands, as `/help` shows them.
pub const HELP: &str = "\
what you type is said to the bot, in private or in a group
  /group [NAME]           speak in a group      /private [NAME]   speak in private
  /as NAME                be somebody else      /join NAME        somebody joins the group
  /friend-request [TEXT]  ask to be a friend    /timer [NAME]     the next timer or schedule, now
  /fixture FILE           a report of WeHub, or an event; pasted as JSON, over as many lines
                          as it has, it works too: an empty line or /cancel gives up
  /restart                build and deploy anew /quit             end (or Ctrl-C)";

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Nothing.
    Empty,
    /// Words for the bot.
    Say(String),
    /// From now on in this group, or in the one of before.
    Group(Option<String>),
    /// From now on in private, with this person or the one of before.
    Private(Option<String>),
    /// From now on this person speaks.
    As(String),
    /// The person who speaks wants to be a friend.
    FriendRequest(String),
    /// This person joins the group.
    Join(String),
    /// A timer or a schedule comes due; the next one unless it is named.
    Timer(Option<String>),
    /// A file with a report or an event.
    Fixture(PathBuf),
    /// A report or an event.
    Json(String),
    /// Give up what is being pasted.
    Cancel,
    /// Build and deploy again.
    Restart,
    /// Show the commands.
    Help,
    /// End.
    Quit,
    /// No command that there is.
    Wrong(String),
}

impl Line {
    /// Reads a line.
    pub fn read(line: &str) -> Self {
        let line = line.trim();
        if line.is_empty() {
            return Self::Empty;
        }
        if line.starts_with('{') {
            return Self::Json(line.to_owned());
        }
        let Some(command) = line.strip_prefix('/') else {
            return Self::Say(line.to_owned());
        };
        let (word, rest) = command
            .split_once(char::is_whitespace)
            .unwrap_or((command, ""));
        let rest = rest.trim();
        let some = (!rest.is_empty()).then(|| rest.to_owned());
        match (word, some) {
            ("group", name) => Self::Group(name),
            ("private", name) => Self::Private(name),
            ("as", Some(name)) => Self::As(name),
            ("friend-request", text) => Self::FriendRequest(text.unwrap_or_default()),
            ("join", Some(name)) => Self::Join(name),
            ("timer", name) => Self::Timer(name),
            ("fixture", Some(file)) => Self::Fixture(file.into()),
            ("cancel", None) => Self::Cancel,
            ("restart", None) => Self::Restart,
            ("help", None) => Self::Help,
            ("quit" | "exit", None) => Self::Quit,
            ("as" | "join", None) => Self::Wrong(format!("/{word} NAME")),
            ("fixture", None) => Self::Wrong("/fixture FILE".to_owned()),
            _ => Self::Wrong(format!("there is no /{word}: /help lists what there is")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_words_or_commands() {
        let text = |text: &str| text.to_owned();
        for (line, read) in [
            ("", Line::Empty),
            (" hi there ", Line::Say(text("hi there"))),
            ("/group", Line::Group(None)),
            ("/group 客户 群", Line::Group(Some(text("客户 群")))),
            ("/private Bob", Line::Private(Some(text("Bob")))),
            ("/as Bob", Line::As(text("Bob"))),
            ("/friend-request", Line::FriendRequest(String::new())),
            ("/timer tea", Line::Timer(Some(text("tea")))),
            ("/fixture a b.json", Line::Fixture("a b.json".into())),
            (r#"{"a": 1}"#, Line::Json(text(r#"{"a": 1}"#))),
            ("/quit", Line::Quit),
        ] {
            assert_eq!(Line::read(line), read, "{line}");
        }
        for wrong in ["/as", "/nothing", "/quit now", "/"] {
            assert!(matches!(Line::read(wrong), Line::Wrong(_)), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn every_line_reads(line in ".*") {
            let _ = Line::read(&line);
        }
    }
}
