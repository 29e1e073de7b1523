//! What is said in the demo, and what must be answered.

/// One message to one account, and the answer.
#[derive(Debug)]
pub struct Line {
    /// Which account it goes to: 0 is Rose, 1 is Max.
    pub player: usize,
    /// Who writes.
    pub speaker: &'static str,
    /// In which group, if in one.
    pub group: Option<&'static str>,
    /// What.
    pub text: &'static str,
    /// What the account's bot must answer.
    pub answer: &'static str,
}

/// The conversation, with the lines to Max that fit Max's bot.
pub fn lines(second_bot: &str) -> Vec<Line> {
    let to_max = match second_bot {
        "faq" => TO_FAQ,
        _ => TO_PROBE,
    };
    let mut lines = Vec::new();
    for (rose, max) in TO_ROSE.into_iter().zip(to_max) {
        let (speaker, group, text, answer) = rose;
        lines.push(line(0, speaker, group, text, answer));
        let (speaker, text, answer) = max;
        lines.push(line(1, speaker, None, text, answer));
    }
    lines
}

type Private = (&'static str, &'static str, &'static str);
type Anywhere = (
    &'static str,
    Option<&'static str>,
    &'static str,
    &'static str,
);

const TO_ROSE: [Anywhere; 4] = [
    ("Ann", None, "Good morning!", "Good morning!"),
    ("Ann", None, "你好 😀", "你好 😀"),
    (
        "Bob",
        Some("8680025352@chatroom"),
        "Is Rose here?",
        "@wxid_bob Is Rose here?",
    ),
    ("Bob", None, "See you.", "See you."),
];

const TO_FAQ: [Private; 4] = [
    (
        "Eve",
        "What are your opening hours?",
        "We are open from 9 to 18.",
    ),
    ("Eve", "营业时间?", "每天 9 点到 18 点。"),
    (
        "Tom",
        "Do you sell shoes?",
        "I don't know. Ask for the opening hours, or a price.",
    ),
    ("Eve", "stats", "You have asked 2 times."),
];

const TO_PROBE: [Private; 4] = [
    ("Eve", "context.client-kind", "ok wehub"),
    ("Eve", "keyvalue.increment visits 1", "ok 1"),
    ("Tom", "keyvalue.increment visits 1", "ok 2"),
    (
        "Eve",
        "contacts.list-contacts official - 10",
        "ok gh_7ec28ec1ef37 next -",
    ),
];

fn line(
    player: usize,
    speaker: &'static str,
    group: Option<&'static str>,
    text: &'static str,
    answer: &'static str,
) -> Line {
    Line {
        player,
        speaker,
        group,
        text,
        answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_accounts_have_their_lines() {
        for bot in ["faq", "probe"] {
            let lines = lines(bot);
            assert_eq!(lines.len(), 8);
            assert_eq!(lines.iter().filter(|line| line.player == 1).count(), 4);
        }
    }
}
