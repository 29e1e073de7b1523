//! Where an account's bot is silent, as a table.

use super::output::{Style, Table, harmless, quoted, word};
use crate::{
    domain::{AccountId, Pause},
    edge::control::wire::List,
};

/// Pauses, and how to end one.
pub fn table(list: &List<Pause>, account: &AccountId, style: &Style) -> String {
    let mut text = match list.items.first() {
        None => format!("{} pauses nowhere\n", harmless(account.as_str())),
        Some(_) => rows(list, account, style),
    };
    if let Some(next) = &list.next {
        text.push_str(&format!(
            "there may be more: add --after {}\n",
            quoted(next)
        ));
    }
    text
}

fn rows(list: &List<Pause>, account: &AccountId, style: &Style) -> String {
    let mut table = Table::new(["CONVERSATION", "HANDLER", "SINCE", "ENDS", "REASON"]);
    for pause in &list.items {
        table.row([
            pause.conversation.as_str().into(),
            pause.handler.as_str().into(),
            style.ago(pause.since_ms).into(),
            style.ago(pause.until_ms).into(),
            pause.reason.as_str().into(),
        ]);
    }
    let account = word(account.as_str());
    let hint = format!("end one before: `wxhost account resume {account} CONVERSATION`\n");
    table.show(style) + &hint
}

/// What a pause was that somebody has ended.
pub fn lifted(pause: &Pause) -> String {
    let conversation = harmless(&pause.conversation);
    format!("{} answers in {conversation} again", pause.handler)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_strangers_words_do_not_steer_the_terminal() {
        let evil = "a\u{1b}[2J\u{7}\n'; id";
        let pause = Pause {
            conversation: evil.to_owned(),
            handler: "echo".try_into().unwrap(),
            since_ms: 0,
            until_ms: 1,
            reason: evil.to_owned(),
        };
        let told = lifted(&pause);
        let list = List {
            items: vec![pause],
            next: Some(evil.to_owned()),
        };
        let account = "wxid_a';id".try_into().unwrap();
        let table = table(&list, &account, &Style::plain(0));
        assert_eq!((told.lines().count(), table.lines().count()), (1, 4));
        assert!(table.contains(r"resume 'wxid_a'\'';id' CONVERSATION"));
        assert!(table.ends_with("'a\u{fffd}[2J\u{fffd}\u{fffd}'\\''; id'\n"));
        for text in [told, table] {
            assert!(!text.contains(['\u{1b}', '\u{7}']), "{text:?}");
        }
    }

    #[test]
    fn a_pause_says_when_it_ends_and_how_to_end_it_before() {
        let pause = Pause {
            conversation: "wxid_b".to_owned(),
            handler: "echo".try_into().unwrap(),
            since_ms: 0,
            until_ms: 600_000,
            reason: "10 answers within a minute".to_owned(),
        };
        assert_eq!(lifted(&pause), "echo answers in wxid_b again");
        let (list, account) = (List::whole([pause]), "wxid_a".try_into().unwrap());
        assert_eq!(
            table(&list, &account, &Style::plain(60_000)),
            "CONVERSATION  HANDLER  SINCE      ENDS      REASON\n\
             wxid_b        echo     1 min ago  in 9 min  10 answers within a minute\n\
             end one before: `wxhost account resume wxid_a CONVERSATION`\n"
        );
        let none = table(&List::whole([]), &account, &Style::plain(0));
        assert_eq!(none, "wxid_a pauses nowhere\n");
    }
}
