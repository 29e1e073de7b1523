//! An address of somebody's own program: its query may hold a key. Pure.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// What is shown instead of a value.
const DOTS: &str = "••••••";

/// An address of somebody's own program. Shows without the values of its query wherever
/// it is printed or written out.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct ApiUrl(String);

impl ApiUrl {
    /// The whole address, for whoever speaks to it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The address without what may be a key.
    fn shown(&self) -> String {
        let Some(at) = self.0.find(['?', '#']) else {
            return self.0.clone();
        };
        let (address, rest) = self.0.split_at(at);
        let (query, fragment) = match rest.split_once('#') {
            Some((query, _)) => (query, format!("#{DOTS}")),
            None => (rest, String::new()),
        };
        let pairs = query.strip_prefix('?').map(|query| {
            let pairs: Vec<String> = query.split('&').map(shown_pair).collect();
            format!("?{}", pairs.join("&"))
        });
        format!("{address}{}{fragment}", pairs.unwrap_or_default())
    }
}

/// What has no name may be the key itself.
fn shown_pair(pair: &str) -> String {
    match pair.split_once('=') {
        Some((name, _)) => format!("{name}={DOTS}"),
        None if pair.is_empty() => String::new(),
        None => DOTS.to_owned(),
    }
}

impl From<&str> for ApiUrl {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for ApiUrl {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for ApiUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Serialize for ApiUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.shown())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn no_key_of_an_address_shows_anywhere() {
        for (given, shown) in [
            ("http://h:1/cb", "http://h:1/cb"),
            ("http://h:1/cb?key=hush", "http://h:1/cb?key=••••••"),
            (
                "http://h/?a=hush&b=hush=1&=hush",
                "http://h/?a=••••••&b=••••••&=••••••",
            ),
            ("http://h?hush", "http://h?••••••"),
            ("http://h/#hush", "http://h/#••••••"),
            (
                "http://h/?k=hush?&#hush?x=hush",
                "http://h/?k=••••••&#••••••",
            ),
            ("http://h/?", "http://h/?"),
        ] {
            let url: ApiUrl = serde_json::from_value(given.into()).unwrap();
            assert_eq!(url.expose(), given);
            assert_eq!(format!("{url:?}"), shown);
            assert_eq!(serde_json::to_value(&url).unwrap(), shown);
        }
    }
}
