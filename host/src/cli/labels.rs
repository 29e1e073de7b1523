//! `wxhost account label …`: what an account is called.

use std::ffi::OsString;

use crate::{
    domain::{AccountId, Label},
    edge::control::wire::{LabelsChange, LabelsView},
};

use super::{
    client::{Client, Reply},
    failure::Failure,
};

/// The sign that typesetters use for a hyphen that takes away.
const MINUS: char = '\u{2212}';

/// One change: `+shop` or `-shop`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    adds: bool,
    label: Label,
}

/// The words of the command line with `-shop` written so that clap does not read it as
/// flags. It could be told to take such words as values, but then takes `--json` as one, too.
pub fn with_minus(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<_> = words.into_iter().collect();
    let command = words.windows(2).position(|two| two == ["account", "label"]);
    let before = command.map_or(words.len(), |at| at + 2);
    for word in words.iter_mut().skip(before) {
        let label = word.to_str().and_then(|it| it.strip_prefix('-'));
        // `--json` is a flag, and `-h` asks for help.
        let label = label.filter(|it| !it.is_empty() && !it.starts_with('-') && *it != "h");
        if let Some(label) = label.map(str::to_owned) {
            *word = format!("{MINUS}{label}").into();
        }
    }
    words
}

/// Reads `+shop` or `-shop`.
pub fn change(text: &str) -> Result<Change, String> {
    let (adds, label) = match (text.strip_prefix('+'), text.strip_prefix(['-', MINUS])) {
        (Some(label), _) => (true, label),
        (_, Some(label)) => (false, label),
        (None, None) => {
            return Err(format!(
                "write +{text} to add it, or -{text} to take it away"
            ));
        }
    };
    let label = Label::try_from(label).map_err(|bad| bad.to_string())?;
    Ok(Change { adds, label })
}

/// Changes the labels, or asks for them when nothing is to be changed.
pub(super) async fn ask(
    client: &Client,
    account: &AccountId,
    changes: &[Change],
) -> Result<Reply, Failure> {
    let path = ["accounts", account.as_str(), "labels"];
    if changes.is_empty() {
        return client.get(&path, &[]).await;
    }
    let which = |adds| {
        let some = changes.iter().filter(move |it| it.adds == adds);
        some.map(|it| it.label.clone()).collect()
    };
    let change = LabelsChange {
        add: which(true),
        remove: which(false),
    };
    client
        .patch(&path, &[], super::handler::encode(&change)?)
        .await
}

/// The labels that the account has now.
pub fn about(view: &LabelsView) -> String {
    match view.labels.is_empty() {
        true => "no labels".to_owned(),
        false => words(view.labels.iter()),
    }
}

/// Labels in a row.
pub fn words<'a>(labels: impl Iterator<Item = &'a Label>) -> String {
    labels.map(Label::as_str).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn only_words_after_the_command_are_labels_to_take_away() {
        let read = |line: &str| {
            let words = line.split(' ').map(OsString::from);
            with_minus(words)
                .into_iter()
                .map(|it| it.into_string().unwrap())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(
            read("wxhost account label a -shop +new --json -h"),
            "wxhost account label a \u{2212}shop +new --json -h"
        );
        for other in ["wxhost handler logs a -f", "wxhost account show -x label"] {
            assert_eq!(read(other), other);
        }
    }

    #[test]
    fn a_sign_says_what_becomes_of_a_label() {
        let shop: Label = "shop".try_into().unwrap();
        for (text, adds) in [("+shop", true), ("-shop", false)] {
            let label = shop.clone();
            assert_eq!(change(text), Ok(Change { adds, label }));
        }
        let minus = change("\u{2212}shop");
        assert_eq!(minus, change("-shop"));
        assert!(change("shop").unwrap_err().contains("+shop"));
        for bad in ["", "+", "-", "++a", "--json", "+Shop"] {
            assert!(change(bad).is_err(), "{bad}");
        }
    }
}
