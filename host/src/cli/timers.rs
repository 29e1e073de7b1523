//! An account's timers, as a table.

use super::output::{Style, Table, quoted};
use crate::{domain::Timer, edge::control::wire::List};

/// How many characters of a payload are shown.
const PAYLOAD_SHOWN_CHARS: usize = 60;

/// Timers, by handler and name.
pub fn table(list: &List<Timer>, style: &Style) -> String {
    if list.items.is_empty() {
        return "no bot has set a timer for this account\n".to_owned();
    }
    let mut table = Table::new(["HANDLER", "TIMER", "DUE", "PAYLOAD"]);
    for timer in &list.items {
        let mut payload: String = timer.payload.chars().take(PAYLOAD_SHOWN_CHARS).collect();
        if payload.len() < timer.payload.len() {
            payload.push('…');
        }
        table.row([
            timer.handler.as_str().into(),
            timer.id.as_str().into(),
            style.when(timer.due_ms).into(),
            payload.as_str().into(),
        ]);
    }
    let mut text = table.show(style);
    if let Some(next) = &list.next {
        text.push_str(&format!("there are more: add --after {}\n", quoted(next)));
    }
    text
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_bots_words_do_not_steer_the_terminal() {
        let timer = Timer {
            handler: "faq".try_into().unwrap(),
            id: "tea".to_owned(),
            due_ms: 60_000,
            payload: format!("a\u{1b}[2J\n{}", "x".repeat(100)),
        };
        let list = List {
            items: vec![timer],
            next: Some("faq/tea".to_owned()),
        };
        let text = table(&list, &Style::plain(0));
        assert!(text.contains("faq      tea"), "{text}");
        assert!(text.contains("in 1 min"), "{text}");
        assert!(text.ends_with("--after 'faq/tea'\n"), "{text}");
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
        assert!(text.contains('…'), "{text}");
        let none = table(&List::whole([]), &Style::plain(0));
        assert_eq!(none.lines().count(), 1);
    }
}
