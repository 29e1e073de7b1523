//! `wxhost account label …`: what an account is called.

use crate::{
    domain::{AccountId, Label},
    edge::control::wire::{LabelsChange, LabelsView},
};

use super::{
    client::{Client, Reply},
    failure::Failure,
};

/// One change: `+shop` or `-shop`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    adds: bool,
    label: Label,
}

/// Reads `+shop` or `-shop`.
pub fn change(text: &str) -> Result<Change, String> {
    let (adds, label) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
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
    fn a_sign_says_what_becomes_of_a_label() {
        let shop: Label = "shop".try_into().unwrap();
        for (text, adds) in [("+shop", true), ("-shop", false)] {
            let label = shop.clone();
            assert_eq!(change(text), Ok(Change { adds, label }));
        }
        assert!(change("shop").unwrap_err().contains("+shop"));
        for bad in ["", "+", "-", "++a", "--json", "+Shop"] {
            assert!(change(bad).is_err(), "{bad}");
        }
    }
}
