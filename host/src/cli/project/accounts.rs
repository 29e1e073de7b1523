//! `accounts` in `handler.toml`: whom a bot is bound to when it is deployed.

use serde::{Deserialize, Deserializer, de};

/// The word for every account without a binding of its own.
const ALL: &str = "all";
/// The word for the callback itself.
const CALLBACK: &str = "callback";
/// How many scopes a file may name: each is a request. More accounts have a label.
const ACCOUNTS_MAX: usize = 1000;

/// Scopes, as the API writes them: an id, `label:NAME`, `*` or `*callback`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts(pub Vec<String>);

impl<'de> Deserialize<'de> for Accounts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor)
    }
}

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Accounts;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(
            "a list of ids and labels such as [\"wxid_a\", \"label:shop\"], \"all\", or \
             \"callback\"",
        )
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Accounts, E> {
        let scope = match word {
            ALL => "*",
            CALLBACK => "*callback",
            _ => return Err(E::invalid_value(de::Unexpected::Str(word), &self)),
        };
        Ok(Accounts(vec![scope.to_owned()]))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Accounts, A::Error> {
        let mut scopes: Vec<String> = Vec::new();
        while let Some(scope) = list.next_element::<String>()? {
            if scope.is_empty() || scope == ALL || scope == CALLBACK {
                let unexpected = de::Unexpected::Str(&scope);
                return Err(de::Error::invalid_value(unexpected, &self));
            }
            if scopes.len() >= ACCOUNTS_MAX {
                return Err(de::Error::custom(format!(
                    "takes {ACCOUNTS_MAX} at most: give them a label"
                )));
            }
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        Ok(Accounts(scopes))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[derive(Deserialize)]
    struct File {
        accounts: Accounts,
    }

    fn scopes(value: &str) -> Result<Vec<String>, String> {
        let file: Result<File, _> = toml::from_str(&format!("accounts = {value}"));
        file.map(|it| it.accounts.0).map_err(|it| it.to_string())
    }

    #[test]
    fn accounts_are_a_word_or_a_list() {
        assert_eq!(scopes(r#""all""#).unwrap(), ["*"]);
        assert_eq!(scopes(r#""callback""#).unwrap(), ["*callback"]);
        assert_eq!(
            scopes(r#"["a", "label:x", "a"]"#).unwrap(),
            ["a", "label:x"]
        );
        for bad in [r#""wxid_a""#, "7", r#"["all"]"#, r#"[""]"#] {
            let problem = scopes(bad).unwrap_err();
            assert!(problem.contains("label:shop"), "{problem}");
        }
    }
}
